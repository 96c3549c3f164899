//! Values as text: as ordinary JSON, as JSON that keeps every type, and as CEL.
//!
//! A value may share its parts and so stand for far more text than the memory it takes
//! (`[x, x]` of `[y, y]` of …): every writing is bounded, and done without recursion.

pub mod go;
#[cfg(test)]
mod tests;

use super::protobuf;
use super::value::{List, Map, Message, Timestamp, Value};

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// JSON as a reader of the value expects it; types may be lost: `1u` is `1`, bytes are base64.
    Plain,
    /// JSON with the type of every part: `{"uint":"1"}`, maps as sorted pairs.
    Typed,
    /// An expression that gives the value: `{"a": 1u}`.
    Expression,
    /// The same with a line for each item.
    Lines,
}

/// What was written of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// All of it.
    Whole(String),
    /// Only its beginning: more would have exceeded the bound.
    Cut(String),
}

impl Written {
    /// Returns the whole text; `None` if there is more than was allowed.
    pub fn whole(self) -> Option<String> {
        match self {
            Written::Whole(text) => Some(text),
            Written::Cut(_) => None,
        }
    }
}

/// Writes a value in at most about `limit_bytes` (a scalar is finished).
pub fn write(value: &Value<'_>, notation: Notation, limit_bytes: usize) -> Written {
    let mut pending = vec![Step::Value(*value, notation)];
    let mut text = String::new();
    let mut depth = 0;
    while let Some(step) = pending.pop() {
        if text.len() > limit_bytes {
            return Written::Cut(text);
        }
        match step {
            Step::Text(piece) => text.push_str(piece),
            Step::Scalar(value) => push_key(&mut text, &value),
            Step::Value(value, notation) => match value {
                Value::List(list) => {
                    text.push_str(notation.list_opens());
                    depth += 1;
                    pending.push(Step::Items(list, 0, notation));
                }
                Value::Map(map) => {
                    text.push_str(notation.map_opens());
                    depth += 1;
                    let entries = notation.entries(&map);
                    pending.push(Step::Entries(entries.into_iter(), 0, notation));
                }
                Value::Message(message) if notation == Notation::Typed => {
                    text.push_str("{\"object\":{\"type\":");
                    push_string(&mut text, message.name);
                    text.push_str(",\"value\":");
                    pending.push(Step::Text("}}"));
                    if protobuf::descriptor(message.name).is_some() {
                        push_string(&mut text, &protobuf_text(message));
                    } else {
                        pending.push(Step::Value(value, Notation::Plain));
                    }
                }
                Value::Message(message) => {
                    let (name, entries) = notation.message(message);
                    text.push_str(name);
                    text.push_str(notation.map_opens());
                    depth += 1;
                    pending.push(Step::Entries(entries.into_iter(), 0, notation));
                }
                Value::Optional(Some(inner)) => {
                    let (opens, closes) = notation.optional();
                    text.push_str(opens);
                    pending.push(Step::Text(closes));
                    pending.push(Step::Value(*inner, notation));
                }
                scalar => notation.scalar(&mut text, &scalar),
            },
            Step::Items(list, at, notation) => match list.get(at) {
                None => {
                    depth -= 1;
                    if at > 0 {
                        notation.push_break(&mut text, depth);
                    }
                    text.push_str(notation.list_closes());
                }
                Some(item) => {
                    if at > 0 {
                        text.push_str(notation.separator());
                    }
                    notation.push_break(&mut text, depth);
                    pending.push(Step::Items(list, at + 1, notation));
                    pending.push(Step::Value(item, notation));
                }
            },
            Step::Entries(mut entries, at, notation) => match entries.next() {
                None => {
                    depth -= 1;
                    if at > 0 {
                        notation.push_break(&mut text, depth);
                    }
                    text.push_str(notation.map_closes());
                }
                Some((key, value)) => {
                    if at > 0 {
                        text.push_str(notation.separator());
                    }
                    notation.push_break(&mut text, depth);
                    pending.push(Step::Entries(entries, at + 1, notation));
                    notation.entry(&mut pending, key, value);
                }
            },
        }
    }
    Written::Whole(text)
}

/// A message of `google.protobuf` as Go prints it: `key:"a" value:{number_value:1}`.
fn protobuf_text(message: &Message<'_>) -> String {
    let mut text = String::new();
    for (name, value) in known_fields(message) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
        text.push(':');
        match (name, value) {
            ("value", value) => push_json_text(&mut text, &value),
            (_, value) => push_plain(&mut text, &value),
        }
    }
    text
}

/// The most of a message that is written as text.
const MESSAGE_LIMIT_BYTES: usize = 64 << 10;

/// Writes a value of JSON as the message it is: `{list_value:{values:{bool_value:true}}}`. No value
/// in a message is nested more deeply than its conversion allows (`protobuf::native`).
fn push_json_text(text: &mut String, value: &Value<'_>) {
    if text.len() > MESSAGE_LIMIT_BYTES {
        return;
    }
    match value {
        Value::Null => text.push_str("{null_value:NULL_VALUE}"),
        Value::Bool(value) => text.push_str(&format!("{{bool_value:{value}}}")),
        Value::Double(value) => {
            let number = super::value::number::format_double(*value);
            let number = match number.as_str() {
                "NaN" => "nan",
                "+Inf" => "inf",
                "-Inf" => "-inf",
                number => number,
            };
            text.push_str(&format!("{{number_value:{number}}}"));
        }
        Value::String(value) => {
            text.push_str("{string_value:");
            push_string(text, value);
            text.push('}');
        }
        Value::List(list) => {
            text.push_str("{list_value:{");
            for (at, item) in list.iter().enumerate() {
                text.push_str(if at > 0 { " values:" } else { "values:" });
                push_json_text(text, &item);
            }
            text.push_str("}}");
        }
        Value::Map(map) => {
            text.push_str("{struct_value:{");
            for (at, (key, item)) in Notation::Plain.entries(map).iter().enumerate() {
                text.push_str(if at > 0 {
                    " fields:{key:"
                } else {
                    "fields:{key:"
                });
                push_plain(text, key);
                text.push_str(" value:");
                push_json_text(text, item);
                text.push('}');
            }
            text.push_str("}}");
        }
        _ => {}
    }
}

/// The fields of a message without the one that has no name: what was unknown of one that was read.
fn known_fields<'a>(message: &Message<'a>) -> impl Iterator<Item = (&'a str, Value<'a>)> {
    let fields = message.fields.iter().copied();
    fields.filter(|(name, _)| !name.is_empty())
}

/// The key of a message's field is a name, which is written as types are.
fn is_key(key: &Value<'_>, name: &str) -> bool {
    matches!(key, Value::Type(key) if *key == name)
}

/// A key or the name of a field, with its value.
type Entry<'a> = (Value<'a>, Value<'a>);

/// Something still to be written; the last one comes first.
enum Step<'a> {
    Text(&'static str),
    /// A key as a string of JSON.
    Scalar(Value<'a>),
    Value(Value<'a>, Notation),
    Items(List<'a>, usize, Notation),
    Entries(std::vec::IntoIter<Entry<'a>>, usize, Notation),
}

impl Notation {
    fn list_opens(self) -> &'static str {
        match self {
            Notation::Plain | Notation::Expression | Notation::Lines => "[",
            Notation::Typed => "{\"list\":[",
        }
    }

    fn list_closes(self) -> &'static str {
        match self {
            Notation::Plain | Notation::Expression | Notation::Lines => "]",
            Notation::Typed => "]}",
        }
    }

    fn map_opens(self) -> &'static str {
        match self {
            Notation::Plain | Notation::Expression | Notation::Lines => "{",
            Notation::Typed => "{\"map\":[",
        }
    }

    fn map_closes(self) -> &'static str {
        match self {
            Notation::Plain | Notation::Expression | Notation::Lines => "}",
            Notation::Typed => "]}",
        }
    }

    fn optional(self) -> (&'static str, &'static str) {
        match self {
            Notation::Plain | Notation::Typed => ("{\"optional\":", "}"),
            Notation::Expression | Notation::Lines => ("optional.of(", ")"),
        }
    }

    fn separator(self) -> &'static str {
        match self {
            Notation::Plain | Notation::Typed => ",",
            Notation::Expression => ", ",
            Notation::Lines => ",",
        }
    }

    /// Begins a line, if items have lines of their own.
    fn push_break(self, text: &mut String, depth: usize) {
        if self == Notation::Lines {
            text.push('\n');
            text.extend(std::iter::repeat_n("  ", depth));
        }
    }

    /// The entries in the order they are written: of JSON by key, so that equal maps are equal
    /// texts.
    fn entries<'a>(self, map: &Map<'a>) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = map.iter().collect();
        if matches!(self, Notation::Plain | Notation::Typed) {
            entries.sort_by_cached_key(|(key, _)| key_text(key));
        }
        entries
    }

    /// The fields of a message as entries, and what stands before them: in an expression its name.
    ///
    /// In JSON a patch has `op` and `path` even if they are not set, and no empty `from`.
    fn message<'a>(self, message: &Message<'a>) -> (&'a str, Vec<Entry<'a>>) {
        let fields = known_fields(message);
        let fields = fields.map(|(field, value)| (Value::Type(field), value));
        if self != Notation::Plain {
            return (message.name, fields.collect());
        }
        let mut fields: Vec<Entry<'a>> = fields.collect();
        if message.name == "JSONPatch" {
            let is_empty = |value: &Value<'_>| matches!(value, Value::String(""));
            fields.retain(|(field, value)| !(is_key(field, "from") && is_empty(value)));
            for name in ["op", "path"] {
                if message.get(name).is_none() {
                    fields.push((Value::Type(name), Value::String("")));
                }
            }
        }
        fields.sort_by_cached_key(|(key, _)| key_text(key));
        ("", fields)
    }

    fn entry<'a>(self, pending: &mut Vec<Step<'a>>, key: Value<'a>, value: Value<'a>) {
        let (before_key, between, after) = match self {
            Notation::Plain => ("", ":", ""),
            Notation::Typed => ("[", ",", "]"),
            Notation::Expression | Notation::Lines => ("", ": ", ""),
        };
        pending.push(Step::Text(after));
        pending.push(Step::Value(value, self));
        pending.push(Step::Text(between));
        pending.push(match self {
            Notation::Plain => Step::Scalar(key),
            Notation::Typed => Step::Value(key, self),
            Notation::Expression | Notation::Lines => Step::Value(key, Notation::Expression),
        });
        pending.push(Step::Text(before_key));
    }

    /// Writes a value without parts.
    fn scalar(self, text: &mut String, value: &Value<'_>) {
        match self {
            Notation::Plain => push_plain(text, value),
            Notation::Typed => push_typed(text, value),
            Notation::Expression | Notation::Lines => push_expression(text, value),
        }
    }
}

fn push_plain(text: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Uint(value) => text.push_str(&value.to_string()),
        Value::Double(value) if value.is_finite() => text.push_str(&go::json_number(*value)),
        Value::Optional(None) => text.push_str("{\"optional\":\"none\"}"),
        Value::Bytes(value) => push_string(text, &base64(value)),
        Value::Duration(value) => push_string(text, &go::duration(*value)),
        Value::Timestamp(value) => push_string(text, &utc(*value)),
        other => push_string(text, &spelled(other)),
    }
}

fn push_typed(text: &mut String, value: &Value<'_>) {
    let (kind, inner) = match value {
        Value::Null => ("null", None),
        Value::Optional(None) => ("optional", None),
        Value::Bool(value) => {
            text.push_str(if *value {
                "{\"bool\":true}"
            } else {
                "{\"bool\":false}"
            });
            return;
        }
        Value::Int(value) => ("int", Some(value.to_string())),
        Value::Uint(value) => ("uint", Some(value.to_string())),
        Value::Double(value) => ("double", Some(super::value::number::format_double(*value))),
        Value::String(value) => ("string", Some((*value).to_owned())),
        Value::Bytes(value) => ("bytes", Some(base64(value))),
        Value::Duration(value) => ("duration", Some(value.nanos.to_string())),
        Value::Timestamp(value) => ("timestamp", Some(utc(*value))),
        Value::Type(name) => ("type", Some((*name).to_owned())),
        other => {
            text.push_str("{\"object\":{\"type\":");
            push_string(text, other.type_name());
            text.push_str(",\"value\":");
            push_plain(text, other);
            text.push_str("}}");
            return;
        }
    };
    text.push_str("{\"");
    text.push_str(kind);
    text.push_str("\":");
    match inner {
        Some(inner) => push_string(text, &inner),
        None => text.push_str("null"),
    }
    text.push('}');
}

fn push_expression(text: &mut String, value: &Value<'_>) {
    let (function, argument) = match value {
        Value::Null => return text.push_str("null"),
        Value::Bool(value) => return text.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => return text.push_str(&value.to_string()),
        Value::Uint(value) => return text.push_str(&format!("{value}u")),
        Value::Double(value) if value.is_finite() => return text.push_str(&format!("{value:?}")),
        Value::String(value) => return push_string(text, value),
        Value::Type(name) => return text.push_str(name),
        Value::Optional(None) => return text.push_str("optional.none()"),
        Value::Bytes(bytes) => {
            text.push('b');
            return text.push_str(&super::value::quote::quote_bytes(bytes));
        }
        Value::Format(_) => {
            text.push_str("format.");
            return text.push_str(&spelled(value));
        }
        Value::Double(_) => ("double", spelled(value)),
        Value::Duration(value) => ("duration", go::duration(*value)),
        Value::Timestamp(value) => ("timestamp", value.to_string()),
        Value::Quantity(_) => ("quantity", spelled(value)),
        Value::Url(_) => ("url", spelled(value)),
        Value::Ip(_) => ("ip", spelled(value)),
        Value::Cidr(_) => ("cidr", spelled(value)),
        Value::Semver(_) => ("semver", spelled(value)),
        other => return text.push_str(other.type_name()),
    };
    text.push_str(function);
    text.push('(');
    push_string(text, &argument);
    text.push(')');
}

/// The text that a value of a library, or one that JSON has no number for, is made of.
fn spelled(value: &Value<'_>) -> String {
    match value {
        Value::String(text) => (*text).to_owned(),
        Value::Double(value) => super::value::number::format_double(*value),
        Value::Type(name) => (*name).to_owned(),
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Url(url) => url.to_string(),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(network) => network.to_string(),
        Value::Semver(version) => version.to_string(),
        Value::Format(format) => format.name.to_owned(),
        other => other.type_name().to_owned(),
    }
}

/// A key as the name of a member: what Go prints of it.
fn push_key(text: &mut String, key: &Value<'_>) {
    push_string(text, &key_text(key));
}

/// The most of a key that is no scalar which is looked at to put keys in order.
const KEY_LIMIT_BYTES: usize = 4096;

fn key_text(key: &Value<'_>) -> String {
    match key {
        Value::Null => "NULL_VALUE".to_owned(),
        Value::String(text) => (*text).to_owned(),
        Value::List(_) | Value::Map(_) | Value::Optional(_) => {
            match write(key, Notation::Plain, KEY_LIMIT_BYTES) {
                Written::Whole(text) | Written::Cut(text) => text,
            }
        }
        Value::Double(value) => super::value::number::format_double(*value),
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) => {
            let mut text = String::new();
            push_plain(&mut text, key);
            text
        }
        Value::Duration(value) => go::duration(*value),
        Value::Timestamp(value) => utc(*value),
        Value::Bytes(bytes) => base64(bytes),
        other => spelled(other),
    }
}

/// Writes a string of JSON, which is one of CEL too.
fn push_string(text: &mut String, string: &str) {
    // A string cannot fail to be written.
    text.push_str(&serde_json::to_string(string).unwrap_or_default());
}

fn utc(at: Timestamp) -> String {
    Timestamp {
        offset_seconds: 0,
        ..at
    }
    .to_string()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS.get(bits >> (18 - 6 * at) & 63);
            text.push(match digit {
                Some(digit) if at <= chunk.len() => char::from(*digit),
                _ => '=',
            });
        }
    }
    text
}
