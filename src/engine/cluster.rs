//! What the engine knows of the cluster: always from memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bumpalo::Bump;
use serde_json::Value;

use crate::cel::function::{Lookup, ObjectName};
use crate::json::{self, Json};
use crate::policy::model::{ParamKind, ParamObject};

/// The cluster as far as policies may look at it.
pub trait ClusterView: Lookup + Sync {
    /// Returns a Namespace, if it is known.
    fn namespace(&self, name: &str) -> Option<&Value>;

    /// Returns the view as what expressions look objects up in.
    fn as_lookup(&self) -> &dyn Lookup;

    /// Returns the objects of a kind that may be parameters, beside those read with the policies.
    fn params(&self, kind: &ParamKind) -> Params<'_> {
        let _ = kind;
        Params::OfPolicies
    }
}

/// What a cluster says of the objects of a kind that may be parameters.
#[derive(Debug, Clone, Copy)]
pub enum Params<'c> {
    /// Nothing: there are those read with the policies, and no others.
    OfPolicies,
    /// The cluster has no such kind.
    UnknownKind,
    /// The cluster has the kind, and these objects.
    Known {
        /// All of them.
        objects: &'c Known,
        /// Whether they are in namespaces.
        is_namespaced: bool,
    },
}

/// All objects of one kind. A copy shares what is not changed.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// By namespace, empty for cluster-scoped ones, then by name.
    namespaces: BTreeMap<String, Arc<BTreeMap<String, Arc<ParamObject>>>>,
}

impl Known {
    /// Adds an object, or replaces the one of that name.
    pub fn insert(&mut self, object: ParamObject) {
        let named = self.namespaces.entry(object.namespace.clone()).or_default();
        Arc::make_mut(named).insert(object.name.clone(), Arc::new(object));
    }

    /// Removes an object, if it is there.
    pub fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(named) = self.namespaces.get_mut(namespace) {
            Arc::make_mut(named).remove(name);
            if named.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// Returns an object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&ParamObject> {
        self.namespaces.get(namespace)?.get(name).map(Arc::as_ref)
    }

    /// Returns the objects of a namespace in order of name; the cluster-scoped ones if it is empty.
    pub fn within(&self, namespace: &str) -> impl Iterator<Item = &ParamObject> {
        let named = self.namespaces.get(namespace);
        named
            .into_iter()
            .flat_map(|named| named.values())
            .map(Arc::as_ref)
    }

    /// Returns all objects, in order of namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &ParamObject> {
        let named = self.namespaces.values();
        named.flat_map(|named| named.values()).map(Arc::as_ref)
    }

    /// Counts them.
    pub fn len(&self) -> usize {
        self.namespaces.values().map(|named| named.len()).sum()
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }
}

/// A cluster made of given objects: the manifests of a run, the `cluster` of a test, nothing.
#[derive(Debug, Default)]
pub struct Objects {
    objects: Vec<Value>,
}

impl Objects {
    /// Makes a cluster of these objects.
    pub fn new(objects: Vec<Value>) -> Self {
        Objects { objects }
    }

    fn of_kind(&self, api_version: &str, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects
            .iter()
            .filter(move |object| text(object, &["apiVersion"]) == api_version)
            .filter(move |object| text(object, &["kind"]) == kind)
    }
}

fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    let found = path.iter().try_fold(value, |value, key| value.get(key));
    found.and_then(Value::as_str).unwrap_or_default()
}

impl Lookup for Objects {
    fn get<'a>(&'a self, arena: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>> {
        self.of_kind(object.api_version, object.kind)
            .find(|candidate| {
                text(candidate, &["metadata", "name"]) == object.name
                    && text(candidate, &["metadata", "namespace"]) == object.namespace
            })
            .map(|found| json::from_value(arena, found))
    }

    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>] {
        let found: Vec<Json<'a>> = self
            .of_kind(api_version, kind)
            .filter(|object| {
                namespace.is_empty() || text(object, &["metadata", "namespace"]) == namespace
            })
            .map(|object| json::from_value(arena, object))
            .collect();
        arena.alloc_slice_copy(&found)
    }
}

impl ClusterView for Objects {
    fn namespace(&self, name: &str) -> Option<&Value> {
        self.of_kind("v1", "Namespace")
            .find(|object| text(object, &["metadata", "name"]) == name)
    }

    fn as_lookup(&self) -> &dyn Lookup {
        self
    }
}
