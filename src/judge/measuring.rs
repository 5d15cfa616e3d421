//! What each measure came to.

use super::evaluate::{Ground, Judged};
use super::history::{History, failures_per_thousand};
use super::leak::{Growth, MemoryTrend};
use super::measure::{Measure, Measured};
use super::verdict::Verdict;

/// What the degradation criteria came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Degradations {
    exercised: u64,
    not_exercised: u64,
    failed: u64,
}

impl Degradations {
    pub fn of(judged: impl Iterator<Item = Judged>) -> Self {
        judged.fold(Self::default(), |so_far, judged| {
            let unseen = matches!(judged.ground, Ground::NotExercised | Ground::NotVisible);
            Self {
                exercised: so_far.exercised + u64::from(!unseen),
                not_exercised: so_far.not_exercised + u64::from(unseen),
                failed: so_far.failed + u64::from(judged.verdict == Verdict::Fail),
            }
        })
    }
}

/// What a measure came to.
pub(super) fn measure(measure: Measure, history: &History, degradations: &Degradations) -> Measured {
    match measure {
        Measure::ServersDownTime
        | Measure::ServersDisconnections
        | Measure::ServersSlowestRecovery
        | Measure::ServersToolChanges => servers(measure, history),
        Measure::GeminiFailedShare
        | Measure::GeminiNotFallenBack
        | Measure::GeminiMean
        | Measure::CallsFailedShare
        | Measure::CallsInvalid
        | Measure::CallsNotificationsFailed
        | Measure::CallsMean
        | Measure::CallsP95
        | Measure::CallsP99 => calls(measure, history),
        Measure::LogLosses | Measure::LogGrowthPerDay | Measure::LogErrors => log(measure, history),
        Measure::CpuMean
        | Measure::CpuPeak
        | Measure::MemoryHostMean
        | Measure::MemoryHostPeak
        | Measure::MemoryLimitPeak
        | Measure::MemoryPeak => process(measure, history),
        Measure::MemoryLeak | Measure::MemoryGrowing => memory_trend(measure, history),
        Measure::ApiMean | Measure::ApiP95 | Measure::ApiP99 | Measure::ApiMax => api(measure, history),
        Measure::HubDownTime | Measure::HubEnds | Measure::ErrorsShare => hub(measure, history),
        Measure::SessionsLeftOpen | Measure::SessionsNotIsolated | Measure::ClientsPeak => sessions(measure, history),
        Measure::LoadApiMean | Measure::LoadApiFailedShare => load(measure, history),
        Measure::ChecksSessionIsolation
        | Measure::ChecksGeminiFailure
        | Measure::ChecksServerCrash
        | Measure::ChecksSseDisconnect
        | Measure::ChecksHighLoad => checks(measure, history),
        Measure::DegradationFailed | Measure::DegradationNotExercised => degradation(measure, degradations),
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
    let exact = calls.total.saturating_sub(calls.guessed);
    let certain = "no call whose beginning and end are certain";
    let nothing_seen = || Measured::NotVisible("no source showed whole responses".to_owned());
    match measure {
        Measure::CallsFailedShare => averaged(judged.failed_permille(), judged.total, ""),
        Measure::CallsInvalid if judged.responses_seen == 0 => nothing_seen(),
        Measure::CallsInvalid => {
            averaged(failures_per_thousand(judged.responses_invalid, judged.responses_seen), judged.responses_seen, "")
        }
        Measure::CallsNotificationsFailed => counted(judged.notifications_failed, judged.total),
        Measure::CallsMean => averaged(judged.mean_us(), judged.clean, "no call without a failed Gemini round"),
        Measure::CallsP95 => averaged(calls.p95_us, exact, certain),
        Measure::CallsP99 => averaged(calls.p99_us, exact, certain),
        Measure::GeminiMean => averaged(calls.gemini_mean_us, judged.clean, "no call without a failed Gemini round"),
        _ if judged.asked == 0 => Measured::NotExercised("no call asked Gemini".to_owned()),
        _ => averaged(failures_per_thousand(judged.failed_rounds, judged.asked), judged.asked, ""),
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
        Measure::LogErrors => counted(log.by_level.get("error").copied().unwrap_or(0), history.coverage.watches),
        _ => averaged(log.growth_per_day(), history.coverage.polls, "the hub's log was not read"),
    }
}

fn process(measure: Measure, history: &History) -> Measured {
    let process = &history.process;
    let unseen = "the hub's process could not be seen; run hubwatch on its host (--pid, where it isn't found), let containers share their \
                  PID namespace (shareProcessNamespace, or HUBWATCH_SHARED_PIDS), or mount the hub's control group (HUBWATCH_CGROUP)";
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
        Measure::MemoryPeak => averaged(process.rss_peak_bytes, samples, unseen),
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
        Measure::HubDownTime => {
            let unplanned = hub.unreachable.iter().filter(|stretch| stretch.planned.is_none());
            counted(total(unplanned.map(|stretch| stretch.duration_us)), polls)
        }
        Measure::HubEnds => counted(hub.stops.iter().chain(&hub.exits).filter(|stop| stop.planned.is_none()).count() as u64, polls),
        _ => {
            let judged = &history.calls.judged;
            let operations = judged.total + history.api.requests;
            let failed = judged.failed + history.api.failed;
            averaged(failures_per_thousand(failed, operations), operations, "there were no operations")
        }
    }
}

fn api(measure: Measure, history: &History) -> Measured {
    let api = &history.api;
    let value = match measure {
        Measure::ApiP95 => api.p95_us,
        Measure::ApiP99 => api.p99_us,
        Measure::ApiMax => api.max_us,
        _ => api.mean_us,
    };
    averaged(value, api.requests, "the hub never answered")
}

fn memory_trend(measure: Measure, history: &History) -> Measured {
    let Some(trend) = &history.memory_trend else {
        return Measured::NotVisible("the hub's process was not seen beyond its warm-up".to_owned());
    };
    let MemoryTrend { growth, windows, slope_bytes_per_hour, .. } = *trend;
    let slope = u64::try_from(slope_bytes_per_hour).unwrap_or(0);
    let value = match (growth, measure) {
        (Growth::TooShort, _) => {
            let why = "no process was watched long enough beyond its warm-up to tell a leak";
            return Measured::TooLittle(why.to_owned());
        }
        (Growth::Leaking, _) | (Growth::Growing, Measure::MemoryGrowing) => slope.max(1),
        _ => 0,
    };
    Measured::Value { value, samples: windows, counts: true }
}

fn sessions(measure: Measure, history: &History) -> Measured {
    let clients = &history.clients;
    if measure == Measure::ClientsPeak {
        let peak = clients.peak_mcp_clients.map(u64::from);
        return averaged(peak, history.coverage.polls_answered, "the hub did not say how many clients it has");
    }
    if clients.sessions_opened == 0 {
        return Measured::NotVisible("no source showed sessions; the npm hub has none".to_owned());
    }
    if measure == Measure::SessionsLeftOpen {
        return match clients.disconnected {
            0 => Measured::NotExercised("no client disconnected".to_owned()),
            gone => counted(gone.saturating_sub(clients.sessions_closed), gone),
        };
    }
    match (clients.isolation_seen, clients.isolation_broken, clients.sessions_told_apart) {
        (_, 1.., _) => counted(clients.isolation_broken, clients.isolation_seen.max(1)),
        (0, 0, 0) => Measured::NotVisible("the sessions' lines do not say which session they are about".to_owned()),
        (0, 0, _) => Measured::NotExercised("no two sessions with tools of their own were open at once".to_owned()),
        (seen, 0, _) => counted(0, seen),
    }
}

fn load(measure: Measure, history: &History) -> Measured {
    let load = &history.api.under_load;
    if load.polls == 0 {
        return Measured::NotExercised("never were so many clients connected at once".to_owned());
    }
    match measure {
        Measure::LoadApiMean => averaged(load.mean_us, load.requests, "the hub never answered under load"),
        _ => averaged(failures_per_thousand(load.failed, load.requests), load.requests, "no request was made under load"),
    }
}

fn checks(measure: Measure, history: &History) -> Measured {
    let name = measure.scenario().unwrap_or_default();
    match history.scenarios.get(name) {
        Some(scenario) => {
            let failed = scenario.failed.len() as u64;
            counted(failed, scenario.held + failed)
        }
        None => Measured::NotExercised(format!("scenario {name} was not run")),
    }
}

fn degradation(measure: Measure, degradations: &Degradations) -> Measured {
    let Degradations { exercised, not_exercised, failed } = *degradations;
    match measure {
        _ if exercised == 0 => Measured::NotExercised("no degradation was exercised".to_owned()),
        Measure::DegradationFailed => counted(failed, exercised),
        _ => counted(not_exercised, exercised + not_exercised),
    }
}
