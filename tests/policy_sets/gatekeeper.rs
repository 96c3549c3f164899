//! The suites of Gatekeeper's library, run as `gator verify` runs them.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis::admission::resources::Resources;
use portcullis::admission::synthesize::{Synthesis, User};
use portcullis::engine::cluster::Objects;
use portcullis::engine::verdict::Decision;
use portcullis::policy::set::PolicySet;
use regex::Regex;
use serde_json::Value;

use super::{compare, created, decided, documents, files, load, set_path, shown};

#[test]
#[ignore = "needs the checkouts in $PORTCULLIS_POLICY_SETS"]
fn the_suites_of_gatekeeper_give_what_they_assert() {
    let root = set_path("gatekeeper-library/library");
    let (mut agreed, mut rego_only, mut differences) = (0, 0, BTreeMap::new());
    for path in files(&root, &|name| name == "suite.yaml") {
        let folder = path.parent().unwrap();
        for suite in documents(&path) {
            for test in suite["tests"].as_array().unwrap() {
                let paths = ["template", "constraint"].map(|key| folder.join(text(&test[key])));
                let (set, findings) = load(&paths);
                let cases = test["cases"].as_array().cloned().unwrap_or_default();
                if findings.iter().any(|it| it.code == "policy/not-evaluated") {
                    rego_only += cases.len();
                    continue;
                }
                let errors: Vec<String> = findings
                    .iter()
                    .filter(|it| it.is_error())
                    .map(shown)
                    .collect();
                for case in &cases {
                    let name = format!(
                        "{} {} {}",
                        folder.strip_prefix(&root).unwrap().display(),
                        text(&test["name"]),
                        text(&case["name"])
                    );
                    let said = match errors.is_empty() {
                        true => disagreement(&set, folder, case),
                        false => Some(errors.join("; ")),
                    };
                    match said {
                        None => agreed += 1,
                        Some(said) => drop(differences.insert(name, said)),
                    }
                }
            }
        }
    }
    println!("{rego_only} cases are of templates in Rego alone");
    compare("gatekeeper", agreed, &differences);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What was said where an assertion does not hold.
fn disagreement(set: &PolicySet, folder: &Path, case: &Value) -> Option<String> {
    let object = documents(&folder.join(text(&case["object"]))).remove(0);
    let decisions = decide(set, &object);
    let said = || {
        let messages: Vec<String> = decisions.iter().map(Decision::upstream_message).collect();
        format!("{} for {}", messages.join("; "), case["assertions"])
    };
    let assertions = case["assertions"].as_array().cloned().unwrap_or_default();
    let all_hold = assertions.iter().all(|it| holds(it, &decisions));
    (!all_hold).then(said)
}

/// What is decided about an object, or about the request that a review holds.
fn decide(set: &PolicySet, object: &Value) -> Vec<Decision> {
    let (cluster, resources) = (Objects::default(), Resources::default());
    if object["kind"] != "AdmissionReview" {
        return created(set, object, &cluster, &resources);
    }
    let request = &object["request"];
    // The reviews of the suites name no kind: `gator` takes the object's.
    let of = |key: &str| (!request[key].is_null()).then(|| request[key].clone());
    let mut synthesis = match text(&request["operation"]) {
        "UPDATE" => {
            let old = of("oldObject").or_else(|| of("object")).unwrap();
            Synthesis::update(old, of("object").unwrap())
        }
        "DELETE" => Synthesis::delete(of("oldObject").unwrap()),
        _ => Synthesis::create(of("object").unwrap()),
    };
    if let Some(name) = request["userInfo"]["username"].as_str() {
        synthesis.user = User::named(name);
    }
    let request = synthesis.request(&resources).unwrap();
    decided(set, &request.request(), &cluster)
}

/// Gatekeeper: `pkg/gator/verify/assertion.go`.
fn holds(assertion: &Value, decisions: &[Decision]) -> bool {
    let message = assertion["message"]
        .as_str()
        .map(|it| Regex::new(it).unwrap());
    let matching = decisions
        .iter()
        .filter(|it| {
            message
                .as_ref()
                .is_none_or(|message| message.is_match(&it.message))
        })
        .count();
    match &assertion["violations"] {
        Value::Bool(false) => matching == 0,
        Value::Number(count) => count.as_u64() == u64::try_from(matching).ok(),
        Value::String(word) if word == "no" => matching == 0,
        _ => matching > 0,
    }
}
