//! The commands, one file each. Results go to stdout, progress and complaints to stderr.

mod demo;
mod doctor;
mod exit;
mod export;
mod first_process;
mod given;
mod health;
mod mark;
mod naming;
mod outputs;
mod reading;
mod report;
mod run;
mod supervisor;
mod validate;
mod watching;

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::config::environment::{Environment, ProcessEnvironment};
use crate::config::origin::GivenFlag;
use crate::config::{ConfigError, Layers, Sourced, parse};
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
    /// The flags as they were typed, for telling where a setting came from.
    #[arg(skip)]
    flags: Vec<GivenFlag>,
}

impl Cli {
    /// Reads the command line; where that is wrong or asks for help, the process ends here.
    pub fn of_process() -> Self {
        let mut command = Self::command();
        let matches = command.get_matches_mut();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.flags = given::flags(&command, &matches);
        cli
    }

    /// How much is said: as the flags want it, or the variable.
    ///
    /// # Errors
    /// The variable has another value than those that it can have.
    pub fn verbosity(&self, environment: &impl Environment) -> Result<Verbosity, ConfigError> {
        match (self.quiet, self.verbose) {
            (true, _) => Ok(Verbosity::Quiet),
            (false, 1) => Ok(Verbosity::Verbose),
            (false, 2..) => Ok(Verbosity::Debug),
            (false, 0) => match environment.get(VERBOSITY) {
                Some(value) => parse(Sourced { value, source: VERBOSITY.to_owned() }, |text| Verbosity::from_str(text, false)),
                None => Ok(Verbosity::Normal),
            },
        }
    }
}

/// The variable beside `-q` and `-v`.
const VERBOSITY: &str = "HUBWATCH_VERBOSITY";

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verbosity {
    /// Only what went wrong
    Quiet,
    /// What people want to know
    Normal,
    /// What is done
    Verbose,
    /// Everything
    Debug,
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
    /// Ask a watch that listens whether it is well: for a container's health check
    Health(health::HealthArgs),
    /// Archive a period as a file
    Export(export::ExportArgs),
    /// Show it all on a simulated hub: watch it for 42 s, then report
    Demo(demo::DemoArgs),
}

const EXIT_CODES: &str = "Exit codes:
  0   promote; or the command did what it should
  1   a criterion that must hold failed; of health: the watch is not ready, or nobody answers
  2   used wrongly, or the state folder can't be used
  3   no verdict: not enough data
  4   the hub or the backend can't be reached
  78  the configuration is not valid";

/// Does what was asked; gives back how to exit.
pub async fn execute(cli: Cli) -> Result<Exit, CliError> {
    first_process::take_over(matches!(cli.command, Command::Run(_)));
    let layers = Layers::read(cli.config.as_deref(), ProcessEnvironment)?;
    for name in layers.strangers() {
        tracing::warn!("{name} is no setting of hubwatch; it is left alone (docs/configuration.md lists all)");
    }
    match cli.command {
        Command::Run(args) => {
            tell_origins(&layers, &cli.flags);
            run::run(*args, &layers).await
        }
        Command::Report(args) => report::report(args, &layers).await,
        Command::Validate(args) => validate::validate(*args, &layers).await,
        Command::Mark(args) => mark::mark(&args, &layers),
        Command::Doctor(args) => doctor::doctor(args, &layers).await,
        Command::Health(args) => health::health(&args, &layers).await,
        Command::Export(args) => export::export(args, &layers).await,
        Command::Demo(args) => demo::demo(args).await,
    }
}

/// A run begins with where its settings came from.
fn tell_origins(layers: &Layers<impl Environment>, flags: &[GivenFlag]) {
    let origins: Vec<String> = layers.origins(flags).iter().map(ToString::to_string).collect();
    let told = if origins.is_empty() { "nothing is set".to_owned() } else { origins.join(", ") };
    tracing::info!("configured: {told}; the rest is as by default");
}
