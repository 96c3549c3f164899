//! How long the API server takes to answer with policies: its own, and as a webhook's. A measurement,
//! in release builds only:
//! `cargo test --release --test cluster_e2e latency -- --ignored --nocapture`

use std::time::{Duration, Instant};

use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
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
/// How many requests one client makes in each namespace.
const REQUESTS: usize = 200;
/// How many clients there are besides, and how many requests each of them makes in a namespace.
const CLIENTS: usize = 16;
const REQUESTS_EACH: usize = 24;
/// In how many parts they do: in turn with the other namespaces, so that what else the machine does
/// slows none of them alone.
const ROUNDS: usize = 3;
const CONFIGURATION: &str = "portcullis";

/// Who decides about the Deployments of a namespace of this name.
const NAMESPACES: [&str; 4] = ["nobody", "nothing", "portcullis", "in-tree"];

/// What answers took, at the median, in each of [`NAMESPACES`].
type Medians = [Duration; NAMESPACES.len()];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn latency() {
    let _alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    for name in NAMESPACES {
        apply(&admin, &namespace(name, name)).await;
    }
    println!(
        "median of creating a Deployment of {} bytes, ms\n\
         | policies | clients | no policy | a webhook that decides nothing | Portcullis | in the API server |\n\
         |---|---|---|---|---|---|",
        deployment("nobody", "web").to_string().len()
    );
    let idle = serve(&server, &[other_policy()]).await;
    let mut applied = 0;
    for count in POLICIES {
        let policies: Vec<[Value; 2]> = (0..count).map(policy).collect();
        let canary = format!("canary-{}", count - 1);
        let program = serve(&server, &policies).await;
        register(&admin, &idle, &program).await;
        for documents in policies.iter().skip(applied) {
            let [mut policy, binding] = documents.clone();
            policy["spec"]["matchConstraints"]["namespaceSelector"] = selected("in-tree");
            apply(&admin, &policy).await;
            apply(&admin, &binding).await;
        }
        applied = count;
        wait_for_refusal(&admin, "nothing", "canary-of-nothing").await;
        wait_for_refusal(&admin, "portcullis", &canary).await;
        wait_for_refusal(&admin, "in-tree", &canary).await;
        // They are compiled together, and taken over at once; this one was the last.
        tokio::time::sleep(Duration::from_secs(2)).await;

        print(count, 1, alone(&admin).await);
        print(count, CLIENTS, together(&admin).await);
        program.stop().await;
    }
    idle.stop().await;
}

fn print(policies: usize, clients: usize, medians: Medians) {
    let [nobody, nothing, portcullis, in_tree] = medians.map(|median| median.as_secs_f64() * 1e3);
    println!(
        "| {policies} | {clients} | {nobody:.2} | {:+.2} | {:+.2} | {:+.2} |",
        nothing - nobody,
        portcullis - nobody,
        in_tree - nobody
    );
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

/// Some 7 KB, as such objects have.
fn deployment(namespace: &str, name: &str) -> Value {
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
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
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

/// The selector of the namespace of this name.
fn selected(namespace: &str) -> Value {
    json!({"matchLabels": {"env": namespace}})
}

/// Has the API server ask each program about the Deployments of its namespace; and about one name of a
/// Deployment in vain, so that it can be seen when it does.
async fn register(admin: &Client, idle: &Process, program: &Process) {
    let webhook = |namespace: &str, at: &Process, path: &str, condition: &str| {
        json!({
            "name": format!("{}.{namespace}.dev", path.trim_start_matches('/')),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "clientConfig": {
                "url": format!("https://{}{path}", at.address()),
                "caBundle": ByteString(std::fs::read(at.authority()).unwrap()),
            },
            "namespaceSelector": selected(namespace),
            "matchConditions": [{"name": "names", "expression": condition}],
            "rules": [{
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["deployments"],
            }],
        })
    };
    let canary = "object.metadata.name == 'canary-of-nothing'";
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [
            webhook("nothing", idle, "/validate", "true"),
            webhook("portcullis", program, "/validate", "true"),
            webhook("nothing", idle, "/nowhere", canary),
        ],
    });
    apply(admin, &configuration).await;
}

/// Waits until a Deployment of this name is refused.
async fn wait_for_refusal(admin: &Client, namespace: &str, name: &str) {
    let object = deployment(namespace, name);
    eventually(name, || async {
        create(admin, &object).await.is_err().then_some(())
    })
    .await;
}

async fn create(client: &Client, object: &Value) -> Result<(), kube::Error> {
    let kind = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let resource = ApiResource::from_gvk(&kind);
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    api.create(&parameters, &object).await.map(drop)
}

/// One client, whose every request is in another namespace than the last.
async fn alone(client: &Client) -> Medians {
    let objects = NAMESPACES.map(|namespace| deployment(namespace, "web"));
    let mut taken = NAMESPACES.map(|_| Vec::with_capacity(REQUESTS));
    for _ in 0..REQUESTS {
        for (object, taken) in objects.iter().zip(&mut taken) {
            taken.push(timed(client, object).await);
        }
    }
    taken.map(median)
}

/// Many clients at once, all in one namespace, and then all in another.
async fn together(client: &Client) -> Medians {
    let objects = NAMESPACES.map(|namespace| deployment(namespace, "web"));
    let mut taken = NAMESPACES.map(|_| Vec::with_capacity(CLIENTS * REQUESTS_EACH));
    for _ in 0..ROUNDS {
        for (object, taken) in objects.iter().zip(&mut taken) {
            let tasks: Vec<_> = (0..CLIENTS)
                .map(|_| tokio::spawn(several(client.clone(), object.clone())))
                .collect();
            for task in tasks {
                taken.extend(task.await.unwrap());
            }
        }
    }
    taken.map(median)
}

async fn several(client: Client, object: Value) -> Vec<Duration> {
    let mut taken = Vec::new();
    for _ in 0..REQUESTS_EACH / ROUNDS {
        taken.push(timed(&client, &object).await);
    }
    taken
}

async fn timed(client: &Client, object: &Value) -> Duration {
    let begun = Instant::now();
    create(client, object).await.unwrap();
    begun.elapsed()
}

fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort();
    taken[taken.len() / 2]
}
