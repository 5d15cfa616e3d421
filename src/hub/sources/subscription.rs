//! Listening to the event stream: joins it, reads it, and joins it again when it breaks.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::events::{EventReader, Heard};
use crate::base::backoff::Backoff;
use crate::hub::api::client::HubClient;

/// Hubs send a heartbeat every ten seconds: after three missing ones the connection is dead.
pub const SILENCE: Duration = Duration::from_secs(35);

/// Before joining again: soon at first, since most streams break when the hub starts anew.
const WAITS: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

/// Batches that wait to be taken; a reader that is slower than the hub holds the connection back instead of filling the memory.
const WAITING: usize = 64;

/// What comes from the subscription.
#[derive(Debug)]
pub enum News {
    /// The stream was joined: what is heard from now on is of this connection.
    Joined,
    /// What was heard at once.
    Heard(Vec<Heard>),
    /// The stream ended; it is joined again by and by.
    Left(String),
}

/// A subscription; dropping it leaves the stream.
#[derive(Debug)]
pub struct Subscription {
    news: mpsc::Receiver<News>,
    listener: tokio::task::JoinHandle<()>,
}

impl Subscription {
    /// Joins the stream of a hub.
    pub fn begin(client: HubClient) -> Self {
        let (tell, news) = mpsc::channel(WAITING);
        Self { news, listener: tokio::spawn(listen(client, tell)) }
    }

    /// What comes next.
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(client: HubClient, tell: mpsc::Sender<News>) {
    let mut failures = 0;
    loop {
        let ended = connection(&client, &tell, &mut failures).await;
        if let Some(reason) = ended
            && tell.send(News::Left(reason)).await.is_err()
        {
            return;
        }
        failures = failures.saturating_add(1);
        tokio::time::sleep(WAITS.after(failures)).await;
    }
}

/// One connection from its beginning to its end; why it ended, if it had begun.
async fn connection(client: &HubClient, tell: &mpsc::Sender<News>, failures: &mut u32) -> Option<String> {
    let response = match client.events().await {
        Ok(response) => response,
        Err(outcome) => {
            tracing::debug!(%outcome, "the event stream can't be joined");
            return None;
        }
    };
    tell.send(News::Joined).await.ok()?;
    *failures = 0;
    let mut reader = EventReader::default();
    let mut chunks = response.bytes_stream();
    loop {
        match tokio::time::timeout(SILENCE, chunks.next()).await {
            Ok(Some(Ok(bytes))) => {
                let heard = reader.feed(&bytes);
                if !heard.is_empty() {
                    tell.send(News::Heard(heard)).await.ok()?;
                }
            }
            Ok(Some(Err(_))) => return Some("the connection broke".to_owned()),
            Ok(None) => return Some("the hub closed it".to_owned()),
            Err(_) => return Some("nothing was heard for 35 s".to_owned()),
        }
    }
}
