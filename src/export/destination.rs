//! Where telemetry goes.

use std::path::PathBuf;
use std::str::FromStr;

use crate::config::Secret;
use crate::journal::{DestinationName, Signal};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
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

/// Why something can't be a destination.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// No URL.
    #[error("it is no address of a receiver ({0}); give one like http://127.0.0.1:4318")]
    Url(String),
    /// A header that HTTP doesn't allow.
    #[error("`{0}` is no HTTP header")]
    Header(String),
    /// The certificate authority.
    #[error("the CA file {path} can't be used: {reason}")]
    Ca {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS or HTTP could not be set up.
    #[error("sending can't be set up: {0}")]
    Setup(String),
}

/// Where telemetry goes, checked.
#[derive(Debug, Clone)]
pub struct Destination {
    pub(super) name: DestinationName,
    pub(super) endpoint: String,
    pub(super) protocol: Protocol,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) compression: Compression,
    pub(super) ca: Option<Vec<u8>>,
}

impl Destination {
    /// Checks what can be checked without asking the receiver.
    pub fn new(
        name: DestinationName,
        endpoint: String,
        protocol: Protocol,
        headers: Vec<(String, Secret)>,
        compression: Compression,
        ca: Option<PathBuf>,
    ) -> Result<Self, DestinationError> {
        let url = reqwest::Url::parse(&endpoint).map_err(|error| DestinationError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(DestinationError::Url("its scheme is neither http nor https".to_owned()));
        }
        let ca = ca.map(|path| std::fs::read(&path).map_err(|error| DestinationError::Ca { path, reason: error.to_string() }));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { name, endpoint, protocol, headers, compression, ca: ca.transpose()? })
    }

    /// Its address, without credentials.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Under which name its place in the journal is kept.
    pub fn name(&self) -> &DestinationName {
        &self.name
    }

    /// The address of a signal's HTTP requests.
    pub(super) fn url(&self, signal: Signal) -> String {
        format!("{}/v1/{}", self.endpoint, signal.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_tells_the_protocol_when_nobody_does() {
        assert_eq!(Protocol::of_endpoint("http://127.0.0.1:4318"), Protocol::HttpProtobuf);
        assert_eq!(Protocol::of_endpoint("http://127.0.0.1:4317"), Protocol::Grpc);
        assert_eq!(Protocol::of_endpoint("https://otlp.example.com/otlp"), Protocol::HttpProtobuf);
    }
}
