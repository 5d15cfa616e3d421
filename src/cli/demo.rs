//! `hubwatch demo`
use super::{CliError, Exit};
use clap::Args;
/// Show it all on a simulated hub
#[derive(Debug, Args)]
pub struct DemoArgs {}
/// Runs it.
pub async fn demo(_args: DemoArgs) -> Result<Exit, CliError> {
    Ok(Exit::Ok)
}
