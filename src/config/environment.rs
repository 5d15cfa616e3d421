//! The only place that reads the environment, behind a trait that a test can fake.

use std::path::PathBuf;

/// A source of environment variables.
pub trait Environment {
    /// Returns the variable's value. An empty one counts as absent, as the OpenTelemetry specification requires.
    fn get(&self, name: &str) -> Option<String>;

    /// Returns the names of all variables.
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

/// A map as the environment, for tests.
impl Environment for std::collections::BTreeMap<&str, &str> {
    fn get(&self, name: &str) -> Option<String> {
        std::collections::BTreeMap::get(self, name).map(|value| (*value).to_owned()).filter(|value| !value.is_empty())
    }

    fn names(&self) -> Vec<String> {
        self.keys().map(|name| (*name).to_owned()).collect()
    }
}

/// Returns the user's home folder.
pub fn home(environment: &impl Environment) -> PathBuf {
    environment.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// Returns `$XDG_STATE_HOME`, or `~/.local/state`.
pub fn state_home(environment: &impl Environment) -> PathBuf {
    environment.get("XDG_STATE_HOME").map_or_else(|| home(environment).join(".local").join("state"), PathBuf::from)
}
