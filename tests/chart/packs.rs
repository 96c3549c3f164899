//! The chart satisfies the packs: as it is, and as if its namespace were among those they look after.

use std::fs;
use std::process::Command;

use portcullis::cel::version::KubernetesVersion;
use portcullis::policy::model::PolicyScope;
use portcullis::policy::overrides::Overrides;
use portcullis::sources;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::helm::{NAMESPACE, VALUES, template};

/// What is found all the same, with which values, and why that is right.
const REASONED: [(&str, &str); 6] = [
    // API servers run on the network of their nodes: without their addresses (`networkPolicy.apiServers`)
    // nothing narrower lets them in.
    (
        "default",
        "has a rule in spec.ingress that allows everybody",
    ),
    (
        "published",
        "has a rule in spec.ingress that allows everybody",
    ),
    // Only its owner knows what an environment is called (`podLabels`).
    ("default", "has no label environment"),
    ("mounted", "has no label environment"),
    ("published", "has no label environment"),
    // Its values switch it off.
    ("mounted", "has no NetworkPolicy"),
];

/// Overrides under which every policy that looks after some namespaces looks after ours, and policies
/// about the whole cluster after nothing.
fn overrides() -> Value {
    let version = KubernetesVersion::NEWEST;
    let (set, _) = sources::load(&[], version, &Overrides::default());
    let mut overrides = json!({});
    let mut count = 0;
    for compiled in set.policies() {
        let policy = &compiled.policy;
        if policy.scope == PolicyScope::Cluster {
            overrides[&policy.name] = json!({"enabled": false});
        } else if policy
            .settings
            .get("namespaces")
            .is_some_and(Value::is_array)
        {
            overrides[&policy.name] = json!({"settings": {"namespaces": [NAMESPACE]}});
            count += 1;
        }
    }
    assert!(count > 20, "only {count} policies have namespaces");
    overrides
}

fn check(values: &str, overrides: &Value, profile: &str) -> (Option<i32>, Vec<Value>) {
    let folder = TempDir::new().unwrap();
    let objects = folder.path().join("objects");
    fs::create_dir(&objects).unwrap();
    fs::write(objects.join("all.yaml"), template(values, &[])).unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, json!({"overrides": overrides}).to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["check", "--namespace", NAMESPACE, "--format", "json"])
        .args(["--profile", profile])
        .arg("--config")
        .arg(&config)
        // Budgets and NetworkPolicies are looked up there.
        .arg("--cluster-objects")
        .arg(&objects)
        .arg(&objects)
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let findings = serde_json::from_str::<Vec<Value>>(&text);
    (
        output.status.code(),
        findings.unwrap_or_else(|problem| panic!("{problem}: {text}")),
    )
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn the_chart_satisfies_every_pack() {
    let mut off = overrides();
    let about_cluster = |change: &mut Value| change.get("enabled").is_some();
    off.as_object_mut()
        .unwrap()
        .retain(|_, change| about_cluster(change));
    for values in VALUES {
        for profile in ["production", "strict"] {
            let (code, findings) = check(values, &off, profile);
            assert_eq!(
                (code, findings.len()),
                (Some(0), 0),
                "{values}, {profile}: {findings:#?}"
            );
        }
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn the_chart_satisfies_what_packs_ask_of_the_namespaces_they_look_after() {
    let mut needless = REASONED.to_vec();
    for values in VALUES {
        for profile in ["production", "strict"] {
            let (_, mut findings) = check(values, &overrides(), profile);
            for reason in REASONED {
                let is_it = |finding: &Value| {
                    let message = finding["message"].as_str().unwrap();
                    reason.0 == values && message.contains(reason.1)
                };
                if findings.iter().any(is_it) {
                    needless.retain(|other| *other != reason);
                }
                findings.retain(|finding| !is_it(finding));
            }
            assert!(findings.is_empty(), "{values}, {profile}: {findings:#?}");
        }
    }
    assert!(needless.is_empty(), "nothing is found of {needless:?}");
}
