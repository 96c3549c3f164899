//! Merging: what each row expects was seen of the API server's own packages.

use serde_json::{Value, json};

use super::{Configuration, MergeError, merge, merge_into};
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

#[test]
fn nothing_of_a_merge_that_fails_is_seen() {
    let before =
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}]}});
    let mut object = before.clone();
    for (configuration, expect) in [
        (
            json!({"spec": {"containers": [{"name": "a", "image": "b"}], "x": 1}}),
            "failed to convert patch object to typed object: .spec.x: field not declared in schema",
        ),
        (
            json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
            "failed to convert patch object to typed object: .spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "args": ["x"]}]}}),
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].args",
        ),
        (
            json!({"spec": {"hostname": null}}),
            "failed to convert patch object to typed object: .spec.hostname: expected string, got &value.valueUnstructured{Value:0}",
        ),
    ] {
        let configuration = Configuration::from(&configuration);
        let pod = kind("", "v1", "Pod");
        let error = merge_into(schemas(), &pod, &mut object, &configuration).unwrap_err();
        assert_eq!(error.to_string(), expect);
        assert_eq!(object, before);
    }
}

#[test]
fn a_kind_without_schema_is_not_available() {
    let foo = kind("example.com", "v1", "Foo");
    let nothing = Configuration::from(&json!({}));
    let error = merge(schemas(), &foo, &json!({}), &nothing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Resource kind example.com/v1, Kind=Foo not found. There can be a delay between when CustomResourceDefinitions are created and when they are available."
    );
}

#[test]
fn an_absent_value_removes_scalars_and_leaves_the_rest() {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"hostname": "a", "containers": [{"name": "a"}], "nodeSelector": {"a": "b"}}});
    let fields = ["hostname", "containers", "securityContext"]
        .map(|name| (name.to_owned(), Configuration::Null));
    let spec = Configuration::Object(fields.into_iter().collect());
    let configuration = Configuration::Object([("spec".to_owned(), spec)].into_iter().collect());
    let merged = merge(schemas(), &kind("", "v1", "Pod"), &object, &configuration).unwrap();
    assert_eq!(
        merged["spec"],
        json!({"hostname": null, "containers": [{"name": "a"}], "nodeSelector": {"a": "b"}, "securityContext": null})
    );
}

#[test]
fn large_lists_take_no_quadratic_time() {
    let items = |from: usize| -> Value {
        (from..from + 50_000)
            .map(|at| json!({"name": at.to_string()}))
            .collect()
    };
    let object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": items(0)}});
    let merged = pod(&object, &json!({"spec": {"containers": items(25_000)}})).unwrap();
    assert_eq!(
        merged["spec"]["containers"].as_array().map(Vec::len),
        Some(75_000)
    );
}

#[test]
fn deep_objects_are_refused() {
    let deep = (0..500).fold(json!(1), |inner, _| json!({"a": inner}));
    let failed = pod(
        &json!({"metadata": {"annotations": deep.clone()}}),
        &json!({}),
    );
    assert!(
        matches!(
            failed,
            Err(MergeError::Object(_) | MergeError::TooDeep { .. })
        ),
        "{failed:?}"
    );
    let failed = pod(
        &json!({}),
        &json!({"metadata": {"managedFields": [{"fieldsV1": deep}]}}),
    );
    assert_eq!(
        failed,
        Err(MergeError::TooDeep {
            limit: crate::json::MAX_DEPTH
        })
    );
}

#[test]
fn kinds_are_merged_that_their_own_version_publishes() {
    let metadata = Configuration::from(&json!({"metadata": {"labels": {"a": "b"}}}));
    let no_type = "failed to convert patch object to typed object: no corresponding type for ";
    let rows = [
        ("autoscaling", "v1", "Scale", Some(no_type)),
        ("policy", "v1", "Eviction", Some(no_type)),
        ("authentication.k8s.io", "v1", "TokenRequest", Some(no_type)),
        ("", "v1", "PodExecOptions", Some(no_type)),
        ("example.com", "v1", "Widget", Some("Resource kind ")),
        ("", "v1", "Binding", None),
    ];
    for (group, version, name, expect) in rows {
        let merged = merge(
            schemas(),
            &kind(group, version, name),
            &json!({}),
            &metadata,
        );
        match expect {
            Some(expect) => {
                let expect = format!("{expect}{group}/{version}, Kind={name}");
                let error = merged.unwrap_err().to_string();
                assert!(error.starts_with(&expect), "{error}");
            }
            None => assert_eq!(merged.unwrap()["metadata"]["labels"]["a"], "b", "{name}"),
        }
    }
}
