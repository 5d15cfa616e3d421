//! What is known of the recorded hubs, held against what the interpreter makes of their logs.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use hubwatch::hub::api::{Health, Servers};
use hubwatch::hub::events::{EventReader, Heard};
use hubwatch::hub::interpret::{Harvest, Interpreter, RawLine};
use hubwatch::hub::line;
use hubwatch::hub::merge::LineSource;
use hubwatch::hub::requests::Requests;
use hubwatch::hub::servers::Asked;
use hubwatch::watch::{
    CallEnded, CallFact, CallOutcome, FactKind, GeminiFailure, GeminiOutcome, HubFact, Liveness, LogFact, LogShape, RecordUid,
    ServerFact, SessionFact, Storm, Timestamp, WatcherFact, WatcherId,
};
use proptest::prelude::*;

fn recording(hub: &str, file: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "recordings", hub, file].iter().collect();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// When the recordings were read, as far as their lines without a time are concerned.
const READ: Timestamp = Timestamp::from_secs(1_795_410_000);

const EARLIEST: Timestamp = Timestamp::from_secs(1_795_400_000);

/// A recording has no hub that could confirm its lines.
fn alone() -> Interpreter {
    let mut interpreter = Interpreter::new([1; 32]);
    interpreter.lines_alone();
    interpreter
}

fn interpret(log: &[u8]) -> Harvest {
    let mut interpreter = alone();
    let mut offset = 0;
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        let size = line.len() as u64;
        feed(&mut interpreter, LineSource::Log, &text, offset, size, READ);
        offset += size;
    }
    interpreter.harvest(READ)
}

fn feed(interpreter: &mut Interpreter, source: LineSource, text: &str, offset: u64, size: u64, read: Timestamp) {
    let uid = RecordUid::of_line(WatcherId::from_seed(b"recordings"), &format!("{source:?}"), 0, offset);
    interpreter.line(RawLine { source, stamped: None, text, uid, size, read, earliest: EARLIEST, historic: false });
}

/// The lines of a recorded event stream.
fn streamed(hub: &str) -> Vec<String> {
    let heard = EventReader::default().feed(&recording(hub, "events.sse.gz"));
    heard.into_iter().filter_map(|heard| if let Heard::Line(line) = heard { Some(line) } else { None }).collect()
}

/// What the event stream alone tells.
fn interpret_stream(hub: &str) -> (Harvest, u64) {
    let mut interpreter = alone();
    interpreter.without_log();
    interpreter.stream_joined(EARLIEST);
    let lines = streamed(hub);
    for (index, line) in (0..).zip(&lines) {
        feed(&mut interpreter, LineSource::EventStream, line, index, line.len() as u64, READ);
    }
    (interpreter.harvest(READ), lines.len() as u64)
}

/// A JSON log file, looked at every quarter of a second, and the event stream beside it, a little later than the hub wrote it.
fn interpret_both(hub: &str) -> Harvest {
    let file = recording(hub, "mcp-hub.log.gz");
    let lines = String::from_utf8_lossy(&file).lines().map(str::to_owned).collect::<Vec<_>>();
    let timed = |text: String| Some((line::parse(&text).time?.get(), text));
    let looked = lines.into_iter().filter_map(timed).map(|(at, text)| (at.div_ceil(250_000) * 250_000, LineSource::Log, text));
    let heard = streamed(hub).into_iter().filter_map(timed).map(|(at, text)| (at + 70_000, LineSource::EventStream, text));
    let mut all: Vec<_> = looked.chain(heard).collect();
    all.sort_by_key(|(read, ..)| *read);
    let mut interpreter = alone();
    interpreter.stream_joined(EARLIEST);
    for (index, (read, source, text)) in (0..).zip(&all) {
        feed(&mut interpreter, *source, text, index, text.len() as u64, Timestamp::new(*read));
    }
    interpreter.harvest(READ)
}

/// What happened, in the order of time: what each source can tell. Times are milliseconds of the day.
fn story(harvest: &Harvest) -> Vec<(u64, String)> {
    let mut story: Vec<_> = harvest
        .facts
        .iter()
        .filter_map(|fact| {
            let told = match &fact.kind {
                FactKind::Session(SessionFact::ClientConnected(client)) => format!("{} connected", client.client),
                FactKind::Session(SessionFact::ClientDisconnected(client)) => format!("{} disconnected", client.client),
                FactKind::Session(SessionFact::SessionClosed(_)) => "a session closed".to_owned(),
                FactKind::Server(ServerFact::ServerChanged(change)) if matches!(change.to, Liveness::Up | Liveness::Down) => {
                    format!("{} {}", change.server, change.to)
                }
                FactKind::Hub(HubFact::HubStopping(stop)) => {
                    format!("stopping because of {:?}", stop.cause.as_ref().map(ToString::to_string))
                }
                FactKind::Call(CallFact::GeminiRoundFailed(failed)) => format!("a round failed: {}", failed.failure),
                FactKind::Call(CallFact::CallEnded(call)) => {
                    format!("a call that began at {} ended: {}", of_day(call.started), call.outcome)
                }
                _ => return None,
            };
            Some((of_day(fact.when.latest()), told))
        })
        .collect();
    story.sort();
    story
}

const fn of_day(at: Timestamp) -> u64 {
    at.get() / 1_000 % 86_400_000
}

fn kinds(harvest: &Harvest) -> impl Iterator<Item = &FactKind> {
    harvest.facts.iter().map(|fact| &fact.kind)
}

fn calls(harvest: &Harvest) -> Vec<&CallEnded> {
    kinds(harvest).filter_map(|kind| if let FactKind::Call(CallFact::CallEnded(call)) = kind { Some(call) } else { None }).collect()
}

fn clients(harvest: &Harvest) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let (mut connected, mut disconnected) = (BTreeMap::new(), BTreeMap::new());
    for kind in kinds(harvest) {
        match kind {
            FactKind::Session(SessionFact::ClientConnected(client)) => {
                *connected.entry(client.client.to_string()).or_default() += 1;
            }
            FactKind::Session(SessionFact::ClientDisconnected(client)) => {
                *disconnected.entry(client.client.to_string()).or_default() += 1;
            }
            _ => {}
        }
    }
    (connected, disconnected)
}

fn changes(harvest: &Harvest, server: &str) -> Vec<Liveness> {
    let of_server = kinds(harvest).filter_map(|kind| match kind {
        FactKind::Server(ServerFact::ServerChanged(change)) if change.server.as_str() == server => Some(change.to),
        _ => None,
    });
    of_server.collect()
}

/// How many lines stand behind the storms' counts.
fn collapsed(harvest: &Harvest) -> u64 {
    let storms = kinds(harvest).filter_map(|kind| if let FactKind::Log(LogFact::Storm(storm)) = kind { Some(storm) } else { None });
    storms.map(|storm: &Storm| storm.count.get()).sum()
}

/// A few lines go out, the rest is in a storm's count: together they are the file.
fn assert_adds_up(harvest: &Harvest, log: &[u8]) {
    let lines = log.split_inclusive(|byte| *byte == b'\n').count() as u64;
    let collapsed = collapsed(harvest);
    assert_eq!(harvest.volume.lines.get(), lines);
    assert_eq!(harvest.volume.bytes.get(), log.len() as u64);
    assert_eq!(harvest.volume.collapsed.get(), collapsed);
    assert!(collapsed > lines * 9 / 10, "{collapsed} of {lines}");
}

#[test]
fn five_calls_of_the_pino_recording_end_as_they_did() {
    let log = recording("fork-pino", "mcp-hub.log.gz");
    let harvest = interpret(&log);
    let outcomes: Vec<_> = calls(&harvest).iter().map(|call| call.outcome).collect();
    use CallOutcome::{Aborted, Fallback, Ok};
    assert_eq!(outcomes, [Ok, Ok, Ok, Fallback, Aborted]);
    let fallback = calls(&harvest)[3];
    assert_eq!(fallback.gemini, GeminiOutcome::Failed);
    assert_eq!(fallback.gemini_failed_rounds, 3);
    assert_eq!(fallback.gemini_failure, Some(GeminiFailure::RateLimited));
    assert!((16_000_000..19_000_000).contains(&fallback.duration.unwrap().get()), "{:?}", fallback.duration);
    assert_eq!(calls(&harvest)[4].gemini_failure, Some(GeminiFailure::KeyInvalid));
    assert_adds_up(&harvest, &log);
}

/// The part of a story that a source can tell which begins and ends with these.
fn part<'a>(story: &'a [(u64, String)], first: &str, last: &str) -> &'a [(u64, String)] {
    let begin = story.iter().position(|(_, told)| told == first).unwrap();
    let end = story.iter().rposition(|(_, told)| told.starts_with(last)).unwrap();
    &story[begin..=end]
}

fn told(story: &[(u64, String)]) -> Vec<&str> {
    // Where a call began is a time, which the sources give with a millisecond's difference.
    story.iter().map(|(_, told)| told.split_once(" that began at ").map_or(told.as_str(), |(_, rest)| &rest[9..])).collect()
}

#[test]
fn the_file_the_console_and_the_event_stream_of_a_hub_tell_the_same_story() {
    for hub in ["fork-pino", "fork-legacy"] {
        let console = story(&interpret(&recording(hub, "stdout.log.gz")));
        let (streamed, lines) = interpret_stream(hub);
        assert_eq!(streamed.volume.lines.get(), 0, "a stream is no log");
        assert_eq!(streamed.stream.as_ref().unwrap().lines.get(), lines);
        assert!(collapsed(&streamed) > lines * 9 / 10);
        // The stream was joined after the servers had started, and ends with the hub.
        let streamed = story(&streamed);
        let (heard, written) = (part(&streamed, "probe-0 connected", "stopping"), part(&console, "probe-0 connected", "stopping"));
        let sorted = |story| {
            let mut told = told(story);
            told.sort_unstable();
            told
        };
        assert_eq!(sorted(heard), sorted(written), "{hub}");
        let off = heard.iter().zip(written).map(|((one, _), (other, _))| one.abs_diff(*other)).max();
        assert!(off < Some(5), "{hub}: {off:?} ms");
    }
    let of_file = |file| story(&interpret(&recording("fork-pino", file)));
    assert_eq!(of_file("mcp-hub.log.gz"), of_file("stdout.log.gz"));
}

#[test]
fn what_the_file_and_the_event_stream_both_show_is_told_once() {
    let both = interpret_both("fork-pino");
    assert_eq!(story(&both), story(&interpret(&recording("fork-pino", "mcp-hub.log.gz"))));
    assert!(both.facts.iter().all(|fact| !matches!(fact.kind, FactKind::Watcher(WatcherFact::FactAmended(_)))));
}

/// The plain file beside what the hub writes to a pipe, each read so many microseconds after a line was written.
fn interpret_file_and_output(hub: &str, file_delay: u64, output_delay: u64) -> Harvest {
    let lines = |file| String::from_utf8_lossy(&recording(hub, file)).lines().map(str::to_owned).collect::<Vec<_>>();
    let output = lines("stdout.log.gz");
    // A stack trace has no time: it is of the line before it.
    let mut last = 0;
    let parsed = output.iter().map(|text| line::parse(text));
    let written: Vec<(u64, String)> = parsed
        .map(|line| {
            last = line.time.map_or(last, Timestamp::get);
            (last, if line.object { "[object Object]".to_owned() } else { line.text.into_owned() })
        })
        .collect();
    // The file lacks some of the output's lines, but has the others in their order.
    let mut next = 0;
    let mut when_written = |text: &str| {
        next += written[next..].iter().position(|(_, written)| written == text).expect("the output has it") + 1;
        written[next - 1].0
    };
    let logged: Vec<_> =
        lines("mcp-hub.log.gz").into_iter().map(|text| (when_written(&text) + file_delay, LineSource::Log, text)).collect();
    let put_out = output.into_iter().zip(&written).map(|(text, (at, _))| (at + output_delay, LineSource::Output, text));
    let mut all: Vec<_> = put_out.chain(logged).collect();
    all.sort_by_key(|(read, ..)| *read);
    let mut interpreter = alone();
    interpreter.with_output();
    for (offset, (read, source, text)) in (0..).zip(&all) {
        feed_between(&mut interpreter, *source, text, offset, (read - 500_000, *read));
    }
    interpreter.harvest(READ)
}

fn feed_between(interpreter: &mut Interpreter, source: LineSource, text: &str, offset: u64, (earliest, read): (u64, u64)) {
    let uid = RecordUid::of_line(WatcherId::from_seed(b"recordings"), &format!("{source:?}"), 0, offset);
    let (earliest, read) = (Timestamp::new(earliest), Timestamp::new(read));
    let size = text.len() as u64 + 1;
    interpreter.line(RawLine { source, stamped: None, text, uid, size, read, earliest, historic: false });
}

#[test]
fn what_the_plain_file_and_the_output_both_show_is_told_once_with_the_better_time() {
    for (file_delay, output_delay) in [(1_000, 300_000), (400_000, 1_000)] {
        let both = interpret_file_and_output("fork-legacy", file_delay, output_delay);
        let alone = interpret(&recording("fork-legacy", "stdout.log.gz"));
        assert_eq!(story(&both), story(&alone), "the file {file_delay} us late");
        assert_eq!(both.volume.bytes.get(), recording("fork-legacy", "mcp-hub.log.gz").len() as u64, "the file is the log");
        assert_eq!(both.volume.error, alone.volume.error, "its levels are known from the output");
    }
}

#[test]
fn a_storm_that_only_the_output_shows_is_counted_beside_those_of_the_log() {
    let mut interpreter = alone();
    interpreter.with_output();
    feed(&mut interpreter, LineSource::Log, "Starting HTTP server on port 7000", 0, 10, READ);
    for offset in 0..5_000 {
        feed(&mut interpreter, LineSource::Output, "(node:1) MaxListenersExceededWarning", offset, 37, READ);
    }
    assert!(collapsed(&interpreter.harvest(READ)) > 4_900);
}

#[test]
fn what_an_earlier_run_read_of_a_pipe_says_nothing_of_one_without() {
    let mut interpreter = alone();
    interpreter.with_output();
    let line = r#"{"type":"info","message":"x","data":{},"timestamp":"2026-11-23T03:41:39.589Z"}"#;
    feed(&mut interpreter, LineSource::Output, line, 0, 10, READ);
    interpreter.harvest(READ);
    let saved = serde_json::to_vec(&interpreter).unwrap();
    let mut resumed = serde_json::from_slice::<Interpreter>(&saved).unwrap().with_key([1; 32]);
    feed(&mut resumed, LineSource::Log, "a plain line", 1, 13, READ);
    let harvest = resumed.harvest(READ);
    assert_eq!(harvest.checkpoints, Some(false));
    assert_eq!(harvest.volume.unlevelled.get(), 1);
}

#[test]
fn the_killed_server_is_down_from_the_kill_to_its_restart() {
    let milli = |hour: u64, minute: u64, second: u64, milli: u64| ((hour * 60 + minute) * 60 + second) * 1_000 + milli;
    let outages = [
        ("fork-pino", milli(3, 41, 5, 231), Some(milli(3, 41, 9, 181))),
        ("fork-legacy", milli(3, 42, 7, 928), Some(milli(3, 42, 11, 396))),
        ("npm-4.2.1", milli(3, 43, 33, 128), None),
    ];
    for (hub, down, up) in outages {
        let story = story(&interpret(&recording(hub, "stdout.log.gz")));
        let after = |what: &str, from: u64| story.iter().find(|(at, told)| told == what && *at >= from).map(|(at, _)| *at);
        assert_eq!(after("filesystem down", 0), Some(down), "{hub}");
        assert_eq!(after("filesystem up", down), up, "{hub}");
    }
}

#[test]
fn the_plain_file_tells_what_it_can() {
    let console = story(&interpret(&recording("fork-legacy", "stdout.log.gz")));
    let file = story(&interpret(&recording("fork-legacy", "mcp-hub.log.gz")));
    // It has no checkpoint lines, and the error that stops the hub is an object there.
    let can = |told: &&str| !told.contains("ended: ") && !told.contains("round failed: key") && !told.starts_with("stopping");
    let sorted = |story| {
        let mut told: Vec<&str> = told(story).into_iter().filter(|told| can(told)).collect();
        told.sort_unstable();
        told
    };
    assert_eq!(sorted(&file), sorted(&console));
    assert!(file.iter().any(|(_, told)| told == "stopping because of None"));
}

#[test]
fn a_log_whose_shape_changes_at_a_restart_tells_what_each_part_of_it_told() {
    let (pino, console) = (recording("fork-pino", "mcp-hub.log.gz"), recording("fork-legacy", "stdout.log.gz"));
    let both = interpret(&[&pino[..], &console[..]].concat());
    let mut parts = [story(&interpret(&pino)), story(&interpret(&console))].concat();
    parts.sort();
    assert_eq!(story(&both), parts);
    assert_eq!(both.shape, Some(LogShape::Mixed));
}

#[test]
fn the_console_log_of_the_legacy_fork_tells_the_same_with_sessions() {
    let harvest = interpret(&recording("fork-legacy", "stdout.log.gz"));
    let outcomes: Vec<_> = calls(&harvest).iter().map(|call| call.outcome).collect();
    use CallOutcome::{Aborted, Fallback, Ok};
    assert_eq!(outcomes, [Ok, Ok, Ok, Fallback, Aborted]);
    assert!(calls(&harvest).iter().all(|call| call.session.is_some()));
}

#[test]
fn the_hub_that_stops_for_an_invalid_key_says_so() {
    for (hub, file) in [("fork-pino", "mcp-hub.log.gz"), ("fork-legacy", "stdout.log.gz")] {
        let harvest = interpret(&recording(hub, file));
        let cause = kinds(&harvest)
            .find_map(|kind| if let FactKind::Hub(HubFact::HubStopping(stop)) = kind { stop.cause.clone() } else { None });
        assert_eq!(cause.unwrap().as_str(), "Gemini API key invalid during prompt analysis", "{hub}");
        assert!(kinds(&harvest).any(|kind| matches!(kind, FactKind::Hub(HubFact::HubStopped(_)))), "{hub}");
    }
}

#[test]
fn each_client_disconnects_once_in_every_recording() {
    let forks = BTreeMap::from([("probe-0".to_owned(), 3), ("probe-1".to_owned(), 1), ("probe-2".to_owned(), 1)]);
    for (hub, file) in [("fork-pino", "mcp-hub.log.gz"), ("fork-pino", "stdout.log.gz"), ("fork-legacy", "stdout.log.gz")] {
        assert_eq!(clients(&interpret(&recording(hub, file))), (forks.clone(), forks.clone()), "{hub} {file}");
    }
    let npm = BTreeMap::from([("probe".to_owned(), 1)]);
    for file in ["mcp-hub.log.gz", "stdout.log.gz"] {
        assert_eq!(clients(&interpret(&recording("npm-4.2.1", file))), (npm.clone(), npm.clone()), "npm {file}");
    }
}

#[test]
fn the_killed_server_is_down_and_the_one_without_a_token_never_up() {
    use Liveness::{Down, Starting, Unknown, Up};
    for (hub, file) in [("fork-pino", "mcp-hub.log.gz"), ("fork-legacy", "mcp-hub.log.gz"), ("fork-legacy", "stdout.log.gz")] {
        let harvest = interpret(&recording(hub, file));
        let filesystem = changes(&harvest, "filesystem");
        // Killed, then stopped and started: up again; then the hub stops.
        assert_eq!(filesystem, [Starting, Up, Down, Up, Unknown], "{hub} {file}");
        assert_eq!(changes(&harvest, "github"), [Starting, Down], "{hub} {file}");
    }
    let npm = interpret(&recording("npm-4.2.1", "mcp-hub.log.gz"));
    assert_eq!(changes(&npm, "filesystem"), [Starting, Up, Down]);
}

#[test]
fn no_session_id_and_no_prompt_of_a_recording_gets_into_a_fact() {
    for (hub, file) in [("fork-pino", "mcp-hub.log.gz"), ("fork-legacy", "stdout.log.gz")] {
        let log = recording(hub, file);
        let facts = format!("{:?}", interpret(&log).facts);
        let text = String::from_utf8_lossy(&log);
        let sessions = text.split("Cleaned up session ").skip(1).filter_map(|rest| rest.get(..36));
        let secrets: Vec<&str> = sessions.chain(["Check my github pull requests"]).collect();
        assert!(secrets.len() > 4);
        for secret in secrets {
            assert!(text.contains(secret) && !facts.contains(secret), "{secret}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_cut_shuffled_or_damaged_recording_makes_the_interpreter_panic(
        which in 0..5usize, cut in 0.0..1.0f64, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..200),
        seed in any::<u64>(),
    ) {
        let files = [
            ("fork-pino", "mcp-hub.log.gz"), ("fork-pino", "events.sse.gz"), ("fork-legacy", "stdout.log.gz"),
            ("npm-4.2.1", "stdout.log.gz"), ("npm-4.2.1", "mcp-hub.log.gz"),
        ];
        let mut log = recording(files[which].0, files[which].1);
        log.truncate((log.len() as f64 * cut) as usize);
        for (index, byte) in flips {
            if !log.is_empty() {
                let index = index.index(log.len());
                log[index] ^= byte;
            }
        }
        let mut lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
        // A fixed shuffle from the seed: enough disorder to part what belongs together.
        lines.sort_by_key(|line| (line.len() as u64).wrapping_mul(seed | 1).rotate_left(17) ^ line.first().copied().map_or(0, u64::from));
        let shuffled = lines.concat();
        interpret(&log);
        let harvest = interpret(&shuffled);
        prop_assert_eq!(harvest.volume.bytes.get(), log.len() as u64);
    }

    #[test]
    fn no_damaged_answer_makes_the_reader_of_answers_panic(
        which in 0..4usize, cut in 0.0..1.0f64, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let files = [("npm-4.2.1", "health.json"), ("fork-pino", "health-5-sse.json"), ("npm-4.2.1", "servers-after-crash.json"),
                     ("fork-legacy", "servers-recovered.json")];
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "recordings", files[which].0, files[which].1].iter().collect();
        let mut answer = std::fs::read(path).unwrap();
        answer.truncate((answer.len() as f64 * (0.5 + cut)) as usize);
        for (index, byte) in flips {
            let index = index.index(answer.len());
            answer[index] ^= byte;
        }
        // Read or refused; what counts is that it comes back.
        let _ = serde_json::from_slice::<Health>(&answer);
        if let Ok(servers) = serde_json::from_slice::<Servers>(&answer) {
            let mut judged = hubwatch::hub::servers::Servers::default();
            let times = Asked { asked: READ, now: READ, hub_now: READ, ahead: 0, set_at: None };
            let (polls, _) = judged.poll(&servers, None, times, &Requests::default());
            prop_assert_eq!(polls.len(), servers.servers.len());
        }
    }
}
