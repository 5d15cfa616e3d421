//! HTTP requests to a trace server: limited in time and size, retried if that can help, with a separate error for each failure.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SERVER};
use reqwest::{RequestBuilder, StatusCode, Url};

use super::access::Access;
use super::{BackendError, Trace};
use crate::base::backoff::Backoff;
use crate::base::{causes, secret};
use crate::export::response;
use crate::watch::TraceId;

/// Maximum response size in bytes. Our traces stay below 2 MB of protobuf, about 10 MB of JSON.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Concurrent requests: enough to hide network latency, few enough for any server.
pub(super) const CONCURRENCY: usize = 4;

/// The first attempt and three retries.
const MAX_ATTEMPTS: u32 = 4;

/// The first backoff is short, because a busy backend often recovers at once; the fourth attempt is 2 s after the first.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Prefix of the `Server` header of a hubwatch that serves its journal; the version follows.
const SERVED_BY: &str = "hubwatch/";

/// Maximum characters of a response body in messages.
const MAX_EXCERPT_CHARS: usize = 200;

/// A server of traces.
#[derive(Debug)]
pub(super) struct TraceServer {
    client: reqwest::Client,
    base: Url,
    access: Access,
    kind: &'static str,
    /// Seconds that its clock was ahead of ours at the last response.
    clock: AtomicI64,
    /// True if its `Server` header named hubwatch.
    hubwatch: AtomicBool,
}

/// The server's clock is not known yet.
const NO_CLOCK: i64 = i64::MIN;

/// A response to interpret.
#[derive(Debug)]
pub(super) enum Reply {
    /// 200 or 206.
    Found {
        /// The body.
        body: Vec<u8>,
        /// True for status 206.
        partial: bool,
        /// Its content type; empty if there is none.
        content_type: String,
    },
    /// 404, with an excerpt of the body: only that distinguishes a missing trace from a wrong path.
    Absent(String),
}

/// The failure of one attempt.
enum Failure {
    Retry { after: Option<Duration>, reason: String },
    Final(BackendError),
}

impl TraceServer {
    /// Validates the settings without a request. The URL may have a path prefix.
    pub(super) fn new(kind: &'static str, url: &str, access: &Access) -> Result<Self, BackendError> {
        let shown = secret::without_credentials(url);
        let wrong = |reason: String| BackendError::Settings(format!("invalid address `{shown}` of {kind}: {reason}"));
        let base = Url::parse(url).map_err(|error| wrong(format!("{error}; use one like http://127.0.0.1:16686")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("its scheme is neither http nor https".to_owned()));
        }
        crate::base::tls::choose_provider();
        let setup = |error: reqwest::Error| BackendError::Settings(format!("can't set up HTTP: {}", causes::of(&error)));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("hubwatch/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(header_map(access)?)
            .timeout(access.timeout);
        if let Some(ca) = &access.ca {
            let unusable = |reason: String| BackendError::Settings(format!("the CA file {} can't be used: {reason}", ca.display()));
            let pem = std::fs::read(ca).map_err(|error| unusable(error.to_string()))?;
            for certificate in crate::base::tls::authorities(&pem).map_err(unusable)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let (clock, hubwatch) = (AtomicI64::new(NO_CLOCK), AtomicBool::new(false));
        Ok(Self { client: builder.build().map_err(setup)?, base, access: access.clone(), kind, clock, hubwatch })
    }

    /// Returns its address, without credentials.
    pub(super) fn shown(&self) -> String {
        secret::without_credentials(self.base.as_str()).trim_end_matches('/').to_owned()
    }

    /// Returns by how many seconds its clock was ahead of ours at the last response.
    pub(super) fn clock_offset(&self) -> Option<i64> {
        Some(self.clock.load(Ordering::Relaxed)).filter(|offset| *offset != NO_CLOCK)
    }

    /// Returns whether its last response was from `hubwatch run --listen`.
    pub(super) fn is_hubwatch(&self) -> bool {
        self.hubwatch.load(Ordering::Relaxed)
    }

    /// Requests a path below the address, with retries.
    pub(super) async fn get(&self, path: &str, accept: &'static str) -> Result<Reply, BackendError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (after, reason) = match self.get_once(path, accept).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Retry { after, reason }) => (after, reason),
            };
            if attempts == MAX_ATTEMPTS {
                return Err(BackendError::Unreachable { url: self.shown(), attempts, reason });
            }
            let wait = BACKOFF.after(attempts);
            let wait = after.map_or(wait, |after| after.min(MAX_RETRY_AFTER).max(wait));
            tracing::debug!(path, reason, ?wait, "retrying");
            tokio::time::sleep(wait).await;
        }
    }

    async fn get_once(&self, path: &str, accept: &'static str) -> Result<Reply, Failure> {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        let request = self.authorised(self.client.get(url).header(ACCEPT, accept));
        let response = request.send().await.map_err(|error| self.request_failure(error))?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| response::retry_after_delay(text, SystemTime::now()));
        self.record_clock(response.headers());
        let server = response.headers().get(SERVER).and_then(|value| value.to_str().ok()).unwrap_or("");
        self.hubwatch.store(server.starts_with(SERVED_BY), Ordering::Relaxed);
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let body = self.body(response).await?;
        let said = || excerpt(&body);
        match status.as_u16() {
            200 | 206 => Ok(Reply::Found { partial: status == StatusCode::PARTIAL_CONTENT, body, content_type }),
            404 => Ok(Reply::Absent(said())),
            429 | 502 | 503 | 504 => Err(Failure::Retry { after, reason: format!("HTTP {status} ({})", said()) }),
            401 | 403 => Err(Failure::Final(BackendError::Denied {
                url: self.shown(),
                status: status.as_u16(),
                said: said(),
                hint: "check the credentials and the tenant (X-Scope-OrgID)",
            })),
            status => Err(Failure::Final(BackendError::Status { url: self.shown(), status, said: said() })),
        }
    }

    /// Classifies a failed request: an invalid certificate stays invalid, so it is not retried.
    fn request_failure(&self, error: reqwest::Error) -> Failure {
        match certificate_problem(&error) {
            Some(problem) => Failure::Final(BackendError::Untrusted { url: self.shown(), reason: problem.to_string() }),
            None => retryable(error),
        }
    }

    async fn body(&self, response: reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::with_capacity(response.content_length().map_or(0, |length| length.min(MAX_BODY_BYTES as u64)) as usize);
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(retryable)?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Failure::Final(BackendError::TooLarge { url: self.shown(), limit: MAX_BODY_BYTES }));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn record_clock(&self, headers: &HeaderMap) {
        let said = headers.get(DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if let Some(said) = said {
            let offset = i128::from(seconds(said)) - i128::from(seconds(SystemTime::now()));
            self.clock.store(i64::try_from(offset).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match (&self.access.bearer, &self.access.basic) {
            (Some(token), _) => request.bearer_auth(token.reveal()),
            (None, Some((user, password))) => request.basic_auth(user, Some(password.reveal())),
            (None, None) => request,
        }
    }

    /// Returns the error for a server of another kind.
    pub(super) fn wrong_server(&self, reason: impl Into<String>) -> BackendError {
        BackendError::WrongServer { url: self.shown(), kind: self.kind, reason: reason.into() }
    }

    /// Checks that all spans of a trace have the requested id.
    pub(super) fn checked(&self, id: TraceId, trace: Trace) -> Result<Trace, BackendError> {
        let spans = trace.spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        match spans.map(|span| &span.trace_id).find(|got| !is_same_id(got, id)) {
            Some(got) => Err(self.foreign(id, got)),
            None => Ok(trace),
        }
    }

    /// Returns the error for a trace that was not requested.
    pub(super) fn foreign(&self, asked: TraceId, got: &[u8]) -> BackendError {
        BackendError::Foreign { url: self.shown(), asked, got: const_hex::encode(got) }
    }
}

/// Compares ids; some servers drop leading zeros.
pub(super) fn is_same_id(bytes: &[u8], id: TraceId) -> bool {
    let zeros = id.as_bytes().len().saturating_sub(bytes.len());
    bytes.len() <= id.as_bytes().len() && id.as_bytes()[..zeros].iter().all(|byte| *byte == 0) && id.as_bytes()[zeros..] == *bytes
}

/// Returns the certificate error, if that made the request fail.
fn certificate_problem(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(tls @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) = error.downcast_ref() {
            return Some(tls);
        }
        // The source of an I/O error is its inner error's source, which skips the inner error itself.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Makes a connection error or timeout a retryable failure.
fn retryable(error: reqwest::Error) -> Failure {
    // The error's text would contain the URL, perhaps with credentials.
    let mut reason = if error.is_timeout() { "timeout".to_owned() } else { causes::of(&error.without_url()) };
    if reason.contains("invalid HTTP version") {
        reason.push_str("; this may be a gRPC port");
    }
    Failure::Retry { after: None, reason }
}

fn header_map(access: &Access) -> Result<HeaderMap, BackendError> {
    let mut map = HeaderMap::new();
    for (name, value) in &access.headers {
        // The value may be a secret: report only the name.
        let wrong = || BackendError::Settings(format!("invalid HTTP header `{name}`; write it as `Name: value`"));
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        // Flags come last and override the file.
        map.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
    }
    Ok(map)
}

/// How messages name an HTML page.
pub(super) const WEB_PAGE: &str = "a web page";

/// Returns the title of an HTML page; empty if it has none.
fn title(text: &str) -> Option<String> {
    let small = text.trim_start().to_ascii_lowercase();
    if !small.starts_with("<!doctype html") && !small.starts_with("<html") {
        return None;
    }
    let title = small.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    Some(title.map_or(String::new(), |(title, _)| format!("(\u{201c}{}\u{201d})", title.trim())))
}

/// Returns the beginning of a response body, in one line.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_EXCERPT_CHARS)]);
    if let Some(title) = title(&text) {
        return format!("{WEB_PAGE} {title}").trim_end().to_owned();
    }
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_EXCERPT_CHARS).collect();
    if line.is_empty() {
        line.push_str("empty response");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_the_title_of_a_page_or_the_beginning_of_the_body() {
        assert_eq!(excerpt(b"<!DOCTYPE html>\n<html><head><title>Jaeger UI</title>"), "a web page (\u{201c}jaeger ui\u{201d})");
        assert_eq!(excerpt(b"<html><body>502"), "a web page");
        assert_eq!(excerpt(b"404 page\n  not found\n"), "404 page not found");
        assert_eq!(excerpt(b""), "empty response");
    }
}
