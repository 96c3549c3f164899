//! Built-in kinds, defined ones, mentioned ones, and guesses.

use serde_json::json;

use super::*;

fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgetry.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster",
            "names": {"plural": "widgetry", "singular": "widget", "kind": "Widget"},
            "versions": [
                {"name": "v2", "served": true, "storage": true,
                 "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas"}}},
                {"name": "v1", "served": true, "storage": false},
                {"name": "v0", "served": false, "storage": false},
            ],
        },
    })
}

#[test]
fn the_table_is_sorted_and_every_kind_is_there_once() {
    assert!(BUILT_IN.is_sorted_by_key(|row| (row.group, row.resource)));
    for row in BUILT_IN {
        let same = |other: &&Row| other.group == row.group && other.kind == row.kind;
        assert_eq!(BUILT_IN.iter().filter(same).count(), 1, "{}", row.kind);
        assert!(!row.versions.is_empty(), "{}", row.kind);
    }
}

#[test]
fn every_row_is_found_by_kind_and_by_resource() {
    let resources = Resources::default();
    for row in BUILT_IN {
        for version in row.versions {
            let found = resources
                .by_resource(row.group, version, row.resource)
                .unwrap();
            assert_eq!(found.provenance, Provenance::BuiltIn);
            assert_eq!(resources.by_kind(&found.api_version(), row.kind), found);
        }
    }
    assert_eq!(resources.by_resource("apps", "v1", "widgets"), None);
}

#[test]
fn well_known_kinds_are_where_they_belong() {
    let table = [
        ("apps/v1", "Deployment", "deployments", Scope::Namespaced),
        ("v1", "Namespace", "namespaces", Scope::Cluster),
        ("v1", "Endpoints", "endpoints", Scope::Namespaced),
        (
            "networking.k8s.io/v1",
            "Ingress",
            "ingresses",
            Scope::Namespaced,
        ),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            "networkpolicies",
            Scope::Namespaced,
        ),
        (
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            "clusterroles",
            Scope::Cluster,
        ),
        (
            "apiregistration.k8s.io/v1",
            "APIService",
            "apiservices",
            Scope::Cluster,
        ),
    ];
    for (api_version, kind, resource, scope) in table {
        let found = Resources::default().by_kind(api_version, kind);
        assert_eq!(
            (&*found.resource, found.scope, found.provenance),
            (resource, scope, Provenance::BuiltIn),
            "{kind}"
        );
    }
}

#[test]
fn a_retired_version_keeps_its_resource_and_says_that_it_is_retired() {
    let found = Resources::default().by_kind("policy/v1beta1", "PodDisruptionBudget");
    assert_eq!(found.resource, "poddisruptionbudgets");
    assert_eq!(found.provenance, Provenance::BuiltInOtherVersion);
}

#[test]
fn subresources_know_the_kind_that_is_sent_to_them() {
    let resources = Resources::default();
    let deployments = resources.by_kind("apps/v1", "Deployment");
    assert_eq!(
        deployments.sub_resource("scale").unwrap().kind,
        Some(("autoscaling", "v1", "Scale"))
    );
    assert_eq!(deployments.sub_resource("status").unwrap().kind, None);
    let pods = resources.by_kind("v1", "Pod");
    assert_eq!(
        pods.sub_resource("eviction").unwrap().kind,
        Some(("policy", "v1", "Eviction"))
    );
    assert!(pods.sub_resource("log").is_none(), "it can only be read");
}

#[test]
fn a_crd_gives_plural_scope_versions_and_subresources() {
    let mut resources = Resources::default();
    resources.define(&widgets()).unwrap();
    let widget = resources.by_kind("example.com/v2", "Widget");
    assert_eq!(widget.resource, "widgetry");
    assert_eq!(widget.scope, Scope::Cluster);
    assert_eq!(widget.provenance, Provenance::Defined);
    assert_eq!(widget.sub_resources, [CUSTOM_SCALE, CUSTOM_STATUS]);
    let older = resources
        .by_resource("example.com", "v1", "widgetry")
        .unwrap();
    assert_eq!(older.sub_resources, []);
    assert_eq!(
        resources.equivalents("example.com", "widgetry"),
        [
            ("example.com".into(), "v2".into()),
            ("example.com".into(), "v1".into())
        ]
    );
}

#[test]
fn a_crd_that_cannot_be_used_says_why() {
    let missing = |field| CrdError::MissingField { field };
    let table = [
        ("/kind", json!("Pod"), CrdError::NotACrd),
        (
            "/apiVersion",
            json!("apiextensions.k8s.io/v1beta1"),
            CrdError::NotACrd,
        ),
        ("/spec/group", json!(""), missing("spec.group")),
        (
            "/spec/names/plural",
            json!(null),
            missing("spec.names.plural"),
        ),
        ("/spec/names/kind", json!(5), missing("spec.names.kind")),
        (
            "/spec/versions",
            json!([{"name": "v1", "served": false}]),
            missing("spec.versions"),
        ),
        (
            "/spec/scope",
            json!("Galaxy"),
            CrdError::UnknownScope {
                found: "Galaxy".into(),
            },
        ),
    ];
    for (pointer, value, expected) in table {
        let mut crd = widgets();
        *crd.pointer_mut(pointer).unwrap() = value;
        assert_eq!(
            Resources::default().define(&crd),
            Err(expected),
            "{pointer}"
        );
    }
}

#[test]
fn an_unknown_kind_is_guessed_and_marked() {
    let table = [
        ("MeshConfig", "meshconfigs"),
        ("TrafficPolicy", "trafficpolicies"),
        ("EgressGateway", "egressgateways"),
        ("Address", "addresses"),
        ("NginxEndpoints", "nginxendpoints"),
    ];
    for (kind, resource) in table {
        let found = Resources::default().by_kind("example.com/v1", kind);
        assert_eq!(found.resource, resource, "{kind}");
        assert_eq!(found.provenance, Provenance::Guessed, "{kind}");
        assert!(found.provenance.is_guess());
    }
}

#[test]
fn a_plural_that_a_rule_mentions_beats_a_guess() {
    let mut resources = Resources::default();
    resources.mention("example.com", "gateways");
    resources.mention("example.com", "address");
    resources.mention("other.com", "proxys");
    resources.mention("*", "proxys");
    for (kind, resource, provenance) in [
        ("Gateway", "gateways", Provenance::Mentioned),
        ("Address", "address", Provenance::Mentioned),
        ("Proxy", "proxies", Provenance::Guessed),
    ] {
        let found = resources.by_kind("example.com/v1", kind);
        assert_eq!((&*found.resource, found.provenance), (resource, provenance));
    }
}

#[test]
fn versions_of_one_resource_are_equivalent_and_events_across_groups() {
    let resources = Resources::default();
    let pair = |group: &str, version: &str| (group.to_owned(), version.to_owned());
    assert_eq!(
        resources.equivalents("autoscaling", "horizontalpodautoscalers"),
        [pair("autoscaling", "v2"), pair("autoscaling", "v1")]
    );
    assert_eq!(
        resources.equivalents("", "events"),
        [pair("", "v1"), pair("events.k8s.io", "v1")]
    );
    assert_eq!(
        resources.equivalents("events.k8s.io", "events"),
        [pair("events.k8s.io", "v1"), pair("", "v1")]
    );
    assert_eq!(resources.equivalents("example.com", "widgets"), []);
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn recorded_requests_agree_with_the_table() {
    let corpus = std::env::var_os("PORTCULLIS_CORPUS").unwrap();
    let mut checked = 0;
    for entry in std::fs::read_dir(std::path::Path::new(&corpus).join("reviews")).unwrap() {
        let body = std::fs::read(entry.unwrap().path()).unwrap();
        let Ok(request) = crate::admission::review::parse(&body) else {
            continue;
        };
        let resource = &request.resource;
        let Some(found) = Resources::default().by_resource(
            &resource.group,
            &resource.version,
            &resource.resource,
        ) else {
            assert_eq!(resource.group, "stub.example.com");
            continue;
        };
        if request.sub_resource.is_empty() {
            assert_eq!(found.kind, request.kind.kind);
        } else {
            let kind = found.sub_resource(&request.sub_resource).unwrap().kind;
            let (group, version, kind) =
                kind.unwrap_or((&*found.group, &*found.version, &*found.kind));
            let sent = &request.kind;
            assert_eq!(
                (group, version, kind),
                (&*sent.group, &*sent.version, &*sent.kind)
            );
        }
        checked += 1;
    }
    assert!(
        checked > 50,
        "only {checked} requests were for built-in resources"
    );
}
