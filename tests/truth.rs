//! What the interpreter finds in a simulated hub's log, event stream and answers is what really happened there: nothing missing,
//! nothing invented, each at its time.

mod disturbed;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use hubwatch::hub::interpret::{Evidence, Interpreter, PollAnswer, RawLine};
use hubwatch::hub::merge::LineSource;
use hubwatch::simulator::{
    ApiAnswer, CallOutcome as Really, Entry, Gemini, Happening, Logger, Profile, Script, Simulation, Step, Truth,
};
use hubwatch::tail::{Begin, Follower, Line};
use hubwatch::watch::{
    ApiOutcome, CallEnded, CallFact, CallOutcome, Fact, FactId, FactKind, HubFact, Liveness, Micros, Pairing, RecordUid,
    ServerFact, SessionFact, SessionHash, Timestamp, WatcherId,
};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_secs(1_795_400_000);
const KEY: [u8; 32] = [1; 32];
const SECOND: u64 = 1_000_000;
const INTERVAL: u64 = 15 * SECOND;

/// How a hub is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Its JSON log file.
    PinoFile,
    /// Its JSON log file on disk, which is rotated again and again.
    RotatedPinoFile,
    /// Its console output: with session ids.
    LegacyStdout,
    /// The file without times and checkpoints, completed from the event stream.
    LegacyFileAndStream,
    /// That file, completed from what the hub writes to its console.
    LegacyFileAndOutput,
    /// That file, that console and the event stream at once.
    LegacyEverything,
    /// The event stream alone, with session ids.
    StreamOfLegacy,
    /// The event stream alone, where every line is `debug`.
    StreamOfPino,
}

impl Seen {
    const ALL: [Self; 8] = [
        Self::PinoFile,
        Self::RotatedPinoFile,
        Self::LegacyStdout,
        Self::LegacyFileAndStream,
        Self::LegacyFileAndOutput,
        Self::LegacyEverything,
        Self::StreamOfLegacy,
        Self::StreamOfPino,
    ];

    fn profile(self, seed: u64) -> Profile {
        let profile = match self {
            Self::PinoFile | Self::RotatedPinoFile | Self::StreamOfPino => Profile::fork_pino(),
            _ => Profile::fork_legacy(),
        };
        // Long storms are played in the recordings' tests; here they would only take time.
        Profile { seed, storm_lines: (15, 60), ..profile }
    }

    fn sees_sessions(self) -> bool {
        !matches!(self, Self::PinoFile | Self::RotatedPinoFile | Self::StreamOfPino)
    }

    fn has_output(self) -> bool {
        matches!(self, Self::LegacyFileAndOutput | Self::LegacyEverything)
    }

    fn has_stream(self) -> bool {
        matches!(self, Self::LegacyFileAndStream | Self::LegacyEverything | Self::StreamOfLegacy | Self::StreamOfPino)
    }

    /// An interpreter, new or taken up, that is told which sources it has.
    fn prepare(self, mut interpreter: Interpreter, now: Timestamp) -> Interpreter {
        if !self.has_log() {
            interpreter.without_log();
        }
        if self.has_output() {
            interpreter.with_output();
        }
        if self.has_stream() {
            interpreter.stream_joined(now);
        }
        interpreter
    }

    /// Whether the hub's own start and stop lines are seen.
    fn has_log(self) -> bool {
        !matches!(self, Self::StreamOfPino | Self::StreamOfLegacy)
    }

    /// The lines of an entry, each with the time of its reading after the entry's own.
    fn lines(self, entry: &Entry, logger: Logger, delays: &mut Delays) -> Vec<(u64, LineSource, String)> {
        let at = entry.at().get();
        let looked = at.div_ceil(250_000) * 250_000;
        let streamed = delays.arrival(at);
        match self {
            Self::PinoFile | Self::RotatedPinoFile => vec![(looked, LineSource::Log, entry.file_line(logger).into_owned())],
            Self::LegacyStdout => vec![(looked, LineSource::Log, entry.stdout_line(logger))],
            Self::LegacyFileAndStream => vec![
                (streamed, LineSource::EventStream, entry.event_json(logger)),
                (looked, LineSource::Log, entry.file_line(logger).into_owned()),
            ],
            Self::LegacyFileAndOutput => vec![
                (streamed, LineSource::Output, entry.stdout_line(logger)),
                (looked, LineSource::Log, entry.file_line(logger).into_owned()),
            ],
            Self::LegacyEverything => vec![
                (at + 1_000, LineSource::Output, entry.stdout_line(logger)),
                (streamed, LineSource::EventStream, entry.event_json(logger)),
                (looked, LineSource::Log, entry.file_line(logger).into_owned()),
            ],
            Self::StreamOfLegacy | Self::StreamOfPino => vec![(streamed, LineSource::EventStream, entry.event_json(logger))],
        }
    }
}

/// The event stream delays its lines, but keeps their order.
struct Delays {
    random: fastrand::Rng,
    last: u64,
}

impl Delays {
    fn arrival(&mut self, at: u64) -> u64 {
        self.last = self.last.max(at + self.random.u64(0..120_000));
        self.last
    }
}

/// A session of 20 minutes: up to twenty clients at once, every fault that there is, several ends and starts of the hub.
fn session(seed: u64) -> (Vec<(Timestamp, Step)>, Micros) {
    let mut random = fastrand::Rng::with_seed(seed);
    let length = 1_200 * SECOND;
    let mut steps = vec![(0, Step::StartHub)];
    for client in 0..random.usize(1..=20) {
        let name = format!("client-{}", client % 13);
        let mut at = random.u64(8..900) * SECOND + random.u64(0..SECOND);
        steps.push((at, Step::ConnectClient { name: name.clone() }));
        for _ in 0..random.usize(0..6) {
            at += random.u64(SECOND..20 * SECOND);
            steps.push((at, Step::Analyze { client: name.clone(), gemini: gemini(&mut random) }));
        }
        if random.u8(0..4) > 0 {
            steps.push((at + random.u64(25 * SECOND..60 * SECOND), Step::DisconnectClient { name }));
        }
    }
    let filesystem = || "filesystem".to_owned();
    for _ in 0..random.usize(0..6) {
        let at = random.u64(60..1_000) * SECOND;
        match random.u8(0..6) {
            0 => steps.extend([(at, Step::StopHub), (at + 30 * SECOND, Step::StartHub)]),
            1 => steps.extend([(at, Step::KillHub), (at + 20 * SECOND, Step::StartHub)]),
            2 => steps.push((at, Step::KillServer { name: filesystem() })),
            3 => steps.extend([
                (at, Step::KillServer { name: filesystem() }),
                (at + 40 * SECOND, Step::StopServer { name: filesystem() }),
                (at + 41 * SECOND, Step::StartServer { name: filesystem() }),
            ]),
            4 => steps.extend([(at, Step::Subscribe), (at + 50 * SECOND, Step::Unsubscribe)]),
            _ => steps.push((at, Step::Warn { text: format!("something {at} of its own") })),
        }
    }
    // Whatever stopped it, it comes back.
    steps.extend((1..6).map(|round| (round * 200 * SECOND, Step::StartHub)));
    let steps = steps.into_iter().map(|(at, step)| (START.plus(Micros::new(at)), step)).collect();
    (steps, Micros::new(length))
}

fn gemini(random: &mut fastrand::Rng) -> Gemini {
    let categories = ["github", "filesystem", "web", "git"];
    match random.u8(0..40) {
        0 => Gemini::KeyInvalid,
        1 => Gemini::Fails,
        2..6 => Gemini::RateLimited,
        6..8 => Gemini::Answers { after: Micros::new(400_000), categories: Vec::new() },
        _ => {
            let found = random.choose_multiple(categories.iter(), random_count(random));
            let categories = found.into_iter().map(|category| (*category).to_owned()).collect();
            Gemini::Answers { after: Micros::new(random.u64(200_000..9_000_000)), categories }
        }
    }
}

fn random_count(random: &fastrand::Rng) -> usize {
    1 + usize::from(random.clone().bool())
}

/// Everything that was found in a session, and what really happened.
struct Played {
    facts: Vec<Fact>,
    truth: Vec<Truth>,
}

fn play(seen: Seen, seed: u64, steps: Vec<(Timestamp, Step)>, length: Micros) -> Played {
    let profile = seen.profile(seed);
    let logger = profile.logger;
    let mut simulation = Simulation::new(profile, START);
    for (at, step) in steps {
        simulation.schedule(at, step);
    }
    let mut interpreter = seen.prepare(Interpreter::new(KEY), START);
    let mut disk = (seen == Seen::RotatedPinoFile).then(|| Disk::new(seed));
    let mut delays = Delays { random: fastrand::Rng::with_seed(seed), last: 0 };
    let mut restarts = fastrand::Rng::with_seed(!seed);
    let (mut facts, mut waiting, mut ordinal) = (Vec::new(), Vec::new(), 0);
    for round in 1..=length.get() / INTERVAL {
        let now = START.plus(Micros::new(round * INTERVAL));
        let mut nowhere = Vec::new();
        let mut keep = |entry: &Entry| waiting.extend(seen.lines(entry, logger, &mut delays));
        simulation.advance_watched(now, &mut nowhere, &mut keep).unwrap();
        waiting.sort_by_key(|(read, ..)| *read);
        // What is read after this poll is read before the next.
        let later = waiting.split_off(waiting.partition_point(|(read, ..)| *read <= now.get()));
        let due = std::mem::replace(&mut waiting, later);
        if let Some(disk) = &mut disk {
            disk.feed(&due, &mut interpreter);
        } else {
            due.iter().for_each(|(read, source, text)| {
                feed(seen, &mut interpreter, (*source, text), Timestamp::new(*read), &mut ordinal);
            });
        }
        interpreter.poll(&answer(&simulation, now));
        facts.extend(interpreter.harvest(now).facts);
        if restarts.u8(0..8) == 0 {
            interpreter = restarted(&interpreter, seen, now);
            disk.iter_mut().for_each(Disk::restart);
        }
    }
    let end = START.plus(length).plus(Micros::new(SECOND));
    if let Some(disk) = &mut disk {
        disk.feed(&waiting, &mut interpreter);
    } else {
        waiting.iter().for_each(|(_, source, text)| feed(seen, &mut interpreter, (*source, text), end, &mut ordinal));
    }
    facts.extend(interpreter.harvest(end).facts);
    // What was read at last is settled by one more look.
    interpreter.poll(&answer(&simulation, START.plus(length)));
    facts.extend(interpreter.harvest(end).facts);
    let facts = facts.into_iter().map(|fact| {
        let id = match fact.evidence {
            Evidence::Line(record, ordinal) => FactId::of_line(record, ordinal),
            Evidence::Watch => FactId::of_line(uid(0), 0),
            Evidence::Scenario(id) => id,
        };
        Fact { id, when: fact.when, source: fact.source, kind: fact.kind }
    });
    let facts = facts.collect();
    Played { facts, truth: simulation.truth().to_vec() }
}

/// The sidecar is killed and takes up what it had committed.
fn restarted(interpreter: &Interpreter, seen: Seen, now: Timestamp) -> Interpreter {
    let saved = serde_json::to_vec(interpreter).unwrap();
    seen.prepare(serde_json::from_slice::<Interpreter>(&saved).unwrap().with_key(KEY), now)
}

/// A log on disk that is written, rotated and followed.
struct Disk {
    folder: tempfile::TempDir,
    follower: Follower,
    random: fastrand::Rng,
}

impl Disk {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let follower = Follower::new(folder.path().join("mcp-hub.log"), Begin::Start, None, 0);
        Self { folder, follower, random: fastrand::Rng::with_seed(seed) }
    }

    /// Lines that are read together are written together, with rotations among them.
    fn feed(&mut self, lines: &[(u64, LineSource, String)], interpreter: &mut Interpreter) {
        for look in lines.chunk_by(|(one, ..), (other, ..)| one == other) {
            for (.., text) in look {
                // What is written and renamed within the tick of the clock in which its folder was made can't be told from what was
                // there before.
                let begun = self.follower.generations() > 0;
                if self.random.u8(0..60) == 0 && begun {
                    self.rotate();
                }
                let mut log = std::fs::OpenOptions::new().create(true).append(true).open(self.path(0)).unwrap();
                log.write_all(format!("{text}\n").as_bytes()).unwrap();
            }
            self.read(Timestamp::new(look[0].0), interpreter);
        }
    }

    fn read(&mut self, read: Timestamp, interpreter: &mut Interpreter) {
        let earliest = read.minus(Micros::new(250_000));
        let watcher = WatcherId::from_seed(b"truth");
        let mut take = |line: Line<'_>| {
            let uid = RecordUid::of_line(watcher, line.file, line.generation, line.offset);
            let text = std::str::from_utf8(line.bytes).unwrap();
            let (source, size) = (LineSource::Log, line.size);
            interpreter.line(RawLine { source, text, uid, size, stamped: None, read, earliest, historic: line.historic });
        };
        while !self.follower.read(100_000, &mut take).at_end {}
    }

    /// The older ones go one further, the log becomes the first of them. None is deleted: a file that is born in the same tick of the
    /// clock in which another with its inode was would be taken for that one.
    fn rotate(&self) {
        let rotated = std::fs::read_dir(self.folder.path()).unwrap().count();
        for number in (0..rotated).rev() {
            let _ = std::fs::rename(self.path(number), self.path(number + 1));
        }
    }

    fn path(&self, number: usize) -> PathBuf {
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        self.folder.path().join(format!("mcp-hub.log{suffix}"))
    }

    /// The sidecar is killed and reads on where it was.
    fn restart(&mut self) {
        let saved = serde_json::from_slice(&serde_json::to_vec(&self.follower.state()).unwrap()).unwrap();
        self.follower = Follower::new(self.path(0), Begin::Start, Some(saved), 0);
    }
}

fn uid(ordinal: u64) -> RecordUid {
    RecordUid::of_line(WatcherId::from_seed(b"truth"), "log", 0, ordinal)
}

fn feed(seen: Seen, interpreter: &mut Interpreter, (source, text): (LineSource, &str), read: Timestamp, ordinal: &mut u64) {
    *ordinal += 1;
    if source == LineSource::EventStream && !interpreter.heeds_streamed_lines(seen.has_log()) {
        return;
    }
    let earliest = read.minus(Micros::new(250_000));
    let size = text.len() as u64 + 1;
    interpreter.line(RawLine { source, text, uid: uid(*ordinal), size, stamped: None, read, earliest, historic: false });
}

fn answer(simulation: &Simulation, now: Timestamp) -> PollAnswer {
    fn read<T: serde::de::DeserializeOwned>(answer: ApiAnswer) -> (Result<T, ApiOutcome>, Micros) {
        match answer {
            ApiAnswer::Refused => (Err(ApiOutcome::Refused), Micros::new(300)),
            ApiAnswer::Json { body, took } => (serde_json::from_slice(&body).map_err(|_| ApiOutcome::Unreadable), took),
        }
    }
    let (health, health_duration) = read(simulation.health());
    let servers = health.is_ok().then(|| read(simulation.servers()));
    PollAnswer {
        asked: now.minus(health_duration),
        now,
        health,
        health_duration,
        servers,
        process: None,
        children: Vec::new(),
        filtering: None,
        log_file: None,
        own_subscribers: 0,
    }
}

/// How often each thing happened, by its name.
type Counts = BTreeMap<String, u64>;

fn count(counts: &mut Counts, what: impl Into<String>) {
    *counts.entry(what.into()).or_default() += 1;
}

fn really(outcome: Really) -> CallOutcome {
    match outcome {
        Really::Answered { .. } | Really::NoCategories => CallOutcome::Ok,
        Really::FellBack { .. } => CallOutcome::Fallback,
        // A session that is gone ends its call in an error, or the hub's stop was quicker.
        Really::KeyInvalid | Really::GeminiFailed | Really::SessionGone | Really::HubGone => CallOutcome::Aborted,
    }
}

/// An error ends a call only when the hub stops over it.
fn settled(outcome: CallOutcome) -> CallOutcome {
    if outcome == CallOutcome::Error { CallOutcome::Aborted } else { outcome }
}

impl Played {
    /// What can be seen of it, as counts: without a log the hub's own start and stop are not.
    fn real_counts(&self, seen: Seen) -> Counts {
        let mut counts = Counts::new();
        for happening in self.truth.iter().map(|truth| &truth.what) {
            match happening {
                Happening::HubStarted { .. } if seen.has_log() => count(&mut counts, "hub started"),
                Happening::HubStopping if seen.has_log() => count(&mut counts, "hub stopping"),
                Happening::ServerUp { name, .. } if seen.has_log() => count(&mut counts, format!("{name} up")),
                Happening::ClientConnected { name, .. } => count(&mut counts, format!("{name} connected")),
                Happening::ClientDisconnected { name: Some(name), .. } => count(&mut counts, format!("{name} disconnected")),
                Happening::CallEnded { outcome, .. } => count(&mut counts, format!("call {}", really(*outcome))),
                Happening::RateLimited { .. } => count(&mut counts, "round failed"),
                _ => {}
            }
        }
        counts
    }

    fn found_counts(&self, seen: Seen) -> Counts {
        let mut counts = Counts::new();
        for fact in &self.facts {
            match &fact.kind {
                FactKind::Hub(HubFact::HubStarted(_)) if seen.has_log() => count(&mut counts, "hub started"),
                FactKind::Hub(HubFact::HubStopping(_)) if seen.has_log() => count(&mut counts, "hub stopping"),
                FactKind::Server(ServerFact::ServerChanged(change)) if change.to == Liveness::Up && seen.has_log() => {
                    count(&mut counts, format!("{} up", change.server));
                }
                FactKind::Session(SessionFact::ClientConnected(client)) => {
                    count(&mut counts, format!("{} connected", client.client));
                }
                FactKind::Session(SessionFact::ClientDisconnected(client)) => {
                    count(&mut counts, format!("{} disconnected", client.client));
                }
                FactKind::Call(CallFact::CallEnded(call)) => count(&mut counts, format!("call {}", settled(call.outcome))),
                FactKind::Call(CallFact::GeminiRoundFailed(failed))
                    if failed.failure == hubwatch::watch::GeminiFailure::RateLimited =>
                {
                    count(&mut counts, "round failed");
                }
                _ => {}
            }
        }
        counts
    }

    fn calls(&self) -> Vec<&CallEnded> {
        let mut calls: Vec<&CallEnded> = self
            .facts
            .iter()
            .filter_map(|fact| if let FactKind::Call(CallFact::CallEnded(call)) = &fact.kind { Some(call) } else { None })
            .collect();
        calls.sort_by_key(|call| call.started);
        calls
    }

    fn real_calls(&self) -> Vec<RealCall> {
        let mut calls: Vec<_> = self
            .truth
            .iter()
            .filter_map(|truth| match &truth.what {
                Happening::CallEnded { session, start, end, outcome, .. } => {
                    let session = SessionHash::of(session, &KEY);
                    Some(RealCall { session, start: *start, end: *end, outcome: really(*outcome) })
                }
                _ => None,
            })
            .collect();
        calls.sort_by_key(|call| call.start);
        calls
    }
}

/// A call as it really was.
#[derive(Debug, Clone, Copy)]
struct RealCall {
    session: SessionHash,
    start: Timestamp,
    end: Timestamp,
    outcome: CallOutcome,
}

/// The log has milliseconds, and a line may wait for its writer.
const TOLERANCE: u64 = 3_000;

fn near(one: Timestamp, other: Timestamp, tolerance: u64) -> bool {
    one.since(other).get().max(other.since(one).get()) <= tolerance
}

fn check(seen: Seen, seed: u64) -> Result<(), TestCaseError> {
    let (steps, length) = session(seed);
    let played = play(seen, seed, steps, length);
    let (found, real) = (played.found_counts(seen), played.real_counts(seen));
    prop_assert_eq!(&found, &real, "{:?}, seed {}", seen, seed);
    let mut ids: Vec<_> = played.facts.iter().map(|fact| fact.id).filter(|id| *id != FactId::of_line(uid(0), 0)).collect();
    ids.sort();
    ids.dedup();
    let lines = played.facts.iter().filter(|fact| fact.id != FactId::of_line(uid(0), 0)).count();
    prop_assert_eq!(ids.len(), lines, "{:?}, seed {}: two facts have one id", seen, seed);
    let (calls, real) = (played.calls(), played.real_calls());
    for (call, real) in calls.iter().zip(&real) {
        prop_assert!(near(call.started, real.start, TOLERANCE), "{seen:?}, seed {seed}: {call:?} is not {real:?}");
    }
    let whole: Vec<_> = calls.iter().filter(|call| settled(call.outcome) != CallOutcome::Aborted).collect();
    if seen.sees_sessions() {
        for call in whole.iter().filter(|call| call.pairing == Pairing::Exact) {
            let same = |real: &&RealCall| Some(real.session) == call.session && near(call.started, real.start, TOLERANCE);
            let ended = call.started.plus(call.duration.expect("a beginning that was seen"));
            let right = |real: &RealCall| real.outcome == call.outcome && near(ended, real.end, TOLERANCE);
            prop_assert!(real.iter().filter(same).any(right), "{seen:?}, seed {seed}: {call:?}");
        }
    } else if whole.len() == calls.len() {
        let found: u64 = calls.iter().filter_map(|call| call.duration).map(Micros::get).sum();
        let really: u64 = real.iter().map(|real| real.end.since(real.start).get()).sum();
        prop_assert!(found.abs_diff(really) <= TOLERANCE * calls.len() as u64, "{seen:?}, seed {seed}: {found} and {really}");
    }
    Ok(())
}

/// As many sessions as asked for: each source gets its share.
fn sessions() -> u64 {
    std::env::var("HUBWATCH_TRUTH_SESSIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000)
}

#[test]
fn the_facts_of_a_thousand_sessions_are_what_happened_in_them() {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (thread as u64..sessions()).step_by(threads) {
                    let seen = Seen::ALL[usize::try_from(seed).unwrap() % Seen::ALL.len()];
                    if let Err(error) = check(seen, seed) {
                        panic!("{error}");
                    }
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn the_facts_of_a_staging_day_are_what_happened_in_it(seed in 0..1_000_000u64) {
        let length = Micros::new(8 * 3_600 * SECOND);
        let played = play(Seen::PinoFile, seed, Script::rehearsal(START, length, seed), length);
        prop_assert_eq!(played.found_counts(Seen::PinoFile), played.real_counts(Seen::PinoFile));
        prop_assert!(played.calls().len() > 20);
    }
}

/// How many disturbed sessions are played unless said otherwise: each kind of disturbance three times as the first of a session. Each
/// goes all the way through a sidecar and its journal, which takes half a second of processor time.
const DISTURBED: u64 = 66;

/// Sessions whose watch is misled, by their seeds. `HUBWATCH_TRUTH_SEED` plays one alone, or some with commas between, `HUBWATCH_TRUTH_DISTURBED` as many as said.
#[test]
fn what_is_judged_of_disturbed_sessions_is_what_happened_in_them() {
    let alone = std::env::var("HUBWATCH_TRUTH_SEED").ok();
    let wanted = std::env::var("HUBWATCH_TRUTH_DISTURBED").ok().and_then(|count| count.parse().ok()).unwrap_or(DISTURBED);
    let seeds: Vec<u64> =
        alone.map_or_else(|| (0..wanted).collect(), |seeds| seeds.split(',').filter_map(|seed| seed.parse().ok()).collect());
    let wrong = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (seeds, wrong) = (&seeds, &wrong);
            scope.spawn(move || {
                for seed in seeds.iter().copied().skip(thread).step_by(threads) {
                    let errors = disturbed::errors(seed);
                    if !errors.is_empty() {
                        let session = disturbed::Session::of(seed);
                        let told = format!("seed {seed}, {}: {errors:#?}", session.described());
                        wrong.lock().unwrap().push((seed, told));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    let told: Vec<&str> = wrong.iter().map(|(_, told)| told.as_str()).collect();
    assert!(told.is_empty(), "{} of {} sessions\n{}", told.len(), seeds.len(), told.join("\n"));
}
