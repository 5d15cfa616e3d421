//! OTLP exporters: send the journal's queue to each destination, in order, until it is acknowledged.
//!
//! [`destination`] holds the routes, [`transport`] sends a request, and [`response`] interprets the result by OTLP's rules;
//! [`sender`] is the loop of one destination and signal. Log lines take the [`LogFastPath`] first: the log file keeps them, so only
//! records that are not acknowledged at once are queued.

pub mod destination;
mod fast_path;
mod outlet;
pub mod response;
mod sdk;
mod sender;
mod split;
pub mod transport;

pub use destination::{Address, Compression, DEFAULT_TIMEOUT, Destination, DestinationError, Protocol, Route};
pub use fast_path::{Delivery, LogFastPath, Settled};
pub use outlet::{Outlet, Receipt};
pub use sender::{SenderStatus, Senders, SpawnError, Tally};
