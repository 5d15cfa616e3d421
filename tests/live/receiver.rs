//! A real OTLP receiver, in-process: gRPC by opentelemetry-proto's own server stubs, HTTP by axum.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{MetricsService, MetricsServiceServer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// What was received.
#[derive(Default)]
pub(crate) struct Received {
    pub spans: Vec<Span>,
    pub records: Vec<LogRecord>,
    pub metrics: Vec<String>,
}

/// A receiver that keeps what it gets.
#[derive(Clone, Default)]
pub(crate) struct Receiver(Arc<Mutex<Received>>);

impl Receiver {
    /// Listens for gRPC; gives back the receiver and its address.
    pub(crate) async fn grpc() -> (Self, String) {
        let (receiver, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(LogsServiceServer::new(receiver.clone()))
            .add_service(MetricsServiceServer::new(receiver.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        (receiver, address)
    }

    /// Listens for HTTP; gives back the receiver and its address.
    pub(crate) async fn http() -> (Self, String) {
        let (receiver, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new()
            .route(
                "/v1/traces",
                post(async |State(to): State<Self>, body: Bytes| to.traces(ExportTraceServiceRequest::decode(body).unwrap())),
            )
            .route(
                "/v1/logs",
                post(async |State(to): State<Self>, body: Bytes| to.logs(ExportLogsServiceRequest::decode(body).unwrap())),
            )
            .route(
                "/v1/metrics",
                post(async |State(to): State<Self>, body: Bytes| to.metrics(ExportMetricsServiceRequest::decode(body).unwrap())),
            )
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (receiver, address)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.0.lock().unwrap())
    }

    fn traces(&self, request: ExportTraceServiceRequest) {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().spans.extend(scopes.flat_map(|scope| scope.spans));
    }

    fn logs(&self, request: ExportLogsServiceRequest) {
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        self.0.lock().unwrap().records.extend(scopes.flat_map(|scope| scope.log_records));
    }

    fn metrics(&self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.0.lock().unwrap().metrics.extend(names);
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.traces(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(&self, request: Request<ExportLogsServiceRequest>) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.logs(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}
