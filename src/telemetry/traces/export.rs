//! Sends spans by OTLP over HTTP, in batches, from one task with a bounded queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Request, Uri};
use kube::client::Body;
use kube::{Client, Config};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Span, Tracer, otlp};
use crate::telemetry::metrics::ResultLabel;

/// Reviews whose spans wait to be sent; how many spans that may be is bounded besides.
const QUEUE: usize = 1024;
/// So many spans are sent at once, and after this time those that there are (the defaults of
/// OpenTelemetry's batch span processor are 512 and five seconds).
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(1);
/// How long the endpoint may take (`OTEL_EXPORTER_OTLP_TIMEOUT`, ten seconds).
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a batch is sent that the endpoint has no room for, and the wait before each time.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Where spans go.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    endpoint: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the program says of itself.
    resource: Vec<(String, String)>,
}

// Headers hold tokens.
impl std::fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Destination");
        let host = self.endpoint.host().unwrap_or_default();
        shown.field("host", &host).finish_non_exhaustive()
    }
}

/// Reads an endpoint: `http://collector:4318`, to which `/v1/traces` is added unless it has a path.
///
/// # Errors
/// It is something else.
pub fn endpoint(text: &str) -> Result<Uri, String> {
    let refused = || format!("`{text}` is no `http://HOST:PORT` or `https://HOST:PORT`");
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri
        .authority()
        .filter(|it| is_http && !it.as_str().contains('@'));
    let authority = authority.ok_or_else(refused)?.clone();
    let path = match uri.path() {
        "" | "/" => "/v1/traces",
        path => path,
    };
    let whole = Uri::builder()
        .scheme(uri.scheme_str().unwrap_or_default())
        .authority(authority)
        .path_and_query(path)
        .build();
    whole.map_err(|_| refused())
}

impl Destination {
    /// Returns where spans go, if they are to go anywhere: `configured`, or what the variables of
    /// OpenTelemetry name, of which the headers, the name of the service and the attributes of the
    /// resource are read, too.
    ///
    /// # Errors
    /// A variable cannot be used.
    pub fn resolve(
        configured: Option<&Uri>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, String> {
        let variable = |name: &str| {
            let value = variables.get(name).map(|value| value.trim());
            value.filter(|value| !value.is_empty())
        };
        if variable("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let wrong = |name: &str, problem: String| format!("`{name}`: {problem}");
        let (of_traces, of_all) = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        );
        let endpoint = match (configured, variable(of_traces), variable(of_all)) {
            (Some(configured), ..) => configured.clone(),
            (None, Some(text), _) => endpoint(text).map_err(|it| wrong(of_traces, it))?,
            (None, None, Some(text)) => {
                let base = format!("{}/v1/traces", text.trim_end_matches('/'));
                self::endpoint(&base).map_err(|it| wrong(of_all, it))?
            }
            (None, None, None) => return Ok(None),
        };
        let mut headers = Vec::new();
        for name in [
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        ] {
            for (key, value) in pairs(variable(name).unwrap_or_default()) {
                // What is wrong is not said: it may be a token.
                let header = HeaderName::try_from(key).ok().zip(value.try_into().ok());
                let header = header.ok_or_else(|| wrong(name, "not a list of headers".to_owned()));
                headers.push(header?);
            }
        }
        let given = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut resource = vec![
            ("service.name".to_owned(), "portcullis".to_owned()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
        ];
        let name =
            variable("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name.to_owned()));
        for (key, value) in pairs(given).chain(name) {
            resource.retain(|(known, _)| *known != key);
            resource.push((key, value));
        }
        Ok(Some(Destination {
            endpoint,
            headers,
            resource,
        }))
    }
}

/// Reads `a=b,c=d` with percent-encoded values, as the variables of OpenTelemetry are written.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(',').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_owned(), decoded(value.trim())))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits =
            [ahead.next(), ahead.next()].map(|it| it.and_then(|it| char::from(it).to_digit(16)));
        match (byte, digits) {
            (b'%', [Some(high), Some(low)]) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(byte));
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends what a [`Tracer`] makes, until it is closed.
#[derive(Debug)]
pub struct Exporter {
    task: JoinHandle<()>,
    end: watch::Sender<bool>,
}

impl Exporter {
    /// Begins to send; must be called within a runtime.
    ///
    /// # Errors
    /// There is no way to speak to the endpoint.
    pub fn start(
        destination: Destination,
        registry: &mut Registry,
    ) -> Result<(Tracer, Self), String> {
        let spans: Family<ResultLabel, Counter> = Family::default();
        registry.register(
            "trace_spans",
            "Spans of reviews, by what came of them",
            spans.clone(),
        );
        let of = |result| spans.get_or_create(&ResultLabel { result }).clone();
        let (queue, received) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let tracer = Tracer::new(queue, Arc::clone(&waiting), of("dropped"));
        let (end, is_over) = watch::channel(false);
        let sender = Sender {
            client: client(&destination.endpoint)?,
            destination,
            received,
            waiting,
            exported: of("exported"),
            failed: of("failed"),
            has_failed: false,
        };
        let task = tokio::spawn(sender.run(is_over));
        Ok((tracer, Exporter { task, end }))
    }

    /// Sends what waits and ends; what is not sent within `time` is lost.
    pub async fn close(mut self, time: Duration) {
        self.end.send_replace(true);
        if timeout(time, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("not every span was sent");
        }
    }
}

/// The client is that of the API server without anybody's credentials: one way of speaking HTTP and TLS.
fn client(endpoint: &Uri) -> Result<Client, String> {
    let base = Uri::builder()
        .scheme(endpoint.scheme_str().unwrap_or_default())
        .authority(endpoint.authority().map_or("", |it| it.as_str()))
        .path_and_query("/")
        .build();
    let mut config = Config::new(base.map_err(|problem| problem.to_string())?);
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(|problem| problem.to_string())
}

struct Sender {
    client: Client,
    destination: Destination,
    received: mpsc::Receiver<Vec<Span>>,
    waiting: Arc<AtomicUsize>,
    exported: Counter,
    failed: Counter,
    has_failed: bool,
}

impl Sender {
    async fn run(mut self, mut is_over: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                first = self.received.recv() => first,
                _ = is_over.wait_for(|it| *it) => self.received.try_recv().ok(),
            };
            let Some(mut batch) = first else {
                return;
            };
            let deadline = Instant::now() + DELAY;
            while batch.len() < BATCH {
                let next = tokio::select! {
                    next = timeout_at(deadline, self.received.recv()) => next.ok().flatten(),
                    _ = is_over.wait_for(|it| *it) => self.received.try_recv().ok(),
                };
                match next {
                    Some(spans) => batch.extend(spans),
                    None => break,
                }
            }
            self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            self.deliver(&batch).await;
        }
    }

    async fn deliver(&mut self, batch: &[Span]) {
        let body = otlp::request(batch, &self.destination.resource);
        let outcome = self.send(&body).await;
        let count = batch.len() as u64;
        match outcome {
            Ok(()) => {
                self.exported.inc_by(count);
                if std::mem::take(&mut self.has_failed) {
                    tracing::info!("spans are taken again");
                }
            }
            Err(problem) => {
                self.failed.inc_by(count);
                if !std::mem::replace(&mut self.has_failed, true) {
                    let host = self.destination.endpoint.host().unwrap_or_default();
                    tracing::warn!(host, "spans cannot be sent: {problem}");
                }
            }
        }
    }

    /// Sends a batch, again if the endpoint says that it may come again (OTLP specification, "Failures").
    async fn send(&self, body: &[u8]) -> Result<(), String> {
        let mut problem = String::new();
        for tried in 0..TRIES {
            if tried > 0 {
                tokio::time::sleep(PAUSE * tried).await;
            }
            let answer = timeout(PATIENCE, self.client.send(self.request(body)?)).await;
            match answer {
                Ok(Ok(answer)) if answer.status().is_success() => return Ok(()),
                Ok(Ok(answer)) => {
                    problem = format!("the endpoint answers {}", answer.status());
                    if !matches!(answer.status().as_u16(), 429 | 502 | 503 | 504) {
                        break;
                    }
                }
                Ok(Err(_)) => problem = "the endpoint cannot be reached".to_owned(),
                Err(_elapsed) => problem = "the endpoint does not answer in time".to_owned(),
            }
        }
        Err(problem)
    }

    fn request(&self, body: &[u8]) -> Result<Request<Body>, String> {
        let path = self.destination.endpoint.path();
        let mut request = Request::post(path)
            .header("content-type", "application/x-protobuf")
            .body(Body::from(body.to_vec()))
            .map_err(|problem| problem.to_string())?;
        for (name, value) in &self.destination.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests;
