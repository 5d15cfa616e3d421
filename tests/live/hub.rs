//! A real hub with real MCP servers, on free ports and in folders of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use crate::servers::configuration;
use crate::wait::until;

/// A running `mcp-hub`; killed when dropped.
pub(crate) struct Hub {
    process: Child,
    modules: PathBuf,
    folder: tempfile::TempDir,
    pub url: String,
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The folder with the installed programs.
pub(crate) fn modules() -> PathBuf {
    let installed = std::env::var("HUBWATCH_LIVE_HUB").expect("run the live tests with tests/live/run");
    Path::new(&installed).join("node_modules")
}

impl Hub {
    /// Starts a hub with the filesystem server and a server that fails to start; returns once it is ready.
    pub(crate) async fn start() -> Self {
        let hub = Self::begin(free_port());
        hub.is_ready().await;
        hub
    }

    /// Starts one with the instrumentation, which sends to this port; returns once it is ready.
    pub(crate) async fn instrumented(receiver: u16) -> Self {
        let environment = instrumentation(receiver);
        let hub = Self::begin_with(free_port(), &environment);
        hub.is_ready().await;
        hub
    }

    /// Starts it on this port, where nobody listens yet.
    pub(crate) fn begin(port: u16) -> Self {
        Self::begin_with(port, &[])
    }

    fn begin_with(port: u16, environment: &[(&str, String)]) -> Self {
        hubwatch::base::tls::choose_provider();
        let (modules, folder) = (modules(), tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/a.txt"), "hello").unwrap();
        configure(&modules, folder.path(), json!({}));
        let process = run(&modules, folder.path(), port, environment);
        Self { process, modules, folder, url: format!("http://127.0.0.1:{port}") }
    }

    /// Waits until it is ready.
    pub(crate) async fn is_ready(&self) {
        until("the hub is ready", async || {
            let health = self.get("/api/health").await?;
            (health["state"] == "ready" && health["mcpEndpoint"].is_object()).then_some(())
        })
        .await;
    }

    /// Its configuration has these servers, too; it reloads it at once.
    pub(crate) fn configure(&self, more: Value) {
        configure(&self.modules, self.folder.path(), more);
    }

    /// A server that takes so many seconds to connect.
    pub(crate) fn slow_server(&self, seconds: u32) -> Value {
        let server = self.modules.join("@modelcontextprotocol/server-filesystem/dist/index.js");
        let wait = format!("setTimeout(() => {{ process.argv.splice(1, 0, 'slow'); import({server:?}) }}, {})", seconds * 1_000);
        json!({"command": "node", "args": ["-e", wait, self.data()]})
    }

    /// Another hub of the same user.
    pub(crate) fn another(&self, port: u16) -> Other {
        Other { process: run(&self.modules, self.folder.path(), port, &[]), url: format!("http://127.0.0.1:{port}") }
    }

    /// The id of the hub's process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The hub's home folder.
    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    /// The log file that the hub writes.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("state/mcp-hub/logs/mcp-hub.log")
    }

    /// The folder that the filesystem server serves.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let body = reqwest::get(format!("{}{path}", self.url)).await.ok()?.bytes().await.ok()?;
        serde_json::from_slice(&body).ok()
    }

    pub(crate) async fn server(&self, name: &str) -> Option<Value> {
        let answer = self.get("/api/servers").await?;
        answer["servers"].as_array()?.iter().find(|server| server["name"] == name).cloned()
    }

    /// `POST /api/servers/ACTION`.
    pub(crate) async fn act(&self, action: &str, server: &str) {
        let request = reqwest::Client::new().post(format!("{}/api/servers/{action}", self.url));
        let body = json!({"server_name": server}).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{action} {server}: {}", answer.status());
    }

    /// Calls a tool over REST.
    pub(crate) async fn call(&self, server: &str, tool: &str, arguments: Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}/api/servers/tools", self.url));
        let body = json!({"server_name": server, "tool": tool, "arguments": arguments}).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// The process of a server: the hub's child whose command line names it.
    pub(crate) fn child(&self, name: &str) -> Option<u32> {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(name)
        })
    }

    /// Asks the hub to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        signal("-TERM", self.process.id());
        until("the hub stopped", async || self.process.try_wait().unwrap()).await;
    }

    /// Connects a real MCP client, which calls two tools; returns once it has.
    pub(crate) fn connect_client(&self) -> Client {
        self.clients("client.mjs", &[], "called filesystem__list_directory twice, of 14 tools")
    }

    /// Connects so many real MCP clients at once, each of which calls a tool; returns once all have.
    pub(crate) fn connect_crowd(&self, count: &str) -> Client {
        self.clients("crowd.mjs", &[count], &format!("{count} clients called a tool"))
    }

    fn clients(&self, script: &str, more: &[&str], when_done: &str) -> Client {
        let mut process = Command::new("node")
            .arg(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/hub")).join(script))
            .arg(&self.modules)
            .arg(&self.url)
            .arg(self.data())
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = std::io::BufReader::new(process.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut said).unwrap();
        assert!(said.contains(when_done), "{said}");
        Client { stdin: process.stdin.take(), process }
    }
}

/// Another hub of the same user; killed when dropped.
pub(crate) struct Other {
    process: Child,
    url: String,
}

impl Other {
    pub(crate) async fn is_ready(&self) {
        until("the other hub is ready", async || {
            let body = reqwest::get(format!("{}/api/health", self.url)).await.ok()?.bytes().await.ok()?;
            let health: Value = serde_json::from_slice(&body).ok()?;
            (health["state"] == "ready").then_some(())
        })
        .await;
    }

    pub(crate) async fn stop(&mut self) {
        signal("-TERM", self.process.id());
        self.has_ended().await;
    }

    pub(crate) async fn has_ended(&mut self) {
        until("the other hub ended", async || self.process.try_wait().unwrap()).await;
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configure(modules: &Path, folder: &Path, more: Value) {
    let server = modules.join("@modelcontextprotocol/server-filesystem/dist/index.js");
    let fails = "console.error('GITHUB_PERSONAL_ACCESS_TOKEN not set'); process.exit(1)";
    let mut servers = json!({
        "filesystem": {"command": "node", "args": [server, folder.join("data")]},
        "github": {"command": "node", "args": ["-e", fails]},
    });
    servers.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config = json!({"mcpServers": servers});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

/// Starts a hub that reloads its configuration when that changes.
fn run(modules: &Path, folder: &Path, port: u16, environment: &[(&str, String)]) -> Child {
    let output = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("hub.out")).unwrap();
    Command::new("node")
        .arg(modules.join("mcp-hub/dist/cli.js"))
        .args(["--port", &port.to_string(), "--watch", "--config"])
        .arg(folder.join("config.json"))
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

/// The environment of a hub that loads the instrumentation, which sends to this port.
pub(crate) fn instrumentation(receiver: u16) -> [(&'static str, String); 2] {
    let module = configuration("instrument/node/hubwatch.mjs");
    let endpoint = format!("http://127.0.0.1:{receiver}");
    [("NODE_OPTIONS", format!("--import {}", module.display())), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connected MCP client.
pub(crate) struct Client {
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Client {
    /// Leaves the hub in good order.
    pub(crate) fn leave(mut self) {
        drop(self.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

pub(crate) fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}
