//! The strategy's four phases, each with what happened in it: summed up from facts and polls by the rules by which the period's own
//! figures are, so that the phases add up to the period.
//!
//! A fact counts in the phase in which it happened, a Watch's poll and volumes in that in which the Watch ends. What happens at the very
//! instant between two phases belongs to the earlier one. The first phase begins with the watch, also where its hours count from a
//! later baseline; the last one lasts until the end of what the watch reached: up to the period's end if a Watch lies beyond it.

use crate::judge::exact::Exact;
use crate::judge::moment::Moment;
use crate::watch::{CallFact, Level, LogFact, Micros, Timestamp, Watch};

const HOUR_US: u64 = 3600 * 1_000_000;

/// The phases by the hours in which they begin.
pub const PHASES: [(&str, u64); 4] =
    [("Initial validation", 0), ("Continuous monitoring", 2), ("Stress testing", 24), ("Long-term stability", 36)];

/// Where one cell ends and the next begins, in hours: the first hour stands for a baseline that was not measured.
const CUTS: [u64; 4] = [1, 2, 24, 36];

/// The cells that a phase is made of.
const CELLS: [std::ops::Range<usize>; 4] = [0..2, 2..3, 3..4, 4..5];

/// What happened in a stretch of the period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PhaseFigures {
    /// Processor time that the hub's process used, and the time over which it did (µs). As in the period's own mean, planned
    /// disturbances are left out; so they are in the memory and the API's answers.
    pub cpu: Sum,
    /// Resident memory, and the polls at which it was seen.
    pub rss: Sum,
    /// The time that the API took (µs), and its answers.
    pub api: Sum,
    /// Meta-tool calls that ended.
    pub calls: u64,
    /// Lines of level error.
    pub error_lines: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
}

/// A sum and what it is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// The sum.
    pub sum: u128,
    /// Over how much.
    pub over: u128,
}

impl Sum {
    /// A sum so far.
    pub fn new(sum: impl Into<u128>, over: impl Into<u128>) -> Self {
        Self { sum: sum.into(), over: over.into() }
    }

    /// The mean, of which `scale` are one, to the nearest; `None` over nothing.
    pub fn mean(self, scale: u128) -> Option<u64> {
        Exact::of(self.sum.saturating_mul(scale), self.over).map(Exact::rounded)
    }

    fn grew(&mut self, before: Self, now: Self) {
        self.sum = self.sum.saturating_add(now.sum.saturating_sub(before.sum));
        self.over = self.over.saturating_add(now.over.saturating_sub(before.over));
    }

    fn add(&mut self, other: Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.over = self.over.saturating_add(other.over);
    }
}

impl PhaseFigures {
    fn add(&mut self, other: &Self) {
        self.cpu.add(other.cpu);
        self.rss.add(other.rss);
        self.api.add(other.api);
        self.calls = self.calls.saturating_add(other.calls);
        self.error_lines = self.error_lines.saturating_add(other.error_lines);
        self.log_bytes = self.log_bytes.saturating_add(other.log_bytes);
    }
}

/// What polls have come to so far: each phase gets what is added in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Polled {
    pub cpu: Sum,
    pub rss: Sum,
    pub api: Sum,
}

/// The phases of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phases {
    /// From when the hours count.
    start: Option<Timestamp>,
    /// The beginning of the first Watch.
    first: Option<Timestamp>,
    /// How far the watch reaches in the period.
    end: Option<Timestamp>,
    cells: [PhaseFigures; 5],
}

impl Phases {
    pub(super) fn new(start: Option<Timestamp>) -> Self {
        Self { start, ..Self::default() }
    }

    /// The watch begins.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.first.get_or_insert(at);
        self.start.get_or_insert(at);
    }

    fn place(&self, at: Timestamp) -> usize {
        let start = self.start.unwrap_or(at);
        CUTS.iter().filter(|hours| start.plus(Micros::new(**hours * HOUR_US)) < at).count()
    }

    fn cell(&mut self, at: Timestamp) -> &mut PhaseFigures {
        let place = self.place(at);
        &mut self.cells[place]
    }

    /// Takes in the volumes of a Watch.
    pub(super) fn watch(&mut self, watch: &Watch) {
        let cell = self.cell(watch.interval.end());
        cell.log_bytes = cell.log_bytes.saturating_add(watch.log.bytes.get());
    }

    /// Takes in what a poll added.
    pub(super) fn polled(&mut self, at: Timestamp, before: Polled, now: Polled) {
        let cell = self.cell(at);
        cell.cpu.grew(before.cpu, now.cpu);
        cell.rss.grew(before.rss, now.rss);
        cell.api.grew(before.api, now.api);
    }

    /// Counts the calls that ended.
    pub(super) fn call(&mut self, fact: &CallFact, at: Timestamp) {
        if let CallFact::CallEnded(_) = fact {
            self.cell(at).calls += 1;
        }
    }

    /// Counts the lines of level error.
    pub(super) fn log(&mut self, fact: &LogFact, at: Timestamp) {
        if let LogFact::Lines(lines) = fact
            && lines.level == Level::Error
        {
            let cell = self.cell(at);
            cell.error_lines = cell.error_lines.saturating_add(lines.count.get());
        }
    }

    /// The watch reached so far in the period.
    pub(super) fn finish(&mut self, end: Timestamp) {
        self.end = Some(end);
    }

    /// The phases that the watch reached, and from when to when.
    fn stretches(&self) -> Vec<(usize, Timestamp, Timestamp)> {
        let (Some(start), Some(first), Some(end)) = (self.start, self.first, self.end) else { return Vec::new() };
        let begin = |index: usize| PHASES.get(index).map(|(_, hour)| start.plus(Micros::new(hour * HOUR_US)));
        let phases = (0..PHASES.len()).filter_map(|index| {
            let from = if index == 0 { first } else { begin(index)?.max(first) };
            let to = begin(index + 1).map_or(end, |next| next.min(end));
            (from < to).then_some((index, from, to))
        });
        phases.collect()
    }

    /// The phases that the watch reached: the number of each, from when to when, and what happened in it. What a Watch tells of a phase
    /// that the watch did not reach counts in the nearest one: what a log had in it before the first Watch.
    pub fn reached(&self) -> Vec<(usize, Moment, Moment, PhaseFigures)> {
        let stretches = self.stretches();
        let mut phases: Vec<_> =
            stretches.iter().map(|(index, from, to)| (*index, Moment(*from), Moment(*to), PhaseFigures::default())).collect();
        for (index, cells) in CELLS.iter().enumerate() {
            if let Some((.., figures)) = phases.iter_mut().min_by_key(|(reached, ..)| reached.abs_diff(index)) {
                self.cells[cells.clone()].iter().for_each(|cell| figures.add(cell));
            }
        }
        phases
    }

    /// The reached phase to which an instant belongs: its own, or the nearest one.
    pub fn of(&self, at: Timestamp) -> Option<usize> {
        let place = self.place(at);
        let own = CELLS.iter().position(|cells| cells.contains(&place)).unwrap_or(0);
        self.stretches().iter().map(|(index, ..)| *index).min_by_key(|index| index.abs_diff(own))
    }

    /// The first hour, where the hours count from the first Watch.
    pub fn first_hour(&self) -> Option<PhaseFigures> {
        (self.start.is_some() && self.start == self.first).then_some(self.cells[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_at_the_instant_between_two_phases_belongs_to_the_earlier_one() {
        let mut phases = Phases::default();
        let hour = |hour: u64| Timestamp::from_secs(1_000_000).plus(Micros::new(hour * HOUR_US));
        phases.begin(hour(0));
        phases.finish(hour(48));
        let next = |at: Timestamp| at.plus(Micros::new(1));
        assert_eq!(
            [hour(0), hour(2), next(hour(2)), hour(24), next(hour(24)), hour(48)].map(|at| phases.of(at)),
            [0, 0, 1, 1, 2, 3].map(Some)
        );
        phases.finish(hour(30));
        let reached: Vec<_> = phases.reached().iter().map(|(index, from, to, _)| (*index, from.0, to.0)).collect();
        assert_eq!(reached, [(0, hour(0), hour(2)), (1, hour(2), hour(24)), (2, hour(24), hour(30))]);
    }
}
