//! Types of the tests (`cel.expr.Type`): as declarations, and as the checker writes them.

use portcullis::cel::types::Type;
use prost_reflect::{DynamicMessage, Value as Field};

use super::suite::{choice, message, messages, text_of};

const PRIMITIVES: [Type; 7] = [
    Type::Dyn,
    Type::Bool,
    Type::Int,
    Type::Uint,
    Type::Double,
    Type::String,
    Type::Bytes,
];

const WELL_KNOWN: [&str; 4] = [
    "",
    "google.protobuf.Any",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
];

/// The declaration of a type; `None` if a variable cannot be declared with it.
pub(crate) fn declared(kind: &DynamicMessage) -> Option<Type> {
    let (name, field) = choice(kind, "type_kind")?;
    let leaked = |kind: DynamicMessage| -> Option<&'static Type> {
        Some(Box::leak(Box::new(declared(&kind)?)))
    };
    Some(match (name.as_str(), &field) {
        ("dyn", _) => Type::Dyn,
        ("null", _) => Type::Null,
        ("primitive", Field::EnumNumber(at)) => *PRIMITIVES.get(usize::try_from(*at).ok()?)?,
        ("well_known", Field::EnumNumber(2)) => Type::Timestamp,
        ("well_known", Field::EnumNumber(3)) => Type::Duration,
        ("list_type", Field::Message(list)) => Type::List(leaked(message(list, "elem_type")?)?),
        ("map_type", Field::Message(map)) => Type::Map(
            leaked(message(map, "key_type")?)?,
            leaked(message(map, "value_type")?)?,
        ),
        ("message_type", Field::String(name)) => match name.as_str() {
            "google.protobuf.Timestamp" => Type::Timestamp,
            "google.protobuf.Duration" => Type::Duration,
            _ => return None,
        },
        ("type", _) => Type::Type,
        ("abstract_type", Field::Message(it)) if text_of(it, "name") == "optional_type" => {
            Type::Optional(leaked(messages(it, "parameter_types").pop()?)?)
        }
        _ => return None,
    })
}

/// A type as the checker writes it.
pub(crate) fn written(kind: &DynamicMessage) -> String {
    let Some((name, field)) = choice(kind, "type_kind") else {
        return "dyn".to_owned();
    };
    let primitive = |at: i32| PRIMITIVES.get(usize::try_from(at).unwrap()).unwrap();
    let part = |of: &DynamicMessage, field: &str| written(&message(of, field).unwrap());
    match (name.as_str(), &field) {
        ("null", _) => "null_type".to_owned(),
        ("primitive", Field::EnumNumber(at)) => primitive(*at).to_string(),
        ("wrapper", Field::EnumNumber(at)) => format!("wrapper({})", primitive(*at)),
        ("well_known", Field::EnumNumber(at)) => {
            let name = WELL_KNOWN.get(usize::try_from(*at).unwrap());
            (*name.unwrap()).to_owned()
        }
        ("list_type", Field::Message(list)) => format!("list({})", part(list, "elem_type")),
        ("map_type", Field::Message(map)) => {
            format!(
                "map({}, {})",
                part(map, "key_type"),
                part(map, "value_type")
            )
        }
        ("message_type" | "type_param", Field::String(name)) => name.clone(),
        ("type", Field::Message(inner)) => format!("type({})", written(inner)),
        ("abstract_type", Field::Message(it)) => {
            let parameters = messages(it, "parameter_types");
            let parameters: Vec<String> = parameters.iter().map(written).collect();
            match parameters.is_empty() {
                true => text_of(it, "name"),
                false => format!("{}({})", text_of(it, "name"), parameters.join(", ")),
            }
        }
        (other, _) => other.to_owned(),
    }
}
