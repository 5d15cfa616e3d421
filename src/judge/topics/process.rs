//! Measures of the hub's process.

use super::{counted, valued};
use crate::judge::exact::Exact;
use crate::judge::history::{Basis, History};
use crate::judge::leak::Growth;
use crate::judge::measure::{
    ANY_TRAFFIC, Advice, Dated, Events, Kind, Measure, Measured, Row, Sentence, Unit, WhenPlanned, Worst, measures,
};

/// What to do about processor time.
const PROFILE: &str = "Profile the hub (`node --cpu-prof`) during its peak hours.";

/// What to do about memory usage.
const HEAP_SNAPSHOTS: &str = "Take heap snapshots of the hub (`node --heapsnapshot-signal=SIGUSR2`) and compare them.";

measures! {
    /// Processor time, of one core (thousandths): all that the process used in the stretches of processor time, by all their time. See
    /// "Stretches of processor time".
    CPU_MEAN: Row {
        word: "cpu.mean",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Process,
        needs: None,
        title: "CPU usage of one core, average",
        label: "average {}",
        sentence: Sentence::Plain("CPU usage was {} of one core on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Cpu,
        advice: Advice::Do(PROFILE),
        traffic: ANY_TRAFFIC,
        measured: |history, _| valued(history.process.cpu_mean(), history.process.cpu_samples, no_cpu(history)),
    }

    /// The most processor time that one of the same stretches used, by its time (thousandths of one core).
    CPU_PEAK: Row {
        word: "cpu.peak",
        unit: Unit::Permille,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Process,
        needs: None,
        title: "CPU usage of one core, peak",
        label: "peak {}",
        sentence: Sentence::Plain("CPU usage peaked at {} of one core"),
        dated: Dated::Peak,
        events: Events::None,
        worst: Worst::Cpu,
        advice: Advice::Do(PROFILE),
        traffic: ANY_TRAFFIC,
        measured: |history, _| valued(history.process.cpu_peak(), history.process.cpu_samples, no_cpu(history)),
    }

    /// Memory of the host's (thousandths), over the polls at which the process has no limit of its own: the sum of its resident memory by
    /// the sum of the host's memory.
    MEMORY_HOST_MEAN: Row {
        word: "memory.host_mean",
        unit: Unit::Permille,
        kind: Kind::Estimated,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Process,
        needs: None,
        title: "share of host RAM, average",
        label: "average {} of host RAM",
        sentence: Sentence::Plain("Memory usage was {} of host RAM on average"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Memory,
        advice: Advice::Do(HEAP_SNAPSHOTS),
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_host(history, history.process.host_mean().0),
    }

    /// The most at one of the same polls (thousandths).
    MEMORY_HOST_PEAK: Row {
        word: "memory.host_peak",
        unit: Unit::Permille,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Process,
        needs: None,
        title: "share of host RAM, peak",
        label: "peak {} of host RAM",
        sentence: Sentence::Plain("Memory usage peaked at {} of host RAM"),
        dated: Dated::Peak,
        events: Events::None,
        worst: Worst::Memory,
        advice: Advice::Do(HEAP_SNAPSHOTS),
        traffic: ANY_TRAFFIC,
        measured: |history, _| of_host(history, history.process.host_peak().0),
    }

    /// The most memory at a poll, of the control group's limit (thousandths), over the polls at which there is one.
    MEMORY_LIMIT_PEAK: Row {
        word: "memory.limit_peak",
        unit: Unit::Permille,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Process,
        needs: None,
        title: "share of the container's memory limit, peak",
        label: "peak {} of the container's limit",
        sentence: Sentence::Plain("Memory usage peaked at {} of the container's limit"),
        dated: Dated::Peak,
        events: Events::None,
        worst: Worst::Memory,
        advice: Advice::Do(HEAP_SNAPSHOTS),
        traffic: ANY_TRAFFIC,
        measured: |history, _| limit_peak(history),
    }

    /// The most resident memory at a poll (bytes).
    MEMORY_PEAK: Row {
        word: "memory.peak",
        unit: Unit::Bytes,
        kind: Kind::Happened,
        when_planned: WhenPlanned::LeftOut,
        basis: Basis::Process,
        needs: None,
        title: "memory usage, peak",
        label: "peak {}",
        sentence: Sentence::Plain("Memory usage peaked at {}"),
        dated: Dated::Peak,
        events: Events::None,
        worst: Worst::Memory,
        advice: Advice::Do(HEAP_SNAPSHOTS),
        traffic: ANY_TRAFFIC,
        measured: |history, _| valued(history.process.rss_peak_bytes.map(Exact::whole), history.process.samples, PROCESS_UNSEEN),
    }

    /// By how much memory that leaks grows (bytes an hour); zero where it surely doesn't leak.
    MEMORY_LEAK: Row {
        word: "memory.leak",
        unit: Unit::BytesPerHour,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Process,
        needs: None,
        title: "memory leak",
        label: "leak {}",
        sentence: Sentence::Plain("Memory leaks: it grows by {}"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Memory,
        advice: Advice::Memory,
        traffic: ANY_TRAFFIC,
        measured: |history, _| memory_trend(history, &[Growth::Leaking]),
    }

    /// By how much memory grows at the end (bytes an hour), be it a leak or a cache that fills; zero where it surely doesn't.
    MEMORY_GROWING: Row {
        word: "memory.growing",
        unit: Unit::BytesPerHour,
        kind: Kind::Happened,
        when_planned: WhenPlanned::Counts,
        basis: Basis::Process,
        needs: None,
        title: "memory growth",
        label: "growth {}",
        sentence: Sentence::Plain("Memory grows by {}"),
        dated: Dated::Never,
        events: Events::None,
        worst: Worst::Memory,
        advice: Advice::None,
        traffic: ANY_TRAFFIC,
        measured: |history, _| memory_trend(history, &[Growth::Leaking, Growth::Growing]),
    }
}

const PROCESS_UNSEEN: &str = "the hub's process could not be seen; run hubwatch on its host (--pid, where it isn't found), let containers share their \
     PID namespace (shareProcessNamespace, or HUBWATCH_SHARED_PIDS), or mount the hub's control group (HUBWATCH_CGROUP)";

/// Why there is no processor time.
fn no_cpu(history: &History) -> &'static str {
    if history.process.samples > 0 { "the process was seen for less than a minute" } else { PROCESS_UNSEEN }
}

fn limit_peak(history: &History) -> Measured {
    let (peak, polls) = history.process.limit_peak();
    if polls == 0 && history.process.samples > 0 {
        return Measured::NotApplicable("the hub has no memory limit".to_owned());
    }
    valued(peak, polls, PROCESS_UNSEEN)
}

/// A share of the host's memory.
fn of_host(history: &History, share: Option<Exact>) -> Measured {
    let (host_polls, limit_polls) = (history.process.host_mean().1, history.process.limit_peak().1);
    if host_polls == 0 && limit_polls > 0 {
        return Measured::NotApplicable("the hub has a memory limit of its own".to_owned());
    }
    valued(share, host_polls, PROCESS_UNSEEN)
}

/// By how much memory grows, where it grows in one of these ways.
fn memory_trend(history: &History, ways: &[Growth]) -> Measured {
    let Some(trend) = &history.memory_trend else {
        return Measured::NotVisible("the hub's process was not seen beyond its warm-up".to_owned());
    };
    if ways.contains(&trend.growth) {
        return counted(u64::try_from(trend.slope_bytes_per_hour).unwrap_or(0).max(1), trend.windows);
    }
    trend.undecided().map_or_else(|| counted(0, trend.windows), Measured::TooLittle)
}
