//! About how much memory a document takes.

use serde_json::Value;

/// What a text takes beside its bytes: what the allocator keeps and rounds up.
const TEXT: usize = 16;
/// What an entry of a map takes beside its key and its value: a hash, and its place in the index, a
/// quarter empty.
const ENTRY: usize = size_of::<String>() + TEXT + 16;

/// Returns about how many bytes a document takes.
pub(super) fn weigh(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => TEXT + text.len(),
        Value::Array(items) => items.iter().map(weigh).sum(),
        Value::Object(entries) => {
            let entries = entries.iter();
            let entry = |(key, value): (&String, &Value)| ENTRY + key.len() + weigh(value);
            entries.map(entry).sum()
        }
    };
    size_of::<Value>() + inner
}
