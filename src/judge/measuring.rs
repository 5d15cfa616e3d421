//! What each measure came to.

use super::evaluate::{Ground, Judged};
use super::exact::Exact;
use super::history::{CallHistory, Ending, History, Outage};
use super::leak::Growth;
use super::measure::{Measure, Measured};
use super::verdict::Verdict;
use crate::watch::Micros;

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
            // What can't be exercised on this hub, or is switched off, is not missed.
            if judged.verdict == Verdict::NotApplicable {
                return so_far;
            }
            let unseen = matches!(judged.ground, Ground::NotExercised | Ground::NotVisible);
            Self {
                exercised: so_far.exercised + u64::from(!unseen),
                not_exercised: so_far.not_exercised + u64::from(unseen),
                failed: so_far.failed + u64::from(judged.verdict == Verdict::Fail),
            }
        })
    }
}

/// What is not back after the strategy's 30 s is slower than that, however it went on.
const RECOVERY: Micros = Micros::new(30_000_000);

/// What a measure came to. What can't exist on this hub is not applicable; but what was seen is judged.
pub(super) fn measure(measure: Measure, history: &History, degradations: &Degradations) -> Measured {
    match (measured(measure, history, degradations), history.features.rules_out(measure)) {
        (Measured::NotVisible(_) | Measured::NotExercised(_) | Measured::TooLittle(_), Some(why)) => {
            Measured::NotApplicable(why.to_owned())
        }
        (measured, _) => measured,
    }
}

fn measured(measure: Measure, history: &History, degradations: &Degradations) -> Measured {
    match measure {
        Measure::ServersDownTime
        | Measure::ServersDisconnections
        | Measure::ServersSlowestRecovery
        | Measure::ServersRecoveredByHand
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
    Measured::Value { value: Exact::whole(value), samples }
}

/// A count or a sum that polls show, and facts as well: without a poll there is none, unless a fact tells of something.
fn happened(value: u64, polls: u64, why: &str) -> Measured {
    if value == 0 && polls == 0 { Measured::NotVisible(why.to_owned()) } else { counted(value, polls) }
}

/// A mean, a share or a peak; without a sample there is no value.
fn valued(value: Option<Exact>, samples: u64, why: &str) -> Measured {
    match value {
        Some(value) => Measured::Value { value, samples },
        None => Measured::NotVisible(why.to_owned()),
    }
}

/// The sum, saturating: what comes from a backend can be anything.
fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

fn servers(measure: Measure, history: &History) -> Measured {
    let polls = history.coverage.polls_answered;
    let never = "the hub never answered";
    let expected = || history.servers.0.values().filter(|server| server.should_work());
    let downs = || expected().flat_map(|server| &server.down);
    match measure {
        Measure::ServersDownTime => happened(total(expected().map(|server| server.down_unplanned_us)), polls, never),
        Measure::ServersDisconnections => happened(total(expected().map(|server| server.disconnections_unplanned)), polls, never),
        Measure::ServersSlowestRecovery => {
            let recoveries = || downs().filter(|down| shows_recovery(down)).map(|down| down.duration_us);
            match recoveries().max() {
                Some(slowest) => counted(slowest, recoveries().count() as u64),
                None if polls == 0 => Measured::NotVisible(never.to_owned()),
                None => Measured::NotExercised("no server went down and recovered".to_owned()),
            }
        }
        Measure::ServersRecoveredByHand => {
            let ended = |ending| downs().filter(|down| down.ending == Some(ending)).count() as u64;
            let (by_hand, unexplained) = (ended(Ending::ByHand), ended(Ending::Unexplained));
            match downs().filter(|down| shows_recovery(down)).count() as u64 + by_hand {
                0 if polls == 0 => Measured::NotVisible(never.to_owned()),
                // That none is known to be by hand does not mean that none was.
                _ if by_hand == 0 && unexplained > 0 => Measured::TooLittle(unexplained_recoveries(unexplained)),
                0 => Measured::NotExercised("no server went down and recovered".to_owned()),
                all => counted(by_hand, all),
            }
        }
        _ => happened(total(expected().map(|server| server.tool_changes)), polls, never),
    }
}

fn unexplained_recoveries(count: u64) -> String {
    let (recoveries, them) = if count == 1 { ("1 recovery", "it") } else { (&*format!("{count} recoveries"), "them") };
    format!(
        "{recoveries} of unknown cause: either the hub or a person may have caused {them}; \
         let hubwatch join the event stream, which shows requests to the hub's API"
    )
}

/// Whether an outage says how long a recovery takes: it recovered, or had not after [`RECOVERY`]. One that was ended by hand says only
/// that.
fn shows_recovery(outage: &Outage) -> bool {
    outage.has_recovered() || outage.ending != Some(Ending::ByHand) && outage.duration_us > RECOVERY.get()
}

fn calls(measure: Measure, history: &History) -> Measured {
    let (calls, judged) = (&history.calls, &history.calls.judged);
    if calls.total == 0 && history.coverage.calls_visible == 0 {
        return Measured::NotVisible("no source showed meta-tool calls".to_owned());
    }
    if measure == Measure::GeminiNotFallenBack {
        return match calls.gemini_failed {
            0 => Measured::NotExercised(no_fallback_needed(calls)),
            failed => counted(calls.not_fallen_back(), failed),
        };
    }
    let (failed_rounds, asked) = judged.failed_rounds();
    if measure == Measure::GeminiFailedShare {
        return match asked {
            0 => Measured::NotExercised("no call asked Gemini".to_owned()),
            asked => valued(Exact::permille(failed_rounds, asked), asked, ""),
        };
    }
    if judged.total == 0 {
        return Measured::NotExercised("no meta-tool call was made".to_owned());
    }
    let whole = |duration: Option<u64>| duration.map(Exact::whole);
    let untimed = "no call without a failed Gemini round was seen from beginning to end";
    match measure {
        Measure::CallsFailedShare => valued(Exact::permille(judged.failed, judged.total), judged.total, ""),
        Measure::CallsInvalid => {
            let share = Exact::permille(judged.responses_invalid, judged.responses_seen);
            valued(share, judged.responses_seen, "no source showed complete responses")
        }
        Measure::CallsNotificationsFailed => counted(judged.notifications_failed, judged.total),
        Measure::CallsMean => valued(judged.mean(), judged.timed, untimed),
        Measure::CallsP95 => valued(whole(calls.p95_us), judged.timed, untimed),
        Measure::CallsP99 => valued(whole(calls.p99_us), judged.timed, untimed),
        _ => valued(judged.gemini_mean(), judged.gemini_timed, untimed),
    }
}

/// Why no call shows whether the hub falls back. Failed rounds may be there all the same.
fn no_fallback_needed(calls: &CallHistory) -> String {
    let (rounds, of_calls) = (calls.gemini_failed_rounds, calls.gemini_failed_rounds_of_calls);
    match rounds {
        0 => "Gemini never failed".to_owned(),
        1.. if of_calls == 0 => format!("{rounds} Gemini rounds failed, but the end of their calls was not seen"),
        1.. => format!("{rounds} Gemini rounds failed, but Gemini answered each of these calls after a retry"),
    }
}

const LOG_UNREAD: &str = "the hub's log was not read";

fn log(measure: Measure, history: &History) -> Measured {
    let (log, judged) = (&history.log, &history.log.judged);
    match measure {
        Measure::LogErrors => match log.errors {
            Some(errors) => counted(errors, judged.watches.max(1)),
            None if log.lines > 0 => Measured::NotVisible(
                "the plain log file has no levels: read the hub's standard output, or let the event stream be joined".to_owned(),
            ),
            None => Measured::NotVisible(LOG_UNREAD.to_owned()),
        },
        Measure::LogLosses if judged.watches == 0 && judged.losses == 0 => Measured::NotVisible(LOG_UNREAD.to_owned()),
        Measure::LogLosses => counted(judged.losses, judged.watches.max(1)),
        _ if judged.watches == 0 => Measured::NotVisible(LOG_UNREAD.to_owned()),
        _ => match log.growth_per_day() {
            Some(growth) => Measured::Value { value: growth, samples: judged.polls },
            None => Measured::TooLittle("hubwatch reached the end of the log too seldom to measure its growth".to_owned()),
        },
    }
}

fn process(measure: Measure, history: &History) -> Measured {
    let process = &history.process;
    let unseen = "the hub's process could not be seen; run hubwatch on its host (--pid, where it isn't found), let containers share their \
                  PID namespace (shareProcessNamespace, or HUBWATCH_SHARED_PIDS), or mount the hub's control group (HUBWATCH_CGROUP)";
    let seen = process.samples > 0;
    let young = "the process was seen for less than a minute";
    let why = if seen { young } else { unseen };
    let (host_polls, limit_polls) = (process.host_mean().1, process.limit_peak().1);
    match measure {
        Measure::CpuMean => valued(process.cpu_mean(), process.cpu_samples, why),
        Measure::CpuPeak => valued(process.cpu_peak(), process.cpu_samples, why),
        Measure::MemoryPeak => valued(process.rss_peak_bytes.map(Exact::whole), process.samples, unseen),
        Measure::MemoryLimitPeak if limit_polls == 0 && seen => Measured::NotApplicable("the hub has no memory limit".to_owned()),
        Measure::MemoryLimitPeak => valued(process.limit_peak().0, limit_polls, unseen),
        _ if host_polls == 0 && limit_polls > 0 => Measured::NotApplicable("the hub has a memory limit of its own".to_owned()),
        Measure::MemoryHostMean => valued(process.host_mean().0, host_polls, unseen),
        _ => valued(process.host_peak().0, host_polls, unseen),
    }
}

fn hub(measure: Measure, history: &History) -> Measured {
    let (polls, never) = (history.coverage.polls, "the hub was never polled");
    let hub = &history.hub;
    match measure {
        Measure::HubDownTime => happened(hub.down_unplanned_us, polls, never),
        Measure::HubEnds => {
            let ends = hub.stops.iter().chain(&hub.exits).filter(|stop| stop.planned.is_none());
            happened(ends.count() as u64, polls, never)
        }
        _ => {
            let judged = &history.calls.judged;
            let operations = judged.total + history.api.requests;
            let failed = judged.failed + history.api.failed;
            valued(Exact::permille(failed, operations), operations, "there were no operations")
        }
    }
}

fn api(measure: Measure, history: &History) -> Measured {
    let api = &history.api;
    let (answers, why) = (api.answers(), "the hub never answered");
    let whole = |duration: Option<u64>| duration.map(Exact::whole);
    match measure {
        Measure::ApiP95 => valued(whole(api.p95_us), answers, why),
        Measure::ApiP99 => valued(whole(api.p99_us), answers, why),
        Measure::ApiMax => valued(whole(api.max_us), answers, why),
        _ => valued(api.mean(), answers, why),
    }
}

fn memory_trend(measure: Measure, history: &History) -> Measured {
    let Some(trend) = &history.memory_trend else {
        return Measured::NotVisible("the hub's process was not seen beyond its warm-up".to_owned());
    };
    let slope = u64::try_from(trend.slope_bytes_per_hour).unwrap_or(0).max(1);
    let value = match (trend.growth, measure, trend.undecided()) {
        (Growth::Growing, Measure::MemoryGrowing, _) | (Growth::Leaking, ..) => slope,
        (_, _, Some(why)) => return Measured::TooLittle(why),
        (_, _, None) => 0,
    };
    counted(value, trend.windows)
}

fn sessions(measure: Measure, history: &History) -> Measured {
    let clients = &history.clients;
    if measure == Measure::ClientsPeak {
        let peak = clients.peak_mcp_clients.map(|peak| Exact::whole(peak.into()));
        return valued(peak, history.coverage.polls_answered, "the hub did not say how many clients it has");
    }
    if clients.sessions_opened == 0 && clients.sessions_closed == 0 {
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
        (0, 0, 0) => Measured::NotVisible("the log lines do not name their session".to_owned()),
        (0, 0, _) => Measured::NotExercised("no two sessions with their own tools were open at once".to_owned()),
        (seen, 0, _) => counted(0, seen),
    }
}

fn load(measure: Measure, history: &History) -> Measured {
    let load = &history.api.under_load;
    if load.polls == 0 {
        return Measured::NotExercised("too few clients were connected at once".to_owned());
    }
    match measure {
        Measure::LoadApiMean => valued(load.mean(), load.answers(), "the hub never answered under load"),
        _ => valued(Exact::permille(load.failed, load.requests), load.requests, "no request was made under load"),
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
        _ if exercised + not_exercised == 0 => {
            Measured::NotApplicable("every degradation criterion is switched off or does not apply to this hub".to_owned())
        }
        _ if exercised == 0 => Measured::NotExercised("no degradation scenario was tested".to_owned()),
        Measure::DegradationFailed => counted(failed, exercised),
        _ => counted(not_exercised, exercised + not_exercised),
    }
}
