//! What the interpreter finds in a simulated hub's log is what really happened there: nothing missing, nothing invented.

use std::collections::BTreeMap;

use hubwatch::hub::interpret::{Interpreter, RawLine};
use hubwatch::hub::merge::LineSource;
use hubwatch::simulator::{CallOutcome as Really, Happening, Profile, Script, Simulation, Truth};
use hubwatch::watch::{CallOutcome, FactKind, Liveness, Micros, RecordUid, Timestamp, WatcherId};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_secs(1_795_400_000);
const LENGTH: Micros = Micros::new(8 * 3600 * 1_000_000);

/// How often each thing happened, by its name.
type Counts = BTreeMap<String, u64>;

fn simulate(seed: u64) -> (Vec<u8>, Vec<Truth>) {
    let mut simulation = Simulation::new(Profile { seed, ..Profile::fork_pino() }, START);
    for (at, step) in Script::rehearsal(START, LENGTH, seed) {
        simulation.schedule(at, step);
    }
    let mut log = Vec::new();
    simulation.advance(START.plus(LENGTH), &mut log).unwrap();
    (log, simulation.truth().to_vec())
}

fn count(counts: &mut Counts, what: impl Into<String>) {
    *counts.entry(what.into()).or_default() += 1;
}

fn real_counts(truth: &[Truth]) -> (Counts, u64) {
    let (mut counts, mut call_time) = (Counts::new(), 0);
    for happening in truth.iter().map(|truth| &truth.what) {
        match happening {
            Happening::HubStarted { .. } => count(&mut counts, "hub started"),
            Happening::HubStopping => count(&mut counts, "hub stopping"),
            Happening::ServerUp { name } => count(&mut counts, format!("{name} up")),
            Happening::ClientConnected { name, .. } => count(&mut counts, format!("{name} connected")),
            Happening::ClientDisconnected { name: Some(name), .. } => count(&mut counts, format!("{name} disconnected")),
            Happening::CallEnded { outcome, start, end, .. } => {
                let outcome = match outcome {
                    Really::Answered { .. } | Really::NoCategories => CallOutcome::Ok,
                    Really::FellBack { .. } => CallOutcome::Fallback,
                    Really::KeyInvalid | Really::GeminiFailed | Really::SessionGone | Really::HubGone => CallOutcome::Aborted,
                };
                count(&mut counts, format!("call {outcome}"));
                call_time += end.since(*start).get();
            }
            Happening::RateLimited { .. } => count(&mut counts, "round failed"),
            _ => {}
        }
    }
    (counts, call_time)
}

fn found_counts(log: &[u8]) -> (Counts, u64) {
    let mut interpreter = Interpreter::new([1; 32]);
    let (watcher, mut offset) = (WatcherId::from_seed(b"truth"), 0);
    let end = START.plus(LENGTH);
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(line).unwrap().trim_end_matches('\n');
        let uid = RecordUid::of_line(watcher, "mcp-hub.log", 0, offset);
        let size = line.len() as u64;
        interpreter.line(RawLine {
            source: LineSource::Log,
            stamped: None,
            text,
            uid,
            size,
            read: end,
            earliest: START,
            historic: false,
        });
        offset += size;
    }
    let (mut counts, mut call_time) = (Counts::new(), 0);
    for fact in interpreter.harvest(end).facts {
        match fact.kind {
            FactKind::HubStarted(_) => count(&mut counts, "hub started"),
            FactKind::HubStopping(_) => count(&mut counts, "hub stopping"),
            FactKind::ServerChanged(change) if change.to == Liveness::Up => count(&mut counts, format!("{} up", change.server)),
            FactKind::ClientConnected(client) => count(&mut counts, format!("{} connected", client.client)),
            FactKind::ClientDisconnected(client) => count(&mut counts, format!("{} disconnected", client.client)),
            FactKind::CallEnded(call) => {
                count(&mut counts, format!("call {}", call.outcome));
                call_time += call.duration.get();
            }
            FactKind::GeminiRoundFailed(_) => count(&mut counts, "round failed"),
            _ => {}
        }
    }
    (counts, call_time)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_facts_of_a_session_are_what_happened_in_it(seed in 0..1_000_000u64) {
        let (log, truth) = simulate(seed);
        let ((real, real_time), (found, found_time)) = (real_counts(&truth), found_counts(&log));
        prop_assert_eq!(&found, &real);
        let calls: u64 = found.iter().filter(|(what, _)| what.starts_with("call")).map(|(_, count)| count).sum();
        // The log has milliseconds: each call's beginning and end are rounded.
        prop_assert!(found_time.abs_diff(real_time) <= calls * 2_000, "{found_time} and {real_time} over {calls} calls");
        prop_assert!(calls > 20);
    }
}
