//! The commands, one file each. Results go to stdout, progress and warnings to stderr.

mod demo;
mod doctor;
mod exit;
mod export;
mod first_process;
mod health;
mod hub_args;
mod instrument;
mod known_hubs;
mod mark;
mod outputs;
mod period_source;
mod report;
mod run;
mod scenario;
mod supervisor;
mod typed_flags;
mod validate;
mod watching;

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::config::effective::GivenFlag;
use crate::config::environment::{Environment, ProcessEnvironment};
use crate::config::{ConfigError, Layers, Sourced, parse};
pub use exit::{CliError, Exit};

/// Watches an MCP Hub in staging, and decides at the end whether the build may be promoted.
#[derive(Debug, Parser)]
#[command(name = "hubwatch", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// The configuration file [default: hubwatch.toml in this folder or /etc/hubwatch/hubwatch.toml, if one exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log more on stderr (-v: each step; -vv: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Log only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// The command
    #[command(subcommand)]
    pub command: Command,
    /// The flags as typed, to name the source of each setting.
    #[arg(skip)]
    flags: Vec<GivenFlag>,
}

impl Cli {
    /// Parses the command line. On a usage error or --help the process ends here.
    pub fn of_process() -> Self {
        let mut command = Self::command();
        let matches = command.get_matches_mut();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.flags = typed_flags::flags(&command, &matches);
        cli
    }

    /// Returns the log level, from the flags or the variable.
    ///
    /// # Errors
    /// The variable has an unknown value.
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

/// The variable for the log level; `-q` and `-v` override it.
const VERBOSITY: &str = "HUBWATCH_VERBOSITY";

/// The log level on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verbosity {
    /// Errors only
    Quiet,
    /// Progress and warnings
    Normal,
    /// Each step
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

/// Whether the environment lets programs use colours (<https://no-color.org>).
pub fn wants_colours() -> bool {
    ProcessEnvironment.get("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a hub
    Run(Box<run::RunArgs>),
    /// Report on a watched period
    Report(report::ReportArgs),
    /// Check a hub and its integrations now, and store the baseline
    Validate(Box<validate::ValidateArgs>),
    /// Act on a hub as its clients do, and judge each step
    Scenario(scenario::ScenarioArgs),
    /// Mark planned maintenance: begin or end
    Mark(mark::MarkArgs),
    /// Diagnose problems of a watch or a report
    Doctor(doctor::DoctorArgs),
    /// Health check for `run --listen`
    Health(health::HealthArgs),
    /// Archive a period as a file
    Export(export::ExportArgs),
    /// Instrument a hub: print what its process loads, or check that it is loaded
    Instrument(instrument::InstrumentArgs),
    /// Run everything on a simulated hub: watch it for 42 s, then report
    Demo(demo::DemoArgs),
}

const EXIT_CODES: &str = "Exit codes:
  0   promote; or the command succeeded
  1   a must criterion failed; scenario: a check failed; health: not ready, or no answer
  2   usage error, or unusable state folder
  3   no verdict: not enough data
  4   hub or backend unreachable
  78  invalid configuration";

/// Runs the command and returns the exit code.
pub async fn execute(cli: Cli) -> Result<Exit, CliError> {
    first_process::take_over(matches!(cli.command, Command::Run(_)));
    let layers = Layers::read(cli.config.as_deref(), ProcessEnvironment)?;
    for name in layers.unknown_variables() {
        tracing::warn!("{name} is not a setting of hubwatch and is ignored (docs/configuration.md lists all settings)");
    }
    match cli.command {
        Command::Run(args) => {
            log_settings(&layers, &cli.flags);
            run::run(*args, &layers).await
        }
        Command::Report(args) => report::report(args, &layers).await,
        Command::Validate(args) => validate::validate(*args, &layers).await,
        Command::Scenario(args) => scenario::scenario(args, cli.color, &layers).await,
        Command::Mark(args) => mark::mark(&args, &layers),
        Command::Doctor(args) => doctor::doctor(args, &layers).await,
        Command::Health(args) => health::health(&args, &layers).await,
        Command::Export(args) => export::export(args, &layers).await,
        Command::Instrument(args) => instrument::instrument(args, &layers).await,
        Command::Demo(args) => demo::demo(args).await,
    }
}

/// Logs the effective settings and their sources.
fn log_settings(layers: &Layers<impl Environment>, flags: &[GivenFlag]) {
    let settings: Vec<String> = layers.effective_settings(flags).iter().map(ToString::to_string).collect();
    let settings = if settings.is_empty() { "none".to_owned() } else { settings.join(", ") };
    tracing::info!("settings that differ from the defaults: {settings}");
}
