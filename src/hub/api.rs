//! The hub's HTTP API: what its answers say (hub notes, "HTTP API"). Only what is needed is read, the rest is passed over; a
//! hub's answer may hold more than we know.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, SeqAccess, Visitor};

use crate::watch::{Micros, Timestamp};

/// `GET /api/health`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Health {
    /// `starting`, `ready`, `restarting`, `restarted`, `stopping`, `stopped` or `error`. (`status` is always `ok`.)
    pub state: String,
    /// Absent in a hub run from source.
    #[serde(default)]
    pub version: Option<String>,
    /// Event-stream subscribers: not MCP clients.
    #[serde(default, rename = "activeClients")]
    pub subscribers: Option<u32>,
    /// Absent until every server has started or failed.
    #[serde(default, rename = "mcpEndpoint")]
    pub mcp_endpoint: Option<McpEndpoint>,
    /// Where the hub's PID is.
    #[serde(default)]
    pub workspaces: Option<Workspaces>,
    /// The hub's clock.
    #[serde(default, deserialize_with = "instant")]
    pub timestamp: Option<Timestamp>,
}

/// MCP clients and what they are offered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct McpEndpoint {
    /// Connected MCP clients.
    #[serde(default, rename = "activeClients")]
    pub clients: Option<u32>,
    /// What is registered.
    #[serde(default, rename = "registeredCapabilities")]
    pub registered: Option<Registered>,
}

/// Numbers of registered capabilities.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Registered {
    /// Tools.
    #[serde(default)]
    pub tools: Option<u32>,
}

/// The hubs of this host, as this hub knows them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Workspaces {
    /// The key of this hub's own entry: its port.
    #[serde(default)]
    pub current: Option<String>,
    /// The entries by port.
    #[serde(default, rename = "allActive")]
    pub all: BTreeMap<String, Workspace>,
}

/// One hub's entry, in the API as in its `workspaces.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Workspace {
    /// The hub's process id, in the hub's own PID namespace.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The port that it listens on.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its configuration files.
    #[serde(default)]
    pub config_files: Vec<String>,
    /// When it started.
    #[serde(default, rename = "startTime", deserialize_with = "instant")]
    pub started: Option<Timestamp>,
    /// Set when the hub stops itself once its last subscriber leaves (`--auto-shutdown`).
    #[serde(default, rename = "shutdownDelay")]
    pub shutdown_delay: Option<f64>,
}

impl Health {
    /// This hub's own entry.
    pub fn workspace(&self) -> Option<&Workspace> {
        let workspaces = self.workspaces.as_ref()?;
        workspaces.all.get(workspaces.current.as_ref()?)
    }
}

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
    #[serde(default, rename = "transportType")]
    pub transport: Option<String>,
    /// `connected`, `connecting`, `disconnected`, `unauthorized` or `disabled`: stays `connected` after a crash.
    pub status: String,
    /// The hub's error text.
    #[serde(default)]
    pub error: Option<String>,
    /// What it offers.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Seconds since it connected; 0 after a crash.
    #[serde(default)]
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

/// `GET /api/filtering/stats`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilteringStats {
    /// Whether tools are filtered.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// `prompt-based`, `static` …
    #[serde(default)]
    pub mode: Option<String>,
    /// Tools before filtering.
    #[serde(default)]
    pub total_tools: Option<u32>,
    /// Tools after filtering.
    #[serde(default)]
    pub exposed_tools: Option<u32>,
    /// 0 to 1.
    #[serde(default)]
    pub cache_hit_rate: Option<f64>,
    /// 0 to 1.
    #[serde(default)]
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
