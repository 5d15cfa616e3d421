//! Processor time of the hub and of its servers.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use serde::{Deserialize, Serialize};

use super::points::{Counting, Labels, float};
use crate::watch::names;
use crate::watch::poll::Poll;
use crate::watch::quantity::{Micros, Timestamp};

/// The hub's key among the servers' names: no server has an empty name.
pub(super) const HUB: &str = "";

/// The processor time that a process has used up to some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spent {
    /// When the process started: a PID can be used again.
    pub(super) started: Timestamp,
    at: Timestamp,
    pub(super) time: Micros,
}

impl Spent {
    /// Returns the time used since `earlier`, and the time of `earlier`; `None` for another process.
    pub(super) fn since(self, earlier: Option<Self>) -> Option<(Micros, Timestamp)> {
        let earlier = earlier.filter(|earlier| earlier.started == self.started)?;
        Some((Micros::new(self.time.get().checked_sub(earlier.time.get())?), earlier.at))
    }
}

/// Returns the processor time of each visible process.
pub(super) fn spent(poll: &Poll, at: Timestamp) -> BTreeMap<String, Spent> {
    let hub = poll.process.iter().map(|process| (HUB, process.started, process.cpu_time));
    let servers =
        poll.servers.iter().filter_map(|server| Some((server.name.as_str(), server.child_started?, server.child_cpu_time?)));
    hub.chain(servers).map(|(name, started, time)| (name.to_owned(), Spent { started, at, time })).collect()
}

/// Returns the metrics; `of` returns the amount to report for a process, and its start.
pub(super) fn cpu_times(
    all: &BTreeMap<String, Spent>,
    counting: Counting,
    of: impl Fn(Spent, &str) -> (Micros, Timestamp),
) -> [Metric; 2] {
    let point = |(name, spent): (&String, &Spent)| {
        let (time, from) = of(*spent, name);
        let label = [(names::SERVER_NAME, name.as_str())];
        let labels: Labels<'_> = if name == HUB { &[] } else { &label };
        NumberDataPoint { start_time_unix_nano: from.as_nanos(), ..float(counting.to, time.as_secs_f64(), labels) }
    };
    let (hub, servers): (Vec<_>, Vec<_>) = all.iter().partition(|(name, _)| *name == HUB);
    let points = |some: Vec<_>| some.into_iter().map(point).collect();
    [
        counting.sum(names::METRIC_PROCESS_CPU_TIME, "s", "Processor time of the hub, user and system together.", points(hub)),
        counting.sum(names::METRIC_SERVER_CPU_TIME, "s", "Processor time of the server's processes.", points(servers)),
    ]
}
