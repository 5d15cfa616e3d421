//! A period of a healthy hub that runs every degradation scenario, each in a planned window.

use super::script::Script;
use super::step::{Gemini, Step};
use crate::watch::{Micros, Timestamp};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// One client more than the ten at once of the strategy, and one spare.
const LOAD_CLIENTS: usize = 12;

/// A planned window, named after its scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its name.
    pub name: &'static str,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
}

/// The steps and their announcements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drill {
    /// The steps, in time order.
    pub steps: Vec<(Timestamp, Step)>,
    /// The windows, in time order.
    pub windows: Vec<Window>,
}

impl Drill {
    /// Returns a staging period of ten minutes or more: ordinary clients as in a rehearsal, and faults only in the windows.
    pub fn period(start: Timestamp, length: Micros, seed: u64) -> Self {
        let mut drill = Self { steps: Script::ordinary(start, length, seed), windows: Vec::new() };
        // Each scenario has a fixed part of the period, so in a short period it runs faster.
        let part = |permille: u64| start.plus(Micros::new(length.get() / 1_000 * permille));
        let room = (length.get() / 1_000 * 90).min(8 * MINUTE);
        drill.isolation(part(200), room);
        drill.gemini_failure(part(310), room);
        drill.server_crash(part(430), room);
        drill.high_load(part(620), room, true);
        drill.disconnects(part(810), room);
        drill.sorted()
    }

    /// Returns a minute of a hub that has been running for long: half a minute of ordinary calls, then all scenarios.
    pub fn live(from: Timestamp) -> Self {
        let at = |second: u64| from.plus(Micros::new(second * SECOND));
        let mut drill = Self::default();
        for (name, category, second) in [("editor", "github", 3), ("assistant", "filesystem", 4)] {
            drill.step(at(second), connect(name));
            for call in 0..2 {
                drill.step(at(second + 3 + 9 * call), analyze(name, answers(400, &[category])));
            }
        }
        drill.gemini_failure(at(32), 26 * SECOND);
        drill.server_crash(at(33), 26 * SECOND);
        // No calls: the log of one minute is compared with the limit of a day.
        drill.high_load(at(34), 24 * SECOND, false);
        drill.disconnects(at(35), 24 * SECOND);
        drill.sorted()
    }

    fn sorted(mut self) -> Self {
        self.steps.sort_by_key(|(at, _)| *at);
        self.windows.sort_by_key(|window| window.from);
        self
    }

    fn step(&mut self, at: Timestamp, step: Step) {
        self.steps.push((at, step));
    }

    fn window(&mut self, name: &'static str, from: Timestamp, room: u64) {
        self.windows.push(Window { name, from, to: from.plus(Micros::new(room)) });
    }

    /// Exposes different tools to two clients at the same time.
    fn isolation(&mut self, from: Timestamp, room: u64) {
        self.window("session_isolation", from, room);
        let at = |permille: u64| from.plus(Micros::new(room / 1_000 * permille));
        for (name, category) in [("drill-one", "github"), ("drill-two", "filesystem")] {
            self.step(at(100), connect(name));
            self.step(at(300), analyze(name, answers(420, &[category])));
            self.step(at(800), Step::DisconnectClient { name: name.into() });
        }
    }

    /// Rejects a call three times with HTTP 429 (about 17 s); then the hub falls back to keywords.
    fn gemini_failure(&mut self, from: Timestamp, room: u64) {
        self.window("gemini_failure", from, room);
        let second = |second: u64| from.plus(Micros::new(second * SECOND));
        self.step(second(1), connect("drill-gemini"));
        self.step(second(3), analyze("drill-gemini", Gemini::RateLimited));
        self.step(from.plus(Micros::new(room - SECOND)), Step::DisconnectClient { name: "drill-gemini".into() });
    }

    /// Crashes a server, which the hub restarts by itself.
    fn server_crash(&mut self, from: Timestamp, room: u64) {
        self.window("server_crash", from, room);
        self.step(from.plus(Micros::new(2 * SECOND)), Step::KillServer { name: "filesystem".into() });
    }

    fn high_load(&mut self, from: Timestamp, room: u64, calling: bool) {
        self.window("high_load", from, room);
        for client in 0..LOAD_CLIENTS {
            let name = format!("drill-load-{client}");
            let later = |permille: u64| from.plus(Micros::new(room / 1_000 * permille + client as u64 * SECOND / 10));
            self.step(later(50), connect(&name));
            if calling {
                self.step(later(300), analyze(&name, answers(450, &["web"])));
            }
            self.step(later(800), Step::DisconnectClient { name });
        }
    }

    /// Disconnects clients and subscribers at the same time.
    fn disconnects(&mut self, from: Timestamp, room: u64) {
        self.window("sse_disconnect", from, room);
        let at = |permille: u64| from.plus(Micros::new(room / 1_000 * permille));
        for client in 0..3 {
            let name = format!("drill-leaver-{client}");
            self.step(at(100), connect(&name));
            self.step(at(100), Step::Subscribe);
            self.step(at(500), Step::DisconnectClient { name });
            self.step(at(500), Step::Unsubscribe);
        }
    }
}

fn connect(name: &str) -> Step {
    Step::ConnectClient { name: name.into() }
}

fn analyze(client: &str, gemini: Gemini) -> Step {
    Step::Analyze { client: client.into(), gemini }
}

fn answers(millis: u64, categories: &[&str]) -> Gemini {
    let categories = categories.iter().map(|category| (*category).to_owned()).collect();
    Gemini::Answers { after: Micros::new(millis * 1_000), categories }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_of_the_strategy_has_a_window_and_no_two_of_a_long_period_touch() {
        let start = Timestamp::from_secs(1_000_000);
        let drill = Drill::period(start, Micros::new(48 * 3_600 * SECOND), 7);
        let names: Vec<_> = drill.windows.iter().map(|window| window.name).collect();
        assert_eq!(names, ["session_isolation", "gemini_failure", "server_crash", "high_load", "sse_disconnect"]);
        assert!(drill.windows.windows(2).all(|pair| pair[0].to < pair[1].from));
        let faults = drill.steps.iter().filter(|(_, step)| matches!(step, Step::KillServer { .. } | Step::StopHub | Step::KillHub));
        let window = drill.windows[2].from..drill.windows[2].to;
        assert!(faults.clone().count() == 1 && faults.into_iter().all(|(at, _)| window.contains(at)));
    }
}
