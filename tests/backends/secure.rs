//! Backends behind TLS: only the configured CA is trusted, and certificate errors are explained.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::rehearsal::{self, Reported, report_embedded};
use crate::server::{Behaviour, Contract, Server};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        hubwatch::base::tls::choose_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Runs a TLS proxy for the server `behind`, with a certificate for `localhost` only; returns the port.
    async fn serve(&self, behind: &str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &self.0).unwrap().pem();
        let certificate = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificate, key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let behind = behind.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    // Clients that don't trust the certificate disconnect here.
                    let Ok(mut secure) = acceptor.accept(stream).await else { return };
                    let mut plain = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
                });
            }
        });
        port
    }
}

async fn report(backend: String, ca: Option<&std::path::Path>, config: Option<&std::path::Path>) -> Reported {
    let mut command = rehearsal::report_command();
    command.args(["--backend", &backend]);
    command.args(ca.map(|ca| format!("--backend-ca={}", ca.display())));
    command.args(config.map(|config| format!("--config={}", config.display())));
    Reported::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_behind_tls_is_read_with_its_ca_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (Authority::new("one of ours"), Authority::new("another"));
    let (right_ca, wrong_ca) = (folder.path().join("right.pem"), folder.path().join("wrong.pem"));
    std::fs::write(&right_ca, right.0.pem()).unwrap();
    std::fs::write(&wrong_ca, wrong.0.pem()).unwrap();
    let config = folder.path().join("hubwatch.toml");
    std::fs::write(&config, format!("[backend]\nca = '{}'\n", right_ca.display())).unwrap();
    let embedded = report_embedded();
    for (contract, kind) in [(Contract::Jaeger, "jaeger"), (Contract::Tempo, "tempo")] {
        let server = Server::start(Behaviour::of(contract)).await;
        let port = right.serve(&server.base).await;
        let backend = format!("{kind}=https://localhost:{port}");
        let trusted = report(backend.clone(), Some(&right_ca), None).await;
        assert_eq!((trusted.code, &trusted.stderr), (embedded.code, &String::new()), "{kind}");
        assert_eq!(trusted.content(), embedded.content(), "{kind}");
        let configured = report(backend.clone(), None, Some(&config)).await;
        assert_eq!(configured.content(), embedded.content(), "{kind}, by the configuration");

        let other_name = format!("{kind}=https://127.0.0.1:{port}");
        let untrusted = [
            (report(backend.clone(), Some(&wrong_ca), None).await, "UnknownIssuer"),
            (report(backend, None, None).await, "UnknownIssuer"),
            (report(other_name, Some(&right_ca), None).await, "certificate not valid for name \"127.0.0.1\""),
        ];
        for (reported, why) in untrusted {
            assert_eq!((reported.code, &reported.json), (Some(4), &serde_json::Value::Null), "{kind}: {reported:?}");
            let expected = format!("has a certificate that is not trusted: invalid peer certificate: {why}");
            assert!(reported.stderr.contains(&expected) && reported.stderr.contains("--backend-ca"), "{kind}: {}", reported.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_a_ca_is_an_invalid_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, empty) = (folder.path().join("absent.pem"), folder.path().join("empty.pem"));
    std::fs::write(&empty, "no certificate").unwrap();
    for ca in [&absent, &empty] {
        let reported = report("jaeger=https://localhost:9".to_owned(), Some(ca), None).await;
        assert_eq!(reported.code, Some(78), "{reported:?}");
        assert!(reported.stderr.contains(&format!("the CA file {} can't be used", ca.display())), "{}", reported.stderr);
    }
}
