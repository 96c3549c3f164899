//! Whether a part of a document is the value of a `test`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::PatchError;
use super::document::{Node, number_text, spend};

/// Says whether a node is equal to a value; `None` where the library ends with a panic: at a null in
/// one of two lists of the same length.
///
/// A null that was written is an object without fields, and equal to an empty list if it is compared
/// with one. Semantics: `lazyNode.equal`. A panic that the library may or may not reach, depending on
/// the order it visits fields in, is one only if it comes before the first difference in order of
/// name.
pub(super) fn is_equal(
    node: &Node<'_>,
    value: &Value,
    steps_left: &mut usize,
) -> Result<Option<bool>, PatchError> {
    spend(steps_left, 1)?;
    match node {
        // Callers know what a null is equal to.
        Node::Absent => Ok(None),
        Node::Unread(own) => values_are_equal(own, value, steps_left),
        Node::NullObject => Ok(Some(is_empty_object(value))),
        Node::Object(fields) => object_is_equal(fields, value, steps_left),
        Node::List(items) => {
            let others = match value {
                Value::Array(others) => others.as_slice(),
                Value::Null => &[],
                _ => return Ok(Some(false)),
            };
            if items.len() != others.len() {
                return Ok(Some(false));
            }
            for (item, other) in items.iter().zip(others) {
                if other.is_null() {
                    return Ok(None);
                }
                match is_equal(item, other, steps_left)? {
                    Some(true) => {}
                    different => return Ok(different),
                }
            }
            Ok(Some(true))
        }
    }
}

fn object_is_equal(
    fields: &BTreeMap<Cow<'_, str>, Node<'_>>,
    value: &Value,
    steps_left: &mut usize,
) -> Result<Option<bool>, PatchError> {
    let others = match value {
        Value::Object(others) => others,
        other => return Ok(Some(fields.is_empty() && other.is_null())),
    };
    if fields.len() != others.len() {
        return Ok(Some(false));
    }
    for (key, field) in fields {
        let Some(other) = others.get(&**key) else {
            return Ok(Some(false));
        };
        let is_null = matches!(field, Node::Absent);
        if is_null != other.is_null() {
            return Ok(Some(false));
        }
        if is_null {
            continue;
        }
        match is_equal(field, other, steps_left)? {
            Some(true) => {}
            different => return Ok(different),
        }
    }
    Ok(Some(true))
}

fn is_empty_object(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn values_are_equal(
    own: &Value,
    value: &Value,
    steps_left: &mut usize,
) -> Result<Option<bool>, PatchError> {
    spend(steps_left, 1)?;
    match (own, value) {
        (Value::Null, value) => Ok(Some(is_empty_object(value))),
        (Value::Object(fields), Value::Null) => Ok(Some(fields.is_empty())),
        (Value::Array(items), Value::Null) => Ok(Some(items.is_empty())),
        (Value::Object(fields), Value::Object(others)) => {
            if fields.len() != others.len() {
                return Ok(Some(false));
            }
            let mut keys: Vec<_> = fields.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            for (key, field) in keys {
                let Some(other) = others.get(key) else {
                    return Ok(Some(false));
                };
                if field.is_null() != other.is_null() {
                    return Ok(Some(false));
                }
                if field.is_null() {
                    continue;
                }
                match values_are_equal(field, other, steps_left)? {
                    Some(true) => {}
                    different => return Ok(different),
                }
            }
            Ok(Some(true))
        }
        (Value::Array(items), Value::Array(others)) => {
            if items.len() != others.len() {
                return Ok(Some(false));
            }
            for (item, other) in items.iter().zip(others) {
                if item.is_null() || other.is_null() {
                    return Ok(None);
                }
                match values_are_equal(item, other, steps_left)? {
                    Some(true) => {}
                    different => return Ok(different),
                }
            }
            Ok(Some(true))
        }
        (Value::Number(own), Value::Number(other)) => {
            Ok(Some(own == other || number_text(own) == number_text(other)))
        }
        (own, value) => Ok(Some(own == value)),
    }
}
