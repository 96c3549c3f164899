//! Nulls, empties and the difference between built-in and custom objects.

use serde_json::json;

use super::*;

fn check(read: fn(&mut Map<String, Value>), before: Value, after: &Value) {
    let Value::Object(mut fields) = before else {
        panic!("an object");
    };
    read(&mut fields);
    assert_eq!(Value::Object(fields), *after);
}

#[test]
fn nulls_and_empty_lists_of_built_in_objects_are_absent() {
    check(
        built_in,
        json!({"spec": {"a": null, "b": [], "c": {}, "d": {"e": null}, "f": "", "g": 0}}),
        &json!({"spec": {"c": {}, "d": {}, "f": "", "g": 0}}),
    );
}

#[test]
fn a_null_in_a_map_of_texts_is_the_empty_text() {
    check(
        built_in,
        json!({"metadata": {"labels": {"a": null}, "annotations": {}}, "data": {"k": null, "": "1"}}),
        &json!({"metadata": {"labels": {"a": ""}}, "data": {"k": "", "": "1"}}),
    );
}

#[test]
fn a_null_in_a_list_is_an_empty_element() {
    check(
        built_in,
        json!({"spec": {"env": [null, {"name": "a", "value": null}], "args": [null, "x"]}}),
        &json!({"spec": {"env": [{}, {"name": "a"}], "args": ["", "x"]}}),
    );
}

#[test]
fn fields_without_a_pointer_are_absent_when_they_are_zero() {
    check(
        built_in,
        json!({"spec": {"hostNetwork": false, "replicas": 0, "securityContext": {"privileged": false}}}),
        &json!({"spec": {"replicas": 0, "securityContext": {"privileged": false}}}),
    );
}

#[test]
fn nulls_of_custom_objects_stay_but_for_their_metadata() {
    check(
        custom,
        json!({"metadata": {"labels": null, "name": "a"}, "spec": {"a": null, "b": []}}),
        &json!({"metadata": {"name": "a"}, "spec": {"a": null, "b": []}}),
    );
}

#[test]
fn the_schemas_of_a_crd_are_kept() {
    let spec = json!({"versions": [{"schema": {"properties": {"limits": {"default": "1000m"}}}}]});
    let crd = json!({"kind": "CustomResourceDefinition", "spec": spec});
    check(built_in, crd.clone(), &crd);
}

#[test]
fn times_nobody_knows_stay_null() {
    let pod = json!({"status": {"conditions": [{"type": "Ready", "lastProbeTime": null}]}});
    check(built_in, pod.clone(), &pod);
}
