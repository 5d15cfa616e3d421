//! TLS needs one provider of cryptography for the whole process.

/// Chooses ring, unless the program chose another before. Call it before an HTTP client is built; more than once does no harm.
pub fn choose_provider() {
    // An error means that one is installed already: that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whom a client of this address trusts beside whoever it is told to: the system's roots, or nobody where nothing is encrypted.
/// Reading the roots takes a megabyte of memory and some milliseconds for each client. Only for clients that follow no redirect and use
/// no proxy.
pub fn with_system_roots(builder: reqwest::ClientBuilder, url: &str) -> reqwest::ClientBuilder {
    if url.starts_with("http:") { builder.tls_certs_only([]) } else { builder }
}

/// The certificates of a PEM text: those to trust. A text without any is an error: trusting nobody more would be found out much later.
pub fn authorities(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, String> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| crate::base::causes::of(&error))?;
    if certificates.is_empty() { Err("it holds no certificate in PEM form".to_owned()) } else { Ok(certificates) }
}
