//! What a cluster has already, held against policies: by the command, and written as reports.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::{ALONE, apply, namespace};

const NAMES: &str = "// Names say what a thing is for.
//
// ---
// name: names
// severity: high
// category: style
// match: {resources: [v1/configmaps, v1/secrets]}
// ---

// @when it is not the cluster's own
object.metadata.name != 'kube-root-ca.crt'

// @require it is not called `bad`
!object.metadata.name.startsWith('bad')
// @message
object.metadata.name + ' is no name; it holds ' + object.?data.key.orValue('nothing')
";

const ALONE_IN_NAMESPACE: &str = "// ---
// name: only-one
// match: {resources: [v1/services], operations: [CREATE]}
// reads: [v1/Service]
// action: warn
// ---

// @require no other Service is in the namespace
cluster.list('v1', 'Service', object.metadata.namespace).size() == 0
";

const OF_CLUSTER: &str = "// ---
// name: cluster-teams
// scope: cluster
// reads: [v1/Namespace]
// ---

// @require a namespace is called `team`
cluster.list('v1', 'Namespace', '').exists(n, n.metadata.name == 'team')
";

const WHO: &str = "// ---
// name: who
// match: {resources: [v1/configmaps]}
// ---

// @require somebody else does it
request.userInfo.username != 'jane'
";

fn policies() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in [
        ("names.cel", NAMES),
        ("one.cel", ALONE_IN_NAMESPACE),
        ("cluster.cel", OF_CLUSTER),
        ("who.cel", WHO),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Runs the command.
pub(super) fn audit(kubeconfig: &Path, policies: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .arg("audit")
        .env_clear()
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--policies")
        .arg(policies)
        .args(args);
    tokio::task::block_in_place(|| command.output().unwrap())
}

/// Runs the command with the built-in policies.
fn command(kubeconfig: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().args([
        "audit".as_ref(),
        "--kubeconfig".as_ref(),
        kubeconfig.as_os_str(),
    ]);
    tokio::task::block_in_place(|| command.output().unwrap())
}

pub(super) fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn config_map(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"key": "value"},
    })
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ports": [{"port": 80}]},
    })
}

/// A definition of reports, as far as the published ones say what is in them.
pub(super) fn definition(group: &str, version: &str, kind: &str, is_namespaced: bool) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let reference = json!({"type": "object", "properties": {
        "apiVersion": text, "kind": text, "name": text, "namespace": text, "uid": text,
    }});
    let result = json!({"type": "object", "required": ["policy"], "properties": {
        "source": text,
        "properties": {"type": "object", "additionalProperties": text},
        "policy": text,
        "rule": text,
        "category": text,
        "severity": {"type": "string", "enum": ["critical", "high", "low", "medium", "info"]},
        "result": {"type": "string", "enum": ["pass", "fail", "warn", "error", "skip"]},
        "scored": {"type": "boolean"},
        "message": text,
        "resources": {"type": "array", "items": reference},
        "timestamp": {
            "type": "object",
            "required": ["nanos", "seconds"],
            "properties": {"nanos": number, "seconds": {"type": "integer", "format": "int64"}},
        },
    }});
    let counts =
        ["pass", "fail", "warn", "error", "skip"].map(|word| (word.to_owned(), number.clone()));
    let counts: serde_json::Map<String, Value> = counts.into_iter().collect();
    let mut properties = json!({
        "scope": reference,
        "summary": {"type": "object", "properties": counts},
        "results": {"type": "array", "items": result},
    });
    if group == "openreports.io" {
        properties["source"] = text;
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "scope": if is_namespaced { "Namespaced" } else { "Cluster" },
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
            }],
        },
    })
}

fn resource((group, version, kind): (&str, &str, &str)) -> ApiResource {
    let kind_of = GroupVersionKind::gvk(group, version, kind);
    let plural = format!("{}s", kind.to_lowercase());
    ApiResource::from_gvk_with_plural(&kind_of, &plural)
}

/// Returns the reports of a kind in order of namespace and name; `None` while the kind is not served.
pub(super) async fn reports(
    client: &Client,
    (group, version, kind): (&str, &str, &str),
) -> Option<Vec<Value>> {
    let resource = resource((group, version, kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let list = api.list(&ListParams::default()).await.ok()?;
    let objects = list.items.into_iter();
    Some(
        objects
            .map(|it| serde_json::to_value(it).unwrap())
            .collect(),
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn an_audit_finds_what_is_there_and_reports_change_only_with_it() {
    let _alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    let kubeconfig = server.kubeconfig("admin");
    let policies = policies();
    for object in [
        namespace("shop", "test"),
        namespace("other", "test"),
        config_map("shop", "good"),
        config_map("shop", "bad-1"),
        config_map("other", "bad-2"),
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "bad-secret", "namespace": "shop"},
            "stringData": {"key": "hunter2"},
        }),
        service("one"),
    ] {
        apply(&admin, &object).await;
    }
    let run = |args: &[&str]| audit(&kubeconfig, policies.path(), args);

    let output = run(&[]);
    let (out, err) = said(&output);
    println!("{out}\n{err}");
    assert_eq!(output.status.code(), Some(1), "{err}");
    for words in [
        "fail    ConfigMap shop/bad-1    names",
        "bad-1 is no name; it holds value",
        "ConfigMap other/bad-2",
        "Secret shop/bad-secret",
        "it is not called `bad`",
        "the cluster",
        "cluster-teams",
    ] {
        assert!(out.contains(words), "{words}\n{out}");
    }
    assert!(
        !out.contains("aHVudGVyMg") && !out.contains("hunter2"),
        "{out}"
    );
    assert!(
        !out.contains("only-one"),
        "a Service is no other than itself\n{out}"
    );
    assert!(
        err.contains("not scanned: `who` reads `request.userInfo`"),
        "{err}"
    );

    // The built-in policies find that nothing watches this cluster, and warn.
    let output = command(&kubeconfig);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    assert!(out.contains("cluster-metrics-collected"), "{out}");
    assert!(
        err.contains("about kinds that this cluster does not have"),
        "{err}"
    );

    apply(&admin, &service("two")).await;
    let (out, _) = said(&run(&["--format", "json", "--kind", "services"]));
    let found: Value = serde_json::from_str(&out).unwrap();
    let found: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        found.iter().filter(|it| **it == "only-one").count(),
        2,
        "{out}"
    );
    for format in ["sarif", "junit", "github"] {
        let (out, _) = said(&run(&["--format", format]));
        assert!(
            out.contains("shop/bad-1") && !out.contains("aHVudGVyMg"),
            "{out}"
        );
    }
    let one = run(&["--namespace", "other", "--policy", "names"]);
    let (out, err) = said(&one);
    assert!(
        out.contains("bad-2") && !out.contains("bad-1") && !out.contains("the cluster"),
        "{out}"
    );
    assert!(err.contains("scanned, 1 violation"), "{err}");
    let (_, err) = said(&run(&["-n", "other", "-n", "other", "--policy", "names"]));
    assert!(err.contains("scanned, 1 violation"), "{err}");
    // A slip of the pen must not look like a namespace in which all is well.
    let nowhere = run(&["-n", "othr"]);
    let (_, err) = said(&nowhere);
    assert_eq!(nowhere.status.code(), Some(2), "{err}");
    assert!(err.contains("did you mean `other`?"), "{err}");
    // It has no end.
    let endless = run(&["--resume", "/dev/full"]);
    let (_, err) = said(&endless);
    assert_eq!(endless.status.code(), Some(2), "{err}");
    assert!(err.contains("it is no regular file"), "{err}");

    // Without definitions it says what is missing.
    let (_, err) = said(&run(&["--report"]));
    assert!(err.contains("serves no reports"), "{err}");
    for (group, version, kind) in [
        ("wgpolicyk8s.io", "v1alpha2", "PolicyReport"),
        ("openreports.io", "v1alpha1", "Report"),
    ] {
        write_reports(&admin, (group, version, kind), &kubeconfig, &run).await;
    }
}

async fn write_reports(
    admin: &Client,
    (group, version, kind): (&str, &str, &str),
    admin_kubeconfig: &Path,
    run: &impl Fn(&[&str]) -> Output,
) {
    let of_cluster = format!("Cluster{kind}");
    for (kind, is_namespaced) in [(kind, true), (of_cluster.as_str(), false)] {
        apply(admin, &definition(group, version, kind, is_namespaced)).await;
        eventually("reports are served", || {
            reports(admin, (group, version, kind))
        })
        .await;
    }
    // Discovery follows a moment later.
    let (out, err) = eventually("reports are written", || async {
        let (out, err) = said(&run(&["--report"]));
        err.contains("written").then_some((out, err))
    })
    .await;
    assert!(
        err.contains(&format!("reports of {group}/{version}: 5 written")),
        "{out}\n{err}"
    );
    let all = reports(admin, (group, version, kind)).await.unwrap();
    let names: Vec<(&str, &str)> = all.iter().map(place).collect();
    let expected = [
        ("other", "portcullis.configmaps-00"),
        ("shop", "portcullis.configmaps-00"),
        ("shop", "portcullis.secrets-00"),
        ("shop", "portcullis.services-00"),
    ];
    assert_eq!(names, expected);
    let (shop, services) = (&all[1], &all[3]);
    assert_eq!(shop["summary"]["fail"], 1);
    assert_eq!(services["summary"]["warn"], 2);
    let first = &shop["results"][0];
    assert_eq!(first["policy"], "names");
    assert_eq!(
        (&first["severity"], &first["category"]),
        (&json!("high"), &json!("style"))
    );
    assert_eq!(first["resources"][0]["name"], "bad-1");
    assert!(!all.iter().any(|it| it.to_string().contains("aHVudGVyMg")));
    let cluster = (group, version, of_cluster.as_str());
    let whole = reports(admin, cluster).await.unwrap();
    let words = whole[0]["results"].to_string();
    assert!(
        words.contains("cluster-teams") && words.contains("not scanned"),
        "{words}"
    );

    // Nothing has changed, nothing is written.
    let before = reports(admin, (group, version, kind)).await.unwrap();
    let (_, err) = said(&run(&["--report"]));
    assert!(
        err.contains("0 written (0 bytes), 5 as they were, 0 removed"),
        "{err}"
    );
    assert_eq!(
        reports(admin, (group, version, kind)).await.unwrap(),
        before
    );

    // Another installation has its own, and removes no others.
    let (_, err) = said(&run(&["--report", "--name", "gate.second"]));
    assert!(err.contains("5 written"), "{err}");
    let all = reports(admin, (group, version, kind)).await.unwrap();
    assert_eq!(all.len(), 2 * before.len());
    for report in &before {
        assert!(all.contains(report), "{report}");
    }
    let (_, err) = said(&run(&["--report"]));
    assert!(
        err.contains("0 written (0 bytes), 5 as they were, 0 removed"),
        "{err}"
    );
    let nothing = TempDir::new().unwrap();
    fs::write(nothing.path().join("who.cel"), WHO).unwrap();
    let (_, err) = said(&audit(
        admin_kubeconfig,
        nothing.path(),
        &["--report", "--name", "gate.second"],
    ));
    assert!(
        err.contains("1 written") && err.contains("4 removed"),
        "{err}"
    );
    assert_eq!(
        reports(admin, (group, version, kind)).await.unwrap(),
        before
    );

    // What somebody else has changed is put right.
    let of_shop = resource((group, version, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), "shop", &of_shop);
    let emptied = Patch::Merge(json!({"results": []}));
    let parameters = PatchParams::default();
    api.patch("portcullis.configmaps-00", &parameters, &emptied)
        .await
        .unwrap();
    let (_, err) = said(&run(&["--report"]));
    assert!(
        err.contains("1 written") && err.contains("4 as they were, 0 removed"),
        "{err}"
    );
    let shop = &reports(admin, (group, version, kind)).await.unwrap()[1];
    assert_eq!(shop["results"][0]["resources"][0]["name"], "bad-1");

    // What is mended goes, and what stays keeps its time.
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(admin.clone(), "other");
    api.delete("bad-2", &DeleteParams::default()).await.unwrap();
    apply(admin, &config_map("shop", "bad-3")).await;
    let (_, err) = said(&run(&["--report"]));
    assert!(
        err.contains("1 written") && err.contains("3 as they were, 1 removed"),
        "{err}"
    );
    let after = reports(admin, (group, version, kind)).await.unwrap();
    assert_eq!(after.len(), 3);
    let times = |report: &Value| -> Vec<(String, Value)> {
        let results = report["results"].as_array().unwrap();
        let of = |it: &Value| {
            (
                it["resources"][0]["name"].to_string(),
                it["timestamp"].clone(),
            )
        };
        results.iter().map(of).collect()
    };
    for time in times(shop) {
        assert!(times(&after[0]).contains(&time), "{time:?}");
    }
    let shop: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(admin.clone(), "shop");
    shop.delete("bad-3", &DeleteParams::default())
        .await
        .unwrap();
    apply(admin, &config_map("other", "bad-2")).await;
}

/// Returns namespace and name of a report.
fn place(report: &Value) -> (&str, &str) {
    let text = |key: &str| report["metadata"][key].as_str().unwrap();
    (text("namespace"), text("name"))
}
