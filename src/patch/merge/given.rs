//! What the expression of an `ApplyConfiguration` gives, as the API server converts it.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// A configuration: the native Go value of a CEL value (apiserver `pkg/cel/mutation/dynamic`,
/// `ObjectVal.ConvertToNative`).
///
/// Only objects, and lists and maps directly in a field of an object, are converted into what the
/// merge understands. Everything else is [`Configuration::Foreign`] and refused wherever a schema has
/// a place for it: null, `uint`, bytes, durations, timestamps, types, and lists and maps that are
/// themselves written inside of a list or a map ([`crate::patch::given::configuration`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Configuration {
    /// No value (`nil`): what `optional.none()` is; CEL's `null` is foreign.
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer (`int64`).
    Int(i64),
    /// A double (`float64`).
    Double(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Configuration>),
    /// `[]` written in the expression: a slice that nothing was appended to, null in the object.
    NoItems,
    /// An object, or a map in a field of one.
    Object(BTreeMap<String, Configuration>),
    /// A value that the merge does not understand.
    Foreign(Foreign),
}

/// A Go value that is none of an unstructured object, as Go prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its type (`%T`): `uint64`.
    pub type_name: String,
    /// The value (`%v`): `1`.
    pub plain: String,
    /// The value in Go's syntax (`%#v`): `0x1`.
    pub source: String,
}

impl Foreign {
    /// Returns CEL's `null`.
    pub fn null() -> Self {
        Foreign {
            type_name: "structpb.NullValue".to_owned(),
            plain: "NULL_VALUE".to_owned(),
            source: "0".to_owned(),
        }
    }

    /// Returns a `uint`.
    pub fn uint(value: u64) -> Self {
        Foreign {
            type_name: "uint64".to_owned(),
            plain: value.to_string(),
            source: format!("{value:#x}"),
        }
    }
}

impl From<&Value> for Configuration {
    /// Reads a configuration from JSON, as if it were written in an expression: `null` and `[]` are
    /// those of CEL. Numbers without fraction and exponent are integers.
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Configuration::Foreign(Foreign::null()),
            Value::Bool(value) => Configuration::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Configuration::Int(number),
                (None, number) => Configuration::Double(number.unwrap_or_default()),
            },
            Value::String(text) => Configuration::Text(text.clone()),
            Value::Array(items) if items.is_empty() => Configuration::NoItems,
            Value::Array(items) => Configuration::List(items.iter().map(Self::from).collect()),
            Value::Object(fields) => Configuration::Object(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::from(value)))
                    .collect(),
            ),
        }
    }
}

impl Configuration {
    /// Returns the text at a path of fields, if there is one.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        let found = path.iter().try_fold(self, |value, field| match value {
            Configuration::Object(fields) => fields.get(*field),
            _ => None,
        });
        match found? {
            Configuration::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as it is in the object. What is foreign was refused before.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Configuration::Null => Value::Null,
            Configuration::Bool(value) => Value::Bool(*value),
            Configuration::Int(value) => Value::from(*value),
            Configuration::Double(value) => number(*value),
            Configuration::Text(text) => Value::String(text.clone()),
            Configuration::NoItems => Value::Null,
            Configuration::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Configuration::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
            Configuration::Foreign(_) => Value::Null,
        }
    }
}

/// A double as it is in the object once that is written: a whole one has no fraction.
fn number(value: f64) -> Value {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= WHOLE {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
