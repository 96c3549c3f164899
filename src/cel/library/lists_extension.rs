//! The lists extension, version 3: cel-go `ext/lists.go`.

use std::cmp::Ordering;

use rustc_hash::FxHashSet;

use super::super::error::Result;
use super::super::function::{Call, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::{List, Value};
use super::go_sort;
use super::lists::{compare, is_comparable};
use super::{LIST_CALL, allocating_list, global, member, no_such_overload, static_cost};

const T: Type = Type::Param("T");
const LIST: Type = Type::List(&T);
const LIST_OF_LISTS: Type = Type::List(&LIST);
const LIST_OF_DYN: Type = Type::List(&Type::Dyn);

/// Kubernetes has the extension since 1.34.
pub const SINCE: u8 = 34;

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "slice",
        doc: "Returns the items of a list from a position on, up to another one.",
        overloads: &[member(
            "list_slice",
            &[LIST, Type::Int, Type::Int],
            LIST,
            slice,
            cost_of_result,
        )
        .estimated(static_cost::slice)
        .since(SINCE)],
        examples: &[
            ("[1, 2, 3, 4].slice(1, 3)", "[2, 3]"),
            (
                "[1].slice(0, 2)",
                "error: cannot slice(0, 2), list is length 1",
            ),
            (
                "[1].slice(-1, 1)",
                "error: cannot slice(-1, 1), negative indexes not supported",
            ),
        ],
    },
    Function {
        name: "flatten",
        doc: "Returns the items of a list with its lists unpacked, one level deep or some.",
        overloads: &[
            member(
                "list_flatten",
                &[LIST_OF_LISTS],
                LIST,
                flatten,
                cost_of_flattening,
            )
            .estimated(static_cost::flatten)
            .since(SINCE),
            member(
                "list_flatten_int",
                &[LIST_OF_DYN, Type::Int],
                LIST_OF_DYN,
                flatten,
                cost_of_flattening,
            )
            .estimated(static_cost::flatten)
            .since(SINCE),
        ],
        examples: &[
            ("[[1], [2, 3], []].flatten()", "[1, 2, 3]"),
            ("[dyn(1), dyn([dyn(2), dyn([3])])].flatten(2)", "[1, 2, 3]"),
            ("[1].flatten(-1)", "error: level must be non-negative"),
        ],
    },
    Function {
        name: "distinct",
        doc: "Returns the items of a list without those that equal an earlier one.",
        overloads: &[member(
            "list_distinct",
            &[LIST],
            LIST,
            distinct,
            cost_of_comparing_all,
        )
        .estimated(static_cost::distinct)
        .since(SINCE)],
        examples: &[("[1, 2, 2, 3, 1].distinct()", "[1, 2, 3]")],
    },
    Function {
        name: "lists.range",
        doc: "Returns the integers from 0 up to a number.",
        overloads: &[global(
            "lists_range",
            &[Type::Int],
            Type::List(&Type::Int),
            range,
            cost_of_result,
        )
        .estimated(static_cost::range)
        .since(SINCE)],
        examples: &[("lists.range(3)", "[0, 1, 2]"), ("lists.range(-1)", "[]")],
    },
    Function {
        name: "reverse",
        doc: "Returns the items of a list from the last to the first.",
        overloads: &[
            member("list_reverse", &[LIST], LIST, reverse, cost_of_result)
                .estimated(static_cost::reverse)
                .since(SINCE),
        ],
        examples: &[("[1, 2, 3].reverse()", "[3, 2, 1]")],
    },
    Function {
        name: "sort",
        doc: "Returns the items of a list in order; they must be of one type that has an order.",
        overloads: &[
            sorting(
                "list_int_sort",
                &[Type::List(&Type::Int)],
                Type::List(&Type::Int),
            ),
            sorting(
                "list_uint_sort",
                &[Type::List(&Type::Uint)],
                Type::List(&Type::Uint),
            ),
            sorting(
                "list_double_sort",
                &[Type::List(&Type::Double)],
                Type::List(&Type::Double),
            ),
            sorting(
                "list_bool_sort",
                &[Type::List(&Type::Bool)],
                Type::List(&Type::Bool),
            ),
            sorting(
                "list_google.protobuf.Duration_sort",
                &[Type::List(&Type::Duration)],
                Type::List(&Type::Duration),
            ),
            sorting(
                "list_google.protobuf.Timestamp_sort",
                &[Type::List(&Type::Timestamp)],
                Type::List(&Type::Timestamp),
            ),
            sorting_text(
                "list_string_sort",
                &[Type::List(&Type::String)],
                Type::List(&Type::String),
            ),
            sorting_text(
                "list_bytes_sort",
                &[Type::List(&Type::Bytes)],
                Type::List(&Type::Bytes),
            ),
        ],
        examples: &[
            ("[3, 1, 2].sort()", "[1, 2, 3]"),
            ("['b', 'a'].sort()", "['a', 'b']"),
            (
                "[dyn(1), dyn('a')].sort()",
                "error: list elements must have the same type",
            ),
        ],
    },
    Function {
        name: "@sortByAssociatedKeys",
        doc: "Returns the items of a list in the order of a list of keys; what `sortBy` is made of.",
        overloads: &[
            sorting_by(
                "list_int_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::Int)],
            ),
            sorting_by(
                "list_uint_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::Uint)],
            ),
            sorting_by(
                "list_double_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::Double)],
            ),
            sorting_by(
                "list_bool_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::Bool)],
            ),
            sorting_by(
                "list_google.protobuf.Duration_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::Duration)],
            ),
            sorting_by(
                "list_google.protobuf.Timestamp_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::Timestamp)],
            ),
            sorting_by_text(
                "list_string_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::String)],
            ),
            sorting_by_text(
                "list_bytes_sortByAssociatedKeys",
                &[LIST, Type::List(&Type::Bytes)],
            ),
        ],
        examples: &[("['c', 'a', 'b'].sortBy(e, e)", "['a', 'b', 'c']")],
    },
];

const fn sorting(id: &'static str, params: &'static [Type], result: Type) -> Overload {
    member(id, params, result, sort, cost_of_comparing_all)
        .estimated(static_cost::sort)
        .since(SINCE)
}

const fn sorting_text(id: &'static str, params: &'static [Type], result: Type) -> Overload {
    sorting(id, params, result).estimated(static_cost::sort_text)
}

const fn sorting_by(id: &'static str, params: &'static [Type]) -> Overload {
    member(id, params, LIST, sort_by_keys, cost_of_comparing_keys)
        .estimated(static_cost::sort_by_keys)
        .since(SINCE)
}

const fn sorting_by_text(id: &'static str, params: &'static [Type]) -> Overload {
    sorting_by(id, params).estimated(static_cost::sort_by_text_keys)
}

fn slice<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = arguments else {
        return no_such_overload(call);
    };
    let refuse = |reason: &str| Err(call.fault(&format!("cannot slice({start}, {end}), {reason}")));
    let (Ok(first), Ok(last)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return refuse("negative indexes not supported");
    };
    if start > end {
        return refuse("start index must be less than or equal to end index");
    }
    let part = match list {
        List::Document(items) => items.get(first..last).map(List::Document),
        List::Values(items) | List::Joined(items) => items.get(first..last).map(List::Values),
    };
    match part {
        Some(part) => Ok(Value::List(part)),
        None => refuse(&format!("list is length {}", list.len())),
    }
}

fn flatten<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (list, depth) = match arguments {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return no_such_overload(call),
    };
    if depth < 0 {
        return Err(call.fault("level must be non-negative"));
    }
    let mut flat = Vec::new();
    // The nesting of values is bounded; the stack keeps what is left of each open list.
    let mut open = vec![list.iter()];
    while let Some(items) = open.last_mut() {
        match items.next() {
            None => {
                open.pop();
            }
            Some(Value::List(inner)) if i64::try_from(open.len()).is_ok_and(|at| at <= depth) => {
                open.push(inner.iter());
            }
            Some(item) => {
                // One list may be in another many times: the result can be far larger than both.
                if flat.len().is_multiple_of(1024) {
                    call.reserve(size_of_val(flat.as_slice()))?;
                }
                flat.push(item);
            }
        }
    }
    allocate(call, &flat)
}

fn distinct<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = arguments else {
        return no_such_overload(call);
    };
    let mut unique: Vec<Value<'a>> = Vec::with_capacity(list.len());
    // Comparing each string with each would take minutes on a list as long as a request may hold.
    let mut strings = FxHashSet::default();
    let mut others: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        let is_new = match item {
            Value::String(text) => strings.insert(text),
            item => {
                let known = List::Values(&others);
                let is_new = !call.compare(|comparison| comparison.contains(&known, &item))?;
                if is_new {
                    others.push(item);
                }
                is_new
            }
        };
        if is_new {
            unique.push(item);
        }
    }
    if unique.len() == list.len() {
        return Ok(Value::List(*list));
    }
    allocate(call, &unique)
}

fn range<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::Int(end)] = arguments else {
        return no_such_overload(call);
    };
    let count = usize::try_from((*end).max(0)).unwrap_or(usize::MAX);
    call.reserve(count.saturating_mul(size_of::<Value<'_>>()))?;
    let items = call.arena.alloc_slice_fill_with(count, super::int);
    Ok(Value::List(List::Values(items)))
}

fn reverse<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = arguments else {
        return no_such_overload(call);
    };
    call.reserve(list.len().saturating_mul(size_of::<Value<'_>>()))?;
    let items = call.arena.alloc_slice_fill_iter(list.iter());
    items.reverse();
    Ok(Value::List(List::Values(items)))
}

fn sort<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(list)] => sorted(call, list, list),
        _ => no_such_overload(call),
    }
}

fn sort_by_keys<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(list), Value::List(keys)] => sorted(call, list, keys),
        _ => no_such_overload(call),
    }
}

/// Sorts a list by its keys (`ext/lists.go`, `sortByAssociatedKeys`).
fn sorted<'a>(call: &Call<'a>, list: &List<'a>, keys: &List<'a>) -> Result<'a> {
    if list.len() != keys.len() {
        return Err(call.fault(&format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, \
             but got {} and {} elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let Some(first) = keys.get(0) else {
        return Ok(Value::List(*list));
    };
    if !is_comparable(&first) {
        return Err(call.fault("list elements must be comparable"));
    }
    if keys.iter().any(|key| key.type_name() != first.type_name()) {
        return Err(call.fault("list elements must have the same type"));
    }
    let mut pairs = keys.iter().zip(list.iter()).collect::<Vec<_>>();
    go_sort::sort(&mut pairs, |(a, _), (b, _)| {
        compare(a, b) == Some(Ordering::Less)
    });
    call.reserve(pairs.len().saturating_mul(size_of::<Value<'_>>()))?;
    let items = call
        .arena
        .alloc_slice_fill_iter(pairs.into_iter().map(|(_, item)| item));
    Ok(Value::List(List::Values(items)))
}

/// Copies items into the arena.
fn allocate<'a>(call: &Call<'a>, items: &[Value<'a>]) -> Result<'a> {
    call.reserve(size_of_val(items))?;
    Ok(Value::List(List::Values(
        call.arena.alloc_slice_copy(items),
    )))
}

fn cost_of_result(_: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    allocating_list(result.map_or(1, cost::size), 1.0)
}

/// The depth times the length, as Go converts that to an integer: a negative depth lowers what has
/// been spent, which for anything but the cheapest makes it a very large number.
fn cost_of_flattening(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    let depth = match arguments {
        [_] => 1.0,
        [_, Value::Int(depth)] => *depth as f64,
        _ => return cost::BREAKS,
    };
    let size = match arguments.first() {
        // The extension knows no size of an optional.
        Some(Value::Optional(_)) => 1,
        _ => cost::size_at(arguments, 0),
    };
    let units = size as f64 * depth;
    let units = match units {
        units if units.abs() < 9.2e18 => (units as i64).cast_unsigned(),
        units if (0.0..1.8e19).contains(&units) => units as u64,
        _ => 1 << 63,
    };
    units.wrapping_add(LIST_CALL)
}

fn cost_of_comparing_all(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    cost_of_comparing(arguments.first())
}

fn cost_of_comparing_keys(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    cost_of_comparing(arguments.get(1))
}

/// Each item with each, somewhat more for texts (`trackListSelfCompare`).
fn cost_of_comparing(list: Option<&Value<'_>>) -> u64 {
    let Some(Value::List(list)) = list else {
        return cost::BREAKS;
    };
    let factor = match list.get(0) {
        Some(Value::String(_) | Value::Bytes(_)) => 2.0 + cost::TRAVERSAL,
        _ => 2.0,
    };
    let size = u64::try_from(list.len()).unwrap_or(u64::MAX);
    allocating_list(size.saturating_mul(size), factor)
}
