//! Helpers for every module. They know nothing of hubs, Watches or settings, and import no other module.

pub mod atomic;
pub mod backoff;
pub mod causes;
pub mod exit;
pub mod host;
pub mod nearest;
pub(crate) mod pairs;
pub mod secret;
pub mod sse;
pub mod tls;
pub mod toml_text;
