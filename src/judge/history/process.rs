//! What the hub's process used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Planned, Sum};
use crate::judge::exact::Exact;
use crate::judge::planned::Plans;
use crate::watch::{Micros, ProcessPoll, Timestamp};

/// A process that is younger than this is still starting: its resource usage is reported separately.
pub const WARM_UP: Micros = Micros::new(60_000_000);

/// The hub's process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessHistory {
    /// Polls at which it was seen, planned disturbances left out, as in all memory figures that follow.
    pub samples: u64,
    /// Stretches of processor time that mean and peak stand on: from poll to poll of the same process, without a gap or a jump of the
    /// clock between them, that begin a minute or more after the process did and touch no planned disturbance.
    #[serde(default)]
    pub cpu_samples: u64,
    /// Processor time, of one core: all that these stretches used by all their time, to the nearest thousandth.
    pub cpu_mean_permille: Option<u64>,
    /// The most that one of these stretches used by its time, to the nearest thousandth.
    pub cpu_peak_permille: Option<u64>,
    /// Processor time that processes used as they started: in the stretches that begin within their first minute, the first from the
    /// process's own start where that was watched. Neither mean nor peak has it.
    #[serde(default)]
    pub start_up_cpu_us: u64,
    /// How long these stretches are.
    #[serde(default)]
    pub start_up_us: u64,
    /// Mean resident memory over the polls.
    pub rss_mean_bytes: Option<u64>,
    /// The most at a poll.
    pub rss_peak_bytes: Option<u64>,
    /// The limit of its control group at the last poll.
    pub memory_limit_bytes: Option<u64>,
    /// The host's memory at the last poll.
    pub host_memory_bytes: Option<u64>,
    /// The mean share of the host's memory over the polls at which the process had no limit of its own.
    pub host_share_mean_permille: Option<u64>,
    /// The most of it.
    pub host_share_peak_permille: Option<u64>,
    /// The most memory as a share of the limit, over the polls at which there was one.
    pub limit_share_peak_permille: Option<u64>,
    /// The most file descriptors.
    pub fds_peak: Option<u32>,
    /// The most threads.
    pub threads_peak: Option<u32>,
    #[serde(skip)]
    sums: Sums,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    cpu_us: u128,
    wall_us: u128,
    cpu_peak: Option<Exact>,
    rss: u128,
    host: Shares,
    limited: Shares,
    last: Option<(ProcessPoll, Timestamp)>,
    /// The last poll, whether it saw a process or not.
    polled: Option<Timestamp>,
}

/// Memory as a share of the memory that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shares {
    polls: u64,
    used: u128,
    whole: u128,
    peak: Option<Exact>,
}

impl Shares {
    fn take(&mut self, used: u64, whole: u64) {
        let Some(share) = Exact::permille(used, whole) else { return };
        self.polls += 1;
        self.used += u128::from(used);
        self.whole += u128::from(whole);
        self.peak = self.peak.max(Some(share));
    }

    fn mean(&self) -> Option<Exact> {
        Exact::of(self.used.saturating_mul(1_000), self.whole)
    }
}

/// A stretch of a process's life, and the processor time that it used in it.
struct Stretch {
    from: Timestamp,
    to: Timestamp,
    used: u64,
}

impl Stretch {
    fn wall(&self) -> u64 {
        self.to.since(self.from).get()
    }

    fn share(&self) -> Option<Exact> {
        Exact::permille(self.used, self.wall())
    }
}

impl ProcessHistory {
    /// A time was not watched, or the clock jumped: the CPU time since the last poll can't be compared with its duration.
    pub(super) fn unseen(&mut self) {
        self.sums.last = None;
        self.sums.polled = None;
    }

    /// From here on it is watched, if it was not before.
    pub(super) fn watched_from(&mut self, start: Timestamp) {
        self.sums.polled.get_or_insert(start);
    }

    /// A poll at which no process was seen.
    pub(super) fn missed(&mut self, at: Timestamp) {
        self.sums.last = None;
        self.sums.polled = Some(at);
    }

    /// Takes a poll in; gives back the processor share since the last one, where the same process was seen then.
    pub(super) fn take(&mut self, now: &ProcessPoll, at: Timestamp, planned: Planned<'_>, plans: &Plans) -> Option<Exact> {
        let stretch = self.stretch(now, at);
        self.memory_limit_bytes = now.memory_limit.map(|limit| limit.get());
        self.host_memory_bytes = Some(now.host_memory.get());
        if planned.is_none() {
            self.memory(now);
        }
        let stretch = stretch?;
        let share = stretch.share()?;
        if plans.part(stretch.from, stretch.to).get() == 0 && planned.is_none() {
            self.cpu(&stretch, share, now.started);
        }
        Some(share)
    }

    /// The stretch that ends with this poll: from the last poll of the same process, or from its start where that was watched.
    fn stretch(&mut self, now: &ProcessPoll, at: Timestamp) -> Option<Stretch> {
        let polled = self.sums.polled.replace(at);
        let before = self.sums.last.replace((now.clone(), at));
        let same = before.filter(|(before, _)| (before.pid, before.started) == (now.pid, now.started));
        match same {
            Some((before, then)) => {
                let used = now.cpu_time.get().checked_sub(before.cpu_time.get())?;
                Some(Stretch { from: then, to: at, used })
            }
            None => {
                let began = now.started;
                (polled? <= began && began < at).then_some(Stretch { from: began, to: at, used: now.cpu_time.get() })
            }
        }
    }

    fn cpu(&mut self, stretch: &Stretch, share: Exact, started: Timestamp) {
        if stretch.from.since(started) < WARM_UP {
            self.start_up_cpu_us = self.start_up_cpu_us.saturating_add(stretch.used);
            self.start_up_us = self.start_up_us.saturating_add(stretch.wall());
            return;
        }
        self.cpu_samples += 1;
        self.sums.cpu_us += u128::from(stretch.used);
        self.sums.wall_us += u128::from(stretch.wall());
        self.sums.cpu_peak = self.sums.cpu_peak.max(Some(share));
    }

    fn memory(&mut self, now: &ProcessPoll) {
        self.samples += 1;
        let rss = now.rss.get();
        self.sums.rss += u128::from(rss);
        self.rss_peak_bytes = self.rss_peak_bytes.max(Some(rss));
        self.fds_peak = self.fds_peak.max(now.fds);
        self.threads_peak = self.threads_peak.max(now.threads);
        match now.memory_limit {
            Some(limit) => self.sums.limited.take(rss, limit.get()),
            None => self.sums.host.take(rss, now.host_memory.get()),
        }
    }

    /// Processor time and the time over which it was used; memory and the polls at which it was seen.
    pub(super) fn sums(&self) -> (Sum, Sum) {
        (Sum::new(self.sums.cpu_us, self.sums.wall_us), Sum::new(self.sums.rss, self.samples))
    }

    /// The mean processor share, in thousandths of one core.
    pub fn cpu_mean(&self) -> Option<Exact> {
        Exact::of(self.sums.cpu_us.saturating_mul(1_000), self.sums.wall_us)
    }

    /// The highest processor share between two polls.
    pub const fn cpu_peak(&self) -> Option<Exact> {
        self.sums.cpu_peak
    }

    /// The mean share of the host's memory, and of how many polls.
    pub fn host_mean(&self) -> (Option<Exact>, u64) {
        (self.sums.host.mean(), self.sums.host.polls)
    }

    /// The highest share of the host's memory, and of how many polls.
    pub const fn host_peak(&self) -> (Option<Exact>, u64) {
        (self.sums.host.peak, self.sums.host.polls)
    }

    /// The highest share of the control group's limit, and of how many polls.
    pub const fn limit_peak(&self) -> (Option<Exact>, u64) {
        (self.sums.limited.peak, self.sums.limited.polls)
    }

    pub(super) fn finish(&mut self) {
        let rounded = |value: Option<Exact>| value.map(Exact::rounded);
        self.cpu_mean_permille = rounded(self.cpu_mean());
        self.cpu_peak_permille = rounded(self.cpu_peak());
        self.rss_mean_bytes = rounded(Exact::mean(self.sums.rss, self.samples));
        self.host_share_mean_permille = rounded(self.host_mean().0);
        self.host_share_peak_permille = rounded(self.host_peak().0);
        self.limit_share_peak_permille = rounded(self.limit_peak().0);
    }
}
