//! Commits requests: all that wait are one transaction, and each is acknowledged when it is on disk.

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::hub::observations::Observations;
use crate::journal::{Journal, ReceivedRows, Recorded};

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

/// Commits until all senders of `queue` are gone. It is the only one that commits requests, so observations are passed on in the order
/// of their ids.
pub(super) async fn commit_all(mut queue: mpsc::Receiver<Waiting>, journal: Journal) {
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
