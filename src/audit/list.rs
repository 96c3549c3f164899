//! Lists of objects by page, as fast as the API server lets them be read.
//!
//! Pages are asked for without a `resourceVersion`: the first is then as new as etcd, all others are of
//! the same moment, and `limit` counts. With `resourceVersion=0` API servers before 1.35 answer out of
//! their cache and pass over `limit`: a hundred thousand objects in one answer (apiserver
//! `pkg/storage/cacher/delegator.go`, `shouldDelegateList`).
//!
//! Who reads too fast is told so by the API server's priority and fairness (429 with `Retry-After`),
//! and waits.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::finding::clipped;
use crate::cluster::connect::described;

/// How many objects a page has at most: the size of client-go's pager (`tools/pager/pager.go`,
/// `defaultPageSize`).
pub const PAGE: u32 = 500;
/// What one page may take; a page that is larger is asked for again with fewer objects. An object is
/// 1.5 MB at most (etcd's default), and about twice that as JSON.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// A page this small is followed by one of twice as many objects.
const FEW_BYTES: usize = MOST_BYTES / 8;
/// How long one answer may take: what an API server allows itself (apiserver `pkg/server/config.go`,
/// `RequestTimeout`).
const REQUEST: Duration = Duration::from_secs(60);
/// How often a page is asked for before it is given up.
const TRIES: u32 = 8;
/// How long a page is asked for in all, whatever the tries.
const PATIENCE: Duration = Duration::from_secs(300);
/// The wait before the second time; doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No wait is longer, whatever the API server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// What is quoted of an error.
const MOST_QUOTED: usize = 400;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks for pages; clones share what they know of the API server.
#[derive(Clone)]
pub struct Lister {
    client: Client,
    shared: Arc<Shared>,
}

struct Shared {
    /// Whether the API server has answered anything.
    has_answered: AtomicBool,
    /// The time between two requests.
    pause: Duration,
    begun: Instant,
    /// When the next request may be sent, in microseconds since `begun`.
    next: AtomicU64,
    bytes: AtomicU64,
    requests: AtomicU64,
    waits: AtomicU64,
}

/// What was asked for so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were sent.
    pub requests: u64,
    /// Bytes of the answers that could be used.
    pub bytes: u64,
    /// How often the API server asked to wait.
    pub waits: u64,
}

/// A page to ask for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The path of the collection.
    pub path: String,
    /// A selector of labels, or empty.
    pub labels: String,
    /// The name of the only object that is asked for, or empty.
    pub name: String,
    /// How much of each object.
    pub form: Form,
    /// Where to go on.
    pub token: Option<String>,
    /// How many objects.
    pub limit: u32,
}

/// How much of each object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// All of it.
    #[default]
    Whole,
    /// Its metadata.
    Metadata,
}

impl Form {
    fn accept(self) -> &'static str {
        match self {
            Form::Whole => "application/json",
            Form::Metadata => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        }
    }
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The place to go on from is forgotten; the token, if there is one, goes on from the next object
    /// as of now.
    #[error("the list took longer than the API server remembers")]
    Expired {
        /// Goes on without the moment that the list began with.
        token: Option<String>,
    },
    /// The cluster has no such kind any more.
    #[error("there is no such kind")]
    Unknown,
    /// We may not, or the question is wrong.
    #[error("{0}")]
    Refused(String),
    /// The API server does not answer.
    #[error("{0}")]
    Failed(String),
}

/// A page as it came.
#[derive(Debug)]
pub struct Page {
    bytes: Bytes,
    /// Where the next page goes on.
    pub token: Option<String>,
    /// How many objects come after it, if that is known.
    pub remaining: Option<u64>,
    /// How many objects the next page is to have.
    pub next_limit: u32,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default, rename = "continue")]
    token: Option<String>,
    #[serde(default)]
    remaining_item_count: Option<u64>,
}

/// What an API server says instead of an answer.
#[derive(Deserialize, Default)]
struct Status<'a> {
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

impl Page {
    /// Returns the objects, raw.
    ///
    /// # Errors
    /// It is no list.
    pub fn items(&self) -> Result<Vec<&RawValue>, ListError> {
        let envelope: Result<Envelope<'_>, _> = serde_json::from_slice(&self.bytes);
        match envelope {
            Ok(envelope) => Ok(envelope.items.unwrap_or_default()),
            Err(_) => Err(no_list()),
        }
    }
}

fn no_list() -> ListError {
    ListError::Failed("the API server answered with something that is no list".to_owned())
}

impl Lister {
    /// Makes one that sends at most so many requests a second, if that is limited.
    pub fn new(client: Client, most_a_second: Option<f64>) -> Self {
        let pause = most_a_second.filter(|most| *most > 0.0);
        let pause = pause.and_then(|most| Duration::try_from_secs_f64(1.0 / most).ok());
        Lister {
            client,
            shared: Arc::new(Shared {
                has_answered: AtomicBool::new(false),
                pause: pause.unwrap_or(Duration::ZERO),
                begun: Instant::now(),
                next: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                waits: AtomicU64::new(0),
            }),
        }
    }

    /// Returns the client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Says what was asked for so far.
    pub fn traffic(&self) -> Traffic {
        let Shared {
            requests,
            bytes,
            waits,
            ..
        } = &*self.shared;
        Traffic {
            requests: requests.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
            waits: waits.load(Ordering::Relaxed),
        }
    }

    /// Asks for a page until it is there, smaller ones if it is too large to be held.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn page(&self, mut ask: Ask) -> Result<Page, ListError> {
        loop {
            let Some(bytes) = self.get(&ask.target(), ask.form.accept()).await? else {
                if ask.limit == 1 {
                    return Err(ListError::Failed(
                        "an object is larger than any that is stored".to_owned(),
                    ));
                }
                ask.limit = (ask.limit / 4).max(1);
                continue;
            };
            let head: Head = serde_json::from_slice(&bytes).map_err(|_| no_list())?;
            let metadata = head.metadata.unwrap_or_default();
            let next_limit = match bytes.len() < FEW_BYTES {
                true => ask.limit.saturating_mul(2).min(PAGE),
                false => ask.limit,
            };
            self.shared
                .bytes
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return Ok(Page {
                bytes,
                token: metadata.token.filter(|token| !token.is_empty()),
                remaining: metadata.remaining_item_count,
                next_limit,
            });
        }
    }

    /// Asks for a document that is no list until it is there.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn document(&self, target: &str, accept: &str) -> Result<Bytes, ListError> {
        let bytes = self.get(target, accept).await?;
        bytes.ok_or_else(|| ListError::Failed(format!("the answer to {target} is too large")))
    }

    /// Asks until there is an answer; `None` if it is too large.
    async fn get(&self, target: &str, accept: &str) -> Result<Option<Bytes>, ListError> {
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        let begun = Instant::now();
        loop {
            self.pace().await;
            let (problem, asked_to_wait) = match self.try_once(target, accept).await {
                Try::Answer(bytes) => return Ok(Some(bytes)),
                Try::TooLarge => return Ok(None),
                Try::Error(error) => return Err(error),
                Try::Again { problem, wait } => (problem, wait),
            };
            // A cluster that has never answered may not be there at all.
            let has_answered = self.shared.has_answered.load(Ordering::Relaxed);
            let pause = asked_to_wait
                .unwrap_or_default()
                .max(wait)
                .min(LONGEST_WAIT);
            let is_late = begun.elapsed() + pause > PATIENCE;
            if tries >= TRIES || is_late || (!has_answered && tries >= 2) {
                return Err(ListError::Failed(problem));
            }
            tries += 1;
            if asked_to_wait.is_some() {
                self.shared.waits.fetch_add(1, Ordering::Relaxed);
            }
            sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Waits until the next request may be sent.
    async fn pace(&self) {
        let Shared {
            pause, begun, next, ..
        } = &*self.shared;
        if pause.is_zero() {
            return;
        }
        let step = micros(*pause);
        let now = micros(begun.elapsed());
        let take = |due: u64| Some(due.max(now).saturating_add(step));
        let due = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let due = due.unwrap_or_default();
        sleep_until(*begun + Duration::from_micros(due)).await;
    }

    async fn try_once(&self, target: &str, accept: &str) -> Try {
        let request = Request::get(target)
            .header("accept", accept)
            .body(kube::client::Body::empty());
        let request = match request {
            Ok(request) => request,
            Err(problem) => return Try::Error(ListError::Refused(problem.to_string())),
        };
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let answered = async {
            let response = self.client.send(request).await;
            let response = response.map_err(|problem| described(&problem))?;
            let (head, body) = response.into_parts();
            let bytes = Limited::new(body, MOST_BYTES).collect().await;
            Ok((
                Response::from_parts(head, ()),
                bytes.map(|it| it.to_bytes()),
            ))
        };
        match timeout(REQUEST, answered).await {
            Err(_elapsed) => Try::again("the API server does not answer"),
            Ok(Err(problem)) => Try::Again {
                problem,
                wait: None,
            },
            Ok(Ok((head, bytes))) => {
                self.shared.has_answered.store(true, Ordering::Relaxed);
                judge(&head, bytes)
            }
        }
    }
}

/// What came of asking once.
enum Try {
    Answer(Bytes),
    TooLarge,
    Error(ListError),
    Again {
        problem: String,
        wait: Option<Duration>,
    },
}

impl Try {
    fn again(problem: &str) -> Self {
        Try::Again {
            problem: problem.to_owned(),
            wait: None,
        }
    }
}

fn judge(head: &Response<()>, bytes: Result<Bytes, BoxError>) -> Try {
    let status = head.status();
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(problem) if problem.is::<LengthLimitError>() => return Try::TooLarge,
        Err(problem) => return Try::again(&problem.to_string()),
    };
    if status.is_success() {
        return Try::Answer(bytes);
    }
    let said: Status<'_> = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = match said.message.is_empty() {
        true => status.to_string(),
        false => clipped(&said.message, MOST_QUOTED),
    };
    match status {
        StatusCode::GONE => Try::Error(ListError::Expired {
            token: said.metadata.and_then(|it| it.token),
        }),
        StatusCode::NOT_FOUND => Try::Error(ListError::Unknown),
        StatusCode::TOO_MANY_REQUESTS => Try::Again {
            problem: message,
            wait: Some(retry_after(head.headers()).unwrap_or_default()),
        },
        status if status.is_server_error() => Try::Again {
            problem: message,
            wait: retry_after(head.headers()),
        },
        _ => Try::Error(ListError::Refused(message)),
    }
}

/// Returns how long the API server asks to wait, if it does.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Ask {
    /// Asks for the first page of a collection.
    pub fn first(path: impl Into<String>) -> Self {
        Ask {
            path: path.into(),
            labels: String::new(),
            name: String::new(),
            form: Form::Whole,
            token: None,
            limit: PAGE,
        }
    }

    fn target(&self) -> String {
        let mut target = format!("{}?limit={}", self.path, self.limit);
        if !self.labels.is_empty() {
            target.push_str("&labelSelector=");
            encode(&self.labels, &mut target);
        }
        if !self.name.is_empty() {
            target.push_str("&fieldSelector=metadata.name%3D");
            encode(&self.name, &mut target);
        }
        if let Some(token) = &self.token {
            target.push_str("&continue=");
            encode(token, &mut target);
        }
        target
    }
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(into, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
pub(in crate::audit) mod tests;
