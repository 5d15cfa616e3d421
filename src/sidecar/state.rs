//! The state of the sources and of the sidecar itself at the end of an interval.

use serde::{Deserialize, Serialize};

use super::Sidecar;
use super::assemble::Closing;
use super::intake::Standing;
use crate::export;
use crate::journal::{CreatedAgain, JournalError};
use crate::process::OwnUse;
use crate::receive::Totals;
use crate::watch::{Bytes, Count, JournalCreatedAgain, Micros, SidecarPoll, Sources, Text, Timestamp, Visibility, When};

/// Data lost or read late since the last Watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lost {
    pub lines_cut: u64,
    pub bad_utf8: u64,
    pub bytes: u64,
    pub unreadable_answers: u64,
    #[serde(default)]
    pub parse_failures: u64,
    #[serde(default)]
    pub lag: Option<Micros>,
}

/// Totals of all senders since their start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    sent: u64,
    rejected: u64,
}

impl Sent {
    fn with(self, standing: export::SenderStatus) -> Self {
        Self { sent: self.sent + standing.sent, rejected: self.rejected + standing.rejected }
    }
}

impl Sidecar {
    /// Adds the journal's size, the queue, and the sidecar's own resource usage.
    pub(super) async fn describe_itself(&mut self, own: &mut SidecarPoll, now: Timestamp) -> Result<(), JournalError> {
        let Some(process) = &mut self.own else { return Ok(()) };
        if let Some(OwnUse { rss, rss_peak, cpu_time }) = process.read() {
            own.rss = Some(rss);
            own.rss_peak = rss_peak;
            own.cpu_time = Some(cpu_time);
        }
        let stats = self.journal.stats().await?;
        own.unsent = Count::new(stats.unsent);
        own.oldest_unsent = stats.oldest_unsent;
        own.journal = stats.size;
        own.dropped = stats.dropped.since(&self.dropped);
        self.dropped = stats.dropped;
        self.note_created_again(stats.created_again, now);
        Ok(())
    }

    /// The journal was lost, and created again.
    pub(super) fn note_created_again(&mut self, created_again: Vec<CreatedAgain>, now: Timestamp) {
        for CreatedAgain { folder, loss } in created_again {
            let (path, reason) = (Text::new(folder.to_string_lossy()), Text::new(loss.to_string()));
            self.assembler.interpreter.notice(When::At(now), JournalCreatedAgain { path, reason });
        }
    }

    /// Returns how far each source was read, and what was lost and sent since the last Watch.
    pub(super) fn closing(&mut self) -> Closing {
        let lost = std::mem::take(&mut self.lost);
        let now = self.tally.read().fold(Sent::default(), Sent::with);
        let before = std::mem::replace(&mut self.reported, now);
        let mut totals = Totals::default();
        if let Some((counters, before)) = &mut self.receiver {
            let now = counters.read();
            totals = Totals { received: now.received.since(&before.received), refused: now.refused.since(&before.refused) };
            *before = now;
        }
        let piped = self.pipe.as_ref();
        let log_read_to = self.log.as_ref().map_or(piped.and_then(|pipe| pipe.reading.reached), |log| log.reading.reached);
        Closing {
            sources: Sources {
                polls: Visibility::Partial,
                log: self.log_visibility(),
                log_shape: None,
                log_read_to,
                log_behind: self.log.as_ref().map(|log| Bytes::new(log.behind)),
                event_stream: match (self.stream.standing, std::mem::take(&mut self.stream.gap)) {
                    (Standing::Off, false) => Visibility::Off,
                    (Standing::Joined, false) => Visibility::Read,
                    (Standing::Joined | Standing::Off, true) => Visibility::Partial,
                    (Standing::Broken, _) => Visibility::Missing,
                },
                checkpoints: None,
                process: if self.looks_at_process { Visibility::Partial } else { Visibility::Off },
                instrumentation: None,
            },
            sidecar: SidecarPoll {
                lines_cut: Count::new(lost.lines_cut),
                bad_utf8: Count::new(lost.bad_utf8),
                bytes_lost: Bytes::new(lost.bytes),
                unreadable_answers: Count::new(lost.unreadable_answers),
                rejected: Count::new(now.rejected.saturating_sub(before.rejected)),
                sent: self.tally.read().next().map(|_| Count::new(now.sent.saturating_sub(before.sent))),
                parse_failures: Some(Count::new(lost.parse_failures)),
                lag: lost.lag,
                received: totals.received,
                refused: totals.refused,
                ..SidecarPoll::default()
            },
        }
    }

    fn log_visibility(&self) -> Visibility {
        match (&self.log, &self.pipe) {
            (Some(log), _) if !log.present => Visibility::Missing,
            (Some(log), _) if log.behind > 0 => Visibility::Partial,
            (Some(_), _) => Visibility::Read,
            (None, Some(pipe)) if pipe.ended => Visibility::Partial,
            (None, Some(_)) => Visibility::Read,
            (None, None) => Visibility::Off,
        }
    }
}
