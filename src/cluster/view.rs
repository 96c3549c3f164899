//! What is known of the cluster at one moment, as policies look at it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bumpalo::Bump;
use serde_json::Value;

use super::cache::{Cache, Content};
use super::followed::Followed;
use crate::cel::function::{Lookup, ObjectName};
use crate::engine::cluster::{ClusterView, Params};
use crate::json::{self, Json};
use crate::policy::model::ParamKind;

/// The cluster at one moment. What a request's policies have asked for and is not known is remembered:
/// then the verdict must not be used.
pub struct View<'c> {
    followed: &'c Followed,
    namespaces: Arc<Content>,
    /// By the position of the kind in what is followed.
    contents: Vec<Arc<Content>>,
    /// A Namespace so new that the cache does not have it.
    missing: OnceLock<String>,
    /// Whether it was waited for, and has not come.
    has_waited: bool,
    lacks: AtomicBool,
    is_too_large: AtomicBool,
}

/// Why something that was asked for is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It has not been listed yet, or has not come.
    Unknown,
    /// It is more than there is memory for.
    TooLarge,
}

impl<'c> View<'c> {
    pub(super) fn new(followed: &'c Followed, has_waited: bool) -> Self {
        let caches = followed.kinds.iter().map(|(_, cache)| cache);
        View {
            followed,
            namespaces: followed.namespaces.content(),
            contents: caches.map(|cache| cache.content()).collect(),
            missing: OnceLock::new(),
            has_waited,
            lacks: AtomicBool::new(false),
            is_too_large: AtomicBool::new(false),
        }
    }

    /// Says whether something was asked for that is not known.
    pub fn lacks(&self) -> Option<Lack> {
        match self.is_too_large.load(Ordering::Relaxed) {
            true => Some(Lack::TooLarge),
            false => self.lacks.load(Ordering::Relaxed).then_some(Lack::Unknown),
        }
    }

    /// Says whether a Namespace is to be waited for.
    pub fn is_missing(&self) -> bool {
        self.missing.get().is_some()
    }

    /// Returns the Namespace to be waited for, and where it will be.
    pub(super) fn into_missing(self) -> Option<(String, Arc<Cache>)> {
        let cache = &self.followed.namespaces;
        let missing = self.missing.into_inner();
        missing.map(|name| (name, Arc::clone(cache)))
    }

    fn lack(&self) {
        self.lacks.store(true, Ordering::Relaxed);
    }

    /// What is known of a kind, if it is anything.
    fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Content> {
        let position = self.followed.position(api_version, kind);
        let content = position.and_then(|at| self.contents.get(at));
        self.known(content.map_or(&Content::Unsynced, Arc::as_ref))
    }

    fn known<'v>(&self, content: &'v Content) -> Option<&'v Content> {
        match content {
            Content::Unsynced => self.lack(),
            Content::TooLarge => self.is_too_large.store(true, Ordering::Relaxed),
            Content::UnknownKind => {}
            Content::Documents { .. } | Content::Parts(_) => return Some(content),
        }
        None
    }

    /// Reads what is kept of an object.
    fn read<'a>(&self, arena: &'a Bump, text: &'a str) -> Option<Json<'a>> {
        let read = json::parse_text(arena, text);
        if read.is_err() {
            self.lack();
        }
        read.ok()
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("View").finish_non_exhaustive()
    }
}

impl ClusterView for View<'_> {
    fn namespace(&self, name: &str) -> Option<&Value> {
        let Some(Content::Documents { objects, .. }) = self.known(&self.namespaces) else {
            return None;
        };
        match objects.get("", name) {
            Some(found) => Some(&found.object),
            None if self.has_waited => {
                self.lack();
                None
            }
            None => {
                // A request is in one namespace.
                self.missing.get_or_init(|| name.to_owned());
                None
            }
        }
    }

    fn as_lookup(&self) -> &dyn Lookup {
        self
    }

    fn params(&self, kind: &ParamKind) -> Params<'_> {
        match self.of_kind(&kind.api_version, &kind.kind) {
            Some(Content::Documents {
                objects,
                is_namespaced,
                ..
            }) => Params::Known {
                objects,
                is_namespaced: *is_namespaced,
            },
            None if self.lacks().is_none() => Params::UnknownKind,
            _ => Params::OfPolicies,
        }
    }
}

impl Lookup for View<'_> {
    fn get<'a>(&'a self, arena: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>> {
        let &ObjectName {
            namespace, name, ..
        } = object;
        match self.of_kind(object.api_version, object.kind)? {
            Content::Parts(kept) => self.read(arena, kept.get((namespace, name))?),
            Content::Documents { objects, .. } => {
                let found = objects.get(namespace, name)?;
                Some(json::from_value(arena, &found.object))
            }
            _ => None,
        }
    }

    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>] {
        let found: Vec<Json<'a>> = match self.of_kind(api_version, kind) {
            Some(Content::Parts(kept)) => kept
                .within((!namespace.is_empty()).then_some(namespace))
                .filter_map(|text| self.read(arena, text))
                .collect(),
            Some(Content::Documents { objects, .. }) => objects
                .iter()
                .filter(|it| namespace.is_empty() || it.namespace == namespace)
                .map(|it| json::from_value(arena, &it.object))
                .collect(),
            _ => return &[],
        };
        arena.alloc_slice_copy(&found)
    }
}
