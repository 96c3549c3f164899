//! The program beside a real API server, which calls it: parameters, namespaces, the authorizer.
//!
//! Ignored unless asked for: it needs etcd and kube-apiserver (`tests/support/kubernetes.rs`).

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect; clippy knows that of test functions only"
)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod balancer;
mod caches;
mod drift;
mod events;
mod exceptions;
mod follows;
mod guards;
mod ha;
mod installations;
mod kinds;
#[cfg(not(debug_assertions))]
mod latency;
mod manages;
mod published;
mod reach;
mod rights;
mod rollouts;
mod scale;
mod scans;
mod service;
mod waits;

use std::fs;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use support::client::{Serves, ask};
use support::eventually;
use support::kubernetes::ApiServer;
use support::process::{Launch, Process};

/// An API server takes both cores of a small machine: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A cluster whose API server calls the program for service accounts.
struct World {
    server: ApiServer,
    admin: Client,
    program: Process,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// Starts everything with these policies; the objects are in the cluster before the program.
    async fn start(policies: &[(&str, &str)], objects: &[Value]) -> World {
        let alone = ALONE.lock().await;
        let server = ApiServer::start().await;
        let admin = server.client("admin").await;
        for object in objects {
            apply(&admin, object).await;
        }
        let kubeconfig = server.kubeconfig("admin");
        let program = Launch::new()
            .policies(policies)
            .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
            .start()
            .await;
        let world = World {
            server,
            admin,
            program,
            _alone: alone,
        };
        world.ready().await;
        apply(&world.admin, &world.configuration()).await;
        world
    }

    async fn ready(&self) {
        eventually("the program is ready", || async {
            let path = "/readyz";
            let answer = ask(self.program.admin, hyper::Method::GET, path).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    fn configuration(&self) -> Value {
        let authority = fs::read(self.program.authority()).unwrap();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "portcullis"},
            "webhooks": [{
                "name": "validate.portcullis.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "clientConfig": {
                    "url": format!("https://{}/validate", self.program.address()),
                    "caBundle": ByteString(authority),
                },
                "rules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["serviceaccounts"],
                }, {
                    "apiGroups": ["example.org"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE"],
                    "resources": ["shares"],
                }],
            }],
        })
    }

    /// Tries to create a service account; returns why it is refused, or an empty text.
    async fn create(&self, user: &str, namespace: &str, name: &str) -> String {
        let client = self.server.client(user).await;
        let api: Api<ServiceAccount> = Api::namespaced(client, namespace);
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(name.to_owned());
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match api.create(&parameters, &account).await {
            Ok(_) => String::new(),
            Err(problem) => problem.to_string(),
        }
    }

    /// Waits until the answer holds these words, or is empty if they are.
    async fn until(&self, (user, namespace, name): (&str, &str, &str), words: &str) -> Duration {
        let begun = tokio::time::Instant::now();
        eventually(words, || async {
            let said = self.create(user, namespace, name).await;
            let holds = if words.is_empty() {
                said.is_empty()
            } else {
                said.contains(words)
            };
            holds.then_some(())
        })
        .await;
        begun.elapsed()
    }
}

/// Creates an object, or changes it.
async fn apply(client: &Client, object: &Value) {
    let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
    let kind = GroupVersionKind::try_from(&types).unwrap();
    let (resource, _) = eventually("the kind is known", || async {
        discovery::pinned_kind(client, &kind).await.ok()
    })
    .await;
    let metadata = &object["metadata"];
    let api: Api<DynamicObject> = match metadata["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = metadata["name"].as_str().unwrap();
    let parameters = PatchParams::apply("test").force();
    eventually("the kind is served", || async {
        match api.patch(name, &parameters, &Patch::Apply(object)).await {
            Ok(_) => Some(()),
            // What was defined a moment ago may be unknown once more, while its handler is replaced.
            Err(kube::Error::Api(status)) if status.message.contains("page not found") => None,
            Err(problem) => panic!("{problem}"),
        }
    })
    .await;
}

fn namespace(name: &str, environment: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"env": environment}},
    })
}

fn settings(namespace: &str, prefix: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "naming", "namespace": namespace},
        "data": {"prefix": prefix},
    })
}

/// A policy about service accounts and its binding.
fn policy(spec: &Value, binding: &Value) -> String {
    let mut spec = spec.clone();
    spec["matchConstraints"] = json!({"resourceRules": [{
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["serviceaccounts"],
    }]});
    let mut binding = binding.clone();
    binding["policyName"] = json!("accounts");
    binding["validationActions"] = json!(["Deny"]);
    let documents = [
        ("ValidatingAdmissionPolicy", spec),
        ("ValidatingAdmissionPolicyBinding", binding),
    ];
    let documents = documents.map(|(kind, spec)| {
        let document = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "accounts"},
            "spec": spec,
        });
        document.to_string()
    });
    documents.join("\n---\n")
}
