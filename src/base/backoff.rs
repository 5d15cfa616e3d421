//! Exponential backoff with jitter: each delay is twice the last one, up to a maximum.

use std::time::Duration;

/// Doublings after which the maximum is reached in any case; the limit prevents an overflow.
const MOST_DOUBLINGS: u32 = 16;

/// Retry delays that grow.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Creates delays between the first and the longest.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// Returns the delay after so many failures in a row. Half of it is random, so that many programs that lost the same peer don't
    /// all retry at once.
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
    fn delays_grow_from_the_first_to_the_longest_and_never_beyond() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(30));
        let waits = Backoff::new(first, longest);
        assert!((first / 2..=first).contains(&waits.after(0)));
        assert!((first / 2..=first).contains(&waits.after(1)));
        assert!((first..=first * 2).contains(&waits.after(2)));
        assert!((longest / 2..=longest).contains(&waits.after(6)));
        assert!((longest / 2..=longest).contains(&waits.after(u32::MAX)));
    }
}
