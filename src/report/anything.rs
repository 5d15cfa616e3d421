//! Property tests: the invariants of a report hold for reports on arbitrary Watches.

use proptest::prelude::*;

use super::invariants::broken;
use super::{Given, Provenance, Report, SignOff, report};
use crate::judge::Judge;
use crate::judge::moment::Moment;
use crate::watch::{
    Count, Fact, FactKind, Interval, MarkBegan, MarkEnded, Micros, Poll, ScenarioFact, ScenarioRun, ServerFact, Text, Timestamp,
    Watch, WatcherFact, WatcherId, When,
};

const START: Timestamp = Timestamp::from_secs(1_795_000_000);

/// Makes the report of a period.
fn made(watches: &[Watch], from: Timestamp, to: Timestamp) -> Report {
    let mut judge = Judge::between(Vec::new(), (from, to), None);
    watches.iter().for_each(|watch| drop(judge.take(watch)));
    let provenance = Provenance {
        tool_version: String::new(),
        hub: "hub".to_owned(),
        environment: "staging".to_owned(),
        builds: Vec::new(),
        backend: "none".to_owned(),
        from: Moment(from),
        asked_from: None,
        to: Moment(to),
        generated_at: Moment(to),
        provisional: false,
        watchers: Vec::new(),
        criteria_digest: String::new(),
        overrides: Vec::new(),
        unreadable: Vec::new(),
        incomplete: Vec::new(),
    };
    report(judge.assess(to), Given { provenance, sign_off: SignOff::default(), baseline: super::baseline::Found::default() })
}

/// Uses few names, so that facts are about the same servers.
fn name(text: &mut Text, by: usize) {
    *text = Text::from(["files", "web"][by % 2]);
}

/// Arranges Watches as a real watch makes them: one after the other, of some seconds each, with some gaps, and facts at about their
/// time.
fn arrange(watches: &mut [Watch], lengths: &[(u64, u64)], times: &[(u64, u64)]) {
    let mut now = START;
    let mut times = times.iter().cycle();
    for (index, (watch, (gap, length))) in watches.iter_mut().zip(lengths.iter().cycle()).enumerate() {
        let start = now.plus(Micros::new(if *gap < 70 { 0 } else { *gap * 100_000 }));
        let end = start.plus(Micros::new(length * 1_000_000));
        now = end;
        watch.interval = Interval::new(start, end);
        watch.origin.watcher = WatcherId::from_seed(b"anything");
        (watch.origin.run, watch.origin.sequence) = (1, Count::new(index as u64));
        for (place, fact) in watch.facts.iter_mut().enumerate() {
            let (width, back) = times.next().copied().unwrap_or_default();
            let latest = end.minus(Micros::new(back * 500_000));
            fact.when = When::between(latest.minus(Micros::new(width * 500_000)), latest);
            of_few(fact, index + place);
        }
        for (place, server) in watch.poll.iter_mut().flat_map(|poll: &mut Poll| &mut poll.servers).enumerate() {
            name(&mut server.name, place);
        }
    }
}

fn of_few(fact: &mut Fact, by: usize) {
    match &mut fact.kind {
        FactKind::Server(ServerFact::ServerChanged(change)) => name(&mut change.server, by),
        FactKind::Server(ServerFact::ToolsChanged(change)) => name(&mut change.server, by),
        FactKind::Watcher(WatcherFact::MarkBegan(MarkBegan { name: mark }))
        | FactKind::Watcher(WatcherFact::MarkEnded(MarkEnded { name: mark })) => name(mark, by),
        FactKind::Scenario(ScenarioFact::ScenarioChecked(checked)) => {
            name(&mut checked.scenario, by);
            (checked.run, checked.sequence) = (ScenarioRun::from_seed(&[checked.run.as_bytes()[0] % 4]), checked.sequence % 8);
        }
        FactKind::Scenario(ScenarioFact::ScenarioMeasured(measured)) => {
            name(&mut measured.scenario, by);
            (measured.run, measured.sequence) = (ScenarioRun::from_seed(&[measured.run.as_bytes()[0] % 4]), measured.sequence % 8);
        }
        _ => {}
    }
}

fn readable(report: &Report) -> Report {
    serde_json::from_str(&super::json(report)).unwrap()
}

/// Shrinking takes no longer than a minute. Cases that failed are kept in `proptest-regressions`. The same cases in each run: of
/// thousands of random ones some have found what no other test did, and such a find belongs to a change of its own.
/// `HUBWATCH_CASES=2000 HUBWATCH_SEED=7` tries others.
fn config() -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: number("HUBWATCH_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(default.cases),
        rng_seed: proptest::test_runner::RngSeed::Fixed(number("HUBWATCH_SEED").unwrap_or(1)),
        max_shrink_time: 60_000,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_report_on_any_watches_is_made_and_read_again(watches in proptest::collection::vec(any::<Watch>(), 0..8), (one, other) in any::<(Timestamp, Timestamp)>()) {
        let report = made(&watches, one.min(other), one.max(other));
        prop_assert_eq!(readable(&report).overall.verdict, report.overall.verdict);
        prop_assert_eq!(broken(&report), Vec::<String>::new());
        prop_assert_eq!(broken(&readable(&report)), Vec::<String>::new());
    }

    #[test]
    fn a_report_on_any_part_of_any_watch_of_one_hub_holds_together(
        mut watches in proptest::collection::vec(any::<Watch>(), 1..24),
        lengths in proptest::collection::vec((0..100u64, 0..90u64), 1..12),
        times in proptest::collection::vec((0..60u64, 0..120u64), 1..40),
        (from, to) in (0..1_000u64, 0..1_200u64),
    ) {
        arrange(&mut watches, &lengths, &times);
        let second = |second: u64| START.plus(Micros::new(second * 1_000_000));
        let report = made(&watches, second(from), second(from + to));
        prop_assert_eq!(broken(&report), Vec::<String>::new());
        prop_assert_eq!(broken(&readable(&report)), Vec::<String>::new());
    }
}
