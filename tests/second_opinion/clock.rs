//! A clock that is set back: "the Watches made meanwhile count as the clock before the jump would have dated them".

use std::borrow::Cow;

use hubwatch::watch::*;

/// "Jumps cancel out if they come to a second or less", "within 1,000 Watches".
const SECOND: u64 = 1_000_000;
const WATCHES: usize = 1_000;

/// By how much the clock jumps at the end of a Watch.
fn jump(watch: &Watch) -> i64 {
    let by = |fact: &Fact| if let FactKind::Watcher(WatcherFact::ClockJumped(jumped)) = &fact.kind { jumped.jump } else { 0 };
    watch.facts.iter().map(by).sum()
}

/// The Watches, in their order, with the times of those that were made by a clock that was set back later moved.
pub(super) fn straight<'a>(watches: &[&'a Watch]) -> Vec<Cow<'a, Watch>> {
    let mut all: Vec<Cow<'a, Watch>> = watches.iter().map(|watch| Cow::Borrowed(*watch)).collect();
    let mut index = 0;
    while index < watches.len() {
        let Some(last) = set_back(watches, index) else {
            index += 1;
            continue;
        };
        let mut ahead = jump(watches[index]);
        for place in index + 1..=last {
            all[place] = Cow::Owned(moved(watches[place], -ahead));
            ahead += jump(watches[place]);
        }
        index = last + 1;
    }
    all
}

/// If the clock jumps at the end of a Watch and is set back: the last Watch by the clock that had jumped.
fn set_back(watches: &[&Watch], first: usize) -> Option<usize> {
    let mut ahead = jump(watches[first]);
    if ahead.unsigned_abs() <= SECOND {
        return None;
    }
    let same_run = |place: &usize| watches[*place].origin.run == watches[first].origin.run;
    for place in (first + 1..watches.len()).take_while(same_run).take(WATCHES - 1) {
        ahead += jump(watches[place]);
        if jump(watches[place]) != 0 && ahead.unsigned_abs() <= SECOND {
            return Some(place);
        }
    }
    None
}

fn moved(watch: &Watch, by: i64) -> Watch {
    let at = |at: Timestamp| at.shifted(by);
    let mut watch = watch.clone();
    watch.interval = Interval::new(at(watch.interval.start()), at(watch.interval.end()));
    for fact in &mut watch.facts {
        fact.when = When::between(at(fact.when.earliest()), at(fact.when.latest()));
    }
    if let Some(process) = watch.poll.as_mut().and_then(|poll| poll.process.as_mut()) {
        process.started = at(process.started);
    }
    watch
}
