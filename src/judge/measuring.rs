//! What each measure came to.

use super::evaluate::{Ground, Judged};
use super::exact::Exact;
use super::history::{CallHistory, ClientHistory, Ending, History, JudgedCalls, LoadHistory, Outage, ServerHistory};
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
    pub(super) fn of(judged: impl Iterator<Item = Judged>) -> Self {
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
        Measure::ServersDownTime => of_servers(history, |server| server.down_unplanned_us),
        Measure::ServersDisconnections => of_servers(history, |server| server.disconnections_unplanned),
        Measure::ServersSlowestRecovery => slowest_recovery(history),
        Measure::ServersRecoveredByHand => recovered_by_hand(history),
        Measure::ServersToolChanges => of_servers(history, |server| server.tool_changes),
        Measure::GeminiFailedShare => seen_calls(history, failed_rounds),
        Measure::GeminiNotFallenBack => seen_calls(history, not_fallen_back),
        Measure::GeminiMean => judged_calls(history, |_, judged| valued(judged.gemini_mean(), judged.gemini_timed, UNTIMED)),
        Measure::CallsFailedShare => {
            judged_calls(history, |_, judged| valued(Exact::permille(judged.failed, judged.total), judged.total, ""))
        }
        Measure::CallsInvalid => judged_calls(history, |_, judged| {
            let share = Exact::permille(judged.responses_invalid, judged.responses_seen);
            valued(share, judged.responses_seen, "no source showed whole responses")
        }),
        Measure::CallsNotificationsFailed => judged_calls(history, |_, judged| counted(judged.notifications_failed, judged.total)),
        Measure::CallsMean => judged_calls(history, |_, judged| valued(judged.mean(), judged.timed, UNTIMED)),
        Measure::CallsP95 => judged_calls(history, |calls, judged| valued(calls.p95_us.map(Exact::whole), judged.timed, UNTIMED)),
        Measure::CallsP99 => judged_calls(history, |calls, judged| valued(calls.p99_us.map(Exact::whole), judged.timed, UNTIMED)),
        Measure::LogLosses => log_losses(history),
        Measure::LogGrowthPerDay => log_growth(history),
        Measure::LogErrors => log_errors(history),
        Measure::CpuMean => valued(history.process.cpu_mean(), history.process.cpu_samples, no_cpu(history)),
        Measure::CpuPeak => valued(history.process.cpu_peak(), history.process.cpu_samples, no_cpu(history)),
        Measure::MemoryHostMean => of_host(history, history.process.host_mean().0),
        Measure::MemoryHostPeak => of_host(history, history.process.host_peak().0),
        Measure::MemoryLimitPeak => limit_peak(history),
        Measure::MemoryPeak => valued(history.process.rss_peak_bytes.map(Exact::whole), history.process.samples, PROCESS_UNSEEN),
        Measure::MemoryLeak => memory_trend(history, &[Growth::Leaking]),
        Measure::MemoryGrowing => memory_trend(history, &[Growth::Leaking, Growth::Growing]),
        Measure::ApiMean => of_api(history, history.api.mean()),
        Measure::ApiP95 => of_api(history, history.api.p95_us.map(Exact::whole)),
        Measure::ApiP99 => of_api(history, history.api.p99_us.map(Exact::whole)),
        Measure::ApiMax => of_api(history, history.api.max_us.map(Exact::whole)),
        Measure::HubDownTime => happened(history.hub.down_unplanned_us, history.coverage.polls, NEVER_POLLED),
        Measure::HubEnds => {
            let ends = history.hub.stops.iter().chain(&history.hub.exits).filter(|stop| stop.planned.is_none());
            happened(ends.count() as u64, history.coverage.polls, NEVER_POLLED)
        }
        Measure::ErrorsShare => failed_operations(history),
        Measure::SessionsLeftOpen => seen_sessions(history, left_open),
        Measure::SessionsNotIsolated => seen_sessions(history, not_isolated),
        Measure::ClientsPeak => {
            let peak = history.clients.peak_mcp_clients.map(|peak| Exact::whole(peak.into()));
            valued(peak, history.coverage.polls_answered, "the hub did not say how many clients it has")
        }
        Measure::LoadApiMean => {
            under_load(history, |load| valued(load.mean(), load.answers(), "the hub never answered under load"))
        }
        Measure::LoadApiFailedShare => under_load(history, |load| {
            valued(Exact::permille(load.failed, load.requests), load.requests, "no request was made under load")
        }),
        Measure::ChecksSessionIsolation
        | Measure::ChecksGeminiFailure
        | Measure::ChecksServerCrash
        | Measure::ChecksSseDisconnect
        | Measure::ChecksHighLoad => checks(measure, history),
        Measure::DegradationFailed => degradation(degradations, |all| counted(all.failed, all.exercised)),
        Measure::DegradationNotExercised => {
            degradation(degradations, |all| counted(all.not_exercised, all.exercised + all.not_exercised))
        }
    }
}

fn counted(value: u64, samples: u64) -> Measured {
    Measured::Value { value: Exact::whole(value), samples }
}

/// A count or a sum from polls and facts: without a poll it is not visible, unless there is a fact.
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

const NEVER_ANSWERED: &str = "the hub never answered";

const NO_RECOVERY: &str = "no server went down and recovered";

fn expected(history: &History) -> impl Iterator<Item = &ServerHistory> {
    history.servers.0.values().filter(|server| server.should_work())
}

/// A sum over the servers that should work.
fn of_servers(history: &History, of: fn(&ServerHistory) -> u64) -> Measured {
    happened(total(expected(history).map(of)), history.coverage.polls_answered, NEVER_ANSWERED)
}

fn slowest_recovery(history: &History) -> Measured {
    let downs = expected(history).flat_map(|server| &server.down).filter(|down| shows_recovery(down));
    let recoveries: Vec<u64> = downs.map(|down| down.duration_us).collect();
    match recoveries.iter().max() {
        Some(slowest) => counted(*slowest, recoveries.len() as u64),
        None if history.coverage.polls_answered == 0 => Measured::NotVisible(NEVER_ANSWERED.to_owned()),
        None => Measured::NotExercised(NO_RECOVERY.to_owned()),
    }
}

fn recovered_by_hand(history: &History) -> Measured {
    let downs = || expected(history).flat_map(|server| &server.down);
    let ended = |ending| downs().filter(|down| down.ending == Some(ending)).count() as u64;
    let (by_hand, unexplained) = (ended(Ending::ByHand), ended(Ending::Unexplained));
    let all = downs().filter(|down| shows_recovery(down)).count() as u64 + by_hand;
    if all == 0 && history.coverage.polls_answered == 0 {
        return Measured::NotVisible(NEVER_ANSWERED.to_owned());
    }
    // That none is known to be by hand does not mean that none was.
    if by_hand == 0 && unexplained > 0 {
        return Measured::TooLittle(unexplained_recoveries(unexplained));
    }
    if all == 0 { Measured::NotExercised(NO_RECOVERY.to_owned()) } else { counted(by_hand, all) }
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

const UNTIMED: &str = "no call without a failed Gemini round was seen from beginning to end";

/// What is measured on calls, where their lines could be seen.
fn seen_calls(history: &History, of: impl Fn(&CallHistory) -> Measured) -> Measured {
    if history.calls.total == 0 && history.coverage.calls_visible == 0 {
        return Measured::NotVisible("no source showed meta-tool calls".to_owned());
    }
    of(&history.calls)
}

/// What is measured on the calls outside planned disturbances.
fn judged_calls(history: &History, of: fn(&CallHistory, &JudgedCalls) -> Measured) -> Measured {
    seen_calls(history, |calls| match calls.judged.total {
        0 => Measured::NotExercised("no meta-tool call was made".to_owned()),
        1.. => of(calls, &calls.judged),
    })
}

fn not_fallen_back(calls: &CallHistory) -> Measured {
    match calls.gemini_failed {
        0 => Measured::NotExercised(no_fallback_needed(calls)),
        failed => counted(calls.not_fallen_back(), failed),
    }
}

fn failed_rounds(calls: &CallHistory) -> Measured {
    match calls.judged.failed_rounds() {
        (_, 0) => Measured::NotExercised("no call asked Gemini".to_owned()),
        (failed, asked) => valued(Exact::permille(failed, asked), asked, ""),
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

fn log_errors(history: &History) -> Measured {
    match history.log.errors {
        Some(errors) => counted(errors, history.log.judged.watches.max(1)),
        None if history.log.lines > 0 => Measured::NotVisible(
            "the plain log file has no levels: read the hub's standard output, or let the event stream be joined".to_owned(),
        ),
        None => Measured::NotVisible(LOG_UNREAD.to_owned()),
    }
}

fn log_losses(history: &History) -> Measured {
    let judged = &history.log.judged;
    if judged.watches == 0 && judged.losses == 0 {
        return Measured::NotVisible(LOG_UNREAD.to_owned());
    }
    counted(judged.losses, judged.watches.max(1))
}

fn log_growth(history: &History) -> Measured {
    let judged = &history.log.judged;
    match history.log.growth_per_day() {
        _ if judged.watches == 0 => Measured::NotVisible(LOG_UNREAD.to_owned()),
        Some(growth) => Measured::Value { value: growth, samples: judged.polls },
        None => Measured::TooLittle("hubwatch reached the end of the log too seldom to measure its growth".to_owned()),
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

const NEVER_POLLED: &str = "the hub was never polled";

fn failed_operations(history: &History) -> Measured {
    let judged = &history.calls.judged;
    let operations = judged.total + history.api.requests;
    let failed = judged.failed + history.api.failed;
    valued(Exact::permille(failed, operations), operations, "there were no operations")
}

fn of_api(history: &History, value: Option<Exact>) -> Measured {
    valued(value, history.api.answers(), NEVER_ANSWERED)
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

/// What is measured on sessions, where they could be seen.
fn seen_sessions(history: &History, of: fn(&ClientHistory) -> Measured) -> Measured {
    if history.clients.sessions_opened == 0 && history.clients.sessions_closed == 0 {
        return Measured::NotVisible("no source showed sessions; the npm hub has none".to_owned());
    }
    of(&history.clients)
}

fn left_open(clients: &ClientHistory) -> Measured {
    match clients.disconnected {
        0 => Measured::NotExercised("no client disconnected".to_owned()),
        gone => counted(gone.saturating_sub(clients.sessions_closed), gone),
    }
}

fn not_isolated(clients: &ClientHistory) -> Measured {
    match (clients.isolation_seen, clients.isolation_broken, clients.sessions_told_apart) {
        (_, 1.., _) => counted(clients.isolation_broken, clients.isolation_seen.max(1)),
        (0, 0, 0) => Measured::NotVisible("the log lines do not name their session".to_owned()),
        (0, 0, _) => Measured::NotExercised("no two sessions with their own tools were open at once".to_owned()),
        (seen, 0, _) => counted(0, seen),
    }
}

fn under_load(history: &History, of: fn(&LoadHistory) -> Measured) -> Measured {
    match history.api.under_load.polls {
        0 => Measured::NotExercised("too few clients were connected at once".to_owned()),
        1.. => of(&history.api.under_load),
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

fn degradation(all: &Degradations, of: fn(&Degradations) -> Measured) -> Measured {
    if all.exercised + all.not_exercised == 0 {
        return Measured::NotApplicable("every degradation criterion is switched off or does not apply to this hub".to_owned());
    }
    if all.exercised == 0 {
        return Measured::NotExercised("no degradation was exercised".to_owned());
    }
    of(all)
}
