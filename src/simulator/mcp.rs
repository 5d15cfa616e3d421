//! The hub's MCP endpoint with the legacy HTTP+SSE transport: its answer to each JSON-RPC message.

use std::io;

use serde_json::{Value, json};

use super::live::LiveSimulation;

const INTERNAL_ERROR: i64 = -32_603;
const METHOD_NOT_FOUND: i64 = -32_601;

/// Handles a client's message; answers go to its stream.
pub(super) fn take_message(live: &mut LiveSimulation, session: &str, message: &Value) -> io::Result<()> {
    let method = message["method"].as_str().unwrap_or_default();
    match (method, message.get("id")) {
        ("notifications/initialized", _) => live.initialized(session)?,
        ("tools/call", Some(id)) => call_tool(live, session, id, &message["params"])?,
        (_, Some(id)) => {
            let answer = answer(live, session, method, &message["params"]);
            reply(live, session, id, answer);
        }
        (_, None) => {}
    }
    Ok(())
}

type RpcResult = Result<Value, (i64, String)>;

fn answer(live: &mut LiveSimulation, session: &str, method: &str, params: &Value) -> RpcResult {
    match method {
        "initialize" => Ok(initialize(live, session, params)),
        "ping" => Ok(json!({})),
        "tools/list" => list_tools(live),
        _ => Err((METHOD_NOT_FOUND, "Method not found".into())),
    }
}

fn reply(live: &LiveSimulation, session: &str, id: &Value, answer: RpcResult) {
    let message = match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err((code, message)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}),
    };
    live.send_message(session, &message);
}

fn initialize(live: &mut LiveSimulation, session: &str, params: &Value) -> Value {
    live.remember_name(session, params["clientInfo"]["name"].as_str().unwrap_or("Unknown"));
    let version = params["protocolVersion"].as_str().unwrap_or("2024-11-05");
    let changes = json!({"listChanged": true});
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": changes, "resources": changes, "prompts": changes},
        "serverInfo": {"name": "mcp-hub-internal-endpoint", "version": "1.0.0"},
    })
}

/// Lists the tools. With prompt-based filtering it fails, like the fork.
fn list_tools(live: &LiveSimulation) -> RpcResult {
    let world = &live.simulation.world;
    if world.profile.is_fork() {
        let error = "Cannot read properties of undefined (reading 'toolFiltering')";
        return Err((INTERNAL_ERROR, error.into()));
    }
    let servers = world.hub.iter().flat_map(|hub| &hub.servers).filter(|server| server.up_since.is_some());
    let tools = servers.flat_map(|server| world.tools.namespaced(&server.name));
    let tools: Vec<Value> = tools.filter_map(|tool| serde_json::from_str(&tool).ok()).collect();
    Ok(json!({"tools": tools}))
}

fn call_tool(live: &mut LiveSimulation, session: &str, id: &Value, params: &Value) -> io::Result<()> {
    let name = params["name"].as_str().unwrap_or_default();
    if name == "hub__analyze_prompt" && live.simulation.world.profile.is_fork() {
        return analyze(live, session, id, &params["arguments"]);
    }
    let answer = match name.split_once("__") {
        Some((server, tool)) => run_tool(live, server, tool).map_err(|error| (INTERNAL_ERROR, error)),
        None => Err((-32_602, format!("Tool not found: {name}"))),
    };
    reply(live, session, id, answer);
    Ok(())
}

fn analyze(live: &mut LiveSimulation, session: &str, id: &Value, arguments: &Value) -> io::Result<()> {
    let prompt = arguments["prompt"].as_str().unwrap_or_default();
    if prompt.trim().is_empty() {
        let text = json!({"error": "Invalid prompt", "message": "Prompt must be a non-empty string"}).to_string();
        reply(live, session, id, Ok(json!({"content": [{"type": "text", "text": text}], "isError": true})));
        return Ok(());
    }
    live.call(session, id.clone(), prompt.to_owned())
}

/// Calls a server's tool; the simulated world answers.
pub(super) fn run_tool(live: &LiveSimulation, server: &str, tool: &str) -> Result<Value, String> {
    let world = &live.simulation.world;
    let known = world.hub.iter().flat_map(|hub| &hub.servers).find(|known| known.name == server);
    let known = known.ok_or_else(|| format!("Server \"{server}\" not found"))?;
    if known.up_since.is_none() {
        return Err("Not connected".into());
    }
    if !world.tools.has(tool) {
        return Err(format!("MCP error -32602: Tool {tool} not found"));
    }
    Ok(json!({"content": [{"type": "text", "text": "[FILE] notes.txt"}]}))
}
