//! What a poll shows: slow or failing answers, clients, processor, memory, disk.

use std::collections::VecDeque;

use super::Sight;
use super::register::{Draft, Register};
use crate::judge::exact::Exact;
use crate::judge::history::requests;
use crate::judge::incident::IncidentKind;
use crate::watch::{ApiOutcome, Micros, Poll, ProcessPoll, Timestamp, Watch};

/// Memory is compared by its floor within so much time: a garbage collector's sawtooth is no growth.
const FLOOR: Micros = Micros::new(10 * 60 * 1_000_000);

/// What is known only while the process is seen.
const OF_THE_PROCESS: [IncidentKind; 4] =
    [IncidentKind::CpuHigh, IncidentKind::MemoryHigh, IncidentKind::MemoryNearLimit, IncidentKind::MemoryGrowth];

/// What is known only while the hub says how many clients it has.
const OF_THE_CLIENTS: [IncidentKind; 2] = [IncidentKind::ClientsUnusual, IncidentKind::ClientsExcessive];

/// What is carried from poll to poll.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Polled {
    busy_since: Option<Timestamp>,
    process: Option<(u32, Timestamp)>,
    /// The least memory of each stretch of [`FLOOR`], the last hour's.
    floors: VecDeque<(u64, u64)>,
}

impl Polled {
    /// Nobody watched: what lasted before may not have lasted.
    pub(super) fn unseen(&mut self) {
        self.busy_since = None;
    }

    /// The clock jumped at the end of a Watch. Stretches of the time before it have another place by the clock after it.
    pub(super) fn clock_jumped(&mut self, by: i64) {
        self.busy_since = self.busy_since.map(|since| since.shifted(by));
        self.floors.clear();
    }

    pub(super) fn take(&mut self, watch: &Watch, sight: &Sight<'_>, register: &mut Register) {
        let Some(poll) = &watch.poll else { return };
        let now = watch.interval.end();
        let mut levels = vec![];
        answers(poll, sight, &mut levels);
        if let Some(clients) = poll.api.mcp_clients.map(u64::from) {
            let unusual = IncidentKind::ClientsUnusual;
            levels.push(Level::above(sight, unusual, clients, "More clients than usual", "none by itself"));
            let excessive = IncidentKind::ClientsExcessive;
            levels.push(Level::above(sight, excessive, clients, "Far more clients than usual", "the hub may slow down"));
        }
        if let Some(free) = poll.log_file.as_ref().and_then(|file| file.disk_free) {
            let threshold = sight.alerts.of(IncidentKind::DiskLow).threshold;
            levels.push(Level {
                kind: IncidentKind::DiskLow,
                beyond: free.get() < threshold,
                value: free.get(),
                title: "The log's disk is nearly full",
                effect: "the hub may lose its log",
                since: None,
            });
        }
        if let Some(process) = &poll.process {
            self.process(process, now, sight, &mut levels);
        } else {
            self.busy_since = None;
            OF_THE_PROCESS.iter().for_each(|kind| register.settle(*kind, "", now));
        }
        if poll.api.mcp_clients.is_none() {
            OF_THE_CLIENTS.iter().for_each(|kind| register.settle(*kind, "", now));
        }
        for level in levels {
            level.tell(now, sight, register);
        }
    }

    fn process(&mut self, process: &ProcessPoll, now: Timestamp, sight: &Sight<'_>, levels: &mut Vec<Level>) {
        let cpu = sight.alerts.of(IncidentKind::CpuHigh);
        let busy = sight.history.latest_cpu().is_some_and(|share| share > Exact::whole(cpu.threshold));
        self.busy_since = busy.then(|| self.busy_since.unwrap_or(now));
        levels.push(Level {
            kind: IncidentKind::CpuHigh,
            beyond: self.busy_since.is_some_and(|since| now.since(since) >= cpu.window),
            value: sight.history.latest_cpu().map_or(0, Exact::ceil),
            title: "The hub's CPU usage stayed high",
            effect: "answers may be slow",
            since: self.busy_since,
        });
        let (rss, host) = (process.rss.get(), process.host_memory.get());
        let limit = process.memory_limit.map(|limit| limit.get());
        // Rounded up it is beyond a whole number exactly where it is beyond it unrounded.
        let share = Exact::permille(rss, limit.unwrap_or(host)).map_or(0, Exact::ceil);
        let (kind, title, effect) = match limit {
            Some(_) => {
                (IncidentKind::MemoryNearLimit, "The hub is near its memory limit", "above the limit the kernel kills the hub")
            }
            None => (IncidentKind::MemoryHigh, "The hub uses much of the host's memory", "the host may run out of it"),
        };
        levels.push(Level::above(sight, kind, share, title, effect));
        self.growth(process, limit.unwrap_or(host), now, sight, levels);
    }

    fn growth(&mut self, process: &ProcessPoll, whole: u64, now: Timestamp, sight: &Sight<'_>, levels: &mut Vec<Level>) {
        let id = (process.pid, process.started);
        if self.process.replace(id) != Some(id) {
            self.floors.clear();
        }
        let alert = sight.alerts.of(IncidentKind::MemoryGrowth);
        let (index, rss) = (now.get() / FLOOR.get(), process.rss.get());
        match self.floors.back_mut() {
            Some((last, floor)) if *last == index => *floor = rss.min(*floor),
            _ => self.floors.push_back((index, rss)),
        }
        // The last stretch is not over: it has no floor yet, so the one before it is compared.
        let back = alert.window.get() / FLOOR.get() + 1;
        while self.floors.front().is_some_and(|(first, _)| index.saturating_sub(*first) > back) {
            self.floors.pop_front();
        }
        let Some((first, before)) = self.floors.front().copied().filter(|(first, _)| index.checked_sub(*first) == Some(back))
        else {
            return;
        };
        let Some((_, floor)) = self.floors.iter().rev().nth(1).copied() else { return };
        let grown = Exact::permille(rss.min(floor).saturating_sub(before), whole).map_or(0, Exact::ceil);
        levels.push(Level {
            kind: IncidentKind::MemoryGrowth,
            beyond: grown > alert.threshold,
            value: grown,
            title: "Memory grew fast",
            effect: "at this rate the hub runs out of memory",
            since: Some(Timestamp::new(first * FLOOR.get())),
        });
    }
}

fn answers(poll: &Poll, sight: &Sight<'_>, levels: &mut Vec<Level>) {
    let slow = sight.alerts.of(IncidentKind::ApiSlow).threshold;
    let slowest = requests(poll).map(|(_, duration)| duration.get()).max().unwrap_or(0);
    levels.push(Level {
        kind: IncidentKind::ApiSlow,
        beyond: slowest > slow,
        value: slowest,
        title: "The API answered slowly",
        effect: "clients waited",
        since: None,
    });
    // A hub whose health is not a hub's answer is away: that is an incident of its own. While it starts it lists no servers yet.
    let answers = poll.api.health == ApiOutcome::Ok && poll.api.state.as_ref().is_none_or(|state| state.as_str() != "starting");
    let wrong = requests(poll).filter(|(outcome, _)| answers && *outcome != ApiOutcome::Ok).count();
    levels.push(Level {
        kind: IncidentKind::ApiFailing,
        beyond: wrong > 0,
        value: wrong as u64,
        title: "Some API requests failed although the hub was up",
        effect: "some of its state is unknown, such as that of its servers",
        since: None,
    });
}

/// Something that is beyond its threshold, or not, at a poll.
struct Level {
    kind: IncidentKind,
    beyond: bool,
    value: u64,
    title: &'static str,
    effect: &'static str,
    since: Option<Timestamp>,
}

impl Level {
    fn above(sight: &Sight<'_>, kind: IncidentKind, value: u64, title: &'static str, effect: &'static str) -> Self {
        Self { kind, beyond: value > sight.alerts.of(kind).threshold, value, title, effect, since: None }
    }

    fn tell(self, now: Timestamp, sight: &Sight<'_>, register: &mut Register) {
        if !self.beyond {
            return register.settle(self.kind, "", now);
        }
        // What memory grew by between two moments is planned if a window lies between them.
        let between = self.since.filter(|_| self.kind == IncidentKind::MemoryGrowth);
        let planned = sight.plans.at(now).or_else(|| sight.plans.name_of(between?, now));
        let draft = Draft {
            kind: self.kind,
            subject: "",
            at: self.since.unwrap_or(now),
            title: self.title.to_owned(),
            cause: None,
            effect: self.effect,
            evidence: None,
            planned,
            count: 0,
        };
        register.part(draft.kind, draft.subject, draft.planned);
        if let Some(incident) = register.raise(sight.alerts, draft) {
            // For free disk space the least counts, for all else the most.
            let worst = if self.kind == IncidentKind::DiskLow && incident.count > 0 { u64::min } else { u64::max };
            incident.count = worst(incident.count, self.value);
        }
    }
}
