//! Notifications to systemd (`Type=notify`): datagrams to the socket that `NOTIFY_SOCKET` names (sd_notify(3)).

use std::convert::Infallible;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::config::environment::Environment;
use crate::live::vitals::Vitals;

/// How often the status is checked if systemd has no watchdog for us.
const LOOK: Duration = Duration::from_secs(5);

/// The process supervisor that started us, if it accepts notifications.
#[derive(Debug)]
pub(super) struct Supervisor {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// The time without a notification after which systemd kills us.
    watchdog: Option<Duration>,
}

/// A watch to report to the supervisor.
#[derive(Debug, Clone)]
pub(super) struct Attended {
    /// The hub's name.
    pub hub: String,
    /// The health of the watch.
    pub vitals: Vitals,
    /// The polling interval.
    pub interval: Duration,
}

impl Supervisor {
    /// Returns the supervisor that the environment names.
    pub(super) fn of(environment: &impl Environment) -> Self {
        let named = environment.get("NOTIFY_SOCKET");
        let to = named.as_deref().and_then(|name| match reach(name) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::warn!(%error, socket = name, "can't open NOTIFY_SOCKET: systemd gets no notifications");
                None
            }
        });
        let meant = environment.get("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = environment.get("WATCHDOG_USEC").filter(|_| meant);
        // systemd uses 0 for "no watchdog".
        let watchdog = watchdog.and_then(|micros| micros.parse().ok()).filter(|micros| *micros > 0);
        Self { to, watchdog: watchdog.map(Duration::from_micros) }
    }

    fn notify(&self, state: &str) {
        let Some((socket, to)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), to) {
            tracing::warn!(%error, state, "can't notify systemd");
        }
    }

    /// Notifies that the shutdown has begun.
    pub(super) fn stopping(&self) {
        self.notify("STOPPING=1\nSTATUS=shutting down: sending the remaining telemetry");
    }

    /// Notifies when all watches are ready, then of each change of their status, and of the shutdown after a signal. Runs until
    /// dropped.
    pub(super) async fn attend(&self, watches: Vec<Attended>) -> Infallible {
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        if let (Some(_), (Ok(terminate), Ok(interrupt))) = (&self.to, signals) {
            self.follow(&watches, terminate, interrupt).await;
        }
        std::future::pending().await
    }

    async fn follow(&self, watches: &[Attended], mut terminate: Signal, mut interrupt: Signal) {
        let follow = async {
            for watch in watches {
                watch.vitals.ready(watch.interval).await;
            }
            self.notify(&format!("READY=1\nSTATUS={}", status(watches)));
            self.show_life(watches).await;
        };
        tokio::select! {
            () = follow => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.stopping();
    }

    /// Sends watchdog notifications. A watch that has stopped polling sends none, so that systemd restarts us; one that can't write
    /// does, because a restart would not free disk space.
    async fn show_life(&self, watches: &[Attended]) {
        let mut looks = tokio::time::interval(self.watchdog.map_or(LOOK, |patience| patience / 2).min(LOOK));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = status(watches);
        loop {
            looks.tick().await;
            if self.watchdog.is_some() && !watches.iter().any(|watch| watch.vitals.has_stopped_polling(watch.interval)) {
                self.notify("WATCHDOG=1");
            }
            let status = status(watches);
            if status != reported {
                self.notify(&format!("STATUS={status}"));
                reported = status;
            }
        }
    }
}

/// Returns the status of the watches in one line.
fn status(watches: &[Attended]) -> String {
    let of_watch = |watch: &Attended| {
        let wellness = watch.vitals.wellness(watch.interval);
        match (wellness.not_ready.as_slice(), wellness.hub_answers) {
            ([], Some(answer)) => format!("{}: the hub answers {answer}", watch.hub),
            (reasons, _) => format!("{}: {}", watch.hub, reasons.join(", ")),
        }
    };
    watches.iter().map(of_watch).collect::<Vec<_>>().join("; ")
}

/// Opens a socket: a path, or the name of an abstract socket after `@`.
fn reach(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that doesn't read must not block the watch.
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}
