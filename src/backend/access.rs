//! Access settings that all backends with a URL share.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;

/// Default request timeout. Backends read a trace of ours in milliseconds; object stores take seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Credentials and settings of requests.
#[derive(Debug, Clone)]
pub struct Access {
    /// Headers of every request, such as a tenant or an API key.
    pub headers: Vec<(String, Secret)>,
    /// `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
    /// `Authorization: Basic …`: user and password.
    pub basic: Option<(String, Secret)>,
    /// A CA to trust in addition to the system's.
    pub ca: Option<PathBuf>,
    /// Request timeout.
    pub timeout: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self { headers: Vec::new(), bearer: None, basic: None, ca: None, timeout: DEFAULT_TIMEOUT }
    }
}
