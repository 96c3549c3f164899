//! Documents, numbers, bounds and errors of the arena JSON.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn value(text: &str) -> serde_json::Value {
    let arena = Bump::new();
    parse(&arena, text.as_bytes())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .to_value()
}

fn error(bytes: &[u8]) -> String {
    let arena = Bump::new();
    parse(&arena, bytes).unwrap_err().to_string()
}

#[test]
fn numbers_are_integers_if_they_are_written_so_and_fit() {
    let rows = [
        ("0", json!(0)),
        ("9223372036854775807", json!(i64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("9223372036854775808", json!(9_223_372_036_854_775_808_f64)),
        (
            "18446744073709551616",
            json!(18_446_744_073_709_551_616_f64),
        ),
        (
            "-9223372036854775809",
            json!(-9_223_372_036_854_775_809_f64),
        ),
        ("1.0", json!(1.0)),
        ("1e2", json!(100.0)),
        ("1.5", json!(1.5)),
        // Go prints the double -0.0 like this, so this is what the API server means by it.
        ("-0", json!(-0.0)),
    ];
    for (text, expect) in rows {
        let arena = Bump::new();
        let number = parse(&arena, text.as_bytes()).unwrap();
        assert_eq!(matches!(number, Json::Int(_)), expect.is_i64(), "{text}");
        assert_eq!(number.to_value(), expect, "{text}");
    }
}

#[test]
fn values_are_found_by_key_and_path() {
    let arena = Bump::new();
    let text = br#"{"a": {"b": ["x", null, true]}, "\u0061b": "\n"}"#;
    let document = parse(&arena, text).unwrap();
    let items = document.at(&["a", "b"]).and_then(Json::as_list).unwrap();
    assert_eq!(items.first().and_then(|item| item.as_str()), Some("x"));
    assert!(items.get(1).is_some_and(|item| item.is_null()));
    assert_eq!(document.get("ab").and_then(Json::as_str), Some("\n"));
    assert!(document.at(&["a", "b", "c"]).is_none());
    assert!(document.get("").is_none());
    let keys = document.as_object().unwrap().entries().iter();
    assert_eq!(keys.map(|(key, _)| *key).collect::<Vec<_>>(), ["a", "ab"]);
}

#[test]
fn strings_without_escapes_are_borrowed_from_the_input() {
    let arena = Bump::new();
    let text = br#"["plain", "esc\u0061ped"]"#;
    let document = parse(&arena, text).unwrap();
    let within = |part: &str| text.as_ptr_range().contains(&part.as_ptr());
    let borrowed = document.as_list().unwrap().iter();
    let borrowed = borrowed.map(|item| within(item.as_str().unwrap()));
    assert_eq!(borrowed.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn objects_of_every_size_find_all_their_keys() {
    for size in [0, 1, 15, 16, 17, 300] {
        let fields = (0..size).map(|at| format!("\"k{}\": {at}", at * 7919 % 1000));
        let text = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
        let arena = Bump::new();
        let document = parse(&arena, text.as_bytes()).unwrap();
        for at in 0..size {
            let key = format!("k{}", at * 7919 % 1000);
            assert!(
                matches!(document.get(&key), Some(Json::Int(found)) if found == at),
                "{key} of {size}"
            );
        }
        for absent in ["", "k", "k1000", "z"] {
            assert!(document.get(absent).is_none(), "{absent} of {size}");
        }
    }
}

#[test]
fn duplicate_keys_are_refused_in_small_and_large_objects() {
    assert_eq!(
        error(b"{\"a\": 1,\n \"b\": 2, \"a\": 3}"),
        "duplicate key `a` (line 2, column 16)"
    );
    assert_eq!(
        error(br#"{"a": 1, "\u0061": 3}"#),
        "duplicate key `a` (line 1, column 21)"
    );
    let fields = (0..50).map(|at| format!("\"k{at}\": 1,"));
    let text = format!("{{{}\"k7\": 2}}", fields.collect::<String>());
    assert!(error(text.as_bytes()).starts_with("duplicate key `k7`"));
}

#[test]
fn nesting_is_bounded() {
    let nested = |open: &str, inner: &str, close: &str, levels: usize| {
        format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
    };
    for (open, inner, close) in [("[", "", "]"), ("{\"a\":", "1", "}")] {
        let arena = Bump::new();
        assert!(parse(&arena, nested(open, inner, close, MAX_DEPTH).as_bytes()).is_ok());
        for levels in [MAX_DEPTH + 1, 5000, 1_000_000] {
            let message = error(nested(open, inner, close, levels).as_bytes());
            assert!(
                message.starts_with("nested deeper than 200 levels"),
                "{message}"
            );
        }
        assert!(error(open.repeat(100_000).as_bytes()).starts_with("nested deeper"));
    }
}

#[test]
fn what_is_not_json_is_said_with_its_place() {
    let rows: [(&[u8], &str); 12] = [
        (
            b"",
            "not JSON: EOF while parsing a value (line 1, column 0)",
        ),
        (
            b"{",
            "not JSON: EOF while parsing an object (line 1, column 1)",
        ),
        (b"[1,\n 2,]", "not JSON: trailing comma (line 2, column 4)"),
        (b"{\"a\" 1}", "not JSON: expected `:` (line 1, column 6)"),
        (
            b"{a: 1}",
            "not JSON: key must be a string (line 1, column 2)",
        ),
        (b"{} {}", "not JSON: trailing characters (line 1, column 4)"),
        (b"01", "not JSON: invalid number (line 1, column 2)"),
        (b"1e999", "not JSON: number out of range (line 1, column 5)"),
        (
            b"\"\xff\"",
            "not JSON: invalid unicode code point (line 1, column 2)",
        ),
        (
            b"\"\x01\"",
            "not JSON: control character (\\u0000-\\u001F) found while parsing a string (line 1, column 2)",
        ),
        (
            b"\"\\ud800\"",
            "not JSON: unexpected end of hex escape (line 1, column 8)",
        ),
        (
            b"\xef\xbb\xbf{}",
            "not JSON: expected value (line 1, column 1)",
        ),
    ];
    for (bytes, expect) in rows {
        assert_eq!(error(bytes), expect, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn copies_of_owned_values_are_equal_to_them() {
    let owned = json!({"a": [1, -2, 1.5, u64::MAX, null, true, "x"], "b": {}});
    let arena = Bump::new();
    let mut expect = owned.clone();
    expect["a"][3] = json!(u64::MAX as f64);
    assert_eq!(from_value(&arena, &owned).to_value(), expect);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        (-1e9..1e9).prop_map(|value: f64| json!(value)),
        any::<String>().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(4, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(|items| json!(items)),
            prop::collection::btree_map(any::<String>(), inner, 0..20).prop_map(|map| json!(map)),
        ]
    })
}

/// What the fast reader and the one that explains make of a text.
fn both(text: &str) -> [Option<serde_json::Value>; 2] {
    let arena = Bump::new();
    [
        read::read(&arena, text).map(Json::to_value),
        explain(&arena, text.as_bytes()).ok().map(Json::to_value),
    ]
}

#[test]
fn what_is_well_formed_is_read_at_once() {
    let rows = [
        r#" { "a" : [ 1 , -2 , 0 , -0 , 0.5 , 1e3 , 123456789012345678 , 1234567890123456789 ] } "#,
        r#"["", "1234567", "12345678", "123456789", "é\u00e9 \ud83d\ude00 \"\\\n", "\u007f"]"#,
        "[[], {}, [{}], {\"a\": []}, null, true, false]",
        "\t\r\n\"\"",
        "18446744073709551615",
    ];
    for text in rows {
        let [fast, slow] = both(text);
        assert!(fast.is_some(), "{text}");
        assert_eq!(fast, slow, "{text}");
    }
}

#[test]
fn what_is_not_well_formed_is_left_to_the_reader_that_explains() {
    let rows = [
        "",
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "01",
        "-",
        "-01",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e999",
        "tru",
        "trues",
        "nul",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\\"",
        "\"a",
        "\"\u{1}\"",
        "[",
        "{",
        "{}}",
        "{\"a\":1,\"a\":1}",
        "\u{feff}{}",
        "[\u{a0}1]",
    ];
    for text in rows {
        assert_eq!(both(text), [None, None], "{text}");
    }
}

proptest! {
    #[test]
    fn both_readers_agree(
        document in any_json(),
        cut in any::<prop::sample::Index>(),
        put in "[\\[\\]{}\":,0-9a-eu\\\\ .+-]{0,3}",
    ) {
        let mut text = document.to_string();
        let at = (0..=cut.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at));
        text.insert_str(at.unwrap_or_default(), &put);
        let [fast, slow] = both(&text);
        prop_assert_eq!(fast, slow, "{}", text);
    }

    #[test]
    fn printed_json_is_read_as_it_was(expect in any_json()) {
        prop_assert_eq!(value(&expect.to_string()), expect.clone());
        let arena = Bump::new();
        prop_assert_eq!(from_value(&arena, &expect).to_value(), expect);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[\\[\\]{}\":,0-9a-z\\\\ .-]{0,40}") {
        let arena = Bump::new();
        let _ = parse(&arena, &bytes);
        if let Ok(read) = parse(&arena, text.as_bytes()) {
            let expect: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.to_value(), from_value(&arena, &expect).to_value());
        }
    }
}
