//! Exporters of the official SDK, for what hubwatch itself does (scenarios): the same receivers, headers and certificates as for what a
//! watch sends, without its journal.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};

use super::destination::{CheckedRoute, Compression, Destination, DestinationError};
use super::outlet::{Cause, Outlet};
use super::transport::{Carrier, Transport};
use crate::base::{causes, secret};
use crate::journal::{Signal, Temporality};

impl Destination {
    /// Returns an outlet for spans to this destination; `None` if no traces are sent there. Needs a running runtime.
    ///
    /// # Errors
    /// The destination can't be set up.
    pub fn span_exporter(&self) -> Result<Option<Outlet<SpanExporter>>, DestinationError> {
        let Some((route, transport)) = self.sdk_route(Signal::Traces)? else { return Ok(None) };
        let cause = Cause::default();
        let exporter = match transport.into_carrier() {
            Carrier::Grpc(grpc) => {
                let builder = SpanExporter::builder().with_tonic().with_timeout(route.timeout);
                let builder = builder.with_channel(grpc.channel).with_metadata(grpc.metadata);
                if gzips(route) { builder.with_compression(opentelemetry_otlp::Compression::Gzip) } else { builder }.build()
            }
            Carrier::Http(http) => {
                let builder = SpanExporter::builder().with_http().with_timeout(route.timeout).with_endpoint(http.url);
                let builder = builder.with_shared_http_client(Arc::new(OnRuntime::new(http.client, &cause)));
                if gzips(route) { builder.with_compression(opentelemetry_otlp::Compression::Gzip) } else { builder }.build()
            }
        };
        let to = secret::without_credentials(&route.url);
        exporter.map(|exporter| Some(Outlet::new(exporter, to, cause))).map_err(unbuilt)
    }

    /// Returns an outlet for metrics to this destination; `None` if no metrics are sent there. Needs a running runtime.
    ///
    /// # Errors
    /// The destination can't be set up.
    pub fn metric_exporter(&self) -> Result<Option<Outlet<MetricExporter>>, DestinationError> {
        let Some((route, transport)) = self.sdk_route(Signal::Metrics)? else { return Ok(None) };
        let builder = MetricExporter::builder().with_temporality(match self.temporality {
            Temporality::Cumulative => opentelemetry_sdk::metrics::Temporality::Cumulative,
            Temporality::Delta => opentelemetry_sdk::metrics::Temporality::Delta,
        });
        let cause = Cause::default();
        let exporter = match transport.into_carrier() {
            Carrier::Grpc(grpc) => {
                let builder = builder.with_tonic().with_timeout(route.timeout);
                let builder = builder.with_channel(grpc.channel).with_metadata(grpc.metadata);
                if gzips(route) { builder.with_compression(opentelemetry_otlp::Compression::Gzip) } else { builder }.build()
            }
            Carrier::Http(http) => {
                let builder = builder.with_http().with_timeout(route.timeout).with_endpoint(http.url);
                let builder = builder.with_shared_http_client(Arc::new(OnRuntime::new(http.client, &cause)));
                if gzips(route) { builder.with_compression(opentelemetry_otlp::Compression::Gzip) } else { builder }.build()
            }
        };
        let to = secret::without_credentials(&route.url);
        exporter.map(|exporter| Some(Outlet::new(exporter, to, cause))).map_err(unbuilt)
    }

    fn sdk_route(&self, signal: Signal) -> Result<Option<(&CheckedRoute, Transport)>, DestinationError> {
        let Some((_, route)) = self.routes.iter().find(|(of, _)| *of == signal) else { return Ok(None) };
        Ok(Some((route, Transport::new(route, None)?)))
    }
}

fn gzips(route: &CheckedRoute) -> bool {
    route.compression == Compression::Gzip
}

fn unbuilt(error: ExporterBuildError) -> DestinationError {
    DestinationError::Setup(causes::of(&error))
}

/// An HTTP client whose requests run on our runtime: the SDK exports on threads of its own, which have none.
struct OnRuntime {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
    cause: Cause,
}

impl OnRuntime {
    fn new(client: reqwest::Client, cause: &Cause) -> Self {
        Self { client, runtime: tokio::runtime::Handle::current(), cause: Arc::clone(cause) }
    }
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnRuntime").finish_non_exhaustive()
    }
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for OnRuntime {
    fn send_bytes<'life0, 'async_trait>(&'life0 self, request: Request<Bytes>) -> Sent<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            // Its address may hold credentials.
            let answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = Response::new(super::transport::bounded(answer).await?);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok::<_, HttpError>(response)
        });
        let cause = Arc::clone(&self.cause);
        Box::pin(async move {
            let answer = sent.await?;
            let failed = answer.as_ref().err().map(|error| causes::of(error.as_ref()));
            *cause.lock().unwrap_or_else(PoisonError::into_inner) = failed;
            answer
        })
    }
}
