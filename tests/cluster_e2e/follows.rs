//! What policies read of the cluster, as it is and as it changes.

use serde_json::{Value, json};

use super::support::SOON;
use super::support::client::ask;
use super::support::process::Launch;
use super::{World, apply, namespace, policy, settings};

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
async fn parameters_may_be_of_a_kind_that_is_defined_later() {
    let spec = json!({
        "paramKind": {"apiVersion": "example.org/v1", "kind": "Limit"},
        "validations": [{"expression": "object.metadata.name.size() <= params.spec.most"}],
    });
    let binding = json!({
        "paramRef": {"selector": {}, "parameterNotFoundAction": "Deny"},
    });
    let world = World::start(&[("policy.yaml", &policy(&spec, &binding))], &[]).await;
    let (short, long) = (("admin", "default", "abc"), ("admin", "default", "abcd"));
    let unknown = "paramKind kind `&ParamKind{APIVersion:example.org/v1,Kind:Limit,}` not known";
    world.until(short, unknown).await;
    apply(&world.admin, &definition()).await;
    world.until(short, "no params found").await;
    let limit = |most: u8| {
        json!({
            "apiVersion": "example.org/v1",
            "kind": "Limit",
            "metadata": {"name": "one"},
            "spec": {"most": most},
        })
    };
    apply(&world.admin, &limit(3)).await;
    world.until(short, "").await;
    let said = world.create(long.0, long.1, long.2).await;
    assert!(said.contains("failed expression"), "{said}");
    apply(&world.admin, &limit(4)).await;
    let taken = world.until(long, "").await;
    assert!(taken < SOON, "{taken:?}");
    world.program.stop().await;
}

/// A cluster-scoped kind.
pub(super) fn definition() -> Value {
    let spec = json!({"type": "object", "properties": {"most": {"type": "integer"}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "limits.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Cluster",
            "names": {"kind": "Limit", "plural": "limits"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn the_authorizer_is_the_clusters() {
    let expression = "authorizer.group('').resource('secrets').namespace(request.namespace)\
                      .check('get').allowed() && \
                      !authorizer.serviceAccount('default', 'robot').path('/livez').check('get').allowed()";
    let objects = rights("create");
    let files = [("policy.yaml", &*validating(expression))];
    let world = World::start(&files, &objects).await;
    let jane = ("jane", "default", "a");
    world.until(jane, "failed expression").await;
    assert_eq!(world.create("admin", "default", "a").await, "");
    // The answer of before is kept for five seconds.
    for object in rights("*") {
        apply(&world.admin, &object).await;
    }
    world.until(jane, "").await;
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn objects_that_a_policy_reads_are_the_clusters() {
    let text = "// ---
// name: accounts
// match: {resources: [v1/serviceaccounts]}
// reads: [v1/ConfigMap]
// ---

// @require its name starts as the ConfigMap `naming` says
cluster.list('v1', 'ConfigMap', request.namespace).exists(it,
  it.metadata.name == 'naming' && object.metadata.name.startsWith(it.data.prefix))
";
    let objects = [namespace("prod", "prod"), settings("prod", "web-")];
    let world = World::start(&[("accounts.cel", text)], &objects).await;
    let one = ("admin", "prod", "api-1");
    world.until(one, "starts as the ConfigMap").await;
    apply(&world.admin, &settings("prod", "api-")).await;
    let taken = world.until(one, "").await;
    assert!(taken < SOON, "{taken:?}");
    // A reload that needs another kind begins to follow it.
    let other = text.replace("ConfigMap", "Secret");
    std::fs::write(world.program.policy("accounts.cel"), other).unwrap();
    world.until(one, "starts as the Secret").await;
    let readyz = world.program.readyz().await;
    assert!(
        readyz.contains("v1/Secret") && !readyz.contains("v1/ConfigMap"),
        "{readyz}"
    );
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_yet_is_not_decided() {
    let launch = Launch::new().policies(&[("policy.yaml", &with_params())]);
    let kubeconfig = launch.folder().join("kubeconfig");
    // Nobody listens on this port.
    let text = "{apiVersion: v1, kind: Config, current-context: a,
        clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}],
        users: [{name: a, user: {token: a}}],
        contexts: [{name: a, context: {cluster: a, user: a}}]}";
    std::fs::write(&kubeconfig, text).unwrap();
    let program = launch.args(["--kubeconfig", "kubeconfig"]).start().await;
    let ready = ask(program.admin, hyper::Method::GET, "/readyz?verbose").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(
        ready.text().contains("v1/ConfigMap is not known yet"),
        "{}",
        ready.text()
    );
    let mut client = program.client().await;
    let review = |resource: &str, kind: &str| {
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "1",
                "kind": {"group": "", "version": "v1", "kind": kind},
                "resource": {"group": "", "version": "v1", "resource": resource},
                "name": "a",
                "namespace": "prod",
                "operation": "CREATE",
                "userInfo": {"username": "ann"},
                "object": {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}},
            },
        })
        .to_string()
    };
    let concerned = review("serviceaccounts", "ServiceAccount");
    let answer = client.post("/validate", concerned).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let other = client.post("/validate", review("secrets", "Secret")).await;
    assert_eq!(other.status, 200, "{}", other.text());
    program.stop().await;
}

/// What jane may do to service accounts, and to Secrets if it is everything.
fn rights(verb: &str) -> [Value; 2] {
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "accounts"},
            "rules": [{
                "apiGroups": [""],
                "resources": if verb == "*" { vec!["*"] } else { vec!["serviceaccounts"] },
                "verbs": [verb],
            }],
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
