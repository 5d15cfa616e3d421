//! Gemini is not available: the hub's instrumentation answers 429 in its place while a file says so.

use std::path::PathBuf;
use std::time::Duration;

use super::connects;
use super::sessions::{choosable, no_meta_tool, prompt};
use crate::scenario::analysis::NoAnalysis;
use crate::scenario::known;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::put_back::{self, Taken};
use crate::scenario::stage::{Interrupted, Stage};
use crate::scenario::survey;

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "With Gemini, the model chooses the categories",
    "2" "Without Gemini, the hub falls back to keywords",
    "3" "The client is told so by an error message",
    "4" "Clients are notified of the degraded mode",
    "5" "The hub goes on working",
    "6" "With Gemini again, the model chooses again",
};

/// What the file says: the HTTP status that the instrumentation answers with.
const FAULT: &str = "429\n";

/// How long the instrumentation may take to see the file.
const SEEN_WITHIN: Duration = Duration::from_millis(500);

/// How a user makes it verifiable.
const REMEDY: &str = "start the hub with instrumentation that answers in Gemini's place while a file says so (HUBWATCH_ALLOW_FAULTS=1), and give that \
     file with --fault-file FILE";

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    if let Some(outcome) = no_meta_tool(stage) {
        for spec in STEPS {
            stage.begin(spec.id)?.end(outcome.clone());
        }
        return Ok(());
    }
    let Some(file) = stage.options.fault_file.clone() else {
        for spec in STEPS {
            stage.begin(spec.id)?.end(Outcome::needs("Gemini's answers can't be changed from outside", REMEDY));
        }
        return Ok(());
    };
    let Ok(client) = stage.until(stage.connect("A")).await? else {
        // The same once more, as a step that says why.
        connects(stage, "1", "A").await?;
        return Ok(());
    };
    let category = choosable(stage).into_iter().next().unwrap_or("filesystem");
    let step = stage.begin("1")?;
    let normal = stage.until(stage.analyze(&client, prompt(category))).await?;
    match &normal {
        Ok(analysis) if analysis.by_model => _ = step.end(Outcome::pass("the model chose")),
        Ok(_) => {
            step.end(Outcome::unseen("the hub falls back to keywords even before anything is done"));
            return Ok(());
        }
        Err(no) => {
            step.end(Outcome::needs(no.reason(), "the hub must work before it can degrade"));
            return Ok(());
        }
    }
    if !without(stage, &file, &client, category).await? {
        return Ok(());
    }
    let step = stage.begin("6")?;
    let problems: Vec<String> = put_back::all_but_windows(stage.target).await.into_iter().filter_map(Result::err).collect();
    stage.pause(SEEN_WITHIN).await?;
    let again = stage.until(stage.analyze(&client, prompt(category))).await?;
    step.end(match (problems.first(), again) {
        (Some(problem), _) => Outcome::fail(problem.clone()),
        (None, Ok(analysis)) if analysis.by_model => Outcome::pass("the model chose again, at once"),
        (None, Ok(_)) => Outcome::fail("the hub still falls back to keywords"),
        (None, Err(no)) => Outcome::fail(no.reason()),
    });
    Ok(())
}

/// Steps 2 to 5. Returns whether the fault took effect.
async fn without(
    stage: &Stage<'_>,
    file: &std::path::Path,
    client: &crate::scenario::actor::Actor,
    category: &str,
) -> Result<bool, Interrupted> {
    let step = stage.begin("2")?;
    let path: PathBuf = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let taken = put_back::note(stage.target, &Taken::Faults { path: path.clone() });
    let written = taken.and_then(|()| std::fs::write(&path, FAULT).map_err(|error| format!("{}: {error}", path.display())));
    if let Err(why) = written {
        step.end(Outcome::needs(format!("the fault can't be switched on: {why}"), REMEDY));
        return Ok(false);
    }
    stage.pause(SEEN_WITHIN).await?;
    let before = (client.other_notifications(), client.list_changes());
    let answer = stage.until(stage.analyze(client, prompt(category))).await?;
    let told = match &answer {
        Ok(analysis) if analysis.by_model => {
            step.end(Outcome::needs("the model still chose: nothing in the hub reads the file", REMEDY));
            return Ok(false);
        }
        Ok(analysis) => {
            let seen = format!("keywords chose {} after {}", super::list(&analysis.categories), super::seconds(analysis.took));
            step.end(Outcome::pass(seen));
            false
        }
        Err(no) => {
            step.end(Outcome::fail(no.reason()));
            matches!(no, NoAnalysis::Error(_) | NoAnalysis::NoModel(_))
        }
    };
    stage.begin("3")?.end(match &answer {
        Ok(_) => {
            Outcome::defect("the call succeeded, and only the answer's reasoning tells of the fallback", &known::SILENT_FALLBACK)
        }
        Err(_) if told => Outcome::pass("the call ended with an error"),
        Err(no) => Outcome::fail(no.reason()),
    });
    let (others, changes) = (client.other_notifications() - before.0, client.list_changes() - before.1);
    stage.begin("4")?.end(if others > 0 {
        Outcome::pass(format!("{others} notifications that are none of changed tools"))
    } else {
        Outcome::defect(format!("no notification tells of it ({changes} that the tools changed)"), &known::SILENT_FALLBACK)
    });
    goes_on(stage).await?;
    Ok(true)
}

/// Step 5.
async fn goes_on(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let step = stage.begin("5")?;
    step.end(match stage.until(stage.health()).await? {
        Ok(health) => Outcome::held(survey::is_ready(&health.state), format!("its state is {}", health.state)),
        Err(outcome) => Outcome::fail(format!("it does not answer: {}", outcome.reason())),
    });
    Ok(())
}
