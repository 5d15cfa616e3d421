//! The report's figures, recomputed by somebody else from what `docs/measures.md` says: over a thousand random periods there is no
//! difference.

mod period;
#[path = "second_opinion/mod.rs"]
mod second_opinion;

use hubwatch::judge::Assessment;
use hubwatch::judge::history::Basis;
use hubwatch::watch::*;
use period::*;
use second_opinion::{Opinion, recompute};

/// How many periods are compared.
const PERIODS: u64 = 1_000;

/// A period in which anything can happen: lost Watches, gaps, restarts of watch and hub, planned windows, sources that come and go.
struct Random {
    random: fastrand::Rng,
    /// The hub's process: its id, its start, and the processor time that it used.
    process: (u32, Timestamp, u64),
    window: Option<&'static str>,
    log: Visibility,
    limited: bool,
}

impl Random {
    fn watches(seed: u64) -> Vec<Watch> {
        let mut random = fastrand::Rng::with_seed(seed);
        let limited = random.u8(0..4) == 0;
        let process = (7, START.minus(Micros::new(3_600_000_000)), 0);
        let mut one = Self { random, process, window: None, log: Visibility::Read, limited };
        let (mut watches, mut run, mut sequence, mut start) = (Vec::new(), 1, 0, START);
        for minute in 0..one.random.u64(20..180) {
            let length = Micros::new(one.random.u64(20_000_000..90_000_000));
            let mut watch = watch(minute, ApiOutcome::Ok);
            watch.origin.run = run;
            watch.origin.sequence = Count::new(sequence);
            watch.interval = Interval::new(start, start.plus(length));
            (sequence, start) = (sequence + 1, watch.interval.end());
            one.happens(&mut watch, minute == 0);
            match one.random.u8(0..60) {
                // The sidecar is away for a while, and begins a run.
                0 => {
                    start = start.plus(Micros::new(one.random.u64(2_000_000..3_600_000_000)));
                    (run, sequence) = (run + 1, u64::from(one.random.u8(0..4) == 0));
                }
                // The Watch is lost.
                1 if minute > 0 => continue,
                2 => {
                    let end = watch.interval.end();
                    add_at(&mut watch, end, ClockJumped { jump: 5_000_000 });
                    start = start.plus(Micros::new(5_000_000));
                }
                _ => {}
            }
            if watch.origin.run > 1 && watch.origin.sequence.get() == 0 {
                let at = watch.interval.start();
                add_at(&mut watch, at, WatcherStarted { resumed: one.random.bool() });
            }
            watches.push(watch);
        }
        watches
    }

    /// What happens in a Watch.
    fn happens(&mut self, watch: &mut Watch, first: bool) {
        self.calls(watch);
        self.log(watch);
        self.marks(watch);
        let end = watch.interval.end();
        if self.random.u8(0..50) == 0 {
            self.process = (self.process.0 + 1, watch.interval.end().minus(Micros::new(self.random.u64(0..200_000_000))), 0);
        }
        self.process.2 += self.random.u64(0..3_000_000);
        let mut poll = poll(ApiOutcome::Ok, Liveness::Up, end);
        if let Some(process) = poll.process.as_mut() {
            (process.pid, process.started) = (self.process.0, self.process.1);
            process.cpu_time = Micros::new(self.process.2);
            process.rss = Bytes::new(self.random.u64(50_000_000..400_000_000));
            process.memory_limit = self.limited.then(|| Bytes::new(512_000_000));
        }
        poll.api.health_duration = Micros::new(self.random.u64(500..4_000_000));
        poll.api.servers_duration = Some(Micros::new(self.random.u64(500..4_000_000)));
        poll.api.mcp_clients = self.random.bool().then(|| self.random.u32(0..9));
        if self.random.u8(0..8) == 0 {
            poll.process = None;
        }
        if !first && self.random.u8(0..12) == 0 {
            poll.api.health = [ApiOutcome::Refused, ApiOutcome::BadGateway, ApiOutcome::Timeout][self.random.usize(0..3)];
            (poll.api.servers, poll.api.servers_duration, poll.api.mcp_clients) = (None, None, None);
            poll.servers.clear();
        } else if self.random.u8(0..20) == 0 {
            poll.api.servers = Some(ApiOutcome::ServerError);
            poll.servers.clear();
        }
        watch.poll = (first || self.random.u8(0..10) > 0).then_some(poll);
    }

    fn calls(&mut self, watch: &mut Watch) {
        for _ in 0..self.random.u8(0..4) {
            let outcome = CallOutcome::ALL[self.random.usize(0..CallOutcome::ALL.len())];
            let rounds = if self.random.u8(0..5) == 0 { self.random.u32(1..4) } else { 0 };
            let gemini = GeminiOutcome::ALL[self.random.usize(0..GeminiOutcome::ALL.len())];
            let known = self.random.u8(0..10) > 0;
            let ended = CallEnded {
                duration: known.then(|| Micros::new(self.random.u64(1_000..20_000_000))),
                gemini,
                gemini_duration: self.random.bool().then(|| Micros::new(self.random.u64(1_000..10_000_000))),
                gemini_failed_rounds: rounds,
                notification: Some(if self.random.u8(0..9) == 0 { Notification::Failed } else { Notification::Sent }),
                categories_known: self.random.bool().then(|| self.random.u8(0..9) > 0),
                response_complete: self.random.bool().then(|| self.random.u8(0..9) > 0),
                ..call(outcome)
            };
            let at = self.instant(watch);
            add_at(watch, at, ended);
            for _ in 0..rounds {
                add_at(watch, at, failed_round());
            }
        }
        if watch.origin.sequence.get() == 0 {
            let at = self.instant(watch);
            add_at(watch, at, SessionOpened { session: None, categories: None });
        }
        if self.random.u8(0..9) == 0 {
            let at = self.instant(watch);
            add_at(watch, at, ClientDisconnected { client: Text::from("client") });
            if self.random.bool() {
                add_at(watch, at, SessionClosed { session: None });
            }
        }
        if self.random.u8(0..30) == 0 {
            let at = self.instant(watch);
            add_at(watch, at, failed_round());
        }
    }

    fn log(&mut self, watch: &mut Watch) {
        if self.random.u8(0..10) == 0 {
            self.log = Visibility::ALL[self.random.usize(0..Visibility::ALL.len())];
        }
        watch.sources.log = self.log;
        let reads = matches!(self.log, Visibility::Read | Visibility::Partial);
        watch.log.bytes = Bytes::new(if reads { self.random.u64(0..100_000) } else { 0 });
        if self.log == Visibility::Missing && self.random.u8(0..3) == 0 {
            let at = self.instant(watch);
            add_at(watch, at, LogUnreadable { path: Text::from("mcp-hub.log"), reason: Text::from("no permission") });
        }
        if self.random.u8(0..20) == 0 {
            watch.sidecar.bytes_lost = Bytes::new(self.random.u64(0..5_000));
        }
        if reads && self.random.u8(0..6) == 0 {
            let level = if self.random.bool() { Level::Error } else { Level::Warn };
            let at = self.instant(watch);
            add_at(watch, at, Lines { level, template: Text::from("it failed"), count: Count::new(self.random.u64(1..9)) });
        }
    }

    fn marks(&mut self, watch: &mut Watch) {
        let at = self.instant(watch);
        match self.window {
            None if self.random.u8(0..15) == 0 => {
                let name = ["disk_full", "restart"][self.random.usize(0..2)];
                self.window = Some(name);
                add_at(watch, at, MarkBegan { name: Text::from(name) });
            }
            Some(name) if self.random.u8(0..5) == 0 => {
                self.window = None;
                add_at(watch, at, MarkEnded { name: Text::from(name) });
            }
            _ => {}
        }
    }

    fn instant(&mut self, watch: &Watch) -> Timestamp {
        watch.interval.start().plus(Micros::new(self.random.u64(1..watch.interval.length().get())))
    }
}

/// Where the two opinions differ.
fn differences(opinion: &Opinion, assessment: &Assessment) -> Vec<String> {
    let mut all = Vec::new();
    for (word, (value, samples)) in &opinion.measures {
        let figure = assessment.measures.iter().find(|figure| figure.measure.as_str() == *word).unwrap();
        let judged = figure.exact.map(|exact| (exact.numerator(), exact.denominator()));
        // What can't be told has no value there; here it is a count of nothing.
        let nothing = judged.is_none() && value.is_none_or(|value| value.0 == 0);
        if judged != *value && !nothing {
            all.push(format!("{word}: judged {judged:?}, recomputed {value:?} ({:?})", figure.why));
        }
        if judged.is_some() && *samples > 0 && figure.samples != *samples {
            all.push(format!("{word}: {} samples, recomputed {samples}", figure.samples));
        }
    }
    let (coverage, sources) = (&assessment.history.coverage, &assessment.history.coverage.sources);
    let judged = [
        ("covered", coverage.covered_us),
        (Basis::Api.as_str(), sources.api_us),
        (Basis::Servers.as_str(), sources.servers_us),
        (Basis::Process.as_str(), sources.process_us),
        ("planned", sources.planned_us),
    ];
    for (name, judged) in judged {
        if opinion.coverage[name] != judged {
            all.push(format!("{name}: judged {judged} µs, recomputed {} µs", opinion.coverage[name]));
        }
    }
    all
}

#[test]
fn a_thousand_periods_recomputed_by_the_document_give_the_same_figures() {
    let seeds =
        std::env::var("HUBWATCH_OPINION_SEED").ok().and_then(|seed| seed.parse().ok()).map_or(0..PERIODS, |seed| seed..seed + 1);
    let mut wrong = Vec::new();
    for seed in seeds {
        let watches = Random::watches(seed);
        let opinion = recompute(&watches, watches[0].interval.start(), watches.last().unwrap().interval.end());
        let differences = differences(&opinion, &judge(&watches));
        if !differences.is_empty() {
            wrong.push(format!("HUBWATCH_OPINION_SEED={seed}: {}", differences.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} periods differ:\n{}", wrong.len(), wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n"));
}
