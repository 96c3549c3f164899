//! What is kept of the objects of one kind: JSON texts, which are read when they are looked up.
//!
//! A text takes a ninth of the memory of the document it becomes (2,000 Deployments of 9 KB). It is read
//! into the arena of a request, where the document would have to be copied.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What an object takes beside its name and text: the counts of both, and its share of the nodes of
/// the trees, half full.
const OVERHEAD: usize = 128;

/// Texts by name.
type Named = BTreeMap<Arc<str>, Arc<str>>;

/// The objects of one kind. A copy shares what is not changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// By namespace, empty for cluster-scoped ones.
    namespaces: BTreeMap<Arc<str>, Arc<Named>>,
    count: usize,
    bytes: usize,
}

impl Kept {
    /// Adds an object, or replaces the one of that name.
    pub(super) fn insert(&mut self, (namespace, name): (&str, &str), text: Arc<str>) {
        self.remove((namespace, name));
        self.count += 1;
        self.bytes += size(name, &text);
        let name: Arc<str> = name.into();
        match self.namespaces.get_mut(namespace) {
            Some(named) => {
                Arc::make_mut(named).insert(name, text);
            }
            None => {
                let named = Arc::new(Named::from([(name, text)]));
                self.namespaces.insert(namespace.into(), named);
            }
        }
    }

    /// Removes an object, if it is there.
    pub(super) fn remove(&mut self, (namespace, name): (&str, &str)) {
        let Some(named) = self.namespaces.get_mut(namespace) else {
            return;
        };
        if !named.contains_key(name) {
            return;
        }
        if let Some(text) = Arc::make_mut(named).remove(name) {
            self.count -= 1;
            self.bytes -= size(name, &text);
        }
        if named.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    /// Returns an object.
    pub(super) fn get(&self, (namespace, name): (&str, &str)) -> Option<&Arc<str>> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// Returns the objects of a namespace, or all of them, in order of namespace and name.
    pub(super) fn within(&self, namespace: Option<&str>) -> impl Iterator<Item = &str> {
        let (one, all) = match namespace {
            Some(namespace) => (self.namespaces.get(namespace), None),
            None => (None, Some(self.namespaces.values())),
        };
        let named = one.into_iter().chain(all.into_iter().flatten());
        named.flat_map(|named| named.values()).map(AsRef::as_ref)
    }

    /// Counts them.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Returns about how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn size(name: &str, text: &str) -> usize {
    OVERHEAD + name.len() + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_name_and_in_order_and_copies_stay_as_they_were() {
        let mut kept = Kept::default();
        for (namespace, name, text) in [
            ("b", "x", "1"),
            ("a", "y", "2"),
            ("a", "x", "3"),
            ("", "z", "4"),
            ("a", "y", "five"),
        ] {
            kept.insert((namespace, name), text.into());
        }
        let before = kept.clone();
        kept.remove(("a", "x"));
        kept.remove(("a", "unknown"));
        kept.remove(("unknown", "x"));
        let all: Vec<&str> = kept.within(None).collect();
        assert_eq!(all, ["4", "five", "1"]);
        assert_eq!(kept.within(Some("a")).collect::<Vec<_>>(), ["five"]);
        assert_eq!(kept.within(Some("c")).count(), 0);
        assert_eq!(kept.get(("b", "x")).map(AsRef::as_ref), Some("1"));
        assert_eq!((kept.len(), before.len()), (3, 4));
        assert_eq!(before.within(Some("a")).collect::<Vec<_>>(), ["3", "five"]);
        assert_eq!(before.bytes() - kept.bytes(), OVERHEAD + 2);
        for name in [("b", "x"), ("a", "y"), ("", "z")] {
            kept.remove(name);
        }
        assert_eq!((kept.len(), kept.bytes()), (0, 0));
    }
}
