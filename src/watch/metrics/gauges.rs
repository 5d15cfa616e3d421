//! Metrics of the hub's state at a poll.

use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::Expected;
use super::points::{float, gauge, point, up_down};
use crate::watch::fact::ChangeCause;
use crate::watch::names;
use crate::watch::poll::{ApiOutcome, Liveness, Poll, ProcessPoll, ServerPoll};
use crate::watch::quantity::{Bytes, Micros, Timestamp};

impl Expected<'_> {
    /// Returns whether a server should work now: false if the configuration allows it to be down, or if it was stopped or disabled on
    /// request.
    fn to_work(self, server: &ServerPoll) -> bool {
        let off = match server.liveness {
            Liveness::Disabled | Liveness::Removed => true,
            Liveness::Down => matches!(server.cause, Some(ChangeCause::Requested | ChangeCause::Configured)),
            Liveness::Up | Liveness::Starting | Liveness::Unauthorized | Liveness::Unknown => false,
        };
        !off && !self.may_be_down.contains(server.name.as_str())
    }
}

/// Returns the metrics of the hub.
pub(super) fn gauges(poll: &Poll, expected: Expected<'_>, at: Timestamp) -> Vec<Metric> {
    let up = u64::from(poll.api.health == ApiOutcome::Ok);
    let one = |value: Option<u32>| value.map(|value| point(at, u64::from(value), &[])).into_iter().collect();
    let size = poll.log_file.as_ref().map(|file| file.size);
    let free = poll.log_file.as_ref().and_then(|file| file.disk_free);
    let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| point(at, bytes.get(), &[])).into_iter().collect();
    let (subscribers, left) = ("Subscribers of the event stream, the watch excluded.", "Free space where the log is.");
    let announced = "Whether planned maintenance is open or has just ended: failures are expected.";
    vec![
        gauge(names::METRIC_HUB_UP, "1", "Whether the hub answers.", vec![point(at, up, &[])]),
        gauge(names::METRIC_PLANNED, "1", announced, vec![point(at, u64::from(expected.planned), &[])]),
        gauge(names::METRIC_MCP_CLIENTS, "{client}", "Connected MCP clients.", one(poll.api.mcp_clients)),
        gauge(names::METRIC_SUBSCRIBERS, "{client}", subscribers, one(poll.api.subscribers)),
        gauge(names::METRIC_TOOLS, "{tool}", "Tools that the MCP endpoint offers.", one(poll.api.tools)),
        gauge(names::METRIC_LOG_SIZE, "By", "Size of the hub's log file.", bytes(size)),
        gauge(names::METRIC_LOG_DISK_FREE, "By", left, bytes(free)),
    ]
}

/// Returns the metrics of the servers.
pub(super) fn server_metrics(poll: &Poll, expected: Expected<'_>, at: Timestamp) -> Vec<Metric> {
    let servers = || poll.servers.iter().map(|server| (server, [(names::SERVER_NAME, server.name.as_str())]));
    let up = servers().map(|(server, label)| point(at, u64::from(server.liveness == Liveness::Up), &label));
    let wanted = servers().map(|(server, label)| point(at, u64::from(expected.to_work(server)), &label));
    let should = "Whether the server should work: 0 if the configuration allows it to be down, or if it was stopped on request.";
    let tools = servers().map(|(server, label)| point(at, u64::from(server.tools), &label));
    let memory = servers().filter_map(|(server, label)| Some(point(at, server.child_rss?.get(), &label)));
    vec![
        gauge(names::METRIC_SERVER_UP, "1", "Whether the server works, as judged from more than its status.", up.collect()),
        gauge(names::METRIC_SERVER_EXPECTED, "1", should, wanted.collect()),
        gauge(names::METRIC_SERVER_TOOLS, "{tool}", "Tools that the server offers.", tools.collect()),
        up_down(names::METRIC_SERVER_MEMORY, "By", "Resident memory of the server's processes.", memory.collect()),
    ]
}

/// Returns the metrics of the hub's process; `recent` is its processor time since an earlier poll, and the time of that poll.
pub(super) fn process_metrics(process: &ProcessPoll, recent: Option<(Micros, Timestamp)>, at: Timestamp) -> Vec<Metric> {
    let counted = |value: Option<u32>| value.map(|value| point(at, u64::from(value), &[])).into_iter().collect();
    let share = |part: f64, of: f64| (of > 0.0).then(|| float(at, part / of, &[])).into_iter().collect();
    let (spent, available) = recent
        .map_or((0.0, 0.0), |(spent, since)| (spent.as_secs_f64(), at.since(since).as_secs_f64() * f64::from(process.host_cpus)));
    // A process that exceeds its memory limit is killed; without a limit, the host's memory counts.
    let room = process.memory_limit.unwrap_or(process.host_memory).min(process.host_memory);
    let (cpu, memory) = ("The hub's share of all processors of its host since the last poll.", "Resident memory of the hub.");
    let of_room = "The hub's share of its memory limit, or else of its host's memory.";
    let uptime = float(at, at.since(process.started).as_secs_f64(), &[]);
    vec![
        gauge(names::METRIC_PROCESS_CPU_UTILIZATION, "1", cpu, share(spent, available)),
        up_down(names::METRIC_PROCESS_MEMORY, "By", memory, vec![point(at, process.rss.get(), &[])]),
        gauge(names::METRIC_PROCESS_MEMORY_UTILIZATION, "1", of_room, share(process.rss.get() as f64, room.get() as f64)),
        up_down(names::METRIC_PROCESS_THREADS, "{thread}", "Threads of the hub.", counted(process.threads)),
        up_down(names::METRIC_PROCESS_FDS, "{file_descriptor}", "Open file descriptors of the hub.", counted(process.fds)),
        gauge(names::METRIC_PROCESS_UPTIME, "s", "How long the hub's process has been running.", vec![uptime]),
    ]
}
