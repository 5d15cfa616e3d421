//! `hubwatch instrument check`: whether a running hub has loaded the instrumentation.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{MODULE, setting};
use crate::base::secret;
use crate::cli::hub_args::AccessArgs;
use crate::cli::report::print;
use crate::cli::{CliError, Exit, run};
use crate::config::environment::{self, Environment};
use crate::config::{Layers, Sourced};
use crate::hub::discover;
use crate::process::preloads::Start;
use crate::process::{self, ApiProcess};
use crate::watch::names;

/// Where the module sends if nothing else is set.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4318";

/// Check that a running hub has loaded it
#[derive(Debug, Args)]
#[command(
    after_help = "It reads how the hub's process was started, which requires the same host and PID namespace, and the same user or root.

Exit codes: 0 loaded; 1 not loaded; 3 it can't be told; 4 no hub answers.

Examples:
  hubwatch instrument check                                # the hub of this host
  hubwatch instrument check --hub http://127.0.0.1:7000 --format json
  hubwatch instrument check --pid 4711                     # without asking the hub's API"
)]
pub(super) struct CheckArgs {
    /// The hub's address [default: the hub on this host]
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// The format of the result
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

/// The formats of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Sentences for people
    Text,
    /// An object for scripts
    Json,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Found {
    /// The hub loads this program's module.
    Loaded(Loaded),
    /// The hub loads the module in another version.
    OtherVersion(Loaded),
    /// The hub does not load it.
    NotLoaded { pid: u32, bun: bool },
    /// The process can't be seen.
    Unknown { reason: String },
    /// There is no hub.
    NoHub { reason: String },
}

/// How the module was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Loaded {
    pid: u32,
    file: PathBuf,
    /// Where it sends, without credentials.
    endpoint: String,
    /// The file that switches faults on, if they are allowed.
    fault_file: Option<String>,
}

impl Found {
    fn exit(&self) -> Exit {
        match self {
            Self::Loaded(_) | Self::OtherVersion(_) => Exit::Ok,
            Self::NotLoaded { .. } => Exit::Failed,
            Self::Unknown { .. } => Exit::NoVerdict,
            Self::NoHub { .. } => Exit::Unreachable,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Loaded(loaded) => format!("loaded: {}\n", loaded.text()),
            Self::OtherVersion(loaded) => format!(
                "loaded in another version: {}\n→ write this program's version with `hubwatch instrument node --out {}`, and start the hub anew\n",
                loaded.text(),
                loaded.file.display()
            ),
            Self::NotLoaded { pid, bun } => format!(
                "not loaded: the hub (PID {pid}) was started without it\n→ hubwatch instrument node --out hubwatch.mjs\n→ start the hub with {}\n",
                line(*bun)
            ),
            Self::Unknown { reason } => format!("unknown: {reason}\n"),
            Self::NoHub { reason } => format!("no hub: {reason}\n"),
        }
    }
}

impl Loaded {
    fn text(&self) -> String {
        let faults = self.fault_file.as_ref().map_or(String::new(), |file| format!("; faults are allowed while {file} exists"));
        format!("the hub (PID {}) loads {} and sends to {}{faults}", self.pid, self.file.display(), self.endpoint)
    }
}

/// Returns the line that loads the module.
fn line(bun: bool) -> String {
    setting(bun, &std::path::absolute("hubwatch.mjs").unwrap_or_else(|_| PathBuf::from("hubwatch.mjs")))
}

/// Finds the hub, reads how it was started, and prints what was found.
pub(super) async fn check(args: &CheckArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let found = match process_of(args, layers).await? {
        Ok(pid) => found(pid),
        Err(found) => found,
    };
    print(&match args.format {
        Form::Text => found.text(),
        Form::Json => format!("{}\n", serde_json::to_string_pretty(&found).unwrap_or_default()),
    })?;
    Ok(found.exit())
}

/// Returns the PID of the hub's process.
async fn process_of(args: &CheckArgs, layers: &Layers<impl Environment>) -> Result<Result<u32, Found>, CliError> {
    let file = layers.file.hub();
    if let Some(pid) = args.access.pid {
        let gone = || Found::NoHub { reason: format!("no process has PID {pid}") };
        return Ok(process::is_alive(pid).then_some(pid).ok_or_else(gone));
    }
    let named = layers.pick(("--hub", args.hub.as_deref()), "HUBWATCH_HUB", ("hub.url", file.url.as_deref()));
    let hub = match named {
        Some(hub) => hub,
        None => match discover::hub_of_this_host(&environment::state_home(layers.environment()), process::is_alive) {
            Ok(value) => Sourced { value, source: "the hub of this host".to_owned() },
            Err(none) => return Ok(Err(Found::NoHub { reason: none.to_string() })),
        },
    };
    let url = hub.value.clone();
    let ca = args.access.ca.as_deref().or(file.ca.as_deref());
    let client = run::client(hub, &layers.hub_headers(&args.access.header)?, ca)?;
    let (health, _) = client.health().await;
    let shown = secret::without_credentials(&url);
    if let Err(outcome) = &health {
        return Ok(Err(Found::NoHub { reason: format!("{shown} does not answer as a hub: {outcome}") }));
    }
    let Some(mut source) = run::process_source(run::seen(None, file, &url)) else {
        return Ok(Err(Found::Unknown { reason: format!("the hub {shown} runs on another host: run this command there") }));
    };
    let hidden = || Found::Unknown {
        reason: format!("the process of the hub {shown} is not visible: share its PID namespace, or give its PID with --pid"),
    };
    Ok(source(ApiProcess::of(&health)).map(|seen| seen.poll.pid).ok_or_else(hidden))
}

/// Reads how the hub's process was started.
fn found(pid: u32) -> Found {
    let start = match Start::of(pid) {
        Ok(start) => start,
        Err(error) => {
            let reason =
                format!("can't read how the hub (PID {pid}) was started: {error}; run this command as its user or as root");
            return Found::Unknown { reason };
        }
    };
    let mut unreadable = None;
    for file in start.preloads() {
        match start.text_of(&file) {
            Ok(text) if text == MODULE => return Found::Loaded(loaded(pid, &start, file)),
            // The name under which each version sends.
            Ok(text) if text.contains(names::INSTRUMENTATION_SCOPE) => return Found::OtherVersion(loaded(pid, &start, file)),
            Ok(_) => {}
            Err(error) => unreadable = Some((file, error)),
        }
    }
    match unreadable {
        Some((file, error)) => {
            Found::Unknown { reason: format!("can't read {}, which the hub (PID {pid}) loads: {error}", file.display()) }
        }
        None => Found::NotLoaded { pid, bun: start.is_bun() },
    }
}

fn loaded(pid: u32, start: &Start, file: PathBuf) -> Loaded {
    let endpoint = start.variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| start.variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let allowed = start.variable("HUBWATCH_ALLOW_FAULTS") == Some("1");
    let fault_file = allowed.then(|| start.variable("HUBWATCH_FAULT_FILE")).flatten().map(str::to_owned);
    Loaded { pid, file, endpoint: secret::without_credentials(endpoint.unwrap_or(DEFAULT_ENDPOINT)), fault_file }
}
