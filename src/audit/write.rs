//! Writes reports: those that say something else than before, and no others; those that nothing is said
//! in any more go. One at a time, because that is what etcd notices least.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::finding::clipped;
use super::list::{Ask, ListError, Lister};
use super::report::{Api, CHECKSUM, Draft, Known, LABEL, NAME_PREFIX};

/// Who owns the fields that are written.
const FIELD_MANAGER: &str = "portcullis-audit";
/// How many reports are read at once: with [`super::report::MOST_BYTES`] two megabytes.
const PAGE: u32 = 8;
/// How long one write may take, and how often it is tried.
const REQUEST: Duration = Duration::from_secs(30);
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// What is read of an answer.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// What is quoted of an error.
const MOST_QUOTED: usize = 400;
/// The label that [`LABEL`] is, as a selector.
const SELECTOR: &str = "app.kubernetes.io/managed-by=portcullis";

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
    /// Another replica is to write them.
    #[error("this replica may not write any more")]
    Stopped,
}

/// Writes reports.
pub struct Writer<'w> {
    /// Leads to the cluster.
    pub lister: &'w Lister,
    /// Where they are written to.
    pub api: Api,
    /// The namespaces that were looked at; empty for all, and what is in none.
    pub namespaces: &'w [String],
    /// Says whether this is still ours to do; asked before each write.
    pub may_write: &'w (dyn Fn() -> bool + Sync),
    /// The time that what is found is found at, in seconds of the epoch.
    pub now: i64,
}

type Drafts<'f> = BTreeMap<(String, String), Draft<'f>>;

impl Writer<'_> {
    /// Makes the reports that are in the cluster these.
    ///
    /// # Errors
    /// They cannot be read or written; some may be written then.
    pub async fn write(&self, drafts: Vec<Draft<'_>>) -> Result<Written, WriteError> {
        let keyed = drafts
            .into_iter()
            .map(|it| ((it.namespace.clone(), it.name.clone()), it));
        let mut drafts: Drafts<'_> = keyed.collect();
        let mut written = Written::default();
        if self.namespaces.is_empty() {
            self.compare(
                &self.collection(None, true),
                true,
                &mut drafts,
                &mut written,
            )
            .await?;
            self.compare(
                &self.collection(None, false),
                false,
                &mut drafts,
                &mut written,
            )
            .await?;
        } else {
            drafts.retain(|(namespace, _), _| self.namespaces.contains(namespace));
            for namespace in self.namespaces {
                let path = self.collection(Some(namespace), true);
                self.compare(&path, true, &mut drafts, &mut written).await?;
            }
        }
        for draft in drafts.into_values() {
            self.apply(&draft, &Known::default(), &mut written).await?;
        }
        Ok(written)
    }

    fn collection(&self, namespace: Option<&str>, is_namespaced: bool) -> String {
        let (version, plural) = (self.api.api_version(), self.api.plural(is_namespaced));
        match namespace {
            Some(namespace) => format!("/apis/{version}/namespaces/{namespace}/{plural}"),
            None => format!("/apis/{version}/{plural}"),
        }
    }

    /// Compares the reports that are there with those that are to be.
    async fn compare(
        &self,
        path: &str,
        is_namespaced: bool,
        drafts: &mut Drafts<'_>,
        written: &mut Written,
    ) -> Result<(), WriteError> {
        let mut ask = Ask {
            labels: SELECTOR,
            limit: PAGE,
            ..Ask::first(path)
        };
        loop {
            let page = self.lister.page(ask.clone()).await?;
            for item in page.items()? {
                let Ok(report) = serde_json::from_str::<Value>(item.get()) else {
                    continue;
                };
                let text = |pointer: &str| {
                    let text = report.pointer(pointer).and_then(Value::as_str);
                    text.unwrap_or_default().to_owned()
                };
                let key = (text("/metadata/namespace"), text("/metadata/name"));
                let label = report
                    .pointer("/metadata/labels")
                    .and_then(|it| it.get(LABEL.0));
                if label.and_then(Value::as_str) != Some(LABEL.1) || !key.1.starts_with(NAME_PREFIX)
                {
                    continue;
                }
                match drafts.remove(&key) {
                    Some(draft) if self.is_same(&draft, &report) => written.unchanged += 1,
                    Some(draft) => self.apply(&draft, &Known::of(&report), written).await?,
                    None => {
                        self.remove(&key, is_namespaced).await?;
                        written.removed += 1;
                    }
                }
            }
            match page.token {
                Some(token) => ask.token = Some(token),
                None => return Ok(()),
            }
        }
    }

    /// Says whether a report says what it is to say, as far as its checksum and its counts tell.
    fn is_same(&self, draft: &Draft<'_>, report: &Value) -> bool {
        let annotations = report.pointer("/metadata/annotations");
        let checksum = annotations
            .and_then(|it| it.get(CHECKSUM))
            .and_then(Value::as_str);
        let results = report
            .get("results")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let counts = report.get("summary").and_then(Value::as_object);
        let counted: u64 = counts
            .into_iter()
            .flatten()
            .filter_map(|(_, it)| it.as_u64())
            .sum();
        checksum.is_some_and(|it| it == draft.checksum(self.api))
            && u64::try_from(results).is_ok_and(|results| results == counted)
            && results == draft.len()
    }

    async fn apply(
        &self,
        draft: &Draft<'_>,
        known: &Known,
        written: &mut Written,
    ) -> Result<(), WriteError> {
        let is_namespaced = !draft.namespace.is_empty();
        let body = draft.report(self.api, known, self.now).to_string();
        let namespace = Some(&*draft.namespace).filter(|_| is_namespaced);
        let path = format!(
            "{}/{}?fieldManager={FIELD_MANAGER}&force=true",
            self.collection(namespace, is_namespaced),
            draft.name
        );
        let sent = self.send(Method::PATCH, &path, body.as_bytes()).await?;
        match sent {
            Ok(_) => {
                written.written += 1;
                written.bytes += body.len() as u64;
                Ok(())
            }
            // The namespace is gone, or about to go, with everything in it.
            Err((StatusCode::NOT_FOUND, _)) if is_namespaced => Ok(()),
            Err((StatusCode::FORBIDDEN, problem)) if problem.contains("being terminated") => Ok(()),
            Err((_, problem)) => {
                Err(self.failed(&(draft.namespace.clone(), draft.name.clone()), problem))
            }
        }
    }

    async fn remove(&self, key: &(String, String), is_namespaced: bool) -> Result<(), WriteError> {
        let namespace = Some(&*key.0).filter(|_| is_namespaced);
        let path = format!("{}/{}", self.collection(namespace, is_namespaced), key.1);
        match self.send(Method::DELETE, &path, b"").await? {
            Ok(_) | Err((StatusCode::NOT_FOUND, _)) => Ok(()),
            Err((_, problem)) => Err(self.failed(key, problem)),
        }
    }

    fn failed(&self, (namespace, name): &(String, String), problem: String) -> WriteError {
        WriteError::Write {
            kind: self.api.kind(!namespace.is_empty()),
            name: match namespace.as_str() {
                "" => name.clone(),
                namespace => format!("{namespace}/{name}"),
            },
            problem,
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
            let answer = match timeout(REQUEST, once).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err((StatusCode::GATEWAY_TIMEOUT, "no answer".to_owned())),
            };
            match answer {
                Err((status, _)) if tries < TRIES && may_be_tried_again(status) => {
                    tries += 1;
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                answer => return Ok(answer),
            }
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<(), (StatusCode, String)> {
        let failed = |problem: String| (StatusCode::BAD_GATEWAY, problem);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("accept", "application/json");
        if method == Method::PATCH {
            // JSON is YAML.
            request = request.header("content-type", "application/apply-patch+yaml");
        }
        let request = request.body(kube::client::Body::from(body.to_vec()));
        let request = request.map_err(|problem| (StatusCode::BAD_REQUEST, problem.to_string()))?;
        let response = self.lister.client().send(request).await;
        let response = response.map_err(|problem| failed(problem.to_string()))?;
        let status = response.status();
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
        Err((status, message))
    }
}

fn may_be_tried_again(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT)
}
