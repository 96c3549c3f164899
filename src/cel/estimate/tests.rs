//! What the recorded cases do not show: extensions, a policy's variables, sizes, large expressions.

use super::range::{CostEstimate, SizeEstimate};
use super::{Sizes, Unknown, estimate};
use crate::cel::check::{Checked, check};
use crate::cel::env::{Env, Language};
use crate::cel::parse::parse;
use crate::cel::types::{Inferred, Type};

fn checked(expression: &str) -> Checked {
    let slots = [
        ("object", Type::Dyn),
        ("names", Type::List(&Type::String)),
        ("variables", Type::Dyn),
    ];
    let mut env = Env::new(slots, Language::Extended);
    env.declare_variable("count", Inferred::Simple(Type::Int));
    check(parse(expression).unwrap(), &env).unwrap()
}

#[track_caller]
fn expect(expression: &str, sizes: &dyn Sizes, min: u64, max: u64) {
    let got = estimate(&checked(expression), sizes);
    assert_eq!(got, CostEstimate { min, max }, "{expression}");
}

/// Knows the sizes of a few paths.
#[derive(Debug)]
struct Known;

impl Sizes for Known {
    fn size(&self, path: &str, _: &Inferred) -> Option<SizeEstimate> {
        let max = match path {
            "names" => 4,
            "names.@items" => 20,
            "object.spec.@values.name" => 30,
            _ => return None,
        };
        Some(SizeEstimate { min: 0, max })
    }
}

#[test]
fn a_variable_of_a_policy_costs_a_name_and_a_field() {
    expect("variables.count + 1", &Unknown, 3, 3);
    expect("has(variables.count)", &Unknown, 1, 1);
}

#[test]
fn extensions_are_estimated_too() {
    expect("cel.bind(x, names.size(), x + x)", &Unknown, 15, 15);
    expect(
        "cluster.get('v1', 'Node', '', 'a').hasValue()",
        &Unknown,
        11,
        11,
    );
    expect("cluster.list('v1', 'Node', '')", &Unknown, 10, u64::MAX);
}

#[test]
fn known_sizes_bound_the_estimate() {
    // Two for the loop, three for each of four names.
    expect("names.all(n, n.size() > 2)", &Known, 2, 2 + 4 * 6);
    expect("names.join().size()", &Known, 2, 2 + 8);
    expect("names.indexOf('a')", &Known, 1, 1 + 4 * 3);
    expect("object.spec[0].name.lowerAscii()", &Known, 2, 2 + 3);
    expect("cel.bind(n, names[0], n).lowerAscii()", &Known, 13, 13 + 2);
}

#[test]
fn an_untyped_field_is_not_counted() {
    expect("object.spec.replicas", &Unknown, 1, 1);
    expect("object['spec']['replicas']", &Unknown, 3, 3);
}

#[test]
fn a_chain_of_macros_is_estimated_once_per_link() {
    let link = ".optMap(x, x + 1)";
    let chain = format!("optional.of(1){}", link.repeat(60));
    let cost = estimate(&checked(&chain), &Unknown);
    // Whether there is a value is asked, and once more for the value: upstream writes the chain twice
    // as long with each link.
    assert_eq!(cost.min, 1 + 60 * 2);
    assert!(cost.max > 1 << 60, "{cost:?}");
}

#[test]
fn nested_loops_end_at_the_largest_cost() {
    let expression = format!("{}true{}", "names.all(n, ".repeat(30), ")".repeat(30));
    expect(&expression, &Unknown, 2, u64::MAX);
}
