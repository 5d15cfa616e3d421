//! What the judge makes of periods that are known by heart.

mod period;

use std::collections::BTreeMap;

use hubwatch::judge::criterion::Severity;
use hubwatch::judge::incident::IncidentKind;
use hubwatch::judge::rules::{RuleFile, Rules, ServerEntry};
use hubwatch::judge::verdict::Verdict;
use hubwatch::judge::{Assessment, Judge};
use hubwatch::watch::*;
use period::{DAY, INTERVAL, START, origin, poll, sources, verdict, watcher};

/// A period being put together, Watch by Watch.
struct Period {
    watches: Vec<Watch>,
    now: Timestamp,
    sequence: u64,
}

impl Period {
    fn new() -> Self {
        Self { watches: Vec::new(), now: START, sequence: 0 }
    }

    fn watch(&mut self, outcome: ApiOutcome, liveness: Liveness, facts: Vec<FactKind>) {
        let end = self.now.plus(INTERVAL);
        let facts = facts.into_iter().enumerate().map(|(index, kind)| Fact {
            id: FactId::of_watch(watcher(), 1, Count::new(self.sequence), index as u32),
            when: When::At(end),
            source: Source::Log,
            kind,
        });
        self.watches.push(Watch {
            origin: origin(self.sequence),
            interval: Interval::new(self.now, end),
            sources: sources(),
            log: LogVolume { lines: Count::new(10), bytes: Bytes::new(1_000), info: Count::new(10), ..LogVolume::default() },
            stream: None,
            sidecar: SidecarPoll::default(),
            poll: Some(poll(outcome, liveness, end)),
            facts: facts.collect(),
        });
        self.now = end;
        self.sequence += 1;
    }

    /// A healthy stretch, with a call in each interval.
    fn healthy(mut self, minutes: u64) -> Self {
        for _ in 0..minutes {
            self.watch(ApiOutcome::Ok, Liveness::Up, vec![call(CallOutcome::Ok)]);
        }
        self
    }

    fn then(mut self, outcome: ApiOutcome, liveness: Liveness, facts: Vec<FactKind>) -> Self {
        self.watch(outcome, liveness, facts);
        self
    }

    fn judge(&self, expected: &[&str]) -> Assessment {
        let states = expected.iter().map(|state| (*state).to_owned()).collect();
        let servers = BTreeMap::from([("filesystem".to_owned(), ServerEntry { expected: states })]);
        let mut judge = Judge::new(vec![RuleFile { servers, ..RuleFile::default() }], START);
        for watch in &self.watches {
            judge.take(watch);
        }
        judge.assess(self.now)
    }
}

fn call(outcome: CallOutcome) -> FactKind {
    period::call(outcome).into()
}

fn changed(from: Liveness, to: Liveness) -> FactKind {
    period::changed(from, to).into()
}

#[test]
fn a_healthy_day_passes_all_that_is_measured_and_nothing_else() {
    let judgement = Period::new().healthy(DAY).judge(&[]);
    for (criterion, judged) in &judgement.criteria {
        let unmeasured = judged.why.starts_with("not ");
        let expected = if unmeasured { Verdict::Inconclusive } else { Verdict::Pass };
        assert_eq!(judged.verdict, expected, "{}: {}", criterion.id, judged.why);
    }
    assert_eq!(judgement.obstacles, []);
    // Session isolation and memory leaks are musts that nobody measured.
    assert_eq!(judgement.overall, Verdict::Inconclusive);
    assert_eq!(judgement.incidents, []);
}

#[test]
fn without_a_call_the_meta_tool_is_not_judged() {
    let mut period = Period::new();
    for _ in 0..DAY {
        period.watch(ApiOutcome::Ok, Liveness::Up, vec![]);
    }
    let judgement = period.judge(&[]);
    for id in ["integration.meta_tool_succeeds", "performance.meta_tool_time", "integration.gemini_without_errors"] {
        assert_eq!(verdict(&judgement, id), Verdict::Inconclusive, "{id}");
    }
}

#[test]
fn a_crash_is_down_from_the_first_sign_to_the_recovery_though_the_status_says_connected() {
    let period = Period::new()
        .healthy(100)
        .then(ApiOutcome::Ok, Liveness::Down, vec![changed(Liveness::Up, Liveness::Down)])
        .then(ApiOutcome::Ok, Liveness::Down, vec![])
        .then(ApiOutcome::Ok, Liveness::Starting, vec![changed(Liveness::Down, Liveness::Starting)])
        .then(ApiOutcome::Ok, Liveness::Up, vec![changed(Liveness::Starting, Liveness::Up)])
        .healthy(100);
    let judgement = period.judge(&[]);
    let down = &judgement.history.servers.0["filesystem"].down;
    assert_eq!((down.len(), down[0].duration_us), (1, 3 * INTERVAL.get()));
    assert_eq!(verdict(&judgement, "integration.servers_connected"), Verdict::Fail);
    assert_eq!(verdict(&judgement, "degradation.server_recovery"), Verdict::Fail);
    assert_eq!(judgement.overall, Verdict::Fail);
}

#[test]
fn a_server_that_never_worked_fails_unless_that_is_expected() {
    let mut period = Period::new();
    for _ in 0..DAY {
        period.watch(ApiOutcome::Ok, Liveness::Down, vec![call(CallOutcome::Ok)]);
    }
    assert_eq!(verdict(&period.judge(&[]), "integration.servers_connected"), Verdict::Fail);
    assert_eq!(verdict(&period.judge(&["disconnected"]), "integration.servers_connected"), Verdict::Pass);
}

#[test]
fn a_hub_that_starts_after_the_sidecar_was_not_down_before() {
    let lost = HubUnreachable { outcome: ApiOutcome::Refused };
    let back = HubReachable { restarted: None };
    let late = Period::new()
        .then(ApiOutcome::Refused, Liveness::Unknown, vec![lost.clone().into()])
        .then(ApiOutcome::Ok, Liveness::Up, vec![back.clone().into()])
        .healthy(DAY);
    let judgement = late.judge(&[]);
    assert_eq!(verdict(&judgement, "stability.uptime"), Verdict::Pass);
    assert!(judgement.history.hub.awaited.is_some());

    let gone = Period::new()
        .healthy(100)
        .then(ApiOutcome::Refused, Liveness::Unknown, vec![lost.into()])
        .then(ApiOutcome::Ok, Liveness::Up, vec![back.into()])
        .healthy(DAY);
    assert_eq!(verdict(&gone.judge(&[]), "stability.uptime"), Verdict::Fail);
}

#[test]
fn a_gemini_round_that_failed_counts_though_no_call_was_seen_to_end() {
    let unseen = |facts: Vec<FactKind>| {
        let mut period = Period::new().then(ApiOutcome::Ok, Liveness::Up, facts);
        period.watches[0].sources.checkpoints = Some(false);
        let assessment = period.judge(&[]);
        let share = assessment.measures.iter().find(|figure| figure.measure.word == "gemini.failed_share").unwrap();
        (share.exact.map(|exact| (exact.numerator(), exact.denominator())), share.samples)
    };
    assert_eq!(unseen(vec![period::failed_round().into()]), (Some((1_000, 1)), 1));
    assert_eq!(unseen(Vec::new()).0, None);
}

#[test]
fn a_hub_that_tells_of_its_start_after_a_gap_is_up_from_that_start_on() {
    let mut period = Period::new().healthy(10);
    period.now = period.now.plus(Micros::new(600_000_000));
    let (back, start) = (period.now, period.now.plus(Micros::new(10_000_000)));
    let facts = vec![HubStarted { pid: None }.into(), HubReachable { restarted: None }.into()];
    let mut period = period.then(ApiOutcome::Ok, Liveness::Up, facts);
    period.watches[10].facts[0].when = When::At(start);
    let hub = period.healthy(10).judge(&[]).history.hub;
    assert_eq!((hub.outages, hub.unreachable[0].from.0, hub.unreachable[0].to.map(|to| to.0)), (1, back, Some(start)));
    assert_eq!(hub.down_us, 10_000_000);
}

#[test]
fn a_clock_that_jumps_beyond_the_period_moves_no_incident_in_it() {
    let mut period = Period::new().healthy(20);
    for watch in &mut period.watches[10..] {
        watch.poll.as_mut().unwrap().api.health_duration = Micros::new(60_000_000);
    }
    // The last Watch ends beyond the period: there its clock jumps, though the fact is dated before.
    let to = period.now.minus(Micros::new(1_000_000));
    let slow_since = |watches: &[Watch]| {
        let mut judge = Judge::between(Vec::new(), (START, to), None);
        watches.iter().for_each(|watch| drop(judge.take(watch)));
        let incidents = judge.assess(to).incidents;
        incidents.iter().find(|incident| incident.kind == IncidentKind::ApiSlow).unwrap().start
    };
    let before = slow_since(&period.watches);
    let last = period.watches.last_mut().unwrap();
    period::add_at(last, to.minus(Micros::new(1_000_000)), ClockJumped { jump: -120_000_000 });
    assert_eq!(slow_since(&period.watches), before);
}

#[test]
fn watches_that_are_missing_are_counted_and_those_that_come_twice_are_not() {
    let mut period = Period::new().healthy(200);
    period.watches.drain(50..60);
    let again = period.watches[20..40].to_vec();
    period.watches.splice(40..40, again);
    let judgement = period.judge(&[]);
    let coverage = &judgement.history.coverage;
    assert_eq!((coverage.watches, coverage.missing_watches), (190, 10));
    assert_eq!(coverage.gaps.len(), 1);
    assert_eq!(coverage.share_permille, 950);
    assert_eq!(judgement.history.calls.total, 190);
}

#[test]
fn half_a_period_watched_can_fail_but_not_pass() {
    let mut period = Period::new().healthy(2 * DAY);
    period.watches.drain((DAY as usize)..);
    let judgement = period.judge(&[]);
    assert!(judgement.criteria.iter().all(|(_, judged)| judged.verdict != Verdict::Pass));
    let mut failing =
        Period::new().healthy(2 * DAY).then(ApiOutcome::Ok, Liveness::Up, vec![HubStopping { signal: None, cause: None }.into()]);
    failing.watches.drain(..(DAY as usize));
    assert_eq!(verdict(&failing.judge(&[]), "stability.no_restarts"), Verdict::Fail);
}

#[test]
fn a_call_that_fails_once_in_a_hundred_warns_and_more_often_fails() {
    let with = |failed: u64| {
        let mut period = Period::new();
        for minute in 0..DAY {
            let outcome = if minute < failed { CallOutcome::Error } else { CallOutcome::Ok };
            period.watch(ApiOutcome::Ok, Liveness::Up, vec![call(outcome)]);
        }
        verdict(&period.judge(&[]), "integration.meta_tool_succeeds")
    };
    assert_eq!([with(0), with(10), with(20)], [Verdict::Pass, Verdict::Warn, Verdict::Fail]);
}

#[test]
fn every_must_of_the_default_criteria_is_a_must_of_the_strategy() {
    let criteria = Rules::builtin().criteria;
    assert_eq!(criteria.iter().filter(|criterion| criterion.severity == Severity::Must).count(), 17);
}
