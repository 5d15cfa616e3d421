//! The sources of the hub's log lines.

use std::path::{Path, PathBuf};

/// The source of the hub's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// None.
    None,
    /// A file.
    File(PathBuf),
    /// The hub's output, piped into the sidecar.
    Stdin,
    /// A file, and the hub's piped output as well.
    FileAndStdin(PathBuf),
}

impl LogSource {
    /// Returns the file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Some(path),
            Self::None | Self::Stdin => None,
        }
    }

    /// Adds the hub's piped output.
    #[must_use]
    pub fn and_stdin(self) -> Self {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Self::FileAndStdin(path),
            Self::None | Self::Stdin => Self::Stdin,
        }
    }

    /// Returns the source without piped output.
    #[must_use]
    pub fn without_stdin(self) -> Self {
        match self {
            Self::File(path) | Self::FileAndStdin(path) => Self::File(path),
            Self::None | Self::Stdin => Self::None,
        }
    }

    /// Returns whether the hub's output is piped into the sidecar.
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
