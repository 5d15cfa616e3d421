//! `hubwatch instrument`: the instrumentation that a hub's process loads, and whether it does.

mod check;
mod node;

use std::path::Path;

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

/// Returns the setting of the environment that loads the module.
fn setting(bun: bool, module: &Path) -> String {
    let file = module.display().to_string();
    match (bun, file.contains(' ')) {
        (false, false) => format!("NODE_OPTIONS=\"--import {file}\""),
        (false, true) => format!("NODE_OPTIONS='--import \"{file}\"'"),
        (true, false) => format!("BUN_OPTIONS=\"--preload={file}\""),
        (true, true) => "BUN_OPTIONS=\"--preload=FILE\" with a path without spaces, which Bun requires".to_owned(),
    }
}
