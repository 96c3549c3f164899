//! The comparisons quantities and versions share: apiserver `pkg/cel/library/quantity.go` and
//! `semverlib.go`.

use std::cmp::Ordering;

use super::super::error::Result;
use super::super::function::{Body, Call, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::quantity::{self, QUANTITY};
use super::semver::{self, SEMVER};
use super::{member, no_such_overload};

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "isGreaterThan",
        doc: "Says whether a quantity or version is greater than another.",
        overloads: &[
            of_quantities("quantity_is_greater_than", Type::Bool, is_greater),
            of_versions("semver_is_greater_than", Type::Bool, is_greater),
        ],
        examples: &[
            ("quantity('150Mi').isGreaterThan(quantity('100Mi'))", "true"),
            ("semver('1.0.0').isGreaterThan(semver('1.0.0-rc'))", "true"),
        ],
    },
    Function {
        name: "isLessThan",
        doc: "Says whether a quantity or version is less than another.",
        overloads: &[
            of_quantities("quantity_is_less_than", Type::Bool, is_less),
            of_versions("semver_is_less_than", Type::Bool, is_less),
        ],
        examples: &[
            ("quantity('50M').isLessThan(quantity('50Mi'))", "true"),
            ("semver('1.2.3').isLessThan(semver('1.2.3'))", "false"),
        ],
    },
    Function {
        name: "compareTo",
        doc: "Returns -1, 0 or 1 if a quantity or version is less than, equal to or greater than another.",
        overloads: &[
            of_quantities("quantity_compare_to", Type::Int, compare),
            of_versions("semver_compare_to", Type::Int, compare),
        ],
        examples: &[
            ("quantity('200M').compareTo(quantity('0.2G'))", "0"),
            ("semver('1.2.3').compareTo(semver('2.0.0'))", "-1"),
        ],
    },
];

const fn of_quantities(id: &'static str, result: Type, body: Body) -> Overload {
    member(id, &[QUANTITY, QUANTITY], result, body, cost::one).since(quantity::SINCE)
}

const fn of_versions(id: &'static str, result: Type, body: Body) -> Overload {
    member(id, &[SEMVER, SEMVER], result, body, cost::one).since(semver::SINCE)
}

fn order<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a, Ordering> {
    match arguments {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(a.cmp(b)),
        [Value::Semver(a), Value::Semver(b)] => Ok(a.cmp(b)),
        _ => no_such_overload(call).map(|_| Ordering::Equal),
    }
}

fn is_greater<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    Ok(Value::Bool(order(call, arguments)?.is_gt()))
}

fn is_less<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    Ok(Value::Bool(order(call, arguments)?.is_lt()))
}

fn compare<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    Ok(Value::Int(match order(call, arguments)? {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}
