//! Posts one review over and over to running servers, by turns, and prints how long answers took.
//!
//! `cargo run --release --example load -- REVIEW [REQUESTS] ADDRESS,CA…`: one HTTP/2 connection to
//! each server, one request at a time; rounds of a few hundred requests go to one server after the
//! other, so that what else the machine does hurts all alike. Ends after the requests or a minute.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a tool for measuring stops at what it does not expect"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How many requests one server gets before the next one has its turn.
const ROUND: usize = 500;
/// How long all of it may take.
const AT_MOST: Duration = Duration::from_secs(60);

struct Target {
    name: String,
    sender: SendRequest<Full<Bytes>>,
    taken: Vec<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let review = arguments.next().expect("REVIEW is a file");
    let review = Bytes::from(std::fs::read(review).expect("REVIEW can be read"));
    let count = arguments.peek().and_then(|count| count.parse().ok());
    let count: usize = count.inspect(|_| drop(arguments.next())).unwrap_or(10_000);
    let mut targets = Vec::new();
    for target in arguments {
        let (address, authority) = target.split_once(',').expect("ADDRESS,CA");
        targets.push(Target {
            name: address.to_owned(),
            sender: connect(address, Path::new(authority)).await,
            taken: Vec::new(),
        });
    }
    // The first round warms up and is not counted.
    for target in &mut targets {
        round(target, &review, ROUND.min(count)).await;
        target.taken.clear();
    }
    let end = Instant::now() + AT_MOST;
    let mut left = count;
    while left > 0 && Instant::now() < end {
        let size = ROUND.min(left);
        for target in &mut targets {
            round(target, &review, size).await;
        }
        left -= size;
    }
    for target in &mut targets {
        report(target);
    }
}

async fn connect(address: &str, authority: &Path) -> SendRequest<Full<Bytes>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).expect("CA is a PEM file");
    roots.add(certificate).expect("CA is a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.expect("ADDRESS listens");
    stream.set_nodelay(true).expect("the socket is open");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = TokioIo::new(stream.await.expect("the handshake succeeds"));
    let (sender, connection) = handshake(TokioExecutor::new(), stream)
        .await
        .expect("the server speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

async fn round(target: &mut Target, review: &Bytes, size: usize) {
    for _ in 0..size {
        let request = Request::builder()
            .method(Method::POST)
            .uri("https://localhost/validate?timeout=10s")
            .header("content-type", "application/json")
            .body(Full::new(review.clone()))
            .expect("a request");
        let begun = Instant::now();
        let answer = async {
            let response = target.sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, body))
        };
        let answer = timeout(AT_MOST, answer).await.expect("an answer in time");
        let (status, _body) = answer.expect("an answer");
        target.taken.push(begun.elapsed());
        assert_eq!(status, StatusCode::OK, "{}", target.name);
    }
}

fn report(target: &mut Target) {
    target.taken.sort_unstable();
    let taken = &target.taken;
    let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{}: {} requests, p50 {:.1} us, p90 {:.1} us, p99 {:.1} us",
        target.name,
        taken.len(),
        at(0.5),
        at(0.9),
        at(0.99)
    );
}
