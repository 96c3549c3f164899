//! CEL values as native Go values, for configurations (`dynamic.ObjectVal.ConvertToNative`).

use std::collections::BTreeMap;

use super::super::merge::{Configuration, Foreign};
use super::{GivenError, below, spend};
use crate::cel::encode::go;
use crate::cel::value::quote::quote;
use crate::cel::value::{List, Map, Message, Value};
use crate::json::{Json, MAX_DEPTH};

pub(super) struct Native {
    /// The parts that may still be converted.
    pub(super) left: usize,
}

impl Native {
    pub(super) fn root(mut self, message: &Message<'_>) -> Result<Configuration, GivenError> {
        self.fields(message, MAX_DEPTH)?
            .map_err(|_| GivenError::Root)
    }

    /// The fields of an object; the error that Go makes of it if one cannot be converted.
    pub(super) fn fields(
        &mut self,
        message: &Message<'_>,
        depth: usize,
    ) -> Result<Result<Configuration, String>, GivenError> {
        spend(&mut self.left)?;
        let depth = below(depth)?;
        let mut fields = BTreeMap::new();
        for (name, value) in message.fields {
            match self.field(value, depth)? {
                Ok(value) => fields.insert((*name).to_owned(), value),
                Err(fault) => {
                    return Ok(Err(format!(
                        "fail to convert field {}: {fault}",
                        quote(name)
                    )));
                }
            };
        }
        Ok(Ok(Configuration::Object(fields)))
    }

    /// A value in a field: lists and maps written there are converted (`convertField`).
    fn field(
        &mut self,
        value: &Value<'_>,
        depth: usize,
    ) -> Result<Result<Configuration, String>, GivenError> {
        match value {
            Value::Optional(Some(inner)) => self.field(inner, below(depth)?),
            Value::List(List::Values([])) => Ok(Ok(Configuration::NoItems)),
            Value::List(List::Values(items)) => {
                let depth = below(depth)?;
                let items = items.iter().map(|item| self.value(item, depth));
                Ok(Ok(Configuration::List(items.collect::<Result<_, _>>()?)))
            }
            Value::Map(Map::Computed(entries)) => {
                let depth = below(depth)?;
                let mut fields = BTreeMap::new();
                for (key, value) in entries.as_slice() {
                    let Value::String(key) = key else {
                        return Ok(Err(no_text(key)));
                    };
                    fields.insert((*key).to_owned(), self.value(value, depth)?);
                }
                Ok(Ok(Configuration::Object(fields)))
            }
            value => self.value(value, depth).map(Ok),
        }
    }

    /// A value (`ref.Val.Value`).
    fn value(&mut self, value: &Value<'_>, depth: usize) -> Result<Configuration, GivenError> {
        spend(&mut self.left)?;
        Ok(match value {
            Value::Bool(value) => Configuration::Bool(*value),
            Value::Int(value) => Configuration::Int(*value),
            Value::Double(value) => Configuration::Double(*value),
            Value::String(text) | Value::Type(text) => Configuration::Text((*text).to_owned()),
            Value::Optional(None) => Configuration::Null,
            Value::Optional(Some(inner)) => self.value(inner, below(depth)?)?,
            Value::List(List::Document(items)) => {
                let depth = below(depth)?;
                let items = items.iter().map(|item| self.document(item, depth));
                Configuration::List(items.collect::<Result<_, _>>()?)
            }
            Value::List(List::Joined(items)) => {
                let depth = below(depth)?;
                let items = items.iter().map(|item| self.value(item, depth));
                Configuration::List(items.collect::<Result<_, _>>()?)
            }
            Value::Map(Map::Document(object)) => self.document(&Json::Object(object), depth)?,
            Value::Message(message) if message.name != "JSONPatch" => {
                match self.fields(message, depth)? {
                    Ok(object) => object,
                    Err(fault) => pointer("*types.Err", fault),
                }
            }
            other => foreign(other),
        })
    }

    /// A part of the request, whose nulls are no values.
    fn document(&mut self, value: &Json<'_>, depth: usize) -> Result<Configuration, GivenError> {
        spend(&mut self.left)?;
        Ok(match value {
            Json::Null => Configuration::Null,
            Json::Bool(value) => Configuration::Bool(*value),
            Json::Int(value) => Configuration::Int(*value),
            Json::Double(value) => Configuration::Double(*value),
            Json::String(text) => Configuration::Text((*text).to_owned()),
            Json::List(items) => {
                let depth = below(depth)?;
                let items = items.iter().map(|item| self.document(item, depth));
                Configuration::List(items.collect::<Result<_, _>>()?)
            }
            Json::Object(object) => {
                let depth = below(depth)?;
                let mut fields = BTreeMap::new();
                for (name, field) in object.entries() {
                    fields.insert((*name).to_owned(), self.document(field, depth)?);
                }
                Configuration::Object(fields)
            }
        })
    }
}

/// What Go says of a key that is no text.
fn no_text(key: &Value<'_>) -> String {
    let (shown, of) = match key {
        Value::Int(key) => (letter(u32::try_from(*key).ok()), "types.Int"),
        Value::Uint(key) => (letter(u32::try_from(*key).ok()), "types.Uint"),
        Value::Bool(key) => (format!("%!q(types.Bool={key})"), "types.Bool"),
        other => (String::new(), other.declared_type_name()),
    };
    format!("map key {shown} is of type {of}, not string")
}

/// A number as Go quotes it: as a letter.
fn letter(code: Option<u32>) -> String {
    let letter = code
        .and_then(char::from_u32)
        .unwrap_or(char::REPLACEMENT_CHARACTER);
    let quoted = match letter {
        '"' => "\"".to_owned(),
        '\'' => "\\'".to_owned(),
        letter => {
            let quoted = quote(&letter.to_string());
            let inner = quoted.get(1..quoted.len().saturating_sub(1));
            inner.unwrap_or_default().to_owned()
        }
    };
    format!("'{quoted}'")
}

/// How many bytes are told of bytes.
const SHOWN_BYTES: usize = 64;

/// A value of a type that the merge does not know. Of lists and maps written inside of others, and of
/// what Go tells by its address, not all is told as Go tells it.
fn foreign(value: &Value<'_>) -> Configuration {
    match value {
        Value::Null => Configuration::Foreign(Foreign::null()),
        Value::Uint(value) => Configuration::Foreign(Foreign::uint(*value)),
        Value::Bytes(bytes) => {
            let shown = bytes.iter().take(SHOWN_BYTES);
            let plain: Vec<String> = shown.clone().map(u8::to_string).collect();
            let source: Vec<String> = shown.map(|byte| format!("{byte:#x}")).collect();
            Configuration::Foreign(Foreign {
                type_name: "[]uint8".to_owned(),
                plain: format!("[{}]", plain.join(" ")),
                source: format!("[]uint8{{{}}}", source.join(", ")),
            })
        }
        Value::Duration(value) => Configuration::Foreign(Foreign {
            type_name: "time.Duration".to_owned(),
            plain: go::duration(*value),
            source: value.nanos.to_string(),
        }),
        Value::Timestamp(value) => {
            let plain = value.to_string().replace('T', " ");
            literal("time.Time", plain.replace('Z', " +0000 UTC"))
        }
        Value::List(_) => literal("[]ref.Val", "[…]".to_owned()),
        Value::Map(_) => literal("map[ref.Val]ref.Val", "map[…]".to_owned()),
        Value::Quantity(quantity) => pointer("*resource.Quantity", quantity.to_string()),
        Value::Url(url) => pointer("*url.URL", url.to_string()),
        Value::Ip(address) => literal("netip.Addr", address.to_string()),
        Value::Cidr(network) => literal("netip.Prefix", network.to_string()),
        Value::Semver(version) => literal("semver.Version", version.to_string()),
        Value::Format(format) => literal("cel.Format", format!("{{{}}}", format.name)),
        Value::Access(_) => pointer("*types.Err", "no such overload".to_owned()),
        _ => pointer("*mutation.JSONPatchVal", String::new()),
    }
}

fn literal(type_name: &str, plain: String) -> Configuration {
    Configuration::Foreign(Foreign {
        type_name: type_name.to_owned(),
        source: format!("{type_name}{{…}}"),
        plain,
    })
}

fn pointer(type_name: &str, plain: String) -> Configuration {
    Configuration::Foreign(Foreign {
        type_name: type_name.to_owned(),
        source: format!("({type_name})(0x0)"),
        plain,
    })
}
