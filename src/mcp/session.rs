//! The id of a session: a live credential.

use std::fmt;

use hyper::Uri;
use hyper::header::HeaderValue;

use super::error::McpError;
use crate::base::secret::Secret;
use crate::watch::SessionHash;

/// The names of the query parameter with a session's id: of the TypeScript SDK, which hubs use, and of the Python SDK.
const PARAMETERS: [&str; 2] = ["sessionId", "session_id"];

/// The id that the server gave a session. Whoever knows it can act in the session, so it is shown nowhere; keep
/// [`SessionId::hashed`] instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionId {
    id: Secret,
    pub(super) route: Route,
}

/// How a message gets to its session.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The path and query of the `endpoint` event.
    Path(Uri),
    /// The header `Mcp-Session-Id`.
    Header,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path(_) => "Path",
            Self::Header => "Header",
        })
    }
}

impl SessionId {
    /// Returns the keyed hash by which the session is known in facts.
    pub fn hashed(&self, key: &[u8; 32]) -> SessionHash {
        SessionHash::of(self.reveal(), key)
    }

    /// Returns the id itself, for requests in the session.
    pub(crate) fn reveal(&self) -> &str {
        self.id.reveal()
    }

    /// Takes the id out of the address for messages, if it contains one.
    pub(super) fn of_path(path: &Uri) -> Option<Self> {
        let pairs = path.query()?.split('&').filter_map(|pair| pair.split_once('='));
        let (_, id) = pairs.into_iter().find(|(name, _)| PARAMETERS.contains(name))?;
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
        Some(Self { id: Secret::new(id), route: Route::Path(path.clone()) })
    }

    /// Takes the value of the header.
    pub(super) fn of_header(id: &str) -> Self {
        Self { id: Secret::new(id), route: Route::Header }
    }

    /// Returns the value for the header.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.reveal()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Hides the id in an error: a hub repeats it when it refuses a message.
    pub(super) fn redact_error(&self, error: McpError) -> McpError {
        match error {
            McpError::Status { status, body } => McpError::Status { status, body: self.redact(&body) },
            other => other,
        }
    }

    /// Replaces the id in a text.
    pub(super) fn redact(&self, text: &str) -> String {
        if self.reveal().is_empty() { text.to_owned() } else { text.replace(self.reveal(), "[session]") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_the_address_and_never_shown() {
        let path = Uri::from_static("/messages?a=1&sessionId=89da%2D5681");
        let session = SessionId::of_path(&path).unwrap();
        assert_eq!(session.reveal(), "89da-5681");
        assert!(!format!("{session:?}").contains("89da"), "{session:?}");
        assert_eq!(session.redact("Session not found: 89da-5681"), "Session not found: [session]");
        assert_eq!(session.hashed(&[7; 32]), SessionHash::of("89da-5681", &[7; 32]));
        assert_eq!(SessionId::of_path(&Uri::from_static("/messages/?session_id=x")).unwrap().reveal(), "x");
        assert_eq!(SessionId::of_path(&Uri::from_static("/messages?id=1")), None);
    }
}
