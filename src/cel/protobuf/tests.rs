//! What is hostile: messages too deep to read, values that stand for far more than they take.

use bumpalo::Bump;

use crate::cel::env::{Env, Language};
use crate::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use crate::cel::{check, parse, plan};

fn result(expression: &str) -> String {
    let env = Env::new([], Language::Kubernetes);
    let checked = check::check(parse::parse(expression).unwrap(), &env).unwrap();
    let program = plan::plan(&checked).unwrap();
    let arena = Bump::new();
    let inputs = Inputs::new(&[]);
    let outcome = evaluate(
        &program,
        &inputs,
        &arena,
        Limits::default(),
        &mut Unobserved,
    );
    match outcome.value {
        Ok(value) => value.type_name().to_owned(),
        Err(fault) => format!("error: {fault}"),
    }
}

/// The value of an `Any` of nested lists.
fn nested(levels: usize) -> String {
    let mut bytes: Vec<u8> = Vec::new();
    let put = |tag: u8, inner: &[u8]| {
        let mut outer = vec![tag];
        let mut length = inner.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(inner);
        outer
    };
    for _ in 0..levels {
        bytes = put(0x32, &put(0x0a, &bytes));
    }
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

fn any_of_value(levels: usize) -> String {
    format!(
        "google.protobuf.Any{{type_url: 'a/google.protobuf.Value', value: b'{}'}}",
        nested(levels)
    )
}

#[test]
fn a_message_nested_too_deeply_is_an_error() {
    assert_eq!(result(&any_of_value(50)), "list");
    let malformed = "error: the value of an Any is malformed";
    assert_eq!(result(&any_of_value(250)), malformed);
    assert_eq!(result(&any_of_value(2_500)), malformed);
}

#[test]
fn a_value_that_holds_one_part_many_times_ends_the_evaluation() {
    let mut expression = "[[1]]".to_owned();
    for _ in 0..30 {
        expression = format!("{expression}.map(x, [x, x])");
    }
    let expression = format!("google.protobuf.ListValue{{values: {expression}}}");
    let error = result(&expression);
    assert!(error.starts_with("error: operation cancelled"), "{error}");
}
