//! Reading policies: forms, hostile texts, and the policies that are shipped.

use std::sync::Arc;

use super::read;
use crate::diagnostics::{Diagnostic, Severity};
use crate::policy::model::*;
use crate::policy::{codes, validate};
use crate::text::Source;

mod cel;
mod gatekeeper;
mod kubernetes;
mod kyverno;

/// Reads `text` as the file `name`, which must give no finding.
fn sound(name: &str, text: &str) -> Documents {
    let source = Source::new(name, text);
    let (documents, mut diagnostics) = read(&source);
    diagnostics.extend(validate::documents(&documents));
    assert!(diagnostics.is_empty(), "{:#?}", said(&source, &diagnostics));
    documents
}

/// Returns what reading and checking `text` says: `line:column code underlined`, and the help.
fn findings(name: &str, text: &str) -> Vec<(String, String)> {
    let source = Source::new(name, text);
    let (documents, mut diagnostics) = read(&source);
    diagnostics.extend(validate::documents(&documents));
    said(&source, &diagnostics)
}

fn said(source: &Arc<Source>, diagnostics: &[Diagnostic]) -> Vec<(String, String)> {
    diagnostics
        .iter()
        .map(|diagnostic| {
            let label = &diagnostic.labels[0];
            let at = label.position();
            // A piece of a policy may be no object at all.
            let is_passed_over = diagnostic.code == "policy/not-an-object";
            assert!(is_passed_over || diagnostic.severity == Severity::Error);
            assert!(
                codes::meaning(&diagnostic.code).is_some(),
                "{}",
                diagnostic.code
            );
            let code = diagnostic.code.strip_prefix("policy/").unwrap_or_default();
            let underlined = source.slice(label.span);
            (
                format!("{}:{} {code} {underlined}", at.line, at.column),
                diagnostic.help.clone().unwrap_or_default(),
            )
        })
        .collect()
}

/// Checks that `text` gives exactly the findings named, each with a help that contains the text.
fn check(name: &str, text: &str, expected: &[(&str, &str)]) {
    let found = findings(name, text);
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    let wanted: Vec<&str> = expected.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, wanted, "\n{text}\n{found:#?}");
    for ((place, help), (_, wanted)) in found.iter().zip(expected) {
        assert!(
            help.contains(wanted),
            "{place}: {help:?} has no {wanted:?}\n{text}"
        );
        assert!(!help.is_empty(), "{place}");
    }
}

const CEL: &str = "// @require x\ntrue\n// ---\n";
const YAML: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";

#[test]
fn the_form_is_told_by_the_name_and_else_by_the_content() {
    let rows = [
        ("p.cel", YAML, Form::Cel),
        ("p.CEL", YAML, Form::Cel),
        ("p", CEL, Form::Cel),
        ("<stdin>", CEL, Form::Cel),
        ("p", YAML, Form::Kubernetes),
        ("p.json", "{}", Form::Kubernetes),
        ("p.yaml", CEL, Form::Kubernetes),
        ("p", "", Form::Kubernetes),
    ];
    for (name, text, form) in rows {
        assert_eq!(super::form(&Source::new(name, text)), form, "{name} {text}");
    }
}

#[test]
fn what_is_no_text_is_said_once() {
    for (text, place) in [
        ("\u{0}\u{1}\u{2}ELF\u{0}", "1:1 not-text \u{0}"),
        ("kind: \u{7}x\n\u{0}", "1:7 not-text \u{7}"),
        ("PK\u{fffd}\u{fffd}", "1:3 not-text \u{fffd}"),
    ] {
        for name in ["p.cel", "p.yaml", "p"] {
            check(name, text, &[(place, "UTF-8")]);
        }
    }
}

#[test]
fn a_megabyte_is_read_in_time() {
    let when = "// @require x\nobject.a > 1\n".repeat(1 << 15);
    let (documents, _) = read(&Source::new("p.cel", when));
    assert_eq!(documents.policies[0].validations.len(), 1 << 15);
    let comment = "// x\n".repeat(1 << 18);
    let (documents, diagnostics) = read(&Source::new("p.cel", comment));
    assert_eq!((documents.policies.len(), diagnostics.len()), (1, 1));
    let one_line = format!("// @require x\n{}\n", "a+".repeat(1 << 19));
    assert_eq!(read(&Source::new("p.cel", one_line)).1.len(), 1);
    let many = "// @nothing\n".repeat(1 << 16);
    assert_eq!(read(&Source::new("p.cel", many)).1.len(), 1 << 16);
}

#[test]
fn any_piece_of_a_policy_is_read_without_a_panic() {
    for (name, text) in [("p.cel", cel::WHOLE), ("p.yaml", kubernetes::WHOLE)] {
        for (at, _) in text.char_indices() {
            let (front, back) = text.split_at(at);
            match at % 3 {
                0 => findings(name, front),
                1 => findings(name, back),
                _ => findings(name, &format!("{front}\u{e4}{back}")),
            };
        }
    }
}

#[test]
fn the_policies_that_are_shipped_have_no_findings() {
    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("policies")];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "cel") {
                let text = std::fs::read_to_string(&path).expect("a text");
                let documents = sound(&path.to_string_lossy(), &text);
                for policy in &documents.policies {
                    let file = path.file_stem().expect("a name").to_string_lossy();
                    assert_eq!(policy.name, file, "a policy is named like its file");
                    assert!(
                        !policy.about.description.is_empty(),
                        "{file}: what is it for?"
                    );
                    assert!(policy.about.source.is_some(), "{file}: where is it from?");
                    names.push(policy.name.clone());
                }
                let tests = path.with_extension("test.yaml");
                let tests = std::fs::read_to_string(tests).expect("tests beside the policy");
                let stream = crate::text::yaml::parse_stream(&Source::new("tests", tests));
                assert_eq!(stream.errors, [], "{file:?}", file = path.display());
            }
        }
    }
    names.sort_unstable();
    for name in ["access-control-deny", "meshery-replicas", "mtls-strict"] {
        assert!(names.iter().any(|shipped| shipped == name), "{name}");
    }
}

#[test]
fn a_setting_that_yaml_reads_otherwise_is_refused_with_what_it_is() {
    let found = |settings: &str| {
        let text = format!(
            "// A.\n//\n// ---\n// match: {{resources: [v1/pods]}}\n// settings: {settings}\n// ---\n\n\
             // @require a\ntrue\n"
        );
        let (_, findings) = read(&Source::new("a.cel", text));
        let told = findings.iter().map(|it| {
            let help = it.help.as_deref().unwrap_or_default();
            format!("{}: {} ({help})", it.code, it.message)
        });
        told.collect::<Vec<_>>()
    };
    let rule = "it is read as `settings.NAME`: use letters, digits and `_`, a letter first, and no reserved word";
    for (settings, expected) in [
        (
            "{on: 1}",
            "policy/invalid-name: `on` is a boolean in YAML, `true`, and cannot be the name of a setting \
             (put it in quotes: `'on': …`)"
                .to_owned(),
        ),
        (
            "{No: 1}",
            "policy/invalid-name: `No` is a boolean in YAML, `false`, and cannot be the name of a setting \
             (put it in quotes: `'No': …`)"
                .to_owned(),
        ),
        (
            "{true: 1}",
            format!("policy/invalid-name: `true` cannot be the name of a setting ({rule})"),
        ),
        (
            "{'true': 1}",
            format!("policy/invalid-name: `true` cannot be the name of a setting ({rule})"),
        ),
        (
            "{1: 1}",
            format!("policy/invalid-name: `1` cannot be the name of a setting ({rule})"),
        ),
        (
            "{a: {b: 1}}",
            "policy/wrong-type: `a` must be a scalar or a list of scalars, not a mapping (give each entry a \
             setting of its own, or take the object as a parameter: `params`)"
                .to_owned(),
        ),
    ] {
        assert_eq!(found(settings), [expected], "{settings}");
    }
    assert_eq!(found("{'on': 1, y_: 2}"), [] as [&str; 0]);
}
