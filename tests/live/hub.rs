//! A real hub with real MCP servers, on free ports and in folders of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use crate::wait::until;

/// A running `mcp-hub`; killed when dropped.
pub struct Hub {
    process: Child,
    modules: PathBuf,
    folder: tempfile::TempDir,
    pub url: String,
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn modules() -> PathBuf {
    let installed = std::env::var("HUBWATCH_LIVE_HUB").expect("run the live tests with tests/live/run");
    Path::new(&installed).join("node_modules")
}

impl Hub {
    /// Starts a hub with the filesystem server and a server that fails to start; returns once it is ready.
    pub async fn start() -> Self {
        hubwatch::tls::choose_provider();
        let (modules, folder, port) = (modules(), tempfile::tempdir().unwrap(), free_port());
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/a.txt"), "hello").unwrap();
        let server = modules.join("@modelcontextprotocol/server-filesystem/dist/index.js");
        let fails = "console.error('GITHUB_PERSONAL_ACCESS_TOKEN not set'); process.exit(1)";
        let config = json!({"mcpServers": {
            "filesystem": {"command": "node", "args": [server, folder.path().join("data")]},
            "github": {"command": "node", "args": ["-e", fails]},
        }});
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let output = std::fs::File::create(folder.path().join("hub.out")).unwrap();
        let process = Command::new("node")
            .arg(modules.join("mcp-hub/dist/cli.js"))
            .args(["--port", &port.to_string(), "--config"])
            .arg(folder.path().join("config.json"))
            .env("HOME", folder.path())
            .env("XDG_STATE_HOME", folder.path().join("state"))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let hub = Self { process, modules, folder, url: format!("http://127.0.0.1:{port}") };
        until("the hub is ready", async || {
            let health = hub.get("/api/health").await?;
            (health["state"] == "ready" && health["mcpEndpoint"].is_object()).then_some(())
        })
        .await;
        hub
    }

    /// The hub's home folder.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// The log file that the hub writes.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("state/mcp-hub/logs/mcp-hub.log")
    }

    /// The folder that the filesystem server serves.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        let body = reqwest::get(format!("{}{path}", self.url)).await.ok()?.bytes().await.ok()?;
        serde_json::from_slice(&body).ok()
    }

    pub async fn server(&self, name: &str) -> Option<Value> {
        let answer = self.get("/api/servers").await?;
        answer["servers"].as_array()?.iter().find(|server| server["name"] == name).cloned()
    }

    /// `POST /api/servers/ACTION`.
    pub async fn act(&self, action: &str, server: &str) {
        let request = reqwest::Client::new().post(format!("{}/api/servers/{action}", self.url));
        let body = json!({"server_name": server}).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{action} {server}: {}", answer.status());
    }

    /// The process of a server: the hub's child whose command line names it.
    pub fn child(&self, name: &str) -> Option<u32> {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(name)
        })
    }

    /// Asks the hub to stop, and waits until it has.
    pub async fn stop(&mut self) {
        signal("-TERM", self.process.id());
        until("the hub stopped", async || self.process.try_wait().unwrap()).await;
    }

    /// Connects a real MCP client, which calls two tools; returns once it has.
    pub fn connect_client(&self) -> Client {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/hub/client.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(&self.modules)
            .arg(&self.url)
            .arg(self.data())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = std::io::BufReader::new(process.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut said).unwrap();
        assert!(said.contains("called filesystem__list_directory twice, of 14 tools"), "{said}");
        Client { stdin: process.stdin.take(), process }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connected MCP client.
pub struct Client {
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Client {
    /// Leaves the hub in good order.
    pub fn leave(mut self) {
        drop(self.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

pub fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}
