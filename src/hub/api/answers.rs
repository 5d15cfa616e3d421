//! The hub's HTTP API: what its answers say (docs/hub.md, "The HTTP API"). Only what is needed is read, the rest is passed over; a
//! hub's answer may hold more than we know. What a hub need not say is read leniently: an odd value in it must not make a working
//! hub look like another program.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};

use crate::watch::{Micros, Timestamp};

/// The states that hubs name.
pub const STATES: [&str; 7] = ["starting", "ready", "restarting", "restarted", "stopping", "stopped", "error"];

/// What every hub calls itself in `server_id`.
pub const SERVER_ID: &str = "mcp-hub";

/// An answer of the API.
pub trait Answer: DeserializeOwned {
    /// Returns whether it is a hub's. Its form alone is not enough: many programs have a path `/api/health`.
    fn is_of_a_hub(&self) -> bool {
        true
    }
}

/// `GET /api/health`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Health {
    /// One of [`STATES`]. (`status` is always `ok`.)
    pub state: String,
    /// [`SERVER_ID`], in every answer that was recorded.
    #[serde(default, deserialize_with = "lenient")]
    pub server_id: Option<String>,
    /// Absent in a hub run from source.
    #[serde(default, deserialize_with = "lenient")]
    pub version: Option<String>,
    /// Event-stream subscribers: not MCP clients.
    #[serde(default, rename = "activeClients", deserialize_with = "lenient")]
    pub subscribers: Option<u32>,
    /// The servers: only their number is used, `GET /api/servers` has more.
    #[serde(default, deserialize_with = "lenient")]
    pub servers: Option<Length>,
    /// Absent until every server has started or failed.
    #[serde(default, rename = "mcpEndpoint", deserialize_with = "lenient")]
    pub mcp_endpoint: Option<McpEndpoint>,
    /// Where the hub's PID is.
    #[serde(default, deserialize_with = "lenient")]
    pub workspaces: Option<Workspaces>,
    /// The hub's clock.
    #[serde(default, deserialize_with = "instant")]
    pub timestamp: Option<Timestamp>,
}

/// MCP clients and what they are offered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct McpEndpoint {
    /// Connected MCP clients.
    #[serde(default, rename = "activeClients", deserialize_with = "lenient")]
    pub clients: Option<u32>,
    /// What is registered.
    #[serde(default, rename = "registeredCapabilities", deserialize_with = "lenient")]
    pub registered: Option<Registered>,
}

/// Numbers of registered capabilities.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Registered {
    /// Tools.
    #[serde(default, deserialize_with = "lenient")]
    pub tools: Option<u32>,
}

/// The hubs of this host, as this hub knows them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Workspaces {
    /// The key of this hub's own entry: its port.
    #[serde(default, deserialize_with = "lenient")]
    pub current: Option<String>,
    /// The entries by port.
    #[serde(default, rename = "allActive", deserialize_with = "entries")]
    pub all: BTreeMap<String, Workspace>,
}

/// One hub's entry, in the API as in its `workspaces.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Workspace {
    /// The hub's process id, in the hub's own PID namespace.
    #[serde(default, deserialize_with = "lenient")]
    pub pid: Option<u32>,
    /// The port that it listens on.
    #[serde(default, deserialize_with = "lenient")]
    pub port: Option<u16>,
    /// Its configuration files.
    #[serde(default, deserialize_with = "lenient_or_default")]
    pub config_files: Vec<String>,
    /// When it started.
    #[serde(default, rename = "startTime", deserialize_with = "instant")]
    pub started: Option<Timestamp>,
    /// Set when the hub stops itself once its last subscriber leaves (`--auto-shutdown`).
    #[serde(default, rename = "shutdownDelay", deserialize_with = "lenient")]
    pub shutdown_delay: Option<f64>,
}

impl Answer for Health {
    /// A hub reports its name. One without a name (none was ever seen) is recognised by a hub's state and by fields that only hubs
    /// have.
    fn is_of_a_hub(&self) -> bool {
        match &self.server_id {
            Some(id) => id == SERVER_ID,
            None => {
                let tells = self.subscribers.is_some() || self.servers.is_some() || self.mcp_endpoint.is_some();
                STATES.contains(&self.state.as_str()) && (tells || self.workspaces.is_some())
            }
        }
    }
}

impl Health {
    /// Whether the hub is on its way to another state: it starts, or restarts its servers.
    pub fn is_passing(&self) -> bool {
        is_passing(&self.state)
    }

    /// The port that the hub says it listens on.
    pub fn port(&self) -> Option<u32> {
        self.workspaces.as_ref()?.current.as_ref()?.parse().ok()
    }

    /// Whether the hub keeps entries of the hubs of this host at all. Its own can be missing: another hub that fails to start on the
    /// same port removes it.
    pub fn has_workspaces(&self) -> bool {
        self.workspaces.is_some()
    }

    /// This hub's own entry.
    pub fn workspace(&self) -> Option<&Workspace> {
        let workspaces = self.workspaces.as_ref()?;
        workspaces.all.get(workspaces.current.as_ref()?)
    }
}

/// Whether a hub in this state is on its way to another one. (`restarted` lasts for ever.)
pub fn is_passing(state: &str) -> bool {
    matches!(state, "starting" | "restarting")
}

impl Answer for Servers {}

/// `GET /api/servers`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Servers {
    /// The servers.
    pub servers: Vec<Server>,
    /// The hub's clock.
    #[serde(default, deserialize_with = "instant")]
    pub timestamp: Option<Timestamp>,
}

/// One server, as the hub claims it to be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Server {
    /// Its name in the configuration.
    pub name: String,
    /// `stdio`, `sse` or `streamable-http`.
    #[serde(default, rename = "transportType", deserialize_with = "lenient")]
    pub transport: Option<String>,
    /// `connected`, `connecting`, `disconnected`, `unauthorized` or `disabled`: stays `connected` after a crash.
    pub status: String,
    /// The hub's error text.
    #[serde(default, deserialize_with = "lenient")]
    pub error: Option<String>,
    /// What it offers.
    #[serde(default, deserialize_with = "capabilities")]
    pub capabilities: Capabilities,
    /// Seconds since it connected; 0 after a crash.
    #[serde(default, deserialize_with = "lenient_or_default")]
    pub uptime: f64,
    /// When it was last started.
    #[serde(default, rename = "lastStarted", deserialize_with = "instant")]
    pub last_started: Option<Timestamp>,
}

/// Numbers of capabilities: their schemas are not read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Capabilities {
    /// Tools.
    #[serde(default)]
    pub tools: Length,
}

impl Answer for FilteringStats {}

/// `GET /api/filtering/stats`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilteringStats {
    /// Whether tools are filtered.
    #[serde(default, deserialize_with = "lenient")]
    pub enabled: Option<bool>,
    /// `prompt-based`, `static` …
    #[serde(default, deserialize_with = "lenient")]
    pub mode: Option<String>,
    /// Tools before filtering.
    #[serde(default, deserialize_with = "lenient")]
    pub total_tools: Option<u32>,
    /// Tools after filtering.
    #[serde(default, deserialize_with = "lenient")]
    pub exposed_tools: Option<u32>,
    /// 0 to 1.
    #[serde(default, deserialize_with = "lenient")]
    pub cache_hit_rate: Option<f64>,
    /// 0 to 1.
    #[serde(default, deserialize_with = "lenient")]
    pub llm_cache_hit_rate: Option<f64>,
}

/// A rate in thousandths; one that is none is left out.
pub fn permille(rate: f64) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    (0.0..=1.0).contains(&rate).then(|| (rate * 1_000.0).round() as u32)
}

/// How long a JSON array is; its elements are skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Length(pub u32);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Length, A::Error> {
                let mut length = 0u32;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    length = length.saturating_add(1);
                }
                Ok(Length(length))
            }
        }
        deserializer.deserialize_seq(Counter)
    }
}

/// A value of this form; anything else is none.
fn lenient<'de, D: serde::Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).ok())
}

/// The same where there is a value for none.
fn lenient_or_default<'de, D: serde::Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    lenient(deserializer).map(Option::unwrap_or_default)
}

/// Tools come with their schemas, which are large: they are skipped, not kept. A server that is not connected may have `null` here.
fn capabilities<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Capabilities, D::Error> {
    Option::<Capabilities>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The entries that have the form of one.
fn entries<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Workspace>, D::Error> {
    let all: Option<BTreeMap<String, serde_json::Value>> = lenient(deserializer)?;
    let entry = |(key, value)| Some((key, Workspace::deserialize::<serde_json::Value>(value).ok()?));
    Ok(all.unwrap_or_default().into_iter().filter_map(entry).collect())
}

/// A time; anything else (null, a number, nonsense) is no time.
fn instant<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(Timestamp::parse))
}

/// Seconds as the hub writes them; negative ones and NaN are zero.
pub fn seconds(seconds: f64) -> Micros {
    // A float-to-integer cast saturates, which is what is wanted of nonsense.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating on purpose")]
    Micros::new((seconds * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_answers_of_every_hub_are_read() {
        for hub in ["npm-4.2.1", "fork-pino", "fork-legacy"] {
            let folder = format!("{}/tests/recordings/{hub}", env!("CARGO_MANIFEST_DIR"));
            let health: Health = serde_json::from_slice(&std::fs::read(format!("{folder}/health.json")).unwrap()).unwrap();
            assert_eq!(health.state, "ready");
            assert!(health.workspace().unwrap().pid.is_some());
            let servers: Servers =
                serde_json::from_slice(&std::fs::read(format!("{folder}/servers-after-crash.json")).unwrap()).unwrap();
            let filesystem = servers.servers.iter().find(|server| server.name == "filesystem").unwrap();
            assert_eq!(filesystem.capabilities.tools, Length(14));
            assert_eq!((filesystem.status.as_str(), filesystem.uptime), ("connected", 0.0));
        }
    }

    fn is_of_a_hub(answer: &str) -> bool {
        serde_json::from_str::<Health>(answer).is_ok_and(|health| health.is_of_a_hub())
    }

    #[test]
    fn a_hub_is_known_by_what_it_tells_and_an_odd_value_makes_it_no_other_program() {
        for hub in ["npm-4.2.1", "fork-pino", "fork-legacy"] {
            let path = format!("{}/tests/recordings/{hub}/health.json", env!("CARGO_MANIFEST_DIR"));
            let mut health: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            assert!(is_of_a_hub(&health.to_string()), "{hub}");
            // While it starts, much is absent.
            for absent in ["mcpEndpoint", "workspaces", "version", "servers", "connections"] {
                health.as_object_mut().unwrap().remove(absent);
            }
            health["state"] = "starting".into();
            health["activeClients"] = "many".into();
            assert!(is_of_a_hub(&health.to_string()), "{hub}");
        }
        assert!(is_of_a_hub(r#"{"status":"ok","state":"ready","activeClients":0}"#));
        let others = [
            "{}",
            "[]",
            r#"{"status":"ok"}"#,
            r#"{"status":"ok","state":"ready"}"#,
            r#"{"state":"UP","servers":[]}"#,
            r#"{"status":"ok","state":"ready","server_id":"other","servers":[]}"#,
            r#"{"state":7,"server_id":"mcp-hub"}"#,
        ];
        for other in others {
            assert!(!is_of_a_hub(other), "{other}");
        }
    }

    #[test]
    fn a_broken_entry_of_another_hub_takes_nothing_from_this_one() {
        let health = r#"{"state":"ready","server_id":"mcp-hub","workspaces":{"current":"1","allActive":{"1":{"pid":7},"2":3,"3":{"pid":-1}}}}"#;
        let health: Health = serde_json::from_str(health).unwrap();
        assert_eq!(health.workspace().unwrap().pid, Some(7));
        assert_eq!(health.workspaces.unwrap().all.len(), 2);
    }

    #[test]
    fn the_recorded_filtering_stats_are_read() {
        for hub in ["fork-pino", "fork-legacy"] {
            let path = format!("{}/tests/recordings/{hub}/filtering-stats.json", env!("CARGO_MANIFEST_DIR"));
            let stats: FilteringStats = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            assert_eq!((stats.mode.as_deref(), stats.total_tools, stats.exposed_tools), (Some("prompt-based"), Some(14), Some(14)));
        }
    }

    #[test]
    fn seconds_of_nonsense_are_zero_or_the_most() {
        assert_eq!(seconds(-1.0).get(), 0);
        assert_eq!(seconds(f64::NAN).get(), 0);
        assert_eq!(seconds(1.5).get(), 1_500_000);
    }
}
