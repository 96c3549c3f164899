//! The maps an expression makes, found by key without looking at every entry.

use std::net::IpAddr;

use bumpalo::Bump;
use rustc_hash::{FxHashMap, FxHashSet};

use super::net::Cidr;
use super::{List, Map, Value};

/// The entries of a computed map, in the order made, without equal keys.
#[derive(Debug)]
pub struct Entries<'a> {
    entries: &'a [(Value<'a>, Value<'a>)],
    /// Positions in order of key; empty for small maps and for keys that are neither all strings
    /// nor all integers.
    /// INVARIANT: empty or a permutation of `0..entries.len()` (upheld by [`Entries::new_in`]).
    by_key: &'a [u32],
}

/// From this many entries on a computed map is looked up by binary search.
const INDEXED_FROM: usize = 16;

/// The greatest double below which all integers are doubles: 2 to the 53rd.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What is the same of keys that are one key in a map of Go.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Identity<'a> {
    Null,
    NoValue,
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// The bits of a double that is not negative zero.
    Double(u64),
    String(&'a str),
    Duration(i64),
    Timestamp(i64, u32),
    Type(&'a str),
    Ip(&'a IpAddr),
    Cidr(IpAddr, u8),
    /// The address of what is a pointer in Go.
    Pointer(usize),
}

impl<'a> Identity<'a> {
    /// Returns the identity of a key; `None` if it is never the same as another.
    fn of(key: &Value<'a>) -> Option<Self> {
        Some(match key {
            Value::Null => Identity::Null,
            // There is one such value in Go.
            Value::Optional(None) => Identity::NoValue,
            Value::Bool(value) => Identity::Bool(*value),
            Value::Int(value) => Identity::Int(*value),
            Value::Uint(value) => Identity::Uint(*value),
            Value::Double(value) if value.is_nan() => return None,
            // Adding zero makes a negative zero a positive one.
            Value::Double(value) => Identity::Double((value + 0.0).to_bits()),
            Value::String(value) => Identity::String(value),
            Value::Duration(value) => Identity::Duration(value.nanos),
            Value::Timestamp(at) if at.offset_seconds == 0 => {
                Identity::Timestamp(at.seconds, at.nanos)
            }
            Value::Type(name) => Identity::Type(name),
            Value::Ip(address) => Identity::Ip(address),
            Value::Cidr(Cidr { address, bits }) => Identity::Cidr(*address, *bits),
            Value::Optional(Some(inner)) => Identity::Pointer(std::ptr::from_ref(*inner).addr()),
            Value::List(List::Values(items) | List::Joined(items)) if !items.is_empty() => {
                Identity::Pointer(items.as_ptr().addr())
            }
            Value::Map(Map::Computed(map)) => Identity::Pointer(std::ptr::from_ref(*map).addr()),
            _ => return None,
        })
    }
}

/// Keys, each once.
#[derive(Debug, Default)]
pub struct Keys<'a> {
    known: FxHashSet<Identity<'a>>,
}

impl<'a> Keys<'a> {
    /// Adds a key; says whether it is new.
    pub fn insert(&mut self, key: &Value<'a>) -> bool {
        let identity = match key {
            // DIVERGES: a literal `[]` is one pointer in Go and one that is computed another; here empty
            // lists have no address, and count as one (`empty-list-as-key`).
            Value::List(list) if list.is_empty() => Some(Identity::Pointer(0)),
            key => Identity::of(key),
        };
        identity.is_none_or(|key| self.known.insert(key))
    }
}

impl<'a> Entries<'a> {
    /// Makes a map of `entries`; of equal keys the last one counts and keeps the first one's place,
    /// as in cel-go's map literals.
    pub fn new_in(arena: &'a Bump, entries: &[(Value<'a>, Value<'a>)]) -> Map<'a> {
        let entries = match order(arena, entries) {
            Some(order) if !has_repeats(entries, order) => {
                let entries = arena.alloc_slice_copy(entries);
                return Entries::indexed_by(arena, entries, Some(order));
            }
            None if entries.len() < 2 => arena.alloc_slice_copy(entries),
            _ => arena.alloc_slice_copy(&unique(entries)),
        };
        let order = order(arena, entries);
        Entries::indexed_by(arena, entries, order)
    }

    fn indexed_by(
        arena: &'a Bump,
        entries: &'a [(Value<'a>, Value<'a>)],
        order: Option<&'a [u32]>,
    ) -> Map<'a> {
        let by_key = order.filter(|order| order.len() >= INDEXED_FROM);
        let by_key = by_key.unwrap_or_default();
        Map::Computed(arena.alloc(Entries { entries, by_key }))
    }

    /// Returns the entries, in the order made.
    pub fn as_slice(&self) -> &'a [(Value<'a>, Value<'a>)] {
        self.entries
    }

    /// Returns the value of a string key.
    pub(super) fn field(&self, name: &str) -> Option<Value<'a>> {
        if !self.by_key.is_empty() {
            return self.indexed(&Value::String(name)).flatten();
        }
        self.entries
            .iter()
            .find(|(key, _)| matches!(key, Value::String(key) if *key == name))
            .map(|(_, value)| *value)
    }

    /// Looks a key up in the index: `None` if there is none for such keys, and `Some(None)` if there
    /// is no such key.
    pub(super) fn indexed(&self, key: &Value<'_>) -> Option<Option<Value<'a>>> {
        let (first, _) = self.by_key.first().and_then(|at| self.at(*at))?;
        let position = match (first, key) {
            (Value::String(_), Value::String(name)) => {
                self.position(|known| matches!(known, Value::String(known) if *known < *name))
            }
            (Value::String(_), _) => return Some(None),
            (_, Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                let wanted = match key {
                    Value::Double(double) if double.fract() == 0.0 && double.abs() < EXACT => {
                        *double as i128
                    }
                    Value::Double(_) => return None,
                    other => integer(other)?,
                };
                self.position(|known| integer(known).is_some_and(|known| known < wanted))
            }
            _ => return Some(None),
        };
        let found = self.by_key.get(position).and_then(|at| self.at(*at));
        let is_same = |known: &Value<'_>| match (known, key) {
            (Value::String(known), Value::String(name)) => known == name,
            (known, key) => known.compare_numbers(key) == Some(std::cmp::Ordering::Equal),
        };
        Some(found.filter(|(known, _)| is_same(known)).map(|(_, it)| *it))
    }

    /// Returns the position in the index of the first key that does not come before something.
    fn position(&self, is_before: impl Fn(&Value<'a>) -> bool) -> usize {
        let is_before = |at: &u32| self.at(*at).is_some_and(|(key, _)| is_before(key));
        self.by_key.partition_point(is_before)
    }

    fn at(&self, at: u32) -> Option<&'a (Value<'a>, Value<'a>)> {
        self.entries.get(usize::try_from(at).ok()?)
    }
}

/// Returns the positions of the entries in order of key, if all keys are strings or all integers;
/// equal keys in the order made.
fn order<'a>(arena: &'a Bump, entries: &[(Value<'a>, Value<'a>)]) -> Option<&'a [u32]> {
    let all = |is_such: fn(&Value<'_>) -> bool| entries.iter().all(|(key, _)| is_such(key));
    let is_string = |key: &Value<'_>| matches!(key, Value::String(_));
    let is_integer = |key: &Value<'_>| matches!(key, Value::Int(_) | Value::Uint(_));
    let count = u32::try_from(entries.len()).ok()?;
    let key = |at: &u32| {
        let at = usize::try_from(*at).unwrap_or(usize::MAX);
        entries.get(at).map(|(key, _)| *key)
    };
    if all(is_string) {
        let order = arena.alloc_slice_fill_iter(0..count);
        order.sort_by(|a, b| text(key(a)).cmp(text(key(b))));
        return Some(order);
    }
    if all(is_integer) {
        let order = arena.alloc_slice_fill_iter(0..count);
        order.sort_by_key(|at| key(at).and_then(|key| integer(&key)));
        return Some(order);
    }
    None
}

fn text(key: Option<Value<'_>>) -> &str {
    match key {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn integer(key: &Value<'_>) -> Option<i128> {
    match key {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Says whether two keys that are neighbours in order are equal.
fn has_repeats(entries: &[(Value<'_>, Value<'_>)], order: &[u32]) -> bool {
    let key = |at: u32| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        entries.get(at).map(|(key, _)| *key)
    };
    order.windows(2).any(|pair| match pair {
        [a, b] => match (key(*a), key(*b)) {
            (Some(Value::String(a)), Some(Value::String(b))) => a == b,
            (Some(a), Some(b)) => integer(&a) == integer(&b),
            _ => false,
        },
        _ => false,
    })
}

/// Of entries with the same key keeps the place of the first and the value of the last.
fn unique<'a>(entries: &[(Value<'a>, Value<'a>)]) -> Vec<(Value<'a>, Value<'a>)> {
    let mut unique: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
    let mut places: FxHashMap<Identity<'a>, usize> = FxHashMap::default();
    for (key, value) in entries {
        let place = Identity::of(key).map(|key| *places.entry(key).or_insert(unique.len()));
        match place.and_then(|place| unique.get_mut(place)) {
            Some(entry) => entry.1 = *value,
            None => unique.push((*key, *value)),
        }
    }
    unique
}
