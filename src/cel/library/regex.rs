//! Kubernetes' functions of regular expressions: apiserver `pkg/cel/library/regex.go`.

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::{List, Value};
use super::{member, no_such_overload, static_cost};

const STRINGS: Type = Type::List(&Type::String);

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "find",
        doc: "Returns the first part of a string that matches an RE2 regular expression; an empty string if there is none.",
        overloads: &[member(
            "string_find_string",
            &[Type::String, Type::String],
            Type::String,
            find,
            cost_of_matching,
        )
        .estimated(static_cost::find)],
        examples: &[
            ("'abc 123'.find('[0-9]+')", "'123'"),
            ("'abc 123'.find('xyz')", "''"),
            (
                "'abc'.find('(' + string(1))",
                "error: Illegal regex: error parsing regexp: missing closing ): `(1`",
            ),
        ],
    },
    Function {
        name: "findAll",
        doc: "Returns the parts of a string that match an RE2 regular expression, at most some number of them.",
        overloads: &[
            member(
                "string_find_all_string",
                &[Type::String, Type::String],
                STRINGS,
                find_all,
                cost_of_matching,
            )
            .estimated(static_cost::find),
            member(
                "string_find_all_string_int",
                &[Type::String, Type::String, Type::Int],
                STRINGS,
                find_all,
                cost_of_matching,
            )
            .estimated(static_cost::find),
        ],
        examples: &[
            ("'123 abc 456'.findAll('[0-9]+')", "['123', '456']"),
            ("'123 abc 456'.findAll('[0-9]+', 1)", "['123']"),
            ("'123 abc 456'.findAll('xyz')", "[]"),
        ],
    },
];

fn find<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::String(expression)] = arguments else {
        return no_such_overload(call);
    };
    match call.pattern(expression, text)? {
        Ok(pattern) => Ok(Value::String(pattern.find(text).unwrap_or_default())),
        Err(error) => Err(call.fault(&format!("Illegal regex: {error}"))),
    }
}

fn find_all<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (text, expression, limit) = match arguments {
        [Value::String(text), Value::String(expression)] => (text, expression, -1),
        [
            Value::String(text),
            Value::String(expression),
            Value::Int(limit),
        ] => (text, expression, *limit),
        _ => return no_such_overload(call),
    };
    // A negative limit is none.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match call.pattern(expression, text)? {
        Ok(pattern) => {
            let found = pattern
                .find_all(text)
                .take(limit)
                .map(Value::String)
                .collect::<Vec<_>>();
            call.reserve(size_of_val(found.as_slice()))?;
            Ok(Value::List(List::Values(
                call.arena.alloc_slice_copy(&found),
            )))
        }
        Err(error) => Err(call.fault(&format!("Illegal regex: {error}"))),
    }
}

/// The product of the sizes of text and expression (cel-go `interpreter/runtimecost.go`,
/// `MatchesString`; apiserver `pkg/cel/library/cost.go`).
pub(super) fn cost_of_matching(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    let text = cost::size_at(arguments, 0).saturating_add(1);
    let expression = cost::size_at(arguments, 1);
    cost::scaled(text, cost::TRAVERSAL).saturating_mul(cost::scaled(expression, cost::REGEX))
}
