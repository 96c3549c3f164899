//! What API servers never ask about: what a cluster lives on, and what mends the program.

use kube::Client;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::apply;
use super::manages::{REPLICAS, World, api, manifests, named};
use super::support::rights::{account, granted, in_force};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn what_a_cluster_lives_on_is_never_asked_about() {
    // Denies everything; when it cannot be asked, everything is denied, too.
    let everything = json!([{
        "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"],
    }]);
    let documents = [
        (
            "ValidatingAdmissionPolicy",
            json!({
                "matchConstraints": {"resourceRules": everything},
                "validations": [{"expression": "false", "message": "nothing is allowed"}],
            }),
        ),
        (
            "ValidatingAdmissionPolicyBinding",
            json!({"policyName": "all", "validationActions": ["Deny"]}),
        ),
    ];
    let documents = documents.map(|(kind, spec)| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": "all"}, "spec": spec,
        })
        .to_string()
    });
    let text = documents.join("\n---\n");
    let policies = [("all.yaml", &*text)];
    let reads = [
        "--policy-namespace",
        "rules",
        "--exception-namespaces",
        "prod",
    ];
    let own = ["--service", "policy/portcullis", "--audit"];
    let objects = manifests(&policies, &[&own[..], &reads].concat());
    let mut world = World::start_with(&objects).await;
    let user = account("policy", "portcullis");
    in_force(&world.admin, &user, &granted(&objects)).await;
    world
        .add(world.launch(&policies, "portcullis").args(reads))
        .await;
    let ordinary = named("v1", "ConfigMap", Some("prod"));
    world.until(&ordinary, "nothing is allowed").await;
    let cluster_role = named("rbac.authorization.k8s.io/v1", "ClusterRole", None);
    assert!(
        world
            .create(&cluster_role)
            .await
            .contains("nothing is allowed")
    );
    // What its roles are called is no way around policies where it has none.
    for elsewhere in [own_role("default", "policies"), own_role("prod", "other")] {
        let said = world.create(&elsewhere).await;
        assert!(said.contains("nothing is allowed"), "{elsewhere}: {said}");
    }
    let mut event = named("v1", "Event", Some("prod"));
    event["involvedObject"] = json!({"namespace": "prod"});
    let mut other_event = named("events.k8s.io/v1", "Event", Some("prod"));
    other_event["regarding"] = json!({"namespace": "prod"});
    other_event["eventTime"] = json!("2026-01-01T00:00:00.000000Z");
    other_event["reportingController"] = json!("example.org/a");
    other_event["reportingInstance"] = json!("a");
    other_event["action"] = json!("a");
    other_event["reason"] = json!("a");
    other_event["type"] = json!("Normal");
    let mut token_review = named("authentication.k8s.io/v1", "TokenReview", None);
    token_review["spec"] = json!({"token": "a"});
    let mut access_review = named("authorization.k8s.io/v1", "SelfSubjectAccessReview", None);
    access_review["spec"] = json!({"nonResourceAttributes": {"path": "/", "verb": "get"}});
    let vital = [
        named("coordination.k8s.io/v1", "Lease", Some("prod")),
        named("v1", "Node", None),
        named("storage.k8s.io/v1", "CSINode", None),
        event,
        other_event,
        token_review,
        access_review,
        named(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            None,
        ),
        named("v1", "ConfigMap", Some("kube-system")),
        named("v1", "ConfigMap", Some("policy")),
        named("v1", "ConfigMap", Some("rules")),
        own_role("rules", "policies"),
        own_role("prod", "exceptions"),
        signing_request(),
        named(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            None,
        ),
    ];
    // They exist already.
    for object in &objects {
        if object["metadata"]["namespace"] == "rules" || object["kind"] == "ClusterRole" {
            apply(&world.admin, object).await;
        }
    }
    for object in &vital {
        let mut object = object.clone();
        if object["spec"].is_object() && object["kind"] != "CertificateSigningRequest" {
            // Nothing of a review is kept.
            object["metadata"] = json!({});
        }
        if object["kind"] == "CSINode" {
            object["spec"] = json!({"drivers": []});
        }
        if object["kind"] == "ValidatingAdmissionPolicyBinding" {
            object["spec"] = json!({"policyName": "a", "validationActions": ["Deny"]});
        }
        let said = world.create(&object).await;
        assert!(
            said.is_empty() || said.contains("already exists"),
            "{object}: {said}"
        );
    }
    // Nobody answers any more: the same holds, and the API server starts again.
    let replica = world.replicas.pop().unwrap();
    replica.signal("-KILL");
    world.balancer.send_to([]);
    world.server.stop();
    world.server.resume().await;
    let said = world.create(&ordinary).await;
    assert!(said.contains("failed calling webhook"), "{said}");
    assert_eq!(world.create(&vital[0]).await, "");
    for object in &vital[9..14] {
        let said = world.create(object).await;
        assert!(
            said.is_empty() || said.contains("already exists"),
            "{object}: {said}"
        );
    }
    // Whatever of its rights is gone can be given back, and each replica is ready again.
    let mut given_back = 0;
    for object in &objects {
        let version = object["apiVersion"].as_str().unwrap();
        if version.starts_with("rbac.authorization.k8s.io/") {
            delete(&world.admin, object).await;
            apply(&world.admin, object).await;
            given_back += 1;
        }
    }
    assert_eq!(given_back, 10);
    in_force(&world.admin, &user, &granted(&objects)).await;
    world
        .add(world.launch(&policies, "portcullis").args(reads))
        .await;
    world.until(&ordinary, "nothing is allowed").await;
}

/// A role or binding of the installation.
fn own_role(namespace: &str, what: &str) -> Value {
    let mut role = named("rbac.authorization.k8s.io/v1", "Role", Some(namespace));
    role["metadata"]["name"] = json!(format!("portcullis-{what}"));
    role
}

/// What a kubelet asks for when it joins.
fn signing_request() -> Value {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let name = &mut parameters.distinguished_name;
    name.push(rcgen::DnType::OrganizationName, "system:nodes");
    name.push(rcgen::DnType::CommonName, "system:node:one");
    let key = rcgen::KeyPair::generate().unwrap();
    let request = parameters.serialize_request(&key).unwrap().pem().unwrap();
    let request = k8s_openapi::ByteString(request.into_bytes());
    let mut object = named("certificates.k8s.io/v1", "CertificateSigningRequest", None);
    object["spec"] = json!({
        "request": request,
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    });
    object
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_policy_that_denies_its_own_object_can_be_taken_back() {
    let own = ["--service", "policy/portcullis"];
    let reads = ["--policy-namespace", "rules"];
    let policies = [("replicas.cel", REPLICAS)];
    let objects = manifests(&policies, &[&own[..], &reads].concat());
    let mut world = World::start_with(&objects).await;
    let launch = world.launch(&policies, "portcullis").args(reads);
    world.add(launch).await;
    let nothing = "// ---\n// match: {resources: [v1/configmaps], operations: ['*']}\n// ---\n\n\
                   // @require nothing is allowed\nfalse\n";
    let mut published = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "mine", "namespace": "rules", "labels": {"portcullis.dev/policy": ""},
        },
        "data": {"nothing.cel": nothing},
    });
    apply(&world.admin, &published).await;
    let ordinary = named("v1", "ConfigMap", Some("prod"));
    world.until(&ordinary, "nothing is allowed").await;
    // It can be changed, and while nobody answers, too, and deleted.
    published["data"]["notes"] = json!("a");
    apply(&world.admin, &published).await;
    let mut replica = world.replicas.pop().unwrap();
    replica.signal("-KILL");
    replica.ended().await;
    let said = world.create(&ordinary).await;
    assert!(said.contains("failed calling webhook"), "{said}");
    published["data"]["notes"] = json!("b");
    apply(&world.admin, &published).await;
    delete(&world.admin, &published).await;
    let launch = world.launch(&policies, "portcullis").args(reads);
    world.add(launch).await;
    world.until(&ordinary, "").await;
}

async fn delete(client: &Client, object: &Value) {
    let api = api(client, object);
    let name = object["metadata"]["name"].as_str().unwrap();
    api.delete(name, &DeleteParams::default()).await.unwrap();
}
