//! Schemas of the filesystem server's tools, as in every recording: serialised once, then copied.

use serde_json::value::RawValue;

use super::fields::quote;

/// A tool's description of itself, in the recorded order and format.
const RECORDED: &str = include_str!("tools.json");

/// The tools of one server.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    /// `capabilities.tools` of `/api/servers`: about 0.9 KB a tool.
    pub(super) array: String,
    names: Vec<String>,
    each: Vec<String>,
}

impl Tools {
    /// Returns the recorded fourteen, or as many as wanted; more are copies under other names.
    pub(super) fn new(count: usize) -> Self {
        let recorded = recorded();
        let mut tools = Self { array: String::new(), names: Vec::new(), each: Vec::new() };
        for (index, (name, json)) in recorded.iter().cycle().take(count).enumerate() {
            let round = index / recorded.len();
            let unique = if round == 0 { name.clone() } else { format!("{name}_{}", round + 1) };
            tools.each.push(renamed(json, name, &unique));
            tools.names.push(unique);
        }
        tools.array = format!("[{}]", tools.each.join(","));
        tools
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Lists the tools like the MCP endpoint: each under its server's name.
    pub(super) fn namespaced(&self, server: &str) -> Vec<String> {
        let pairs = self.each.iter().zip(&self.names);
        pairs.map(|(json, name)| renamed(json, name, &format!("{server}__{name}"))).collect()
    }
}

fn renamed(json: &str, from: &str, to: &str) -> String {
    json.replacen(&format!("\"name\":{}", quote(from)), &format!("\"name\":{}", quote(to)), 1)
}

/// Returns the embedded tools with their names.
fn recorded() -> Vec<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    let tools: Vec<Box<RawValue>> = serde_json::from_str(RECORDED).unwrap_or_default();
    let named = tools.iter().filter_map(|tool| {
        let name = serde_json::from_str::<Named>(tool.get()).ok()?.name;
        Some((name, tool.get().to_owned()))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_tools_as_wanted_each_with_its_own_name() {
        let tools = Tools::new(30);
        let parsed: Vec<serde_json::Value> = serde_json::from_str(&tools.array).unwrap();
        let names: std::collections::BTreeSet<_> = parsed.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 30);
        assert!(tools.has("read_file_2"), "{names:?}");
    }

    #[test]
    fn the_recorded_tools_are_all_there() {
        assert_eq!(recorded().len(), 14);
    }
}
