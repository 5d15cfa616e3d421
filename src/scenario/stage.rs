//! The stage: what a scenario acts with. It keeps the steps, the clients, and the rules that keep a hub alive.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::actor::Actor;
use super::analysis::{self, Analysis, META_TOOL, NoAnalysis};
use super::measure::Measures;
use super::outcome::{Outcome, Step};
use super::plan::{Scenario, StepSpec};
use super::probe::{Exposure, Exposures, Probe};
use super::run::{Audience, Event};
use super::survey::Survey;
use super::target::{Options, Target};
use super::telemetry::{ScenarioSpan, Telemetry};
use super::teller::Teller;
use crate::hub::api::Health;
use crate::judge::moment::Moment;
use crate::mcp::{Answer, Client, Closing, McpError, TransportKind};
use crate::watch::{ApiOutcome, MeasuredByClient, Micros, StepVerdict, Timestamp};

/// Clients that leave together block a hub for seconds; with this pause between them its slowest answer took 0.23 s.
const BETWEEN_CLOSES: Duration = Duration::from_millis(500);

/// While the hub answers more slowly than this, nobody else leaves.
const CALM: Duration = Duration::from_secs(1);

/// How often a state that is awaited is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The user wants it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interrupted;

/// Tells whether the user wants it to end.
pub(super) type Interrupt = tokio::sync::watch::Receiver<bool>;

/// The stage of one run of a scenario.
pub(super) struct Stage<'a> {
    pub target: &'a Target,
    pub options: &'a Options,
    pub scenario: Scenario,
    /// What was known of the hub before.
    pub survey: &'a Survey,
    pub probes: Vec<Probe>,
    pub measures: Measures,
    /// What people should know beside the steps.
    pub notes: RefCell<Vec<String>>,
    pub span: &'a ScenarioSpan,
    telemetry: &'a Telemetry,
    audience: &'a dyn Audience,
    teller: &'a Teller,
    interrupt: RefCell<Interrupt>,
    steps: RefCell<Vec<Step>>,
    actors: RefCell<Vec<Rc<Actor>>>,
    /// Connections that were being opened when nobody waited for them any more: they are closed in good order, too.
    opening: RefCell<Vec<JoinHandle<Result<Client, McpError>>>>,
    last_close: Cell<Option<Instant>>,
}

/// What a stage is made of.
pub(super) struct Props<'a> {
    pub target: &'a Target,
    pub options: &'a Options,
    pub scenario: Scenario,
    pub survey: &'a Survey,
    pub probes: Vec<Probe>,
    pub span: &'a ScenarioSpan,
    pub telemetry: &'a Telemetry,
    pub audience: &'a dyn Audience,
    pub teller: &'a Teller,
    pub interrupt: Interrupt,
}

impl<'a> Stage<'a> {
    pub(super) fn new(props: Props<'a>) -> Self {
        let Props { target, options, scenario, survey, probes, span, telemetry, audience, teller, interrupt } = props;
        Self {
            target,
            options,
            scenario,
            survey,
            probes,
            measures: Measures::default(),
            notes: RefCell::default(),
            span,
            telemetry,
            audience,
            teller,
            interrupt: RefCell::new(interrupt),
            steps: RefCell::default(),
            actors: RefCell::default(),
            opening: RefCell::default(),
            last_close: Cell::new(None),
        }
    }

    // Steps

    /// Begins a step: people see what is awaited.
    pub(super) fn begin(&self, id: &'static str) -> Result<Awaited<'_, 'a>, Interrupted> {
        if *self.interrupt.borrow().borrow() {
            return Err(Interrupted);
        }
        let spec = self.scenario.steps().iter().find(|step| step.id == id).copied();
        Ok(self.begin_spec(spec.unwrap_or(StepSpec { id, holds: "" })))
    }

    pub(super) fn begin_spec(&self, spec: StepSpec) -> Awaited<'_, 'a> {
        self.audience.hear(&Event::Awaiting { id: spec.id, holds: spec.holds });
        Awaited { stage: self, spec, began: Timestamp::now(), since: Instant::now() }
    }

    /// The steps so far.
    pub(super) fn steps(&self) -> std::cell::Ref<'_, Vec<Step>> {
        self.steps.borrow()
    }

    /// Says something beside the steps.
    pub(super) fn say(&self, text: impl Into<String>) {
        let text = text.into();
        self.audience.hear(&Event::Said(&text));
        self.notes.borrow_mut().push(text);
    }

    /// Hands what was measured so far to the watch: what a long scenario measured is not lost if it is killed.
    pub(super) fn tell_measured(&self) {
        self.measures.take().iter().for_each(|measured| self.teller.measured(measured));
    }

    /// Whether a watch is told.
    pub(super) fn is_told(&self) -> bool {
        self.teller.is_heard()
    }

    /// Why the scenario could not go on, if a step says so.
    pub(super) fn first_that_stopped(&self) -> Option<String> {
        let steps = self.steps.borrow();
        let last = steps.last().filter(|step| step.verdict != StepVerdict::Pass)?;
        Some(format!("step {} stopped it", last.id))
    }

    /// The steps and the notes.
    pub(super) fn into_parts(self) -> (Vec<Step>, Vec<String>) {
        (self.steps.into_inner(), self.notes.into_inner())
    }

    // Waiting

    /// Waits for this, unless the user wants it to end. What is waited for goes on to exist: an answer that comes later is taken up.
    pub(super) async fn until<T>(&self, what: impl Future<Output = T>) -> Result<T, Interrupted> {
        let mut interrupt = self.interrupt.borrow().clone();
        let interrupted = async {
            if interrupt.wait_for(|wanted| *wanted).await.is_err() {
                // A sender that is gone can't interrupt any more.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = interrupted => Err(Interrupted),
            value = what => Ok(value),
        }
    }

    /// Lets time pass.
    pub(super) async fn pause(&self, length: Duration) -> Result<(), Interrupted> {
        self.until(tokio::time::sleep(length)).await
    }

    /// Looks again and again until the answer is there; `None` if the time passes without one.
    pub(super) async fn await_that<T, F: Future<Output = Option<T>>>(
        &self,
        within: Duration,
        look: impl Fn() -> F,
    ) -> Result<Option<T>, Interrupted> {
        let end = Instant::now() + within;
        loop {
            if let Some(found) = self.until(look()).await? {
                return Ok(Some(found));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            self.pause(LOOK).await?;
        }
    }

    // The API

    /// Asks for the hub's health, and measures it.
    pub(super) async fn health(&self) -> Result<Health, ApiOutcome> {
        let (health, took) = self.target.hub.health().await;
        self.measures.add(MeasuredByClient::ApiRequest, took.as_duration(), health.is_ok());
        health
    }

    /// The number of MCP clients that the hub counts.
    pub(super) async fn clients(&self) -> Option<u32> {
        self.health().await.ok()?.mcp_endpoint?.clients
    }

    // Clients

    /// Connects a client, handshake included.
    pub(super) async fn connect(&self, label: &str) -> Result<Rc<Actor>, McpError> {
        let client = self.open().await?;
        let actor = Rc::new(Actor::new(label, client));
        // It is known from here on, so that it is closed in good order whatever happens.
        self.actors.borrow_mut().push(Rc::clone(&actor));
        let name = format!("hubwatch-{}-{label}", self.scenario);
        let Some(client) = actor.client() else { return Ok(actor) };
        let span = self.telemetry.request(self.span, "initialize", None, client.session());
        let began = Instant::now();
        let answer = client.handshake_with(&name, span.meta()).await;
        span.end(&answer, began.elapsed());
        let answer = answer?;
        match answer.outcome {
            Ok(_) => Ok(actor),
            Err(error) => Err(McpError::NotMcp { why: format!("initialize answers {error}") }),
        }
    }

    /// Opens a client's connection. If this is given up, the connection is opened all the same: breaking it off would be one client
    /// more that leaves at the same time as others.
    async fn open(&self) -> Result<Client, McpError> {
        struct Opening<'s>(&'s RefCell<Vec<JoinHandle<Result<Client, McpError>>>>, Option<JoinHandle<Result<Client, McpError>>>);
        impl Drop for Opening<'_> {
            fn drop(&mut self) {
                self.0.borrow_mut().extend(self.1.take());
            }
        }
        let (endpoint, limits) = (self.target.endpoint.clone(), self.options.patience.connection);
        let open = async move { Client::open(&endpoint, TransportKind::HttpSse, limits).await };
        let mut opening = Opening(&self.opening, Some(tokio::spawn(open)));
        let opened = match &mut opening.1 {
            Some(handle) => handle.await,
            None => return Err(McpError::Ended { how: crate::mcp::Ended::Ours(Closing::Finish) }),
        };
        opening.1 = None;
        opened.unwrap_or_else(|error| Err(McpError::NotMcp { why: error.to_string() }))
    }

    /// Sends a request of a client, with its trace.
    pub(super) async fn request(&self, actor: &Actor, method: &str, params: Value, within: Duration) -> Result<Answer, McpError> {
        let Some(client) = actor.client() else {
            return Err(McpError::Ended { how: crate::mcp::Ended::Ours(Closing::Finish) });
        };
        let tool = (method == "tools/call").then(|| params["name"].as_str()).flatten();
        let span = self.telemetry.request(self.span, method, tool, client.session());
        let mut params = if params.is_null() { json!({}) } else { params };
        params["_meta"] = span.meta();
        let began = Instant::now();
        let answer = client.request_within(method, params, within).await;
        span.end(&answer, began.elapsed());
        answer
    }

    /// Has a client call the meta-tool, and measures it.
    pub(super) async fn analyze(&self, actor: &Actor, prompt: &str) -> Result<Analysis, NoAnalysis> {
        let began = Instant::now();
        let read = self.analyze_unmeasured(actor, prompt).await;
        let took = read.as_ref().map_or_else(|_| began.elapsed(), |analysis| analysis.took);
        self.measures.add(MeasuredByClient::MetaToolCall, took, read.is_ok());
        if let Ok(analysis) = &read {
            actor.note_returned(&analysis.categories);
        }
        read
    }

    /// Has a client call the meta-tool in a way that is meant to fail: no measure of the hub.
    pub(super) async fn analyze_unmeasured(&self, actor: &Actor, prompt: &str) -> Result<Analysis, NoAnalysis> {
        let params = json!({"name": META_TOOL, "arguments": {"prompt": prompt}});
        match self.request(actor, "tools/call", params, self.options.patience.meta_tool).await {
            Ok(answer) => analysis::read(&answer),
            Err(error) => Err(NoAnalysis::NoAnswer(error)),
        }
    }

    /// Has a client call a probe's tool.
    pub(super) async fn call(&self, actor: &Actor, probe: &Probe) -> Result<Answer, McpError> {
        let params = json!({"name": probe.name(), "arguments": {}});
        let answer = self.request(actor, "tools/call", params, self.options.patience.tool).await;
        if let Ok(answer) = &answer {
            let succeeded = !answer.tool_result().is_error;
            // What is not exposed is refused at once: that is no tool's time.
            if succeeded {
                self.measures.add(MeasuredByClient::ToolCall, answer.took, true);
            }
        }
        answer
    }

    /// What a client may use, by all probes.
    pub(super) async fn exposures(&self, actor: &Actor) -> Exposures {
        let mut exposures = BTreeMap::new();
        for probe in &self.probes {
            let exposure = match self.call(actor, probe).await {
                Ok(answer) => Exposure::of(&answer, probe),
                Err(error) => Exposure::Unknown(error.to_string()),
            };
            exposures.insert(probe.category(), exposure);
        }
        exposures
    }

    /// Has a client leave, in good order: not while one of its calls is outstanding, half a second after the one before, and once the
    /// hub has calmed down. Returns whether it has left.
    pub(super) async fn leave(&self, actor: &Actor, how: Closing) -> bool {
        if let Some(client) = actor.client() {
            // Once its stream has ended, no answer can come, and the hub knows that the client is gone.
            if !client.settled(self.options.patience.outstanding).await && client.ended().is_none() {
                return false;
            }
        }
        self.rest().await;
        let Some(client) = actor.take() else { return true };
        // Before and after: this may be given up in between.
        self.last_close.set(Some(Instant::now()));
        client.close(how).await;
        self.last_close.set(Some(Instant::now()));
        self.actors.borrow_mut().retain(|other| other.client().is_some());
        self.calm().await;
        true
    }

    /// Waits until the next client may leave.
    async fn rest(&self) {
        if let Some(last) = self.last_close.get() {
            tokio::time::sleep_until(last + BETWEEN_CLOSES).await;
        }
    }

    /// Waits until the hub answers quickly again.
    async fn calm(&self) {
        let end = Instant::now() + self.options.patience.calm;
        loop {
            let (health, took) = self.target.hub.health().await;
            // An error that comes at once is that of a hub, or of a proxy before it, that is not busy.
            let is_busy = matches!(health, Err(ApiOutcome::Timeout)) || took.as_duration() >= CALM;
            if !is_busy || Instant::now() >= end {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has all clients leave. One whose call is outstanding is parked: it stays connected until its answer comes.
    pub(super) async fn all_leave(&self) {
        let opening = std::mem::take(&mut *self.opening.borrow_mut());
        for opening in opening {
            if let Ok(Ok(client)) = opening.await {
                self.actors.borrow_mut().push(Rc::new(Actor::new("that was connecting", client)));
            }
        }
        let actors = self.actors.borrow().clone();
        let mut parked = Vec::new();
        for actor in actors {
            if !self.leave(&actor, Closing::Finish).await {
                parked.push(actor);
            }
        }
        if parked.is_empty() {
            // The next scenario's first client may leave at once.
            self.rest().await;
            return;
        }
        self.say(format!(
            "{} of the clients still wait for an answer of the meta-tool; they stay connected until it comes (up to {} min), since leaving now can stop the hub",
            parked.len(),
            self.options.patience.parked.as_secs() / 60
        ));
        let end = Instant::now() + self.options.patience.parked;
        for actor in parked {
            if let Some(client) = actor.client() {
                client.settled(end.saturating_duration_since(Instant::now())).await;
            }
            if !self.leave(&actor, Closing::Finish).await {
                self.say(format!("client {} leaves without its answer", actor.label));
            }
        }
        self.rest().await;
    }
}

/// A step that was begun.
#[must_use = "a step that is begun is ended"]
pub(super) struct Awaited<'s, 'a> {
    stage: &'s Stage<'a>,
    spec: StepSpec,
    began: Timestamp,
    since: Instant,
}

impl Awaited<'_, '_> {
    /// Ends it. Returns whether it held.
    pub(super) fn end(self, outcome: Outcome) -> bool {
        let took = Micros::from_duration(self.since.elapsed());
        let step = Step {
            id: self.spec.id,
            holds: self.spec.holds.to_owned(),
            verdict: outcome.verdict(),
            detail: outcome.detail(),
            known_defect: match &outcome {
                Outcome::Fail { defect, .. } => defect.map(|defect| defect.link),
                Outcome::Pass(_) | Outcome::NotVerifiable { .. } | Outcome::NotApplicable(_) => None,
            },
            began: Moment(self.began),
            took_us: took,
        };
        let passed = step.verdict == StepVerdict::Pass;
        self.stage.span.step(&self.stage.teller.step(&step));
        self.stage.audience.hear(&Event::Step { scenario: self.stage.scenario, step: &step });
        self.stage.steps.borrow_mut().push(step);
        passed
    }
}
