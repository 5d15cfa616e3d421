//! Checks the sources of a watch, and lists what will not be visible.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::DoctorArgs;
use super::finding::Finding;
use crate::base::secret;
use crate::cli::{CliError, known_hubs, run};
use crate::config::environment::{self, Environment};
use crate::config::file::HubSection;
use crate::config::{self, Layers};
use crate::hub::api::Health;
use crate::hub::client::HubClient;
use crate::hub::{discover, line};
use crate::process;
use crate::watch::{ApiOutcome, HubName, LogShape};

/// Bytes read at the end of a log, which show the shape in which the hub writes now.
const TAIL: u64 = 64 * 1024;

/// Checks the hub of the flags, or each hub of the configuration.
pub(super) async fn examine(args: &DoctorArgs, layers: &Layers<impl Environment + Clone>) -> Result<Vec<Finding>, CliError> {
    let hubs = &layers.file.hubs;
    if hubs.len() < 2 || args.hub.is_some() || layers.variable("HUBWATCH_HUB").is_some() {
        return Ok(examine_one(args, layers).await?.findings);
    }
    let mut findings = Vec::new();
    for hub in run::chosen(hubs, args.name.as_deref())? {
        let examined = examine_one(args, &layers.of_hub(hub)).await?;
        let name = examined.name.map_or(String::new(), |name| format!("{name}: "));
        let named = |finding: Finding| Finding { seen: format!("{name}{}", finding.seen), ..finding };
        findings.extend(examined.findings.into_iter().map(named));
    }
    Ok(findings)
}

/// The findings on one hub.
struct Examined {
    /// The hub's name in a watch, if its address is known.
    name: Option<HubName>,
    findings: Vec<Finding>,
}

/// Checks a hub, its log and its process.
async fn examine_one(args: &DoctorArgs, layers: &Layers<impl Environment>) -> Result<Examined, CliError> {
    let file = layers.file.hub();
    let state_home = environment::state_home(layers.environment());
    let named = layers.pick(("--hub", args.hub.as_deref()), "HUBWATCH_HUB", ("hub.url", file.url.as_deref()));
    let discovered = named.is_none();
    let of_this_host = |value| config::Sourced { value, source: "the hub of this host".to_owned() };
    let hub = named.map_or_else(|| discover::hub_of_this_host(&state_home, process::is_alive).map(of_this_host), Ok);
    let mut findings = Vec::new();
    let mut name = None;
    let (url, health) = match hub {
        Ok(hub) => {
            let url = hub.value.clone();
            let state_dir = layers.state_dir(args.state_dir.as_deref());
            let environment = layers.environment_name(args.environment.as_deref())?;
            name = Some(known_hubs::of_address(layers, args.name.as_deref(), &hub, (&state_dir, &environment))?);
            let client =
                run::client(hub, &layers.hub_headers(&args.access.header)?, args.access.ca.as_deref().or(file.ca.as_deref()))?;
            let health = of_hub(&url, &client, &mut findings).await;
            (Some(url), health)
        }
        // Without a hub, its log and its process can still be checked.
        Err(none) => {
            findings.push(Finding::unreachable(
                "hub",
                none.to_string(),
                "set its address with --hub; a watch waits until the hub answers",
            ));
            (None, None)
        }
    };
    let log_flag = args.log.as_ref().map(|path| path.to_string_lossy().into_owned());
    let log_file = file.log.as_ref().map(|path| path.to_string_lossy().into_owned());
    let log = layers.pick(("--log", log_flag.as_deref()), "HUBWATCH_LOG", ("hub.log", log_file.as_deref()));
    let log = log.map(|picked| PathBuf::from(picked.value));
    let found = || discovered.then(|| discover::log_of_this_host(&environment::home(layers.environment()), &state_home));
    let shapes = of_log(log.or_else(found).as_deref(), &mut findings);
    let sees_process = of_process((args.access.pid, file), url.as_deref(), health.as_ref(), &mut findings);
    findings.extend(invisible(&shapes, sees_process));
    findings.extend(name.as_ref().map(|name| Finding::ok("name", format!("a watch and its report call this hub {name}"))));
    Ok(Examined { name, findings })
}

async fn of_hub(url: &str, client: &HubClient, findings: &mut Vec<Finding>) -> Option<Health> {
    let (health, took) = client.health().await;
    findings.push(of_health(&secret::without_credentials(url), &health, took.get()));
    if health.is_ok() {
        findings.push(match client.servers().await.0 {
            Ok(servers) => Finding::ok("servers", format!("the hub lists {}", servers.servers.len())),
            Err(outcome) => Finding::wrong(
                "servers",
                format!("the list of servers can't be read: {outcome}"),
                "check the hub's version and its log",
            ),
        });
    }
    health.ok()
}

fn of_health(url: &str, health: &Result<Health, ApiOutcome>, took_us: u64) -> Finding {
    match health {
        Ok(health) => {
            let version = health.version.as_deref().unwrap_or("of an unknown version");
            let clients = health.mcp_endpoint.as_ref().and_then(|endpoint| endpoint.clients);
            let clients = clients.map_or(String::new(), |clients| format!(", {clients} MCP clients"));
            Finding::ok("hub", format!("{url} is {}, {version}{clients}; it answered in {} ms", health.state, took_us / 1_000))
        }
        Err(ApiOutcome::Denied) => {
            Finding::wrong("hub", format!("{url} requires credentials"), "set them: --header 'Authorization: …'")
        }
        Err(outcome) if outcome.answered() => Finding::wrong(
            "hub",
            format!("{url} returned an unexpected answer: {outcome}"),
            "check the address, its port and its path; don't append /api",
        ),
        Err(outcome) => Finding::unreachable(
            "hub",
            format!("{url} can't be reached: {outcome}"),
            "check the address, the network, and if the hub runs; a watch waits until it answers",
        ),
    }
}

/// Checks the end of the log; returns the shapes of its lines.
fn of_log(path: Option<&Path>, findings: &mut Vec<Finding>) -> BTreeMap<LogShape, u64> {
    let Some(path) = path else {
        findings.push(Finding::note("log file", "not set", "set it with --log: it shows clients, calls and causes of failures"));
        return BTreeMap::new();
    };
    let shown = path.display();
    let end = match end_of(path) {
        Ok(end) => end,
        Err(error) => {
            let advice = "check the path and its permissions; a watch waits until it can be read";
            findings.push(Finding::wrong("log file", format!("{shown} can't be read: {error}"), advice));
            return BTreeMap::new();
        }
    };
    let mut shapes = BTreeMap::new();
    for text in String::from_utf8_lossy(&end).lines().filter(|text| !text.is_empty()) {
        *shapes.entry(line::parse(text).shape).or_default() += 1;
    }
    let words: Vec<_> = shapes.iter().map(|(shape, lines)| format!("{lines} × {shape}")).collect();
    findings.push(if words.is_empty() {
        Finding::note("log file", format!("{shown} is empty"), "a watch reads it once the hub writes to it")
    } else {
        Finding::ok("log file", format!("{shown}; its last lines: {}", words.join(", ")))
    });
    shapes
}

fn end_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(TAIL).read_to_end(&mut end)?;
    // The first line may be incomplete.
    let whole = if from == 0 { 0 } else { end.iter().position(|byte| *byte == b'\n').map_or(end.len(), |at| at + 1) };
    Ok(end.split_off(whole))
}

fn of_process(
    (pid, file): (Option<u32>, &HubSection),
    url: Option<&str>,
    health: Option<&Health>,
    findings: &mut Vec<Finding>,
) -> bool {
    let way = run::seen(pid, file, url.unwrap_or_default());
    if url.is_none() && way == run::Seen::Process(process::Find::Elsewhere) {
        let advice = "set the hub's address with --hub, or its process with --pid";
        findings.push(Finding::note("process", "not checked: the hub's address is unknown", advice));
        return false;
    }
    let said = health.map_or(process::ApiProcess::Unknown, process::ApiProcess::of_health);
    let source = run::process_source(way);
    let elsewhere = source.is_none();
    let seen = source.and_then(|mut source| source(said));
    findings.push(match &seen {
        Some(seen) => {
            let (pid, rss) = (seen.poll.pid, seen.poll.rss.get() / 1_000_000);
            Finding::ok("process", format!("PID {pid}, {rss} MB, {} processes below it", seen.poll.children))
        }
        None if elsewhere => {
            let advice = "run hubwatch on the hub's host, in its PID namespace: otherwise CPU and memory can't be judged";
            Finding::note("process", "the hub runs on another host", advice)
        }
        None => Finding::note(
            "process",
            "the hub's process is not visible",
            "share the hub's PID namespace, mount its cgroup (HUBWATCH_CGROUP), or set --pid",
        ),
    });
    seen.is_some()
}

/// Returns what a report on such a watch can't show.
fn invisible(shapes: &BTreeMap<LogShape, u64>, sees_process: bool) -> Option<Finding> {
    let calls = shapes.contains_key(&LogShape::Pino) || shapes.contains_key(&LogShape::LegacyStdout);
    let mut unseen = Vec::new();
    if shapes.is_empty() {
        unseen.push("what only the log shows (clients, causes of failures, log growth)");
    }
    if !calls {
        unseen.push("meta-tool calls and sessions, unless the watch subscribes to the event stream");
    }
    if !sees_process {
        unseen.push("CPU and memory");
    }
    let advice = "criteria that need them stay inconclusive; start the hub with ENABLE_PINO_LOGGER=true to log calls";
    (!unseen.is_empty()).then(|| Finding::note("not visible", unseen.join("; "), advice))
}
