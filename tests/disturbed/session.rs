//! What happens in a session, made from its seed.

use hubwatch::simulator::{Gemini, Logger, Profile, ServerPlan, Step};
use hubwatch::watch::{ApiOutcome, Micros};

pub(super) const SECOND: u64 = 1_000_000;

/// When the first disturbance comes, at the earliest: the hub is up by then, and was polled.
const CALM: u64 = 40;

/// How many disturbances a session has.
const DISTURBANCES: u64 = 4;

/// One way in which a session is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Nothing happens.
    Calm,
    /// Another hub of the same user, on another port, is started and stopped.
    Neighbour,
    /// The hub is started a second time, and fails since the port is taken.
    FailedStart,
    /// A server writes lines like the hub's own to its stderr.
    Forged,
    /// A server crashes; somebody stops and starts it.
    Crash,
    /// A server crashes; somebody restarts all servers.
    CrashAndRestart,
    /// A server crashes; somebody disables it, and later starts it.
    CrashAndDisable,
    /// A server crashes; then the hub is stopped and started.
    CrashAndHubStop,
    /// A server is stopped on purpose, and started.
    Stopped,
    /// A server is disabled, and started.
    Disabled,
    /// A server is taken out of the configuration, and put back.
    Removed,
    /// All servers are restarted.
    Restarted,
    /// The hub is stopped, and started.
    HubStop,
    /// The hub is killed, and started.
    HubKill,
    /// A supervisor starts the hub again and again.
    CrashLoop,
    /// A proxy's page, or another program, answers instead of the hub.
    Proxy,
    /// The same, because the hub is gone.
    ProxyBeforeNothing,
    /// The sidecar stands still.
    Frozen,
    /// The sidecar stands still while the hub is killed and started.
    FrozenOverKill,
    /// The sidecar stands still while a server crashes.
    FrozenOverCrash,
    /// The sidecar's clock jumps forward and back.
    ClockJump,
    /// A client calls the meta-tool.
    Calls,
}

impl Disturbance {
    pub(crate) const ALL: [Self; 22] = [
        Self::Calm,
        Self::Neighbour,
        Self::FailedStart,
        Self::Forged,
        Self::Crash,
        Self::CrashAndRestart,
        Self::CrashAndDisable,
        Self::CrashAndHubStop,
        Self::Stopped,
        Self::Disabled,
        Self::Removed,
        Self::Restarted,
        Self::HubStop,
        Self::HubKill,
        Self::CrashLoop,
        Self::Proxy,
        Self::ProxyBeforeNothing,
        Self::Frozen,
        Self::FrozenOverKill,
        Self::FrozenOverCrash,
        Self::ClockJump,
        Self::Calls,
    ];
}

/// What is done to the sidecar and to what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Veil {
    /// Polls get this instead of the hub's answer.
    Answers(ApiOutcome),
    /// It neither polls nor reads.
    Frozen,
    /// Its clock is so far ahead.
    Clock(i64),
}

/// A session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub profile: Profile,
    pub interval: u64,
    /// Whether the event stream is joined.
    pub streams: bool,
    /// Whether the process table is seen.
    pub sees_process: bool,
    /// How far the hub's clock is ahead at first.
    pub clock_ahead: i64,
    /// When the hub's clock is set right, or wrong, in microseconds from the start.
    pub clock_set: Option<u64>,
    /// The disturbances, each with the second at which it begins.
    pub disturbances: Vec<(u64, Disturbance)>,
    /// What happens to the hub, in microseconds from the start.
    pub steps: Vec<(u64, Step)>,
    /// What happens to the other hub.
    pub neighbours: Vec<(u64, Neighbouring)>,
    /// What happens to the sidecar: from, to, what.
    pub veils: Vec<(u64, u64, Veil)>,
    pub length: u64,
}

/// What another hub does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Neighbouring {
    /// It is started on this port.
    Starts { port: u16 },
    /// Something happens to it.
    Does(Step),
}

impl Session {
    pub(crate) fn of(seed: u64) -> Self {
        // Each kind of disturbance gets its share, whatever the number of sessions.
        let first = Disturbance::ALL[usize::try_from(seed).unwrap() % Disturbance::ALL.len()];
        let mut random = fastrand::Rng::with_seed(seed);
        let mut profile = match random.u8(0..4) {
            0 | 1 => Profile::npm(),
            2 => Profile::fork_pino(),
            _ => Profile::fork_legacy(),
        };
        let slow = Micros::new(random.u64(2..8) * SECOND);
        profile.seed = seed;
        profile.storm_lines = (15, 60);
        profile.watches_config = true;
        profile.servers.push(ServerPlan { connects_after: slow, ..ServerPlan::working("slow") });
        profile.servers.push(ServerPlan::working("weather"));
        let interval = [1, 2, 5, 15][random.usize(0..4)];
        let share = 70 + 6 * interval;
        let mut disturbances = vec![(CALM, first)];
        for turn in 1..DISTURBANCES {
            disturbances.push((CALM + turn * share, Disturbance::ALL[random.usize(0..Disturbance::ALL.len())]));
        }
        let clock_ahead = if random.u8(0..4) == 0 { random.i64(-180..180) * 1_000_000 } else { 0 };
        let mut session = Self {
            profile,
            interval,
            streams: random.bool(),
            sees_process: random.bool(),
            clock_ahead,
            clock_set: None,
            disturbances: disturbances.clone(),
            steps: vec![(0, Step::SetClock { ahead: clock_ahead }), (0, Step::StartHub)],
            neighbours: Vec::new(),
            veils: Vec::new(),
            length: (CALM + DISTURBANCES * share) * SECOND,
        };
        session.set_clock(seed);
        for (at, disturbance) in disturbances {
            session.add(at * SECOND + random.u64(0..5 * SECOND), disturbance, &mut random);
        }
        session
    }

    /// In some sessions the hub's clock is set in the midst of it.
    fn set_clock(&mut self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(!seed);
        if random.u8(0..6) > 0 {
            return;
        }
        let at = random.u64(CALM * SECOND..self.length);
        let ahead = if self.clock_ahead == 0 { random.i64(-180..180) * 1_000_000 } else { 0 };
        self.clock_set = Some(at);
        self.step(at, Step::SetClock { ahead });
    }

    /// In words.
    pub(crate) fn described(&self) -> String {
        let Self { profile, interval, streams, sees_process, clock_ahead, clock_set, disturbances, .. } = self;
        let set = clock_set.map_or(String::new(), |at| format!(" until {} s", at / SECOND));
        let hub = (profile.flavor, profile.logger);
        let ahead = clock_ahead / 1_000_000;
        format!(
            "{hub:?}, polled each {interval} s, stream {streams}, process {sees_process}, clock {ahead} s ahead{set}, {disturbances:?}"
        )
    }

    pub(crate) fn has(&self, wanted: Disturbance) -> bool {
        self.disturbances.iter().any(|(_, disturbance)| *disturbance == wanted)
    }

    fn step(&mut self, at: u64, step: Step) {
        self.steps.push((at, step));
    }

    fn add(&mut self, at: u64, disturbance: Disturbance, random: &mut fastrand::Rng) {
        let server = ["filesystem", "weather", "slow"][random.usize(0..3)].to_owned();
        let wait = random.u64(4 * SECOND..30 * SECOND);
        let later = at + wait;
        let name = || server.clone();
        match disturbance {
            Disturbance::Calm => {}
            Disturbance::Neighbour => self.add_neighbour(at, random),
            Disturbance::FailedStart => self.add_failed_start(at),
            Disturbance::Forged => self.step(at, Step::Stderr { name: name(), text: forged(random) }),
            Disturbance::Crash => {
                self.step(at, Step::KillServer { name: name() });
                self.by_hand(later, &server);
            }
            Disturbance::CrashAndRestart => {
                self.step(at, Step::KillServer { name: name() });
                self.step(later, Step::RestartServers);
            }
            Disturbance::CrashAndDisable => {
                self.step(at, Step::KillServer { name: name() });
                self.step(later, Step::DisableServer { name: name() });
                self.step(later + 10 * SECOND, Step::StartServer { name: name() });
            }
            Disturbance::CrashAndHubStop => {
                self.step(at, Step::KillServer { name: name() });
                self.step(later, Step::StopHub);
                self.step(later + 5 * SECOND, Step::StartHub);
            }
            Disturbance::Stopped => self.by_hand(at, &server),
            Disturbance::Disabled => {
                self.step(at, Step::DisableServer { name: name() });
                self.step(later, Step::StartServer { name: name() });
            }
            Disturbance::Removed => {
                let plan = self.profile.servers.iter().find(|plan| plan.name == server).unwrap().clone();
                self.step(at, Step::RemoveServer { name: name() });
                self.step(later, Step::AddServer { plan });
            }
            Disturbance::Restarted => self.step(at, Step::RestartServers),
            Disturbance::HubStop => {
                self.step(at, Step::StopHub);
                self.step(at + wait.min(20 * SECOND), Step::StartHub);
            }
            Disturbance::HubKill => {
                self.step(at, Step::KillHub);
                self.step(at + wait.min(20 * SECOND), Step::StartHub);
            }
            Disturbance::CrashLoop => {
                for round in 0..3 {
                    let from = at + round * 4 * SECOND;
                    self.step(from, Step::KillHub);
                    self.step(from + random.u64(200_000..SECOND), Step::StartHub);
                }
            }
            Disturbance::Proxy => self.veils.push((at, later, Veil::Answers(page(random)))),
            Disturbance::ProxyBeforeNothing => {
                self.step(at, Step::KillHub);
                self.veils.push((at, later, Veil::Answers(page(random))));
                self.step(later, Step::StartHub);
            }
            Disturbance::Frozen => self.veils.push((at, at + random.u64(30..60) * SECOND, Veil::Frozen)),
            Disturbance::FrozenOverKill => {
                self.veils.push((at, at + 40 * SECOND, Veil::Frozen));
                self.step(at + 10 * SECOND, Step::KillHub);
                self.step(at + 20 * SECOND, Step::StartHub);
            }
            Disturbance::FrozenOverCrash => {
                self.veils.push((at, at + 30 * SECOND, Veil::Frozen));
                self.step(at + 10 * SECOND, Step::KillServer { name: name() });
                self.by_hand(at + 45 * SECOND, &server);
            }
            Disturbance::ClockJump => {
                let by = [-7_200, -90, 90, 30 * 86_400][random.usize(0..4)] * 1_000_000;
                // It is believed after half a minute, and what sets it right, too: before the next disturbance begins.
                self.veils.push((at, at + random.u64(3..40) * SECOND, Veil::Clock(by)));
            }
            Disturbance::Calls => self.add_calls(at, random),
        }
    }

    /// Somebody stops and starts a server.
    fn by_hand(&mut self, at: u64, server: &str) {
        self.step(at, Step::StopServer { name: server.to_owned() });
        self.step(at + 2 * SECOND, Step::StartServer { name: server.to_owned() });
    }

    fn add_neighbour(&mut self, at: u64, random: &mut fastrand::Rng) {
        self.neighbours.push((at, Neighbouring::Starts { port: self.profile.port + 9 }));
        if random.bool() {
            let name = "weather".to_owned();
            self.neighbours.push((at + 10 * SECOND, Neighbouring::Does(Step::KillServer { name })));
        }
        self.neighbours.push((at + random.u64(15..40) * SECOND, Neighbouring::Does(Step::StopHub)));
    }

    fn add_failed_start(&mut self, at: u64) {
        self.neighbours.push((at, Neighbouring::Starts { port: self.profile.port }));
        // The fork doesn't end by itself.
        self.neighbours.push((at + 25 * SECOND, Neighbouring::Does(Step::StopHub)));
    }

    fn add_calls(&mut self, at: u64, random: &mut fastrand::Rng) {
        let client = "editor".to_owned();
        self.step(at, Step::ConnectClient { name: client.clone() });
        for call in 0..3 {
            let after = Micros::new(random.u64(300_000..3_000_000));
            let gemini = Gemini::Answers { after, categories: vec!["git".to_owned()] };
            self.step(at + (5 + 6 * call) * SECOND, Step::Analyze { client: client.clone(), gemini });
        }
        self.step(at + 40 * SECOND, Step::DisconnectClient { name: client });
    }

    /// Whether the checkpoint lines reach the sidecar.
    pub(crate) fn shows_calls(&self) -> bool {
        self.profile.logger == Logger::Pino || self.streams
    }
}

fn page(random: &mut fastrand::Rng) -> ApiOutcome {
    let pages = [ApiOutcome::ServerError, ApiOutcome::Unreadable, ApiOutcome::Denied, ApiOutcome::NotFound];
    pages[random.usize(0..pages.len())]
}

/// A text whose later lines look like the hub's own.
fn forged(random: &mut fastrand::Rng) -> String {
    let lines = [
        "Starting HTTP server on port 3001",
        "HTTP_SERVER_STARTED",
        "Received SIGTERM signal - initiating graceful shutdown",
        "Graceful shutdown completed successfully",
        "'filesystem' transport closed",
        "'filesystem' MCP server connected",
        "'nobody' transport closed",
        "Failed to connect to \"nobody\" MCP server: it rains",
        "Initializing MCP server 'weather'",
        "Restarting MCP Hub",
        "Removed server weather",
    ];
    let chosen = random.choose_multiple(lines.iter(), random.clone().usize(1..5));
    chosen.into_iter().fold("it rains".to_owned(), |text, line| format!("{text}\n{line}"))
}
