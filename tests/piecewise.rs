//! A period judged at once, piece by piece, or as it is made gives the same incidents and the same verdicts.

mod period;

use hubwatch::judge::live::{LiveJudge, News};
use hubwatch::judge::{Assessment, Judge, interleave};
use hubwatch::watch::*;
use period::*;
use proptest::prelude::*;

/// Something that happens in a period.
#[derive(Debug, Clone)]
enum Happening {
    Crash { seconds: u64, planned: bool },
    Call(CallOutcome, u64),
    Errors(u64),
    Exit,
    Unanswered,
    FailedRound,
    Growth(u64),
    Missing,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..180u64, any::<bool>()).prop_map(|(seconds, planned)| Happening::Crash { seconds, planned }),
        (proptest::sample::select(CallOutcome::ALL), 0..20_000_000u64)
            .prop_map(|(outcome, duration)| Happening::Call(outcome, duration)),
        (1..30u64).prop_map(Happening::Errors),
        Just(Happening::Exit),
        Just(Happening::Unanswered),
        Just(Happening::FailedRound),
        (1..200_000_000u64).prop_map(Happening::Growth),
        Just(Happening::Missing),
    ]
}

fn errors(count: u64) -> Lines {
    Lines { level: Level::Error, template: Text::from("it failed"), count: Count::new(count) }
}

/// Three hours and more, and what happens in them by the minute.
fn period(happenings: &[(usize, Happening)]) -> Vec<Watch> {
    let mut watches = quiet(240).watches();
    let mut missing = Vec::new();
    for (minute, happening) in happenings {
        let watch = &mut watches[*minute];
        match happening {
            Happening::Crash { seconds, planned } => crash(&mut watches, *minute, *seconds, *planned),
            Happening::Call(outcome, duration) => {
                add(watch, CallEnded { duration: Some(Micros::new(*duration)), ..call(*outcome) });
            }
            Happening::Errors(count) => add(watch, errors(*count)),
            Happening::Exit => add(watch, HubExited { pid: Some(7), cause: None }),
            Happening::Unanswered => {
                watch.poll = Some(poll(ApiOutcome::Refused, Liveness::Unknown, watch.interval.end()));
                add(watch, HubUnreachable { outcome: ApiOutcome::Refused });
            }
            Happening::FailedRound => add(watch, failed_round()),
            Happening::Growth(bytes) => watch.log.bytes = Bytes::new(*bytes),
            Happening::Missing => missing.push(*minute),
        }
    }
    missing.sort_unstable();
    missing.dedup();
    missing.iter().rev().for_each(|minute| drop(watches.remove(*minute)));
    watches
}

fn at_once(watches: Vec<Watch>, to: Timestamp) -> Assessment {
    let mut judge = Judge::new(Vec::new(), START);
    interleave(watches).iter().for_each(|watch| drop(judge.take(watch)));
    judge.assess(to)
}

/// Facts whose time is known only roughly, and what is learned of it later.
fn with_amendments(mut watches: Vec<Watch>, amended: &[(usize, usize)]) -> Vec<Watch> {
    for (minute, later) in amended {
        let end = watches[*minute].interval.end();
        let exact = When::At(end.minus(Micros::new(1_000_000)));
        add(&mut watches[*minute], errors(12));
        let fact = watches[*minute].facts.last_mut().unwrap();
        fact.when = When::between(end.minus(Micros::new(3_000_000_000)), end);
        let fact = fact.id;
        add(&mut watches[minute + later], FactAmended { fact });
        watches[minute + later].facts.last_mut().unwrap().when = exact;
    }
    watches
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_of_any_size_come_to_the_same_as_the_whole(
        happenings in proptest::collection::vec((5..230usize, happening()), 0..12),
        splits in proptest::collection::vec(0..240usize, 0..12),
    ) {
        let watches = period(&happenings);
        let to = watches.last().unwrap().interval.end();
        let whole = at_once(watches.clone(), to);

        let mut judge = Judge::new(Vec::new(), START);
        let mut told = std::collections::BTreeMap::new();
        let mut splits: Vec<usize> = splits.into_iter().filter(|split| *split < watches.len()).chain([watches.len()]).collect();
        splits.sort_unstable();
        let mut begin = 0;
        for split in splits {
            for watch in interleave(watches[begin..split].to_vec()) {
                told.extend(judge.take(&watch).into_iter().map(|incident| (incident.id.clone(), incident)));
            }
            begin = split;
            // Asking in between changes nothing, and neither does going on with a copy.
            let _ = judge.assess(to);
            judge = judge.clone();
        }
        let pieces = judge.assess(to);
        prop_assert_eq!(&pieces.incidents, &whole.incidents);
        prop_assert_eq!(&pieces.criteria, &whole.criteria);
        prop_assert_eq!(&pieces, &whole);
        // What was told on the way, each as it was told last, is what there is in the end.
        let mut told: Vec<_> = told.into_values().collect();
        told.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
        prop_assert_eq!(told, whole.incidents);
    }

    #[test]
    fn what_is_amended_within_a_minute_is_judged_live_as_afterwards(
        happenings in proptest::collection::vec((5..230usize, happening()), 0..6),
        amended in proptest::collection::vec((5..180usize, 0..2usize), 1..6),
    ) {
        let happenings: Vec<_> = happenings.into_iter().filter(|(_, what)| !matches!(what, Happening::Missing)).collect();
        let watches = with_amendments(period(&happenings), &amended);
        let to = watches.last().unwrap().interval.end();
        let mut live = LiveJudge::new(Vec::new(), START, None);
        let mut judged_again = 0;
        for watch in watches.clone() {
            judged_again += usize::from(matches!(live.take(watch), News::Judged(_)));
        }
        prop_assert!(judged_again > 0);
        let mut afterwards = watches;
        amend(&mut afterwards);
        let afterwards = at_once(afterwards, to);
        prop_assert_eq!(live.incidents(), &afterwards.incidents[..]);
        prop_assert_eq!(live.assess(to), afterwards);
    }
}
