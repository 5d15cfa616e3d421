//! `hubwatch mark`: announces a disturbance, so that what it does is not held against the build.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CliError, Exit};
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use crate::sidecar::marks::{self, Edge, Mark};
use crate::watch::{HubName, Timestamp};

/// Announce a planned disturbance: it counts for the degradation criteria, and not against stability
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch mark begin server_crash && pkill -9 -f server-filesystem
  hubwatch mark end server_crash
  hubwatch mark begin 'database upgrade' --at 2026-11-21T06:00:00Z     # told afterwards

It works whether `hubwatch run` is running or not. A disturbance that is not ended counts as planned for four hours.")]
pub struct MarkArgs {
    /// Whether it begins or is over
    edge: EdgeArg,
    /// What it is called
    disturbance: String,
    /// When, if not now
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
    /// Which hub, if more than one is watched
    #[arg(long, value_name = "HUB")]
    name: Option<String>,
    /// The state folder of `hubwatch run` [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// The edges of a disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EdgeArg {
    /// It begins
    Begin,
    /// It is over
    End,
}

/// Lays the mark where the sidecar takes it up.
pub fn mark(args: &MarkArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let typed = |setting: &str, value: &str| Sourced { value: value.to_owned(), source: setting.to_owned() };
    // A mark's name keeps to what a hub's name keeps to: not empty, short, and nothing that would break a report.
    let disturbance = config::parse(typed("--disturbance", &args.disturbance), HubName::parse)?;
    let at = match &args.at {
        None => Timestamp::now(),
        Some(at) => config::parse(typed("--at", at), |text| {
            Timestamp::parse(text).ok_or("it is no instant; write one like 2026-11-21T06:00:00Z")
        })?,
    };
    let hub = layers.hub_name(args.name.as_deref())?;
    let state_dir = config::watched_state(layers.state_dir(args.state_dir.as_deref()), hub.as_ref());
    if !state_dir.join(crate::journal::FILE_NAME).exists() {
        let several = if state_dir.join("hubs").is_dir() {
            "more than one hub is watched: say which with --name"
        } else {
            "no watch was ever here: give the --state-dir of `hubwatch run`"
        };
        return Err(CliError::Usage(format!("{}: {several}", state_dir.display())));
    }
    let edge = match args.edge {
        EdgeArg::Begin => Edge::Begin,
        EdgeArg::End => Edge::End,
    };
    let mark = Mark { at, edge, name: disturbance.to_string() };
    marks::lay(&state_dir, &mark).map_err(|reason| CliError::Output { path: state_dir, reason })?;
    let word = if edge == Edge::Begin { "begins" } else { "ends" };
    super::report::print(&format!("{disturbance} {word} at {at}\n"))?;
    Ok(Exit::Ok)
}
