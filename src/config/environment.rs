//! The only place that reads the environment, behind a trait that a test can fake.

use std::path::PathBuf;

/// Where variables come from.
pub trait Environment {
    /// The variable's value; an empty one counts as absent, as the OpenTelemetry specification wants it.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables that are there.
    fn names(&self) -> Vec<String>;
}

/// The process's own environment.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}

/// Any map will do, for tests.
impl Environment for std::collections::BTreeMap<&str, &str> {
    fn get(&self, name: &str) -> Option<String> {
        std::collections::BTreeMap::get(self, name).map(|value| (*value).to_owned()).filter(|value| !value.is_empty())
    }

    fn names(&self) -> Vec<String> {
        self.keys().map(|name| (*name).to_owned()).collect()
    }
}

/// The user's home folder.
pub fn home(environment: &impl Environment) -> PathBuf {
    environment.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// `$XDG_STATE_HOME`, or `~/.local/state`.
pub fn state_home(environment: &impl Environment) -> PathBuf {
    environment.get("XDG_STATE_HOME").map_or_else(|| home(environment).join(".local").join("state"), PathBuf::from)
}
