//! What is known of the cluster at one moment, as policies look at it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bumpalo::Bump;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::Value;

use super::Cluster;
use super::cache::{Cache, Content};
use crate::cel::function::{Lookup, ObjectName};
use crate::engine::cluster::{ClusterView, Known, Params};
use crate::json::{self, Json};
use crate::policy::model::ParamKind;

/// The cluster at one moment. What a request's policies have asked for and is not known is remembered:
/// then the verdict must not be used.
pub struct View<'c> {
    cluster: &'c Cluster,
    deadline: Instant,
    namespaces: Arc<Content>,
    contents: BTreeMap<ParamKind, Arc<Content>>,
    /// A Namespace so new that the cache does not have it.
    fresh: OnceLock<Option<Value>>,
    lacks: AtomicBool,
}

impl<'c> View<'c> {
    pub(super) fn new(cluster: &'c Cluster, deadline: Instant) -> Self {
        let caches = cluster.caches.load();
        let content = |(kind, cache): (&ParamKind, &Arc<Cache>)| (kind.clone(), cache.content());
        View {
            cluster,
            deadline,
            namespaces: cluster.namespaces.content(),
            contents: caches.iter().map(content).collect(),
            fresh: OnceLock::new(),
            lacks: AtomicBool::new(false),
        }
    }

    /// Says whether something was asked for that is not known yet.
    pub fn lacks(&self) -> bool {
        self.lacks.load(Ordering::Relaxed)
    }

    fn lack(&self) {
        self.lacks.store(true, Ordering::Relaxed);
    }

    fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Known> {
        let kind = ParamKind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        match self.contents.get(&kind).map(Arc::as_ref) {
            Some(Content::Synced { objects, .. }) => Some(objects),
            Some(Content::UnknownKind) => None,
            Some(Content::Unsynced) | None => {
                self.lack();
                None
            }
        }
    }

    /// Asks for a Namespace, as the API server does for one that its informer does not have
    /// (apiserver `pkg/admission/plugin/policy/matching/matching.go`, `GetNamespace`).
    fn ask(&self, name: &str) -> Option<Value> {
        let api: Api<Namespace> = Api::all(self.cluster.client.clone());
        match self.cluster.wait(self.deadline, api.get_opt(name)) {
            Some(Ok(found)) => serde_json::to_value(found?).ok(),
            Some(Err(_)) | None => {
                self.lack();
                None
            }
        }
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("View").finish_non_exhaustive()
    }
}

impl ClusterView for View<'_> {
    fn namespace(&self, name: &str) -> Option<&Value> {
        let Content::Synced { objects, .. } = &*self.namespaces else {
            self.lack();
            return None;
        };
        match objects.get("", name) {
            Some(found) => Some(&found.object),
            // A request is in one namespace.
            None => self.fresh.get_or_init(|| self.ask(name)).as_ref(),
        }
    }

    fn as_lookup(&self) -> &dyn Lookup {
        self
    }

    fn params(&self, kind: &ParamKind) -> Params<'_> {
        match self.contents.get(kind).map(Arc::as_ref) {
            Some(Content::Synced {
                objects,
                is_namespaced,
            }) => Params::Known {
                objects,
                is_namespaced: *is_namespaced,
            },
            Some(Content::UnknownKind) => Params::UnknownKind,
            Some(Content::Unsynced) | None => {
                self.lack();
                Params::OfPolicies
            }
        }
    }
}

impl Lookup for View<'_> {
    fn get<'a>(&'a self, arena: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>> {
        let known = self.of_kind(object.api_version, object.kind)?;
        let found = known.get(object.namespace, object.name)?;
        Some(json::from_value(arena, &found.object))
    }

    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>] {
        let Some(known) = self.of_kind(api_version, kind) else {
            return &[];
        };
        let found = known.iter();
        let found = found.filter(|it| namespace.is_empty() || it.namespace == namespace);
        let found: Vec<Json<'a>> = found
            .map(|it| json::from_value(arena, &it.object))
            .collect();
        arena.alloc_slice_copy(&found)
    }
}
