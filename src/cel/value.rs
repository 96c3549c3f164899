//! The values expressions compute with.
//!
//! A [`Value`] is `Copy`: scalars by value, everything else a reference into the document or into
//! the arena of the evaluation. Reading a list or a map never copies it.

use std::cmp::Ordering;
use std::net::IpAddr;

use bumpalo::Bump;

use access::Access;

use crate::json::{Json, Object};

pub mod access;
pub mod compare;
pub mod entries;
pub mod net;
pub mod number;
pub mod quantity;
pub mod quote;
pub mod semver;
pub mod time;
pub mod url;
pub mod wide;

use compare::Comparison;
use entries::Entries;
use net::Cidr;
use quantity::Quantity;
use semver::Semver;
use url::Url;

/// A CEL value that lives as long as the request's arena.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    Uint(u64),
    /// `double`
    Double(f64),
    /// `string`
    String(&'a str),
    /// `bytes`
    Bytes(&'a [u8]),
    /// `list`
    List(List<'a>),
    /// `map`
    Map(Map<'a>),
    /// `google.protobuf.Duration`
    Duration(Duration),
    /// `google.protobuf.Timestamp`
    Timestamp(Timestamp),
    /// A type, by its name: the value of `type(x)` and of `int`.
    Type(&'a str),
    /// `optional_type`
    Optional(Option<&'a Value<'a>>),
    /// `kubernetes.Quantity`
    Quantity(&'a Quantity<'a>),
    /// `kubernetes.URL`
    Url(&'a Url<'a>),
    /// `net.IP`
    Ip(&'a IpAddr),
    /// `net.CIDR`
    Cidr(&'a Cidr),
    /// `kubernetes.Semver`
    Semver(&'a Semver<'a>),
    /// `kubernetes.NamedFormat`
    Format(&'static NamedFormat),
    /// A question to the authorizer, or its answer.
    Access(&'a Access<'a>),
    /// A message: `Object`, `JSONPatch`.
    Message(&'a Message<'a>),
}

/// A format strings can have; what `format.dns1123Label()` gives.
#[derive(Debug)]
pub struct NamedFormat {
    /// The name upstream gives it, which is what makes two formats equal.
    pub name: &'static str,
    /// Returns what is wrong with a text; nothing if it has the format.
    pub validate: fn(&str) -> Vec<String>,
    /// The size of a regular expression that would do the same, for the cost.
    pub regex_size: u64,
}

/// A message made by the expression: `Object{…}`, `JSONPatch{…}`.
#[derive(Debug)]
pub struct Message<'a> {
    /// The type's name, as `Object.spec`.
    pub name: &'a str,
    /// The fields that are set, in the order written.
    pub fields: &'a [(&'a str, Value<'a>)],
}

impl<'a> Message<'a> {
    /// Returns the value of a field that is set.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.fields
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| *value)
    }
}

/// A list: a document's, or one made by the expression.
#[derive(Debug, Clone, Copy)]
pub enum List<'a> {
    /// A JSON array.
    Document(&'a [Json<'a>]),
    /// Values computed.
    Values(&'a [Value<'a>]),
    /// Values computed by joining two lists, neither of them empty; apart from [`List::Values`]
    /// because cel-go takes it apart where a path begins with an optional that holds it.
    Joined(&'a [Value<'a>]),
}

/// A map: a document's, or one made by the expression.
#[derive(Debug, Clone, Copy)]
pub enum Map<'a> {
    /// A JSON object.
    Document(&'a Object<'a>),
    /// Entries computed.
    Computed(&'a Entries<'a>),
}

/// Steps a look-up may take in a map that has no index.
const KEY_STEPS: u64 = 1 << 20;

/// A span of time in nanoseconds: Go's `time.Duration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    /// Nanoseconds.
    pub nanos: i64,
}

/// A point in time with the UTC offset it was written with.
///
/// The offset changes how it is printed and which fields it has by default, not what it equals.
#[derive(Debug, Clone, Copy)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    pub seconds: i64,
    /// Nanoseconds of the second, 0 to 999,999,999.
    pub nanos: u32,
    /// Seconds east of UTC.
    pub offset_seconds: i32,
}

impl<'a> From<Json<'a>> for Value<'a> {
    #[inline]
    fn from(json: Json<'a>) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Int(value) => Value::Int(value),
            Json::Double(value) => Value::Double(value),
            Json::String(value) => Value::String(value),
            Json::List(items) => Value::List(List::Document(items)),
            Json::Object(object) => Value::Map(Map::Document(object)),
        }
    }
}

impl<'a> Value<'a> {
    /// Returns the name of the value's type as `type(x)` prints it.
    pub fn type_name(&self) -> &'a str {
        match self {
            Value::Message(message) => message.name,
            other => other.declared_type_name(),
        }
    }

    /// Returns the name of the value's type, if that is declared and not made up by the expression;
    /// else a word for it.
    pub fn declared_type_name(&self) -> &'static str {
        match self {
            Value::Message(_) => "message",
            Value::Access(access) => access.type_name(),
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Type(_) => "type",
            Value::Optional(_) => "optional_type",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Url(_) => "kubernetes.URL",
            Value::Ip(_) => "net.IP",
            Value::Cidr(_) => "net.CIDR",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Format(_) => "kubernetes.NamedFormat",
        }
    }

    /// Says whether the value is of a type of Kubernetes' libraries.
    #[inline]
    pub fn is_opaque(&self) -> bool {
        matches!(
            self,
            Value::Access(_)
                | Value::Quantity(_)
                | Value::Url(_)
                | Value::Ip(_)
                | Value::Cidr(_)
                | Value::Semver(_)
                | Value::Format(_)
        )
    }

    /// Says whether two values are equal, however long that takes: an evaluation compares by
    /// [`super::function::Call::equals`].
    pub fn equals(&self, other: &Value<'a>) -> bool {
        Comparison::within(u64::MAX).equal(self, other) == Ok(true)
    }

    /// Says whether two keys of a map literal are one: those that are pointers in Go never are.
    pub fn is_same_key(&self, other: &Value<'a>) -> bool {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Uint(a), Value::Uint(b)) => a == b,
            (Value::Double(a), Value::Double(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Null, Value::Null) => true,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => {
                a == b && a.offset_seconds == 0 && b.offset_seconds == 0
            }
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a), Value::Cidr(b)) => a == b,
            (Value::Optional(None), Value::Optional(None)) => true,
            (Value::Optional(Some(a)), Value::Optional(Some(b))) => std::ptr::eq(*a, *b),
            (
                Value::List(List::Values(a) | List::Joined(a)),
                Value::List(List::Values(b) | List::Joined(b)),
            ) => !a.is_empty() && std::ptr::eq(*a, *b),
            (Value::Map(Map::Computed(a)), Value::Map(Map::Computed(b))) => std::ptr::eq(*a, *b),
            _ => false,
        }
    }

    /// Orders two numbers by their mathematical value; `None` if one is no number, or is NaN.
    pub fn compare_numbers(&self, other: &Value<'a>) -> Option<Ordering> {
        match (*self, *other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(&b)),
            (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(&b)),
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(&b),
            (Value::Int(a), Value::Uint(b)) => Some(i128::from(a).cmp(&i128::from(b))),
            (Value::Uint(a), Value::Int(b)) => Some(i128::from(a).cmp(&i128::from(b))),
            (Value::Int(a), Value::Double(b)) => compare_integer(i128::from(a), b),
            (Value::Uint(a), Value::Double(b)) => compare_integer(i128::from(a), b),
            (Value::Double(a), Value::Int(b)) => {
                compare_integer(i128::from(b), a).map(Ordering::reverse)
            }
            (Value::Double(a), Value::Uint(b)) => {
                compare_integer(i128::from(b), a).map(Ordering::reverse)
            }
            _ => None,
        }
    }
}

/// Orders an integer and a double as cel-go does: the integer is compared as a double unless the
/// double lies outside the integer's range (`common/types/compare.go`, `compareDoubleInt`).
fn compare_integer(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    (integer as f64).partial_cmp(&double)
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        (self.seconds, self.nanos) == (other.seconds, other.nanos)
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        // Go counts from the year 1, and a second that nothing but a message holds may wrap.
        let order = |at: &Self| (at.seconds.wrapping_sub(Timestamp::FIRST.seconds), at.nanos);
        order(self).cmp(&order(other))
    }
}

impl<'a> List<'a> {
    /// Returns the number of items.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            List::Document(items) => items.len(),
            List::Values(items) | List::Joined(items) => items.len(),
        }
    }

    /// Says whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the item at a position from 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            List::Document(items) => items.get(index).map(|item| Value::from(*item)),
            List::Values(items) | List::Joined(items) => items.get(index).copied(),
        }
    }

    /// Iterates over the items.
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = Value<'a>> + DoubleEndedIterator + Clone + use<'a> {
        let list = *self;
        (0..self.len()).map(move |index| list.get(index).unwrap_or(Value::Null))
    }
}

impl<'a> Map<'a> {
    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        match self {
            Map::Document(object) => object.entries().len(),
            Map::Computed(map) => map.as_slice().len(),
        }
    }

    /// Says whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the value of a key; numbers find keys of equal value.
    pub fn get(&self, key: &Value<'a>) -> Option<Value<'a>> {
        // A key that takes more steps is a list or map, which no lookup of Go would find either.
        Comparison::within(KEY_STEPS)
            .find(self, key)
            .unwrap_or_default()
    }

    /// Returns the value of a string key.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Map::Document(object) => object.get(name).map(Value::from),
            Map::Computed(map) => map.field(name),
        }
    }

    /// Iterates over the entries, in the order of the document or of making.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Value<'a>, Value<'a>)> + Clone + use<'a> {
        let map = *self;
        (0..self.len()).map(move |index| map.entry_at(index).unwrap_or((Value::Null, Value::Null)))
    }

    /// Returns the entry at a position of that order.
    pub fn entry_at(&self, index: usize) -> Option<(Value<'a>, Value<'a>)> {
        match self {
            Map::Document(object) => object
                .entries()
                .get(index)
                .map(|(key, value)| (Value::String(key), Value::from(*value))),
            Map::Computed(map) => map.as_slice().get(index).copied(),
        }
    }
}

/// Copies strings and lists of strings into the arena as values.
pub trait IntoValue<'a> {
    /// Makes the value.
    fn into_value(self, arena: &'a Bump) -> Value<'a>;
}

impl<'a> IntoValue<'a> for String {
    fn into_value(self, arena: &'a Bump) -> Value<'a> {
        Value::String(arena.alloc_str(&self))
    }
}

impl<'a> IntoValue<'a> for Vec<Value<'a>> {
    fn into_value(self, arena: &'a Bump) -> Value<'a> {
        Value::List(List::Values(arena.alloc_slice_copy(&self)))
    }
}
