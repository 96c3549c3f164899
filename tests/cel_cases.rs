//! Our own recorded cases: what Kubernetes gives for an expression, row by row.
//!
//! `tests/cases/cel.jsonl` holds them, recorded with the program of `tests/kubernetes-cel`: every
//! function and macro, and every difference that generated expressions ever showed. Those of
//! `tests/cases/versions.jsonl` are of a version each: what is there in it, and what is not yet. To
//! record the answers anew, run `PORTCULLIS_RECORD=1 cargo test --test cel_cases` where the program has
//! been built.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a recording that cannot be read fails the test"
)]

#[path = "rows/agree.rs"]
mod agree;
#[path = "differential/oracle.rs"]
mod oracle;
mod rows;

use std::collections::BTreeSet;
use std::path::Path;

use agree::agree;
use oracle::Oracle;
use portcullis::cel::ast::{Expr, NodeId, operator};
use portcullis::cel::check::Checked;
use portcullis::cel::estimate::range::CostEstimate;
use portcullis::cel::function::{Function, Overload, Since};
use portcullis::cel::library;
use portcullis::cel::types::Inferred;
use rows::Answer;
use serde_json::{Map, Value as Row, json};

/// The files of `tests/cases` with their texts.
const FILES: [(&str, &str); 2] = [
    ("cel.jsonl", include_str!("cases/cel.jsonl")),
    ("versions.jsonl", include_str!("cases/versions.jsonl")),
];

fn read(text: &str) -> Vec<Row> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn cases() -> Vec<Row> {
    FILES.iter().flat_map(|(_, text)| read(text)).collect()
}

/// The row with the object that most cases read, unless it has variables of its own.
fn with_variables(case: &Row) -> Row {
    let mut row = case.clone();
    if row.get("vars").is_none() {
        let text = include_str!("cases/variables.json");
        row["vars"] = serde_json::from_str(text).unwrap();
    }
    if row.get("version").is_some() {
        row["envMode"] = "new".into();
    }
    row
}

/// The answers of Kubernetes, without what a case does not need.
fn record() {
    let Some(program) = oracle::program() else {
        println!("nothing recorded: tests/kubernetes-cel is not built");
        return;
    };
    let mut oracle = Oracle::start(program);
    for (name, text) in FILES {
        let cases = read(text);
        let asked: Vec<Row> = cases.iter().map(with_variables).collect();
        let (answers, ()) = oracle.ask(&asked, || ());
        let mut text = String::new();
        for (case, answer) in cases.iter().zip(answers) {
            let mut row = Map::new();
            for key in ["expr", "env", "extensions", "version", "vars", "sizes"] {
                row.extend(case.get(key).map(|value| (key.to_owned(), value.clone())));
            }
            for key in ["staticType", "typed", "error", "phase", "cost", "estimate"] {
                row.extend(answer.get(key).map(|value| (key.to_owned(), value.clone())));
            }
            text.push_str(&Row::Object(row).to_string());
            text.push('\n');
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn estimate_of(answer: &Answer) -> Option<CostEstimate> {
    match answer {
        Answer::Evaluated { estimate, .. } => Some(*estimate),
        _ => None,
    }
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
        if !agree(&ours, &recorded) || estimate_of(&ours) != estimate_of(&recorded) {
            differences.push(format!(
                "{} {}\n    ours     {ours:?}\n    recorded {recorded:?}",
                case["expr"], case["version"]
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
        "math.greatest",
        "math.least",
    ];
    // cel-go's; nobody else has the others.
    let is_recorded = |function: &Function, overload: &Overload| {
        overload.since != Since::Extension
            || function.name.starts_with("math.")
            || function.name.starts_with("base64.")
    };
    // Who is asked is not part of a row.
    let is_asking = |overload: &Overload| {
        let mut types = overload.params.iter().chain([&overload.result]);
        types.any(|it| it.to_string().starts_with("kubernetes.authorization."))
    };
    let functions = library::functions()
        .filter(|function| {
            let mut overloads = function.overloads.iter();
            overloads.any(|it| is_recorded(function, it) && !is_asking(it))
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

/// Calls that Kubernetes estimates to cost less than it charges for them, and why.
const UNDERESTIMATED: [(&str, &str); 6] = [
    (
        ".startsWith(",
        "the prefix is estimated, the text is charged",
    ),
    (".endsWith(", "the suffix is estimated, the text is charged"),
    (
        ".lastIndexOf(",
        "characters are estimated, bytes are charged",
    ),
    (
        ".validate(",
        "every format is taken for an expression of 128 characters, that of a URI has 1,104; an \
         empty text is estimated to cost nothing",
    ),
    (
        "flatten(",
        "the result is taken to be as long as the outer list; a negative depth costs all there is",
    ),
    (
        "url('') ==",
        "what is empty is estimated to cost nothing to compare",
    ),
];

/// Says whether an expression reads a field of something untyped or optional, which is not estimated
/// at all, or of something computed, which costs one more than is estimated.
fn reads_what_is_not_estimated(checked: &Checked) -> bool {
    let ast = &checked.ast;
    let is_path = |id: NodeId| match ast.expr(id) {
        Expr::Ident(_) | Expr::Select(_) => true,
        Expr::Call(call) => call.function == operator::INDEX,
        _ => false,
    };
    ast.nodes().iter().any(|node| match &node.expr {
        Expr::Select(select) | Expr::Has(select) | Expr::OptSelect(select) => {
            let operand = checked.type_of(select.operand);
            matches!(operand, Inferred::Dyn | Inferred::Optional(_)) || !is_path(select.operand)
        }
        Expr::Call(call) => {
            let is_index = matches!(
                call.function.as_str(),
                operator::INDEX | operator::OPT_INDEX
            );
            is_index && !is_path(call.arguments[0])
        }
        _ => false,
    })
}

#[test]
fn nothing_costs_more_than_it_was_estimated_to_but_where_kubernetes_underestimates() {
    let mut unexplained = Vec::new();
    let mut explained = BTreeSet::new();
    let (mut within, mut above) = (0, 0);
    for case in cases() {
        let row = with_variables(&case);
        let Answer::Evaluated { cost, estimate, .. } = rows::answer(&row) else {
            continue;
        };
        if cost <= estimate.max {
            within += 1;
            continue;
        }
        above += 1;
        let expression = case["expr"].as_str().unwrap();
        let reason = UNDERESTIMATED
            .iter()
            .find(|(call, _)| expression.contains(call));
        explained.extend(reason.map(|(call, _)| *call));
        if reason.is_none() && !reads_what_is_not_estimated(&rows::checked(&row).unwrap()) {
            unexplained.push(format!("{expression}: {cost}, estimated {estimate:?}"));
        }
    }
    println!("{within} cases cost at most what was estimated, {above} more");
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let stale = UNDERESTIMATED
        .iter()
        .filter(|(call, _)| !explained.contains(call));
    assert_eq!(stale.count(), 0, "only {explained:?} cost more");
}

#[test]
fn every_version_that_brings_something_has_a_case_of_it_and_of_its_lack() {
    let minors: BTreeSet<u8> = library::functions()
        .flat_map(|function| function.overloads)
        .filter_map(|overload| match overload.since {
            Since::Kubernetes(minor) if minor > 30 => Some(minor),
            _ => None,
        })
        .collect();
    let cases = cases();
    for minor in minors {
        let of = |minor: u8| {
            let version = Row::from(format!("1.{minor}"));
            cases.iter().filter(move |case| case["version"] == version)
        };
        let is_refused = |case: &&Row| case["phase"] == "compile";
        let lacked: BTreeSet<&str> = of(minor - 1)
            .filter(is_refused)
            .filter_map(|case| case["expr"].as_str())
            .collect();
        let came = of(minor)
            .filter(|case| !is_refused(case))
            .filter(|case| case["expr"].as_str().is_some_and(|it| lacked.contains(it)));
        assert!(came.count() > 0, "nothing of 1.{minor}");
    }
}

#[test]
fn an_unknown_answer_is_not_taken_for_agreement() {
    let broken = rows::recorded(&json!({ "error": "panic", "phase": "panic" }));
    assert!(matches!(broken, Answer::Panicked(_)), "{broken:?}");
}
