//! Reads and writes single reports, one at a time, because that is what etcd notices least. Which, and in
//! which order, is decided elsewhere ([`super::keep`]).

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use super::finding::clipped;
use super::list::{Ask, Form, ListError, Lister, retry_after};
use super::report::{
    Api, CHECKSUM, Draft, INSTALLATION, KIND, Known, OMITTED, Omitted, SKIP, label,
};
use super::scan::Unit;

/// Who owns the fields that are written.
const FIELD_MANAGER: &str = "portcullis-audit";
/// How many reports are read at once: with [`super::report::MOST_BYTES`] two megabytes.
const PAGE: u32 = 8;
/// How long one write may take, and how often it is tried. A holder of the Lease that is none any more has
/// ended its last write before another one begins (`cluster::lease::REQUEST`).
const REQUEST: Duration = Duration::from_secs(5);
const TRIES: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// What is read of an answer.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// What is quoted of an error.
const MOST_QUOTED: usize = 400;
/// What became of reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Written, because they were not there or said something else.
    pub written: u64,
    /// As they were.
    pub unchanged: u64,
    /// Removed, because there is nothing to say in them.
    pub removed: u64,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// Why reports could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Those that are there could not be read.
    #[error("the reports cannot be listed: {0}")]
    List(#[from] ListError),
    /// One could not be written.
    #[error("the {kind} `{name}` cannot be written: {problem}")]
    Write {
        /// Its kind.
        kind: &'static str,
        /// Its name, with the namespace.
        name: String,
        /// What the API server said.
        problem: String,
    },
    /// One was refused, and others may not be.
    #[error("the {kind} `{name}` is refused: {problem}")]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name, with the namespace.
        name: String,
        /// What the API server said.
        problem: String,
    },
    /// Another replica is to write them.
    #[error("this replica may not write any more")]
    Stopped,
}

/// Writes reports of one installation.
#[derive(Clone, Copy)]
pub struct Writer<'w> {
    /// Leads to the cluster.
    pub lister: &'w Lister,
    /// Where they are written to.
    pub api: Api,
    /// The installation whose they are.
    pub installation: &'w str,
    /// The namespaces that are looked at; empty for all, and what is in none.
    pub namespaces: &'w [String],
    /// Says whether this is still ours to do; asked before each write.
    pub may_write: &'w (dyn Fn() -> bool + Sync),
    /// The time that what is found is found at, in seconds of the epoch.
    pub now: i64,
}

/// What is known of a report without its results.
#[derive(Debug)]
pub(super) struct Stub {
    /// The checksum that it says it has; none if others have changed what it says.
    pub(super) checksum: Option<String>,
    /// How many findings it only counts.
    pub(super) omitted: Omitted,
}

/// The metadata of a report, as far as it is looked at.
#[derive(Deserialize)]
struct Head {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    labels: Map<String, Value>,
    #[serde(default)]
    annotations: Map<String, Value>,
    #[serde(default)]
    managed_fields: Vec<ManagedFields>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedFields {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    fields_v1: Map<String, Value>,
}

impl Metadata {
    fn stub(&self) -> Stub {
        // Whoever writes a field is its manager from then on.
        let is_foreign = |it: &ManagedFields| {
            it.manager != FIELD_MANAGER && it.fields_v1.keys().any(|field| field != "f:metadata")
        };
        let is_ours = !self.managed_fields.iter().any(is_foreign);
        let text = |key: &str| self.annotations.get(key).and_then(Value::as_str);
        Stub {
            checksum: text(CHECKSUM).filter(|_| is_ours).map(str::to_owned),
            omitted: omitted(text(OMITTED)),
        }
    }
}

/// Reads how many findings a report only counts.
fn omitted(text: Option<&str>) -> Omitted {
    let read = text.and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or_default()
}

/// A report by its namespace and its name.
pub(super) type Key = (String, String);

impl Writer<'_> {
    /// Calls something with the kind that each report of the installation is about, and what is known of it.
    pub(super) async fn each_stub(
        &self,
        mut then: impl FnMut(String, Key, Stub),
    ) -> Result<(), ListError> {
        let ask = |path| Ask {
            labels: format!("{INSTALLATION}={}", label(self.installation)),
            form: Form::Metadata,
            ..Ask::first(path)
        };
        for path in self.collections() {
            let mut ask = ask(path);
            loop {
                let page = self.lister.page(ask.clone()).await?;
                for item in page.items()? {
                    let Ok(Head { metadata }) = serde_json::from_str(item.get()) else {
                        continue;
                    };
                    let kind = metadata.labels.get(KIND).and_then(Value::as_str);
                    let kind = kind.unwrap_or_default().to_owned();
                    let stub = metadata.stub();
                    then(kind, (metadata.namespace, metadata.name), stub);
                }
                match page.token {
                    Some(token) => ask.token = Some(token),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Counts what the reports about some units say, by policy and namespace; what is skipped is not.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn count(
        &self,
        units: impl Iterator<Item = Unit<'_>>,
        mut count: impl FnMut(&str, &str, u64),
    ) -> Result<(), WriteError> {
        let kinds: BTreeSet<String> = units.map(|it| label(&it.name())).collect();
        let is_counted = |kind: &str| kinds.contains(kind);
        for path in self.collections() {
            let mut ask = Ask {
                labels: format!("{INSTALLATION}={}", label(self.installation)),
                limit: PAGE,
                ..Ask::first(path)
            };
            loop {
                let page = self.lister.page(ask.clone()).await?;
                for item in page.items()? {
                    let report: Value = serde_json::from_str(item.get()).unwrap_or_default();
                    count_report(&report, is_counted, &mut count);
                }
                match page.token {
                    Some(token) => ask.token = Some(token),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Returns the collections that reports are in.
    fn collections(&self) -> Vec<String> {
        let named: BTreeSet<&String> = self.namespaces.iter().collect();
        match named.is_empty() {
            true => vec![self.collection(None, true), self.collection(None, false)],
            false => {
                let each = named.into_iter();
                each.map(|it| self.collection(Some(it), true)).collect()
            }
        }
    }

    fn collection(&self, namespace: Option<&str>, is_namespaced: bool) -> String {
        let (version, plural) = (self.api.api_version(), self.api.plural(is_namespaced));
        match namespace {
            Some(namespace) => format!("/apis/{version}/namespaces/{namespace}/{plural}"),
            None => format!("/apis/{version}/{plural}"),
        }
    }

    /// Returns a report as it is; `None` if it is gone.
    pub(super) async fn read(&self, (namespace, name): &Key) -> Result<Option<Value>, ListError> {
        let is_namespaced = !namespace.is_empty();
        let namespace = Some(&**namespace).filter(|_| is_namespaced);
        // Who may list need not be allowed to get.
        let ask = Ask {
            name: name.clone(),
            limit: 1,
            ..Ask::first(self.collection(namespace, is_namespaced))
        };
        let page = self.lister.page(ask).await?;
        let items = page.items()?;
        let item = items.first();
        Ok(item.and_then(|it| serde_json::from_str(it.get()).ok()))
    }

    /// Writes a report; what the one before says keeps its time.
    pub(super) async fn apply(
        &self,
        draft: &Draft<'_>,
        known: &Known,
        written: &mut Written,
    ) -> Result<(), WriteError> {
        let report = draft.report(self.api, known, self.now);
        let key = (draft.namespace.clone(), draft.name.clone());
        self.put(&key, &report, written).await
    }

    /// Writes a text in place of a report.
    pub(super) async fn put(
        &self,
        key: &Key,
        report: &Value,
        written: &mut Written,
    ) -> Result<(), WriteError> {
        let is_namespaced = !key.0.is_empty();
        let body = report.to_string();
        let namespace = Some(&*key.0).filter(|_| is_namespaced);
        let path = format!(
            "{}/{}?fieldManager={FIELD_MANAGER}&force=true",
            self.collection(namespace, is_namespaced),
            key.1
        );
        match self.send(Method::PATCH, &path, body.as_bytes()).await? {
            Ok(()) => {
                written.written += 1;
                written.bytes += body.len() as u64;
                Ok(())
            }
            // The namespace is gone, or about to go, with everything in it.
            Err((StatusCode::NOT_FOUND, _)) if is_namespaced => Ok(()),
            Err((StatusCode::FORBIDDEN, problem)) if problem.contains("being terminated") => Ok(()),
            Err(refused) => Err(self.failed(key, refused)),
        }
    }

    /// Removes a report.
    pub(super) async fn remove(&self, key: &Key) -> Result<(), WriteError> {
        let is_namespaced = !key.0.is_empty();
        let namespace = Some(&*key.0).filter(|_| is_namespaced);
        let path = format!("{}/{}", self.collection(namespace, is_namespaced), key.1);
        match self.send(Method::DELETE, &path, b"").await? {
            Ok(()) | Err((StatusCode::NOT_FOUND, _)) => Ok(()),
            Err(refused) => Err(self.failed(key, refused)),
        }
    }

    fn failed(
        &self,
        (namespace, name): &Key,
        (status, problem): (StatusCode, String),
    ) -> WriteError {
        let kind = self.api.kind(!namespace.is_empty());
        let name = match namespace.as_str() {
            "" => name.clone(),
            namespace => format!("{namespace}/{name}"),
        };
        match may_be_tried_again(status) {
            true => WriteError::Write {
                kind,
                name,
                problem,
            },
            false => WriteError::Refused {
                kind,
                name,
                problem,
            },
        }
    }

    /// Sends a request until it is answered by something else than a request to wait.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
    ) -> Result<Result<(), (StatusCode, String)>, WriteError> {
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        loop {
            if !(self.may_write)() {
                return Err(WriteError::Stopped);
            }
            let once = self.send_once(&method, path, body);
            let answer = timeout(REQUEST, once).await;
            let refused = match answer.unwrap_or_else(|_elapsed| Err(Refused::unanswered())) {
                Ok(()) => return Ok(Ok(())),
                Err(refused) => refused,
            };
            if tries >= TRIES || !may_be_tried_again(refused.status) {
                return Ok(Err((refused.status, refused.problem)));
            }
            tries += 1;
            sleep(refused.wait.max(wait).min(LONGEST_WAIT)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn send_once(&self, method: &Method, path: &str, body: &[u8]) -> Result<(), Refused> {
        let failed = |problem: String| Refused::new(StatusCode::BAD_GATEWAY, problem);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("accept", "application/json");
        if method == Method::PATCH {
            // JSON is YAML.
            request = request.header("content-type", "application/apply-patch+yaml");
        }
        let request = request.body(kube::client::Body::from(body.to_vec()));
        let request = request
            .map_err(|problem| Refused::new(StatusCode::BAD_REQUEST, problem.to_string()))?;
        let response = self.lister.client().send(request).await;
        let response = response.map_err(|problem| failed(problem.to_string()))?;
        let status = response.status();
        let wait = retry_after(response.headers());
        let body = Limited::new(response.into_body(), MOST_BYTES)
            .collect()
            .await;
        if status.is_success() {
            return Ok(());
        }
        let body = body
            .map_err(|problem| failed(problem.to_string()))?
            .to_bytes();
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = said.get("message").and_then(Value::as_str);
        let message = message.map_or_else(|| status.to_string(), |it| clipped(it, MOST_QUOTED));
        Err(Refused {
            wait: wait.unwrap_or_default(),
            ..Refused::new(status, message)
        })
    }
}

/// Why something was not written.
struct Refused {
    status: StatusCode,
    problem: String,
    /// How long the API server asks to wait.
    wait: Duration,
}

impl Refused {
    fn new(status: StatusCode, problem: String) -> Self {
        Refused {
            status,
            problem,
            wait: Duration::ZERO,
        }
    }

    fn unanswered() -> Self {
        Refused::new(StatusCode::GATEWAY_TIMEOUT, "no answer".to_owned())
    }
}

fn may_be_tried_again(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT)
}

/// Counts what a report says, if it is about a kind that counts.
fn count_report(
    report: &Value,
    is_counted: impl Fn(&str) -> bool,
    count: &mut impl FnMut(&str, &str, u64),
) {
    let text = |value: &Value, pointer: &str| {
        let text = value.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let metadata = |kind: &str, key: &str| {
        let found = report.pointer(kind).and_then(|it| it.get(key));
        found.and_then(Value::as_str).unwrap_or_default()
    };
    if !is_counted(metadata("/metadata/labels", KIND)) {
        return;
    }
    let namespace = text(report, "/metadata/namespace");
    let results = report.get("results").and_then(Value::as_array);
    for result in results.into_iter().flatten() {
        if text(result, "/result") != SKIP {
            count(&text(result, "/policy"), &namespace, 1);
        }
    }
    let only_counted = metadata("/metadata/annotations", OMITTED);
    for (policy, more) in omitted(Some(only_counted)) {
        count(&policy, &namespace, more);
    }
}
