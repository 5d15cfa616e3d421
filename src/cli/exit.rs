//! How hubwatch ends: the exit codes, and the one mapping of errors to them.

use std::process::ExitCode;

use crate::alert::AlertsError;
use crate::backend::BackendError;
use crate::config::ConfigError;
use crate::export::SpawnError;
use crate::hub::client::ClientError;
use crate::hub::discover::DiscoverError;
use crate::journal::JournalError;
use crate::report::RenderError;
use crate::serve::ServeError;

/// What the exit code says to the script that called us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: promote; or the command did what it should.
    Ok,
    /// 1: a criterion that must hold failed.
    Failed,
    /// 2: used wrongly, or it can't be done as asked here: wrong arguments, a state folder that can't be used.
    Usage,
    /// 3: no verdict: not enough data.
    NoVerdict,
    /// 4: the hub or the backend can't be reached.
    Unreachable,
    /// 78: the configuration is not valid.
    Config,
}

impl Exit {
    /// The number.
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

/// Anything that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The hub's address, headers or certificate.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No hub was named and none was found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The state folder.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The destinations.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The address to listen on.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The targets of alerts.
    #[error(transparent)]
    Alerts(#[from] AlertsError),
    /// The templates.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A file that can't be written.
    #[error("can't write {path}: {reason}")]
    Output {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// Something else was asked for wrongly.
    #[error("{0}")]
    Usage(String),
    /// The runtime or the demo's own parts could not be set up.
    #[error("can't start: {0}")]
    Start(std::io::Error),
}

impl CliError {
    /// The exit code that tells what kind of error it is.
    pub fn exit(&self) -> Exit {
        match self {
            // What was typed is used wrongly; what was written down is configured wrongly.
            Self::Config(ConfigError::Value { setting, .. }) if setting.starts_with("--") => Exit::Usage,
            Self::Config(_) | Self::Client(_) | Self::Alerts(_) => Exit::Config,
            Self::Backend(BackendError::Settings(_)) => Exit::Config,
            Self::Backend(_) => Exit::Unreachable,
            Self::Discover(_)
            | Self::Spawn(_)
            | Self::Journal(_)
            | Self::Serve(_)
            | Self::Render(_)
            | Self::Output { .. }
            | Self::Usage(_)
            | Self::Start(_) => Exit::Usage,
        }
    }
}
