//! Whether something worked, stretch by stretch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CountsAs;
use crate::judge::moment::Moment;
use crate::watch::Liveness;

/// Maximum number of changes; a server that flaps for days is reported by its count.
pub const MAX_STRETCHES: usize = 2_000;

/// A stretch of one liveness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LivenessStretch {
    /// From when.
    pub from: Moment,
    /// To when; the last one lasts until the end of the watch or the period.
    pub to: Moment,
    /// How it was.
    pub liveness: Liveness,
    /// What that counts as. Reports of earlier versions don't say it.
    #[serde(default)]
    pub counts_as: CountsAs,
    /// Why we think so.
    pub reason: String,
}

/// The stretches, one after the other without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// The stretches.
    pub stretches: Vec<LivenessStretch>,
    /// Changes beyond [`MAX_STRETCHES`], which are not among them.
    pub untold: u64,
}

impl Timeline {
    /// Cuts at the end of the period: a clock that was ahead for a while has given later times.
    pub(super) fn end(&mut self, end: Moment) {
        self.stretches.retain(|stretch| stretch.from < end || stretch.to <= end);
        if let Some(last) = self.stretches.last_mut() {
            last.to = last.to.min(end);
        }
    }

    /// Makes room from the first instant to the second: a clock that was set back shows that time again, and what is known of it
    /// last stays. Gives what stands after it.
    fn make_room(&mut self, from: Moment, to: Moment) -> Vec<LivenessStretch> {
        let first = self.stretches.partition_point(|stretch| stretch.to <= from);
        let mut after = self.stretches.split_off(first);
        if let Some(cut) = after.first().filter(|stretch| stretch.from < from) {
            self.stretches.push(LivenessStretch { to: from, ..cut.clone() });
        }
        after.retain(|stretch| stretch.to > to);
        if let Some(cut) = after.first_mut() {
            cut.from = cut.from.max(to);
        }
        after
    }

    /// From the first instant to the second it was so. Stretches come in order, unless the clock was set back.
    pub(super) fn add(&mut self, from: Moment, to: Moment, how: (Liveness, CountsAs), reason: &str) {
        let is_back = self.stretches.last().is_some_and(|last| from < last.to);
        // An unknown state does not replace a known one.
        if is_back && how.0 == Liveness::Unknown {
            return;
        }
        let after = if is_back { self.make_room(from, to) } else { Vec::new() };
        self.append(from, to, how, reason);
        self.stretches.extend(after);
    }

    fn append(&mut self, from: Moment, to: Moment, (liveness, counts_as): (Liveness, CountsAs), reason: &str) {
        let full = self.stretches.len() >= MAX_STRETCHES;
        match self.stretches.last_mut() {
            Some(last) if last.liveness == liveness && last.counts_as == counts_as && last.to == from => last.to = to,
            Some(_) if full => self.untold += 1,
            _ => self.stretches.push(LivenessStretch { from, to, liveness, counts_as, reason: reason.to_owned() }),
        }
    }
}

/// Maximum bytes of reasons: a state whose reason changes often keeps the first ones.
const MAX_REASON: usize = 512;

/// Adds what came after the first reason, once.
pub(in crate::judge) fn add_reason(reasons: &mut String, reason: &str) {
    if !reasons.contains(reason) && reasons.len() + reason.len() <= MAX_REASON {
        reasons.push_str("; then ");
        reasons.push_str(reason);
    }
}
