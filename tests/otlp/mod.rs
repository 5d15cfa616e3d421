//! An OTLP receiver made by hand, by gRPC and by HTTP: keeps each request with its headers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{MetricsService, MetricsServiceServer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Histogram, metric};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// What was received.
#[derive(Default)]
pub(crate) struct Received {
    /// The headers of all requests.
    pub headers: Vec<HeaderMap>,
    pub traces: Vec<ExportTraceServiceRequest>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
}

impl Received {
    pub(crate) fn spans(&self) -> Vec<&Span> {
        let scopes = self.traces.iter().flat_map(|request| &request.resource_spans).flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).collect()
    }

    /// The histograms of this name.
    pub(crate) fn histograms(&self, name: &str) -> Vec<&Histogram> {
        let resources = self.metrics.iter().flat_map(|request| &request.resource_metrics);
        let metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
        let named = metrics.filter(|metric| metric.name == name);
        named
            .map(|metric| match metric.data.as_ref().unwrap() {
                metric::Data::Histogram(histogram) => histogram,
                other => panic!("{name} is {other:?}"),
            })
            .collect()
    }

    /// The attributes of the resources of all spans.
    pub(crate) fn resources(&self) -> Vec<BTreeMap<String, String>> {
        let resources = self.traces.iter().flat_map(|request| &request.resource_spans);
        resources.map(|resource| texts(&resource.resource.as_ref().unwrap().attributes)).collect()
    }
}

/// Attributes as texts.
pub(crate) fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

/// A receiver that keeps what it gets.
#[derive(Clone, Default)]
pub(crate) struct Receiver(Arc<Mutex<Received>>);

impl Receiver {
    /// Listens for gRPC; returns the receiver and its address.
    pub(crate) async fn grpc() -> (Self, String) {
        let (receiver, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(MetricsServiceServer::new(receiver.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        (receiver, address)
    }

    /// Listens for protobuf over HTTP; returns the receiver and its address.
    pub(crate) async fn http() -> (Self, String) {
        let (receiver, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let traces = async |State(to): State<Self>, headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            to.traces(headers, ExportTraceServiceRequest::decode(body).unwrap());
        };
        let metrics = async |State(to): State<Self>, headers: HeaderMap, body: Bytes| {
            to.metrics(headers, ExportMetricsServiceRequest::decode(body).unwrap());
        };
        let routes = axum::Router::new().route("/v1/traces", post(traces)).route("/v1/metrics", post(metrics));
        let routes = routes.with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (receiver, address)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.0.lock().unwrap())
    }

    fn traces(&self, headers: HeaderMap, request: ExportTraceServiceRequest) {
        let mut received = self.0.lock().unwrap();
        received.headers.push(headers);
        received.traces.push(request);
    }

    fn metrics(&self, headers: HeaderMap, request: ExportMetricsServiceRequest) {
        let mut received = self.0.lock().unwrap();
        received.headers.push(headers);
        received.metrics.push(request);
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.traces(metadata.into_headers(), request);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.metrics(metadata.into_headers(), request);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
