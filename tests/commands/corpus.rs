//! `check` on recorded facts: our own in `tests/cases/admit.jsonl`, and those in the folder named by
//! `PORTCULLIS_CORPUS`.
//!
//! A line of `admit.jsonl` is a case of `check --jsonl` with what Kubernetes' own dispatchers made of
//! it, under `upstream`.

#![expect(
    clippy::indexing_slicing,
    reason = "a recording without a key fails the test"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use portcullis::cel::version::KubernetesVersion;
use portcullis::diagnostics::Diagnostic;
use portcullis::policy::{export, read};
use portcullis::text::Source;
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
    let problems: Vec<_> = codes.iter().filter(|code| code.contains('/')).collect();
    assert!(problems.is_empty(), "nothing but violations: {problems:?}");
    for expected in ["access-control-deny", "meshery-replicas", "mtls-strict"] {
        assert!(codes.contains(expected), "{expected}");
    }
    assert!(!output.out.contains("resulted in error"), "{}", output.out);
    assert_eq!(output.code, Some(1), "{}", output.err);
}

#[test]
fn our_own_cases_are_decided_as_kubernetes_decides_them() {
    let cases: Vec<Value> = include_str!("../cases/admit.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    compare(Recorded::Everything, &cases);
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn recorded_cases_are_decided_as_kubernetes_decides_them() {
    compare(Recorded::Policies, &policy_cases());
}

/// The cases of whole policies.
fn policy_cases() -> Vec<Value> {
    let path = corpus("policies.jsonl.gz");
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let cases = text.lines().map(|line| {
        let mut case: Value = serde_json::from_str(line).unwrap();
        // Recorded twice; what the API server fills in decides.
        if case["verdict"] == "ok:only-with-API-defaults" {
            case["defaults"] = true.into();
            case["upstream"] = case["upstreamWithDefaults"].clone();
        }
        case
    });
    cases.collect()
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn whole_requests_are_decided_as_kubernetes_decides_them() {
    let file = File::open(corpus("admit-cases.json.gz")).unwrap();
    let recorded: Vec<Value> = serde_json::from_reader(GzDecoder::new(file)).unwrap();
    let cases = recorded.iter().map(|recorded| {
        let mut case = recorded["input"].clone();
        case["id"] = recorded["name"].clone();
        case["defaults"] = true.into();
        case["upstream"] = recorded["result"].clone();
        case["upstream"]["patched"] = recorded["result"]["object"].clone();
        case["upstream"]["message"] = recorded["result"]["status"]["message"].clone();
        case
    });
    let cases: Vec<Value> = cases.collect();
    compare(Recorded::Everything, &cases);
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn exported_policies_decide_as_those_they_were_exported_from() {
    let mut exported = 0;
    let mut cases = policy_cases();
    for case in &mut cases {
        exported += usize::from(export(case));
    }
    println!(
        "{exported} of {} cases are decided by what was exported",
        cases.len()
    );
    assert!(exported > 0, "the corpus has policies that can be exported");
    compare(Recorded::Policies, &cases);
}

/// Puts the policies of a case through `export`; leaves those alone that the API server refuses.
fn export(case: &mut Value) -> bool {
    let version = KubernetesVersion::NEWEST;
    let documents = ["policies", "bindings"].map(|key| case[key].as_array().unwrap().clone());
    let text: Vec<String> = documents.iter().flatten().map(Value::to_string).collect();
    let (documents, problems) = read::read(&Source::new("case.yaml", text.join("\n---\n")));
    let policies = documents.policies.iter();
    let policies: Result<Vec<Value>, _> = policies.map(|it| export::policy(it, version)).collect();
    let Ok(policies) = policies else { return false };
    if problems.iter().any(Diagnostic::is_error) {
        return false;
    }
    let bindings = documents.bindings.iter();
    case["bindings"] = bindings.map(|it| export::binding(it, version)).collect();
    case["policies"] = policies.into();
    true
}

/// Which annotations a corpus records.
#[derive(Debug, Clone, Copy)]
enum Recorded {
    /// Those that policies make.
    Policies,
    /// The violations, too.
    Everything,
}

/// Decides cases by `check --jsonl` and compares with what is recorded under `upstream`.
fn compare(recorded: Recorded, cases: &[Value]) {
    let input: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let output = Folder::with(&[]).run_with("check --jsonl", &input);
    assert_eq!(output.out.lines().count(), cases.len(), "{}", output.err);
    let mut tally = Tally::default();
    for (case, answer) in cases.iter().zip(output.out.lines()) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(case.get("id"), answer.get("id"));
        tally.add(recorded, case, &answer);
    }
    println!("{recorded:?}: {tally}");
    let differences = &tally.differences;
    differences.iter().for_each(|it| println!("{it}"));
    assert!(
        tally.fail_open.is_empty(),
        "admitted and should not be: {:?}",
        tally.fail_open
    );
    assert!(tally.cases > 0, "there are cases of validating policies");
    assert!(differences.is_empty(), "{differences:#?}");
}

/// What was compared so far.
#[derive(Default)]
struct Tally {
    cases: usize,
    allowed: usize,
    message: usize,
    warnings: usize,
    annotations: usize,
    patched: usize,
    /// Cases in which policies change the object.
    changed: usize,
    differences: Vec<String>,
    fail_open: Vec<String>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { cases, .. } = self;
        write!(
            formatter,
            "allowed {}/{cases}, message {}/{cases}, warnings {}/{cases}, annotations {}/{cases}, \
             patched {}/{cases} ({} recorded)",
            self.allowed, self.message, self.warnings, self.annotations, self.patched, self.changed
        )
    }
}

impl Tally {
    /// Recorded is what an object has become only where that was asked for.
    fn patched(&mut self, ours: &Value, theirs: &Value) -> bool {
        self.changed += usize::from(!theirs.is_null());
        theirs.is_null() || ours == theirs
    }

    fn add(&mut self, recorded: Recorded, case: &Value, answer: &Value) {
        assert_eq!(answer["error"], Value::Null, "{}", case["id"]);
        let upstream = &case["upstream"];
        self.cases += 1;
        let same = [
            answer["allowed"] == upstream["allowed"],
            answer["message"] == upstream["message"],
            sorted(&answer["warnings"]) == sorted(&upstream["warnings"]),
            match recorded {
                Recorded::Policies => entries(&answer["auditAnnotations"]).collect(),
                Recorded::Everything => annotations(answer),
            } == entries(&upstream["auditAnnotations"]).collect(),
            self.patched(&answer["patched"], &upstream["patched"]),
        ];
        let [allowed, message, warnings, annotations, patched] = same;
        self.allowed += usize::from(allowed);
        self.message += usize::from(message);
        self.warnings += usize::from(warnings);
        self.annotations += usize::from(annotations);
        if !allowed && answer["allowed"] == true {
            self.fail_open.push(case["id"].to_string());
        }
        self.patched += usize::from(patched);
        if same != [true; 5] {
            self.differences
                .push(format!("{answer} instead of {upstream}"));
        }
    }
}

/// What is recorded in the API server's log of a decision of ours.
fn annotations(answer: &Value) -> BTreeSet<(&str, &str)> {
    let failure = answer["validationFailure"].as_str();
    let failure = failure.map(|text| (VALIDATION_FAILURE, text));
    entries(&answer["auditAnnotations"])
        .chain(failure)
        .collect()
}

const VALIDATION_FAILURE: &str = "validation.policy.admission.k8s.io/validation_failure";

fn entries(annotations: &Value) -> impl Iterator<Item = (&str, &str)> {
    let entries = annotations.as_object().into_iter().flatten();
    entries.map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
}

fn sorted(texts: &Value) -> Vec<String> {
    let texts = texts.as_array().into_iter().flatten();
    let mut texts: Vec<String> = texts.map(Value::to_string).collect();
    texts.sort();
    texts
}
