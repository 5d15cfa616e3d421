//! Schemas of the servers' tools: serialised once, then copied.

use serde_json::value::RawValue;

use super::fields::quote;

/// A tool's description of itself, in the recorded order and format.
const RECORDED: &str = include_str!("tools.json");

/// The tools of the stand-ins for other servers in the recordings of MCP clients. Only the names are recorded.
const STAND_IN: [&str; 3] = ["whoami", "list_things", "search"];

/// Which tools a server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Toolset {
    /// Those of the recorded filesystem server; `list_allowed_directories` changes nothing and needs no arguments.
    #[default]
    Filesystem,
    /// `whoami`, `list_things` and `search`, none of which says whether it changes anything.
    StandIn,
    /// The same, and `whoami` says that it changes nothing.
    HarmlessStandIn,
}

/// The tools of each set.
#[derive(Clone, Debug)]
pub(super) struct Toolsets {
    filesystem: Tools,
    stand_in: Tools,
    harmless: Tools,
}

impl Toolsets {
    /// Creates the sets; `count` is the number of tools of the filesystem server.
    pub(super) fn new(count: usize) -> Self {
        Self { filesystem: Tools::new(count), stand_in: Tools::stand_in(false), harmless: Tools::stand_in(true) }
    }

    pub(super) fn of(&self, set: Toolset) -> &Tools {
        match set {
            Toolset::Filesystem => &self.filesystem,
            Toolset::StandIn => &self.stand_in,
            Toolset::HarmlessStandIn => &self.harmless,
        }
    }
}

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

    /// Returns the tools of a stand-in; its first one may say that it changes nothing.
    fn stand_in(is_harmless: bool) -> Self {
        let json = |name: &&str| {
            let hint = if is_harmless && *name == STAND_IN[0] { r#","annotations":{"readOnlyHint":true}"# } else { "" };
            format!(r#"{{"name":{},"inputSchema":{{"type":"object","properties":{{}}}}{hint}}}"#, quote(name))
        };
        let each: Vec<String> = STAND_IN.iter().map(json).collect();
        let names = STAND_IN.iter().map(|name| (*name).to_owned()).collect();
        Self { array: format!("[{}]", each.join(",")), names, each }
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
    fn only_a_harmless_stand_in_says_that_its_first_tool_changes_nothing() {
        let sets = Toolsets::new(14);
        let hints = |set| -> Vec<serde_json::Value> {
            let parsed: Vec<serde_json::Value> = serde_json::from_str(&sets.of(set).array).unwrap();
            parsed.iter().map(|tool| tool["annotations"]["readOnlyHint"].clone()).collect()
        };
        assert_eq!(hints(Toolset::StandIn), [serde_json::Value::Null, serde_json::Value::Null, serde_json::Value::Null]);
        assert_eq!(hints(Toolset::HarmlessStandIn)[0], true);
    }

    #[test]
    fn the_recorded_tools_are_all_there() {
        assert_eq!(recorded().len(), 14);
    }
}
