//! Senders and receivers with mutual TLS, with certificates of a private CA.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::post;
use hubwatch::export::{Destination, Protocol, Route, Senders};
use hubwatch::journal::{Commit, DestinationName, Journal, MetricRows, Temporality};
use hubwatch::watch::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{MetricsService, MetricsServiceServer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// A CA and its certificates, as files.
struct CertificateAuthority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl CertificateAuthority {
    fn new() -> Self {
        hubwatch::base::tls::choose_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Issues a certificate and key, also as files.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(self.path(&format!("{name}.pem")), &certificate).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate, key.serialize_pem())
    }
}

#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

#[tonic::async_trait]
impl MetricsService for Counter {
    async fn export(&self, _: Request<ExportMetricsServiceRequest>) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn grpc(authority: &CertificateAuthority) -> (Counter, String) {
    let (certificate, key) = authority.issue("server");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(authority.issuer.pem()));
    let counter = Counter::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let server = Server::builder().tls_config(tls).unwrap().add_service(MetricsServiceServer::new(counter.clone()));
    tokio::spawn(server.serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)));
    (counter, endpoint)
}

async fn http(authority: &CertificateAuthority) -> (Counter, String) {
    let (certificate, key) = authority.issue("server");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.issuer.pem().as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let certificate = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(certificate, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let counter = Counter::default();
    let count = counter.clone();
    // The plain HTTP server behind the TLS proxy.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = plain.local_addr().unwrap();
    let routes = Router::new().route(
        "/in/v1/metrics",
        post(async move || {
            count.0.fetch_add(1, Ordering::Relaxed);
        }),
    );
    tokio::spawn(async move { axum::serve(plain, routes).await });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}/in", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client without a certificate must fail here.
                let Ok(mut secure) = acceptor.accept(stream).await else { return };
                let mut plain = tokio::net::TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            });
        }
    });
    (counter, endpoint)
}

/// Sends one request; returns whether it arrived.
async fn arrives(route: Route, counter: &Counter) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap().journal;
    let destination = Destination::new(DestinationName::main(), Temporality::Cumulative, |_| Some(route.clone())).unwrap();
    let senders = Senders::spawn(&[destination], &journal).await.unwrap();
    let metrics = MetricRows { time: Timestamp::from_secs(1), cumulative: Vec::new(), delta: None };
    journal.commit(Commit { metrics: vec![metrics], ..Commit::default() }).await.unwrap();
    let left = senders.drain(std::time::Duration::from_secs(20)).await;
    assert_eq!(left, counter.0.load(Ordering::Relaxed) == 0);
    !left
}

fn route(endpoint: &str, protocol: Protocol, authority: &Path, client: Option<&str>) -> Route {
    Route {
        ca: Some(authority.join("ca.pem")),
        client_certificate: client.map(|name| authority.join(format!("{name}.pem"))),
        client_key: client.map(|name| authority.join(format!("{name}.key"))),
        ..Route::to(endpoint, protocol)
    }
}

#[tokio::test]
async fn a_client_certificate_is_sent_by_grpc() {
    let authority = CertificateAuthority::new();
    authority.issue("client");
    let folder = authority.folder.path();
    let (counter, endpoint) = grpc(&authority).await;
    assert!(!arrives(route(&endpoint, Protocol::Grpc, folder, None), &counter).await, "without a certificate");
    assert!(
        !arrives(Route { ca: None, ..route(&endpoint, Protocol::Grpc, folder, Some("client")) }, &counter).await,
        "unknown authority"
    );
    assert!(arrives(route(&endpoint, Protocol::Grpc, folder, Some("client")), &counter).await);
}

#[tokio::test]
async fn a_client_certificate_is_sent_by_http() {
    let authority = CertificateAuthority::new();
    authority.issue("client");
    let folder = authority.folder.path();
    let (counter, endpoint) = http(&authority).await;
    assert!(!arrives(route(&endpoint, Protocol::HttpProtobuf, folder, None), &counter).await, "without a certificate");
    let unknown = Route { ca: None, ..route(&endpoint, Protocol::HttpProtobuf, folder, Some("client")) };
    assert!(!arrives(unknown, &counter).await, "unknown authority");
    assert!(arrives(route(&endpoint, Protocol::HttpProtobuf, folder, Some("client")), &counter).await);
}

#[tokio::test]
async fn a_plain_receiver_at_an_https_address_is_retried_and_not_trusted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 512];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    hubwatch::base::tls::choose_provider();
    let counter = Counter::default();
    assert!(!arrives(Route::to(&endpoint, Protocol::HttpProtobuf), &counter).await);
}
