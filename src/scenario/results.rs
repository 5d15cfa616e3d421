//! The results of a run of the command, for people and programs.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::outcome::{Played, Step, Tally};
use super::plan::{Scenario, UNHARMED};
use crate::base::exit::Exit;
use crate::base::nearest::nearest;
use crate::judge::moment::Moment;
use crate::watch::StepVerdict;

/// The version of the results' form. It rises when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// The results of one run of the command.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Results {
    /// The version of this form.
    pub version: u32,
    /// The version of hubwatch.
    pub tool_version: &'static str,
    /// What reports call the hub.
    pub hub: String,
    /// Where the hub runs.
    pub environment: String,
    /// Its address, without credentials.
    pub address: String,
    /// When the run ended.
    pub at: Moment,
    /// The verdict on all steps: `pass`, `fail`, `not_verifiable` or `not_applicable`. Failures that were expected don't count.
    #[schemars(with = "String")]
    pub verdict: StepVerdict,
    /// How many steps came to which verdict, expected failures included.
    pub tally: Tally,
    /// The scenarios, in the order in which they ran.
    pub scenarios: Vec<Played>,
    /// Steps that failed as expected, as `SCENARIO/STEP`.
    pub failed_as_expected: Vec<String>,
    /// Steps that are listed as expected failures and held: the list is stale, which fails the run.
    pub stale_expectations: Vec<String>,
    /// Why no more scenarios ran: the hub did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    /// Whether the user ended it.
    pub interrupted: bool,
}

/// About which hub.
#[derive(Debug, Clone)]
pub struct About {
    /// What reports call it.
    pub hub: String,
    /// Where it runs.
    pub environment: String,
    /// Its address, without credentials.
    pub address: String,
}

impl Results {
    /// Puts the results together. `cut_short` says that the user ended it before all scenarios had begun.
    pub fn new(
        about: About,
        at: Moment,
        scenarios: Vec<Played>,
        expected: &Expected,
        (unreachable, cut_short): (Option<String>, bool),
    ) -> Self {
        let names = |wanted: StepVerdict| {
            let of = move |played: &Played, step: &Step| step_name(played.scenario, step.id);
            let steps =
                scenarios.iter().flat_map(move |played| played.steps.iter().map(move |step| (of(played, step), step.verdict)));
            steps.filter(move |(name, verdict)| *verdict == wanted && expected.0.contains(name)).map(|(name, _)| name).collect()
        };
        let (failed_as_expected, stale_expectations): (Vec<String>, Vec<String>) =
            (names(StepVerdict::Fail), names(StepVerdict::Pass));
        let tally = Tally::of(scenarios.iter().flat_map(|played| &played.steps));
        let is_unexpected = |played: &Played, step: &&Step| {
            step.verdict != StepVerdict::Fail || !failed_as_expected.contains(&step_name(played.scenario, step.id))
        };
        let unexpected = scenarios.iter().flat_map(|played| played.steps.iter().filter(move |step| is_unexpected(played, step)));
        let verdict = match Tally::verdict_of(unexpected) {
            StepVerdict::NotApplicable if scenarios.is_empty() => StepVerdict::NotVerifiable,
            _ if !stale_expectations.is_empty() => StepVerdict::Fail,
            StepVerdict::NotVerifiable | StepVerdict::NotApplicable if !failed_as_expected.is_empty() => StepVerdict::Pass,
            verdict => verdict,
        };
        let interrupted = cut_short || scenarios.iter().any(|played| played.interrupted);
        Self {
            version: VERSION,
            tool_version: env!("CARGO_PKG_VERSION"),
            hub: about.hub,
            environment: about.environment,
            address: about.address,
            at,
            verdict,
            tally,
            scenarios,
            failed_as_expected,
            stale_expectations,
            unreachable,
            interrupted,
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self.verdict {
            StepVerdict::Fail => Exit::Failed,
            _ if self.unreachable.is_some() => Exit::Unreachable,
            StepVerdict::NotVerifiable | StepVerdict::NotApplicable => Exit::NoVerdict,
            StepVerdict::Pass if self.interrupted => Exit::NoVerdict,
            StepVerdict::Pass => Exit::Ok,
        }
    }

    /// Whether a step's failure was expected.
    pub fn is_expected(&self, scenario: &str, step: &str) -> bool {
        self.failed_as_expected.contains(&step_name(scenario, step))
    }
}

/// The schema of the results.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Results)
}

fn step_name(scenario: &str, step: &str) -> String {
    format!("{scenario}/{step}")
}

/// Steps that are known to fail, as `SCENARIO/STEP`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected(BTreeSet<String>);

/// A line of the list that names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{name}` names no step of a scenario{meant}; write SCENARIO/STEP, such as tools_usable/2")]
pub struct ExpectedError {
    line: usize,
    name: String,
    meant: String,
}

impl Expected {
    /// Reads the list: a step on each line; `#` begins a comment.
    ///
    /// # Errors
    /// A line names no step.
    pub fn parse(text: &str) -> Result<Self, ExpectedError> {
        let all: Vec<String> = Scenario::ALL.into_iter().flat_map(names).collect();
        let mut expected = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            let name = line.split('#').next().unwrap_or_default().trim();
            if name.is_empty() {
                continue;
            }
            if !all.iter().any(|known| known == name) {
                let meant = nearest(name, all.iter().map(String::as_str))
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                return Err(ExpectedError { line: index + 1, name: name.to_owned(), meant });
            }
            expected.insert(name.to_owned());
        }
        Ok(Self(expected))
    }
}

fn names(scenario: Scenario) -> Vec<String> {
    scenario.steps().iter().chain([&UNHARMED]).map(|step| step_name(scenario.word(), step.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Micros, ScenarioRun, Timestamp};

    fn results(verdicts: &[(&'static str, StepVerdict)], expected: &str, unreachable: Option<&str>) -> Results {
        let now = Moment(Timestamp::from_secs(1));
        let step = |(id, verdict): &(&'static str, StepVerdict)| Step {
            id,
            holds: String::new(),
            verdict: *verdict,
            detail: String::new(),
            known_defect: None,
            began: now,
            took_us: Micros::new(1),
        };
        let played = Played {
            scenario: "tools_usable",
            run: ScenarioRun::from_seed(b"1"),
            began: now,
            ended: now,
            trace_id: String::new(),
            steps: verdicts.iter().map(step).collect(),
            measured: Vec::new(),
            notes: Vec::new(),
            interrupted: false,
        };
        let about = About { hub: "hub".into(), environment: "staging".into(), address: "http://hub".into() };
        Results::new(about, now, vec![played], &Expected::parse(expected).unwrap(), (unreachable.map(str::to_owned), false))
    }

    #[test]
    fn every_exit_code_has_its_case() {
        use StepVerdict::{Fail, NotApplicable, NotVerifiable, Pass};
        let exit = |verdicts: &[(&'static str, StepVerdict)], expected| results(verdicts, expected, None).exit();
        assert_eq!(exit(&[("1", Pass), ("2", NotVerifiable)], ""), Exit::Ok);
        assert_eq!(exit(&[("1", Pass), ("2", Fail)], ""), Exit::Failed);
        assert_eq!(exit(&[("1", NotVerifiable), ("2", NotApplicable)], ""), Exit::NoVerdict);
        assert_eq!(exit(&[("1", NotVerifiable), ("after", Pass)], ""), Exit::NoVerdict);
        assert_eq!(exit(&[("1", Pass), ("after", Fail)], ""), Exit::Failed);
        assert_eq!(results(&[], "", Some("refused")).exit(), Exit::Unreachable);
        assert_eq!(results(&[("1", Fail)], "", Some("refused")).exit(), Exit::Failed);
    }

    #[test]
    fn an_expected_failure_passes_and_one_that_holds_fails_the_run() {
        use StepVerdict::{Fail, NotVerifiable, Pass};
        let list = "# the fork\ntools_usable/2  # tools/list\n\n";
        let as_expected = results(&[("1", Pass), ("2", Fail)], list, None);
        assert_eq!(
            (as_expected.exit(), as_expected.failed_as_expected.as_slice()),
            (Exit::Ok, ["tools_usable/2".to_owned()].as_slice())
        );
        assert_eq!(results(&[("2", Fail)], list, None).exit(), Exit::Ok);
        let stale = results(&[("1", Pass), ("2", Pass)], list, None);
        assert_eq!((stale.exit(), stale.stale_expectations.as_slice()), (Exit::Failed, ["tools_usable/2".to_owned()].as_slice()));
        assert_eq!(results(&[("1", Pass), ("2", NotVerifiable)], list, None).exit(), Exit::Ok);
        assert_eq!(results(&[("1", Pass), ("2", Fail), ("4", Fail)], list, None).exit(), Exit::Failed);
    }

    #[test]
    fn a_line_that_names_no_step_is_refused_with_what_was_meant() {
        let error = Expected::parse("tools_usabel/2").unwrap_err();
        assert_eq!((error.line, error.meant.as_str()), (1, "; did you mean `tools_usable/2`?"));
        Expected::parse("session_isolation/after").unwrap();
    }
}
