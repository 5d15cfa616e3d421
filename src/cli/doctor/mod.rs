//! `hubwatch doctor`: looks at everything that a watch or a report would need, and says in words what is wrong.

mod backend;
mod finding;
mod probes;
mod sources;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::period_source::{BackendArgs, PeriodArgs};
use super::report::print;
use super::{CliError, Exit};
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use finding::{Finding, Outcome};

/// Look for what would keep a watch or a report from working
#[derive(Debug, Args)]
#[command(
    after_help = "Without --backend the sources of a watch are looked at: the hub, its log, its process, and what stays invisible.
With --backend it is looked at how a backend can be read, and whether it has Watches of the period. Only with --otlp, too,
probe traces are written there and read back: they stay in the backend as long as it keeps traces.

Exit codes: 0 nothing is wrong, 1 something is, 4 the hub or the backend can't be reached.

Examples:
  hubwatch doctor                                     # the hub of this host, or all of the configuration
  hubwatch doctor --hub http://127.0.0.1:7000 --log ~/.local/state/mcp-hub/logs/mcp-hub.log
  hubwatch doctor --backend jaeger=http://jaeger:16686 --otlp http://collector:4318
  hubwatch doctor --backend file=staging.jsonl.zst --name hub-a --from 2026-11-21T06:00:00Z
  hubwatch doctor --backend tempo=http://tempo:3200 --backend-header 'X-Scope-OrgID: staging' --format json"
)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub(super) backend: BackendArgs,
    #[command(flatten)]
    pub(super) period: PeriodArgs,
    /// Write probe traces there, by OTLP, and read them back: where a watch sends its telemetry
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,
    /// How long to wait for the probes to come back [default: 30s]
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    /// The hub's address [default: the hub that runs here]
    #[arg(long, value_name = "URL")]
    pub(super) hub: Option<String>,
    /// The hub's log file
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// The hub's process id, where it can't be found out
    #[arg(long, value_name = "PID")]
    pub(super) pid: Option<u32>,
    /// A header for every request to the hub
    #[arg(long, value_name = "HEADER")]
    pub(super) header: Vec<String>,
    /// A certificate authority that the hub's certificate may come from
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Whose traces the backend should have [default: those of the state folder]
    #[arg(long, value_name = "HUB")]
    pub(super) name: Option<String>,
    /// Where that hub runs [default: staging]
    #[arg(long, value_name = "ENV")]
    pub(super) environment: Option<String>,
    /// The state folder of `hubwatch run` [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// How to tell what was found
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

/// How the result is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table for people
    Text,
    /// An object for scripts
    Json,
}

/// Looks, tells, and ends with what it found.
pub(super) async fn doctor(args: DoctorArgs, layers: &Layers<impl Environment + Clone>) -> Result<Exit, CliError> {
    let findings = match args.backend.chosen(layers)? {
        Some(chosen) => {
            let wait = args.wait.clone().map(|value| Sourced { value, source: "--wait".to_owned() });
            let wait = wait.map_or(Ok(probes::DEFAULT_WAIT), |wait| config::parse(wait, config::duration))?;
            backend::examine(&args, &chosen, wait, layers).await?
        }
        None => sources::examine(&args, layers).await?,
    };
    print(&match args.format {
        Form::Text => finding::table(&findings),
        Form::Json => finding::json(&findings),
    })?;
    Ok(exit(&findings))
}

fn exit(findings: &[Finding]) -> Exit {
    let is = |outcome| findings.iter().any(|finding| finding.outcome == outcome);
    if is(Outcome::Unreachable) {
        Exit::Unreachable
    } else if is(Outcome::Wrong) {
        Exit::Failed
    } else {
        Exit::Ok
    }
}
