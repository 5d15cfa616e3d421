//! Duties of a container's first process (PID 1). The kernel gives PID 1 no default action for signals, so an unhandled signal does
//! nothing; and PID 1 becomes the parent of orphans and must wait for them when they end.

use rustix::process::{WaitOptions, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// Added to the signal's number in the exit code of a program that a signal ended, like in a shell.
const ENDED_BY_SIGNAL: i32 = 128;

/// Handles the duties on a thread of its own, because a report may read for seconds without a break. A watch handles signals
/// itself.
pub(super) fn take_over(heeds_signals: bool) {
    if std::process::id() != 1 {
        return;
    }
    let attend = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(attend(heeds_signals)).unwrap_or_else(warn),
            Err(error) => warn(error),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("first process".to_owned()).spawn(attend) {
        warn(error);
    }
}

fn warn(error: std::io::Error) {
    tracing::warn!(%error, "can't act as PID 1 (init): signals may be ignored");
}

async fn attend(heeds_signals: bool) -> std::io::Result<()> {
    let mut orphans = signal(SignalKind::child())?;
    if heeds_signals {
        while orphans.recv().await.is_some() {
            reap();
        }
        return Ok(());
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        tokio::select! {
            _ = orphans.recv() => reap(),
            _ = terminate.recv() => std::process::exit(ENDED_BY_SIGNAL + SignalKind::terminate().as_raw_value()),
            _ = interrupt.recv() => std::process::exit(ENDED_BY_SIGNAL + SignalKind::interrupt().as_raw_value()),
        }
    }
}

/// Waits for every child that has ended. Nothing else waits for children: we start none that need it.
fn reap() {
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
}
