//! Telling systemd how a watch is (`Type=notify`): datagrams to the socket that `NOTIFY_SOCKET` names (sd_notify(3)).

use std::convert::Infallible;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::config::environment::Environment;
use crate::live::vitals::Vitals;

/// How often a sign of life is looked for where systemd wants none.
const LOOK: Duration = Duration::from_secs(5);

/// Whoever started us, if it wants to know.
#[derive(Debug)]
pub struct Supervisor {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How long silence may last before systemd ends us.
    watchdog: Option<Duration>,
}

/// A watch as far as a supervisor wants to know of it.
#[derive(Debug, Clone)]
pub struct Attended {
    /// What the hub is called.
    pub hub: String,
    /// What the watch tells of itself.
    pub vitals: Vitals,
    /// How often it polls.
    pub interval: Duration,
}

impl Supervisor {
    /// The one that the environment names.
    pub fn of(environment: &impl Environment) -> Self {
        let named = environment.get("NOTIFY_SOCKET");
        let to = named.as_deref().and_then(|name| match reach(name) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::warn!(%error, socket = name, "NOTIFY_SOCKET can't be used: systemd is told nothing");
                None
            }
        });
        let meant = environment.get("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = environment.get("WATCHDOG_USEC").filter(|_| meant);
        // Nothing is systemd's word for none.
        let watchdog = watchdog.and_then(|micros| micros.parse().ok()).filter(|micros| *micros > 0);
        Self { to, watchdog: watchdog.map(Duration::from_micros) }
    }

    fn tell(&self, state: &str) {
        let Some((socket, to)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), to) {
            tracing::warn!(%error, state, "systemd can't be told");
        }
    }

    /// Tells that the way out begins.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=sending what is left");
    }

    /// Tells when all watches are ready, how they are since then, and that they stop when a signal says so; goes on until dropped.
    pub async fn attend(&self, watches: Vec<Attended>) -> Infallible {
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
            self.tell(&format!("READY=1\nSTATUS={}", status(watches)));
            self.show_life(watches).await;
        };
        tokio::select! {
            () = follow => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.stopping();
    }

    /// A watch that stands still shows no life; one that can't write does: starting it anew would not give it room.
    async fn show_life(&self, watches: &[Attended]) {
        let mut looks = tokio::time::interval(self.watchdog.map_or(LOOK, |patience| patience / 2).min(LOOK));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = status(watches);
        loop {
            looks.tick().await;
            if self.watchdog.is_some() && !watches.iter().any(|watch| watch.vitals.stands_still(watch.interval)) {
                self.tell("WATCHDOG=1");
            }
            let status = status(watches);
            if status != told {
                self.tell(&format!("STATUS={status}"));
                told = status;
            }
        }
    }
}

/// One line of how the watches are.
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

/// A path, or the name of an abstract socket behind `@`.
fn reach(name: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that doesn't read must not hold up the watch.
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}
