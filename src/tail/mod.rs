//! Following the hub's log file by our own reader: nothing is read twice, nothing is skipped without being counted.
//!
//! A file is known by its device and inode, a fingerprint of its first bytes and the bytes just before the read position; the
//! position is committed with what was made of the lines. A generation is one life of the file's content: emptying it (every hub
//! does that to its legacy file when it starts) begins the next one.

mod follower;
mod pipe;
mod position;

pub use follower::{Batch, Follower, Line, MAX_LINE_BYTES, TailEvent};
pub use pipe::Pipe;
pub use position::{Begin, FileIdentity, Position};
