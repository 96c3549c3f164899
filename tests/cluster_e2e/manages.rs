//! The program as it keeps its certificate and registers itself, in the rights that `manifests` prints.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Method;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep};

use super::balancer::Balancer;
use super::support::client::{Client as Direct, Http, Serves, ask};
use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::support::process::{Launch, Process};
use super::support::rights::{account, granted, in_force};
use super::{ALONE, apply, namespace};

/// Deployments need two replicas.
pub(crate) const REPLICAS: &str = "// ---
// name: replicas
// match: {resources: [apps/v1/deployments]}
// ---

// @require at least two replicas
object.spec.replicas >= 2
";
/// ConfigMaps need a name of their own.
pub(crate) const NAMES: &str = "// ---
// name: names
// match: {resources: [v1/configmaps]}
// ---

// @require it is not called `forbidden`
object.metadata.name != 'forbidden'
";

/// Replicas behind one address, in a cluster that calls them.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) admin: Client,
    pub(crate) balancer: Balancer,
    pub(crate) replicas: Vec<Process>,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// Starts a cluster that grants what `manifests` prints for these policies, and no replica.
    pub(crate) async fn start(policies: &[(&str, &str)]) -> World {
        World::start_with(&manifests(policies, &["--service", "policy/portcullis"])).await
    }

    /// Starts a cluster that has these objects, and no replica.
    pub(crate) async fn start_with(objects: &[Value]) -> World {
        let alone = ALONE.lock().await;
        let server = ApiServer::start().await;
        let admin = server.client("admin").await;
        for name in ["policy", "prod", "rules"] {
            apply(&admin, &namespace(name, "test")).await;
        }
        for object in objects {
            apply(&admin, object).await;
        }
        let program = account("policy", "portcullis");
        in_force(&admin, &program, &granted(objects)).await;
        World {
            balancer: Balancer::start().await,
            server,
            admin,
            replicas: Vec::new(),
            _alone: alone,
        }
    }

    pub(crate) fn launch(&self, policies: &[(&str, &str)], user: &str) -> Launch {
        let kubeconfig = self.server.kubeconfig(user);
        let url = format!("https://localhost:{}", self.balancer.address.port());
        Launch::new()
            .policies(policies)
            .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
            .args(["--url", &url, "--certs-secret", "policy/portcullis-certs"])
    }

    /// Adds a replica and waits until it is ready.
    pub(crate) async fn add(&mut self, launch: Launch) {
        let process = launch.start().await;
        eventually("the replica is ready", || async {
            let answer = ask(process.admin, Method::GET, "/readyz").await;
            (answer.status == 200).then_some(())
        })
        .await;
        self.replicas.push(process);
        self.balance();
    }

    pub(crate) fn balance(&self) {
        self.balancer
            .send_to(self.replicas.iter().map(Serves::address));
    }

    /// Tries to create an object; returns why it is refused, or an empty text.
    pub(crate) async fn create(&self, object: &Value) -> String {
        create(&self.admin, object).await
    }

    pub(crate) async fn until(&self, object: &Value, words: &str) {
        eventually(words, || async {
            let said = self.create(object).await;
            let holds = if words.is_empty() {
                said.is_empty()
            } else {
                said.contains(words)
            };
            holds.then_some(())
        })
        .await;
    }

    pub(crate) async fn configuration(&self) -> ValidatingWebhookConfiguration {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.admin.clone());
        api.get("portcullis").await.unwrap()
    }

    async fn holder(&self) -> String {
        let api: Api<Lease> = Api::namespaced(self.admin.clone(), "policy");
        let lease = api.get("portcullis").await.unwrap();
        lease.spec.unwrap().holder_identity.unwrap_or_default()
    }

    /// Returns the replica that says that it holds the Lease.
    pub(crate) async fn holding(&self) -> usize {
        eventually("a replica holds the lease", || async {
            for (at, replica) in self.replicas.iter().enumerate() {
                let said = ask(replica.admin, Method::GET, "/readyz?verbose").await;
                if said.text().contains("this replica holds the lease") {
                    return Some(at);
                }
            }
            None
        })
        .await
    }

    pub(crate) async fn secret(&self) -> Secret {
        let api: Api<Secret> = Api::namespaced(self.admin.clone(), "policy");
        api.get("portcullis-certs").await.unwrap()
    }
}

/// Where objects like this one are.
pub(super) fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
    let kind = GroupVersionKind::try_from(&types).unwrap();
    let resource = ApiResource::from_gvk(&kind);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

pub(super) async fn create(client: &Client, object: &Value) -> String {
    let api = api(client, object);
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object = serde_json::from_value(object.clone()).unwrap();
    match api.create(&parameters, &object).await {
        Ok(_) => String::new(),
        Err(problem) => problem.to_string(),
    }
}

/// Runs `portcullis manifests` and returns what it prints.
pub(crate) fn manifests(policies: &[(&str, &str)], args: &[&str]) -> Vec<Value> {
    let folder = TempDir::new().unwrap();
    for (name, text) in policies {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["manifests", "--policies"])
        .arg(folder.path())
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let source = portcullis::text::Source::new("manifests", text);
    let stream = portcullis::text::yaml::parse_stream(&source);
    stream.documents.iter().map(|it| it.to_json()).collect()
}

pub(super) fn deployment(namespace: &str, replicas: u8) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
            },
        },
    })
}

pub(crate) fn named(api_version: &str, kind: &str, namespace: Option<&str>) -> Value {
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "forbidden"},
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn replicas_register_themselves_and_follow_their_policies() {
    let policies = [("replicas.cel", REPLICAS)];
    let mut world = World::start(&policies).await;
    for _ in 0..2 {
        world.add(world.launch(&policies, "portcullis")).await;
    }
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    assert_eq!(world.create(&deployment("prod", 2)).await, "");
    for excluded in ["policy", "kube-system"] {
        assert_eq!(world.create(&deployment(excluded, 1)).await, "");
    }
    let forbidden = named("v1", "ConfigMap", Some("prod"));
    assert_eq!(world.create(&forbidden).await, "");
    let configuration = world.configuration().await;
    let managers = configuration.metadata.managed_fields.unwrap();
    assert!(
        managers
            .iter()
            .any(|it| it.manager.as_deref() == Some("portcullis")),
        "{managers:?}"
    );

    let inspected = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["certs", "inspect", "--secret", "policy/portcullis-certs"])
        .arg("--kubeconfig")
        .arg(world.server.kubeconfig("admin"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inspected.stdout);
    assert_eq!(inspected.status.code(), Some(0), "{said}");
    assert!(
        said.contains("names    localhost") && !said.contains("BEGIN"),
        "{said}"
    );

    // Policies change at every replica; the one that holds the Lease registers their rules.
    for replica in &world.replicas {
        std::fs::write(replica.policy("names.cel"), NAMES).unwrap();
    }
    world
        .until(&forbidden, "it is not called `forbidden`")
        .await;
    for replica in &world.replicas {
        std::fs::remove_file(replica.policy("replicas.cel")).unwrap();
    }
    world.until(&deployment("prod", 1), "").await;
    eventually("the rules are those of the policies left", || async {
        let webhooks = world.configuration().await.webhooks.unwrap();
        let rules: Vec<_> = webhooks
            .into_iter()
            .flat_map(|it| it.rules.unwrap())
            .collect();
        let resources: Vec<_> = rules
            .into_iter()
            .flat_map(|it| it.resources.unwrap())
            .collect();
        (resources == ["configmaps"]).then_some(())
    })
    .await;

    // Who deletes the configuration switches the webhook off: the role does not let it be made again.
    let api: Api<ValidatingWebhookConfiguration> = Api::all(world.admin.clone());
    api.delete("portcullis", &DeleteParams::default())
        .await
        .unwrap();
    world.until(&forbidden, "").await;
    let holding = world.holding().await;
    let holding = world.replicas[holding].admin;
    eventually("what is missing is said", || async {
        let said = ask(holding, Method::GET, "/readyz?verbose").await;
        let words = r#"cannot create resource "validatingwebhookconfigurations""#;
        (said.status == 200 && said.text().contains(words)).then_some(())
    })
    .await;
    assert_eq!(world.create(&forbidden).await, "");
    for object in manifests(&policies, &["--service", "policy/portcullis"]) {
        apply(&world.admin, &object).await;
    }
    world
        .until(&forbidden, "it is not called `forbidden`")
        .await;

    // Nothing goes when replicas end.
    for replica in std::mem::take(&mut world.replicas) {
        let log = replica.log();
        let unexpected = log
            .lines()
            .filter(|line| line.contains("ERROR") && !line.contains("cannot create"));
        assert_eq!(unexpected.count(), 0, "{log}");
        replica.stop().await;
    }
    assert_eq!(world.configuration().await.webhooks.unwrap().len(), 1);
    assert_eq!(world.holder().await, "", "the lease is given up");
    let said = world.create(&forbidden).await;
    assert!(said.contains("failed calling webhook"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_policy_on_trial_refuses_nothing_when_the_webhook_is_gone() {
    let names = NAMES.replace("// ---\n// name", "// ---\n// action: audit\n// name");
    let patch = "// ---\n// name: patch\n// action: audit\n// mutate: true\n\
                 // match: {resources: [v1/configmaps]}\n// ---\n// @patch\n\
                 [JSONPatch{op: 'add', path: '/data', value: {'a': 'b'}}]\n";
    let policies = [
        ("names.cel", &*names),
        ("patch.cel", patch),
        ("replicas.cel", REPLICAS),
    ];
    let mut world = World::start(&policies).await;
    world.add(world.launch(&policies, "portcullis")).await;
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    let forbidden = named("v1", "ConfigMap", Some("prod"));
    assert_eq!(world.create(&forbidden).await, "");
    let page = ask(world.replicas[0].admin, Method::GET, "/metrics").await;
    for (policy, kind, action) in [
        ("names", "validating", "audit"),
        ("patch", "mutating", "mutate"),
    ] {
        let series = format!(
            "portcullis_policy_check_total{{policy=\"{policy}\",policy_binding=\"{policy}\",\
             kind=\"{kind}\",error_type=\"no_error\",enforcement_action=\"{action}\",\
             enforcement=\"audit\"}} 1"
        );
        assert!(page.text().contains(&series), "{series}\n{}", page.text());
    }

    for replica in std::mem::take(&mut world.replicas) {
        replica.signal("-KILL");
    }
    world.balance();
    world
        .until(&deployment("prod", 1), "failed calling webhook")
        .await;
    assert_eq!(world.create(&forbidden).await, "");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn no_request_fails_while_certificates_follow_each_other() {
    const LIFETIME: Duration = Duration::from_secs(36);
    let policies = [("replicas.cel", REPLICAS)];
    let mut world = World::start(&policies).await;
    for _ in 0..2 {
        let launch = world.launch(&policies, "portcullis");
        world
            .add(launch.env("PORTCULLIS_CERTS_LIFETIME", "36s"))
            .await;
    }
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    let world = Arc::new(world);
    let (ended, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let load = {
        let (world, ended, asked) = (Arc::clone(&world), Arc::clone(&ended), Arc::clone(&asked));
        tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                let said = world.create(&deployment("prod", 1)).await;
                assert!(said.contains("at least two replicas"), "{said}");
                assert_eq!(world.create(&deployment("prod", 2)).await, "");
                asked.fetch_add(2, Ordering::Relaxed);
            }
        })
    };
    // API servers keep their connections: fresh ones to each replica, with the bundle that is registered.
    let (mut leaves, mut bundles, mut connections) = (Vec::new(), Vec::new(), 0);
    let folder = TempDir::new().unwrap();
    let authority: PathBuf = folder.path().join("ca.crt");
    let begun = Instant::now();
    while begun.elapsed() < LIFETIME * 2 + Duration::from_secs(10) {
        let configuration = world.configuration().await;
        let config = &configuration.webhooks.unwrap()[0].client_config;
        let bundle = config.ca_bundle.clone().unwrap().0;
        std::fs::write(&authority, &bundle).unwrap();
        for replica in &world.replicas {
            let address = replica.address();
            let direct = Direct::try_connect(address, &authority, Http::One).await;
            let leaf = direct
                .unwrap_or_else(|problem| panic!("{problem}: {}", replica.log()))
                .leaf;
            connections += 1;
            if !leaves.contains(&leaf) {
                leaves.push(leaf);
            }
        }
        if bundles.last() != Some(&bundle) {
            bundles.push(bundle);
        }
        sleep(Duration::from_millis(100)).await;
    }
    ended.store(true, Ordering::Relaxed);
    load.await.unwrap();
    let asked = asked.load(Ordering::Relaxed);
    println!(
        "{} leaves, {} bundles, {asked} requests, {connections} connections, none failed",
        leaves.len(),
        bundles.len()
    );
    assert!(leaves.len() >= 3 && bundles.len() >= 4 && asked > 50);
    let keys: Vec<String> = world.secret().await.data.unwrap().into_keys().collect();
    assert!(!keys.contains(&"ca.key".to_owned()), "{keys:?}");
    for replica in &world.replicas {
        assert!(!replica.log().contains("PRIVATE KEY"), "{}", replica.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn another_replica_goes_on_where_the_holder_was_killed() {
    let policies = [("replicas.cel", REPLICAS)];
    let mut world = World::start(&policies).await;
    for _ in 0..2 {
        world.add(world.launch(&policies, "portcullis")).await;
    }
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    let before = world.holder().await;
    let mut killed = {
        let at = world.holding().await;
        world.replicas.remove(at)
    };
    killed.signal("-KILL");
    killed.ended().await;
    world.balance();
    let begun = Instant::now();
    assert_eq!(world.holding().await, 0);
    println!("taken over after {:?}", begun.elapsed());
    assert_ne!(world.holder().await, before);
    std::fs::write(world.replicas[0].policy("names.cel"), NAMES).unwrap();
    let forbidden = named("v1", "ConfigMap", Some("prod"));
    world
        .until(&forbidden, "it is not called `forbidden`")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn policies_may_be_in_config_maps_of_one_namespace() {
    let policies = [("replicas.cel", REPLICAS)];
    let mut world = World::start(&policies).await;
    let published = |namespace: &str, label: &str, text: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "mine", "namespace": namespace, "labels": {label: ""}},
            "data": {"names.cel": text, "notes.txt": "no policy"},
        })
    };
    let label = "portcullis.dev/policy";
    for elsewhere in [
        published("prod", label, NAMES),
        published("policy", "other", NAMES),
    ] {
        apply(&world.admin, &elsewhere).await;
    }
    let launch = world.launch(&policies, "admin");
    world
        .add(launch.args(["--policy-namespace", "policy"]))
        .await;
    let forbidden = named("v1", "ConfigMap", Some("prod"));
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    assert_eq!(world.create(&forbidden).await, "");
    let mine = published("policy", label, NAMES);
    apply(&world.admin, &mine).await;
    world
        .until(&forbidden, "it is not called `forbidden`")
        .await;
    let served = world.replicas[0].policies().await;
    assert!(
        served
            .to_string()
            .contains("configmap/policy/mine/names.cel"),
        "{served}"
    );
    // One that does not compile stays as it was, and its author is told where.
    apply(
        &world.admin,
        &published(
            "policy",
            label,
            &NAMES.replace("object.metadata", "objct.metadata"),
        ),
    )
    .await;
    eventually("the fault is named", || async {
        let said = world.replicas[0].readyz().await;
        said.contains("configmap/policy/mine/names.cel:7")
            .then_some(())
    })
    .await;
    assert!(world.create(&forbidden).await.contains("it is not called"));
    let api: Api<DynamicObject> = Api::namespaced_with(
        world.admin.clone(),
        "policy",
        &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap")),
    );
    api.delete("mine", &DeleteParams::default()).await.unwrap();
    world.until(&forbidden, "").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn what_is_missing_is_said() {
    let policies = [("replicas.cel", REPLICAS)];
    let world = World::start(&policies).await;
    // She may do nothing.
    let process = world.launch(&policies, "jane").start().await;
    let said = eventually("the missing rights are named", || async {
        let answer = ask(process.admin, Method::GET, "/readyz?verbose").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        let said = answer.text().to_owned();
        (said.contains(r#"cannot list resource "secrets""#) && said.contains("the lease:"))
            .then_some(said)
    })
    .await;
    for words in [
        r#"User "jane" cannot list resource "secrets" in API group "" in the namespace "policy""#,
        r#"cannot get resource "leases" in API group "coordination.k8s.io""#,
        "`portcullis manifests` prints the roles",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let api: Api<ValidatingWebhookConfiguration> = Api::all(world.admin.clone());
    let filled = api
        .get("portcullis")
        .await
        .unwrap()
        .webhooks
        .unwrap_or_default();
    assert!(
        filled.is_empty(),
        "nothing is registered before it can be called"
    );
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_certificate_of_somebody_else_is_served_and_left_alone() {
    let policies = [("replicas.cel", REPLICAS)];
    let mut world = World::start(&policies).await;
    let names = ["localhost".to_owned()];
    let now = std::time::SystemTime::now();
    let issued = portcullis::certs::issue::issue(&names, now, Duration::from_secs(3600)).unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "portcullis-certs", "namespace": "policy"},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": issued.certificate,
            "tls.key": issued.key,
            "ca.crt": issued.authority,
        },
    });
    apply(&world.admin, &secret).await;
    let before = world.secret().await;
    world.add(world.launch(&policies, "portcullis")).await;
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    let bundle = world.configuration().await.webhooks.unwrap()[0]
        .client_config
        .ca_bundle
        .clone();
    assert_eq!(bundle.unwrap().0, issued.authority.as_bytes());
    assert_eq!(world.secret().await, before);
    let said = world.replicas[0].readyz().await;
    let owner =
        "the certificate in the Secret `policy/portcullis-certs` is not its own, and not renewed";
    assert!(said.contains(owner), "{said}");
}
