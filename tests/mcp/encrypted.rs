//! Over TLS.

use std::sync::Arc;

use hubwatch::mcp::{Client, Closing, Endpoint, Limits, McpError, TransportKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use crate::server::{DEADLINE, Exchange, result};

/// Serves a legacy hub with a certificate of this CA; tells how each stream ended.
async fn encrypted_hub(issuer: &CertifiedIssuer<'static, KeyPair>) -> (String, mpsc::UnboundedReceiver<std::io::Result<()>>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (tell, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (acts, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, acts, queue, tell) = (acceptor.clone(), acts.clone(), Arc::clone(&queue), tell.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let Some(exchange) = Exchange::read(tls).await else { return };
                handle(exchange, acts, queue, tell).await;
            });
        }
    });
    (url, ends)
}

async fn handle(
    mut exchange: Exchange<TlsStream<TcpStream>>,
    acts: mpsc::UnboundedSender<String>,
    queue: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>>,
    tell: mpsc::UnboundedSender<std::io::Result<()>>,
) {
    if exchange.method == "POST" {
        if exchange.body["id"].is_u64() {
            let crate::server::Act::Data(data) = result(&exchange.body, &serde_json::json!({})) else { return };
            acts.send(data).unwrap();
        }
        return exchange.accept().await;
    }
    exchange.begin_stream().await;
    exchange.event("endpoint", "/messages?sessionId=1").await;
    let mut queue = queue.lock().await;
    let data = queue.recv().await.unwrap();
    exchange.event("message", &data).await;
    tell.send(exchange.end().await).unwrap();
}

fn authority(name: &str) -> (CertifiedIssuer<'static, KeyPair>, tempfile::NamedTempFile) {
    hubwatch::base::tls::choose_provider();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issuer.pem()).unwrap();
    (issuer, file)
}

#[tokio::test]
async fn a_private_ca_is_trusted_and_the_end_is_chosen_as_without_tls() {
    let (issuer, ca) = authority("ours");
    let (url, mut ends) = encrypted_hub(&issuer).await;
    let endpoint = Endpoint::new(&url, &[], Some(ca.path())).unwrap();
    for how in [Closing::Finish, Closing::Reset] {
        let client = Client::connect(&endpoint, TransportKind::HttpSse, Limits::default(), "probe").await.unwrap();
        client.close(how).await;
        let end = tokio::time::timeout(DEADLINE, ends.recv()).await.unwrap().unwrap();
        match how {
            // rustls reports a FIN without its close_notify as an error.
            Closing::Finish | Closing::HalfClose => assert!(end.is_ok(), "{end:?}"),
            Closing::Reset => assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

#[tokio::test]
async fn another_ca_is_not_trusted() {
    let (issuer, _) = authority("ours");
    let (_, other) = authority("other");
    let (url, _ends) = encrypted_hub(&issuer).await;
    for ca in [Some(other.path()), None] {
        let endpoint = Endpoint::new(&url, &[], ca).unwrap();
        let error = Client::open(&endpoint, TransportKind::HttpSse, Limits::default()).await.unwrap_err();
        assert!(matches!(&error, McpError::Tls { reason, .. } if reason.contains("certificate")), "{error}");
    }
}
