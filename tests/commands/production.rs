//! The built-in policies on whole installations as production wants them, and on the system's own
//! objects: nothing of them is denied, and what is warned of is right.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Folder;

/// An installation.
struct Install {
    /// Its file in `tests/data/production`.
    file: &'static str,
    /// What is warned of or recorded all the same, by policy and object, and why that is right.
    accepted: &'static [(&'static str, &'static str, &'static str)],
    /// Changes of its text, each with the policies that deny what comes of it.
    broken: &'static [(&'static str, &'static str, &'static [&'static str])],
}

const INSTALLS: [Install; 4] = [
    Install {
        file: "meshery.yaml",
        accepted: &[],
        broken: &[
            (
                "minReplicas: 3",
                "minReplicas: 1",
                &["meshery-autoscaler-floor"],
            ),
            (
                "name: PROVIDER, value: Meshery",
                "name: PROVIDER, value: ''",
                &["meshery-remote-provider"],
            ),
            (
                "spec: {size: 1,",
                "spec: {size: 3,",
                &["meshery-broker-size"],
            ),
        ],
    },
    Install {
        file: "nginx-service-mesh.yaml",
        accepted: &[(
            "meshery-security-context",
            "DaemonSet nginx-mesh/spire-agent",
            "it looks at the processes of its node, for which it must be root",
        )],
        broken: &[
            (
                "mode: strict, caKeyType",
                "mode: 'off', caKeyType",
                &["mtls-strict"],
            ),
            (
                "\"mode\": \"strict\"",
                "\"mode\": \"permissive\"",
                &["nsm-static-config"],
            ),
            (
                "accessControlMode: deny",
                "accessControlMode: allow",
                &["access-control-deny"],
            ),
            (
                "KeyManager \"memory\"",
                "KeyManager \"disk\"",
                &["nsm-memory-key-manager"],
            ),
            (
                "UpstreamAuthority \"disk\"",
                "Notifier \"k8sbundle\"",
                &["nsm-memory-needs-authority", "nsm-upstream-authority"],
            ),
        ],
    },
    Install {
        file: "istio.yaml",
        accepted: &[],
        broken: &[
            (
                "minReplicas: 3\n",
                "minReplicas: 1\n",
                &[
                    "mesh-control-plane-autoscaler-floor",
                    "mesh-control-plane-replicas",
                ],
            ),
            (
                "{mtls: {mode: STRICT}}",
                "{mtls: {mode: PERMISSIVE}}",
                &["istio-strict-mtls"],
            ),
            ("mode: ISTIO_MUTUAL", "mode: DISABLE", &["istio-client-tls"]),
        ],
    },
    Install {
        file: "linkerd.yaml",
        accepted: &[],
        broken: &[
            (
                "replicas: 3\n",
                "replicas: 1\n",
                &["mesh-control-plane-replicas"],
            ),
            (
                "defaultInboundPolicy: all-authenticated",
                "defaultInboundPolicy: all-unauthenticated",
                &["linkerd-config-defaults"],
            ),
            (
                "config.linkerd.io/default-inbound-policy: deny",
                "config.linkerd.io/default-inbound-policy: all-unauthenticated",
                &["linkerd-inbound-policy"],
            ),
        ],
    },
];

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/production")
        .join(file)
}

/// What is found in a text: severity, policy and object of each.
fn findings(text: &str, flags: &str) -> Vec<[String; 3]> {
    let folder = Folder::with(&[("objects.yaml", text)]);
    let output = folder.run(&format!("check objects.yaml --format json {flags}"));
    assert_ne!(output.code, Some(2), "{}", output.err);
    let findings: Vec<Value> = serde_json::from_str(&output.out).unwrap();
    let is_denied = findings.iter().any(|it| it["severity"] == "error");
    assert_eq!(output.code == Some(1), is_denied, "{}", output.err);
    findings
        .iter()
        .map(|it| ["severity", "code", "subject"].map(|key| it[key].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn nothing_of_a_compliant_installation_is_denied() {
    for install in &INSTALLS {
        let text = fs::read_to_string(path(install.file)).unwrap();
        for operation in ["CREATE", "UPDATE"] {
            let found = findings(&text, &format!("--operation {operation}"));
            let denied: Vec<_> = found.iter().filter(|it| it[0] == "error").collect();
            assert!(
                denied.is_empty(),
                "{}: {operation}: {denied:?}",
                install.file
            );
            let found: BTreeSet<(&str, &str)> = found
                .iter()
                .map(|it| (it[1].as_str(), it[2].as_str()))
                .collect();
            let accepted = install.accepted.iter();
            let accepted: BTreeSet<_> =
                accepted.map(|(code, object, _)| (*code, *object)).collect();
            assert_eq!(found, accepted, "{}: {operation}", install.file);
        }
    }
}

#[test]
fn a_strict_profile_denies_nothing_of_it_but_what_is_accepted() {
    for install in &INSTALLS {
        let text = fs::read_to_string(path(install.file)).unwrap();
        let denied = findings(&text, "--profile strict");
        let denied: BTreeSet<String> = denied
            .into_iter()
            .filter(|it| it[0] == "error")
            .map(|[_, code, _]| code)
            .collect();
        let accepted = install.accepted.iter();
        let accepted = accepted.map(|(code, ..)| (*code).to_owned()).collect();
        assert_eq!(denied, accepted, "{}", install.file);
    }
}

#[test]
fn what_is_changed_for_the_worse_in_it_is_denied() {
    for install in &INSTALLS {
        let text = fs::read_to_string(path(install.file)).unwrap();
        for (good, bad, policies) in install.broken {
            assert!(text.contains(good), "{}: {good}", install.file);
            let found = findings(&text.replacen(good, bad, 1), "");
            let denied: BTreeSet<&str> = found
                .iter()
                .filter(|it| it[0] == "error")
                .map(|it| it[1].as_str())
                .collect();
            let expected = policies.iter().copied().collect();
            assert_eq!(denied, expected, "{}: {good}", install.file);
        }
    }
}

#[test]
fn nothing_is_said_of_what_kube_system_is_made_of() {
    let text = fs::read_to_string(path("kube-system.yaml")).unwrap();
    for flags in [
        "",
        "--operation UPDATE",
        "--operation DELETE",
        "--profile strict",
    ] {
        assert_eq!(findings(&text, flags), [] as [[String; 3]; 0], "{flags}");
    }
    // It is the namespace, not the objects: elsewhere they are denied.
    let elsewhere = text.replace("namespace: kube-system", "namespace: meshery");
    let found = findings(&elsewhere, "");
    assert!(found.iter().any(|it| it[0] == "error"), "{found:?}");
}

#[test]
fn a_kind_of_one_mesh_is_not_taken_for_that_of_another() {
    let text = fs::read_to_string(path("homonyms.yaml")).unwrap();
    assert_eq!(findings(&text, "--profile strict"), [] as [[String; 3]; 0]);
    // It is the group: in the right one, the same is denied.
    for (group, own, policy) in [
        (
            "install.istio.io/v1alpha1",
            "nsm.nginx.com/v1alpha2",
            "mtls-strict",
        ),
        (
            "example.com/v1\nkind: Server",
            "policy.linkerd.io/v1beta3\nkind: Server",
            "linkerd-server-policy",
        ),
        (
            "example.com/v1\nkind: Broker",
            "meshery.io/v1alpha2\nkind: Broker",
            "meshery-broker-size",
        ),
        (
            "consul.hashicorp.com/v1alpha1\nkind: RateLimit",
            "specs.smi.nginx.com/v1alpha2\nkind: RateLimit",
            "nsm-rate-limit",
        ),
        (
            "example.com/v1\nkind: CircuitBreaker",
            "specs.smi.nginx.com/v1alpha1\nkind: CircuitBreaker",
            "nsm-circuit-breaker",
        ),
    ] {
        assert!(text.contains(group), "{group}");
        let found = findings(&text.replacen(group, own, 1), "");
        let is_denied = |it: &[String; 3]| it[0] == "error" && it[1] == policy;
        assert!(found.iter().any(is_denied), "{policy}: {found:?}");
    }
}
