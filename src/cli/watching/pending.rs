//! Waiting for something that may not be under way, as an arm of a `select!`.

use std::pin::Pin;

use tokio::io::AsyncReadExt as _;

use crate::hub::subscription::{News, Subscription};

/// A request under way.
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = T>>>;

/// Waits for the request; forever if none is under way.
pub(super) async fn pending<T>(under_way: &mut Option<Pending<T>>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}

/// Waits for the event stream; forever without a subscription.
pub(super) async fn heard(subscription: &mut Option<Subscription>) -> Option<News> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for piped output of the hub; forever if nothing is piped.
pub(super) async fn read(stdin: &mut Option<tokio::io::Stdin>, into: &mut [u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.read(into).await,
        None => std::future::pending().await,
    }
}
