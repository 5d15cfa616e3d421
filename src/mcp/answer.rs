//! Answers to requests.

use std::time::{Duration, Instant};

use serde_json::Value;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The result, or the error that the server answered.
    pub outcome: Result<Value, RpcError>,
    /// The exact JSON text of the whole message.
    pub raw: String,
    /// From sending the POST, on its open connection, to the arrival of the whole message.
    pub took: Duration,
    /// When the whole message had arrived.
    pub at: Instant,
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RpcError {
    /// For example -32602, invalid parameters.
    pub code: i64,
    /// The server's text.
    pub message: String,
}

/// What a call of a tool gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The server says `isError`, or the answer is a JSON-RPC error, or it has no `content`.
    pub is_error: bool,
    /// The text of each part of type `text`, in order. For a JSON-RPC error: its message.
    pub texts: Vec<String>,
    /// The first text, if it is JSON.
    pub json: Option<Value>,
}

impl Answer {
    /// Reads the answer as that of `tools/call`.
    pub fn tool_result(&self) -> ToolResult {
        let result = match &self.outcome {
            Ok(result) => result,
            Err(error) => return ToolResult { is_error: true, texts: vec![error.message.clone()], json: None },
        };
        let content = result["content"].as_array();
        let parts = content.into_iter().flatten().filter(|part| part["type"] == "text");
        let texts: Vec<String> = parts.filter_map(|part| part["text"].as_str()).map(str::to_owned).collect();
        let json = texts.first().and_then(|text| serde_json::from_str(text).ok());
        ToolResult { is_error: content.is_none() || result["isError"] == true, texts, json }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(outcome: Result<Value, RpcError>) -> Answer {
        Answer { outcome, raw: String::new(), took: Duration::ZERO, at: Instant::now() }
    }

    #[test]
    fn the_first_text_of_a_tool_s_result_is_parsed_if_it_is_json() {
        let content =
            json!([{"type": "image"}, {"type": "text", "text": "{\"categories\":[\"github\"]}"}, {"type": "text", "text": "b"}]);
        let result = answer(Ok(json!({"content": content}))).tool_result();
        assert_eq!(result.json, Some(json!({"categories": ["github"]})));
        assert_eq!((result.is_error, result.texts.len()), (false, 2));
        let plain = answer(Ok(json!({"content": [{"type": "text", "text": "Not connected"}], "isError": true}))).tool_result();
        assert_eq!(plain, ToolResult { is_error: true, texts: vec!["Not connected".into()], json: None });
    }

    #[test]
    fn an_rpc_error_and_a_result_without_content_are_errors_of_the_tool() {
        let error = RpcError { code: -32_602, message: "Tool not found: x".into() };
        let refused = answer(Err(error)).tool_result();
        assert_eq!(refused, ToolResult { is_error: true, texts: vec!["Tool not found: x".into()], json: None });
        assert!(answer(Ok(json!({}))).tool_result().is_error);
    }
}
