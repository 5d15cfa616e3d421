//! The mapping of errors to exit codes.

use crate::alert::AlertsError;
use crate::backend::BackendError;
pub use crate::base::exit::Exit;
use crate::config::ConfigError;
use crate::export::SpawnError;
use crate::hub::client::ClientError;
use crate::hub::discover::DiscoverError;
use crate::journal::JournalError;
use crate::receive::ReceiveError;
use crate::report::RenderError;
use crate::serve::ServeError;

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The hub's address, headers or certificate are invalid.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No hub is configured, and none was found on this host.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The state folder is unusable.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A destination is unusable.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The server can't listen on its address.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The OTLP receiver can't listen on its address.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// A receiver of alerts is unusable.
    #[error(transparent)]
    Alerts(#[from] AlertsError),
    /// A template failed.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A file can't be written.
    #[error("can't write {path}: {reason}")]
    Output {
        /// The file.
        path: std::path::PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The arguments are invalid.
    #[error("{0}")]
    Usage(String),
    /// The runtime or the parts of the demo could not be set up.
    #[error("can't start: {0}")]
    Start(std::io::Error),
}

impl CliError {
    /// Returns the exit code of this error.
    pub fn exit(&self) -> Exit {
        match self {
            // An invalid flag is a usage error; an invalid variable or file is a configuration error.
            Self::Config(ConfigError::Value { setting, .. }) if setting.starts_with("--") => Exit::Usage,
            Self::Config(_) | Self::Client(_) | Self::Alerts(_) => Exit::Config,
            Self::Backend(BackendError::Settings(_)) => Exit::Config,
            Self::Backend(_) => Exit::Unreachable,
            Self::Discover(_)
            | Self::Spawn(_)
            | Self::Journal(_)
            | Self::Serve(_)
            | Self::Receive(_)
            | Self::Render(_)
            | Self::Output { .. }
            | Self::Usage(_)
            | Self::Start(_) => Exit::Usage,
        }
    }
}
