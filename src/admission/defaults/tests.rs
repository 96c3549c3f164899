//! Objects as Kubernetes itself decodes and defaults them.
//!
//! `recorded.jsonl` holds what the scheme of Kubernetes 1.36.2 makes of each object when it is read,
//! defaulted, converted to the internal version and back. One thing is changed in it: a DaemonSet's
//! generation is that of an object being created, 1, where the bare scheme says 0.

use super::*;
use crate::admission::decode;

fn defaulted(object: &Value) -> Value {
    let mut fields = object.as_object().unwrap().clone();
    decode::built_in(&mut fields);
    apply(&mut fields);
    Value::Object(fields)
}

fn recorded() -> Vec<Value> {
    let rows: Vec<Value> = include_str!("recorded.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.len() > 60, "only {} rows", rows.len());
    rows
}

#[test]
fn objects_are_defaulted_as_kubernetes_does() {
    let wrong: Vec<_> = recorded()
        .into_iter()
        .map(|row| (defaulted(&row["given"]), row))
        .filter(|(got, row)| *got != row["expected"])
        .map(|(got, row)| format!("{}\n  got {got}\n want {}", row["case"], row["expected"]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_defaulted_is_not_changed_again() {
    for row in recorded() {
        assert_eq!(
            defaulted(&row["expected"]),
            row["expected"],
            "{}",
            row["case"]
        );
    }
}

#[test]
fn a_custom_object_is_left_alone() {
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Deployment", "spec": {}});
    let mut fields = widget.as_object().unwrap().clone();
    apply(&mut fields);
    assert_eq!(Value::Object(fields), widget);
}

#[test]
fn fields_of_another_type_are_left_alone() {
    for row in recorded() {
        let given = row["given"].as_object().unwrap();
        for key in given
            .keys()
            .filter(|key| !matches!(&***key, "apiVersion" | "kind"))
        {
            for nonsense in [
                json!("text"),
                json!(5),
                json!([1, [2]]),
                json!([{"a": [null]}]),
            ] {
                let mut object = row["given"].clone();
                object[key] = nonsense.clone();
                let got = defaulted(&object);
                assert_eq!(got["kind"], object["kind"]);
                for inner in [
                    "containers",
                    "template",
                    "ports",
                    "strategy",
                    "volumes",
                    "metrics",
                ] {
                    let mut object = row["given"].clone();
                    if let Value::Object(fields) = &mut object[key] {
                        fields.insert(inner.to_owned(), nonsense.clone());
                        assert_eq!(defaulted(&object)["kind"], object["kind"]);
                    }
                }
            }
        }
    }
}
