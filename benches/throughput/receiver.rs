//! A receiver that takes everything and keeps nothing but counts. It walks the wire format without making objects, so that it costs
//! the machine next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use hubwatch::watch::Timestamp;
use prost::bytes::{Buf, BufMut as _, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::{Request, Response, Status};

/// What was received.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub records: AtomicU64,
    pub requests: AtomicU64,
    pub bytes: AtomicU64,
    /// It answers that it is not available.
    pub down: AtomicBool,
    /// How long after the line's own time each record came, in microseconds, if somebody wants to know.
    pub delays: Mutex<Option<Vec<u64>>>,
}

/// Listens for gRPC on a free port; gives back its address.
pub(crate) async fn listen(counts: Arc<Counts>) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let take = move |request: axum::extract::Request| {
        let counts = counts.clone();
        async move {
            let is_logs = request.uri().path().contains("LogsService");
            let mut grpc = tonic::server::Grpc::new(Raw);
            let response = grpc.unary(Take { counts, is_logs }, request.map(tonic::body::Body::new)).await;
            response.map(axum::body::Body::new)
        }
    };
    let routes = tonic::service::Routes::from(axum::Router::new().fallback(take));
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
    Ok(address)
}

struct Take {
    counts: Arc<Counts>,
    is_logs: bool,
}

impl Service<Request<Bytes>> for Take {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (counts, is_logs) = (self.counts.clone(), self.is_logs);
        Box::pin(async move {
            if counts.down.load(Ordering::Relaxed) {
                return Err(Status::unavailable("down for the measurement"));
            }
            if is_logs {
                let bytes = request.into_inner();
                counts.requests.fetch_add(1, Ordering::Relaxed);
                counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                let mut delays = counts.delays.lock().await;
                let records = records(bytes, delays.as_mut());
                counts.records.fetch_add(records, Ordering::Relaxed);
            }
            Ok(Response::new(Bytes::new()))
        })
    }
}

/// Counts `resource_logs.scope_logs.log_records`.
fn records(request: Bytes, mut delays: Option<&mut Vec<u64>>) -> u64 {
    let now = Timestamp::now();
    let mut count = 0;
    each(request, 1, |resource| {
        each(resource, 2, |scope| {
            each(scope, 2, |mut record| {
                count += 1;
                // The time is the first field of a record, if it has one.
                if let (Some(delays), Some(0x09)) = (delays.as_deref_mut(), record.first()) {
                    record.advance(1);
                    delays.push(now.since(Timestamp::from_nanos(record.get_u64_le())).get());
                }
            });
        });
    });
    count
}

fn each(mut message: Bytes, tag: u32, mut found: impl FnMut(Bytes)) {
    while message.has_remaining() {
        let Ok((field, WireType::LengthDelimited)) = decode_key(&mut message) else { return };
        let Some(length) = decode_varint(&mut message).ok().and_then(|length| usize::try_from(length).ok()) else { return };
        let content = message.split_to(length.min(message.len()));
        if field == tag {
            found(content);
        }
    }
}

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
