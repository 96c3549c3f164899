//! What others write into the configurations that the program has registered.

use hyper::Method;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::manages::{NAMES, World, named};
use super::support::client::ask;
use super::support::eventually;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn what_somebody_else_writes_into_the_configuration_is_taken_out() {
    let policies = [("names.cel", NAMES)];
    let mut world = World::start(&policies).await;
    world.add(world.launch(&policies, "portcullis")).await;
    let forbidden = named("v1", "ConfigMap", Some("prod"));
    world
        .until(&forbidden, "it is not called `forbidden`")
        .await;
    let api: Api<ValidatingWebhookConfiguration> = Api::all(world.admin.clone());
    let meant = serde_json::to_value(world.configuration().await.webhooks).unwrap();
    let never = json!({"name": "never", "expression": "false"});
    let labelled = json!({"matchLabels": {"a": "b"}});
    let mut entry = meant[0].clone();
    entry["name"] = json!("other.example.org");
    for (what, list, value) in [
        ("changed fields", "/0/objectSelector", labelled.clone()),
        (
            "the match condition `never` of",
            "/0/matchConditions",
            never,
        ),
        ("the webhook `other.example.org`", "", entry),
        ("changed fields", "/0/rules/0/resources", json!("secrets")),
        ("changed fields", "/0/namespaceSelector", labelled),
        (
            "changed fields",
            "/0/matchConditions/0/expression",
            json!("true"),
        ),
    ] {
        let mut webhooks = meant.clone();
        match webhooks.pointer_mut(list).unwrap() {
            Value::Array(items) => items.push(value),
            other => *other = value,
        }
        let parameters = PatchParams {
            field_manager: Some("by-hand".to_owned()),
            ..PatchParams::default()
        };
        let edit = Patch::Merge(json!({"webhooks": webhooks}));
        let edited = api.patch("portcullis", &parameters, &edit).await.unwrap();
        assert_ne!(
            serde_json::to_value(edited.webhooks).unwrap(),
            meant,
            "{list}"
        );
        let begun = Instant::now();
        eventually("it is as it was", || async {
            let webhooks = world.configuration().await.webhooks;
            (serde_json::to_value(webhooks).unwrap() == meant).then_some(())
        })
        .await;
        println!("{list}: {:?}", begun.elapsed());
        let said = eventually("it is told", || async {
            let said = world.replicas[0].readyz().await;
            (said.contains("taken out") && said.contains(what)).then_some(said)
        })
        .await;
        assert!(
            said.contains("ValidatingWebhookConfiguration `portcullis`"),
            "{said}"
        );
        world
            .until(&forbidden, "it is not called `forbidden`")
            .await;
    }
    let log = world.replicas[0].log();
    for words in ["somebody else's words were taken out", "by-hand"] {
        assert!(log.contains(words), "{words} in {log}");
    }
    eventually("each is counted", || async {
        let metrics = ask(world.replicas[0].admin, Method::GET, "/metrics").await;
        let failed = "kind=\"registration\",result=\"failed\"";
        let mut lines = metrics.text().lines();
        lines
            .any(|it| it.contains(failed) && it.ends_with(" 6"))
            .then_some(())
    })
    .await;
}
