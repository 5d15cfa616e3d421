//! How long to wait before the next try: each wait is twice the last one, up to a longest.

use std::time::Duration;

/// Doublings after which the longest wait is reached in any case; it keeps the arithmetic from overflowing.
const MOST_DOUBLINGS: u32 = 16;

/// Waits that grow.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits from the first to the longest.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait after so many failures in a row. Half of it is left to chance, so that many programs that lost the same peer don't all
    /// come back at once.
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(MOST_DOUBLINGS);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_the_first_to_the_longest_and_never_beyond() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(30));
        let waits = Backoff::new(first, longest);
        assert!((first / 2..=first).contains(&waits.after(0)));
        assert!((first / 2..=first).contains(&waits.after(1)));
        assert!((first..=first * 2).contains(&waits.after(2)));
        assert!((longest / 2..=longest).contains(&waits.after(6)));
        assert!((longest / 2..=longest).contains(&waits.after(u32::MAX)));
    }
}
