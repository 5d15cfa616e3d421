//! One poll: the requests to the hub, and what follows from its answers.

use std::path::PathBuf;

use tokio::time::Instant;

use super::Watcher;
use super::notices::{HubState, survive};
use crate::announce::results::{self, Told, Waiting};
use crate::announce::{self, marks};
use crate::cli::CliError;
use crate::hub::api::{self, FilteringStats, Health, Servers};
use crate::hub::client::{HubClient, Timed};
use crate::hub::interpret::PollAnswer;
use crate::live::vitals::Deployment;
use crate::process::{ApiProcess, HubProcess};
use crate::watch::{ApiOutcome, FilteringPoll, Text, Timestamp};

/// The answers to the requests of one poll.
pub(super) struct Asked {
    /// When, by a clock that never jumps: ours may have jumped before the answer came.
    steady_at: Timestamp,
    health: Timed<Health>,
    servers: Option<Timed<Servers>>,
    filtering: Option<Timed<FilteringStats>>,
}

/// Sends the requests of one poll.
pub(super) async fn ask(client: HubClient, steady_at: Timestamp) -> Asked {
    let health = client.health().await;
    // Another program on this address is not asked further.
    let reached = health.0.is_ok();
    let servers = if reached { Some(client.servers().await) } else { None };
    let filtering = if reached { client.filtering_stats().await } else { None };
    Asked { steady_at, health, servers, filtering }
}

/// Converts the answer to the form in a Watch.
pub(in crate::cli) fn filtering_poll((answer, duration): Timed<FilteringStats>) -> FilteringPoll {
    let (outcome, stats) = match answer {
        Ok(stats) => (ApiOutcome::Ok, Some(stats)),
        Err(outcome) => (outcome, None),
    };
    FilteringPoll {
        outcome,
        duration,
        enabled: stats.as_ref().and_then(|stats| stats.enabled),
        mode: stats.as_ref().and_then(|stats| stats.mode.as_deref()).map(Text::from),
        total: stats.as_ref().and_then(|stats| stats.total_tools),
        exposed: stats.as_ref().and_then(|stats| stats.exposed_tools),
        cache_hits: stats.as_ref().and_then(|stats| stats.cache_hit_rate).and_then(api::permille),
        llm_cache_hits: stats.as_ref().and_then(|stats| stats.llm_cache_hit_rate).and_then(api::permille),
    }
}

impl Watcher {
    /// Processes the answers of a poll.
    pub(super) async fn polled(&mut self, asked: Asked) -> Result<(), CliError> {
        let was_away = self.lookout.is_away();
        self.lookout.polled(&asked.health.0, Instant::now());
        let came_back = was_away && !self.lookout.is_away();
        self.log_hub_state(match &asked.health.0 {
            Ok(health) => HubState::Answers(health.state.clone()),
            Err(outcome) => HubState::Away(*outcome),
        });
        if let Some(workspace) = asked.health.0.as_ref().ok().and_then(Health::workspace) {
            let config_file = workspace.config_files.first().cloned();
            self.vitals.deployed(Deployment { port: workspace.port, config_file });
        }
        let now = self.now().await?;
        let outcome = asked.health.0.as_ref().err().copied().unwrap_or(ApiOutcome::Ok);
        let health = asked.health.0.clone().ok();
        let mut answer = PollAnswer {
            asked: self.clock.wall(asked.steady_at),
            now,
            health: asked.health.0,
            health_duration: asked.health.1,
            servers: asked.servers,
            process: None,
            children: Vec::new(),
            filtering: asked.filtering.map(filtering_poll),
            log_file: None,
            own_subscribers: u32::from(self.sidecar.is_subscriber()),
        };
        self.read_process(&mut answer);
        self.commit_poll(answer).await?;
        self.look_for_log();
        self.vitals.receiver(self.receiving.problem());
        self.vitals.polled(now, outcome);
        self.join_or_leave(health.as_ref(), came_back, now);
        Ok(())
    }

    /// Adds the hub's process to the answer.
    fn read_process(&mut self, answer: &mut PollAnswer) {
        // The hub's own workspace entry alone can name another hub's process.
        let known = self.sidecar.interpreter().process_that_answers(answer);
        let reported = known.map_or_else(|| ApiProcess::of(&answer.health), |(pid, started)| ApiProcess::Process(pid, started));
        if let Some(HubProcess { poll, children, auto_shutdown }) = self.process.as_mut().and_then(|source| source(reported)) {
            self.others.auto_shutdown |= auto_shutdown;
            (answer.process, answer.children) = (Some(poll), children);
        }
    }

    /// Ends the interval with this answer and begins its commit.
    async fn commit_poll(&mut self, answer: PollAnswer) -> Result<(), CliError> {
        self.take_up_marks();
        self.take_up_results();
        if !std::mem::replace(&mut self.has_polled, true) {
            self.sidecar.first_poll(&answer);
        }
        let committed = self.sidecar.polled(answer).await;
        // The commit before this one has ended by now; what was taken up since then belongs to the one that has just begun.
        if committed.is_ok() && !self.sidecar.keeps_nothing() {
            announce::done(&std::mem::take(&mut self.told.committing));
        }
        let open = std::mem::take(&mut self.told.open);
        self.told.committing.extend(open);
        if let Some(metrics) = self.sidecar.take_measured() {
            self.vitals.measured(metrics);
        }
        let kept = survive(&self.vitals, committed)?.is_some();
        // After a failure, only a successful commit shows that the journal can be written again.
        if kept && !self.sidecar.keeps_nothing() {
            self.vitals.committed(Ok(()));
        }
        Ok(())
    }

    /// Reads new marks. Their files stay until they are committed.
    pub(super) fn take_up_marks(&mut self) {
        for (path, mark) in marks::waiting_but(&self.state_dir, &self.told.all()) {
            self.sidecar.mark(&mark);
            self.told.open.push(path);
        }
    }

    /// Reads new results of scenarios. Their files stay until they are committed.
    pub(super) fn take_up_results(&mut self) {
        let Waiting { new, known } = results::waiting(&self.state_dir, |id| self.sidecar.has_taken_up(id));
        let (mut paths, told): (Vec<PathBuf>, Vec<Told>) = new.into_iter().unzip();
        // An earlier run that was killed has committed these, and not deleted their files.
        let of_here = self.told.all();
        paths.extend(known.iter().map(|(path, _)| path.clone()).filter(|path| !of_here.contains(path)));
        self.sidecar.results(told, known.into_iter().map(|(_, id)| id));
        self.told.open.extend(paths);
    }
}
