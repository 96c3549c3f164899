//! What expressions give for a mutation, as the API server converts it.

use std::collections::BTreeMap;

use serde_json::{Map as Fields, Number, Value as Json};

use crate::cel::encode::{Notation, Written, write};
use crate::cel::value::quote::quote;
use crate::cel::value::{List, Map, Message, Value};
use crate::json;
use crate::patch::json::{Action, Operation};
use crate::patch::merge::{Configuration, Foreign};

/// A value may hold one part many times, and so stand for more than memory could hold.
const MAX_PARTS: usize = 1_000_000;

/// As deep as an object may be, and what expressions may put around it.
const MAX_DEPTH: usize = 2 * json::MAX_DEPTH;

/// Integers up to here are numbers in JSON, larger ones text (cel-go `common/types/int.go`).
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Reads the operations of a `JSONPatch` (apiserver `plugin/policy/mutating/patch/json_patch.go`,
/// `evaluatePatchExpression`).
pub(super) fn operations(value: Value<'_>) -> Result<Vec<Operation>, String> {
    let Value::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut left = MAX_PARTS;
    let mut operations = Vec::with_capacity(list.len());
    for at in 0..list.len() {
        let Some(Value::Message(message)) = list.get(at) else {
            return Err(
                "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch"
                    .to_owned(),
            );
        };
        let text = |field: &str| match message.get(field) {
            Some(Value::String(text)) => text.to_owned(),
            _ => String::new(),
        };
        let value = match message.get("value") {
            None => None,
            Some(value) => {
                if let Value::Message(object) = value {
                    names_fit(object)?;
                }
                Some(to_json(value, MAX_DEPTH, &mut left).map_err(|problem| {
                    format!(
                        "JSONPath valueExpression evaluated to a type that could not marshal to \
                         JSON: {problem}"
                    )
                })?)
            }
        };
        operations.push(Operation {
            op: Action::new(&text("op")),
            path: text("path"),
            from: text("from"),
            value,
        });
    }
    Ok(operations)
}

/// Reads an `ApplyConfiguration` (apiserver `plugin/policy/mutating/patch/smd.go`).
pub(super) fn configuration(value: Value<'_>) -> Result<Configuration, String> {
    let Value::Message(message) = value else {
        return Err(format!(
            "unsupported return type from ApplyConfiguration expression: {}",
            value.type_name()
        ));
    };
    names_fit(message)?;
    let mut left = MAX_PARTS;
    of_message(message, MAX_DEPTH, &mut left)
}

/// Checks that messages have the names of the fields that they are in (apiserver
/// `pkg/cel/mutation/dynamic`, `CheckTypeNamesMatchFieldPathNames`).
fn names_fit(message: &Message<'_>) -> Result<(), String> {
    let mut problems = Vec::new();
    let mut pending = vec![(Value::Message(message), message.name.to_owned(), MAX_DEPTH)];
    let mut left = MAX_PARTS;
    while let Some((value, path, depth)) = pending.pop() {
        left = left.checked_sub(1).ok_or_else(too_large)?;
        let Some(depth) = depth.checked_sub(1) else {
            return Err(too_large());
        };
        match value {
            Value::Message(message) => {
                if message.name != path {
                    problems.push(format!(
                        "unexpected type name {}, expected {}, which matches field name path from \
                         root Object type",
                        quote(message.name),
                        quote(&path)
                    ));
                }
                for (field, value) in message.fields {
                    pending.push((*value, format!("{path}.{field}"), depth));
                }
            }
            Value::List(List::Values(items) | List::Joined(items)) => {
                let items = items.iter().filter(|item| may_hold_messages(item));
                pending.extend(items.map(|item| (*item, path.clone(), depth)));
            }
            Value::Map(map @ Map::Computed(_)) => {
                let values = map.iter().map(|(_, value)| value);
                let values = values.filter(may_hold_messages);
                pending.extend(values.map(|value| (value, path.clone(), depth)));
            }
            _ => {}
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(format!("type mismatch: {}", problems.join("\n"))),
    }
}

fn may_hold_messages(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Message(_)
            | Value::List(List::Values(_) | List::Joined(_))
            | Value::Map(Map::Computed(_))
    )
}

fn too_large() -> String {
    "the value is too large".to_owned()
}

/// Converts as cel-go converts to `google.protobuf.Value`.
fn to_json(value: Value<'_>, depth: usize, left: &mut usize) -> Result<Json, String> {
    *left = left.checked_sub(1).ok_or_else(too_large)?;
    let depth = depth.checked_sub(1).ok_or_else(too_large)?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(value),
        Value::Int(value) if value.unsigned_abs() <= MAX_SAFE => Json::from(value),
        Value::Int(value) => Json::String(value.to_string()),
        Value::Uint(value) if value <= MAX_SAFE => Json::from(value),
        Value::Uint(value) => Json::String(value.to_string()),
        Value::Double(value) => number(value)?,
        Value::String(text) => Json::String(text.to_owned()),
        Value::List(list) => {
            let items = (0..list.len()).filter_map(|at| list.get(at));
            let items: Result<Vec<Json>, String> =
                items.map(|item| to_json(item, depth, left)).collect();
            Json::Array(items?)
        }
        Value::Map(map) => {
            let mut fields = Fields::new();
            for (key, value) in map.iter() {
                fields.insert(key_of(key)?, to_json(value, depth, left)?);
            }
            Json::Object(fields)
        }
        Value::Message(message) if message.name.starts_with("google.protobuf.") => {
            return Err(format!("unsupported type {}", message.name));
        }
        Value::Message(message) => from_configuration(&of_message(message, depth, left)?)?,
        Value::Optional(Some(inner)) => to_json(*inner, depth, left)?,
        Value::Optional(None) => return Err("optional.none() dereference".to_owned()),
        Value::Bytes(_) | Value::Duration(_) | Value::Timestamp(_) => written(&value)?,
        other => {
            return Err(format!(
                "type conversion not supported for '{}'",
                other.type_name()
            ));
        }
    })
}

/// The JSON that a scalar is written as: bytes in base64, durations in seconds, times.
fn written(value: &Value<'_>) -> Result<Json, String> {
    match write(value, Notation::Plain, 1 << 24) {
        Written::Whole(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Written::Cut(_) => Err(too_large()),
    }
}

fn number(value: f64) -> Result<Json, String> {
    if value.fract() == 0.0 && value.abs() <= MAX_SAFE as f64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number within 53 bits"
        )]
        return Ok(Json::from(value as i64));
    }
    let number = Number::from_f64(value).ok_or_else(|| {
        let name = match value {
            value if value.is_nan() => "NaN",
            value if value > 0.0 => "Infinity",
            _ => "-Infinity",
        };
        format!("google.protobuf.Value cannot have {name}")
    })?;
    Ok(Json::Number(number))
}

fn key_of(key: Value<'_>) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text.to_owned()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Uint(value) => Ok(value.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => Err(format!("unsupported key type {}", other.type_name())),
    }
}

fn of_message(
    message: &Message<'_>,
    depth: usize,
    left: &mut usize,
) -> Result<Configuration, String> {
    let depth = depth.checked_sub(1).ok_or_else(too_large)?;
    let mut fields = BTreeMap::new();
    for (name, value) in message.fields {
        *left = left.checked_sub(1).ok_or_else(too_large)?;
        let converted = match value {
            Value::List(list @ (List::Values(_) | List::Joined(_))) => {
                let items = (0..list.len()).filter_map(|at| list.get(at));
                let items: Result<Vec<Configuration>, String> =
                    items.map(|item| native(item, depth, left)).collect();
                Configuration::List(items?)
            }
            Value::Map(map @ Map::Computed(_)) => {
                let mut inner = BTreeMap::new();
                for (key, value) in map.iter() {
                    let Value::String(key) = key else {
                        return Err(format!(
                            "fail to convert field {}: map key is of type {}, not string",
                            quote(name),
                            key.type_name()
                        ));
                    };
                    inner.insert(key.to_owned(), native(value, depth, left)?);
                }
                Configuration::Object(inner)
            }
            other => native(*other, depth, left)?,
        };
        fields.insert((*name).to_owned(), converted);
    }
    Ok(Configuration::Object(fields))
}

/// The native Go value of a value (`Value()`): lists and maps that an expression made are none that
/// the merge understands.
fn native(value: Value<'_>, depth: usize, left: &mut usize) -> Result<Configuration, String> {
    *left = left.checked_sub(1).ok_or_else(too_large)?;
    let foreign = |type_name: &str| {
        let plain = match write(&value, Notation::Expression, 256) {
            Written::Whole(text) | Written::Cut(text) => text,
        };
        Configuration::Foreign(Foreign {
            type_name: type_name.to_owned(),
            source: plain.clone(),
            plain,
        })
    };
    Ok(match value {
        Value::Bool(value) => Configuration::Bool(value),
        Value::Int(value) => Configuration::Int(value),
        Value::Double(value) => Configuration::Double(value),
        Value::String(text) => Configuration::Text(text.to_owned()),
        Value::Uint(value) => Configuration::Foreign(Foreign::uint(value)),
        Value::Null => Configuration::Foreign(Foreign::null()),
        Value::Message(message) => of_message(message, depth, left)?,
        Value::Optional(Some(inner)) => {
            let depth = depth.checked_sub(1).ok_or_else(too_large)?;
            native(*inner, depth, left)?
        }
        Value::List(List::Document(_)) | Value::Map(Map::Document(_)) => {
            Configuration::from(&to_json(value, depth, left)?)
        }
        Value::List(List::Joined(items)) => {
            let items: Result<Vec<Configuration>, String> = items
                .iter()
                .map(|item| native(*item, depth, left))
                .collect();
            Configuration::List(items?)
        }
        Value::List(List::Values(_)) => foreign("[]ref.Val"),
        Value::Map(Map::Computed(_)) => foreign("map[ref.Val]ref.Val"),
        Value::Bytes(_) => foreign("[]uint8"),
        Value::Duration(_) => foreign("time.Duration"),
        Value::Timestamp(_) => foreign("time.Time"),
        _ => foreign(value.type_name()),
    })
}

/// An object as JSON in a patch (`structpb.NewStruct`).
fn from_configuration(value: &Configuration) -> Result<Json, String> {
    Ok(match value {
        Configuration::Bool(value) => Json::Bool(*value),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number of JSON is a double here"
        )]
        Configuration::Int(value) => number(*value as f64)?,
        Configuration::Double(value) => number(*value)?,
        Configuration::Text(text) => Json::String(text.clone()),
        Configuration::List(items) => {
            let items: Result<Vec<Json>, String> = items.iter().map(from_configuration).collect();
            Json::Array(items?)
        }
        Configuration::Object(fields) => {
            let mut object = Fields::new();
            for (name, value) in fields {
                object.insert(name.clone(), from_configuration(value)?);
            }
            Json::Object(object)
        }
        Configuration::Foreign(foreign) => {
            return match foreign.type_name.as_str() {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a number of JSON is a double here"
                )]
                "uint64" => number(foreign.plain.parse::<u64>().unwrap_or_default() as f64),
                name => Err(format!("invalid type: {name}")),
            };
        }
    })
}
