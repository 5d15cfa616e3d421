//! `hubwatch doctor`: checks everything that a watch or a report needs, and explains problems.

mod backend;
mod finding;
mod probes;
mod receiver;
mod sources;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::hub_args::AccessArgs;
use super::period_source::{BackendArgs, PeriodArgs};
use super::report::print;
use super::{CliError, Exit};
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use finding::{Finding, Outcome};

/// Diagnose problems of a watch or a report
#[derive(Debug, Args)]
#[command(
    after_help = "Without --backend it checks the sources of a watch: the hub, its log, its process, and what will not be visible.
With --backend it checks if the backend can be read, and if it has Watches of the period. With --otlp as well,
it writes probe traces there and reads them back; they stay in the backend as long as it keeps traces.

Exit codes: 0 no problem, 1 a check failed, 4 the hub or the backend can't be reached.

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
    /// The OTLP receiver of a watch: write probe traces to it, and read them back from the backend
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,
    /// How long to wait for the probes to come back [default: 30s]
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    /// The hub's address [default: the hub on this host]
    #[arg(long, value_name = "URL")]
    pub(super) hub: Option<String>,
    /// The hub's log file
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: AccessArgs,
    /// The hub's name [default: the hub in the state folder]
    #[arg(long, value_name = "HUB")]
    pub(super) name: Option<String>,
    /// The hub's environment [default: staging]
    #[arg(long, value_name = "ENV")]
    pub(super) environment: Option<String>,
    /// The state folder of `hubwatch run` [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// The format of the result
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

/// The formats of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table for people
    Text,
    /// An object for scripts
    Json,
}

/// Runs the checks and prints the findings.
pub(super) async fn doctor(args: DoctorArgs, layers: &Layers<impl Environment + Clone>) -> Result<Exit, CliError> {
    let findings = match args.backend.chosen(layers)? {
        Some(chosen) => {
            let wait = args.wait.clone().map(|value| Sourced { value, source: "--wait".to_owned() });
            let wait = wait.map_or(Ok(probes::DEFAULT_WAIT), |wait| config::parse(wait, config::duration))?;
            backend::examine(&args, &chosen, wait, layers).await?
        }
        None => {
            let mut findings = sources::examine(&args, layers).await?;
            findings.extend(receiver::examine(layers).await);
            findings
        }
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
