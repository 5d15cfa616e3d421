//! Profiles of simulated hubs.

use super::behaviour::Behaviour;
use super::tools::Toolset;
use crate::watch::Micros;

/// The two recorded hubs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// The public package, `mcp-hub@4.2.1` (recording `npm-4.2.1`): no meta-tool, no filtering.
    Npm,
    /// The hub with prompt-based tool filtering and `hub__analyze_prompt` (recordings `fork-*`).
    Fork,
}

/// The format of the hub's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logger {
    /// Bare texts in a file that is emptied at each start; JSON on stdout (recordings `npm-4.2.1`, `fork-legacy`).
    Legacy,
    /// JSON lines, appended (recording `fork-pino`). Only the fork has it.
    Pino,
}

/// A server of the hub's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// Its name in the configuration.
    pub name: String,
    /// False if it never starts: the recorded `github` server has no token.
    pub starts: bool,
    /// Its connect time, with a tolerance of ten percent. Servers that are downloaded first (`npx`, `uvx`) take seconds.
    pub connects_after: Micros,
    /// Its tools.
    pub toolset: Toolset,
    /// False if it can't be started again once it has ended.
    pub starts_again: bool,
}

impl ServerPlan {
    /// Creates a server that connects as fast as the recorded filesystem server.
    pub fn working(name: &str) -> Self {
        let connects_after = Micros::new(536_000);
        Self { name: name.to_owned(), starts: true, connects_after, toolset: Toolset::Filesystem, starts_again: true }
    }

    /// Creates a server with the three tools of the stand-ins in the recordings of MCP clients.
    pub fn stand_in(name: &str) -> Self {
        Self { toolset: Toolset::StandIn, ..Self::working(name) }
    }

    /// Creates a server that never starts.
    pub fn failing(name: &str) -> Self {
        Self { starts: false, connects_after: Micros::new(124_000), ..Self::working(name) }
    }
}

/// All constants of a simulated hub.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The hub.
    pub flavor: Flavor,
    /// Its logger. [`Logger::Pino`] only with [`Flavor::Fork`].
    pub logger: Logger,
    /// The seed of all its noise: the same seed and steps give the same lines, byte for byte.
    pub seed: u64,
    /// The port in its lines and bodies.
    pub port: u16,
    /// `version` of `/api/health`; the fork, run from source, has none.
    pub version: Option<String>,
    /// The process id of the first start; every later start has a higher one.
    pub pid: u32,
    /// Number of tools of each working server with [`Toolset::Filesystem`] (14 in every recording).
    pub tools: usize,
    /// Minimum and maximum number of lines of a disconnect storm (1,963 and 3,696 in the recordings).
    pub storm_lines: (u32, u32),
    /// The configured servers.
    pub servers: Vec<ServerPlan>,
    /// The time after which the hub restarts a crashed server by itself. Neither recorded hub ever does.
    pub reconnects_after: Option<Micros>,
    /// True if the checkpoint lines keep their fields, session ids included, with every logger. They don't in the recordings.
    pub logs_in_order: bool,
    /// `hostname` of the pino lines.
    pub hostname: String,
    /// The hub's working directory.
    pub cwd: String,
    /// The hub's configuration file.
    pub config_file: String,
    /// True if started with `--watch`, so that it reloads its configuration when the file changes.
    pub watches_config: bool,
    /// The time of each round of requests to a Gemini that fails, with a tolerance of ten percent.
    pub gemini_rounds: [Micros; 3],
    /// How it treats MCP clients.
    pub behaviour: Behaviour,
}

/// One round of three HTTP requests with the SDK's own backoff (recorded: 4.7 to 5.5 s, then 5.3 to 5.9 s, then 6.7 to 7.4 s).
const GEMINI_ROUNDS: [Micros; 3] = [Micros::new(4_900_000), Micros::new(5_500_000), Micros::new(6_900_000)];

impl Profile {
    /// Returns the public hub, as in the recording `npm-4.2.1`.
    pub fn npm() -> Self {
        Self {
            flavor: Flavor::Npm,
            logger: Logger::Legacy,
            seed: 1,
            port: 7001,
            version: Some("4.2.1".into()),
            pid: 12_993,
            tools: 14,
            storm_lines: (1_963, 3_696),
            servers: vec![ServerPlan::working("filesystem"), ServerPlan::failing("github")],
            reconnects_after: None,
            logs_in_order: false,
            hostname: "staging-1".into(),
            cwd: "/srv/staging".into(),
            config_file: "/srv/staging/mcp-plain.json".into(),
            watches_config: false,
            gemini_rounds: GEMINI_ROUNDS,
            behaviour: Behaviour::default(),
        }
    }

    /// Returns the fork with JSON lines, as in the recording `fork-pino`.
    pub fn fork_pino() -> Self {
        Self {
            flavor: Flavor::Fork,
            logger: Logger::Pino,
            port: 7000,
            version: None,
            pid: 8_668,
            cwd: "/srv/mcp-hub".into(),
            config_file: "/srv/staging/mcp-servers.json".into(),
            ..Self::npm()
        }
    }

    /// Returns the fork with its default logger, as in the recording `fork-legacy`.
    pub fn fork_legacy() -> Self {
        Self { logger: Logger::Legacy, pid: 10_166, ..Self::fork_pino() }
    }

    /// Returns the fork without the known defects: it restarts crashed servers after this time, keeps session ids, logs one
    /// line instead of a storm when a client leaves, answers calls of tools, and survives clients that leave during a call.
    pub fn mended(reconnects_after: Micros) -> Self {
        Self {
            version: Some("4.4.0".into()),
            storm_lines: (1, 1),
            reconnects_after: Some(reconnects_after),
            logs_in_order: true,
            behaviour: Behaviour { tools_work: true, survives_leaving: true, ..Behaviour::default() },
            ..Self::fork_pino()
        }
    }

    pub(super) fn is_fork(&self) -> bool {
        self.flavor == Flavor::Fork
    }
}
