//! The OTLP receiver.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::environment::Environment;
use super::{ConfigError, Layers, Sourced, parse};
use crate::base::secret::Secret;
use crate::receive::{Settings, TlsFiles};

/// The usual port of OTLP over HTTP.
pub const HTTP_PORT: u16 = 4318;

/// The usual port of OTLP over gRPC.
pub const GRPC_PORT: u16 = 4317;

/// `--receive` without a value: the usual ports on loopback, where SDKs send to by default. Only this host can reach them.
pub const DEFAULT_RECEIVE: &str = "127.0.0.1";

impl<E: Environment> Layers<E> {
    /// Returns the receiver's settings; `None` if nothing is to be received. Reads the token.
    pub fn receive(&self, flag: Option<&str>) -> Result<Option<Settings>, ConfigError> {
        let section = &self.file.receive;
        let key = ("receive.listen", section.listen.as_deref());
        let Some(picked) = self.pick(("--receive", flag), "HUBWATCH_RECEIVE", key) else { return Ok(None) };
        let addresses = parse(picked.clone(), addresses)?;
        let wrong = |setting: &str, path: &Path, problem: String| ConfigError::Value {
            setting: setting.to_owned(),
            value: path.display().to_string(),
            problem,
        };
        let token =
            section.token_file.as_deref().map(|path| token(path).map_err(|problem| wrong("receive.token_file", path, problem)));
        let token = token.transpose()?;
        let tls = match (&section.certificate, &section.key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate: certificate.clone(), key: key.clone() }),
            (None, None) => None,
            (Some(path), None) => return Err(wrong("receive.certificate", path, "needs its key, too: receive.key".to_owned())),
            (None, Some(path)) => {
                return Err(wrong("receive.key", path, "needs its certificate, too: receive.certificate".to_owned()));
            }
        };
        let is_open = addresses.iter().any(|address| !address.ip().is_loopback()) && token.is_none();
        if is_open && section.allow_without_token != Some(true) {
            let Sourced { value, source } = picked;
            let problem = "can be reached from other hosts: set a token with receive.token_file, or allow everyone to send with \
                           receive.allow_without_token"
                .to_owned();
            return Err(ConfigError::Value { setting: source, value, problem });
        }
        Ok(Some(Settings { addresses, token, tls }))
    }
}

/// Parses where to listen. An IP address alone means the usual ports of HTTP and gRPC; with a port, both protocols are on that one.
fn addresses(text: &str) -> Result<Vec<SocketAddr>, &'static str> {
    let help = "not an address; try 127.0.0.1 (ports 4318 and 4317), 127.0.0.1:4318 (both protocols there), or 0.0.0.0 to allow other hosts";
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if let Ok(port) = text.strip_prefix("localhost:").unwrap_or(text).parse::<u16>() {
        return Ok(vec![SocketAddr::from((local, port))]);
    }
    let host = if text == "localhost" { Ok(local) } else { text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() };
    match host {
        Ok(host) => Ok([HTTP_PORT, GRPC_PORT].map(|port| SocketAddr::from((host, port))).to_vec()),
        Err(_) => text.parse().map(|address| vec![address]).map_err(|_| help),
    }
}

fn token(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"))?;
    let text = text.trim();
    if text.is_empty() { Err("is empty; it must hold the token of senders".to_owned()) } else { Ok(Secret::new(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers;

    fn listens(text: &str) -> Vec<String> {
        addresses(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_without_a_port_means_both_usual_ports_and_one_with_a_port_that_one() {
        assert_eq!(listens(DEFAULT_RECEIVE), ["127.0.0.1:4318", "127.0.0.1:4317"]);
        assert_eq!(listens("localhost"), listens(DEFAULT_RECEIVE));
        assert_eq!(listens("[::1]"), ["[::1]:4318", "[::1]:4317"]);
        assert_eq!(
            (listens("4320"), listens("0.0.0.0:4320")),
            (vec!["127.0.0.1:4320".to_owned()], vec!["0.0.0.0:4320".to_owned()])
        );
        assert!(addresses("hub").is_err() && addresses("").is_err());
    }

    #[test]
    fn other_hosts_may_send_only_with_a_token_or_an_explicit_permission() {
        let refused = layers(&[("HUBWATCH_RECEIVE", "0.0.0.0")], "").receive(None).unwrap_err().to_string();
        assert!(refused.starts_with("HUBWATCH_RECEIVE: `0.0.0.0` can be reached from other hosts"), "{refused}");
        let allowed = layers(&[], "[receive]\nallow_without_token = true\n").receive(Some("0.0.0.0")).unwrap().unwrap();
        assert!(allowed.token.is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "to-ken\n").unwrap();
        let path = file.path().to_str().unwrap();
        let with_token = layers(&[("HUBWATCH_RECEIVE_TOKEN_FILE", path)], "").receive(Some("0.0.0.0")).unwrap().unwrap();
        assert_eq!(with_token.token, Some(Secret::new("to-ken")));
        assert_eq!(layers(&[], "").receive(None).unwrap(), None);
    }

    #[test]
    fn a_certificate_without_its_key_and_an_empty_token_are_refused() {
        let error = |file: &str| layers(&[], file).receive(Some("4320")).unwrap_err().to_string();
        assert!(error("[receive]\ncertificate = '/a.pem'\n").contains("receive.key"));
        assert!(error("[receive]\ntoken_file = '/dev/null'\n").contains("is empty"));
    }
}
