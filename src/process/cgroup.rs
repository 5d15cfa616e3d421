//! Reads the cgroup (v2) of the hub's container, for hubs whose processes are not visible.

use std::path::{Path, PathBuf};

use super::{ApiProcess, HubProcess};
use crate::watch::{Bytes, Micros, ProcessPoll, Timestamp};

/// Reads a cgroup that is mounted as a folder.
#[derive(Debug)]
pub struct ControlGroup {
    folder: PathBuf,
    host_cpus: u32,
    host_memory: Bytes,
    /// PID and start time that the hub last reported: a cgroup has no identity of its own.
    known: Option<(u32, Timestamp)>,
    warned: bool,
}

impl ControlGroup {
    /// Creates a reader of this folder, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        let mut system = sysinfo::System::new().ok();
        let host_memory = system.as_mut().map_or(0, |system| {
            system.refresh_memory();
            system.total_memory()
        });
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            folder,
            host_cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            host_memory: Bytes::new(host_memory),
            known: None,
            warned: false,
        }
    }

    /// Returns the usage of all processes in the group; `None` before the hub has reported its PID, which alone shows a restart.
    pub fn read(&mut self, reported: ApiProcess) -> Option<HubProcess> {
        if let ApiProcess::Process(pid, started) = reported {
            self.known = Some((pid, started.unwrap_or_default()));
        }
        let usage = Usage::read(&self.folder);
        if usage.is_none() && !std::mem::replace(&mut self.warned, true) {
            let folder = self.folder.display();
            tracing::warn!(%folder, "the folder is not a cgroup (v2) with memory.stat and cpu.stat: the hub's memory and CPU are not visible; check the mount");
        }
        let (usage, (pid, started)) = (usage?, self.known?);
        let poll = ProcessPoll {
            pid,
            started,
            cpu_time: usage.cpu_time,
            rss: usage.resident,
            memory_limit: usage.limit,
            fds: None,
            threads: usage.threads,
            children: usage.processes.saturating_sub(1),
            host_cpus: self.host_cpus,
            host_memory: self.host_memory,
        };
        Some(HubProcess { poll, children: Vec::new(), auto_shutdown: false })
    }
}

/// The kernel's counters of a cgroup.
#[derive(Debug, PartialEq, Eq)]
struct Usage {
    cpu_time: Micros,
    /// Mapped memory: anonymous and file pages. The rest of the page cache is left out, because it grows with each file that is read.
    resident: Bytes,
    limit: Option<Bytes>,
    threads: Option<u32>,
    processes: u32,
}

impl Usage {
    fn read(folder: &Path) -> Option<Self> {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let memory = text("memory.stat")?;
        let mapped = ["anon", "file_mapped"].into_iter().filter_map(|key| value(&memory, key)).fold(0, u64::saturating_add);
        Some(Self {
            cpu_time: Micros::new(value(&text("cpu.stat")?, "usage_usec")?),
            resident: Bytes::new(mapped),
            // The file holds `max` if there is no limit.
            limit: text("memory.max").and_then(|limit| limit.trim().parse().ok()).map(Bytes::new),
            threads: text("pids.current").and_then(|threads| threads.trim().parse().ok()),
            processes: text("cgroup.procs").map_or(1, |processes| u32::try_from(processes.lines().count()).unwrap_or(u32::MAX)),
        })
    }
}

/// Reads a value from lines of the form `key value`.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates files as the kernel writes them (Documentation/admin-guide/cgroup-v2.rst).
    fn group(limit: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("memory.stat", "anon 50000000\nfile 900000000\nfile_mapped 7000000\nfile_dirty 0\n");
        file("memory.max", limit);
        file("cpu.stat", "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n");
        file("pids.current", "23\n");
        file("cgroup.procs", "0\n0\n0\n");
        folder
    }

    #[test]
    fn a_cgroup_is_read_as_the_hubs_process_once_the_hub_reported_its_pid() {
        let folder = group("268435456\n");
        let mut reader = ControlGroup::new(folder.path().to_owned());
        assert_eq!(reader.read(ApiProcess::Unknown), None);
        let started = Timestamp::from_secs(1_000);
        let process = reader.read(ApiProcess::Process(7, Some(started))).unwrap().poll;
        assert_eq!((process.pid, process.started, process.children), (7, started, 2));
        assert_eq!((process.rss, process.memory_limit), (Bytes::new(57_000_000), Some(Bytes::new(268_435_456))));
        assert_eq!((process.cpu_time, process.threads), (Micros::new(1_234_567), Some(23)));
        assert_eq!(reader.read(ApiProcess::Unknown).unwrap().poll.pid, 7, "a hub that does not answer is still the same one");
    }

    #[test]
    fn a_cgroup_without_a_limit_has_none_and_another_folder_shows_nothing() {
        let folder = group("max\n");
        assert_eq!(Usage::read(folder.path()).unwrap().limit, None);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(ControlGroup::new(empty.path().to_owned()).read(ApiProcess::Process(7, None)), None);
    }
}
