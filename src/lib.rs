//! `hubwatch`: an OpenTelemetry sidecar for an MCP Hub, and the release report at the end of a staging period.

pub mod simulator;
pub mod watch;
