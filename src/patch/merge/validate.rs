//! Whether a value is of a schema (structured-merge-diff `typed/validate.go`).

use rustc_hash::FxHashSet;

use super::atoms::{Atom, ListAtom, MapAtom, Relationship, Scalar, TypeRef, Types};
use super::key::Key;
use super::tree::{Look, Tree, plain, source, type_name};
use super::{Faults, MergeError};
use crate::json::MAX_DEPTH;

/// More faults than anyone reads are not told.
const MAX_FAULTS: usize = 100;

/// Whether a keyed list may have items of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// It may: objects were made before the schema was.
    Allowed,
    /// It is a fault.
    Refused,
}

/// Returns what is wrong with a value; `None` if it is of the type.
///
/// Upstream visits the fields of an object in any order, and ends at one that the schema does not
/// know; here they come in the order they have in the value.
pub(super) fn check<T: Tree>(
    types: Types<'_>,
    of: TypeRef,
    value: &T,
    duplicates: Duplicates,
) -> Result<Option<Faults>, MergeError> {
    let mut check = Check {
        types,
        duplicates,
        faults: Vec::new(),
    };
    check.value(of, value, MAX_DEPTH)?;
    let faults = check.faults.into_iter().map(|fault| fault.to_string());
    let faults: Vec<String> = faults.collect();
    Ok((!faults.is_empty()).then_some(Faults(faults)))
}

struct Check<'s> {
    types: Types<'s>,
    duplicates: Duplicates,
    faults: Vec<Fault>,
}

/// What is wrong, and where; the path grows while the walk comes back.
struct Fault {
    path: String,
    message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.is_empty() {
            true => formatter.write_str(&self.message),
            false => write!(formatter, "{}: {}", self.path, self.message),
        }
    }
}

impl Check<'_> {
    fn value<T: Tree>(&mut self, of: TypeRef, value: &T, depth: usize) -> Result<(), MergeError> {
        let depth = depth
            .checked_sub(1)
            .ok_or(MergeError::TooDeep { limit: MAX_DEPTH })?;
        let Atom { scalar, list, map } = self.types.atom(of);
        match (value.look(), scalar, list, map) {
            (Look::Null, ..) => {}
            (Look::Object, _, _, Some(map)) => self.fields(&map, value, depth)?,
            (Look::List(items), _, Some(list), _) => self.items(&list, items, depth)?,
            (Look::Bool(_) | Look::Int(_) | Look::Double(_) | Look::Text(_), Some(scalar), ..) => {
                self.scalar(scalar, value);
            }
            // What is of none of the types is told the first of them (`handleAtom`).
            (_, _, _, Some(_)) => self.fault(format!("expected map, got {}", plain(value))),
            (_, Some(scalar), ..) => self.scalar(scalar, value),
            _ => self.fault(format!("expected list, got {}", plain(value))),
        }
        Ok(())
    }

    fn fields<T: Tree>(
        &mut self,
        map: &MapAtom<'_>,
        value: &T,
        depth: usize,
    ) -> Result<(), MergeError> {
        for (name, field) in value.fields().into_iter().flatten() {
            let before = self.faults.len();
            let of = self.types.field(map, name);
            match of {
                Some(of) => self.value(of, field, depth)?,
                None => self.fault("field not declared in schema".to_owned()),
            }
            self.prefix(before, || format!(".{name}"));
            if of.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn items<T: Tree>(
        &mut self,
        list: &ListAtom<'_>,
        items: &[T],
        depth: usize,
    ) -> Result<(), MergeError> {
        let relationship = list.relationship;
        let mut seen = FxHashSet::default();
        for (at, item) in items.iter().enumerate() {
            let before = self.faults.len();
            if let Relationship::Atomic = relationship {
                self.value(list.items, item, depth)?;
                self.prefix(before, || format!("[{at}]"));
                continue;
            }
            let key = match Key::of(relationship, item) {
                Ok(key) => key,
                Err(fault) => {
                    self.fault(format!("element {at}: {fault}"));
                    return Ok(());
                }
            };
            if self.duplicates == Duplicates::Refused && seen.contains(&key) {
                self.fault(format!(
                    "duplicate entries for key {}",
                    key.shown(relationship)
                ));
            }
            let before = self.faults.len();
            self.value(list.items, item, depth)?;
            self.prefix(before, || key.shown(relationship));
            if self.duplicates == Duplicates::Refused {
                seen.insert(key);
            }
        }
        Ok(())
    }

    fn scalar<T: Tree>(&mut self, scalar: Scalar, value: &T) {
        let look = value.look();
        let is_number = matches!(look, Look::Int(_) | Look::Double(_));
        let is_text = matches!(look, Look::Text(_));
        let is_bool = matches!(look, Look::Bool(_));
        let expected = match scalar {
            Scalar::Numeric if !is_number => {
                format!("numeric (int or float), got {}", type_name(value))
            }
            Scalar::Text if !is_text => format!("string, got {}", source(value)),
            Scalar::Boolean if !is_bool => format!("boolean, got {}", plain(value)),
            Scalar::Untyped if !is_number && !is_text && !is_bool => {
                format!("any scalar, got {}", plain(value))
            }
            _ => return,
        };
        self.fault(format!("expected {expected}"));
    }

    fn fault(&mut self, message: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                path: String::new(),
                message,
            });
        }
    }

    /// Puts a part before the paths of the faults found since.
    fn prefix(&mut self, before: usize, part: impl Fn() -> String) {
        let found = self.faults.get_mut(before..).unwrap_or_default();
        if found.is_empty() {
            return;
        }
        let part = part();
        for fault in found {
            fault.path.insert_str(0, &part);
        }
    }
}
