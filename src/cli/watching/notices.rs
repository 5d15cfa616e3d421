//! Messages about the hub, its log and the journal, logged when their state changes.

use std::path::Path;

use super::Watcher;
use crate::journal::JournalError;
use crate::live::vitals::Vitals;
use crate::tail;
use crate::watch::ApiOutcome;

/// The state of the hub, as it is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HubState {
    /// The hub answers and reports this state.
    Answers(String),
    /// It does not answer as a hub does.
    Away(ApiOutcome),
}

impl Watcher {
    /// Logs the hub's state if it has changed.
    pub(super) fn log_hub_state(&mut self, now: HubState) {
        let before = self.logged_state.replace(now.clone());
        if before.as_ref() == Some(&now) {
            return;
        }
        match (before, now) {
            (Some(HubState::Answers(from)), HubState::Answers(state)) => tracing::info!(from, state, "the hub's state changed"),
            (None | Some(HubState::Away(_)), HubState::Answers(state)) => tracing::info!(state, "the hub answers"),
            (_, HubState::Away(outcome)) => {
                tracing::warn!(%outcome, reason = outcome.reason(), "the hub does not answer; watching goes on");
            }
        }
    }

    /// Warns if the log file is missing, and logs when it can be read.
    pub(super) fn look_for_log(&mut self) {
        let (Some(log), lacks) = (&self.log, self.sidecar.lacks_log()) else { return };
        let warning = match (self.lacks_log.replace(lacks), lacks) {
            (None | Some(false), true) => Some(absent(log)),
            (Some(true), false) => None,
            (None | Some(false), false) | (Some(true), true) => return,
        };
        match &warning {
            Some(warning) => tracing::warn!("{warning}"),
            None => tracing::info!(log = %log.display(), "the log is there and is read"),
        }
        self.vitals.warned(warning);
    }
}

/// Returns `None` after an error that may pass, such as a full disk or a lost state folder: it is logged, the data is retried with the
/// next commit, and the watch goes on. Other errors end the watch.
pub(super) fn survive<T>(vitals: &Vitals, committed: Result<T, JournalError>) -> Result<Option<T>, JournalError> {
    match committed {
        Err(error) if error.may_pass() => {
            vitals.committed(Err(error.to_string()));
            if error.is_full() {
                tracing::error!(%error, "the disk is full, nothing can be saved; the watch goes on; free some space");
            } else {
                tracing::error!(%error, "the journal can't be written; the watch goes on and retries");
            }
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Returns the warning for a log file that is missing.
fn absent(log: &Path) -> String {
    let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = match std::fs::read_dir(folder) {
        Ok(_) if tail::is_pattern(log) => "no file matches it".to_owned(),
        Ok(_) => "there is no such file".to_owned(),
        Err(error) => format!("its folder {}: {error}", folder.display()),
    };
    let log = log.display();
    format!(
        "the log {log} can't be read ({why}): what only the log shows is not visible; check --log, the log is read once it is there"
    )
}
