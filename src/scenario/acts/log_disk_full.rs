//! The disk of the hub's log is full: a file of ours takes what is left, and is deleted again.

use std::path::{Path, PathBuf};

use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::put_back::{self, Taken};
use crate::scenario::stage::{Interrupted, Stage};
use crate::scenario::survey;
use crate::{process, tail};

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "The disk of the hub's log is full",
    "2" "The hub's process stays, and its port answers",
    "3" "Once there is room again, the hub goes on answering",
};

/// A larger disk is not the log's own: filling it would hurt everything else on this host.
const LARGEST: u64 = 2_000_000_000;

/// Written at a time.
const BLOCK: usize = 1 << 20;

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let step = stage.begin("1")?;
    let ballast = match ballast(stage) {
        Ok(ballast) => ballast,
        Err(outcome) => {
            step.end(outcome);
            return Ok(());
        }
    };
    match put_back::note(stage.target, &Taken::Disk { path: ballast.clone() }).and_then(|()| fill(&ballast)) {
        Ok(bytes) => _ = step.end(Outcome::pass(format!("{} MB of ballast in {}", bytes / 1_000_000, ballast.display()))),
        Err(why) => {
            step.end(Outcome::needs(format!("it can't be filled: {why}"), "run as a user who may write where the log lies"));
            return Ok(());
        }
    }
    // A client that comes and goes makes the hub write.
    if let Ok(client) = stage.until(stage.connect("A")).await? {
        stage.until(stage.leave(&client, crate::mcp::Closing::Finish)).await?;
    }
    let step = stage.begin("2")?;
    let away = async || problem(stage).await;
    step.end(match stage.await_that(stage.options.patience.disk_full, away).await? {
        Some(problem) => Outcome::fail(problem),
        None => Outcome::pass(format!("it answered for {} s", stage.options.patience.disk_full.as_secs_f64())),
    });
    let step = stage.begin("3")?;
    let problems: Vec<String> = put_back::all_but_windows(stage.target).await.into_iter().filter_map(Result::err).collect();
    let away = async || problem(stage).await;
    let problem = match problems.into_iter().next() {
        Some(problem) => Some(problem),
        None => stage.await_that(stage.options.patience.disk_free, away).await?,
    };
    step.end(match problem {
        Some(problem) => Outcome::fail(problem),
        None => Outcome::pass(format!("it answered for {} s", stage.options.patience.disk_free.as_secs_f64())),
    });
    Ok(())
}

/// What is wrong with the hub: "alive" means that its process is there and its port answers.
async fn problem(stage: &Stage<'_>) -> Option<String> {
    let (health, _) = stage.target.hub.health().await;
    let process = stage.survey.identity().map(|(pid, _)| process::is_alive(pid));
    match (health, process) {
        (Ok(health), _) => survey_problem(&health),
        (Err(outcome), Some(true)) => Some(format!("its process is there, but {}", outcome.reason())),
        (Err(outcome), Some(false)) => Some(format!("its process has ended; {}", outcome.reason())),
        (Err(outcome), None) => Some(format!("it does not answer: {}", outcome.reason())),
    }
}

fn survey_problem(health: &crate::hub::api::Health) -> Option<String> {
    (!survey::is_ready(&health.state)).then(|| format!("its state is {}", health.state))
}

/// The file that takes the room, beside the log.
fn ballast(stage: &Stage<'_>) -> Result<PathBuf, Outcome> {
    let Some(log) = &stage.target.log else {
        return Err(Outcome::needs("the hub's log is not visible here", "give it with --log FILE"));
    };
    let log = tail::newest(log);
    let Some(folder) = log.parent().filter(|folder| folder.is_dir()) else {
        return Err(Outcome::needs(format!("{} has no folder here", log.display()), "give the log with --log FILE"));
    };
    match process::free_space(folder) {
        Some(free) if free.get() <= LARGEST => Ok(folder.join("hubwatch-ballast")),
        Some(free) => Err(Outcome::needs(
            format!(
                "{} MB are free where the log lies, more than the {} MB that are filled at most",
                free.get() / 1_000_000,
                LARGEST / 1_000_000
            ),
            "give the hub's log a small disk of its own, such as a tmpfs",
        )),
        None => Err(Outcome::unseen("the free space where the log lies is unknown")),
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) -> Result<u64, String> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).map_err(|error| error.to_string())?;
    let block = vec![0; BLOCK];
    let (mut bytes, mut size) = (0, BLOCK);
    while size > 0 && bytes <= LARGEST {
        match file.write(&block[..size]) {
            Ok(0) => size /= 2,
            Ok(written) => bytes += written as u64,
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => size /= 2,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(bytes)
}
