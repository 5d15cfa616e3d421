//! `hubwatch instrument`: the instrumentation that a hub's process loads, and whether it does.

mod check;
mod node;

use clap::{Args, Subcommand};

use super::{CliError, Exit};
use crate::config::Layers;
use crate::config::environment::Environment;

/// The module that a hub's process loads.
const MODULE: &str = include_str!("../../../instrument/node/hubwatch.mjs");

/// Instrument a hub: print what its process loads, or check that it is loaded
#[derive(Debug, Args)]
pub struct InstrumentArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the module that a hub under Node or Bun loads, or write it to a file
    Node(node::NodeArgs),
    /// Check that a running hub has loaded it
    Check(check::CheckArgs),
}

/// Runs the command.
pub(super) async fn instrument(args: InstrumentArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    match args.what {
        What::Node(args) => node::node(&args),
        What::Check(args) => check::check(&args, layers).await,
    }
}

/// Quotes a path for a shell and for the variable inside of it, if it needs that.
fn quoted(path: &std::path::Path) -> String {
    let path = path.to_string_lossy();
    if path.contains(' ') { format!("\\\"{path}\\\"") } else { path.into_owned() }
}
