//! Objects and configurations under one view, and their values as Go prints them in errors.

use std::collections::btree_map;

use serde_json::{Value, map};

use super::given::{Configuration, Foreign};
use crate::cel::value::number::format_double;
use crate::cel::value::quote::quote;

/// A value of an object or of a configuration.
pub(super) trait Tree: Sized {
    /// The fields of an object.
    type Fields<'v>: Iterator<Item = (&'v String, &'v Self)>
    where
        Self: 'v;

    /// What kind of value it is.
    fn look(&self) -> Look<'_, Self>;

    /// The fields, if it is an object.
    fn fields(&self) -> Option<Self::Fields<'_>>;

    /// A field, if it is an object that has it.
    fn field(&self, name: &str) -> Option<&Self>;
}

/// The kinds of values.
pub(super) enum Look<'v, T> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'v str),
    List(&'v [T]),
    Object,
    Foreign(&'v Foreign),
}

impl Tree for Value {
    type Fields<'v> = map::Iter<'v>;

    fn look(&self) -> Look<'_, Self> {
        match self {
            Value::Null => Look::Null,
            Value::Bool(value) => Look::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Look::Int(number),
                (None, number) => Look::Double(number.unwrap_or_default()),
            },
            Value::String(text) => Look::Text(text),
            Value::Array(items) => Look::List(items),
            Value::Object(_) => Look::Object,
        }
    }

    fn fields(&self) -> Option<Self::Fields<'_>> {
        self.as_object().map(|fields| fields.iter())
    }

    fn field(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }
}

impl Tree for Configuration {
    type Fields<'v> = btree_map::Iter<'v, String, Configuration>;

    fn look(&self) -> Look<'_, Self> {
        match self {
            Configuration::Null => Look::Null,
            Configuration::Bool(value) => Look::Bool(*value),
            Configuration::Int(value) => Look::Int(*value),
            Configuration::Double(value) => Look::Double(*value),
            Configuration::Text(text) => Look::Text(text),
            Configuration::List(items) => Look::List(items),
            Configuration::NoItems => Look::List(&[]),
            Configuration::Object(_) => Look::Object,
            Configuration::Foreign(foreign) => Look::Foreign(foreign),
        }
    }

    fn fields(&self) -> Option<Self::Fields<'_>> {
        match self {
            Configuration::Object(fields) => Some(fields.iter()),
            _ => None,
        }
    }

    fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Configuration::Object(fields) => fields.get(name),
            _ => None,
        }
    }
}

/// How much of a value is told in an error.
const SHOWN_BYTES: usize = 1024;

/// The Go type of a value (`%T`).
pub(super) fn type_name<T: Tree>(value: &T) -> String {
    let name = match value.look() {
        Look::Null => "<nil>",
        Look::Bool(_) => "bool",
        Look::Int(_) => "int64",
        Look::Double(_) => "float64",
        Look::Text(_) => "string",
        Look::List(_) => "[]interface {}",
        Look::Object => "map[string]interface {}",
        Look::Foreign(foreign) => &foreign.type_name,
    };
    name.to_owned()
}

/// A value as Go prints the wrapper around it (`%v`): `&{web}`.
pub(super) fn plain<T: Tree>(value: &T) -> String {
    let mut text = "&{".to_owned();
    push_plain(&mut text, value);
    text.push('}');
    text
}

fn push_plain<T: Tree>(text: &mut String, value: &T) {
    if text.len() > SHOWN_BYTES {
        return;
    }
    match value.look() {
        Look::Null => text.push_str("<nil>"),
        Look::Bool(value) => text.push_str(&value.to_string()),
        Look::Int(value) => text.push_str(&value.to_string()),
        Look::Double(value) => text.push_str(&format_double(value)),
        Look::Text(value) => text.push_str(value),
        Look::List(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(' ');
                }
                push_plain(text, item);
            }
            text.push(']');
        }
        Look::Object => {
            text.push_str("map[");
            for (at, (name, field)) in sorted(value).into_iter().enumerate() {
                if at > 0 {
                    text.push(' ');
                }
                text.push_str(name);
                text.push(':');
                push_plain(text, field);
            }
            text.push(']');
        }
        Look::Foreign(foreign) => text.push_str(&foreign.plain),
    }
}

/// A value as Go writes the wrapper around it in its own syntax (`%#v`).
pub(super) fn source<T: Tree>(value: &T) -> String {
    let mut text = "&value.valueUnstructured{Value:".to_owned();
    push_source(&mut text, value);
    text.push('}');
    text
}

fn push_source<T: Tree>(text: &mut String, value: &T) {
    if text.len() > SHOWN_BYTES {
        return;
    }
    match value.look() {
        Look::Null => text.push_str("interface {}(nil)"),
        Look::Bool(value) => text.push_str(&value.to_string()),
        Look::Int(value) => text.push_str(&value.to_string()),
        Look::Double(value) => text.push_str(&format_double(value)),
        Look::Text(value) => text.push_str(&quote(value)),
        Look::List([]) => text.push_str("[]interface {}(nil)"),
        Look::List(items) => {
            text.push_str("[]interface {}{");
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                push_source(text, item);
            }
            text.push('}');
        }
        Look::Object => {
            text.push_str("map[string]interface {}{");
            for (at, (name, field)) in sorted(value).into_iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                text.push_str(&quote(name));
                text.push(':');
                push_source(text, field);
            }
            text.push('}');
        }
        Look::Foreign(foreign) => text.push_str(&foreign.source),
    }
}

/// The fields of an object in order of name.
pub(super) fn sorted<T: Tree>(value: &T) -> Vec<(&String, &T)> {
    let mut fields: Vec<_> = value.fields().into_iter().flatten().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}
