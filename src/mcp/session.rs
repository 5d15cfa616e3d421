//! The id of a session: a live credential.

use hyper::Uri;

use crate::base::secret::Secret;
use crate::watch::SessionHash;

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

impl SessionId {
    /// Returns the keyed hash by which the session is known in facts.
    pub fn hashed(&self, key: &[u8; 32]) -> SessionHash {
        SessionHash::of(self.reveal(), key)
    }

    pub(crate) fn reveal(&self) -> &str {
        self.id.reveal()
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(_) => f.write_str("Path"),
            Self::Header => f.write_str("Header"),
        }
    }
}
