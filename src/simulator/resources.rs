//! Resource usage of the hub's process: shaped like Node's heap and event loop, and a pure function of virtual time.

use super::random::mix;
use crate::watch::{Micros, Timestamp};

const IDLE_RSS: u64 = 88 * 1024 * 1024;
const SAWTOOTH_BYTES: u64 = 12 * 1024 * 1024;
const SAWTOOTH_SECS: u64 = 420;
const NOISE_BYTES: u64 = 768 * 1024;
const BYTES_PER_CLIENT: u64 = 640 * 1024;
const MICROS_PER_HOUR: u128 = 3_600_000_000;

/// CPU time and memory, piecewise linear between the steps that change their rates.
#[derive(Clone, Debug)]
pub(super) struct Resources {
    seed: u64,
    since: Timestamp,
    cpu: Micros,
    permille: u32,
    leaked: u64,
    leak_per_hour: u64,
}

impl Resources {
    /// Starts a new process. The rates survive a restart, because they belong to the build.
    pub(super) fn new(seed: u64, at: Timestamp, permille: u32, leak_per_hour: u64) -> Self {
        Self { seed, since: at, cpu: Micros::new(0), permille, leaked: 0, leak_per_hour }
    }

    pub(super) fn set_rates(&mut self, at: Timestamp, permille: u32, leak_per_hour: u64) {
        self.cpu = self.cpu_at(at);
        self.leaked = self.leaked_at(at);
        self.since = at;
        self.permille = permille;
        self.leak_per_hour = leak_per_hour;
    }

    /// Adds working time.
    pub(super) fn work(&mut self, micros: u64) {
        self.cpu = Micros::new(self.cpu.get() + micros);
    }

    pub(super) fn cpu_at(&self, at: Timestamp) -> Micros {
        Micros::new(self.cpu.get() + at.since(self.since).get() * u64::from(self.permille) / 1_000)
    }

    pub(super) fn rss_at(&self, at: Timestamp, clients: usize) -> u64 {
        let secs = at.get() / 1_000_000;
        let sawtooth = SAWTOOTH_BYTES * (secs % SAWTOOTH_SECS) / SAWTOOTH_SECS;
        let noise = mix(self.seed ^ (secs / 10)) % NOISE_BYTES;
        IDLE_RSS + sawtooth + noise + self.leaked_at(at) + BYTES_PER_CLIENT * clients as u64
    }

    fn leaked_at(&self, at: Timestamp) -> u64 {
        let grown = u128::from(self.leak_per_hour) * u128::from(at.since(self.since).get()) / MICROS_PER_HOUR;
        self.leaked.saturating_add(u64::try_from(grown).unwrap_or(u64::MAX))
    }
}
