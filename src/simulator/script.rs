//! Scripts of sessions, faults included.

use super::random::Random;
use super::step::{Gemini, Step};
use crate::watch::{Micros, Timestamp};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1024 * 1024;

/// The connections of a day, and the minimum and maximum number of calls of each.
const CLIENTS_A_DAY: u64 = 10;
const CALLS: (u64, u64) = (18, 34);

/// The clients that make the calls of a busy period.
const LOAD_CLIENTS: [&str; 4] = ["load-a", "load-b", "load-c", "load-d"];

/// Ready-made sessions. `github` fails to start in all of them, because the profiles define it so.
#[derive(Clone, Copy, Debug)]
pub struct Script;

impl Script {
    /// Returns a realistic staging period of ten minutes or more (made for 48 h): about ten clients a day that come and go, a few
    /// hundred calls a day, some of them at once, and, each at a fixed part of the period, one episode of HTTP 429, one crash of
    /// the filesystem server that is stopped and started some twelve minutes later, one short restart of the hub, memory that grows
    /// slowly and then stays, and a few event subscribers. The hub runs to the end.
    pub fn rehearsal(start: Timestamp, length: Micros, seed: u64) -> Vec<(Timestamp, Step)> {
        let mut rehearsal = Rehearsal { start, length: length.get(), random: Random::new(seed), restarts: true, steps: Vec::new() };
        rehearsal.run();
        sorted(rehearsal.steps)
    }

    /// Returns the ordinary part of a rehearsal, without faults: the hub starts, clients connect, call and leave, some subscribe.
    pub fn ordinary(start: Timestamp, length: Micros, seed: u64) -> Vec<(Timestamp, Step)> {
        let mut ordinary = Rehearsal { start, length: length.get(), random: Random::new(seed), restarts: false, steps: Vec::new() };
        ordinary.at(0, Step::StartHub);
        ordinary.add_subscribers();
        ordinary.add_visits();
        sorted(ordinary.steps)
    }

    /// Returns the extra calls of a busy rehearsal, evenly spread over four clients that stay connected except at the restart, near
    /// which no calls are made.
    pub fn load(start: Timestamp, length: Micros, calls: u64) -> Vec<(Timestamp, Step)> {
        let mut load = Rehearsal { start, length: length.get(), random: Random::new(calls), restarts: true, steps: Vec::new() };
        if calls > 0 {
            load.add_load(calls);
        }
        sorted(load.steps)
    }

    /// Returns forty seconds that show everything: three clients call at once, one gets HTTP 429, the filesystem server crashes and
    /// recovers by stop and start, clients leave, the hub stops.
    pub fn demo(start: Timestamp) -> Vec<(Timestamp, Step)> {
        let mut steps = vec![(0, Step::StartHub), (2_000, Step::Subscribe)];
        for (index, name) in ["editor", "assistant", "ci-agent"].into_iter().enumerate() {
            let offset = index as u64 * 60;
            let category = ["github", "filesystem", "meta"][index];
            steps.push((3_000 + offset, Step::ConnectClient { name: name.into() }));
            steps.push((5_000 + offset, call(name, answers(600 - 150 * index as u64, &[category]))));
        }
        steps.extend([
            (7_000, call("editor", Gemini::RateLimited)),
            (9_000, call("assistant", answers(450, &["git", "python"]))),
            (12_000, Step::DisconnectClient { name: "assistant".into() }),
            (16_000, Step::KillServer { name: "filesystem".into() }),
            (26_000, Step::StopServer { name: "filesystem".into() }),
            (26_300, Step::StartServer { name: "filesystem".into() }),
            (29_000, call("ci-agent", answers(380, &["filesystem"]))),
            (32_000, Step::DisconnectClient { name: "editor".into() }),
            (34_000, Step::DisconnectClient { name: "ci-agent".into() }),
            (37_000, Step::Unsubscribe),
            (39_000, Step::StopHub),
        ]);
        sorted(steps.into_iter().map(|(millis, step)| (start.plus(Micros::new(millis * 1_000)), step)).collect())
    }
}

struct Rehearsal {
    start: Timestamp,
    length: u64,
    random: Random,
    /// True if the hub is restarted in it, so that no calls are made then.
    restarts: bool,
    steps: Vec<(Timestamp, Step)>,
}

impl Rehearsal {
    fn run(&mut self) {
        self.at(0, Step::StartHub);
        self.add_memory();
        self.add_crash();
        self.add_rate_limit();
        self.add_restart();
        self.add_subscribers();
        self.add_visits();
    }

    fn add_visits(&mut self) {
        let visits = (CLIENTS_A_DAY * self.length / DAY).max(2);
        let share = self.length / visits;
        for visit in 0..visits {
            self.add_visit(visit, share);
        }
    }

    fn at(&mut self, offset: u64, step: Step) {
        self.steps.push((self.start.plus(Micros::new(offset)), step));
    }

    /// Returns an offset that is `permille` of the way through the period.
    fn part(&self, permille: u64) -> u64 {
        self.length / 1_000 * permille
    }

    /// Lets memory grow for the first half of the period, then stay.
    fn add_memory(&mut self) {
        self.at(MINUTE, Step::LeakMemory { bytes_per_hour: MIB / 2 });
        self.at(self.part(500), Step::LeakMemory { bytes_per_hour: 0 });
    }

    fn add_crash(&mut self) {
        let crash = self.part(310);
        let repair = crash + (12 * MINUTE).min(self.part(50));
        self.at(crash, Step::KillServer { name: "filesystem".into() });
        self.at(repair, Step::StopServer { name: "filesystem".into() });
        self.at(repair + 400_000, Step::StartServer { name: "filesystem".into() });
    }

    /// Makes three calls in a row that Gemini rejects.
    fn add_rate_limit(&mut self) {
        let episode = self.part(620);
        self.at(episode, Step::ConnectClient { name: "nightly-agent".into() });
        for call_number in 0..3 {
            self.at(episode + (2 + 25 * call_number) * SECOND, call("nightly-agent", Gemini::RateLimited));
        }
        self.at(episode + 90 * SECOND, Step::DisconnectClient { name: "nightly-agent".into() });
    }

    fn add_restart(&mut self) {
        let restart = self.restart();
        self.at(restart, Step::StopHub);
        self.at(restart + 8 * SECOND, Step::StartHub);
    }

    fn restart(&self) -> u64 {
        self.part(780)
    }

    fn add_subscribers(&mut self) {
        for permille in [40, 350, 660, 900] {
            let from = self.part(permille);
            self.at(from, Step::Subscribe);
            self.at(from + self.part(20), Step::Unsubscribe);
        }
    }

    /// Connects a client, makes its calls one after the other, and disconnects. Sometimes a second client comes along.
    fn add_visit(&mut self, visit: u64, share: u64) {
        let from = visit * share + MINUTE / 2 + self.random.between(0, share / 8);
        let until = (visit * share + share * 7 / 8).max(from + MINUTE);
        let name = format!("{}-{visit}", self.random.pick(&["editor", "assistant", "ci-agent", "desktop"]));
        self.add_client(&name, from, until);
        if self.random.chance(300) {
            self.add_client(&format!("{name}-helper"), from + 5 * SECOND, until - 15 * SECOND);
        }
    }

    /// Lets a client leave before the hub's restart, so that no call is in flight then.
    fn add_client(&mut self, name: &str, from: u64, until: u64) {
        let restart = if self.restarts { self.restart() } else { u64::MAX / 2 };
        let until = if from < restart && restart < until + 30 * SECOND { restart.saturating_sub(30 * SECOND) } else { until };
        let back_at = restart + 20 * SECOND;
        let from = if (restart.saturating_sub(30 * SECOND)..back_at).contains(&from) { back_at } else { from };
        if until < from + 40 * SECOND {
            return;
        }
        self.at(from, Step::ConnectClient { name: name.into() });
        self.add_calls(name, from + 2 * SECOND, until - 8 * SECOND);
        self.at(until, Step::DisconnectClient { name: name.into() });
    }

    fn add_load(&mut self, calls: u64) {
        let (gone, back) = (self.restart().saturating_sub(30 * SECOND), self.restart() + 20 * SECOND);
        let stays = [(MINUTE, gone), (back, self.length - 10 * SECOND)];
        for (client, (from, until)) in LOAD_CLIENTS.iter().flat_map(|client| stays.map(|stay| (*client, stay))) {
            self.at(from, Step::ConnectClient { name: client.into() });
            self.at(until, Step::DisconnectClient { name: client.into() });
        }
        let (first, last) = (2 * MINUTE, self.length - MINUTE);
        let ats = (0..calls).map(|index| (index, first + (last - first) * index / calls));
        for (index, at) in ats.filter(|(_, at)| !(gone - MINUTE / 2..back + MINUTE / 2).contains(at)) {
            let answer = self.usual_answer();
            self.at(at, call(LOAD_CLIENTS[index as usize % LOAD_CLIENTS.len()], answer));
        }
    }

    fn add_calls(&mut self, name: &str, from: u64, until: u64) {
        let calls = self.random.between(CALLS.0, CALLS.1);
        for _ in 0..calls {
            let at = self.random.between(from, until);
            let gemini = self.usual_answer();
            self.at(at, call(name, gemini));
            if self.random.chance(120) {
                let second = self.usual_answer();
                self.at(at + 80_000, call(name, second));
            }
        }
    }

    fn usual_answer(&mut self) -> Gemini {
        if self.random.chance(15) {
            return Gemini::NoCategories;
        }
        let sets: [&[&str]; 6] = [&["github"], &["filesystem"], &["meta"], &["github", "git"], &["filesystem", "python"], &["web"]];
        let categories = *self.random.pick(&sets);
        // Mostly under a second, with a long tail.
        let usual = self.random.between(350, 950);
        let millis = if self.random.chance(40) { usual * 4 } else { usual };
        answers(millis, categories)
    }
}

fn call(client: &str, gemini: Gemini) -> Step {
    Step::Analyze { client: client.into(), gemini }
}

fn answers(millis: u64, categories: &[&str]) -> Gemini {
    let categories = categories.iter().map(|category| (*category).to_owned()).collect();
    Gemini::Answers { after: Micros::new(millis * 1_000), categories }
}

fn sorted(mut steps: Vec<(Timestamp, Step)>) -> Vec<(Timestamp, Step)> {
    steps.sort_by_key(|(at, _)| *at);
    steps
}
