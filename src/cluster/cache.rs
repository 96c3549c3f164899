//! All objects of one kind, kept as the API server has them.
//!
//! A watch that fails is taken up again, or begun anew with a list where the API server has forgotten
//! the place; until then what was known last is what is known, as in the API server's own informers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::{FutureExt, Stream, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::{self, ApiResource, Scope};
use kube::error::DiscoveryError;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::admission::resources::split;
use crate::engine::cluster::Known;
use crate::policy::model::{Form, Origin, ParamKind, ParamObject};
use crate::text::{Source, Span};

/// The first wait after a failure; doubled with each further one up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// So long at most is a cluster that answers again not noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often a kind that the cluster does not have is looked for: its definition may come later.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What is known of a kind.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Nothing yet.
    Unsynced,
    /// The cluster has no such kind.
    UnknownKind,
    /// Everything.
    Synced { objects: Known, is_namespaced: bool },
}

/// A cache of one kind; dropping it ends it.
pub(super) struct Cache {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    kind: ParamKind,
    origin: Origin,
    content: ArcSwap<Content>,
    /// Why it is not up to date, if it is not.
    problem: Mutex<Option<String>>,
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cache {
    /// Begins to follow a kind.
    pub(super) fn start(runtime: &Handle, client: Client, kind: ParamKind) -> Self {
        let origin = Origin {
            source: Source::new("the cluster", ""),
            span: Span::new(0, 0),
            form: Form::Kubernetes,
        };
        let shared = Arc::new(Shared {
            kind,
            origin,
            content: ArcSwap::from_pointee(Content::Unsynced),
            problem: Mutex::new(None),
        });
        let task = runtime.spawn(Arc::clone(&shared).keep(client));
        Cache { shared, task }
    }

    /// Returns what is known.
    pub(super) fn content(&self) -> Arc<Content> {
        self.shared.content.load_full()
    }

    /// Says in a few words what is known, or why nothing is.
    pub(super) fn state(&self) -> Result<String, String> {
        let kind = &self.shared.kind;
        let kind = format!("{}/{}", kind.api_version, kind.kind);
        let problem = self.shared.problem();
        let problem = problem.map(|it| format!(" ({it})")).unwrap_or_default();
        match &**self.shared.content.load() {
            Content::Unsynced => Err(format!("{kind} is not known yet{problem}")),
            Content::UnknownKind => Ok(format!("{kind} does not exist")),
            Content::Synced { objects, .. } => Ok(format!("{} {kind}{problem}", objects.len())),
        }
    }
}

/// A wait that grows.
struct Wait(Duration);

impl Wait {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_WAIT);
    }

    fn reset(&mut self) {
        self.0 = FIRST_WAIT;
    }
}

impl Shared {
    async fn keep(self: Arc<Self>, client: Client) {
        let (group, version) = split(&self.kind.api_version);
        let kind = GroupVersionKind::gvk(group, version, &self.kind.kind);
        let mut wait = Wait(FIRST_WAIT);
        loop {
            match discovery::pinned_kind(&client, &kind).await {
                Ok((resource, capabilities)) => {
                    wait.reset();
                    let api = Api::all_with(client.clone(), &resource);
                    let is_namespaced = capabilities.scope == Scope::Namespaced;
                    // Only ends when the cluster has the kind no longer.
                    self.follow(api, &resource, is_namespaced).await;
                }
                Err(problem) if is_unknown(&problem) => {
                    self.content.store(Arc::new(Content::UnknownKind));
                    self.set_problem(None);
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(problem) => {
                    self.set_problem(Some(problem.to_string()));
                    wait.wait().await;
                }
            }
        }
    }

    async fn follow(&self, api: Api<DynamicObject>, resource: &ApiResource, is_namespaced: bool) {
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
        let mut wait = Wait(FIRST_WAIT);
        let mut objects = Known::default();
        let mut is_listing = true;
        while let Some(event) = events.next().await {
            // What has come meanwhile is taken with it: one copy for all.
            let mut next = Some(event);
            while let Some(event) = next.take() {
                match event {
                    Ok(event) => {
                        wait.reset();
                        self.set_problem(None);
                        self.apply(event, resource, (&mut objects, &mut is_listing));
                        next = ready(&mut events);
                    }
                    Err(watcher::Error::InitialListFailed(problem)) if is_unknown(&problem) => {
                        return;
                    }
                    Err(problem) => {
                        tracing::warn!(
                            api_version = resource.api_version,
                            kind = resource.kind,
                            "the watch failed and is begun again: {problem}"
                        );
                        self.set_problem(Some(problem.to_string()));
                        wait.wait().await;
                    }
                }
            }
            if !is_listing {
                let objects = objects.clone();
                self.content.store(Arc::new(Content::Synced {
                    objects,
                    is_namespaced,
                }));
            }
        }
    }

    fn apply(
        &self,
        event: Event<DynamicObject>,
        resource: &ApiResource,
        (objects, is_listing): (&mut Known, &mut bool),
    ) {
        match event {
            Event::Init => {
                *objects = Known::default();
                *is_listing = true;
            }
            Event::InitDone => *is_listing = false,
            Event::InitApply(object) | Event::Apply(object) => {
                if let Some(object) = self.read(object, resource) {
                    objects.insert(object);
                }
            }
            Event::Delete(object) => {
                let namespace = object.metadata.namespace.unwrap_or_default();
                objects.remove(&namespace, &object.metadata.name.unwrap_or_default());
            }
        }
    }

    /// The object as expressions read it; what a list holds comes without `apiVersion` and `kind`.
    fn read(&self, mut object: DynamicObject, resource: &ApiResource) -> Option<ParamObject> {
        if object.types.is_none() {
            object.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
        }
        let metadata = &mut object.metadata;
        if resource.group.is_empty() && resource.kind == "Namespace" {
            // apiserver `pkg/admission/plugin/cel/condition.go`, `CreateNamespaceObject`.
            metadata.managed_fields = None;
            metadata.owner_references = None;
            metadata.self_link = None;
        }
        let name = metadata.name.clone()?;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let labels = metadata.labels.clone().unwrap_or_default();
        let value: Value = serde_json::to_value(&object).ok()?;
        Some(ParamObject {
            kind: self.kind.clone(),
            name,
            namespace,
            labels,
            object: Arc::new(value),
            origin: self.origin.clone(),
        })
    }

    fn problem(&self) -> Option<String> {
        let problem = self.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Returns what has come already.
fn ready<S: Stream + Unpin>(events: &mut S) -> Option<S::Item> {
    events.next().now_or_never().flatten()
}

/// Says whether the cluster says that it has no such kind.
fn is_unknown(problem: &Error) -> bool {
    match problem {
        Error::Api(status) => status.code == 404,
        Error::Discovery(problem) => matches!(
            problem,
            DiscoveryError::MissingKind(_)
                | DiscoveryError::MissingApiGroup(_)
                | DiscoveryError::MissingResource(_)
                | DiscoveryError::EmptyApiGroup(_)
        ),
        _ => false,
    }
}
