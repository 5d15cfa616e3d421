//! Verdicts on Watches: pure.
