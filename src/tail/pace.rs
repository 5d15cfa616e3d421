//! When to look at the log next.

use std::time::Duration;

/// The least time between two looks: each costs a commit.
pub(super) const GAP: Duration = Duration::from_millis(50);

/// While lines come: soon enough that a person sees them at once, and that little is lost if the file is emptied.
const BUSY: Duration = Duration::from_millis(100);

/// While nothing comes and nobody would tell: a quarter of a second costs 0.05 % of a core.
const UNTOLD: Duration = Duration::from_millis(250);

/// While nothing comes and the file system tells when something does; the look only makes sure.
const TOLD: Duration = Duration::from_secs(1);

/// So long after the last line it is quiet.
const QUIET_AFTER: Duration = Duration::from_secs(2);

/// What has to be known for that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// How long nothing came.
    quiet: Duration,
    /// Lines were found of which nobody had told.
    untold: bool,
}

impl Pace {
    /// After a look, `waited` after the one before.
    pub(super) fn looked(&mut self, moved: bool, waited: Duration) {
        self.quiet = if moved { Duration::ZERO } else { self.quiet.saturating_add(waited) };
    }

    /// Lines came of which no event told.
    pub(super) fn is_not_told(&mut self) {
        self.untold = true;
    }

    /// Whether lines have ceased to come.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet >= QUIET_AFTER
    }

    /// Whether lines came of which no event told: this file system has none.
    pub(super) const fn is_untold(&self) -> bool {
        self.untold
    }

    /// How long to wait if no event comes.
    pub(super) fn wait(&self, told: bool) -> Duration {
        match (self.is_quiet(), told && !self.untold) {
            (false, _) => BUSY,
            (true, false) => UNTOLD,
            (true, true) => TOLD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quick_while_lines_come_and_slow_when_they_cease() {
        let mut pace = Pace::default();
        pace.looked(true, BUSY);
        assert_eq!((pace.wait(true), pace.wait(false)), (BUSY, BUSY));
        for _ in 0..20 {
            pace.looked(false, BUSY);
        }
        assert_eq!((pace.wait(true), pace.wait(false)), (TOLD, UNTOLD));
    }

    #[test]
    fn where_no_event_tells_of_lines_the_looks_stay_frequent() {
        let mut pace = Pace::default();
        pace.is_not_told();
        pace.looked(false, QUIET_AFTER);
        assert!(pace.is_untold());
        assert_eq!(pace.wait(true), UNTOLD);
    }
}
