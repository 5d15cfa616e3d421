//! One long-lived client that calls now and then: a staging without users has traffic to be judged by.

use std::rc::Rc;

use super::sessions::{PROBE_REMEDY, choosable, prompt};
use super::tools_usable::{failed, problem};
use super::{connects, micros};
use crate::scenario::actor::Actor;
use crate::scenario::analysis::PROMPTS;
use crate::scenario::outcome::Outcome;
use crate::scenario::plan::{StepSpec, steps};
use crate::scenario::stage::{Interrupted, Stage};
use crate::scenario::target::SOAK;
use crate::watch::MeasuredByClient;

pub(in crate::scenario) const STEPS: &[StepSpec] = steps! {
    "1" "A client connects",
    "2" "Every call of the meta-tool is answered",
    "3" "The meta-tool takes less than 6 s on average",
    "4" "Every call of a read-only tool is answered",
    "5" "The session lives as long as the client wants",
};

/// How often what was measured is handed to the watch.
const TOLD_EVERY: u32 = 12;

/// What happened so far.
#[derive(Default)]
struct Rounds {
    calls: u64,
    call_problems: u64,
    first_call_problem: Option<String>,
    tools: u64,
    tool_problems: u64,
    first_tool_problem: Option<String>,
    sessions_lost: u64,
    /// Whether the end of the present session is among these.
    is_lost: bool,
}

pub(super) async fn play(stage: &Stage<'_>) -> Result<(), Interrupted> {
    let Some(mut client) = connects(stage, "1", "soak").await? else { return Ok(()) };
    let end = tokio::time::Instant::now() + stage.options.length.unwrap_or(SOAK);
    let mut rounds = Rounds::default();
    let (mut sum, mut count) = (0, 0);
    let mut round: u32 = 0;
    let ended = loop {
        if let Err(interrupted) = act(stage, &client, round, &mut rounds).await {
            break Err(interrupted);
        }
        round += 1;
        if round.is_multiple_of(TOLD_EVERY) {
            if let Some(calls) = stage.measures.so_far(MeasuredByClient::MetaToolCall) {
                (sum, count) = (sum + calls.sum_us, count + calls.count - calls.failed);
            }
            stage.tell_measured();
        }
        let next = tokio::time::Instant::now() + stage.options.every;
        if next > end {
            break Ok(());
        }
        if stage.until(tokio::time::sleep_until(next)).await.is_err() {
            break Err(Interrupted);
        }
        match reconnected(stage, &client, &mut rounds).await {
            Ok(Some(again)) => client = again,
            Ok(None) => {}
            Err(interrupted) => break Err(interrupted),
        }
    };
    note_loss(&client, &mut rounds);
    if let Some(calls) = stage.measures.so_far(MeasuredByClient::MetaToolCall) {
        (sum, count) = (sum + calls.sum_us, count + calls.count - calls.failed);
    }
    judge(stage, &rounds, sum.checked_div(count));
    ended
}

/// A round: a call of the meta-tool, and one of a read-only tool.
async fn act(stage: &Stage<'_>, client: &Actor, round: u32, rounds: &mut Rounds) -> Result<(), Interrupted> {
    let index = usize::try_from(round).unwrap_or(0);
    if stage.survey.has_meta_tool == Some(true) {
        let probed = choosable(stage);
        let category = probed.get(index % probed.len().max(1)).copied().unwrap_or(PROMPTS[0].0);
        rounds.calls += 1;
        if let Err(no) = stage.until(stage.analyze(client, prompt(category))).await? {
            rounds.call_problems += 1;
            rounds.first_call_problem.get_or_insert_with(|| no.reason());
        }
    }
    let chosen = client.returned();
    let may_use =
        |probe: &&crate::scenario::probe::Probe| stage.survey.has_meta_tool == Some(false) || chosen.contains(&probe.category());
    let usable: Vec<_> = stage.probes.iter().filter(may_use).collect();
    let Some(probe) = usable.get(index % usable.len().max(1)) else { return Ok(()) };
    rounds.tools += 1;
    let problem = match stage.until(stage.call(client, probe)).await? {
        Ok(answer) => problem(&answer),
        Err(error) => Some(error.to_string()),
    };
    if let Some(said) = problem {
        rounds.tool_problems += 1;
        rounds.first_tool_problem.get_or_insert_with(|| format!("{}: {said}", probe.name()));
    }
    Ok(())
}

/// A session that has ended is one that was lost; the client begins another, so that there is traffic all the same.
async fn reconnected(stage: &Stage<'_>, client: &Actor, rounds: &mut Rounds) -> Result<Option<Rc<Actor>>, Interrupted> {
    let Some(how) = note_loss(client, rounds) else { return Ok(None) };
    match stage.until(stage.connect("soak")).await? {
        Ok(again) => {
            rounds.is_lost = false;
            stage.say(format!("the session ended ({how}); the client began another one"));
            Ok(Some(again))
        }
        // The next round says so.
        Err(_) => Ok(None),
    }
}

/// Counts a session whose stream has ended. Returns how it ended.
fn note_loss(client: &Actor, rounds: &mut Rounds) -> Option<crate::mcp::Ended> {
    let how = client.client()?.ended()?;
    rounds.sessions_lost += u64::from(!rounds.is_lost);
    rounds.is_lost = true;
    Some(how)
}

fn judge(stage: &Stage<'_>, rounds: &Rounds, mean: Option<u64>) {
    let no_meta_tool = || Outcome::NotApplicable("this hub has no meta-tool".to_owned());
    let of = |count: u64, problems: u64, first: &Option<String>| match first {
        None => Outcome::pass(format!("{count} of {count} calls")),
        Some(first) => failed(format!("{problems} of {count} calls failed; the first: {first}")),
    };
    let [_, meta_tool, meta_tool_time, tools, session] = STEPS else { return };
    stage.begin_spec(*meta_tool).end(if rounds.calls == 0 {
        no_meta_tool()
    } else {
        of(rounds.calls, rounds.call_problems, &rounds.first_call_problem)
    });
    stage.begin_spec(*meta_tool_time).end(match mean {
        Some(mean) => Outcome::held(mean < 6_000_000, format!("{} (limit 6 s)", micros(mean))),
        None if rounds.calls == 0 => no_meta_tool(),
        None => Outcome::unseen("no call was answered"),
    });
    stage.begin_spec(*tools).end(if rounds.tools == 0 {
        Outcome::needs("there is no tool that the client may use and that can be called without harm", PROBE_REMEDY)
    } else {
        of(rounds.tools, rounds.tool_problems, &rounds.first_tool_problem)
    });
    stage.begin_spec(*session).end(match rounds.sessions_lost {
        0 => Outcome::pass("one session"),
        lost => Outcome::fail(format!("the session was lost {lost} times")),
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_measured_is_handed_over_once_an_hour_at_the_default_rate() {
        assert_eq!(crate::scenario::target::EVERY * TOLD_EVERY, Duration::from_secs(3_600));
    }
}
