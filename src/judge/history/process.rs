//! What the hub's process used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Planned, per_thousand, share_of};
use crate::watch::{Micros, ProcessPoll, Timestamp};

/// A process that is younger than this is still starting: what it uses is no peak of its service.
pub const WARM_UP: Micros = Micros::new(60_000_000);

/// The hub's process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessHistory {
    /// Polls at which it was seen, planned disturbances left out, as in all that follows.
    pub samples: u64,
    /// Processor time, of one core.
    pub cpu_mean_permille: Option<u64>,
    /// The most between two polls, the first minute of the process left out.
    pub cpu_peak_permille: Option<u64>,
    /// Mean resident memory.
    pub rss_mean_bytes: Option<u64>,
    /// The most.
    pub rss_peak_bytes: Option<u64>,
    /// The limit of its control group.
    pub memory_limit_bytes: Option<u64>,
    /// The host's memory.
    pub host_memory_bytes: Option<u64>,
    /// The mean share of the host's memory.
    pub host_share_mean_permille: Option<u64>,
    /// The most of it.
    pub host_share_peak_permille: Option<u64>,
    /// The most memory as a share of the limit, where there is one.
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
    cpu_us: u64,
    wall_us: u64,
    rss: u128,
    host_share: u64,
    last: Option<(ProcessPoll, Timestamp)>,
}

impl ProcessHistory {
    /// Takes a poll in; gives back the processor share since the last one, where the same process was seen then.
    pub(super) fn take(&mut self, now: &ProcessPoll, at: Timestamp, planned: Planned<'_>) -> Option<u64> {
        let before = self.sums.last.replace((now.clone(), at));
        let same = before.filter(|(before, _)| (before.pid, before.started) == (now.pid, now.started));
        let (used, wall) =
            same.map_or((0, 0), |(before, then)| (now.cpu_time.get().saturating_sub(before.cpu_time.get()), at.since(then).get()));
        let share = per_thousand(used, wall);
        self.memory_limit_bytes = now.memory_limit.map(|limit| limit.get());
        self.host_memory_bytes = Some(now.host_memory.get());
        if planned.is_some() {
            return share;
        }
        self.sums.cpu_us = self.sums.cpu_us.saturating_add(used);
        self.sums.wall_us = self.sums.wall_us.saturating_add(wall);
        if at.since(now.started) > WARM_UP {
            self.cpu_peak_permille = self.cpu_peak_permille.max(share);
        }
        self.memory(now);
        share
    }

    fn memory(&mut self, now: &ProcessPoll) {
        self.samples += 1;
        let rss = now.rss.get();
        self.sums.rss = self.sums.rss.saturating_add(u128::from(rss));
        self.rss_peak_bytes = self.rss_peak_bytes.max(Some(rss));
        self.fds_peak = self.fds_peak.max(now.fds);
        self.threads_peak = self.threads_peak.max(now.threads);
        let share = share_of(rss, now.host_memory.get());
        self.sums.host_share = self.sums.host_share.saturating_add(share);
        self.host_share_peak_permille = self.host_share_peak_permille.max(Some(share));
        if let Some(limit) = now.memory_limit {
            self.limit_share_peak_permille = self.limit_share_peak_permille.max(Some(share_of(rss, limit.get())));
        }
    }

    pub(super) fn finish(&mut self) {
        let sums = &self.sums;
        self.cpu_mean_permille = per_thousand(sums.cpu_us, sums.wall_us);
        self.rss_mean_bytes = sums.rss.checked_div(u128::from(self.samples)).and_then(|mean| u64::try_from(mean).ok());
        self.host_share_mean_permille = sums.host_share.checked_div(self.samples);
    }
}
