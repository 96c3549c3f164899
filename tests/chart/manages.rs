//! The program as the chart starts it, in the rights that the chart gives it: it fills in what the chart
//! makes, and what it is called for is what the chart says elsewhere.

use std::collections::BTreeSet;

use hyper::Method;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::cluster::{World, apply, make_namespace};
use super::helm::{CLUSTER_NAME, NAMESPACE, RELEASE, objects};
use super::only;
use super::support::client::ask;
use super::support::eventually;

/// What rules ask for, one by one: group, version, resource, operation and scope.
fn asked(configuration: &Value) -> BTreeSet<[String; 5]> {
    let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut asked = BTreeSet::new();
    for webhook in configuration["webhooks"].as_array().unwrap() {
        for rule in webhook["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for version in texts(&rule["apiVersions"]) {
                    for resource in texts(&rule["resources"]) {
                        for operation in texts(&rule["operations"]) {
                            let scope = rule["scope"].as_str().unwrap().to_owned();
                            let one = [&group, &version, &resource, &operation, &scope];
                            asked.insert(one.map(String::clone));
                        }
                    }
                }
            }
        }
    }
    asked
}

/// How the Deployment says what is registered; its other arguments are as expected.
fn registration() -> [String; 4] {
    let objects = objects("default", &[]);
    let container = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let [serve, config, file, registration @ ..] = &arguments[..] else {
        panic!("{arguments:?}");
    };
    assert_eq!([serve, config], ["serve", "--config"]);
    assert_eq!(file, "/etc/portcullis/config/portcullis.yaml");
    let registration: [String; 4] = registration.to_vec().try_into().unwrap();
    assert_eq!(
        [&*registration[0], &*registration[2]],
        ["--service", "--name"]
    );
    registration
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn the_program_manages_itself_in_the_rights_of_the_chart() {
    let world = World::start().await;
    world
        .helm(&["install", RELEASE, "portcullis", "--create-namespace"])
        .await;
    let registration = registration();
    let program = world
        .launch("default")
        .args(registration.each_ref().map(String::as_str))
        .start()
        .await;
    world.lead_to(&program).await;
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(world.admin.clone());
    let registered = async || {
        let found = validating.get(CLUSTER_NAME).await.unwrap();
        let mut names = found.webhooks.iter().flatten().map(|it| &*it.name);
        names.any(|it| it.starts_with("validate"))
    };
    eventually("the webhook is registered", || async {
        registered().await.then_some(())
    })
    .await;
    eventually("it is ready, and refused nothing", || async {
        let ready = ask(program.admin, Method::GET, "/readyz?verbose").await;
        let said = ready.text();
        let is_well = said.contains("this replica holds the lease") && !said.contains("forbidden");
        (ready.status == 200 && is_well).then_some(())
    })
    .await;
    let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), NAMESPACE);
    let keys = async || {
        secrets
            .get("portcullis-certs")
            .await
            .unwrap()
            .data
            .unwrap_or_default()
    };
    let before = keys().await;
    assert!(!before["tls.key"].0.is_empty() && !before["ca.crt"].0.is_empty());
    let leases: Api<Lease> = Api::namespaced(world.admin.clone(), NAMESPACE);
    assert!(leases.get(CLUSTER_NAME).await.is_ok());

    // The chart says the same where it is to register.
    let found = serde_json::to_value(validating.get(CLUSTER_NAME).await.unwrap()).unwrap();
    let by_chart = "certificates.mode=certManager,webhooks.registration=chart";
    let said = objects("default", &["--set", by_chart]);
    let said = only(&said, "ValidatingWebhookConfiguration");
    assert_eq!(asked(&found), asked(said));
    let (webhook, said) = (&found["webhooks"][0], &said["webhooks"][0]);
    for key in [
        "name",
        "failurePolicy",
        "matchPolicy",
        "sideEffects",
        "timeoutSeconds",
    ] {
        assert_eq!(webhook[key], said[key], "{key}");
    }
    let conditions = |webhook: &Value| webhook["matchConditions"].as_array().unwrap().clone();
    assert_eq!(conditions(webhook), conditions(said));
    let mut service = webhook["clientConfig"].clone();
    service.as_object_mut().unwrap().remove("caBundle");
    assert_eq!(service, said["clientConfig"]);
    assert_eq!(service["service"]["namespace"], json!(NAMESPACE));

    // Helm changes neither what the server has written, nor who it says has.
    world
        .helm(&["upgrade", RELEASE, "portcullis", "--set", "replicas=5"])
        .await;
    assert!(registered().await);
    assert_eq!(keys().await, before);
    // What is missing then is made again: the Secret is still the server's own to write.
    let broken = Patch::Merge(json!({"data": {"tls.crt": null}}));
    let parameters = PatchParams::default();
    secrets
        .patch("portcullis-certs", &parameters, &broken)
        .await
        .unwrap();
    eventually("the certificate is made again", || async {
        keys().await.contains_key("tls.crt").then_some(())
    })
    .await;

    // Nobody is asked whether the account may do more.
    let more = r#"rbac.extraReads=[{"apiGroup": "", "resources": ["secrets"]}]"#;
    world
        .helm(&["upgrade", RELEASE, "portcullis", "--set-json", more])
        .await;

    // The server still runs; what is gone stays gone.
    world.helm(&["uninstall", RELEASE]).await;
    eventually("the server may do nothing any more", || async {
        let said = ask(program.admin, Method::GET, "/readyz?verbose").await;
        said.text().contains("cannot go on").then_some(())
    })
    .await;
    assert!(validating.get_opt(CLUSTER_NAME).await.unwrap().is_none());
    assert!(secrets.get_opt("portcullis-certs").await.unwrap().is_none());
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn config_maps_of_the_namespace_that_is_named_hold_policies() {
    let world = World::start().await;
    make_namespace(&world.admin, "policies").await;
    let set = "policies.namespace=policies,policies.cluster=labelled";
    let set = ["--create-namespace", "--set", set];
    let install = ["install", RELEASE, "portcullis"].into_iter().chain(set);
    world.helm(&install.collect::<Vec<_>>()).await;
    let program = world.launch("published").start().await;
    let policy = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "mine",
            "namespace": "policies",
            "labels": {"portcullis.dev/policy": ""},
        },
        "data": {"mine.cel": "// ---\n// match: {resources: [v1/pods]}\n// ---\n\n// @require nothing\ntrue\n"},
    });
    apply(&world.admin, &policy).await.unwrap();
    eventually(
        "the policy is in force beside the built-in ones",
        || async {
            let policies = program.policies().await;
            let policies = policies["policies"].as_array().unwrap().clone();
            let has = |name: &str| policies.iter().any(|policy| policy["name"] == name);
            (has("mine") && has("meshery-replicas")).then_some(())
        },
    )
    .await;
    program.stop().await;
}
