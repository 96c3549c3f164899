//! Patches beside what Kubernetes' own packages make of them, run without Go.
//!
//! A line of `tests/cases/patch.jsonl` is an object, operations or a configuration, or an expression
//! that gives one of them (`patch`, `apply`), and the object or the error that came of it.

#![expect(
    clippy::unwrap_used,
    reason = "cases that cannot be read fail the test"
)]

use std::sync::Arc;

use bumpalo::Bump;
use portcullis::cel::env::{Env, Language, Messages};
use portcullis::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use portcullis::cel::types::Type;
use portcullis::cel::{self, parse, plan};
use portcullis::patch::given;
use portcullis::patch::json::{Action, Applied, Operation, apply};
use portcullis::patch::merge::{Configuration, merge};
use portcullis::patch::strict::check;
use portcullis::schema::{Kind, Schemas};
use serde_json::{Value, json};

fn operations(written: &[Value]) -> Vec<Operation> {
    let read = |operation: &Value| {
        let text = |field: &str| operation[field].as_str().unwrap_or_default().to_owned();
        Operation {
            op: Action::new(&text("op")),
            path: text("path"),
            from: text("from"),
            value: operation.get("value").cloned(),
        }
    };
    written.iter().map(read).collect()
}

fn kind(object: &Value) -> Kind {
    let api_version = object["apiVersion"].as_str().unwrap();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: object["kind"].as_str().unwrap().to_owned(),
    }
}

/// What comes of a case: `{"object": …}` or `{"error": …}`.
fn outcome(schemas: &Arc<Schemas>, case: &Value) -> Value {
    let object = &case["object"];
    let configured = |configuration: &Configuration| match case.get("crd") {
        Some(crd) => {
            let mut schemas = Schemas::clone(schemas);
            schemas.define(crd).unwrap();
            merged(&schemas, object, configuration)
        }
        None => merged(schemas, object, configuration),
    };
    if let Some(written) = case["operations"].as_array() {
        return patched(schemas, object, &operations(written));
    }
    let error = |error: &dyn std::fmt::Display| json!({"error": error.to_string()});
    if let Some(expression) = case["patch"].as_str() {
        return evaluated(expression, object, |value| match given::operations(value) {
            Ok(operations) => patched(schemas, object, &operations),
            Err(fault) => error(&fault),
        });
    }
    if let Some(expression) = case["apply"].as_str() {
        return evaluated(expression, object, |value| {
            match given::configuration(value) {
                Ok(configuration) => configured(&configuration),
                Err(fault) => error(&fault),
            }
        });
    }
    configured(&Configuration::from(&case["configuration"]))
}

fn patched(schemas: &Schemas, object: &Value, operations: &[Operation]) -> Value {
    match apply(object, operations) {
        Ok(Applied::Changed(patched)) => match check(schemas, &kind(object), &patched) {
            Ok(()) => json!({"object": patched}),
            Err(error) => json!({"error": format!("Internal error occurred: {error}")}),
        },
        Ok(Applied::TestFailed) => json!({"object": object}),
        Err(error) => json!({"error": format!("JSON Patch: {error}")}),
    }
}

fn merged(schemas: &Schemas, object: &Value, configuration: &Configuration) -> Value {
    match merge(schemas, &kind(object), object, configuration) {
        Ok(object) => json!({"object": object}),
        Err(error) => json!({"error": format!("error applying patch: {error}")}),
    }
}

/// Evaluates an expression of a mutation that reads `object`.
fn evaluated(
    expression: &str,
    object: &Value,
    show: impl FnOnce(&cel::value::Value<'_>) -> Value,
) -> Value {
    let failed = |issues: Vec<cel::issue::Issue>| json!({"error": format!("{issues:?}")});
    let env = Env::new([("object", Type::Dyn)], Language::Extended);
    let env = env.with_messages(Messages::Mutation);
    let checked = parse::parse(expression).and_then(|ast| cel::check::check(ast, &env));
    let program = match checked.and_then(|ast| plan::plan(&ast)) {
        Ok(program) => program,
        Err(issues) => return failed(issues),
    };
    let arena = Bump::new();
    let object = cel::value::Value::from(portcullis::json::from_value(&arena, object));
    let slots = [object];
    let inputs = Inputs::new(&slots);
    let outcome = evaluate(
        &program,
        &inputs,
        &arena,
        Limits::default(),
        &mut Unobserved,
    );
    match outcome.value {
        Ok(value) => show(&value),
        Err(fault) => json!({"error": fault.to_string()}),
    }
}

#[test]
fn patches_come_out_as_kubernetes_has_them() {
    let schemas = Arc::new(Schemas::built_in());
    let text = include_str!("cases/patch.jsonl");
    assert!(text.lines().count() > 300);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        assert_eq!(outcome(&schemas, &case), case["expect"], "{line}");
    }
}

/// Writes what comes of the cases in `$PORTCULLIS_PATCH_CASES` beside it, to be compared with other
/// programs.
#[test]
fn outcomes_of_a_file() {
    let Some(path) = std::env::var_os("PORTCULLIS_PATCH_CASES") else {
        return;
    };
    let schemas = Arc::new(Schemas::built_in());
    let text = std::fs::read_to_string(&path).unwrap();
    let mut out = String::new();
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        out.push_str(&outcome(&schemas, &case).to_string());
        out.push('\n');
    }
    std::fs::write(std::path::Path::new(&path).with_extension("out"), out).unwrap();
}
