//! The hub's MCP endpoint with the legacy HTTP+SSE transport: its answer to each JSON-RPC message.

use std::io;

use serde_json::{Value, json};

use super::fields::Fields;
use super::hub::ServerStatus;
use super::live::LiveSimulation;
use super::truth::Happening;

const INTERNAL_ERROR: i64 = -32_603;
const INVALID_PARAMS: i64 = -32_602;
const METHOD_NOT_FOUND: i64 = -32_601;

const META_TOOL: &str = "hub__analyze_prompt";

/// Handles a client's message; answers go to its stream.
pub(super) fn take_message(live: &mut LiveSimulation, session: &str, message: &Value) -> io::Result<()> {
    let method = message["method"].as_str().unwrap_or_default();
    live.heard(session);
    match (method, message.get("id")) {
        // The answer to a ping.
        ("", _) => {}
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
        "tools/list" => list_tools(live, session),
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
fn list_tools(live: &LiveSimulation, session: &str) -> RpcResult {
    let world = &live.simulation.world;
    if world.profile.is_fork() && !world.profile.behaviour.tools_work {
        return Err((INTERNAL_ERROR, "Cannot read properties of undefined (reading 'toolFiltering')".into()));
    }
    let servers = world.hub.iter().flat_map(|hub| &hub.servers);
    let is_listed = |name: &str| world.profile.behaviour.lists_everything || world.exposes(session, name);
    let listed = servers.filter(|server| server.status == ServerStatus::Connected && is_listed(&server.name));
    let tools = listed.flat_map(|server| world.tools.of(server.toolset).namespaced(&server.name));
    let mut tools: Vec<Value> = tools.filter_map(|tool| serde_json::from_str(&tool).ok()).collect();
    if world.profile.is_fork() {
        tools.push(json!({"name": META_TOOL, "inputSchema": {"type": "object"}}));
    }
    Ok(json!({"tools": tools}))
}

fn call_tool(live: &mut LiveSimulation, session: &str, id: &Value, params: &Value) -> io::Result<()> {
    let name = params["name"].as_str().unwrap_or_default();
    if name == META_TOOL && live.simulation.world.profile.is_fork() {
        return analyze(live, session, id, &params["arguments"]);
    }
    let answer = if live.simulation.world.profile.is_fork() { call_of_fork(live, session, name) } else { call_of_npm(live, name) };
    reply(live, session, id, answer);
    Ok(())
}

/// The fork enforces what is exposed. A call that it allows runs the tool, and then fails to read the tool's result. Its errors have
/// their code in the text, too, because the SDK's error class adds it.
fn call_of_fork(live: &mut LiveSimulation, session: &str, name: &str) -> RpcResult {
    let named = |code: i64, text: &str| (code, format!("MCP error {code}: {text}"));
    let exposed = registered(live, name).filter(|(server, _)| live.simulation.world.exposes(session, server));
    let Some((server, tool)) = exposed else { return Err(named(INVALID_PARAMS, &format!("Tool not found: {name}"))) };
    match run_tool(live, &server, &tool) {
        Ok(result) if live.simulation.world.profile.behaviour.tools_work => Ok(result),
        Ok(_) => Err(named(INTERNAL_ERROR, "Cannot read properties of null (reading 'parse')")),
        Err(error) => Err(named(INTERNAL_ERROR, &error)),
    }
}

fn call_of_npm(live: &mut LiveSimulation, name: &str) -> RpcResult {
    let Some((server, tool)) = registered(live, name) else { return Err((INTERNAL_ERROR, "key is not defined".into())) };
    let failed = |error| json!({"content": [{"type": "text", "text": error}], "isError": true});
    Ok(run_tool(live, &server, &tool).unwrap_or_else(failed))
}

/// Returns the server and the tool that a name means. A tool stays registered while its server is away.
fn registered(live: &LiveSimulation, name: &str) -> Option<(String, String)> {
    let (server, tool) = name.split_once("__")?;
    let world = &live.simulation.world;
    let known = world.hub.as_ref()?.server(server)?;
    (world.tools.of(known.toolset).has(tool)).then(|| (server.to_owned(), tool.to_owned()))
}

fn analyze(live: &mut LiveSimulation, session: &str, id: &Value, arguments: &Value) -> io::Result<()> {
    let prompt = arguments["prompt"].as_str().unwrap_or_default();
    if let Some(text) = live.simulation.world.profile.behaviour.meta_tool_says.clone() {
        reply(live, session, id, Ok(json!({"content": [{"type": "text", "text": text}]})));
        return Ok(());
    }
    let (text, is_error) = if live.simulation.world.profile.behaviour.has_no_llm {
        let suggestion = "Configure toolFiltering.llmCategorization with a valid provider in mcp-servers.json";
        (json!({"error": "LLM-based prompt analysis not available", "suggestion": suggestion}), false)
    } else if prompt.trim().is_empty() {
        (json!({"error": "Invalid prompt", "message": "Prompt must be a non-empty string"}), true)
    } else {
        return live.call(session, id.clone(), prompt.to_owned());
    };
    let mut result = json!({"content": [{"type": "text", "text": text.to_string()}]});
    if is_error {
        result["isError"] = true.into();
    }
    reply(live, session, id, Ok(result));
    Ok(())
}

/// Runs a server's tool.
pub(super) fn run_tool(live: &mut LiveSimulation, server: &str, tool: &str) -> Result<Value, String> {
    let world = &mut live.simulation.world;
    let known = world.hub.iter().flat_map(|hub| &hub.servers).find(|known| known.name == server);
    let known = known.ok_or_else(|| format!("Server \"{server}\" not found"))?;
    if known.up_since.is_none() {
        let is_called_connected = known.status == ServerStatus::Connected;
        return Err(if is_called_connected { "Not connected" } else { "Server not initialized" }.into());
    }
    if !world.tools.of(known.toolset).has(tool) {
        return Err(format!("MCP error -32602: Tool {tool} not found"));
    }
    world.record(Happening::ToolRan { server: server.to_owned(), tool: tool.to_owned() });
    Ok(match tool {
        "list_allowed_directories" => {
            let text = "Allowed directories:\n/srv/staging/data";
            json!({"content": [{"type": "text", "text": text}], "structuredContent": {"content": text}})
        }
        "whoami" => {
            let text = Fields::new().text("server", server).text("tool", tool).raw("meta", "null").object();
            json!({"content": [{"type": "text", "text": text}]})
        }
        _ => json!({"content": [{"type": "text", "text": "[FILE] notes.txt"}]}),
    })
}
