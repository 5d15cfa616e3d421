//! What the meta-tool `hub__analyze_prompt` answers.

use std::time::Duration;

use crate::mcp::{Answer, McpError};

/// The meta-tool.
pub(super) const META_TOOL: &str = "hub__analyze_prompt";

/// The categories that the fork can expose (docs/hub.md). One that is not among these is unknown to clients.
pub(super) const CATEGORIES: [&str; 10] =
    ["github", "filesystem", "web", "docker", "git", "python", "database", "memory", "vertex_ai", "meta"];

/// What the fork's fallback says of itself: Gemini did not answer, so keywords decided.
const FALLBACK: &str = "keyword matching";

/// A prompt for each category, in plain words for it. The fork's keyword fallback may give it a second one: `github` has `git` in it.
pub(super) const PROMPTS: [(&str, &str); 9] = [
    ("github", "Show the newest GitHub pull requests"),
    ("filesystem", "Put three files into another folder"),
    ("memory", "Recall what I told you yesterday"),
    ("git", "Clone and merge with git"),
    ("web", "Scrape that website"),
    ("docker", "Start a docker container"),
    ("database", "Add a column to the postgres table"),
    ("python", "Use pip and python"),
    ("vertex_ai", "Vertex prediction and training"),
];

/// An answer with categories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Analysis {
    /// The categories of the tools that the client may use from now on.
    pub categories: Vec<String>,
    /// Whether the model chose them; otherwise the hub fell back to keywords.
    pub by_model: bool,
    /// How long the answer took.
    pub took: Duration,
}

/// Why there are no categories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnalysis {
    /// The hub has no model to ask.
    NoModel(String),
    /// The hub answers an error.
    Error(String),
    /// The answer is not what a meta-tool answers.
    Unreadable(String),
    /// There is no answer.
    NoAnswer(McpError),
}

impl NoAnalysis {
    /// In words for people.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::NoModel(said) => format!("the hub has no model to ask ({said})"),
            Self::Error(said) => format!("the meta-tool answers an error: {said}"),
            Self::Unreadable(said) => format!("the meta-tool's answer can't be read: {said}"),
            Self::NoAnswer(error) => format!("the meta-tool did not answer: {error}"),
        }
    }
}

/// Reads an answer.
pub(super) fn read(answer: &Answer) -> Result<Analysis, NoAnalysis> {
    if let Err(error) = &answer.outcome {
        return Err(NoAnalysis::Error(format!("{} {}", error.code, error.message)));
    }
    let result = answer.tool_result();
    let Some(said) = &result.json else {
        return Err(NoAnalysis::Unreadable(shown(&result.texts.join(" "))));
    };
    if let Some(error) = said["error"].as_str() {
        let error =
            said["message"].as_str().or(said["details"].as_str()).map_or(error.to_owned(), |more| format!("{error}: {more}"));
        let no_model = error.contains("not available");
        return Err(if no_model { NoAnalysis::NoModel(error) } else { NoAnalysis::Error(error) });
    }
    if result.is_error {
        return Err(NoAnalysis::Error(shown(&result.texts.join(" "))));
    }
    let categories =
        said["categories"].as_array().map(|all| all.iter().filter_map(|one| one.as_str()).map(str::to_owned).collect());
    let Some(categories) = categories else {
        return Err(NoAnalysis::Unreadable(shown(&result.texts.join(" "))));
    };
    let by_model = !said["reasoning"].as_str().unwrap_or_default().contains(FALLBACK);
    Ok(Analysis { categories, by_model, took: answer.took })
}

/// The beginning of an answer.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 160;
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
