//! What the hub's next answer says of the times and durations that lines stated by its clock.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::hub::facts::{Evidence, PendingFact};
use crate::hub::interpret::Interpreter;
use crate::hub::sources::stated::{Basis, Stated};
use crate::watch::{CallEnded, CallFact, FactKind, RecordUid, TraceId};

use super::EndedCall;

/// The lines and calls of this interval whose times and durations stand on something else than the clock that the last answer showed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// A set clock takes nothing from these.
    by_reading: Vec<TraceId>,
    /// Only an answer can tell whether these are right.
    late: Vec<TraceId>,
    /// Lines with facts that were read long after the time that they state: the clock may have been set back.
    #[serde(default)]
    late_lines: Vec<(RecordUid, Stated)>,
    /// The same of the lines that began calls which have ended since.
    #[serde(default)]
    late_beginnings: Vec<(TraceId, Stated)>,
}

impl Measured {
    fn take(&mut self, call: &EndedCall) {
        match call.basis {
            Some(Basis::Reading) => self.by_reading.push(call.fact.trace),
            Some(Basis::LateByClock) => self.late.push(call.fact.trace),
            Some(Basis::Clock) | None => {}
        }
        self.late_beginnings.extend(call.begun.filter(Stated::is_late).map(|begun| (call.fact.trace, begun)));
    }
}

impl Interpreter {
    pub(super) fn measured(&mut self, calls: &[EndedCall]) {
        calls.iter().for_each(|call| self.measured.take(call));
    }

    /// An answer of the hub has shown its clock.
    pub(in crate::hub) fn durations_checked(&mut self, clock_was_set: bool) {
        self.measured.late.clear();
        if clock_was_set {
            // After a long absence there may be very many.
            let by_reading: HashSet<TraceId> = self.measured.by_reading.iter().copied().collect();
            forget(&mut self.facts, |call| !by_reading.contains(&call.trace));
            self.correct_late_lines();
        }
    }

    /// What seemed late was written by the clock that was set back.
    fn correct_late_lines(&mut self) {
        let late_lines: HashMap<RecordUid, Stated> = self.measured.late_lines.iter().copied().collect();
        let late_beginnings: HashMap<TraceId, Stated> = self.measured.late_beginnings.iter().copied().collect();
        for fact in &mut self.facts {
            let Evidence::Line(record, _) = fact.evidence else { continue };
            if let Some(stated) = late_lines.get(&record) {
                fact.when = stated.corrected(&self.clocks).1;
            }
            if let FactKind::Call(CallFact::CallEnded(call)) = &mut fact.kind
                && let Some(begun) = late_beginnings.get(&call.trace)
            {
                call.started = begun.corrected(&self.clocks).1.latest();
            }
        }
        self.calls.correct_late_lines(&self.clocks);
    }

    /// A line that may have been written by a clock that was set back has led to facts.
    pub(in crate::hub) fn dated_late(&mut self, record: RecordUid, stated: Stated) {
        self.measured.late_lines.push((record, stated));
    }

    /// The facts go out: what no answer has confirmed stays unknown.
    pub(in crate::hub) fn durations_go_out(&mut self) {
        let Measured { late, .. } = std::mem::take(&mut self.measured);
        if !late.is_empty() && !self.takes_lines_alone() {
            let late: HashSet<TraceId> = late.into_iter().collect();
            forget(&mut self.facts, |call| late.contains(&call.trace));
        }
    }
}

fn forget(facts: &mut [PendingFact], of: impl Fn(&CallEnded) -> bool) {
    for fact in facts {
        if let FactKind::Call(CallFact::CallEnded(call)) = &mut fact.kind
            && of(call)
        {
            (call.duration, call.gemini_duration) = (None, None);
        }
    }
}
