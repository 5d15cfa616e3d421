//! One HTTP exchange on a TCP connection of our own.

/// How we close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// In good order: FIN, then the server's own FIN is awaited for at most 1 s.
    Finish,
    /// FIN in our direction only: whatever still comes is read (and dropped) until the server closes, at most
    /// [`Limits::request`](super::Limits::request). Then the connection is closed.
    HalfClose,
    /// RST at once.
    Reset,
}
