//! Kubernetes' functions of lists: apiserver `pkg/cel/library/lists.go`.
//!
//! Items of a list whose type is not known may be of several types. As upstream, items that cannot be
//! ordered count as in order.

use std::cmp::Ordering;

use super::super::error::{FaultKind, Result};
use super::super::function::{Body, Call, Cost, Function, Overload};
use super::super::types::Type;
use super::super::value::{Duration, Value};
use super::{int, member, no_such_overload, static_cost};

/// The functions; `indexOf` and `lastIndexOf` are declared with those of strings.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "isSorted",
        doc: "Says whether no item of a list is greater than the next.",
        overloads: &[
            to_bool("list_int_is_sorted_bool", &[Type::List(&Type::Int)]),
            to_bool("list_uint_is_sorted_bool", &[Type::List(&Type::Uint)]),
            to_bool("list_double_is_sorted_bool", &[Type::List(&Type::Double)]),
            to_bool("list_bool_is_sorted_bool", &[Type::List(&Type::Bool)]),
            to_bool(
                "list_duration_is_sorted_bool",
                &[Type::List(&Type::Duration)],
            ),
            to_bool(
                "list_timestamp_is_sorted_bool",
                &[Type::List(&Type::Timestamp)],
            ),
            to_bool("list_string_is_sorted_bool", &[Type::List(&Type::String)]),
            to_bool("list_bytes_is_sorted_bool", &[Type::List(&Type::Bytes)]),
        ],
        examples: &[
            ("[1, 2, 2, 3].isSorted()", "true"),
            ("['b', 'a'].isSorted()", "false"),
            ("[].isSorted()", "true"),
        ],
    },
    Function {
        name: "sum",
        doc: "Returns the sum of numbers or durations.",
        overloads: &[
            of_items(
                "list_int_sum_int",
                &[Type::List(&Type::Int)],
                Type::Int,
                sum_of_ints,
            ),
            of_items(
                "list_uint_sum_uint",
                &[Type::List(&Type::Uint)],
                Type::Uint,
                sum_of_uints,
            ),
            of_items(
                "list_double_sum_double",
                &[Type::List(&Type::Double)],
                Type::Double,
                sum_of_doubles,
            ),
            of_items(
                "list_duration_sum_duration",
                &[Type::List(&Type::Duration)],
                Type::Duration,
                sum_of_durations,
            ),
        ],
        examples: &[
            ("[1, 3].sum()", "4"),
            ("[1.0, 3.0].sum()", "4.0"),
            (
                "[duration('1m'), duration('1s')].sum() == duration('61s')",
                "true",
            ),
            ("[9223372036854775807, 1].sum()", "error: integer overflow"),
        ],
    },
    Function {
        name: "max",
        doc: "Returns the greatest item of a list.",
        overloads: &[
            of_items(
                "list_int_max_int",
                &[Type::List(&Type::Int)],
                Type::Int,
                max,
            ),
            of_items(
                "list_uint_max_uint",
                &[Type::List(&Type::Uint)],
                Type::Uint,
                max,
            ),
            of_items(
                "list_double_max_double",
                &[Type::List(&Type::Double)],
                Type::Double,
                max,
            ),
            of_items(
                "list_bool_max_bool",
                &[Type::List(&Type::Bool)],
                Type::Bool,
                max,
            ),
            of_items(
                "list_duration_max_duration",
                &[Type::List(&Type::Duration)],
                Type::Duration,
                max,
            ),
            of_items(
                "list_timestamp_max_timestamp",
                &[Type::List(&Type::Timestamp)],
                Type::Timestamp,
                max,
            ),
            of_items(
                "list_string_max_string",
                &[Type::List(&Type::String)],
                Type::String,
                max,
            ),
            of_items(
                "list_bytes_max_bytes",
                &[Type::List(&Type::Bytes)],
                Type::Bytes,
                max,
            ),
        ],
        examples: &[
            ("[1, 3, 2].max()", "3"),
            ("['a', 'b'].max()", "'b'"),
            ("[].max()", "error: max called on empty list"),
        ],
    },
    Function {
        name: "min",
        doc: "Returns the least item of a list.",
        overloads: &[
            of_items(
                "list_int_min_int",
                &[Type::List(&Type::Int)],
                Type::Int,
                min,
            ),
            of_items(
                "list_uint_min_uint",
                &[Type::List(&Type::Uint)],
                Type::Uint,
                min,
            ),
            of_items(
                "list_double_min_double",
                &[Type::List(&Type::Double)],
                Type::Double,
                min,
            ),
            of_items(
                "list_bool_min_bool",
                &[Type::List(&Type::Bool)],
                Type::Bool,
                min,
            ),
            of_items(
                "list_duration_min_duration",
                &[Type::List(&Type::Duration)],
                Type::Duration,
                min,
            ),
            of_items(
                "list_timestamp_min_timestamp",
                &[Type::List(&Type::Timestamp)],
                Type::Timestamp,
                min,
            ),
            of_items(
                "list_string_min_string",
                &[Type::List(&Type::String)],
                Type::String,
                min,
            ),
            of_items(
                "list_bytes_min_bytes",
                &[Type::List(&Type::Bytes)],
                Type::Bytes,
                min,
            ),
        ],
        examples: &[
            ("[3, 1, 2].min()", "1"),
            ("[].min()", "error: min called on empty list"),
        ],
    },
];

const fn to_bool(id: &'static str, params: &'static [Type]) -> Overload {
    of_items(id, params, Type::Bool, is_sorted)
}

const fn of_items(id: &'static str, params: &'static [Type], result: Type, body: Body) -> Overload {
    const TRAVERSAL: Cost = cost_of_traversal;
    member(id, params, result, body, TRAVERSAL).estimated(static_cost::of_items)
}

fn is_sorted<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = arguments else {
        return no_such_overload(call);
    };
    call.walk(list)?;
    let mut previous: Option<Value<'a>> = None;
    for item in list.iter() {
        if !is_comparable(&item) {
            return no_such_overload(call);
        }
        if previous.is_some_and(|last| compare(&last, &item) == Some(Ordering::Greater)) {
            return Ok(Value::Bool(false));
        }
        previous = Some(item);
    }
    Ok(Value::Bool(true))
}

fn max<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    extreme(call, arguments, Ordering::Less, "max called on empty list")
}

fn min<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    extreme(
        call,
        arguments,
        Ordering::Greater,
        "min called on empty list",
    )
}

/// Returns the first item of which none of the later ones differs by `replaced_if`.
fn extreme<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    replaced_if: Ordering,
    if_empty: &str,
) -> Result<'a> {
    let [Value::List(list)] = arguments else {
        return no_such_overload(call);
    };
    call.walk(list)?;
    let mut result: Option<Value<'a>> = None;
    for item in list.iter() {
        if !is_comparable(&item) {
            return no_such_overload(call);
        }
        if result.is_none_or(|result| compare(&result, &item) == Some(replaced_if)) {
            result = Some(item);
        }
    }
    result.ok_or_else(|| call.fault(if_empty))
}

fn sum_of_ints<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    sum(call, arguments, Value::Int(0))
}

fn sum_of_uints<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    sum(call, arguments, Value::Uint(0))
}

fn sum_of_doubles<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    sum(call, arguments, Value::Double(0.0))
}

fn sum_of_durations<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    sum(call, arguments, Value::Duration(Duration { nanos: 0 }))
}

fn sum<'a>(call: &Call<'a>, arguments: &[Value<'a>], zero: Value<'a>) -> Result<'a> {
    let [Value::List(list)] = arguments else {
        return no_such_overload(call);
    };
    call.walk(list)?;
    list.iter().try_fold(zero, |sum, item| match (sum, item) {
        (Value::Int(a), Value::Int(b)) => a
            .checked_add(b)
            .map(Value::Int)
            .ok_or_else(|| call.fault("integer overflow")),
        (Value::Uint(a), Value::Uint(b)) => a
            .checked_add(b)
            .map(Value::Uint)
            .ok_or_else(|| call.fault("unsigned integer overflow")),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::Duration(a), Value::Duration(b)) => a
            .checked_add(b)
            .map(Value::Duration)
            .ok_or_else(|| call.fault("duration overflow")),
        // A timestamp can be added to a duration, and a duration to that.
        (Value::Duration(a), Value::Timestamp(b)) | (Value::Timestamp(b), Value::Duration(a)) => b
            .checked_add(a)
            .map(Value::Timestamp)
            .ok_or_else(|| call.fault("timestamp overflow")),
        _ => Err(call.raise(FaultKind::NoSuchOverload)),
    })
}

/// Returns the first position of an item of a list.
pub(super) fn index_of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(list), wanted] => {
            call.walk(list)?;
            position(call, list.iter().enumerate(), wanted)
        }
        _ => no_such_overload(call),
    }
}

/// Returns the last position of an item of a list.
pub(super) fn last_index_of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(list), wanted] => {
            call.walk(list)?;
            position(call, list.iter().enumerate().rev(), wanted)
        }
        _ => no_such_overload(call),
    }
}

/// Returns the position of the first of some items that equals a value.
fn position<'a>(
    call: &Call<'a>,
    items: impl Iterator<Item = (usize, Value<'a>)>,
    wanted: &Value<'a>,
) -> Result<'a> {
    for (at, item) in items {
        if call.equals(&item, wanted)? {
            return Ok(int(at));
        }
    }
    Ok(Value::Int(-1))
}

/// Says whether values of this type have an order at all.
pub(super) fn is_comparable(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::String(_)
            | Value::Bytes(_)
            | Value::Duration(_)
            | Value::Timestamp(_)
    )
}

/// Orders two values as the `Compare` methods of cel-go do; `None` if they cannot be ordered.
pub(super) fn compare<'a>(a: &Value<'a>, b: &Value<'a>) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        _ => a.compare_numbers(b),
    }
}

/// Prints a value as a message of cel-go shows it.
pub(super) fn shown<'a>(call: &Call<'a>, value: &Value<'a>) -> String {
    call.raise(FaultKind::NoSuchKey(*value))
        .to_string()
        .trim_start_matches("no such key: ")
        .to_owned()
}

/// The cost of traversing the first argument as a tree of data: a tenth of the bytes of each string,
/// one for anything else (apiserver `pkg/cel/library/cost.go`, `traversalCost`).
pub(super) fn cost_of_traversal(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    arguments.first().map_or(0, traversal)
}

/// Most values that are looked at for a cost. One that holds a part many times can be endless to
/// walk; what it is made of would cost more than any expression may.
const MAX_TRAVERSED: u64 = 10_000_000;

fn traversal(value: &Value<'_>) -> u64 {
    let mut pending = vec![*value];
    let mut cost: u64 = 0;
    let mut seen: u64 = 0;
    while let Some(value) = pending.pop() {
        seen += 1;
        if seen > MAX_TRAVERSED || cost > MAX_TRAVERSED {
            return cost.max(MAX_TRAVERSED);
        }
        match value {
            Value::String(text) => cost = cost.saturating_add(tenth(text.len())),
            Value::Bytes(bytes) => cost = cost.saturating_add(tenth(bytes.len())),
            Value::List(list) => pending.extend(list.iter()),
            Value::Map(map) => pending.extend(map.iter().flat_map(|(key, value)| [key, value])),
            _ => cost = cost.saturating_add(1),
        }
    }
    cost
}

fn tenth(length: usize) -> u64 {
    u64::try_from(length / 10).unwrap_or(u64::MAX)
}
