//! Optional values: cel-go `cel/library.go`.

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::{List, Timestamp, Value};
use super::{global, member, no_such_overload};

const V: Type = Type::Param("V");
const OPTIONAL: Type = Type::Optional(&V);
const LIST: Type = Type::List(&V);
const LIST_OF_OPTIONALS: Type = Type::List(&OPTIONAL);

/// Kubernetes has optional types since 1.28.
pub const SINCE: u8 = 28;

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "optional.of",
        doc: "Returns an optional with a value.",
        overloads: &[global("optional_of", &[V], OPTIONAL, of, cost::one).since(SINCE)],
        examples: &[("optional.of(1).value()", "1")],
    },
    Function {
        name: "optional.ofNonZeroValue",
        doc: "Returns an optional with a value, or none if the value is zero, empty, false or null.",
        overloads: &[global(
            "optional_ofNonZeroValue",
            &[V],
            OPTIONAL,
            of_non_zero,
            cost::one,
        )
        .since(SINCE)],
        examples: &[
            ("optional.ofNonZeroValue('').hasValue()", "false"),
            ("optional.ofNonZeroValue('a').value()", "'a'"),
        ],
    },
    Function {
        name: "optional.none",
        doc: "Returns an optional without a value.",
        overloads: &[global("optional_none", &[], OPTIONAL, none, cost::one).since(SINCE)],
        examples: &[("optional.none().hasValue()", "false")],
    },
    Function {
        name: "value",
        doc: "Returns the value of an optional.",
        overloads: &[member("optional_value", &[OPTIONAL], V, value, cost::one).since(SINCE)],
        examples: &[
            ("optional.of('a').value()", "'a'"),
            (
                "optional.none().value()",
                "error: optional.none() dereference",
            ),
        ],
    },
    Function {
        name: "hasValue",
        doc: "Says whether an optional has a value.",
        overloads: &[member(
            "optional_hasValue",
            &[OPTIONAL],
            Type::Bool,
            has_value,
            cost::one,
        )
        .since(SINCE)],
        examples: &[("{'a': 1}.?a.hasValue()", "true")],
    },
    Function {
        name: "or",
        doc: "Returns the optional itself if it has a value, otherwise another one.",
        overloads: &[member(
            "optional_or_optional",
            &[OPTIONAL, OPTIONAL],
            OPTIONAL,
            or,
            cost::one,
        )
        .since(SINCE)],
        examples: &[("{'a': 1}.?b.or(optional.of(2)).value()", "2")],
    },
    Function {
        name: "orValue",
        doc: "Returns the value of an optional, or another value if it has none.",
        overloads: &[member(
            "optional_orValue_value",
            &[OPTIONAL, V],
            V,
            or_value,
            cost::one,
        )
        .since(SINCE)],
        examples: &[
            ("{'a': 1}.?b.orValue(2)", "2"),
            ("{'a': 1}.?a.orValue(2)", "1"),
        ],
    },
    Function {
        name: "first",
        doc: "Returns the first item of a list, if there is one.",
        overloads: &[member("list_first", &[LIST], OPTIONAL, first, cost::one).since(SINCE)],
        examples: &[
            ("[1, 2].first().value()", "1"),
            ("[].first().hasValue()", "false"),
        ],
    },
    Function {
        name: "last",
        doc: "Returns the last item of a list, if there is one.",
        overloads: &[member("list_last", &[LIST], OPTIONAL, last, cost::one).since(SINCE)],
        examples: &[("[1, 2].last().value()", "2")],
    },
    Function {
        name: "optional.unwrap",
        doc: "Returns the values of those optionals of a list that have one.",
        overloads: &[global(
            "optional_unwrap",
            &[LIST_OF_OPTIONALS],
            LIST,
            unwrap,
            cost::one,
        )
        .since(SINCE)],
        examples: &[("optional.unwrap([optional.of(1), optional.none()])", "[1]")],
    },
    Function {
        name: "unwrapOpt",
        doc: "Returns the values of those optionals of a list that have one.",
        overloads: &[member(
            "optional_unwrapOpt",
            &[LIST_OF_OPTIONALS],
            LIST,
            unwrap,
            cost::one,
        )
        .since(SINCE)],
        examples: &[("[optional.of(1), optional.none()].unwrapOpt()", "[1]")],
    },
];

/// Makes an optional of a value that may be missing.
fn optional<'a>(call: &Call<'a>, value: Option<Value<'a>>) -> Value<'a> {
    Value::Optional(value.map(|value| &*call.arena.alloc(value)))
}

fn of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value] => Ok(optional(call, Some(*value))),
        _ => no_such_overload(call),
    }
}

fn of_non_zero<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value] => Ok(optional(call, Some(*value).filter(|value| !is_zero(value)))),
        _ => no_such_overload(call),
    }
}

/// The `IsZeroValue` methods of cel-go. The zero timestamp is the first of the year 1, as in Go.
fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Duration(duration) => duration.nanos == 0,
        Value::Timestamp(timestamp) => *timestamp == Timestamp::FIRST,
        Value::Message(message) => message.fields.is_empty(),
        _ => false,
    }
}

fn none<'a>(_: &Call<'a>, _: &[Value<'a>]) -> Result<'a> {
    Ok(Value::Optional(None))
}

fn value<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Optional(Some(value))] => Ok(**value),
        [Value::Optional(None)] => Err(call.fault("optional.none() dereference")),
        _ => no_such_overload(call),
    }
}

fn has_value<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => no_such_overload(call),
    }
}

fn or<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value @ Value::Optional(Some(_)), _] => Ok(*value),
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(*other),
        _ => no_such_overload(call),
    }
}

fn or_value<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Optional(Some(value)), _] => Ok(**value),
        [Value::Optional(None), other] => Ok(*other),
        _ => no_such_overload(call),
    }
}

fn first<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(list)] => Ok(optional(call, list.get(0))),
        _ => no_such_overload(call),
    }
}

fn last<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(list)] => Ok(optional(
            call,
            list.len().checked_sub(1).and_then(|at| list.get(at)),
        )),
        _ => no_such_overload(call),
    }
}

fn unwrap<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = arguments else {
        return no_such_overload(call);
    };
    let mut values = Vec::with_capacity(list.len());
    for item in list.iter() {
        match item {
            Value::Optional(Some(value)) => values.push(*value),
            Value::Optional(None) => {}
            other => {
                let shown = super::lists::shown(call, &other);
                return Err(call.fault(&format!("value {shown} is not optional")));
            }
        }
    }
    call.reserve(size_of_val(values.as_slice()))?;
    Ok(Value::List(List::Values(
        call.arena.alloc_slice_copy(&values),
    )))
}
