//! Custom kinds, as the cluster defines them.

use std::fs;
use std::process::Command;

use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use super::support::eventually;
use super::{World, apply};

/// A number of Kubernetes is a double in expressions, however it is written, if the schema says so.
const HALVED: &str = "// ---\n// match: {resources: [example.org/v1/shares]}\n// ---\n\
                      // @require at most half\nobject.spec.share / 2.0 <= 0.5\n";

fn definition() -> Value {
    let version = |name: &str, is_stored: bool| {
        json!({
            "name": name,
            "served": true,
            "storage": is_stored,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {
                    "share": {"type": "number", "description": "how much"},
                }},
            }}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "shares.example.org"},
        "spec": {
            "group": "example.org",
            "names": {"kind": "Share", "plural": "shares", "singular": "share"},
            "scope": "Namespaced",
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    })
}

/// Tries to create a share; returns why it is refused, or an empty text.
async fn create(client: &Client, version: &str, share: i64) -> String {
    let kind = GroupVersionKind::gvk("example.org", version, "Share");
    let resource = ApiResource::from_gvk_with_plural(&kind, "shares");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let mut object = DynamicObject::new("one", &resource);
    object.data = json!({"spec": {"share": share}});
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&parameters, &object).await {
        Ok(_) => String::new(),
        Err(problem) => problem.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_kind_that_is_defined_later_has_its_numbers_and_its_versions() {
    let world = World::start(&[("halved.cel", HALVED)], &[]).await;
    apply(&world.admin, &definition()).await;
    eventually("the kind is served and called for", || async {
        let said = create(&world.admin, "v1", 3).await;
        said.contains("at most half").then_some(())
    })
    .await;
    assert_eq!(create(&world.admin, "v1", 1).await, "");
    // The rule names `v1`; this is the same resource.
    assert_eq!(create(&world.admin, "v1beta1", 1).await, "");
    let said = create(&world.admin, "v1beta1", 3).await;
    assert!(said.contains("at most half"), "{said}");
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn policies_are_linted_by_what_the_cluster_defines() {
    let world = World::start(&[("halved.cel", HALVED)], &[definition()]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("halved.cel");
    fs::write(&path, HALVED.replace("spec.share", "spec.shape")).unwrap();
    let kubeconfig = world.server.kubeconfig("admin");
    let lint = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("lint")
            .arg(&path)
            .args(more)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = lint(&["--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert!(shown.contains("undefined field `shape`"), "{shown}");
    assert!(!lint(&[]).contains("shape`"), "{shown}");
    world.program.stop().await;
}
