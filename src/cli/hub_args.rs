//! Arguments about a hub that mean the same in several commands.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::config::Layers;
use crate::config::environment::Environment;
use crate::watch::{self, HubName};

/// How to reach a hub that is looked at now.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AccessArgs {
    /// The hub's process id, if it can't be detected
    #[arg(long, value_name = "PID")]
    pub(super) pid: Option<u32>,
    /// A header for every request to the hub, such as 'Authorization: Bearer …'; can be repeated
    #[arg(long, value_name = "HEADER")]
    pub(super) header: Vec<String>,
    /// A PEM file with an additional certificate authority for the hub
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

/// Which watched hub is read, and where its journal is.
#[derive(Debug, Default, Args)]
pub(super) struct WatchedHubArgs {
    /// The hub's name; required if several hubs were watched
    #[arg(long, value_name = "HUB")]
    name: Option<String>,
    /// The hub's environment [default: staging]
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// The state folder of `hubwatch run` [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// A watched hub.
#[derive(Debug)]
pub(super) struct WatchedHub {
    /// Its name; `None` is the only watched hub.
    pub(super) name: Option<HubName>,
    /// Its environment.
    pub(super) environment: watch::Environment,
    /// The state folder.
    pub(super) state_dir: PathBuf,
}

impl WatchedHubArgs {
    /// Completes the arguments by the configuration and the environment; fails on an invalid name.
    pub(super) fn hub(&self, layers: &Layers<impl Environment>) -> Result<WatchedHub, CliError> {
        Ok(WatchedHub {
            name: layers.hub_name(self.name.as_deref())?,
            environment: layers.environment_name(self.environment.as_deref())?,
            state_dir: layers.state_dir(self.state_dir.as_deref()),
        })
    }
}
