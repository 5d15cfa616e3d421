//! The client of the hub's API: read-only, limited in time and size, with an outcome for every kind of failure.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::answers::{Answer, FilteringStats, Health, Servers};
use crate::base::causes;
use crate::watch::{ApiOutcome, Micros};

/// The strategy calls an answer that takes longer than 10 s a failure; waiting longer would only delay the next poll.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A hub answers about 0.9 KB a tool: 16 MiB are far beyond any hub, and bound our memory.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The path that only a hub with tool filtering and its meta-tool has.
const FILTERING_STATS: &str = "/api/filtering/stats";
/// How long a connection may take that only shows whether anybody listens.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a client for the hub's API could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not a URL that can be asked.
    #[error("`{url}` is not an address of a hub: {reason}; give one like http://127.0.0.1:7000")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header that HTTP doesn't allow.
    #[error("`{0}` is not an HTTP header; give it as `Name: value`")]
    Header(String),
    /// The file of the certificate authority.
    #[error("can't use the CA file {path}: {reason}")]
    Ca {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS could not be set up.
    #[error("can't set up HTTP: {0}")]
    Setup(String),
}

/// A client for one hub's API.
#[derive(Debug, Clone)]
pub struct HubClient {
    http: reqwest::Client,
    /// For answers without an end: without a time limit for the whole.
    streams: reqwest::Client,
    base: String,
    /// The host and port behind `base`.
    address: (String, u16),
}

/// An answer and how long it took.
pub type Timed<T> = (Result<T, ApiOutcome>, Micros);

impl HubClient {
    /// For the hub at `url`, which may have a path prefix (`https://proxy/hubs/a`). The headers go with every request; `ca` is
    /// trusted beside the system's roots.
    pub fn new(url: &str, headers: &[(String, String)], ca: Option<&Path>) -> Result<Self, ClientError> {
        let parsed = reqwest::Url::parse(url).map_err(|error| bad_url(url, error))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(bad_url(url, "its scheme is neither http nor https"));
        }
        crate::base::tls::choose_provider();
        let authorities = ca.map_or(Ok(Vec::new()), authorities)?;
        let builder = || {
            let builder = crate::base::tls::with_system_roots(reqwest::Client::builder(), parsed.as_str())
                .user_agent(concat!("hubwatch/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .pool_max_idle_per_host(1)
                .no_proxy();
            authorities.clone().into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate)
        };
        let build = |builder: reqwest::ClientBuilder| {
            let builder = builder.default_headers(header_map(headers)?);
            builder.build().map_err(|error| ClientError::Setup(causes::of(&error)))
        };
        let http = build(builder().timeout(TIMEOUT))?;
        let streams = build(builder())?;
        let host = parsed.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = (host, parsed.port_or_known_default().unwrap_or(80));
        Ok(Self { http, streams, base: url.trim_end_matches('/').to_owned(), address })
    }

    /// The address without its path: for telling whether the hub is on this host.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether anybody listens at the hub's address: far cheaper than a request, for a hub that is away.
    pub async fn is_listening(&self) -> bool {
        let (host, port) = &self.address;
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::TcpStream::connect((host.as_str(), *port))).await;
        matches!(connected, Ok(Ok(_)))
    }

    /// `GET /api/health`.
    pub async fn health(&self) -> Timed<Health> {
        self.get("/api/health").await
    }

    /// `GET /api/servers`.
    pub async fn servers(&self) -> Timed<Servers> {
        self.get("/api/servers").await
    }

    /// Asks `GET /api/filtering/stats`, which only the fork has. [`ApiOutcome::NotFound`] is the hub's own answer: it has no such
    /// path. Returns `None` for a 404 of another program, such as a proxy that forwards only some paths: it shows nothing about the
    /// hub.
    pub async fn filtering_stats(&self) -> Option<Timed<FilteringStats>> {
        let begun = Instant::now();
        let body = match self.send(FILTERING_STATS).await {
            Ok(response) if response.status() == reqwest::StatusCode::NOT_FOUND => {
                let page = read(response).await.ok()?;
                is_own_404(&page, FILTERING_STATS).then_some(Err(ApiOutcome::NotFound))?
            }
            Ok(response) => accepted(response).await,
            Err(outcome) => Err(outcome),
        };
        let took = Micros::from_duration(begun.elapsed());
        Some((body.and_then(|body| parse(&body)), took))
    }

    /// Joins `GET /api/events`; the answer has no end.
    pub async fn events(&self) -> Result<reqwest::Response, ApiOutcome> {
        let request = self.streams.get(format!("{}/api/events", self.base)).header("accept", "text/event-stream");
        let asked = tokio::time::timeout(TIMEOUT, request.send()).await;
        let response = asked.map_err(|_| ApiOutcome::Timeout)?.map_err(|error| outcome(&error))?;
        of_status(response.status())?;
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // A proxy's page is no stream.
        if kind.is_some_and(|kind| !kind.starts_with("text/event-stream")) {
            return Err(ApiOutcome::Unreadable);
        }
        Ok(response)
    }

    pub(super) async fn get<T: Answer>(&self, path: &str) -> Timed<T> {
        let begun = Instant::now();
        let body = self.body(path).await;
        let took = Micros::from_duration(begun.elapsed());
        (body.and_then(|body| parse(&body)), took)
    }

    /// A request with a body; its answer may take as long as the caller allows.
    pub(super) fn request_without_limit(&self, path: &str) -> reqwest::RequestBuilder {
        self.streams.post(format!("{}{path}", self.base))
    }

    async fn body(&self, path: &str) -> Result<Vec<u8>, ApiOutcome> {
        accepted(self.send(path).await?).await
    }

    async fn send(&self, path: &str) -> Result<reqwest::Response, ApiOutcome> {
        self.http.get(format!("{}{path}", self.base)).send().await.map_err(|error| outcome(&error))
    }
}

/// The body of an answer whose status is the expected one.
async fn accepted(response: reqwest::Response) -> Result<Vec<u8>, ApiOutcome> {
    of_status(response.status())?;
    read(response).await
}

pub(super) async fn read(response: reqwest::Response) -> Result<Vec<u8>, ApiOutcome> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| if error.is_timeout() { ApiOutcome::Timeout } else { ApiOutcome::Truncated })?;
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(ApiOutcome::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether a 404 page is the one that a hub's own web framework (Express) writes: `<pre>Cannot GET /api/filtering/stats</pre>`.
/// It names the path as the hub saw it; the page of a proxy does not.
fn is_own_404(page: &[u8], path: &str) -> bool {
    let text = String::from_utf8_lossy(page);
    text.contains(&format!("Cannot GET {path}<"))
}

/// What a hub says, and nothing that another program or a page says.
fn parse<T: Answer>(body: &[u8]) -> Result<T, ApiOutcome> {
    match serde_json::from_slice::<T>(body) {
        Ok(answer) if answer.is_of_a_hub() => Ok(answer),
        Ok(_) => Err(ApiOutcome::OtherProgram),
        Err(_) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => Err(ApiOutcome::OtherProgram),
        Err(_) => Err(ApiOutcome::Unreadable),
    }
}

fn of_status(status: reqwest::StatusCode) -> Result<(), ApiOutcome> {
    match status.as_u16() {
        200 => Ok(()),
        401 | 403 => Err(ApiOutcome::Denied),
        404 => Err(ApiOutcome::NotFound),
        300..=399 => Err(ApiOutcome::Redirected),
        400..=499 => Err(ApiOutcome::ClientError),
        502..=504 => Err(ApiOutcome::BadGateway),
        500..=599 => Err(ApiOutcome::ServerError),
        _ => Err(ApiOutcome::UnexpectedStatus),
    }
}

fn outcome(error: &reqwest::Error) -> ApiOutcome {
    if error.is_timeout() {
        return ApiOutcome::Timeout;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return ApiOutcome::Refused,
                std::io::ErrorKind::InvalidData => return ApiOutcome::Tls,
                _ => {}
            }
        }
        if cause.downcast_ref::<rustls::Error>().is_some() {
            return ApiOutcome::Tls;
        }
        source = cause.source();
    }
    if error.is_connect() { ApiOutcome::Unreachable } else { ApiOutcome::Truncated }
}

fn bad_url(url: &str, reason: impl ToString) -> ClientError {
    ClientError::Url { url: url.to_owned(), reason: reason.to_string() }
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, ClientError> {
    let mut map = HeaderMap::new();
    // A proxy that keeps answers would show a hub that is gone.
    map.insert(reqwest::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in headers {
        // The value may be a secret: the message has only the name.
        let wrong = || ClientError::Header(name.clone());
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        map.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
    }
    Ok(map)
}

fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let wrong = |reason: String| ClientError::Ca { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    crate::base::tls::authorities(&pem).map_err(wrong)
}
