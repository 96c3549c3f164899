//! The messages of `google.protobuf` that an expression may make, as Kubernetes' registry of types
//! has them: the wrappers, `Duration`, `Timestamp`, the messages of JSON, `Any` and `Empty`.
//!
//! All but the last become plain values as soon as they are made (cel-go `common/types/pb/db.go`,
//! `init`; `common/types/provider.go`, `NewValue`; `common/types/pb/type.go`, `unwrapDynamic`).

mod native;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use super::error::Result;
use super::function::Call;
use super::types::{Inferred, Type};
use super::value::entries::Entries;
use super::value::{Duration, List, Message, Timestamp, Value};

/// What is known of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The full name.
    pub name: &'static str,
    fields: &'static [(&'static str, Field)],
    kind: Kind,
}

/// What a message becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What it holds.
    Any,
    /// Its only field; as a type, that or null.
    Wrapper(Type),
    Duration,
    Timestamp,
    /// A map.
    Struct,
    /// A list.
    List,
    /// Any value JSON has.
    Json,
    /// A message.
    Message,
}

/// The types of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Bool,
    Bytes,
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    String,
    /// `google.protobuf.NullValue`
    Null,
    /// `google.protobuf.Value`
    Json,
    /// `google.protobuf.Struct`
    Struct,
    /// `google.protobuf.ListValue`
    List,
    /// `map<string, google.protobuf.Value>`
    JsonByName,
    /// `repeated google.protobuf.Value`
    RepeatedJson,
}

/// The name of the constant of `google.protobuf.NullValue`, the only enumeration.
pub const NULL_VALUE: &str = "google.protobuf.NullValue.NULL_VALUE";

const fn wrapper(name: &'static str, value: &'static [(&'static str, Field)]) -> Descriptor {
    let [(_, field)] = value else {
        return message(name, value);
    };
    Descriptor {
        name,
        fields: value,
        kind: Kind::Wrapper(field.declared()),
    }
}

const fn message(name: &'static str, fields: &'static [(&'static str, Field)]) -> Descriptor {
    described(name, fields, Kind::Message)
}

const fn described(
    name: &'static str,
    fields: &'static [(&'static str, Field)],
    kind: Kind,
) -> Descriptor {
    Descriptor { name, fields, kind }
}

static MESSAGES: [Descriptor; 17] = [
    described(
        "google.protobuf.Any",
        &[("type_url", Field::String), ("value", Field::Bytes)],
        Kind::Any,
    ),
    wrapper("google.protobuf.BoolValue", &[("value", Field::Bool)]),
    wrapper("google.protobuf.BytesValue", &[("value", Field::Bytes)]),
    wrapper("google.protobuf.DoubleValue", &[("value", Field::Double)]),
    wrapper("google.protobuf.FloatValue", &[("value", Field::Float)]),
    wrapper("google.protobuf.Int32Value", &[("value", Field::Int32)]),
    wrapper("google.protobuf.Int64Value", &[("value", Field::Int64)]),
    wrapper("google.protobuf.StringValue", &[("value", Field::String)]),
    wrapper("google.protobuf.UInt32Value", &[("value", Field::Uint32)]),
    wrapper("google.protobuf.UInt64Value", &[("value", Field::Uint64)]),
    described(
        "google.protobuf.Duration",
        &[("seconds", Field::Int64), ("nanos", Field::Int32)],
        Kind::Duration,
    ),
    described(
        "google.protobuf.Timestamp",
        &[("seconds", Field::Int64), ("nanos", Field::Int32)],
        Kind::Timestamp,
    ),
    described(
        "google.protobuf.Struct",
        &[("fields", Field::JsonByName)],
        Kind::Struct,
    ),
    described(
        "google.protobuf.ListValue",
        &[("values", Field::RepeatedJson)],
        Kind::List,
    ),
    described(
        "google.protobuf.Value",
        &[
            ("null_value", Field::Null),
            ("number_value", Field::Double),
            ("string_value", Field::String),
            ("bool_value", Field::Bool),
            ("struct_value", Field::Struct),
            ("list_value", Field::List),
        ],
        Kind::Json,
    ),
    message("google.protobuf.Empty", &[]),
    message(
        FIELDS_ENTRY,
        &[("key", Field::String), ("value", Field::Json)],
    ),
];

/// What the map of a `Struct` is made of; Kubernetes lets it be made, too.
const FIELDS_ENTRY: &str = "google.protobuf.Struct.FieldsEntry";

/// Returns what is known of a message, by its full name.
pub fn descriptor(name: &str) -> Option<&'static Descriptor> {
    name.strip_prefix("google.protobuf.")?;
    MESSAGES.iter().find(|message| message.name == name)
}

/// Returns the names of all messages.
pub fn names() -> impl Iterator<Item = &'static str> {
    MESSAGES.iter().map(|message| message.name)
}

impl Descriptor {
    /// Returns the type of the message as an expression.
    pub fn inferred(&self) -> Inferred {
        match self.kind {
            Kind::Any => Inferred::Any,
            Kind::Wrapper(wrapped) => Inferred::Wrapper(wrapped),
            Kind::Duration => Inferred::Simple(Type::Duration),
            Kind::Timestamp => Inferred::Simple(Type::Timestamp),
            Kind::Struct => Inferred::Map(
                Arc::new(Inferred::Simple(Type::String)),
                Arc::new(Inferred::Dyn),
            ),
            Kind::List => Inferred::List(Arc::new(Inferred::Dyn)),
            Kind::Json => Inferred::Dyn,
            Kind::Message => Inferred::Message(Arc::from(self.name)),
        }
    }

    /// Says whether the name of the message is a value, as that of a type whose values exist.
    pub fn is_type(&self) -> bool {
        matches!(self.kind, Kind::Duration | Kind::Timestamp | Kind::Message)
    }

    /// Returns the declared type of a field.
    pub fn field(&self, name: &str) -> Option<Type> {
        self.described(name).map(|field| field.declared())
    }

    /// Returns the names of the fields.
    pub fn field_names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|(name, _)| *name)
    }

    fn described(&self, name: &str) -> Option<Field> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| *known == name)
            .map(|(_, field)| *field)
    }

    /// Makes the message of fields, each given once.
    pub(super) fn make<'a>(
        &'static self,
        call: &Call<'a>,
        fields: &[(&'a str, Value<'a>)],
    ) -> Result<'a> {
        let mut converted = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let Some(field) = self.described(name) else {
                return Err(call.fault(&format!("no such field: {name}")));
            };
            let value = match native::convert(call, field, value) {
                Ok(value) => value,
                Err(fault) if fault.is_fatal() => return Err(fault),
                Err(fault) => {
                    let name = self.name;
                    return Err(
                        call.fault(&format!("field type conversion error for {name}: {fault}"))
                    );
                }
            };
            converted.push((*name, value));
        }
        match self.kind {
            Kind::Any => wire::any(call, text(&converted, "type_url"), bytes(&converted)),
            _ => Ok(self.value(call, &converted)),
        }
    }

    /// The value of a message with these fields; of a message of JSON the last one counts.
    fn value<'a>(&'static self, call: &Call<'a>, fields: &[(&'a str, Value<'a>)]) -> Value<'a> {
        let last = fields.last().map(|(_, value)| *value);
        match self.kind {
            Kind::Any | Kind::Json => last.unwrap_or(Value::Null),
            Kind::Wrapper(wrapped) => last.unwrap_or_else(|| zero(wrapped)),
            Kind::Duration => {
                Value::Duration(duration(int(fields, "seconds"), int(fields, "nanos")))
            }
            Kind::Timestamp => {
                Value::Timestamp(timestamp(int(fields, "seconds"), int(fields, "nanos")))
            }
            Kind::Struct => last.unwrap_or_else(|| Value::Map(Entries::new_in(call.arena, &[]))),
            Kind::List => last.unwrap_or(Value::List(List::Values(&[]))),
            Kind::Message => {
                // An empty text is as good as none; of a value of JSON it is one.
                let is_set = |(name, value): &&(&str, Value<'_>)| {
                    !matches!(value, Value::String(""))
                        || self.described(name) != Some(Field::String)
                };
                let set: Vec<(&'a str, Value<'a>)> =
                    fields.iter().filter(is_set).copied().collect();
                Value::Message(call.arena.alloc(Message {
                    name: self.name,
                    fields: call.arena.alloc_slice_copy(&set),
                }))
            }
        }
    }
}

impl Field {
    const fn declared(self) -> Type {
        match self {
            Field::Bool => Type::Bool,
            Field::Bytes => Type::Bytes,
            Field::Double | Field::Float => Type::Double,
            Field::Int32 | Field::Int64 | Field::Null => Type::Int,
            Field::Uint32 | Field::Uint64 => Type::Uint,
            Field::String => Type::String,
            Field::Json => Type::Dyn,
            Field::Struct | Field::JsonByName => Type::Map(&Type::String, &Type::Dyn),
            Field::List | Field::RepeatedJson => Type::List(&Type::Dyn),
        }
    }
}

/// The value of a field that is not set; `None` if the message has no such field.
pub(super) fn unset(message: &Message<'_>, field: &str) -> Option<Value<'static>> {
    match descriptor(message.name)?.described(field)? {
        Field::String => Some(Value::String("")),
        _ => Some(Value::Null),
    }
}

fn find<'a>(fields: &[(&'a str, Value<'a>)], name: &str) -> Option<Value<'a>> {
    let mut fields = fields.iter();
    fields
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

fn int(fields: &[(&str, Value<'_>)], name: &str) -> i64 {
    let mut fields = fields.iter();
    match fields.find(|(known, _)| *known == name) {
        Some((_, Value::Int(value))) => *value,
        _ => 0,
    }
}

fn text<'a>(fields: &[(&'a str, Value<'a>)], name: &str) -> &'a str {
    match find(fields, name) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn bytes<'a>(fields: &[(&'a str, Value<'a>)]) -> &'a [u8] {
    match find(fields, "value") {
        Some(Value::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

fn zero(wrapped: Type) -> Value<'static> {
    match wrapped {
        Type::Bool => Value::Bool(false),
        Type::Bytes => Value::Bytes(&[]),
        Type::Double => Value::Double(0.0),
        Type::Int => Value::Int(0),
        Type::Uint => Value::Uint(0),
        Type::String => Value::String(""),
        _ => Value::Null,
    }
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// As `AsDuration` of Go's `durationpb`: what is too long is the longest there is.
fn duration(seconds: i64, nanos: i64) -> Duration {
    let exact = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    let bound = if exact < 0 { i64::MIN } else { i64::MAX };
    Duration {
        nanos: i64::try_from(exact).unwrap_or(bound),
    }
}

/// As `AsTime` of Go's `timestamppb`, which knows no bounds: the sum of seconds wraps.
fn timestamp(seconds: i64, nanos: i64) -> Timestamp {
    Timestamp {
        seconds: seconds.wrapping_add(nanos.div_euclid(NANOS_PER_SECOND)),
        nanos: u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).unwrap_or_default(),
        offset_seconds: 0,
    }
}
