//! Subscribing to the hub's event stream, and unsubscribing where that would keep the hub running.

use tokio::time::Instant;

use super::Watcher;
use super::notices::{HubState, survive};
use crate::cli::CliError;
use crate::config::Joining;
use crate::hub::api::Health;
use crate::hub::events::Heard;
use crate::hub::subscription::{News, Subscription};
use crate::watch::Timestamp;

/// Subscribers besides us. A hub with `--auto-shutdown` stops with its last subscriber, so our subscription must not keep it running.
#[derive(Debug, Default)]
pub(super) struct OtherSubscribers {
    /// Their number at the last poll.
    count: u32,
    /// True if the hub is known to stop with its last subscriber.
    pub(super) auto_shutdown: bool,
}

impl OtherSubscribers {
    /// Returns a reason not to subscribe now. If the hub's command line is not visible, only its countdown shows that it stops with its
    /// last subscriber: so leave when the others have left, and come back if no countdown begins.
    fn refusal(&mut self, health: Option<&Health>, joined: bool) -> Option<&'static str> {
        let health = health?;
        let counting_down = health.workspace().is_some_and(|workspace| workspace.shutdown_delay.is_some());
        self.auto_shutdown |= counting_down;
        let others = health.subscribers.unwrap_or(0).saturating_sub(u32::from(joined));
        let left_alone = std::mem::replace(&mut self.count, others) > 0 && others == 0;
        if self.auto_shutdown {
            Some("the hub stops with its last subscriber")
        } else {
            (left_alone && joined).then_some("the other subscribers have left")
        }
    }
}

impl Watcher {
    /// Passes on what the event stream brought.
    pub(super) async fn heard(&mut self, news: Option<News>) -> Result<(), CliError> {
        let now = self.now().await?;
        match news {
            Some(News::Joined) => {
                self.sidecar.stream_joined(now);
                if self.lookout.is_away() {
                    self.lookout.stir(Instant::now());
                }
            }
            Some(News::Heard(heard)) => {
                let state = heard.iter().rev().find_map(state);
                survive(&self.vitals, self.sidecar.heard(heard, now).await)?;
                if let Some(state) = state {
                    self.log_hub_state(state);
                }
            }
            Some(News::Left(reason)) => {
                self.sidecar.stream_left(&reason, true, now);
                // A hub that ends closes its streams first.
                self.lookout.stir(Instant::now());
            }
            None => self.subscription = None,
        }
        Ok(())
    }

    /// Subscribes to the event stream or unsubscribes from it. If the hub `came_back`, it subscribes at once instead of waiting out the
    /// subscription's own pause.
    pub(super) fn join_or_leave(&mut self, health: Option<&Health>, came_back: bool, now: Timestamp) {
        if came_back && !self.sidecar.is_subscriber() {
            self.subscription = None;
        }
        self.others.auto_shutdown |= self.sidecar.hub_stops_alone();
        let refusal = match self.joining {
            Joining::Always => None,
            Joining::Never => Some("it is not wanted"),
            Joining::Auto => self.others.refusal(health, self.sidecar.is_subscriber()),
        };
        match (refusal, &self.subscription) {
            (None, None) if health.is_some() => self.subscription = Some(Subscription::begin(self.client.clone())),
            (Some(reason), Some(_)) => {
                self.subscription = None;
                self.sidecar.stream_left(reason, false, now);
            }
            (None, None | Some(_)) | (Some(_), None) => {}
        }
    }
}

/// Returns the hub's state if the event contains it.
fn state(heard: &Heard) -> Option<HubState> {
    match heard {
        Heard::State { state, .. } => Some(HubState::Answers(state.clone())),
        Heard::Line(_) | Heard::Servers { .. } | Heard::Unreadable | Heard::Heartbeat | Heard::Other => None,
    }
}
