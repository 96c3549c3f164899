//! Which fields of a custom resource hold numbers that need not be whole.
//!
//! The API server reads `1.0` as a double and sends it to webhooks as `1`, which is an integer; only
//! the schema tells that it is a double all the same.

use std::collections::BTreeMap;

use bumpalo::Bump;
use serde_json::Value;

use crate::json::{Json, Object};

/// No schema of a known CRD is nested as deeply.
const MAX_DEPTH: usize = 200;

/// Where the numbers of an object are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbers {
    /// Here.
    Here,
    /// In these fields.
    Fields(BTreeMap<String, Numbers>),
    /// In every item of a list.
    Items(Box<Numbers>),
    /// In every value of a map.
    Values(Box<Numbers>),
}

impl Numbers {
    /// Returns where a structural schema (`openAPIV3Schema`) has `type: number`; `None` if nowhere.
    pub fn of(schema: &Value) -> Option<Numbers> {
        read(schema, MAX_DEPTH)
    }

    /// Returns the value with doubles where the schema has numbers. What has none is not copied.
    pub fn apply<'a>(&self, arena: &'a Bump, value: Json<'a>) -> Json<'a> {
        match (self, value) {
            #[expect(clippy::cast_precision_loss, reason = "as Go makes a float64 of it")]
            (Numbers::Here, Json::Int(number)) => Json::Double(number as f64),
            (Numbers::Fields(fields), Json::Object(object)) => {
                let is_there = |name: &String| object.get(name).is_some();
                if !fields.keys().any(is_there) {
                    return value;
                }
                let entries = object.entries().iter().map(|(name, value)| {
                    let changed = fields.get(*name).map(|field| field.apply(arena, *value));
                    (*name, changed.unwrap_or(*value))
                });
                of_entries(arena, entries)
            }
            (Numbers::Values(numbers), Json::Object(object)) => {
                let entries = object.entries().iter();
                of_entries(
                    arena,
                    entries.map(|(name, value)| (*name, numbers.apply(arena, *value))),
                )
            }
            (Numbers::Items(numbers), Json::List(items)) => {
                let items = items.iter().map(|item| numbers.apply(arena, *item));
                Json::List(bumpalo::collections::Vec::from_iter_in(items, arena).into_bump_slice())
            }
            _ => value,
        }
    }
}

fn of_entries<'a>(arena: &'a Bump, entries: impl Iterator<Item = (&'a str, Json<'a>)>) -> Json<'a> {
    let entries = bumpalo::collections::Vec::from_iter_in(entries, arena);
    Json::Object(Object::new_in(arena, entries.into_bump_slice()))
}

fn read(schema: &Value, depth: usize) -> Option<Numbers> {
    let depth = depth.checked_sub(1)?;
    match schema.get("type").and_then(Value::as_str)? {
        "number" => Some(Numbers::Here),
        "array" => {
            let items = read(schema.get("items")?, depth)?;
            Some(Numbers::Items(Box::new(items)))
        }
        "object" => {
            if let Some(values) = schema.get("additionalProperties") {
                return Some(Numbers::Values(Box::new(read(values, depth)?)));
            }
            let properties = schema.get("properties")?.as_object()?.iter();
            let fields: BTreeMap<String, Numbers> = properties
                .filter_map(|(name, schema)| Some((name.clone(), read(schema, depth)?)))
                .collect();
            (!fields.is_empty()).then_some(Numbers::Fields(fields))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json;

    #[test]
    fn numbers_are_doubles_wherever_the_schema_has_them() {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "ratio": {"type": "number"},
                "replicas": {"type": "integer"},
                "steps": {"type": "array", "items": {"type": "number"}},
                "weights": {"type": "object", "additionalProperties": {"type": "number"}},
            }},
            "metadata": {"type": "object"},
        }});
        let numbers = Numbers::of(&schema).unwrap();
        let cases = [
            (
                r#"{"spec":{"ratio":1,"replicas":1}}"#,
                "Double(1.0)",
                "Int(1)",
            ),
            (
                r#"{"spec":{"ratio":1.5,"replicas":2}}"#,
                "Double(1.5)",
                "Int(2)",
            ),
            (
                r#"{"spec":{"ratio":"1","replicas":2}}"#,
                r#"String("1")"#,
                "Int(2)",
            ),
        ];
        for (text, ratio, replicas) in cases {
            let arena = Bump::new();
            let object = numbers.apply(&arena, json::parse_text(&arena, text).unwrap());
            let at = |path: &[&str]| format!("{:?}", object.at(path).unwrap());
            assert_eq!(at(&["spec", "ratio"]), ratio, "{text}");
            assert_eq!(at(&["spec", "replicas"]), replicas, "{text}");
        }
        let arena = Bump::new();
        let text = r#"{"spec":{"steps":[1,2.5],"weights":{"a":3}},"metadata":{"ratio":1}}"#;
        let object = numbers.apply(&arena, json::parse_text(&arena, text).unwrap());
        let steps = object.at(&["spec", "steps"]).unwrap();
        assert_eq!(format!("{steps:?}"), "List([Double(1.0), Double(2.5)])");
        let weight = object.at(&["spec", "weights", "a"]).unwrap();
        assert_eq!(format!("{weight:?}"), "Double(3.0)");
        let unknown = object.at(&["metadata", "ratio"]).unwrap();
        assert_eq!(format!("{unknown:?}"), "Int(1)");
    }

    #[test]
    fn a_schema_without_numbers_says_nothing() {
        let schemas = [
            json!({}),
            json!({"type": "object"}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            json!({"type": "array"}),
            json!({"type": 3}),
        ];
        for schema in schemas {
            assert_eq!(Numbers::of(&schema), None, "{schema}");
        }
    }
}
