//! One Secret, followed and written; what it holds is never logged.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use tokio::sync::watch;

use super::ObjectName;
use super::connect::described;

/// The type of a Secret with a certificate (kubernetes `pkg/apis/core/types.go`, `SecretTypeTLS`).
const TLS: &str = "kubernetes.io/tls";
/// The first wait after a failure; doubled with each further one up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "portcullis");
/// The annotation that says the same. helm writes its own name into the label of whatever a release made, at
/// each upgrade, and leaves alone what it does not know.
const CERTIFICATE: (&str, &str) = ("portcullis.dev/certificate", "own");

/// What is known of the Secret.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// It was not asked yet.
    Unread,
    /// Nothing yet, and why.
    Unknown(String),
    /// There is none.
    Absent,
    /// There is one.
    Present(Version),
}

/// The Secret at one time.
#[derive(Clone, PartialEq)]
pub struct Version {
    /// Its keys.
    pub keys: BTreeMap<String, Vec<u8>>,
    /// The rest of it.
    object: Box<Secret>,
    /// Whether it is ours to write: we made it, or nobody has put anything into it.
    pub is_ours: bool,
}

impl std::fmt::Debug for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Version");
        shown
            .field("resource_version", &self.object.metadata.resource_version)
            .finish_non_exhaustive()
    }
}

/// Follows the Secret for good.
pub async fn follow(client: Client, name: ObjectName, found: watch::Sender<Found>) {
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={}", name.name));
    let mut events = std::pin::pin!(watcher(api, only));
    let mut wait = FIRST_WAIT;
    let mut listed = None;
    while let Some(event) = events.next().await {
        let next = match event {
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(secret)) => {
                listed = Some(secret);
                continue;
            }
            Ok(Event::InitDone) => listed.take().map_or(Found::Absent, read),
            Ok(Event::Apply(secret)) => read(secret),
            Ok(Event::Delete(_)) => Found::Absent,
            Err(problem) => {
                let problem = watch_problem(&problem);
                tracing::warn!(secret = %name, problem, "the watch failed and is begun again");
                // What is known stays so until something else is.
                found.send_if_modified(|found| {
                    let is_known = matches!(found, Found::Absent | Found::Present(_));
                    let is_new = !is_known && *found != Found::Unknown(problem.clone());
                    if is_new {
                        *found = Found::Unknown(problem);
                    }
                    is_new
                });
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                continue;
            }
        };
        wait = FIRST_WAIT;
        found.send_replace(next);
    }
}

/// Says why a watch failed, in the API server's words.
pub(super) fn watch_problem(problem: &watcher::Error) -> String {
    match problem {
        watcher::Error::InitialListFailed(problem)
        | watcher::Error::WatchStartFailed(problem)
        | watcher::Error::WatchFailed(problem) => described(problem),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => problem.to_string(),
    }
}

fn read(mut object: Secret) -> Found {
    let data = object.data.take().unwrap_or_default();
    let is_empty = data.values().all(|value| value.0.is_empty());
    let has = |marks: &Option<BTreeMap<String, String>>, (key, value): (&str, &str)| {
        let found = marks.as_ref().and_then(|marks| marks.get(key));
        found.is_some_and(|it| it == value)
    };
    let is_marked =
        has(&object.metadata.annotations, CERTIFICATE) || has(&object.metadata.labels, MANAGED_BY);
    Found::Present(Version {
        is_ours: is_empty || is_marked,
        keys: data
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect(),
        object: Box::new(object),
    })
}

/// What became of an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is as it should be.
    Done,
    /// Somebody else has written since it was read; nothing was changed.
    Outrun,
}

/// Writes the keys over the version that was read, or makes the Secret if there was none.
///
/// # Errors
/// The API server refuses, or does not answer; the text says what is missing.
pub async fn write(
    client: Client,
    name: &ObjectName,
    keys: &BTreeMap<String, Vec<u8>>,
    over: Option<&Version>,
) -> Result<Written, String> {
    let api: Api<Secret> = Api::namespaced(client, &name.namespace);
    let mut secret = over.map_or_else(
        || Secret {
            type_: Some(TLS.to_owned()),
            ..Secret::default()
        },
        |it| (*it.object).clone(),
    );
    secret.metadata.name = Some(name.name.clone());
    let labels = secret.metadata.labels.get_or_insert_default();
    for (key, value) in [("app.kubernetes.io/name", "portcullis"), MANAGED_BY] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let annotations = secret.metadata.annotations.get_or_insert_default();
    annotations.insert(CERTIFICATE.0.to_owned(), CERTIFICATE.1.to_owned());
    let data = keys
        .iter()
        .map(|(key, value)| (key.clone(), ByteString(value.clone())));
    secret.data = Some(data.collect());
    let parameters = PostParams::default();
    let written = async {
        match over {
            Some(_) => api.replace(&name.name, &parameters, &secret).await,
            None => api.create(&parameters, &secret).await,
        }
    };
    match tokio::time::timeout(super::lease::REQUEST, written).await {
        Ok(Ok(_)) => Ok(Written::Done),
        Ok(Err(Error::Api(status))) if status.code == 409 => Ok(Written::Outrun),
        Ok(Err(problem)) => Err(described(&problem)),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}
