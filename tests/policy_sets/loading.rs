//! How much of each set loads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use portcullis::diagnostics::Severity;

use super::{documents, files, load, set_path, shown};

/// The kinds of the sets that are policies, or put them in force.
const KINDS: [&str; 5] = [
    "ValidatingAdmissionPolicy",
    "ConstraintTemplate",
    "ClusterPolicy",
    "Policy",
    "ValidatingPolicy",
];

#[test]
#[ignore = "needs the checkouts in $PORTCULLIS_POLICY_SETS"]
fn the_published_sets_load_without_an_edit() {
    for (name, only_cel) in [
        ("cel-admission-library/controls", false),
        ("cel-admission-library/runtime-policies", false),
        ("gatekeeper-library/library", false),
        ("policies", true),
    ] {
        report(name, only_cel);
    }
}

/// Loads each file by itself: what one says is not to depend on another.
fn report(name: &str, only_cel: bool) {
    let root = set_path(name);
    let hidden = |path: &PathBuf| {
        let path = path.strip_prefix(&root).unwrap();
        path.iter()
            .any(|part| part.to_str().unwrap().starts_with('.'))
    };
    let (mut policies, mut loaded, mut warned) = (0, 0, 0);
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files(&root, &|name| name.ends_with(".yaml")) {
        if hidden(&path) {
            continue;
        }
        let found = documents(&path);
        let count = found
            .iter()
            .filter(|it| KINDS.contains(&it["kind"].as_str().unwrap_or_default()))
            .filter(|it| it["apiVersion"].as_str().unwrap_or_default().contains('.'))
            .filter(|it| !only_cel || is_cel(it))
            .count();
        if count == 0 {
            continue;
        }
        policies += count;
        let (_, findings) = load(&[path]);
        let errors: Vec<_> = findings.iter().filter(|it| it.is_error()).collect();
        if findings.iter().any(|it| it.severity == Severity::Warning) {
            warned += 1;
            for finding in &findings {
                reasons
                    .entry(finding.message.clone())
                    .or_default()
                    .push(shown(finding));
            }
        }
        if errors.is_empty() {
            loaded += count;
        }
        for error in errors {
            reasons
                .entry(error.message.clone())
                .or_default()
                .push(shown(error));
        }
    }
    println!("{name}: loaded {loaded} of {policies} policies, {warned} files with a warning");
    for (reason, places) in &reasons {
        println!("  {} x {reason}\n      {}", places.len(), places[0]);
    }
}

/// Says whether all that a Kyverno policy decides is written in CEL.
fn is_cel(policy: &serde_json::Value) -> bool {
    let rules = policy["spec"]["rules"].as_array();
    rules.is_none_or(|rules| rules.iter().all(|rule| !rule["validate"]["cel"].is_null()))
}
