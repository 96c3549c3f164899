//! The difference of two values as a JSON patch (RFC 6902), as a webhook answers with it.
//!
//! Only `add`, `remove` and `replace` are used, and only on what is there, so that every reader of
//! patches understands them alike. Fields come in order of name. A list is compared item by item:
//! what is equal, and then what has the same name, is kept where that needs the fewest edits. A
//! part of which much changed is replaced as a whole where that is shorter.

pub(crate) mod align;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::align::Step;
use super::json::{Action, Operation, escape};
use crate::json::MAX_DEPTH;

/// What an operation takes beside its path and its value: `{"op":"replace","path":"","value":},`.
const OPERATION_BYTES: usize = 36;

/// So few operations are told even where the whole is shorter: they say what changed.
const FEW_OPERATIONS: usize = 8;

/// Returns the operations that make `after` of `before`; none if they are equal.
///
/// The objects themselves are never replaced: their fields are. Takes the time to compare them, and
/// for each list that is changed inside at most 250,000 comparisons of items.
pub fn diff(before: &Value, after: &Value) -> Vec<Operation> {
    let mut difference = Difference {
        operations: Vec::new(),
        path: String::new(),
    };
    difference.value(before, after, MAX_DEPTH);
    difference.operations
}

struct Difference {
    operations: Vec<Operation>,
    /// The JSON pointer to where the comparison is.
    path: String,
}

impl Difference {
    fn value(&mut self, before: &Value, after: &Value, depth: usize) {
        let first = self.operations.len();
        match (before, after, depth.checked_sub(1)) {
            (Value::Object(before), Value::Object(after), Some(depth)) => {
                self.object(before, after, depth);
            }
            (Value::Array(before), Value::Array(after), Some(depth)) => {
                self.list(before, after, depth);
            }
            _ => {
                if before != after {
                    self.push(Action::Replace, Some(after));
                }
                return;
            }
        }
        self.shorten(first, after);
    }

    /// Replaces the whole instead, if that is shorter than the operations from `first` on.
    fn shorten(&mut self, first: usize, after: &Value) {
        let made = self.operations.get(first..).unwrap_or_default();
        if made.len() <= FEW_OPERATIONS || self.path.is_empty() {
            return;
        }
        let whole = OPERATION_BYTES + self.path.len();
        let mut parts: usize = 0;
        for operation in made {
            parts += OPERATION_BYTES + operation.path.len();
            if let Some(value) = &operation.value {
                parts += size(value, usize::MAX);
            }
        }
        let Some(left) = parts.checked_sub(whole) else {
            return;
        };
        if size(after, left) < left {
            self.operations.truncate(first);
            self.push(Action::Replace, Some(after));
        }
    }

    fn object(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, depth: usize) {
        let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let length = self.enter(&escape(key));
            match (before.get(key), after.get(key)) {
                (Some(before), Some(after)) => self.value(before, after, depth),
                (Some(_), None) => self.push(Action::Remove, None),
                (None, after) => self.push(Action::Add, after),
            }
            self.path.truncate(length);
        }
    }

    fn list(&mut self, before: &[Value], after: &[Value], depth: usize) {
        // The position in the list as it is when the operation is applied.
        let mut at: usize = 0;
        for step in align::align(before, after) {
            let length = self.enter(&at.to_string());
            match step {
                Step::Keep(old, new) => {
                    if let (Some(old), Some(new)) = (before.get(old), after.get(new)) {
                        self.value(old, new, depth);
                    }
                    at += 1;
                }
                Step::Remove => self.push(Action::Remove, None),
                Step::Add(new) => {
                    self.push(Action::Add, after.get(new));
                    at += 1;
                }
            }
            self.path.truncate(length);
        }
    }

    fn push(&mut self, op: Action, value: Option<&Value>) {
        self.operations.push(Operation {
            op,
            path: self.path.clone(),
            from: String::new(),
            value: value.cloned(),
        });
    }

    /// Adds a part to the path; returns the length to cut it to afterwards.
    fn enter(&mut self, part: &str) -> usize {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(part);
        length
    }
}

/// About how many bytes a value is written in; not counted further than `limit`.
fn size(value: &Value, limit: usize) -> usize {
    let mut pending = vec![value];
    let mut size: usize = 0;
    while let Some(value) = pending.pop() {
        size += match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(_) => 8,
            Value::String(text) => text.len() + 3,
            Value::Array(items) => {
                pending.extend(items);
                2
            }
            Value::Object(fields) => {
                pending.extend(fields.values());
                let keys: usize = fields.keys().map(|key| key.len() + 3).sum();
                keys + 2
            }
        };
        if size > limit {
            break;
        }
    }
    size
}
