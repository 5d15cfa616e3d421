//! The rules that hold: the built-in ones, then what the watch stated, then what is said here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{RuleFile, Rules, parse};
use crate::watch::{FactKind, Watch, WatcherFact, terms};

terms! {
    /// Who said something differently from the built-in rules.
    pub enum RuleSource {
        /// The watch, in its Watches.
        Watch = "watch",
        /// The configuration where this was judged.
        Here = "here",
    }
}

/// A rule that differs from the built-in ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Override {
    /// The rule, in the form of the configuration.
    pub rule: String,
    /// Who said it.
    pub source: RuleSource,
}

/// The rules that hold, and where they come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RuleBook {
    here: Vec<RuleFile>,
    stated: Vec<String>,
    unreadable: Vec<String>,
    effective: Rules,
}

impl RuleBook {
    pub fn new(here: Vec<RuleFile>) -> Self {
        let mut book = Self { here, stated: Vec::new(), unreadable: Vec::new(), effective: Rules::builtin() };
        book.put_together();
        book
    }

    /// Takes up what a Watch states. The first one of a slot and of a run states all that differs.
    pub fn take(&mut self, watch: &Watch) {
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
            // The configuration was checked when it was read; a rule that was stated can make no name of it unknown.
            if let Err(error) = self.effective.apply(file) {
                self.unreadable.push(error.to_string());
            }
        }
    }

    /// The rules that hold.
    pub const fn rules(&self) -> &Rules {
        &self.effective
    }

    /// Stated rules that can't be used.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// What differs from the built-in rules. What was stated and is said here, too, is told once.
    pub fn overrides(&self) -> Vec<Override> {
        let stated = self.stated.iter().map(|rule| Override { rule: rule.clone(), source: RuleSource::Watch });
        let here = self.here.iter().flat_map(|file| file.entries().unwrap_or_default());
        let here = here.filter(|rule| !self.stated.contains(rule)).map(|rule| Override { rule, source: RuleSource::Here });
        stated.chain(here).collect()
    }
}
