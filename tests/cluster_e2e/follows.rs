//! What policies read of the cluster, as it is and as it changes.

use std::time::Duration;

use serde_json::{Value, json};

use super::{World, apply, namespace, policy, settings};

/// How long a change of the cluster may take to be in force.
const SOON: Duration = Duration::from_secs(1);

fn with_params() -> String {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{
            "expression": "object.metadata.name.startsWith(params.data.prefix)",
            "messageExpression": "'must start with ' + params.data.prefix",
        }],
    });
    let binding = json!({
        "paramRef": {"name": "naming", "parameterNotFoundAction": "Deny"},
    });
    policy(&spec, &binding)
}

fn validating(expression: &str) -> String {
    policy(
        &json!({"validations": [{"expression": expression}]}),
        &json!({}),
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn parameters_are_the_clusters_and_change_with_it() {
    let objects = [namespace("prod", "prod"), settings("prod", "web-")];
    let world = World::start(&[("policy.yaml", &with_params())], &objects).await;
    let one = ("admin", "prod", "api-1");
    world.until(one, "must start with web-").await;
    assert_eq!(world.create("admin", "prod", "web-1").await, "");
    let said = world.create("admin", "default", "web-1").await;
    assert!(said.contains("no params found"), "{said}");

    apply(&world.admin, &settings("prod", "api-")).await;
    let taken = world.until(one, "").await;
    assert!(taken < SOON, "{taken:?}");
    let said = world.create("admin", "prod", "web-1").await;
    assert!(said.contains("must start with api-"), "{said}");
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_namespace_is_known_by_its_labels() {
    let expression = "namespaceObject.metadata.labels.env != 'prod'";
    let objects = [namespace("prod", "prod"), namespace("dev", "dev")];
    let world = World::start(&[("policy.yaml", &validating(expression))], &objects).await;
    world
        .until(("admin", "prod", "a"), "failed expression")
        .await;
    assert_eq!(world.create("admin", "dev", "a").await, "");
    // So new that only the API server knows it.
    apply(&world.admin, &namespace("new", "prod")).await;
    let said = world.create("admin", "new", "a").await;
    assert!(said.contains("failed expression"), "{said}");
    apply(&world.admin, &namespace("prod", "dev")).await;
    let taken = world.until(("admin", "prod", "a"), "").await;
    assert!(taken < SOON, "{taken:?}");
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn the_authorizer_is_the_clusters() {
    let expression = "authorizer.group('').resource('secrets').namespace(request.namespace)\
                      .check('get').allowed()";
    let objects = rights();
    let world = World::start(&[("policy.yaml", &validating(expression))], &objects).await;
    world
        .until(("jane", "default", "a"), "failed expression")
        .await;
    assert_eq!(world.create("admin", "default", "a").await, "");
    world.program.stop().await;
}

/// What jane needs to be able to make service accounts, and no more.
fn rights() -> [Value; 2] {
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "accounts"},
            "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["create"]}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "accounts"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "accounts",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Group",
                "name": "developers",
            }],
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_broken_watch_is_taken_up_again() {
    let objects = [namespace("prod", "prod"), settings("prod", "web-")];
    let mut world = World::start(&[("policy.yaml", &with_params())], &objects).await;
    let one = ("admin", "prod", "api-1");
    world.until(one, "must start with web-").await;
    world.server.stop();
    world.server.resume().await;
    // What was known last is what is known.
    world.until(one, "must start with").await;
    apply(&world.admin, &settings("prod", "api-")).await;
    world.until(one, "").await;
    world.program.stop().await;
}
