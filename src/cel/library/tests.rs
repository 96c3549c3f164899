//! The declarations as a whole: their examples, run through the evaluator, and their consistency.

use std::collections::BTreeSet;

use bumpalo::Bump;

use super::authz::AUTHORIZER;
use super::functions;
use crate::cel::env::{Env, Language, Messages};
use crate::cel::estimate::range::SizeEstimate;
use crate::cel::estimate::{Sizes, estimate};
use crate::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use crate::cel::function::{Call, Style, accepts};
use crate::cel::pattern::Patterns;
use crate::cel::types::{Inferred, Type};
use crate::cel::value::access::{Access, Authorize, Decision, Subject};
use crate::cel::value::{List, Value};
use crate::cel::{check, parse, plan};

/// The user of the examples.
#[derive(Debug)]
struct Reader;

impl Authorize for Reader {
    fn authorize<'a>(&'a self, _: &'a Bump, question: Access<'_>, verb: &str) -> Decision<'a> {
        let subject = match question {
            Access::Path(subject, _) => subject,
            Access::Resource(check) => check.subject,
            other => panic!("{other:?} is no question"),
        };
        let allowed = subject == Subject::Requester && ["get", "list", "watch"].contains(&verb);
        Decision {
            allowed,
            reason: if allowed { "" } else { "may only read" },
            error: "",
        }
    }
}

/// Evaluates an expression whose only variable is the authorizer; gives its value or its error's text,
/// and its cost.
fn outcome<'a>(arena: &'a Bump, expression: &str) -> (Result<Value<'a>, String>, u64) {
    let slots = [("authorizer", AUTHORIZER)];
    let env = Env::new(slots, Language::Extended).with_messages(Messages::Mutation);
    let issue = |issues: Vec<crate::cel::issue::Issue>| format!("{issues:?}");
    let program = parse::parse(expression)
        .and_then(|ast| check::check(ast, &env))
        .and_then(|checked| plan::plan(&checked))
        .map_err(issue);
    let program = match program {
        Ok(program) => Box::leak(Box::new(program)),
        Err(issues) => return (Err(issues), 0),
    };
    let inputs = arena.alloc(Inputs {
        slots: arena.alloc([Value::Access(&Access::Authorizer(Subject::Requester))]),
        variables: &[],
        lookup: None,
        authorizer: Some(&Reader),
    });
    let outcome = evaluate(program, inputs, arena, Limits::default(), &mut Unobserved);
    (
        outcome.value.map_err(|fault| fault.to_string()),
        outcome.cost,
    )
}

#[test]
fn every_example_gives_what_it_says() {
    let mut failures = Vec::new();
    for function in functions() {
        assert!(
            !function.examples.is_empty(),
            "{} has no example",
            function.name
        );
        for (expression, expect) in function.examples {
            let arena = Bump::new();
            let (got, _) = outcome(&arena, expression);
            let agrees = match (expect.strip_prefix("error: "), &got) {
                (Some(text), Err(error)) => error.contains(text),
                (None, Ok(value)) => match outcome(&arena, expect).0 {
                    Ok(expected) => {
                        value.type_name() == expected.type_name() && value.equals(&expected)
                    }
                    Err(error) => panic!("{expect}: {error}"),
                },
                _ => false,
            };
            if !agrees {
                failures.push(format!("{expression}\n  expected {expect}\n  got {got:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn names_and_overloads_are_declared_once() {
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for function in functions() {
        assert!(names.insert(function.name), "{} twice", function.name);
        for overload in function.overloads {
            assert!(ids.insert(overload.id), "{} twice", overload.id);
            let has_receiver = !overload.params.is_empty();
            assert!(
                has_receiver || overload.style == Style::Global,
                "{}",
                overload.id
            );
        }
    }
    assert!(names.len() > 100, "only {} functions", names.len());
}

/// Evaluates a body directly; gives the result's text.
fn called<'a>(arena: &'a Bump, name: &str, arguments: &[Value<'a>], memory_limit: usize) -> String {
    let call = Call {
        arena,
        memory_limit,
        patterns: Patterns::default(),
        steps: std::cell::Cell::default(),
        lookup: None,
        authorizer: None,
    };
    let overload = functions()
        .filter(|function| function.name == name)
        .flat_map(|function| function.overloads)
        .find(|overload| {
            overload.params.len() == arguments.len()
                && overload
                    .params
                    .iter()
                    .zip(arguments)
                    .all(|(param, value)| accepts(param, value))
        })
        .unwrap();
    match (overload.body)(&call, arguments) {
        Ok(value) => format!("{value:?}"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn results_that_would_outgrow_the_memory_budget_are_refused() {
    const BUDGET: usize = 1 << 20;
    const MANY: usize = 1 << 10;
    let exceeded = "operation cancelled: memory limit exceeded";
    let ints = [Value::Int(7); MANY];
    let lists = [Value::List(List::Values(&ints)); MANY];
    let nested = [Value::List(List::Values(&lists)); MANY];
    let nested = Value::List(List::Values(&nested));
    let text = "a".repeat(MANY);
    let text = Value::String(&text);
    let texts = [text; MANY];
    let in_list = [nested];
    for (name, arguments) in [
        (
            "format",
            &[Value::String("%s"), Value::List(List::Values(&in_list))][..],
        ),
        ("flatten", &[nested, Value::Int(9)]),
        ("lists.range", &[Value::Int(i64::MAX)]),
        ("replace", &[text, Value::String(""), text]),
        ("join", &[Value::List(List::Values(&texts)), text]),
        ("split", &[text, Value::String("")]),
    ] {
        let budget = if name == "split" { MANY } else { BUDGET };
        assert_eq!(
            called(&Bump::new(), name, arguments, budget),
            exceeded,
            "{name}"
        );
    }
}

#[test]
fn long_lists_of_strings_are_compared_by_hash() {
    let arena = Bump::new();
    let texts = (0..200_000).map(|at| at.to_string()).collect::<Vec<_>>();
    let items = texts
        .iter()
        .map(|text| Value::String(text))
        .collect::<Vec<_>>();
    let list = Value::List(List::Values(&items));
    assert_eq!(
        called(&arena, "sets.equivalent", &[list, list], usize::MAX),
        "Bool(true)"
    );
    assert_eq!(
        called(&arena, "sets.intersects", &[list, list], usize::MAX),
        "Bool(true)"
    );
    assert!(called(&arena, "distinct", &[list], usize::MAX).ends_with("String(\"199999\")]))"));
}

/// The size of everything there is.
const SIZE: usize = 1000;

#[derive(Debug)]
struct AllOfOneSize;

impl Sizes for AllOfOneSize {
    fn size(&self, _: &str, _: &Inferred) -> Option<SizeEstimate> {
        Some(SizeEstimate::fixed(u64::try_from(SIZE).ok()?))
    }
}

/// A value of a type; the types of the libraries are all of size one.
fn sample<'a>(arena: &'a Bump, of: &Type) -> Value<'a> {
    match of {
        Type::String => Value::String(arena.alloc_str(&"a".repeat(SIZE))),
        Type::Bytes => Value::Bytes(arena.alloc_slice_fill_copy(SIZE, 0)),
        Type::List(item) => {
            let item = sample(arena, item);
            Value::List(List::Values(arena.alloc_slice_fill_copy(SIZE, item)))
        }
        _ => Value::Int(0),
    }
}

#[test]
fn a_call_costs_at_most_what_is_estimated() {
    // What a format costs depends on which it is: see tests/cel_cases.rs.
    let is_known = |name: &str| name == "validate" || name.contains('@');
    for function in functions().filter(|function| !is_known(function.name)) {
        for overload in function.overloads {
            let names: Vec<String> = (0..overload.params.len())
                .map(|at| format!("a{at}"))
                .collect();
            let call = match (overload.style, names.split_first()) {
                (Style::Member, Some((receiver, rest))) => {
                    format!("{receiver}.{}({})", function.name, rest.join(", "))
                }
                _ => format!("{}({})", function.name, names.join(", ")),
            };
            let slots = names.iter().map(String::as_str);
            let slots = slots.zip(overload.params.iter().copied());
            let env = Env::new(slots, Language::Extended).with_messages(Messages::Mutation);
            let checked = parse::parse(&call).and_then(|ast| check::check(ast, &env));
            let estimate = estimate(&checked.unwrap(), &AllOfOneSize);
            let arena = Bump::new();
            let sample = |of| sample(&arena, of);
            let arguments: Vec<Value<'_>> = overload.params.iter().map(sample).collect();
            let cost = (overload.cost)(&arguments, Some(&sample(&overload.result)));
            // Reading each argument costs one.
            let estimated = estimate.max - u64::try_from(arguments.len()).unwrap();
            assert!(
                cost <= estimated,
                "{}: {cost}, estimated {estimated}; declare what is known before the call with \
                 `.estimated(…)`",
                overload.id
            );
        }
    }
}
