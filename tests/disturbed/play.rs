//! Plays a session to a sidecar, as a user runs it, in virtual time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hubwatch::backend::embedded::Embedded;
use hubwatch::backend::period::{self, Wanted};
use hubwatch::export::Tally;
use hubwatch::hub::children::Child;
use hubwatch::hub::events::EventReader;
use hubwatch::hub::interpret::PollAnswer;
use hubwatch::journal::{Journal, JournalReader, Opened};
use hubwatch::judge::{Assessment, Judge};
use hubwatch::sidecar::clock::Clock;
use hubwatch::sidecar::{Lines, LogSource, Setup, Sidecar};
use hubwatch::simulator::{ApiAnswer, FileSink, LogSink, Neighbour, Profile, Simulation, Step, Truth};
use hubwatch::tail::Begin;
use hubwatch::watch::{ApiOutcome, Bytes, Count, Environment, HubName, Micros, Origin, ProcessPoll, Text, Timestamp, Watch};

use super::session::{Neighbouring, SECOND, Session, Veil};

pub(crate) const START: Timestamp = Timestamp::from_secs(1_795_400_000);

/// How often the log and the event stream are looked at.
const LOOK: u64 = 100_000;

/// A hub that does not answer is asked again after so long.
const SOON: u64 = SECOND;

/// A poll, and what it got.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub at: Timestamp,
    pub answered: bool,
    /// The servers that the hub listed.
    pub servers: Vec<String>,
}

/// What came of a session.
pub(crate) struct Played {
    pub truth: Vec<Truth>,
    pub polls: Vec<Seen>,
    pub watches: Vec<Watch>,
    pub assessment: Assessment,
}

/// Where its files are: in memory where there is a file system for that, since a commit waits for the disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A log on disk, and whether something was written to it since the last look.
struct Log {
    file: FileSink,
    moved: bool,
}

impl LogSink for Log {
    fn truncate(&mut self) -> std::io::Result<()> {
        self.moved = true;
        self.file.truncate()
    }

    fn line(&mut self, file_line: &str) -> std::io::Result<()> {
        self.moved = true;
        self.file.line(file_line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

struct Player<'a> {
    session: &'a Session,
    simulation: Simulation,
    sidecar: Sidecar,
    log: Log,
    events: EventReader,
    joined: bool,
    /// What the hub sent to its subscribers and was not heard yet; `None` is the end of the connection.
    waiting: Vec<Option<String>>,
    /// How far the sidecar's clock is ahead of the truth.
    shown: i64,
    clock: Clock,
    begun: Instant,
    polls: Vec<Seen>,
}

pub(crate) fn play(session: &Session) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(play_in(session))
}

async fn play_in(session: &Session) -> Played {
    let folder = folder();
    let path = folder.path().join("mcp-hub.log");
    let log = Log { file: FileSink::open(&path).unwrap(), moved: false };
    let opened = Journal::open(&folder.path().join("state")).unwrap();
    let sidecar = Sidecar::begin(setup(&path, &opened, session), START, opened.journal.clone(), None, session.sees_process);
    let simulation = simulation(session);
    let begun = Instant::now();
    let mut player = Player {
        session,
        simulation,
        sidecar,
        log,
        events: EventReader::default(),
        joined: false,
        waiting: Vec::new(),
        shown: 0,
        clock: Clock::anchored(START, begun),
        begun,
        polls: Vec::new(),
    };
    player.run().await;
    let Player { mut sidecar, simulation, polls, .. } = player;
    sidecar.stop("the end", at(session.length)).await.unwrap();
    drop(sidecar);
    opened.journal.close().await.unwrap();
    let watches = watches(folder.path().join("state")).await;
    let assessment = judged(&watches, at(session.length));
    Played { truth: simulation.truth().to_vec(), polls, watches, assessment }
}

fn setup(log: &Path, opened: &Opened, session: &Session) -> Setup {
    let origin = Origin {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        watcher: opened.watcher,
        run: opened.run,
        sequence: Count::new(0),
        part: 0,
        tool_version: Text::from("test"),
        build: None,
        interval: Micros::new(session.interval * SECOND),
    };
    Setup {
        origin,
        key: opened.session_key,
        log: LogSource::File(log.to_owned()),
        begin: Begin::Start,
        lines: Lines::default(),
        checkpoint: None,
        recovered: None,
        tally: Tally::default(),
        own: None,
    }
}

fn simulation(session: &Session) -> Simulation {
    let mut simulation = Simulation::new(session.profile.clone(), START);
    for (micros, step) in &session.steps {
        simulation.schedule(at(*micros), step.clone());
    }
    let mut neighbour: Option<Neighbour> = None;
    for (number, (micros, does)) in session.neighbours.iter().enumerate() {
        let (whom, step) = match does {
            Neighbouring::Starts { port } => {
                let pid = session.profile.pid + 40_000 + 100 * u32::try_from(number).unwrap();
                let whom = simulation.neighbour(Profile { port: *port, pid, ..session.profile.clone() });
                neighbour = Some(whom);
                (whom, Step::StartHub)
            }
            Neighbouring::Does(step) => (neighbour.unwrap(), step.clone()),
        };
        simulation.schedule_for(whom, at(*micros), step);
    }
    simulation
}

fn at(micros: u64) -> Timestamp {
    START.plus(Micros::new(micros))
}

async fn watches(state: PathBuf) -> Vec<Watch> {
    let year = Micros::new(365 * 86_400 * SECOND);
    let wanted = Wanted {
        hub: HubName::parse("hub").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        from: START.minus(Micros::new(86_400 * SECOND)),
        to: START.plus(Micros::new(40 * 86_400 * SECOND)).min(START.plus(year)),
    };
    let backend = Embedded::new(JournalReader::open(&state).unwrap());
    period::read(&backend, &wanted, Vec::new, Vec::push, |watches| watches, |_, _| ()).await.unwrap().0
}

fn judged(watches: &[Watch], to: Timestamp) -> Assessment {
    let mut judge = Judge::new(Vec::new(), START);
    watches.iter().for_each(|watch| drop(judge.take(watch)));
    judge.assess(to)
}

impl Player<'_> {
    async fn run(&mut self) {
        let mut now = 0;
        let mut next_poll = SECOND;
        let mut awake = None;
        while now < self.session.length {
            now += LOOK;
            let mut heard = Vec::new();
            let mut broke = false;
            self.simulation
                .advance_streamed(at(now), &mut self.log, &mut |event| match event {
                    Some(text) => heard.push(text.to_owned()),
                    None => broke = true,
                })
                .unwrap();
            if self.is(now, Veil::Frozen) {
                // What was sent meanwhile waits in its socket; a break is noticed afterwards.
                self.wait(heard, broke);
                awake = awake.or(Some(now - LOOK));
                continue;
            }
            if let Some(awake) = awake.take() {
                self.sidecar.stood_still(self.time(awake), self.time(now)).await.unwrap();
            }
            self.turn_clock(now).await;
            self.wait(heard, broke);
            self.hear(now).await;
            if std::mem::take(&mut self.log.moved) && !self.polls.is_empty() {
                self.sidecar.read_log(self.time(now)).await.unwrap();
                // A line that tells of a start or a stop is looked into at once.
                if self.sidecar.take_stir() {
                    next_poll = next_poll.min(now);
                }
            }
            if now >= next_poll {
                let answered = self.poll(now).await;
                let interval = self.session.interval * SECOND;
                next_poll = now + if answered { interval } else { SOON.min(interval) };
            }
        }
        // What lines claimed last is settled by one more poll.
        if !self.is(now, Veil::Frozen) && self.sidecar.awaits_poll(self.time(now)).await.unwrap() {
            self.poll(now).await;
        }
    }

    /// What is heard later.
    fn wait(&mut self, heard: Vec<String>, broke: bool) {
        if self.joined {
            self.waiting.extend(heard.into_iter().map(Some));
            self.waiting.extend(broke.then_some(None));
        }
    }

    async fn hear(&mut self, now: u64) {
        for heard in std::mem::take(&mut self.waiting) {
            let time = self.time(now);
            match heard {
                Some(text) => {
                    let heard = self.events.feed(text.as_bytes());
                    self.sidecar.heard(heard, time).await.unwrap();
                }
                None => {
                    self.sidecar.stream_left("the connection broke", true, time);
                    self.joined = false;
                }
            }
        }
    }

    /// What veils the hub from the sidecar now.
    fn veils(&self, now: u64) -> impl Iterator<Item = Veil> {
        let veils = self.session.veils.iter().filter(move |(from, to, _)| (*from..*to).contains(&now));
        veils.map(|(.., veil)| *veil)
    }

    fn is(&self, now: u64, wanted: Veil) -> bool {
        self.veils(now).any(|veil| veil == wanted)
    }

    /// The sidecar's clock.
    fn time(&self, now: u64) -> Timestamp {
        at(now).shifted(self.shown)
    }

    async fn turn_clock(&mut self, now: u64) {
        let ahead = self.veils(now).find_map(|veil| if let Veil::Clock(ahead) = veil { Some(ahead) } else { None });
        let reading = self.clock.read_at(at(now).shifted(ahead.unwrap_or(0)), self.begun + Duration::from_micros(now));
        if let Some(jump) = reading.jump {
            let before = self.time(now);
            self.shown += jump;
            self.sidecar.clock_jumped(before, self.time(now), jump).await.unwrap();
        }
    }

    /// Whether the hub answered.
    async fn poll(&mut self, now: u64) -> bool {
        let answer = self.answer(now);
        let answered = answer.health.is_ok();
        let listed = answer.servers.as_ref().and_then(|(servers, _)| servers.as_ref().ok());
        let servers = listed.iter().flat_map(|listed| &listed.servers).map(|server| server.name.clone()).collect();
        if self.polls.is_empty() {
            self.sidecar.first_poll(&answer);
        }
        self.polls.push(Seen { at: at(now), answered, servers });
        self.sidecar.polled(answer).await.unwrap();
        if answered && self.session.streams && !self.joined {
            self.joined = true;
            self.events = EventReader::default();
            self.sidecar.stream_joined(self.time(now));
            self.simulation.schedule(at(now), Step::Subscribe);
        }
        answered
    }

    fn answer(&self, now: u64) -> PollAnswer {
        let page = self.veils(now).find_map(|veil| if let Veil::Answers(outcome) = veil { Some(outcome) } else { None });
        let (health, health_duration) = match page {
            Some(outcome) => (Err(outcome), Micros::new(2_000)),
            None => read(self.simulation.health()),
        };
        let servers = health.is_ok().then(|| read(self.simulation.servers()));
        let process = self.simulation.process().filter(|_| self.session.sees_process);
        let poll = process.as_ref().map(|process| ProcessPoll {
            pid: process.pid,
            started: process.start.shifted(self.shown),
            cpu_time: process.cpu_time,
            rss: Bytes::new(process.rss_bytes),
            memory_limit: None,
            fds: Some(process.fds),
            threads: Some(process.threads),
            children: u32::try_from(process.children.len()).unwrap(),
            host_cpus: 4,
            host_memory: Bytes::new(16_000_000_000),
        });
        let children = process.iter().flat_map(|process| &process.children).map(|child| Child {
            pid: child.pid,
            started: process.as_ref().map_or(START, |process| process.start),
            rss: Bytes::new(48_000_000),
            cpu_time: Micros::new(0),
            command: format!("node server-{}", child.server),
        });
        PollAnswer {
            asked: self.time(now).minus(Micros::new(5_000)),
            now: self.time(now),
            health,
            health_duration,
            servers,
            process: poll,
            children: children.collect(),
            filtering: None,
            log_file: None,
            own_subscribers: u32::from(self.joined),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: ApiAnswer) -> (Result<T, ApiOutcome>, Micros) {
    match answer {
        ApiAnswer::Refused => (Err(ApiOutcome::Refused), Micros::new(300)),
        ApiAnswer::Json { body, took } => (serde_json::from_slice(&body).map_err(|_| ApiOutcome::Unreadable), took),
    }
}
