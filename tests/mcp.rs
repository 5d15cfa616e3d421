//! The MCP client against simulated hubs and against servers that do what they should not.

#[path = "mcp/closing.rs"]
mod closing;
#[path = "mcp/deaths.rs"]
mod deaths;
#[path = "mcp/encrypted.rs"]
mod encrypted;
#[path = "mcp/flood.rs"]
mod flood;
#[path = "mcp/hub.rs"]
mod hub;
#[path = "mcp/messages.rs"]
mod messages;
#[path = "mcp/server.rs"]
mod server;
#[path = "mcp/strangers.rs"]
mod strangers;
#[path = "mcp/streamable.rs"]
mod streamable;
