//! Follows the hub's log: no line is read twice, and none is skipped without being counted.
//!
//! A file is identified by its device, inode and creation time, a fingerprint of its first bytes and one of the bytes just before
//! the read position. A *generation* is the content of a file between two truncations: truncating it (every hub does that to its
//! legacy file when it starts) begins the next one, renaming it does not. The [`State`] holds a position in each unfinished
//! generation; it is committed together with the facts read from the lines.
//!
//! From the outside in: [`Follower`] reads batches; `files` knows which files on disk are new, renamed, truncated or copied;
//! `reader` reads one file; `log_path` and `rotation` find files and parse their names. [`Wake`] decides when to look.

mod files;
mod follower;
mod gzip;
mod identity;
mod line;
mod log_path;
mod mount;
mod pipe;
mod poll_interval;
mod position;
mod reader;
mod rotation;
mod state;
mod tracked;
mod wake;

pub use files::TailEvent;
pub use follower::{Batch, Follower};
pub use line::{Line, MAX_LINE_BYTES};
pub use log_path::{PatternError, check_pattern, is_pattern, newest};
pub use mount::is_mount_point;
pub use pipe::Pipe;
pub use position::Begin;
pub use state::State;
pub use wake::Wake;
