//! What the commands that read a period have in common: from where, of which hub, and how far it has got.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use super::naming::{self, Known};
use crate::backend::embedded::Embedded;
use crate::backend::{Backend, BackendError};
use crate::config::backend::{BackendFlags, Chosen};
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use crate::journal::JournalReader;
use crate::watch::{HubName, Micros, Timestamp};

/// How much of the past is read unless told otherwise: the strategy's period.
pub const DEFAULT_PERIOD: Duration = Duration::from_secs(48 * 3600);

/// From which backend, and how it is reached.
#[derive(Debug, Default, Args)]
pub struct BackendArgs {
    /// Read from there: jaeger=URL (or a `hubwatch run --listen`), tempo=URL, file=PATH [default: the state folder]
    #[arg(long, value_name = "KIND=TARGET")]
    backend: Option<String>,
    /// A header for every request to the backend, such as 'X-Scope-OrgID: staging'
    #[arg(long, value_name = "HEADER")]
    backend_header: Vec<String>,
    /// A certificate authority that the backend's certificate may come from
    #[arg(long, value_name = "FILE")]
    backend_ca: Option<PathBuf>,
}

impl BackendArgs {
    /// The backend that was chosen; none is the journal.
    pub fn chosen(&self, layers: &Layers<impl Environment>) -> Result<Option<Chosen>, CliError> {
        let flags = BackendFlags { backend: self.backend.as_deref(), headers: &self.backend_header, ca: self.backend_ca.as_ref() };
        Ok(layers.backend(&flags)?)
    }
}

/// Which part of the past.
#[derive(Debug, Default, Args)]
pub struct PeriodArgs {
    /// How far to look back [default: 48h]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    since: Option<String>,
    /// The period's start, such as 2026-11-21T06:00:00Z
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// The period's end [default: now]
    #[arg(long, value_name = "INSTANT", requires = "from")]
    to: Option<String>,
}

/// The period to read.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// From when.
    pub from: Timestamp,
    /// To when.
    pub to: Timestamp,
    /// Whether somebody said from when. A report on the usual period of a young watch begins with the watch.
    pub is_asked: bool,
}

impl PeriodArgs {
    /// The period that was asked for.
    pub fn period(&self) -> Result<Period, CliError> {
        let now = Timestamp::now();
        let instant = |flag: &str, text: &str| {
            let help = "it is no instant; write one like 2026-11-21T06:00:00Z";
            let picked = Sourced { value: text.to_owned(), source: flag.to_owned() };
            config::parse(picked, |text| Timestamp::parse(text).ok_or(help))
        };
        if let Some(from) = &self.from {
            let from = instant("--from", from)?;
            let to = self.to.as_deref().map_or(Ok(now), |to| instant("--to", to))?;
            if from >= to {
                return Err(CliError::Usage(format!("--from {from} is not before --to {to}")));
            }
            return Ok(Period { from, to, is_asked: true });
        }
        let since = self.since.as_ref().map(|since| Sourced { value: since.clone(), source: "--since".to_owned() });
        let is_asked = since.is_some();
        let since = since.map_or(Ok(DEFAULT_PERIOD), |since| config::parse(since, config::duration))?;
        Ok(Period { from: now.minus(Micros::from_duration(since)), to: now, is_asked })
    }
}

/// A backend, ready to be read, and the hub to read of.
#[derive(Debug)]
pub struct Source {
    /// The backend.
    pub backend: Box<dyn Backend>,
    /// The hub.
    pub hub: HubName,
    /// Where the hub's baseline is.
    pub state_dir: PathBuf,
    /// Whether the watch goes on, where that is known without reading: it is for the journal.
    pub running: Option<bool>,
}

/// Opens what was chosen. The journal knows which hubs were watched; other backends have to be told which one.
pub fn open(
    chosen: Option<&Chosen>,
    state_dir: &Path,
    name: Option<HubName>,
    environment: &crate::watch::Environment,
) -> Result<Source, CliError> {
    let Some(chosen) = chosen else {
        let Known { hub, state_dir, .. } = naming::watched(state_dir, name, Some(environment))?;
        let reader = JournalReader::open(&state_dir).map_err(BackendError::from)?;
        let running = Some(reader.is_running());
        return Ok(Source { backend: Box::new(Embedded::new(reader)), hub, state_dir, running });
    };
    let hub = name.ok_or_else(|| {
        let problem = "a backend is asked for the traces of one hub: say which with --name (what `hubwatch run` was told)";
        CliError::Usage(problem.to_owned())
    })?;
    let state_dir = config::watched_state(state_dir.to_owned(), Some(&hub));
    Ok(Source { backend: chosen.open()?, hub, state_dir, running: None })
}

/// A bar on stderr; none where stderr is no terminal.
pub fn progress(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}
