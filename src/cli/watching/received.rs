//! The OTLP receiver beside the watch: what it received becomes part of the Watches.

use tokio::sync::mpsc;

use crate::cli::CliError;
use crate::hub::observations::Observations;
use crate::receive::{Context, MAX_WAITING_OBSERVATIONS, Receiver, Settings};
use crate::sidecar::Sidecar;
use crate::watch::Timestamp;

/// The observations of a received request, with their id in the journal.
pub(super) type Observed = (i64, Observations);

/// The receiver, if there is one, and what it passes on.
#[derive(Debug)]
pub(super) struct Receiving {
    receiver: Option<Receiver>,
    observed: mpsc::Receiver<Observed>,
}

impl Receiving {
    /// Adds what an earlier run received and did not use, then starts the receiver: later observations have higher ids.
    pub(super) async fn start(
        settings: Option<&Settings>,
        mut context: Context,
        sidecar: &mut Sidecar,
        now: Timestamp,
    ) -> Result<Self, CliError> {
        for (id, observations) in context.journal.observed().await? {
            let observations = serde_json::from_slice(&observations).unwrap_or_else(|error| {
                tracing::warn!(%error, "what an earlier run received can't be read: it is sent on, but is no fact of a Watch");
                Observations::default()
            });
            sidecar.received(id, observations, now);
            context.passed = id;
        }
        let (sender, observed) = mpsc::channel(MAX_WAITING_OBSERVATIONS);
        let receiver = settings.map(|settings| Receiver::start(settings, context, sender)).transpose()?;
        if let Some(receiver) = &receiver {
            sidecar.received_by(receiver.counters());
        }
        Ok(Self { receiver, observed })
    }

    /// Waits for a received request; forever without a receiver.
    pub(super) async fn next(&mut self) -> Observed {
        match self.observed.recv().await {
            Some(observed) => observed,
            None => std::future::pending().await,
        }
    }

    /// Adds received requests, in order: this one and those that wait.
    pub(super) fn take(&mut self, first: Observed, sidecar: &mut Sidecar, now: Timestamp) {
        let mut next = Some(first);
        while let Some((id, observations)) = next {
            sidecar.received(id, observations, now);
            next = self.observed.try_recv().ok();
        }
    }

    /// Returns why nothing can be received at the moment.
    pub(super) fn problem(&self) -> Option<String> {
        self.receiver.as_ref().and_then(Receiver::problem)
    }

    /// Stops the receiver; adds what it has acknowledged.
    pub(super) async fn end(&mut self, sidecar: &mut Sidecar, now: Timestamp) {
        if let Some(receiver) = self.receiver.take() {
            receiver.end().await;
        }
        while let Ok((id, observations)) = self.observed.try_recv() {
            sidecar.received(id, observations, now);
        }
    }
}
