//! JSON-RPC messages: written, and read from whatever came.

use std::borrow::Cow;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::RpcError;

/// The id of a request of ours: 1, 2, 3 …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RequestId(pub(super) u64);

/// A message to the server.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) body: Bytes,
    /// Set if it is a request.
    pub(super) request: Option<RequestId>,
}

impl Outgoing {
    pub(super) fn request(id: RequestId, method: &str, params: Value) -> Self {
        let message = with_params(json!({"jsonrpc": "2.0", "id": id.0, "method": method}), params);
        Self { body: message.to_string().into(), request: Some(id) }
    }

    pub(super) fn notification(method: &str, params: Value) -> Self {
        Self { body: with_params(json!({"jsonrpc": "2.0", "method": method}), params).to_string().into(), request: None }
    }

    /// Answers a request of the server: a ping in good order, any other one with an error.
    pub(super) fn reply(id: &RawValue, method: &str) -> Self {
        let outcome = if method == PING { r#""result":{}"# } else { r#""error":{"code":-32601,"message":"Method not found"}"# };
        Self { body: format!(r#"{{"jsonrpc":"2.0","id":{id},{outcome}}}"#).into(), request: None }
    }
}

/// The only request of a server that a client without capabilities must answer.
pub(super) const PING: &str = "ping";

fn with_params(mut message: Value, params: Value) -> Value {
    if !params.is_null() {
        message["params"] = params;
    }
    message
}

/// A message from the server.
#[derive(Debug)]
pub(super) enum Received<'a> {
    /// An answer; the id is `None` if it can't be one of ours.
    Answer { id: Option<RequestId>, outcome: Outcome<'a> },
    /// A notification.
    Notification { method: Cow<'a, str> },
    /// A request.
    Request { id: &'a RawValue, method: Cow<'a, str> },
}

/// The outcome in an answer, not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    Result(&'a RawValue),
    Error(&'a RawValue),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Reads a message. Returns `None` if it isn't JSON-RPC 2.0.
pub(super) fn read(text: &str) -> Option<Received<'_>> {
    let message: Envelope<'_> = serde_json::from_str(text).ok()?;
    if message.jsonrpc != "2.0" {
        return None;
    }
    match (message.method, message.id, message.result, message.error) {
        (Some(method), Some(id), None, None) => Some(Received::Request { id, method }),
        (Some(method), None, None, None) => Some(Received::Notification { method }),
        (None, id, Some(result), None) => Some(Received::Answer { id: own_id(id), outcome: Outcome::Result(result) }),
        (None, id, None, Some(error)) => Some(Received::Answer { id: own_id(id), outcome: Outcome::Error(error) }),
        (Some(_), _, _, _) | (None, _, Some(_), Some(_)) | (None, _, None, None) => None,
    }
}

fn own_id(id: Option<&RawValue>) -> Option<RequestId> {
    serde_json::from_str(id?.get()).ok().map(RequestId)
}

impl Outcome<'_> {
    /// Reads the outcome. Returns `None` if it isn't what the protocol has: an object as result, or an error with code and message.
    pub(super) fn read(self) -> Option<Result<Value, RpcError>> {
        #[derive(Deserialize)]
        struct Error {
            code: i64,
            message: String,
        }
        match self {
            Self::Result(raw) => serde_json::from_str(raw.get()).ok().filter(Value::is_object).map(Ok),
            Self::Error(raw) => {
                let Error { code, message } = serde_json::from_str(raw.get()).ok()?;
                Some(Err(RpcError { code, message }))
            }
        }
    }
}

/// Returns the beginning of what came, at most `limit` bytes, for people: without control characters, and without a cut letter.
pub(super) fn excerpt(bytes: &[u8], limit: usize) -> String {
    let start = &bytes[..bytes.len().min(limit)];
    let text = String::from_utf8_lossy(start);
    let mut text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_keys() {
        let is = |text: &str| read(text).map(|message| format!("{message:?}").split_whitespace().next().unwrap().to_owned());
        assert_eq!(is(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).as_deref(), Some("Answer"));
        assert_eq!(is(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#).as_deref(), Some("Answer"));
        assert_eq!(is(r#"{"jsonrpc":"2.0","method":"a\u0062"}"#).as_deref(), Some("Notification"));
        assert_eq!(is(r#"{"jsonrpc":"2.0","method":"ping","id":"x"}"#).as_deref(), Some("Request"));
        for wrong in [
            r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
            r#"{"id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#,
            "nonsense",
            "",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn only_a_whole_number_is_an_id_of_ours() {
        let id = |id: &str| match read(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)) {
            Some(Received::Answer { id, .. }) => id.map(|id| id.0),
            other => panic!("{other:?}"),
        };
        assert_eq!(id("7"), Some(7));
        for other in ["\"7\"", "7.0", "-7", "null", "[7]", "99999999999999999999"] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn an_outcome_is_an_object_or_an_error_with_code_and_message() {
        let outcome = |text: &str| match read(&format!(r#"{{"jsonrpc":"2.0","id":1,{text}}}"#)) {
            Some(Received::Answer { outcome, .. }) => outcome.read(),
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome(r#""result":{"a":1}"#), Some(Ok(json!({"a": 1}))));
        let error = RpcError { code: -32_603, message: "no".into() };
        assert_eq!(outcome(r#""error":{"code":-32603,"message":"no","data":[]}"#), Some(Err(error)));
        for wrong in [r#""result":7"#, r#""result":[]"#, r#""error":"no""#, r#""error":{"code":"1","message":"no"}"#] {
            assert_eq!(outcome(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_reply_to_a_server_repeats_its_id_exactly() {
        let id: Box<RawValue> = serde_json::from_str(r#""a\"b""#).unwrap();
        let text = |method: &str| String::from_utf8(Outgoing::reply(&id, method).body.to_vec()).unwrap();
        assert_eq!(text("ping"), r#"{"jsonrpc":"2.0","id":"a\"b","result":{}}"#);
        assert_eq!(text("roots/list"), r#"{"jsonrpc":"2.0","id":"a\"b","error":{"code":-32601,"message":"Method not found"}}"#);
    }

    #[test]
    fn an_excerpt_is_one_line_within_its_limit() {
        assert_eq!(excerpt("a\nb\u{1b}[31m ü".as_bytes(), 100), "a b [31m ü");
        assert_eq!(excerpt("üüü".as_bytes(), 4), "üü");
        assert!(excerpt(&[0xff; 300], 200).len() <= 200);
    }
}
