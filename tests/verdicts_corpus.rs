//! Typical policies on recorded reviews, beside the decisions of Kubernetes' own validator.
//!
//! The recordings lie in the folder `$PORTCULLIS_CORPUS` (`reviews-verdicts.json.gz`, `reviews/`);
//! the test is ignored unless asked for.

#![expect(
    clippy::indexing_slicing,
    reason = "a recording that cannot be read fails the test"
)]

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use portcullis::admission::review;
use portcullis::cel::version::KubernetesVersion;
use portcullis::engine::cluster::Objects;
use portcullis::engine::{Options, validate};
use portcullis::policy::read;
use portcullis::policy::set::PolicySet;
use portcullis::text::Source;
use serde_json::{Value, json};

/// A set of this one policy, with a binding that denies.
fn set(name: &str, policy: &Value) -> PolicySet {
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "b" },
        "spec": { "policyName": name, "validationActions": ["Deny"] },
    });
    let source = Source::new("policies", format!("{policy}\n---\n{binding}\n"));
    let (documents, findings) = read::read(&source);
    assert!(findings.is_empty(), "{name}: {findings:?}");
    PolicySet::build(
        documents,
        KubernetesVersion::default(),
        &PolicySet::default(),
        |_| false,
    )
    .set
}

/// What the recorded result denies with, and what it records.
fn recorded(result: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = |key: &str| result[key].as_array().cloned().unwrap_or_default();
    let denials = all("decisions")
        .into_iter()
        .filter(|it| it["action"] == "deny");
    let mut messages: Vec<String> = denials
        .map(|it| format!("{} {}", reason(&text(&it["reason"])), text(&it["message"])))
        .collect();
    let mut annotations = Vec::new();
    for annotation in all("auditAnnotations") {
        match annotation["action"].as_str() {
            Some("publish") => {
                annotations.push((text(&annotation["key"]), text(&annotation["value"])))
            }
            Some("error") => messages.push(format!("Invalid {}", text(&annotation["error"]))),
            _ => {}
        }
    }
    (messages, annotations)
}

/// Messages with their words in order: Go iterates over maps in random order.
fn unordered(messages: &[String]) -> Vec<Vec<&str>> {
    messages
        .iter()
        .map(|message| {
            let mut words: Vec<&str> = message.split([',', ' ']).collect();
            words.sort_unstable();
            words
        })
        .collect()
}

/// A decision without a reason is answered as Invalid.
fn reason(recorded: &str) -> &str {
    if recorded.is_empty() {
        "Invalid"
    } else {
        recorded
    }
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn reviews_are_decided_as_kubernetes_decides_them() {
    let corpus = PathBuf::from(std::env::var_os("PORTCULLIS_CORPUS").unwrap());
    let file = File::open(corpus.join("reviews-verdicts.json.gz")).unwrap();
    let recordings: Value = serde_json::from_reader(GzDecoder::new(file)).unwrap();
    let sets: HashMap<&str, PolicySet> = recordings["policies"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, policy)| (name.as_str(), set(name, policy)))
        .collect();
    let cluster = Objects::default();
    let (mut compared, mut differences) = (0, Vec::new());
    for case in recordings["cases"].as_array().unwrap() {
        let (policy, name) = (
            case["policy"].as_str().unwrap(),
            case["review"].as_str().unwrap(),
        );
        let body = fs::read(corpus.join("reviews").join(name)).unwrap();
        // The recorded v1beta1 review has the same request as a v1 one.
        let body = String::from_utf8(body)
            .unwrap()
            .replace("admission.k8s.io/v1beta1", "admission.k8s.io/v1");
        let request = review::parse(body.as_bytes()).unwrap();
        let options = Options::new(&cluster);
        let verdict = validate(&sets[policy], &request, options).unwrap();
        let (messages, mut annotations) = recorded(&case["result"]);
        annotations.sort();
        let ours: Vec<String> = verdict
            .decisions
            .iter()
            .map(|it| format!("{:?} {}", it.reason, it.message))
            .collect();
        let prefix = format!("{policy}/");
        let published: Vec<(String, String)> = verdict
            .audit_annotations
            .iter()
            .map(|(key, value)| (key.trim_start_matches(&prefix).to_owned(), value.clone()))
            .collect();
        compared += 1;
        let (ours, messages) = (unordered(&ours), unordered(&messages));
        if ours != messages || published != annotations {
            differences.push(format!("{policy} on {name}:\n  {ours:?} {published:?}\n  recorded {messages:?} {annotations:?}"));
        }
    }
    println!("reviews: {}/{compared}", compared - differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
