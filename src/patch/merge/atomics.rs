//! What of a configuration can only be replaced as a whole (apiserver
//! `plugin/policy/mutating/patch/smd.go`, `findAtomics`).

use super::atoms::{TypeRef, Types};
use super::tree::{Look, Tree};

/// More places than anyone reads are not told.
const MAX_PLACES: usize = 100;

/// Returns the paths of the atomic lists, maps and objects in a valid value.
///
/// Looks into fields that the schema names, and into items, never into the values of a map.
pub(super) fn find<T: Tree>(types: Types<'_>, of: TypeRef, value: &T) -> Vec<String> {
    let mut search = Search {
        types,
        path: String::new(),
        found: Vec::new(),
    };
    search.value(of, value);
    search.found
}

struct Search<'s> {
    types: Types<'s>,
    path: String,
    found: Vec<String>,
}

impl Search<'_> {
    fn value<T: Tree>(&mut self, of: TypeRef, value: &T) {
        let atom = self.types.atom(of);
        match (value.look(), atom.map, atom.list) {
            (Look::Object, Some(map), _) => {
                self.note(map.is_atomic);
                for (name, field) in value.fields().into_iter().flatten() {
                    if let Some(of) = self.types.named_field(&map, name) {
                        self.within(&format!(".{name}"), of, field);
                    }
                }
            }
            (Look::List(items), _, Some(list)) => {
                self.note(list.is_atomic());
                for (at, item) in items.iter().enumerate() {
                    self.within(&format!("[{at}]"), list.items, item);
                }
            }
            _ => {}
        }
    }

    fn within<T: Tree>(&mut self, part: &str, of: TypeRef, value: &T) {
        let length = self.path.len();
        self.path.push_str(part);
        self.value(of, value);
        self.path.truncate(length);
    }

    fn note(&mut self, is_atomic: bool) {
        if is_atomic && self.found.len() < MAX_PLACES {
            self.found.push(self.path.clone());
        }
    }
}
