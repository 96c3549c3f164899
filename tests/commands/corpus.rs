//! `check` on the recorded facts in the folder named by `PORTCULLIS_CORPUS`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::Folder;

/// A path in the corpus.
fn corpus(name: &str) -> PathBuf {
    let corpus = std::env::var_os("PORTCULLIS_CORPUS").unwrap();
    PathBuf::from(corpus).join(name)
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn real_objects_are_checked_without_an_error_of_our_own() {
    let objects = corpus("objects");
    let output = Folder::with(&[]).run(&format!("check {} --format json", objects.display()));
    let findings: Value = serde_json::from_str(&output.out).unwrap();
    let codes: BTreeSet<&str> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        BTreeSet::from(["access-control-deny", "meshery-replicas", "mtls-strict"]),
        "nothing but violations: {}",
        output.out
    );
    assert!(!output.out.contains("resulted in error"), "{}", output.out);
    assert_eq!(output.code, Some(1), "{}", output.err);
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn recorded_cases_are_decided_as_kubernetes_decides_them() {
    let path = corpus("policies.jsonl.gz");
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let output = Folder::with(&[]).run_with("check --jsonl", &text);
    let mut tally = Tally::default();
    for (case, answer) in text.lines().zip(output.out.lines()) {
        let case: Value = serde_json::from_str(case).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(case["id"], answer["id"]);
        tally.add(&case, &answer);
    }
    let Tally {
        cases,
        allowed,
        message,
        warnings,
        ..
    } = tally;
    println!(
        "policies: allowed {allowed}/{cases}, message {message}/{cases}, warnings {warnings}/{cases}"
    );
    tally
        .differences
        .iter()
        .for_each(|difference| println!("{difference}"));
    assert!(
        tally.fail_open.is_empty(),
        "admitted and should not be: {:?}",
        tally.fail_open
    );
    assert!(cases > 0, "the corpus has cases of validating policies");
    assert_eq!((allowed, message, warnings), (cases, cases, cases));
}

/// What was compared so far.
#[derive(Default)]
struct Tally {
    cases: usize,
    allowed: usize,
    message: usize,
    warnings: usize,
    differences: Vec<String>,
    fail_open: Vec<String>,
}

impl Tally {
    fn add(&mut self, case: &Value, answer: &Value) {
        if answer["error"] == "mutating policies are not run" {
            return;
        }
        assert_eq!(answer["error"], Value::Null, "{}", case["id"]);
        let upstream = &case["upstream"];
        self.cases += 1;
        let same_allowed = answer["allowed"] == upstream["allowed"];
        let same_message = answer["message"] == upstream["message"];
        self.allowed += usize::from(same_allowed);
        self.message += usize::from(same_message);
        self.warnings += usize::from(sorted(&answer["warnings"]) == sorted(&upstream["warnings"]));
        if !same_allowed && answer["allowed"] == true {
            self.fail_open.push(case["id"].to_string());
        }
        if !same_allowed || !same_message {
            self.differences.push(format!(
                "{}: {} instead of {}",
                case["id"], answer["message"], upstream["message"]
            ));
        }
    }
}

fn sorted(texts: &Value) -> Vec<String> {
    let texts = texts.as_array().into_iter().flatten();
    let mut texts: Vec<String> = texts.map(Value::to_string).collect();
    texts.sort();
    texts
}
