//! How often things happen at the hub when no scenario acts on it, by what a watch has kept.

use super::target::Target;
use crate::journal::JournalReader;
use crate::watch::{CallFact, Decoded, FactKind, Micros, SessionFact, Timestamp, Watch, spans_of_request};

/// The period that is looked at: a day has the users' own rhythm in it.
const LOOKED_BACK: Micros = Micros::new(24 * 3600 * 1_000_000);

/// With less of it watched, a rate says nothing about a day.
pub(super) const LEAST_WATCHED: Micros = Micros::new(3600 * 1_000_000);

/// Watches read at a time: those of an hour.
const BATCH: usize = 256;

/// What clients of scenarios are called.
pub(super) const OWN_CLIENTS: &str = "hubwatch-";

/// What happened in the time that was watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// How long it was watched.
    pub watched: Micros,
    /// Requests to the API: those of the watch itself; those of others leave no trace.
    pub requests: u64,
    /// Clients that connected.
    pub sessions: u64,
    /// Calls of the meta-tool.
    pub calls: u64,
    /// Clients that disconnected.
    pub disconnects: u64,
}

impl Observed {
    /// Reads the last day.
    ///
    /// # Errors
    /// Why it can't be known, in words for people.
    pub(super) fn of(target: &Target) -> Result<Self, String> {
        let unreadable = |error: crate::journal::JournalError| error.to_string();
        let reader = JournalReader::open(&target.state_dir).map_err(unreadable)?;
        let since = Timestamp::now().minus(LOOKED_BACK);
        let mut observed = Self::default();
        let mut place = reader.first_watch(&target.name, &target.environment, since).map_err(unreadable)?;
        while let Some(first) = place {
            let rows = reader.watches_from(&target.name, &target.environment, first, BATCH).map_err(unreadable)?;
            place = rows.last().filter(|_| rows.len() == BATCH).map(|last| last.id + 1);
            let mut decoded = Decoded::default();
            for row in &rows {
                // One that can't be read is none of the watched time.
                let _ = spans_of_request(&row.otlp, |span| decoded.take(&span));
            }
            for watch in &decoded.watches {
                observed.add(watch);
            }
        }
        Ok(observed)
    }

    fn add(&mut self, watch: &Watch) {
        self.watched = Micros::new(self.watched.get().saturating_add(watch.interval.end().since(watch.interval.start()).get()));
        // A poll asks for health and servers.
        self.requests += if watch.poll.is_some() { 2 } else { 0 };
        for fact in &watch.facts {
            match &fact.kind {
                FactKind::Session(SessionFact::ClientConnected(client)) => self.sessions += others(client.client.as_str()),
                FactKind::Session(SessionFact::ClientDisconnected(client)) => self.disconnects += others(client.client.as_str()),
                FactKind::Call(CallFact::CallEnded(_)) => self.calls += 1,
                FactKind::Session(
                    SessionFact::SessionOpened(_) | SessionFact::ExposureChanged(_) | SessionFact::SessionClosed(_),
                )
                | FactKind::Call(CallFact::GeminiRoundFailed(_))
                | FactKind::Hub(_)
                | FactKind::Server(_)
                | FactKind::Tool(_)
                | FactKind::Llm(_)
                | FactKind::Log(_)
                | FactKind::Watcher(_)
                | FactKind::Scenario(_) => {}
            }
        }
    }

    /// So many of this in the watched time as a number a day.
    pub(super) fn a_day(&self, count: u64) -> u64 {
        const DAY: u128 = 24 * 3600 * 1_000_000;
        u64::try_from(u128::from(count) * DAY / u128::from(self.watched.get().max(1))).unwrap_or(u64::MAX)
    }
}

fn others(client: &str) -> u64 {
    u64::from(!client.starts_with(OWN_CLIENTS))
}
