//! What the watched hub has, and what it can't have: a criterion about something that can't exist on this hub is not applicable.
//!
//! The hub says it itself. A hub with tool filtering and its meta-tool `hub__analyze_prompt` answers `GET /api/filtering/stats`;
//! the public package has no such path, and says so with the 404 of its own web framework. It has no sessions with tools of their
//! own and never asks Gemini, either. A failed request, or a 404 of another program, shows nothing.

use std::collections::BTreeMap;

use super::history::{CallHistory, ClientHistory};
use super::rules::Rules;
use crate::watch::{ApiOutcome, Poll, Timestamp, terms};

terms! {
    /// Something that some hubs have and others don't.
    pub enum Feature {
        /// The meta-tool `hub__analyze_prompt`.
        MetaTool = "meta_tool",
        /// Asking Gemini.
        Gemini = "gemini",
        /// Sessions that are offered tools of their own.
        Sessions = "sessions",
    }
}

impl Feature {
    /// The key of `[judge]` by which a user says whether the hub has it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::MetaTool => "has_meta_tool",
            Self::Gemini => "has_gemini",
            Self::Sessions => "has_sessions",
        }
    }

    /// What a hub without it lacks, for people.
    const fn lack(self) -> &'static str {
        match self {
            Self::MetaTool => "has no meta-tool",
            Self::Gemini => "does not use Gemini",
            Self::Sessions => "has no sessions with tools of their own",
        }
    }
}

/// A hub that is restarted as a new version again and again is followed through so many of them; beyond that nothing is concluded.
const MAX_VERSIONS: usize = 200;

/// The hub software, as far as the API shows it: its version, or the process if it reports none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Software {
    Version(String),
    Process(Option<u32>, Option<Timestamp>),
}

/// What one hub software answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Answers {
    present: bool,
    absent: bool,
}

/// What the hub has, over the period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    answers: BTreeMap<Software, Answers>,
    /// Whether there were more of them than are followed.
    overflow: bool,
    /// Why the hub can't have a feature; filled when the period ends.
    lacking: BTreeMap<Feature, String>,
}

impl Features {
    /// Takes a poll in. Only a hub that answered as a hub says anything of itself.
    pub(super) fn take(&mut self, poll: &Poll) {
        if poll.api.health != ApiOutcome::Ok {
            return;
        }
        let software = match &poll.api.version {
            Some(version) => Software::Version(version.to_string()),
            None => Software::Process(poll.api.pid, poll.api.started),
        };
        if self.answers.len() >= MAX_VERSIONS && !self.answers.contains_key(&software) {
            self.overflow = true;
            return;
        }
        let answers = self.answers.entry(software).or_default();
        if let Some(filtering) = &poll.filtering {
            // JSON that says nothing of a filtering can be anybody's.
            answers.present |= filtering.outcome == ApiOutcome::Ok && (filtering.enabled.is_some() || filtering.mode.is_some());
            answers.absent |= filtering.outcome == ApiOutcome::NotFound;
        }
    }

    /// Decides, at the end of the period. What was seen is there, whatever anybody says.
    pub(super) fn finish(&mut self, calls: &CallHistory, clients: &ClientHistory, rules: &Rules) {
        let seen = |feature: &Feature| match feature {
            Feature::MetaTool => calls.total > 0,
            Feature::Gemini => calls.gemini_asked > 0 || calls.gemini_failed_rounds > 0,
            Feature::Sessions => clients.sessions_opened > 0,
        };
        let answered_404 = self.hub_lacks_filtering() && !Feature::ALL.iter().any(seen);
        let why = |feature: Feature| match rules.has(feature) {
            Some(true) => None,
            Some(false) => Some(format!("this hub {}: hubwatch.toml says so ([judge] {} = false)", feature.lack(), feature.key())),
            None => answered_404.then(|| format!("{} {}: GET /api/filtering/stats answers 404", self.named(), feature.lack())),
        };
        let unseen = Feature::ALL.iter().filter(|feature| !seen(feature));
        self.lacking = unseen.filter_map(|feature| Some((*feature, why(*feature)?))).collect();
    }

    /// Whether each hub software of the period said that it has no tool filtering. One that never said anything may have it.
    fn hub_lacks_filtering(&self) -> bool {
        let lacks = |answers: &Answers| answers.absent && !answers.present;
        !self.overflow && !self.answers.is_empty() && self.answers.values().all(lacks)
    }

    fn named(&self) -> String {
        let version = |software: &Software| match software {
            Software::Version(version) => Some(version.clone()),
            Software::Process(..) => None,
        };
        let versions: Vec<String> = self.answers.keys().filter_map(version).collect();
        if versions.is_empty() { "this hub".to_owned() } else { format!("this hub (mcp-hub {})", versions.join(", then ")) }
    }

    /// Returns why the hub can't have a feature; `None` where it has it, or where that is not known.
    pub(super) fn lacks(&self, feature: Feature) -> Option<&str> {
        self.lacking.get(&feature).map(String::as_str)
    }
}
