//! Operations, their quirks and their faults; what each row expects was seen of the API server's own
//! packages.

use serde_json::{Value, json};

use super::{Action, Applied, MAX_DEPTH, Operation, PatchError, apply_to};

fn operations(written: &Value) -> Vec<Operation> {
    let read = |operation: &Value| {
        let text = |field: &str| operation[field].as_str().unwrap_or_default().to_owned();
        Operation {
            op: Action::new(&text("op")),
            path: text("path"),
            from: text("from"),
            value: operation.get("value").cloned(),
        }
    };
    written.as_array().unwrap().iter().map(read).collect()
}

/// What operations give, whether the object is lent or changed itself.
fn apply(object: &Value, operations: &[Operation]) -> Result<Applied, PatchError> {
    let applied = super::apply(object, operations);
    let mut changed = object.clone();
    let has_applied = apply_to(&mut changed, operations);
    let expected = match &applied {
        Ok(Applied::Changed(value)) => (Ok(true), value),
        Ok(Applied::TestFailed) => (Ok(false), object),
        Err(error) => (Err(error), object),
    };
    assert_eq!((has_applied.as_ref().copied(), &changed), expected);
    applied
}

fn object() -> Value {
    json!({"a": {"b": 1, "null": null}, "list": [1, 2, 3], "empty": {}, "nulls": [null], "~/": {"x": true}})
}

fn patched(written: Value) -> Value {
    match apply(&object(), &operations(&written)) {
        Ok(Applied::Changed(value)) => value,
        other => panic!("{written}: {other:?}"),
    }
}

fn error(written: Value) -> String {
    match apply(&object(), &operations(&written)) {
        Err(error) => error.to_string(),
        other => panic!("{written}: {other:?}"),
    }
}

#[test]
fn fields_and_items_are_added_removed_and_replaced() {
    let rows = [
        (
            json!([{"op": "add", "path": "/a/c", "value": 2}]),
            "/a",
            json!({"b": 1, "c": 2, "null": null}),
        ),
        (
            json!([{"op": "add", "path": "/a/b", "value": 2}]),
            "/a/b",
            json!(2),
        ),
        (
            json!([{"op": "replace", "path": "/a/new", "value": 2}]),
            "/a/new",
            json!(2),
        ),
        (
            json!([{"op": "add", "path": "/list/-", "value": 4}]),
            "/list",
            json!([1, 2, 3, 4]),
        ),
        (
            json!([{"op": "add", "path": "/list/3", "value": 4}]),
            "/list",
            json!([1, 2, 3, 4]),
        ),
        (
            json!([{"op": "add", "path": "/list/-1", "value": 4}]),
            "/list",
            json!([1, 2, 3, 4]),
        ),
        (
            json!([{"op": "add", "path": "/list/-2", "value": 4}]),
            "/list",
            json!([1, 2, 4, 3]),
        ),
        (
            json!([{"op": "replace", "path": "/list/-1", "value": 4}]),
            "/list",
            json!([1, 2, 4]),
        ),
        (
            json!([{"op": "remove", "path": "/list/-3"}]),
            "/list",
            json!([2, 3]),
        ),
        (
            json!([{"op": "remove", "path": "/list/+01"}]),
            "/list",
            json!([1, 3]),
        ),
        (
            json!([{"op": "remove", "path": "/a/b"}]),
            "/a",
            json!({"null": null}),
        ),
        (
            json!([{"op": "add", "path": "/~0~1/y", "value": 1}]),
            "/~0~1",
            json!({"x": true, "y": 1}),
        ),
        (
            json!([{"op": "add", "path": "ignored/a/c", "value": 2}]),
            "/a/c",
            json!(2),
        ),
        (
            json!([{"op": "add", "path": "/", "value": 2}]),
            "/",
            json!(2),
        ),
        (
            json!([{"op": "add", "path": "/a/none"}]),
            "/a/none",
            json!(null),
        ),
        (
            json!([{"op": "move", "from": "/a/b", "path": "/list/0"}]),
            "",
            json!({"a": {"null": null}, "list": [1, 1, 2, 3], "empty": {}, "nulls": [null], "~/": {"x": true}}),
        ),
        (
            json!([{"op": "copy", "from": "/a", "path": "/empty/a"}]),
            "/empty",
            json!({"a": {"b": 1, "null": null}}),
        ),
        (
            json!([{"op": "copy", "from": "/a/none", "path": "/empty/a"}]),
            "/empty",
            json!({"a": null}),
        ),
        (
            json!([{"op": "replace", "path": "", "value": {"x": 1}}, {"op": "add", "path": "/y", "value": 2}]),
            "",
            json!({"x": 1, "y": 2}),
        ),
        (
            json!([{"op": "replace", "path": "", "value": null}]),
            "",
            json!(null),
        ),
    ];
    for (written, at, expect) in rows {
        assert_eq!(
            patched(written.clone()).pointer(at),
            Some(&expect),
            "{written}"
        );
    }
}

#[test]
fn a_test_ends_the_patch_or_lets_it_go_on() {
    let rows = [
        (json!({"path": "/a/b", "value": 1}), true),
        (json!({"path": "/a/b", "value": 1.0}), true),
        (json!({"path": "/a/b", "value": "1"}), false),
        (json!({"path": "/a/b"}), false),
        (json!({"path": "/a/null", "value": null}), false),
        (json!({"path": "/a/null"}), true),
        (json!({"path": "/a/none"}), true),
        (json!({"path": "/a", "value": {"b": 1, "null": null}}), true),
        (json!({"path": "/a", "value": {"b": 1, "null": 1}}), false),
        (json!({"path": "/empty", "value": null}), true),
        (json!({"path": "/empty", "value": []}), false),
        (json!({"path": "/list", "value": [1, 2, 3]}), true),
        (json!({"path": "/list", "value": [1, 2]}), false),
        (json!({"path": "/nulls", "value": []}), false),
        (json!({"path": "", "value": object_without_lists()}), false),
    ];
    for (test, expect) in rows {
        let mut operation = test.clone();
        operation["op"] = json!("test");
        let patch = json!([{"op": "add", "path": "/x", "value": 1}, operation]);
        let applied = apply(&object(), &operations(&patch)).unwrap();
        assert_eq!(applied != Applied::TestFailed, expect, "{test}");
    }
}

fn object_without_lists() -> Value {
    json!({"a": {"b": 1, "null": null}})
}

#[test]
fn faults_are_worded_as_upstream_words_them() {
    let rows = [
        (json!([{"op": "fly", "path": "/a"}]), "Unexpected kind: fly"),
        (
            json!([{"op": "add", "path": "", "value": 1}]),
            "add operation does not apply: doc is missing path: \"\": missing value",
        ),
        (
            json!([{"op": "add", "path": "/x/y", "value": 1}]),
            "add operation does not apply: doc is missing path: \"/x/y\": missing value",
        ),
        (
            json!([{"op": "add", "path": "/a/b/c", "value": 1}]),
            "add operation does not apply: doc is missing path: \"/a/b/c\": missing value",
        ),
        (
            json!([{"op": "add", "path": "/list/4", "value": 1}]),
            "error in add for path: '/list/4': Unable to access invalid index: 4: invalid index referenced",
        ),
        (
            json!([{"op": "add", "path": "/list/-5", "value": 1}]),
            "error in add for path: '/list/-5': Unable to access invalid index: -5: invalid index referenced",
        ),
        (
            json!([{"op": "add", "path": "/list/x", "value": 1}]),
            "error in add for path: '/list/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            json!([{"op": "remove", "path": "/a/x"}]),
            "error in remove for path: '/a/x': Unable to remove nonexistent key: x: missing value",
        ),
        (
            json!([{"op": "remove", "path": "/list/3"}]),
            "error in remove for path: '/list/3': Unable to access invalid index: 3: invalid index referenced",
        ),
        (
            json!([{"op": "remove", "path": "/list/99999999999999999999"}]),
            "error in remove for path: '/list/99999999999999999999': strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        ),
        (
            json!([{"op": "replace", "path": "/list/3", "value": 1}]),
            "replace operation does not apply: doc is missing key: /list/3: missing value",
        ),
        (
            json!([{"op": "replace", "path": "/x/y", "value": 1}]),
            "replace operation does not apply: doc is missing path: /x/y: missing value",
        ),
        (
            json!([{"op": "replace", "path": "", "value": 1}]),
            "replace operation value must be object or array: %!w(<nil>)",
        ),
        (
            json!([{"op": "move", "path": "/a"}]),
            "move operation failed to decode from: operation, missing from field: missing value",
        ),
        (
            json!([{"op": "move", "from": "/a/x", "path": "/a/y"}]),
            "error in move for path: 'x': Unable to remove nonexistent key: x: missing value",
        ),
        (
            json!([{"op": "move", "from": "/a", "path": "/a/y"}]),
            "move operation does not apply: doc is missing destination path: /a/y: missing value",
        ),
        (
            json!([{"op": "copy", "from": "/x/y", "path": "/a/y"}]),
            "copy operation does not apply: doc is missing from path: /x/y: missing value",
        ),
        (
            json!([{"op": "copy", "from": "/list/7", "path": "/a/y"}]),
            "error in copy for from: '/list/7': Unable to access invalid index: 7: invalid index referenced",
        ),
        (
            json!([{"op": "copy", "from": "/a", "path": "/list/y"}]),
            "error while adding value during copy: value was not a proper array index: 'y': strconv.Atoi: parsing \"y\": invalid syntax",
        ),
        (
            json!([{"op": "test", "path": "/x/y", "value": 1}]),
            "test operation does not apply: is missing path: /x/y: missing value",
        ),
        (
            json!([{"op": "test", "path": "/list/7", "value": 1}]),
            "error in test for path: '/list/7': Unable to access invalid index: 7: invalid index referenced",
        ),
        (
            json!([{"op": "add", "path": "/a/\u{1}", "value": 1}]),
            "add operation failed to decode path: missing value",
        ),
        (
            json!([{"op": "replace", "path": "/a/\u{7f}", "value": 1}]),
            "replace operation failed to decode path: invalid character 'x' in string escape code",
        ),
    ];
    for (written, expect) in rows {
        assert_eq!(error(written.clone()), expect, "{written}");
    }
}

#[test]
fn nulls_that_end_the_library_are_errors() {
    for written in [
        json!([{"op": "test", "path": "/nulls", "value": [null]}]),
        json!([{"op": "test", "path": "/nulls", "value": [1]}]),
        json!([{"op": "test", "path": ""}]),
        json!([{"op": "replace", "path": ""}]),
        json!([{"op": "add", "path": "/x", "value": null}, {"op": "add", "path": "/x/y", "value": 1}]),
    ] {
        let failed = apply(&object(), &operations(&written));
        assert!(
            matches!(failed, Err(PatchError::Panic { .. })),
            "{written}: {failed:?}"
        );
    }
}

#[test]
fn nothing_of_a_patch_that_fails_is_seen() {
    let before = object();
    let patch = operations(
        &json!([{"op": "add", "path": "/a/c", "value": 2}, {"op": "remove", "path": "/x"}]),
    );
    assert!(apply(&before, &patch).is_err());
    assert_eq!(before, object());
}

#[test]
fn copies_are_bounded() {
    let mut patch = vec![json!({"op": "add", "path": "/a", "value": "x".repeat(1000)})];
    for _ in 0..30 {
        patch.push(json!({"op": "copy", "from": "/list", "path": "/list/-"}));
    }
    let failed = apply(&object(), &operations(&Value::from(patch)));
    assert!(
        matches!(failed, Err(PatchError::CopySize { .. })),
        "{failed:?}"
    );
}

#[test]
fn moves_do_not_nest_without_bound() {
    let fields: serde_json::Map<String, Value> =
        (0..1000).map(|at| (format!("f{at}"), json!({}))).collect();
    let object = Value::Object(fields);
    let moves = (1..1000).map(
        |at| json!({"op": "move", "from": format!("/f{}", at - 1), "path": format!("/f{at}/x")}),
    );
    let failed = apply(&object, &operations(&Value::from_iter(moves)));
    assert_eq!(failed, Err(PatchError::TooDeep { limit: MAX_DEPTH }));
}

#[test]
fn looking_at_much_again_and_again_ends() {
    let items: Vec<Value> = (0..20_000).map(Value::from).collect();
    let there = json!({"op": "move", "from": "/items", "path": "/other"});
    let back = json!({"op": "move", "from": "/other", "path": "/items"});
    let moves = (0..1_000).map(|at| if at % 2 == 0 { &there } else { &back });
    let patch = Value::from_iter(moves.cloned());
    let failed = apply(&json!({"items": items}), &operations(&patch));
    assert!(
        matches!(failed, Err(PatchError::TooManySteps { .. })),
        "{failed:?}"
    );
}
