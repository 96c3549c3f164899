//! What is read, what is refused, and what the rules for repeated names give.

use bumpalo::Bump;

use super::parse;

/// The value as JSON, or where and what is wrong.
fn read(text: &str) -> String {
    let arena = Bump::new();
    match parse(&arena, text) {
        Ok(value) => value.to_value().to_string(),
        Err(error) => error.to_string(),
    }
}

fn check(rows: &[(&str, &str)]) {
    for (text, wanted) in rows {
        assert_eq!(read(text), *wanted, "{text}");
    }
}

#[test]
fn entries_and_blocks_make_nested_maps() {
    check(&[
        ("", "{}"),
        ("# nothing", "{}"),
        ("a = 1", r#"{"a":1}"#),
        ("a = 1 b = 2", r#"{"a":1,"b":2}"#),
        ("a = 1, b = 2,", r#"{"a":1,"b":2}"#),
        ("a {}", r#"{"a":{}}"#),
        ("a = {}", r#"{"a":{}}"#),
        ("a { b = 1, c = 2 }", r#"{"a":{"b":1,"c":2}}"#),
        ("a \"b\" \"c\" { d = 1 }", r#"{"a":{"b":{"c":{"d":1}}}}"#),
        ("a b { c = 1 }", r#"{"a":{"b":{"c":1}}}"#),
        ("\"a b\" = 1", r#"{"a b":1}"#),
        ("a.b-c_d = 1", r#"{"a.b-c_d":1}"#),
        ("größe = 1", r#"{"größe":1}"#),
        (
            "plugins { DataStore \"sql\" { plugin_data { database_type = \"sqlite3\" } } }",
            r#"{"plugins":{"DataStore":{"sql":{"plugin_data":{"database_type":"sqlite3"}}}}}"#,
        ),
    ]);
}

#[test]
fn blocks_of_one_name_merge_by_label_and_are_a_list_without() {
    check(&[
        (
            "a \"x\" { n = 1 } a \"y\" { n = 2 }",
            r#"{"a":{"x":{"n":1},"y":{"n":2}}}"#,
        ),
        ("a { n = 1 } a { n = 2 }", r#"{"a":[{"n":1},{"n":2}]}"#),
        (
            "a \"x\" { n = 1 } a \"x\" { n = 2 } a \"y\" {}",
            r#"{"a":{"x":[{"n":1},{"n":2}],"y":{}}}"#,
        ),
        ("a = 1 a = 2", "line 1, column 7: `a` is given twice"),
        ("a = 1 a {}", "line 1, column 7: `a` is given twice"),
        ("a {}\n\"a\" = {}", "line 2, column 1: `a` is given twice"),
        ("a = {} a \"x\" {}", "line 1, column 8: `a` is given twice"),
        (
            "a \"x\" {} a {}",
            "line 1, column 10: the blocks `a` have different numbers of labels",
        ),
        (
            "a {} a \"x\" {}",
            "line 1, column 6: the blocks `a` have different numbers of labels",
        ),
        (
            "a x {} a x y {}",
            "line 1, column 8: the blocks `x` have different numbers of labels",
        ),
    ]);
}

#[test]
fn every_kind_of_value_is_read() {
    check(&[
        (
            "a = [1, \"b\", true, [2.5], {c = 3},]",
            r#"{"a":[1,"b",true,[2.5],{"c":3}]}"#,
        ),
        ("a = []", r#"{"a":[]}"#),
        ("a = false", r#"{"a":false}"#),
        ("a = -12", r#"{"a":-12}"#),
        ("a = 0x1F b = -0Xff", r#"{"a":31,"b":-255}"#),
        ("a = 0644", r#"{"a":420}"#),
        ("a = 0", r#"{"a":0}"#),
        ("a = 3.0", r#"{"a":3.0}"#),
        ("a = 1e3", r#"{"a":1000.0}"#),
        ("a = 1.5E-2", r#"{"a":0.015}"#),
        ("a = .5 b = 1.", r#"{"a":0.5,"b":1.0}"#),
        (
            "a = .5e1",
            "line 1, column 5: this is not a number; quote a string",
        ),
        ("a = -9223372036854775808", r#"{"a":-9223372036854775808}"#),
        (
            r#"a = "x\"y\\z\n\t\x41\101\u00e9\U0001F600""#,
            "{\"a\":\"x\\\"y\\\\z\\n\\tAAé😀\"}",
        ),
        (r#"a = "\xc3\xa9""#, r#"{"a":"é"}"#),
        (
            r#"a = "é ${b["c"]} \t${{}}d""#,
            "{\"a\":\"é ${b[\\\"c\\\"]} \\t${{}}d\"}",
        ),
        ("a = \"${\n}\"", "{\"a\":\"${\\n}\"}"),
        ("a = \"$\" b = \"{\"", r#"{"a":"$","b":"{"}"#),
    ]);
}

#[test]
fn here_documents_end_at_their_name() {
    check(&[
        ("a = <<EOF\nb\n c\nEOF\n", r#"{"a":"b\n c\n"}"#),
        ("a = <<EOF\nEOF\nb = 1", r#"{"a":"","b":1}"#),
        ("a = <<EOF\r\nb\r\nEOF\r\n", r#"{"a":"b\n"}"#),
        (
            "a = <<-EOF\n    b\n      c\n    EOF\n",
            r#"{"a":"b\n  c\n"}"#,
        ),
        // Less indented than its end: kept as it is.
        ("a = <<-EOF\n  b\n    EOF\n", r#"{"a":"  b\n"}"#),
        ("a = [<<X\nb\nX\n, 2]", r#"{"a":["b\n",2]}"#),
        ("a = <<EOF\nEOFx\nEOF\n", r#"{"a":"EOFx\n"}"#),
        (
            "a = <<EOF\nb",
            "line 1, column 5: no line `EOF` ends this here-document",
        ),
        (
            "a = <<EOF\nb\nEOF",
            "line 1, column 5: no line `EOF` ends this here-document",
        ),
        (
            "a = <<-EOF\nb\nEOF\n",
            "line 1, column 5: no line `EOF` ends this here-document",
        ),
        (
            "a = <<\nb\n",
            "line 1, column 5: a here-document needs a name behind `<<`",
        ),
        (
            "a = <<E F\n",
            "line 1, column 9: only the name of a here-document may stand behind `<<`",
        ),
        (
            "a = <b",
            "line 1, column 5: a here-document begins with `<<`",
        ),
    ]);
}

#[test]
fn comments_may_stand_between_any_two_tokens() {
    check(&[
        (
            "# x\na // y\n= /* z\n*/ 1 # w\n/**/b {/* in */} // end",
            r#"{"a":1,"b":{}}"#,
        ),
        ("a = [ # x\n1, /* y */ 2 // z\n]", r#"{"a":[1,2]}"#),
        ("a = 1 /* b", "line 1, column 7: this comment is not closed"),
        (
            "a = 1 / 2",
            "line 1, column 7: a comment begins with `#`, `//` or `/*`",
        ),
    ]);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    check(&[
        (
            "a",
            "line 1, column 2: expected `=` or `{` after a name, found the end of the text",
        ),
        (
            "a =",
            "line 1, column 4: expected a value, found the end of the text",
        ),
        (
            "a = b",
            "line 1, column 5: expected a value, found a name; quote a string",
        ),
        ("a = }", "line 1, column 5: expected a value, found `}`"),
        ("a = 1 }", "line 1, column 7: this `}` closes nothing"),
        ("a {\n  b = 1\n", "line 1, column 3: this `{` is not closed"),
        ("a = [1, 2", "line 1, column 5: this `[` is not closed"),
        (
            "a = [1 2]",
            "line 1, column 8: expected `,` or `]`, found a number",
        ),
        ("a = [,1]", "line 1, column 6: expected a value, found `,`"),
        (
            "a b = 1",
            "line 1, column 5: expected `{` after the labels of a block, found `=`",
        ),
        (
            "true = 1",
            "line 1, column 1: expected a name, found a boolean",
        ),
        ("= 1", "line 1, column 1: expected a name, found `=`"),
        ("a { {} }", "line 1, column 5: expected a name, found `{`"),
        (
            "a = 5m",
            "line 1, column 5: this is not a number; quote a string",
        ),
        (
            "a = 089",
            "line 1, column 5: this is not an integer of 64 bits",
        ),
        (
            "a = 0x",
            "line 1, column 5: this is not an integer of 64 bits",
        ),
        (
            "a = 9223372036854775808",
            "line 1, column 5: this is not an integer of 64 bits",
        ),
        ("a = 1e999", "line 1, column 5: this number is too large"),
        ("a = 1e", "line 1, column 5: this is not a number"),
        ("a = -", "line 1, column 5: expected a digit after `-`"),
        ("a = \"b", "line 1, column 5: this string is not closed"),
        (
            "a = \"b\nc\"",
            "line 1, column 5: this string is not closed before the end of its line",
        ),
        (r#"a = "ä\q""#, "line 1, column 7: there is no such escape"),
        (
            r#"a = "\xg0""#,
            "line 1, column 6: this escape needs 2 digits",
        ),
        (
            r#"a = "\777""#,
            "line 1, column 6: this escape is of no byte",
        ),
        (
            r#"a = "\xff""#,
            "line 1, column 5: the escapes of this string make no text in UTF-8",
        ),
        (
            r#"a = "\UFFFFFFFF""#,
            "line 1, column 6: this escape is of no character",
        ),
        (
            "a = 'b'",
            "line 1, column 5: this character is not allowed outside of quotes",
        ),
        (
            "a = \"\0\"",
            "line 1, column 6: this character is not allowed",
        ),
    ]);
}

#[test]
fn what_begins_with_a_brace_is_json() {
    check(&[
        (
            r#" {"a": {"b": [1, 2.0, null]}}"#,
            r#"{"a":{"b":[1,2.0,null]}}"#,
        ),
        (
            "{\"a\": 1,\n \"a\": 2}",
            "line 2, column 8: duplicate key `a`",
        ),
        ("{", "line 1, column 1: EOF while parsing an object"),
    ]);
}

#[test]
fn nesting_is_bounded_labels_included() {
    let too_deep = "nested deeper than 200 levels";
    for deep in [
        "a{".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("a {} {{}}", "b ".repeat(100_000)),
        format!("a = {}", "[{a=".repeat(100_000)),
    ] {
        assert!(read(&deep).ends_with(too_deep), "{}", &deep[..20]);
    }
    let fits = format!("{}{}", "a{".repeat(200), "}".repeat(200));
    assert!(read(&fits).starts_with(r#"{"a":{"a""#));
}

#[test]
fn many_names_are_read_in_time() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for at in 0..50_000 {
        writeln!(text, "name{at} {{ x = {at} }}").unwrap();
    }
    let arena = Bump::new();
    let value = parse(&arena, &text).unwrap();
    assert_eq!(
        value.at(&["name49999", "x"]).map(|x| x.to_value()),
        Some(49_999.into())
    );
}
