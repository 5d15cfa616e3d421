use super::*;
use crate::watch::{FactAmended, FactId, FactKind, HubFact, LogFact, Micros, ServerFact, WatcherId};

fn at(millis: u64) -> Timestamp {
    Timestamp::parse("2026-11-23T03:40:38.000Z").unwrap().plus(Micros::new(millis * 1_000))
}

/// Nothing confirms or contradicts these lines.
fn alone() -> Interpreter {
    let mut interpreter = Interpreter::new([0; 32]);
    interpreter.lines_alone();
    interpreter
}

/// The line as the event stream shows it.
fn streamed(interpreter: &mut Interpreter, text: &str, millis: u64) {
    let time = format!("2026-11-23T03:40:38.{millis:03}Z");
    let line = format!(r#"{{"type":"info","message":"{text}","data":{{}},"timestamp":"{time}"}}"#);
    read(interpreter, LineSource::EventStream, &line, at(millis), at(millis));
}

/// The line as the file shows it, at the next look.
fn looked_at(interpreter: &mut Interpreter, text: &str, millis: u64) {
    read(interpreter, LineSource::Log, text, at(millis.saturating_sub(250)), at(millis));
}

fn read(interpreter: &mut Interpreter, source: LineSource, text: &str, earliest: Timestamp, read: Timestamp) {
    let uid = RecordUid::of_line(WatcherId::from_seed(b"test"), &format!("{source:?}"), 0, read.get());
    let size = text.len() as u64;
    interpreter.line(RawLine { source, text, uid, size, stamped: None, read, earliest, historic: false });
}

fn facts(harvest: &Harvest) -> Vec<(When, &FactKind)> {
    let facts = harvest.facts.iter().filter(|fact| fact.source != Source::Sidecar);
    facts.map(|fact| (fact.when, &fact.kind)).collect()
}

const STOP: &str = "Received SIGTERM signal - initiating graceful shutdown";

#[test]
fn a_stop_that_the_stream_showed_before_it_closed_is_not_told_again_by_the_log() {
    let mut interpreter = alone();
    interpreter.stream_joined(at(0));
    streamed(&mut interpreter, STOP, 76);
    interpreter.stream_left("the hub closed it", at(99));
    looked_at(&mut interpreter, STOP, 250);
    looked_at(&mut interpreter, "Graceful shutdown completed successfully", 250);
    let harvest = interpreter.harvest(at(300));
    let [(stopping, FactKind::Hub(HubFact::HubStopping(_))), (_, FactKind::Hub(HubFact::HubStopped(_)))] = facts(&harvest)[..]
    else {
        panic!("{:?}", harvest.facts)
    };
    assert_eq!(stopping, When::At(at(76)));
}

#[test]
fn the_stream_completes_the_time_of_what_the_log_showed_first() {
    let mut interpreter = alone();
    interpreter.stream_joined(at(0));
    looked_at(&mut interpreter, "'files' transport closed", 250);
    streamed(&mut interpreter, "'files' transport closed", 240);
    let harvest = interpreter.harvest(at(300));
    let [(closed, FactKind::Server(ServerFact::ServerChanged(_)))] = facts(&harvest)[..] else { panic!("{:?}", harvest.facts) };
    assert_eq!(closed, When::At(at(240)));
}

#[test]
fn what_is_learned_of_a_fact_after_it_was_told_amends_it_whatever_the_restart() {
    let mut interpreter = alone();
    interpreter.stream_joined(at(0));
    looked_at(&mut interpreter, "'files' transport closed", 250);
    let told = interpreter.harvest(at(260));
    let Evidence::Line(record, ordinal) = told.facts.last().unwrap().evidence else { panic!("{told:?}") };
    let saved = serde_json::to_vec(&interpreter).unwrap();
    let mut interpreter: Interpreter = serde_json::from_slice::<Interpreter>(&saved).unwrap().with_key([0; 32]);
    interpreter.lines_alone();
    streamed(&mut interpreter, "'files' transport closed", 240);
    let harvest = interpreter.harvest(at(300));
    let amended = FactAmended { fact: FactId::of_line(record, ordinal) };
    assert_eq!(facts(&harvest), [(When::At(at(240)), &amended.into())]);
}

#[test]
fn a_hub_that_stops_with_its_last_subscriber_says_so() {
    let mut interpreter = alone();
    looked_at(&mut interpreter, "Setting up auto shutting down", 250);
    looked_at(&mut interpreter, "Starting HTTP server on port 7000", 250);
    assert!(interpreter.hub_stops_alone());
    looked_at(&mut interpreter, "No active SSE connections, initiating shutdown", 500);
    looked_at(&mut interpreter, STOP, 500);
    let harvest = interpreter.harvest(at(600));
    let cause = harvest.facts.iter().find_map(|fact| match &fact.kind {
        FactKind::Hub(HubFact::HubStopping(stopping)) => stopping.cause.clone(),
        _ => None,
    });
    assert_eq!(cause.unwrap().as_str(), "No active SSE connections, initiating shutdown");
}

#[test]
fn the_log_completes_the_level_that_the_stream_does_not_tell() {
    let mut interpreter = alone();
    interpreter.stream_joined(at(0));
    let failed = "SSE_SEND_ERROR";
    let streamed = format!(r#"{{"type":"debug","message":"{failed}","data":{{}},"timestamp":"2026-11-23T03:40:38.010Z"}}"#);
    read(&mut interpreter, LineSource::EventStream, &streamed, at(10), at(10));
    let logged = format!(r#"{{"level":"warn","time":"2026-11-23T03:40:38.010Z","msg":"{failed}"}}"#);
    read(&mut interpreter, LineSource::Log, &logged, at(0), at(250));
    let harvest = interpreter.harvest(at(300));
    let [(_, FactKind::Hub(HubFact::SubscriberFailed(_))), (_, FactKind::Log(LogFact::Lines(lines)))] = facts(&harvest)[..] else {
        panic!("{:?}", harvest.facts)
    };
    assert_eq!((lines.level, lines.count.get()), (Level::Warn, 1));
}
