//! The meta-tool, called once as a client calls it.

use std::time::Duration;

use super::sessions::{NO_CATEGORY, choosable, no_choice, no_meta_tool, prompt};
use super::{connects, list, seconds};
use crate::scenario::analysis::{Analysis, CATEGORIES, NoAnalysis};
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::stage::{Interrupted, Stage};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "A client connects",
    "2" "The meta-tool answers with categories",
    "3" "The model chose them, no fallback to keywords",
    "4" "The answer comes within 6 s",
    "5" "Every category is one that clients know",
    "6" "The client is notified that its tools changed",
    "7" "An empty prompt gives a clear error",
};

/// The strategy: the meta-tool executes within 3 to 6 seconds.
pub(super) const LIMIT: Duration = Duration::from_secs(6);

/// On real hubs the notification comes within 1 ms of the answer.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(client) = connects(stage, "1", "A").await? else { return Ok(()) };
    if let Some(outcome) = no_meta_tool(stage) {
        for step in ["2", "3", "4", "5", "6", "7"] {
            stage.begin(step)?.end(outcome.clone());
        }
        return Ok(());
    }
    let step = stage.begin("2")?;
    let category = choosable(stage).into_iter().next().unwrap_or("filesystem");
    match stage.until(stage.analyze(&client, prompt(category))).await? {
        Ok(analysis) if analysis.categories.is_empty() => {
            step.end(Outcome::fail(NO_CATEGORY));
            nothing_to_judge(stage)?;
        }
        Ok(analysis) => {
            step.end(Outcome::pass(format!("{} after {}", list(&analysis.categories), seconds(analysis.took))));
            judge(stage, &analysis)?;
            let step = stage.begin("6")?;
            let notified = async || (client.list_changes() > 0).then_some(());
            let notified = stage.await_that(NOTIFIED_WITHIN, notified).await?;
            step.end(match notified {
                Some(()) => Outcome::pass("notifications/tools/list_changed came"),
                None if analysis.categories.iter().all(|category| category == "meta") => {
                    Outcome::unseen("the client got no category that it had not before")
                }
                None => Outcome::fail(format!("no notification within {}", seconds(NOTIFIED_WITHIN))),
            });
        }
        Err(no) => {
            step.end(no_choice(stage, &no));
            nothing_to_judge(stage)?;
        }
    }
    let step = stage.begin("7")?;
    step.end(match stage.until(stage.analyze_unmeasured(&client, "")).await? {
        Err(NoAnalysis::Error(said)) => Outcome::pass(format!("it answers: {said}")),
        Err(no @ NoAnalysis::NoModel(_)) => Outcome::unseen(no.reason()),
        Err(no @ (NoAnalysis::Unreadable(_) | NoAnalysis::NoAnswer(_))) => Outcome::fail(no.reason()),
        Ok(analysis) => Outcome::fail(format!("it answers with categories: {}", list(&analysis.categories))),
    });
    Ok(())
}

fn nothing_to_judge(stage: &Stage<'_>) -> Result<(), Interrupted> {
    for step in ["3", "4", "5", "6"] {
        stage.begin(step)?.end(Outcome::unseen("not done: there is no answer with categories"));
    }
    Ok(())
}

fn judge(stage: &Stage<'_>, analysis: &Analysis) -> Result<(), Interrupted> {
    stage.begin("3")?.end(if analysis.by_model {
        Outcome::pass("the answer does not say otherwise")
    } else {
        Outcome::fail("the hub fell back to keywords: Gemini did not answer it")
    });
    stage.begin("4")?.end(Outcome::held(analysis.took < LIMIT, format!("{} (limit {})", seconds(analysis.took), seconds(LIMIT))));
    let unknown: Vec<&String> = analysis.categories.iter().filter(|category| !CATEGORIES.contains(&category.as_str())).collect();
    stage.begin("5")?.end(match unknown.as_slice() {
        [] => Outcome::pass(list(&analysis.categories)),
        unknown => Outcome::fail(format!("{} is none of {}", list(unknown), list(CATEGORIES))),
    });
    Ok(())
}
