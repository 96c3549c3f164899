//! What is followed of a cluster for one set of policies.
//!
//! It goes with the set: a request is decided by policies and by caches that keep what these policies
//! read, never by policies that read what was left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Cluster;
use super::cache::{Cache, Content, Keep};
use super::view::View;
use crate::policy::model::ParamKind;
use crate::policy::reads::shape::Shape;
use crate::policy::reads::{Depth, Reads};

/// How often it is looked whether everything is known.
const LOOK: Duration = Duration::from_millis(10);

/// Caches of what a set of policies reads; dropping it ends those that no other set has.
pub struct Followed {
    pub(super) namespaces: Arc<Cache>,
    /// In order of kind.
    pub(super) kinds: Vec<(ParamKind, Arc<Cache>)>,
}

/// What one cache holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// The kind.
    pub kind: ParamKind,
    /// Whether it was listed, or is known not to exist.
    pub is_synced: bool,
    /// How many objects are known.
    pub objects: usize,
    /// How many bytes they take, about.
    pub bytes: usize,
    /// For how long the watch has been failing, so that what is known may be as old.
    pub stale: Duration,
    /// Whether they take more than there is for them.
    pub is_too_large: bool,
}

impl Cluster {
    /// Follows what a set of policies reads. Caches that are as they have to be are those of the set
    /// before; the others begin anew, and know nothing yet.
    pub fn follow(&self, reads: &Reads, before: Option<&Followed>) -> Followed {
        let start = |kind: &ParamKind, keep: Keep, known: Option<&Arc<Cache>>| match known {
            Some(cache) if *cache.keep() == keep => Arc::clone(cache),
            _ => Arc::new(Cache::start(
                &self.runtime,
                self.client.clone(),
                (kind.clone(), keep),
                &self.budget,
            )),
        };
        let namespaces = start(
            &namespace_kind(),
            Keep::Namespaces(of_namespaces(reads)),
            before.map(|it| &it.namespaces),
        );
        let known: BTreeMap<&ParamKind, &Arc<Cache>> = before
            .iter()
            .flat_map(|it| &it.kinds)
            .map(|(kind, cache)| (kind, cache))
            .collect();
        let kinds = reads.kinds.iter().map(|(kind, depth)| {
            let keep = match depth {
                Depth::Parameters => Keep::Parameters,
                Depth::Parts(shape) => Keep::Parts(shape.clone()),
            };
            let cache = start(kind, keep, known.get(kind).copied());
            (kind.clone(), cache)
        });
        Followed {
            namespaces,
            kinds: kinds.collect(),
        }
    }
}

impl Followed {
    /// Waits on a thread that may block until everything is known, so long at most.
    pub fn wait(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let is_unknown = |cache: &Arc<Cache>| matches!(*cache.content(), Content::Unsynced);
        while self.caches().any(is_unknown) && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }

    /// Returns what is known at this moment, for who waits for what is missing.
    pub fn view(&self) -> View<'_> {
        View::new(self, false)
    }

    /// Returns what each cache holds.
    pub fn sizes(&self) -> Vec<Size> {
        let size = |cache: &Arc<Cache>| {
            let content = cache.content();
            let (objects, bytes) = content.size();
            Size {
                kind: cache.kind().clone(),
                is_synced: !matches!(*content, Content::Unsynced | Content::TooLarge),
                objects,
                bytes,
                stale: cache.stale(),
                is_too_large: matches!(*content, Content::TooLarge),
            }
        };
        self.caches().map(size).collect()
    }

    /// Says of each cache what is known, or why nothing is.
    pub(super) fn states(&self) -> impl Iterator<Item = Result<String, String>> {
        self.caches().map(|cache| cache.state())
    }

    /// Returns the position of a kind.
    pub(super) fn position(&self, api_version: &str, kind: &str) -> Option<usize> {
        let wanted = (api_version, kind);
        let found = self
            .kinds
            .binary_search_by(|(kind, _)| (&*kind.api_version, &*kind.kind).cmp(&wanted));
        found.ok()
    }

    fn caches(&self) -> impl Iterator<Item = &Arc<Cache>> {
        let kinds = self.kinds.iter().map(|(_, cache)| cache);
        kinds.chain([&self.namespaces])
    }
}

impl std::fmt::Debug for Followed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = self.kinds.iter().map(|(kind, _)| kind);
        formatter.debug_list().entries(kinds).finish()
    }
}

/// Selectors read the labels of every Namespace, whatever the policies read.
fn of_namespaces(reads: &Reads) -> Shape {
    let mut shape = Shape::named();
    shape.add_path(&["metadata", "labels"]);
    shape.add(reads.namespaces.clone());
    shape
}

fn namespace_kind() -> ParamKind {
    ParamKind {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
    }
}
