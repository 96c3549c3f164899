//! Merging: what each row expects was seen of the API server's own packages.

use serde_json::{Value, json};

use super::{Configuration, MergeError, merge};
use crate::schema::{Kind, Schemas};

fn schemas() -> &'static Schemas {
    static SCHEMAS: std::sync::LazyLock<Schemas> = std::sync::LazyLock::new(Schemas::built_in);
    &SCHEMAS
}

fn kind(group: &str, version: &str, kind: &str) -> Kind {
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    }
}

fn pod(object: &Value, configuration: &Value) -> Result<Value, MergeError> {
    let configuration = Configuration::from(configuration);
    merge(schemas(), &kind("", "v1", "Pod"), object, &configuration)
}

#[test]
fn keyed_items_are_merged_in_the_order_of_the_configuration() {
    let named =
        |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
    let rows: [(&[&str], &[&str], &[&str]); 6] = [
        (&["a", "b"], &["c"], &["a", "b", "c"]),
        (&["a", "b"], &["b"], &["a", "b"]),
        (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
        (&["a", "b"], &["x", "b", "y"], &["a", "x", "b", "y"]),
        (&[], &["b", "a"], &["b", "a"]),
        (&["a", "b", "a"], &["a"], &["a", "b"]),
    ];
    for (before, given, expect) in rows {
        let object =
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": named(before)}});
        let merged = pod(&object, &json!({"spec": {"containers": named(given)}})).unwrap();
        assert_eq!(
            merged["spec"]["containers"],
            named(expect),
            "{before:?} and {given:?}"
        );
    }
}
