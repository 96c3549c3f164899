//! What the expressions of mutations give: operations and configurations, made of CEL values as the
//! API server makes them (apiserver `plugin/policy/mutating/patch`, `pkg/cel/mutation/dynamic`).

mod native;
#[cfg(test)]
mod tests;

use serde_json::{Map, Number, Value as Json};

use self::native::Native;
use super::json::{Action, Operation};
use super::merge::Configuration;
use crate::cel::encode::{Notation, Written, write};
use crate::cel::value::{List, Map as CelMap, Message, Value};
use crate::json::MAX_DEPTH;

/// The parts of values that one expression may give. Values may share their parts, and so be larger
/// than the memory they take; requests are smaller than 3 MiB.
const PART_LIMIT: usize = 1_000_000;

/// What of one text is taken: as long as a request may be.
const TEXT_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// Why a value is none of a mutation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GivenError {
    /// An expression gives no configuration.
    #[error("unsupported return type from ApplyConfiguration expression: {0}")]
    NoConfiguration(String),
    /// A field of the configuration itself cannot be converted.
    #[error("invalid return type: *dynamic.ObjectVal")]
    Root,
    /// Objects are not named after where they are.
    #[error("type mismatch: {0}")]
    Names(String),
    /// An expression gives no list of operations.
    #[error("type mismatch: JSONPatchType.expression should evaluate to array")]
    NoList,
    /// An item of the list is no operation.
    #[error("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")]
    NoOperation,
    /// The value of an operation has no JSON.
    #[error("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {0}")]
    NoJson(String),
    /// An object is in a list or a map of an operation's value: the API server ends with a panic, and
    /// answers the request with an internal error, whatever the policy's `failurePolicy`.
    #[error(
        "the value of an operation holds an object in a list or a map, which the API server cannot handle"
    )]
    Panic,
    /// The value has more parts than may be.
    #[error("the expression gives a value of more than {limit} parts")]
    TooLarge {
        /// How many there may be.
        limit: usize,
    },
    /// The value is nested more deeply than objects may be.
    #[error("the expression gives a value nested more than {limit} deep")]
    TooDeep {
        /// How deep it may be.
        limit: usize,
    },
}

/// Returns the configuration that the expression of an `ApplyConfiguration` gives.
pub fn configuration(value: &Value<'_>) -> Result<Configuration, GivenError> {
    let mut left = PART_LIMIT;
    match value {
        Value::Message(message) if message.name == "Object" => {
            check_names(value, &mut left)?;
            Native { left }.root(message)
        }
        other => Err(GivenError::NoConfiguration(other.type_name().to_owned())),
    }
}

/// Returns the operations that the expression of a `JSONPatch` gives.
pub fn operations(value: &Value<'_>) -> Result<Vec<Operation>, GivenError> {
    let Value::List(list) = value else {
        return Err(GivenError::NoList);
    };
    let mut left = PART_LIMIT;
    let operations = list.iter().map(|item| match item {
        Value::Message(message) if message.name == "JSONPatch" => operation(message, &mut left),
        _ => Err(GivenError::NoOperation),
    });
    operations.collect()
}

fn operation(message: &Message<'_>, left: &mut usize) -> Result<Operation, GivenError> {
    spend(left)?;
    let text = |name: &str| match message.get(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.to_owned()),
        Some(_) => Err(GivenError::NoOperation),
    };
    let value = match message.get("value") {
        None => None,
        // An optional is its value.
        Some(Value::Optional(Some(Value::Message(own)))) if own.name != "JSONPatch" => {
            Some(object_json(own, left)?)
        }
        Some(Value::Message(own)) if own.name == "JSONPatch" => {
            let fault = "cannot convert to native type: *structpb.Value";
            return Err(GivenError::NoJson(fault.to_owned()));
        }
        Some(object @ Value::Message(own)) => {
            check_names(&object, left)?;
            Some(object_json(own, left)?)
        }
        Some(value) => Some(json(&value, MAX_DEPTH, left)?),
    };
    Ok(Operation {
        op: Action::new(&text("op")?),
        path: text("path")?,
        from: text("from")?,
        value,
    })
}

fn object_json(object: &Message<'_>, left: &mut usize) -> Result<Json, GivenError> {
    let mut native = Native { left: *left };
    let converted = native.fields(object, MAX_DEPTH)?;
    *left = native.left;
    native_json(&converted.map_err(GivenError::NoJson)?)
}

fn spend(left: &mut usize) -> Result<(), GivenError> {
    *left = left
        .checked_sub(1)
        .ok_or(GivenError::TooLarge { limit: PART_LIMIT })?;
    Ok(())
}

fn below(depth: usize) -> Result<usize, GivenError> {
    depth
        .checked_sub(1)
        .ok_or(GivenError::TooDeep { limit: MAX_DEPTH })
}

/// Checks that objects are named after the fields they are in: `Object.spec` in `spec`.
///
/// Looks into lists and maps that are written in the expression, not into optionals of objects.
/// Semantics: `ObjectVal.CheckTypeNamesMatchFieldPathNames`.
fn check_names(value: &Value<'_>, left: &mut usize) -> Result<(), GivenError> {
    let mut names = Names {
        path: value.type_name().to_owned(),
        faults: Vec::new(),
        left,
    };
    names.value(value, MAX_DEPTH)?;
    match names.faults.is_empty() {
        true => Ok(()),
        false => Err(GivenError::Names(names.faults.join("\n"))),
    }
}

/// More faults than anyone reads are not told.
const MAX_FAULTS: usize = 100;

struct Names<'n> {
    path: String,
    faults: Vec<String>,
    left: &'n mut usize,
}

impl Names<'_> {
    fn value(&mut self, value: &Value<'_>, depth: usize) -> Result<(), GivenError> {
        spend(self.left)?;
        let depth = below(depth)?;
        match value {
            Value::Message(message) if message.name != "JSONPatch" => {
                if message.name != self.path && self.faults.len() < MAX_FAULTS {
                    self.faults.push(format!(
                        "unexpected type name \"{}\", expected \"{}\", which matches field name path from root Object type",
                        message.name, self.path
                    ));
                }
                for (name, field) in message.fields {
                    let length = self.path.len();
                    self.path.push('.');
                    self.path.push_str(name);
                    self.value(field, depth)?;
                    self.path.truncate(length);
                }
            }
            Value::List(List::Values(items)) => {
                for item in *items {
                    self.value(item, depth)?;
                }
            }
            Value::Map(CelMap::Computed(entries)) => {
                for (_, value) in entries.as_slice() {
                    self.value(value, depth)?;
                }
            }
            Value::Optional(Some(inner)) if !matches!(inner, Value::Message(_)) => {
                self.value(inner, depth)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The largest integer that is a number in JSON, and no text (cel-go `common/types`,
/// `maxIntJSON`).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

const NANOS: i64 = 1_000_000_000;

/// The JSON of a value (cel-go `ConvertToNative` to `structpb.Value`).
fn json(value: &Value<'_>, depth: usize, left: &mut usize) -> Result<Json, GivenError> {
    spend(left)?;
    match value {
        Value::Null => Ok(Json::Null),
        Value::Bool(value) => Ok(Json::Bool(*value)),
        Value::Int(value) => Ok(match value.unsigned_abs() <= MAX_SAFE_INTEGER {
            true => Json::from(*value),
            false => Json::from(value.to_string()),
        }),
        Value::Uint(value) => Ok(match *value <= MAX_SAFE_INTEGER {
            true => Json::from(*value),
            false => Json::from(value.to_string()),
        }),
        Value::Double(value) => double(*value),
        Value::String(text) => Ok(Json::from(*text)),
        Value::Duration(value) => {
            #[expect(clippy::cast_precision_loss, reason = "as Go's `Duration.Seconds`")]
            let seconds =
                (value.nanos / NANOS) as f64 + (value.nanos % NANOS) as f64 / NANOS as f64;
            Ok(Json::from(format!("{seconds}s")))
        }
        Value::Timestamp(value) => Ok(Json::from(value.to_string())),
        Value::Bytes(_) => {
            let text = match write(value, Notation::Plain, TEXT_LIMIT_BYTES) {
                Written::Whole(text) | Written::Cut(text) => text,
            };
            serde_json::from_str(&text).map_err(|error| GivenError::NoJson(error.to_string()))
        }
        Value::Optional(Some(inner)) => json(inner, below(depth)?, left),
        Value::List(list) => {
            let depth = below(depth)?;
            let items = list.iter().map(|item| json(&item, depth, left));
            Ok(Json::Array(items.collect::<Result<_, _>>()?))
        }
        Value::Map(map) => {
            let depth = below(depth)?;
            let mut fields = Map::new();
            for (key, value) in map.iter() {
                let Value::String(key) = key else {
                    let of = key.type_name();
                    return Err(GivenError::NoJson(format!(
                        "unsupported type conversion from '{of}' to string"
                    )));
                };
                fields.insert(key.to_owned(), json(&value, depth, left)?);
            }
            Ok(Json::Object(fields))
        }
        Value::Message(_) => Err(GivenError::Panic),
        other => Err(GivenError::NoJson(format!(
            "unsupported conversion from type '{}'",
            other.type_name()
        ))),
    }
}

/// The JSON of an object (`structpb.NewStruct`), whose numbers are all doubles.
fn native_json(value: &Configuration) -> Result<Json, GivenError> {
    Ok(match value {
        Configuration::Null => Json::Null,
        Configuration::Bool(value) => Json::Bool(*value),
        Configuration::Int(value) => {
            #[expect(clippy::cast_precision_loss, reason = "as `structpb` loses it")]
            let value = *value as f64;
            double(value)?
        }
        Configuration::Double(value) => double(*value)?,
        Configuration::Text(text) => Json::from(text.as_str()),
        Configuration::NoItems => Json::Array(Vec::new()),
        Configuration::List(items) => {
            Json::Array(items.iter().map(native_json).collect::<Result<_, _>>()?)
        }
        Configuration::Object(fields) => {
            let mut map = Map::with_capacity(fields.len());
            for (name, field) in fields {
                map.insert(name.clone(), native_json(field)?);
            }
            Json::Object(map)
        }
        Configuration::Foreign(foreign) => match foreign.plain.parse::<u64>() {
            Ok(number) if foreign.type_name == "uint64" => {
                #[expect(clippy::cast_precision_loss, reason = "as `structpb` loses it")]
                let number = number as f64;
                double(number)?
            }
            _ => {
                return Err(GivenError::NoJson(format!(
                    "proto: invalid type: {}",
                    foreign.type_name
                )));
            }
        },
    })
}

/// A double as it is read back: a whole one is an integer.
fn double(value: f64) -> Result<Json, GivenError> {
    let number = Number::from_f64(value)
        .ok_or_else(|| GivenError::NoJson(format!("unsupported value: {value}")))?;
    Ok(Json::Number(super::json::document::whole(&number)))
}
