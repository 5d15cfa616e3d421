//! The end of a run: a signal, or the end of the requested time.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// `SIGXFSZ`: the same number on every Unix that hubwatch runs on.
const SIGXFSZ: SignalKind = SignalKind::from_raw(25);

/// Waits for the end of a run.
pub(in crate::cli) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// Registered and never read. Without a handler the system kills a process that writes beyond its file size limit; with one, the
    /// write fails like a write to a full disk.
    _file_too_large: Signal,
    deadline: Option<Instant>,
}

impl Stop {
    /// Registers the signals; with a `length`, the run ends after it.
    pub(in crate::cli) fn listen(length: Option<Duration>) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_large: signal(SIGXFSZ)?,
            deadline: length.map(|length| Instant::now() + length),
        })
    }

    /// Waits for a signal; returns its name.
    pub(in crate::cli) async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for a signal or the end of the time; returns which it was.
    pub(super) async fn wait(&mut self) -> &'static str {
        match self.deadline {
            None => self.signal().await,
            Some(deadline) => tokio::select! {
                reason = self.signal() => reason,
                () = tokio::time::sleep_until(deadline) => "the end of the period",
            },
        }
    }
}
