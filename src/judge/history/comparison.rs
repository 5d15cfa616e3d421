//! The meta-tool calls of scenarios: as their clients measured them, beside what the hub's log says of the same calls.
//!
//! The log does not name the client of a call. So the calls that began in a scenario's planned windows are taken for the scenario's
//! own, if they are exactly as many as its clients measured. For a scenario that announces no window (`soak`) these are all calls
//! outside of windows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Planned;
use super::scenarios::ClientFigures;
use crate::judge::exact::Exact;
use crate::judge::planned::Span;
use crate::watch::{CallEnded, CallOutcome, Timestamp, terms};

/// Maximum number of calls in planned windows that are kept for the comparison.
const MAX_CALLS: usize = 10_000;

/// A report names a difference that is larger than this (thousandths).
const TELLING: u64 = 20;

terms! {
    /// Which calls of the hub's log were compared with those of the clients.
    pub enum CallMatch {
        /// Those that began in the scenario's planned windows.
        Windows = "windows",
        /// All calls outside of planned windows: the scenario announces none.
        OutsideWindows = "outside_windows",
        /// None: the log shows no call of the scenario.
        NotVisible = "not_visible",
        /// None: the log shows another number of calls, so they are not the same ones.
        OtherCalls = "other_calls",
        /// None: too many calls were made in planned windows.
        TooMany = "too_many",
    }
}

/// The mean duration of the same calls, from both sides. Failed calls have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallComparison {
    /// Calls that the clients measured.
    pub client_calls: u64,
    /// Their mean duration, to the nearest µs.
    pub client_mean_us: u64,
    /// Calls that the hub's log shows: ended as `ok` or `fallback`, with a known duration.
    pub hub_calls: u64,
    /// Their mean duration, to the nearest µs.
    pub hub_mean_us: Option<u64>,
    /// Which calls of the log were taken for the scenario's own.
    pub matched: CallMatch,
    /// By how much the clients' mean is longer, in thousandths of the hub's; less than zero where it is shorter. Absent where the calls
    /// are not the same ones.
    pub difference_permille: Option<i64>,
    /// Whether the difference is more than 2 %.
    pub differs: bool,
}

/// The calls that the hub's log shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HubCalls {
    /// When each call in a planned window began, and its duration in µs.
    planned: Vec<(Timestamp, u64)>,
    left_out: bool,
    unplanned: u64,
    unplanned_us: u128,
}

impl HubCalls {
    pub(super) fn take(&mut self, call: &CallEnded, planned: Planned<'_>) {
        let Some(duration) = call.duration.filter(|_| matches!(call.outcome, CallOutcome::Ok | CallOutcome::Fallback)) else {
            return;
        };
        if planned.is_none() {
            self.unplanned += 1;
            self.unplanned_us += u128::from(duration.get());
        } else if self.planned.len() < MAX_CALLS {
            self.planned.push((call.started, duration.get()));
        } else {
            self.left_out = true;
        }
    }

    /// Compares the calls of a scenario with those in its windows; `None` if its clients measured none.
    pub(super) fn compare(&self, clients: &ClientFigures, windows: &[Span]) -> Option<CallComparison> {
        let client_mean_us = clients.mean().map(Exact::rounded)?;
        let inside = |(began, _): &&(Timestamp, u64)| windows.iter().any(|(from, to)| from <= began && began <= to);
        let (matched, hub_calls, sum) = if windows.is_empty() {
            (CallMatch::OutsideWindows, self.unplanned, self.unplanned_us)
        } else {
            let calls = self.planned.iter().filter(inside);
            let (calls, sum) = calls.fold((0, 0), |(calls, sum), (_, took)| (calls + 1, sum + u128::from(*took)));
            (CallMatch::Windows, calls, sum)
        };
        let hub_mean_us = Exact::mean(sum, hub_calls).map(Exact::rounded);
        let matched = match hub_calls {
            _ if self.left_out && matched == CallMatch::Windows => CallMatch::TooMany,
            0 => CallMatch::NotVisible,
            calls if calls != clients.timed() => CallMatch::OtherCalls,
            _ => matched,
        };
        let same = matches!(matched, CallMatch::Windows | CallMatch::OutsideWindows);
        let hub = hub_mean_us.filter(|mean| same && *mean > 0);
        let apart = |hub: u64| u128::from(client_mean_us.abs_diff(hub)) * 1_000;
        let difference = hub.map(|hub| {
            let permille = i64::try_from(apart(hub) / u128::from(hub)).unwrap_or(i64::MAX);
            if client_mean_us < hub { -permille } else { permille }
        });
        Some(CallComparison {
            client_calls: clients.timed(),
            client_mean_us,
            hub_calls,
            hub_mean_us,
            matched,
            difference_permille: difference,
            differs: hub.is_some_and(|hub| apart(hub) > u128::from(hub) * u128::from(TELLING)),
        })
    }
}
