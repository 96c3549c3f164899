//! Equality of values, within bounds.
//!
//! A value may hold one part many times and so be endless to walk though it is small; nothing that a
//! policy or a request brings may take more steps than its evaluation may.

use std::cmp::Ordering;

use super::{List, Map, Message, Value};
use crate::json::{Json, Object};

/// Deeper values are not compared. A document is at most 200 deep, and an expression 250.
const MAX_DEPTH: u32 = 512;

/// What going into a list or map takes besides the step that finds it.
const STEPS_PER_LEVEL: u64 = 2;

/// Bytes that are compared in the time of a step.
const BYTES_PER_STEP: usize = 256;

/// Compares values, counting its steps.
#[derive(Debug)]
pub struct Comparison {
    left: u64,
    depth: u32,
}

/// There are no steps left, or the values are too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endless;

impl Comparison {
    /// Starts with the steps it may take.
    pub fn within(steps: u64) -> Self {
        Comparison {
            left: steps,
            depth: 0,
        }
    }

    /// Returns how many steps are left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Says whether two values are equal, as CEL's heterogeneous equality has it: numbers by their
    /// mathematical value, other values of different types never (cel-go `types.Equal`).
    pub fn equal(&mut self, a: &Value<'_>, b: &Value<'_>) -> Result<bool, Endless> {
        self.left = self.left.checked_sub(1).ok_or(Endless)?;
        Ok(match (a, b) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::String(a), Value::String(b)) => {
                a.len() == b.len() && self.bytes(a.len())? && a == b
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                a.len() == b.len() && self.bytes(a.len())? && a == b
            }
            (Value::List(a), Value::List(b)) => {
                self.deeper(|comparison| comparison.equal_lists(a, b))?
            }
            (Value::Map(a), Value::Map(b)) => {
                self.deeper(|comparison| comparison.equal_maps(a, b))?
            }
            (Value::Message(a), Value::Message(b)) => {
                self.deeper(|comparison| comparison.equal_messages(a, b))?
            }
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => self.deeper(|comparison| comparison.equal(a, b))?,
                (None, None) => true,
                _ => false,
            },
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Url(a), Value::Url(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a), Value::Cidr(b)) => a == b,
            (Value::Semver(a), Value::Semver(b)) => a == b,
            (Value::Format(a), Value::Format(b)) => a.name == b.name,
            (Value::Access(a), Value::Access(b)) => a == b,
            _ => a.compare_numbers(b) == Some(Ordering::Equal),
        })
    }

    /// Counts the steps of comparing texts of a length.
    fn bytes(&mut self, length: usize) -> Result<bool, Endless> {
        let steps = u64::try_from(length / BYTES_PER_STEP).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(steps).ok_or(Endless)?;
        Ok(true)
    }

    fn deeper(
        &mut self,
        compare: impl FnOnce(&mut Self) -> Result<bool, Endless>,
    ) -> Result<bool, Endless> {
        if self.depth >= MAX_DEPTH {
            return Err(Endless);
        }
        self.left = self.left.checked_sub(STEPS_PER_LEVEL).ok_or(Endless)?;
        self.depth += 1;
        let result = compare(self);
        self.depth -= 1;
        result
    }

    fn equal_lists(&mut self, a: &List<'_>, b: &List<'_>) -> Result<bool, Endless> {
        if a.len() != b.len() {
            return Ok(false);
        }
        match (a, b) {
            (List::Document(a), List::Document(b)) => return self.equal_arrays(a, b),
            (List::Values(a) | List::Joined(a), List::Values(b) | List::Joined(b)) => {
                for (a, b) in a.iter().zip(b.iter()) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            _ => {}
        }
        for (a, b) in a.iter().zip(b.iter()) {
            if !self.equal(&a, &b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`Self::equal`], of two parts of documents: their nesting is bounded.
    fn equal_documents(&mut self, a: &Json<'_>, b: &Json<'_>) -> Result<bool, Endless> {
        match (a, b) {
            (Json::List(a), Json::List(b)) => Ok(a.len() == b.len() && self.equal_arrays(a, b)?),
            (Json::Object(a), Json::Object(b)) => self.equal_objects(a, b),
            _ => self.equal(&Value::from(*a), &Value::from(*b)),
        }
    }

    fn equal_arrays(&mut self, a: &[Json<'_>], b: &[Json<'_>]) -> Result<bool, Endless> {
        for (a, b) in a.iter().zip(b) {
            if !self.equal_documents(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Objects that are compared mostly have their keys in the same order.
    fn equal_objects(&mut self, a: &Object<'_>, b: &Object<'_>) -> Result<bool, Endless> {
        if a.entries().len() != b.entries().len() {
            return Ok(false);
        }
        for ((key, value), (other_key, other)) in a.entries().iter().zip(b.entries()) {
            let other = if key == other_key {
                Some(*other)
            } else {
                b.get(key)
            };
            match other {
                Some(other) if self.equal_documents(value, &other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn equal_maps(&mut self, a: &Map<'_>, b: &Map<'_>) -> Result<bool, Endless> {
        if a.len() != b.len() {
            return Ok(false);
        }
        if let (Map::Document(a), Map::Document(b)) = (a, b) {
            return self.equal_objects(a, b);
        }
        // A key is found in as many steps as the index has levels.
        let steps = u64::from(usize::BITS - b.len().leading_zeros());
        for (key, value) in a.iter() {
            self.left = self.left.checked_sub(steps).ok_or(Endless)?;
            match self.find(b, &key)? {
                Some(other) if self.equal(&value, &other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn equal_messages(&mut self, a: &Message<'_>, b: &Message<'_>) -> Result<bool, Endless> {
        if a.name != b.name || a.fields.len() != b.fields.len() {
            return Ok(false);
        }
        for (name, value) in a.fields {
            match b.get(name) {
                Some(other) if self.equal(value, &other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Returns the value of a key in a map; numbers find integers of equal value, but a double only a
    /// double, and nothing at the ends of what an `int` can be.
    ///
    /// Semantics: cel-go `common/types/map.go`, `refValMapAccessor.Find`.
    pub fn find<'a>(
        &mut self,
        map: &Map<'a>,
        key: &Value<'_>,
    ) -> Result<Option<Value<'a>>, Endless> {
        match (map, key) {
            (Map::Document(object), Value::String(name)) => Ok(object.get(name).map(Value::from)),
            (Map::Document(_), _) => Ok(None),
            (Map::Computed(entries), key) => match entries.indexed(key) {
                Some(found) => Ok(found),
                None => {
                    for (known, value) in map.iter() {
                        if may_find(key, &known) && self.equal(&known, key)? {
                            return Ok(Some(value));
                        }
                    }
                    Ok(None)
                }
            },
        }
    }

    /// Says whether some item of a list equals a value.
    pub fn contains(&mut self, list: &List<'_>, value: &Value<'_>) -> Result<bool, Endless> {
        if let (List::Document(items), Value::String(text)) = (list, value) {
            let steps = u64::try_from(items.len()).unwrap_or(u64::MAX);
            self.left = self.left.checked_sub(steps).ok_or(Endless)?;
            let is_it = |item: &Json<'_>| matches!(item, Json::String(item) if item == text);
            return Ok(items.iter().any(is_it));
        }
        for item in list.iter() {
            if self.equal(&item, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Says whether a number looks for keys of the type of another (cel-go `common/types/overflow.go`,
/// `doubleToInt64Lossless` and `doubleToUint64Lossless`).
fn may_find(wanted: &Value<'_>, known: &Value<'_>) -> bool {
    const INT_END: f64 = 9_223_372_036_854_775_808.0;
    const UINT_END: f64 = 18_446_744_073_709_551_616.0;
    match (wanted, known) {
        (Value::Int(_) | Value::Uint(_), Value::Double(_)) => false,
        (Value::Double(wanted), Value::Int(_)) => wanted.abs() < INT_END,
        (Value::Double(wanted), Value::Uint(_)) => *wanted < UINT_END,
        _ => true,
    }
}
