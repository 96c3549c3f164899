//! The conformance tests of CEL (`google/cel-spec`, `tests/simple/testdata`), as far as Kubernetes'
//! language goes.
//!
//! `$PORTCULLIS_CEL_SPEC` is the folder of a checkout, of which nothing is kept here; the test is
//! ignored unless asked for. What Kubernetes does otherwise than the tests say is listed with its
//! reason in `tests/cases/cel-spec.yaml`; a test that is listed must fail. Where the program of
//! `tests/kubernetes-cel` has been built it is asked about each of these, and must give what we give.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be read fails"
)]

#[path = "../rows/agree.rs"]
mod agree;
mod listing;
#[path = "../differential/oracle.rs"]
mod oracle;
#[path = "../rows/mod.rs"]
mod rows;
mod suite;
mod types;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bumpalo::Bump;
use portcullis::cel::env::{Env, Language};
use portcullis::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use portcullis::cel::types::Type;
use portcullis::cel::value::Value;
use portcullis::cel::{check, parse, plan};
use serde_json::{Map, Value as Row, json};

use agree::agree;
use listing::Listing;
use oracle::Oracle;
use rows::Answer;
use suite::{Expected, Suite, Test};

/// What became of a test.
enum Outcome {
    Passed,
    /// With what we gave.
    Failed(String),
}

#[test]
#[ignore = "needs a checkout of google/cel-spec in $PORTCULLIS_CEL_SPEC"]
fn the_specification_is_kept_where_kubernetes_keeps_it() {
    let folder = PathBuf::from(std::env::var_os("PORTCULLIS_CEL_SPEC").unwrap());
    let suite = Suite::read(&folder);
    let listing = Listing::read();
    let mut by_file: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut failed = Vec::new();
    let mut problems = listing.unknown(&suite.tests);
    for test in &suite.tests {
        let (passed, all) = by_file.entry(&test.file).or_default();
        *all += 1;
        match (outcome(&suite, test), listing.reason(test)) {
            (Outcome::Passed, None) => *passed += 1,
            (Outcome::Passed, Some(_)) => {
                problems.push(format!("{test}: is listed, but passes"));
            }
            (Outcome::Failed(ours), reason) => {
                if reason.is_none() {
                    problems.push(format!("{test}: {}\n    ours {ours}", test.expression));
                }
                failed.push(test);
            }
        }
    }
    problems.extend(differences_from_kubernetes(&suite));
    for (file, (passed, all)) in &by_file {
        println!("cel-spec: {file} {passed}/{all}");
    }
    let passed: usize = by_file.values().map(|(passed, _)| passed).sum();
    println!(
        "cel-spec: pass {passed}/{}, listed {}",
        suite.tests.len(),
        failed
            .iter()
            .filter(|it| listing.reason(it).is_some())
            .count()
    );
    assert!(
        suite.tests.len() > 2_000,
        "only {} tests",
        suite.tests.len()
    );
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// Evaluates a test, and compares strictly: value, type, or that there is an error.
fn outcome(suite: &Suite, test: &Test) -> Outcome {
    let arena = Bump::new();
    let mut slots: Vec<(&str, Type)> = Vec::new();
    let mut bound = Vec::new();
    for (name, value) in &test.bindings {
        let Some(value) = values::value(suite, &arena, value) else {
            return Outcome::Failed(format!("no value for `{name}`"));
        };
        slots.push((name, test.declared(name).unwrap_or(Type::Dyn)));
        bound.push(value);
    }
    for (name, declared) in &test.declarations {
        if !slots.iter().any(|(slot, _)| slot == name) {
            slots.push((name, *declared));
        }
    }
    let env = Env::new(slots, Language::Kubernetes);
    let planned = parse::parse(&test.expression)
        .and_then(|ast| check::check(ast, &env))
        .and_then(|checked| Ok((plan::plan(&checked)?, checked.result.to_string())));
    let (program, static_type) = match planned {
        Ok(planned) => planned,
        Err(_) if matches!(test.expected, Expected::Error) => return Outcome::Passed,
        Err(issues) => {
            let messages: Vec<String> = issues.into_iter().map(|issue| issue.message).collect();
            return Outcome::Failed(format!("refused: {}", messages.join("; ")));
        }
    };
    if let Expected::Typed(_, wanted) = &test.expected
        && *wanted != static_type
    {
        return Outcome::Failed(format!("type {static_type}, not {wanted}"));
    }
    let wanted = match &test.expected {
        Expected::Typed(..) if test.is_check_only => return Outcome::Passed,
        Expected::Value(wanted) | Expected::Typed(wanted, _) => Some(wanted),
        Expected::Error => None,
    };
    let inputs = Inputs::new(&bound);
    let limits = Limits::default();
    let result = evaluate(&program, &inputs, &arena, limits, &mut Unobserved).value;
    let (value, wanted) = match (result, wanted) {
        (Err(_), None) => return Outcome::Passed,
        (Ok(value), None) => return Outcome::Failed(format!("{value:?}, not an error")),
        (Err(fault), Some(_)) => return Outcome::Failed(format!("error: {fault}")),
        (Ok(value), Some(wanted)) => (value, wanted),
    };
    let Some(wanted) = values::value(suite, &arena, wanted) else {
        return Outcome::Failed("gives what no value of ours can be".to_owned());
    };
    let (ours, wanted) = (rows::typed(&value), rows::typed(&wanted));
    match ours == wanted {
        true => Outcome::Passed,
        false => Outcome::Failed(format!("{ours}, not {wanted}")),
    }
}

/// Asks Kubernetes about all tests: it must give what we give, and so fail those that we fail, and no
/// others.
fn differences_from_kubernetes(suite: &Suite) -> Vec<String> {
    let Some(program) = oracle::program() else {
        println!("not compared with Kubernetes: tests/kubernetes-cel is not built");
        return Vec::new();
    };
    let tests = suite.tests.iter();
    let asked: Vec<(&Test, Row)> = tests
        .filter_map(|test| Some((test, row(suite, test)?)))
        .collect();
    println!(
        "cel-spec: compared with Kubernetes {}/{}",
        asked.len(),
        suite.tests.len()
    );
    let rows: Vec<Row> = asked.iter().map(|(_, row)| row.clone()).collect();
    let mut oracle = Oracle::start(program);
    let (answers, ()) = oracle.ask(&rows, || ());
    let mut differences = Vec::new();
    for ((test, row), theirs) in asked.iter().zip(answers) {
        let (ours, theirs) = (rows::answer(row), rows::recorded(&theirs));
        if !agree(&ours, &theirs) && !agrees_sometimes(&mut oracle, row, &ours) {
            differences.push(format!(
                "{test}: {row}\n    ours       {ours:?}\n    Kubernetes {theirs:?}"
            ));
        }
    }
    differences
}

/// How often a test is asked again: Go iterates maps in an order of its own each time.
const REPEATS: usize = 12;

fn agrees_sometimes(oracle: &mut Oracle, row: &Row, ours: &Answer) -> bool {
    let (answers, ()) = oracle.ask(&vec![row.clone(); REPEATS], || ());
    answers
        .iter()
        .any(|theirs| agree(ours, &rows::recorded(theirs)))
}

/// A test as a row for Kubernetes, all of whose variables are unstructured; `None` if such a variable
/// cannot have a value.
fn row(suite: &Suite, test: &Test) -> Option<Row> {
    let arena = Bump::new();
    let mut vars = Map::new();
    for (name, value) in &test.bindings {
        let value = unstructured(&values::value(suite, &arena, value)?)?;
        vars.insert(name.clone(), value);
    }
    Some(json!({ "expr": test.expression, "env": "dyn", "vars": vars }))
}

/// A value as unstructured JSON, if it is one.
fn unstructured(value: &Value<'_>) -> Option<Row> {
    Some(match value {
        Value::Null => Row::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Double(value) if value.is_finite() => json!(value),
        Value::String(value) => json!(value),
        Value::List(list) => {
            let items = list.iter().map(|item| unstructured(&item));
            Row::Array(items.collect::<Option<_>>()?)
        }
        Value::Map(map) => {
            let entries = map.iter().map(|(key, value)| match key {
                Value::String(key) => Some((key.to_owned(), unstructured(&value)?)),
                _ => None,
            });
            Row::Object(entries.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
