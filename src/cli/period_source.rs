//! Shared by all commands that read a period: the backend, the hub and the progress bar.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use super::known_hubs::{self, Known};
use crate::backend::embedded::Embedded;
use crate::backend::{self, Backend, BackendError};
use crate::config::backend::{BackendFlags, Chosen};
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use crate::journal::JournalReader;
use crate::watch::{HubName, Micros, Timestamp};

/// The default period, which is the strategy's.
pub(super) const DEFAULT_PERIOD: Duration = Duration::from_secs(48 * 3600);

/// The backend and how to connect to it.
#[derive(Debug, Default, Args)]
pub(super) struct BackendArgs {
    #[arg(long, value_name = "KIND=TARGET", help = backend_help())]
    backend: Option<String>,
    /// A header for every request to the backend, such as 'X-Scope-OrgID: staging'; can be repeated
    #[arg(long, value_name = "HEADER")]
    backend_header: Vec<String>,
    /// A PEM file with an additional certificate authority for the backend
    #[arg(long, value_name = "FILE")]
    backend_ca: Option<PathBuf>,
}

/// The kinds of backends are known by their rows.
fn backend_help() -> String {
    format!("The backend to read: {} [default: the state folder]", backend::forms())
}

impl BackendArgs {
    /// Returns the configured backend; `None` is the journal.
    pub(super) fn chosen(&self, layers: &Layers<impl Environment>) -> Result<Option<Chosen>, CliError> {
        let flags = BackendFlags { backend: self.backend.as_deref(), headers: &self.backend_header, ca: self.backend_ca.as_ref() };
        Ok(layers.backend(&flags)?)
    }
}

/// The period on the command line.
#[derive(Debug, Default, Args)]
pub(super) struct PeriodArgs {
    /// How far to look back, such as 24h [default: 48h]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    since: Option<String>,
    /// The start of the period, such as 2026-11-21T06:00:00Z
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// The end of the period, such as 2026-11-23T06:00:00Z [default: now]
    #[arg(long, value_name = "INSTANT", requires = "from")]
    to: Option<String>,
}

/// The period to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    /// Its start.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// True if the user set the start. Otherwise a report on a watch younger than the default period begins with the watch.
    pub is_asked: bool,
}

impl PeriodArgs {
    /// Returns the period of the command line.
    pub(super) fn period(&self) -> Result<Period, CliError> {
        let now = Timestamp::now();
        let instant = |flag: &str, text: &str| {
            let help = "not a time; try 2026-11-21T06:00:00Z";
            let picked = Sourced { value: text.to_owned(), source: flag.to_owned() };
            config::parse(picked, |text| Timestamp::parse(text).ok_or(help))
        };
        if let Some(from) = &self.from {
            let from = instant("--from", from)?;
            let to = self.to.as_deref().map_or(Ok(now), |to| instant("--to", to))?;
            if from >= to {
                return Err(CliError::Usage(format!("--from {from} must be before --to {to}")));
            }
            return Ok(Period { from, to, is_asked: true });
        }
        let since = self.since.as_ref().map(|since| Sourced { value: since.clone(), source: "--since".to_owned() });
        let is_asked = since.is_some();
        let since = since.map_or(Ok(DEFAULT_PERIOD), |since| config::parse(since, config::duration))?;
        Ok(Period { from: now.minus(Micros::from_duration(since)), to: now, is_asked })
    }
}

/// An open backend and the hub to read.
#[derive(Debug)]
pub(super) struct Source {
    /// The backend.
    pub backend: Box<dyn Backend>,
    /// The hub.
    pub hub: HubName,
    /// The folder of the hub's baseline.
    pub state_dir: PathBuf,
    /// True if the watch is running. `None` for backends that don't know it before reading: only the journal does.
    pub running: Option<bool>,
}

/// Opens the backend. The journal knows the watched hubs; for other backends the name is required.
pub(super) fn open(
    chosen: Option<&Chosen>,
    state_dir: &Path,
    name: Option<HubName>,
    environment: &crate::watch::Environment,
) -> Result<Source, CliError> {
    let Some(chosen) = chosen else {
        let Known { hub, state_dir, .. } = known_hubs::watched(state_dir, name, Some(environment))?;
        let reader = JournalReader::open(&state_dir).map_err(BackendError::from)?;
        let running = Some(reader.is_running());
        return Ok(Source { backend: Box::new(Embedded::new(reader)), hub, state_dir, running });
    };
    let hub = name.ok_or_else(|| {
        let problem = "the backend can't list hubs: set --name to the name that `hubwatch run` used";
        CliError::Usage(problem.to_owned())
    })?;
    let state_dir = config::watched_state(state_dir.to_owned(), Some(&hub));
    Ok(Source { backend: chosen.open()?, hub, state_dir, running: None })
}

/// Creates a progress bar on stderr, which is hidden if stderr is not a terminal.
pub(super) fn progress(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}
