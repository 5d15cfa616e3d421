//! Checks the settings of the OTLP receiver, and its ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use super::finding::Finding;
use crate::base::tls;
use crate::config::Layers;
use crate::config::environment::Environment;
use crate::receive::{SELF_DESCRIPTION, Settings, TlsFiles};

const CHECK: &str = "receiver";

/// The time for an answer of this host.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Checks the receiver; returns nothing where none is configured.
pub(super) async fn examine(layers: &Layers<impl Environment>) -> Vec<Finding> {
    let settings = match layers.receive(None) {
        Ok(None) => return Vec::new(),
        Ok(Some(settings)) => settings,
        Err(error) => return vec![Finding::wrong(CHECK, error.to_string(), "correct the section [receive]")],
    };
    if let Some(Err(error)) = settings.tls.as_ref().map(TlsFiles::check) {
        return vec![Finding::wrong(CHECK, error.to_string(), "check receive.certificate and receive.key")];
    }
    let mut findings = Vec::new();
    for address in &settings.addresses {
        findings.push(of_port(*address, &settings).await);
    }
    let is_open = settings.addresses.iter().any(|address| !address.ip().is_loopback());
    if is_open && settings.token.is_some() && settings.tls.is_none() {
        let advice = "set receive.certificate and receive.key, or use a network that others can't read";
        findings.push(Finding::note(CHECK, "other hosts send the token and their telemetry unencrypted", advice));
    }
    findings
}

async fn of_port(address: SocketAddr, settings: &Settings) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(CHECK, format!("{address} is free: a watch can receive OTLP there")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => match is_ours(address, settings).await {
            Some(true) => Finding::ok(CHECK, format!("a watch receives OTLP on {address}")),
            Some(false) => Finding::wrong(
                CHECK,
                format!("another program uses {address}"),
                "stop it, or set another address with receive.listen",
            ),
            None => Finding::note(CHECK, format!("{address} is in use"), "by a running watch, or by another program"),
        },
        Err(error) => {
            Finding::wrong(CHECK, format!("can't listen on {address}: {error}"), "set another address with receive.listen")
        }
    }
}

/// Returns whether our receiver answers there; `None` if that can't be seen.
async fn is_ours(address: SocketAddr, settings: &Settings) -> Option<bool> {
    if settings.tls.is_some() {
        return None;
    }
    tls::choose_provider();
    let host = if address.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())) } else { address };
    let url = format!("http://{host}/");
    let client = tls::with_system_roots(reqwest::Client::builder().timeout(TIMEOUT).no_proxy(), &url).build().ok()?;
    let Ok(answer) = client.get(&url).send().await else { return Some(false) };
    Some(answer.text().await.is_ok_and(|text| text.starts_with(SELF_DESCRIPTION)))
}
