//! What a case expects, and whether what it got is that.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::reader::Reader;
use crate::text::Span;
use crate::text::yaml::Yaml;

/// What is expected of a case.
///
/// Everything that is not mentioned must not happen: a case that expects to be admitted fails on a
/// warning, and one that expects one denial fails on a second one. Only annotations that are not
/// mentioned are free.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// Messages of violations that reject the request, each exactly once.
    pub denials: Vec<Text>,
    /// Messages of violations that only warn.
    pub warnings: Vec<Text>,
    /// Messages of violations that are only recorded.
    pub records: Vec<Text>,
    /// Errors of evaluation or configuration, whatever the failure policy makes of them.
    pub errors: Vec<Text>,
    /// Audit annotations by key.
    pub annotations: Vec<(String, Text)>,
    /// Fields that the object has once mutating policies have changed it; others are free.
    pub object: Option<Value>,
    /// The operations that change the object.
    pub patch: Option<Value>,
    /// Names of the exceptions that take something back, once for each policy.
    pub excused: Vec<Text>,
    /// Whether no policy applies.
    pub applies: Applies,
}

/// Whether any policy is to apply to the request of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Applies {
    /// At least one does; otherwise the case tests nothing.
    #[default]
    Some,
    /// None does (`skip`).
    None,
}

/// A text that is expected.
#[derive(Debug, Clone)]
pub enum Text {
    /// The whole text.
    Exactly(String),
    /// Something in it, written `/…/`.
    Matching(Regex),
}

/// What a case got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Got {
    /// Messages of violations that reject the request.
    pub denials: Vec<String>,
    /// Messages of violations that only warn.
    pub warnings: Vec<String>,
    /// Messages of violations that are only recorded.
    pub records: Vec<String>,
    /// Errors, those included that a failure policy hides.
    pub errors: Vec<String>,
    /// Audit annotations: (`policy/key`, value).
    pub annotations: Vec<(String, String)>,
    /// The object as mutating policies have left it, and the operations that make it so; none if
    /// mutations are not expected.
    pub changed: Option<(Value, Value)>,
    /// Names of the exceptions that took something back, once for each policy.
    pub excused: Vec<String>,
    /// Whether any policy applied.
    pub applied: bool,
}

/// A line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Expected and got.
    Same(String),
    /// Expected and not got.
    Missing(String),
    /// Got and not expected.
    Unexpected(String),
}

/// The largest expression that is accepted; far more than any message needs.
const MAX_REGEX_BYTES: usize = 1 << 20;

impl Text {
    fn read(reader: &mut Reader<'_>, node: &Yaml, what: &str) -> Option<Self> {
        let text = reader.text(node, what)?;
        let inner = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        let Some(pattern) = inner.filter(|inner| !inner.is_empty()) else {
            return Some(Text::Exactly(text.to_owned()));
        };
        match RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX_BYTES)
            .build()
        {
            Ok(regex) => Some(Text::Matching(regex)),
            Err(error) => {
                let error = error.to_string();
                let last = error.lines().last().unwrap_or_default();
                let message = format!("`{pattern}` is no regular expression: {last}");
                let help = "a text between slashes is a regular expression";
                reader.error(node.span, "test/pattern", message, help);
                None
            }
        }
    }

    /// Says whether a message is what is expected.
    pub fn matches(&self, message: &str) -> bool {
        match self {
            Text::Exactly(text) => text == message,
            Text::Matching(regex) => regex.is_match(message),
        }
    }

    fn shown(&self) -> String {
        match self {
            Text::Exactly(text) => text.clone(),
            Text::Matching(regex) => format!("/{regex}/"),
        }
    }
}

/// The keys of `expect` and the words that can stand for it.
const KEYS: [&str; 9] = [
    "admit", "deny", "warn", "audit", "error", "excused", "skip", "object", "patch",
];

impl Expect {
    /// Reads the value of `expect`; `None` if something is wrong with it, which is said.
    pub(super) fn read(reader: &mut Reader<'_>, node: &Yaml) -> Option<Self> {
        if let Some(word) = node.as_str() {
            return Expect::word(reader, node.span, word);
        }
        let before = reader.diagnostics.len();
        let entries = reader.fields(node, "`expect`", &KEYS)?;
        let mut expect = Expect::default();
        let mut is_admitted = false;
        for entry in entries {
            let value = &entry.value;
            match entry.key.as_str() {
                "admit" => is_admitted = flag(reader, value, "`admit`"),
                "skip" if flag(reader, value, "`skip`") => expect.applies = Applies::None,
                "deny" => expect.denials = texts(reader, value, "`deny`"),
                "warn" => expect.warnings = texts(reader, value, "`warn`"),
                "error" => expect.errors = texts(reader, value, "`error`"),
                "excused" => expect.excused = texts(reader, value, "`excused`"),
                "audit" => expect.audit(reader, value),
                "object" => expect.object = Some(value.to_json()),
                "patch" => expect.patch = Some(value.to_json()),
                _ => {}
            }
        }
        let decides = !expect.denials.is_empty() || !expect.errors.is_empty();
        if (is_admitted && decides) || (expect.applies == Applies::None && entries.len() > 1) {
            let message = "a case has one outcome".to_owned();
            let help = "`admit` and `skip` cannot stand beside a denial or an error";
            reader.error(node.span, "test/ambiguous", message, help);
        } else if entries.is_empty() {
            let message = "`expect` says nothing".to_owned();
            reader.error(
                node.span,
                "test/required",
                message,
                "expect `admit`, or why not",
            );
        }
        (reader.diagnostics.len() == before).then_some(expect)
    }

    fn word(reader: &mut Reader<'_>, span: Span, word: &str) -> Option<Self> {
        match word {
            "admit" => Some(Expect::default()),
            "skip" => Some(Expect {
                applies: Applies::None,
                ..Expect::default()
            }),
            "excused" => {
                let message = "`excused` without a name".to_owned();
                let help = "name the exception: `{excused: NAME}`";
                reader.error(span, "test/unknown-value", message, help);
                None
            }
            "deny" | "warn" | "error" | "audit" => {
                let message = format!("`{word}` without a reason");
                let help = format!("say which one: `{{{word}: MESSAGE}}`");
                reader.error(span, "test/unknown-value", message, &help);
                None
            }
            _ => {
                let message = format!("`{word}` is no outcome");
                let help = match crate::text::nearest(word, KEYS) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "an outcome is `admit`, `skip`, `{deny: …}`, `{warn: …}`, \
                             `{audit: …}`, `{error: …}`, `{excused: …}`, `{object: …}` or `{patch: …}`"
                        .to_owned(),
                };
                reader.error(span, "test/unknown-value", message, &help);
                None
            }
        }
    }

    /// A mapping is annotations; texts are violations that are recorded.
    fn audit(&mut self, reader: &mut Reader<'_>, node: &Yaml) {
        let Some(entries) = node.as_mapping() else {
            self.records = texts(reader, node, "`audit`");
            return;
        };
        for entry in entries {
            let what = format!("the annotation `{}`", entry.key);
            if let Some(text) = Text::read(reader, &entry.value, &what) {
                self.annotations.push((entry.key.clone(), text));
            }
        }
    }

    /// Says whether the mutations of the policies are to be made, switched on or not, on trial or not.
    pub fn mutates(&self) -> bool {
        self.object.is_some() || self.patch.is_some()
    }

    /// Compares, and returns the lines of both sides if they differ.
    pub fn compare(&self, got: &Got) -> Result<(), Vec<Line>> {
        let mut lines = Vec::new();
        match (self.applies, got.applied) {
            (Applies::Some, true) => {}
            (Applies::None, false) => lines.push(Line::Same("skip".to_owned())),
            (Applies::None, true) => lines.push(Line::Missing("skip".to_owned())),
            (Applies::Some, false) => {
                let all = [&self.denials, &self.warnings, &self.records, &self.errors];
                if all.iter().all(|texts| texts.is_empty()) && self.annotations.is_empty() {
                    lines.push(Line::Missing("admit".to_owned()));
                }
                lines.push(Line::Unexpected(
                    "skip: no policy applies to the request".to_owned(),
                ));
            }
        }
        pair(&mut lines, "deny", &self.denials, &got.denials);
        pair(&mut lines, "warn", &self.warnings, &got.warnings);
        pair(&mut lines, "audit", &self.records, &got.records);
        pair_errors(&mut lines, &self.errors, &got.errors);
        pair(&mut lines, "excused", &self.excused, &got.excused);
        self.pair_annotations(&mut lines, got);
        self.pair_changes(&mut lines, got);
        let is_same = |line: &Line| matches!(line, Line::Same(_));
        if lines.iter().all(is_same) {
            return Ok(());
        }
        self.add_admit(&mut lines, got);
        Err(lines)
    }

    /// Says in a comparison that was to be admitted, or was, where nothing else says it.
    fn add_admit(&self, lines: &mut Vec<Line>, got: &Got) {
        let says_expected = |line: &Line| !matches!(line, Line::Unexpected(_));
        let says_got = |line: &Line| !matches!(line, Line::Missing(_));
        if !lines.iter().any(says_expected) {
            lines.insert(0, Line::Missing("admit".to_owned()));
        }
        if !lines.iter().any(says_got) && got.applied {
            lines.push(Line::Unexpected("admit".to_owned()));
        }
    }

    fn pair_changes(&self, lines: &mut Vec<Line>, got: &Got) {
        let Some((object, patch)) = &got.changed else {
            return;
        };
        if let Some(expected) = &self.patch {
            if expected == patch {
                lines.push(Line::Same(format!("patch: {patch}")));
            } else {
                lines.push(Line::Missing(format!("patch: {expected}")));
                lines.push(Line::Unexpected(format!("patch: {patch}")));
            }
        }
        if let Some(expected) = &self.object {
            for (path, wanted, found) in differing(expected, Some(object)) {
                lines.push(Line::Missing(format!("object{path}: {wanted}")));
                let found = found.map_or("absent".to_owned(), ToString::to_string);
                lines.push(Line::Unexpected(format!("object{path}: {found}")));
            }
        }
    }

    /// Keys may be given with or without the policy's name before a slash.
    fn pair_annotations(&self, lines: &mut Vec<Line>, got: &Got) {
        for (key, text) in &self.annotations {
            let is_it = |found: &str| {
                found == key || found.split_once('/').is_some_and(|(_, short)| short == key)
            };
            let mut found = got
                .annotations
                .iter()
                .filter(|(found, _)| is_it(found))
                .peekable();
            let shown = format!("audit {key}: {}", text.shown());
            if found.peek().is_none() {
                lines.push(Line::Missing(shown));
                continue;
            }
            let values: Vec<&String> = found.map(|(_, value)| value).collect();
            if values.iter().any(|value| text.matches(value)) {
                lines.push(Line::Same(shown));
            } else {
                lines.push(Line::Missing(shown));
                let got = |value: &&String| Line::Unexpected(format!("audit {key}: {value}"));
                lines.extend(values.iter().map(got));
            }
        }
    }
}

/// The fields of an object that are expected and are not so: path, wanted, found.
fn differing<'v>(
    expected: &'v Value,
    found: Option<&'v Value>,
) -> Vec<(String, &'v Value, Option<&'v Value>)> {
    match (expected, found) {
        (Value::Object(fields), Some(Value::Object(object))) => {
            let fields = fields.iter().flat_map(|(name, wanted)| {
                let inner = differing(wanted, object.get(name));
                let named = move |(path, wanted, found)| (format!(".{name}{path}"), wanted, found);
                inner.into_iter().map(named).collect::<Vec<_>>()
            });
            fields.collect()
        }
        (Value::Array(items), Some(Value::Array(list))) if items.len() == list.len() => {
            let items = items.iter().zip(list).enumerate();
            let items = items.flat_map(|(at, (wanted, found))| {
                let inner = differing(wanted, Some(found));
                let placed = move |(path, wanted, found)| (format!("[{at}]{path}"), wanted, found);
                inner.into_iter().map(placed).collect::<Vec<_>>()
            });
            items.collect()
        }
        (expected, Some(found)) if expected == found => Vec::new(),
        (expected, found) => vec![(String::new(), expected, found)],
    }
}

/// `{skip}` and `{skip: true}` are the same.
fn flag(reader: &mut Reader<'_>, node: &Yaml, what: &str) -> bool {
    node.is_null() || reader.boolean(node, what).unwrap_or(true)
}

fn texts(reader: &mut Reader<'_>, node: &Yaml, what: &str) -> Vec<Text> {
    let items = reader.one_or_many(node);
    let texts: Vec<Text> = items
        .iter()
        .filter_map(|item| Text::read(reader, item, what))
        .collect();
    if items.is_empty() {
        let message = format!("{what} is an empty list");
        reader.error(node.span, "test/required", message, "name the messages");
    }
    texts
}

fn pair(lines: &mut Vec<Line>, label: &str, expected: &[Text], got: &[String]) {
    pair_by(lines, label, (expected, got), |text, message| {
        text.matches(message)
    });
}

/// An error may be given as a whole, or without the expression it is of.
fn pair_errors(lines: &mut Vec<Line>, expected: &[Text], got: &[String]) {
    pair_by(lines, "error", (expected, got), |text, message| {
        let bare = message
            .rsplit_once(" resulted in error: ")
            .map(|(_, bare)| bare);
        text.matches(message) || bare.is_some_and(|bare| text.matches(bare))
    });
}

/// Pairs each message with the first expected text that fits and is not taken yet; whole texts
/// choose before patterns do, so that a pattern does not take another's message.
fn pair_by(
    lines: &mut Vec<Line>,
    label: &str,
    (expected, got): (&[Text], &[String]),
    fits: impl Fn(&Text, &str) -> bool,
) {
    let mut taken: Vec<Option<usize>> = vec![None; expected.len()];
    let mut is_paired = vec![false; got.len()];
    for exact_ones in [true, false] {
        for (text, taken) in expected.iter().zip(&mut taken) {
            if taken.is_some() || matches!(text, Text::Exactly(_)) != exact_ones {
                continue;
            }
            let free = got.iter().zip(&mut is_paired).enumerate();
            let mut fitting =
                free.filter(|(_, (message, paired))| !**paired && fits(text, message));
            if let Some((at, (_, paired))) = fitting.next() {
                *paired = true;
                *taken = Some(at);
            }
        }
    }
    for (text, taken) in expected.iter().zip(taken) {
        match taken.and_then(|at| got.get(at)) {
            Some(message) => lines.push(Line::Same(format!("{label}: {message}"))),
            None => lines.push(Line::Missing(format!("{label}: {}", text.shown()))),
        }
    }
    let unexpected = got.iter().zip(is_paired).filter(|(_, paired)| !paired);
    lines.extend(unexpected.map(|(message, _)| Line::Unexpected(format!("{label}: {message}"))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Source, yaml};

    fn read(text: &str) -> Result<Expect, Vec<String>> {
        let source = Source::new("x.test.yaml", text);
        let stream = yaml::parse_stream(&source);
        let mut reader = Reader::new(&source);
        let expect = Expect::read(&mut reader, &stream.documents[0]);
        expect.ok_or_else(|| {
            reader
                .diagnostics
                .iter()
                .map(|it| format!("{}: {}", it.code, it.message))
                .collect()
        })
    }

    fn got(denials: &[&str]) -> Got {
        let denials = denials.iter().map(|text| (*text).to_owned()).collect();
        Got {
            denials,
            applied: true,
            ..Got::default()
        }
    }

    /// Returns the comparison as a person sees it; empty if there is no difference.
    fn compare(expect: &str, got: &Got) -> String {
        let lines = read(expect).unwrap().compare(got).err().unwrap_or_default();
        let line = |line: &Line| match line {
            Line::Same(text) => format!(" {text}"),
            Line::Missing(text) => format!("-{text}"),
            Line::Unexpected(text) => format!("+{text}"),
        };
        lines.iter().map(line).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn what_is_expected_is_compared_with_what_came() {
        let annotated = Got {
            annotations: vec![("p/owner".to_owned(), "me".to_owned())],
            ..got(&[])
        };
        let warned = Got {
            warnings: vec!["w".to_owned()],
            ..got(&[])
        };
        let error = "expression 'a.b' resulted in error: no such key: b".to_owned();
        let failed = Got {
            errors: vec![error],
            ..got(&[])
        };
        let skipped = Got::default();
        for (expect, got, difference) in [
            ("admit", &got(&[]), ""),
            ("{admit}", &got(&[]), ""),
            ("admit", &got(&["a"]), "-admit|+deny: a"),
            ("admit", &warned, "-admit|+warn: w"),
            (
                "admit",
                &failed,
                "-admit|+error: expression 'a.b' resulted in error: no such key: b",
            ),
            (
                "admit",
                &skipped,
                "-admit|+skip: no policy applies to the request",
            ),
            ("{deny: a}", &got(&["a"]), ""),
            ("{deny: a}", &got(&["b"]), "-deny: a|+deny: b"),
            ("{deny: a}", &got(&[]), "-deny: a|+admit"),
            ("{deny: a}", &got(&["a", "b"]), " deny: a|+deny: b"),
            ("{deny: [b, a]}", &got(&["a", "b"]), ""),
            ("{deny: [a, a]}", &got(&["a"]), " deny: a|-deny: a"),
            ("{deny: /^a+$/}", &got(&["aaa"]), ""),
            ("{deny: /^a+$/}", &got(&["ab"]), "-deny: /^a+$/|+deny: ab"),
            ("{deny: [/a/, ab]}", &got(&["ab", "ac"]), ""),
            (
                "{deny: a}",
                &skipped,
                "+skip: no policy applies to the request|-deny: a",
            ),
            ("skip", &skipped, ""),
            ("{skip}", &skipped, ""),
            ("skip", &got(&[]), "-skip|+admit"),
            ("skip", &got(&["a"]), "-skip|+deny: a"),
            ("{warn: w}", &warned, ""),
            ("{error: 'no such key: b'}", &failed, ""),
            (
                "{error: 'no such key'}",
                &failed,
                "-error: no such key|+error: expression 'a.b' resulted in error: no such key: b",
            ),
            ("{audit: {owner: me}}", &annotated, ""),
            ("{audit: {p/owner: /m/}}", &annotated, ""),
            (
                "{audit: {owner: you}}",
                &annotated,
                "-audit owner: you|+audit owner: me",
            ),
            ("{audit: {other: x}}", &annotated, "-audit other: x|+admit"),
            (
                "{deny: a, audit: {owner: me}}",
                &got(&["a"]),
                " deny: a|-audit owner: me",
            ),
        ] {
            assert_eq!(compare(expect, got), difference, "{expect} {got:?}");
        }
    }

    #[test]
    fn an_expectation_that_means_nothing_is_refused() {
        for (expect, problem) in [
            ("admitted", "test/unknown-value: `admitted` is no outcome"),
            ("deny", "test/unknown-value: `deny` without a reason"),
            ("{denies: a}", "test/unknown-key: unknown key `denies`"),
            (
                "{deny: 7}",
                "test/wrong-type: `deny` is an integer, not a string",
            ),
            ("{deny: []}", "test/required: `deny` is an empty list"),
            (
                "{deny: '/(/'}",
                "test/pattern: `(` is no regular expression: error: unclosed group",
            ),
            ("{admit, deny: a}", "test/ambiguous: a case has one outcome"),
            ("{skip, warn: a}", "test/ambiguous: a case has one outcome"),
            ("{}", "test/required: `expect` says nothing"),
            (
                "[admit]",
                "test/wrong-type: `expect` is a list, not a mapping",
            ),
        ] {
            assert_eq!(
                read(expect).err(),
                Some(vec![problem.to_owned()]),
                "{expect}"
            );
        }
    }

    #[test]
    fn a_changed_object_has_the_fields_that_are_expected() {
        let got = Got {
            applied: true,
            changed: Some((
                serde_json::json!({"spec": {"replicas": 3, "paused": true, "list": [{"a": 1, "b": 2}]}}),
                serde_json::json!([{"op": "add", "path": "/spec/replicas", "value": 3}]),
            )),
            ..Got::default()
        };
        let told = |expect: &str| {
            let lines = read(expect)
                .unwrap()
                .compare(&got)
                .err()
                .unwrap_or_default();
            let shown = lines.iter().map(|line| match line {
                Line::Same(text) => format!("  {text}"),
                Line::Missing(text) => format!("- {text}"),
                Line::Unexpected(text) => format!("+ {text}"),
            });
            shown.collect::<Vec<_>>()
        };
        for expect in [
            "{object: {spec: {replicas: 3, list: [{b: 2}]}}}",
            "{patch: [{path: /spec/replicas, op: add, value: 3}]}",
        ] {
            assert_eq!(told(expect), [] as [&str; 0], "{expect}");
        }
        assert_eq!(
            told("{object: {spec: {replicas: 4, missing: 1}}}"),
            [
                "- object.spec.replicas: 4",
                "+ object.spec.replicas: 3",
                "- object.spec.missing: 1",
                "+ object.spec.missing: absent",
            ]
        );
        assert_eq!(
            told("{patch: []}"),
            [
                "- patch: []",
                r#"+ patch: [{"op":"add","path":"/spec/replicas","value":3}]"#,
            ]
        );
    }
}
