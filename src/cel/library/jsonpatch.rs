//! Paths of JSON patches: apiserver `pkg/cel/library/jsonpatch.go`. Kubernetes has it in mutating
//! policies only, and so since 1.32; DIVERGES: `escape-key-before-1.32`.

use bumpalo::collections::String as ArenaString;

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::{global, no_such_overload, static_cost};

/// The functions.
pub static FUNCTIONS: &[Function] = &[Function {
    name: "jsonpatch.escapeKey",
    doc: "Returns a key as it is written in the path of a JSON patch.",
    overloads: &[global(
        "string_jsonpatch_escapeKey_string",
        &[Type::String],
        Type::String,
        escape_key,
        cost::traverse_first,
    )
    .estimated(static_cost::traverse_same_size)
    .since(32)],
    examples: &[(
        "jsonpatch.escapeKey('k8s.io/my~label')",
        "'k8s.io~1my~0label'",
    )],
}];

fn escape_key<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [value @ Value::String(text)] = arguments else {
        return no_such_overload(call);
    };
    if !text.contains(['/', '~']) {
        return Ok(*value);
    }
    call.reserve(text.len().saturating_mul(2))?;
    let mut escaped = ArenaString::with_capacity_in(text.len() + 8, call.arena);
    for letter in text.chars() {
        match letter {
            '/' => escaped.push_str("~1"),
            '~' => escaped.push_str("~0"),
            letter => escaped.push(letter),
        }
    }
    Ok(Value::String(escaped.into_bump_str()))
}
