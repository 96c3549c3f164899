//! The functions of Kubernetes' CEL environment, one file per library.
//!
//! Each is declared once over [`super::function`]: signature, body, cost, documentation and examples.
//! Operators and macros are the evaluator's. What each costs is what apiserver
//! `pkg/cel/library/cost.go`, `CallCost`, says, and where it says nothing cel-go's
//! `interpreter/runtimecost.go`, `costCall`.

pub mod authz;
pub mod cidr;
pub mod cluster;
pub mod comparison;
pub mod conversions;
pub mod documents;
pub mod encoders;
pub mod format;
pub mod format_string;
mod go_sort;
pub mod ip;
pub mod jsonpatch;
pub mod lists;
pub mod lists_extension;
pub mod maps;
pub mod math;
pub mod optional;
pub mod quantity;
pub mod regex;
pub mod semver;
pub mod sets;
pub mod standard;
mod static_cost;
pub mod strings;
pub mod time;
pub mod url;
pub mod x509;

use super::error::{FaultKind, Result};
use super::estimate::call::{self, StaticCost};
use super::function::{Body, Call, Cost, Function, Overload, Since, Style, cost};
use super::types::Type;
use super::value::Value;

/// Returns all functions, each name once: where several libraries overload a function (`indexOf` of
/// strings and of lists), one of them declares it for all.
pub fn functions() -> impl Iterator<Item = &'static Function> {
    [
        standard::FUNCTIONS,
        conversions::FUNCTIONS,
        time::FUNCTIONS,
        strings::FUNCTIONS,
        format_string::FUNCTIONS,
        optional::FUNCTIONS,
        lists::FUNCTIONS,
        lists_extension::FUNCTIONS,
        sets::FUNCTIONS,
        maps::FUNCTIONS,
        regex::FUNCTIONS,
        quantity::FUNCTIONS,
        comparison::FUNCTIONS,
        url::FUNCTIONS,
        ip::FUNCTIONS,
        cidr::FUNCTIONS,
        semver::FUNCTIONS,
        format::FUNCTIONS,
        jsonpatch::FUNCTIONS,
        cluster::FUNCTIONS,
        math::FUNCTIONS,
        encoders::FUNCTIONS,
        documents::FUNCTIONS,
        x509::FUNCTIONS,
        authz::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// Returns the cost of a call for which the checker left several overloads open, if that differs from
/// the cost of the overload that is called: cel-go finds such costs by the overload's identifier, and
/// an open call has none.
pub fn cost_of_open_call(function: &str) -> Option<Cost> {
    match function {
        "string" | "bytes" | "sort" | "@sortByAssociatedKeys" => Some(cost::one),
        "containsIP" => Some(cidr::cost_of_contains_address),
        "containsCIDR" => Some(cidr::cost_of_contains_network),
        _ => None,
    }
}

/// Declares an overload called as `f(x)`.
const fn global(
    id: &'static str,
    params: &'static [Type],
    result: Type,
    body: Body,
    cost: Cost,
) -> Overload {
    Overload {
        id,
        style: Style::Global,
        params,
        result,
        body,
        cost,
        estimate: call::one,
        since: SINCE_ALWAYS,
    }
}

/// Declares an overload called as `x.f()`.
const fn member(
    id: &'static str,
    params: &'static [Type],
    result: Type,
    body: Body,
    cost: Cost,
) -> Overload {
    Overload {
        style: Style::Member,
        ..global(id, params, result, body, cost)
    }
}

/// Expressions were alpha in 1.23; what was there from the start has no version upstream.
const SINCE_ALWAYS: Since = Since::Kubernetes(0);

impl Overload {
    /// Marks what Kubernetes does not have.
    const fn extension(mut self) -> Overload {
        self.since = Since::Extension;
        self
    }

    /// Sets what is known of the cost before the call; one unit otherwise.
    const fn estimated(mut self, estimate: StaticCost) -> Overload {
        self.estimate = estimate;
        self
    }

    /// Sets since which minor version of Kubernetes the overload exists.
    const fn since(mut self, minor: u8) -> Overload {
        self.since = Since::Kubernetes(minor);
        self
    }
}

/// Gives the fault of a body whose arguments do not match its parameters; the planner and
/// [`super::function::accepts`] keep that from happening.
fn no_such_overload<'a>(call: &Call<'a>) -> Result<'a> {
    Err(call.raise(FaultKind::NoSuchOverload))
}

/// Makes an `int` of a length.
fn int<'a>(length: usize) -> Value<'a> {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

/// Returns `cost` of cel-go for a call that allocates a list (`ext/lists.go`,
/// `trackAllocatingListCall`).
fn allocating_list(size: u64, factor: f64) -> u64 {
    ((size as f64 * factor) as u64).saturating_add(LIST_CALL)
}

/// Ten for the list and one for the call.
const LIST_CALL: u64 = 11;

#[cfg(test)]
mod tests;
