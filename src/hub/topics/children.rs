//! Which child process of the hub is which of its stdio servers. The API doesn't say; the command line and the start time do.

use crate::watch::{Bytes, Micros, ServerPoll, Timestamp};

use crate::hub::api;

/// A server's process is started this long at most before the hub calls the server connected: a slow `npx` download included.
pub const SLOW_START: Micros = Micros::new(300_000_000);

/// A child process of the hub, what belongs to its own children included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its id.
    pub pid: u32,
    /// When it started, to the second.
    pub started: Timestamp,
    /// Resident memory.
    pub rss: Bytes,
    /// Processor time used.
    pub cpu_time: Micros,
    /// Its command line and those of its children, to recognise a server's name in. It may hold secrets: it goes nowhere else.
    pub command: String,
}

/// Returns the process of each stdio server of which it is certain: the only one whose command has the server's name in it. Whoever
/// kills one must not rely on what is left over.
pub fn of_servers(servers: &api::Servers, children: &[Child]) -> Vec<(String, u32)> {
    let is_stdio = |server: &&api::Server| server.transport.as_deref().is_none_or(|transport| transport == "stdio");
    let of = |server: &api::Server| {
        let mut named = children.iter().filter(|child| names(&child.command, &server.name));
        let (child, None) = (named.next()?, named.next()) else { return None };
        let others = servers.servers.iter().filter(|other| other.name != server.name);
        let also = others.filter(|other| names(&child.command, &other.name)).count();
        (also == 0).then(|| (server.name.clone(), child.pid))
    };
    servers.servers.iter().filter(is_stdio).filter_map(of).collect()
}

/// Writes to each stdio server the child that must be its process: the only one whose command has the server's name in it, or the
/// only one left for the only server left.
pub fn assign(polls: &mut [ServerPoll], servers: &api::Servers, children: &[Child]) {
    let mut free: Vec<&Child> = children.iter().collect();
    let mut open: Vec<&mut ServerPoll> = polls.iter_mut().filter(|poll| poll.transport.as_str() == "stdio").collect();
    open.retain_mut(|poll| {
        let mut named = free.iter().enumerate().filter(|(_, child)| names(&child.command, poll.name.as_str()));
        let (Some((index, _)), None) = (named.next(), named.next()) else { return true };
        take(poll, free.swap_remove(index));
        false
    });
    // A server without a process looks the same as one whose process has an unknown name, so the remaining processes must match by
    // their start times.
    if let ([poll], [child]) = (open.as_mut_slice(), free.as_slice()) {
        let seen = servers.servers.iter().find(|server| server.name == poll.name.as_str());
        let started = seen.and_then(|server| server.last_started);
        let near = |started: Timestamp| {
            started.plus(Micros::new(2_000_000)) >= child.started && started.since(child.started) <= SLOW_START
        };
        if started.is_some_and(near) {
            take(poll, child);
        }
    }
}

fn take(poll: &mut ServerPoll, child: &Child) {
    poll.child_pid = Some(child.pid);
    poll.child_started = Some(child.started);
    poll.child_rss = Some(child.rss);
    poll.child_cpu_time = Some(child.cpu_time);
}

/// Whether the command holds the server's name as a word of its own: `git` is not in `github`.
fn names(command: &str, name: &str) -> bool {
    let inside = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    !name.is_empty()
        && command.match_indices(name).any(|(at, _)| {
            let bytes = command.as_bytes();
            !inside(at.checked_sub(1).and_then(|before| bytes.get(before))) && !inside(bytes.get(at + name.len()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Liveness, Text};

    fn child(pid: u32, started: u64, command: &str) -> Child {
        let (rss, cpu_time) = (Bytes::new(1_000), Micros::new(5));
        Child { pid, started: Timestamp::from_secs(started), rss, cpu_time, command: command.to_owned() }
    }

    fn server(name: &str) -> (ServerPoll, api::Server) {
        let poll = ServerPoll {
            name: Text::new(name),
            transport: Text::from("stdio"),
            status: Text::from("connected"),
            liveness: Liveness::Up,
            reason: Text::from(""),
            cause: None,
            uptime: Micros::new(1),
            tools: 1,
            error: None,
            child_pid: None,
            child_started: None,
            child_rss: None,
            child_cpu_time: None,
        };
        let server = api::Server {
            name: name.to_owned(),
            transport: Some("stdio".to_owned()),
            status: "connected".to_owned(),
            error: None,
            capabilities: api::Capabilities::default(),
            uptime: 1.0,
            last_started: Some(Timestamp::from_secs(100)),
        };
        (poll, server)
    }

    fn assigned(names: &[&str], children: &[Child]) -> Vec<Option<u32>> {
        let (mut polls, servers): (Vec<_>, Vec<_>) = names.iter().map(|name| server(name)).unzip();
        assign(&mut polls, &api::Servers { servers, timestamp: None }, children);
        polls.iter().map(|poll| poll.child_pid).collect()
    }

    #[test]
    fn a_server_is_the_child_with_its_name() {
        let children = [child(1, 99, "npx @x/server-filesystem /srv"), child(2, 99, "npx @x/server-github")];
        assert_eq!(assigned(&["github", "filesystem"], &children), [Some(2), Some(1)]);
        assert_eq!(assigned(&["git"], &children), [None], "git is not github");
    }

    #[test]
    fn what_is_left_over_must_fit_in_time() {
        assert_eq!(assigned(&["tools"], &[child(1, 98, "node index.js")]), [Some(1)]);
        assert_eq!(assigned(&["tools"], &[child(1, 500, "node index.js")]), [None]);
        assert_eq!(assigned(&["a", "b"], &[child(1, 98, "node x"), child(2, 98, "node y")]), [None, None]);
    }
}
