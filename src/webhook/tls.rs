//! How the webhook speaks TLS: versions, protocols, and the one provider of cryptography.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};

/// The protocol name of HTTP/2 in ALPN.
pub const HTTP_2: &[u8] = b"h2";
/// The protocol name of HTTP/1.1 in ALPN.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// Returns the provider that everything here uses, passed explicitly and never installed as the
/// default of the process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes the configuration of the server: TLS 1.3 and 1.2 (what API servers speak), HTTP/2 before
/// HTTP/1.1, certificates from `resolver`, no client certificates.
pub fn server_config(
    provider: Arc<CryptoProvider>,
    resolver: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}
