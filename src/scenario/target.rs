//! What a scenario acts on, and how far it may go.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::patience::Patience;
use super::plan::Allow;
use crate::hub::client::HubClient;
use crate::mcp::Endpoint;
use crate::process::{ApiProcess, HubProcess};
use crate::watch::{Environment, HubName};

/// Reads the hub's process, given what its API reports of it.
pub type ProcessSource = Box<dyn FnMut(ApiProcess) -> Option<HubProcess>>;

/// The hub that a scenario acts on.
pub struct Target {
    /// Its HTTP API.
    pub hub: HubClient,
    /// Its MCP endpoint.
    pub endpoint: Endpoint,
    /// What reports call it.
    pub name: HubName,
    /// Where it runs.
    pub environment: Environment,
    /// The state folder: results wait there for the watch, and what must be put back is noted there.
    pub state_dir: PathBuf,
    /// Its log file, where it is visible.
    pub log: Option<PathBuf>,
    /// Reads its process; `None` where it is not visible.
    pub process: Option<RefCell<ProcessSource>>,
}

/// How many clients `high_load` has: the strategy's number.
pub const CLIENTS: usize = 10;

/// With more clients than this a hub is blocked for minutes when they leave; 50 take 26 s.
pub const MOST_CLIENTS: usize = 50;

/// How often `soak` acts: as often as the strategy's light health check.
pub const EVERY: Duration = Duration::from_secs(300);

/// How long `soak` goes on: the strategy's period.
pub const SOAK: Duration = Duration::from_secs(48 * 3600);

/// How far scenarios may go, and with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the user allows.
    pub allow: BTreeSet<Allow>,
    /// How many clients `high_load` has.
    pub clients: usize,
    /// Tools (`SERVER__TOOL`) that may be called without arguments beside those that say that they change nothing.
    pub probes: Vec<String>,
    /// The server that `server_crash` kills; the first one that can be killed if `None`.
    pub server: Option<String>,
    /// The file by which the hub's instrumentation is told to answer in Gemini's place.
    pub fault_file: Option<PathBuf>,
    /// How often `soak` acts.
    pub every: Duration,
    /// How long `soak` and `half_open` go on; each has its own default.
    pub length: Option<Duration>,
    /// How long they wait for what should happen.
    pub patience: Patience,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow: BTreeSet::new(),
            clients: CLIENTS,
            probes: Vec::new(),
            server: None,
            fault_file: None,
            every: EVERY,
            length: None,
            patience: Patience::default(),
        }
    }
}

impl Options {
    /// Whether the user allows it.
    pub fn allows(&self, what: Allow) -> bool {
        self.allow.contains(&what)
    }
}
