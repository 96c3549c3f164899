//! How long the API server takes to answer with policies: its own, and as a webhook's. A measurement,
//! in release builds only:
//! `cargo test --release --test cluster_e2e latency -- --ignored --nocapture`

use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::support::process::{Launch, Process};
use super::{ALONE, apply, namespace};

use super::support::client::{Serves, ask};
use k8s_openapi::ByteString;

/// How many policies match, each of three expressions.
const POLICIES: [usize; 4] = [1, 10, 50, 200];
/// How many clients ask at once, and how often each does.
const LOADS: [(usize, usize); 2] = [(1, 150), (16, 25)];
const WARM_UP: usize = 30;
const NAMESPACE: &str = "shop";
const CONFIGURATION: &str = "portcullis";

/// What answers took, at the median, for each of [`LOADS`].
type Medians = [Duration; LOADS.len()];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn latency() {
    let _alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    apply(&admin, &namespace(NAMESPACE, "test")).await;
    println!(
        "median of creating a Deployment of {} bytes, ms\n\
         | policies | clients | no policy | a webhook that decides nothing | Portcullis | in the API server |\n\
         |---|---|---|---|---|---|",
        deployment("web").to_string().len()
    );
    for count in POLICIES {
        let policies: Vec<[Value; 2]> = (0..count).map(policy).collect();
        let canary = format!("canary-{}", count - 1);
        let alone = measure(&admin).await;

        let idle = serve(&server, &[other_policy()]).await;
        register(&admin, &idle).await;
        wait_for(&admin, "canary-of-nothing", true).await;
        let nothing = measure(&admin).await;
        unregister(&admin, "canary-of-nothing").await;
        idle.stop().await;

        let program = serve(&server, &policies).await;
        register(&admin, &program).await;
        wait_for(&admin, &canary, true).await;
        let webhook = measure(&admin).await;
        unregister(&admin, &canary).await;
        program.stop().await;

        for document in policies.iter().flatten() {
            apply(&admin, document).await;
        }
        wait_for(&admin, &canary, true).await;
        // They are compiled together, and taken over at once; this one was the last.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let in_tree = measure(&admin).await;
        for document in policies.iter().flatten() {
            delete(&admin, document).await;
        }
        wait_for(&admin, &canary, false).await;

        for (at, (clients, _)) in LOADS.iter().enumerate() {
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let added = |medians: &Medians| ms(medians[at]) - ms(alone[at]);
            println!(
                "| {count} | {clients} | {:.2} | +{:.2} | +{:.2} | +{:.2} |",
                ms(alone[at]),
                added(&nothing),
                added(&webhook),
                added(&in_tree)
            );
        }
    }
}

/// A policy of three expressions, which no other has, and its binding.
fn policy(at: usize) -> [Value; 2] {
    let name = format!("policy-{at:03}");
    let containers = "object.spec.template.spec.containers";
    let expressions = [
        format!(
            "object.metadata.name != 'canary-{at}' && object.spec.replicas <= {}",
            100 + at
        ),
        format!(
            "{containers}.all(c, c.name == 'p{at}' || (has(c.resources.limits) && 'memory' in \
             c.resources.limits))"
        ),
        format!(
            "{containers}.all(c, !c.image.endsWith(':latest-{at}') && c.env.size() < {})",
            100 + at
        ),
    ];
    let validations = expressions.map(|expression| json!({"expression": expression}));
    bound(&name, "deployments", &validations)
}

/// Something that no Deployment matches.
fn other_policy() -> [Value; 2] {
    let validations = [json!({"expression": "object.metadata.name != 'x'"})];
    bound("other", "daemonsets", &validations)
}

fn bound(name: &str, resource: &str, validations: &[Value]) -> [Value; 2] {
    let documents = [
        (
            "ValidatingAdmissionPolicy",
            json!({
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["apps"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [resource],
                }]},
                "validations": validations,
            }),
        ),
        (
            "ValidatingAdmissionPolicyBinding",
            json!({"policyName": name, "validationActions": ["Deny"]}),
        ),
    ];
    documents.map(|(kind, spec)| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        })
    })
}

/// Some 10 KB, as such objects have.
fn deployment(name: &str) -> Value {
    let container = |at: usize| {
        let env: Vec<Value> = (0..40)
            .map(|at| json!({"name": format!("SETTING_{at}"), "value": format!("value-{at}")}))
            .collect();
        json!({
            "name": format!("container-{at}"),
            "image": format!("registry.example.com/shop/web-{at}:1.2.3"),
            "env": env,
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"memory": "256Mi"},
            },
        })
    };
    let labels = json!({"app": "web"});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": (0..4).map(container).collect::<Vec<_>>()},
            },
        },
    })
}

async fn serve(server: &ApiServer, policies: &[[Value; 2]]) -> Process {
    let documents: Vec<String> = policies.iter().flatten().map(Value::to_string).collect();
    let kubeconfig = server.kubeconfig("admin");
    let process = Launch::new()
        .policies(&[("policies.yaml", &documents.join("\n---\n"))])
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .start()
        .await;
    eventually("the program is ready", || async {
        let answer = ask(process.admin, hyper::Method::GET, "/readyz").await;
        (answer.status == 200).then_some(())
    })
    .await;
    process
}

/// Has the API server ask the program about Deployments; and about one name of a Deployment in vain,
/// so that it can be seen when it does.
async fn register(admin: &Client, program: &Process) {
    let authority = std::fs::read(program.authority()).unwrap();
    let webhook = |name: &str, path: &str, conditions: Value| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "clientConfig": {
                "url": format!("https://{}{path}", program.address()),
                "caBundle": ByteString(authority.clone()),
            },
            "matchConditions": conditions,
            "rules": [{
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["deployments"],
            }],
        })
    };
    let canary =
        json!([{"name": "canary", "expression": "object.metadata.name == 'canary-of-nothing'"}]);
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [
            webhook("validate.portcullis.dev", "/validate", json!([])),
            webhook("canary.portcullis.dev", "/nowhere", canary),
        ],
    });
    apply(admin, &configuration).await;
}

async fn unregister(admin: &Client, canary: &str) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
    });
    delete(admin, &configuration).await;
    wait_for(admin, canary, false).await;
}

async fn delete(admin: &Client, object: &Value) {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap();
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", text("/kind"));
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::all_with(admin.clone(), &resource);
    api.delete(text("/metadata/name"), &DeleteParams::default())
        .await
        .unwrap();
}

/// Waits until a Deployment of this name is refused, or is not.
async fn wait_for(admin: &Client, name: &str, is_refused: bool) {
    eventually(name, || async {
        (create(admin, &deployment(name)).await.is_err() == is_refused).then_some(())
    })
    .await;
}

async fn create(client: &Client, object: &Value) -> Result<(), kube::Error> {
    let kind = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    api.create(&parameters, &object).await.map(drop)
}

async fn measure(client: &Client) -> Medians {
    let object = deployment("web");
    for _ in 0..WARM_UP {
        create(client, &object).await.unwrap();
    }
    let mut medians = Medians::default();
    for (median, (clients, requests)) in medians.iter_mut().zip(LOADS) {
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let (client, object) = (client.clone(), object.clone());
                tokio::spawn(async move {
                    let mut taken = Vec::with_capacity(requests);
                    for _ in 0..requests {
                        let begun = Instant::now();
                        create(&client, &object).await.unwrap();
                        taken.push(begun.elapsed());
                    }
                    taken
                })
            })
            .collect();
        let mut taken = Vec::new();
        for task in tasks {
            taken.extend(task.await.unwrap());
        }
        taken.sort();
        *median = taken[taken.len() / 2];
    }
    medians
}
