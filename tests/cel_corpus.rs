//! Expressions with the value, type, cost or error that Kubernetes' own CEL environment gives.
//!
//! The recordings lie in the folder `$PORTCULLIS_CORPUS` (`cel.jsonl.gz`); the test is ignored
//! unless asked for.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a recording that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};

use bumpalo::Bump;
use flate2::read::GzDecoder;
use portcullis::cel::encode::{self, Notation};
use portcullis::cel::env::{Env, Language, Messages};
use portcullis::cel::eval::{Inputs, Limits, Outcome, Unobserved, evaluate};
use portcullis::cel::plan::{self, Program};
use portcullis::cel::types::Type;
use portcullis::cel::value::Value;
use portcullis::cel::{check, parse};
use portcullis::json;
use portcullis::policy::compile::SLOTS;
use serde_json::Value as Row;

/// One aspect of a recording, with what was compared and what agreed.
#[derive(Default)]
struct Tally {
    compared: usize,
    agreed: usize,
    differences: Vec<String>,
}

impl Tally {
    fn count(&mut self, agrees: bool, difference: impl FnOnce() -> String) {
        self.compared += 1;
        if agrees {
            self.agreed += 1;
        } else {
            self.differences.push(difference());
        }
    }
}

fn rows() -> Vec<Row> {
    let folder = std::env::var_os("PORTCULLIS_CORPUS").unwrap();
    let file = File::open(std::path::Path::new(&folder).join("cel.jsonl.gz")).unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

fn environment(row: &Row) -> Env {
    match row["env"].as_str() {
        Some("dyn") => {
            let names = row["vars"].as_object();
            let names = names.into_iter().flat_map(|vars| vars.keys());
            Env::new(
                names.map(|name| (name.as_str(), Type::Dyn)),
                Language::Kubernetes,
            )
        }
        _ => Env::new(SLOTS, Language::Kubernetes)
            .without("settings")
            .without("pod")
            .with_messages(match row["env"].as_str() {
                Some("admission") => Messages::None,
                _ => Messages::Mutation,
            }),
    }
}

fn compile(expression: &str, env: &Env) -> Result<(Program, String), String> {
    let shown = |issues: Vec<portcullis::cel::issue::Issue>| {
        issues
            .into_iter()
            .map(|issue| issue.message)
            .collect::<Vec<_>>()
            .join("; ")
    };
    let ast = parse::parse(expression).map_err(shown)?;
    let checked = check::check(ast, env).map_err(shown)?;
    let result = checked.result.to_string();
    Ok((plan::plan(&checked).map_err(shown)?, result))
}

/// Evaluates, and hands the outcome to `then`: it lives only as long as the arena.
fn run<R>(row: &Row, program: &Program, then: impl FnOnce(Outcome<'_>) -> R) -> R {
    let arena = Bump::new();
    let slots: Vec<Value<'_>> = match row["env"].as_str() {
        Some("dyn") => {
            let vars = row["vars"].as_object();
            let values = vars.into_iter().flat_map(|vars| vars.values());
            values
                .map(|value| Value::from(json::from_value(&arena, value)))
                .collect()
        }
        _ => SLOTS
            .iter()
            .filter(|(name, _)| !name.starts_with("authorizer"))
            .map(|(name, _)| Value::from(json::from_value(&arena, &row["vars"][*name])))
            .collect(),
    };
    let inputs = Inputs {
        slots: &slots,
        variables: &[],
        lookup: None,
        authorizer: None,
    };
    then(evaluate(
        program,
        &inputs,
        &arena,
        Limits::default(),
        &mut Unobserved,
    ))
}

/// A value in the notation of the recordings.
fn typed(value: &Value<'_>) -> Row {
    let text = encode::write(value, Notation::Typed, usize::MAX).whole();
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// Leaves out what Go prints of a format: the address of its function.
fn normalised(recorded: &Row) -> Row {
    match recorded {
        Row::Object(object) => match object.get("object") {
            Some(inner) if inner["type"] == "kubernetes.NamedFormat" => {
                let name = inner["value"].as_str().unwrap_or_default();
                let name = name.trim_start_matches('{').split(' ').next();
                serde_json::json!({ "object": { "type": inner["type"], "value": name } })
            }
            _ => Row::Object(
                object
                    .iter()
                    .map(|(key, value)| (key.clone(), normalised(value)))
                    .collect(),
            ),
        },
        Row::Array(items) => items.iter().map(normalised).collect(),
        other => other.clone(),
    }
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn expressions_give_what_kubernetes_gives() {
    let rows = rows();
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for row in &rows {
        let expression = row["expr"].as_str().unwrap();
        let refused = row["compile_error"].is_string()
            || matches!(row["phase"].as_str(), Some("compile" | "program"));
        let compiled = compile(expression, &environment(row));
        let recorded_error = || {
            row["error"]
                .as_str()
                .or(row["compile_error"].as_str())
                .unwrap_or("")
        };
        tallies.entry("compile").or_default().count(
            compiled.is_err() == refused,
            || match &compiled {
                Ok(_) => format!("LAX {expression}  (recorded: {})", recorded_error()),
                Err(error) => format!("STRICT {expression}  (ours: {error})"),
            },
        );
        let Ok((program, result)) = compiled else {
            continue;
        };
        if refused {
            continue;
        }
        if let Some(recorded) = row["staticType"].as_str() {
            tallies
                .entry("type")
                .or_default()
                .count(result == recorded, || {
                    format!("{expression}: {result}, recorded {recorded}")
                });
        }
        let fails = row["error"].is_string();
        run(row, &program, |outcome| {
            let ours = outcome.value;
            tallies
                .entry("error")
                .or_default()
                .count(ours.is_err() == fails, || match ours {
                    Ok(value) => {
                        format!("{expression}: {value:?}, recorded error {}", row["error"])
                    }
                    Err(fault) => format!("{expression}: error {fault}, recorded a value"),
                });
            if let (Ok(value), Some(recorded)) = (ours, row.get("typed")) {
                let (ours, recorded) = (typed(&value), normalised(recorded));
                tallies
                    .entry("value")
                    .or_default()
                    .count(ours == recorded, || {
                        format!("{expression}: {ours}, recorded {recorded}")
                    });
            }
            if let Some(recorded) = row["cost"].as_u64() {
                tallies
                    .entry("cost")
                    .or_default()
                    .count(outcome.cost == recorded, || {
                        format!("{expression}: {}, recorded {recorded}", outcome.cost)
                    });
            }
        });
    }
    let mut summary = String::from("cel:");
    for (aspect, tally) in &tallies {
        let _ = write!(summary, " {aspect} {}/{},", tally.agreed, tally.compared);
        for difference in &tally.differences {
            println!("{aspect}: {difference}");
        }
    }
    println!("{}", summary.trim_end_matches(','));
    let unexplained: Vec<&String> = tallies
        .values()
        .flat_map(|tally| &tally.differences)
        .filter(|difference| !KNOWN.iter().any(|(known, _)| difference.contains(known)))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let lax = tallies["compile"]
        .differences
        .iter()
        .filter(|it| it.starts_with("LAX"));
    assert_eq!(lax.count(), 0, "what Kubernetes refuses must be refused");
}

/// Recordings known to differ, each with the reason; all of them fail closed, or differ in cost.
const KNOWN: [(&str, &str); 2] = [
    (
        "{'a':1,'b':2}.exists(k, k=='b')",
        "Go iterates over maps in random order, we in order",
    ),
    (
        "namespaceObject.metadata.name",
        "recorded without a value for namespaceObject at all",
    ),
];
