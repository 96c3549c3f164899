//! What is given within bounds, and what is not; what values become is compared in
//! `tests/patch_cases.rs`.

use serde_json::json;

use super::*;

#[test]
fn values_that_share_their_parts_end() {
    let arena = bumpalo::Bump::new();
    let mut value = Value::Int(1);
    for _ in 0..60 {
        value = Value::List(List::Values(arena.alloc([value, value])));
    }
    let fields = arena.alloc([("op", Value::String("add")), ("value", value)]);
    let operation = Value::Message(arena.alloc(Message {
        name: "JSONPatch",
        fields,
    }));
    let list = Value::List(List::Values(arena.alloc([operation])));
    assert_eq!(
        operations(&list),
        Err(GivenError::TooLarge { limit: PART_LIMIT })
    );
    let fields = arena.alloc([("spec", value)]);
    let object = Value::Message(arena.alloc(Message {
        name: "Object",
        fields,
    }));
    assert_eq!(
        configuration(&object),
        Err(GivenError::TooLarge { limit: PART_LIMIT })
    );
}

#[test]
fn deep_values_are_refused() {
    let arena = bumpalo::Bump::new();
    let mut value = Value::Int(1);
    for _ in 0..10_000 {
        value = Value::List(List::Values(arena.alloc([value])));
    }
    let fields = arena.alloc([("value", value)]);
    let operation = Value::Message(arena.alloc(Message {
        name: "JSONPatch",
        fields,
    }));
    let list = Value::List(List::Values(arena.alloc([operation])));
    assert_eq!(
        operations(&list),
        Err(GivenError::TooDeep { limit: MAX_DEPTH })
    );
}

#[test]
fn what_is_no_mutation_is_told() {
    let no_list = operations(&Value::Int(1));
    assert_eq!(no_list, Err(GivenError::NoList));
    let item = [Value::Int(1)];
    let no_operation = operations(&Value::List(List::Values(&item)));
    assert_eq!(no_operation, Err(GivenError::NoOperation));
    let no_object = configuration(&Value::String("x"));
    assert_eq!(
        no_object.map_err(|error| error.to_string()),
        Err("unsupported return type from ApplyConfiguration expression: string".to_owned())
    );
    let empty = operations(&Value::List(List::Values(&[])));
    assert_eq!(empty, Ok(Vec::new()));
}

#[test]
fn large_integers_are_texts_in_json() {
    let mut left = 100;
    let mut json = |value| super::json(&value, MAX_DEPTH, &mut left);
    assert_eq!(
        json(Value::Int(9_007_199_254_740_991)),
        Ok(json!(9_007_199_254_740_991_i64))
    );
    assert_eq!(
        json(Value::Int(-9_007_199_254_740_992)),
        Ok(json!("-9007199254740992"))
    );
    assert_eq!(json(Value::Double(3.0)), Ok(json!(3)));
    assert_eq!(
        json(Value::Duration(crate::cel::value::Duration {
            nanos: 1_500_000_000
        })),
        Ok(json!("1.5s"))
    );
    assert!(json(Value::Double(f64::NAN)).is_err());
}
