//! A simulated session on a real port, for watching it with the real sidecar.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hubwatch::simulator::{FileSink, LiveSimulation, Profile, Script, Simulation, serve};
use hubwatch::watch::Timestamp;

/// A simulated hub that plays the demo's script: clients, calls, a rate limit, a crash, an end after 39 s.
pub(crate) struct Session {
    pub url: String,
    pub log: PathBuf,
    pub from: Timestamp,
    serving: tokio::task::JoinHandle<()>,
}

impl Session {
    pub(crate) async fn begin(folder: &Path) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (from, log) = (Timestamp::now(), folder.join("mcp-hub.log"));
        let mut simulation = Simulation::new(Profile { port, ..Profile::fork_pino() }, from);
        for (at, step) in Script::demo(from) {
            simulation.schedule(at, step);
        }
        let sink = FileSink::open(&log).unwrap();
        let live = Arc::new(Mutex::new(LiveSimulation::new(simulation, Box::new(sink))));
        let serving = tokio::spawn(async move { serve(live, listener, std::future::pending()).await.unwrap() });
        Self { url: format!("http://127.0.0.1:{port}"), log, from, serving }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
