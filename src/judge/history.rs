//! What happened over a period, put together from its Watches one by one. Pure; feeding a period at once or piece by piece gives
//! the same.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::watch::{
    ApiOutcome, CallEnded, CallOutcome, Fact, FactKind, GeminiOutcome, Liveness, LogShape, Micros, Pairing, Poll, ProcessPoll,
    ServerChanged, ServerPoll, Timestamp, Visibility, Watch, WatcherId,
};

/// Two Watches that are further apart than this leave a gap worth telling. Watches of a run touch; a second is a restart at its best.
pub const GAP: Micros = Micros::new(1_000_000);

/// A process that is younger than this is still starting: what it uses is no peak of its service.
pub const WARM_UP: Micros = Micros::new(60_000_000);

/// A stretch of time, in the report's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stretch {
    /// From when.
    pub from: Moment,
    /// To when; `None` where it went on beyond the period.
    pub to: Option<Moment>,
    /// What it was, or why.
    pub reason: String,
    /// How long, up to the period's end.
    pub duration_us: u64,
}

/// How well the period was watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Watches that were found.
    pub watches: u64,
    /// Watches that should be there, by their numbers, and are not.
    pub missing_watches: u64,
    /// Polls that were tried.
    pub polls: u64,
    /// Polls that the hub answered as a hub does.
    pub polls_answered: u64,
    /// How much of the period lies in Watches.
    pub covered_us: u64,
    /// How long the period is.
    pub period_us: u64,
    /// The share of the first in the second, in thousandths.
    pub share_permille: u64,
    /// The start of the first Watch.
    pub first: Option<Moment>,
    /// The end of the last one.
    pub last: Option<Moment>,
    /// Times when nobody watched, between the first and the last Watch.
    pub gaps: Vec<Stretch>,
}

/// A server over the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerHistory {
    /// Its name.
    pub name: String,
    /// How the hub reaches it.
    pub transport: String,
    /// The status that the hub last claimed.
    pub last_status: String,
    /// Whether it works, as last judged.
    pub last_liveness: Liveness,
    /// Why.
    pub last_reason: String,
    /// The hub's last error text about it.
    pub last_error: Option<String>,
    /// The states in which it may be, where somebody said so.
    pub expected: Vec<String>,
    /// Whether it never worked.
    pub never_up: bool,
    /// The fewest tools while it worked.
    pub tools_min: Option<u32>,
    /// The most tools.
    pub tools_max: Option<u32>,
    /// The tools that it last claimed to have.
    pub tools_last: u32,
    /// When it did not work, after it had.
    pub down: Vec<Stretch>,
    /// How often the number of its tools changed while it worked.
    pub tool_changes: u64,
}

/// The hub's process over the period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubHistory {
    /// Its last state.
    pub last_state: Option<String>,
    /// Its version, where it says one.
    pub version: Option<String>,
    /// When it started.
    pub starts: Vec<Moment>,
    /// When it stopped in good order or began to.
    pub stops: Vec<HubStop>,
    /// When its process ended without a word.
    pub exits: Vec<HubStop>,
    /// When it did not answer, though it had before; or if it never did.
    pub unreachable: Vec<Stretch>,
    /// How long the watch waited for a hub that was not there yet.
    pub awaited: Option<Stretch>,
}

/// An end of the hub's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubStop {
    /// When.
    pub at: Moment,
    /// Whether it said its last words.
    pub graceful: bool,
    /// The signal that it received.
    pub signal: Option<String>,
    /// What led to it.
    pub cause: Option<String>,
}

/// MCP clients and sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientHistory {
    /// Connects.
    pub connected: u64,
    /// Disconnects.
    pub disconnected: u64,
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sessions cleaned up.
    pub sessions_closed: u64,
    /// The most MCP clients at a poll.
    pub peak_mcp_clients: Option<u32>,
    /// The most event-stream subscribers at a poll.
    pub peak_subscribers: Option<u32>,
}

/// Meta-tool calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallHistory {
    /// How many ended.
    pub total: u64,
    /// By outcome.
    pub by_outcome: BTreeMap<String, u64>,
    /// Their mean duration.
    pub mean_us: Option<u64>,
    /// The duration that 95 of 100 keep to, of the calls whose beginning and end are certain.
    pub p95_us: Option<u64>,
    /// Calls whose pairing was a guess.
    pub guessed: u64,
    /// Calls that asked Gemini.
    pub gemini_asked: u64,
    /// Failed rounds.
    pub gemini_failed_rounds: u64,
    /// The mean duration of the Gemini part, of calls without a failed round.
    pub gemini_mean_us: Option<u64>,
    /// Calls whose Gemini part failed.
    pub gemini_failed: u64,
    /// Of these, those that fell back to keywords.
    pub fallbacks: u64,
}

/// The hub's process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessHistory {
    /// Polls at which it was seen.
    pub samples: u64,
    /// Processor time, of one core.
    pub cpu_mean_permille: Option<u64>,
    /// The most between two polls, the first minute of the process left out.
    pub cpu_peak_permille: Option<u64>,
    /// Mean resident memory.
    pub rss_mean_bytes: Option<u64>,
    /// The most.
    pub rss_peak_bytes: Option<u64>,
    /// The limit of its control group.
    pub memory_limit_bytes: Option<u64>,
    /// The host's memory.
    pub host_memory_bytes: Option<u64>,
    /// The most file descriptors.
    pub fds_peak: Option<u32>,
    /// The most threads.
    pub threads_peak: Option<u32>,
}

/// The log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogHistory {
    /// Lines that were read.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// By level; `none` is for lines whose shape has none.
    pub by_level: BTreeMap<String, u64>,
    /// Lines that stand behind a storm's count.
    pub collapsed: u64,
    /// The shapes that were seen.
    pub shapes: Vec<String>,
    /// The most frequent warnings and errors.
    pub notable: Vec<NotableLine>,
    /// Its last size.
    pub last_size_bytes: Option<u64>,
    /// The least free space of its file system.
    pub least_disk_free_bytes: Option<u64>,
    /// Bytes that nobody could read, as far as is known.
    pub lost_bytes: u64,
    /// Times that it could not be read.
    pub unreadable: u64,
    /// Lines that had to be cut.
    pub cut: u64,
    /// Lines with bytes that are not UTF-8.
    pub bad_utf8: u64,
}

/// Warnings or errors of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotableLine {
    /// `warn` or `error`.
    pub level: String,
    /// The text, its numbers and ids masked.
    pub text: String,
    /// How many.
    pub count: u64,
}

/// The API's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiHistory {
    /// Requests.
    pub requests: u64,
    /// Requests that were not answered as a hub answers, while it was there.
    pub failed: u64,
    /// The mean time of an answer.
    pub mean_us: Option<u64>,
    /// The longest.
    pub max_us: Option<u64>,
}

/// The period, put together.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    from: Timestamp,
    to: Timestamp,
    /// Coverage.
    pub coverage: Coverage,
    /// Servers by name.
    pub servers: BTreeMap<String, ServerHistory>,
    /// The hub.
    pub hub: HubHistory,
    /// Clients.
    pub clients: ClientHistory,
    /// Calls.
    pub calls: CallHistory,
    /// The process.
    pub process: ProcessHistory,
    /// The log.
    pub log: LogHistory,
    /// The API.
    pub api: ApiHistory,
    /// Storms by their line: occurrences, lines and bytes, first and last.
    pub storms: BTreeMap<String, StormHistory>,
    /// Failed Gemini rounds with their times.
    pub gemini_failures: Vec<(Moment, String)>,
    /// Clock jumps.
    pub clock_jumps: Vec<(Moment, i64)>,
    /// Watchers, and the builds, tool versions that they named.
    pub watchers: BTreeMap<WatcherId, u64>,
    /// Builds under test that were named.
    pub builds: Vec<String>,
    /// Whether any Watch could see meta-tool calls in the log.
    pub calls_visible: bool,
    /// Watches whose log was read, missing or off.
    pub log_visibility: BTreeMap<Visibility, u64>,
    /// Watches whose process was read, missing or off.
    pub process_visibility: BTreeMap<Visibility, u64>,
    sums: Sums,
}

/// The same line again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StormHistory {
    /// Collapsed lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first.
    pub first: Moment,
    /// The last.
    pub last: Moment,
}

/// What means and peaks are made from.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sums {
    last: Option<(WatcherId, u32, u64, Timestamp)>,
    api_us: u64,
    api_answers: u64,
    call_us: u64,
    clean_call_us: u64,
    clean_calls: u64,
    exact_us: Vec<u64>,
    gemini_us: u64,
    gemini_clean: u64,
    not_fallen_back: u64,
    cpu_us: u64,
    cpu_wall_us: u64,
    rss: u128,
    host_share_sum: u64,
    host_share_peak: u64,
    limit_share_peak: Option<u64>,
    last_process: Option<(ProcessPoll, Timestamp)>,
    notable: BTreeMap<(String, String), u64>,
    log_time_us: u64,
    failed_calls: u64,
}

impl History {
    /// Nothing fed yet.
    pub fn new(from: Timestamp, to: Timestamp, expected: &BTreeMap<String, Vec<String>>) -> Self {
        let servers = expected.iter().map(|(name, states)| (name.clone(), ServerHistory::new(name, states.clone())));
        Self {
            from,
            to,
            coverage: Coverage { period_us: to.since(from).get(), ..Coverage::default() },
            servers: servers.collect(),
            hub: HubHistory::default(),
            clients: ClientHistory::default(),
            calls: CallHistory::default(),
            process: ProcessHistory::default(),
            log: LogHistory::default(),
            api: ApiHistory::default(),
            storms: BTreeMap::new(),
            gemini_failures: Vec::new(),
            clock_jumps: Vec::new(),
            watchers: BTreeMap::new(),
            builds: Vec::new(),
            calls_visible: false,
            log_visibility: BTreeMap::new(),
            process_visibility: BTreeMap::new(),
            sums: Sums::default(),
        }
    }

    /// Adds a Watch. They come in the order in which they were made; one that comes twice is passed over.
    pub fn feed(&mut self, watch: &Watch) {
        let (watcher, run, sequence) = watch.origin.order();
        if let Some((last_watcher, last_run, last_sequence, _)) = self.sums.last
            && (last_watcher, last_run, last_sequence) >= (watcher, run, sequence.get())
        {
            return;
        }
        self.cover(watch);
        self.visibility(watch);
        self.volume(watch);
        // A log that is read from its beginning tells of times before the period, too.
        let inside = |fact: &&Fact| fact.when.latest() >= self.from && fact.when.earliest() <= self.to;
        for fact in watch.facts.iter().filter(inside).collect::<Vec<_>>() {
            self.fact(fact, watch);
        }
        if let Some(poll) = &watch.poll {
            self.poll(poll, watch);
        }
        self.sums.last = Some((watcher, run, sequence.get(), watch.interval.end()));
    }

    fn cover(&mut self, watch: &Watch) {
        let (watcher, run, sequence) = watch.origin.order();
        let (start, end) = (watch.interval.start(), watch.interval.end());
        let coverage = &mut self.coverage;
        coverage.watches += 1;
        let inside = end.min(self.to).since(start.max(self.from)).get();
        coverage.covered_us = coverage.covered_us.saturating_add(inside);
        coverage.first.get_or_insert(Moment(start));
        coverage.last = Some(Moment(end));
        if let Some((last_watcher, last_run, last_sequence, last_end)) = self.sums.last {
            let missing = if (last_watcher, last_run) == (watcher, run) { sequence.get() - last_sequence - 1 } else { 0 };
            coverage.missing_watches = coverage.missing_watches.saturating_add(missing);
            if start.since(last_end) > GAP {
                let reason = match (missing, last_run == run) {
                    (1.., _) => "Watches are missing in the backend",
                    (0, true) => "the clock jumped",
                    (0, false) => "the sidecar was not running",
                };
                let duration_us = start.since(last_end).get();
                let (from, to) = (Moment(last_end), Some(Moment(start)));
                coverage.gaps.push(Stretch { from, to, reason: reason.to_owned(), duration_us });
            }
        }
        *self.watchers.entry(watcher).or_default() += 1;
        if let Some(build) = &watch.origin.build
            && self.builds.last().map(String::as_str) != Some(build.as_str())
        {
            self.builds.push(build.to_string());
        }
    }

    fn visibility(&mut self, watch: &Watch) {
        *self.log_visibility.entry(watch.sources.log).or_default() += 1;
        if watch.poll.is_some() {
            *self.process_visibility.entry(watch.sources.process).or_default() += 1;
        }
        if let Some(shape) = watch.sources.log_shape {
            self.calls_visible |= shape != LogShape::LegacyFile;
            if !self.log.shapes.iter().any(|known| known == shape.as_str()) {
                self.log.shapes.push(shape.as_str().to_owned());
            }
        }
    }

    fn volume(&mut self, watch: &Watch) {
        let (volume, log) = (&watch.log, &mut self.log);
        log.lines = log.lines.saturating_add(volume.lines.get());
        log.bytes = log.bytes.saturating_add(volume.bytes.get());
        log.collapsed = log.collapsed.saturating_add(volume.collapsed.get());
        let levels = [
            ("debug", volume.debug),
            ("info", volume.info),
            ("warn", volume.warn),
            ("error", volume.error),
            ("none", volume.unlevelled),
        ];
        for (level, count) in levels.into_iter().filter(|(_, count)| count.get() > 0) {
            let total = log.by_level.entry(level.to_owned()).or_default();
            *total = total.saturating_add(count.get());
        }
        log.lost_bytes = log.lost_bytes.saturating_add(watch.sidecar.bytes_lost.get());
        log.cut = log.cut.saturating_add(watch.sidecar.lines_cut.get());
        log.bad_utf8 = log.bad_utf8.saturating_add(watch.sidecar.bad_utf8.get());
        if matches!(watch.sources.log, Visibility::Read | Visibility::Partial) {
            self.sums.log_time_us = self.sums.log_time_us.saturating_add(watch.interval.length().get());
        }
    }

    fn fact(&mut self, fact: &Fact, watch: &Watch) {
        let at = Moment(fact.when.latest());
        match &fact.kind {
            FactKind::HubStarted(_) => self.hub.starts.push(at),
            FactKind::HubStopping(stop) => self.hub.stops.push(HubStop {
                at,
                graceful: false,
                signal: stop.signal.as_ref().map(ToString::to_string),
                cause: stop.cause.as_ref().map(ToString::to_string),
            }),
            FactKind::HubStopped(_) => match self.hub.stops.last_mut() {
                Some(stop) => stop.graceful = true,
                None => self.hub.stops.push(HubStop { at, graceful: true, signal: None, cause: None }),
            },
            FactKind::HubExited(exit) => {
                let cause = exit.cause.as_ref().map(ToString::to_string);
                self.hub.exits.push(HubStop { at, graceful: false, signal: None, cause });
            }
            FactKind::HubUnreachable(lost) => {
                let reason = format!("no answer: {}", lost.outcome);
                self.hub.unreachable.push(Stretch { from: at, to: None, reason, duration_us: 0 });
            }
            FactKind::HubReachable(_) => {
                if let Some(stretch) = self.hub.unreachable.last_mut().filter(|stretch| stretch.to.is_none()) {
                    stretch.end(at);
                }
                // A hub that starts after the sidecar was not down before.
                if self.coverage.polls_answered == 0 {
                    self.hub.awaited = self.hub.unreachable.pop();
                }
            }
            FactKind::ServerChanged(change) => self.server_changed(change, at),
            FactKind::ServerStartFailed(failed) => {
                self.server(failed.server.as_str()).last_error = Some(failed.error.to_string());
            }
            FactKind::ToolsChanged(change) => self.tools_changed(change, watch),
            FactKind::ClientConnected(_) => self.clients.connected += 1,
            FactKind::ClientDisconnected(_) => self.clients.disconnected += 1,
            FactKind::SessionOpened(_) => self.clients.sessions_opened += 1,
            FactKind::SessionClosed(_) => self.clients.sessions_closed += 1,
            FactKind::CallEnded(call) => self.call(call),
            // Told in the Watch for people and later measures.
            FactKind::ExposureChanged(_)
            | FactKind::BreakerChanged(_)
            | FactKind::ToolCategorized(_)
            | FactKind::CategorizationFailed(_)
            | FactKind::MarketplaceFailed(_)
            | FactKind::ServersStarted(_)
            | FactKind::SubscriberFailed(_)
            | FactKind::LogWriteFailed(_)
            | FactKind::StreamJoined(_)
            | FactKind::StreamLeft(_) => {}
            FactKind::GeminiRoundFailed(failed) => {
                self.calls.gemini_failed_rounds += 1;
                self.gemini_failures.push((at, failed.failure.to_string()));
            }
            FactKind::Storm(storm) => self.storm(storm),
            FactKind::Lines(lines) => {
                let key = (lines.level.to_string(), lines.template.to_string());
                let total = self.sums.notable.entry(key).or_default();
                *total = total.saturating_add(lines.count.get());
            }
            FactKind::LogUnreadable(_) => self.log.unreadable += 1,
            FactKind::ClockJumped(jump) => self.clock_jumps.push((at, jump.jump)),
            FactKind::HubStateChanged(_)
            | FactKind::LogTruncated(_)
            | FactKind::LogReplaced(_)
            | FactKind::WatcherStarted(_)
            | FactKind::WatcherStopped(_)
            | FactKind::FactAmended(_) => {}
        }
    }

    fn server(&mut self, name: &str) -> &mut ServerHistory {
        self.servers.entry(name.to_owned()).or_insert_with(|| ServerHistory::new(name, Vec::new()))
    }

    fn server_changed(&mut self, change: &ServerChanged, at: Moment) {
        let server = self.server(change.server.as_str());
        server.last_liveness = change.to;
        server.last_reason = change.reason.to_string();
        if change.to == Liveness::Up {
            server.never_up = false;
        }
        let was_up = change.from == Liveness::Up;
        if let Some(down) = server.down.last_mut().filter(|down| down.to.is_none()) {
            // Starting again is not working again; a hub that is gone leaves the question open.
            if matches!(change.to, Liveness::Up | Liveness::Unknown | Liveness::Disabled) {
                down.end(at);
            }
        } else if was_up && change.to == Liveness::Down {
            server.down.push(Stretch { from: at, to: None, reason: change.reason.to_string(), duration_us: 0 });
        }
    }

    fn tools_changed(&mut self, change: &crate::watch::ToolsChanged, watch: &Watch) {
        let polls = watch.poll.iter().flat_map(|poll| &poll.servers);
        let works = polls.filter(|server| server.liveness == Liveness::Up).any(|server| server.name == change.server);
        // From and to nothing is what a start or a stop looks like.
        if works && change.from > 0 {
            self.server(change.server.as_str()).tool_changes += 1;
        }
    }

    fn call(&mut self, call: &CallEnded) {
        let calls = &mut self.calls;
        calls.total += 1;
        *calls.by_outcome.entry(call.outcome.to_string()).or_default() += 1;
        self.sums.call_us = self.sums.call_us.saturating_add(call.duration.get());
        if !matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback) {
            self.sums.failed_calls += 1;
        }
        match call.pairing {
            Pairing::Exact => self.sums.exact_us.push(call.duration.get()),
            Pairing::Guessed => calls.guessed += 1,
        }
        if call.gemini != GeminiOutcome::NotAsked {
            calls.gemini_asked += 1;
        }
        let finished = matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback | CallOutcome::Error);
        if call.gemini_failed_rounds == 0 && finished {
            self.sums.clean_calls += 1;
            self.sums.clean_call_us = self.sums.clean_call_us.saturating_add(call.duration.get());
            if let Some(gemini) = call.gemini_duration {
                self.sums.gemini_clean += 1;
                self.sums.gemini_us = self.sums.gemini_us.saturating_add(gemini.get());
            }
        }
        if call.gemini == GeminiOutcome::Failed || call.gemini_failed_rounds > 0 && call.gemini == GeminiOutcome::Unfinished {
            calls.gemini_failed += 1;
            match call.outcome {
                CallOutcome::Fallback => calls.fallbacks += 1,
                _ => self.sums.not_fallen_back += 1,
            }
        }
    }

    fn storm(&mut self, storm: &crate::watch::Storm) {
        let (first, last) = (Moment(storm.first), Moment(storm.last));
        let known = self.storms.entry(storm.line.to_string()).or_insert(StormHistory { lines: 0, bytes: 0, first, last });
        known.lines = known.lines.saturating_add(storm.count.get());
        known.bytes = known.bytes.saturating_add(storm.bytes.get());
        known.first = known.first.min(first);
        known.last = known.last.max(last);
    }

    fn poll(&mut self, poll: &Poll, watch: &Watch) {
        self.coverage.polls += 1;
        self.coverage.polls_answered = self.coverage.polls_answered.saturating_add(u64::from(poll.api.health == ApiOutcome::Ok));
        self.answers(poll);
        let api = &poll.api;
        self.hub.last_state = api.state.as_ref().map(ToString::to_string).or(self.hub.last_state.take());
        self.hub.version = api.version.as_ref().map(ToString::to_string).or(self.hub.version.take());
        self.clients.peak_mcp_clients = self.clients.peak_mcp_clients.max(api.mcp_clients);
        self.clients.peak_subscribers = self.clients.peak_subscribers.max(api.subscribers);
        if let Some(file) = &poll.log_file {
            self.log.last_size_bytes = Some(file.size.get());
            let free = file.disk_free.map(|free| free.get());
            self.log.least_disk_free_bytes = match (self.log.least_disk_free_bytes, free) {
                (Some(known), Some(free)) => Some(known.min(free)),
                (known, free) => known.or(free),
            };
        }
        for server in &poll.servers {
            self.server_poll(server);
        }
        if let Some(process) = &poll.process {
            self.process(process, watch.interval.end());
        }
    }

    fn answers(&mut self, poll: &Poll) {
        let api = &poll.api;
        let requests = [Some((api.health, api.health_duration)), api.servers.zip(api.servers_duration)];
        for (outcome, duration) in requests.into_iter().flatten() {
            self.api.requests += 1;
            if outcome == ApiOutcome::Ok {
                self.sums.api_us = self.sums.api_us.saturating_add(duration.get());
                self.sums.api_answers += 1;
                self.api.max_us = self.api.max_us.max(Some(duration.get()));
            } else {
                self.api.failed += 1;
            }
        }
    }

    fn server_poll(&mut self, seen: &ServerPoll) {
        let server = self.server(seen.name.as_str());
        server.transport = seen.transport.to_string();
        server.last_status = seen.status.to_string();
        server.last_liveness = seen.liveness;
        server.last_reason = seen.reason.to_string();
        if let Some(error) = &seen.error {
            server.last_error = Some(error.to_string());
        }
        server.tools_last = seen.tools;
        if seen.liveness == Liveness::Up {
            server.never_up = false;
            server.tools_min = Some(server.tools_min.map_or(seen.tools, |known| known.min(seen.tools)));
            server.tools_max = server.tools_max.max(Some(seen.tools));
        }
    }

    fn process(&mut self, now: &ProcessPoll, at: Timestamp) {
        let sums = &mut self.sums;
        let history = &mut self.process;
        if let Some((before, then)) = &sums.last_process
            && (before.pid, before.started) == (now.pid, now.started)
        {
            let used = now.cpu_time.get().saturating_sub(before.cpu_time.get());
            let wall = at.since(*then).get();
            sums.cpu_us = sums.cpu_us.saturating_add(used);
            sums.cpu_wall_us = sums.cpu_wall_us.saturating_add(wall);
            let warm = at.since(now.started) > WARM_UP;
            if let Some(share) = used.saturating_mul(1_000).checked_div(wall).filter(|_| warm) {
                history.cpu_peak_permille = history.cpu_peak_permille.max(Some(share));
            }
        }
        sums.last_process = Some((now.clone(), at));
        history.samples += 1;
        sums.rss = sums.rss.saturating_add(u128::from(now.rss.get()));
        history.rss_peak_bytes = history.rss_peak_bytes.max(Some(now.rss.get()));
        history.memory_limit_bytes = now.memory_limit.map(|limit| limit.get());
        history.host_memory_bytes = Some(now.host_memory.get());
        history.fds_peak = history.fds_peak.max(now.fds);
        history.threads_peak = history.threads_peak.max(now.threads);
        let share = share_of(now.rss.get(), now.host_memory.get());
        sums.host_share_sum = sums.host_share_sum.saturating_add(share);
        sums.host_share_peak = sums.host_share_peak.max(share);
        if let Some(limit) = now.memory_limit {
            sums.limit_share_peak = sums.limit_share_peak.max(Some(share_of(now.rss.get(), limit.get())));
        }
    }

    /// Ends the period: closes what is open and works out means and shares.
    #[must_use]
    pub fn finish(mut self) -> Self {
        let end = self.coverage.last.map_or(self.to, |last| last.0.min(self.to));
        for stretch in self.servers.values_mut().flat_map(|server| &mut server.down).chain(&mut self.hub.unreachable) {
            if stretch.to.is_none() {
                stretch.duration_us = end.since(stretch.from.0).get();
            }
        }
        let sums = &mut self.sums;
        self.coverage.share_permille = share_of(self.coverage.covered_us, self.coverage.period_us).min(1_000);
        self.api.mean_us = sums.api_us.checked_div(sums.api_answers);
        self.calls.mean_us = sums.call_us.checked_div(self.calls.total);
        sums.exact_us.sort_unstable();
        self.calls.p95_us = percentile_95(&sums.exact_us);
        self.calls.gemini_mean_us = sums.gemini_us.checked_div(sums.gemini_clean);
        self.process.cpu_mean_permille = sums.cpu_us.saturating_mul(1_000).checked_div(sums.cpu_wall_us);
        self.process.rss_mean_bytes =
            sums.rss.checked_div(u128::from(self.process.samples)).and_then(|mean| u64::try_from(mean).ok());
        let mut notable: Vec<NotableLine> = std::mem::take(&mut sums.notable)
            .into_iter()
            .map(|((level, text), count)| NotableLine { level, text, count })
            .collect();
        notable.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.text.cmp(&other.text)));
        self.log.notable = notable;
        self
    }

    /// The mean duration of calls without a failed Gemini round, and how many those are.
    pub fn clean_calls(&self) -> (Option<u64>, u64) {
        (self.sums.clean_call_us.checked_div(self.sums.clean_calls), self.sums.clean_calls)
    }

    /// Calls that ended in anything but ok or fallback.
    pub fn failed_calls(&self) -> u64 {
        self.sums.failed_calls
    }

    /// Calls whose Gemini part failed and that did not fall back.
    pub fn not_fallen_back(&self) -> u64 {
        self.sums.not_fallen_back
    }

    /// The mean and the most memory as shares of the host's, in thousandths.
    pub fn host_memory_shares(&self) -> Option<(u64, u64)> {
        Some((self.sums.host_share_sum.checked_div(self.process.samples)?, self.sums.host_share_peak))
    }

    /// The most memory as a share of the control group's limit, in thousandths.
    pub fn limit_memory_share(&self) -> Option<u64> {
        self.sums.limit_share_peak
    }

    /// What the log grows by in a day, from what was read of it.
    pub fn log_growth_per_day(&self) -> Option<u64> {
        const DAY_US: u128 = 24 * 3600 * 1_000_000;
        let grown = u128::from(self.log.bytes) * DAY_US;
        grown.checked_div(u128::from(self.sums.log_time_us)).and_then(|bytes| u64::try_from(bytes).ok())
    }
}

impl ServerHistory {
    fn new(name: &str, expected: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            transport: "unknown".to_owned(),
            last_status: "unknown".to_owned(),
            last_liveness: Liveness::Unknown,
            last_reason: "it was never seen".to_owned(),
            last_error: None,
            expected,
            never_up: true,
            tools_min: None,
            tools_max: None,
            tools_last: 0,
            down: Vec::new(),
            tool_changes: 0,
        }
    }

    /// Whether it should work: unless somebody expects otherwise, every server should.
    pub fn should_work(&self) -> bool {
        self.expected.is_empty() || self.expected.iter().any(|state| state == "connected")
    }
}

impl Stretch {
    fn end(&mut self, at: Moment) {
        self.to = Some(at);
        self.duration_us = at.0.since(self.from.0).get();
    }
}

/// A share in thousandths; of nothing it is zero.
fn share_of(part: u64, whole: u64) -> u64 {
    let share = (u128::from(part) * 1_000).checked_div(u128::from(whole)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn percentile_95(sorted: &[u64]) -> Option<u64> {
    let index = (sorted.len() * 95).div_ceil(100).checked_sub(1)?;
    sorted.get(index).copied()
}
