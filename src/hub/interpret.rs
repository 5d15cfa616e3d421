//! From lines and polls to facts: each thing that happened on the hub becomes one fact with its time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::watch::{
    ApiOutcome, ApiPoll, ClientConnected, ClientDisconnected, Count, FactKind, GeminiRoundFailed, HubExited, HubReachable,
    HubStarted, HubStateChanged, HubStopped, HubStopping, HubUnreachable, Level, Lines, LogFilePoll, LogShape, LogVolume, Micros,
    Poll, ProcessPoll, RecordUid, ServerPoll, ServerStartFailed, SessionClosed, SessionHash, SessionOpened, Source, Text,
    Timestamp, When,
};

use super::calls::{Calls, EndedCall, LineContext};
use super::clients::Clients;
use super::line::{LogLine, parse};
use super::meaning::{self, Meaning};
use super::servers::{Noticed, Servers};
use super::storms::Storms;
use super::{api, mask};

/// An error this shortly before the hub's stop is its cause: the fork's error helper raises SIGTERM in the same millisecond
/// (hub notes, "An invalid Gemini key stops the hub").
pub const CAUSE_WINDOW: Micros = Micros::new(50_000);

/// The hub notes its own start some milliseconds after its first line; two starts this close are one.
pub const SAME_START: Micros = Micros::new(10_000_000);

/// Kinds of warnings and errors that are told apart in one interval; further ones are counted together.
pub const MAX_TEMPLATES: usize = 64;

/// What is counted together once [`MAX_TEMPLATES`] is reached.
pub const OTHER_TEMPLATES: &str = "(other lines)";

/// A line as it was read.
#[derive(Debug, Clone, Copy)]
pub struct RawLine<'a> {
    /// Its text, without the line end.
    pub text: &'a str,
    /// Its record.
    pub uid: RecordUid,
    /// Its length in the file, with the line end.
    pub size: u64,
    /// When it was read.
    pub read: Timestamp,
    /// When the source's end was last reached before: an untimed line was written after that.
    pub earliest: Timestamp,
    /// Whether it was there before the present process of the hub: it goes out, but is no fact of this run.
    pub historic: bool,
}

/// What is known of a line after it was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreted<'a> {
    /// When it was written.
    pub when: When,
    /// Its level, where it has one.
    pub level: Option<Level>,
    /// Its message with secrets masked.
    pub text: Cow<'a, str>,
    /// Whether it stands behind a storm's count instead of going out.
    pub collapsed: bool,
    /// The record that began the call it belongs to.
    pub call: Option<RecordUid>,
}

/// Where a fact comes from, for its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// A line, and which of the facts of that line it is.
    Line(RecordUid, u32),
    /// The poll or the sidecar itself: its place in the Watch.
    Watch,
}

/// A fact without its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFact {
    /// Where it comes from.
    pub evidence: Evidence,
    /// When it happened.
    pub when: When,
    /// What showed it.
    pub source: Source,
    /// What it was.
    pub kind: FactKind,
}

/// What a poll brought back.
#[derive(Debug, Clone)]
pub struct PollAnswer {
    /// When the first request went out.
    pub asked: Timestamp,
    /// When the last answer was there.
    pub now: Timestamp,
    /// `GET /api/health`.
    pub health: Result<api::Health, ApiOutcome>,
    /// How long it took.
    pub health_duration: Micros,
    /// `GET /api/servers` and how long it took; `None` if it was not asked.
    pub servers: Option<(Result<api::Servers, ApiOutcome>, Micros)>,
    /// The hub's process, where it can be seen.
    pub process: Option<ProcessPoll>,
    /// The log file.
    pub log_file: Option<LogFilePoll>,
    /// Event-stream subscriptions of our own, to be subtracted.
    pub own_subscribers: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct HubLife {
    /// Whether the last poll was answered; `None` before the first.
    reachable: Option<bool>,
    last_answered: Option<Timestamp>,
    state: Option<String>,
    pid: Option<u32>,
    /// When the present process started.
    started: Option<When>,
    /// Whether a stop of the present process was seen in the log.
    stopping: bool,
    exit_reported: bool,
    process_seen: bool,
}

/// All that is carried from line to line and from poll to poll.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interpreter {
    calls: Calls,
    servers: Servers,
    clients: Clients,
    storms: Storms,
    hub: HubLife,
    /// Timed lines before this are of an earlier process of the hub: they go out, but are no facts of this run.
    facts_since: Option<Timestamp>,
    model: Option<String>,
    last_time: Option<Timestamp>,
    last_error: Option<(Timestamp, Text)>,
    notable: BTreeMap<Level, BTreeMap<String, u64>>,
    volume: LogVolume,
    json_shape: Option<LogShape>,
    bare_lines: bool,
    facts: Vec<PendingFact>,
    #[serde(skip)]
    ended: Vec<EndedCall>,
    #[serde(skip)]
    key: [u8; 32],
}

/// What an interval brought, besides its poll.
#[derive(Debug)]
pub struct Harvest {
    /// The facts, in the order in which they were learned.
    pub facts: Vec<PendingFact>,
    /// What was read from the log.
    pub volume: LogVolume,
    /// In which shape.
    pub shape: Option<LogShape>,
}

impl Interpreter {
    /// Knows nothing yet. The key hides session ids.
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            calls: Calls::default(),
            servers: Servers::default(),
            clients: Clients::default(),
            storms: Storms::default(),
            hub: HubLife::default(),
            facts_since: None,
            model: None,
            last_time: None,
            last_error: None,
            notable: BTreeMap::new(),
            volume: LogVolume::default(),
            json_shape: None,
            bare_lines: false,
            facts: Vec::new(),
            ended: Vec::new(),
            key,
        }
    }

    /// Takes up what an earlier run of the sidecar knew.
    #[must_use]
    pub fn with_key(mut self, key: [u8; 32]) -> Self {
        self.key = key;
        self
    }

    /// Lines whose own time is before this are no facts of this run.
    pub fn facts_since(&mut self, since: Timestamp) {
        self.facts_since = Some(since);
    }

    /// How many facts wait for the end of the interval.
    pub fn pending(&self) -> usize {
        self.facts.len()
    }

    /// The Gemini model that the hub says it uses.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// When the hub's present process started, as far as it is known.
    pub fn hub_started(&self) -> Option<When> {
        self.hub.started
    }

    /// Something that the sidecar itself noticed.
    pub fn notice(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Sidecar, kind: kind.into() });
    }

    /// Takes a line in.
    pub fn line<'a>(&mut self, raw: RawLine<'a>) -> Interpreted<'a> {
        let line = parse(raw.text);
        let when = self.when(&line, &raw);
        let at = when.latest();
        self.count(&line, raw.size);
        let collapsed = self.storms.line(&line.text, raw.size, at);
        if collapsed {
            self.volume.collapsed = self.volume.collapsed.plus(1);
        }
        let mut call = None;
        let earlier = line.time.zip(self.facts_since).is_some_and(|(time, since)| time < since);
        if !raw.historic && !earlier {
            if let Some(model) = line.model.as_deref().filter(|_| self.model.is_none()) {
                self.model = Some(model.to_owned());
            }
            call = self.facts_of(&line, raw.uid, when);
        }
        let text = if mask::has_secrets(&line.text) { Cow::Owned(mask::secrets(&line.text, &self.key)) } else { line.text };
        Interpreted { when, level: line.level, text, collapsed, call }
    }

    fn when(&mut self, line: &LogLine<'_>, raw: &RawLine<'_>) -> When {
        if let Some(time) = line.time {
            self.last_time = Some(time);
            return When::At(time);
        }
        let earliest = self.last_time.map_or(raw.earliest, |last| last.max(raw.earliest));
        When::between(earliest.min(raw.read), raw.read)
    }

    fn count(&mut self, line: &LogLine<'_>, size: u64) {
        let volume = &mut self.volume;
        volume.lines = volume.lines.plus(1);
        volume.bytes = volume.bytes.plus(size);
        let of_level = match line.level {
            Some(Level::Debug) => &mut volume.debug,
            Some(Level::Info) => &mut volume.info,
            Some(Level::Warn) => &mut volume.warn,
            Some(Level::Error) => &mut volume.error,
            None => &mut volume.unlevelled,
        };
        *of_level = of_level.plus(1);
        match (line.shape, self.json_shape) {
            (LogShape::LegacyFile, _) => self.bare_lines = true,
            (shape, None) => self.json_shape = Some(shape),
            (shape, Some(before)) if shape != before => self.json_shape = Some(LogShape::Mixed),
            _ => {}
        }
    }

    /// Bare lines beside JSON lines are stack traces, not another shape.
    fn shape(&self) -> Option<LogShape> {
        self.json_shape.or(self.bare_lines.then_some(LogShape::LegacyFile))
    }

    fn facts_of(&mut self, line: &LogLine<'_>, uid: RecordUid, when: When) -> Option<RecordUid> {
        let at = when.latest();
        self.group(line, at);
        let meaning = meaning::of(&line.text)?;
        let mut said = Said { uid, when, facts: Vec::new() };
        self.of_hub(meaning, line, &mut said);
        self.of_server(meaning, &mut said);
        self.of_client(meaning, line, &mut said);
        let session = line.session.as_deref().map(|session| SessionHash::of(session, &self.key));
        if let Meaning::GeminiFailed(failure) = meaning {
            said.say(GeminiRoundFailed { failure });
        }
        let ended = self.calls.line(meaning, self.masked(&line.text).as_str(), LineContext { uid, at, session });
        for call in &ended {
            said.say(call.fact.clone());
        }
        self.ended.extend(ended);
        self.facts.append(&mut said.facts);
        self.calls.touched()
    }

    /// The text without secrets.
    fn masked(&self, text: &str) -> Text {
        Text::new(mask::secrets(text, &self.key))
    }

    fn group(&mut self, line: &LogLine<'_>, at: Timestamp) {
        let Some(level @ (Level::Warn | Level::Error)) = line.level else { return };
        if level == Level::Error {
            self.last_error = Some((at, self.masked(&line.text)));
        }
        let mut template = mask::template(&mask::secrets(&line.text, &self.key));
        let counts = self.notable.entry(level).or_default();
        if counts.len() >= MAX_TEMPLATES && !counts.contains_key(&template) {
            template = OTHER_TEMPLATES.to_owned();
        }
        *counts.entry(template).or_default() += 1;
    }

    fn of_hub(&mut self, meaning: Meaning<'_>, line: &LogLine<'_>, said: &mut Said) {
        match meaning {
            Meaning::HubStarting => {
                self.hub_begins(line.pid, said.when);
                said.say(HubStarted { pid: line.pid });
                let unknown = self.servers.hub_started(said.when);
                said.noticed(unknown);
            }
            Meaning::HubStopping { signal } => {
                let at = said.when.latest();
                let near = |error: &&(Timestamp, Text)| at.since(error.0) <= CAUSE_WINDOW;
                let cause = self.last_error.as_ref().filter(near).map(|(_, text)| text.clone());
                self.hub.stopping = true;
                self.servers.hub_stopping();
                said.say(HubStopping { signal: Some(Text::new(signal)), cause });
            }
            Meaning::HubStopped => {
                self.hub.stopping = true;
                said.say(HubStopped {});
            }
            _ => {}
        }
    }

    fn hub_begins(&mut self, pid: Option<u32>, when: When) {
        self.hub.started = Some(when);
        self.hub.pid = pid;
        self.hub.stopping = false;
        self.hub.exit_reported = false;
        self.clients.clear();
    }

    fn of_server(&mut self, meaning: Meaning<'_>, said: &mut Said) {
        let when = said.when;
        let noticed = match meaning {
            Meaning::ServerStarting(name) => self.servers.starting(name, when),
            Meaning::ServerConnected(name) => self.servers.connected(name, when),
            Meaning::ServerClosed(name) => self.servers.closed(name, when),
            Meaning::ServerFailed { server, error } => {
                let error = self.masked(error);
                said.say(ServerStartFailed { server: Text::new(server), error: error.clone() });
                self.servers.failed(server, error.as_str(), when)
            }
            _ => None,
        };
        said.noticed(noticed);
    }

    fn of_client(&mut self, meaning: Meaning<'_>, line: &LogLine<'_>, said: &mut Said) {
        match meaning {
            Meaning::ClientConnected(name) => {
                self.clients.connected(name);
                said.say(ClientConnected { client: Text::new(name) });
            }
            Meaning::ClientDisconnected(name) if self.clients.disconnected(name, said.when.latest()) => {
                said.say(ClientDisconnected { client: Text::new(name) });
            }
            Meaning::SessionOpened => {
                let session = line.session.as_deref().map(|session| SessionHash::of(session, &self.key));
                said.say(SessionOpened { session });
            }
            Meaning::SessionClosed(session) => {
                said.say(SessionClosed { session: Some(SessionHash::of(session, &self.key)) });
            }
            _ => {}
        }
    }

    /// Takes a poll in.
    pub fn poll(&mut self, answer: &PollAnswer) -> Poll {
        let servers = self.poll_servers(answer);
        self.poll_hub(answer);
        Poll { api: api_poll(answer), process: answer.process.clone(), log_file: answer.log_file.clone(), servers }
    }

    fn poll_servers(&mut self, answer: &PollAnswer) -> Vec<ServerPoll> {
        if let Ok(health) = &answer.health {
            self.new_process(health, answer);
        }
        let Some((Ok(servers), _)) = &answer.servers else { return Vec::new() };
        let (mut polls, noticed) = self.servers.poll(servers, answer.asked, answer.now);
        self.noticed(noticed);
        for error in polls.iter_mut().filter_map(|poll| poll.error.as_mut()) {
            *error = self.masked(error.as_str());
        }
        polls
    }

    fn poll_hub(&mut self, answer: &PollAnswer) {
        let answered = match &answer.health {
            Ok(_) => true,
            Err(outcome) => outcome.answered(),
        };
        let since = self.hub.last_answered.unwrap_or(answer.asked);
        let when = When::between(since, answer.now);
        match (self.hub.reachable, answered) {
            (Some(true), false) | (None, false) => self.lost(answer, when),
            (Some(false), true) => {
                let restarted = self.hub.started.map(|started| started.latest() > since);
                self.say(when, HubReachable { restarted });
            }
            _ => {}
        }
        self.exit(answer, when);
        self.hub.reachable = Some(answered);
        self.hub.process_seen = answer.process.is_some();
        if answered {
            self.hub.last_answered = Some(answer.now);
        }
        if let Ok(health) = &answer.health {
            self.state(&health.state, when);
        }
    }

    fn lost(&mut self, answer: &PollAnswer, when: When) {
        let outcome = answer.health.as_ref().err().copied().unwrap_or(ApiOutcome::Unreachable);
        self.say(when, HubUnreachable { outcome });
        let unknown = self.servers.hub_gone(when);
        self.noticed(unknown);
        self.hub.state = None;
    }

    /// The process was there and is gone, and no line said that it would go.
    fn exit(&mut self, answer: &PollAnswer, when: When) {
        let unanswered = answer.health.as_ref().is_err_and(|outcome| !outcome.answered());
        let gone = self.hub.process_seen && answer.process.is_none() && unanswered;
        if gone && !self.hub.stopping && !self.hub.exit_reported {
            self.exited(when);
        }
    }

    fn exited(&mut self, when: When) {
        self.hub.exit_reported = true;
        let cause = self.last_error.as_ref().filter(|(at, _)| when.latest().since(*at) <= SAME_START).map(|(_, text)| text.clone());
        self.say(when, HubExited { pid: self.hub.pid, cause });
    }

    /// Another process answers than before.
    fn new_process(&mut self, health: &api::Health, answer: &PollAnswer) {
        let Some(started) = health.workspace().and_then(|workspace| workspace.started) else { return };
        let pid = health.workspace().and_then(|workspace| workspace.pid);
        let known = self.hub.started;
        let same =
            known.is_some_and(|known| started.plus(SAME_START) >= known.earliest() && started <= known.latest().plus(SAME_START));
        if same || known.is_none() {
            self.hub.started = Some(When::At(started));
            self.hub.pid = pid.or(self.hub.pid);
            return;
        }
        let ended = When::between(self.hub.last_answered.unwrap_or(answer.asked).min(started), started);
        if !self.hub.stopping && !self.hub.exit_reported {
            self.exited(ended);
        }
        self.hub_begins(pid, When::At(started));
        self.say(When::At(started), HubStarted { pid });
        let unknown = self.servers.hub_started(When::At(started));
        self.noticed(unknown);
    }

    fn state(&mut self, state: &str, when: When) {
        let before = self.hub.state.replace(state.to_owned());
        if let Some(before) = before.filter(|before| before != state) {
            self.say(when, HubStateChanged { from: Text::new(before), to: Text::new(state) });
        }
    }

    fn say(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Poll, kind: kind.into() });
    }

    fn noticed(&mut self, noticed: impl IntoIterator<Item = Noticed>) {
        let pending = noticed.into_iter().map(|noticed| PendingFact {
            evidence: Evidence::Watch,
            when: noticed.when,
            source: noticed.source,
            kind: noticed.kind,
        });
        self.facts.extend(pending);
    }

    /// The calls that ended since it was last asked; each is among the facts, too.
    pub fn ended_calls(&mut self) -> Vec<EndedCall> {
        std::mem::take(&mut self.ended)
    }

    /// Ends the interval: gives what it brought and begins to count anew.
    pub fn harvest(&mut self, now: Timestamp) -> Harvest {
        let lost = self.calls.give_up(now);
        for call in &lost {
            self.say_from_log(When::At(now), call.fact.clone());
        }
        self.ended.extend(lost);
        for mut storm in self.storms.report(now) {
            storm.line = self.masked(storm.line.as_str());
            self.say_from_log(When::between(storm.first, storm.last), storm);
        }
        for (level, counts) in std::mem::take(&mut self.notable) {
            for (template, count) in counts {
                self.say_from_log(When::At(now), Lines { level, template: Text::new(template), count: Count::new(count) });
            }
        }
        let shape = self.shape();
        self.json_shape = None;
        self.bare_lines = false;
        Harvest { facts: std::mem::take(&mut self.facts), volume: std::mem::take(&mut self.volume), shape }
    }

    fn say_from_log(&mut self, when: When, kind: impl Into<FactKind>) {
        self.facts.push(PendingFact { evidence: Evidence::Watch, when, source: Source::Log, kind: kind.into() });
    }
}

/// The facts that one line states.
struct Said {
    uid: RecordUid,
    when: When,
    facts: Vec<PendingFact>,
}

impl Said {
    fn say(&mut self, kind: impl Into<FactKind>) {
        let ordinal = u32::try_from(self.facts.len()).unwrap_or(u32::MAX);
        let evidence = Evidence::Line(self.uid, ordinal);
        self.facts.push(PendingFact { evidence, when: self.when, source: Source::Log, kind: kind.into() });
    }

    fn noticed(&mut self, noticed: impl IntoIterator<Item = Noticed>) {
        for noticed in noticed {
            self.say(noticed.kind);
        }
    }
}

fn api_poll(answer: &PollAnswer) -> ApiPoll {
    let health = answer.health.as_ref().ok();
    let workspace = health.and_then(api::Health::workspace);
    let endpoint = health.and_then(|health| health.mcp_endpoint.as_ref());
    ApiPoll {
        health: answer.health.as_ref().err().copied().unwrap_or(ApiOutcome::Ok),
        health_duration: answer.health_duration,
        servers: answer.servers.as_ref().map(|(servers, _)| servers.as_ref().err().copied().unwrap_or(ApiOutcome::Ok)),
        servers_duration: answer.servers.as_ref().map(|(_, duration)| *duration),
        state: health.map(|health| Text::new(&*health.state)),
        version: health.and_then(|health| health.version.as_deref()).map(Text::from),
        pid: workspace.and_then(|workspace| workspace.pid),
        started: workspace.and_then(|workspace| workspace.started),
        mcp_clients: endpoint.and_then(|endpoint| endpoint.clients),
        subscribers: health.and_then(|health| health.subscribers).map(|seen| seen.saturating_sub(answer.own_subscribers)),
        tools: endpoint.and_then(|endpoint| endpoint.registered.as_ref()).and_then(|registered| registered.tools),
    }
}
