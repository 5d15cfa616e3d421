//! What the floors come to.

use super::LeakRules;
use super::models::{Findings, weigh};
use super::teeth::bottoms;
use super::windows::Windows;
use crate::watch::terms;

terms! {
    /// What became of a process's memory.
    pub enum Growth {
        /// It does not grow.
        Steady = "steady",
        /// It grew, and that is over: a step, a cache that is full.
        Settled = "settled",
        /// It grows, but whether that goes on can't be told in this time: a cache that fills looks the same.
        Growing = "growing",
        /// It deviates so much that a leak could hide in it.
        Unclear = "unclear",
        /// It grows and grows.
        Leaking = "leaking",
        /// It was not watched for long enough.
        TooShort = "too_short",
    }
}

impl Growth {
    /// Whether it says that there is a leak.
    pub const fn is_leak(self) -> bool {
        matches!(self, Self::Leaking)
    }

    /// Whether it says that there is a leak, or that there is none.
    pub const fn is_decided(self) -> bool {
        matches!(self, Self::Steady | Self::Settled | Self::Leaking)
    }
}

/// A window of which less was seen (per cent of what is usual) has no floor.
const SEEN: u64 = 70;

/// A leak is reported when it is this likely, over all noises and courses: about two to one. Higher, and leaks of 2 % an hour under
/// noise that lasts for hours are missed more often than in 1 of 20; lower, and slow caches are called leaks more often than that.
const SURE: f64 = 0.7;

/// … and the last third more likely than not goes on at half the pace at least.
const KEEPS_PACE: f64 = 0.5;

/// A day of five-minute floors. With fewer and wider ones a curve that slows down is told from a warm-up and a leak less often; more cost
/// time.
const MAX_POINTS: u64 = 290;

/// The bottoms of teeth are believed instead of all floors if they make the interval narrower by this: most floors lay on teeth then.
/// Without such a bound the luckier of the two would be chosen.
const MUCH_NARROWER: f64 = 0.7;

/// Few floors look surer than they are: an interval counts as wider by this over their number.
const FEW_POINTS: f64 = 4.0;

/// How many half intervals a leak must amount to in order to be found: it must outweigh all other courses, not only noise.
const VISIBLE: f64 = 2.5;

/// Growth within lives that were all watched for less (hours) than this can't be told from a warm-up that each of them has: there it is no
/// leak, however often it is seen. Rules that ask for less time in all ask for no more here.
const SHORT_LIFE: f64 = 5.0;

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    /// What it comes to.
    pub growth: Growth,
    /// On what grounds; absent where there is too little.
    pub findings: Option<Findings>,
    /// The smallest leak (bytes an hour) that would have been found.
    pub visible: f64,
}

/// Decides on all floors; if these are inconclusive because of a sawtooth, on the bottoms of its teeth, if they are much surer.
pub(super) fn decide(windows: &Windows, rules: &LeakRules) -> Option<Decision> {
    let hours = windows.seen().get() as f64 / 3_600e6;
    let (first, last) = windows.ends()?;
    let floor = first as f64;
    let too_short = windows.seen() < rules.min_steady;
    let per_hour = |permille: u64, bytes: u64, hours: f64| (floor * permille as f64 / 1e3).max(bytes as f64) / hours;
    let least = per_hour(rules.min_growth_permille, rules.min_growth_bytes, hours);
    let tolerated = per_hour(rules.tolerated_permille_per_day, rules.tolerated_bytes_per_day, 24.0);
    if too_short {
        return Some(Decision { growth: Growth::TooShort, findings: None, visible: 0.0 });
    }
    let points = windows.points(MAX_POINTS, SEEN);
    let long_enough = points.longest_life() >= SHORT_LIFE.min(rules.min_steady.get() as f64 / 3_600e6);
    let grew = last as f64 - floor >= least * hours;
    let judged = |findings| judged(findings, &Bounds { least, tolerated, long_enough, grew });
    let narrow = weigh(&points, least).map(judged);
    if narrow.as_ref().is_some_and(|decision| decision.growth.is_decided()) {
        return narrow;
    }
    let wide = bottoms(&points).and_then(|bottoms| weigh(&bottoms, least));
    let narrower = |wide: &Findings| {
        narrow.as_ref().and_then(|narrow| narrow.findings.as_ref()).is_none_or(|narrow| width(wide) < width(narrow) * MUCH_NARROWER)
    };
    let wide = wide.filter(narrower).map(judged);
    Some(wide.or(narrow).unwrap_or(Decision { growth: Growth::TooShort, findings: None, visible: 0.0 }))
}

fn width(findings: &Findings) -> f64 {
    (findings.high - findings.low) * (1.0 + FEW_POINTS / findings.points as f64)
}

/// What findings are held against.
struct Bounds {
    /// Less growth (bytes an hour) is no leak.
    least: f64,
    /// More (bytes an hour) is no pass.
    tolerated: f64,
    /// Whether a process lived for long enough to leak.
    long_enough: bool,
    /// Whether the last floors are higher than the first, by what counts.
    grew: bool,
}

fn judged(findings: Findings, bounds: &Bounds) -> Decision {
    // A pass is worse where it is wrong than a verdict that is put off: it needs 99 %, not 95 %.
    // Memory that is higher than at the beginning and falls all the time but for jumps took a course that was not thought of: it jumps up and
    // down more often than any model, and the falling line stands for the jumps that are missing.
    let odd = bounds.grew && findings.middle < -bounds.tolerated;
    let none = findings.highest <= bounds.tolerated && !odd;
    let growth = match () {
        () if bounds.long_enough && findings.leak >= SURE && findings.pace >= KEEPS_PACE => Growth::Leaking,
        () if none && (findings.course.is_level() || !bounds.grew) => Growth::Steady,
        () if none => Growth::Settled,
        () if findings.low > 0.0 => Growth::Growing,
        () => Growth::Unclear,
    };
    let visible = ((findings.high - findings.low) / 2.0 * VISIBLE).max(bounds.least);
    Decision { growth, findings: Some(findings), visible }
}
