//! Calls the server as an API server would that trusts a bundle, before any API server is told to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certs::rotation::certificates;
use crate::webhook::tls::HTTP_1_1;

/// How long the whole call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than the answer can be.
const MOST_BYTES: u64 = 64 * 1024;
/// A review that is admitted at once, because no policy sees such a resource.
const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"self","kind":{"group":"authentication.k8s.io","version":"v1","kind":"SelfSubjectReview"},"resource":{"group":"authentication.k8s.io","version":"v1","resource":"selfsubjectreviews"},"operation":"CREATE","userInfo":{},"object":{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}}}"#;

/// Has a review decided by the server at `address`, called `name`, trusting `bundle` alone.
///
/// # Errors
/// An API server could not do so either; the text says why.
pub(super) async fn dial(
    address: SocketAddr,
    name: &str,
    bundle: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<(), String> {
    let call = call(address, name, bundle, provider);
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) if is_admission(&answer) => Ok(()),
        Ok(Ok(answer)) => {
            let status = answer.lines().next().unwrap_or("nothing");
            Err(format!("the server answers `{status}`"))
        }
        Ok(Err(problem)) => Err(format!(
            "the server cannot be called as `{name}`: {problem}"
        )),
        Err(_) => Err("the server does not answer in time".to_owned()),
    }
}

async fn call(
    address: SocketAddr,
    name: &str,
    bundle: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle) {
        roots.add(certificate).map_err(|it| it.to_string())?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|it| it.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    let server_name = ServerName::try_from(name.to_owned()).map_err(|it| it.to_string())?;
    let answer = async {
        let stream = TcpStream::connect(reachable(address)).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(server_name, stream).await?;
        let request = format!(
            "POST /validate?timeout=5s HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{REVIEW}",
            REVIEW.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    answer
        .await
        .map_err(|problem: std::io::Error| problem.to_string())
}

fn is_admission(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"allowed\":true")
}

/// Returns an address on this host at which a listener is reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}
