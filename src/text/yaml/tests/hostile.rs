//! Bounds, odd texts, and properties that hold for every text.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::super::*;
use super::{document, errors, parse};

#[test]
fn nesting_is_bounded() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{}{}", open.repeat(levels), close.repeat(levels))
    };
    let too_deep = "nested deeper than 200 levels".to_owned();
    assert_eq!(errors(&nested("[", "]", 200)), [] as [String; 0]);
    assert_eq!(
        errors(&nested("[", "]", 201)),
        [format!("1:201 {too_deep}")]
    );
    assert_eq!(
        errors(&nested("[", "]", 5000)),
        [format!("1:201 {too_deep}")]
    );
    assert_eq!(errors(&"[".repeat(100_000)).len(), 1);
    assert_eq!(errors(&"{a: ".repeat(100_000)).len(), 1);
    assert_eq!(
        errors(&nested("- ", "", 201)),
        [format!("1:401 {too_deep}")]
    );
    assert_eq!(errors(&"- ".repeat(100_000)).len(), 1);
    assert_eq!(errors(&"? ".repeat(100_000)).len(), 1);
    let halves = format!(
        "a: &x {}\nb: {}*x{}\n",
        nested("[", "]", 150),
        "[".repeat(60),
        "]".repeat(60)
    );
    assert_eq!(errors(&halves), [format!("2:64 {too_deep}")]);
}

#[test]
fn aliases_cannot_make_a_small_text_large() {
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='j').zip('a'..) {
        let items = vec![format!("*{before}"); 9].join(", ");
        writeln!(laughs, "{name}: &{name} [{items}]").unwrap();
    }
    let message = "aliases make the document too large | write out what the aliases stand for, or \
                   use fewer of them";
    assert_eq!(errors(&laughs), [format!("5:20 {message}")]);

    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(10_000)
    );
    assert!(errors(&long)[0].ends_with(message), "{}", errors(&long)[0]);

    let anchors = format!(
        "{}{}{} *a9",
        "&a [".repeat(150),
        "x".repeat(1 << 16),
        "]".repeat(150)
    );
    assert_eq!(errors(&anchors).len(), 1);
}

#[test]
fn unusual_texts_are_no_trouble() {
    for text in UNUSUAL {
        let (_, whole) = parse(text);
        let (_, after) = parse(&format!("{text}\n---\nlast: 1\n"));
        assert_eq!(
            after.documents.last().map(Yaml::to_json),
            Some(json!({"last": 1})),
            "after {text:?}"
        );
        assert!(whole.documents.len() + whole.errors.len() <= 3, "{text:?}");
    }
}

const UNUSUAL: &[&str] = &[
    "\u{feff}",
    "\u{feff}\u{feff}a: 1",
    "%TAG ! !\n---\na",
    "---",
    "--- ---",
    "...",
    "... x",
    "&",
    "*",
    "!",
    "&a",
    "&a &b c",
    "!!",
    "!<",
    "!<>",
    "!%",
    "!%zz x",
    "|",
    ">",
    "|9\n",
    "|0",
    "|+-",
    "'",
    "\"",
    "\"\\",
    "\"\\x\"",
    "\"\\ud800\"",
    "\"\\U99999999\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "?",
    "-",
    ": :",
    "? ?",
    "- -",
    "[,]",
    "{,}",
    "[:]",
    "{:}",
    "{?}",
    "[? a: b]",
    "a:\r",
    "\r\r\r",
    "\u{85}",
    "\u{2028}",
    "a\u{0}b",
    "\u{1}",
    "a: |\n\u{feff}",
    "#",
    "a #b",
    "a: #b",
    "-\t-",
    "\t",
    "\t\n",
    " \t x",
    "- \t- x",
    "<<: <<",
    "<<",
    "<<: [<<]",
    "? <<\n: 1",
    "{\"a\":1}}",
    "{\"a\":1} x",
    "{\"a\":01}",
    "{\"a\":1e999}",
    "{\"\\ud800\":\"\\udc00\\ud83d\"}",
];

#[test]
fn ten_thousand_deployments_take_no_quadratic_time() {
    let one = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: dé\nspec:\n  replicas: 3\n  \
               template:\n    spec:\n      containers:\n        - name: a\n          image: b\n---\n";
    let (_, stream) = parse(&one.repeat(10_000));
    assert_eq!((stream.documents.len(), stream.errors.len()), (10_000, 0));
    let list = format!("items:\n{}", "- {a: é, b: [1, 2]}\n".repeat(100_000));
    let (_, stream) = parse(&list);
    let items = stream.documents[0].get("items").unwrap();
    assert_eq!(items.as_sequence().unwrap().len(), 100_000);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        (-1e6..1e6).prop_map(|value: f64| json!(value)),
        any::<String>().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| json!(items)),
            prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

/// Returns the value with integers for doubles that are whole, as Go prints them.
fn normalized(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(double)) => {
                resolve::integral(double).map_or(value.clone(), |int| json!(int))
            }
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(normalized).collect(),
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| (key.clone(), normalized(value)));
            Value::Object(pairs.collect())
        }
        _ => value.clone(),
    }
}

proptest! {
    #[test]
    fn json_text_is_read_as_json(value in any_json(), pretty: bool) {
        let value = json!([value]);
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        prop_assert_eq!(document(&text), normalized(&value));
    }

    #[test]
    fn the_yaml_parser_reads_json_too(value in any_json(), pretty: bool) {
        // YAML allows no control characters but in escapes, which serde_json writes.
        let value = json!([value]);
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let source = Source::new("a.json", text);
        let map = |offset| offset;
        let place = Place { base: 0, source: &source, map: &map };
        let mut stream = Stream::default();
        build::documents(source.text(), &place, &mut stream);
        prop_assert_eq!(&stream.errors, &[]);
        prop_assert_eq!(stream.documents[0].to_json(), normalized(&value));
        let json::Outcome::Documents(fast) = json::documents(source.text(), &place) else {
            return Err(TestCaseError::fail("not JSON"));
        };
        prop_assert_eq!(fast, stream.documents);
    }

    #[test]
    fn no_text_makes_it_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let text = pieces.concat();
        let (source, stream) = parse(&text);
        for document in &stream.documents {
            check_fragments(document, &source)?;
        }
    }
}

const PIECES: &[&str] = &[
    "a",
    "b: ",
    "- ",
    "? ",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "\r\n",
    " ",
    "\t",
    "'",
    "\"",
    "\\",
    "\\n",
    "\\x41",
    "|",
    ">",
    "|-\n",
    ">+\n",
    "|2\n",
    "#",
    " # c",
    "&x ",
    "*x",
    "!!str ",
    "!t ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "<<: ",
    "---",
    "\n---\n",
    "\n...\n",
    "%YAML 1.2\n",
    "é",
    "\u{feff}",
    "😀",
    "0x1",
    "~",
    "\u{0}",
    "\u{85}",
    "//",
];

/// Checks that each string's fragment finds its words in the file.
fn check_fragments(value: &Yaml, source: &Arc<Source>) -> Result<(), TestCaseError> {
    match &value.value {
        YamlValue::Sequence(items) => items
            .iter()
            .try_for_each(|item| check_fragments(item, source)),
        YamlValue::Mapping(entries) => {
            let mut values = entries.iter().map(|entry| &entry.value);
            values.try_for_each(|value| check_fragments(value, source))
        }
        YamlValue::String(text) => {
            let fragment = value.fragment(source).unwrap();
            for (at, c) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
                let span = fragment.locate(Span::new(at, at + c.len_utf8()));
                let found = source.slice(span);
                let matches = found.starts_with(c) || found.starts_with('\\');
                prop_assert!(
                    matches,
                    "{c:?} of {text:?} in {:?}: {found:?}",
                    source.text()
                );
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
