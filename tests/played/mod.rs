//! A sidecar beside a hub whose answers, log and event stream are played by hand, second by second: from what the hub shows to what
//! is judged of it.
#![allow(dead_code, reason = "each test uses a part of it")]

mod hub;
mod told;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hubwatch::backend::embedded::Embedded;
use hubwatch::backend::period::{self, Wanted};
use hubwatch::export::Tally;
use hubwatch::hub::events::EventReader;
use hubwatch::hub::interpret::PollAnswer;
use hubwatch::journal::{Clocks, Journal, JournalReader, Limits, Opened};
use hubwatch::sidecar::clock::Clock;
use hubwatch::sidecar::{Lines, LogSource, Setup, Sidecar};
use hubwatch::tail::Begin;
use hubwatch::watch::{ApiOutcome, Count, Environment, HubName, Micros, Origin, Text, Timestamp};

#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use hub::{Hub, Server};
#[allow(unused_imports, reason = "each test uses a part of it")]
pub(crate) use told::{Told, second};

pub(crate) const START: u64 = 1_795_000_000;

/// A time so many seconds after the beginning.
pub(crate) fn at(seconds: f64) -> Timestamp {
    let start = Timestamp::from_secs(START);
    if seconds < 0.0 { start.minus(micros(-seconds)) } else { start.plus(micros(seconds)) }
}

fn micros(seconds: f64) -> Micros {
    Micros::new((seconds * 1e6).round() as u64)
}

/// In which form the hub writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logger {
    /// Bare text, one file for all hubs of a user.
    Plain,
    /// JSON lines with the process that wrote them.
    Pino,
}

/// A hub, and a sidecar that watches it.
pub(crate) struct Played {
    folder: tempfile::TempDir,
    opened: Opened,
    sidecar: Sidecar,
    logger: Logger,
    now: f64,
    /// How far the clock of the machine, on which both run, has jumped.
    jumped: f64,
    /// The sidecar's clock, which reads the machine's; what it said last, and by how much the machine's was ahead of that.
    clock: Clock,
    begun: Instant,
    last: Timestamp,
    astray: i64,
    /// The machine's clocks, as the journal reads them.
    clocks: Arc<Mutex<Clocks>>,
    first: bool,
    pub hub: Hub,
}

impl Played {
    /// A hub that started at second 0 with the server `files`, and a sidecar that begins with it. The first poll is to come.
    pub(crate) fn begin(logger: Logger) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join("mcp-hub.log")).unwrap();
        let clocks = Arc::new(Mutex::new(Clocks { wall: at(-10.0), monotonic: Duration::ZERO }));
        let read = clocks.clone();
        let read = Box::new(move || *read.lock().unwrap());
        let opened = Journal::open_by(&folder.path().join("state"), Limits::default(), read).unwrap();
        let sidecar = sidecar(&folder.path().join("mcp-hub.log"), &opened, None, at(-10.0));
        let hub = Hub {
            answers: Err(ApiOutcome::Refused),
            pid: 100,
            started: 0.0,
            entry: true,
            usurper: None,
            other: None,
            state: "ready",
            ahead: 0.0,
            set: None,
            servers: BTreeMap::new(),
            twice: None,
        };
        let (begun, last) = (Instant::now(), at(-10.0));
        let clock = Clock::anchored(last, begun);
        Self { folder, opened, sidecar, logger, now: -10.0, jumped: 0.0, clock, begun, last, astray: 0, clocks, first: true, hub }
    }

    /// The same, after the hub has started and its server came up, and with a minute of polls.
    pub(crate) async fn up(logger: Logger) -> Self {
        let mut played = Self::begin(logger);
        played.poll(-5.0).await;
        played.starts(0.0, 100).await;
        played.runs(15.0, 60.0).await;
        played
    }

    /// The hub starts with its server.
    pub(crate) async fn starts(&mut self, second: f64, pid: u32) {
        if self.logger == Logger::Plain {
            self.empties();
        }
        self.line(second, pid, "Starting HTTP server on port 7000").await;
        self.line(second + 0.1, pid, "HTTP_SERVER_STARTED").await;
        self.line(second + 0.2, pid, "Initializing MCP server 'files'").await;
        self.line(second + 1.0, pid, "'files' MCP server connected").await;
        self.line(second + 1.0, pid, "1/1 servers started successfully").await;
        self.hub = Hub {
            answers: Ok(()),
            pid,
            started: second + 0.05,
            entry: true,
            state: "ready",
            servers: BTreeMap::from([("files", Server::up(second + 1.0))]),
            ..self.hub.clone()
        };
    }

    /// As every hub with the plain log does when it starts.
    pub(crate) fn empties(&self) {
        std::fs::File::create(self.log()).unwrap();
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("mcp-hub.log")
    }

    /// A process writes a line into the log, which is looked at a little later.
    pub(crate) async fn line(&mut self, second: f64, pid: u32, text: &str) {
        self.lines(second, pid, &[text]).await;
    }

    /// Lines at once.
    pub(crate) async fn lines(&mut self, second: f64, pid: u32, texts: &[&str]) {
        self.look(second - 0.05).await;
        self.write(second, "info", pid, texts);
        self.look(second + 0.02).await;
    }

    /// An error, in the log that has levels.
    pub(crate) async fn error(&mut self, second: f64, pid: u32, text: &str) {
        self.look(second - 0.05).await;
        self.write(second, "error", pid, &[text]);
        self.look(second + 0.02).await;
    }

    /// Appends lines of this time.
    fn write(&self, second: f64, level: &str, pid: u32, texts: &[&str]) {
        let written: String = texts.iter().map(|text| format!("{}\n", self.written(second, level, pid, text))).collect();
        let mut log = std::fs::OpenOptions::new().append(true).open(self.log()).unwrap();
        log.write_all(written.as_bytes()).unwrap();
    }

    fn written(&self, second: f64, level: &str, pid: u32, text: &str) -> String {
        match self.logger {
            Logger::Plain => text.to_owned(),
            Logger::Pino => {
                let time = at(self.hub.clock(second)).to_string();
                serde_json::json!({"level": level, "time": time, "pid": pid, "msg": text}).to_string()
            }
        }
    }

    /// Lines at once that were written long before they can be read: the log was out of reach until now.
    pub(crate) async fn late_lines(&mut self, second: f64, written: f64, pid: u32, texts: &[&str]) {
        self.look(second - 0.05).await;
        self.write(written, "info", pid, texts);
        self.look(second + 0.02).await;
    }

    async fn look(&mut self, second: f64) {
        let now = self.pass(second).await;
        if !self.first {
            self.sidecar.read_log(now).await.unwrap();
        }
    }

    /// The time goes on to then, by the machine's clock; gives it by the sidecar's.
    async fn pass(&mut self, second: f64) -> Timestamp {
        self.now = self.now.max(second);
        let monotonic = Duration::from_secs_f64(self.now - self.jumped + 10.0);
        *self.clocks.lock().unwrap() = Clocks { wall: at(self.now), monotonic };
        let reading = self.clock.read_at(at(self.now), self.begun + monotonic);
        if let Some(jump) = reading.jump {
            self.sidecar.clock_jumped(self.last, reading.now, jump).await.unwrap();
        }
        self.last = reading.now;
        self.astray = at(self.now).get().cast_signed() - self.last.get().cast_signed();
        self.last
    }

    /// A time by the sidecar's clock.
    fn shown(&self, second: f64) -> Timestamp {
        at(second).shifted(-self.astray)
    }

    /// The clock of the machine jumps by so many seconds.
    pub(crate) async fn jumps(&mut self, by: f64) {
        (self.now, self.jumped) = (self.now + by, self.jumped + by);
        self.pass(self.now).await;
    }

    /// The log is looked at.
    pub(crate) async fn looks(&mut self, second: f64) {
        self.look(second).await;
    }

    /// Whether the hub is taken for one that stops with its last event-stream subscriber.
    pub(crate) fn stops_alone(&self) -> bool {
        self.sidecar.hub_stops_alone()
    }

    /// The event stream is joined.
    pub(crate) fn joins(&mut self, second: f64) {
        self.sidecar.stream_joined(self.shown(second));
    }

    /// The event stream ends.
    pub(crate) fn leaves(&mut self, second: f64) {
        self.sidecar.stream_left("test", true, self.shown(second));
    }

    /// The hub sends this to its subscribers.
    pub(crate) async fn streams(&mut self, second: f64, event: &str, data: serde_json::Value) {
        let now = self.pass(second).await;
        let heard = EventReader::default().feed(format!("event: {event}\ndata: {data}\n\n").as_bytes());
        self.sidecar.heard(heard, now).await.unwrap();
    }

    /// A poll.
    pub(crate) async fn poll(&mut self, second: f64) {
        let now = self.pass(second).await;
        let answer = PollAnswer { asked: now.minus(micros(0.002)), now, ..self.hub.answer(second) };
        if std::mem::take(&mut self.first) {
            self.sidecar.first_poll(&answer);
        }
        self.sidecar.polled(answer).await.unwrap();
    }

    /// Polls every 15 s.
    pub(crate) async fn runs(&mut self, from: f64, to: f64) {
        let mut second = from;
        while second <= to {
            self.poll(second).await;
            second += 15.0;
        }
    }

    /// The sidecar is killed and takes up its work.
    pub(crate) async fn restarts(&mut self) {
        self.sidecar.finish_commit().await.unwrap();
        self.opened.journal.clone().close().await.unwrap();
        let opened = Journal::open(&self.folder.path().join("state")).unwrap();
        let checkpoint = opened.checkpoint.clone();
        self.clock = Clock::anchored(at(self.now), self.begun + Duration::from_secs_f64(self.now - self.jumped + 10.0));
        (self.last, self.astray) = (at(self.now), 0);
        self.sidecar = sidecar(&self.log(), &opened, checkpoint, self.last);
        self.opened = opened;
    }

    /// Somebody removes the folder in which the journal is.
    pub(crate) fn loses_its_state(&self) {
        std::fs::remove_dir_all(self.folder.path().join("state")).unwrap();
    }

    /// What was kept of it.
    pub(crate) async fn ends(mut self) -> Told {
        // A lost journal is found to be so by one commit and created again by the next.
        if self.sidecar.stop("test", self.last).await.is_err() {
            self.sidecar.commit_last(self.last).await.unwrap();
        }
        self.opened.journal.close().await.unwrap();
        let wanted = Wanted {
            hub: HubName::parse("hub").unwrap(),
            environment: Environment::parse("staging").unwrap(),
            from: at(0.0).minus(Micros::new(3_600_000_000)),
            to: at(36_000.0),
        };
        let backend = Embedded::new(JournalReader::open(&self.folder.path().join("state")).unwrap());
        let watches = period::read(&backend, &wanted, Vec::new, Vec::push, |watches| watches, |_, _| ()).await.unwrap().0;
        Told { watches }
    }
}

fn sidecar(log: &std::path::Path, opened: &Opened, checkpoint: Option<Vec<u8>>, now: Timestamp) -> Sidecar {
    let origin = Origin {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        watcher: opened.watcher,
        run: opened.run,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from("test"),
        build: None,
        interval: Micros::new(15_000_000),
    };
    let setup = Setup {
        origin,
        key: opened.session_key,
        log: LogSource::File(log.to_owned()),
        begin: Begin::Start,
        lines: Lines::default(),
        checkpoint,
        recovered: None,
        tally: Tally::default(),
        own: None,
    };
    Sidecar::begin(setup, now, opened.journal.clone(), None, false)
}
