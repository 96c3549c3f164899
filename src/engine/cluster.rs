//! What the engine knows of the cluster: always from memory.

use bumpalo::Bump;
use serde_json::Value;

use crate::cel::function::{Lookup, ObjectName};
use crate::json::{self, Json};

/// The cluster as far as policies may look at it.
pub trait ClusterView: Lookup + Sync {
    /// Returns a Namespace, if it is known.
    fn namespace(&self, name: &str) -> Option<&Value>;

    /// Returns the view as what expressions look objects up in.
    fn as_lookup(&self) -> &dyn Lookup;
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
