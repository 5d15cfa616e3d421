//! Probes: harmless calls that show which tools a client may use.
//!
//! The fork enforces what is exposed when a tool is called: a tool that is not exposed is "not found", whatever `tools/list` says
//! (docs/hub.md, "Acting on a hub"). A probe executes the tool, so only tools that change nothing are called.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::Survey;
use super::target::Options;
use crate::hub::act::{ServerWithTools, Tool};
use crate::mcp::Answer;

/// A category of tools: the name of a server, as it stands before `__` in its tools' names.
pub(super) type Category = String;

/// A server's name as hubs put it before its tools' names: whatever is no ASCII letter or digit becomes `_`.
pub(super) fn category_of(server: &str) -> Category {
    server.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// The JSON-RPC code of an unknown tool.
const INVALID_PARAMS: i64 = -32_602;

/// A harmless call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Probe {
    /// The server, as its configuration names it.
    pub server: String,
    /// The tool, without the server's name.
    pub tool: String,
}

impl Probe {
    /// The tool's name as clients call it.
    pub(super) fn name(&self) -> String {
        format!("{}__{}", self.category(), self.tool)
    }

    /// Its category.
    pub(super) fn category(&self) -> Category {
        category_of(&self.server)
    }
}

/// Whether a client may use a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exposure {
    /// It was executed, whatever came of it.
    Exposed,
    /// The hub says that there is no such tool.
    NotExposed,
    /// There was no answer that tells.
    Unknown(String),
}

impl Exposure {
    /// Reads the answer to a probe.
    pub(super) fn of(answer: &Answer, probe: &Probe) -> Self {
        match &answer.outcome {
            Err(error) if error.code == INVALID_PARAMS && error.message.contains(&format!("Tool not found: {}", probe.name())) => {
                Self::NotExposed
            }
            Ok(_) | Err(_) => Self::Exposed,
        }
    }
}

/// The probes that this hub allows: one for each usable server, in the order of their names.
pub(super) fn all(survey: &Survey, options: &Options) -> Vec<Probe> {
    let probe = |server: &ServerWithTools| {
        let tools = server.capabilities.as_ref().map(|offers| offers.tools.as_slice()).unwrap_or_default();
        let of = |tool: &Tool| Probe { server: server.name.clone(), tool: tool.name.clone() };
        let named = tools.iter().find(|tool| options.probes.contains(&of(tool).name()));
        named.or_else(|| tools.iter().find(|tool| tool.is_harmless())).map(of)
    };
    let probes: BTreeSet<Probe> = survey.usable().filter_map(probe).collect();
    probes.into_iter().collect()
}

/// What a client may use, by category.
pub(super) type Exposures = BTreeMap<Category, Exposure>;

/// The categories that are exposed.
pub(super) fn exposed(exposures: &Exposures) -> BTreeSet<Category> {
    exposures.iter().filter(|(_, exposure)| **exposure == Exposure::Exposed).map(|(category, _)| category.clone()).collect()
}

/// The first category of which it can't be told, and why.
pub(super) fn unknown(exposures: &Exposures) -> Option<(&Category, &str)> {
    exposures.iter().find_map(|(category, exposure)| match exposure {
        Exposure::Unknown(why) => Some((category, why.as_str())),
        Exposure::Exposed | Exposure::NotExposed => None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::*;
    use crate::mcp::RpcError;

    fn exposure(outcome: Result<Value, (i64, &str)>) -> Exposure {
        let outcome = outcome.map_err(|(code, message)| RpcError { code, message: message.to_owned() });
        let answer = Answer { outcome, raw: String::new(), took: Duration::ZERO, at: Instant::now() };
        Exposure::of(&answer, &Probe { server: "github".into(), tool: "whoami".into() })
    }

    #[test]
    fn a_tool_is_called_by_its_server_s_name_in_letters_and_digits() {
        let probe = Probe { server: "my-files".into(), tool: "list".into() };
        assert_eq!((probe.name().as_str(), probe.category().as_str()), ("my_files__list", "my_files"));
    }

    #[test]
    fn only_the_words_of_a_missing_tool_mean_that_it_is_not_exposed() {
        let missing = "MCP error -32602: MCP error -32602: Tool not found: github__whoami";
        assert_eq!(exposure(Err((-32_602, missing))), Exposure::NotExposed);
        assert_eq!(exposure(Err((-32_602, "Tool not found: github__who"))), Exposure::Exposed);
        assert_eq!(exposure(Err((-32_603, "Cannot read properties of null (reading 'parse')"))), Exposure::Exposed);
        assert_eq!(exposure(Ok(json!({"content": []}))), Exposure::Exposed);
    }
}
