//! The duties of a container's first process. The kernel gives it no default for a signal, so that one that nobody heeds does nothing
//! at all; and whoever loses its parent becomes its child, to be waited for once it has ended.

use rustix::process::{WaitOptions, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports of a program that a signal ended: this and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Takes the duties over, on a thread of its own: a report reads for seconds without looking up. A watch heeds the signals itself.
pub fn take_over(heeds_signals: bool) {
    if std::process::id() != 1 {
        return;
    }
    let attend = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(attend(heeds_signals)).unwrap_or_else(told),
            Err(error) => told(error),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("first process".to_owned()).spawn(attend) {
        told(error);
    }
}

fn told(error: std::io::Error) {
    tracing::warn!(%error, "the duties of a container's first process are left undone: signals may do nothing");
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

/// Waits for every child that has ended. We start none ourselves whose end anybody waits for.
fn reap() {
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
}
