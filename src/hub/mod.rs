//! All knowledge of the hub.
