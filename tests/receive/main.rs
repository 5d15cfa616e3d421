//! The OTLP receiver by what it can do, through real sockets: protocols, refusals, privacy, hostile senders, and kills while senders
//! repeat.

mod hostile;
mod kills;
mod privacy;
mod program;
mod protocols;
mod refusals;
mod stage;
mod told;
