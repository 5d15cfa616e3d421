//! The parts of a period add up to the whole, wherever it is cut.

mod period;

use std::collections::BTreeMap;

use hubwatch::backend::period::CONTEXT;
use hubwatch::judge::exact::Exact;
use hubwatch::judge::history::History;
use hubwatch::judge::{Assessment, Judge};
use hubwatch::watch::*;
use period::*;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Tenths of a second of a period of six hours.
const LENGTH: u64 = 216_000;
const TENTH: u64 = 100_000;
/// Every minute a Watch ends.
const WATCH: u64 = 600;
/// The longest time that a planned window lasts.
const LONGEST: u64 = 144_000;

fn at(tenth: u64) -> Timestamp {
    START.plus(Micros::new(tenth * TENTH))
}

/// What happens in a period: each at its tenth of a second.
#[derive(Debug, Clone)]
enum Event {
    Server(usize, Liveness),
    Silent(u64),
    Call(CallOutcome),
    Errors(u64),
    Mark(u64),
    Exit,
}

fn event() -> impl Strategy<Value = Event> {
    // What is not known for long can't be remembered from before the period: see the hub's silences.
    let known: Vec<Liveness> = Liveness::ALL.iter().copied().filter(|liveness| *liveness != Liveness::Unknown).collect();
    let liveness = proptest::sample::select(known);
    prop_oneof![
        6 => (0..2usize, liveness).prop_map(|(server, liveness)| Event::Server(server, liveness)),
        1 => (1..3_000u64).prop_map(Event::Silent),
        2 => proptest::sample::select(CallOutcome::ALL).prop_map(Event::Call),
        1 => (1..30u64).prop_map(Event::Errors),
        1 => (1..=LONGEST).prop_map(Event::Mark),
        1 => Just(Event::Exit),
    ]
}

const SERVERS: [&str; 2] = ["files", "web"];

/// A period as a watch that knows all of it would tell of it: some facts in the Watch after the one in which they happened.
fn period_of(events: &[(u64, bool, Event)]) -> Vec<Watch> {
    let count = LENGTH / WATCH;
    let mut watches: Vec<Watch> = (0..count).map(|index| watch(index, ApiOutcome::Ok)).collect();
    for (index, watch) in watches.iter_mut().enumerate() {
        let (start, end) = (at(index as u64 * WATCH), at((index as u64 + 1) * WATCH));
        watch.interval = Interval::new(start, end);
        // The watch had begun before.
        watch.origin.sequence = Count::new(index as u64 + 100);
        watch.log.bytes = Bytes::new(1_000 + index as u64);
        watch.poll = Some(poll(ApiOutcome::Ok, Liveness::Up, end));
    }
    let mut ordered: Vec<_> = events.to_vec();
    ordered.sort_by_key(|(tenth, ..)| *tenth);
    // From which Watch on each state is known.
    let mut states: BTreeMap<&str, Vec<(u64, Liveness)>> = SERVERS.iter().map(|name| (*name, vec![(0, Liveness::Up)])).collect();
    let mut told = 0;
    for (tenth, late, event) in &ordered {
        let watch_of = |tenth: u64| (tenth.div_ceil(WATCH).max(1) - 1 + u64::from(*late)).min(count - 1);
        // What is told late holds up what comes after it.
        told = watch_of(*tenth).max(told);
        let mut tell = |tenth: u64, kind: FactKind| {
            let index = watch_of(tenth).max(told);
            add_at(&mut watches[usize::try_from(index).unwrap()], at(tenth), kind);
        };
        match event {
            Event::Server(server, to) => {
                let known = states.get_mut(SERVERS[*server]).unwrap();
                let (_, from) = *known.last().unwrap();
                if from != *to {
                    known.push((told, *to));
                    let (server, reason) = (Text::from(SERVERS[*server]), Text::from("test"));
                    tell(*tenth, ServerChanged { server, from, to: *to, reason, cause: None }.into());
                }
            }
            Event::Silent(lasts) => {
                tell(*tenth, HubUnreachable { outcome: ApiOutcome::Refused }.into());
                tell((tenth + lasts).min(LENGTH), HubReachable { restarted: None }.into());
            }
            Event::Call(outcome) => tell(*tenth, call(*outcome).into()),
            Event::Errors(count) => {
                tell(*tenth, Lines { level: Level::Error, template: Text::from("failed"), count: Count::new(*count) }.into());
            }
            Event::Mark(lasts) => {
                let name = Text::new(format!("mark {tenth}"));
                tell(*tenth, MarkBegan { name: name.clone() }.into());
                tell((tenth + lasts).min(LENGTH), MarkEnded { name }.into());
            }
            Event::Exit => tell(*tenth, HubExited { pid: None, cause: None }.into()),
        }
    }
    // A poll shows what had been told by then.
    for (index, watch) in watches.iter_mut().enumerate() {
        let end = watch.interval.end();
        let servers = SERVERS.iter().filter_map(|name| {
            let (_, liveness) = *states[name].iter().rev().find(|(known, _)| *known <= index as u64)?;
            let mut server = poll(ApiOutcome::Ok, liveness, end).servers.remove(0);
            server.name = Text::from(*name);
            (liveness != Liveness::Removed).then_some(server)
        });
        watch.poll.as_mut().unwrap().servers = servers.collect();
    }
    watches
}

fn part(watches: &[Watch], from: u64, to: u64) -> Assessment {
    let mut judge = Judge::between(Vec::new(), (at(from), at(to)), None);
    // A report reads a quarter of an hour more after it, and before it what can tell of a window that goes on.
    let margin = Micros::new(900_000_000);
    let near = |watch: &&Watch| watch.interval.end() >= at(from).minus(CONTEXT) && watch.interval.start() <= at(to).plus(margin);
    watches.iter().filter(near).for_each(|watch| drop(judge.take(watch)));
    judge.assess(at(to))
}

/// The sum of which this is the mean.
fn whole(mean: Exact, count: u64) -> u64 {
    u64::try_from(mean.numerator() * u128::from(count) / mean.denominator()).unwrap()
}

/// What must add up.
fn figures(history: &History) -> BTreeMap<String, u64> {
    let (coverage, hub, calls) = (&history.coverage, &history.hub, &history.calls);
    let mut all = BTreeMap::from([
        ("watches".to_owned(), coverage.watches),
        ("polls".to_owned(), coverage.polls),
        ("polls answered".to_owned(), coverage.polls_answered),
        ("covered".to_owned(), coverage.covered_us),
        ("planned".to_owned(), coverage.planned_us),
        ("hub down".to_owned(), hub.down_us),
        ("hub up".to_owned(), hub.up_us),
        ("hub exits".to_owned(), hub.exits.len() as u64),
        ("calls".to_owned(), calls.total),
        ("calls planned".to_owned(), calls.planned),
        ("log bytes".to_owned(), history.log.bytes),
        ("log lines".to_owned(), history.log.lines),
        ("api requests".to_owned(), history.api.requests),
        ("api answers".to_owned(), history.api.answers()),
        // What the mean is made of.
        ("api time".to_owned(), history.api.mean().map_or(0, |mean| whole(mean, history.api.answers()))),
        ("errors".to_owned(), history.log.errors.unwrap_or(0)),
        ("log grown".to_owned(), history.log.grown_bytes),
        ("log growing time".to_owned(), history.log.grown_us),
        ("span".to_owned(), coverage.span_us),
    ]);
    for (outcome, count) in &calls.by_outcome {
        all.insert(format!("calls {outcome}"), *count);
    }
    for name in SERVERS {
        let Some(server) = history.servers.0.get(name) else { continue };
        all.insert(format!("{name} down"), server.down_us);
        all.insert(format!("{name} up"), server.up_us);
        all.insert(format!("{name} disconnections"), server.disconnections);
    }
    all.retain(|_, value| *value > 0);
    all
}

/// Cases that fail are kept, and shrinking takes no longer than a minute. The same cases in each run; `HUBWATCH_CASES=2000 HUBWATCH_SEED=7`
/// tries others.
fn config() -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let kept = FileFailurePersistence::Direct(concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/cuts.txt"));
    ProptestConfig {
        cases: number("HUBWATCH_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(48),
        rng_seed: proptest::test_runner::RngSeed::Fixed(number("HUBWATCH_SEED").unwrap_or(1)),
        failure_persistence: Some(Box::new(kept)),
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_parts_of_a_period_add_up_to_the_whole_wherever_it_is_cut(
        events in proptest::collection::vec((1..LENGTH, any::<bool>(), event()), 0..40),
        cuts in proptest::collection::vec(1..LENGTH, 0..6),
        on_a_watch in proptest::collection::vec(1..LENGTH / WATCH, 0..3),
    ) {
        let watches = period_of(&events);
        let mut cuts: Vec<u64> = cuts.into_iter().chain(on_a_watch.into_iter().map(|watch| watch * WATCH)).chain([0, LENGTH]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let whole = figures(&part(&watches, 0, LENGTH).history);
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for pair in cuts.windows(2) {
            for (name, value) in figures(&part(&watches, pair[0], pair[1]).history) {
                *sums.entry(name).or_default() += value;
            }
        }
        prop_assert_eq!(sums, whole);
    }
}

#[test]
fn a_return_that_is_told_after_a_poll_that_answered_counts_the_same_in_a_part() {
    let watches = period_of(&[(105_887, true, Event::Silent(314))]);
    let down = |from, to| part(&watches, from, to).history.hub.down_us;
    assert_eq!(down(0, 106_202) + down(106_202, LENGTH), down(0, LENGTH));
}

#[test]
fn a_change_just_after_the_cut_tells_how_things_stood_before_it() {
    let watches = period_of(&[(74, false, Event::Server(0, Liveness::Down)), (80, false, Event::Silent(200))]);
    let history = part(&watches, 0, 1).history;
    let server = &history.servers.0["files"];
    assert_eq!((server.up_us, server.down_us, history.hub.up_us), (TENTH, 0, TENTH));
}
