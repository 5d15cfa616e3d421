//! The receiver's limits: with any sender, `hubwatch run` stays below 64 MiB of memory, of which the receiver has about a half.

use std::time::Duration;

/// Bytes of a request, as it is sent and decompressed: as many as servers of gRPC take by default, the Collector's among them, so senders
/// keep to it.
pub(crate) const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of all requests in work together: those whose bodies arrive, and those that wait for the journal. A request that finds no
/// room is refused, and its sender repeats it.
pub(crate) const MAX_BYTES_IN_WORK: usize = 6 * 1024 * 1024;

/// Bytes by which the buffer of a body grows.
pub(crate) const BODY_STEP_BYTES: usize = 128 * 1024;

/// Bytes of a decoded request in memory. One is decoded at a time. A small body can make large structures: an empty span takes two
/// bytes, and more than 200 in memory.
pub(crate) const MAX_DECODED_BYTES: usize = 12 * 1024 * 1024;

/// Requests that wait for the journal. A commit takes milliseconds and holds all of them, so more only hide a slow disk.
pub(crate) const MAX_REQUESTS_IN_WORK: usize = 64;

/// Records of a request. The largest batches of SDKs and the Collector have 8,192.
pub(crate) const MAX_RECORDS: usize = 20_000;

/// Attributes of a record, of a scope and of a resource. The specification's default is 128; some senders raise it.
pub(crate) const MAX_ATTRIBUTES: usize = 1_024;

/// Nested messages or brackets. A record's attribute lies 6 levels deep, and each level of a nested value takes three.
pub(crate) const MAX_DEPTH: usize = 40;

/// Open connections. An exporter has one for each signal, and there are a hub, its servers and its clients. Each may take 200 KiB.
pub(crate) const MAX_CONNECTIONS: usize = 48;

/// Bytes of a request's headers.
pub(crate) const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Bytes that a connection by HTTP/1 buffers.
pub(crate) const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that a connection by HTTP/2 may send before they are read, for one request …
pub(crate) const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// … and for all.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 128 * 1024;

/// Simultaneous requests of a connection by HTTP/2. Clients begin as many before they know the limit, and a request beyond it fails.
pub(crate) const MAX_STREAMS: u32 = 100;

/// The time for a TLS handshake, and for the headers of a request once they have begun. They take one round trip.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for the body of a request. Exporters give up after 10 s by default.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The time after which a connection without a request is closed. SDKs send metrics once a minute.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(150);

/// Bytes that are read of the rest of a refused request …
pub(crate) const MAX_DISCARDED_BYTES: usize = 4 * MAX_REQUEST_BYTES;

/// … and the time for that, so that its sender sees the answer instead of a broken connection.
pub(crate) const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for open requests at the end.
pub(crate) const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// When a sender should repeat a request that found no room.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Observations that wait for the watch. It takes them within milliseconds, except while it asks the journal.
pub const MAX_WAITING_OBSERVATIONS: usize = 64;

/// Bytes of memory in which zstd may look back. The Collector's exporter asks for 8 MiB; only what is used is touched.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 23;
