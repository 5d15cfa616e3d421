//! Answers of a hub's API: read or refused, and what is read is judged.

#![no_main]

use hubwatch::hub::api::{FilteringStats, Health, Servers};
use hubwatch::hub::interpret::{Interpreter, PollAnswer};
use hubwatch::watch::{ApiOutcome, Micros, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_795_400_000);

fuzz_target!(|data: &[u8]| {
    let mut interpreter = Interpreter::new([1; 32]);
    for (round, answers) in (0u64..).zip(data.split(|byte| *byte == 0)) {
        let (health, servers) = answers.split_at(answers.iter().position(|byte| *byte == 1).unwrap_or(answers.len() / 2));
        let _ = serde_json::from_slice::<FilteringStats>(health);
        let now = NOW.plus(Micros::new(round * 15_000_000));
        let servers = serde_json::from_slice::<Servers>(servers).map_err(|_| ApiOutcome::Unreadable);
        let known = servers.as_ref().map_or(0, |servers| servers.servers.len());
        let poll = interpreter.poll(&PollAnswer {
            asked: now.minus(Micros::new(1_000)),
            now,
            health: serde_json::from_slice::<Health>(health).map_err(|_| ApiOutcome::Unreadable),
            health_duration: Micros::new(1_000),
            servers: Some((servers, Micros::new(1_000))),
            process: None,
            children: Vec::new(),
            filtering: None,
            log_file: None,
            own_subscribers: 1,
        });
        assert_eq!(poll.servers.len(), known);
        interpreter.harvest(now);
    }
});
