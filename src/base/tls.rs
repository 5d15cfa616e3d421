//! The TLS provider: rustls needs one cryptography provider for the whole process.

/// Installs ring, unless another provider is installed. Call it before building an HTTP client; repeated calls are harmless.
pub fn choose_provider() {
    // An error means that a provider is installed already, which is sufficient.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Trusts the system's root certificates, or none if the address is not encrypted, beside those added explicitly: reading the roots
/// costs a megabyte of memory and some milliseconds for each client. Only for clients that follow no redirect and use no proxy.
pub fn with_system_roots(builder: reqwest::ClientBuilder, url: &str) -> reqwest::ClientBuilder {
    if url.starts_with("http:") { builder.tls_certs_only([]) } else { builder }
}

/// Parses the trusted certificates of a PEM text. A text without any is an error, which would otherwise be noticed much later.
pub fn authorities(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, String> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| crate::base::causes::of(&error))?;
    if certificates.is_empty() { Err("it contains no PEM certificate".to_owned()) } else { Ok(certificates) }
}
