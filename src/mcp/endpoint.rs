//! Where the server is, and how it may be asked.

use std::path::Path;

use super::error::McpError;

/// An MCP server: its base address, the headers of each request, and whom TLS trusts.
#[derive(Clone)]
pub struct Endpoint {}

impl Endpoint {
    /// Takes the server at `url`, which may have a path prefix (`https://proxy/hubs/a`); its MCP endpoint is `{url}/mcp`. User name
    /// and password in the address become basic authentication. The headers go with every request. `ca` is a PEM file that is
    /// trusted beside the system's roots.
    ///
    /// # Errors
    /// [`McpError::Url`], [`McpError::Header`] and [`McpError::Ca`] name what can't be used.
    pub fn new(url: &str, headers: &[(String, String)], ca: Option<&Path>) -> Result<Self, McpError> {
        let _ = (url, headers, ca);
        Ok(Self {})
    }
}
