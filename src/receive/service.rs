//! Takes one request: reads its body, prepares it, waits for the journal, and answers.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prost::bytes::{Buf as _, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::codegen::http::{Request, StatusCode, header};

use super::answer::{self, Answer};
use super::call::{self, Call, Head};
use super::check::Checked;
use super::commit::{ObservationSender, Waiting};
use super::counters::Counters;
use super::decompress::{Compression, decompress};
use super::limits::{BODY_STEP_BYTES, BODY_TIMEOUT, DISCARD_TIMEOUT, MAX_BYTES_IN_WORK, MAX_DISCARDED_BYTES, MAX_REQUEST_BYTES};
use super::prepare::{Preparation, Prepared};
use super::refused::Refused;
use crate::base::host;
use crate::base::secret::Secret;
use crate::journal::Recorded;
use crate::watch::{Carrier, Refusal};

/// What all requests share.
pub(super) struct Service {
    token: Option<Secret>,
    preparation: Preparation,
    counters: Counters,
    /// Bytes that may still come into work.
    bytes: Arc<Semaphore>,
    queue: mpsc::Sender<Waiting>,
    observed: ObservationSender,
}

/// The prefix of a gRPC message: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;

impl Service {
    pub(super) fn new(
        token: Option<Secret>,
        preparation: Preparation,
        counters: Counters,
        queue: mpsc::Sender<Waiting>,
        observed: ObservationSender,
    ) -> Self {
        Self { token, preparation, counters, bytes: Arc::new(Semaphore::new(MAX_BYTES_IN_WORK)), queue, observed }
    }

    /// Returns the counters.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Answers a request. `on_loopback` says whether it came by an address that only this host has.
    pub(super) async fn answer(&self, request: Request<Incoming>, on_loopback: bool) -> Answer {
        let (head, mut body) = request.into_parts();
        // A page of the internet whose name resolves to this host could send by that name.
        let named = head.uri.host().or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
        if on_loopback && named.is_some_and(|name| !host::is_address(name)) {
            self.counters.refuse(Refusal::Unauthenticated);
            return answer::other(StatusCode::FORBIDDEN);
        }
        let read = call::read(&head, self.token.as_ref());
        // While the body is read, the headers need no memory.
        drop(head);
        let (form, refused) = match read {
            Head::Other(status) => return answer::other(status),
            Head::Refused(form, refused) => (form, refused),
            Head::Call(call) => match self.take(call, &mut body).await {
                Ok(checked) => return answer::accepted(call.signal, call.form(), &checked),
                Err(refused) => (call.form(), refused),
            },
        };
        self.counters.refuse(refused.reason);
        tracing::debug!(reason = %refused.reason, message = refused.message, "a request was refused");
        discard(&mut body).await;
        answer::refused(form, &refused)
    }

    /// Takes a request; returns what was accepted of it, when that is in the journal.
    async fn take(&self, call: Call, body: &mut Incoming) -> Result<Checked, Refused> {
        let (body, mut bytes) = self.read(body).await?;
        let Ok(place) = self.observed.clone().try_reserve_owned() else {
            return Err(Refused::busy("the watch has not yet used what was received"));
        };
        let (body, compression) = match call.carrier {
            Carrier::Grpc => unframe(body, call.compression)?,
            Carrier::Http => (body, call.compression),
        };
        let plain = decompress(body, compression)?;
        let Prepared { checked, kept } = self.preparation.prepare(call.signal, call.format, plain)?;
        let Some((rows, observations)) = kept else {
            self.count_refused(call, &checked);
            return Ok(checked);
        };
        // From here on, the rows are what is in work.
        let size = rows.otlp.len() + rows.observations.as_ref().map_or(0, Vec::len);
        self.resize(&mut bytes, size)?;
        let (reply, recorded) = oneshot::channel();
        let waiting = Waiting { rows, observations, place, _bytes: bytes, reply };
        self.queue.try_send(waiting).map_err(|_| Refused::busy("too many requests wait for the journal"))?;
        let failed = |why: &str| Refused::new(Refusal::NotKept, format!("the request could not be kept: {why}; repeat it"));
        match recorded.await {
            Ok(Ok(Recorded::New(_))) => {
                self.counters.accept(call.signal, call.carrier, checked.accepted);
                self.count_refused(call, &checked);
            }
            Ok(Ok(Recorded::Repeated)) => tracing::debug!("a repeated request was acknowledged again"),
            Ok(Err(why)) => return Err(failed(&why)),
            Err(_) => return Err(failed("the receiver stops")),
        }
        Ok(checked)
    }

    fn count_refused(&self, call: Call, checked: &Checked) {
        checked.refused.iter().for_each(|(reason, count)| self.counters.refuse_records(call.signal, *reason, *count));
    }

    /// Reads a body within the limits of size, time and bytes in work.
    async fn read(&self, body: &mut Incoming) -> Result<(Bytes, OwnedSemaphorePermit), Refused> {
        let slow = |_| Refused::new(Refusal::TooSlow, format!("the body took more than {} s", BODY_TIMEOUT.as_secs()));
        tokio::time::timeout(BODY_TIMEOUT, self.read_all(body)).await.map_err(slow)?
    }

    async fn read_all(&self, body: &mut Incoming) -> Result<(Bytes, OwnedSemaphorePermit), Refused> {
        let mut held = self.hold(0)?;
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refused::malformed(format!("the body broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > MAX_REQUEST_BYTES {
                return Err(Refused::too_large());
            }
            held.merge(self.hold(data.len())?);
            if whole.capacity() - whole.len() < data.len() {
                // A buffer that doubles would take memory that is not counted.
                whole.reserve_exact(data.len().max(BODY_STEP_BYTES));
            }
            whole.extend_from_slice(&data);
        }
        Ok((whole.into(), held))
    }

    fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes.clone().try_acquire_many_owned(bytes).map_err(|_| Refused::busy("too many requests are in work"))
    }

    fn resize(&self, held: &mut OwnedSemaphorePermit, bytes: usize) -> Result<(), Refused> {
        let before = held.num_permits();
        if bytes > before {
            held.merge(self.hold(bytes - before)?);
        } else {
            drop(held.split(before - bytes));
        }
        Ok(())
    }
}

/// Takes the message out of the body of a unary gRPC request.
fn unframe(mut body: Bytes, compression: Compression) -> Result<(Bytes, Compression), Refused> {
    if body.len() < GRPC_PREFIX {
        return Err(Refused::malformed("the request has no message"));
    }
    let (flag, length) = (body.get_u8(), body.get_u32());
    if usize::try_from(length) != Ok(body.len()) || flag > 1 {
        return Err(Refused::malformed("the request has not exactly one message"));
    }
    match (flag, compression) {
        (0, _) => Ok((body, Compression::None)),
        (_, Compression::None) => Err(Refused::malformed("the message is compressed, and no header says how")),
        (_, compression) => Ok((body, compression)),
    }
}

/// Reads the rest of a refused request, so that its sender sees the answer; not for long, and not much.
async fn discard(body: &mut Incoming) {
    let mut left = MAX_DISCARDED_BYTES;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whoever sends longer sees a broken connection.
    let _: Result<(), _> = tokio::time::timeout(DISCARD_TIMEOUT, rest).await;
}

/// The longest time from a request's head to its answer, apart from the journal.
pub(super) const LONGEST_REQUEST: Duration = BODY_TIMEOUT.saturating_add(DISCARD_TIMEOUT);
