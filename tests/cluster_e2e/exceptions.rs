//! PolicyExceptions of the cluster: those beside the published policies reach every namespace, those of
//! a namespace that the operator names reach that one, and those of any other nothing.

use kube::api::{Api, DeleteParams, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use super::manages::{NAMES, World, manifests, named};
use super::support::eventually;
use super::{apply, namespace};

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
    let kind = GroupVersionKind::gvk("portcullis.dev", "v1alpha1", "PolicyException");
    let resource = ApiResource::from_gvk(&kind);
    Api::namespaced_with(world.admin.clone(), namespace, &resource)
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
