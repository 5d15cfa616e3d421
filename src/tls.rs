//! TLS needs one provider of cryptography for the whole process.

/// Chooses ring, unless the program chose another before. Call it before an HTTP client is built; more than once does no harm.
pub fn choose_provider() {
    // An error means that one is installed already: that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
