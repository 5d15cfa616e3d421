//! What the sidecar had to drop, by what it was and why.

use super::counts::Counts;
use super::record::terms;

terms! {
    /// What can be dropped, in the order in which it goes.
    pub enum DroppedKind {
        /// Records that destinations permanently rejected.
        DeadLetters = "dead_letters",
        /// Log records that waited for a destination; one that two destinations lacked counts twice.
        Logs = "logs",
        /// Warnings and errors that are kept for people who look into the journal.
        NotableLines = "notable_lines",
        /// Metrics that waited for a destination.
        Metrics = "metrics",
        /// Spans that others sent by OTLP and that waited for a destination; one that two destinations lacked counts twice.
        ReceivedSpans = "received_spans",
        /// Spans of meta-tool calls.
        Calls = "calls",
        /// Watches.
        Watches = "watches",
    }
}

terms! {
    /// Why something is dropped.
    pub enum DropReason {
        /// The journal reached its size.
        Size = "size",
        /// It was older than anything is kept.
        Age = "age",
        /// The disk had less free space than is left to others.
        Reserve = "reserve",
        /// The disk was full.
        DiskFull = "disk_full",
    }
}

/// Counts of what was dropped.
pub type Drops = Counts<DroppedKind, DropReason>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_before_and_what_came_since_is_the_whole(before: Drops, more: Drops) {
            let mut whole = before.clone();
            whole.extend(&more);
            let mut again = before.clone();
            again.extend(&whole.since(&before));
            prop_assert_eq!(again, whole);
        }
    }
}
