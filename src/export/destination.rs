//! Where telemetry goes: for each signal an address and a way to carry it there.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::transport::Transport;
use crate::base::secret::Secret;
use crate::journal::{DestinationName, Recipient, Signal, Temporality};

/// How long a request may take: the OpenTelemetry specification's own default.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How requests are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC; port 4317 by custom.
    Grpc,
    /// Protobuf over HTTP; port 4318 by custom.
    HttpProtobuf,
}

impl Protocol {
    /// What to speak when nobody says: HTTP to port 4318 and to an address with a path, gRPC to port 4317; otherwise HTTP, as the
    /// OpenTelemetry specification wants it.
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
            _ => Err("it is neither `grpc` nor `http/protobuf`"),
        }
    }
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip, which every receiver understands.
    Gzip,
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err("it is neither `gzip` nor `none`"),
        }
    }
}

impl FromStr for Temporality {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "cumulative" => Ok(Self::Cumulative),
            "delta" => Ok(Self::Delta),
            _ => Err("it is neither `cumulative` nor `delta`"),
        }
    }
}

/// Why something can't be a destination.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// No URL.
    #[error("it is no address of a receiver ({0}); give one like http://127.0.0.1:4318")]
    Url(String),
    /// A header that HTTP doesn't allow.
    #[error("`{0}` is no HTTP header")]
    Header(String),
    /// A certificate or key.
    #[error("the {what} {path} can't be used: {reason}")]
    Pem {
        /// What it was to be.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// One of the two without the other.
    #[error("a client certificate and its key belong together; give both or none")]
    HalfIdentity,
    /// TLS or HTTP could not be set up.
    #[error("sending can't be set up: {0}")]
    Setup(String),
}

/// An address of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The base: by HTTP, each signal has its path below it.
    Base(String),
    /// The address of one signal, used as it is.
    Signal(String),
}

/// How a signal gets to a receiver, as somebody configured it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub address: Address,
    /// How.
    pub protocol: Protocol,
    /// What goes with every request.
    pub headers: Vec<(String, Secret)>,
    /// How it is compressed.
    pub compression: Compression,
    /// How long a request may take.
    pub timeout: Duration,
    /// A certificate authority to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub client_certificate: Option<PathBuf>,
    /// The key of our own certificate.
    pub client_key: Option<PathBuf>,
}

impl Route {
    /// To this base address with everything else as it is by default.
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

    /// The address of a signal's HTTP requests.
    fn url(&self, signal: Signal) -> String {
        match &self.address {
            Address::Base(base) => format!("{}/v1/{}", base.trim_end_matches('/'), signal.as_str()),
            Address::Signal(url) => url.clone(),
        }
    }
}

/// A route, checked, with its files read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) url: String,
    pub(super) protocol: Protocol,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) compression: Compression,
    pub(super) timeout: Duration,
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate and key.
    pub(super) identity: Option<(Vec<u8>, Secret)>,
}

impl Way {
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
                    reason: "it is no PEM file".to_owned(),
                })?;
                Some((pem("client certificate", certificate)?, Secret::new(text)))
            }
            _ => return Err(DestinationError::HalfIdentity),
        };
        Ok(Self {
            url: match route.protocol {
                // The specification's gRPC address has no path.
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
    if is_pem { Ok(bytes) } else { Err(failed("it is no PEM file".to_owned())) }
}

/// Where telemetry goes, checked.
#[derive(Debug, Clone)]
pub struct Destination {
    name: DestinationName,
    endpoint: String,
    pub(super) ways: Vec<(Signal, Way)>,
    temporality: Temporality,
}

impl Destination {
    /// Checks what can be checked without asking the receiver. A signal without a route is not sent there.
    pub fn new(
        name: DestinationName,
        temporality: Temporality,
        route: impl Fn(Signal) -> Option<Route>,
    ) -> Result<Self, DestinationError> {
        let (mut ways, mut endpoint) = (Vec::new(), None);
        for signal in Signal::ALL {
            let Some(route) = route(signal) else { continue };
            ways.push((signal, Way::new(&route, signal)?));
            endpoint.get_or_insert_with(|| route.endpoint().to_owned());
        }
        let endpoint = endpoint.ok_or_else(|| DestinationError::Url("no signal goes there".to_owned()))?;
        Ok(Self { name, endpoint, ways, temporality })
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The way of one signal there; none if it doesn't go there.
    pub fn transport(&self, signal: Signal) -> Result<Option<Transport>, DestinationError> {
        let way = self.ways.iter().find(|(of, _)| *of == signal);
        way.map(|(_, way)| Transport::new(way, None)).transpose()
    }

    /// Under which name its place in the journal is kept.
    pub fn name(&self) -> &DestinationName {
        &self.name
    }

    /// What the journal keeps for it.
    pub fn recipient(&self) -> Recipient {
        let signals = self.ways.iter().map(|(signal, _)| *signal).collect();
        Recipient { name: self.name.clone(), signals, temporality: self.temporality }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(route: &Route) -> Vec<String> {
        let destination = Destination::new(DestinationName::main(), Temporality::Cumulative, |_| Some(route.clone()));
        destination.unwrap().ways.into_iter().map(|(_, way)| way.url).collect()
    }

    #[test]
    fn the_port_tells_the_protocol_when_nobody_does() {
        assert_eq!(Protocol::of_endpoint("http://127.0.0.1:4318"), Protocol::HttpProtobuf);
        assert_eq!(Protocol::of_endpoint("http://127.0.0.1:4317"), Protocol::Grpc);
        assert_eq!(Protocol::of_endpoint("https://otlp.example.com/otlp"), Protocol::HttpProtobuf);
    }

    #[test]
    fn a_base_gets_each_signals_path_and_a_signals_own_address_stays_as_it_is() {
        let base = Route::to("https://otlp.example.com/otlp/", Protocol::HttpProtobuf);
        assert_eq!(urls(&base)[0], "https://otlp.example.com/otlp/v1/traces");
        let own = Route { address: Address::Signal("https://otlp.example.com/in".to_owned()), ..base.clone() };
        assert_eq!(urls(&own)[1], "https://otlp.example.com/in");
        let grpc = Route { protocol: Protocol::Grpc, ..base };
        assert_eq!(urls(&grpc), ["https://otlp.example.com"; 3]);
    }

    #[test]
    fn half_an_identity_and_files_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, "no key").unwrap();
        let half = Route { client_key: Some(path.clone()), ..Route::to("https://a", Protocol::Grpc) };
        assert!(matches!(Way::new(&half, Signal::Logs), Err(DestinationError::HalfIdentity)));
        let wrong = Route { ca: Some(path), ..Route::to("https://a", Protocol::Grpc) };
        assert!(Way::new(&wrong, Signal::Logs).unwrap_err().to_string().contains("no PEM file"));
    }
}
