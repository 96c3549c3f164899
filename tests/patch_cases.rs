//! Patches beside what Kubernetes' own packages make of them, run without Go.
//!
//! A line of `tests/cases/patch.jsonl` is an object, operations or a configuration, and the object
//! or the error that came of it.

#![expect(
    clippy::unwrap_used,
    reason = "cases that cannot be read fail the test"
)]

use std::sync::Arc;

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
    if let Some(written) = case["operations"].as_array() {
        return match apply(object, &operations(written)) {
            Ok(Applied::Changed(object)) => match check(schemas, &kind(&case["object"]), &object) {
                Ok(()) => json!({"object": object}),
                Err(error) => json!({"error": format!("Internal error occurred: {error}")}),
            },
            Ok(Applied::TestFailed) => json!({"object": object}),
            Err(error) => json!({"error": format!("JSON Patch: {error}")}),
        };
    }
    let configuration = Configuration::from(&case["configuration"]);
    let merged = match case.get("crd") {
        Some(crd) => {
            let mut schemas = Schemas::clone(schemas);
            schemas.define(crd).unwrap();
            merge(&schemas, &kind(object), object, &configuration)
        }
        None => merge(schemas, &kind(object), object, &configuration),
    };
    match merged {
        Ok(object) => json!({"object": object}),
        Err(error) => json!({"error": format!("error applying patch: {error}")}),
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
