//! Periods put together Watch by Watch, known by heart.
#![allow(dead_code, reason = "each test uses a part of it")]

use hubwatch::judge::rules::RuleFile;
use hubwatch::judge::verdict::Verdict;
use hubwatch::judge::{Assessment, Judge};
use hubwatch::watch::*;

pub(crate) const START: Timestamp = Timestamp::from_secs(1_795_000_000);
pub(crate) const INTERVAL: Micros = Micros::new(60_000_000);
pub(crate) const DAY: u64 = 24 * 60;

/// A staged period: what happens in it. The default is a healthy day in which every degradation was exercised, with success.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub minutes: u64,
    /// A meta-tool call in each minute.
    pub calls: bool,
    /// Whether two sessions are opened, get tools of their own, and are closed.
    pub sessions: bool,
    /// For how many seconds the server is down in a planned crash.
    pub crash: Option<u64>,
    /// How a call ends during a planned failure of Gemini.
    pub gemini: Option<CallOutcome>,
    /// How long answers take under planned load (µs).
    pub load: Option<u64>,
}

impl Default for Stage {
    fn default() -> Self {
        Self { minutes: DAY, calls: true, sessions: true, crash: Some(20), gemini: Some(CallOutcome::Fallback), load: Some(3_000) }
    }
}

/// A stage without anything that is planned.
pub(crate) fn quiet(minutes: u64) -> Stage {
    Stage { minutes, calls: true, sessions: false, crash: None, gemini: None, load: None }
}

impl Stage {
    /// Its Watches.
    pub(crate) fn watches(&self) -> Vec<Watch> {
        let mut watches: Vec<Watch> = (0..self.minutes).map(|minute| watch(minute, ApiOutcome::Ok)).collect();
        if self.calls {
            watches.iter_mut().for_each(|watch| add(watch, call(CallOutcome::Ok)));
        }
        if self.sessions {
            sessions(&mut watches);
        }
        if let Some(seconds) = self.crash {
            crash(&mut watches, 100, seconds, true);
        }
        if let Some(outcome) = self.gemini {
            planned(&mut watches, "gemini_failure", 120, 122);
            add(&mut watches[121], failed_round());
            let call = CallEnded { gemini: GeminiOutcome::Failed, gemini_failed_rounds: 1, ..ended(outcome) };
            add(&mut watches[121], call);
        }
        if let Some(duration) = self.load {
            planned(&mut watches, "high_load", 150, 156);
            for watch in &mut watches[150..155] {
                let poll = watch.poll.as_mut().unwrap();
                poll.api.mcp_clients = Some(12);
                poll.api.health_duration = Micros::new(duration);
                poll.api.servers_duration = Some(Micros::new(duration));
            }
        }
        watches
    }
}

/// An archive of Watches, as `hubwatch export` writes it.
pub(crate) fn archive(watches: &[Watch], path: &std::path::Path) {
    let line = |watch: &Watch| serde_json::to_string(&request_of(&watch.origin, vec![encode(watch)])).unwrap() + "\n";
    std::fs::write(path, watches.iter().map(line).collect::<String>()).unwrap();
}

/// `report.json` of an archive of these Watches, by the program; the period is theirs.
pub(crate) fn reported(watches: &[Watch]) -> serde_json::Value {
    reported_between(watches, (watches[0].interval.start(), watches[watches.len() - 1].interval.end()))
}

/// The same of a period.
pub(crate) fn reported_between(watches: &[Watch], (from, to): (Timestamp, Timestamp)) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watches.jsonl");
    archive(watches, &path);
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_hubwatch"))
        .args(["report", "--name", "hub", "--format", "json", "--backend", &format!("file={}", path.display())])
        .args(["--from", &from.to_string(), "--to", &to.to_string(), "--state-dir"])
        .arg(folder.path())
        .env_remove("HUBWATCH_CONFIG")
        .output()
        .unwrap();
    serde_json::from_slice(&made.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&made.stderr)))
}

/// Judges by the built-in rules.
pub(crate) fn judge(watches: &[Watch]) -> Assessment {
    judge_by(watches, Vec::new())
}

/// Judges by rules that differ.
pub(crate) fn judge_by(watches: &[Watch], here: Vec<RuleFile>) -> Assessment {
    let mut judge = Judge::new(here, watches[0].interval.start());
    for watch in watches {
        judge.take(watch);
    }
    judge.assess(watches.last().unwrap().interval.end())
}

pub(crate) fn verdict(assessment: &Assessment, id: &str) -> Verdict {
    assessment.criteria.iter().find(|(criterion, _)| criterion.id == id).unwrap().1.verdict
}

pub(crate) fn why(assessment: &Assessment, id: &str) -> String {
    assessment.criteria.iter().find(|(criterion, _)| criterion.id == id).unwrap().1.why.clone()
}

/// The same fact happens at the end of the Watch.
pub(crate) fn add(watch: &mut Watch, kind: impl Into<FactKind>) {
    add_at(watch, watch.interval.end(), kind);
}

pub(crate) fn add_at(watch: &mut Watch, at: Timestamp, kind: impl Into<FactKind>) {
    add_when(watch, When::At(at), kind);
}

pub(crate) fn add_when(watch: &mut Watch, when: When, kind: impl Into<FactKind>) {
    let ordinal = u32::try_from(watch.facts.len()).unwrap();
    let id = FactId::of_watch(watch.origin.watcher, watch.origin.run, watch.origin.sequence, ordinal);
    watch.facts.push(Fact { id, when, source: Source::Log, kind: kind.into() });
}

pub(crate) fn planned(watches: &mut [Watch], name: &str, from: usize, to: usize) {
    let name = Text::new(name);
    let start = watches[from].interval.start();
    add_at(&mut watches[from], start, MarkBegan { name: name.clone() });
    add(&mut watches[to], MarkEnded { name });
}

/// A server goes down at the end of a minute, and is back so many seconds later.
pub(crate) fn crash(watches: &mut [Watch], minute: usize, seconds: u64, is_planned: bool) {
    if is_planned {
        planned(watches, "server_crash", minute - 1, minute + 4);
    }
    let down = watches[minute].interval.start();
    let up = down.plus(Micros::new(seconds * 1_000_000));
    add_at(&mut watches[minute], down, changed(Liveness::Up, Liveness::Down));
    let back = minute + usize::try_from(seconds / 60).unwrap();
    for watch in &mut watches[minute..back] {
        watch.poll.as_mut().unwrap().servers[0].liveness = Liveness::Down;
    }
    add_at(&mut watches[back], up, changed(Liveness::Down, Liveness::Up));
}

pub(crate) fn changed(from: Liveness, to: Liveness) -> ServerChanged {
    let (server, reason) = (Text::from("filesystem"), Text::from("its connection closed"));
    ServerChanged { server, from, to, reason, cause: Some(ChangeCause::Unprompted) }
}

fn sessions(watches: &mut [Watch]) {
    for (index, category) in ["files", "web"].into_iter().enumerate() {
        let session = Some(session(index));
        add(&mut watches[60], SessionOpened { session, categories: Some(Text::from("meta")) });
        add(&mut watches[61], exposed(index, category, &format!("meta,{category}")));
        add(&mut watches[70], ClientDisconnected { client: Text::from("client") });
        add(&mut watches[70], SessionClosed { session });
    }
}

pub(crate) fn session(index: usize) -> SessionHash {
    SessionHash::of(&index.to_string(), &[7; 32])
}

pub(crate) fn exposed(index: usize, added: &str, all: &str) -> ExposureChanged {
    ExposureChanged { session: Some(session(index)), added: Text::new(added), categories: Text::new(all) }
}

pub(crate) fn failed_round() -> GeminiRoundFailed {
    GeminiRoundFailed { failure: GeminiFailure::RateLimited }
}

/// A call that Gemini answers after a failed round.
pub(crate) fn add_retried(watch: &mut Watch) {
    add(watch, failed_round());
    add(watch, CallEnded { gemini: GeminiOutcome::Recovered, gemini_failed_rounds: 1, ..ended(CallOutcome::Ok) });
}

pub(crate) fn call(outcome: CallOutcome) -> CallEnded {
    ended(outcome)
}

fn ended(outcome: CallOutcome) -> CallEnded {
    let record = RecordUid::of_line(watcher(), "log", 0, 0);
    CallEnded {
        started: START,
        duration: Some(Micros::new(800_000)),
        outcome,
        pairing: Pairing::Exact,
        in_flight: 1,
        gemini: GeminiOutcome::Ok,
        gemini_duration: Some(Micros::new(700_000)),
        gemini_failed_rounds: 0,
        gemini_failure: None,
        notification: Some(Notification::Sent),
        session: None,
        trace: TraceId::of_call(record),
        categories: None,
        categories_known: Some(true),
        categories_added: None,
        confidence: None,
        response_complete: Some(true),
    }
}

pub(crate) fn watcher() -> WatcherId {
    WatcherId::from_seed(b"judge")
}

pub(crate) fn origin(sequence: u64) -> Origin {
    Origin {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        watcher: watcher(),
        run: 1,
        sequence: Count::new(sequence),
        part: 0,
        tool_version: Text::from("test"),
        build: None,
        interval: INTERVAL,
    }
}

/// A Watch of a minute in which nothing happens.
pub(crate) fn watch(minute: u64, outcome: ApiOutcome) -> Watch {
    let start = START.plus(Micros::new(minute * INTERVAL.get()));
    let end = start.plus(INTERVAL);
    Watch {
        origin: origin(minute),
        interval: Interval::new(start, end),
        sources: sources(),
        log: LogVolume { lines: Count::new(10), bytes: Bytes::new(1_000), info: Count::new(10), ..LogVolume::default() },
        stream: None,
        sidecar: SidecarPoll::default(),
        poll: Some(poll(outcome, Liveness::Up, end)),
        facts: Vec::new(),
    }
}

pub(crate) fn sources() -> Sources {
    Sources {
        polls: Visibility::Read,
        log: Visibility::Read,
        log_shape: Some(LogShape::Pino),
        log_read_to: None,
        log_behind: None,
        event_stream: Visibility::Off,
        checkpoints: Some(true),
        process: Visibility::Read,
        instrumentation: None,
    }
}

pub(crate) fn poll(outcome: ApiOutcome, liveness: Liveness, end: Timestamp) -> Poll {
    let answered = outcome == ApiOutcome::Ok;
    let server = ServerPoll {
        name: Text::from("filesystem"),
        transport: Text::from("stdio"),
        status: Text::from("connected"),
        liveness,
        reason: Text::from("test"),
        cause: None,
        uptime: Micros::new(1),
        tools: 14,
        error: None,
        child_pid: None,
        child_started: None,
        child_rss: None,
        child_cpu_time: None,
    };
    let started = START.minus(Micros::new(3_600_000_000));
    let process = ProcessPoll {
        pid: 7,
        started,
        // Half a per cent of a core.
        cpu_time: Micros::new(end.since(started).get() / 200),
        rss: Bytes::new(100_000_000),
        memory_limit: None,
        fds: None,
        threads: None,
        children: 1,
        host_cpus: 4,
        host_memory: Bytes::new(16_000_000_000),
    };
    Poll {
        api: ApiPoll {
            health: outcome,
            health_duration: Micros::new(2_000),
            servers: answered.then_some(ApiOutcome::Ok),
            servers_duration: answered.then_some(Micros::new(2_000)),
            state: None,
            version: None,
            pid: None,
            started: None,
            mcp_clients: answered.then_some(1),
            subscribers: None,
            tools: None,
        },
        process: answered.then_some(process),
        log_file: Some(LogFilePoll { size: Bytes::new(1_000), disk_free: None }),
        filtering: None,
        servers: if answered { vec![server] } else { vec![] },
    }
}
