//! Exit codes.

use std::process::ExitCode;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: promote; or the command succeeded.
    Ok,
    /// 1: a must criterion failed.
    Failed,
    /// 2: usage error: invalid arguments, or an unusable state folder.
    Usage,
    /// 3: no verdict: not enough data.
    NoVerdict,
    /// 4: the hub or the backend is unreachable.
    Unreachable,
    /// 78: invalid configuration.
    Config,
}

impl Exit {
    /// Returns the number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoVerdict => 3,
            Self::Unreachable => 4,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
