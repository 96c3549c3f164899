//! The standard functions of CEL that are no conversions: cel-go `common/stdlib/standard.go`.

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::{global, int, member, no_such_overload, static_cost};
use crate::cel::library::regex::cost_of_matching;

const A: Type = Type::Param("A");
const B: Type = Type::Param("B");
const LIST: Type = Type::List(&A);
const MAP: Type = Type::Map(&A, &B);

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "size",
        doc: "Returns the number of characters of a string, bytes, items of a list or entries of a map.",
        overloads: &[
            global("size_bytes", &[Type::Bytes], Type::Int, size, cost::one),
            member("bytes_size", &[Type::Bytes], Type::Int, size, cost::one),
            global("size_list", &[LIST], Type::Int, size, cost::one),
            member("list_size", &[LIST], Type::Int, size, cost::one),
            global("size_map", &[MAP], Type::Int, size, cost::one),
            member("map_size", &[MAP], Type::Int, size, cost::one),
            global("size_string", &[Type::String], Type::Int, size, cost::one),
            member("string_size", &[Type::String], Type::Int, size, cost::one),
        ],
        examples: &[
            ("size('héllo')", "5"),
            ("b'h\\303\\251'.size()", "3"),
            ("[1, 2, 3].size()", "3"),
            ("size({'a': 1, 'b': 2})", "2"),
        ],
    },
    Function {
        name: "contains",
        doc: "Says whether a string contains another.",
        overloads: &[member(
            "contains_string",
            &[Type::String, Type::String],
            Type::Bool,
            contains,
            cost_of_contains,
        )
        .estimated(static_cost::contains)],
        examples: &[
            ("'hello world'.contains('o w')", "true"),
            ("'hello world'.contains('goodbye')", "false"),
            ("''.contains('')", "true"),
        ],
    },
    Function {
        name: "startsWith",
        doc: "Says whether a string starts with another.",
        overloads: &[member(
            "starts_with_string",
            &[Type::String, Type::String],
            Type::Bool,
            starts_with,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_second)],
        examples: &[
            ("'hello world'.startsWith('hello')", "true"),
            ("'hello world'.startsWith('world')", "false"),
        ],
    },
    Function {
        name: "endsWith",
        doc: "Says whether a string ends with another.",
        overloads: &[member(
            "ends_with_string",
            &[Type::String, Type::String],
            Type::Bool,
            ends_with,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_second)],
        examples: &[
            ("'hello world'.endsWith('world')", "true"),
            ("'hello world'.endsWith('hello')", "false"),
        ],
    },
    Function {
        name: "matches",
        doc: "Says whether some part of a string matches an RE2 regular expression.",
        overloads: &[
            // cel-go knows the cost of the member only.
            global(
                "matches",
                &[Type::String, Type::String],
                Type::Bool,
                matches,
                cost::one,
            ),
            member(
                "matches_string",
                &[Type::String, Type::String],
                Type::Bool,
                matches,
                cost_of_matching,
            )
            .estimated(static_cost::matches),
        ],
        examples: &[
            ("'123-456'.matches('^[0-9]+(-[0-9]+)?$')", "true"),
            ("matches('hello', '^h.*o$')", "true"),
            ("'hello'.matches('ll')", "true"),
            (
                "'hello'.matches(dyn('('))",
                "error: error parsing regexp: missing closing ): `(`",
            ),
        ],
    },
    Function {
        name: "type",
        doc: "Returns the type of a value.",
        overloads: &[global("type", &[A], Type::Type, type_of, cost::one)],
        examples: &[
            ("type(1)", "int"),
            ("type('hello') == string", "true"),
            ("type(type(1))", "type"),
        ],
    },
    Function {
        name: "dyn",
        doc: "Returns the value itself, of a type the checker knows nothing about.",
        overloads: &[global("to_dyn", &[A], Type::Dyn, identity, cost::one)],
        examples: &[("dyn(1) == 1.0", "true")],
    },
];

fn size<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    Ok(int(match arguments {
        [Value::String(text)] => text.chars().count(),
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return no_such_overload(call),
    }))
}

fn contains<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.contains(*part))),
        _ => no_such_overload(call),
    }
}

fn starts_with<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.starts_with(*part))),
        _ => no_such_overload(call),
    }
}

fn ends_with<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.ends_with(*part))),
        _ => no_such_overload(call),
    }
}

fn matches<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text), Value::String(expression)] => match call.pattern(expression, text)? {
            Ok(pattern) => Ok(Value::Bool(pattern.is_match(text))),
            Err(error) => Err(call.fault(&error.to_string())),
        },
        _ => no_such_overload(call),
    }
}

fn type_of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value] => Ok(Value::Type(value.type_name())),
        _ => no_such_overload(call),
    }
}

/// Gives its only argument back.
pub(super) fn identity<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value] => Ok(*value),
        _ => no_such_overload(call),
    }
}

fn cost_of_contains(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    let text = cost::scaled(cost::size_at(arguments, 0), cost::TRAVERSAL);
    let part = cost::scaled(cost::size_at(arguments, 1), cost::TRAVERSAL);
    text.saturating_mul(part)
}
