//! What the log costs: bytes by request, session, call and disconnect, and what that makes in a day.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::sessions::{PROBE_REMEDY, choosable, no_meta_tool, prompt};
use crate::mcp::Closing;
use crate::scenario::observed::{LEAST_WATCHED, Observed};
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::stage::{Interrupted, Stage};
use crate::tail;

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "The log can be measured",
    "2" "The log's growth by 100 requests to the API is known",
    "3" "The log's growth by a session is known",
    "4" "The log's growth by a call is known",
    "5" "The log's growth by a disconnect is known",
    "6" "At the observed rates the log grows less than 500 MB a day",
};

/// As many as in the strategy's script.
const REQUESTS: u64 = 100;

/// The strategy: log growth below 500 MB a day under normal load.
const A_DAY: u64 = 500_000_000;

/// How often the log's size is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What each thing costs, in bytes.
#[derive(Debug, Default)]
struct Costs {
    requests: u64,
    session: u64,
    call: u64,
    disconnect: u64,
}

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let step = stage.begin("1")?;
    let Some(log) = Log::of(stage) else {
        step.end(Outcome::needs("the hub's log is not visible here", "give it with --log FILE"));
        return Ok(());
    };
    let Some(_) = settled(stage, &log).await? else {
        step.end(Outcome::unseen("the log does not come to rest: somebody else is writing it"));
        return Ok(());
    };
    step.end(Outcome::pass(format!("{} comes to rest", log.0.display())));
    let mut costs = Costs::default();

    let step = stage.begin("2")?;
    let before = log.size();
    for _ in 0..REQUESTS {
        let _ = stage.until(stage.health()).await?;
    }
    costs.requests = grown(stage, &log, before).await?;
    step.end(Outcome::pass(format!("{} bytes", costs.requests)));

    let step = stage.begin("3")?;
    let before = log.size();
    let client = match stage.until(stage.connect("A")).await? {
        Ok(client) => client,
        Err(error) => {
            step.end(Outcome::fail(format!("a client can't connect: {error}")));
            return Ok(());
        }
    };
    costs.session = grown(stage, &log, before).await?;
    step.end(Outcome::pass(format!("{} bytes", costs.session)));

    let step = stage.begin("4")?;
    let before = log.size();
    let called = if let Some(outcome) = no_meta_tool(stage) {
        Err(outcome)
    } else {
        let category = choosable(stage).into_iter().next().unwrap_or("filesystem");
        stage.until(stage.analyze(&client, prompt(category))).await?.map_err(|no| Outcome::needs(no.reason(), PROBE_REMEDY))
    };
    costs.call = grown(stage, &log, before).await?;
    step.end(called.map_or_else(|outcome| outcome, |_| Outcome::pass(format!("{} bytes", costs.call))));

    let step = stage.begin("5")?;
    let before = log.size();
    stage.until(stage.leave(&client, Closing::Finish)).await?;
    costs.disconnect = grown(stage, &log, before).await?;
    step.end(Outcome::pass(format!("{} bytes", costs.disconnect)));
    stage.begin("6")?.end(in_a_day(stage, &costs));
    Ok(())
}

/// The costs at the rates that a watch has seen.
fn in_a_day(stage: &Stage<'_>, costs: &Costs) -> Outcome {
    let observed = match Observed::of(stage.target) {
        Ok(observed) => observed,
        Err(why) => {
            return Outcome::needs(
                format!("no watch shows how often clients come and call ({why})"),
                "keep `hubwatch run` beside the hub",
            );
        }
    };
    if observed.watched < LEAST_WATCHED {
        let minutes = observed.watched.get() / 60_000_000;
        return Outcome::needs(
            format!("only {minutes} min of the last day were watched, too few for a rate"),
            "repeat it when `hubwatch run` has watched for an hour",
        );
    }
    let of = |count: u64, cost: u64| observed.a_day(count).saturating_mul(cost);
    let bytes = of(observed.requests, costs.requests) / REQUESTS
        + of(observed.sessions, costs.session)
        + of(observed.calls, costs.call)
        + of(observed.disconnects, costs.disconnect);
    let seen = format!(
        "{:.1} MB a day (limit 500 MB) with {} sessions, {} calls and {} disconnects a day",
        bytes as f64 / 1e6,
        observed.a_day(observed.sessions),
        observed.a_day(observed.calls),
        observed.a_day(observed.disconnects)
    );
    Outcome::held(bytes < A_DAY, seen)
}

/// The log file.
struct Log(std::path::PathBuf);

impl Log {
    fn of(stage: &Stage<'_>) -> Option<Self> {
        let path = tail::newest(stage.target.log.as_deref()?);
        path.is_file().then_some(Self(path))
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.0).map_or(0, |metadata| metadata.size())
    }
}

/// Waits until the log has come to rest; `None` if it does not.
async fn settled(stage: &Stage<'_>, log: &Log) -> Result<Option<u64>, Interrupted> {
    let (mut size, mut since) = (log.size(), tokio::time::Instant::now());
    let end = since + stage.options.patience.written;
    loop {
        let now = tokio::time::Instant::now();
        if now.duration_since(since) >= stage.options.patience.quiet {
            return Ok(Some(size));
        }
        if now >= end {
            return Ok(None);
        }
        stage.pause(LOOK).await?;
        if log.size() != size {
            (size, since) = (log.size(), tokio::time::Instant::now());
        }
    }
}

/// By how much it has grown once it has come to rest. A log that was rotated meanwhile has grown by what is in the new file.
async fn grown(stage: &Stage<'_>, log: &Log, before: u64) -> Result<u64, Interrupted> {
    let now = settled(stage, log).await?.unwrap_or_else(|| log.size());
    Ok(now.checked_sub(before).unwrap_or(now))
}
