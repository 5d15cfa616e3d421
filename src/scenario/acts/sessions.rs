//! What the three session test cases share: choosing tools, and comparing what each client may use with what the hub returned to it.
//!
//! A model is not deterministic, so a client is held against the categories that the hub *returned* to it, not against those that its
//! prompt asks for.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::list;
use crate::scenario::actor::Actor;
use crate::scenario::analysis::{Analysis, NoAnalysis, PROMPTS};
use crate::scenario::outcome::Outcome;
use crate::scenario::probe::{self, Category, Exposures};
use crate::scenario::stage::{Interrupted, Stage};

/// How a user makes exposure verifiable.
pub(super) const PROBE_REMEDY: &str =
    "--probe SERVER__TOOL names a harmless tool; without it one is found that says that it is read-only and needs no argument";

/// Why an answer without an error still gives a client nothing: each prompt asks for one category in plain words.
pub(super) const NO_CATEGORY: &str = "the meta-tool answers no category, though the prompt names one";

/// Why nothing of exposure applies to this hub; `None` if it does.
pub(super) fn no_meta_tool(stage: &Stage<'_>) -> Option<Outcome> {
    (stage.survey.has_meta_tool == Some(false))
        .then(|| Outcome::NotApplicable("this hub has no meta-tool: every client may use every tool".to_owned()))
}

/// The categories that can be probed on this hub and chosen by a prompt.
pub(super) fn choosable(stage: &Stage<'_>) -> Vec<&'static str> {
    let probed = |category: &str| stage.probes.iter().any(|probe| probe.category() == category);
    PROMPTS.iter().map(|(category, _)| *category).filter(|category| probed(category)).collect()
}

/// As many categories as clients: those that can be probed first, `filesystem` for the second one, as in the strategy.
pub(super) fn for_clients<const CLIENTS: usize>(stage: &Stage<'_>) -> [&'static str; CLIENTS] {
    let mut probed = choosable(stage);
    let filesystem = probed.iter().position(|category| *category == "filesystem").map(|at| probed.remove(at));
    let all = PROMPTS.iter().map(|(category, _)| *category);
    let rest: Vec<&'static str> = all.filter(|category| *category != "filesystem" && !probed.contains(category)).collect();
    let mut others = probed.into_iter().chain(rest);
    let first = others.next().unwrap_or("github");
    let mut chosen = [first; CLIENTS];
    for (index, place) in chosen.iter_mut().enumerate().skip(1) {
        *place = if index == 1 { filesystem.unwrap_or("filesystem") } else { others.next().unwrap_or("memory") };
    }
    chosen
}

/// The prompt that asks for a category.
pub(super) fn prompt(category: &str) -> &'static str {
    PROMPTS.iter().find(|(of, _)| *of == category).map_or("List the tools", |(_, prompt)| prompt)
}

/// A client chooses tools. `None` if it got no categories: the step has said why.
pub(super) async fn chooses(
    stage: &Stage<'_>,
    id: &'static str,
    actor: &Rc<Actor>,
    category: &str,
) -> Result<Option<Analysis>, Interrupted> {
    let step = stage.begin(id)?;
    let answer = stage.until(stage.analyze(actor, prompt(category))).await?;
    Ok(match answer {
        Ok(analysis) if analysis.categories.is_empty() => {
            step.end(Outcome::fail(NO_CATEGORY));
            None
        }
        Ok(analysis) => {
            let seen = format!("it gets {} after {}", list(&analysis.categories), super::seconds(analysis.took));
            step.end(if analysis.by_model {
                Outcome::pass(seen)
            } else {
                Outcome::unseen(format!("{seen}, but by keywords: Gemini did not answer the hub"))
            });
            Some(analysis)
        }
        Err(no) => {
            step.end(no_choice(stage, &no));
            None
        }
    })
}

/// What a call of the meta-tool without categories means for a step that needs them.
pub(super) fn no_choice(stage: &Stage<'_>, no: &NoAnalysis) -> Outcome {
    match no {
        // A hub whose proxy hides what it can do: it may have no meta-tool at all.
        NoAnalysis::Error(_) if stage.survey.has_meta_tool.is_none() => {
            Outcome::unseen(format!("{}; whether this hub has a meta-tool is not visible", no.reason()))
        }
        NoAnalysis::NoModel(_) => {
            Outcome::needs(no.reason(), "give it one: toolFiltering.llmCategorization with an apiKey in the hub's configuration")
        }
        NoAnalysis::Error(_) | NoAnalysis::Unreadable(_) | NoAnalysis::NoAnswer(_) => Outcome::fail(no.reason()),
    }
}

/// What a client may use, held against what it chose.
pub(super) struct Held<'e> {
    /// What the scenario calls the client.
    pub label: &'e str,
    /// What it may use.
    pub now: &'e Exposures,
    /// What a client may use before it has chosen anything.
    pub default: &'e BTreeSet<Category>,
    /// What the hub returned to it.
    pub chosen: BTreeSet<Category>,
}

impl Held<'_> {
    /// It may use what it chose.
    pub(super) fn has_its_own(&self) -> Outcome {
        let probed: BTreeSet<&Category> = self.chosen.iter().filter(|category| self.now.contains_key(*category)).collect();
        if probed.is_empty() {
            let why = format!("no tool of {} can be called without harm", list(&self.chosen));
            return Outcome::needs(why, PROBE_REMEDY);
        }
        if let Some(outcome) = self.unclear() {
            return outcome;
        }
        let exposed = probe::exposed(self.now);
        let missing: Vec<&Category> = probed.iter().copied().filter(|category| !exposed.contains(*category)).collect();
        match missing.as_slice() {
            [] => Outcome::pass(format!("client {} may use {}", self.label, list(probed))),
            missing => Outcome::fail(format!("client {} chose {} but may not use it", self.label, list(missing))),
        }
    }

    /// It may use nothing but what it chose and what every client may use.
    pub(super) fn has_no_other(&self) -> Outcome {
        if self.now.is_empty() {
            return Outcome::needs("no tool of this hub can be called without harm", PROBE_REMEDY);
        }
        if let Some(outcome) = self.unclear() {
            return outcome;
        }
        let foreign: Vec<Category> = probe::exposed(self.now)
            .into_iter()
            .filter(|category| !self.default.contains(category) && !self.chosen.contains(category))
            .collect();
        match foreign.as_slice() {
            [] => Outcome::pass(format!("client {} may use {}, nothing else", self.label, tools_of(self.now))),
            foreign => Outcome::fail(format!("client {} may use {}, which it never chose", self.label, list(foreign))),
        }
    }

    /// Both.
    pub(super) fn has_exactly_its_own(&self) -> Outcome {
        let own = self.has_its_own();
        match (&own, self.has_no_other()) {
            (Outcome::Pass(_), other) | (Outcome::NotVerifiable { .. }, other @ Outcome::Fail { .. }) => other,
            (Outcome::Fail { .. } | Outcome::NotVerifiable { .. } | Outcome::NotApplicable(_), _) => own,
        }
    }

    fn unclear(&self) -> Option<Outcome> {
        probe::unknown(self.now)
            .map(|(category, why)| Outcome::fail(format!("the call of a tool of {category} was not answered: {why}")))
    }
}

/// What a client may use, for people.
fn tools_of(exposures: &Exposures) -> String {
    let exposed = probe::exposed(exposures);
    if exposed.is_empty() { "no server's tools".to_owned() } else { format!("the tools of {}", list(exposed)) }
}

/// A client may use what it might before, and was not told otherwise.
pub(super) fn unchanged(label: &str, before: (&Exposures, usize), now: (&Exposures, usize)) -> Outcome {
    if before.0.is_empty() && now.1 == before.1 {
        return Outcome::needs("no tool of this hub can be called without harm; no notification came", PROBE_REMEDY);
    }
    if before.0 != now.0 {
        let (was, is) = (tools_of(before.0), tools_of(now.0));
        return Outcome::fail(format!("client {label} might use {was} before, and may use {is} now"));
    }
    match now.1 - before.1 {
        0 => Outcome::pass(format!("client {label} may use {}, as before, and got no notification", tools_of(now.0))),
        more => Outcome::fail(format!("client {label} got {more} notifications that its tools changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::probe::Exposure;
    use crate::watch::StepVerdict;

    fn exposures(exposed: &[&str], hidden: &[&str]) -> Exposures {
        let one = |exposure: Exposure| move |name: &&str| ((*name).to_owned(), exposure.clone());
        let shown = exposed.iter().map(one(Exposure::Exposed));
        shown.chain(hidden.iter().map(one(Exposure::NotExposed))).collect()
    }

    fn verdicts(now: &Exposures, chosen: &[&str]) -> [StepVerdict; 2] {
        let chosen = chosen.iter().map(|name| (*name).to_owned()).collect();
        let held = Held { label: "A", now, default: &BTreeSet::new(), chosen };
        [held.has_its_own().verdict(), held.has_exactly_its_own().verdict()]
    }

    #[test]
    fn a_client_with_its_own_tools_only_is_isolated() {
        use StepVerdict::{Fail, NotVerifiable, Pass};
        assert_eq!(verdicts(&exposures(&["github"], &["filesystem"]), &["github"]), [Pass, Pass]);
        assert_eq!(verdicts(&exposures(&["github", "filesystem"], &[]), &["github"]), [Pass, Fail], "a leak");
        assert_eq!(verdicts(&exposures(&[], &["github", "filesystem"]), &["github"]), [Fail, Fail], "not exposed at all");
        assert_eq!(
            verdicts(&exposures(&[], &["filesystem"]), &["github"]),
            [NotVerifiable, NotVerifiable],
            "github is not connected"
        );
        assert_eq!(verdicts(&exposures(&["filesystem"], &[]), &["github"]), [NotVerifiable, Fail], "a leak all the same");
    }

    #[test]
    fn a_notification_to_another_client_is_a_change() {
        let same = exposures(&["github"], &["filesystem"]);
        assert_eq!(unchanged("A", (&same, 1), (&same, 1)).verdict(), StepVerdict::Pass);
        assert_eq!(unchanged("A", (&same, 1), (&same, 2)).verdict(), StepVerdict::Fail);
        let more = exposures(&["github", "filesystem"], &[]);
        assert_eq!(unchanged("A", (&same, 1), (&more, 1)).verdict(), StepVerdict::Fail);
    }
}
