//! The difference of values: what it says in examples, and that it is right whatever they are.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::json::{Applied, Operation, apply_decoded};
use super::diff;

fn written(operations: &[Operation]) -> Value {
    serde_json::to_value(operations).unwrap()
}

fn check(before: Value, after: Value, expect: Value) {
    let operations = diff(&before, &after);
    assert_eq!(written(&operations), expect, "{before} to {after}");
    let applied = apply_decoded(&before, &operations).unwrap();
    assert_eq!(applied, Applied::Changed(after), "{operations:?}");
}

#[test]
fn only_what_changed_is_told() {
    check(json!({"a": 1}), json!({"a": 1}), json!([]));
    check(
        json!({"metadata": {"name": "web"}, "spec": {"replicas": 1, "paused": true}}),
        json!({"metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {"replicas": 2}}),
        json!([
            {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}},
            {"op": "remove", "path": "/spec/paused"},
            {"op": "replace", "path": "/spec/replicas", "value": 2},
        ]),
    );
}

#[test]
fn keys_are_escaped_and_null_is_a_value() {
    check(
        json!({"annotations": {"x": 1, "keep": "this is longer than to tell the difference of two keys", "and": "so is this, which stays as well, and therefore is not told"}}),
        json!({"annotations": {"x": null, "example.com/a~b": "v", "keep": "this is longer than to tell the difference of two keys", "and": "so is this, which stays as well, and therefore is not told"}}),
        json!([
            {"op": "add", "path": "/annotations/example.com~1a~0b", "value": "v"},
            {"op": "replace", "path": "/annotations/x", "value": null},
        ]),
    );
}

#[test]
fn items_keep_their_names() {
    let container = |name: &str, image: &str| json!({"name": name, "image": image, "command": ["a command that is long enough", "so that it is not told again"]});
    check(
        json!({"containers": [container("web", "web:1"), container("proxy", "proxy:1")]}),
        json!({"containers": [container("first", "first:1"), container("web", "web:2"), container("proxy", "proxy:1"), container("last", "last:1")]}),
        json!([
            {"op": "add", "path": "/containers/0", "value": container("first", "first:1")},
            {"op": "replace", "path": "/containers/1/image", "value": "web:2"},
            {"op": "add", "path": "/containers/3", "value": container("last", "last:1")},
        ]),
    );
}

#[test]
fn a_removed_item_is_one_operation() {
    let items: Vec<Value> = (0..20)
        .map(|at| json!({"name": format!("item-{at}"), "value": at}))
        .collect();
    let mut fewer = items.clone();
    fewer.remove(7);
    check(
        json!({"items": items}),
        json!({"items": fewer}),
        json!([{"op": "remove", "path": "/items/7"}]),
    );
}

#[test]
fn what_is_shorter_as_a_whole_is_replaced() {
    let long: Vec<String> = (0..100).map(|at| format!("argument {at}")).collect();
    check(
        json!({"spec": {"args": long}}),
        json!({"spec": {"args": ["-v"]}}),
        json!([{"op": "replace", "path": "/spec/args", "value": ["-v"]}]),
    );
}

#[test]
fn large_lists_take_no_quadratic_time() {
    let before: Vec<Value> = (0..50_000).map(|at| json!({"name": at})).collect();
    let after: Vec<Value> = (0..50_000).map(|at| json!({"name": at + 7})).collect();
    let (before, after) = (json!({"items": before}), json!({"items": after}));
    let operations = diff(&before, &after);
    let applied = apply_decoded(&before, &operations).unwrap();
    assert_eq!(applied, Applied::Changed(after));
}

#[test]
fn deep_values_are_compared_as_a_whole() {
    let nested = |leaf: Value| (0..500).fold(leaf, |inner, _| json!({"a": inner}));
    assert_eq!(diff(&nested(json!(1)), &nested(json!(1))), []);
    assert_eq!(diff(&nested(json!(1)), &nested(json!(2))).len(), 1);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..10_i64).prop_map(Value::from),
        "[a-c~/\"\u{e9}\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 80, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            object(inner),
        ]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        "[a-c]",
        "[a~/0-1]{0,3}",
        Just("name".to_owned()),
        Just("-".to_owned())
    ];
    prop::collection::vec((key, values), 0..6)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// Changes a value here and there, as mutations do.
fn mutated(value: &Value, choices: &mut impl Iterator<Item = u8>) -> Value {
    let mut next = || choices.next().unwrap_or(0);
    match (value, next()) {
        (_, 1) => Value::from(next()),
        (Value::Array(items), choice) => {
            let mut items: Vec<Value> = items.iter().map(|item| mutated(item, choices)).collect();
            match choice {
                2 if !items.is_empty() => drop(items.remove(usize::from(choice) % items.len())),
                3 => items.insert(items.len() / 2, Value::from("new")),
                4 => items.reverse(),
                _ => {}
            }
            Value::from(items)
        }
        (Value::Object(fields), choice) => {
            let mut fields: serde_json::Map<_, _> = fields
                .iter()
                .map(|(key, field)| (key.clone(), mutated(field, choices)))
                .collect();
            match (choice, fields.keys().next().cloned()) {
                (2, Some(key)) => drop(fields.remove(&key)),
                (3, _) => drop(fields.insert("a/new~key".to_owned(), Value::from(1))),
                _ => {}
            }
            Value::Object(fields)
        }
        (value, _) => value.clone(),
    }
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn applied_it_gives_the_other(before in object(value()), after in object(value())) {
        let operations = diff(&before, &after);
        prop_assert_eq!(apply_decoded(&before, &operations).unwrap(), Applied::Changed(after.clone()));
        // No more than to replace each field of the object.
        let fields = before.as_object().unwrap().len() + after.as_object().unwrap().len();
        prop_assert!(size(&written(&operations)) <= 2 * size(&before) + 2 * size(&after) + 80 * (fields + 1));
    }

    #[test]
    fn applied_it_gives_what_was_changed(before in object(value()), choices in prop::collection::vec(0..12_u8, 0..60)) {
        let after = match mutated(&before, &mut choices.into_iter()) {
            after @ Value::Object(_) => after,
            _ => before.clone(),
        };
        let operations = diff(&before, &after);
        prop_assert_eq!(operations.is_empty(), before == after);
        prop_assert_eq!(apply_decoded(&before, &operations).unwrap(), Applied::Changed(after));
    }

    #[test]
    fn nothing_differs_from_itself(value in value()) {
        prop_assert_eq!(diff(&value, &value), []);
    }
}
