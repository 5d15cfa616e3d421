//! What holds for every report, whatever was watched: figures that appear twice are the same, totals are the sums of their parts,
//! and nothing lies outside the period.
//!
//! [`broken`] takes a report as it is made, or as it is read back from its JSON: there, times have whole milliseconds.

use std::collections::{BTreeMap, BTreeSet};

use hubwatch::judge::history::{CountsAs, Outage, Timeline};
use hubwatch::judge::incident::{Incident, IncidentKind};
use hubwatch::judge::moment::Moment;
use hubwatch::report::Report;
use hubwatch::report::model::Phase;
use hubwatch::watch::Timestamp;

/// A time in JSON is cut to a millisecond.
const GRAIN_US: u64 = 1_000;

/// What does not hold, in words.
pub(crate) fn broken(report: &Report) -> Vec<String> {
    let mut check = Check { report, broken: Vec::new() };
    check.coverage();
    check.servers();
    check.hub();
    check.incidents();
    check.phases();
    check.calls();
    check.scenarios();
    check.broken
}

struct Check<'a> {
    report: &'a Report,
    broken: Vec<String>,
}

/// What a state history comes to.
struct Sums {
    down: u64,
    unplanned: u64,
    up: u64,
    neither: u64,
    outages: u64,
}

impl Check<'_> {
    fn holds(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(what());
        }
    }

    /// Equal, but for what cutting so many times to milliseconds takes.
    fn same(&mut self, one: u64, other: u64, times: usize, what: &str) {
        let slack = GRAIN_US * times as u64;
        self.holds(one.abs_diff(other) <= slack, || format!("{what}: {one} and {other}"));
    }

    fn is_inside(&self, at: Moment) -> bool {
        let (from, to) = (self.report.provenance.from.0, self.report.provenance.to.0);
        from.get() <= at.0.get() + GRAIN_US && at.0.get() <= to.get() + GRAIN_US
    }

    fn scenarios(&mut self) {
        for scenario in &self.report.scenarios {
            let (latest, name) = (&scenario.latest, &scenario.name);
            let runs = 1 + scenario.earlier.len() as u64 + scenario.earlier_left_out;
            self.holds(runs == scenario.runs, || format!("{name}: {} runs, {runs} of them listed or left out", scenario.runs));
            let listed = std::iter::once(latest).chain(&scenario.earlier);
            let of_runs: u64 = listed.clone().map(|run| run.counts.all()).sum();
            let whole = of_runs == scenario.steps.all() || scenario.earlier_left_out > 0 && of_runs < scenario.steps.all();
            self.holds(whole, || format!("{name}: {of_runs} steps in its runs, {} in all", scenario.steps.all()));
            let steps = latest.steps.len() as u64 + latest.steps_left_out;
            self.holds(steps == latest.counts.all(), || format!("{name}: {steps} of {:?} steps", latest.counts));
            let failed: u64 = scenario.failures.iter().map(|step| step.times).sum();
            self.holds(failed <= scenario.steps.failed, || format!("{name}: {failed} failures of {:?}", scenario.steps));
            for run in listed {
                self.holds(run.from <= run.to && run.from <= latest.from, || format!("{name}: {run:?} and {latest:?}"));
                self.holds(self.is_inside(run.from) && self.is_inside(run.to), || format!("{name}: outside the period: {run:?}"));
            }
            for figures in &scenario.measured {
                self.holds(figures.failed <= figures.count, || format!("{name}: {figures:?}"));
                self.holds(figures.mean_us.is_some() == (figures.failed < figures.count), || format!("{name}: {figures:?}"));
            }
        }
    }

    fn coverage(&mut self) {
        let coverage = &self.report.coverage;
        let times = [coverage.first, coverage.last];
        for at in times.into_iter().flatten() {
            self.holds(self.is_inside(at), || format!("the watch is seen at {at}, outside the period"));
        }
        for gap in &coverage.gaps {
            let inside = self.is_inside(gap.from) && gap.to.is_none_or(|to| self.is_inside(to));
            self.holds(inside, || format!("a gap lies outside the period: {gap:?}"));
        }
        let gaps = coverage.gaps.iter().map(|gap| gap.duration_us).fold(0, u64::saturating_add);
        self.holds(coverage.covered_us.saturating_add(gaps) <= coverage.span_us && coverage.span_us <= coverage.period_us, || {
            let (covered, span, period) = (coverage.covered_us, coverage.span_us, coverage.period_us);
            format!("{covered} µs covered and {gaps} µs of gaps, in {span} µs from the first to the last Watch, of {period} µs")
        });
        self.holds(coverage.planned_us <= coverage.covered_us, || "more is planned than watched".to_owned());
        self.holds(coverage.polls_answered <= coverage.polls, || "more polls are answered than made".to_owned());
    }

    fn servers(&mut self) {
        for server in &self.report.servers {
            let sums = Sums {
                down: server.down_us,
                unplanned: server.down_unplanned_us,
                up: server.up_us,
                neither: server.neither_us,
                outages: server.outages,
            };
            self.life(&format!("server {:?}", server.name), &server.down, &server.timeline, &sums);
            let counted = server.disconnections_unplanned <= server.disconnections && server.disconnections <= server.outages;
            self.holds(counted, || format!("server {:?} was disconnected more often than down", server.name));
            self.holds(server.never_up == (server.up_us == 0) || server.up_us == 0, || {
                format!("server {:?} never worked, and did for {} µs", server.name, server.up_us)
            });
        }
    }

    fn hub(&mut self) {
        let hub = &self.report.hub;
        let sums = Sums {
            down: hub.down_us,
            unplanned: hub.down_unplanned_us,
            up: hub.up_us,
            neither: hub.neither_us,
            outages: hub.outages,
        };
        self.life("the hub", &hub.unreachable, &hub.timeline, &sums);
        let ends = hub.starts.iter().copied().chain(hub.stops.iter().chain(&hub.exits).map(|stop| stop.at));
        for at in ends.collect::<Vec<_>>() {
            self.holds(self.is_inside(at), || format!("the hub starts or ends at {at}, outside the period"));
        }
    }

    /// Timeline, outages and totals are one.
    fn life(&mut self, whose: &str, outages: &[Outage], timeline: &Timeline, sums: &Sums) {
        let watched = self.report.coverage.span_us;
        let all = sums.down.saturating_add(sums.up).saturating_add(sums.neither);
        // A clock that went back for good covers the time once; both passes count for the states (docs/measures.md, "A clock that jumps").
        self.holds(all == watched || (all > watched && self.clock_was_set()), || {
            format!("{whose} was up {} µs, down {} µs, neither {} µs, of {watched} µs", sums.up, sums.down, sums.neither)
        });
        self.holds(sums.unplanned <= sums.down, || format!("{whose}: more is unplanned than down"));
        let mut before = Moment(Timestamp::new(0));
        for outage in outages {
            let end = outage.to.unwrap_or(outage.from);
            let inside = self.is_inside(outage.from) && self.is_inside(end);
            self.holds(inside && before <= outage.from && outage.from <= end, || {
                format!("{whose}: an outage lies wrong: {outage:?}")
            });
            self.holds(outage.unplanned_us <= outage.duration_us, || {
                format!("{whose}: more is unplanned than there is: {outage:?}")
            });
            let all_unplanned = outage.planned.is_some() || outage.unplanned_us == outage.duration_us;
            self.holds(all_unplanned, || format!("{whose}: an outage is planned, and nobody says by what: {outage:?}"));
            if let Some(to) = outage.to {
                self.same(to.0.since(outage.from.0).get(), outage.duration_us, 1, &format!("{whose}: an outage lasts"));
            }
            before = end;
        }
        if outages.len() as u64 == sums.outages {
            let down = outages.iter().map(|outage| outage.duration_us).sum();
            self.same(down, sums.down, 0, &format!("{whose} was down: outages and total"));
            let unplanned = outages.iter().map(|outage| outage.unplanned_us).sum();
            self.same(unplanned, sums.unplanned, 0, &format!("{whose} was down unplanned: outages and total"));
        }
        let mut before = Moment(Timestamp::new(0));
        for stretch in &timeline.stretches {
            let inside = self.is_inside(stretch.from) && self.is_inside(stretch.to);
            self.holds(inside && before <= stretch.from && stretch.from <= stretch.to, || {
                format!("{whose}: a stretch lies wrong: {stretch:?}")
            });
            before = stretch.to;
        }
        if timeline.untold == 0 {
            let sum = |standing| {
                let stretches = timeline.stretches.iter().filter(|stretch| stretch.counts_as == standing);
                stretches.map(|stretch| stretch.to.0.since(stretch.from.0).get()).sum()
            };
            let times = timeline.stretches.len();
            self.same(sum(CountsAs::Down), sums.down, times, &format!("{whose} was down: timeline and total"));
            self.same(sum(CountsAs::Up), sums.up, times, &format!("{whose} was up: timeline and total"));
        }
    }

    /// A clock that is set shows times twice or not at all: what happened one after the other may overlap by what it showed.
    fn clock_was_set(&self) -> bool {
        self.report.incidents.iter().any(|incident| incident.kind == IncidentKind::ClockJumped)
    }

    fn incidents(&mut self) {
        let report = self.report;
        let mut ids = BTreeSet::new();
        let mut by_subject: BTreeMap<(IncidentKind, &str), Vec<&Incident>> = BTreeMap::new();
        for incident in &report.incidents {
            self.holds(ids.insert(&incident.id), || format!("two incidents have the id {}", incident.id));
            let end = incident.end.unwrap_or(incident.start);
            let inside = self.is_inside(incident.start) && self.is_inside(end) && incident.start <= end;
            self.holds(inside, || format!("an incident lies wrong: {incident:?}"));
            by_subject.entry((incident.kind, &incident.subject)).or_default().push(incident);
        }
        let clock_was_set = self.clock_was_set();
        for ((kind, subject), incidents) in by_subject {
            for pair in incidents.windows(2) {
                let apart = pair[0].end.is_some_and(|end| end <= pair[1].start);
                self.holds(apart || clock_was_set, || format!("two incidents {kind} of {subject:?} overlap: {pair:?}"));
            }
        }
        for incident in report.incidents.iter().filter(|incident| incident.kind == IncidentKind::ServerDown) {
            let Some(server) = report.servers.iter().find(|server| server.name == incident.subject) else {
                self.broken.push(format!("an incident is about no server of the report: {incident:?}"));
                continue;
            };
            let told = server.outages != server.down.len() as u64
                || server.down.iter().any(|down| down.from == incident.start && down.to == incident.end);
            self.holds(told || clock_was_set, || {
                format!("an incident is no outage of its server: {incident:?}\n{:?}", server.down)
            });
        }
    }

    fn phases(&mut self) {
        let report = self.report;
        if report.phases.is_empty() {
            return;
        }
        let sum = |pick: fn(&Phase) -> u64| report.phases.iter().map(pick).fold(0, u64::saturating_add);
        self.same(sum(|phase| phase.calls), report.calls.total, 0, "calls of the phases and in all");
        self.same(sum(|phase| phase.log_bytes), report.log.bytes, 0, "bytes of the log in the phases and in all");
        self.same(sum(|phase| phase.incidents), report.incidents.len() as u64, 0, "incidents of the phases and in all");
        for pair in report.phases.windows(2) {
            self.holds(pair[0].to == pair[1].from, || format!("the phases {} and {} don't touch", pair[0].name, pair[1].name));
        }
    }

    fn calls(&mut self) {
        let calls = &self.report.calls;
        self.same(calls.by_outcome.values().sum(), calls.total, 0, "calls by outcome and in all");
        self.holds(calls.planned <= calls.total, || "more calls are planned than made".to_owned());
        let ordered = |values: &[Option<u64>]| values.iter().flatten().is_sorted();
        self.holds(ordered(&[calls.p50_us, calls.p95_us, calls.p99_us, calls.max_us]), || "percentiles of calls fall".to_owned());
        let api = &self.report.api;
        self.holds(ordered(&[api.p50_us, api.p95_us, api.p99_us]), || "percentiles of answers fall".to_owned());
    }
}
