//! Scenarios that are played within the test, with less patience than the command has; and tables of what comes of each step.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use hubwatch::export::Outlet;
use hubwatch::hub::client::HubClient;
use hubwatch::mcp::{Endpoint, Limits};
use hubwatch::process::{Find, ProcessReader};
use hubwatch::scenario::outcome::{Played, Step};
use hubwatch::scenario::plan::UNHARMED;
use hubwatch::scenario::run::{Audience, Backstage, Event, play};
use hubwatch::scenario::telemetry::Telemetry;
use hubwatch::scenario::{Allow, Options, Patience, Scenario, Target};
use hubwatch::simulator::{Gemini, Profile};
use hubwatch::watch::{ApiOutcome, Environment, HubName, StepVerdict};

use super::hub::Hub;

/// Less than the command has; more than anything takes that comes at all.
pub(crate) fn impatient() -> Patience {
    let millis = Duration::from_millis;
    Patience {
        connection: Limits { connect: millis(500), open: millis(1_000), request: millis(1_000), ..Limits::default() },
        meta_tool: millis(1_500),
        tool: millis(1_500),
        request: millis(1_500),
        outstanding: millis(300),
        parked: millis(300),
        calm: millis(600),
        counted: millis(600),
        left: millis(1_000),
        shown: millis(600),
        reconnected: millis(1_500),
        back: millis(3_000),
        quiet: millis(300),
        written: millis(2_000),
        disk_full: millis(1_500),
        disk_free: millis(600),
    }
}

/// Nobody listens.
struct Nobody;

impl Audience for Nobody {
    fn hear(&self, _: &Event<'_>) {}
}

/// Everything allowed, and no patience.
pub(crate) fn options() -> Options {
    let all = [Allow::ServerCrash, Allow::Gemini, Allow::HubStop];
    Options { allow: all.into(), clients: 3, patience: impatient(), ..Options::default() }
}

pub(crate) fn target(hub: &Hub) -> Target {
    let mut reader = ProcessReader::new(Find::OnThisHost { port: hub.url.rsplit(':').next().unwrap().parse().unwrap() });
    Target {
        hub: HubClient::new(&hub.url, &[], None).unwrap(),
        endpoint: Endpoint::new(&hub.url, &[], None).unwrap(),
        name: HubName::parse("simulated").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        state_dir: hub.state_dir(),
        log: Some(hub.log()),
        process: Some(RefCell::new(Box::new(move |said| reader.read(said)))),
    }
}

/// Telemetry that nobody receives.
pub(crate) fn untold(target: &Target) -> Telemetry {
    let (spans, metrics) =
        (Vec::<Outlet<opentelemetry_otlp::SpanExporter>>::new(), Vec::<Outlet<opentelemetry_otlp::MetricExporter>>::new());
    Telemetry::to(spans, metrics, target)
}

pub(crate) async fn plays(scenario: Scenario, target: &Target, options: &Options) -> Result<Played, ApiOutcome> {
    std::fs::create_dir_all(&target.state_dir).unwrap();
    let telemetry = untold(target);
    let interrupt = tokio::sync::watch::channel(false).1;
    let backstage = Backstage { options, telemetry: &telemetry, audience: &Nobody, interrupt, is_watched: false };
    play(scenario, target, &backstage).await
}

/// Changes the hub, the target or the options.
type Change = Box<dyn Fn(&Hub, &mut Target, &mut Options)>;

/// A hub, and what must come of each step.
pub(crate) struct Case {
    /// What is special about the hub.
    what: &'static str,
    profile: Profile,
    gemini: Option<Gemini>,
    options: Options,
    /// Each step with its verdict: `+` pass, `-` fail, `?` not verifiable, `0` not applicable; `*` depends on the moment.
    steps: &'static str,
    change: Change,
    has_processes: bool,
}

pub(crate) fn case(what: &'static str, profile: Profile, steps: &'static str) -> Case {
    Case { what, profile, gemini: None, options: options(), steps, change: Box::new(|_, _, _| ()), has_processes: false }
}

impl Case {
    pub(crate) fn gemini(self, gemini: Gemini) -> Self {
        Self { gemini: Some(gemini), ..self }
    }

    pub(crate) fn option(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// The hub and its servers have real processes.
    pub(crate) fn with_processes(self) -> Self {
        Self { has_processes: true, ..self }
    }

    /// Changes the hub, the target or the options before the scenario begins.
    pub(crate) fn with(self, change: impl Fn(&Hub, &mut Target, &mut Options) + 'static) -> Self {
        Self { change: Box::new(change), ..self }
    }

    async fn play(&self, scenario: Scenario) -> (Hub, Played) {
        let profile = self.profile.clone();
        let hub = if self.has_processes { Hub::with_processes(profile).await } else { Hub::start(profile).await };
        hub.inside(|live| live.set_gemini(self.gemini.clone()));
        let (mut target, mut options) = (target(&hub), self.options.clone());
        (self.change)(&hub, &mut target, &mut options);
        let played = plays(scenario, &target, &options).await;
        let played = played.unwrap_or_else(|outcome| panic!("{}: {outcome:?}", self.what));
        (hub, played)
    }
}

pub(crate) fn sign(verdict: StepVerdict) -> char {
    match verdict {
        StepVerdict::Pass => '+',
        StepVerdict::Fail => '-',
        StepVerdict::NotVerifiable => '?',
        StepVerdict::NotApplicable => '0',
    }
}

pub(crate) fn signs(played: &Played) -> String {
    played.steps.iter().map(|step| format!("{}{}", step.id, sign(step.verdict))).collect::<Vec<_>>().join(" ")
}

fn matches(signs: &str, wanted: &str) -> bool {
    let is_one =
        |(sign, wanted): (&str, &str)| sign == wanted || wanted.strip_suffix('*').is_some_and(|id| sign[..sign.len() - 1] == *id);
    signs.split(' ').count() == wanted.split(' ').count() && signs.split(' ').zip(wanted.split(' ')).all(is_one)
}

fn explained(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut text, step| {
        writeln!(text, "  {}{} {}: {}", step.id, sign(step.verdict), step.holds, step.detail).unwrap();
        text
    })
}

/// Plays all cases at once, and holds each against its table; together they must give each step each of its `possible` verdicts, and
/// no other. Returns the hubs with what was played on them.
pub(crate) async fn plays_as(scenario: Scenario, possible: &str, cases: Vec<Case>) -> Vec<(Hub, Played)> {
    hubwatch::base::tls::choose_provider();
    let played = join_all(cases.iter().map(|case| case.play(scenario))).await;
    let mut wrong = String::new();
    let mut seen: BTreeMap<&str, BTreeSet<char>> = BTreeMap::new();
    for (case, (_, played)) in cases.iter().zip(&played) {
        for step in &played.steps {
            seen.entry(step.id).or_default().insert(sign(step.verdict));
        }
        let signs = signs(played);
        if !matches(&signs, case.steps) {
            writeln!(wrong, "{scenario}, {}:\n  wanted {}\n  came   {signs}\n{}", case.what, case.steps, explained(&played.steps))
                .unwrap();
        }
        assert!(played.steps.iter().all(|step| !step.detail.is_empty()), "{}", explained(&played.steps));
        let known = played.steps.iter().filter(|step| step.known_defect.is_some());
        assert!(known.clone().all(|step| step.verdict == StepVerdict::Fail), "{}", explained(&played.steps));
    }
    assert!(wrong.is_empty(), "{wrong}");
    let declared: BTreeMap<&str, BTreeSet<char>> = possible
        .split_whitespace()
        .map(|word| {
            let (id, verdicts) = word.split_at(word.find(['+', '-', '?']).unwrap());
            (id, verdicts.chars().collect())
        })
        .collect();
    assert_eq!(seen, declared, "{scenario}: each step has each verdict that it can have");
    let steps: BTreeSet<&str> = scenario.steps().iter().chain([&UNHARMED]).map(|step| step.id).collect();
    assert_eq!(declared.keys().copied().collect::<BTreeSet<_>>(), steps);
    played
}

/// The step of this number.
pub(crate) fn step<'p>(played: &'p Played, id: &str) -> &'p Step {
    played.steps.iter().find(|step| step.id == id).unwrap()
}
