//! What other commands tell a watch: files in its state folder, which the watch reads with its next poll or when it starts, so it need
//! not run when they are written. A file stays until what it says is committed.

pub mod marks;
pub mod results;
