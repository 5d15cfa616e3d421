//! `hubwatch scenario`: acts on a hub as its clients do, and judges each step.

mod junit;
mod list;
mod live;
mod summary;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use tokio::sync::watch::Sender;

use super::hub_args::AccessArgs;
use super::run::{self, RunArgs};
use super::watching::{Plan, Stop};
use super::{CliError, Color, Exit, report};
use crate::base::nearest::nearest;
use crate::base::secret;
use crate::config::destinations::Flags;
use crate::config::environment::Environment;
use crate::config::{self, Layers, Sourced};
use crate::journal::JournalReader;
use crate::judge::moment::Moment;
use crate::mcp::Endpoint;
use crate::scenario::results::{About, Expected, Results};
use crate::scenario::run::{Audience, Backstage, Event};
use crate::scenario::target::{CLIENTS, MOST_CLIENTS};
use crate::scenario::telemetry::Telemetry;
use crate::scenario::turn::Turn;
use crate::scenario::{Allow, Options, Scenario, Target};
use crate::watch::Timestamp;

/// How long telemetry may take at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// The name that stands for all scenarios that harm nothing, and those that `--allow` adds.
const ALL: &str = "all";

/// Act on a hub as its clients do, and judge each step
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct ScenarioArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the scenarios and their steps
    List(list::ListArgs),
    /// Run scenarios
    Run(Box<ScenarioRunArgs>),
}

/// Run scenarios
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hubwatch scenario run all                                        # the hub that runs here; nothing is harmed
  hubwatch scenario run all --allow server-crash --dry-run         # what would be done, and what stands against it
  hubwatch scenario run session_isolation --hub http://127.0.0.1:7000 --probe github__whoami
  hubwatch scenario run high_load --clients 20 --otlp http://127.0.0.1:4318
  hubwatch scenario run all --format junit --out scenarios.xml --expected-failures known.txt
  hubwatch scenario run soak --every 5m --for 48h                  # traffic for a staging without users

The reports of a `hubwatch run` with the same state folder list each step, and what a scenario causes does not count
against the build. What is stopped or killed is put back, also after Ctrl-C.

Exit codes: 0 all checks held, 1 one failed, 2 usage, 3 nothing could be verified (or it was interrupted), 4 the hub can't be reached.")]
struct ScenarioRunArgs {
    /// The scenarios, or `all` for those that harm nothing (and those that --allow adds)
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// The hub's address [default: the hub that runs here]
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// The hub's name [default: the name by which this address is watched, else the address]
    #[arg(long, value_name = "HUB")]
    name: Option<String>,
    /// The hub's environment [default: staging]
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// The hub's log file [default, for a hub that runs here: where it writes it]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The state folder of `hubwatch run`, whose reports list the results [default: $XDG_STATE_HOME/hubwatch]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Allow what may harm the hub or disturb others; can be repeated
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Allow>,
    /// How many clients high_load has, at most 50
    #[arg(long, value_name = "N", default_value_t = CLIENTS)]
    clients: usize,
    /// A tool that may be called without arguments, as SERVER__TOOL, beside those that say that they change nothing; can be repeated
    #[arg(long, value_name = "TOOL")]
    probe: Vec<String>,
    /// The server that server_crash kills [default: filesystem, else the first that can be killed]
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// The file that makes the hub's instrumentation answer in Gemini's place, for gemini_failure
    #[arg(long, value_name = "FILE")]
    fault_file: Option<PathBuf>,
    /// How often soak acts
    #[arg(long, value_name = "TIME", default_value = "5m")]
    every: String,
    /// How long soak goes on, or half_open waits [default: 48h, 16m]
    #[arg(long = "for", value_name = "TIME")]
    length: Option<String>,
    /// The OTLP receiver of the spans and metrics of what is done [default: none]
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// The OTLP protocol: grpc or http/protobuf [default: grpc for port 4317, otherwise http/protobuf]
    #[arg(long, value_name = "PROTOCOL")]
    otlp_protocol: Option<String>,
    /// A file that lists steps that are known to fail, as SCENARIO/STEP on each line; one that holds fails the run
    #[arg(long, value_name = "FILE")]
    expected_failures: Option<PathBuf>,
    /// The form of the result [default: by the ending of --out, else text]
    #[arg(long, value_name = "FORM")]
    format: Option<Form>,
    /// Write the result to this file; the summary goes to stdout all the same
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show what would be done and whether it may be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// The forms of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs (docs/scenario.schema.json)
    Json,
    /// JUnit XML, for the test results of a CI system
    Junit,
}

impl Form {
    fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "xml" => Some(Self::Junit),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }

    fn render(self, results: &Results) -> String {
        match self {
            Self::Text => summary::text(results, summary::Style::Plain),
            // Strings and numbers always have a JSON form.
            Self::Json => serde_json::to_string_pretty(results).unwrap_or_default() + "\n",
            Self::Junit => junit::junit(results),
        }
    }
}

/// Runs the command.
pub(super) async fn scenario(
    args: ScenarioArgs,
    color: Color,
    layers: &Layers<impl Environment + Clone>,
) -> Result<Exit, CliError> {
    match args.what {
        What::List(args) => list::list(&args),
        What::Run(args) => run_scenarios(*args, color, layers).await,
    }
}

async fn run_scenarios(args: ScenarioRunArgs, color: Color, layers: &Layers<impl Environment + Clone>) -> Result<Exit, CliError> {
    let options = options(&args)?;
    let scenarios = chosen(&args.names, &options)?;
    let expected = match &args.expected_failures {
        None => Expected::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| CliError::Usage(format!("can't read {}: {error}", path.display())))?;
            Expected::parse(&text).map_err(|error| CliError::Usage(format!("{}, {error}", path.display())))?
        }
    };
    let form = args.format.or_else(|| args.out.as_deref().and_then(Form::of_name)).unwrap_or(Form::Text);
    let (out, dry_run) = (args.out.clone(), args.dry_run);
    let target = target(&args, layers)?;
    let telemetry = telemetry(&args, layers, &target)?;
    if dry_run {
        return list::dry_run(&scenarios, &target, &options).await;
    }
    if let Some(out) = &out {
        // Now, not after an hour of scenarios.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(out);
        opened.map_err(|reason| CliError::Output { path: out.clone(), reason })?;
    }
    let _turn = Turn::take(&target.state_dir).map_err(CliError::Usage)?;
    let screen = live::Screen::new(color);
    let results = play_all(&scenarios, &target, &options, (telemetry, &screen), &expected).await?;
    drop(screen);
    if let Some(out) = &out {
        std::fs::write(out, form.render(&results)).map_err(|reason| CliError::Output { path: out.clone(), reason })?;
    }
    report::print(&match (form, &out) {
        (Form::Text, _) | (_, Some(_)) => summary::text(&results, summary::Style::of_stdout(color)),
        (form @ (Form::Json | Form::Junit), None) => form.render(&results),
    })?;
    Ok(results.exit())
}

/// Plays them one after the other, until the hub does not answer or the user wants it to end.
async fn play_all(
    scenarios: &[Scenario],
    target: &Target,
    options: &Options,
    (telemetry, audience): (Telemetry, &dyn Audience),
    expected: &Expected,
) -> Result<Results, CliError> {
    let (interrupt, interrupted) = tokio::sync::watch::channel(false);
    let stop = Stop::listen(None).map_err(CliError::Start)?;
    let is_watched = is_watched(target);
    if !is_watched {
        tracing::info!(
            "no watch of {} has the state folder {}, so no report will list these results",
            target.name,
            target.state_dir.display()
        );
    }
    let mut played = Vec::new();
    let mut unreachable = None;
    let backstage = Backstage { options, telemetry: &telemetry, audience, interrupt: interrupted.clone(), is_watched };
    let plays = async {
        for scenario in scenarios {
            match crate::scenario::run::play(*scenario, target, &backstage).await {
                Ok(one) => played.push(one),
                Err(outcome) => {
                    unreachable = Some(format!("{} does not answer as a hub does: {}", target.hub.base(), outcome.reason()));
                    break;
                }
            }
            if *interrupted.borrow() {
                break;
            }
        }
    };
    tokio::select! {
        () = plays => {}
        never = obey(stop, &interrupt) => match never {},
    }
    if let Some(why) = &unreachable {
        audience.hear(&Event::Said(&secret::without_credentials(why)));
    }
    for missing in telemetry.end(FLUSH).await {
        tracing::warn!("{missing}");
    }
    let about = About {
        hub: target.name.to_string(),
        environment: target.environment.to_string(),
        address: secret::without_credentials(target.hub.base()),
    };
    let cut_short = *interrupted.borrow() && played.len() < scenarios.len();
    Ok(Results::new(about, Moment(Timestamp::now()), played, expected, (unreachable, cut_short)))
}

/// The first signal ends what is played in good order; the second one ends it at once.
async fn obey(mut stop: Stop, interrupt: &Sender<bool>) -> std::convert::Infallible {
    let signal = stop.signal().await;
    tracing::warn!("{signal}: putting everything back, which can take a minute; once more to leave at once");
    interrupt.send_replace(true);
    let signal = stop.signal().await;
    tracing::error!("{signal}: left at once; what was taken is put back by the next `hubwatch scenario run`");
    std::process::exit(Exit::NoVerdict.code().into());
}

/// Whether a watch of this hub has this state folder.
fn is_watched(target: &Target) -> bool {
    let known = JournalReader::open(&target.state_dir).and_then(|reader| reader.hubs()).unwrap_or_default();
    known.iter().any(|known| known.hub == target.name && known.environment == target.environment)
}

/// The telemetry of what is done: to the destinations of `run`, none by default.
fn telemetry(args: &ScenarioRunArgs, layers: &Layers<impl Environment>, hub: &Target) -> Result<Telemetry, CliError> {
    let unusable = |error: crate::export::DestinationError| CliError::Usage(format!("the OTLP receiver can't be used: {error}"));
    let flags = Flags { endpoint: args.otlp.as_deref(), protocol: args.otlp_protocol.as_deref() };
    let (mut spans, mut metrics) = (Vec::new(), Vec::new());
    for destination in layers.destinations(flags)? {
        spans.extend(destination.span_exporter().map_err(unusable)?);
        metrics.extend(destination.metric_exporter().map_err(unusable)?);
    }
    Ok(Telemetry::to(spans, metrics, hub))
}

fn options(args: &ScenarioRunArgs) -> Result<Options, CliError> {
    let time =
        |setting: &str, text: &str| config::parse(Sourced { value: text.to_owned(), source: setting.to_owned() }, config::duration);
    if let Some(wrong) = args.probe.iter().find(|probe| !probe.contains("__")) {
        return Err(CliError::Usage(format!(
            "--probe {wrong} names no tool of a server: write SERVER__TOOL, such as github__whoami"
        )));
    }
    if !(1..=MOST_CLIENTS).contains(&args.clients) {
        return Err(CliError::Usage(format!("--clients {} is not a number from 1 to {MOST_CLIENTS}", args.clients)));
    }
    Ok(Options {
        allow: args.allow.iter().copied().collect(),
        clients: args.clients,
        probes: args.probe.clone(),
        server: args.server.clone(),
        fault_file: args.fault_file.clone(),
        every: time("--every", &args.every)?,
        length: args.length.as_deref().map(|length| time("--for", length)).transpose()?,
        ..Options::default()
    })
}

/// The scenarios that are named, each once, in the order in which they are named.
fn chosen(names: &[String], options: &Options) -> Result<Vec<Scenario>, CliError> {
    let mut chosen: Vec<Scenario> = Vec::new();
    for name in names {
        let more = if name == ALL {
            let is_allowed = |scenario: &Scenario| scenario.needs().is_none_or(|what| options.allows(what));
            Scenario::ALL.into_iter().filter(|scenario| scenario.is_in_all() && is_allowed(scenario)).collect()
        } else {
            vec![named(name, options)?]
        };
        chosen.extend(more.into_iter().filter(|scenario| !chosen.contains(scenario)).collect::<Vec<_>>());
    }
    Ok(chosen)
}

fn named(name: &str, options: &Options) -> Result<Scenario, CliError> {
    let Some(scenario) = Scenario::of_word(name) else {
        let words = Scenario::ALL.map(Scenario::word);
        let meant =
            nearest(name, words.into_iter().chain([ALL])).map_or(".".to_owned(), |meant| format!("; did you mean `{meant}`?"));
        return Err(CliError::Usage(format!("there is no scenario `{name}`{meant} Use one of {ALL}, {}", words.join(", "))));
    };
    match scenario.needs().filter(|what| !options.allows(*what)) {
        Some(what) => Err(CliError::Usage(format!("{scenario}: {}. If that is meant, add --allow {what}", scenario.does()))),
        None => Ok(scenario),
    }
}

fn target(args: &ScenarioRunArgs, layers: &Layers<impl Environment + Clone>) -> Result<Target, CliError> {
    let args = RunArgs {
        hub: args.hub.clone(),
        access: args.access.clone(),
        name: args.name.clone(),
        environment: args.environment.clone(),
        log: args.log.clone(),
        state_dir: args.state_dir.clone(),
        ..RunArgs::default()
    };
    let Plan { client, name, environment, log, state_dir, process, headers, ca, .. } = run::the_one(run::plans(&args, layers)?)?;
    let endpoint = Endpoint::new(client.base(), &headers, ca.as_deref()).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(Target {
        endpoint,
        hub: client,
        name,
        environment,
        state_dir,
        log: log.file().map(Path::to_owned),
        process: process.map(RefCell::new),
    })
}
