//! Criteria held against what happened.

use super::criterion::{Criterion, Limit};
use super::history::{History, per_thousand};
use super::measure::{Measure, Measured};
use super::verdict::{Verdict, weight};

/// What a criterion came to, and on what grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Each limit's measure with its value, where it has one.
    pub values: Vec<(Measure, Option<u64>)>,
    /// Samples of the limit that decided.
    pub samples: u64,
    /// Why the verdict is what it is.
    pub why: String,
}

/// Judges one criterion: the worst of its limits decides.
pub fn judge(criterion: &Criterion, history: &History) -> Judged {
    let limits: Vec<_> = criterion.limits.iter().map(|limit| judge_limit(criterion, limit, history)).collect();
    let values = limits.iter().zip(&criterion.limits).map(|(judged, limit)| (limit.measure, judged.value)).collect();
    match limits.into_iter().max_by_key(|judged| weight(judged.verdict)) {
        Some(worst) => Judged { verdict: worst.verdict, values, samples: worst.samples, why: worst.why },
        None => Judged { verdict: Verdict::Inconclusive, values, samples: 0, why: "not measured".to_owned() },
    }
}

struct LimitJudged {
    verdict: Verdict,
    value: Option<u64>,
    samples: u64,
    why: String,
}

fn judge_limit(criterion: &Criterion, limit: &Limit, history: &History) -> LimitJudged {
    let without_value = |verdict, why: String| LimitJudged { verdict, value: None, samples: 0, why };
    let (value, samples, counts) = match measure(limit.measure, history) {
        Measured::Value { value, samples, counts } => (value, samples, counts),
        Measured::NotVisible(why) => return without_value(Verdict::Inconclusive, format!("not visible: {why}")),
        Measured::NotExercised(why) => return without_value(Verdict::Inconclusive, format!("not exercised: {why}")),
        Measured::NotApplicable(why) => return without_value(Verdict::NotApplicable, why),
    };
    let judged = |verdict, why: String| LimitJudged { verdict, value: Some(value), samples, why };
    let beyond = |bound: u64| if limit.below { value < bound } else { value > bound };
    let enough = samples >= criterion.min_samples;
    // What was counted has happened, however little else is known; a mean needs its samples.
    if beyond(limit.fail) && (counts || enough) {
        return judged(Verdict::Fail, format!("{} is beyond its limit", limit.measure));
    }
    if !enough {
        return judged(Verdict::Inconclusive, format!("{samples} samples of {} are too few", limit.measure));
    }
    if history.coverage.share_permille < criterion.min_coverage {
        let (share, wanted) = (history.coverage.share_permille, criterion.min_coverage);
        let why =
            format!("only {}.{} % of the period was watched, {}.{} % are needed", share / 10, share % 10, wanted / 10, wanted % 10);
        return judged(Verdict::Inconclusive, why);
    }
    if limit.warn.is_some_and(beyond) {
        return judged(Verdict::Warn, format!("{} is near its limit", limit.measure));
    }
    judged(Verdict::Pass, "within its limits".to_owned())
}

/// What a measure came to.
pub fn measure(measure: Measure, history: &History) -> Measured {
    match measure {
        Measure::ServersDownTime
        | Measure::ServersDisconnections
        | Measure::ServersSlowestRecovery
        | Measure::ServersToolChanges => servers(measure, history),
        Measure::GeminiFailedShare | Measure::GeminiNotFallenBack | Measure::CallsFailedShare | Measure::CallsMean => {
            calls(measure, history)
        }
        Measure::LogLosses | Measure::LogGrowthPerDay => log(measure, history),
        Measure::CpuMean | Measure::CpuPeak | Measure::MemoryHostMean | Measure::MemoryHostPeak | Measure::MemoryLimitPeak => {
            process(measure, history)
        }
        Measure::ApiMean | Measure::HubDownTime | Measure::HubEnds | Measure::ErrorsShare => hub(measure, history),
        Measure::SessionsLeftOpen => sessions(history),
    }
}

fn counted(value: u64, samples: u64) -> Measured {
    Measured::Value { value, samples, counts: true }
}

/// A mean or peak; without a sample there is no value.
fn averaged(value: Option<u64>, samples: u64, why: &str) -> Measured {
    match value {
        Some(value) => Measured::Value { value, samples, counts: false },
        None => Measured::NotVisible(why.to_owned()),
    }
}

/// The sum, saturating: what comes from a backend can be anything.
fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

fn servers(measure: Measure, history: &History) -> Measured {
    let polls = history.coverage.polls_answered;
    if polls == 0 {
        return Measured::NotVisible("the hub never answered".to_owned());
    }
    let expected = || history.servers.0.values().filter(|server| server.should_work());
    let all_downs = || expected().flat_map(|server| &server.down);
    let downs = || all_downs().filter(|down| down.planned.is_none());
    match measure {
        Measure::ServersDownTime => {
            let never = expected().filter(|server| server.never_up).map(|_| history.coverage.covered_us);
            counted(total(downs().map(|down| down.duration_us).chain(never)), polls)
        }
        Measure::ServersDisconnections => counted(downs().count() as u64, polls),
        Measure::ServersSlowestRecovery => match all_downs().map(|down| down.duration_us).max() {
            Some(slowest) => counted(slowest, all_downs().count() as u64),
            None => Measured::NotExercised("no server went down".to_owned()),
        },
        _ => counted(total(expected().map(|server| server.tool_changes)), polls),
    }
}

fn calls(measure: Measure, history: &History) -> Measured {
    let (calls, judged) = (&history.calls, &history.calls.judged);
    if calls.total == 0 && history.coverage.calls_visible == 0 {
        return Measured::NotVisible("no source showed the lines of meta-tool calls".to_owned());
    }
    if measure == Measure::GeminiNotFallenBack {
        return match calls.gemini_failed {
            0 => Measured::NotExercised("Gemini never failed".to_owned()),
            failed => counted(calls.not_fallen_back(), failed),
        };
    }
    if judged.total == 0 {
        return Measured::NotExercised("no meta-tool call was made".to_owned());
    }
    match measure {
        Measure::CallsFailedShare => averaged(judged.failed_permille(), judged.total, ""),
        Measure::CallsMean => averaged(judged.mean_us(), judged.clean, "no call without a failed Gemini round"),
        _ => averaged(per_thousand(judged.failed_rounds, judged.asked), judged.asked, "no call asked Gemini"),
    }
}

fn log(measure: Measure, history: &History) -> Measured {
    let log = &history.log;
    if log.lines == 0 && log.last_size_bytes.is_none() {
        return Measured::NotVisible("the hub's log was not read".to_owned());
    }
    match measure {
        Measure::LogLosses => {
            counted(log.unreadable + log.write_failures + u64::from(log.lost_bytes > 0), history.coverage.watches)
        }
        _ => averaged(log.growth_per_day(), history.coverage.polls, "the hub's log was not read"),
    }
}

fn process(measure: Measure, history: &History) -> Measured {
    let process = &history.process;
    let unseen = "the hub's process could not be seen; run hubwatch on its host or in its PID namespace, or give --pid";
    let (samples, limited) = (process.samples, process.limit_share_peak_permille);
    match measure {
        Measure::CpuMean => averaged(process.cpu_mean_permille, samples, unseen),
        Measure::CpuPeak if samples > 0 => {
            averaged(process.cpu_peak_permille, samples, "the process was not watched beyond its first minute")
        }
        Measure::CpuPeak => Measured::NotVisible(unseen.to_owned()),
        Measure::MemoryLimitPeak if samples > 0 && limited.is_none() => {
            Measured::NotApplicable("the hub has no memory limit".to_owned())
        }
        Measure::MemoryLimitPeak => averaged(limited, samples, unseen),
        _ if limited.is_some() => Measured::NotApplicable("the hub has a memory limit of its own".to_owned()),
        Measure::MemoryHostMean => averaged(process.host_share_mean_permille, samples, unseen),
        _ => averaged(process.host_share_peak_permille, samples, unseen),
    }
}

fn hub(measure: Measure, history: &History) -> Measured {
    let polls = history.coverage.polls;
    if polls == 0 {
        return Measured::NotVisible("the hub was never polled".to_owned());
    }
    let hub = &history.hub;
    match measure {
        Measure::ApiMean => averaged(history.api.mean_us, history.api.requests, "the hub never answered"),
        Measure::HubDownTime => {
            let unplanned = hub.unreachable.iter().filter(|stretch| stretch.planned.is_none());
            counted(total(unplanned.map(|stretch| stretch.duration_us)), polls)
        }
        Measure::HubEnds => counted(hub.stops.iter().chain(&hub.exits).filter(|stop| stop.planned.is_none()).count() as u64, polls),
        _ => {
            let judged = &history.calls.judged;
            let operations = judged.total + history.api.requests;
            let failed = judged.failed + history.api.failed;
            averaged(per_thousand(failed, operations), operations, "there were no operations")
        }
    }
}

fn sessions(history: &History) -> Measured {
    let clients = &history.clients;
    if clients.sessions_opened == 0 {
        return Measured::NotVisible("no source showed sessions; the npm hub has none".to_owned());
    }
    if clients.disconnected == 0 {
        return Measured::NotExercised("no client disconnected".to_owned());
    }
    counted(clients.disconnected.saturating_sub(clients.sessions_closed), clients.disconnected)
}
