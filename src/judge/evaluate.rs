//! Criteria held against what happened.

use super::criterion::{Criterion, Limit};
use super::history::History;
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
    let expected = || history.servers.values().filter(|server| server.should_work());
    let downs = || expected().flat_map(|server| &server.down);
    match measure {
        Measure::ServersDownTime => {
            let never = expected().filter(|server| server.never_up).map(|_| history.coverage.covered_us);
            counted(total(downs().map(|down| down.duration_us).chain(never)), polls)
        }
        Measure::ServersDisconnections => counted(downs().count() as u64, polls),
        Measure::ServersSlowestRecovery => match downs().map(|down| down.duration_us).max() {
            Some(slowest) => counted(slowest, downs().count() as u64),
            None => Measured::NotExercised("no server went down".to_owned()),
        },
        _ => counted(total(expected().map(|server| server.tool_changes)), polls),
    }
}

fn calls(measure: Measure, history: &History) -> Measured {
    let calls = &history.calls;
    if calls.total == 0 && !history.calls_visible {
        return Measured::NotVisible("no source showed the lines of meta-tool calls".to_owned());
    }
    if calls.total == 0 {
        return Measured::NotExercised("no meta-tool call was made".to_owned());
    }
    let per_thousand = |part: u64, whole: u64| part.saturating_mul(1_000).checked_div(whole);
    match measure {
        Measure::CallsFailedShare => averaged(per_thousand(history.failed_calls(), calls.total), calls.total, ""),
        Measure::CallsMean => {
            let (mean, samples) = history.clean_calls();
            averaged(mean, samples, "no call without a failed Gemini round")
        }
        Measure::GeminiFailedShare => {
            averaged(per_thousand(calls.gemini_failed_rounds, calls.gemini_asked), calls.gemini_asked, "no call asked Gemini")
        }
        _ if calls.gemini_failed == 0 => Measured::NotExercised("Gemini never failed".to_owned()),
        _ => counted(history.not_fallen_back(), calls.gemini_failed),
    }
}

fn log(measure: Measure, history: &History) -> Measured {
    let log = &history.log;
    if log.lines == 0 && log.last_size_bytes.is_none() {
        return Measured::NotVisible("the hub's log was not read".to_owned());
    }
    match measure {
        Measure::LogLosses => counted(log.unreadable + u64::from(log.lost_bytes > 0), history.coverage.watches),
        _ => averaged(history.log_growth_per_day(), history.coverage.polls, "the hub's log was not read"),
    }
}

fn process(measure: Measure, history: &History) -> Measured {
    let process = &history.process;
    let unseen = "the hub's process could not be seen; run hubwatch on its host or in its PID namespace, or give --pid";
    let (samples, limited) = (process.samples, history.limit_memory_share());
    let of_host = history.host_memory_shares();
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
        Measure::MemoryHostMean => averaged(of_host.map(|shares| shares.0), samples, unseen),
        _ => averaged(of_host.map(|shares| shares.1), samples, unseen),
    }
}

fn hub(measure: Measure, history: &History) -> Measured {
    let polls = history.coverage.polls;
    if polls == 0 {
        return Measured::NotVisible("the hub was never polled".to_owned());
    }
    match measure {
        Measure::ApiMean => averaged(history.api.mean_us, history.api.requests, "the hub never answered"),
        Measure::HubDownTime => counted(total(history.hub.unreachable.iter().map(|stretch| stretch.duration_us)), polls),
        Measure::HubEnds => counted((history.hub.stops.len() + history.hub.exits.len()) as u64, polls),
        _ => {
            let operations = history.calls.total + history.api.requests;
            let failed = history.failed_calls() + history.api.failed;
            averaged((failed * 1_000).checked_div(operations), operations, "there were no operations")
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
