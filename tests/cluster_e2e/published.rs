//! Policies that are objects of the cluster: in force as files are, and their authors told how they stand.
//!
//! The API server enforces them, too; so the program is asked itself.

use std::time::Duration;

use hyper::Method;
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::support::client::ask;
use super::support::kubernetes::ApiServer;
use super::support::process::{Launch, Process, respond};
use super::support::{SOON, eventually};
use super::{ALONE, apply, namespace, settings};

const GROUP: &str = "admissionregistration.k8s.io";
const LABEL: &str = "portcullis.dev/policy";
/// In force besides, from a file.
const OTHER: &str = "// ---
// name: other
// match: {resources: [v1/secrets]}
// ---

// @require it is not called `forbidden`
object.metadata.name != 'forbidden'
";

struct World {
    server: ApiServer,
    admin: Client,
    program: Process,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    async fn start(args: &[&str], objects: &[Value]) -> World {
        let alone = ALONE.lock().await;
        let server = ApiServer::start().await;
        let admin = server.client("admin").await;
        for object in objects {
            apply(&admin, object).await;
        }
        let kubeconfig = server.kubeconfig("admin");
        let program = Launch::new()
            .policies(&[("other.cel", OTHER)])
            .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
            .args(["--cluster-policies", "labelled"])
            .args(args.iter().copied())
            .start()
            .await;
        let world = World {
            server,
            admin,
            program,
            _alone: alone,
        };
        eventually("the program is ready", || async {
            let answer = ask(world.program.admin, Method::GET, "/readyz").await;
            (answer.status == 200).then_some(())
        })
        .await;
        world
    }

    /// Returns what the program says to a service account of this name in `prod`.
    async fn asked(&self, name: &str) -> String {
        let mut client = self.program.client().await;
        let answer = client.post("/validate", review(name).to_string()).await;
        if answer.status == 503 {
            // Parameters of a new kind are being listed.
            return answer.text().to_owned();
        }
        let said = &answer.json()["response"];
        match said["allowed"] == true {
            true => String::new(),
            false => said["status"]["message"].as_str().unwrap().to_owned(),
        }
    }

    /// Waits until the answer holds these words, or is empty if they are; returns how long it took.
    async fn until(&self, name: &str, words: &str) -> Duration {
        let begun = Instant::now();
        eventually(words, || async {
            let said = self.asked(name).await;
            let holds = said.contains(words) && said.is_empty() == words.is_empty();
            holds.then_some(())
        })
        .await;
        begun.elapsed()
    }

    async fn delete(&self, kind: &str, name: &str) {
        let kind = GroupVersionKind::gvk(GROUP, "v1", kind);
        let plural = match kind.kind.strip_suffix('y') {
            Some(stem) => format!("{}ies", stem.to_lowercase()),
            None => format!("{}s", kind.kind.to_lowercase()),
        };
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        let api: Api<DynamicObject> = Api::all_with(self.admin.clone(), &resource);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Returns the policy of this name as `/policies` has it.
    async fn described(&self, name: &str) -> Option<Value> {
        let served = self.program.policies().await;
        let policies = served["policies"].as_array().unwrap();
        policies.iter().find(|it| it["name"] == name).cloned()
    }

    /// Waits for an Event with this reason on an object; returns its note.
    async fn told(&self, namespace: &str, object: &str, reason: &str) -> String {
        let api: Api<Event> = Api::namespaced(self.admin.clone(), namespace);
        eventually(&format!("{reason} of {object}"), || async {
            let events = api.list(&ListParams::default()).await.unwrap();
            let mut events = events.items.into_iter().filter(|it| {
                let about = it.regarding.clone().unwrap_or_default();
                about.name.as_deref() == Some(object) && it.reason.as_deref() == Some(reason)
            });
            let found = events.next()?;
            assert!(events.next().is_none(), "it is said once");
            assert!(found.regarding.unwrap().uid.is_some());
            found.note
        })
        .await
    }

    async fn metrics(&self) -> String {
        let answer = ask(self.program.admin, Method::GET, "/metrics").await;
        answer.text().to_owned()
    }
}

/// Says whether the API server has MutatingAdmissionPolicies in their final version; those of 1.32 have
/// none.
pub(super) async fn serves_mutations(client: &Client) -> bool {
    let version = format!("{GROUP}/v1");
    let served = client.list_api_group_resources(&version).await.unwrap();
    let mut resources = served.resources.iter();
    resources.any(|it| it.name == "mutatingadmissionpolicies")
}

fn review(name: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "ServiceAccount"},
            "resource": {"group": "", "version": "v1", "resource": "serviceaccounts"},
            "name": name,
            "namespace": "prod",
            "operation": "CREATE",
            "userInfo": {"username": "ann"},
            "object": {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": "prod"},
            },
        },
    })
}

fn policy(kind: &str, name: &str, labels: &Value, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["matchConstraints"] = json!({"resourceRules": [{
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["serviceaccounts"],
    }]});
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    })
}

fn validating(name: &str, expression: &str) -> Value {
    let spec = json!({"validations": [{
        "expression": expression,
        "message": format!("refused by {name}"),
    }]});
    policy(
        "ValidatingAdmissionPolicy",
        name,
        &json!({LABEL: ""}),
        &spec,
    )
}

fn binding(kind: &str, name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["policyName"] = json!(name);
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": format!("{kind}Binding"),
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn bound(name: &str) -> Value {
    let spec = json!({"validationActions": ["Deny"]});
    binding("ValidatingAdmissionPolicy", name, &spec)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn labelled_policies_are_in_force_with_their_bindings_and_gone_with_their_label() {
    let kind = "ValidatingAdmissionPolicy";
    // It is there before the program; nobody has labelled it.
    let mut unlabelled = validating("unlabelled", "false");
    unlabelled["metadata"]["labels"] = json!({});
    let objects = [
        namespace("prod", "prod"),
        settings("prod", "web-"),
        unlabelled,
        bound("unlabelled"),
    ];
    let world = World::start(&[], &objects).await;
    let readyz = world.program.readyz().await;
    let mutating = match serves_mutations(&world.admin).await {
        true => "0 labelled MutatingAdmissionPolicies",
        false => "labelled MutatingAdmissionPolicies are not served",
    };
    let expected = format!("0 labelled ValidatingAdmissionPolicies; {mutating}; ");
    assert!(readyz.contains(&expected), "{readyz}");
    assert_eq!(world.asked("api-1").await, "");

    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{
            "expression": "object.metadata.name.startsWith(params.data.prefix)",
            "messageExpression": "'must start with ' + params.data.prefix",
        }],
    });
    apply(
        &world.admin,
        &policy(kind, "prefix", &json!({LABEL: ""}), &spec),
    )
    .await;
    let spec = json!({
        "validationActions": ["Deny"],
        "paramRef": {"name": "naming", "parameterNotFoundAction": "Deny"},
    });
    apply(&world.admin, &binding(kind, "prefix", &spec)).await;
    let taken = world.until("api-1", "must start with web-").await;
    println!("in force after {taken:?}");
    assert!(taken < SOON, "{taken:?}");
    assert_eq!(world.asked("web-1").await, "");
    let described = world.described("prefix").await.unwrap();
    assert_eq!(described["state"], "in force");
    assert_eq!(described["source"], "validatingadmissionpolicy/prefix.yaml");
    assert_eq!(described["object"], "ValidatingAdmissionPolicy prefix");
    assert!(world.described("unlabelled").await.is_none());
    apply(&world.admin, &settings("prod", "api-")).await;
    world.until("api-1", "").await;

    // A watch that breaks is taken up again.
    let mut world = world;
    world.server.stop();
    world.server.resume().await;
    apply(
        &world.admin,
        &validating("second", "object.metadata.name != 'api-2'"),
    )
    .await;
    apply(&world.admin, &bound("second")).await;
    world.until("api-2", "refused by second").await;

    // Without its label it is the API server's alone, and without its object nobody's.
    let mut second = validating("second", "object.metadata.name != 'api-2'");
    second["metadata"]["labels"] = json!({});
    apply(&world.admin, &second).await;
    let taken = world.until("api-2", "").await;
    assert!(taken < SOON, "{taken:?}");
    world.delete(kind, "prefix").await;
    world.until("web-2", "").await;
    assert!(world.described("prefix").await.is_none());
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn labelled_mutations_are_in_force() {
    let world = World::start(&[], &[namespace("prod", "prod")]).await;
    if !serves_mutations(&world.admin).await {
        return world.program.stop().await;
    }
    let kind = "MutatingAdmissionPolicy";
    let spec = json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"},
        }],
    });
    apply(
        &world.admin,
        &policy(kind, "labels", &json!({LABEL: ""}), &spec),
    )
    .await;
    apply(&world.admin, &binding(kind, "labels", &json!({}))).await;
    let begun = Instant::now();
    let patch = eventually("there is a patch", || async {
        let mut client = world.program.client().await;
        let said = respond(&mut client, "/mutate", &review("one")).await;
        said["patch"].as_str().map(str::to_owned)
    })
    .await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!patch.is_empty());
    world.delete(kind, "labels").await;
    eventually("there is none", || async {
        let mut client = world.program.client().await;
        let said = respond(&mut client, "/mutate", &review("one")).await;
        said["patch"].is_null().then_some(())
    })
    .await;
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn authors_are_told_where_they_look_and_nothing_else_is_held_back() {
    let args = [
        "--kubernetes-version",
        "1.30",
        "--policy-namespace",
        "rules",
    ];
    let objects = [
        namespace("prod", "prod"),
        namespace("rules", "rules"),
        validating("one", "object.metadata.name != 'a'"),
        bound("one"),
        bound("two"),
    ];
    let world = World::start(&args, &objects).await;
    world.until("a", "refused by one").await;
    let metrics = world.metrics().await;
    assert!(
        metrics.contains("portcullis_policies{state=\"in_force\"} 2\n"),
        "{metrics}"
    );
    assert!(!metrics.contains("portcullis_policy_faulty{"), "{metrics}");

    // Known to this API server, but not to 1.30, for which policies are written here.
    let newer = "!format.dns1123Label().validate(object.metadata.name).hasValue()";
    apply(&world.admin, &validating("one", newer)).await;
    apply(
        &world.admin,
        &validating("two", "object.metadata.name != 'b'"),
    )
    .await;
    world.until("b", "refused by two").await;
    let note = world.told("default", "one", "PolicyKept").await;
    assert!(
        note.contains("its last good version stays in force")
            && note.contains("spec.validations[0].expression: "),
        "{note}"
    );
    assert!(world.asked("a").await.contains("refused by one"));
    let described = world.described("one").await.unwrap();
    assert_eq!(described["state"], "last good version");
    assert_eq!(
        described["faults"][0]["field"],
        "spec.validations[0].expression"
    );
    let said = described["faults"][0]["message"].as_str().unwrap();
    assert!(said.contains("format"), "{said}");
    let metrics = world.metrics().await;
    for line in [
        "portcullis_policies{state=\"last_good\"} 1\n",
        "portcullis_policy_faulty{policy=\"one\",source=\"validatingadmissionpolicy/one.yaml\",state=\"last_good\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    apply(
        &world.admin,
        &validating("one", "object.metadata.name != 'c'"),
    )
    .await;
    world.until("c", "refused by one").await;
    assert_eq!(world.asked("a").await, "");
    world.told("default", "one", "PolicyLoaded").await;

    // A ConfigMap whose key nobody would have found.
    let map = |key: &str, text: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "mine", "namespace": "rules", "labels": {LABEL: ""}},
            "data": {key: text},
        })
    };
    apply(&world.admin, &map("policy", OTHER)).await;
    let note = world.told("rules", "mine", "PolicyFailed").await;
    assert!(
        note.contains("no key is named as a file of policies"),
        "{note}"
    );
    let third = OTHER.replace("other", "third");
    apply(&world.admin, &map("third.cel", &third)).await;
    world.told("rules", "mine", "PolicyLoaded").await;
    let third = third.replace("object.", "objct.");
    apply(&world.admin, &map("third.cel", &third)).await;
    let note = world.told("rules", "mine", "PolicyKept").await;
    assert!(note.contains("third.cel:7:1: "), "{note}");
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn of_several_replicas_an_author_hears_once() {
    let map = |text: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "mine", "namespace": "rules", "labels": {LABEL: ""}},
            "data": {"third.cel": text},
        })
    };
    let third = OTHER.replace("other", "third");
    let objects = [namespace("rules", "rules"), map(&third)];
    // Nobody registers anything, so there is no Lease.
    let args = ["--policy-namespace", "rules"];
    let world = World::start(&args, &objects).await;
    let kubeconfig = world.server.kubeconfig("admin");
    let second = Launch::new()
        .policies(&[("other.cel", OTHER)])
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .args(args)
        .start()
        .await;
    let both = [&world.program, &second];
    let until = async |state: &str| {
        for program in both {
            eventually(state, || async {
                let served = program.policies().await;
                let policies = served["policies"].as_array()?;
                let mut policies = policies.iter();
                policies
                    .any(|it| it["name"] == "third" && it["state"] == state)
                    .then_some(())
            })
            .await;
        }
    };
    until("in force").await;
    let broken = third.replace("object.", "objct.");
    for (text, state, reason) in [
        (&broken, "last good version", "PolicyKept"),
        (&third, "in force", "PolicyLoaded"),
    ] {
        apply(&world.admin, &map(text)).await;
        until(state).await;
        world.told("rules", "mine", reason).await;
    }
    let api: Api<Event> = Api::namespaced(world.admin.clone(), "rules");
    // What the other had to say was said when it ended.
    second.stop().await;
    let events = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(events.items.len(), 2);
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn before_it_knows_all_policies_the_program_is_not_ready() {
    let _alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    // She may do nothing.
    let kubeconfig = server.kubeconfig("jane");
    let program = Launch::new()
        .policies(&[("other.cel", OTHER)])
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .args(["--cluster-policies", "labelled"])
        .start()
        .await;
    let said = eventually("the missing rights are named", || async {
        let answer = ask(program.admin, Method::GET, "/readyz?verbose").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        let said = answer.text().to_owned();
        // Each kind is read by a task of its own, so their reasons arrive in any order.
        let named = ["ies", "ybindings"].iter().all(|kinds| {
            let refused = format!(r#"cannot list resource "validatingadmissionpolic{kinds}""#);
            said.contains(&refused)
        });
        named.then_some(said)
    })
    .await;
    assert!(
        said.contains("labelled ValidatingAdmissionPolicies are not known yet ("),
        "{said}"
    );
    let served = program.policies().await;
    assert!(
        served["sources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| { it["source"] == "validatingadmissionpolicy" && it["state"] == "not read" }),
        "{served}"
    );
    program.stop().await;
}
