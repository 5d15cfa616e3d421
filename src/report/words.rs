//! Numbers and labels for people.

use crate::judge::exact::Exact;
use crate::judge::history::{Ending, HubStop, Outage};
use crate::judge::incident::Incident;
use crate::judge::measure::{Measure, Unit};
use crate::judge::moment::Moment;
use crate::judge::number;
use crate::judge::verdict::Verdict;
use crate::watch::GeminiFailure;

/// Formats microseconds: `850 ms`, `12 min 3 s`, `1 d 2 h`.
pub fn duration(micros: u64) -> String {
    in_unit(Unit::Micros, micros)
}

/// Formats bytes with decimal prefixes, as the strategy's limits have them.
pub fn bytes(bytes: u64) -> String {
    in_unit(Unit::Bytes, bytes)
}

/// Formats thousandths as per cent.
pub fn permille(permille: u64) -> String {
    in_unit(Unit::Permille, permille)
}

/// Returns what a verdict means for the build.
pub const fn headline(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "promote",
        Verdict::Warn => "promote, but check the warnings",
        Verdict::Fail => "do not promote",
        Verdict::Inconclusive => "not enough data",
        Verdict::NotApplicable => "nothing was judged",
    }
}

/// Returns how long an incident lasted. Once the watch has ended, the end of an open incident stays unknown.
pub fn lasted(incident: &Incident, watch_goes_on: bool) -> String {
    match incident.end {
        None if watch_goes_on => "ongoing".to_owned(),
        None => "until the end of the watch".to_owned(),
        Some(end) if end <= incident.start => "a moment".to_owned(),
        Some(end) => duration(end.0.since(incident.start.0).get()),
    }
}

/// Words an outage: its length, its reason and how it ended.
pub fn outage(outage: &Outage) -> String {
    let lasted = duration(outage.duration_us);
    let unplanned = match &outage.planned {
        Some(window) if outage.unplanned_us == 0 => format!(", planned ({window})"),
        Some(window) => format!(", {} of it unplanned ({window})", duration(outage.unplanned_us)),
        None => String::new(),
    };
    let ending = match outage.ending {
        None => "; it was still down when the watch ended".to_owned(),
        Some(Ending::Recovered) => String::new(),
        Some(Ending::ByHand) => format!("; restarted manually after {lasted}"),
        Some(Ending::Unexplained) => "; restarted by the hub or by a person, which of them is unknown".to_owned(),
        Some(Ending::SwitchedOff) => "; then it was switched off".to_owned(),
        Some(Ending::Removed) => "; then it was removed".to_owned(),
        Some(Ending::Unknown) => "; its end is unknown".to_owned(),
    };
    format!("down for {lasted}{unplanned}: {}{ending}", outage.reason)
}

/// Formats a value in a unit, without regard to a limit.
pub fn in_unit(unit: Unit, value: u64) -> String {
    number::value(unit, Exact::whole(value), &[])
}

/// Returns the first letter in upper case and the rest as it is.
pub fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

/// Returns the minute of an instant, in UTC.
pub fn minute(at: Moment) -> String {
    let at = at.to_string();
    at.get(..16).unwrap_or(&at).replace('T', " ")
}

/// Returns why the hub stopped, where that is known.
pub fn stop_cause(stop: &HubStop) -> Option<String> {
    stop.cause.clone().or_else(|| stop.signal.as_ref().map(|signal| format!("it received {signal}")))
}

/// Returns what failed in a Gemini round.
pub const fn gemini_failure(failure: GeminiFailure) -> &'static str {
    match failure {
        GeminiFailure::RateLimited => "quota used up (HTTP 429)",
        GeminiFailure::SafetyFilter => "blocked by the safety filter",
        GeminiFailure::KeyInvalid => "invalid API key",
        GeminiFailure::Failed => "request failed",
    }
}

/// Writes a value or a limit of a measure with its label: `average 0.6 % of host RAM`.
pub fn labelled(measure: Measure, value: &str) -> String {
    let (label, whole) = (label(measure), whole(measure));
    format!("{label} {value}{whole}")
}

/// Returns what a share is a share of, where the label alone does not say it.
const fn whole(measure: Measure) -> &'static str {
    if matches!(measure, Measure::MemoryHostMean | Measure::MemoryHostPeak) {
        " of host RAM"
    } else if matches!(measure, Measure::MemoryLimitPeak) {
        " of the container's limit"
    } else {
        ""
    }
}

/// Returns a measure's label, short because the criterion's title stands beside it.
const fn label(measure: Measure) -> &'static str {
    match measure {
        Measure::ServersDownTime => "down time",
        Measure::ServersDisconnections => "disconnections",
        Measure::ServersSlowestRecovery => "slowest recovery",
        Measure::ServersRecoveredByHand => "manual restarts",
        Measure::ServersToolChanges => "tool list changes",
        Measure::GeminiFailedShare => "failed rounds per call",
        Measure::GeminiNotFallenBack => "calls without fallback",
        Measure::CallsFailedShare => "failed calls",
        Measure::CallsMean | Measure::CpuMean | Measure::ApiMean => "average",
        Measure::LogLosses => "log failures",
        Measure::LogGrowthPerDay => "growth per day",
        Measure::CpuPeak => "peak",
        Measure::MemoryHostMean => "average",
        Measure::MemoryHostPeak | Measure::MemoryLimitPeak => "peak",
        Measure::HubDownTime => "down time",
        Measure::HubEnds => "process stops",
        Measure::ErrorsShare => "failed operations",
        Measure::SessionsLeftOpen => "sessions left open",
        Measure::SessionsNotIsolated => "sessions not isolated",
        Measure::GeminiMean => "average of the Gemini part",
        Measure::CallsInvalid => "invalid responses",
        Measure::CallsNotificationsFailed => "failed notifications",
        Measure::CallsP95 | Measure::ApiP95 => "p95",
        Measure::CallsP99 | Measure::ApiP99 => "p99",
        Measure::ApiMax => "longest",
        Measure::LogErrors => "error lines",
        Measure::MemoryPeak => "peak",
        Measure::MemoryLeak => "leak",
        Measure::MemoryGrowing => "growth",
        Measure::ClientsPeak => "clients at once",
        Measure::LoadApiMean => "average under load",
        Measure::LoadApiFailedShare => "failed under load",
        Measure::ChecksSessionIsolation
        | Measure::ChecksGeminiFailure
        | Measure::ChecksServerCrash
        | Measure::ChecksSseDisconnect
        | Measure::ChecksHighLoad => "failed checks",
        Measure::DegradationFailed => "failed",
        Measure::DegradationNotExercised => "not tested",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let shown = [0, 12, 1_500, 2_000_000, 61_000_000, 3_600_000_000, 90_061_000_000].map(duration);
        assert_eq!(shown, ["0 s", "12 µs", "1.5 ms", "2 s", "1 min 1 s", "1 h", "1 d 1 h"]);
        assert_eq!([999, 1_000, 999_999, 100_000_000].map(bytes), ["999 B", "1.0 kB", "1.0 MB", "100.0 MB"]);
        assert_eq!(permille(1_000), "100.0 %");
    }
}
