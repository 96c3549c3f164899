//! Our own recorded cases: what Kubernetes gives for an expression, row by row.
//!
//! `tests/cases/cel.jsonl` holds them, recorded with the program of `tests/kubernetes-cel`: every
//! function and macro, and every difference that generated expressions ever showed. To record the
//! answers of `tests/cases/cel.jsonl` anew, run
//! `PORTCULLIS_RECORD=1 cargo test --test cel_cases` where the program has been built.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a recording that cannot be read fails the test"
)]

#[path = "differential/oracle.rs"]
mod oracle;
mod rows;

use std::collections::BTreeSet;
use std::path::Path;

use oracle::Oracle;
use portcullis::cel::function::{Overload, Since};
use portcullis::cel::library;
use rows::Answer;
use serde_json::{Map, Value as Row, json};

fn cases() -> Vec<Row> {
    let text = include_str!("cases/cel.jsonl");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The row with the object that most cases read, unless it has variables of its own.
fn with_variables(case: &Row) -> Row {
    let mut row = case.clone();
    if row.get("vars").is_none() {
        let text = include_str!("cases/variables.json");
        row["vars"] = serde_json::from_str(text).unwrap();
    }
    row
}

/// The answers of Kubernetes, without what a case does not need.
fn record() {
    let Some(program) = oracle::program() else {
        println!("nothing recorded: tests/kubernetes-cel is not built");
        return;
    };
    let cases = cases();
    let asked: Vec<Row> = cases.iter().map(with_variables).collect();
    let (answers, ()) = Oracle::start(program).ask(&asked, || ());
    let mut text = String::new();
    for (case, answer) in cases.iter().zip(answers) {
        let mut row = Map::new();
        for key in ["expr", "env", "vars"] {
            row.extend(case.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        for key in ["staticType", "typed", "error", "phase", "cost"] {
            row.extend(answer.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        text.push_str(&Row::Object(row).to_string());
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/cel.jsonl");
    std::fs::write(path, text).unwrap();
}

#[test]
fn recorded_cases_give_what_kubernetes_gave() {
    if std::env::var_os("PORTCULLIS_RECORD").is_some() {
        return record();
    }
    let mut differences = Vec::new();
    let cases = cases();
    for case in &cases {
        let ours = rows::answer(&with_variables(case));
        let recorded = rows::recorded(case);
        let agrees = match (&ours, &recorded) {
            (Answer::Refused(_), Answer::Refused(_)) => true,
            (
                Answer::Evaluated {
                    static_type,
                    result,
                    cost,
                },
                Answer::Evaluated {
                    static_type: their_type,
                    result: theirs,
                    cost: their_cost,
                },
            ) => {
                let is_same = match (result, theirs) {
                    (Ok(value), Ok(theirs)) => value == theirs,
                    (Err(_), Err(_)) => true,
                    _ => false,
                };
                is_same && static_type == their_type && cost == their_cost
            }
            _ => false,
        };
        if !agrees {
            differences.push(format!(
                "{}\n    ours     {ours:?}\n    recorded {recorded:?}",
                case["expr"]
            ));
        }
    }
    assert!(cases.len() > 300, "only {} cases", cases.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_function_and_macro_has_a_recorded_case() {
    let cases = cases();
    let expressions: Vec<&str> = cases
        .iter()
        .filter_map(|case| case["expr"].as_str())
        .collect();
    let macros = [
        "has",
        "all",
        "exists",
        "exists_one",
        "existsOne",
        "map",
        "filter",
        "transformList",
        "transformMap",
        "transformMapEntry",
        "optMap",
        "optFlatMap",
        "sortBy",
    ];
    // Who is asked is not part of a row.
    let is_asking = |overload: &Overload| {
        let mut types = overload.params.iter().chain([&overload.result]);
        types.any(|it| it.to_string().starts_with("kubernetes.authorization."))
    };
    let functions = library::functions()
        .filter(|function| {
            let mut overloads = function.overloads.iter();
            overloads.any(|it| it.since != Since::Extension && !is_asking(it))
        })
        .map(|function| function.name)
        .filter(|name| !name.contains('@'));
    let missing: BTreeSet<&str> = functions
        .chain(macros)
        .filter(|name| {
            !expressions
                .iter()
                .any(|text| text.contains(&format!("{name}(")))
        })
        .collect();
    assert!(missing.is_empty(), "no recorded case calls {missing:?}");
}

#[test]
fn an_unknown_answer_is_not_taken_for_agreement() {
    let broken = rows::recorded(&json!({ "error": "panic", "phase": "panic" }));
    assert!(matches!(broken, Answer::Panicked(_)), "{broken:?}");
}
