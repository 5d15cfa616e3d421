//! The way through: arguments → configuration → command → exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use hubwatch::cli::{self, Cli, CliError, Color, Exit, Verbosity};
use hubwatch::config::environment::ProcessEnvironment;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let cli = Cli::of_process();
    let done = match cli.verbosity(&ProcessEnvironment) {
        Ok(verbosity) => {
            listen_to_ourselves(verbosity, cli.color);
            execute(cli)
        }
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("hubwatch: {error}");
            error.exit().into()
        }
    }
}

/// One thread does it all: a sidecar must stay small, and nothing here computes for long.
fn execute(cli: Cli) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
    let exit = runtime.block_on(cli::execute(cli));
    // Nothing that is still running may keep us from exiting; all that matters is committed.
    runtime.shutdown_background();
    exit
}

/// What hubwatch says about itself goes to stderr.
fn listen_to_ourselves(verbosity: Verbosity, color: Color) {
    let (ours, theirs) = match verbosity {
        Verbosity::Quiet => (LevelFilter::ERROR, LevelFilter::ERROR),
        Verbosity::Normal => (LevelFilter::INFO, LevelFilter::WARN),
        Verbosity::Verbose => (LevelFilter::DEBUG, LevelFilter::INFO),
        Verbosity::Debug => (LevelFilter::DEBUG, LevelFilter::DEBUG),
    };
    let colours = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stderr().is_terminal() && cli::wants_colours(),
    };
    let said = Targets::new().with_target("hubwatch", ours).with_default(theirs);
    let written = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    tracing_subscriber::registry().with(written.with_filter(said)).init();
}
