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

/// The words for a verdict, wherever one is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictWords {
    /// A sign, so that a verdict does not depend on colour.
    pub sign: &'static str,
    /// The same where pictures are read.
    pub emoji: &'static str,
    /// The name in a table.
    pub name: &'static str,
    /// The name in a headline.
    pub loud: &'static str,
    /// What it means for the build.
    pub means: &'static str,
}

/// Returns the words for a verdict.
pub const fn verdict(verdict: Verdict) -> VerdictWords {
    let (sign, emoji, name, loud, means) = match verdict {
        Verdict::Pass => ("✓", "✅", "pass", "PASS", "promote"),
        Verdict::Warn => ("!", "⚠️", "warn", "WARN", "promote, but check the warnings"),
        Verdict::Fail => ("✗", "❌", "FAIL", "FAIL", "do not promote"),
        Verdict::Inconclusive => ("?", "❔", "inconclusive", "NO VERDICT", "not enough data"),
        Verdict::NotApplicable => ("–", "➖", "not applicable", "NOT APPLICABLE", "nothing was judged"),
    };
    VerdictWords { sign, emoji, name, loud, means }
}

/// Returns a verdict as a headline: `FAIL: do not promote`.
pub fn headline(verdict: Verdict) -> String {
    let VerdictWords { loud, means, .. } = self::verdict(verdict);
    format!("{loud}: {means}")
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
    measure.label.replace("{}", value)
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
