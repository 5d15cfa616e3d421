//! The hub's container as its control group shows it (cgroup v2), where the hub's processes themselves can't be seen.

use std::path::{Path, PathBuf};

use super::{HubProcess, Said};
use crate::watch::{Bytes, Micros, ProcessPoll, Timestamp};

/// Reads a control group that is mounted as a folder.
#[derive(Debug)]
pub struct ControlGroup {
    folder: PathBuf,
    host_cpus: u32,
    host_memory: Bytes,
    /// What the hub last said of itself: a group has no identity of its own.
    known: Option<(u32, Timestamp)>,
    told: bool,
}

impl ControlGroup {
    /// The one at this folder; it need not be there yet.
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
            told: false,
        }
    }

    /// What all processes of the group use together; nothing before the hub has said its id, since a restart shows in that alone.
    pub fn read(&mut self, said: Said) -> Option<HubProcess> {
        if let Said::Process(pid, started) = said {
            self.known = Some((pid, started.unwrap_or_default()));
        }
        let figures = Figures::read(&self.folder);
        if figures.is_none() && !std::mem::replace(&mut self.told, true) {
            let folder = self.folder.display();
            tracing::warn!(%folder, "this is no control group (v2) with memory and processor time: the hub's use of both is not visible");
        }
        let (figures, (pid, started)) = (figures?, self.known?);
        let poll = ProcessPoll {
            pid,
            started,
            cpu_time: figures.cpu_time,
            rss: figures.resident,
            memory_limit: figures.limit,
            fds: None,
            threads: figures.threads,
            children: figures.processes.saturating_sub(1),
            host_cpus: self.host_cpus,
            host_memory: self.host_memory,
        };
        Some(HubProcess { poll, children: Vec::new(), auto_shutdown: false })
    }
}

/// What the kernel keeps of a group.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    cpu_time: Micros,
    /// What processes have mapped: their own pages and those of files. The page cache beside it grows with each file that is read.
    resident: Bytes,
    limit: Option<Bytes>,
    threads: Option<u32>,
    processes: u32,
}

impl Figures {
    fn read(folder: &Path) -> Option<Self> {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let memory = text("memory.stat")?;
        let mapped = ["anon", "file_mapped"].into_iter().filter_map(|key| value(&memory, key)).fold(0, u64::saturating_add);
        Some(Self {
            cpu_time: Micros::new(value(&text("cpu.stat")?, "usage_usec")?),
            resident: Bytes::new(mapped),
            // `max` where there is none.
            limit: text("memory.max").and_then(|limit| limit.trim().parse().ok()).map(Bytes::new),
            threads: text("pids.current").and_then(|threads| threads.trim().parse().ok()),
            processes: text("cgroup.procs").map_or(1, |processes| u32::try_from(processes.lines().count()).unwrap_or(u32::MAX)),
        })
    }
}

/// `key value`, a line each.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes them (Documentation/admin-guide/cgroup-v2.rst).
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
    fn a_group_is_read_as_the_hubs_process_once_the_hub_said_its_id() {
        let folder = group("268435456\n");
        let mut reader = ControlGroup::new(folder.path().to_owned());
        assert_eq!(reader.read(Said::Nothing), None);
        let started = Timestamp::from_secs(1_000);
        let process = reader.read(Said::Process(7, Some(started))).unwrap().poll;
        assert_eq!((process.pid, process.started, process.children), (7, started, 2));
        assert_eq!((process.rss, process.memory_limit), (Bytes::new(57_000_000), Some(Bytes::new(268_435_456))));
        assert_eq!((process.cpu_time, process.threads), (Micros::new(1_234_567), Some(23)));
        assert_eq!(reader.read(Said::Nothing).unwrap().poll.pid, 7, "a hub that doesn't answer is the same one");
    }

    #[test]
    fn a_group_without_a_limit_has_none_and_a_folder_that_is_no_group_shows_nothing() {
        let folder = group("max\n");
        assert_eq!(Figures::read(folder.path()).unwrap().limit, None);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(ControlGroup::new(empty.path().to_owned()).read(Said::Process(7, None)), None);
    }
}
