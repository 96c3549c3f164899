//! What an `Any` holds: one of the known messages in the wire format of protocol buffers.
//!
//! Semantics: Go's `google.golang.org/protobuf/proto`, `Unmarshal`: of a field given twice the last
//! one counts, messages are merged, and fields that are unknown or of another wire type are passed
//! over, but must be well formed.

use crate::cel::error::{Error, Result};
use crate::cel::function::Call;
use crate::cel::value::entries::Entries;
use crate::cel::value::{List, Map, Value};

use super::{Descriptor, FIELDS_ENTRY, Field, Kind, descriptor};

/// Deeper values are not read: no document is as deep.
const MAX_DEPTH: u32 = 200;

/// The name under which a message keeps the fields it does not know; no field can have it.
const UNKNOWN: &str = "";

/// Reads the message that an `Any` holds; of an `Any` within an `Any`, the innermost one.
pub(super) fn any<'a>(call: &Call<'a>, url: &'a str, bytes: &'a [u8]) -> Result<'a> {
    let (mut url, mut bytes) = (url, bytes);
    loop {
        let name = url.rsplit('/').next().unwrap_or_default();
        let known = descriptor(name).filter(|known| known.name != FIELDS_ENTRY);
        let Some(known) = known else {
            return Err(call.fault(&format!("unknown type: '{name}'")));
        };
        if known.kind != Kind::Any {
            return Reader { call }.message(known, bytes, 0);
        }
        let (mut inner_url, mut inner_bytes): (&'a str, &'a [u8]) = ("", &[]);
        for field in fields(bytes) {
            call.step(1)?;
            match field.ok_or_else(|| malformed(call))? {
                (1, Wire::Bytes(text)) => inner_url = utf8(call, text)?,
                (2, Wire::Bytes(value)) => inner_bytes = value,
                _ => {}
            }
        }
        (url, bytes) = (inner_url, inner_bytes);
    }
}

fn malformed<'a>(call: &Call<'a>) -> Error<'a> {
    call.fault("the value of an Any is malformed")
}

fn utf8<'a>(call: &Call<'a>, bytes: &'a [u8]) -> Result<'a, &'a str> {
    std::str::from_utf8(bytes).map_err(|_| malformed(call))
}

struct Reader<'r, 'a> {
    call: &'r Call<'a>,
}

impl<'a> Reader<'_, 'a> {
    fn message(&self, known: &'static Descriptor, bytes: &'a [u8], depth: u32) -> Result<'a> {
        match known.kind {
            Kind::Json => Ok(self.json(bytes, None, depth)?.unwrap_or(Value::Null)),
            Kind::Struct => self.json_map(bytes, None, depth),
            Kind::List => self.json_list(bytes, None, depth),
            _ => self.scalars(known, bytes),
        }
    }

    /// A message whose fields are scalars; they are numbered in the order declared.
    fn scalars(&self, known: &'static Descriptor, bytes: &'a [u8]) -> Result<'a> {
        let mut found: Vec<(&'a str, Value<'a>)> = Vec::new();
        let mut has_unknown = false;
        for field in fields(bytes) {
            self.call.step(1)?;
            let (number, wire) = field.ok_or_else(|| malformed(self.call))?;
            let at = usize::try_from(number).unwrap_or_default().wrapping_sub(1);
            let value = match known.fields.get(at) {
                Some((name, field)) => self.scalar(*field, wire)?.map(|value| (*name, value)),
                None => None,
            };
            match value {
                Some((name, value)) => {
                    found.retain(|(known, _)| *known != name);
                    found.push((name, value));
                }
                None => has_unknown = true,
            }
        }
        if has_unknown && known.kind == Kind::Message {
            // What is unknown is a part of what the message equals.
            found.push((UNKNOWN, Value::Bytes(bytes)));
        }
        Ok(known.value(self.call, &found))
    }

    /// The value of a scalar; `None` if the wire type is another one.
    fn scalar(&self, field: Field, wire: Wire<'a>) -> Result<'a, Option<Value<'a>>> {
        Ok(Some(match (field, wire) {
            (Field::Bool, Wire::Varint(value)) => Value::Bool(value != 0),
            (Field::Int32, Wire::Varint(value)) => Value::Int(i64::from(value as i32)),
            (Field::Int64, Wire::Varint(value)) => Value::Int(value as i64),
            (Field::Uint32, Wire::Varint(value)) => Value::Uint(u64::from(value as u32)),
            (Field::Uint64, Wire::Varint(value)) => Value::Uint(value),
            (Field::Null, Wire::Varint(_)) => Value::Null,
            (Field::Double, Wire::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            (Field::Float, Wire::Fixed32(bits)) => Value::Double(f64::from(f32::from_bits(bits))),
            (Field::String, Wire::Bytes(bytes)) => Value::String(utf8(self.call, bytes)?),
            (Field::Bytes, Wire::Bytes(bytes)) => Value::Bytes(bytes),
            _ => return Ok(None),
        }))
    }

    /// A `Value`, merged into what was read of it before.
    fn json(
        &self,
        bytes: &'a [u8],
        before: Option<Value<'a>>,
        depth: u32,
    ) -> Result<'a, Option<Value<'a>>> {
        if depth > MAX_DEPTH {
            return Err(malformed(self.call));
        }
        let mut value = before;
        for field in fields(bytes) {
            self.call.step(1)?;
            value = match (field.ok_or_else(|| malformed(self.call))?, value) {
                ((5, Wire::Bytes(map)), Some(Value::Map(before))) => {
                    Some(self.json_map(map, Some(before), depth + 1)?)
                }
                ((5, Wire::Bytes(map)), _) => Some(self.json_map(map, None, depth + 1)?),
                ((6, Wire::Bytes(list)), Some(Value::List(before))) => {
                    Some(self.json_list(list, Some(before), depth + 1)?)
                }
                ((6, Wire::Bytes(list)), _) => Some(self.json_list(list, None, depth + 1)?),
                ((number, wire), value) => {
                    let field = match number {
                        1 => Field::Null,
                        2 => Field::Double,
                        3 => Field::String,
                        4 => Field::Bool,
                        _ => continue,
                    };
                    self.scalar(field, wire)?.or(value)
                }
            };
        }
        Ok(value)
    }

    fn json_list(&self, bytes: &'a [u8], before: Option<List<'a>>, depth: u32) -> Result<'a> {
        let mut items: Vec<Value<'a>> = Vec::new();
        items.extend(before.iter().flat_map(List::iter));
        for field in fields(bytes) {
            self.call.step(1)?;
            if let (1, Wire::Bytes(item)) = field.ok_or_else(|| malformed(self.call))? {
                items.push(self.json(item, None, depth + 1)?.unwrap_or(Value::Null));
            }
        }
        self.call.reserve(items.len() * size_of::<Value<'a>>())?;
        Ok(Value::List(List::Values(
            self.call.arena.alloc_slice_copy(&items),
        )))
    }

    fn json_map(&self, bytes: &'a [u8], before: Option<Map<'a>>, depth: u32) -> Result<'a> {
        let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        entries.extend(before.iter().flat_map(Map::iter));
        for field in fields(bytes) {
            self.call.step(1)?;
            let (1, Wire::Bytes(entry)) = field.ok_or_else(|| malformed(self.call))? else {
                continue;
            };
            let (mut key, mut value) = ("", None);
            for field in fields(entry) {
                self.call.step(1)?;
                match field.ok_or_else(|| malformed(self.call))? {
                    (1, Wire::Bytes(text)) => key = utf8(self.call, text)?,
                    (2, Wire::Bytes(bytes)) => value = self.json(bytes, value, depth + 1)?,
                    _ => {}
                }
            }
            entries.push((Value::String(key), value.unwrap_or(Value::Null)));
        }
        self.call
            .reserve(entries.len() * 2 * size_of::<Value<'a>>())?;
        Ok(Value::Map(Entries::new_in(self.call.arena, &entries)))
    }
}

/// What stands behind the number of a field.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group; no known field is one.
    Group,
}

/// The fields of a message with their numbers; `None` where it is malformed, and nothing after.
fn fields<'a>(bytes: &'a [u8]) -> impl Iterator<Item = Option<(u64, Wire<'a>)>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let mut bytes = rest.filter(|bytes| !bytes.is_empty())?;
        let field = field(&mut bytes);
        rest = field.is_some().then_some(bytes);
        Some(field)
    })
}

/// Takes a field off the front.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let (number, wire_type) = tag(bytes)?;
    let wire = match wire_type {
        3 => skip_group(bytes, number)?,
        other => plain(bytes, other)?,
    };
    Some((number, wire))
}

/// Takes everything up to the end of a group, and of the groups within it.
fn skip_group<'a>(bytes: &mut &'a [u8], number: u64) -> Option<Wire<'a>> {
    let mut open = vec![number];
    while let Some(innermost) = open.last() {
        match tag(bytes)? {
            (number, 3) => open.push(number),
            (number, 4) if number == *innermost => {
                open.pop();
            }
            (_, other) => {
                plain(bytes, other)?;
            }
        }
    }
    Some(Wire::Group)
}

/// The greatest number a field may have.
const MAX_FIELD: u64 = (1 << 29) - 1;

fn tag(bytes: &mut &[u8]) -> Option<(u64, u64)> {
    let tag = varint(bytes)?;
    let number = tag >> 3;
    (1..=MAX_FIELD)
        .contains(&number)
        .then_some((number, tag & 7))
}

/// What is no group; an end of a group that none was opened for is malformed.
fn plain<'a>(bytes: &mut &'a [u8], wire_type: u64) -> Option<Wire<'a>> {
    Some(match wire_type {
        0 => Wire::Varint(varint(bytes)?),
        1 => Wire::Fixed64(u64::from_le_bytes(*take_array(bytes)?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Wire::Bytes(value)
        }
        5 => Wire::Fixed32(u32::from_le_bytes(*take_array(bytes)?)),
        _ => return None,
    })
}

fn take_array<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (value, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(value)
}

/// At most ten bytes, of which the last one is at most 1.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for at in 0..10_u32 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if at == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
