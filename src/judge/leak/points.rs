//! The floors that models are fitted to.

/// The floor of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// When memory was at this floor: hours since the first point.
    pub time: f64,
    /// How old the process was then, in hours.
    pub age: f64,
    /// The floor, in bytes.
    pub floor: f64,
    /// The mean number of connected MCP clients.
    pub clients: f64,
    /// Operations since the watch began.
    pub operations: f64,
}

/// The floors of one or several processes, each process ("life") after the one before.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Points {
    /// In the order of time.
    pub all: Vec<Point>,
    /// Where in `all` each life begins.
    pub begins: Vec<usize>,
}

impl Points {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// From the first to the last point, in hours.
    pub(super) fn span(&self) -> f64 {
        self.all.last().map_or(0.0, |last| last.time)
    }

    /// Each life's points, as a range of `all`.
    pub(super) fn lives(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let ends = self.begins.iter().skip(1).copied().chain([self.all.len()]);
        self.begins.iter().copied().zip(ends).map(|(from, to)| from..to)
    }

    /// For each point, when its life was first seen.
    pub(super) fn first_seen(&self) -> Vec<f64> {
        self.lives().flat_map(|life| std::iter::repeat_n(self.all[life.start].time, life.len())).collect()
    }

    /// The longest time for which one life was watched, in hours.
    pub(super) fn longest_life(&self) -> f64 {
        self.lives().map(|life| self.all[life.end - 1].time - self.all[life.start].time).fold(0.0, f64::max)
    }
}
