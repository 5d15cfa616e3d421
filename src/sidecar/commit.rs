//! Collects data and commits it in one transaction, together with the read position and the state that belong to it. Reading
//! continues meanwhile.

use std::collections::BTreeMap;

use prost::Message as _;
use prost::bytes::Bytes;
use tokio::task::JoinHandle;

use super::assemble::Finished;
use super::{Sidecar, checkpoint};
use crate::export::{Delivery, LogFastPath};
use crate::hub::call_trace;
use crate::hub::interpret::Interpreted;
use crate::journal::{
    Commit, Journal, JournalError, LogRows, MetricRows, MinuteRow, NotCommitted, NotableRow, SpanRow, SpanRowKind,
};
use crate::tail::State;
use crate::watch::{
    Count, DropReason, DroppedKind, Drops, Level, LogRequest, MetricsRequests, Micros, SpanId, Text, Timestamp, request_of,
};

/// The longest time until data is committed. Two fsyncs a second cost little. After a crash, half a second of the log is read
/// again; a line that is sent twice is the same record.
pub(super) const COMMIT_INTERVAL: Micros = Micros::new(500_000);

/// Maximum bytes of the log between two commits: it limits the memory, and what is read again after a crash.
const COMMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Maximum rows (warnings, errors and minutes) in one commit.
const COMMIT_ROWS: usize = 1_000;

/// Maximum size of log lines for slow destinations in one commit.
const COMMIT_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Limits of the memory while the disk is full: log lines for slow destinations, in bytes …
const UNCOMMITTED_BYTES: usize = COMMIT_KEPT_BYTES;

/// … metrics, in requests (those of an hour) …
const UNCOMMITTED_METRICS: usize = 240;

/// … and Watches (two hours at a poll every 15 s, about 2 MB).
const UNCOMMITTED_SPANS: usize = 500;

/// The data for the next commit.
#[derive(Debug, Default)]
pub(super) struct Pending {
    minutes: BTreeMap<(u64, &'static str), (u64, u64)>,
    notable: Vec<NotableRow>,
    pub(super) spans: Vec<SpanRow>,
    pub(super) metrics: Vec<MetricRows>,
    kept: Vec<LogRows>,
    dropped: Drops,
    /// The last observations of received requests that were merged.
    pub(super) consumed: Option<i64>,
    /// Bytes of the log that were read for it.
    pub(super) bytes: u64,
}

/// Requests and the commit that are under way.
#[derive(Debug)]
pub(super) struct Dispatch {
    journal: Journal,
    logs: Option<LogFastPath>,
    deliveries: Vec<Delivery>,
    /// The buffer of a delivered request, for reuse.
    spare: Option<Bytes>,
    committing: Option<Committing>,
    last_commit: Timestamp,
    /// The number of the log's generations in the journal.
    known: Option<u64>,
    /// True if the last finished commit failed.
    fails: bool,
}

#[derive(Debug)]
struct Committing {
    task: JoinHandle<Result<(), NotCommitted>>,
    generations: Option<u64>,
}

impl Pending {
    /// Counts the line in its minute, and keeps warnings and errors.
    pub(super) fn keep(&mut self, said: &Interpreted<'_>, size: u64) {
        let minute = said.when.latest().get() / 60_000_000;
        let level = said.level.map_or("none", Level::as_str);
        let (lines, bytes) = self.minutes.entry((minute, level)).or_default();
        *lines += 1;
        *bytes += size;
        self.bytes += size;
        if let (Some(level @ (Level::Warn | Level::Error)), false) = (said.level, said.collapsed) {
            self.notable.push(NotableRow { time: said.when.latest(), level, text: Text::new(&*said.text) });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.minutes.is_empty() && self.spans.is_empty() && self.kept.is_empty()
    }

    /// Returns whether it is so large that it must be committed.
    pub(super) fn is_due(&self) -> bool {
        self.bytes >= COMMIT_BYTES
            || self.notable.len() + self.minutes.len() >= COMMIT_ROWS
            || self.kept.iter().map(|rows| rows.otlp.len()).sum::<usize>() >= COMMIT_KEPT_BYTES
    }

    /// Adds the data of a failed commit.
    fn restore(&mut self, commit: Commit) {
        let newer = std::mem::replace(&mut self.spans, commit.spans);
        self.spans.extend(newer);
        let newer = std::mem::replace(&mut self.kept, commit.logs);
        self.kept.extend(newer);
        let newer = std::mem::replace(&mut self.notable, commit.notable);
        self.notable.extend(newer);
        let newer = std::mem::replace(&mut self.metrics, commit.metrics);
        self.metrics.extend(newer);
        self.dropped.extend(&commit.dropped);
        self.consumed = self.consumed.max(commit.consumed);
        self.bound();
        for MinuteRow { minute, level, lines, bytes } in commit.minutes {
            let level = Level::parse(&level).map_or("none", Level::as_str);
            let total = self.minutes.entry((minute, level)).or_default();
            *total = (total.0 + lines, total.1 + bytes);
        }
    }

    /// Limits the memory while commits fail: drops and counts the oldest data, and Watches last. Log lines are still in the log.
    fn bound(&mut self) {
        let mut drop = |what, records: u64| {
            if records > 0 {
                self.dropped.add(what, DropReason::DiskFull, Count::new(records));
            }
        };
        let mut bytes = 0;
        let over = |rows: &LogRows| {
            bytes += rows.otlp.len();
            bytes > UNCOMMITTED_BYTES
        };
        let first = self.kept.iter().rposition(over).map_or(0, |index| index + 1);
        let lost = self.kept.drain(..first).map(|rows| u64::from(rows.records) * rows.destinations.len() as u64);
        drop(DroppedKind::Logs, lost.sum());
        drop(DroppedKind::NotableLines, self.notable.drain(..self.notable.len().saturating_sub(COMMIT_ROWS)).count() as u64);
        drop(DroppedKind::Metrics, self.metrics.drain(..self.metrics.len().saturating_sub(UNCOMMITTED_METRICS)).count() as u64);
        drop(DroppedKind::Watches, self.spans.drain(..self.spans.len().saturating_sub(UNCOMMITTED_SPANS)).count() as u64);
    }

    fn into_commit(self, checkpoint: Vec<u8>) -> Commit {
        let minutes = self.minutes.into_iter();
        let row = |((minute, level), (lines, bytes)): ((u64, &str), (u64, u64))| MinuteRow {
            minute,
            level: level.to_owned(),
            lines,
            bytes,
        };
        Commit {
            spans: self.spans,
            logs: self.kept,
            metrics: self.metrics,
            minutes: minutes.map(row).collect(),
            notable: self.notable,
            dropped: self.dropped,
            checkpoint: Some(checkpoint),
            consumed: self.consumed,
        }
    }
}

impl Dispatch {
    pub(super) fn new(journal: Journal, logs: Option<LogFastPath>, known: Option<u64>, now: Timestamp) -> Self {
        Self { journal, logs, deliveries: Vec::new(), spare: None, committing: None, last_commit: now, known, fails: false }
    }

    /// Returns whether the log has generations that are not in the journal yet.
    pub(super) fn has_new(&self, generations: u64) -> bool {
        self.known != Some(generations)
    }

    /// Returns whether a commit is due.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.last_commit) >= COMMIT_INTERVAL
    }

    /// Sends a request; returns the log lines of earlier requests that must be kept.
    async fn send(&mut self, request: LogRequest) -> Vec<LogRows> {
        let Some(logs) = &self.logs else { return Vec::new() };
        self.deliveries.push(logs.send(request).await);
        let mut kept = Vec::new();
        let (settled, under_way) = std::mem::take(&mut self.deliveries).into_iter().partition(Delivery::is_settled);
        self.deliveries = under_way;
        for delivery in settled {
            let settled = delivery.settle().await;
            kept.extend(settled.kept);
            self.spare = Some(settled.otlp);
        }
        kept
    }
}

impl Sidecar {
    /// Adds finished Watches and their metrics to the next commit.
    pub(super) fn keep(&mut self, finished: Vec<Finished>) {
        for Finished { watch, otlp, metrics } in finished {
            let kind = SpanRowKind::Watch {
                hub: watch.origin.hub.clone(),
                environment: watch.origin.environment.clone(),
                slot: watch.slot(),
                part: watch.origin.part,
                run: watch.origin.run,
                sequence: watch.origin.sequence,
            };
            let (start, end) = (watch.interval.start(), watch.interval.end());
            let (trace_id, span_id) = (watch.trace_id(), watch.origin.span_id());
            self.pending.spans.push(SpanRow { trace_id, span_id, kind, start, end, otlp });
            if let Some(MetricsRequests { cumulative, .. }) = &metrics {
                self.measured = Some(cumulative.clone());
            }
            self.pending.metrics.extend(metrics.map(|MetricsRequests { cumulative, delta }| MetricRows {
                time: end,
                cumulative: cumulative.encode_to_vec(),
                delta: Some(delta.encode_to_vec()),
            }));
        }
    }

    fn keep_calls(&mut self) {
        let model = self.assembler.interpreter.model().map(str::to_owned);
        for call in self.assembler.interpreter.ended_calls() {
            let (started, end) = (call.fact.started, call.ended);
            for span in call_trace::spans(&call, model.as_deref()) {
                let Some(span_id) = SpanId::from_slice(&span.span_id) else { continue };
                let otlp = request_of(self.assembler.origin(), vec![span]).encode_to_vec();
                let kind = SpanRowKind::Call;
                self.pending.spans.push(SpanRow { trace_id: call.fact.trace, span_id, kind, start: started, end, otlp });
            }
        }
    }

    /// Sends the collected records.
    pub(super) async fn send_records(&mut self) {
        let Some(request) = self.records.take(self.out.spare.take()) else { return };
        let kept = self.out.send(request).await;
        self.pending.kept.extend(kept);
    }

    /// Commits the beginning of a new generation of the log before any of its records is sent: after a crash, its lines must get
    /// the same ids, and those of later generations others. Its first records go through the journal.
    pub(super) async fn commit_generation(&mut self, now: Timestamp) -> Result<(), JournalError> {
        if let (Some(request), Some(logs)) = (self.records.take(None), &self.out.logs) {
            self.pending.kept.push(logs.keep(&request));
        }
        self.commit(now).await?;
        self.finish_commit().await
    }

    /// Commits the data in one transaction, together with the read position and the state that belong to it. Waits for the
    /// acknowledgement of sent records within their timeout; those that lack it are kept in the same transaction.
    pub(super) async fn commit(&mut self, now: Timestamp) -> Result<(), JournalError> {
        self.send_records().await;
        self.finish_commit().await?;
        self.keep_calls();
        let position = self.position();
        let generations = position.files.as_ref().map(State::generations);
        let checkpoint = checkpoint::write(&position, &self.assembler).map_err(JournalError::checkpoint)?;
        let mut commit = std::mem::take(&mut self.pending).into_commit(checkpoint);
        let deliveries = std::mem::take(&mut self.out.deliveries);
        let journal = self.out.journal.clone();
        let task = tokio::spawn(async move {
            for delivery in deliveries {
                commit.logs.extend(delivery.settle().await.kept);
            }
            journal.commit(commit).await
        });
        self.out.committing = Some(Committing { task, generations });
        self.out.last_commit = now;
        Ok(())
    }

    /// Returns whether the last finished commit failed, so that data is in memory only.
    pub fn keeps_nothing(&self) -> bool {
        self.out.fails
    }

    /// Waits for the commit under way. If it fails, its data is part of the next one.
    pub async fn finish_commit(&mut self) -> Result<(), JournalError> {
        let Some(Committing { task, generations }) = self.out.committing.take() else { return Ok(()) };
        let committed = task.await;
        self.out.fails = !matches!(committed, Ok(Ok(())));
        match committed {
            Ok(Ok(())) => {
                self.out.known = generations.or(self.out.known);
                Ok(())
            }
            Ok(Err(NotCommitted { error, commit })) => {
                self.pending.restore(*commit);
                Err(error)
            }
            // Otherwise the task has panicked, or the runtime has ended.
            Err(_) => Err(JournalError::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_commit_would_have_consumed_is_consumed_by_the_next_one() {
        let mut pending = Pending { consumed: Some(3), ..Pending::default() };
        let failed = std::mem::take(&mut pending).into_commit(Vec::new());
        pending.restore(failed);
        assert_eq!(pending.consumed, Some(3));
        let failed = std::mem::take(&mut pending).into_commit(Vec::new());
        pending.consumed = Some(5);
        pending.restore(failed);
        assert_eq!(pending.into_commit(Vec::new()).consumed, Some(5));
    }
}
