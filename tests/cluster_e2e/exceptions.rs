//! PolicyExceptions of the cluster, for the server and for an audit: those beside the published policies
//! reach every namespace, those of a namespace that the operator names reach that one, and those of any
//! other nothing.

use std::process::Command;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::audit::{audit, said};
use super::manages::{NAMES, World, manifests, named};
use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::{ALONE, apply, namespace};

fn exception(namespace: &str, expires: &str) -> Value {
    json!({
        "apiVersion": "portcullis.dev/v1alpha1",
        "kind": "PolicyException",
        "metadata": {"name": "known", "namespace": namespace},
        "spec": {
            "policies": ["names"],
            "match": {"names": ["forbidden"], "resources": ["v1/configmaps"]},
            "reason": "it was there first",
            "owner": "team",
            "expires": expires,
        },
    })
}

fn api(world: &World, namespace: &str) -> Api<DynamicObject> {
    api_of(&world.admin, namespace)
}

fn api_of(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("portcullis.dev", "v1alpha1", "PolicyException");
    let resource = ApiResource::from_gvk(&kind);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn an_exception_reaches_as_far_as_its_namespace_allows() {
    let policies = [("names.cel", NAMES)];
    let place = ["--service", "policy/portcullis"];
    let excusing = [
        "--policy-namespace",
        "policy",
        "--exception-namespaces",
        "team",
    ];
    let objects = manifests(&policies, &[&place[..], &excusing].concat());
    let definition = objects
        .iter()
        .find(|it| it["kind"] == "CustomResourceDefinition");
    let definition = definition.unwrap().clone();
    let others: Vec<Value> = objects
        .iter()
        .filter(|it| it["kind"] != "CustomResourceDefinition")
        .filter(|it| it["metadata"]["namespace"] != "team")
        .cloned()
        .collect();
    let mut world = World::start_with(&others).await;
    apply(&world.admin, &namespace("team", "test")).await;
    let launch = world.launch(&policies, "admin");
    // Before the cluster has the kind there are no exceptions, and it is no fault.
    world.add(launch.args(excusing)).await;
    let forbidden = |namespace: &str| {
        let mut object = named("v1", "ConfigMap", Some(namespace));
        object["metadata"]["name"] = json!("forbidden");
        object
    };
    let denied = "it is not called `forbidden`";
    world.until(&forbidden("prod"), denied).await;
    world.until(&forbidden("team"), denied).await;
    let ready = world.replicas[0].readyz().await;
    assert!(
        ready.contains("the cluster has no PolicyExceptions"),
        "{ready}"
    );

    apply(&world.admin, &definition).await;
    // Of a tenant whom nobody has let, and of one that was.
    eventually("the kind is served", || async {
        api(&world, "prod").list(&Default::default()).await.ok()
    })
    .await;
    apply(&world.admin, &exception("prod", "2999-12-31")).await;
    apply(&world.admin, &exception("team", "2999-12-31")).await;
    world.until(&forbidden("team"), "").await;
    assert!(world.create(&forbidden("prod")).await.contains(denied));
    let described = world.replicas[0].policies().await;
    let described = described["exceptions"].as_array().unwrap();
    assert_eq!(described.len(), 1, "{described:?}");
    assert_eq!(described[0]["name"], "team/known");
    assert_eq!(described[0]["reach"], "own namespace");

    // The platform's own reaches both.
    let params = DeleteParams::default();
    api(&world, "team").delete("known", &params).await.unwrap();
    world.until(&forbidden("team"), denied).await;
    apply(&world.admin, &exception("policy", "2999-12-31")).await;
    world.until(&forbidden("team"), "").await;
    world.until(&forbidden("prod"), "").await;
    apply(&world.admin, &exception("policy", "2020-01-01")).await;
    world.until(&forbidden("prod"), denied).await;

    // What the schema refuses never arrives.
    let wrong = serde_json::from_value(exception("policy", "some day")).unwrap();
    let refused = api(&world, "policy")
        .create(&Default::default(), &wrong)
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("spec.expires"), "{refused}");
}

/// What an account may that looks for ConfigMaps, and no more.
fn auditor() -> [Value; 2] {
    let rule = |group: &str, resource: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": ["list"]});
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "auditor"},
            "rules": [
                rule("", "configmaps"), rule("", "namespaces"),
                rule("apiextensions.k8s.io", "customresourcedefinitions"),
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "auditor"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "auditor"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
        }),
    ]
}

/// What is excused is in all formats, and is no failure in any of them.
fn assert_excused_everywhere(of_format: impl Fn(&str) -> String) {
    let json: Value = serde_json::from_str(&of_format("json")).unwrap();
    let findings = json.as_array().unwrap_or_else(|| panic!("{json}"));
    let excused = findings.iter().find(|it| it["excused"].is_object());
    let excused = excused.unwrap_or_else(|| panic!("{json}"));
    assert_eq!(excused["severity"], "note", "{excused}");
    assert_eq!(excused["excused"]["exception"], "team/known", "{excused}");
    let sarif: Value = serde_json::from_str(&of_format("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let suppressed = results
        .iter()
        .filter(|it| it["suppressions"][0].is_object());
    assert_eq!(suppressed.count(), 1, "{sarif}");
    let junit = of_format("junit");
    assert!(
        junit.contains("<skipped message=\"excused by `team/known` until 2999-12-31"),
        "{junit}"
    );
    let github = of_format("github");
    assert!(github.contains("::notice"), "{github}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn an_audit_takes_the_exceptions_that_the_server_would_follow() {
    let _alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    let policies = TempDir::new().unwrap();
    std::fs::write(policies.path().join("names.cel"), NAMES).unwrap();
    for name in ["policy", "team", "prod"] {
        apply(&admin, &namespace(name, "test")).await;
    }
    for namespace in ["team", "prod"] {
        let mut object = named("v1", "ConfigMap", Some(namespace));
        object["metadata"]["name"] = json!("forbidden");
        apply(&admin, &object).await;
    }
    let kubeconfig = server.kubeconfig("admin");
    let run = |args: &[&str]| {
        let output = audit(&kubeconfig, policies.path(), args);
        let (out, err) = said(&output);
        (output.status.code(), out, err)
    };
    let both = "2 violations";
    let excusing = [
        "--policy-namespace",
        "policy",
        "--exception-namespaces",
        "team",
        "nobody",
    ];

    // Without the kind there are no exceptions, and it is no fault.
    let (code, out, err) = run(&excusing);
    assert_eq!(code, Some(1), "{out}\n{err}");
    assert!(
        err.contains("the cluster has no PolicyExceptions: it does not know the kind"),
        "{err}"
    );
    assert!(err.contains(both), "{err}");

    let args = [
        "--service",
        "policy/portcullis",
        "--policy-namespace",
        "policy",
    ];
    let objects = manifests(&[("names.cel", NAMES)], &args);
    let definition = objects
        .iter()
        .find(|it| it["kind"] == "CustomResourceDefinition");
    apply(&admin, definition.unwrap()).await;
    eventually("the kind is served", || async {
        api_of(&admin, "team").list(&Default::default()).await.ok()
    })
    .await;
    for (namespace, expires) in [("team", "2999-12-31"), ("prod", "2999-12-31")] {
        apply(&admin, &exception(namespace, expires)).await;
    }
    // Who is not named excuses nothing.
    let (code, out, err) = run(&[]);
    assert!(code == Some(1) && err.contains(both), "{out}\n{err}");
    let (code, out, err) = run(&excusing);
    assert!(
        code == Some(1) && err.contains("1 violation, 1 excused in "),
        "{out}\n{err}"
    );
    let rows: Vec<Vec<&str>> = out
        .lines()
        .map(|it| it.split_whitespace().take(4).collect())
        .collect();
    for row in [
        ["fail", "ConfigMap", "prod/forbidden", "names"],
        ["skip", "ConfigMap", "team/forbidden", "names"],
    ] {
        assert!(rows.contains(&row.to_vec()), "{row:?}\n{out}");
    }
    let by = "(excused by `team/known` until 2999-12-31)";
    assert!(out.contains(by) && out.contains("SKIP"), "{out}");
    assert_excused_everywhere(|format| {
        let (code, out, err) = run(&[&excusing[..], &["--format", format]].concat());
        assert_eq!(code, Some(1), "{err}");
        out
    });
    assert!(
        err.contains("there are no PolicyExceptions in the namespace `nobody`"),
        "{err}"
    );
    // One that has ended, of the operator's own namespace: it is named with its place.
    apply(&admin, &exception("policy", "2020-01-01")).await;
    let (_, out, err) = run(&excusing);
    assert!(err.contains("1 violation, 1 excused in "), "{err}");
    assert!(
        out.contains("the exception `policy/known` expired: 2020-01-01")
            && out.contains("policyexception/policy/known.json"),
        "{out}"
    );
    // One in force there reaches all; then that of the team is not needed by itself.
    apply(&admin, &exception("policy", "2999-12-31")).await;
    let (code, out, err) = run(&excusing);
    assert_eq!(code, Some(0), "{out}\n{err}");
    assert!(
        out.contains("the exception `team/known` was not needed"),
        "{out}"
    );

    // Who writes nonsense ends no audit, and is excused from nothing.
    let params = DeleteParams::default();
    api_of(&admin, "policy")
        .delete("known", &params)
        .await
        .unwrap();
    let mut faulty = exception("team", "2999-12-31");
    faulty["spec"]["match"]["condition"] = json!("object.metadata.name ==");
    apply(&admin, &faulty).await;
    let (code, out, err) = run(&excusing);
    assert!(code == Some(1) && err.contains(both), "{out}\n{err}");
    assert!(
        out.contains("warning[") && out.contains("the exception excuses nothing"),
        "{out}"
    );

    // Without the right it says what is missing, and finds nothing that is none.
    for object in auditor() {
        apply(&admin, &object).await;
    }
    let kubeconfig = server.kubeconfig("jane");
    let as_jane = |args: &[&str]| said(&audit(&kubeconfig, policies.path(), args));
    eventually("the role counts", || async {
        as_jane(&[]).1.contains(both).then_some(())
    })
    .await;
    let output = audit(&kubeconfig, policies.path(), &excusing);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(3), "{out}\n{err}");
    assert!(
        err.contains("cannot list policyexceptions.portcullis.dev in the namespace `nobody`")
            && err.contains("User \"jane\" cannot list resource \"policyexceptions\""),
        "{err}"
    );
    assert!(out.is_empty(), "{out}");
}

/// Specs that the schema refuses, by what differs from [`exception`], and what it says; and those it takes.
fn specs() -> (Vec<(Value, &'static str)>, Vec<Value>) {
    let no_day = "the calendar has no such day";
    let long = "é".repeat(600);
    let unknown = "unknown field beside policies, reason, owner, expires, ticket and match";
    let refused = vec![
        (json!({"expires": "soon"}), "should match"),
        (json!({"expires": ""}), "should match"),
        (json!({"expires": "2026-13-01"}), "should match"),
        (json!({"expires": "2026-12-32"}), "should match"),
        (json!({"expires": "2026-02-30"}), no_day),
        (json!({"expires": "2027-02-29"}), no_day),
        (json!({"expires": "2100-02-29"}), no_day),
        (json!({"expires": "2026-04-31T12:00:00Z"}), no_day),
        (json!({"expires": "2026-12-31T24:00:00Z"}), "should match"),
        (json!({"expires": "2026-12-31T12:60:00Z"}), "should match"),
        (json!({"expires": "2026-12-31T12:00:00"}), "should match"),
        (
            json!({"expires": "2026-12-31T12:00:00+99:00"}),
            "should match",
        ),
        (json!({"expires": "9999-12-31"}), "it is too late"),
        (
            json!({"expires": "9999-12-31T23:59:59-01:00"}),
            "it is too late",
        ),
        (json!({"reason": " \u{a0}"}), "why is it excused?"),
        (json!({"reason": long}), "longer than 1024 bytes"),
        (json!({"owner": "\t"}), "who answers for it"),
        (json!({"owner": long}), "longer than 1024 bytes"),
        (json!({"ticket": long}), "longer than 1024 bytes"),
        (json!({"policies": []}), "at least 1 items"),
        (json!({"policies": ["two names"]}), "should match"),
        (json!({"policies": ["names\u{2003}"]}), "should match"),
        (json!({"policies": ["names\u{b}"]}), "should match"),
        (json!({"match": {"names": ["a b"]}}), "should match"),
        (json!({"match": {"namespaces": [" "]}}), "should match"),
        (json!({"match": {"resources": ["pods"]}}), "should match"),
        (json!({"match": {"resources": ["*"]}}), "should match"),
        (json!({"match": {"resources": ["*/pods"]}}), "should match"),
        (
            json!({"match": {"resources": ["apps/deployments"]}}),
            "should match",
        ),
        (
            json!({"match": {"resources": ["apps/v1/Deployments"]}}),
            "should match",
        ),
        (
            json!({"match": {"resources": ["-a/v1/things"]}}),
            "should match",
        ),
        (
            json!({"match": {"resources": ["a/v1/b/c/d"]}}),
            "should match",
        ),
        (
            json!({"match": {"objectSelector": {}}}),
            "it selects everything",
        ),
        (
            json!({"match": {"namespaceSelector": {"matchLabels": {}}}}),
            "it selects everything",
        ),
        (
            json!({"match": {"condition": " \n"}}),
            "write what must hold",
        ),
        (json!({"namespaces": ["team"]}), "spec: Invalid"),
        (json!({"namespaces": ["team"]}), unknown),
        (
            json!({"match": {"namespaces": ["team"], "name": ["a"]}}),
            "unknown field beside resources",
        ),
        (json!({"match": {"operations": null}}), "unknown field"),
        (
            json!({"match": {"objectSelector": {"matchLabels": {"a": "b"}, "matchLabel": {"c": "d"}}}}),
            "unknown field beside matchLabels",
        ),
        (
            json!({"match": {"namespaceSelector": {"matchExpressions": [
                {"key": "a", "operator": "Exists", "value": ["b"]},
            ]}}}),
            "unknown field beside key",
        ),
    ];
    let taken = vec![
        json!({"expires": "2028-02-29"}),
        json!({"expires": "2000-02-29"}),
        json!({"expires": "9999-12-30"}),
        json!({"expires": "2026-12-31T12:00:00Z"}),
        json!({"expires": "2026-12-31T23:59:59.999999999-05:30"}),
        json!({"reason": "é".repeat(512), "ticket": ""}),
        json!({"policies": ["istio-*", "*"]}),
        json!({"match": {"resources": [
            "v1/pods", "/v1/pods", "/*/pods", "v1/pods/exec", "apps/v1/deployments/scale", "*/*/*/*",
            "networking.istio.io/v1alpha3/virtualservices", "a/*/b",
        ]}}),
        json!({"match": {"objectSelector": {"matchExpressions": [
            {"key": "a", "operator": "Exists"}, {"key": "b", "operator": "In", "values": ["c"]},
        ]}}}),
        json!({"ticket": "OPS-1", "match": {
            "resources": ["v1/pods"],
            "namespaces": ["team"],
            "names": ["a"],
            "namespaceSelector": {"matchLabels": {"a": "b"}},
            "objectSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [
                {"key": "a", "operator": "Exists"},
            ]},
            "condition": "true",
        }}),
        json!({"match": {"namespaceSelector": {"matchLabels": {"a": ""}}, "condition": "true"}}),
    ];
    (refused, taken)
}

/// Says whether the program reads an exception of the operator's without an error.
fn is_read(folder: &TempDir, exception: &Value) -> bool {
    std::fs::write(folder.path().join("known.yaml"), exception.to_string()).unwrap();
    let said = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["lint", "--format", "json"])
        .arg(folder.path())
        .output()
        .unwrap();
    let findings: Value = serde_json::from_slice(&said.stdout).unwrap();
    let findings = findings.as_array().unwrap();
    !findings.iter().any(|it| it["severity"] == "error")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn the_api_server_refuses_what_could_not_be_used() {
    let _alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    apply(
        &admin,
        &portcullis::cluster::exceptions::definition().unwrap(),
    )
    .await;
    apply(&admin, &namespace("policy", "test")).await;
    let api = api_of(&admin, "policy");
    eventually("the kind is served", || async {
        api.list(&Default::default()).await.ok()
    })
    .await;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("names.cel"), NAMES).unwrap();
    let with = |spec: &Value| {
        let mut whole = exception("policy", "2999-12-31");
        for (field, value) in spec.as_object().unwrap() {
            whole["spec"][field] = value.clone();
        }
        whole
    };
    let asked = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let created = async |whole: &Value| {
        let mut whole = whole.clone();
        whole["metadata"]["name"] = json!("tried");
        api.create(&asked, &serde_json::from_value(whole).unwrap())
            .await
            .map_err(|problem| problem.to_string())
    };
    let (refused, taken) = specs();
    for (spec, expected) in refused {
        let whole = with(&spec);
        let said = created(&whole).await.expect_err(&spec.to_string());
        assert!(said.contains(expected), "{spec}: {said}");
        assert!(!is_read(&folder, &whole), "{spec}");
    }
    // What is meant for `spec.match` and stands beside `spec` would excuse everything.
    let mut whole = with(&json!({}));
    whole["match"] = json!({"names": ["a"]});
    let said = created(&whole).await.unwrap_err();
    let unknown = "unknown field beside apiVersion, kind, metadata and spec";
    assert!(said.contains(unknown), "{said}");
    assert!(!is_read(&folder, &whole));
    for spec in taken {
        let whole = with(&spec);
        created(&whole)
            .await
            .unwrap_or_else(|said| panic!("{spec}: {said}"));
        assert!(is_read(&folder, &whole), "{spec}");
    }
}
