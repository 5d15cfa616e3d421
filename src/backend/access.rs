//! How a backend is reached: what all of those behind a URL have in common.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;

/// How long one answer may take. Backends read a trace of ours in milliseconds; object stores take seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Who asks, and how.
#[derive(Debug, Clone)]
pub struct Access {
    /// Headers that go with every request: a tenant, an API key.
    pub headers: Vec<(String, Secret)>,
    /// `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
    /// `Authorization: Basic …`: user and password.
    pub basic: Option<(String, Secret)>,
    /// A certificate authority to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// How long one answer may take.
    pub timeout: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self { headers: Vec::new(), bearer: None, basic: None, ca: None, timeout: DEFAULT_TIMEOUT }
    }
}
