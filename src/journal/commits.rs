//! News of commits, for tasks of the same process.

use tokio::sync::watch;

use super::JournalError;

/// The number of commits since the journal was opened. It doesn't keep the journal open.
#[derive(Debug, Clone)]
pub struct Commits(pub(super) watch::Receiver<u64>);

impl Commits {
    /// Waits for a commit after number `seen`; returns its number. Fails once the journal is closed.
    pub async fn after(&mut self, seen: u64) -> Result<u64, JournalError> {
        self.0.wait_for(|commits| *commits > seen).await.map(|commits| *commits).map_err(|_| JournalError::Gone)
    }
}
