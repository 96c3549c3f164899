//! What is to be written in a manifest so that it becomes the object that policies have made.
//!
//! A mutation changes the object as the API server has it, with what a manifest leaves out filled in. So
//! what has changed is looked for there, and only that is taken over into what is written.

use serde_json::{Map, Value};

use crate::json::MAX_DEPTH;
use crate::patch::diff::align::{Step, align};

/// Returns what is written, changed as the object `before` was changed to be `after`.
///
/// Fields that are only filled in are not written, nor is what is the same in another form (a quantity,
/// a null). What the API server fills in and a mutation has removed cannot be removed here.
pub fn carried_over(written: &Value, before: &Value, after: &Value) -> Value {
    carry(Some(written), before, after, MAX_DEPTH).unwrap_or_default()
}

/// `None` is written as nothing at all.
fn carry(written: Option<&Value>, before: &Value, after: &Value, depth: usize) -> Option<Value> {
    if before == after {
        return written.cloned();
    }
    match (before, after, depth.checked_sub(1)) {
        (Value::Object(before), Value::Object(after), Some(depth)) => {
            object(written, before, after, depth)
        }
        (Value::Array(before), Value::Array(after), Some(depth)) => match written {
            // The items are told apart by their places.
            Some(Value::Array(written)) if written.len() == before.len() => {
                Some(list(written, before, after, depth))
            }
            _ => Some(Value::Array(after.clone())),
        },
        _ => Some(after.clone()),
    }
}

fn object(
    written: Option<&Value>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    depth: usize,
) -> Option<Value> {
    let mut fields = match written {
        Some(Value::Object(fields)) => fields.clone(),
        _ => Map::new(),
    };
    for (key, new) in after {
        match before.get(key) {
            Some(old) if old == new => {}
            Some(old) => {
                if let Some(value) = carry(fields.get(key), old, new, depth) {
                    fields.insert(key.clone(), value);
                }
            }
            None => {
                fields.insert(key.clone(), new.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        fields.shift_remove(key);
    }
    let is_nothing = fields.is_empty() && written.is_none();
    (!is_nothing).then_some(Value::Object(fields))
}

fn list(written: &[Value], before: &[Value], after: &[Value], depth: usize) -> Value {
    let mut items = Vec::with_capacity(after.len());
    for step in align(before, after) {
        match step {
            Step::Keep(old, new) => {
                let pair = before.get(old).zip(after.get(new));
                let value =
                    pair.and_then(|(before, after)| carry(written.get(old), before, after, depth));
                items.push(value.unwrap_or_default());
            }
            Step::Remove => {}
            Step::Add(new) => items.extend(after.get(new).cloned()),
        }
    }
    Value::Array(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_changed_is_taken_over() {
        for (written, before, after, wanted) in [
            (
                json!({"a": 1}),
                json!({"a": 1, "b": 2, "c": {}}),
                json!({"a": 1, "b": 3, "c": {"d": true}}),
                json!({"a": 1, "b": 3, "c": {"d": true}}),
            ),
            (
                json!({"cpu": "1000m", "n": null}),
                json!({"cpu": "1", "m": "x"}),
                json!({"cpu": "1", "m": "x", "o": 1}),
                json!({"cpu": "1000m", "n": null, "o": 1}),
            ),
            (
                json!({"l": [{"name": "a"}, {"name": "b"}]}),
                json!({"l": [{"name": "a", "x": 1}, {"name": "b", "x": 1}]}),
                json!({"l": [{"name": "new"}, {"name": "a", "x": 1}, {"name": "b", "x": 2}]}),
                json!({"l": [{"name": "new"}, {"name": "a"}, {"name": "b", "x": 2}]}),
            ),
            // What is filled in comes back, whatever is written.
            (
                json!({}),
                json!({"a": {"b": 1}}),
                json!({"a": {}}),
                json!({}),
            ),
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1}}),
                json!({}),
                json!({}),
            ),
            (
                json!({"a": []}),
                json!({}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
        ] {
            assert_eq!(carried_over(&written, &before, &after), wanted, "{written}");
        }
    }
}
