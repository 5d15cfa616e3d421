//! Following the hub's log by our own reader: nothing is read twice, nothing is skipped without being counted.
//!
//! A file is known by its device, inode and birth, a fingerprint of its first bytes and one of the bytes just before the read
//! position. A *generation* is one life of a file's content: emptying it (every hub does that to its legacy file when it starts)
//! begins the next one, renaming it does not. The [`State`] holds a position in each generation that is not finished; it is
//! committed with what was made of the lines.
//!
//! From the outside in: [`Follower`] reads batches; `set` knows which of the files on disk are new, renamed, emptied or copied;
//! `reader` reads one file; `places` and `rotation` find files and know their names. [`Wake`] tells when to look.

mod follower;
mod identity;
mod line;
mod mount;
mod pace;
mod packed;
mod pipe;
mod places;
mod position;
mod reader;
mod rotation;
mod set;
mod state;
mod tracked;
mod wake;

pub use follower::{Batch, Follower};
pub use line::{Line, MAX_LINE_BYTES};
pub use mount::is_mount_point;
pub use pipe::Pipe;
pub use places::{PatternError, check_pattern, is_pattern, newest};
pub use position::Begin;
pub use set::TailEvent;
pub use state::State;
pub use wake::Wake;
