//! Secrets that must not be shown: credentials, alone or inside an address.

use std::fmt;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Returns an address without user name, password and query, for messages.
pub fn without_credentials(url: &str) -> String {
    // An address without its scheme is handled, too: it can contain credentials as well.
    let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?[hidden]"));
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, path) = match (authority.rsplit_once('@'), path.rsplit_once('@')) {
        (Some((_, host)), _) => (host, path),
        // An unescaped slash in the password.
        (None, Some((_, host))) if authority.split_once(':').is_some_and(|(_, port)| !is_port(port)) => (host, ""),
        _ => (authority, path),
    };
    if scheme.is_empty() { format!("{host}{path}{query}") } else { format!("{scheme}://{host}{path}{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_an_address_are_not_shown() {
        assert_eq!(without_credentials("https://user:word@hub/a@b"), "https://hub/a@b");
        assert_eq!(without_credentials("https://user:wo/rd@hub/a"), "https://hub/a");
        assert_eq!(without_credentials("https://hub:1/a?api_key=word"), "https://hub:1/a?[hidden]");
        assert_eq!(without_credentials("http://127.0.0.1:7000"), "http://127.0.0.1:7000");
        assert_eq!(
            (without_credentials("user:word@hub:1"), without_credentials("file=/a@b")),
            ("hub:1".into(), "file=/a@b".into())
        );
    }
}
