//! Numbers as people read them.

use crate::judge::exact::Exact;
use crate::judge::history::{Ending, Outage};
use crate::judge::incident::Incident;
use crate::judge::measure::{Measure, Unit};
use crate::judge::number;
use crate::judge::verdict::Verdict;

/// Microseconds: `850 ms`, `12 m 3 s`, `1 d 2 h`.
pub fn duration(micros: u64) -> String {
    in_unit(Unit::Micros, micros)
}

/// Bytes, in powers of ten as the strategy's limits are.
pub fn bytes(bytes: u64) -> String {
    in_unit(Unit::Bytes, bytes)
}

/// Thousandths as per cent.
pub fn permille(permille: u64) -> String {
    in_unit(Unit::Permille, permille)
}

/// What a verdict means for the build.
pub const fn headline(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "promote",
        Verdict::Warn => "promote, but look",
        Verdict::Fail => "do not promote",
        Verdict::Inconclusive => "not enough data",
        Verdict::NotApplicable => "nothing was judged",
    }
}

/// How long an incident lasted. A watch that is over can't say more of one that had not ended.
pub fn lasted(incident: &Incident, watch_goes_on: bool) -> String {
    match incident.end {
        None if watch_goes_on => "goes on".to_owned(),
        None => "until the end of the watch".to_owned(),
        Some(end) if end <= incident.start => "a moment".to_owned(),
        Some(end) => duration(end.0.since(incident.start.0).get()),
    }
}

/// How long something was down, why, and how that ended.
pub fn outage(outage: &Outage) -> String {
    let lasted = duration(outage.duration_us);
    let unplanned = match &outage.planned {
        Some(window) if outage.unplanned_us == 0 => format!(", planned ({window})"),
        Some(window) => format!(", {} of it not planned ({window})", duration(outage.unplanned_us)),
        None => String::new(),
    };
    let ending = match outage.ending {
        None => "; it was still down when the watch ended".to_owned(),
        Some(Ending::Recovered) => String::new(),
        Some(Ending::ByHand) => format!("; restarted by hand after {lasted}"),
        Some(Ending::Unexplained) => "; nothing tells whether the hub or a person restarted it".to_owned(),
        Some(Ending::SwitchedOff) => "; then it was switched off".to_owned(),
        Some(Ending::Removed) => "; then it was removed".to_owned(),
        Some(Ending::Unknown) => "; how it went on is not known".to_owned(),
    };
    format!("down for {lasted}{unplanned}: {}{ending}", outage.reason)
}

/// A value in a unit, without a limit beside it.
pub fn in_unit(unit: Unit, value: u64) -> String {
    number::value(unit, Exact::whole(value), &[])
}

/// A measure's name for people.
pub fn name_of(measure: Measure) -> &'static str {
    match measure {
        Measure::ServersDownTime => "down",
        Measure::ServersDisconnections => "disconnections",
        Measure::ServersSlowestRecovery => "slowest recovery",
        Measure::ServersRecoveredByHand => "restarted by hand",
        Measure::ServersToolChanges => "changes",
        Measure::GeminiFailedShare => "failed rounds per call",
        Measure::GeminiNotFallenBack => "not fallen back",
        Measure::CallsFailedShare => "failed calls",
        Measure::CallsMean | Measure::CpuMean | Measure::ApiMean => "average",
        Measure::LogLosses => "losses",
        Measure::LogGrowthPerDay => "per day",
        Measure::CpuPeak => "peak",
        Measure::MemoryHostMean => "average of the host's",
        Measure::MemoryHostPeak => "peak of the host's",
        Measure::MemoryLimitPeak => "peak of the limit",
        Measure::HubDownTime => "not answering",
        Measure::HubEnds => "ends of the process",
        Measure::ErrorsShare => "failed operations",
        Measure::SessionsLeftOpen => "sessions left open",
        Measure::SessionsNotIsolated => "not isolated",
        Measure::GeminiMean => "average of Gemini's part",
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
        Measure::DegradationNotExercised => "not exercised",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let shown = [0, 12, 1_500, 2_000_000, 61_000_000, 3_600_000_000, 90_061_000_000].map(duration);
        assert_eq!(shown, ["0 s", "12 µs", "1.5 ms", "2 s", "1 m 1 s", "1 h", "1 d 1 h"]);
        assert_eq!([999, 1_000, 999_999, 100_000_000].map(bytes), ["999 B", "1.0 kB", "1.0 MB", "100.0 MB"]);
        assert_eq!(permille(1_000), "100.0 %");
    }
}
