//! `hubwatch health`: the health check for `run --listen`, for images without a shell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::{CliError, Exit};
use crate::config::Layers;
use crate::config::environment::Environment;
use crate::config::listen::DEFAULT_LISTEN;

/// Timeout of an answer. Container runtimes kill a check after some seconds; ending earlier allows a reason to be printed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Health check for `run --listen`
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 ready; 1 not ready or no answer: the reason is on stderr.

Examples:
  hubwatch health                 # the configured address, or 127.0.0.1:9684
  hubwatch health --live          # only whether it answers at all: a reason to restart it")]
pub struct HealthArgs {
    /// The address of the watch [default: HUBWATCH_LISTEN or the configuration file, else 127.0.0.1:9684]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Check only that the process answers (liveness), not that it is ready
    #[arg(long)]
    live: bool,
}

/// The parts of the answer of `/readyz` that are printed.
#[derive(Debug, Deserialize)]
struct Answer {
    ready: bool,
    hubs: Vec<OfHub>,
}

#[derive(Debug, Deserialize)]
struct OfHub {
    hub: String,
    not_ready: Vec<String>,
    hub_answers: Option<String>,
}

/// Runs the check.
pub(super) async fn health(args: &HealthArgs, layers: &Layers<impl Environment>) -> Result<Exit, CliError> {
    let listen = layers.listen(args.listen.as_deref())?;
    let address = match listen {
        Some(listen) => reachable(listen.0),
        None => crate::config::parse(
            crate::config::Sourced { value: DEFAULT_LISTEN.to_owned(), source: "default".to_owned() },
            str::parse::<SocketAddr>,
        )?,
    };
    let path = if args.live { "/healthz" } else { "/readyz" };
    match ask(address, path).await {
        Ok(message) => {
            println!("{message}");
            Ok(Exit::Ok)
        }
        Err(reason) => {
            eprintln!("hubwatch: {reason}");
            Ok(Exit::Failed)
        }
    }
}

/// Returns an address to connect to: loopback if the watch listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr, path: &str) -> Result<String, String> {
    crate::base::tls::choose_provider();
    let url = format!("http://{address}{path}");
    let client = crate::base::tls::with_system_roots(reqwest::Client::builder().no_proxy().timeout(PATIENCE), &url);
    let client = client.build().map_err(|error| format!("can't create the HTTP client: {}", crate::base::causes::of(&error)))?;
    let no_answer = |error: reqwest::Error| {
        let why = crate::base::causes::of(&error);
        format!("no answer from {url}: {why}; check that `hubwatch run --listen` (HUBWATCH_LISTEN) is running there")
    };
    let response = client.get(&url).send().await.map_err(no_answer)?;
    let status = response.status();
    let body = response.bytes().await.map_err(no_answer)?;
    match serde_json::from_slice::<Answer>(&body) {
        Ok(answer) => judged(&answer),
        Err(_) if status.is_success() && body.trim_ascii() == ALIVE => Ok("ok".to_owned()),
        Err(_) => Err(format!("{url} answers {status}: another program than hubwatch listens there")),
    }
}

/// The answer of `/healthz`.
const ALIVE: &[u8] = b"ok";

fn judged(answer: &Answer) -> Result<String, String> {
    let of_hub = |hub: &OfHub| {
        let polled = hub.hub_answers.as_deref().unwrap_or("not polled yet");
        format!("{}: the hub answers {polled}", hub.hub)
    };
    if answer.ready {
        return Ok(format!("ready: {}", answer.hubs.iter().map(of_hub).collect::<Vec<_>>().join("; ")));
    }
    let reasons = answer.hubs.iter().flat_map(|hub| hub.not_ready.iter().map(move |reason| format!("{}: {reason}", hub.hub)));
    Err(format!("not ready: {}", reasons.collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_on_all_addresses_is_asked_on_loopback() {
        let asked = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9684"), "127.0.0.1:9684");
        assert_eq!(asked("[::]:1"), "[::1]:1");
        assert_eq!(asked("10.0.0.7:1"), "10.0.0.7:1");
    }
}
