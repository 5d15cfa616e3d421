//! Counts what was accepted and refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::Signal;
use crate::watch::{Carrier, Count, Received, ReceivedKind, Refusal, Refused};

/// The totals since the receiver started; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<Totals>>);

/// What was accepted and refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accepted records.
    pub received: Received,
    /// Refused records and requests.
    pub refused: Refused,
}

impl Counters {
    /// Returns the present totals.
    pub fn read(&self) -> Totals {
        self.totals().clone()
    }

    /// Counts accepted records.
    pub(super) fn accept(&self, signal: Signal, carrier: Carrier, records: u64) {
        self.totals().received.add(kind_of(signal), carrier, Count::new(records));
    }

    /// Counts refused records.
    pub(super) fn refuse_records(&self, signal: Signal, reason: Refusal, records: u64) {
        self.totals().refused.add(kind_of(signal), reason, Count::new(records));
    }

    /// Counts a request that was refused as a whole, or a connection.
    pub(super) fn refuse(&self, reason: Refusal) {
        self.totals().refused.add(ReceivedKind::Requests, reason, Count::new(1));
    }

    /// Locks the totals. They are valid even after a panic elsewhere.
    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what the records of a signal are.
pub(super) const fn kind_of(signal: Signal) -> ReceivedKind {
    match signal {
        Signal::Traces => ReceivedKind::Spans,
        Signal::Metrics => ReceivedKind::MetricPoints,
        Signal::Logs => ReceivedKind::LogRecords,
    }
}
