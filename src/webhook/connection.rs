//! One connection: handshake, requests, idleness, and its end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::limits::ConnectionLimits;
use super::listener::{Stage, reached};
use super::tls::HTTP_2;
use crate::telemetry::metrics::{ListenerLabel, Metrics, Presence, ReasonLabel};

/// How long a connection may take to end once it was asked to.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say
/// so: the interval of Go's own clients for API servers (apimachinery `pkg/util/net/http.go`,
/// `readIdleTimeoutSeconds` 30 and `pingTimeoutSeconds` 15).
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// What the connections of one listener share.
#[derive(Debug)]
pub struct Connections {
    name: &'static str,
    tls: Option<TlsConfig>,
    limits: ConnectionLimits,
    metrics: Metrics,
    router: Router,
    http_1: auto::Builder<TokioExecutor>,
    http_2: auto::Builder<TokioExecutor>,
}

struct TlsConfig(TlsAcceptor);

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TlsConfig")
    }
}

impl Connections {
    /// Makes what the connections of a listener share.
    pub fn new(
        name: &'static str,
        tls: Option<Arc<ServerConfig>>,
        limits: ConnectionLimits,
        metrics: Metrics,
        router: Router,
    ) -> Self {
        let builder = builder(&limits);
        Connections {
            name,
            tls: tls.map(|config| TlsConfig(TlsAcceptor::from(config))),
            limits,
            metrics,
            router,
            http_1: builder.clone().http1_only(),
            http_2: builder.http2_only(),
        }
    }

    fn failed(&self, reason: &'static str) {
        self.metrics
            .handshake_failures
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }
}

fn builder(limits: &ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        // A client that closes its half early has sent a truncated body, and is told so.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes);
    builder
}

/// Serves one connection until either side ends it or the server leaves.
pub async fn serve(connections: &Connections, stream: TcpStream, stage: watch::Receiver<Stage>) {
    let label = ListenerLabel {
        listener: connections.name,
    };
    let gauge = connections.metrics.connections.get_or_create_owned(&label);
    let _presence = Presence::in_gauge(&gauge);
    // Answers are small and complete; waiting to fill a packet only delays them. An error here is
    // one the first read will report.
    let _ = stream.set_nodelay(true);
    let Some(TlsConfig(acceptor)) = &connections.tls else {
        return converse(connections, &connections.http_1, stream, stage).await;
    };
    let handshake = timeout(
        connections.limits.handshake,
        secure(connections, acceptor, stream),
    );
    match handshake.await {
        Ok(Some(stream)) => {
            let http = match stream.get_ref().1.alpn_protocol() {
                Some(HTTP_2) => &connections.http_2,
                _ => &connections.http_1,
            };
            converse(connections, http, stream, stage).await;
        }
        Ok(None) => {}
        Err(_elapsed) => connections.failed("timeout"),
    }
}

/// The first byte of a TLS record that holds a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Does the TLS handshake; `None` when there will be no TLS on this connection.
async fn secure(
    connections: &Connections,
    acceptor: &TlsAcceptor,
    mut stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        // A probe of the port opens and closes it.
        Ok(0) | Err(_) => {
            connections.failed("closed");
            return None;
        }
        Ok(_) => {}
    }
    if first != [HANDSHAKE_RECORD] {
        connections.failed("not_tls");
        if first.first().is_some_and(u8::is_ascii_uppercase) {
            // The client may be gone already; nothing depends on its reading this.
            let _ = say_https(&mut stream).await;
        }
        return None;
    }
    match acceptor.accept(stream).await {
        Ok(stream) => Some(stream),
        Err(problem) => {
            // Most often a client that does not trust the certificate and says so.
            tracing::debug!(%problem, "TLS handshake failed");
            connections.failed("tls");
            None
        }
    }
}

/// Tells a client that speaks HTTP to speak HTTPS.
async fn say_https(stream: &mut TcpStream) -> io::Result<()> {
    const ANSWER: &str = concat!(
        "HTTP/1.1 400 Bad Request\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Connection: close\r\n",
        "Content-Length: 64\r\n",
        "\r\n",
        "This port speaks HTTPS; call it with https:// instead of http://"
    );
    stream.write_all(ANSWER.as_bytes()).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would reset the connection and lose the answer; the deadline of
    // the handshake bounds this.
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Speaks HTTP on `stream` until it ends.
async fn converse<S>(
    connections: &Connections,
    http: &auto::Builder<TokioExecutor>,
    stream: S,
    mut stage: watch::Receiver<Stage>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let router = connections.router.clone();
    let observed = stage.clone();
    let service = service_fn({
        let activity = Arc::clone(&activity);
        move |request| answer(router.clone(), request, activity.begin(), observed.clone())
    });
    let mut conversation = pin!(http.serve_connection(TokioIo::new(stream), service));
    let limits = &connections.limits;
    let mut ending = false;
    let mut deadline = Instant::now() + limits.headers.min(limits.idle);
    loop {
        tokio::select! {
            biased;
            // An error is the client's: it went away, or spoke what is not HTTP.
            _ = conversation.as_mut() => return,
            () = reached(&mut stage, Stage::Draining), if !ending => {
                ending = true;
                // Under HTTP/1.1 a first request may be on its way; it is answered, and its answer
                // closes the connection. Under HTTP/2 the protocol tells the client in time.
                if activity.is_used() || http.is_http2_available() {
                    conversation.as_mut().graceful_shutdown();
                }
            }
            () = tokio::time::sleep_until(deadline) => {
                let now = Instant::now();
                let allowed = if activity.is_used() { limits.idle } else { limits.headers };
                match activity.quiet_since() {
                    None => deadline = now + FAREWELL,
                    Some(_) if ending => return,
                    Some(since) if since + allowed > now => deadline = since + allowed,
                    Some(_) => {
                        ending = true;
                        conversation.as_mut().graceful_shutdown();
                        deadline = now + FAREWELL;
                    }
                }
            }
        }
    }
}

/// Answers one request.
fn answer(
    mut router: Router,
    request: Request<Incoming>,
    open: OpenRequest,
    stage: watch::Receiver<Stage>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    let version = request.version();
    // A router is always ready (axum, `Router as Service`).
    let answer = router.call(request);
    async move {
        let mut response = answer.await?;
        if version < Version::HTTP_2 && *stage.borrow() >= Stage::Leaving {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        drop(open);
        Ok(response)
    }
}

/// What a connection is doing.
#[derive(Debug)]
struct Activity {
    /// When the connection was ready for its first request.
    epoch: Instant,
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// When the last request ended, in milliseconds since `epoch`; 0 before the first.
    quiet_at: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Activity {
            epoch: Instant::now(),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            quiet_at: AtomicU64::new(0),
        }
    }
}

/// A request that is being answered.
struct OpenRequest(Arc<Activity>);

impl Activity {
    fn begin(self: &Arc<Self>) -> OpenRequest {
        self.begun.fetch_add(1, Ordering::Relaxed);
        OpenRequest(Arc::clone(self))
    }

    fn is_used(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }

    /// Returns since when there has been no request; `None` while there is one.
    fn quiet_since(&self) -> Option<Instant> {
        if self.begun.load(Ordering::Relaxed) != self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let quiet = Duration::from_millis(self.quiet_at.load(Ordering::Relaxed));
        Some(self.epoch + quiet)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let quiet = u64::try_from(self.0.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.quiet_at.store(quiet, Ordering::Relaxed);
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
