//! The objects that may be parameters, found by kind, namespace and name.

use rustc_hash::FxHashMap;

use crate::policy::model::{ParamKind, ParamObject};

/// Objects that may be parameters, in the order read.
#[derive(Debug, Default)]
pub struct Params {
    objects: Vec<ParamObject>,
    by_kind: FxHashMap<ParamKind, OfKind>,
}

/// Positions of the objects of a kind.
#[derive(Debug, Default)]
struct OfKind {
    all: Vec<usize>,
    /// By namespace, then by name.
    by_name: FxHashMap<String, FxHashMap<String, Vec<usize>>>,
}

impl Params {
    /// Indexes objects.
    pub fn new(objects: Vec<ParamObject>) -> Self {
        let mut by_kind: FxHashMap<ParamKind, OfKind> = FxHashMap::default();
        for (at, object) in objects.iter().enumerate() {
            let of_kind = by_kind.entry(object.kind.clone()).or_default();
            of_kind.all.push(at);
            let names = of_kind.by_name.entry(object.namespace.clone());
            let named = names.or_default().entry(object.name.clone());
            named.or_default().push(at);
        }
        Params { objects, by_kind }
    }

    /// Returns all of them, in the order read.
    pub fn objects(&self) -> &[ParamObject] {
        &self.objects
    }

    /// Returns those of a kind, in the order read.
    pub fn of_kind(&self, kind: &ParamKind) -> impl Iterator<Item = &ParamObject> {
        let positions = self.by_kind.get(kind).map(|of_kind| &*of_kind.all);
        self.at(positions.unwrap_or_default())
    }

    /// Returns those of a kind that have a name; more than one only if documents repeat it.
    pub fn named(
        &self,
        kind: &ParamKind,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = &ParamObject> {
        let of_kind = self.by_kind.get(kind);
        let positions = of_kind.and_then(|it| it.by_name.get(namespace)?.get(name));
        self.at(positions.map(Vec::as_slice).unwrap_or_default())
    }

    fn at(&self, positions: &[usize]) -> impl Iterator<Item = &ParamObject> {
        positions.iter().filter_map(|at| self.objects.get(*at))
    }
}
