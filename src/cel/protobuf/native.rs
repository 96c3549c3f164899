//! Values as fields of messages hold them (cel-go `common/types/*.go`, `ConvertToNative`).
//!
//! Nothing is converted from one kind of number to another. What goes into a message of JSON becomes
//! what JSON can hold: integers become doubles, or texts where a double would lose something.

use bumpalo::collections::Vec as ArenaVec;

use crate::cel::encode;
use crate::cel::error::{FaultKind, Result};
use crate::cel::function::Call;
use crate::cel::value::entries::Entries;
use crate::cel::value::{List, Map, Message, Value};

use super::{FIELDS_ENTRY, Field};

/// Deeper values are not converted: as deep as values are compared.
const MAX_DEPTH: u32 = 512;

/// Converts a value to what a field holds.
pub(super) fn convert<'a>(call: &Call<'a>, field: Field, value: &Value<'a>) -> Result<'a> {
    match (field, *value) {
        // Repeated fields and maps take lists and maps only.
        (Field::JsonByName, Value::Map(map)) => json_map(call, &map, 0),
        (Field::RepeatedJson, Value::List(list)) => json_list(call, &list, 0),
        (Field::JsonByName | Field::RepeatedJson, _) => unfit(call, field, value),
        (_, Value::Optional(Some(inner))) => convert(call, field, inner),
        (_, Value::Optional(None)) => Err(call.fault("optional.none() dereference")),
        (Field::Json, _) => json(call, value, 0),
        (Field::Struct, Value::Map(map)) => json_map(call, &map, 0),
        (Field::List, Value::List(list)) => json_list(call, &list, 0),
        (Field::Bool, Value::Bool(_))
        | (Field::Bytes, Value::Bytes(_))
        | (Field::Double, Value::Double(_))
        | (Field::Int64, Value::Int(_))
        | (Field::Uint64, Value::Uint(_)) => Ok(*value),
        (Field::Float, Value::Double(double)) => Ok(Value::Double(f64::from(double as f32))),
        (Field::Int32 | Field::Null, Value::Int(int)) => match i32::try_from(int) {
            Ok(_) if field == Field::Null => Ok(Value::Null),
            Ok(_) => Ok(*value),
            Err(_) => Err(call.fault("integer overflow")),
        },
        (Field::Uint32, Value::Uint(uint)) => match u32::try_from(uint) {
            Ok(_) => Ok(*value),
            Err(_) => Err(call.fault("unsigned integer overflow")),
        },
        (Field::Bytes, Value::List(list)) => bytes(call, &list),
        (Field::String, _) => match name(call, value) {
            Some(text) => Ok(Value::String(text)),
            None => unfit(call, field, value),
        },
        _ => unfit(call, field, value),
    }
}

fn unfit<'a>(call: &Call<'a>, field: Field, value: &Value<'a>) -> Result<'a> {
    let message = format!(
        "a value of type {} is no {}",
        value.type_name(),
        field.declared()
    );
    Err(call.fault(&message))
}

/// A list of unsigned integers is a slice of bytes.
fn bytes<'a>(call: &Call<'a>, list: &List<'a>) -> Result<'a> {
    call.reserve(list.len())?;
    let mut bytes = ArenaVec::with_capacity_in(list.len(), call.arena);
    for item in list.iter() {
        call.step(1)?;
        match item {
            Value::Uint(byte) => match u8::try_from(byte) {
                Ok(byte) => bytes.push(byte),
                Err(_) => return Err(call.fault("unsigned integer overflow")),
            },
            _ => return unfit(call, Field::Bytes, &Value::List(*list)),
        }
    }
    Ok(Value::Bytes(bytes.into_bump_slice()))
}

/// The text a value is as a string of Go: of Kubernetes' types what they were made of.
fn name<'a>(call: &Call<'a>, value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::String(text) => Some(text),
        Value::Optional(Some(inner)) => name(call, inner),
        Value::Quantity(quantity) => Some(call.arena.alloc_str(&quantity.to_string())),
        Value::Url(url) => Some(call.arena.alloc_str(&url.to_string())),
        Value::Ip(address) => Some(call.arena.alloc_str(&address.to_string())),
        Value::Cidr(network) => Some(call.arena.alloc_str(&network.to_string())),
        Value::Semver(version) => Some(call.arena.alloc_str(&version.to_string())),
        _ => None,
    }
}

/// The greatest integer a double holds together with all smaller ones.
const EXACT: u64 = (1 << 53) - 1;

/// Converts a value to one of JSON.
fn json<'a>(call: &Call<'a>, value: &Value<'a>, depth: u32) -> Result<'a> {
    let text = |text: String| Ok(Value::String(call.arena.alloc_str(&text)));
    if depth > MAX_DEPTH {
        return Err(call.raise(FaultKind::CostExceeded));
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Double(_) | Value::String(_) => Ok(*value),
        Value::Int(int) if int.unsigned_abs() <= EXACT => Ok(Value::Double(*int as f64)),
        Value::Uint(uint) if *uint <= EXACT => Ok(Value::Double(*uint as f64)),
        Value::Int(int) => text(int.to_string()),
        Value::Uint(uint) => text(uint.to_string()),
        Value::Bytes(bytes) => {
            call.reserve(bytes.len().saturating_mul(2))?;
            text(encode::base64(bytes))
        }
        Value::Duration(duration) => text(duration.to_string()),
        Value::Timestamp(timestamp) => text(timestamp.to_string()),
        Value::List(list) => json_list(call, list, depth),
        Value::Map(map) => json_map(call, map, depth),
        Value::Optional(Some(inner)) => json(call, inner, depth + 1),
        Value::Optional(None) => Err(call.fault("optional.none() dereference")),
        Value::Message(message) => json_message(call, message, depth),
        other => unfit(call, Field::Json, other),
    }
}

fn json_list<'a>(call: &Call<'a>, list: &List<'a>, depth: u32) -> Result<'a> {
    call.reserve(list.len().saturating_mul(size_of::<Value<'a>>()))?;
    let mut items = ArenaVec::with_capacity_in(list.len(), call.arena);
    for item in list.iter() {
        call.step(1)?;
        items.push(json(call, &item, depth + 1)?);
    }
    Ok(Value::List(List::Values(items.into_bump_slice())))
}

fn json_map<'a>(call: &Call<'a>, map: &Map<'a>, depth: u32) -> Result<'a> {
    call.reserve(map.len().saturating_mul(2 * size_of::<Value<'a>>()))?;
    let mut entries = Vec::with_capacity(map.len());
    for (key, value) in map.iter() {
        call.step(2)?;
        let Some(key) = name(call, &key) else {
            return unfit(call, Field::String, &key);
        };
        entries.push((Value::String(key), json(call, &value, depth + 1)?));
    }
    Ok(Value::Map(Entries::new_in(call.arena, &entries)))
}

/// A message as Go's `protojson` writes it. The `Object` of a mutation becomes something of a type that
/// Go cannot put into a message, and breaks over (apiserver `pkg/cel/mutation/dynamic/objects.go`,
/// `ConvertToNative`).
fn json_message<'a>(call: &Call<'a>, message: &Message<'a>, depth: u32) -> Result<'a> {
    if message.name == "JSONPatch" {
        return Err(call.fault("a JSONPatch is no value of JSON"));
    }
    if super::descriptor(message.name).is_none() {
        return Err(call.raise(FaultKind::Internal));
    }
    let mut entries = Vec::with_capacity(message.fields.len());
    if message.name == FIELDS_ENTRY {
        for (name, value) in message.fields {
            entries.push((Value::String(name), json(call, value, depth + 1)?));
        }
    }
    Ok(Value::Map(Entries::new_in(call.arena, &entries)))
}
