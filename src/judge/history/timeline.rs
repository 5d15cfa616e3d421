//! Whether something worked, stretch by stretch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judge::moment::Moment;
use crate::watch::{Liveness, Timestamp};

/// More changes than this are not kept one by one: what flaps for days is told by its count.
pub const MAX_STRETCHES: usize = 2_000;

/// A stretch of one liveness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LivenessStretch {
    /// From when.
    pub from: Moment,
    /// To when.
    pub to: Moment,
    /// How it was.
    pub liveness: Liveness,
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
    /// From `at` on it is so.
    pub(super) fn is(&mut self, at: Moment, liveness: Liveness, reason: &str) {
        let full = self.stretches.len() >= MAX_STRETCHES;
        match self.stretches.last_mut() {
            Some(last) if last.liveness == liveness => last.to = last.to.max(at),
            Some(last) if full => {
                last.to = last.to.max(at);
                self.untold += 1;
            }
            last => {
                let from = last.map_or(at, |last| {
                    last.to = at.max(last.from);
                    last.to
                });
                self.stretches.push(LivenessStretch { from, to: from, liveness, reason: reason.to_owned() });
            }
        }
    }

    /// Nobody watched from `at` on: what was before is not known to go on.
    pub(super) fn unseen(&mut self, at: Timestamp) {
        if !self.stretches.is_empty() {
            self.is(Moment(at), Liveness::Unknown, "nobody watched");
        }
    }

    /// The last stretch lasts until the end.
    pub(super) fn lasts_until(&mut self, end: Timestamp) {
        if let Some(last) = self.stretches.last_mut() {
            last.to = last.to.max(Moment(end));
        }
    }
}
