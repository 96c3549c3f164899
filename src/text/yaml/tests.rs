//! Resolution, spans, fragments and errors of the YAML reader.

mod hostile;

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;

use super::*;

fn parse(text: &str) -> (Arc<Source>, Stream) {
    let source = Source::new("a.yaml", text);
    let stream = parse_stream(&source);
    (source, stream)
}

fn documents(text: &str) -> Vec<serde_json::Value> {
    let (_, stream) = parse(text);
    assert_eq!(stream.errors, [], "of {text:?}");
    stream.documents.iter().map(Yaml::to_json).collect()
}

fn document(text: &str) -> serde_json::Value {
    let mut documents = documents(text);
    assert_eq!(documents.len(), 1, "documents of {text:?}");
    documents.remove(0)
}

/// Prints errors as `line:column message | help`.
fn errors(text: &str) -> Vec<String> {
    let (source, stream) = parse(text);
    let print = |error: &YamlError| {
        let place = source.position(error.span.start);
        let mut line = format!("{}:{} {}", place.line, place.column, error.message);
        if let Some(help) = &error.help {
            write!(line, " | {help}").unwrap();
        }
        line
    };
    stream.errors.iter().map(print).collect()
}

#[test]
fn plain_scalars_are_what_kubernetes_makes_of_them() {
    // Recorded from sigs.k8s.io/yaml v1.6.0, `YAMLToJSON`.
    let rows = [
        ("y", json!(true)),
        ("N", json!(false)),
        ("yes", json!(true)),
        ("yEs", json!("yEs")),
        ("on", json!(true)),
        ("Off", json!(false)),
        ("True", json!(true)),
        ("tRUE", json!("tRUE")),
        ("~", json!(null)),
        ("Null", json!(null)),
        ("nULL", json!("nULL")),
        ("nil", json!("nil")),
        ("0", json!(0)),
        ("-0", json!(0)),
        ("007", json!(7)),
        ("08", json!(8)),
        ("0o17", json!(15)),
        ("0O17", json!(15)),
        ("-0o17", json!(-15)),
        ("0x1F", json!(31)),
        ("+0x1F", json!(31)),
        ("-0x_1F", json!(-31)),
        ("0b101", json!(5)),
        ("-0b101", json!(-5)),
        ("0b2", json!("0b2")),
        ("0x", json!("0x")),
        ("1_000", json!(1000)),
        ("_1", json!("_1")),
        ("1_000.5", json!(1000.5)),
        ("+12", json!(12)),
        ("+", json!("+")),
        ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
        (
            "-9223372036854775808",
            json!(-9_223_372_036_854_775_808_i64),
        ),
        ("9223372036854775808", json!(9_223_372_036_854_775_808_f64)),
        (
            "18446744073709551616",
            json!(18_446_744_073_709_551_616_f64),
        ),
        ("1.5", json!(1.5)),
        ("1.", json!(1)),
        (".5", json!(0.5)),
        ("+.5", json!(0.5)),
        ("3.0", json!(3)),
        ("1e3", json!(1000)),
        ("1E-2", json!(0.01)),
        ("1e", json!("1e")),
        ("1e400", json!("1e400")),
        (".4_9e0_1", json!(4.9)),
        ("._5", json!("._5")),
        (".5_", json!(".5_")),
        (".", json!(".")),
        ("..", json!("..")),
        ("1.2.3", json!("1.2.3")),
        ("1:30", json!("1:30")),
        ("100m", json!("100m")),
        ("2001-01-01", json!("2001-01-01")),
        ("2001-01-01T00:00:00Z", json!("2001-01-01T00:00:00Z")),
        ("2001-x", json!("2001-x")),
        ("infinity", json!("infinity")),
        ("nan", json!("nan")),
        ("=", json!("=")),
        ("<<", json!("<<")),
    ];
    for (text, expect) in rows {
        assert_eq!(document(&format!("[{text}]")), json!([expect]), "of {text}");
        assert_eq!(document(&format!("- {text}")), json!([expect]), "of {text}");
    }
}

#[test]
fn numbers_that_json_lacks_stay_numbers_until_then() {
    for (text, is_expected) in [
        (".inf", f64::is_infinite as fn(f64) -> bool),
        ("-.INF", f64::is_infinite),
        ("+.Inf", f64::is_infinite),
        (".NaN", f64::is_nan),
    ] {
        let (_, stream) = parse(&format!("a: {text}"));
        let value = stream.documents[0].get("a").unwrap();
        match value.value {
            YamlValue::Double(double) => assert!(is_expected(double), "{text} is {double}"),
            _ => panic!("{text} is {}", value.kind_name()),
        }
        assert_eq!(value.to_json(), json!(null));
    }
}

#[test]
fn quoted_scalars_are_strings() {
    assert_eq!(
        document("['yes', \"1\", '', \"~\", 'null']"),
        json!(["yes", "1", "", "~", "null"])
    );
}

#[test]
fn tags_decide_before_resolution() {
    let rows = [
        ("!!str 5", json!("5")),
        ("!!str", json!("")),
        ("!!int '5'", json!(5)),
        ("!!float 5", json!(5)),
        ("!!float '1.5'", json!(1.5)),
        ("!!bool 'yes'", json!(true)),
        ("!!null ''", json!(null)),
        ("!!timestamp 2001-01-01", json!("2001-01-01")),
        ("!!binary aGVsbG8=", json!("hello")),
        ("!local 5", json!("5")),
        ("! 5", json!("5")),
        ("!<tag:yaml.org,2002:int> '5'", json!(5)),
    ];
    for (text, expect) in rows {
        assert_eq!(document(&format!("a: {text}\n"))["a"], expect, "of {text}");
    }
    assert_eq!(
        errors("a: !!int x\nb: !!binary '*'\n"),
        [
            "1:10 `x` is not what its tag `!!int` says",
            "2:13 the value of `!!binary` is not base64",
        ]
    );
}

#[test]
fn keys_are_what_json_has() {
    let text = "yes: a\n0x10: b\n1.50: c\n1e6: d\n1234567.5: e\n123456.0: f\n0.00001: g\n.inf: h\n\
                2001-01-01: i\n'on': j\n? k\n: k\n";
    let expect = json!({
        "true": "a", "16": "b", "1.5": "c", "1e+06": "d", "1.2345675e+06": "e", "123456": "f",
        "1e-05": "g", ".inf": "h", "2001-01-01": "i", "on": "j", "k": "k",
    });
    assert_eq!(document(text), expect);
}

#[test]
fn keys_that_json_cannot_have_are_errors() {
    assert_eq!(
        errors("? [a]\n: 1\n~: 2\nimage: {{ .Values.image }}\n"),
        [
            "1:3 a key cannot be a list",
            "3:1 a key cannot be null | quote the key: `\"null\"`",
            "4:9 a key cannot be a mapping | a value that begins with `{{` must be quoted; a Helm \
             template must be rendered first (`helm template`)",
        ]
    );
}

#[test]
fn duplicate_keys_are_errors_that_name_the_first() {
    let help = "remove one of the two";
    assert_eq!(
        errors("a: 1\nb: 2\na: 3\nc: {x: 1, x: 2}\n---\nd: 1\n"),
        [
            format!("4:11 duplicate key `x`; it is first set on line 4 | {help}"),
            format!("3:1 duplicate key `a`; it is first set on line 1 | {help}"),
        ]
    );
    assert_eq!(
        errors("{\"a\": 1,\n \"a\": 2}"),
        [format!(
            "2:2 duplicate key `a`; it is first set on line 1 | {help}"
        )]
    );
    let many = (0..40).map(|at| format!("k{at}: 1\n")).collect::<String>();
    assert_eq!(
        errors(&format!("{many}k7: 2\n")),
        [format!(
            "41:1 duplicate key `k7`; it is first set on line 8 | {help}"
        )]
    );
}

#[test]
fn merge_keys_take_part_where_they_stand() {
    // Recorded from sigs.k8s.io/yaml v1.6.0, `YAMLToJSON`.
    let rows = [
        ("<<: *m\na: 9\n", json!({"a": 9, "b": 2})),
        ("a: 9\n<<: *m\n", json!({"a": 1, "b": 2})),
        ("<<: [*m, *n]\n", json!({"a": 1, "b": 2, "c": 3})),
        ("<<: [*n, *m]\n", json!({"a": 1, "b": 7, "c": 3})),
        ("<<: {a: 4}\n", json!({"a": 4})),
        ("'<<': {a: 4}\n", json!({"<<": {"a": 4}})),
        ("!!merge <<: {a: 4}\n", json!({"a": 4})),
    ];
    for (text, expect) in rows {
        let indented = text.replace('\n', "\n  ");
        let whole = format!("m: &m {{a: 1, b: 2}}\nn: &n {{b: 7, c: 3}}\nx:\n  {indented}\n");
        assert_eq!(document(&whole)["x"], expect, "of {text}");
    }
    assert_eq!(
        errors("a:\n  <<: 5\n"),
        ["2:7 `<<` takes a mapping or a list of mappings"]
    );
}

#[test]
fn aliases_are_copies_that_keep_their_place() {
    let (source, stream) = parse("a: &x {b: [1]}\nc: *x\nd: &x 7\ne: *x\n");
    let document = &stream.documents[0];
    assert_eq!(
        document.to_json(),
        json!({"a": {"b": [1]}, "c": {"b": [1]}, "d": 7, "e": 7})
    );
    assert_eq!(source.slice(document.get("c").unwrap().span), "{b: [1]}");
    assert_eq!(
        errors("a: [*y]"),
        [
            "1:5 `*y` stands for nothing | mark a value above with `&` and the same name, or quote the text"
        ]
    );
    assert_eq!(
        errors("a: &x [*x]"),
        ["1:8 the alias is inside of what it stands for"]
    );
    assert_eq!(
        errors("a: &x 1\n---\nb: *x\n"),
        [
            "3:4 `*x` stands for nothing | mark a value above with `&` and the same name, or quote the text"
        ]
    );
}

#[test]
fn every_value_and_key_has_its_span() {
    let text = "# c\nplain: one\nmany: one\n  two # no\nsingle: 'it''s'\ndouble: \"a\\nb\"\n\
                tagged: !!str &t 5\nflow: {é: [1, 2 ] , f: } # c\nempty:\n\
                block: # c\n  - x\n  - y: z\n\n# after\nliteral: |+ # c|d\n\n   a\n\n\
                folded: &f >-\n  a\n  b\n\nlast: 1\n";
    let rows = [
        ("plain", "one"),
        ("many", "one\n  two"),
        ("single", "'it''s'"),
        ("double", "\"a\\nb\""),
        ("tagged", "5"),
        ("flow", "{é: [1, 2 ] , f: }"),
        ("empty", ""),
        ("block", "- x\n  - y: z"),
        ("literal", "|+ # c|d\n\n   a"),
        ("folded", ">-\n  a\n  b"),
        ("last", "1"),
    ];
    for newline in ["\n", "\r\n"] {
        for bom in ["", "\u{feff}"] {
            let (source, stream) = parse(&format!("{bom}{}", text.replace('\n', newline)));
            assert_eq!(stream.errors, []);
            let document = &stream.documents[0];
            for (key, expect) in rows {
                let expect = expect.replace('\n', newline);
                let value = document.get(key).unwrap();
                assert_eq!(source.slice(value.span), expect, "value of {key}");
            }
            for entry in document.as_mapping().unwrap() {
                assert_eq!(source.slice(entry.key_span), entry.key);
            }
            let flow = document.at(&["flow", "é"]).unwrap();
            assert_eq!(source.slice(flow.span), "[1, 2 ]");
            let whole = source.slice(document.span);
            assert!(whole.starts_with("plain") && whole.ends_with("last: 1"));
        }
    }
}

#[test]
fn a_collection_ends_with_its_last_part_and_begins_with_its_first_sign() {
    for (text, expect) in [
        ("x:\n- [a]\n- b\n", "- [a]\n- b"),
        ("x: # c\n# d\n- - a\n- b\n", "- - a\n- b"),
        ("x:\n-\n- b\n", "-\n- b"),
        ("x: &a\n- b: 'c' # d\n# e\n", "- b: 'c'"),
        ("x: [a, {b: c, }, ] # d\n", "[a, {b: c, }, ]"),
        ("x: {a: {b: c,\n # d\n}} # e\n", "{a: {b: c,\n # d\n}}"),
        ("x: \"a\" # b\ny: 1\n", "\"a\""),
    ] {
        let (source, stream) = parse(text);
        assert_eq!(stream.errors, [], "of {text:?}");
        let value = stream.documents[0].get("x").unwrap();
        assert_eq!(source.slice(value.span), expect, "{text:?}");
    }
}

/// Returns line and column of where `needle` of the only string in the document is said to be.
fn located(text: &str, needle: &str) -> (usize, usize) {
    let (source, stream) = parse(text);
    assert_eq!(stream.errors, [], "of {text:?}");
    let value = stream.documents[0].get("x").unwrap();
    let fragment = value.fragment(&source).unwrap();
    let at = fragment.text.find(needle).unwrap();
    let span = fragment.locate(Span::new(at, at + needle.len()));
    let place = source.position(span.start);
    (place.line, place.column)
}

#[test]
fn a_fragment_knows_where_each_of_its_words_is() {
    let rows = [
        ("plain", "x: one two", "two", (1, 8)),
        ("folded plain", "x: one\n   two\n\n  three", "three", (4, 3)),
        ("single", "x: 'it''s a'", "s", (1, 9)),
        ("single after", "x: 'it''s a'", "a", (1, 11)),
        ("double", "x: \"a\\tb \\u00e9 c\"", "c", (1, 17)),
        ("double folded", "x: \"a\n  b\\\n  c d\"", "c", (3, 3)),
        ("escape itself", "x: \"a\\u00e9\"", "é", (1, 6)),
        ("surrogates", "{\"x\": \"\\ud83d\\ude00 c\"}", "c", (1, 21)),
        ("literal", "x: |\n    one\n      two\n", "two", (3, 7)),
        (
            "its indentation",
            "x: |\n    one\n      two\n",
            "  two",
            (3, 5),
        ),
        ("after a quote", "x: |\n  \"one\" + a\n", "a", (2, 11)),
        ("stripped", "x: |-\n  one\n\n  two\n\n", "two", (4, 3)),
        ("kept", "x: |+\n  one\n\n  two\n\n", "two", (4, 3)),
        ("indicated", "x: |1\n   one\n  two\n", " two", (3, 2)),
        ("blank before", "x: |\n\n\n  one\n", "one", (4, 3)),
        ("commented", "x: | # |\n  one\n", "one", (2, 3)),
        ("tagged", "x: !!str |\n  one\n", "one", (2, 3)),
        ("folded", "x: >\n  one\n  two\n\n  three\n", "three", (5, 3)),
        (
            "folded more",
            "x: >\n  one\n    two\n  three\n",
            "two",
            (3, 5),
        ),
        ("windows", "x: |\r\n  one\r\n  two\r\n", "two", (3, 3)),
        ("wide", "x: |\n  é one\n  ü two\n", "two", (3, 5)),
        ("slashes", "x: |\n  // one\n  two\n", "two", (3, 3)),
        (
            "in a list",
            "x: &a |\n  one\ny:\n  - >-\n   two\n",
            "one",
            (2, 3),
        ),
    ];
    for (name, text, needle, expect) in rows {
        assert_eq!(located(text, needle), expect, "{name}");
    }
}

#[test]
fn embedded_text_has_spans_of_its_source() {
    let whole =
        "// Title\n// ---\n// a: 'x y'\n// b: |\n//   one\n//   two\n// a: 1\n// ---\nexpr\n";
    let source = Source::new("a.cel", whole);
    let mut text = String::new();
    let mut starts = Vec::new();
    let mut at = 0;
    for line in whole.split_inclusive('\n') {
        if (18..whole.len() - 12).contains(&(at + 3)) {
            starts.push((text.len(), at + 3));
            text.push_str(line.strip_prefix("// ").unwrap());
        }
        at += line.len();
    }
    let place = |offset: usize| {
        let line = starts.partition_point(|(start, _)| *start <= offset);
        let (start, place) = starts[line.saturating_sub(1)];
        place + offset - start
    };
    let stream = parse_embedded(&source, &text.replace("a: 1\n", "c: 1\n"), &place);
    assert_eq!(stream.errors, []);
    let document = &stream.documents[0];
    assert_eq!(source.slice(document.get("a").unwrap().span), "'x y'");
    let block = document.get("b").unwrap();
    assert_eq!(source.slice(block.span), "|\n//   one\n//   two");
    let fragment = block.fragment(&source).unwrap();
    assert_eq!(fragment.text, "one\ntwo\n");
    assert_eq!(source.slice(fragment.locate(Span::new(0, 3))), "one");
    assert_eq!(source.slice(fragment.locate(Span::new(4, 7))), "two");

    let stream = parse_embedded(&source, &text, &place);
    assert_eq!(stream.errors.len(), 1);
    assert_eq!(source.position(stream.errors[0].span.start).line, 7);
    assert_eq!(
        stream.errors[0].message,
        "duplicate key `a`; it is first set on line 3"
    );
}

#[test]
fn a_stream_holds_documents_of_every_kind() {
    let rows = [
        ("", json!([])),
        ("# only\n", json!([])),
        ("---\n---\n# c\n--- ~\n...\n", json!([])),
        ("a: 1\n---\nb: 2", json!([{"a": 1}, {"b": 2}])),
        (
            "--- {a: 1}\n--- [b] # c\n--- |\n c\n",
            json!([{"a": 1}, ["b"], "c\n"]),
        ),
        (
            "%YAML 1.1\n# c\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n",
            json!([{"a": 1}, {"b": 2}]),
        ),
        ("a: 1\n...\nb: 2\n", json!([{"a": 1}, {"b": 2}])),
        ("\u{feff}a: 1\n", json!([{"a": 1}])),
        (
            "a: |\n  x\n  ---\n---\nb: 1\n",
            json!([{"a": "x\n---\n"}, {"b": 1}]),
        ),
        ("a: ---b\n---c: 1\n", json!([{"a": "---b", "---c": 1}])),
        (
            "{\"a\": 1}{\"b\": 2}\n[3]",
            json!([{"a": 1}, {"b": 2}, [3]]),
        ),
        (
            "{\"a\": 1}\n---\n{b: 2, }\n---\nc: 3",
            json!([{"a": 1}, {"b": 2}, {"c": 3}]),
        ),
        ("a: 1\r\n---\r\nb: 2\r\n", json!([{"a": 1}, {"b": 2}])),
        ("text\n", json!(["text"])),
        ("a: |\n  b", json!([{"a": "b"}])),
        ("a: |+\n  b  ", json!([{"a": "b  "}])),
        ("a: |+\n  b\n\n", json!([{"a": "b\n\n"}])),
    ];
    for (text, expect) in rows {
        assert_eq!(json!(documents(text)), expect, "of {text:?}");
    }
}

#[test]
fn a_broken_document_does_not_hide_the_next() {
    let (_, stream) = parse(
        "a: 1\n---\nb: [\n---\nc: 'x\n---\nd: {x: 1, x: 2}\n--- # f\n f: 1\ng: 1\n---\ne: 5\n",
    );
    let documents = stream.documents.iter().map(Yaml::to_json);
    assert_eq!(
        documents.collect::<Vec<_>>(),
        [json!({"a": 1}), json!({"e": 5})]
    );
    assert_eq!(stream.errors.len(), 4);
}

#[test]
fn syntax_errors_say_what_to_do() {
    insta::assert_snapshot!(
        [
            "a:\n\tb: 1\n",
            "a: 1\n\tb: 2\n",
            "a: >\n\tx\n",
            "a: b: c\n",
            "key: x\n y: 1\n",
            "a: 'x\nb: 1\n",
            "a: \"x\n",
            "a: \"x\" y\n",
            "a: \"C:\\new\\qux\"\n",
            "a: [1, 2\nb: 3\n",
            "a: {b: 1\n",
            "a: @x\n",
            "a: [|]\n",
            "- a\nb: 1\n",
            " a: 1\nb: 2\n",
            "a:\n  b: 1\n c: 2\n",
            "a: - b\n",
            "a: 1\nb\n",
            "{{- if x }}\na: 1\n{{- end }}\n",
            "a: \u{0}\n",
            "{\"a\": 1,\n \"b\" 2}\n",
        ]
        .map(|text| format!("{text:?}\n    {}\n", errors(text).join("\n    ")))
        .join(""),
        @r#"
        "a:\n\tb: 1\n"
            2:1 a tab where only spaces may be | indent with spaces; YAML does not allow tabs
        "a: 1\n\tb: 2\n"
            2:1 a tab where only spaces may be | indent with spaces; YAML does not allow tabs
        "a: >\n\tx\n"
            2:1 a tab where only spaces may be | indent with spaces; YAML does not allow tabs
        "a: b: c\n"
            1:5 `:` is not allowed here | quote the value if the colon belongs to it; otherwise check the indentation
        "key: x\n y: 1\n"
            2:3 `:` is not allowed here | quote the value if the colon belongs to it; otherwise check the indentation
        "a: 'x\nb: 1\n"
            1:4 the quote opened here is not closed | add the closing quote; if the text goes on, indent its next line
        "a: \"x\n"
            1:4 the quote opened here is not closed | add the closing quote
        "a: \"x\" y\n"
            1:8 text after the closing quote | quote the whole value; within double quotes write a quote as `\"`
        "a: \"C:\\new\\qux\"\n"
            1:11 an escape that YAML does not have | write `\\` for a backslash, or use single quotes
        "a: [1, 2\nb: 3\n"
            2:2 `:` is not allowed here | close the list that was opened with `[` above, or quote the value
        "a: {b: 1\n"
            2:1 expected `,` or `}` | close the mapping that was opened with `{`
        "a: @x\n"
            1:4 a value cannot begin with `@` | quote the value
        "a: [|]\n"
            1:5 a block scalar cannot be inside of `[…]` or `{…}` | quote the value
        "- a\nb: 1\n"
            2:1 expected `- ` or the end of the list | list items and keys cannot stand at one indentation
        " a: 1\nb: 2\n"
            2:1 the document has ended before this line | check the indentation, or separate documents with a line `---`
        "a:\n  b: 1\n c: 2\n"
            3:2 expected a key or the end of the mapping | check the indentation of this line and of the ones above it
        "a: - b\n"
            1:4 a list item is not allowed here | begin the list on its own line, below the key
        "a: 1\nb\n"
            2:1 expected `:` after the key | write the key, `: ` and the value on one line
        "{{- if x }}\na: 1\n{{- end }}\n"
            1:3 `-` is only valid inside a block | this looks like a template; render it first (`helm template`)
        "a: \0\n"
            1:4 a character that cannot be printed
        "{\"a\": 1,\n \"b\" 2}\n"
            2:6 text after the closing quote | quote the whole value; within double quotes write a quote as `\"`
        "#
    );
}

#[test]
fn the_parts_of_a_stream_are_together_the_stream() {
    let source = Source::new(
        "m.yaml",
        "a: 1\n---\nb: [\n---\n{\"c\": 2}\n...\n# nothing\n---\ne: &x 4\n",
    );
    let whole = parse_stream(&source);
    let mut together = Stream::default();
    for part in parts(&source) {
        let read = parse_part(&source, part);
        together.documents.extend(read.documents);
        together.errors.extend(read.errors);
    }
    assert_eq!(whole.documents.len(), 3);
    assert_eq!(whole.errors.len(), 1);
    assert_eq!(together, whole);
}

#[test]
fn a_quoted_scalar_goes_on_at_any_depth_as_for_go() {
    let rows = [
        (
            "a:\n  b: \"x\n  y\"\n  c: 1\n",
            r#"{"a":{"b":"x y","c":1}}"#,
        ),
        ("a:\n  b: 'x\ny'\n  c: 1\n", r#"{"a":{"b":"x y","c":1}}"#),
        ("a:\n  b: \"x\n\ny\"\n", r#"{"a":{"b":"x\ny"}}"#),
        (
            "- a: \"x\ny\"\n- b: 'x''\ny'\n- c\n",
            r#"[{"a":"x y"},{"b":"x' y"},"c"]"#,
        ),
    ];
    for (text, json) in rows {
        let source = Source::new("p.yaml", text);
        let stream = parse_stream(&source);
        assert_eq!(stream.errors, [], "{text}");
        let document = &stream.documents[0];
        assert_eq!(document.to_json().to_string(), json, "{text}");
    }
    let source = Source::new("p.yaml", "a:\n  b: \"x\n  yz\"\n  c: 1\n");
    let document = &parse_stream(&source).documents[0];
    let value = document.at(&["a", "b"]).unwrap();
    let fragment = value.fragment(&source).unwrap();
    assert_eq!(source.slice(fragment.locate(Span::new(2, 4))), "yz");
    assert_eq!(source.slice(document.at(&["a", "c"]).unwrap().span), "1");
}
