//! OTLP senders: what the journal holds goes to each destination, in order, until it is acknowledged.
//!
//! [`destination`] says where to, [`transport`] carries a request and [`answer`] tells what became of it by OTLP's own rules;
//! [`sender`] is the loop of one destination and signal. Log lines take the [`LogFastPath`] first: the log file is their journal, so
//! only what isn't acknowledged at once is kept.

pub mod answer;
pub mod destination;
mod fast_path;
mod sender;
mod split;
pub mod transport;

pub use destination::{Address, Compression, DEFAULT_TIMEOUT, Destination, DestinationError, Protocol, Route};
pub use fast_path::{Delivery, LogFastPath, Settled};
pub use sender::{Senders, SpawnError, Standing, Tally};
