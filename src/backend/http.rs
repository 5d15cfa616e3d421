//! Asking a server for one thing: bounded in time and size, tried again where that can help, every failure told apart.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SERVER};
use reqwest::{RequestBuilder, StatusCode, Url};

use super::access::Access;
use super::{BackendError, Trace};
use crate::base::backoff::Backoff;
use crate::base::{causes, secret};
use crate::export::answer;
use crate::watch::TraceId;

/// A trace of ours stays below 2 MB of protobuf, some 10 MB of JSON; what is far beyond that is something else.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// How many traces are asked for at once: enough to hide the network's delay, few enough for any server.
pub const CONCURRENCY: usize = 4;

/// The first try and three more.
const MAX_TRIES: u32 = 4;

/// The first wait is short: a backend that is busy often answers at once; the fourth try is two seconds after the first.
const WAITS: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// The longest that a server may make us wait by `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a hubwatch that serves its journal calls itself; its version follows.
const SERVED_BY: &str = "hubwatch/";

/// As much of a server's words as people want to read.
const MAX_WORDS: usize = 200;

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    client: reqwest::Client,
    base: Url,
    access: Access,
    kind: &'static str,
    /// By how many seconds its clock was ahead of ours at its last answer.
    clock: AtomicI64,
    /// Whether it called itself hubwatch.
    hubwatch: AtomicBool,
}

/// The server did not say the time yet.
const NO_CLOCK: i64 = i64::MIN;

/// An answer that may mean something.
#[derive(Debug)]
pub(super) enum Reply {
    /// 200 or 206.
    Found {
        /// The body.
        body: Vec<u8>,
        /// Whether the server calls it partial.
        partial: bool,
        /// Its type, where it says one.
        content_type: String,
    },
    /// 404, with the server's words: only they tell a lack from a wrong path.
    Absent(String),
}

/// What is wrong with one try.
enum Failure {
    Again { after: Option<Duration>, reason: String },
    Final(BackendError),
}

impl Server {
    /// Checks what can be checked without asking it. The URL may have a path prefix.
    pub(super) fn new(kind: &'static str, url: &str, access: &Access) -> Result<Self, BackendError> {
        let shown = secret::without_credentials(url);
        let wrong = |reason: String| BackendError::Settings(format!("`{shown}` is no address of {kind}: {reason}"));
        let base = Url::parse(url).map_err(|error| wrong(format!("{error}; give one like http://127.0.0.1:16686")))?;
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

    /// Its address, without credentials.
    pub(super) fn shown(&self) -> String {
        secret::without_credentials(self.base.as_str()).trim_end_matches('/').to_owned()
    }

    /// By how many seconds its clock was ahead of ours at its last answer.
    pub(super) fn clock_offset(&self) -> Option<i64> {
        Some(self.clock.load(Ordering::Relaxed)).filter(|offset| *offset != NO_CLOCK)
    }

    /// Whether it is a `hubwatch run --listen`, as far as it has answered.
    pub(super) fn is_hubwatch(&self) -> bool {
        self.hubwatch.load(Ordering::Relaxed)
    }

    /// Asks for a path below the address.
    pub(super) async fn get(&self, path: &str, accept: &'static str) -> Result<Reply, BackendError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (after, reason) = match self.try_get(path, accept).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again { after, reason }) => (after, reason),
            };
            if tries == MAX_TRIES {
                return Err(BackendError::Unreachable { url: self.shown(), tries, reason });
            }
            let wait = WAITS.after(tries);
            let wait = after.map_or(wait, |after| after.min(LONGEST_WAIT).max(wait));
            tracing::debug!(path, reason, ?wait, "asking again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_get(&self, path: &str, accept: &'static str) -> Result<Reply, Failure> {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        let request = self.authorised(self.client.get(url).header(ACCEPT, accept));
        let response = request.send().await.map_err(|error| self.unanswered(error))?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| answer::delay(text, SystemTime::now()));
        self.note_clock(response.headers());
        let server = response.headers().get(SERVER).and_then(|value| value.to_str().ok()).unwrap_or("");
        self.hubwatch.store(server.starts_with(SERVED_BY), Ordering::Relaxed);
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let body = self.body(response).await?;
        let said = || words(&body);
        match status.as_u16() {
            200 | 206 => Ok(Reply::Found { partial: status == StatusCode::PARTIAL_CONTENT, body, content_type }),
            404 => Ok(Reply::Absent(said())),
            429 | 502 | 503 | 504 => Err(Failure::Again { after, reason: format!("HTTP {status} ({})", said()) }),
            401 | 403 => Err(Failure::Final(BackendError::Denied {
                url: self.shown(),
                status: status.as_u16(),
                said: said(),
                hint: "look at the credentials and the tenant (X-Scope-OrgID) that are sent",
            })),
            status => Err(Failure::Final(BackendError::Status { url: self.shown(), status, said: said() })),
        }
    }

    /// A certificate does not change by being looked at again.
    fn unanswered(&self, error: reqwest::Error) -> Failure {
        match certificate_problem(&error) {
            Some(problem) => Failure::Final(BackendError::Untrusted { url: self.shown(), reason: problem.to_string() }),
            None => again(error),
        }
    }

    async fn body(&self, response: reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::with_capacity(response.content_length().map_or(0, |length| length.min(MAX_BODY_BYTES as u64)) as usize);
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(again)?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Failure::Final(BackendError::TooLarge { url: self.shown(), limit: MAX_BODY_BYTES }));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn note_clock(&self, headers: &HeaderMap) {
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

    /// The error of a server that is not what it was called.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> BackendError {
        BackendError::WrongServer { url: self.shown(), kind: self.kind, reason: reason.into() }
    }

    /// A trace whose spans all have the id that was asked for.
    pub(super) fn checked(&self, id: TraceId, trace: Trace) -> Result<Trace, BackendError> {
        let spans = trace.spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        match spans.map(|span| &span.trace_id).find(|got| !is(got, id)) {
            Some(got) => Err(self.foreign(id, got)),
            None => Ok(trace),
        }
    }

    /// The error of a trace that nobody asked for.
    pub(super) fn foreign(&self, asked: TraceId, got: &[u8]) -> BackendError {
        BackendError::Foreign { url: self.shown(), asked, got: const_hex::encode(got) }
    }
}

/// Some servers drop the zeros that an id begins with.
pub(super) fn is(bytes: &[u8], id: TraceId) -> bool {
    let zeros = id.as_bytes().len().saturating_sub(bytes.len());
    bytes.len() <= id.as_bytes().len() && id.as_bytes()[..zeros].iter().all(|byte| *byte == 0) && id.as_bytes()[zeros..] == *bytes
}

/// What is wrong with the server's certificate, if that is why there is no answer.
fn certificate_problem(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(tls @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) = error.downcast_ref() {
            return Some(tls);
        }
        // An I/O error gives its inner error's cause for its own, and so hides the inner one.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Connections that could not be made or broke, and answers that took too long, may do better the next time.
fn again(error: reqwest::Error) -> Failure {
    // Its own words would hold the address, with what credentials that may have.
    let mut reason = if error.is_timeout() { "no answer in time".to_owned() } else { causes::of(&error.without_url()) };
    if reason.contains("invalid HTTP version") {
        reason.push_str("; a gRPC port answers like this");
    }
    Failure::Again { after: None, reason }
}

fn header_map(access: &Access) -> Result<HeaderMap, BackendError> {
    let mut map = HeaderMap::new();
    for (name, value) in &access.headers {
        // The value may be a secret: only the name is told.
        let wrong = || BackendError::Settings(format!("`{name}` is not an HTTP header; give it as `Name: value`"));
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        // Flags come last and go before what the file says: two values of one name would be no choice.
        map.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
    }
    Ok(map)
}

/// How a page for people is told.
pub(super) const A_PAGE: &str = "a web page";

/// The title of a page for people; empty if it has none.
fn title(text: &str) -> Option<String> {
    let small = text.trim_start().to_ascii_lowercase();
    if !small.starts_with("<!doctype html") && !small.starts_with("<html") {
        return None;
    }
    let title = small.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    Some(title.map_or(String::new(), |(title, _)| format!("(\u{201c}{}\u{201d})", title.trim())))
}

/// The beginning of what a server said, in one line.
pub(super) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_WORDS)]);
    if let Some(title) = title(&text) {
        return format!("{A_PAGE} {title}").trim_end().to_owned();
    }
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_WORDS).collect();
    if line.is_empty() {
        line.push_str("without a word");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_its_title_and_a_server_by_its_words() {
        assert_eq!(words(b"<!DOCTYPE html>\n<html><head><title>Jaeger UI</title>"), "a web page (\u{201c}jaeger ui\u{201d})");
        assert_eq!(words(b"<html><body>502"), "a web page");
        assert_eq!(words(b"404 page\n  not found\n"), "404 page not found");
        assert_eq!(words(b""), "without a word");
    }
}
