//! Values of the tests (`cel.expr.Value`), as our own.

use bumpalo::Bump;
use portcullis::cel::value::entries::Entries;
use portcullis::cel::value::{Duration, List, Message, Timestamp, Value};
use prost_reflect::{DynamicMessage, ReflectMessage, Value as Field};

use super::suite::{Suite, choice, message, messages, text_of};

/// A value; `None` if Kubernetes' language has none like it: a message of the tests' own.
pub(crate) fn value<'a>(
    suite: &Suite,
    arena: &'a Bump,
    written: &DynamicMessage,
) -> Option<Value<'a>> {
    let (name, field) = choice(written, "kind")?;
    Some(match (name.as_str(), &field) {
        ("null_value", _) => Value::Null,
        ("type_value", Field::String(name)) => Value::Type(arena.alloc_str(name)),
        ("list_value", Field::Message(list)) => {
            let items = messages(list, "values");
            let items = items.iter().map(|item| value(suite, arena, item));
            let items: Vec<Value<'a>> = items.collect::<Option<_>>()?;
            Value::List(List::Values(arena.alloc_slice_copy(&items)))
        }
        ("map_value", Field::Message(map)) => {
            let entries = messages(map, "entries");
            let entries = entries.iter().map(|entry| {
                let part = |name| value(suite, arena, &message(entry, name)?);
                Some((part("key")?, part("value")?))
            });
            let entries: Vec<_> = entries.collect::<Option<_>>()?;
            Value::Map(Entries::new_in(arena, &entries))
        }
        ("object_value", Field::Message(any)) => {
            let url = text_of(any, "type_url");
            let kind = url.rsplit('/').next()?;
            let kind = suite.pool.get_message_by_name(kind)?;
            let bytes = any.get_field_by_name("value")?;
            let object = DynamicMessage::decode(kind, bytes.as_bytes()?.clone()).ok()?;
            object_value(arena, &object)?
        }
        (_, field) => scalar(arena, field)?,
    })
}

fn scalar<'a>(arena: &'a Bump, field: &Field) -> Option<Value<'a>> {
    Some(match field {
        Field::Bool(value) => Value::Bool(*value),
        Field::I32(value) => Value::Int(i64::from(*value)),
        Field::I64(value) => Value::Int(*value),
        Field::U32(value) => Value::Uint(u64::from(*value)),
        Field::U64(value) => Value::Uint(*value),
        Field::F32(value) => Value::Double(f64::from(*value)),
        Field::F64(value) => Value::Double(*value),
        Field::String(value) => Value::String(arena.alloc_str(value)),
        Field::Bytes(value) => Value::Bytes(arena.alloc_slice_copy(value)),
        Field::EnumNumber(_) => Value::Null,
        _ => return None,
    })
}

/// A message that Kubernetes knows.
fn object_value<'a>(arena: &'a Bump, object: &DynamicMessage) -> Option<Value<'a>> {
    let kind = object.descriptor();
    let int = |name| {
        let field = object.get_field_by_name(name)?;
        field.as_i64().or_else(|| field.as_i32().map(i64::from))
    };
    Some(match kind.full_name() {
        "google.protobuf.Duration" => Value::Duration(Duration {
            nanos: int("seconds")?
                .checked_mul(1_000_000_000)?
                .checked_add(int("nanos")?)?,
        }),
        "google.protobuf.Timestamp" => Value::Timestamp(Timestamp {
            seconds: int("seconds")?,
            nanos: u32::try_from(int("nanos")?).ok()?,
            offset_seconds: 0,
        }),
        "google.protobuf.Empty" => Value::Message(arena.alloc(Message {
            name: "google.protobuf.Empty",
            fields: &[],
        })),
        "google.protobuf.Value" => match choice(object, "kind")? {
            (_, Field::Message(inner)) => object_value(arena, &inner)?,
            (_, field) => scalar(arena, &field)?,
        },
        "google.protobuf.ListValue" => {
            let items = messages(object, "values");
            let items = items.iter().map(|item| object_value(arena, item));
            let items: Vec<Value<'a>> = items.collect::<Option<_>>()?;
            Value::List(List::Values(arena.alloc_slice_copy(&items)))
        }
        "google.protobuf.Struct" => {
            let fields = object.get_field_by_name("fields")?;
            let entries = fields.as_map()?.iter().map(|(key, value)| {
                let key = Value::String(arena.alloc_str(key.as_str()?));
                Some((key, object_value(arena, value.as_message()?)?))
            });
            let entries: Vec<_> = entries.collect::<Option<_>>()?;
            Value::Map(Entries::new_in(arena, &entries))
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
            scalar(arena, &*object.get_field_by_name("value")?)?
        }
        _ => return None,
    })
}
