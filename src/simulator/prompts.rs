//! Prompts of clients, and the hub's keyword fallback without Gemini.

/// A prompt for each category: those of the recorded clients, and a few more.
const PROMPTS: [(&str, &str); 8] = [
    ("github", "Check my github pull requests"),
    ("filesystem", "List all files in the directory"),
    ("meta", "what can you do?"),
    ("web", "Fetch the website and summarise it"),
    ("docker", "Show the running docker containers"),
    ("git", "What changed in the last git commit"),
    ("python", "Run the python tests"),
    ("database", "Count the rows of the orders table with sql"),
];

/// The words by which the fork chooses categories when Gemini fails (from its public source).
const KEYWORDS: [(&str, &[&str]); 9] = [
    ("github", &["github", "pull request", "pr", "issue", "repository", "repo", "commit"]),
    ("filesystem", &["file", "directory", "folder", "path", "read", "write", "list"]),
    ("web", &["http", "url", "website", "fetch", "download", "scrape"]),
    ("docker", &["docker", "container", "image", "build", "run"]),
    ("git", &["git", "branch", "merge", "clone", "push", "pull"]),
    ("python", &["python", "py", "pip", "pytest", "test"]),
    ("database", &["database", "db", "sql", "query", "table", "postgres", "mysql"]),
    ("memory", &["remember", "recall", "memory", "store", "save"]),
    ("vertex_ai", &["vertex", "ai", "model", "prediction", "training"]),
];

/// Returns a prompt that leads to these categories.
pub(super) fn prompt_for(categories: &[String]) -> &'static str {
    let wanted = categories.first().map_or("github", String::as_str);
    PROMPTS.iter().find(|(category, _)| *category == wanted).map_or(PROMPTS[0].1, |(_, prompt)| prompt)
}

/// Returns the categories of the fork's fallback for the words of a prompt; `meta` if none.
pub(super) fn by_keyword(prompt: &str) -> Vec<String> {
    let prompt = prompt.to_lowercase();
    let hits = KEYWORDS.iter().filter(|(_, words)| words.iter().any(|word| prompt.contains(word)));
    let found: Vec<String> = hits.map(|(category, _)| (*category).to_owned()).collect();
    if found.is_empty() { vec!["meta".into()] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_find_what_the_recorded_fallback_found() {
        assert_eq!(by_keyword("Check my github pull requests"), ["github", "git"]);
        assert_eq!(by_keyword("hello"), ["meta"]);
    }
}
