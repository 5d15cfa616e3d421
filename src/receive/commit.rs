//! Commits requests: all that wait are one transaction, and each is acknowledged when it is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::hub::observations::Observations;
use crate::journal::{Journal, JournalError, ReceivedRows, Recorded};

/// Where observations go.
pub type ObservationSender = mpsc::Sender<(i64, Observations)>;

/// A request that waits for the journal.
pub(super) struct Waiting {
    pub rows: ReceivedRows,
    pub observations: Observations,
    /// The place of its observations in the watch's queue.
    pub place: mpsc::OwnedPermit<(i64, Observations)>,
    /// Its bytes in work.
    pub _bytes: OwnedSemaphorePermit,
    pub reply: oneshot::Sender<Result<Recorded, String>>,
}

/// The last observations that were passed on; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Passed(Arc<AtomicI64>);

impl Passed {
    /// Those up to this id have been passed on.
    pub(super) fn up_to(id: i64) -> Self {
        Self(Arc::new(AtomicI64::new(id)))
    }

    fn set(&self, id: i64) {
        self.0.store(id, Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Passes on what the journal has beyond `passed`: a receiver that failed between a commit and the watch.
pub(super) async fn pass_on_the_rest(journal: &Journal, observed: &ObservationSender, passed: &Passed) -> Result<(), JournalError> {
    for (id, observations) in journal.observed().await?.into_iter().filter(|(id, _)| *id > passed.get()) {
        let observations = serde_json::from_slice(&observations).unwrap_or_default();
        // An error means that the watch has ended: the next run loads them.
        let _ = observed.send((id, observations)).await;
        passed.set(id);
    }
    Ok(())
}

/// Commits until all senders of `queue` are gone. It is the only one that commits requests, so observations are passed on in the order
/// of their ids.
pub(super) async fn commit_all(mut queue: mpsc::Receiver<Waiting>, journal: Journal, passed: Passed) {
    while let Some(first) = queue.recv().await {
        let (mut rows, mut rest) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(Waiting { rows: of_one, observations, place, _bytes, reply }) = next {
            rows.push(of_one);
            rest.push((observations, place, _bytes, reply));
            next = queue.try_recv().ok();
        }
        match journal.receive(rows).await {
            Ok(recorded) => {
                for (recorded, (observations, place, _, reply)) in recorded.into_iter().zip(rest) {
                    if let Recorded::New(Some(id)) = recorded {
                        place.send((id, observations));
                        passed.set(id);
                    }
                    // A sender that has gone repeats its request, and the journal knows it.
                    let _ = reply.send(Ok(recorded));
                }
            }
            Err(error) => {
                tracing::warn!(%error, requests = rest.len(), "received requests could not be kept; their senders repeat them");
                rest.into_iter().for_each(|(.., reply)| _ = reply.send(Err(error.to_string())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Signal;

    #[tokio::test]
    async fn after_a_failure_the_watch_gets_what_it_did_not_get_before_and_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap().journal;
        let observations = serde_json::to_vec(&Observations::default()).unwrap();
        let row = |number: u8| ReceivedRows::new(Signal::Traces, b"spans", 1, [number; 16], Some(observations.clone()));
        journal.receive((1..=4).map(row).collect()).await.unwrap();
        let (sender, mut observed) = mpsc::channel(8);
        let passed = Passed::up_to(2);
        for expected in [vec![3, 4], Vec::new()] {
            pass_on_the_rest(&journal, &sender, &passed).await.unwrap();
            let ids: Vec<i64> = std::iter::from_fn(|| observed.try_recv().ok()).map(|(id, _)| id).collect();
            assert_eq!(ids, expected);
        }
    }
}
