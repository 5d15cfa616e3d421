//! Where the hub's lines are read.

use std::path::{Path, PathBuf};

/// Where the hub's log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// Nowhere.
    None,
    /// In a file.
    File(PathBuf),
    /// What the hub writes is piped into the sidecar.
    Stdin,
    /// In a file, with what the hub writes piped into the sidecar as well.
    FileAndStdin(PathBuf),
}

impl LogSource {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Some(path),
            Self::None | Self::Stdin => None,
        }
    }

    /// The hub's output is piped into the sidecar, too.
    #[must_use]
    pub fn and_stdin(self) -> Self {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Self::FileAndStdin(path),
            Self::None | Self::Stdin => Self::Stdin,
        }
    }

    /// Without what is piped into the sidecar.
    #[must_use]
    pub fn without_stdin(self) -> Self {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Self::File(path),
            Self::None | Self::Stdin => Self::None,
        }
    }

    /// Whether the hub's output is piped into the sidecar.
    pub const fn is_piped(&self) -> bool {
        matches!(self, Self::Stdin | Self::FileAndStdin(_))
    }
}

impl std::fmt::Display for LogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("stdin"),
            Self::FileAndStdin(path) => write!(f, "{} and stdin", path.display()),
        }
    }
}
