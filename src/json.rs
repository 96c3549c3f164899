//! The document an expression reads: parsed once into an arena, strings borrowed from its bytes.
//!
//! A [`Json`] is `Copy`; lists and objects are slices in the arena, in document order. Nothing is
//! copied to be read, and nothing outlives the arena.
//!
//! Numbers are as the API server decodes unstructured objects: without fraction and exponent an
//! integer if it fits 64 bits signed, otherwise a double (`sigs.k8s.io/json`).

mod read;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::text::{Position, excerpt};

/// Deepest nesting accepted. Kubernetes' own objects stay below 60; the depth of a custom resource
/// is bounded by its schema. Bounded so that no reader of the tree needs a large stack.
pub const MAX_DEPTH: usize = 200;

/// From this many entries on an object is looked up by binary search instead of a scan; measured
/// break-even on keys of 8 to 40 bytes.
const INDEXED_FROM: usize = 16;

/// A JSON value in an arena.
#[derive(Debug, Clone, Copy)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction and exponent that fits.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A string; borrowed from the input unless it held escapes.
    String(&'a str),
    /// An array.
    List(&'a [Json<'a>]),
    /// An object.
    Object(&'a Object<'a>),
}

/// The entries of a JSON object, in document order, without duplicate keys.
#[derive(Debug)]
pub struct Object<'a> {
    entries: &'a [(&'a str, Json<'a>)],
    /// Positions in `entries` in order of key; empty for small objects.
    /// INVARIANT: empty or a permutation of `0..entries.len()` (upheld by [`Object::new_in`]).
    by_key: &'a [u32],
}

/// Why bytes are not a document.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON; `line` and `column` count from 1.
    #[error("not JSON: {reason} (line {line}, column {column})")]
    Syntax {
        /// What is wrong.
        reason: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// An object names a key twice.
    #[error("duplicate key `{key}` (line {line}, column {column})")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels (line {line}, column {column})")]
    TooDeep {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
}

impl JsonError {
    /// Returns where it is; the column counts bytes.
    pub fn position(&self) -> Position {
        let (JsonError::Syntax { line, column, .. }
        | JsonError::DuplicateKey { line, column, .. }
        | JsonError::TooDeep { line, column }) = self;
        Position {
            line: *line,
            column: *column,
        }
    }

    /// Returns what is wrong without where; of a key not more than an excerpt.
    pub fn reason(&self) -> String {
        match self {
            JsonError::Syntax { reason, .. } => reason.clone(),
            JsonError::DuplicateKey { key, .. } => format!("duplicate key `{}`", excerpt(key)),
            JsonError::TooDeep { .. } => format!("nested deeper than {MAX_DEPTH} levels"),
        }
    }
}

/// Parses one JSON document; nothing but white space may follow it.
pub fn parse<'a>(arena: &'a Bump, bytes: &'a [u8]) -> Result<Json<'a>, JsonError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_text(arena, text),
        Err(_) => explain(arena, bytes),
    }
}

/// Parses as [`parse`] does what is known to be UTF-8.
pub fn parse_text<'a>(arena: &'a Bump, text: &'a str) -> Result<Json<'a>, JsonError> {
    match read::read(arena, text) {
        Some(document) => Ok(document),
        None => explain(arena, text.as_bytes()),
    }
}

/// Parses a document in which something is wrong, to say what it is.
#[cold]
fn explain<'a>(arena: &'a Bump, bytes: &'a [u8]) -> Result<Json<'a>, JsonError> {
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.disable_recursion_limit();
    let seed = Seed {
        arena,
        depth: 0,
        fault: &fault,
    };
    let parsed = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match fault.take() {
            Some(Fault::DuplicateKey(key)) => JsonError::DuplicateKey { key, line, column },
            Some(Fault::TooDeep) => JsonError::TooDeep { line, column },
            None => JsonError::Syntax {
                reason: reason(&error),
                line,
                column,
            },
        }
    })
}

/// Copies an owned JSON value into the arena.
pub fn from_value<'a>(arena: &'a Bump, value: &serde_json::Value) -> Json<'a> {
    match value {
        serde_json::Value::Null => Json::Null,
        serde_json::Value::Bool(value) => Json::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(int) => Json::Int(int),
            None => Json::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Json::String(arena.alloc_str(text)),
        serde_json::Value::Array(items) => Json::List(
            arena.alloc_slice_fill_iter(items.iter().map(|item| from_value(arena, item))),
        ),
        serde_json::Value::Object(map) => from_map(arena, map),
    }
}

/// Copies an owned JSON object into the arena.
pub fn from_map<'a>(arena: &'a Bump, map: &serde_json::Map<String, serde_json::Value>) -> Json<'a> {
    let entries = map
        .iter()
        .map(|(key, value)| (&*arena.alloc_str(key), from_value(arena, value)));
    let entries = arena.alloc_slice_fill_iter(entries);
    Json::Object(Object::new_in(arena, entries))
}

/// The message of a serde error without the position it appends.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

impl<'a> Json<'a> {
    /// Returns the value of `key` if this is an object that has it.
    pub fn get(self, key: &str) -> Option<Json<'a>> {
        match self {
            Json::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// Follows `path` through objects.
    pub fn at(self, path: &[&str]) -> Option<Json<'a>> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Returns the string, if this is one.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the object, if this is one.
    pub fn as_object(self) -> Option<&'a Object<'a>> {
        match self {
            Json::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the items, if this is a list.
    pub fn as_list(self) -> Option<&'a [Json<'a>]> {
        match self {
            Json::List(items) => Some(items),
            _ => None,
        }
    }

    /// Says whether this is `null`.
    pub fn is_null(self) -> bool {
        matches!(self, Json::Null)
    }

    /// Copies the value out of the arena. A double that JSON cannot hold becomes `null`.
    pub fn to_value(self) -> serde_json::Value {
        match self {
            Json::Null => serde_json::Value::Null,
            Json::Bool(value) => value.into(),
            Json::Int(value) => value.into(),
            Json::Double(value) => value.into(),
            Json::String(value) => value.into(),
            Json::List(items) => items.iter().map(|item| item.to_value()).collect(),
            Json::Object(object) => serde_json::Value::Object(
                object
                    .entries
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), value.to_value()))
                    .collect(),
            ),
        }
    }
}

impl<'a> Object<'a> {
    /// Makes an object of `entries`, which must not repeat a key.
    pub fn new_in(arena: &'a Bump, entries: &'a [(&'a str, Json<'a>)]) -> &'a Object<'a> {
        let by_key: &[u32] = if entries.len() < INDEXED_FROM {
            &[]
        } else {
            let order =
                arena.alloc_slice_fill_iter(0..u32::try_from(entries.len()).unwrap_or(u32::MAX));
            order.sort_unstable_by_key(|at| key_at(entries, *at));
            order
        };
        arena.alloc(Object { entries, by_key })
    }

    /// Returns the value of `key`.
    #[inline]
    pub fn get(&self, key: &str) -> Option<Json<'a>> {
        if self.by_key.is_empty() {
            return self
                .entries
                .iter()
                .find(|(name, _)| is_same(name, key))
                .map(|(_, value)| *value);
        }
        let at = self
            .by_key
            .binary_search_by_key(&key, |at| key_at(self.entries, *at))
            .ok()?;
        let at = usize::try_from(*self.by_key.get(at)?).ok()?;
        self.entries.get(at).map(|(_, value)| *value)
    }

    /// Returns the entries in document order.
    pub fn entries(&self) -> &'a [(&'a str, Json<'a>)] {
        self.entries
    }

    fn first_duplicate(&self) -> Option<&'a str> {
        if self.by_key.is_empty() {
            let mut rest = self.entries;
            while let Some(((key, _), tail)) = rest.split_first() {
                if tail.iter().any(|(other, _)| is_same(other, key)) {
                    return Some(key);
                }
                rest = tail;
            }
            return None;
        }
        let keys = self.by_key.iter().map(|at| key_at(self.entries, *at));
        keys.clone()
            .zip(keys.skip(1))
            .find(|(key, next)| key == next)
            .map(|(key, _)| key)
    }
}

/// Says whether two keys are equal: inline, for most are short and a call would take longer.
#[inline]
fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    a.len() == b.len()
        && match a.len() {
            4..=8 => {
                a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk()
            }
            9..=16 => {
                a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk()
            }
            _ => a == b,
        }
}

fn key_at<'a>(entries: &[(&'a str, Json<'a>)], at: u32) -> &'a str {
    usize::try_from(at)
        .ok()
        .and_then(|at| entries.get(at))
        .map_or("", |(key, _)| *key)
}

enum Fault {
    DuplicateKey(String),
    TooDeep,
}

#[derive(Clone, Copy)]
struct Seed<'a, 'f> {
    arena: &'a Bump,
    depth: usize,
    fault: &'f Cell<Option<Fault>>,
}

impl<'a> Seed<'a, '_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            self.fault.set(Some(Fault::TooDeep));
            return Err(E::custom("too deep"));
        }
        Ok(Seed {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'a> DeserializeSeed<'a> for Seed<'a, '_> {
    type Value = Json<'a>;

    fn deserialize<D: serde::Deserializer<'a>>(
        self,
        deserializer: D,
    ) -> Result<Json<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Seed<'a, '_> {
    type Value = Json<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'a>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'a>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'a>, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'a>, E> {
        Ok(match i64::try_from(value) {
            Ok(int) => Json::Int(int),
            Err(_) => Json::Double(value as f64),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'a>, E> {
        Ok(Json::Double(value))
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<Json<'a>, E> {
        Ok(Json::String(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'a>, E> {
        Ok(Json::String(self.arena.alloc_str(value)))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<Json<'a>, A::Error> {
        let seed = self.deeper()?;
        let mut items = ArenaVec::new_in(self.arena);
        while let Some(item) = access.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Json::List(items.into_bump_slice()))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<Json<'a>, A::Error> {
        let seed = self.deeper()?;
        let mut entries = ArenaVec::new_in(self.arena);
        while let Some(key) = access.next_key_seed(Key(self.arena))? {
            entries.push((key, access.next_value_seed(seed)?));
        }
        let object = Object::new_in(self.arena, entries.into_bump_slice());
        if let Some(key) = object.first_duplicate() {
            self.fault.set(Some(Fault::DuplicateKey(key.to_owned())));
            return Err(A::Error::custom("duplicate key"));
        }
        Ok(Json::Object(object))
    }
}

struct Key<'a>(&'a Bump);

impl<'a> DeserializeSeed<'a> for Key<'a> {
    type Value = &'a str;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<&'a str, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key<'a> {
    type Value = &'a str;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string key")
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<&'a str, E> {
        Ok(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<&'a str, E> {
        Ok(self.0.alloc_str(value))
    }
}
