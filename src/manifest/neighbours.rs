//! The objects of a run as the cluster around each of them.
//!
//! Built once over parsed documents and then only read: what a policy lists is neither searched for
//! nor copied again for each of ten thousand objects.

use bumpalo::Bump;
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::Key;
use crate::cel::function::{Lookup, ObjectName};
use crate::engine::cluster::ClusterView;
use crate::json::Json;

/// All objects, by kind and namespace.
#[derive(Debug, Default)]
pub struct Neighbours<'j> {
    /// By apiVersion, then by kind: what is borrowed from the objects is found by any other text.
    by_type: FxHashMap<&'j str, FxHashMap<&'j str, Kind<'j>>>,
    namespaces: FxHashMap<&'j str, Value>,
}

/// The objects of one kind.
#[derive(Debug, Default)]
struct Kind<'j> {
    all: Vec<Json<'j>>,
    by_namespace: FxHashMap<&'j str, Namespace<'j>>,
}

/// The objects of one kind in one namespace.
#[derive(Debug, Default)]
struct Namespace<'j> {
    all: Vec<Json<'j>>,
    by_name: FxHashMap<&'j str, Json<'j>>,
}

impl<'j> Neighbours<'j> {
    /// Takes objects in the form the API server keeps them; of two that are the same the last one
    /// counts, in the place of the first.
    pub fn new(objects: impl IntoIterator<Item = Json<'j>>) -> Self {
        let mut at_by_key: FxHashMap<Key<'j>, usize> = FxHashMap::default();
        let mut distinct: Vec<(Key<'j>, Json<'j>)> = Vec::new();
        for object in objects {
            let key = key(object);
            let at = *at_by_key.entry(key).or_insert(distinct.len());
            match distinct.get_mut(at) {
                Some(earlier) => *earlier = (key, object),
                None => distinct.push((key, object)),
            }
        }
        let mut neighbours = Neighbours::default();
        for (key, object) in distinct {
            neighbours.add(key, object);
        }
        neighbours
    }

    /// Returns the cluster as it is for one of the objects: all others.
    pub fn around<'n>(&'n self, key: Key<'n>) -> Others<'n, 'j> {
        Others { all: self, key }
    }

    /// Returns the cluster as it is for nobody in particular: with all objects.
    pub fn whole(&self) -> Others<'_, 'j> {
        // No object is without a kind.
        self.around(Key {
            api_version: "",
            kind: "",
            namespace: "",
            name: "",
        })
    }

    fn add(&mut self, key: Key<'j>, object: Json<'j>) {
        if (key.api_version, key.kind) == ("v1", "Namespace") {
            self.namespaces.insert(key.name, object.to_value());
        }
        let kinds = self.by_type.entry(key.api_version).or_default();
        let kind = kinds.entry(key.kind).or_default();
        kind.all.push(object);
        let namespace = kind.by_namespace.entry(key.namespace).or_default();
        namespace.all.push(object);
        namespace.by_name.insert(key.name, object);
    }

    fn kind(&self, api_version: &str, kind: &str) -> Option<&Kind<'j>> {
        self.by_type.get(api_version)?.get(kind)
    }

    fn list(&self, api_version: &str, kind: &str, namespace: &str) -> &[Json<'j>] {
        let Some(kind) = self.kind(api_version, kind) else {
            return &[];
        };
        match namespace {
            "" => &kind.all,
            namespace => kind.by_namespace.get(namespace).map_or(&[], |it| &it.all),
        }
    }
}

fn key<'j>(object: Json<'j>) -> Key<'j> {
    let text = |path: &[&str]| object.at(path).and_then(Json::as_str).unwrap_or_default();
    Key {
        api_version: text(&["apiVersion"]),
        kind: text(&["kind"]),
        namespace: text(&["metadata", "namespace"]),
        name: text(&["metadata", "name"]),
    }
}

/// The cluster without the object that is to be admitted to it.
#[derive(Debug, Clone, Copy)]
pub struct Others<'n, 'j> {
    all: &'n Neighbours<'j>,
    key: Key<'n>,
}

impl Others<'_, '_> {
    fn is_other(&self, object: Json<'_>) -> bool {
        key(object) != self.key
    }
}

impl Lookup for Others<'_, '_> {
    fn get<'a>(&'a self, _: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>> {
        let kind = self.all.kind(object.api_version, object.kind)?;
        let found = kind
            .by_namespace
            .get(object.namespace)?
            .by_name
            .get(object.name)?;
        self.is_other(*found).then_some(*found)
    }

    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>] {
        let found = self.all.list(api_version, kind, namespace);
        let may_hold_it = (api_version, kind) == (self.key.api_version, self.key.kind)
            && (namespace.is_empty() || namespace == self.key.namespace);
        if !may_hold_it {
            return found;
        }
        let others: Vec<Json<'a>> = found
            .iter()
            .copied()
            .filter(|object| self.is_other(*object))
            .collect();
        arena.alloc_slice_copy(&others)
    }
}

impl ClusterView for Others<'_, '_> {
    fn namespace(&self, name: &str) -> Option<&Value> {
        self.all.namespaces.get(name)
    }

    fn as_lookup(&self) -> &dyn Lookup {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn deployment(name: &str, namespace: &str, replicas: u8) -> String {
        format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"{name}",
            "namespace":"{namespace}"}},"spec":{{"replicas":{replicas}}}}}"#
        )
    }

    #[test]
    fn an_object_sees_all_objects_but_itself() {
        let texts = [
            deployment("a", "x", 1),
            deployment("b", "x", 2),
            deployment("a", "y", 3),
        ];
        let arena = Bump::new();
        let parsed = texts
            .iter()
            .map(|text| json::parse(&arena, text.as_bytes()).unwrap());
        let neighbours = Neighbours::new(parsed);
        let of = |name, namespace| Key {
            api_version: "apps/v1",
            kind: "Deployment",
            namespace,
            name,
        };
        let list = |view: &Others<'_, '_>, namespace| {
            let found = view.list(&arena, "apps/v1", "Deployment", namespace);
            let counts = found.iter().map(|object| {
                object
                    .at(&["spec", "replicas"])
                    .unwrap()
                    .to_value()
                    .as_i64()
                    .unwrap()
            });
            counts.collect::<Vec<_>>()
        };
        let around_a = neighbours.around(of("a", "x"));
        assert_eq!(list(&around_a, ""), [2, 3]);
        assert_eq!(list(&around_a, "x"), [2]);
        assert_eq!(list(&around_a, "y"), [3]);
        assert_eq!(list(&around_a, "z"), [] as [i64; 0]);
        let get = |name, namespace| {
            let name = ObjectName {
                api_version: "apps/v1",
                kind: "Deployment",
                namespace,
                name,
            };
            around_a.get(&arena, &name).is_some()
        };
        assert!(get("b", "x") && get("a", "y"));
        assert!(!get("a", "x"), "the object itself is not there yet");
        assert!(!get("c", "x"));
        assert_eq!(list(&neighbours.whole(), "x"), [1, 2]);
    }

    #[test]
    fn of_two_objects_of_one_name_the_last_one_counts() {
        let texts = [deployment("a", "x", 1), deployment("a", "x", 2)];
        let arena = Bump::new();
        let parsed = texts
            .iter()
            .map(|text| json::parse(&arena, text.as_bytes()).unwrap());
        let neighbours = Neighbours::new(parsed);
        let found = neighbours.list("apps/v1", "Deployment", "x");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at(&["spec", "replicas"]).unwrap().to_value(), 2);
    }
}
