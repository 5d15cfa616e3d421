//! `hubwatch validate`: the strategy's phase 1 on one screen. It watches the hub for a few seconds, as `run` does, and stores the result
//! as the baseline T+0.

mod checks;
mod log_end;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::checks::{checks, cpu};
use self::text::text;
use super::hub_args::AccessArgs;
use super::run::{self, RunArgs};
use super::watching::{self, Plan};
use super::{CliError, Exit, report};
use crate::backend::BackendError;
use crate::backend::embedded::Embedded;
use crate::backend::period::{self, Wanted};
use crate::config::environment::Environment;
use crate::config::{self, Joining, Layers, Sourced};
use crate::journal::JournalReader;
use crate::judge;
use crate::judge::moment::Moment;
use crate::judge::verdict::Verdict;
use crate::live::vitals::Vitals;
use crate::report::{Baseline, baseline, blind};
use crate::tail::Begin;
use crate::watch::{ApiOutcome, Liveness, LogShape, Poll, Sight, Timestamp, Watch};

/// The default duration: a few polls more than it takes to distinguish a dead server from one that has just started.
const LOOK: &str = "6s";

/// The polling interval: the third poll comes later than a new start takes, even if answers are slow.
const INTERVAL: Duration = Duration::from_millis(1_200);

/// The shortest duration: three polls.
const SHORTEST: Duration = Duration::from_secs(3);

/// Check the hub and its integrations now (phase 1), and keep the baseline T+0
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch validate                                  # the hub that runs here
  hubwatch validate --hub http://127.0.0.1:7000 --log ~/.local/state/mcp-hub/logs/mcp-hub.log
  hubwatch validate --hub http://127.0.0.1:7000 --name hub-a --rebaseline    # after an upgrade: a new baseline of hub-a
  hubwatch validate --format json | jq .verdict

Exit codes: 0 all checks passed (warnings are listed), 1 a check failed, 3 the state of a server is not known yet (use a longer --for),
4 the hub can't be reached.
The first validation is kept as the baseline that reports compare with, by the hub's name; --rebaseline takes a new one.
Without --name the hub has the name by which `hubwatch run` watches this address, or else its address.")]
pub struct ValidateArgs {
    /// The hub's address [default: the hub that runs here]
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    /// The hub's log file [default, for a hub that runs here: where it writes it]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// What the report calls the hub [default: the name by which this address is watched, else the address]
    #[arg(long, value_name = "HUB")]
    name: Option<String>,
    /// Where the hub runs [default: staging]
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// The state folder: the baseline is kept there [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
    /// How long to look
    #[arg(long = "for", value_name = "TIME", default_value = LOOK)]
    length: String,
    /// Take a new baseline even if there is one
    #[arg(long)]
    rebaseline: bool,
    /// In which form
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Form,
}

/// The forms of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs: a line
    Json,
}

/// One check.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    check: String,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    /// True if an inconclusive result means that there is no verdict.
    #[serde(skip)]
    must: bool,
}

/// The result.
#[derive(Debug, Serialize)]
struct Validation {
    hub: String,
    environment: String,
    at: Moment,
    verdict: Verdict,
    checks: Vec<Check>,
    /// What a report on such a watch can't show, and why.
    not_visible: Vec<String>,
    baseline: Option<Baseline>,
    baseline_stored: bool,
    /// The time of an existing baseline, which is kept without `--rebaseline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier_baseline: Option<Moment>,
    /// Why the file of baselines can't be read. It is left unchanged without `--rebaseline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable_baseline: Option<String>,
}

/// Watches the hub for a few seconds and prints the result.
pub(super) async fn validate(args: ValidateArgs, layers: &Layers<impl Environment + Clone>) -> Result<Exit, CliError> {
    let (form, rebaseline) = (args.format, args.rebaseline);
    let length = config::parse(Sourced { value: args.length.clone(), source: "--for".to_owned() }, |text| {
        config::duration(text).and_then(|length| if length >= SHORTEST { Ok(length) } else { Err("it is less than 3s".to_owned()) })
    })?;
    let expected = expected(layers);
    let plan = run::the_one(run::plans(&args.into(), layers)?)?;
    let (hub, environment, state_dir) = (plan.name.clone(), plan.environment.clone(), plan.state_dir.clone());
    let log = plan.log.file().map(Path::to_owned);
    let begun = Timestamp::now();
    let folder = Scratch::new().map_err(CliError::Start)?;
    watching::watch(look(plan, folder.path(), length)).await?;
    let wanted = Wanted { hub: hub.clone(), environment: environment.clone(), from: begun, to: Timestamp::now() };
    let backend = Embedded::new(JournalReader::open(folder.path()).map_err(BackendError::from)?);
    let (watches, _) = period::read(&backend, &wanted, Vec::new, Vec::push, judge::interleave, |_, _| ()).await?;
    let polls: Vec<(&Watch, &Poll)> = watches.iter().filter_map(|watch| Some((watch, watch.poll.as_ref()?))).collect();
    let answered = polls.iter().any(|(_, poll)| poll.api.health == ApiOutcome::Ok);
    let checks = checks(&polls, &expected, log.as_deref());
    let not_visible = if answered { blind_spots(&watches, log.as_deref()) } else { Vec::new() };
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    let undecided = checks.iter().any(|check| check.must && check.verdict == Verdict::Inconclusive);
    let baseline = polls.last().filter(|_| answered).map(|(watch, poll)| measured(watch, poll, &polls));
    let known = baseline::taken_at(&state_dir, &hub, &environment);
    let store = baseline.as_ref().filter(|_| rebaseline || known == Ok(None));
    if let Some(baseline) = store {
        baseline::store(&state_dir, &hub, &environment, baseline)
            .map_err(|reason| CliError::Output { path: state_dir.join(baseline::FILE_NAME), reason })?;
    }
    let worst = checks.iter().map(|check| check.verdict).max_by_key(|verdict| crate::judge::verdict::weight(*verdict));
    let validation = Validation {
        hub: hub.to_string(),
        environment: environment.to_string(),
        at: Moment(Timestamp::now()),
        verdict: if failed { Verdict::Fail } else { worst.unwrap_or(Verdict::Inconclusive) },
        baseline_stored: store.is_some(),
        earlier_baseline: known.as_ref().ok().copied().flatten().filter(|_| !rebaseline).map(Moment),
        unreadable_baseline: known.err().filter(|_| !rebaseline),
        checks,
        not_visible,
        baseline,
    };
    report::print(&match form {
        Form::Text => text(&validation, &state_dir),
        // A line, which a job adds to those before. A struct of strings and numbers always has a JSON form.
        Form::Json => serde_json::to_string(&validation).unwrap_or_default() + "\n",
    })?;
    // Warnings don't fail, and only some checks may prevent a verdict.
    let decisive = match (failed, undecided) {
        (true, _) => Verdict::Fail,
        (false, true) => Verdict::Inconclusive,
        (false, false) => Verdict::Pass,
    };
    Ok(if answered { crate::report::exit(decisive) } else { Exit::Unreachable })
}

impl From<ValidateArgs> for RunArgs {
    fn from(args: ValidateArgs) -> Self {
        let ValidateArgs { hub, log, name, environment, state_dir, access, .. } = args;
        Self { hub, log, name, environment, state_dir, access, ..Self::default() }
    }
}

/// Returns the expected states by server.
fn expected(layers: &Layers<impl Environment>) -> BTreeMap<String, Vec<String>> {
    layers.file.servers.iter().map(|(name, server)| (name.clone(), server.expected.clone())).collect()
}

/// Changes the plan so that nothing is exported, nothing is written to the journal of the state folder, and stdin is not read.
fn look(plan: Plan, folder: &Path, length: Duration) -> Plan {
    Plan {
        log: plan.log.without_stdin(),
        begin: Begin::End,
        event_stream: Joining::Never,
        state_dir: folder.to_owned(),
        receive: None,
        destinations: Vec::new(),
        interval: INTERVAL,
        vitals: Vitals::default(),
        length: Some(length),
        ..plan
    }
}

/// A temporary folder, deleted when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let name = format!("hubwatch-validate-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If this fails, the system's own cleaning of temporary files deletes it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Creates a check.
fn check(name: impl Into<String>, verdict: Verdict, found: impl Into<String>, expected: Option<String>) -> Check {
    Check { check: name.into(), verdict, found: found.into(), expected, must: false }
}

/// Returns what the available sources can't show. A log may have no new line within a few seconds: its last lines show its shape.
fn blind_spots(watches: &[Watch], log: Option<&Path>) -> Vec<String> {
    let shape = log.and_then(log_end::shape_at_end);
    let mut sight = Sight::default();
    for watch in watches {
        let mut watch = watch.clone();
        let sources = &mut watch.sources;
        sources.log_shape = sources.log_shape.or(shape);
        sources.checkpoints = sources.checkpoints.or(shape.map(|shape| shape != LogShape::LegacyFile));
        sight.add(&watch);
    }
    blind::unseen(&sight)
}

/// Returns the baseline.
fn measured(watch: &Watch, poll: &Poll, polls: &[(&Watch, &Poll)]) -> Baseline {
    let answers: Vec<u64> = polls.iter().map(|(_, poll)| poll.api.health_duration.get()).collect();
    Baseline {
        at: Moment(watch.interval.end()),
        origin: "hubwatch validate".to_owned(),
        cpu_permille: cpu(polls),
        rss_bytes: poll.process.as_ref().map(|process| process.rss.get()),
        api_us: answers.iter().sum::<u64>().checked_div(answers.len() as u64),
        mcp_clients: poll.api.mcp_clients.map(u64::from),
        tools: poll.api.tools.map(u64::from),
        servers_up: Some(poll.servers.iter().filter(|server| server.liveness == Liveness::Up).count() as u64),
    }
}
