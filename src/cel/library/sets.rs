//! Lists taken as sets: cel-go `ext/sets.go`.

use rustc_hash::FxHashSet;

use super::super::error::Result;
use super::super::function::{Call, Cost, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::{List, Value};
use super::{global, no_such_overload, static_cost};
use crate::cel::function::Body;

const LIST: Type = Type::List(&Type::Param("T"));

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "sets.contains",
        doc: "Says whether all items of the second list are in the first.",
        overloads: &[of_lists(
            "list_sets_contains_list",
            contains,
            cost_of_product,
        )],
        examples: &[
            ("sets.contains([1, 2, 3], [2, 3])", "true"),
            ("sets.contains([1], [1, 2])", "false"),
            ("sets.contains([], [])", "true"),
        ],
    },
    Function {
        name: "sets.equivalent",
        doc: "Says whether each of two lists contains all items of the other.",
        overloads: &[of_lists(
            "list_sets_equivalent_list",
            equivalent,
            cost_of_two_products,
        )
        .estimated(static_cost::of_sets_both_ways)],
        examples: &[
            ("sets.equivalent([1], [1, 1])", "true"),
            ("sets.equivalent([1], [1, 2])", "false"),
        ],
    },
    Function {
        name: "sets.intersects",
        doc: "Says whether two lists have an item in common.",
        overloads: &[of_lists(
            "list_sets_intersects_list",
            intersects,
            cost_of_product,
        )],
        examples: &[
            ("sets.intersects([1, 2], [2, 3])", "true"),
            ("sets.intersects([1], [])", "false"),
        ],
    },
];

const fn of_lists(id: &'static str, body: Body, cost: Cost) -> Overload {
    global(id, &[LIST, LIST], Type::Bool, body, cost)
        .estimated(static_cost::of_sets)
        .since(29)
}

fn contains<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(a), Value::List(b)] => contains_all(call, a, b).map(Value::Bool),
        _ => no_such_overload(call),
    }
}

fn equivalent<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(a), Value::List(b)] => {
            let is_equivalent = contains_all(call, a, b)? && contains_all(call, b, a)?;
            Ok(Value::Bool(is_equivalent))
        }
        _ => no_such_overload(call),
    }
}

fn intersects<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::List(a), Value::List(b)] => {
            let members = Members::of(b);
            for item in a.iter() {
                if members.contain(call, &item)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        _ => no_such_overload(call),
    }
}

fn contains_all<'a>(call: &Call<'a>, list: &List<'a>, items: &List<'a>) -> Result<'a, bool> {
    let members = Members::of(list);
    for item in items.iter() {
        if !members.contain(call, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// From this length on the strings of a list are hashed: comparing each with each would take minutes
/// on lists as long as a request may hold.
const HASHED_FROM: usize = 64;

/// The items of a list, to be looked up.
struct Members<'a> {
    list: List<'a>,
    strings: Option<FxHashSet<&'a str>>,
}

impl<'a> Members<'a> {
    fn of(list: &List<'a>) -> Self {
        let strings = (list.len() >= HASHED_FROM).then(|| {
            let string = |item| match item {
                Value::String(text) => Some(text),
                _ => None,
            };
            list.iter().filter_map(string).collect()
        });
        Members {
            list: *list,
            strings,
        }
    }

    fn contain(&self, call: &Call<'a>, item: &Value<'a>) -> Result<'a, bool> {
        match (item, &self.strings) {
            (Value::String(text), Some(strings)) => Ok(strings.contains(text)),
            _ => call.contains(&self.list, item),
        }
    }
}

fn cost_of_product(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    // The extension knows no size of an optional.
    let size = |at| match arguments.get(at) {
        Some(Value::Optional(_)) => 1,
        _ => cost::size_at(arguments, at),
    };
    size(0).saturating_mul(size(1)).saturating_add(1)
}

fn cost_of_two_products(arguments: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    (cost_of_product(arguments, result) - 1)
        .saturating_mul(2)
        .saturating_add(1)
}
