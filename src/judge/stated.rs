//! The effective rules: the built-in ones, overridden by those of the watch, overridden by those of the report's own configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{RuleFile, Rules, parse};
use crate::watch::{FactKind, Watch, WatcherFact, terms};

terms! {
    /// Where an override of the built-in rules comes from.
    pub enum RuleSource {
        /// The watch's configuration, which its Watches carry.
        Watch = "watch",
        /// The configuration of the command that judged.
        Here = "here",
    }
}

/// An override of a built-in rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Override {
    /// The rule, in the form of the configuration.
    pub rule: String,
    /// Where it comes from.
    pub source: RuleSource,
}

/// The effective rules and their sources.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RuleBook {
    here: Vec<RuleFile>,
    stated: Vec<String>,
    unreadable: Vec<String>,
    effective: Rules,
}

impl RuleBook {
    pub(super) fn new(here: Vec<RuleFile>) -> Self {
        let mut book = Self { here, stated: Vec::new(), unreadable: Vec::new(), effective: Rules::builtin() };
        book.put_together();
        book
    }

    /// Takes the overrides from a Watch. The first Watch of a slot and of a run carries all of them.
    pub(super) fn take(&mut self, watch: &Watch) {
        let mut stated = Vec::new();
        let mut begins = false;
        for fact in &watch.facts {
            if let FactKind::Watcher(WatcherFact::RuleStated(rule)) = &fact.kind {
                stated.push(rule.rule.to_string());
            }
            begins |= matches!(fact.kind, FactKind::Watcher(WatcherFact::WatcherStarted(_)));
        }
        if (begins || !stated.is_empty()) && stated != self.stated {
            self.stated = stated;
            self.put_together();
        }
    }

    fn put_together(&mut self) {
        self.effective = Rules::builtin();
        self.unreadable.clear();
        for rule in &self.stated {
            if let Err(error) = parse(rule).and_then(|file| self.effective.apply(&file)) {
                self.unreadable.push(error.to_string());
            }
        }
        for file in &self.here {
            // The configuration was checked when it was read. A rule of the watch can't make one of its names unknown.
            if let Err(error) = self.effective.apply(file) {
                self.unreadable.push(error.to_string());
            }
        }
    }

    /// Returns the effective rules.
    pub(super) const fn rules(&self) -> &Rules {
        &self.effective
    }

    /// Returns errors of the watch's rules that can't be used.
    pub(super) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Returns the overrides of the built-in rules. An override that both sources have is listed once.
    pub(super) fn overrides(&self) -> Vec<Override> {
        let stated = self.stated.iter().map(|rule| Override { rule: rule.clone(), source: RuleSource::Watch });
        let here = self.here.iter().flat_map(|file| file.entries().unwrap_or_default());
        let here = here.filter(|rule| !self.stated.contains(rule)).map(|rule| Override { rule, source: RuleSource::Here });
        stated.chain(here).collect()
    }
}
