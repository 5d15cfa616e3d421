//! Destinations of telemetry: for each signal, a route to a receiver.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::transport::Transport;
use crate::base::secret::Secret;
use crate::journal::{DestinationName, Recipient, Signal, Temporality};

/// Default request timeout of the OpenTelemetry specification.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The OTLP protocol of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, usually on port 4317.
    Grpc,
    /// Protobuf over HTTP, usually on port 4318.
    HttpProtobuf,
}

impl Protocol {
    /// Returns the default protocol for an endpoint: gRPC for port 4317, otherwise HTTP, as in the OpenTelemetry specification.
    pub fn of_endpoint(endpoint: &str) -> Self {
        let url = reqwest::Url::parse(endpoint).ok();
        if url.and_then(|url| url.port()) == Some(4317) { Self::Grpc } else { Self::HttpProtobuf }
    }
}

impl FromStr for Protocol {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::HttpProtobuf),
            _ => Err("expected `grpc` or `http/protobuf`"),
        }
    }
}

/// The compression of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// gzip, which every receiver supports.
    Gzip,
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err("expected `gzip` or `none`"),
        }
    }
}

impl FromStr for Temporality {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "cumulative" => Ok(Self::Cumulative),
            "delta" => Ok(Self::Delta),
            _ => Err("expected `cumulative` or `delta`"),
        }
    }
}

/// An invalid destination.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The endpoint is not a valid URL.
    #[error("invalid receiver address: {0}; use one like http://127.0.0.1:4318")]
    Url(String),
    /// A header that HTTP does not allow.
    #[error("invalid HTTP header `{0}`")]
    Header(String),
    /// An unusable certificate or key.
    #[error("the {what} {path} can't be used: {reason}")]
    Pem {
        /// Its purpose.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A client certificate without its key, or a key without its certificate.
    #[error("set both the client certificate and its key, or neither")]
    HalfIdentity,
    /// TLS or HTTP could not be set up.
    #[error("can't set up the export: {0}")]
    Setup(String),
}

/// The address of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A base address: with HTTP, each signal's path is appended.
    Base(String),
    /// The address of one signal, used as it is.
    Signal(String),
}

/// The configured route of a signal to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The receiver's address.
    pub address: Address,
    /// The protocol.
    pub protocol: Protocol,
    /// Headers of every request.
    pub headers: Vec<(String, Secret)>,
    /// The compression.
    pub compression: Compression,
    /// The request timeout.
    pub timeout: Duration,
    /// A CA to trust in addition to the system's.
    pub ca: Option<PathBuf>,
    /// Our client certificate.
    pub client_certificate: Option<PathBuf>,
    /// The key of our client certificate.
    pub client_key: Option<PathBuf>,
}

impl Route {
    /// Creates a route to this base address, with defaults for the rest.
    pub fn to(endpoint: &str, protocol: Protocol) -> Self {
        Self {
            address: Address::Base(endpoint.to_owned()),
            protocol,
            headers: Vec::new(),
            compression: Compression::None,
            timeout: DEFAULT_TIMEOUT,
            ca: None,
            client_certificate: None,
            client_key: None,
        }
    }

    fn endpoint(&self) -> &str {
        match &self.address {
            Address::Base(endpoint) | Address::Signal(endpoint) => endpoint,
        }
    }

    /// Returns the URL of a signal's HTTP requests.
    fn url(&self, signal: Signal) -> String {
        match &self.address {
            Address::Base(base) => format!("{}/v1/{}", base.trim_end_matches('/'), signal.as_str()),
            Address::Signal(url) => url.clone(),
        }
    }
}

/// A validated route, with its files read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckedRoute {
    pub(super) url: String,
    pub(super) protocol: Protocol,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) compression: Compression,
    pub(super) timeout: Duration,
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate and key.
    pub(super) identity: Option<(Vec<u8>, Secret)>,
}

impl CheckedRoute {
    fn new(route: &Route, signal: Signal) -> Result<Self, DestinationError> {
        let url = reqwest::Url::parse(route.endpoint()).map_err(|error| DestinationError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(DestinationError::Url("its scheme is neither http nor https".to_owned()));
        }
        let identity = match (&route.client_certificate, &route.client_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let text = String::from_utf8(pem("client key", key)?).map_err(|_| DestinationError::Pem {
                    what: "client key",
                    path: key.clone(),
                    reason: "not a PEM file".to_owned(),
                })?;
                Some((pem("client certificate", certificate)?, Secret::new(text)))
            }
            _ => return Err(DestinationError::HalfIdentity),
        };
        Ok(Self {
            url: match route.protocol {
                // By the specification, a gRPC address has no path.
                Protocol::Grpc => format!("{}://{}", url.scheme(), authority(&url)),
                Protocol::HttpProtobuf => route.url(signal),
            },
            protocol: route.protocol,
            headers: route.headers.clone(),
            compression: route.compression,
            timeout: route.timeout,
            ca: route.ca.as_deref().map(|path| pem("CA file", path)).transpose()?,
            identity,
        })
    }
}

fn authority(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn pem(what: &'static str, path: &Path) -> Result<Vec<u8>, DestinationError> {
    let failed = |reason: String| DestinationError::Pem { what, path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let is_pem = bytes.windows(10).any(|window| window == b"-----BEGIN");
    if is_pem { Ok(bytes) } else { Err(failed("not a PEM file".to_owned())) }
}

/// A validated destination of telemetry.
#[derive(Debug, Clone)]
pub struct Destination {
    name: DestinationName,
    endpoint: String,
    pub(super) routes: Vec<(Signal, CheckedRoute)>,
    pub(super) temporality: Temporality,
}

impl Destination {
    /// Validates a destination without asking the receiver. A signal without a route is not sent there.
    pub fn new(
        name: DestinationName,
        temporality: Temporality,
        route: impl Fn(Signal) -> Option<Route>,
    ) -> Result<Self, DestinationError> {
        let (mut routes, mut endpoint) = (Vec::new(), None);
        for signal in Signal::ALL {
            let Some(route) = route(signal) else { continue };
            routes.push((signal, CheckedRoute::new(&route, signal)?));
            endpoint.get_or_insert_with(|| route.endpoint().to_owned());
        }
        let endpoint = endpoint.ok_or_else(|| DestinationError::Url("no signal is sent there".to_owned()))?;
        Ok(Self { name, endpoint, routes, temporality })
    }

    /// Returns its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the transport of a signal; `None` if the signal is not sent there.
    pub fn transport(&self, signal: Signal) -> Result<Option<Transport>, DestinationError> {
        let route = self.routes.iter().find(|(of, _)| *of == signal);
        route.map(|(_, route)| Transport::new(route, None)).transpose()
    }

    /// Returns the name of its cursor in the journal.
    pub fn name(&self) -> &DestinationName {
        &self.name
    }

    /// Returns the signals and temporality for the journal.
    pub fn recipient(&self) -> Recipient {
        let signals = self.routes.iter().map(|(signal, _)| *signal).collect();
        Recipient { name: self.name.clone(), signals, temporality: self.temporality }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(route: &Route) -> Vec<String> {
        let destination = Destination::new(DestinationName::main(), Temporality::Cumulative, |_| Some(route.clone()));
        destination.unwrap().routes.into_iter().map(|(_, route)| route.url).collect()
    }

    #[test]
    fn the_default_protocol_follows_from_the_port() {
        assert_eq!(Protocol::of_endpoint("http://127.0.0.1:4318"), Protocol::HttpProtobuf);
        assert_eq!(Protocol::of_endpoint("http://127.0.0.1:4317"), Protocol::Grpc);
        assert_eq!(Protocol::of_endpoint("https://otlp.example.com/otlp"), Protocol::HttpProtobuf);
    }

    #[test]
    fn a_base_address_gets_each_signals_path_and_a_signals_own_address_is_unchanged() {
        let base = Route::to("https://otlp.example.com/otlp/", Protocol::HttpProtobuf);
        assert_eq!(urls(&base)[0], "https://otlp.example.com/otlp/v1/traces");
        let own = Route { address: Address::Signal("https://otlp.example.com/in".to_owned()), ..base.clone() };
        assert_eq!(urls(&own)[1], "https://otlp.example.com/in");
        let grpc = Route { protocol: Protocol::Grpc, ..base };
        assert_eq!(urls(&grpc), ["https://otlp.example.com"; 3]);
    }

    #[test]
    fn a_key_without_certificate_and_files_that_are_not_pem_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, "no key").unwrap();
        let half = Route { client_key: Some(path.clone()), ..Route::to("https://a", Protocol::Grpc) };
        assert!(matches!(CheckedRoute::new(&half, Signal::Logs), Err(DestinationError::HalfIdentity)));
        let wrong = Route { ca: Some(path), ..Route::to("https://a", Protocol::Grpc) };
        assert!(CheckedRoute::new(&wrong, Signal::Logs).unwrap_err().to_string().contains("not a PEM file"));
    }
}
