//! Random numbers, and how memory deviates from its course.

use std::f64::consts::TAU;

/// A small generator whose numbers are the same everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x0123_4567)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.share()).ln()).sqrt() * (TAU * self.share()).cos()
    }
}

/// How memory deviates from its course.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Noise {
    White,
    /// AR(1) with this coefficient for each step of so many polls; deviation 2 MB.
    Persistent(f64, usize),
    /// A random walk of 0.8 MB an hour.
    Walk,
    /// Teeth of 40 MB, so many hours long.
    Teeth(f64),
    /// Teeth of 15 to 55 MB.
    UnevenTeeth,
    /// A day's cycle of ±10 MB.
    Day,
    Spikes,
    /// Student's t with two degrees of freedom: now and then far below or above.
    Heavy,
    /// Only whole megabytes are known.
    Whole,
}

impl Noise {
    pub(super) const ALL: [Self; 13] = [
        Self::White,
        Self::Persistent(0.9, 20),
        Self::Persistent(0.97, 20),
        Self::Persistent(0.99, 20),
        Self::Persistent(0.99, 1),
        Self::Walk,
        Self::Teeth(1.0),
        Self::Teeth(3.0),
        Self::UnevenTeeth,
        Self::Day,
        Self::Spikes,
        Self::Heavy,
        Self::Whole,
    ];

    pub(super) fn name(self) -> String {
        match self {
            Self::White => "white noise".to_owned(),
            Self::Persistent(kept, 1) => format!("AR(1) {kept} a poll"),
            Self::Persistent(kept, _) => format!("AR(1) {kept} in 5 min"),
            Self::Walk => "random walk".to_owned(),
            Self::Teeth(hours) => format!("sawtooth of {hours} h"),
            Self::UnevenTeeth => "uneven sawtooth".to_owned(),
            Self::Day => "day and night".to_owned(),
            Self::Spikes => "spikes".to_owned(),
            Self::Heavy => "heavy tails".to_owned(),
            Self::Whole => "whole MB only".to_owned(),
        }
    }

    /// In megabytes, for each poll.
    pub(super) fn deviations(self, random: &mut Random, polls: usize) -> Vec<f64> {
        let begin = random.share();
        let mut state = 0.0;
        let mut top = 30.0;
        let hour = |poll: usize| poll as f64 / 240.0;
        let mut one = |poll: usize| match self {
            Self::White => random.normal() * 2.0,
            Self::Persistent(kept, every) => {
                if poll.is_multiple_of(every) {
                    state = kept * state + (1.0 - kept * kept).sqrt() * 2.0 * random.normal();
                }
                state
            }
            Self::Walk => {
                state += random.normal() * 0.05;
                state
            }
            Self::Teeth(hours) => (hour(poll) / hours + begin).fract() * 40.0 + random.normal(),
            Self::UnevenTeeth => {
                state += 0.08;
                if state > top {
                    (state, top) = (0.0, 15.0 + 40.0 * random.share());
                }
                state + random.normal()
            }
            Self::Day => ((hour(poll) / 24.0 + begin) * TAU).sin() * 10.0 + random.normal(),
            Self::Spikes => random.normal() + if random.share() < 0.02 { random.share() * 80.0 } else { 0.0 },
            Self::Heavy => random.normal() / (-(1.0 - random.share()).ln()).sqrt().max(0.02),
            Self::Whole => random.normal() * 0.5,
        };
        (0..polls).map(&mut one).collect()
    }
}
