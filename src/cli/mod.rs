//! The commands, one file each. Results go to stdout, progress and complaints to stderr.

mod demo;
mod doctor;
mod exit;
mod export;
mod mark;
mod outputs;
mod reading;
mod report;
mod run;
mod validate;
mod watching;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub use exit::{CliError, Exit};

/// Watches an MCP Hub in staging, and says at the end whether the build may be promoted.
#[derive(Debug, Parser)]
#[command(name = "hubwatch", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// The configuration [default: hubwatch.toml of this folder, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more (-v: what is done; -vv: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a hub
    Run(Box<run::RunArgs>),
    /// Report on a period that was watched
    Report(report::ReportArgs),
    /// Check a hub and its integrations now, and keep the baseline
    Validate(Box<validate::ValidateArgs>),
    /// Announce a planned disturbance
    Mark(mark::MarkArgs),
    /// Look for what would keep a watch or a report from working
    Doctor(doctor::DoctorArgs),
    /// Archive a period as a file
    Export(export::ExportArgs),
    /// Show it all on a simulated hub: watch it for 42 s, then report
    Demo(demo::DemoArgs),
}

const EXIT_CODES: &str = "Exit codes:
  0   promote; or the command did what it should
  1   a criterion that must hold failed
  2   used wrongly, or the state folder can't be used
  3   no verdict: not enough data
  4   the hub or the backend can't be reached
  78  the configuration is not valid";

/// Does what was asked; gives back how to exit.
pub async fn execute(cli: Cli) -> Result<Exit, CliError> {
    let layers = crate::config::Layers::read(cli.config.as_deref(), crate::config::environment::ProcessEnvironment)?;
    match cli.command {
        Command::Run(args) => run::run(*args, &layers).await,
        Command::Report(args) => report::report(args, &layers).await,
        Command::Validate(args) => validate::validate(*args, &layers).await,
        Command::Mark(args) => mark::mark(&args, &layers),
        Command::Doctor(args) => doctor::doctor(args, &layers).await,
        Command::Export(args) => export::export(args, &layers).await,
        Command::Demo(args) => demo::demo(args).await,
    }
}
