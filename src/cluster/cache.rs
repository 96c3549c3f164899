//! The objects of one kind, as much of them as policies read.
//!
//! A watch that fails is taken up again, or begun anew with a list where the API server has forgotten
//! the place; until then what was known last is what is known, as in the API server's own informers.
//! Where nothing but metadata is read, nothing else is sent. What does not fit in the memory for caches
//! is let go as a whole: who needs it is told so, instead of half the truth.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::{FutureExt, Stream, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::core::{GroupVersionKind, PartialObjectMeta, TypeMeta};
use kube::discovery::{self, ApiResource, Scope};
use kube::error::DiscoveryError;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::budget::{Budget, Charge};
use super::kept::Kept;
use super::weight::weigh;
use crate::admission::resources::split;
use crate::engine::cluster::Known;
use crate::policy::model::{Form, Origin, ParamKind, ParamObject};
use crate::policy::reads::shape::Shape;
use crate::text::{Source, Span};

/// The first wait after a failure; doubled with each further one up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// So long at most is a cluster that answers again not noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often a kind that the cluster does not have is looked for: its definition may come later.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often what did not fit is listed again: each time costs the API server the whole list.
const LIST_AGAIN: Duration = Duration::from_secs(60);
/// How many objects are asked for at once: what is not read of them is left out when they are here, so
/// that of 2,000 Deployments of 9 KB the largest part of the memory in use were pages of a hundred.
const PAGE: u32 = 50;

/// How much of the objects of a kind is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keep {
    /// Everything, as documents: they are parameters.
    Parameters,
    /// Of Namespaces, what requests in them are matched and decided by, as documents.
    Namespaces(Shape),
    /// What expressions look up.
    Parts(Shape),
}

impl Keep {
    /// Says whether metadata is enough.
    fn is_metadata(&self) -> bool {
        match self {
            Keep::Parameters => false,
            Keep::Namespaces(shape) | Keep::Parts(shape) => shape.is_metadata(),
        }
    }
}

/// What is known of a kind.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Nothing yet.
    Unsynced,
    /// The cluster has no such kind.
    UnknownKind,
    /// More than there is memory for.
    TooLarge,
    /// All objects, as documents.
    Documents {
        objects: Known,
        bytes: usize,
        is_namespaced: bool,
    },
    /// All objects, what expressions look up of them.
    Parts(Kept),
}

impl Content {
    /// Returns how many objects are known, and how many bytes they take.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Content::Unsynced | Content::UnknownKind | Content::TooLarge => (0, 0),
            Content::Documents { objects, bytes, .. } => (objects.len(), *bytes),
            Content::Parts(kept) => (kept.len(), kept.bytes()),
        }
    }
}

/// A cache of one kind; dropping it ends it.
pub(super) struct Cache {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    kind: ParamKind,
    keep: Keep,
    origin: Origin,
    budget: Arc<Budget>,
    content: ArcSwap<Content>,
    /// Why it is not up to date and since when, if it is not.
    problem: Mutex<Option<(Instant, String)>>,
    started: Instant,
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cache {
    /// Begins to follow a kind.
    pub(super) fn start(
        runtime: &Handle,
        client: Client,
        (kind, keep): (ParamKind, Keep),
        budget: &Arc<Budget>,
    ) -> Self {
        let origin = Origin {
            source: Source::new("the cluster", ""),
            span: Span::new(0, 0),
            form: Form::Kubernetes,
        };
        let shared = Arc::new(Shared {
            kind,
            keep,
            origin,
            budget: Arc::clone(budget),
            content: ArcSwap::from_pointee(Content::Unsynced),
            problem: Mutex::new(None),
            started: Instant::now(),
        });
        let task = runtime.spawn(Arc::clone(&shared).keep(client));
        Cache { shared, task }
    }

    /// Returns how much of the objects it keeps.
    pub(super) fn keep(&self) -> &Keep {
        &self.shared.keep
    }

    /// Returns the kind.
    pub(super) fn kind(&self) -> &ParamKind {
        &self.shared.kind
    }

    /// Returns what is known.
    pub(super) fn content(&self) -> Arc<Content> {
        self.shared.content.load_full()
    }

    /// Returns for how long it is known not to be up to date.
    pub(super) fn stale(&self) -> Duration {
        match &**self.shared.content.load() {
            Content::Unsynced => self.shared.started.elapsed(),
            _ => {
                let problem = self.shared.problem();
                problem.map_or(Duration::ZERO, |(since, _)| since.elapsed())
            }
        }
    }

    /// Says in a few words what is known, or why nothing is.
    ///
    /// What does not fit is no reason not to be ready: no replica could take more, and without any of
    /// them requests would fail that need nothing of it.
    pub(super) fn state(&self) -> Result<String, String> {
        let ParamKind { api_version, kind } = self.kind();
        let kind = format!("{api_version}/{kind}");
        let problem = self.shared.problem();
        let problem = problem.map(|(_, it)| format!(" ({it})"));
        let problem = problem.unwrap_or_default();
        match &**self.shared.content.load() {
            Content::Unsynced => Err(format!("{kind} is not known yet{problem}")),
            Content::UnknownKind => Ok(format!("{kind} does not exist")),
            Content::TooLarge => Ok(format!("{kind} {}", self.shared.excess())),
            known => Ok(format!("{} {kind}{problem}", known.size().0)),
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

/// Why a kind is followed no longer.
enum Ended {
    /// The cluster has the kind no longer.
    Gone,
    /// It does not give metadata alone.
    NoMetadata,
    /// There is not memory enough.
    TooLarge,
}

/// Objects as they come.
enum Objects {
    Documents { objects: Known, bytes: usize },
    Parts(Kept),
}

impl Objects {
    fn bytes(&self) -> usize {
        match self {
            Objects::Documents { bytes, .. } => *bytes,
            Objects::Parts(kept) => kept.bytes(),
        }
    }
}

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<DynamicObject>>> + Send>>;

impl Shared {
    async fn keep(self: Arc<Self>, client: Client) {
        let (group, version) = split(&self.kind.api_version);
        let kind = GroupVersionKind::gvk(group, version, &self.kind.kind);
        let mut wait = Wait(FIRST_WAIT);
        let mut is_metadata = self.keep.is_metadata();
        loop {
            match discovery::pinned_kind(&client, &kind).await {
                Ok((resource, capabilities)) => {
                    wait.reset();
                    let is_namespaced = capabilities.scope == Scope::Namespaced;
                    let events = events(&client, &resource, is_metadata);
                    match self.follow(events, &resource, is_namespaced).await {
                        Ended::Gone => {}
                        Ended::NoMetadata => is_metadata = false,
                        Ended::TooLarge => {
                            self.content.store(Arc::new(Content::TooLarge));
                            let (kind, problem) = (&self.kind, self.excess());
                            let api_version = &kind.api_version;
                            tracing::error!(api_version, kind = kind.kind, "the kind {problem}");
                            tokio::time::sleep(LIST_AGAIN).await;
                        }
                    }
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

    async fn follow(
        &self,
        mut events: Events,
        resource: &ApiResource,
        is_namespaced: bool,
    ) -> Ended {
        let mut wait = Wait(FIRST_WAIT);
        let mut objects = self.nothing();
        let mut is_listing = true;
        let mut charge = Charge::new(&self.budget);
        while let Some(event) = events.next().await {
            // What has come meanwhile is taken with it: one copy for all.
            let mut next = Some(event);
            while let Some(event) = next.take() {
                match event {
                    Ok(event) => {
                        wait.reset();
                        self.set_problem(None);
                        self.apply(event, resource, (&mut objects, &mut is_listing));
                        // While a list is read again, what was known before is still there.
                        let before = match is_listing {
                            true => self.content.load().size().1,
                            false => 0,
                        };
                        if !charge.resize(objects.bytes().max(before)) {
                            return Ended::TooLarge;
                        }
                        next = ready(&mut events);
                    }
                    Err(watcher::Error::InitialListFailed(problem)) if is_unknown(&problem) => {
                        return Ended::Gone;
                    }
                    Err(watcher::Error::InitialListFailed(Error::Api(status)))
                        if status.code == NOT_ACCEPTABLE && self.keep.is_metadata() =>
                    {
                        return Ended::NoMetadata;
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
                self.content.store(Arc::new(match &objects {
                    Objects::Documents { objects, bytes } => Content::Documents {
                        objects: objects.clone(),
                        bytes: *bytes,
                        is_namespaced,
                    },
                    Objects::Parts(kept) => Content::Parts(kept.clone()),
                }));
            }
        }
        Ended::Gone
    }

    fn nothing(&self) -> Objects {
        match self.keep {
            Keep::Parameters | Keep::Namespaces(_) => Objects::Documents {
                objects: Known::default(),
                bytes: 0,
            },
            Keep::Parts(_) => Objects::Parts(Kept::default()),
        }
    }

    fn apply(
        &self,
        event: Event<DynamicObject>,
        resource: &ApiResource,
        (objects, is_listing): (&mut Objects, &mut bool),
    ) {
        match event {
            Event::Init => {
                *objects = self.nothing();
                *is_listing = true;
            }
            Event::InitDone => *is_listing = false,
            Event::InitApply(object) | Event::Apply(object) => {
                self.insert(object, resource, objects);
            }
            Event::Delete(object) => {
                let namespace = object.metadata.namespace.unwrap_or_default();
                let name = object.metadata.name.unwrap_or_default();
                match objects {
                    Objects::Documents { objects, bytes } => {
                        *bytes -= weight_of(objects, &namespace, &name);
                        objects.remove(&namespace, &name);
                    }
                    Objects::Parts(kept) => kept.remove((&namespace, &name)),
                }
            }
        }
    }

    /// Adds an object as expressions read it; what a list holds comes without `apiVersion` and `kind`.
    fn insert(&self, mut object: DynamicObject, resource: &ApiResource, objects: &mut Objects) {
        object.types = Some(TypeMeta {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
        });
        let metadata = &mut object.metadata;
        let Some(name) = metadata.name.clone() else {
            return;
        };
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let mut labels = None;
        match &self.keep {
            Keep::Parameters => labels = metadata.labels.clone(),
            Keep::Namespaces(_) => {
                // apiserver `pkg/admission/plugin/cel/condition.go`, `CreateNamespaceObject`.
                metadata.managed_fields = None;
                metadata.owner_references = None;
                metadata.self_link = None;
            }
            Keep::Parts(_) => {}
        }
        let Ok(value) = serde_json::to_value(&object) else {
            return;
        };
        let value = match &self.keep {
            Keep::Parameters => value,
            Keep::Namespaces(shape) | Keep::Parts(shape) => shape.keep(value),
        };
        match objects {
            Objects::Documents { objects, bytes } => {
                *bytes -= weight_of(objects, &namespace, &name);
                objects.insert(ParamObject {
                    kind: self.kind.clone(),
                    labels: labels.unwrap_or_default(),
                    object: Arc::new(value),
                    origin: self.origin.clone(),
                    namespace: namespace.clone(),
                    name: name.clone(),
                });
                *bytes += weight_of(objects, &namespace, &name);
            }
            Objects::Parts(kept) => {
                let name = (&*namespace, &*name);
                kept.insert(name, self.shared_text(name, value.to_string()));
            }
        }
    }

    /// The text as it is known already, so that a list that is read again takes no memory twice.
    fn shared_text(&self, name: (&str, &str), text: String) -> Arc<str> {
        let known = match &**self.content.load() {
            Content::Parts(known) => known.get(name).filter(|it| ***it == *text).cloned(),
            _ => None,
        };
        known.unwrap_or_else(|| text.into())
    }

    /// Says that it does not fit.
    fn excess(&self) -> String {
        format!(
            "takes more than is left of the {} bytes for caches (`limits.cache`): what reads it is \
             answered 503",
            self.budget.limit()
        )
    }

    fn problem(&self) -> Option<(Instant, String)> {
        let problem = self.problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let since = known
            .as_ref()
            .map_or_else(Instant::now, |(since, _)| *since);
        *known = problem.map(|problem| (since, problem));
    }
}

/// What an object takes as a document; nothing if there is none of that name.
fn weight_of(objects: &Known, namespace: &str, name: &str) -> usize {
    objects.get(namespace, name).map_or(0, |it| {
        let labels = it.labels.iter().map(|(key, value)| key.len() + value.len());
        let texts = labels.sum::<usize>() + 2 * (it.name.len() + it.namespace.len());
        size_of::<ParamObject>() + texts + weigh(&it.object)
    })
}

/// The status of an API server that does not give metadata alone.
const NOT_ACCEPTABLE: u16 = 406;

fn events(client: &Client, resource: &ApiResource, is_metadata: bool) -> Events {
    let config = watcher::Config::default().page_size(PAGE);
    if !is_metadata {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
        return Box::pin(watcher(api, config));
    }
    // Of this type the client asks for nothing but metadata.
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client.clone(), resource);
    let events = watcher(api, config);
    Box::pin(events.map(|event| event.map(with_metadata)))
}

/// An event about an object of which nothing but metadata has come.
fn with_metadata(event: Event<PartialObjectMeta<DynamicObject>>) -> Event<DynamicObject> {
    let object = |partial: PartialObjectMeta<DynamicObject>| DynamicObject {
        types: None,
        metadata: partial.metadata,
        data: Value::Object(serde_json::Map::new()),
    };
    match event {
        Event::Apply(it) => Event::Apply(object(it)),
        Event::Delete(it) => Event::Delete(object(it)),
        Event::Init => Event::Init,
        Event::InitApply(it) => Event::InitApply(object(it)),
        Event::InitDone => Event::InitDone,
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
