//! Acting on a hub: what changes something there. Only scenarios do, when a user starts one.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::Answer;
use super::client::{HubClient, Timed, read};
use crate::watch::{ApiOutcome, Micros};

/// A server that is started may be downloaded by `npx` first.
pub const START_TIMEOUT: Duration = Duration::from_secs(120);

/// `GET /api/servers` with the tools of each server, as far as a client that looks for a harmless one needs them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ServersWithTools {
    /// The servers.
    pub servers: Vec<ServerWithTools>,
}

impl Answer for ServersWithTools {}

/// A server with its tools.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ServerWithTools {
    /// Its name in the configuration.
    pub name: String,
    /// `connected`, `disconnected` …
    pub status: String,
    /// `stdio`, `sse` or `streamable-http`.
    #[serde(default, rename = "transportType")]
    pub transport: Option<String>,
    /// Seconds since it connected; 0 after a crash.
    #[serde(default)]
    pub uptime: Option<f64>,
    /// What it offers.
    #[serde(default)]
    pub capabilities: Option<Offers>,
}

/// What a server offers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Offers {
    /// Its tools.
    #[serde(default)]
    pub tools: Vec<Tool>,
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Tool {
    /// Its name, without the server's.
    pub name: String,
    /// What it says of itself.
    #[serde(default)]
    pub annotations: Option<Annotations>,
    /// What it must be given.
    #[serde(default, rename = "inputSchema")]
    pub input: Option<Input>,
}

/// What a tool says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Annotations {
    /// It changes nothing.
    #[serde(default, rename = "readOnlyHint")]
    pub read_only: Option<bool>,
}

/// A tool's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Input {
    /// Those that must be given.
    #[serde(default)]
    pub required: Vec<String>,
}

impl Tool {
    /// Whether it can be called by anybody at any time: it says that it changes nothing, and needs no argument.
    pub fn is_harmless(&self) -> bool {
        let read_only = self.annotations.as_ref().and_then(|annotations| annotations.read_only) == Some(true);
        read_only && self.input.as_ref().is_none_or(|input| input.required.is_empty())
    }
}

/// The parts of `GET /api/config` that decide what may be done. The rest may hold keys: it is skipped while it is read, never kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilteringConfig {
    /// Whether each session has tools of its own; `false` is known to stop the hub at the first meta-tool call.
    pub session_isolation: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigAnswer {
    config: Option<ConfigPart>,
    #[serde(rename = "toolFiltering")]
    filtering: Option<FilteringPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigPart {
    #[serde(rename = "toolFiltering")]
    filtering: Option<FilteringPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FilteringPart {
    #[serde(rename = "promptBasedFiltering")]
    prompt_based: Option<PromptBasedPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PromptBasedPart {
    #[serde(rename = "sessionIsolation")]
    session_isolation: Option<bool>,
}

impl Answer for ConfigAnswer {}

impl HubClient {
    /// `GET /api/servers` with the servers' tools.
    pub async fn servers_with_tools(&self) -> Timed<ServersWithTools> {
        self.get("/api/servers").await
    }

    /// The settings of `GET /api/config` that decide what may be done; `None` if the hub doesn't tell.
    pub async fn filtering_config(&self) -> Option<FilteringConfig> {
        let (answer, _) = self.get::<ConfigAnswer>("/api/config").await;
        let answer = answer.ok()?;
        let filtering = answer.config.and_then(|config| config.filtering).or(answer.filtering);
        Some(FilteringConfig { session_isolation: filtering.and_then(|part| part.prompt_based)?.session_isolation })
    }

    /// Has the hub stop a server. Returns what the hub answers if it does not.
    ///
    /// # Errors
    /// The hub refuses, or does not answer.
    pub async fn stop_server(&self, name: &str) -> Result<(), String> {
        self.post("/api/servers/stop", &json!({"server_name": name})).await.0.map(drop)
    }

    /// Has the hub start a server; the answer comes when it is connected, or could not be.
    ///
    /// # Errors
    /// The hub refuses, does not answer, or could not connect the server.
    pub async fn start_server(&self, name: &str) -> Result<(), String> {
        let answer = self.post("/api/servers/start", &json!({"server_name": name})).await.0?;
        match answer["server"]["status"].as_str() {
            Some("connected") | None => Ok(()),
            Some(other) => Err(format!("the hub answers that {name} is {other}")),
        }
    }

    /// Has a server run a tool, by the hub's own API instead of MCP.
    ///
    /// # Errors
    /// What the hub answers: its own error, or why it did not answer.
    pub async fn call_tool(&self, server: &str, tool: &str, arguments: &Value) -> (Result<Value, String>, Micros) {
        self.post("/api/servers/tools", &json!({"server_name": server, "tool": tool, "arguments": arguments})).await
    }

    async fn post(&self, path: &str, body: &Value) -> (Result<Value, String>, Micros) {
        let begun = Instant::now();
        let answer = self.posted(path, body).await;
        (answer, Micros::from_duration(begun.elapsed()))
    }

    async fn posted(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = self.request_without_limit(path).timeout(START_TIMEOUT);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.map_err(|error| crate::base::causes::of(&error))?;
        let status = response.status();
        let body = read(response).await.map_err(|outcome: ApiOutcome| format!("POST {path} answered {status}: {outcome}"))?;
        let answer: Value =
            serde_json::from_slice(&body).map_err(|_| format!("POST {path} answered {status} without JSON: {}", excerpt(&body)))?;
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer["error"].as_str().map_or_else(|| excerpt(&body), str::to_owned);
        Err(format!("POST {path} answered {status}: {said}"))
    }
}

/// The beginning of an answer, for people.
fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 120;
    String::from_utf8_lossy(body).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_harmless_if_it_says_so_and_needs_nothing() {
        let of = |text: &str| serde_json::from_str::<Tool>(text).unwrap().is_harmless();
        assert!(of(r#"{"name":"list","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object"}}"#));
        assert!(!of(r#"{"name":"read","annotations":{"readOnlyHint":true},"inputSchema":{"required":["path"]}}"#));
        assert!(!of(r#"{"name":"write","annotations":{"readOnlyHint":false}}"#));
        assert!(!of(r#"{"name":"silent"}"#));
    }

    #[test]
    fn the_recorded_servers_have_a_harmless_tool() {
        for hub in ["npm-4.2.1", "fork-pino", "fork-legacy"] {
            let path = format!("{}/tests/recordings/{hub}/servers-after-crash.json", env!("CARGO_MANIFEST_DIR"));
            let servers: ServersWithTools = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let filesystem = servers.servers.iter().find(|server| server.name == "filesystem").unwrap();
            let tools = filesystem.capabilities.as_ref().unwrap().tools.iter();
            let harmless: Vec<&str> = tools.filter(|tool| tool.is_harmless()).map(|tool| tool.name.as_str()).collect();
            assert_eq!(harmless, ["list_allowed_directories"], "{hub}");
        }
    }
}
