//! The receiver's settings.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ReceiveError;
use crate::base::secret::Secret;
use crate::base::tls;

/// The receiver's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The addresses to listen on, each for gRPC and HTTP.
    pub addresses: Vec<SocketAddr>,
    /// The token that senders need.
    pub token: Option<Secret>,
    /// The files for TLS; without them it is not encrypted.
    pub tls: Option<TlsFiles>,
}

/// The files for TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that signed it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads the files.
    pub fn check(&self) -> Result<(), ReceiveError> {
        self.acceptor().map(drop)
    }

    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, ReceiveError> {
        tls::choose_provider();
        let wrong = |what, path: &Path, reason: String| ReceiveError::Tls { what, path: path.to_owned(), reason };
        let certificate = |reason: String| wrong("certificate", &self.certificate, reason);
        let key = |reason: String| wrong("key", &self.key, reason);
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.certificate).map_err(|error| certificate(error.to_string()))?.collect();
        let chain = chain.map_err(|error| certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(certificate("it contains no PEM certificate".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| key(error.to_string()))?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
        let mut config = config.map_err(|error| key(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
