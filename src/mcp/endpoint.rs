//! Where the server is, and how it may be asked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::Url;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use super::error::McpError;
use crate::base::secret::without_credentials;

/// The path of the MCP endpoint below the base address.
const MCP_PATH: &str = "/mcp";

/// An MCP server: its base address, the headers of each request, and whom TLS trusts.
#[derive(Clone)]
pub struct Endpoint {
    /// Without user name, password, query and fragment.
    base: Url,
    headers: HeaderMap,
    tls: Option<Tls>,
}

/// How to speak TLS to the server.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<rustls::ClientConfig>,
    pub(super) server: ServerName<'static>,
}

impl Endpoint {
    /// Takes the server at `url`, which may have a path prefix (`https://proxy/hubs/a`); its MCP endpoint is `{url}/mcp`. User name
    /// and password in the address become basic authentication. The headers go with every request. `ca` is a PEM file that is
    /// trusted beside the system's roots.
    ///
    /// # Errors
    /// [`McpError::Url`], [`McpError::Header`] and [`McpError::Ca`] name what can't be used.
    pub fn new(url: &str, headers: &[(String, String)], ca: Option<&Path>) -> Result<Self, McpError> {
        let bad_url = |reason: &dyn fmt::Display| McpError::Url { url: without_credentials(url), reason: reason.to_string() };
        let mut base = Url::parse(url).map_err(|error| bad_url(&error))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(bad_url(&"its scheme is neither http nor https"));
        }
        let headers = header_map(&base, headers)?;
        // These can't fail: the address has a host.
        let _ = (base.set_username(""), base.set_password(None));
        base.set_query(None);
        base.set_fragment(None);
        base.set_path(base.path().trim_end_matches('/').to_owned().as_str());
        let authorities = ca.map_or(Ok(Vec::new()), authorities)?;
        let tls = match base.scheme() {
            "https" => {
                let server = ServerName::try_from(host(&base).to_owned()).map_err(|error| bad_url(&error))?;
                Some(Tls { config: Arc::new(tls_config(authorities)), server })
            }
            _ => None,
        };
        Ok(Self { base, headers, tls })
    }

    /// Returns the path of the MCP endpoint.
    pub(super) fn mcp(&self) -> Uri {
        let path = format!("{}{MCP_PATH}", self.prefix());
        path.parse().unwrap_or_else(|_| Uri::from_static(MCP_PATH))
    }

    /// Resolves the address that an `endpoint` event gives, to its path and query. The path prefix of a proxy is added if the address
    /// lacks it: the server behind the proxy doesn't know it.
    pub(super) fn resolve(&self, given: &str) -> Result<Uri, McpError> {
        let unusable = || McpError::NotMcp { why: "the endpoint event names no usable address".to_owned() };
        let mut mcp = self.base.clone();
        mcp.set_path(&format!("{}{MCP_PATH}", self.prefix()));
        let resolved = mcp.join(given.trim()).map_err(|_| unusable())?;
        if resolved.origin() != self.base.origin() {
            let origin = |url: &Url| format!("{}://{}:{}", url.scheme(), url.host_str().unwrap_or_default(), port(url));
            return Err(McpError::ForeignEndpoint { given: origin(&resolved), expected: origin(&self.base) });
        }
        let prefix = self.prefix();
        let is_inside = resolved.path().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        let added = if is_inside { "" } else { prefix };
        let query = resolved.query().map_or(String::new(), |query| format!("?{query}"));
        format!("{added}{}{query}", resolved.path()).parse().map_err(|_| unusable())
    }

    /// Returns the headers of each request.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the host (an IPv6 address without brackets) and the port.
    pub(super) fn address(&self) -> (&str, u16) {
        (host(&self.base), port(&self.base))
    }

    /// Returns the TLS settings of an encrypted address.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Returns the path of the base address, without a slash at its end.
    fn prefix(&self) -> &str {
        self.base.path().trim_end_matches('/')
    }
}

/// Shows neither headers nor credentials.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.base.as_str()).finish()
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(80)
}

fn header_map(base: &Url, headers: &[(String, String)]) -> Result<HeaderMap, McpError> {
    let mut map = HeaderMap::new();
    map.insert(USER_AGENT, HeaderValue::from_static(concat!("hubwatch/", env!("CARGO_PKG_VERSION"))));
    let host = base.host_str().unwrap_or_default();
    let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    insert(&mut map, HOST.as_str(), &host)?;
    if !base.username().is_empty() || base.password().is_some() {
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pair = format!("{}:{}", decoded(base.username()), decoded(base.password().unwrap_or_default()));
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        insert(&mut map, AUTHORIZATION.as_str(), &value)?;
    }
    for (name, value) in headers {
        insert(&mut map, name, value)?;
    }
    Ok(map)
}

fn insert(map: &mut HeaderMap, name: &str, value: &str) -> Result<(), McpError> {
    let wrong = || McpError::Header { name: name.to_owned() };
    let mut parsed = HeaderValue::from_str(value).map_err(|_| wrong())?;
    parsed.set_sensitive(true);
    map.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, parsed);
    Ok(())
}

/// Reads the certificates of a PEM file. A file without any is an error.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, McpError> {
    let unusable = |reason: String| McpError::Ca { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() { Err(unusable("it contains no PEM certificate".to_owned())) } else { Ok(certificates) }
}

/// Trusts the system's roots and these authorities. Certificates that can't be parsed trust nobody, so they are skipped.
fn tls_config(authorities: Vec<CertificateDer<'static>>) -> rustls::ClientConfig {
    crate::base::tls::choose_provider();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(authorities);
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new(url, &[], None).unwrap()
    }

    #[test]
    fn messages_stay_at_the_origin_of_the_stream() {
        let hub = endpoint("http://hub:7000/");
        assert_eq!(hub.resolve("/messages?sessionId=1").unwrap(), "/messages?sessionId=1");
        assert_eq!(hub.resolve("messages?sessionId=1").unwrap(), "/messages?sessionId=1");
        assert_eq!(hub.resolve("http://HUB:7000/m").unwrap(), "/m");
        for foreign in ["https://hub:7000/m", "http://hub/m", "http://other:7000/m", "//other/m", "file:///etc/passwd"] {
            let error = hub.resolve(foreign).unwrap_err();
            assert!(matches!(error, McpError::ForeignEndpoint { .. }), "{foreign}: {error}");
        }
        let error = hub.resolve("http://user:word@evil:7000/m?sessionId=secret").unwrap_err();
        assert_eq!(error.to_string(), "the endpoint event names http://evil:7000, which is not of the origin http://hub:7000");
        assert!(matches!(hub.resolve("http://"), Err(McpError::NotMcp { .. })));
    }

    #[test]
    fn the_path_prefix_of_a_proxy_is_kept() {
        let hub = endpoint("https://proxy/hubs/a");
        assert_eq!(hub.mcp(), "/hubs/a/mcp");
        assert_eq!(hub.resolve("/messages?sessionId=1").unwrap(), "/hubs/a/messages?sessionId=1");
        assert_eq!(hub.resolve("/hubs/a/messages").unwrap(), "/hubs/a/messages");
        assert_eq!(hub.resolve("messages").unwrap(), "/hubs/a/messages");
        assert_eq!(hub.resolve("/hubs/abc/messages").unwrap(), "/hubs/a/hubs/abc/messages");
        assert_eq!(endpoint("http://hub:7000").mcp(), "/mcp");
    }

    #[test]
    fn the_address_gives_host_port_and_credentials() {
        let hub = endpoint("http://us%20er:word@[::1]:7000/x/?a=1#b");
        assert_eq!((hub.address(), hub.headers()[HOST].to_str().unwrap()), (("::1", 7000), "[::1]:7000"));
        assert_eq!(hub.headers()[AUTHORIZATION], "Basic dXMgZXI6d29yZA==");
        assert_eq!(format!("{hub:?}"), "Endpoint(\"http://[::1]:7000/x\")");
        assert_eq!(endpoint("https://hub").address(), ("hub", 443));
    }

    #[test]
    fn what_can_t_be_used_is_named_without_its_secret() {
        let headers = [("bad name".to_owned(), "word".to_owned())];
        let error = Endpoint::new("http://hub", &headers, None).unwrap_err().to_string();
        assert!(error.contains("bad name") && !error.contains("word"), "{error}");
        let error = Endpoint::new("ftp://user:word@hub", &[], None).unwrap_err().to_string();
        assert!(error.contains("ftp://hub") && !error.contains("word"), "{error}");
        assert!(matches!(Endpoint::new("hub", &[], None), Err(McpError::Url { .. })));
        let missing = Path::new("/nonexistent.pem");
        assert!(matches!(Endpoint::new("https://hub", &[], Some(missing)), Err(McpError::Ca { .. })));
    }
}
