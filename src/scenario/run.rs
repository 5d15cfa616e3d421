//! A run of a scenario: what must be given first, the scenario itself, and putting everything back, whatever happens.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::acts;
use super::outcome::{Outcome, Played, Step};
use super::plan::{Scenario, UNHARMED};
use super::probe;
use super::put_back::{self, Taken};
use super::safety::{self, Condition};
use super::stage::{Interrupt, Interrupted, Props, Stage};
use super::survey::{self, Survey};
use super::target::{Options, Target};
use super::telemetry::Telemetry;
use super::teller::Teller;
use crate::announce::marks::Edge;
use crate::judge::moment::Moment;
use crate::watch::{ApiOutcome, ScenarioRun, StepVerdict, Timestamp};

/// Something that people may want to see while a scenario runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// A scenario begins.
    Begins {
        /// Which one.
        scenario: Scenario,
    },
    /// What must be given was looked at, before anything is done.
    Conditions {
        /// Each condition, with what was seen.
        conditions: &'a [Condition],
    },
    /// A condition is not met, so nothing is done.
    Refused {
        /// Which scenario.
        scenario: Scenario,
        /// What stands against it.
        why: &'a str,
    },
    /// A step begins.
    Awaiting {
        /// Its number.
        id: &'static str,
        /// What should hold.
        holds: &'static str,
    },
    /// A step was judged.
    Step {
        /// Of which scenario.
        scenario: Scenario,
        /// The step.
        step: &'a Step,
    },
    /// Something that is no step.
    Said(&'a str),
    /// The scenario is over, and everything that could be put back is.
    Ended {
        /// What came of it.
        played: &'a Played,
    },
}

/// Whoever hears what happens.
pub trait Audience {
    /// Hears of an event.
    fn hear(&self, event: &Event<'_>);
}

/// What a run needs beside the hub.
pub struct Backstage<'a> {
    /// How far it may go.
    pub options: &'a Options,
    /// Where its spans go.
    pub telemetry: &'a Telemetry,
    /// Who hears of it.
    pub audience: &'a dyn Audience,
    /// Whether the user wants it to end.
    pub interrupt: Interrupt,
    /// Whether a watch of this hub uses the state folder, so that it is told.
    pub is_watched: bool,
}

/// What stands in the way of a scenario, condition by condition; nothing is done.
///
/// # Errors
/// Why the hub does not answer as a hub does.
pub async fn conditions(scenario: Scenario, target: &Target, options: &Options) -> Result<Vec<Condition>, ApiOutcome> {
    let survey = Survey::of(target).await?;
    Ok(safety::conditions(scenario, target, options, &survey))
}

/// Plays a scenario.
///
/// # Errors
/// Why the hub does not answer as a hub does: then nothing was done.
pub async fn play(scenario: Scenario, target: &Target, backstage: &Backstage<'_>) -> Result<Played, ApiOutcome> {
    let began = Timestamp::now();
    backstage.audience.hear(&Event::Begins { scenario });
    let mut notes = left_over(target, backstage).await;
    let survey = Survey::settled(target).await?;
    let run = ScenarioRun::from_seed(format!("{scenario} {} {} {}", began.get(), std::process::id(), fastrand::u64(..)).as_bytes());
    let span = backstage.telemetry.scenario(scenario.word(), run, target.name.as_str());
    let trace_id = span.trace_id();
    let state_dir = backstage.is_watched.then(|| target.state_dir.clone());
    let teller = Teller::new(scenario, run, trace_id.clone(), state_dir);
    let stage = Stage::new(Props {
        target,
        options: backstage.options,
        scenario,
        survey: &survey,
        probes: probe::all(&survey, backstage.options),
        span: &span,
        telemetry: backstage.telemetry,
        audience: backstage.audience,
        teller: &teller,
        interrupt: backstage.interrupt.clone(),
    });
    let conditions = safety::conditions(scenario, target, backstage.options, &survey);
    backstage.audience.hear(&Event::Conditions { conditions: &conditions });
    let interrupted = match conditions.into_iter().find_map(|condition| condition.seen.err()) {
        Some(why) => {
            backstage.audience.hear(&Event::Refused { scenario, why: &why });
            not_reached(&stage, &why);
            false
        }
        None => on_stage(&stage, &teller).await,
    };
    let measured = stage.measures.take();
    measured.iter().for_each(|measured| teller.measured(measured));
    let (steps, said) = stage.into_parts();
    notes.extend(said);
    span.end(steps.iter().any(|step| step.verdict == StepVerdict::Fail));
    let ended = Moment(Timestamp::now());
    let played =
        Played { scenario: scenario.word(), run, began: Moment(began), ended, trace_id, steps, measured, notes, interrupted };
    backstage.audience.hear(&Event::Ended { played: &played });
    Ok(played)
}

/// The scenario itself, and putting back. Returns whether it was interrupted.
async fn on_stage(stage: &Stage<'_>, teller: &Teller) -> bool {
    let scenario = stage.scenario;
    teller.mark(Edge::Begin);
    if stage.is_told() && scenario.is_planned() {
        // If this process is killed, the next scenario ends the window.
        let noted = put_back::note(stage.target, &Taken::Window { name: scenario.word().to_owned() });
        if let Err(why) = noted {
            stage.say(why);
        }
    }
    let played = AssertUnwindSafe(acts::play(stage)).catch_unwind().await;
    let (why, interrupted) = match &played {
        Ok(Ok(())) => (None, false),
        Ok(Err(Interrupted)) => (Some("it was interrupted".to_owned()), true),
        Err(_) => (Some("hubwatch itself failed: this is a defect of hubwatch, please report it".to_owned()), false),
    };
    stage.all_leave().await;
    for put in put_back::all_but_windows(stage.target).await {
        match put {
            Ok(done) => stage.say(format!("put back: {done}")),
            Err(problem) => stage.say(format!("NOT put back: {problem}")),
        }
    }
    let why = why.or_else(|| stage.first_that_stopped()).unwrap_or_else(|| "it was not reached".to_owned());
    not_reached(stage, &why);
    unharmed(stage).await;
    teller.mark(Edge::End);
    put_back::forget_window(stage.target, scenario.word());
    interrupted
}

/// What an earlier scenario that was killed could not put back.
async fn left_over(target: &Target, backstage: &Backstage<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    for put in put_back::all(target).await {
        let note = match put {
            Ok(done) => format!("an earlier scenario was killed before it could do this, so it is done now: {done}"),
            Err(problem) => format!("an earlier scenario was killed, and what it took is NOT put back: {problem}"),
        };
        backstage.audience.hear(&Event::Said(&note));
        notes.push(note);
    }
    notes
}

/// Ends the steps that were not reached.
fn not_reached(stage: &Stage<'_>, why: &str) {
    let reached: Vec<&str> = stage.steps().iter().map(|step| step.id).collect();
    for spec in stage.scenario.steps().iter().filter(|spec| !reached.contains(&spec.id)) {
        stage.begin_spec(*spec).end(Outcome::unseen(format!("not done: {why}")));
    }
}

/// Whether the hub is as it was before.
async fn unharmed(stage: &Stage<'_>) {
    let step = stage.begin_spec(UNHARMED);
    let outcome = as_before(stage).await;
    step.end(outcome);
}

async fn as_before(stage: &Stage<'_>) -> Outcome {
    let now = match Survey::settled(stage.target).await {
        Ok(now) => now,
        Err(outcome) => return Outcome::fail(format!("it does not answer any more: {}", outcome.reason())),
    };
    match harm(stage.survey, &now) {
        Some(harm) => Outcome::fail(harm),
        None => Outcome::pass(match stage.survey.identity() {
            Some((pid, _)) => format!("process {pid}, {} usable", servers(now.usable().count())),
            None => format!("{} usable; which process it is, is not visible", servers(now.usable().count())),
        }),
    }
}

/// A number of servers in words.
fn servers(count: usize) -> String {
    if count == 1 { "1 server".to_owned() } else { format!("{count} servers") }
}

/// What has become worse.
fn harm(before: &Survey, now: &Survey) -> Option<String> {
    if let (Some(was), Some(is)) = (before.identity(), now.identity())
        && was != is
    {
        return Some(format!("process {} was the hub, and process {} is now: it was restarted", was.0, is.0));
    }
    if !survey::is_ready(&now.health.state) {
        return Some(format!("its state is {}", now.health.state));
    }
    let lost: Vec<&str> = before
        .usable()
        .filter(|server| !now.server(&server.name).is_some_and(survey::is_usable))
        .map(|server| server.name.as_str())
        .collect();
    if !lost.is_empty() {
        return Some(format!("{} can't be used any more", lost.join(", ")));
    }
    let children = |survey: &Survey| survey.process.as_ref().map(|process| process.children.len());
    match (children(before), children(now)) {
        (Some(had), Some(has)) if has < had => Some(format!("it had {had} child processes, and has {has} now")),
        _ => None,
    }
}
