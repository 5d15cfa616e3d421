//! Sends an encoded request to a receiver, by gRPC or HTTP. The journal's bytes are sent without decoding them.

use std::io::Write as _;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::codegen::http::{self, uri::PathAndQuery};
use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::destination::{CheckedRoute, Compression, DEFAULT_TIMEOUT, DestinationError, Protocol};
use super::response::{self, ExportResult};
use crate::base::causes;
use crate::journal::Signal;

/// The specification's size limit for responses, in bytes; real ones are small.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

const USER_AGENT: &str = concat!("hubwatch/", env!("CARGO_PKG_VERSION"));

/// The connection of a signal to a destination.
#[derive(Debug, Clone)]
pub struct Transport {
    carrier: Carrier,
    timeout: Duration,
}

/// How a signal gets to its receiver.
#[derive(Debug, Clone)]
pub(super) enum Carrier {
    Grpc(Grpc),
    Http(Http),
}

impl Transport {
    /// Sets up a transport without connecting. Shares the connections of `other`, which must have the same receiver.
    pub(super) fn new(route: &CheckedRoute, other: Option<&Self>) -> Result<Self, DestinationError> {
        crate::base::tls::choose_provider();
        let carrier = match (route.protocol, other.map(|other| &other.carrier)) {
            (Protocol::Grpc, Some(Carrier::Grpc(grpc))) => Carrier::Grpc(grpc.clone()),
            (Protocol::Grpc, _) => Carrier::Grpc(Grpc::new(route)?),
            (Protocol::HttpProtobuf, Some(Carrier::Http(http))) => Carrier::Http(Http { url: route.url.clone(), ..http.clone() }),
            (Protocol::HttpProtobuf, _) => Carrier::Http(Http::new(route)?),
        };
        Ok(Self { carrier, timeout: route.timeout })
    }

    pub(super) fn into_carrier(self) -> Carrier {
        self.carrier
    }

    /// Sends a request with the destination's timeout.
    pub async fn send(&self, signal: Signal, otlp: Bytes) -> ExportResult {
        self.send_within(signal, otlp, self.timeout).await
    }

    /// Sends a request with this timeout.
    pub async fn send_within(&self, signal: Signal, otlp: Bytes, timeout: Duration) -> ExportResult {
        let sent = async {
            match &self.carrier {
                Carrier::Grpc(grpc) => grpc.send(signal, otlp).await,
                Carrier::Http(http) => http.send(otlp).await,
            }
        };
        let late = ExportResult::Retry { after: None, why: "timeout".to_owned() };
        tokio::time::timeout(timeout, sent).await.unwrap_or(late)
    }
}

impl CheckedRoute {
    /// Returns whether both signals can share connections.
    pub(super) fn same_connection(&self, other: &Self) -> bool {
        let same_url = self.protocol == Protocol::HttpProtobuf || self.url == other.url;
        same_url && Self { url: String::new(), ..self.clone() } == Self { url: String::new(), ..other.clone() }
    }
}

/// OTLP over gRPC.
#[derive(Debug, Clone)]
pub(super) struct Grpc {
    pub(super) channel: Channel,
    pub(super) metadata: MetadataMap,
    compression: Compression,
}

impl Grpc {
    fn new(route: &CheckedRoute) -> Result<Self, DestinationError> {
        let setup = |error: tonic::transport::Error| DestinationError::Setup(causes::of(&error));
        let mut endpoint = Endpoint::from_shared(route.url.clone())
            .map_err(|error| DestinationError::Url(error.to_string()))?
            .user_agent(USER_AGENT)
            .map_err(setup)?
            .connect_timeout(DEFAULT_TIMEOUT);
        if route.url.starts_with("https:") {
            // Without enabled roots tonic trusts no certificate.
            let mut tls = ClientTlsConfig::new().with_enabled_roots();
            if let Some(ca) = &route.ca {
                tls = tls.ca_certificate(Certificate::from_pem(ca));
            }
            if let Some((certificate, key)) = &route.identity {
                tls = tls.identity(Identity::from_pem(certificate, key.reveal()));
            }
            endpoint = endpoint.tls_config(tls).map_err(setup)?;
        }
        let mut metadata = MetadataMap::new();
        for (name, value) in &route.headers {
            let wrong = || DestinationError::Header(name.clone());
            let key = MetadataKey::from_bytes(name.to_lowercase().as_bytes()).map_err(|_| wrong())?;
            metadata.insert(key, value.reveal().parse().map_err(|_| wrong())?);
        }
        Ok(Self { channel: endpoint.connect_lazy(), metadata, compression: route.compression })
    }

    async fn send(&self, signal: Signal, otlp: Bytes) -> ExportResult {
        let gzip = self.compression == Compression::Gzip;
        let (message, uncopied) = if gzip { (otlp, None) } else { (Bytes::new(), Some(otlp)) };
        let route = UncopiedChannel { channel: self.channel.clone(), uncopied };
        let mut client = tonic::client::Grpc::new(route).max_decoding_message_size(MAX_RESPONSE_BYTES);
        if gzip {
            client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
        }
        if let Err(error) = client.ready().await {
            return ExportResult::Retry { after: None, why: causes::of(&error) };
        }
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        let path = PathAndQuery::from_static(match signal {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        });
        match client.unary(request, path, RawCodec).await {
            Ok(response) => response::of_response(response.get_ref()),
            Err(status) => response::of_status(&status),
        }
    }
}

/// The channel of one request. A tonic codec copies each message into its own buffer; this channel sends the message itself.
struct UncopiedChannel {
    channel: Channel,
    /// The message to send instead of the codec's output.
    uncopied: Option<Bytes>,
}

impl Service<http::Request<Body>> for UncopiedChannel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.uncopied.take() {
            Some(message) => self.channel.call(request.map(|_| framed(message))),
            None => self.channel.call(request),
        }
    }
}

/// Frames a gRPC message: a byte 0 for "not compressed", its length in four bytes, the message.
fn framed(message: Bytes) -> Body {
    // Requests are hardly larger than MAX_REQUEST_BYTES, so the length fits.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut head = [0; 5];
    head[1..].copy_from_slice(&length.to_be_bytes());
    let parts = [Bytes::copy_from_slice(&head), message];
    Body::new(StreamBody::new(stream::iter(parts.map(|part| Ok::<_, tonic::Status>(Frame::data(part))))))
}

/// Passes bytes through unchanged.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// OTLP over HTTP.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub(super) client: reqwest::Client,
    pub(super) url: String,
    compression: Compression,
}

impl Http {
    fn new(route: &CheckedRoute) -> Result<Self, DestinationError> {
        let setup = |error: reqwest::Error| DestinationError::Setup(causes::of(&error));
        let mut headers = HeaderMap::new();
        for (name, value) in &route.headers {
            let wrong = || DestinationError::Header(name.clone());
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(DEFAULT_TIMEOUT);
        if let Some(ca) = &route.ca {
            builder = builder.add_root_certificate(reqwest::Certificate::from_pem(ca).map_err(setup)?);
        }
        if let Some((certificate, key)) = &route.identity {
            let both = [certificate.as_slice(), b"\n", key.reveal().as_bytes()].concat();
            builder = builder.identity(reqwest::Identity::from_pem(&both).map_err(setup)?);
        }
        Ok(Self { client: builder.build().map_err(setup)?, url: route.url.clone(), compression: route.compression })
    }

    async fn send(&self, otlp: Bytes) -> ExportResult {
        let mut request = self.client.post(&self.url);
        request = match self.compression {
            Compression::None => request.body(otlp),
            Compression::Gzip => request.header(CONTENT_ENCODING, "gzip").body(gzip(&otlp)),
        };
        // A failed connection is retried.
        match request.send().await {
            Ok(response) => of_response(response).await,
            Err(error) => ExportResult::Retry { after: None, why: causes::of(&error) },
        }
    }
}

/// Reads a response of at most [`MAX_RESPONSE_BYTES`].
pub(super) async fn bounded(mut response: reqwest::Response) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err("the response has more than 4 MiB, which OTLP does not allow".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

async fn of_response(response: reqwest::Response) -> ExportResult {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if response.content_length().is_some_and(|length| length > MAX_RESPONSE_BYTES as u64) {
        return ExportResult::Rejected(format!(
            "HTTP {} with a response of more than 4 MiB, which OTLP does not allow",
            status.as_u16()
        ));
    }
    match response.bytes().await {
        Ok(body) if status.is_success() => response::of_response(&body),
        Ok(body) => response::of_http(status, retry_after.as_deref(), &String::from_utf8_lossy(&body), SystemTime::now()),
        Err(error) => ExportResult::Retry { after: None, why: causes::of(&error) },
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory can't fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
