//! Which hub is simulated.

use crate::watch::Micros;

/// The two hubs that were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// The public package, `mcp-hub@4.2.1` (recording `npm-4.2.1`): no meta-tool, no filtering.
    Npm,
    /// The hub with prompt-based tool filtering and `hub__analyze_prompt` (recordings `fork-*`).
    Fork,
}

/// How the hub writes its log.
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
    /// Whether it comes up: the recorded `github` server never does, for want of a token.
    pub starts: bool,
    /// How long it takes to connect, give or take a tenth. Servers that are fetched first (`npx`, `uvx`) take seconds.
    pub connects_after: Micros,
}

impl ServerPlan {
    /// A server that connects as fast as the recorded filesystem server.
    pub fn working(name: &str) -> Self {
        Self { name: name.to_owned(), starts: true, connects_after: Micros::new(536_000) }
    }

    /// A server that never comes up.
    pub fn failing(name: &str) -> Self {
        Self { name: name.to_owned(), starts: false, connects_after: Micros::new(124_000) }
    }
}

/// Everything that is fixed about a simulated hub.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Which hub.
    pub flavor: Flavor,
    /// How it logs. [`Logger::Pino`] only with [`Flavor::Fork`].
    pub logger: Logger,
    /// Where all its noise comes from: the same seed and steps give the same lines, byte for byte.
    pub seed: u64,
    /// The port in its lines and bodies.
    pub port: u16,
    /// `version` of `/api/health`; the fork, run from source, has none.
    pub version: Option<String>,
    /// The process id of the first start; every later start has a higher one.
    pub pid: u32,
    /// How many tools each working server has (14 in every recording).
    pub tools: usize,
    /// The least and the most lines of a disconnect storm (1,963 and 3,696 in the recordings).
    pub storm_lines: (u32, u32),
    /// The configured servers.
    pub servers: Vec<ServerPlan>,
    /// How long after its crash the hub starts a server again by itself. Neither recorded hub ever does.
    pub reconnects_after: Option<Micros>,
    /// Whether the checkpoint lines keep their fields, session ids among them, with every logger. They don't in the recordings.
    pub logs_in_order: bool,
    /// `hostname` of the pino lines.
    pub hostname: String,
    /// The hub's working directory.
    pub cwd: String,
    /// The hub's configuration file.
    pub config_file: String,
    /// Whether it was started with `--watch`: then it reloads its configuration when that changes.
    pub watches_config: bool,
}

impl Profile {
    /// The public hub, as in the recording `npm-4.2.1`.
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
        }
    }

    /// The fork with JSON lines, as in the recording `fork-pino`.
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

    /// The fork with its default logger, as in the recording `fork-legacy`.
    pub fn fork_legacy() -> Self {
        Self { logger: Logger::Legacy, pid: 10_166, ..Self::fork_pino() }
    }

    /// The fork as it should become: it starts crashed servers again after this time, loses no session ids, and a client that leaves
    /// costs one line instead of a storm.
    pub fn mended(reconnects_after: Micros) -> Self {
        Self {
            version: Some("4.4.0".into()),
            storm_lines: (1, 1),
            reconnects_after: Some(reconnects_after),
            logs_in_order: true,
            ..Self::fork_pino()
        }
    }

    pub(super) fn is_fork(&self) -> bool {
        self.flavor == Flavor::Fork
    }
}
