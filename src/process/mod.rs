//! The hub's process and its children, from the operating system.

mod group;
mod own;
mod tree;

use std::path::Path;

pub use group::ControlGroup;
pub use own::{OwnProcess, OwnUse};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use crate::hub::api::Health;
use crate::hub::children::Child;
use crate::watch::{ApiOutcome, Bytes, Micros, ProcessPoll, Timestamp};

/// The hub notes its start a moment after its process began (Node itself takes most of a second). A process with the hub's id that
/// began further away from the hub's own start is another one: the id was reused, or it counts in another PID namespace.
pub const SAME_PROCESS: Micros = Micros::new(60_000_000);

/// Who listens on a port shows only after a look at all sockets and all processes' files, 20 ms on a large host. A hub that answers
/// says its id; where it doesn't, looks that found nobody are repeated less and less often, down to every eighth poll.
const LONGEST_PAUSE: u32 = 7;

/// A server with more processes than this is counted with the first ones only.
const MAX_FAMILY: usize = 256;

/// How the hub's process is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// By the id that the hub's API gives, or as the owner of the port.
    OnThisHost {
        /// The port that the hub listens on.
        port: u16,
    },
    /// By the id that the hub's API gives alone: it is reached over a network, and its processes are ours to see all the same.
    Told,
    /// The user gave its id.
    Pid(u32),
    /// The hub runs elsewhere: its process can't be seen.
    Elsewhere,
}

/// What the hub's API tells of the hub's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Its id, and when it started where it tells that.
    Process(u32, Option<Timestamp>),
    /// Nothing: it doesn't know, or didn't answer.
    Nothing,
    /// Nobody listens there: the port has no owner to look for.
    NobodyListens,
}

impl Said {
    /// By how the request for the hub's health ended.
    pub fn of(health: &Result<Health, ApiOutcome>) -> Self {
        match health {
            Ok(health) => Self::of_health(health),
            Err(ApiOutcome::Refused) => Self::NobodyListens,
            Err(_) => Self::Nothing,
        }
    }

    /// By the hub's health.
    pub fn of_health(health: &Health) -> Self {
        let workspace = health.workspace();
        workspace.and_then(|said| Some(Self::Process(said.pid?, said.started))).unwrap_or(Self::Nothing)
    }
}

/// The hub's process and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubProcess {
    /// The process itself.
    pub poll: ProcessPoll,
    /// Its children.
    pub children: Vec<Child>,
    /// Whether it stops itself once its last event-stream subscriber leaves.
    pub auto_shutdown: bool,
}

/// Reads the hub's process, poll by poll.
#[derive(Debug)]
pub struct ProcessReader {
    find: Find,
    /// `None` where the system's process table can't be read at all.
    system: Option<System>,
    host_memory: Bytes,
    host_cpus: u32,
    /// The process that was last recognised as the hub's: its id and its start.
    known: Option<(Pid, u64)>,
    /// The children and theirs that were there at the last poll: those that are gone are forgotten.
    family: Vec<Pid>,
    /// How long to do without a look for the port's owner after one that found nobody, in polls, and how much of that is left.
    fruitless: u32,
    pause: u32,
}

impl ProcessReader {
    /// A reader that has seen nothing yet.
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
            family: Vec::new(),
            fruitless: 0,
            pause: 0,
        }
    }

    /// The process as it is now, by what the hub's API says of it.
    pub fn read(&mut self, said: Said) -> Option<HubProcess> {
        if self.find == Find::Elsewhere {
            return None;
        }
        let pid = self.pid(said)?;
        let system = self.system.as_mut()?;
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            true,
            ProcessRefreshKind::nothing().with_memory().with_cpu().with_tasks().with_cmd(UpdateKind::OnlyIfNotSet),
        );
        let children = children(system, pid, &mut self.family);
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

    fn pid(&mut self, said: Said) -> Option<Pid> {
        match (self.find, said) {
            (Find::Pid(pid), _) => Some(Pid::from_u32(pid)),
            // Two containers that don't share after all each have a first process, and ours is not the hub.
            (Find::Told, Said::Process(pid, _)) if pid == std::process::id() => None,
            (_, Said::Process(pid, started)) => {
                let pid = Pid::from_u32(pid);
                if self.is_since(pid, started) { Some(pid) } else { self.owner_of_port() }
            }
            (_, Said::Nothing | Said::NobodyListens) => match self.known {
                Some((pid, start)) => (self.start_of(pid) == Some(start)).then_some(pid),
                None if said == Said::NobodyListens => None,
                None => self.owner_of_port(),
            },
        }
    }

    /// Whether the process with this id began about when the hub says that it did.
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
        self.fruitless = if owner.is_some() { 0 } else { (self.fruitless * 2 + 1).min(LONGEST_PAUSE) };
        self.pause = self.fruitless;
        owner
    }
}

/// The children of a process, each with what belongs to its own children: a server started by `npx` is three processes deep.
fn children(system: &mut System, parent: Pid, family: &mut Vec<Pid>) -> Vec<Child> {
    let listed = tree::children_of(parent.as_u32()).is_some();
    if !listed {
        // The whole process table tells it, too; on a large host that is a hundred times as much to read.
        let kind = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    }
    let members = |system: &System, of: Pid| -> Vec<Pid> {
        if listed {
            return tree::children_of(of.as_u32()).unwrap_or_default().into_iter().map(Pid::from_u32).collect();
        }
        let all = system.processes().iter();
        all.filter(|(_, process)| process.parent() == Some(of)).map(|(pid, _)| *pid).collect()
    };
    let mut families: Vec<Vec<Pid>> = members(system, parent).into_iter().map(|child| vec![child]).collect();
    for family in &mut families {
        let mut next = 0;
        while next < family.len() && family.len() < MAX_FAMILY {
            let of = family[next];
            family.extend(members(system, of));
            next += 1;
        }
    }
    let everybody: Vec<Pid> = families.iter().flatten().copied().collect();
    let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().with_cmd(UpdateKind::OnlyIfNotSet).without_tasks();
    let gone = std::mem::replace(family, everybody.clone());
    let with_gone: Vec<Pid> = everybody.into_iter().chain(gone).collect();
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

/// Whether a process with this id runs on this host.
pub fn is_alive(pid: u32) -> bool {
    let Ok(mut system) = System::new() else { return false };
    let pid = Pid::from_u32(pid);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    system.process(pid).is_some()
}

/// Open file descriptors, where we may look (Linux, same user).
fn descriptors(pid: u32) -> Option<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    u32::try_from(entries.count()).ok()
}

/// The memory limit of the process's control group (cgroup v2), the tightest on the way up; `None` where there is none.
fn memory_limit(pid: u32) -> Option<Bytes> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let limits = root.join(group);
    let limits = limits.ancestors().take_while(|folder| folder.starts_with(root));
    limits.filter_map(|folder| std::fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).min().map(Bytes::new)
}

/// Free space of the file system that holds `path`, for a process without privileges.
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
        let process = reader.read(Said::Nothing).unwrap().poll;
        assert_eq!(process.pid, std::process::id());
        assert!(process.rss.get() > 100_000 && process.started.get() > 0);
        assert!(process.threads.unwrap_or(1) >= 1);
    }

    #[test]
    fn a_child_is_read_with_its_command_and_what_belongs_to_its_children() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 60; : a-server"]).spawn().unwrap();
        let mut reader = ProcessReader::new(Find::Pid(std::process::id()));
        let children = reader.read(Said::Nothing).unwrap().children;
        let seen = children.iter().find(|one| one.pid == child.id()).unwrap();
        assert!(seen.command.contains("a-server") && seen.rss.get() > 100_000, "{seen:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        let children = reader.read(Said::Nothing).unwrap().children;
        assert!(children.iter().all(|one| one.pid != child.id()));
    }

    #[test]
    fn a_process_with_the_hubs_id_but_another_start_is_not_the_hub() {
        let mut reader = ProcessReader::new(Find::OnThisHost { port: 1 });
        let long_ago = Timestamp::from_secs(1_000);
        assert_eq!(reader.read(Said::Process(std::process::id(), Some(long_ago))), None);
        assert!(reader.read(Said::Process(std::process::id(), None)).is_some());
    }

    #[test]
    fn a_hub_that_does_not_say_its_id_is_the_owner_of_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let process = ProcessReader::new(Find::OnThisHost { port }).read(Said::Nothing).unwrap().poll;
        assert_eq!(process.pid, std::process::id());
    }

    #[test]
    fn the_owner_of_a_port_is_not_looked_for_where_nobody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(ProcessReader::new(Find::OnThisHost { port }).read(Said::of(&Err(ApiOutcome::Refused))), None);
    }

    #[test]
    fn a_hub_that_shares_its_pids_is_known_by_what_it_says_and_is_never_ourselves() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let now = Some(Timestamp::now());
        let mut reader = ProcessReader::new(Find::Told);
        let seen = reader.read(Said::Process(child.id(), now)).map(|process| process.poll.pid);
        let meanwhile = reader.read(Said::Nothing).map(|process| process.poll.pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((seen, meanwhile), (Some(child.id()), Some(child.id())));
        assert_eq!(ProcessReader::new(Find::Told).read(Said::Process(std::process::id(), now)), None);
    }

    #[test]
    fn a_hub_elsewhere_is_not_looked_for() {
        assert_eq!(ProcessReader::new(Find::Elsewhere).read(Said::Process(1, None)), None);
    }
}
