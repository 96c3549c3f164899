//! Values in each notation.

use bumpalo::Bump;

use super::{Notation, Written, write};
use crate::cel::env::{Env, Language, Messages};
use crate::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use crate::cel::value::{List, Value};
use crate::cel::{check, parse, plan};

/// Evaluates an expression and writes its value.
fn written(expression: &str, notation: Notation, limit_bytes: usize) -> Written {
    let arena = Bump::new();
    let env = Env::new([], Language::Kubernetes).with_messages(Messages::Mutation);
    let checked = check::check(parse::parse(expression).unwrap(), &env).unwrap();
    let program = plan::plan(&checked).unwrap();
    let inputs = Inputs::new(&[]);
    let limits = Limits::default();
    let outcome = evaluate(&program, &inputs, &arena, limits, &mut Unobserved);
    write(&outcome.value.unwrap(), notation, limit_bytes)
}

fn whole(expression: &str, notation: Notation) -> String {
    written(expression, notation, usize::MAX).whole().unwrap()
}

/// What Kubernetes' own packages answer, written by `encoding/json`.
#[test]
fn json_is_what_go_writes() {
    for (expression, plain, typed) in [
        ("null", "null", r#"{"null":null}"#),
        ("true", "true", r#"{"bool":true}"#),
        ("-1", "-1", r#"{"int":"-1"}"#),
        ("1u", "1", r#"{"uint":"1"}"#),
        ("1.0", "1", r#"{"double":"1"}"#),
        ("-0.0", "-0", r#"{"double":"-0"}"#),
        ("1e21", "1e+21", r#"{"double":"1e+21"}"#),
        ("1e20", "100000000000000000000", r#"{"double":"1e+20"}"#),
        ("1e-7", "1e-7", r#"{"double":"1e-07"}"#),
        ("0.000001", "0.000001", r#"{"double":"1e-06"}"#),
        (
            "123456789.5",
            "123456789.5",
            r#"{"double":"1.234567895e+08"}"#,
        ),
        ("0.0 / 0.0", r#""NaN""#, r#"{"double":"NaN"}"#),
        ("1.0 / 0.0", r#""+Inf""#, r#"{"double":"+Inf"}"#),
        ("'a\"\\n'", r#""a\"\n""#, r#"{"string":"a\"\n"}"#),
        ("b'a'", r#""YQ==""#, r#"{"bytes":"YQ=="}"#),
        ("b'ab\\xff'", r#""YWL/""#, r#"{"bytes":"YWL/"}"#),
        ("[1, 2]", "[1,2]", r#"{"list":[{"int":"1"},{"int":"2"}]}"#),
        (
            "{'b': 2, 'a': 1}",
            r#"{"a":1,"b":2}"#,
            r#"{"map":[[{"string":"a"},{"int":"1"}],[{"string":"b"},{"int":"2"}]]}"#,
        ),
        (
            "{true: 1, false: 2}",
            r#"{"false":2,"true":1}"#,
            r#"{"map":[[{"bool":false},{"int":"2"}],[{"bool":true},{"int":"1"}]]}"#,
        ),
        (
            "{null: 1}",
            r#"{"NULL_VALUE":1}"#,
            r#"{"map":[[{"null":null},{"int":"1"}]]}"#,
        ),
        (
            "{[1]: 2}",
            r#"{"[1]":2}"#,
            r#"{"map":[[{"list":[{"int":"1"}]},{"int":"2"}]]}"#,
        ),
        ("int", r#""int""#, r#"{"type":"int"}"#),
        (
            "optional.of(1)",
            r#"{"optional":1}"#,
            r#"{"optional":{"int":"1"}}"#,
        ),
        (
            "optional.none()",
            r#"{"optional":"none"}"#,
            r#"{"optional":null}"#,
        ),
        (
            "duration('90m')",
            r#""1h30m0s""#,
            r#"{"duration":"5400000000000"}"#,
        ),
        ("duration('0s')", r#""0s""#, r#"{"duration":"0"}"#),
        ("duration('5us')", r#""5µs""#, r#"{"duration":"5000"}"#),
        (
            "duration('-1.5ms')",
            r#""-1.5ms""#,
            r#"{"duration":"-1500000"}"#,
        ),
        (
            "duration('1h0m0.5s')",
            r#""1h0m0.5s""#,
            r#"{"duration":"3600500000000"}"#,
        ),
        (
            "timestamp('2020-01-01T00:00:00.120+02:00')",
            r#""2019-12-31T22:00:00.12Z""#,
            r#"{"timestamp":"2019-12-31T22:00:00.12Z"}"#,
        ),
        (
            "quantity('0.50')",
            r#""500m""#,
            r#"{"object":{"type":"kubernetes.Quantity","value":"500m"}}"#,
        ),
        (
            "cidr('10.0.0.0/8')",
            r#""10.0.0.0/8""#,
            r#"{"object":{"type":"net.CIDR","value":"10.0.0.0/8"}}"#,
        ),
        (
            "url('https://a.b/c?d=1')",
            r#""https://a.b/c?d=1""#,
            r#"{"object":{"type":"kubernetes.URL","value":"https://a.b/c?d=1"}}"#,
        ),
        (
            "Object{spec: Object.spec{b: 1, a: quantity('1')}}",
            r#"{"spec":{"a":"1","b":1}}"#,
            r#"{"object":{"type":"Object","value":{"spec":{"a":"1","b":1}}}}"#,
        ),
        (
            "JSONPatch{path: '/a', from: '', value: [1u]}",
            r#"{"op":"","path":"/a","value":[1]}"#,
            r#"{"object":{"type":"JSONPatch","value":{"op":"","path":"/a","value":[1]}}}"#,
        ),
    ] {
        assert_eq!(whole(expression, Notation::Plain), plain, "{expression}");
        assert_eq!(whole(expression, Notation::Typed), typed, "{expression}");
    }
}

#[test]
fn an_expression_gives_the_value_again() {
    for expression in [
        "null",
        "[true, false]",
        "-9223372036854775808",
        "18446744073709551615u",
        "[0.5, 1.0, 1e100, -0.0]",
        "\"a\\n\\\"\\u0001é\"",
        "b\"a\\xff\"",
        "{\"a\": [{1: \"x\"}], \"b\": []}",
        "optional.of([1])",
        "optional.none()",
        "duration(\"1h0m0.5s\")",
        "timestamp(\"2020-01-01T00:00:00+02:00\")",
        "[quantity(\"1Gi\")]",
        "semver(\"1.2.3-a+b\")",
        "ip(\"::1\")",
        "net.IP",
        "double(\"NaN\")",
        "Object{a: [Object.a{b: 1}]}",
        "JSONPatch{op: \"add\", path: \"/a\", value: null}",
    ] {
        let text = whole(expression, Notation::Expression);
        let again = whole(&text, Notation::Typed);
        assert_eq!(
            again,
            whole(expression, Notation::Typed),
            "{expression}: {text}"
        );
    }
    assert_eq!(
        whole("{'b': [1u, 2u], 'a': []}", Notation::Expression),
        r#"{"b": [1u, 2u], "a": []}"#
    );
}

#[test]
fn a_value_that_shares_its_parts_is_cut() {
    let arena = Bump::new();
    let mut value = Value::Int(1);
    // Two to the thousandth items, in a thousand lists of two.
    for _ in 0..1000 {
        value = Value::List(List::Values(arena.alloc_slice_copy(&[value, value])));
    }
    for notation in [Notation::Plain, Notation::Typed, Notation::Expression] {
        match write(&value, notation, 10_000) {
            Written::Cut(text) => assert!(text.len() < 10_100, "{} bytes", text.len()),
            Written::Whole(text) => panic!("{} bytes written", text.len()),
        }
    }
}

#[test]
fn the_bound_is_no_cut_when_it_is_met() {
    assert_eq!(
        written("[1, 2]", Notation::Plain, 5),
        Written::Whole("[1,2]".to_owned())
    );
    assert_eq!(
        written("[1, 2, 3]", Notation::Plain, 3),
        Written::Cut("[1,2".to_owned())
    );
}

#[test]
fn items_may_have_lines_of_their_own() {
    insta::assert_snapshot!(whole("{'a': dyn([1]), 'b': dyn([{'c': []}]), 'd': dyn({}), 'e': dyn(optional.of([true]))}", Notation::Lines), @r#"
    {
      "a": [
        1
      ],
      "b": [
        {
          "c": []
        }
      ],
      "d": {},
      "e": optional.of([
        true
      ])
    }
    "#);
}
