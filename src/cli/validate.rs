//! `hubwatch validate`: the strategy's phase 1 on one screen. It looks at the hub for a few seconds with the same eyes as a watch, and
//! keeps what it saw as the baseline T+0.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::run::{self, RunArgs};
use super::watching::{self, Plan};
use super::{CliError, Exit, report};
use crate::backend::BackendError;
use crate::backend::embedded::Embedded;
use crate::backend::period::{self, Wanted};
use crate::config::environment::Environment;
use crate::config::{self, Joining, Layers, Sourced};
use crate::hub::line;
use crate::journal::JournalReader;
use crate::judge;
use crate::judge::moment::Moment;
use crate::judge::verdict::Verdict;
use crate::live::vitals::Vitals;
use crate::report::{Baseline, baseline, blind, words};
use crate::tail::{self, Begin};
use crate::watch::{ApiOutcome, Level, Liveness, LogShape, Poll, ProcessPoll, ServerPoll, Sight, Timestamp, Watch};

/// How long it looks unless told otherwise: some polls more than a dead server needs to be told from one that has just started.
const LOOK: &str = "6s";

/// How often it polls meanwhile: the third poll comes later than a fresh start takes, also where answers are slow.
const INTERVAL: Duration = Duration::from_millis(1_200);

/// The shortest look: three polls.
const SHORTEST: Duration = Duration::from_secs(3);

/// The lines that "recent" means in the strategy.
const RECENT_LINES: usize = 100;

/// So much of the log's end is read for them: a line is a few hundred bytes, a stack dump more.
const RECENT_BYTES: u64 = 256 * 1024;

/// What the strategy expects at the beginning: less than 1 % of a core and of the memory.
const EXPECTED_SHARE: u64 = 10;

/// A hub uses up its memory limit in another way than a host's memory: near it is too near.
const LIMIT_SHARE: u64 = 800;

/// "Errors: 0-1"; ten are the strategy's error spike.
const EXPECTED_ERRORS: usize = 1;
const MANY_ERRORS: usize = 10;

/// More clients than this are to be investigated.
const MANY_CLIENTS: u32 = 10;

/// Check the hub and its integrations now (phase 1), and keep the baseline T+0
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch validate                                  # the hub that runs here
  hubwatch validate --hub http://127.0.0.1:7000 --log ~/.local/state/mcp-hub/logs/mcp-hub.log
  hubwatch validate --hub http://127.0.0.1:7000 --name hub-a --rebaseline    # after an upgrade: a new baseline of hub-a
  hubwatch validate --format json | jq .verdict

Exit codes: 0 all checks hold (warnings are told), 1 one failed, 3 whether a server works can't be told yet (look for longer: --for),
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
    /// The hub's process id, where it can't be found out
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// A header for every request to the hub, such as 'Authorization: Bearer …'
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// A certificate authority that the hub's certificate may come from
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
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
    /// Whether nothing is validated while it can't be told.
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
    /// What a report on such a watch can't know, and why.
    not_visible: Vec<String>,
    baseline: Option<Baseline>,
    baseline_stored: bool,
    /// When the baseline was taken that stays, because nobody asked for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier_baseline: Option<Moment>,
    /// Why the file of baselines can't be read; it is left as it is unless a new baseline is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable_baseline: Option<String>,
}

/// Looks and tells.
pub(super) async fn validate(args: ValidateArgs, layers: &Layers<impl Environment + Clone>) -> Result<Exit, CliError> {
    let (form, rebaseline) = (args.format, args.rebaseline);
    let length = config::parse(Sourced { value: args.length.clone(), source: "--for".to_owned() }, |text| {
        config::duration(text).and_then(|length| if length >= SHORTEST { Ok(length) } else { Err("it is less than 3s".to_owned()) })
    })?;
    let expected = expected(layers);
    let plan = the_one(run::plans(&args.into(), layers)?)?;
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
    // A warning is no failure, and what need not be known is no lack.
    let decisive = match (failed, undecided) {
        (true, _) => Verdict::Fail,
        (false, true) => Verdict::Inconclusive,
        (false, false) => Verdict::Pass,
    };
    Ok(if answered { crate::report::exit(decisive) } else { Exit::Unreachable })
}

impl From<ValidateArgs> for RunArgs {
    fn from(args: ValidateArgs) -> Self {
        let ValidateArgs { hub, log, name, environment, state_dir, pid, header, ca, .. } = args;
        Self { hub, log, name, environment, state_dir, pid, header, ca, ..Self::default() }
    }
}

/// A validation is one screen about one hub.
fn the_one(plans: Vec<Plan>) -> Result<Plan, CliError> {
    let names: Vec<_> = plans.iter().map(|plan| plan.name.to_string()).collect();
    let several = || CliError::Usage(format!("the configuration has several hubs: choose one with --name: {}", names.join(", ")));
    <[Plan; 1]>::try_from(plans).map(|[plan]| plan).map_err(|_| several())
}

/// In which states which servers may be.
fn expected(layers: &Layers<impl Environment>) -> BTreeMap<String, Vec<String>> {
    layers.file.servers.iter().map(|(name, server)| (name.clone(), server.expected.clone())).collect()
}

/// A watch that leaves nothing behind, neither telemetry nor a place in the journal, and takes nothing from what is piped.
fn look(plan: Plan, folder: &Path, length: Duration) -> Plan {
    Plan {
        log: plan.log.without_stdin(),
        begin: Begin::End,
        event_stream: Joining::Never,
        state_dir: folder.to_owned(),
        destinations: Vec::new(),
        interval: INTERVAL,
        vitals: Vitals::default(),
        length: Some(length),
        ..plan
    }
}

/// A folder that is gone when it is dropped.
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
        // Whoever clears the folder for temporary files finds it if we can't.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn check(name: impl Into<String>, verdict: Verdict, found: impl Into<String>, expected: Option<String>) -> Check {
    Check { check: name.into(), verdict, found: found.into(), expected, must: false }
}

fn checks(polls: &[(&Watch, &Poll)], expected: &BTreeMap<String, Vec<String>>, log: Option<&Path>) -> Vec<Check> {
    let Some((_, last)) = polls.last() else {
        return vec![check("hub answers", Verdict::Fail, "it was not polled", None)];
    };
    let mut all = vec![answers(last)];
    if last.api.health == ApiOutcome::Ok {
        all.extend(processor(polls));
        all.push(memory(last.process.as_ref()));
        all.extend(last.servers.iter().map(|seen| server(seen, expected)));
        let missing = expected.keys().filter(|name| last.servers.iter().all(|seen| seen.name.as_str() != name.as_str()));
        all.extend(missing.map(|name| check(format!("server {name}"), Verdict::Fail, "the hub does not know it", None)));
        all.push(endpoint(last));
    }
    all.extend(log.map(|log| recent(log, expected)).unwrap_or_default());
    all
}

fn answers(poll: &Poll) -> Check {
    let api = &poll.api;
    let state = api.state.as_ref().map_or("unknown", |state| state.as_str());
    let verdict = match (api.health, state) {
        (ApiOutcome::Ok, "ready") => Verdict::Pass,
        (ApiOutcome::Ok, "starting" | "restarting") => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let version = api.version.as_ref().map_or(String::new(), |version| format!(", version {version}"));
    let found = match api.health {
        ApiOutcome::Ok => format!("state {state}{version}, in {}", words::duration(api.health_duration.get())),
        outcome => format!("no: {outcome}"),
    };
    check("hub answers", verdict, found, Some("state ready".to_owned()))
}

/// The first and the last time that the same process was seen.
fn same_process<'a>(polls: &[(&'a Watch, &'a Poll)]) -> Option<[(Timestamp, &'a ProcessPoll); 2]> {
    let seen: Vec<_> = polls.iter().filter_map(|(watch, poll)| Some((watch.interval.end(), poll.process.as_ref()?))).collect();
    let last = *seen.last()?;
    let first = *seen.iter().find(|(_, process)| (process.pid, process.started) == (last.1.pid, last.1.started))?;
    Some([first, last])
}

/// Processor time of one core, in thousandths.
fn cpu(polls: &[(&Watch, &Poll)]) -> Option<u64> {
    let [(from, first), (to, last)] = same_process(polls)?;
    let used = last.cpu_time.get().saturating_sub(first.cpu_time.get());
    used.saturating_mul(1_000).checked_div(to.since(from).get())
}

fn processor(polls: &[(&Watch, &Poll)]) -> Vec<Check> {
    let expected = Some("at most 1 % of a core".to_owned());
    let Some([_, (at, process)]) = same_process(polls) else {
        let found = "not visible: run hubwatch on the hub's host or in its PID namespace, or give --pid";
        return vec![check("process", Verdict::Inconclusive, found, None)];
    };
    let up = words::duration(at.since(process.started).get());
    let seen = check("process", Verdict::Pass, format!("pid {}, up for {up}", process.pid), None);
    let share = match cpu(polls) {
        Some(share) if share <= EXPECTED_SHARE => check("processor", Verdict::Pass, words::permille(share), expected),
        Some(share) => check("processor", Verdict::Warn, words::permille(share), expected),
        None => check("processor", Verdict::Inconclusive, "it was seen only once", expected),
    };
    vec![seen, share]
}

fn memory(process: Option<&ProcessPoll>) -> Check {
    let Some(process) = process else { return check("memory", Verdict::Inconclusive, "not visible", None) };
    let share = |whole: u64| process.rss.get().saturating_mul(1_000).checked_div(whole).unwrap_or(0);
    let (share, of, most) = match process.memory_limit {
        Some(limit) => (share(limit.get()), "its limit", LIMIT_SHARE),
        None => (share(process.host_memory.get()), "the host's", EXPECTED_SHARE),
    };
    let found = format!("{}, {} of {of}", words::bytes(process.rss.get()), words::permille(share));
    let verdict = if share <= most { Verdict::Pass } else { Verdict::Warn };
    check("memory", verdict, found, Some(format!("at most {} of {of}", words::permille(most))))
}

fn server(seen: &ServerPoll, expected: &BTreeMap<String, Vec<String>>) -> Check {
    let allowed = expected.get(seen.name.as_str()).filter(|states| !states.is_empty());
    let works = seen.liveness == Liveness::Up;
    let verdict = match (works, allowed) {
        (true, _) if seen.tools == 0 => Verdict::Warn,
        (true, _) => Verdict::Pass,
        (false, Some(states)) if states.iter().any(|state| state == seen.status.as_str()) => Verdict::Pass,
        (false, _) if is_undecided(seen) => Verdict::Inconclusive,
        (false, _) if seen.liveness == Liveness::Starting => Verdict::Warn,
        (false, _) => Verdict::Fail,
    };
    if verdict == Verdict::Inconclusive {
        let found = "can't tell yet: it claims to be connected with an uptime of 0, so it has just connected or has died; \
                     look for longer (--for 6s)";
        let expected = allowed.map(|states| states.join(" or "));
        return Check { must: true, ..check(format!("server {}", seen.name), verdict, found, expected) };
    }
    let error = seen.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    let found = format!("{}, {} tools (claims {}; {}{error})", seen.liveness, seen.tools, seen.status, seen.reason);
    check(format!("server {}", seen.name), verdict, found, allowed.map(|states| states.join(" or ")))
}

/// Whether the server looks like one that has just connected, which is how one that has just died looks, too.
fn is_undecided(seen: &ServerPoll) -> bool {
    seen.liveness == Liveness::Starting && seen.status.as_str() == "connected"
}

fn endpoint(poll: &Poll) -> Check {
    let api = &poll.api;
    let (Some(clients), Some(tools)) = (api.mcp_clients, api.tools) else {
        return check("MCP endpoint", Verdict::Warn, "not there until every server has started or failed", None);
    };
    let verdict = if tools == 0 || clients > MANY_CLIENTS { Verdict::Warn } else { Verdict::Pass };
    check("MCP endpoint", verdict, format!("{clients} clients, {tools} tools"), None)
}

/// Whether a line is about a server that need not work.
fn is_expected(line: &str, expected: &BTreeMap<String, Vec<String>>) -> bool {
    let need_not = expected.iter().filter(|(_, states)| !states.is_empty() && states.iter().all(|state| state != "connected"));
    need_not.into_iter().any(|(name, _)| line.contains(&format!("\"{name}\"")) || line.contains(&format!("'{name}'")))
}

/// The last lines of the log: errors, but for those about servers that need not work, and levels.
fn recent(log: &Path, expected: &BTreeMap<String, Vec<String>>) -> Vec<Check> {
    let end = match end_of(&tail::newest(log)) {
        Ok(end) => end,
        Err(error) => return vec![check("log", Verdict::Fail, format!("{} can't be read: {error}", log.display()), None)],
    };
    let lines: Vec<&str> = end.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(RECENT_LINES)..];
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    let mut errors = Vec::new();
    for text in last {
        let parsed = line::parse(text);
        *levels.entry(parsed.level.map_or("without level", Level::as_str)).or_default() += 1;
        if parsed.level == Some(Level::Error) && !is_expected(&parsed.text, expected) {
            errors.push(parsed.text.into_owned());
        }
    }
    let counted: Vec<_> = levels.iter().map(|(level, count)| format!("{count} {level}")).collect();
    let unlevelled = levels.get("without level").copied().unwrap_or(0) == last.len() && !last.is_empty();
    let verdict = match errors.len() {
        _ if unlevelled => Verdict::Inconclusive,
        count if count <= EXPECTED_ERRORS => Verdict::Pass,
        count if count <= MANY_ERRORS => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let latest = errors.last().map_or(String::new(), |error| format!(", the last: {}", crate::hub::mask::template(error)));
    let found = if unlevelled {
        "this log has no levels".to_owned()
    } else {
        format!("{} in the last {} lines{latest}", errors.len(), last.len())
    };
    vec![
        check("recent errors", verdict, found, Some("0 or 1".to_owned())),
        check(
            "log levels",
            Verdict::Pass,
            if counted.is_empty() { "the log is empty".to_owned() } else { counted.join(", ") },
            None,
        ),
    ]
}

/// What the sources at hand don't show. In a few seconds a log may say nothing: its last lines tell in which shape it is.
fn blind_spots(watches: &[Watch], log: Option<&Path>) -> Vec<String> {
    let shape = log.and_then(shape_at_end);
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

fn shape_at_end(log: &Path) -> Option<LogShape> {
    let end = end_of(&tail::newest(log)).ok()?;
    let shapes: Vec<_> = end.lines().filter(|line| !line.trim().is_empty()).map(|text| line::parse(text).shape).collect();
    // Bare lines beside JSON are stack traces.
    shapes.iter().rfind(|shape| **shape != LogShape::LegacyFile).or(shapes.last()).copied()
}

fn end_of(log: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(RECENT_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(RECENT_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // Where the file was longer, it begins inside a line.
    Ok(if size > RECENT_BYTES { text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned()) } else { text })
}

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

fn text(validation: &Validation, state_dir: &Path) -> String {
    let mut lines = vec![format!("{} ({}), {} UTC", validation.hub, validation.environment, second(validation.at))];
    let width = validation.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    for check in &validation.checks {
        let sign = words::verdict(check.verdict).sign;
        let expected = match (&check.expected, check.verdict) {
            (Some(expected), Verdict::Warn | Verdict::Fail) => format!("  [expected: {expected}]"),
            _ => String::new(),
        };
        lines.push(format!("{sign} {:width$}  {}{expected}", check.check, check.found));
    }
    let of = |verdict| validation.checks.iter().filter(|check| check.verdict == verdict).count();
    let (failed, warned, unknown) = (of(Verdict::Fail), of(Verdict::Warn), of(Verdict::Inconclusive));
    let rest = if warned + unknown > 0 { format!(" ({warned} warn, {unknown} can't be told)") } else { String::new() };
    let undecided = validation.checks.iter().filter(|check| check.must && check.verdict == Verdict::Inconclusive).count();
    lines.push(match failed {
        0 if undecided > 0 => format!("No verdict yet: {undecided} of {} checks can't be told{rest}.", validation.checks.len()),
        0 => format!("All checks hold{rest}."),
        failed => format!("{failed} of {} checks failed{rest}.", validation.checks.len()),
    });
    lines.extend(validation.not_visible.iter().map(|unseen| format!("· {unseen}")));
    let file = state_dir.join(baseline::FILE_NAME);
    if validation.baseline_stored {
        lines.push(format!("Kept as the baseline T+0 of {} in {}.", validation.hub, file.display()));
    } else if let Some(at) = validation.earlier_baseline {
        let at = second(at);
        lines.push(format!("The baseline of {}, taken {at} UTC, stays; --rebaseline takes this look instead.", validation.hub));
    } else if let Some(error) = &validation.unreadable_baseline {
        lines.push(format!("No baseline was kept: {} can't be read ({error}); --rebaseline replaces it.", file.display()));
    }
    lines.join("\n") + "\n"
}

fn second(at: Moment) -> String {
    at.to_string().get(..19).unwrap_or_default().replace('T', " ")
}
