//! Numbers as people read them.

use crate::judge::incident::Incident;
use crate::judge::measure::{Measure, Unit};
use crate::judge::verdict::Verdict;

/// Microseconds: `850 ms`, `12 m 3 s`, `1 d 2 h`.
pub fn duration(micros: u64) -> String {
    match micros {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3).replace(".0 ", " "),
        1_000_000..60_000_000 => format!("{:.1} s", micros as f64 / 1e6).replace(".0 ", " "),
        _ => parts(micros / 1_000_000),
    }
}

fn parts(seconds: u64) -> String {
    let (days, hours, minutes, seconds) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let named = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")];
    let first = named.iter().position(|(number, _)| *number > 0).unwrap_or(3);
    let shown = named[first..].iter().take(2).filter(|(number, _)| *number > 0);
    shown.map(|(number, unit)| format!("{number} {unit}")).collect::<Vec<_>>().join(" ")
}

/// Bytes, in powers of ten as the strategy's limits are.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.95 && unit < UNITS.len() - 1 {
        value /= 1e3;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Thousandths as per cent.
pub fn permille(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
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

/// How long an incident lasted.
pub fn lasted(incident: &Incident) -> String {
    match incident.end {
        None => "goes on".to_owned(),
        Some(end) if end <= incident.start => "a moment".to_owned(),
        Some(end) => duration(end.0.since(incident.start.0).get()),
    }
}

/// A measure's value in its unit.
pub fn of_measure(measure: Measure, value: u64) -> String {
    in_unit(measure.unit(), value)
}

/// A value in a unit.
pub fn in_unit(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Micros => duration(value),
        Unit::Permille => permille(value),
        Unit::Bytes => bytes(value),
        Unit::BytesPerHour => format!("{}/h", bytes(value)),
        Unit::Count => value.to_string(),
    }
}

/// A measure's name for people.
pub fn name_of(measure: Measure) -> &'static str {
    match measure {
        Measure::ServersDownTime => "down",
        Measure::ServersDisconnections => "disconnections",
        Measure::ServersSlowestRecovery => "slowest recovery",
        Measure::ServersToolChanges => "changes",
        Measure::GeminiFailedShare => "failed rounds per call",
        Measure::GeminiNotFallenBack => "not fallen back",
        Measure::CallsFailedShare => "failed calls",
        Measure::CallsMean | Measure::CpuMean | Measure::ApiMean => "mean",
        Measure::LogLosses => "losses",
        Measure::LogGrowthPerDay => "a day",
        Measure::CpuPeak => "peak",
        Measure::MemoryHostMean => "mean of the host's",
        Measure::MemoryHostPeak => "peak of the host's",
        Measure::MemoryLimitPeak => "peak of the limit",
        Measure::HubDownTime => "not answering",
        Measure::HubEnds => "ends of the process",
        Measure::ErrorsShare => "failed operations",
        Measure::SessionsLeftOpen => "sessions left open",
        Measure::SessionsNotIsolated => "not isolated",
        Measure::GeminiMean => "mean of Gemini's part",
        Measure::CallsInvalid => "invalid responses",
        Measure::CallsNotificationsFailed => "failed notifications",
        Measure::CallsP95 | Measure::ApiP95 => "95 of 100 within",
        Measure::CallsP99 | Measure::ApiP99 => "99 of 100 within",
        Measure::ApiMax => "longest",
        Measure::LogErrors => "error lines",
        Measure::MemoryPeak => "peak",
        Measure::MemoryLeak => "leak",
        Measure::MemoryGrowing => "growth",
        Measure::ClientsPeak => "clients at once",
        Measure::LoadApiMean => "mean under load",
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
