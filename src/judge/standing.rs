//! How a server stands: whether it works, and if not, whether it should. One word and one colour for it, wherever it is shown.

use super::history::LivenessStretch;
use crate::watch::{ChangeCause, Liveness, terms};

terms! {
    /// How a server stands.
    pub enum Standing {
        /// It works.
        Up = "up",
        /// It does not work, and should.
        Down = "down",
        /// It does not work, and the configuration says that it need not.
        Expected = "expected",
        /// It does not work because somebody stopped it.
        Stopped = "stopped",
        /// It is being started.
        Starting = "starting",
        /// It waits for somebody's authorisation.
        Unauthorized = "unauthorized",
        /// Somebody switched it off.
        Disabled = "disabled",
        /// The hub's configuration no longer has it.
        Removed = "removed",
        /// Nothing at hand says.
        Unknown = "unknown",
    }
}

impl Standing {
    /// How a server stands that is so, and that should work or need not; `cause` is what brought it there, where that is known.
    pub const fn of(liveness: Liveness, should_work: bool, cause: Option<ChangeCause>) -> Self {
        match (liveness, should_work) {
            (Liveness::Up, _) => Self::Up,
            (Liveness::Unknown, _) => Self::Unknown,
            (Liveness::Disabled, _) => Self::Disabled,
            (Liveness::Removed, _) => Self::Removed,
            (Liveness::Down | Liveness::Starting | Liveness::Unauthorized, false) => Self::Expected,
            (Liveness::Down, true) => match cause {
                Some(ChangeCause::Requested | ChangeCause::Configured) => Self::Stopped,
                Some(ChangeCause::Unprompted | ChangeCause::Hub | ChangeCause::Unknown) | None => Self::Down,
            },
            (Liveness::Starting, true) => Self::Starting,
            (Liveness::Unauthorized, true) => Self::Unauthorized,
        }
    }

    /// How a server that should work, or need not, stood in a stretch of its timeline.
    pub fn of_stretch(stretch: &LivenessStretch, should_work: bool) -> Self {
        Self::of(stretch.liveness, should_work, stretch.counts_as.cause())
    }

    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expected => "down, as expected",
            Self::Stopped => "stopped on request",
            other => other.as_str(),
        }
    }

    /// The class that gives it its colour on pages and in charts.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Expected | Self::Stopped | Self::Disabled | Self::Removed => "expected",
            Self::Starting | Self::Unauthorized => "between",
            Self::Unknown => "unknown",
        }
    }

    /// The character that it is in a chart of characters.
    pub const fn mark(self) -> char {
        match self {
            Self::Up => '▁',
            Self::Down => '█',
            Self::Expected | Self::Stopped | Self::Disabled => '░',
            Self::Starting | Self::Unauthorized => '▄',
            Self::Removed | Self::Unknown => '·',
        }
    }

    /// Which of several in one place of a chart is shown: the worst.
    pub const fn gravity(self) -> u8 {
        match self {
            Self::Removed | Self::Unknown => 0,
            Self::Up => 1,
            Self::Expected | Self::Stopped | Self::Disabled => 2,
            Self::Starting | Self::Unauthorized => 3,
            Self::Down => 4,
        }
    }
}

/// What nothing is known of yet.
impl Default for Standing {
    fn default() -> Self {
        Self::Unknown
    }
}
