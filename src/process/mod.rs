//! The hub's process and its children, from the operating system.

mod cgroup;
mod child_pids;
pub mod preloads;
mod sidecar_usage;

use std::collections::BTreeSet;
use std::path::Path;

pub use cgroup::ControlGroup;
pub use sidecar_usage::{OwnProcess, OwnUse};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use crate::hub::api::Health;
use crate::hub::children::Child;
use crate::watch::{ApiOutcome, Bytes, Micros, ProcessPoll, Timestamp};

/// Maximum difference between the start time that the hub reports and its process's (Node alone takes most of a second to start).
/// With a larger one, the process with the hub's PID is another: the PID was reused, or is of another PID namespace.
pub const SAME_PROCESS: Micros = Micros::new(60_000_000);

/// Maximum pause after a failed lookup of the port's owner, in polls: pauses grow up to every eighth poll. A lookup reads all
/// sockets and all processes' files, 20 ms on a large host, and is needed only if the hub reports no PID.
const MAX_PAUSE_POLLS: u32 = 7;

/// Maximum processes that are counted for a server.
const MAX_DESCENDANTS: usize = 256;

/// How the hub's process is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// By the PID in the hub's API, or as the owner of the port.
    OnThisHost {
        /// The port that the hub listens on.
        port: u16,
    },
    /// By the PID in the hub's API alone: the hub is reached over a network, but shares our PID namespace.
    ByApi,
    /// By the PID that the user set.
    Pid(u32),
    /// The hub runs elsewhere: its process is not visible.
    Elsewhere,
}

/// The hub's process according to its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiProcess {
    /// Its PID, and its start time if the hub reports one.
    Process(u32, Option<Timestamp>),
    /// The hub reported no PID, or did not answer.
    Unknown,
    /// No process listens on the port, so it has no owner to look up.
    PortClosed,
}

impl ApiProcess {
    /// Reads it from the result of a health request.
    pub fn of(health: &Result<Health, ApiOutcome>) -> Self {
        match health {
            Ok(health) => Self::of_health(health),
            Err(ApiOutcome::Refused) => Self::PortClosed,
            Err(_) => Self::Unknown,
        }
    }

    /// Reads it from the hub's health.
    pub fn of_health(health: &Health) -> Self {
        let workspace = health.workspace();
        workspace.and_then(|reported| Some(Self::Process(reported.pid?, reported.started))).unwrap_or(Self::Unknown)
    }
}

/// The hub's process and its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubProcess {
    /// The process itself.
    pub poll: ProcessPoll,
    /// Its children.
    pub children: Vec<Child>,
    /// True if it stops once its last event-stream subscriber leaves.
    pub auto_shutdown: bool,
}

/// Reads the hub's process at each poll.
#[derive(Debug)]
pub struct ProcessReader {
    find: Find,
    /// `None` if the process table can't be read.
    system: Option<System>,
    host_memory: Bytes,
    host_cpus: u32,
    /// PID and start time of the process last recognised as the hub's.
    known: Option<(Pid, u64)>,
    /// All descendants at the last poll, to forget those that have ended.
    descendants: Vec<Pid>,
    /// The last pause after a failed lookup of the port's owner, in polls, and what is left of it.
    last_pause: u32,
    pause: u32,
}

impl ProcessReader {
    /// Creates a reader.
    pub fn new(find: Find) -> Self {
        let mut system = System::new().ok();
        let host_memory = system.as_mut().map_or(Bytes::default(), |system| {
            system.refresh_memory();
            Bytes::new(system.total_memory())
        });
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            find,
            system,
            host_memory,
            host_cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            known: None,
            descendants: Vec::new(),
            last_pause: 0,
            pause: 0,
        }
    }

    /// Reads the process that the hub's API reports.
    pub fn read(&mut self, reported: ApiProcess) -> Option<HubProcess> {
        if self.find == Find::Elsewhere {
            return None;
        }
        let pid = self.pid(reported)?;
        let system = self.system.as_mut()?;
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            true,
            ProcessRefreshKind::nothing().with_memory().with_cpu().with_tasks().with_cmd(UpdateKind::OnlyIfNotSet),
        );
        let children = children(system, pid, &mut self.descendants);
        let process = system.process(pid)?;
        let auto_shutdown = process.cmd().iter().any(|word| word == "--auto-shutdown");
        self.known = Some((pid, process.start_time()));
        let poll = ProcessPoll {
            pid: pid.as_u32(),
            started: Timestamp::from_secs(process.start_time()),
            cpu_time: Micros::new(process.accumulated_cpu_time().saturating_mul(1_000)),
            rss: Bytes::new(process.memory()),
            memory_limit: memory_limit(pid.as_u32()),
            fds: descriptors(pid.as_u32()),
            threads: process.tasks().and_then(|tasks| u32::try_from(tasks.len()).ok()),
            children: u32::try_from(children.len()).unwrap_or(u32::MAX),
            host_cpus: self.host_cpus,
            host_memory: self.host_memory,
        };
        Some(HubProcess { poll, children, auto_shutdown })
    }

    fn pid(&mut self, reported: ApiProcess) -> Option<Pid> {
        match (self.find, reported) {
            (Find::Pid(pid), _) => Some(Pid::from_u32(pid)),
            // Without a shared namespace both containers have a PID 1, and ours is not the hub.
            (Find::ByApi, ApiProcess::Process(pid, _)) if pid == std::process::id() => None,
            (_, ApiProcess::Process(pid, started)) => {
                let pid = Pid::from_u32(pid);
                if self.is_since(pid, started) { Some(pid) } else { self.owner_of_port() }
            }
            (_, ApiProcess::Unknown | ApiProcess::PortClosed) => match self.known {
                Some((pid, start)) => (self.start_of(pid) == Some(start)).then_some(pid),
                None if reported == ApiProcess::PortClosed => None,
                None => self.owner_of_port(),
            },
        }
    }

    /// Returns whether the process with this PID started when the hub says that it did.
    fn is_since(&mut self, pid: Pid, started: Option<Timestamp>) -> bool {
        let Some(begun) = self.start_of(pid).map(Timestamp::from_secs) else { return false };
        started.is_none_or(|started| begun.since(started).get().max(started.since(begun).get()) <= SAME_PROCESS.get())
    }

    fn start_of(&mut self, pid: Pid) -> Option<u64> {
        let system = self.system.as_mut()?;
        let kind = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        system.process(pid).map(sysinfo::Process::start_time)
    }

    fn owner_of_port(&mut self) -> Option<Pid> {
        let Find::OnThisHost { port } = self.find else { return None };
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let owners = listeners::get_processes_by_port(port).unwrap_or_default();
        let owner = owners.into_iter().next().map(|owner| Pid::from_u32(owner.pid));
        self.last_pause = if owner.is_some() { 0 } else { (self.last_pause * 2 + 1).min(MAX_PAUSE_POLLS) };
        self.pause = self.last_pause;
        owner
    }
}

/// Returns the children of a process, each including its descendants: a server started by `npx` is three processes deep.
fn children(system: &mut System, parent: Pid, family: &mut Vec<Pid>) -> Vec<Child> {
    let listed = child_pids::children_of(parent.as_u32()).is_some();
    if !listed {
        // Fall back to the whole process table, which is a hundred times as much to read on a large host.
        let kind = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    }
    let members = |system: &System, of: Pid| -> Vec<Pid> {
        if listed {
            return child_pids::children_of(of.as_u32()).unwrap_or_default().into_iter().map(Pid::from_u32).collect();
        }
        let all = system.processes().iter();
        all.filter(|(_, process)| process.parent() == Some(of)).map(|(pid, _)| *pid).collect()
    };
    let mut families: Vec<Vec<Pid>> = members(system, parent).into_iter().map(|child| vec![child]).collect();
    for family in &mut families {
        let mut next = 0;
        while next < family.len() && family.len() < MAX_DESCENDANTS {
            let of = family[next];
            family.extend(members(system, of));
            next += 1;
        }
    }
    let all_pids: Vec<Pid> = families.iter().flatten().copied().collect();
    let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().with_cmd(UpdateKind::OnlyIfNotSet).without_tasks();
    let before = std::mem::replace(family, all_pids.clone());
    // Each once: one that is named twice is taken for dead the second time.
    let with_gone: BTreeSet<Pid> = all_pids.into_iter().chain(before).collect();
    let with_gone: Vec<Pid> = with_gone.into_iter().collect();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&with_gone), true, kind);
    families.iter().filter_map(|family| child(system, family)).collect()
}

fn child(system: &System, family: &[Pid]) -> Option<Child> {
    let first = system.process(*family.first()?)?;
    let all = || family.iter().filter_map(|pid| system.process(*pid));
    let words = all().flat_map(|process| process.cmd().iter().map(|word| word.to_string_lossy()));
    Some(Child {
        pid: first.pid().as_u32(),
        started: Timestamp::from_secs(first.start_time()),
        rss: Bytes::new(all().map(sysinfo::Process::memory).fold(0, u64::saturating_add)),
        cpu_time: Micros::new(all().map(sysinfo::Process::accumulated_cpu_time).fold(0, u64::saturating_add).saturating_mul(1_000)),
        command: words.collect::<Vec<_>>().join(" "),
    })
}

/// Returns whether a process with this PID runs on this host.
pub fn is_alive(pid: u32) -> bool {
    let Ok(mut system) = System::new() else { return false };
    let pid = Pid::from_u32(pid);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    system.process(pid).is_some()
}

/// Returns the name of the program that a process runs, such as `node`; `None` if it may not be known.
pub fn executable(pid: u32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// Returns a process and all its descendants, each after its parent.
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while next < family.len() && family.len() < MAX_DESCENDANTS {
        family.extend(child_pids::children_of(family[next]).unwrap_or_default());
        next += 1;
    }
    family
}

/// Counts open file descriptors, if permitted (Linux, same user).
fn descriptors(pid: u32) -> Option<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    u32::try_from(entries.count()).ok()
}

/// Returns the tightest memory limit of the process's cgroup (v2) and its ancestors; `None` if there is none.
fn memory_limit(pid: u32) -> Option<Bytes> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let limits = root.join(group);
    let limits = limits.ancestors().take_while(|folder| folder.starts_with(root));
    limits.filter_map(|folder| std::fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).min().map(Bytes::new)
}

/// Returns the free space of the file system of `path`, for an unprivileged process.
pub fn free_space(path: &Path) -> Option<Bytes> {
    let folder = if path.exists() { path } else { path.parent()? };
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(Bytes::new(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read_with_its_memory_and_threads() {
        let mut reader = ProcessReader::new(Find::Pid(std::process::id()));
        let process = reader.read(ApiProcess::Unknown).unwrap().poll;
        assert_eq!(process.pid, std::process::id());
        assert!(process.rss.get() > 100_000 && process.started.get() > 0);
        assert!(process.threads.unwrap_or(1) >= 1);
    }

    #[test]
    fn a_child_is_read_with_its_command_and_its_descendants() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 60; : a-server"]).spawn().unwrap();
        let mut reader = ProcessReader::new(Find::Pid(std::process::id()));
        // On a busy machine a look can come before the child has become the other program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let seen = loop {
            let children = reader.read(ApiProcess::Unknown).unwrap().children;
            let seen = children.into_iter().find(|one| one.pid == child.id()).unwrap();
            if seen.command.contains("a-server") || std::time::Instant::now() > deadline {
                break seen;
            }
        };
        assert!(seen.command.contains("a-server") && seen.rss.get() > 100_000, "{seen:?}");
        let again = reader.read(ApiProcess::Unknown).unwrap().children;
        assert!(again.iter().any(|one| one.pid == child.id()), "it is read each time: {again:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        let children = reader.read(ApiProcess::Unknown).unwrap().children;
        assert!(children.iter().all(|one| one.pid != child.id()));
    }

    #[test]
    fn a_child_is_there_at_every_look_and_gone_once_it_has_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut reader = ProcessReader::new(Find::Pid(std::process::id()));
        let mut sees = || reader.read(ApiProcess::Unknown).unwrap().children.iter().any(|one| one.pid == child.id());
        let seen = [sees(), sees(), sees()];
        child.kill().unwrap();
        child.wait().unwrap();
        let after = reader.read(ApiProcess::Unknown).unwrap().children.iter().any(|one| one.pid == child.id());
        assert_eq!((seen, after), ([true, true, true], false));
    }

    #[test]
    fn a_process_with_the_hubs_pid_but_another_start_time_is_not_the_hub() {
        let mut reader = ProcessReader::new(Find::OnThisHost { port: 1 });
        let long_ago = Timestamp::from_secs(1_000);
        assert_eq!(reader.read(ApiProcess::Process(std::process::id(), Some(long_ago))), None);
        assert!(reader.read(ApiProcess::Process(std::process::id(), None)).is_some());
    }

    #[test]
    fn a_hub_that_reports_no_pid_is_the_owner_of_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let process = ProcessReader::new(Find::OnThisHost { port }).read(ApiProcess::Unknown).unwrap().poll;
        assert_eq!(process.pid, std::process::id());
    }

    #[test]
    fn the_owner_of_a_closed_port_is_not_looked_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(ProcessReader::new(Find::OnThisHost { port }).read(ApiProcess::of(&Err(ApiOutcome::Refused))), None);
    }

    #[test]
    fn a_hub_in_a_shared_pid_namespace_is_found_by_its_reported_pid_and_is_never_the_sidecar() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let now = Some(Timestamp::now());
        let mut reader = ProcessReader::new(Find::ByApi);
        let seen = reader.read(ApiProcess::Process(child.id(), now)).map(|process| process.poll.pid);
        let meanwhile = reader.read(ApiProcess::Unknown).map(|process| process.poll.pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((seen, meanwhile), (Some(child.id()), Some(child.id())));
        assert_eq!(ProcessReader::new(Find::ByApi).read(ApiProcess::Process(std::process::id(), now)), None);
    }

    #[test]
    fn a_hub_elsewhere_is_not_looked_up() {
        assert_eq!(ProcessReader::new(Find::Elsewhere).read(ApiProcess::Process(1, None)), None);
    }
}
