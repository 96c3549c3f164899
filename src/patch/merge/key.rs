//! What tells the items of a set or of a keyed list apart (structured-merge-diff `typed/helpers.go`,
//! `listItemToPathElement`).

use std::borrow::Cow;

use super::atoms::Relationship;
use super::tree::{Look, Tree};
use crate::cel::value::number::format_double;
use crate::cel::value::quote::quote;
use crate::schema::ListKey;

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key<'v> {
    /// The value of an item of a set, or the field of the only key.
    One(Part<'v>),
    /// The fields of several keys, in order of name.
    Many(Vec<Part<'v>>),
}

/// One part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Part<'v> {
    /// The item does not write the field, and it has no default.
    Missing,
    Null,
    Bool(bool),
    Int(i64),
    /// The bits of a double that is no integer.
    Double(u64),
    Text(Cow<'v, str>),
    /// Anything else, as it is printed.
    Other(String),
}

impl<'v> Part<'v> {
    fn of<T: Tree>(value: &'v T) -> Self {
        match value.look() {
            Look::Null => Part::Null,
            Look::Bool(value) => Part::Bool(value),
            Look::Int(value) => Part::Int(value),
            Look::Double(value) => Self::double(value),
            Look::Text(text) => Part::Text(Cow::Borrowed(text)),
            Look::List(_) | Look::Object => Part::Other(super::tree::source(value)),
            Look::Foreign(_) => Part::Other("{{undefined}}".to_owned()),
        }
    }

    /// A double is the integer that it is equal to.
    fn double(value: f64) -> Self {
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value) {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            return Part::Int(value as i64);
        }
        Part::Double(value.to_bits())
    }

    /// The value as Go prints it in paths (`value.ToString`).
    fn shown(&self) -> String {
        match self {
            Part::Missing | Part::Null => "null".to_owned(),
            Part::Bool(value) => value.to_string(),
            Part::Int(value) => value.to_string(),
            Part::Double(bits) => format_double(f64::from_bits(*bits)),
            Part::Text(text) => quote(text),
            Part::Other(text) => text.clone(),
        }
    }
}

impl<'v> Key<'v> {
    /// The key of an item; the text of the fault if it has none.
    pub(super) fn of<T: Tree>(relationship: Relationship<'v>, item: &'v T) -> Result<Self, String> {
        match relationship {
            Relationship::Map(keys) => Self::of_keyed(keys, item),
            Relationship::Set | Relationship::Atomic => Self::of_value(item),
        }
    }

    fn of_value<T: Tree>(item: &'v T) -> Result<Self, String> {
        let fault = match item.look() {
            Look::Object => "associative list without keys has an element that's a map type",
            Look::List(_) => "not supported: associative list with lists as elements",
            Look::Null => "associative list without keys has an element that's an explicit null",
            _ => return Ok(Key::One(Part::of(item))),
        };
        Err(fault.to_owned())
    }

    fn of_keyed<T: Tree>(keys: &'v [ListKey], item: &'v T) -> Result<Self, String> {
        match item.look() {
            Look::Null => {
                return Err("associative list with keys may not have a null element".to_owned());
            }
            Look::Object => {}
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        }
        let part = |key: &'v ListKey| match (item.field(&key.name), &key.default) {
            (Some(value), _) => Part::of(value),
            (None, Some(default)) => Part::of(default),
            (None, None) => Part::Missing,
        };
        let key = match keys {
            [key] => Key::One(part(key)),
            keys => Key::Many(keys.iter().map(part).collect()),
        };
        let is_missing = match &key {
            Key::One(part) => *part == Part::Missing,
            Key::Many(parts) => parts.iter().all(|part| *part == Part::Missing),
        };
        if is_missing && !keys.is_empty() {
            let names: Vec<String> = keys.iter().map(|key| quote(&key.name)).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                names.join(" ")
            ));
        }
        Ok(key)
    }

    /// The key as a part of a path: `[name="web"]`.
    pub(super) fn shown(&self, relationship: Relationship<'_>) -> String {
        let Relationship::Map(keys) = relationship else {
            return match self {
                Key::One(part) => format!("[={}]", part.shown()),
                Key::Many(_) => String::new(),
            };
        };
        let parts = match self {
            Key::One(part) => std::slice::from_ref(part),
            Key::Many(parts) => parts,
        };
        let mut shown: Vec<_> = keys
            .iter()
            .zip(parts)
            .filter(|(_, part)| **part != Part::Missing)
            .map(|(key, part)| (&key.name, part.shown()))
            .collect();
        shown.sort_by_key(|(name, _)| *name);
        let shown: Vec<String> = shown
            .into_iter()
            .map(|(name, part)| format!("{name}={part}"))
            .collect();
        format!("[{}]", shown.join(","))
    }
}
