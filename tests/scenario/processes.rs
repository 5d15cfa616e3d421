//! Real processes for simulated hubs: one for the hub, and under it one for each server, whose command line names the server. A
//! scenario finds and kills them as it does at a real hub.
//!
//! The hub's process is this test program once more: it runs only [`hub_process`], which starts and ends servers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hubwatch::simulator::{LiveSimulation, SimulatedChild, Step};
use hubwatch::watch::Timestamp;

/// What the hub's process says begins with this: the test harness prints lines of its own.
const SAYS: &str = "hub: ";

/// How often the processes are compared with what the simulation says.
const LOOK: Duration = Duration::from_millis(5);

/// The process of a hub. It ends, with all servers, when this is dropped.
pub(crate) struct HubProcess {
    process: Child,
    orders: Arc<Mutex<ChildStdin>>,
    /// The servers whose processes have ended or have begun since somebody looked.
    news: Arc<Mutex<Vec<News>>>,
    is_over: Arc<AtomicBool>,
}

/// A server, by its name and the number that the simulation gave its process.
type Server = (String, u32);

enum News {
    Began(Server),
    Ended(Server),
}

impl HubProcess {
    pub(crate) fn start() -> Self {
        Self::of(&std::env::current_exe().unwrap())
    }

    /// The same by another name of this program.
    pub(crate) fn of(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["--exact", "processes::hub_process", "--ignored", "--nocapture"]).env("HUBWATCH_TEST_HUB", "1");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let orders = Arc::new(Mutex::new(process.stdin.take().unwrap()));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        lines.by_ref().find(|line| line.as_ref().unwrap().ends_with(&format!("{SAYS}ready"))).unwrap().unwrap();
        let news = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&news);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some((_, said)) = line.split_once(SAYS) else { continue };
                let words: Vec<&str> = said.split(' ').collect();
                let server = (words[1].to_owned(), words[2].parse().unwrap());
                heard.lock().unwrap().push(if words[0] == "began" { News::Began(server) } else { News::Ended(server) });
            }
        });
        Self { process, orders, news, is_over: Arc::default() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Keeps the servers' processes as the simulation has them: starts and ends them with it, and tells it of those that were killed.
    /// Returns once all have begun.
    pub(crate) fn follow(&self, live: Arc<Mutex<LiveSimulation>>) {
        let (orders, news, is_over) = (Arc::clone(&self.orders), Arc::clone(&self.news), Arc::clone(&self.is_over));
        let (begun, has_begun) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut running: BTreeMap<String, (u32, bool)> = BTreeMap::new();
            while !is_over.load(Ordering::SeqCst) {
                for news in std::mem::take(&mut *news.lock().unwrap()) {
                    take(news, &mut running, &live);
                }
                let wanted = wanted(&live);
                let order = |order: &str, name: &str, number: u32| {
                    // The process may have been killed.
                    let _ = writeln!(orders.lock().unwrap(), "{order} {name} {number}");
                };
                running.retain(|name, (number, _)| {
                    let stays = wanted.get(name) == Some(number);
                    if !stays {
                        order("stop", name, *number);
                    }
                    stays
                });
                for (name, number) in wanted {
                    running.entry(name.clone()).or_insert_with(|| {
                        order("start", &name, number);
                        (number, false)
                    });
                }
                if running.values().all(|(_, has_begun)| *has_begun) {
                    // Only the first time somebody waits.
                    let _ = begun.send(());
                }
                std::thread::sleep(LOOK);
            }
        });
        has_begun.recv_timeout(super::hub::DEADLINE).unwrap();
    }
}

fn lock(live: &Mutex<LiveSimulation>) -> std::sync::MutexGuard<'_, LiveSimulation> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The servers whose processes the simulation has.
fn wanted(live: &Mutex<LiveSimulation>) -> BTreeMap<String, u32> {
    let process = lock(live).simulation().process();
    process.into_iter().flat_map(|process| process.children).map(|SimulatedChild { pid, server }| (server, pid)).collect()
}

fn take(news: News, running: &mut BTreeMap<String, (u32, bool)>, live: &Mutex<LiveSimulation>) {
    match news {
        News::Began((name, number)) => {
            if let Some((_, begun)) = running.get_mut(&name).filter(|(known, _)| *known == number) {
                *begun = true;
            }
        }
        News::Ended((name, number)) => {
            // One that was stopped by order is not among these any more.
            if running.get(&name).is_some_and(|(known, _)| *known == number) {
                running.remove(&name);
                let mut live = lock(live);
                live.simulation().schedule(Timestamp::now(), Step::KillServer { name });
                live.advance().unwrap();
            }
        }
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = writeln!(self.orders.lock().unwrap(), "exit x 0");
        let _ = self.process.wait();
    }
}

/// The process of a hub: not a test, but started by tests.
#[test]
#[ignore = "is started by other tests as the process of a simulated hub"]
fn hub_process() {
    if std::env::var_os("HUBWATCH_TEST_HUB").is_none() {
        return;
    }
    println!("\n{SAYS}ready");
    let mut servers: BTreeMap<Server, u32> = BTreeMap::new();
    // The end of the input is the end of the test that started this.
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let server = (words[1].to_owned(), words[2].parse().unwrap());
        match words[0] {
            "start" => {
                let pid = start(&server);
                servers.insert(server, pid);
            }
            "stop" => servers.remove(&server).into_iter().for_each(kill),
            _ => break,
        }
    }
    servers.into_values().for_each(kill);
    std::process::exit(0);
}

/// Starts a server's process; says when its command line can be read, and when it ends.
fn start(server: &Server) -> u32 {
    let mut command = Command::new("sh");
    // Two processes, as with `npx`: the shell waits for the other one.
    command.args(["-c", &format!("sleep 1000; : {}", server.0)]).process_group(0);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (pid, (name, number)) = (child.id(), server.clone());
    while !std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&name)) {
        std::thread::yield_now();
    }
    println!("{SAYS}began {name} {number}");
    std::thread::spawn(move || {
        child.wait().unwrap();
        println!("{SAYS}ended {name} {number}");
    });
    pid
}

/// Kills a process group.
fn kill(pid: u32) {
    let group = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    // It may have been killed already.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
}
