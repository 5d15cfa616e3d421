//! The sidecar's own memory and CPU usage.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::watch::{Bytes, Micros};

/// Reads the usage of this process.
#[derive(Debug)]
pub struct OwnProcess {
    system: System,
    pid: Pid,
    reported: Micros,
}

/// The usage of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnUse {
    /// Resident memory.
    pub rss: Bytes,
    /// Peak since the process began, if the system reports it.
    pub rss_peak: Option<Bytes>,
    /// CPU time since the last reading, or since the process began.
    pub cpu_time: Micros,
}

impl OwnProcess {
    /// Creates a reader; returns `None` if the process table can't be read.
    pub fn new() -> Option<Self> {
        Some(Self { system: System::new().ok()?, pid: sysinfo::get_current_pid().ok()?, reported: Micros::default() })
    }

    /// Reads the current usage.
    pub fn read(&mut self) -> Option<OwnUse> {
        let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), true, kind);
        let process = self.system.process(self.pid)?;
        let used = Micros::new(process.accumulated_cpu_time().saturating_mul(1_000));
        let cpu_time = Micros::new(used.get().saturating_sub(std::mem::replace(&mut self.reported, used).get()));
        Some(OwnUse { rss: Bytes::new(process.memory()), rss_peak: rss_peak(), cpu_time })
    }
}

/// Reads the kernel's high-water mark (Linux).
fn rss_peak() -> Option<Bytes> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes::new(kib.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_its_peak_is_not_lower() {
        let mut own = OwnProcess::new().unwrap();
        let first = own.read().unwrap();
        assert!(first.rss.get() > 0);
        let second = own.read().unwrap();
        assert!(second.rss_peak.is_none_or(|peak| peak >= first.rss));
        // Only the CPU time in between.
        assert!(second.cpu_time <= Micros::new(60_000_000));
    }
}
