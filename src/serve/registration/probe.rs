//! The one entry that is registered before it is known that API servers reach the webhook, and the proof
//! that it is in nobody's way.
//!
//! It denies ([`crate::webhook::probe`]), and so does an API server that cannot call it; but it is only
//! about dry runs of the Lease of the installation, of which nothing is kept in any case.

use serde_json::{Value, json};

use super::{NAMESPACE_LABEL, Place, client_config, empty_configuration, with};
use crate::webhook::probe::PATH;

/// The name of the entry.
pub const NAME: &str = "probe.portcullis.dev";
/// How long an API server waits: what answers does so at once, and whoever asks waits for no longer than
/// [`crate::cluster::lease::REQUEST`].
const TIMEOUT_SECONDS: u8 = 3;
const GROUP: &str = "coordination.k8s.io";
const RESOURCE: &str = "leases";
/// Holds for nothing that is to be kept.
const ONLY_DRY_RUNS: &str = "has(request.dryRun) && request.dryRun";

/// Returns the ValidatingWebhookConfiguration with nothing but the entry for the Lease in `namespace`.
pub fn configuration(place: &Place, namespace: &str, authorities: &str) -> Value {
    let webhook = json!({
        "name": NAME,
        "admissionReviewVersions": ["v1"],
        "clientConfig": client_config(PATH, place, Some(authorities)),
        "failurePolicy": "Fail",
        "matchPolicy": "Exact",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        "rules": [{
            "apiGroups": [GROUP],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": [RESOURCE],
            "scope": "Namespaced",
        }],
        "namespaceSelector": {"matchExpressions": [
            {"key": NAMESPACE_LABEL, "operator": "In", "values": [namespace]},
        ]},
        "objectSelector": {},
        "matchConditions": [
            {"name": "only-dry-runs", "expression": ONLY_DRY_RUNS},
            {"name": "only-its-lease", "expression": only_its_lease(&place.name)},
        ],
    });
    let configuration = empty_configuration("ValidatingWebhookConfiguration", &place.name);
    with(configuration, "webhooks", json!([webhook]))
}

/// Says whether an entry is such a probe: one that can only be about dry runs of the Lease of that name in
/// one namespace.
///
/// Both conditions are to be there as they are written here; others can only make it narrower. The rules are
/// to name nothing else, so that the proof does not rest on the conditions alone.
pub(super) fn is_one(webhook: &Value, installation: &str) -> bool {
    let conditions = webhook["matchConditions"].as_array();
    let has = |expression: &str| {
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition["expression"] == expression)
    };
    let rules = webhook["rules"].as_array();
    let mut rules = rules.into_iter().flatten();
    let are_of_leases = rules.all(|rule| {
        rule["apiGroups"] == json!([GROUP])
            && rule["resources"] == json!([RESOURCE])
            && rule["operations"] == json!(["UPDATE"])
    });
    let requirements = webhook.pointer("/namespaceSelector/matchExpressions");
    let requirements = requirements.and_then(Value::as_array);
    let is_one_namespace = |requirement: &Value| {
        requirement["key"] == NAMESPACE_LABEL
            && requirement["operator"] == "In"
            && requirement["values"].as_array().map(Vec::len) == Some(1)
    };
    has(ONLY_DRY_RUNS)
        && has(&only_its_lease(installation))
        && are_of_leases
        && requirements.is_some_and(|it| it.iter().any(is_one_namespace))
}

fn only_its_lease(name: &str) -> String {
    format!("has(request.name) && request.name == '{name}'")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::super::guards::{holes, prove};
    use super::super::tests::place;
    use super::*;

    fn probe() -> Value {
        configuration(&place(), "policy", "a certificate")
    }

    #[test]
    fn a_probe_is_in_nobodys_way() {
        assert_eq!(prove(&probe(), &place()), Ok(()));
        assert!(holes(&probe(), None).is_empty());
        let config = &probe()["webhooks"][0]["clientConfig"];
        assert_eq!(config["service"]["path"], "/probe");
        assert_eq!(
            config["caBundle"],
            json!(ByteString(b"a certificate".to_vec()))
        );
    }

    #[test]
    fn a_probe_of_anything_else_is_none() {
        type Change = fn(&mut Value);
        let rows: [(&str, Change); 8] = [
            ("all that is written", |it| {
                it["matchConditions"] = json!([it["matchConditions"][1]]);
            }),
            ("all leases", |it| {
                it["matchConditions"] = json!([it["matchConditions"][0]]);
            }),
            ("other words", |it| {
                it["matchConditions"][0]["expression"] = json!("request.dryRun || true");
            }),
            ("another name", |it| {
                it["matchConditions"][1]["expression"] = json!(only_its_lease("other"));
            }),
            ("other resources", |it| {
                it["rules"][0]["resources"] = json!(["leases", "leasecandidates"]);
            }),
            ("other operations", |it| {
                it["rules"][0]["operations"] = json!(["*"]);
            }),
            ("another rule", |it| {
                let rule = json!({"apiGroups": [""], "resources": ["nodes"], "operations": ["*"]});
                it["rules"].as_array_mut().unwrap().push(rule);
            }),
            ("all namespaces", |it| it["namespaceSelector"] = json!({})),
        ];
        for (name, change) in rows {
            let mut configuration = probe();
            change(&mut configuration["webhooks"][0]);
            let said = prove(&configuration, &place()).unwrap_err();
            assert!(said.contains("`no-leases` is missing"), "{name}: {said}");
        }
    }
}
