//! What every part may use. It knows nothing of hubs, Watches or settings, and imports nothing of ours.

pub mod atomic;
pub mod backoff;
pub mod causes;
pub mod nearest;
pub mod secret;
pub mod tls;
pub mod toml_text;
