//! How memory wanders about its course: persistent deviations plus independent ones.
//!
//! The deviation at a point is `d = p + w`. `p` is an Ornstein-Uhlenbeck process (AR(1) at irregular times): the correlation between
//! two points is `exp(-gap / time)`. Its variance is scaled so that two points one span apart differ by a variance of 2, whatever
//! `time` is; a `time` far beyond the span makes it a random walk. `w` is independent with variance `white`. The common scale of both
//! is estimated. Whitening is the Kalman filter of this model: it turns the points of each life into innovations of variance 1.

/// One kind of deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// How long a persistent deviation lasts, in hours; zero where there is none.
    pub time: f64,
    /// The variance of the persistent part.
    persistent: f64,
    /// The variance of the independent part.
    white: f64,
}

impl Noise {
    fn new(time: f64, white: f64, span: f64) -> Self {
        Self { time, persistent: 1.0 / -(-span / time).exp_m1(), white }
    }

    /// Every kind that is considered for points that lie `gap` apart over `span` (hours): persistence from one gap to a random walk,
    /// evenly spaced on a logarithmic scale, each with shares of independent noise.
    pub(super) fn grid(gap: f64, span: f64) -> Vec<Self> {
        const WHITE: [f64; 4] = [0.0, 0.01, 0.1, 1.0];
        let mut all = vec![Self { time: 0.0, persistent: 0.0, white: 1.0 }];
        let mut time = gap;
        while time < span * 0.7 {
            all.extend(WHITE.iter().map(|white| Self::new(time, *white, span)));
            time *= 2.5;
        }
        all.extend(WHITE.iter().map(|white| Self::new(span, *white, span)));
        all.extend(WHITE.iter().map(|white| Self::new(span * 10.0, *white, span)));
        all
    }
}

/// What the filter does at a point, whatever the values are.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// What remains of the persistent deviation since the point before; zero at the beginning of a life.
    kept: f64,
    gain: f64,
    scale: f64,
}

/// The filter of one kind of noise for given points.
#[derive(Debug)]
pub(super) struct Filter {
    steps: Vec<Step>,
    /// The logarithm of the determinant of the points' covariance.
    pub log_determinant: f64,
}

impl Filter {
    /// Prepares the filter for points at `times` (hours), with a new life at each index in `begins`.
    pub(super) fn new(noise: &Noise, times: &[f64], begins: &[usize]) -> Self {
        let mut steps = Vec::with_capacity(times.len());
        let (mut variance, mut log_determinant) = (0.0, 0.0);
        for (index, time) in times.iter().enumerate() {
            let first = begins.binary_search(&index).is_ok();
            let kept = if first || noise.time <= 0.0 { 0.0 } else { (-(time - times[index - 1]) / noise.time).exp() };
            let predicted = kept * kept * variance + noise.persistent * (1.0 - kept * kept);
            let innovation = (predicted + noise.white).max(1e-12);
            let gain = predicted / innovation;
            variance = predicted * (1.0 - gain);
            log_determinant += innovation.ln();
            steps.push(Step { kept, gain, scale: 1.0 / innovation.sqrt() });
        }
        Self { steps, log_determinant }
    }

    /// The innovations of values that lie row by row, `width` of them for each point: all columns are filtered at once.
    pub(super) fn whiten(&self, rows: &[f64], width: usize) -> Vec<f64> {
        let mut innovations = Vec::with_capacity(rows.len());
        let mut states = vec![0.0; width];
        for (step, row) in self.steps.iter().zip(rows.chunks_exact(width.max(1))) {
            innovations.extend(states.iter_mut().zip(row).map(|(state, value)| {
                let predicted = step.kept * *state;
                let innovation = value - predicted;
                *state = predicted + step.gain * innovation;
                innovation * step.scale
            }));
        }
        innovations
    }
}
