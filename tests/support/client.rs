//! Clients: HTTP/2 and HTTP/1.1 over rustls, and bare sockets for what no client would send.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::BOUND;

/// What servers are called, unless something else is said.
const LOCALHOST: &str = "localhost";

/// The version of HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

impl Http {
    pub(crate) const BOTH: [Http; 2] = [Http::One, Http::Two];

    fn alpn(self) -> &'static [u8] {
        match self {
            Http::One => b"http/1.1",
            Http::Two => b"h2",
        }
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A server that can be called.
pub(crate) trait Serves {
    /// Where it is.
    fn address(&self) -> SocketAddr;
    /// The PEM file with the CA that its clients are to trust.
    fn authority(&self) -> &Path;
}

/// One connection to the webhook.
pub(crate) struct Client {
    sender: Sender,
    pub(crate) leaf: CertificateDer<'static>,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(crate) async fn connect(server: &impl Serves, http: Http) -> Client {
        Client::try_connect(server.address(), server.authority(), http)
            .await
            .expect("the server takes the connection")
    }

    pub(crate) async fn try_connect(
        address: SocketAddr,
        authority: &Path,
        http: Http,
    ) -> std::io::Result<Client> {
        Client::connect_to((LOCALHOST, address), authority, http).await
    }

    /// Connects to a server that is called by a name of its own.
    pub(crate) async fn connect_to(
        server: (&str, SocketAddr),
        authority: &Path,
        http: Http,
    ) -> std::io::Result<Client> {
        let stream = handshake_with(server, authority, http, rustls::ALL_VERSIONS).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let leaf = certificates.unwrap()[0].clone().into_owned();
        let io = TokioIo::new(stream);
        let sender = match http {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await.map_err(other)?;
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Http::Two => {
                let executor = TokioExecutor::new();
                let (sender, connection) = http2::handshake(executor, io).await.map_err(other)?;
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        };
        Ok(Client { sender, leaf })
    }

    /// Tells whether the connection takes another request; a request sent after it said so must be
    /// answered.
    pub(crate) async fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::One(sender) => sender.ready().await.is_ok(),
            Sender::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(review(path, body)).await.expect("it is answered")
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let response = timeout(BOUND, async {
            match &mut self.sender {
                Sender::One(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Two(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        });
        collect(response.await.expect("there is an answer in time")?).await
    }

    /// Another handle on the same connection, which only HTTP/2 has.
    pub(crate) fn share(&self) -> Client {
        match &self.sender {
            Sender::One(_) => panic!("HTTP/1.1 has one request at a time"),
            Sender::Two(sender) => Client {
                sender: Sender::Two(sender.clone()),
                leaf: self.leaf.clone(),
            },
        }
    }
}

/// A request as API servers send it.
pub(crate) fn review(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("https://localhost{path}"))
        .header("host", "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

/// Tells whether a request failed before the server saw it, so that sending it again on another
/// connection is safe. Go's transport, which API servers use, does that by itself
/// (`net/http`, `canRetryError`).
pub(crate) fn was_not_sent(problem: &hyper::Error) -> bool {
    let goes_away = problem
        .source()
        .is_some_and(|source| format!("{source:?}").contains("GoAway(b\"\", NO_ERROR, Remote)"));
    // Closed: the connection ended before it took the request (`SendRequest::poll_ready`).
    problem.is_canceled() || problem.is_closed() || goes_away
}

/// Asks the admin port.
pub(crate) async fn ask(address: SocketAddr, method: Method, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = timeout(BOUND, sender.send_request(request)).await;
    let response = response.expect("there is an answer in time");
    collect(response.unwrap()).await.unwrap()
}

/// Does the TLS handshake, trusting only `authority`.
pub(crate) async fn handshake(
    address: SocketAddr,
    authority: &Path,
    http: Http,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake_with((LOCALHOST, address), authority, http, versions).await
}

async fn handshake_with(
    (name, address): (&str, SocketAddr),
    authority: &Path,
    http: Http,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![http.alpn().to_vec()];
    let stream = TcpStream::connect(address).await?;
    // As Go's clients do; without it each body waits for the acknowledgement of its headers.
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Writes `bytes`, then reads until the server closes; returns what it said.
pub(crate) async fn converse(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    bytes: &[u8],
    half_close: bool,
) -> String {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    if half_close {
        stream.shutdown().await.unwrap();
    }
    let mut said = Vec::new();
    // A reset or a missing close_notify ends the conversation as well.
    let _ = timeout(BOUND, stream.read_to_end(&mut said))
        .await
        .expect("the server closes in time");
    String::from_utf8_lossy(&said).into_owned()
}

/// How long something takes at least and at most, for deadlines of the server.
pub(crate) fn assert_about(measured: Duration, expected: Duration) {
    assert!(
        measured >= expected.mul_f64(0.8) && measured < expected + BOUND,
        "took {measured:?}, not about {expected:?}"
    );
}

async fn collect(response: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

fn other(problem: hyper::Error) -> std::io::Error {
    std::io::Error::other(problem)
}
