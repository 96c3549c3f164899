//! JUnit XML: findings for the reports of continuous integration, and any other run of cases.
//!
//! Format: the schema of `junit-team` and Jenkins' `junit-10.xsd`, the part that readers share.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::{Diagnostic, Excuse, Severity};

/// Cases that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct TestSuite {
    /// What the cases have in common: a policy, say.
    pub name: String,
    /// The cases in the order they are printed.
    pub cases: Vec<TestCase>,
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCase {
    /// Name of the case.
    pub name: String,
    /// What it is grouped under: a file.
    pub classname: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took; left out when it was not measured.
    pub seconds: Option<f64>,
    /// Text to show beside the case, whatever its outcome.
    pub output: Option<String>,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected.
    Failed {
        /// What kind of failure: the code of a finding.
        kind: String,
        /// One line.
        message: String,
        /// Everything there is to say.
        details: String,
    },
    /// It could not be run.
    Errored {
        /// What kind of error.
        kind: String,
        /// One line.
        message: String,
        /// Everything there is to say.
        details: String,
    },
    /// It was left out.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// Prints suites as one XML document.
///
/// Characters that XML cannot hold become U+FFFD.
pub fn render(suites: &[TestSuite]) -> String {
    let mut xml = Xml(Writer::new_with_indent(Vec::new(), b' ', 2));
    xml.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    let cases = suites.iter().flat_map(|suite| &suite.cases);
    xml.element("testsuites", &counts(cases), |xml| {
        for suite in suites {
            let mut attributes = vec![("name", suite.name.clone())];
            attributes.extend(counts(&suite.cases));
            xml.element("testsuite", &attributes, |xml| {
                for case in &suite.cases {
                    xml.case(case);
                }
            });
        }
    });
    let mut text = String::from_utf8_lossy(&xml.0.into_inner()).into_owned();
    text.push('\n');
    text
}

/// Prints findings: a case for every object, or for the file if the finding names none.
///
/// Errors fail a case; one without, of which something is excused, is skipped; warnings and notes are its
/// output.
pub(super) fn findings(findings: &[&Diagnostic]) -> String {
    let mut order = Vec::new();
    let mut findings_by_case = BTreeMap::<_, Vec<&Diagnostic>>::new();
    for finding in findings {
        let file = finding.labels.first().map(|label| label.source.name());
        let key = (file, finding.subject.as_deref());
        let of_case = findings_by_case.entry(key).or_default();
        if of_case.is_empty() {
            order.push(key);
        }
        of_case.push(finding);
    }
    let cases = order.into_iter().map(|key| {
        let (file, subject) = key;
        let classname = file.unwrap_or("portcullis").to_owned();
        TestCase {
            name: subject.map_or_else(|| classname.clone(), str::to_owned),
            classname,
            seconds: None,
            ..case(findings_by_case.get(&key).map_or(&[], Vec::as_slice))
        }
    });
    render(&[TestSuite {
        name: "portcullis".to_owned(),
        cases: cases.collect(),
    }])
}

/// Returns findings that are about no case of a run: errors are cases that could not be run.
pub fn problems(findings: &[Diagnostic]) -> TestSuite {
    let case = |finding: &Diagnostic| {
        let file = finding.labels.first().map(|label| label.source.name());
        let error = Outcome::Errored {
            kind: finding.code.clone(),
            message: finding.message.clone(),
            details: line(finding),
        };
        TestCase {
            name: finding.code.clone(),
            classname: file.unwrap_or("portcullis").to_owned(),
            outcome: if finding.is_error() {
                error
            } else {
                Outcome::Passed
            },
            seconds: None,
            output: (!finding.is_error()).then(|| line(finding)),
        }
    };
    TestSuite {
        name: "portcullis".to_owned(),
        cases: findings.iter().map(case).collect(),
    }
}

/// Returns how a case without errors ended: it was skipped if something about it is excused.
pub fn without_errors<'d>(findings: impl IntoIterator<Item = &'d Diagnostic>) -> Outcome {
    let excuses = findings.into_iter().filter_map(|it| it.excuse.as_deref());
    let mut reasons: Vec<String> = excuses.map(Excuse::to_string).collect();
    reasons.dedup();
    match reasons.is_empty() {
        true => Outcome::Passed,
        false => Outcome::Skipped {
            reason: reasons.join("; "),
        },
    }
}

fn case(findings: &[&Diagnostic]) -> TestCase {
    let is_error = |finding: &&&Diagnostic| finding.severity == Severity::Error;
    let outcome = match findings.iter().find(is_error) {
        None => without_errors(findings.iter().copied()),
        Some(first) => Outcome::Failed {
            kind: first.code.clone(),
            message: first.message.clone(),
            details: findings.iter().filter(is_error).map(|f| line(f)).collect(),
        },
    };
    let output = findings.iter().filter(|finding| !is_error(finding));
    let output = output.map(|finding| line(finding)).collect::<String>();
    TestCase {
        name: String::new(),
        classname: String::new(),
        outcome,
        seconds: None,
        output: Some(output).filter(|output| !output.is_empty()),
    }
}

fn line(finding: &Diagnostic) -> String {
    let mut text = String::new();
    if let Some(label) = finding.labels.first() {
        let at = label.position();
        text = format!("{}:{}:{}: ", label.source.name(), at.line, at.column);
    }
    let severity = finding.severity;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{severity}[{}]: {}", finding.code, finding.message);
    if let Some(help) = &finding.help {
        let _ = writeln!(text, "  help: {help}");
    }
    text
}

fn counts<'a>(cases: impl IntoIterator<Item = &'a TestCase>) -> Vec<(&'static str, String)> {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    let mut seconds = 0.0;
    for case in cases {
        tests += 1;
        seconds += case.seconds.unwrap_or_default();
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Failed { .. } => failures += 1,
            Outcome::Errored { .. } => errors += 1,
            Outcome::Skipped { .. } => skipped += 1,
        }
    }
    vec![
        ("tests", tests.to_string()),
        ("failures", failures.to_string()),
        ("errors", errors.to_string()),
        ("skipped", skipped.to_string()),
        ("time", format!("{seconds:.3}")),
    ]
}

struct Xml(Writer<Vec<u8>>);

impl Xml {
    fn event(&mut self, event: Event<'_>) {
        // Writing to memory cannot fail.
        let _ = self.0.write_event(event);
    }

    fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, String)],
        content: impl FnOnce(&mut Xml),
    ) {
        self.event(Event::Start(start(name, attributes)));
        content(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    fn case(&mut self, case: &TestCase) {
        let mut attributes = vec![
            ("name", case.name.clone()),
            ("classname", case.classname.clone()),
        ];
        if let Some(seconds) = case.seconds {
            attributes.push(("time", format!("{seconds:.3}")));
        }
        if case.outcome == Outcome::Passed && case.output.is_none() {
            self.event(Event::Empty(start("testcase", &attributes)));
            return;
        }
        self.element("testcase", &attributes, |xml| {
            xml.outcome(&case.outcome);
            if let Some(output) = &case.output {
                xml.element("system-out", &[], |xml| xml.text(output));
            }
        });
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let (name, kind, message, details) = match outcome {
            Outcome::Passed => return,
            Outcome::Failed {
                kind,
                message,
                details,
            } => ("failure", kind, message, details),
            Outcome::Errored {
                kind,
                message,
                details,
            } => ("error", kind, message, details),
            Outcome::Skipped { reason } => {
                let attributes = [("message", reason.clone())];
                self.event(Event::Empty(start("skipped", &attributes)));
                return;
            }
        };
        let attributes = [("message", message.clone()), ("type", kind.clone())];
        self.element(name, &attributes, |xml| xml.text(details));
    }

    fn text(&mut self, text: &str) {
        let escaped = escape(text);
        self.event(Event::Text(BytesText::from_escaped(escaped)));
    }
}

fn start<'a>(name: &'a str, attributes: &[(&str, String)]) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for (name, value) in attributes {
        // Given as bytes, the value is taken as escaped.
        // A reader would turn plain line breaks of an attribute into spaces.
        let value = escape(value).replace('\n', "&#10;").replace('\t', "&#9;");
        start.push_attribute((name.as_bytes(), value.as_bytes()));
    }
    start
}

/// Escapes markup, and replaces what XML 1.0 has no way to write (section 2.2, `Char`).
fn escape(text: &str) -> String {
    let legal = |c: char| match c {
        '\t' | '\n' => c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => c,
    };
    let text = text.replace("\r\n", "\n");
    let text = text.chars().map(legal).collect::<String>();
    quick_xml::escape::escape(text).into_owned()
}
