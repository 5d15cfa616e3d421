//! Decides how long to wait before the next look at the log.

use std::time::Duration;

/// Minimum time between two looks: each costs a commit.
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// While lines come: short enough that people see them at once, and that little is lost if the file is truncated.
const BUSY_INTERVAL: Duration = Duration::from_millis(100);

/// While no lines come and there are no file events: 250 ms costs 0.05 % of a core.
const IDLE_INTERVAL: Duration = Duration::from_millis(250);

/// While no lines come and file events work; the look is only a safety net.
const IDLE_INTERVAL_WITH_EVENTS: Duration = Duration::from_secs(1);

/// The log counts as quiet this long after the last line.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// Chooses the interval from how the log behaved so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PollInterval {
    /// Time since the last line.
    quiet: Duration,
    /// True once lines came without a file event.
    events_missing: bool,
}

impl PollInterval {
    /// Records a look, `waited` after the one before.
    pub(super) fn looked(&mut self, moved: bool, waited: Duration) {
        self.quiet = if moved { Duration::ZERO } else { self.quiet.saturating_add(waited) };
    }

    /// Records that lines came without a file event.
    pub(super) fn mark_events_missing(&mut self) {
        self.events_missing = true;
    }

    /// Returns whether no line came for [`QUIET_AFTER`].
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet >= QUIET_AFTER
    }

    /// Returns whether lines came without a file event: this file system sends none.
    pub(super) const fn are_events_missing(&self) -> bool {
        self.events_missing
    }

    /// Returns how long to wait if no event comes.
    pub(super) fn wait(&self, with_events: bool) -> Duration {
        match (self.is_quiet(), with_events && !self.events_missing) {
            (false, _) => BUSY_INTERVAL,
            (true, false) => IDLE_INTERVAL,
            (true, true) => IDLE_INTERVAL_WITH_EVENTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_short_while_lines_come_and_long_when_the_log_is_quiet() {
        let mut interval = PollInterval::default();
        interval.looked(true, BUSY_INTERVAL);
        assert_eq!((interval.wait(true), interval.wait(false)), (BUSY_INTERVAL, BUSY_INTERVAL));
        for _ in 0..20 {
            interval.looked(false, BUSY_INTERVAL);
        }
        assert_eq!((interval.wait(true), interval.wait(false)), (IDLE_INTERVAL_WITH_EVENTS, IDLE_INTERVAL));
    }

    #[test]
    fn without_file_events_the_interval_stays_short() {
        let mut interval = PollInterval::default();
        interval.mark_events_missing();
        interval.looked(false, QUIET_AFTER);
        assert!(interval.are_events_missing());
        assert_eq!(interval.wait(true), IDLE_INTERVAL);
    }
}
