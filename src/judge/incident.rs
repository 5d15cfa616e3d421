//! Incidents: what somebody should look at, with its start, end, cause and effect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::{History, HubStop, Stretch};
use super::moment::Moment;
use crate::watch::{Micros, terms};

/// Failed Gemini rounds closer together than this are one incident: retries follow each other within seconds.
const SAME_EPISODE: Micros = Micros::new(5 * 60 * 1_000_000);

terms! {
    /// How bad an incident is.
    pub enum Gravity {
        /// Something that must work did not.
        Critical = "critical",
        /// Something worked worse than it should, or we could not see.
        Warning = "warning",
        /// Worth knowing.
        Notice = "notice",
    }
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// How bad.
    pub gravity: Gravity,
    /// When it began.
    pub from: Moment,
    /// When it ended; `None` where it goes on.
    pub to: Option<Moment>,
    /// What happened.
    pub title: String,
    /// Why, where it is known.
    pub cause: Option<String>,
    /// What it did.
    pub effect: String,
}

/// The incidents of a period, by their beginning.
pub fn incidents(history: &History) -> Vec<Incident> {
    let mut all: Vec<Incident> = Vec::new();
    for server in history.servers.values().filter(|server| server.should_work()) {
        all.extend(server.down.iter().map(|down| server_down(&server.name, down)));
        if server.never_up
            && let Some(first) = history.coverage.first
        {
            all.push(never_up(&server.name, first, server.last_error.clone()));
        }
    }
    all.extend(history.hub.awaited.iter().map(awaited));
    all.extend(history.hub.unreachable.iter().map(unreachable));
    all.extend(history.hub.stops.iter().map(stop));
    all.extend(history.hub.exits.iter().map(exit));
    all.extend(gemini(history));
    all.extend(storms(history));
    all.extend(blind(history));
    all.sort_by(|one, other| (one.from, &one.title).cmp(&(other.from, &other.title)));
    all
}

fn server_down(name: &str, down: &Stretch) -> Incident {
    Incident {
        gravity: Gravity::Critical,
        from: down.from,
        to: down.to,
        title: format!("Server {name} was down"),
        cause: Some(down.reason.clone()),
        effect: "its tools answered nothing; the hub may have gone on calling it connected".to_owned(),
    }
}

fn never_up(name: &str, first: Moment, error: Option<String>) -> Incident {
    Incident {
        gravity: Gravity::Critical,
        from: first,
        to: None,
        title: format!("Server {name} never worked"),
        cause: error,
        effect: "its tools were never offered".to_owned(),
    }
}

fn awaited(stretch: &Stretch) -> Incident {
    Incident {
        gravity: Gravity::Notice,
        from: stretch.from,
        to: stretch.to,
        title: "The watch began before the hub".to_owned(),
        cause: None,
        effect: "none: the hub was not there yet".to_owned(),
    }
}

fn unreachable(stretch: &Stretch) -> Incident {
    Incident {
        gravity: Gravity::Critical,
        from: stretch.from,
        to: stretch.to,
        title: "The hub did not answer".to_owned(),
        cause: Some(stretch.reason.clone()),
        effect: "no client could be served".to_owned(),
    }
}

fn stop(stop: &HubStop) -> Incident {
    let how = if stop.graceful { "stopped in good order" } else { "began to stop and did not say that it ended" };
    let signal = stop.signal.as_ref().map(|signal| format!("it received {signal}"));
    Incident {
        gravity: Gravity::Critical,
        from: stop.at,
        to: Some(stop.at),
        title: format!("The hub {how}"),
        cause: stop.cause.clone().or(signal),
        effect: "all clients were disconnected".to_owned(),
    }
}

fn exit(exit: &HubStop) -> Incident {
    Incident {
        gravity: Gravity::Critical,
        from: exit.at,
        to: Some(exit.at),
        title: "The hub's process ended without a word".to_owned(),
        cause: exit.cause.clone(),
        effect: "all clients were disconnected".to_owned(),
    }
}

fn gemini(history: &History) -> Vec<Incident> {
    let mut episodes: Vec<(Moment, Moment, u64, &str)> = Vec::new();
    for (at, failure) in &history.gemini_failures {
        match episodes.last_mut() {
            Some((_, last, count, kind)) if *kind == failure && at.0.since(last.0) < SAME_EPISODE => {
                *last = *at;
                *count += 1;
            }
            _ => episodes.push((*at, *at, 1, failure)),
        }
    }
    let incident = |(from, to, count, kind): (Moment, Moment, u64, &str)| Incident {
        gravity: Gravity::Warning,
        from,
        to: Some(to),
        title: format!("Gemini failed in {count} round{}", if count == 1 { "" } else { "s" }),
        cause: Some(kind.to_owned()),
        effect: "calls took longer, fell back to keywords or failed".to_owned(),
    };
    episodes.into_iter().map(incident).collect()
}

/// The storm that every hub makes of a client's disconnect: known, and no fault of the build under test.
const KNOWN_STORM: &str = "client disconnected from MCP HUB";

fn storms(history: &History) -> Vec<Incident> {
    let (mut known, mut others) = (None::<(Moment, Moment, u64, u64)>, Vec::new());
    for (line, storm) in &history.storms {
        if line.contains(KNOWN_STORM) {
            let (from, to, lines, bytes) = known.get_or_insert((storm.first, storm.last, 0, 0));
            (*from, *to) = (storm.first.min(*from), storm.last.max(*to));
            *lines += storm.lines;
            *bytes += storm.bytes;
        } else {
            others.push(Incident {
                gravity: Gravity::Warning,
                from: storm.first,
                to: Some(storm.last),
                title: format!("The log repeated one line {} times", storm.lines),
                cause: Some(line.clone()),
                effect: format!("{} kB of log", storm.bytes.div_ceil(1_000)),
            });
        }
    }
    others.extend(known.map(|(from, to, lines, bytes)| Incident {
        gravity: Gravity::Notice,
        from,
        to: Some(to),
        title: format!("Disconnects of clients wrote {lines} repeated lines"),
        cause: Some("a known defect of the hub: its cleanup calls itself when a client leaves".to_owned()),
        effect: format!("{} kB of log; each client is counted once here", bytes.div_ceil(1_000)),
    }));
    others
}

fn blind(history: &History) -> Vec<Incident> {
    let gaps = history.coverage.gaps.iter().map(|gap| Incident {
        gravity: Gravity::Warning,
        from: gap.from,
        to: gap.to,
        title: "Nobody watched".to_owned(),
        cause: Some(gap.reason.clone()),
        effect: "what happened then is known from the log at best".to_owned(),
    });
    let jumps = history.clock_jumps.iter().map(|(at, jump)| Incident {
        gravity: Gravity::Notice,
        from: *at,
        to: Some(*at),
        title: format!("The host's clock jumped by {} s", jump / 1_000_000),
        cause: None,
        effect: "times before and after can't be compared".to_owned(),
    });
    gaps.chain(jumps).collect()
}
