//! `hubwatch run`: watches a hub until a signal stops it.

use std::path::PathBuf;
use std::time::Duration;

use super::hub_args::AccessArgs;
use super::known_hubs;
use super::period_source::Period;
use super::supervisor::{Attended, Supervisor};
use super::watching::{self, Plan, ProcessSource};
use super::{CliError, Exit, report};
use crate::alert::Alerts;
use crate::alert::message::Sender;
use crate::base::secret;
use crate::config::destinations::Flags;
use crate::config::environment::{self, Environment};
use crate::config::file::HubSection;
use crate::config::listen::DEFAULT_LISTEN;
use crate::config::receive::DEFAULT_RECEIVE;
use crate::config::{self, ConfigError, Layers, Sourced};
use crate::hub::client::{ClientError, HubClient};
use crate::hub::discover;
use crate::live::Live;
use crate::live::follow::{Follower, Following};
use crate::live::vitals::Vitals;
use crate::process::{self, ControlGroup, Find, ProcessReader};
use crate::serve::{Server, WatchedHub};
use crate::sidecar::{Lines, LogSource};
use crate::tail::{self, Begin, PatternError};
use crate::watch::{Text, Timestamp};
use clap::Args;

/// Watch a hub
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  hubwatch run --hub http://127.0.0.1:7000 --log ~/.local/state/mcp-hub/logs/mcp-hub.log
  hubwatch run --hub http://127.0.0.1:7000 --otlp http://127.0.0.1:4318 --name hub-a --build 4.3.0-rc.1
  mcp-hub --port 7000 --config hub.json 2>&1 | hubwatch run --hub http://127.0.0.1:7000 --log -
  mcp-hub --port 7000 --config hub.json 2>&1 | hubwatch run --hub http://127.0.0.1:7000 --log mcp-hub.log --stdin
  hubwatch run --listen                 # serve a status page at http://127.0.0.1:9684, /readyz and /metrics
  hubwatch run --receive                # receive OTLP by HTTP and gRPC on the usual ports of this host
  hubwatch run --listen 0.0.0.0:9684    # allow reports from another machine: --backend jaeger=http://here:9684
  hubwatch run --for 48h --report report.md     # watch, report, and exit with the verdict")]
pub struct RunArgs {
    /// The hub's address, such as http://127.0.0.1:7000, with a path prefix if it is behind a proxy [default: the hub on this host]
    #[arg(long, value_name = "URL")]
    pub(super) hub: Option<String>,
    /// The hub's log file, a pattern such as 'logs/mcp-hub.*.log', or - if its output is piped into hubwatch [default: the log of
    /// the hub on this host]
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// The hub's output is also piped into hubwatch; events in both the log and the output are counted once
    #[arg(long)]
    pub(super) stdin: bool,
    /// When to subscribe to the hub's event stream: auto, always or never [default: auto, if the log doesn't show the meta-tool
    /// calls]
    #[arg(long, value_name = "WHEN")]
    pub(super) event_stream: Option<String>,
    /// Where to begin in a log that was never read before
    #[arg(long, value_name = "WHERE", default_value = "start")]
    pub(super) from: From,
    /// The hub's name in reports, such as staging-hub [default: the name by which this address was watched before, else the
    /// address]
    #[arg(long, value_name = "HUB")]
    pub(super) name: Option<String>,
    /// The hub's environment [default: staging]
    #[arg(long, value_name = "ENV")]
    pub(super) environment: Option<String>,
    /// The build under test, such as 4.3.0-rc.1
    #[arg(long, value_name = "ID")]
    pub(super) build: Option<String>,
    /// The state folder [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// The OTLP receiver's endpoint, such as http://127.0.0.1:4318 [default: none, telemetry stays in the state folder]
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,
    /// The OTLP protocol: grpc or http/protobuf [default: grpc for port 4317, otherwise http/protobuf]
    #[arg(long, value_name = "PROTOCOL")]
    pub(super) otlp_protocol: Option<String>,
    /// How long to keep sending at shutdown, such as 10s [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub(super) drain: Option<String>,
    /// The polling interval, 200ms to 10m [default: 15s]
    #[arg(long, value_name = "TIME")]
    pub(super) interval: Option<String>,
    #[command(flatten)]
    pub(super) access: AccessArgs,
    /// Serve the status page, /readyz, /metrics and traces by id on this address; without a value on 127.0.0.1:9684 [default: no
    /// server]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = DEFAULT_LISTEN)]
    pub(super) listen: Option<String>,
    /// Receive OTLP on this address; without a value HTTP on 127.0.0.1:4318 and gRPC on 127.0.0.1:4317 [default: no receiver]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = DEFAULT_RECEIVE)]
    pub(super) receive: Option<String>,
    /// The path of dashboard.json [default: in the state folder]
    #[arg(long, value_name = "FILE")]
    pub(super) dashboard: Option<PathBuf>,
    /// Watch for this long, such as 48h, then stop
    #[arg(long = "for", value_name = "TIME")]
    pub(super) length: Option<String>,
    /// Write a report at the end of --for to this file, and exit with the verdict
    #[arg(long, value_name = "FILE", requires = "length")]
    pub(super) report: Option<PathBuf>,
}

/// Where to begin in a log that was never read before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum From {
    /// At its beginning
    #[default]
    Start,
    /// At its end: skip its existing lines
    End,
}

/// Runs the command.
pub(super) async fn run(args: RunArgs, layers: &Layers<impl Environment + Clone>) -> Result<Exit, CliError> {
    let report_to = args.report.clone();
    let plans = plans(&args, layers)?;
    if let (Some(_), [_, _, ..]) = (&report_to, plans.as_slice()) {
        return Err(CliError::Usage(
            "--report works for one hub only: choose it with --name, or run `hubwatch report` for each afterwards".to_owned(),
        ));
    }
    let begun = Timestamp::now();
    let one_dashboard = layers.file.dashboard.file.is_some();
    if plans.len() > 1 && one_dashboard {
        let problem = "[dashboard] file and HUBWATCH_DASHBOARD work for one hub only: remove them, and each hub writes dashboard.json to its state folder";
        return Err(CliError::Usage(problem.to_owned()));
    }
    if plans.len() > 1 && plans.iter().any(|plan| plan.receive.is_some()) {
        let problem =
            "--receive and [receive] work for one hub only, because nothing says which hub a record is of: choose it with --name";
        return Err(CliError::Usage(problem.to_owned()));
    }
    let first = plans.first().map(|plan| (plan.name.clone(), plan.environment.clone(), plan.state_dir.clone()));
    let lives: Vec<Live> = plans.iter().map(|_| Live::default()).collect();
    let server = match layers.listen(args.listen.as_deref())? {
        Some(listen) => {
            let (sign_off, trace_url) = (report::sign_off(&layers.file.report), layers.trace_url(None)?);
            let hubs = plans
                .iter()
                .zip(&lives)
                .map(|(plan, live)| watched_hub(plan).judged_by(live.clone()).reported(sign_off.clone(), trace_url.clone()));
            Some(Server::start(listen, hubs.collect()).await?)
        }
        None => None,
    };
    for plan in plans.iter().filter(|plan| matches!(plan.log, LogSource::None)) {
        tracing::warn!(hub = %plan.name, "no log is configured: criteria that need the hub's log can't be judged; set --log FILE, or --log - for piped output");
    }
    let mut followers = Vec::new();
    for (plan, live) in plans.iter().zip(lives) {
        let sender = Sender {
            hub: plan.name.to_string(),
            environment: plan.environment.to_string(),
            build: plan.build.as_ref().map(ToString::to_string),
        };
        let alerts = Alerts::start(layers.alert_targets()?, &sender, &plan.state_dir)?;
        followers.push(Follower::start(live, following(plan, &args, layers)?, alerts));
    }
    let supervisor = Supervisor::of(layers.environment());
    let attended = |plan: &Plan| Attended { hub: plan.name.to_string(), vitals: plan.vitals.clone(), interval: plan.interval };
    let attended = plans.iter().map(attended).collect();
    let watched = tokio::select! {
        watched = watch_all(plans) => watched,
        never = supervisor.attend(attended) => match never {},
    };
    supervisor.stopping();
    // Immediately: a container runtime kills after ten seconds, and ending the watch may have taken five.
    let last_judged = futures_util::future::join_all(followers.into_iter().map(Follower::end));
    tokio::join!(last_judged, async {
        if let Some(server) = server {
            server.end().await;
        }
    });
    watched?;
    let (Some(out), Some((name, environment, state_dir))) = (report_to, first) else { return Ok(Exit::Ok) };
    let period = Period { from: begun, to: Timestamp::now(), is_asked: true };
    let job = report::Job {
        period,
        name: Some(name),
        environment,
        state_dir,
        outputs: super::outputs::outputs(&[out], &[])?,
        ..report::Job::new(layers)?
    };
    report::make(job).await
}

/// Returns the settings of the live judge of a hub.
fn following(plan: &Plan, args: &RunArgs, layers: &Layers<impl Environment>) -> Result<Following, CliError> {
    Ok(Following {
        hub: plan.name.clone(),
        environment: plan.environment.clone(),
        dashboard: layers.dashboard(args.dashboard.as_deref(), &plan.state_dir)?,
        state_dir: plan.state_dir.clone(),
        rules: vec![layers.file.rules()],
        vitals: plan.vitals.clone(),
        interval: plan.interval,
    })
}

fn watched_hub(plan: &Plan) -> WatchedHub {
    let (hub, environment) = (plan.name.clone(), plan.environment.clone());
    WatchedHub::new(hub, environment, plan.interval, plan.vitals.clone(), plan.state_dir.clone())
}

/// Watches each hub separately: an error in one watch doesn't affect the others.
async fn watch_all(plans: Vec<Plan>) -> Result<(), CliError> {
    let watches = plans.into_iter().map(async |plan| {
        let name = plan.name.clone();
        let ended = watching::watch(plan).await;
        if let Err(error) = &ended {
            tracing::error!(hub = %name, error = crate::base::causes::of(error), "the watch of this hub has failed and ended");
        }
        ended
    });
    futures_util::future::join_all(watches).await.into_iter().collect()
}

/// Returns the only plan, for a command about one hub.
pub(super) fn the_one(plans: Vec<Plan>) -> Result<Plan, CliError> {
    let names: Vec<_> = plans.iter().map(|plan| plan.name.to_string()).collect();
    let several = || CliError::Usage(format!("the configuration has several hubs: choose one with --name: {}", names.join(", ")));
    <[Plan; 1]>::try_from(plans).map(|[plan]| plan).map_err(|_| several())
}

/// Variables that would give all hubs of a file the same value where each needs its own.
const OF_ONE_HUB: [&str; 4] = ["HUBWATCH_LOG", "HUBWATCH_STDIN", "HUBWATCH_PID", "HUBWATCH_CGROUP"];

/// Returns one plan for each hub: for the hub of flags, variables or `--name`, or for all hubs of the file.
pub(super) fn plans(args: &RunArgs, layers: &Layers<impl Environment + Clone>) -> Result<Vec<Plan>, CliError> {
    let hubs = &layers.file.hubs;
    if hubs.len() < 2 || args.hub.is_some() || layers.variable("HUBWATCH_HUB").is_some() {
        return Ok(vec![plan(args, layers)?]);
    }
    if args.log.is_some() || args.stdin || args.access.pid.is_some() || args.build.is_some() || args.dashboard.is_some() {
        let problem = "--log, --stdin, --pid, --build and --dashboard work for one hub only, and the configuration file has several: set the keys there, in each [[hub]]";
        return Err(CliError::Usage(problem.to_owned()));
    }
    if let Some(name) = OF_ONE_HUB.into_iter().find(|name| layers.variable(name).is_some()) {
        let problem =
            format!("{name} works for one hub only, and the configuration file has several: set the key there, in each [[hub]]");
        return Err(CliError::Usage(problem));
    }
    let mut plans = Vec::new();
    for hub in chosen(hubs, args.name.as_deref())? {
        let mut plan = plan(args, &layers.of_hub(hub))?;
        plan.state_dir = crate::config::state_of_hub(&plan.state_dir, &plan.name);
        if plans.iter().any(|other: &Plan| other.name == plan.name) {
            return Err(CliError::Usage(format!(
                "two hubs of the configuration file are named `{}`: set a different `name` in each [[hub]]",
                plan.name
            )));
        }
        plans.push(plan);
    }
    Ok(plans)
}

/// Returns the hub with this name, or all hubs if no name is set.
pub(super) fn chosen<'a>(hubs: &'a [HubSection], name: Option<&str>) -> Result<Vec<&'a HubSection>, CliError> {
    let chosen: Vec<_> = hubs.iter().filter(|hub| name.is_none() || hub.name.as_deref() == name).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = hubs.iter().filter_map(|hub| hub.name.as_deref()).collect();
        return Err(CliError::Usage(format!("the configuration file has no hub of this name; its hubs are {}", names.join(", "))));
    }
    Ok(chosen)
}

fn plan(args: &RunArgs, layers: &Layers<impl Environment>) -> Result<Plan, CliError> {
    let file = layers.file.hub();
    let state_home = environment::state_home(layers.environment());
    let named = layers.pick(("--hub", args.hub.as_deref()), "HUBWATCH_HUB", ("hub.url", file.url.as_deref()));
    let discovered = named.is_none();
    let hub = match named {
        Some(named) => named,
        None => {
            let value = discover::hub_of_this_host(&state_home, process::is_alive)?;
            Sourced { value, source: "the hub of this host".to_owned() }
        }
    };
    let url = hub.value.clone();
    let log_file = file.log.as_ref().map(|path| path.to_string_lossy().into_owned());
    let log_flag = args.log.as_ref().map(|path| path.to_string_lossy().into_owned());
    let log = match layers.pick(("--log", log_flag.as_deref()), "HUBWATCH_LOG", ("hub.log", log_file.as_deref())) {
        Some(picked) if picked.value == "-" => LogSource::Stdin,
        Some(picked) => LogSource::File(config::parse(picked, log_path)?),
        None if discovered => LogSource::File(discover::log_of_this_host(&environment::home(layers.environment()), &state_home)),
        None => LogSource::None,
    };
    let log = if layers.stdin(args.stdin)? { log.and_stdin() } else { log };
    let headers = layers.hub_headers(&args.access.header)?;
    let ca = args.access.ca.clone().or_else(|| file.ca.clone());
    let state_dir = layers.state_dir(args.state_dir.as_deref());
    let environment = layers.environment_name(args.environment.as_deref())?;
    let name = known_hubs::of_address(layers, args.name.as_deref(), &hub, (&state_dir, &environment))?;
    let build = layers.pick(("--build", args.build.as_deref()), "HUBWATCH_BUILD", ("hub.build", file.build.as_deref()));
    Ok(Plan {
        client: client(hub, &headers, ca.as_deref())?,
        headers,
        ca,
        name,
        environment,
        log,
        begin: if args.from == From::End { Begin::End } else { Begin::Start },
        event_stream: layers.event_stream(args.event_stream.as_deref())?,
        lines: Lines {
            collapse: layers.file.logs.collapse.unwrap_or(true),
            original: layers.file.logs.original.unwrap_or(true),
            keep_private: layers.file.privacy.keep.unwrap_or(false),
        },
        build: build.map(|build| Text::new(build.value)),
        state_dir,
        rules: layers.file.rules().entries().map_err(|error| CliError::Usage(error.to_string()))?,
        receive: layers.receive(args.receive.as_deref())?,
        destinations: layers.destinations(Flags { endpoint: args.otlp.as_deref(), protocol: args.otlp_protocol.as_deref() })?,
        limits: layers.journal_limits()?,
        drain: layers.drain(args.drain.as_deref())?,
        interval: layers.interval(args.interval.as_deref())?,
        vitals: Vitals::default(),
        process: process_source(seen(args.access.pid, file, &url)),
        length: args.length.as_deref().map(length_of).transpose()?,
    })
}

/// Creates the client; an error names the source of an invalid address.
pub(super) fn client(
    hub: Sourced<String>,
    headers: &[(String, String)],
    ca: Option<&std::path::Path>,
) -> Result<HubClient, CliError> {
    HubClient::new(&hub.value, headers, ca).map_err(|error| match error {
        ClientError::Url { reason, .. } => {
            let problem = format!("is not the address of a hub: {reason}; try http://127.0.0.1:7000");
            let value = secret::without_credentials(&hub.value);
            ConfigError::Value { setting: hub.source, value, problem }.into()
        }
        other => other.into(),
    })
}

fn log_path(text: &str) -> Result<PathBuf, PatternError> {
    let path = PathBuf::from(text);
    tail::check_pattern(&path).map(|()| path)
}

fn length_of(text: &str) -> Result<Duration, ConfigError> {
    config::parse(Sourced { value: text.to_owned(), source: "--for".to_owned() }, config::duration)
}

/// Returns how to find the hub's process: by its id, its port or its cgroup. The id of a flag has precedence.
pub(super) fn seen(pid: Option<u32>, file: &HubSection, url: &str) -> Seen {
    match &file.cgroup {
        Some(folder) if pid.is_none() => Seen::Group(folder.clone()),
        _ if pid.or(file.pid).is_none() && file.shared_pids == Some(true) => Seen::Process(Find::ByApi),
        _ => Seen::Process(find(pid.or(file.pid), url)),
    }
}

/// See [`seen`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Process(Find),
    Group(PathBuf),
}

pub(super) fn process_source(seen: Seen) -> Option<ProcessSource> {
    match seen {
        Seen::Process(Find::Elsewhere) => None,
        Seen::Process(find) => {
            let mut reader = ProcessReader::new(find);
            Some(Box::new(move |said| reader.read(said)))
        }
        Seen::Group(folder) => {
            let mut group = ControlGroup::new(folder);
            Some(Box::new(move |said| group.read(said)))
        }
    }
}

/// Returns how to find the hub's process, which is only visible if the hub is on this host.
fn find(pid: Option<u32>, url: &str) -> Find {
    if let Some(pid) = pid {
        return Find::Pid(pid);
    }
    let parsed = reqwest::Url::parse(url).ok();
    let port = parsed.as_ref().and_then(reqwest::Url::port_or_known_default);
    let host = parsed.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match port {
        Some(port) if here => Find::OnThisHost { port },
        _ => Find::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hub_on_this_host_has_a_visible_process() {
        assert_eq!(find(None, "http://127.0.0.1:7000"), Find::OnThisHost { port: 7000 });
        assert_eq!(find(None, "http://[::1]:7000/x"), Find::OnThisHost { port: 7000 });
        assert_eq!(find(None, "https://hub.example.com"), Find::Elsewhere);
        assert_eq!(find(Some(5), "https://hub.example.com"), Find::Pid(5));
    }

    #[test]
    fn a_shared_namespace_or_a_mounted_cgroup_makes_a_remote_hub_visible_and_a_flag_overrides_both() {
        let of = |pid, shared_pids, cgroup: Option<&str>| {
            let file = HubSection { shared_pids, cgroup: cgroup.map(PathBuf::from), ..HubSection::default() };
            seen(pid, &file, "http://hub:7000")
        };
        assert_eq!(of(None, None, None), Seen::Process(Find::Elsewhere));
        assert_eq!(of(None, Some(true), None), Seen::Process(Find::ByApi));
        assert_eq!(of(None, Some(true), Some("/group")), Seen::Group("/group".into()));
        assert_eq!(of(Some(5), Some(true), Some("/group")), Seen::Process(Find::Pid(5)));
    }
}
