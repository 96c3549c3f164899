//! The chart in a cluster: a real API server without nodes, so that nothing runs but what the test runs.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hyper::Method;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{
    Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::{Client, Config, discovery};
use portcullis::certs::authority;
use portcullis::webhook::tls;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::defaults;
use super::helm::{self, CLUSTER_NAME, NAMESPACE, RELEASE, Said, VALUES, objects};
use super::support::client::{Serves, ask};
use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::support::network::Network;
use super::support::process::{Launch, Process};

/// An API server takes both cores of a small machine: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A cluster that helm installs into.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) admin: Client,
    network: Network,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    pub(crate) async fn start() -> World {
        let alone = ALONE.lock().await;
        let network = Network::start().await;
        let server = ApiServer::start_in(Some(&network.socket())).await;
        let admin = server.client("admin").await;
        World {
            server,
            admin,
            network,
            folder: TempDir::new().unwrap(),
            _alone: alone,
        }
    }

    /// Lets the Service of the release lead to the program, as where its pods are ready.
    pub(crate) async fn lead_to(&self, program: &Process) {
        let services: Api<Service> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let service = services.get(RELEASE).await.unwrap();
        let address = service.spec.unwrap().cluster_ip.unwrap();
        self.network.lead(&address, program.address());
    }

    /// Runs helm as the administrator.
    pub(crate) async fn helm(&self, arguments: &[&str]) -> Said {
        let said = self.try_helm(NAMESPACE, arguments).await;
        assert!(said.is_success, "{arguments:?}: {}", said.err);
        said
    }

    /// The same for a release of some namespace, which may fail.
    async fn try_helm(&self, namespace: &str, arguments: &[&str]) -> Said {
        let kubeconfig = self.server.kubeconfig("admin");
        let mut all: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        all.extend(["--kubeconfig".to_owned(), kubeconfig.display().to_string()]);
        all.extend(["--namespace".to_owned(), namespace.to_owned()]);
        tokio::task::spawn_blocking(move || helm::helm(all))
            .await
            .unwrap()
    }

    /// Returns a kubeconfig that leads here as the service account of the release.
    fn as_the_program(&self) -> PathBuf {
        self.server.kubeconfig("release")
    }

    /// Prepares the program with the configuration that the chart renders with these values.
    pub(crate) fn launch(&self, values: &str) -> Launch {
        self.launch_as(&objects(values, &[]))
    }

    /// Prepares the program with the configuration among these objects.
    pub(crate) fn launch_as(&self, objects: &[Value]) -> Launch {
        let mut maps = objects
            .iter()
            .filter_map(|it| it["data"]["portcullis.yaml"].as_str());
        let config = self.folder.path().join("portcullis.yaml");
        std::fs::write(&config, maps.next().unwrap()).unwrap();
        let kubeconfig = self.as_the_program();
        Launch::new()
            .args(["--config", config.to_str().unwrap()])
            .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
    }
}

async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

pub(crate) async fn make_namespace(client: &Client, name: &str) {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    // As a cluster has it whose owners enforce the strictest level.
    let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    namespace.metadata.labels = Some(labels.into());
    let api: Api<Namespace> = Api::all(client.clone());
    api.create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

/// Applies an object; unknown and doubled fields are errors.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<(), kube::Error> {
    write(client, object, Write::Kept).await
}

/// Whether what is written stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Kept,
    Tried,
}

async fn write(client: &Client, object: &Value, write: Write) -> Result<(), kube::Error> {
    let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
    let kind = GroupVersionKind::try_from(&types).unwrap();
    let (resource, _) = discovery::pinned_kind(client, &kind).await?;
    let metadata = &object["metadata"];
    let api: Api<DynamicObject> = match metadata["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut parameters = PatchParams::apply("test").force();
    parameters.field_validation = Some(ValidationDirective::Strict);
    parameters.dry_run = write == Write::Tried;
    let name = metadata["name"].as_str().unwrap();
    api.patch(name, &parameters, &Patch::Apply(object)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn a_cluster_takes_every_object_to_the_letter() {
    let world = World::start().await;
    make_namespace(&world.admin, NAMESPACE).await;
    make_namespace(&world.admin, "policies").await;
    for values in VALUES {
        for object in objects(values, &[]) {
            let version = object["apiVersion"].as_str().unwrap();
            let is_others = ["cert-manager.io/", "monitoring.coreos.com/"];
            if is_others.iter().any(|group| version.starts_with(group)) {
                continue;
            }
            let applied = write(&world.admin, &object, Write::Tried).await;
            let title = super::title(&object);
            assert!(applied.is_ok(), "{values}, {title}: {applied:?}");
            // The pods of the Deployment are made by a controller, which is not there: by hand.
            if object["kind"] == "Deployment" {
                let mut pod = object["spec"]["template"].clone();
                pod["apiVersion"] = json!("v1");
                pod["kind"] = json!("Pod");
                pod["metadata"]["name"] = json!(values);
                pod["metadata"]["namespace"] = json!(NAMESPACE);
                // The strictest level of pod security admits them.
                let made = write(&world.admin, &pod, Write::Tried).await;
                assert!(made.is_ok(), "{values}: {made:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn what_the_server_registers_lives_as_long_as_the_release() {
    let world = World::start().await;
    let said = world
        .helm(&["install", RELEASE, "portcullis", "--create-namespace"])
        .await;
    assert!(
        said.out
            .contains("Portcullis enforces the built-in policies"),
        "{}",
        said.out
    );
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(world.admin.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(world.admin.clone());
    let count = async || {
        let found = validating.get(CLUSTER_NAME).await.unwrap();
        found.webhooks.unwrap_or_default().len()
    };
    assert_eq!(
        count().await,
        0,
        "nothing is asked before the server answers"
    );
    assert!(mutating.get(CLUSTER_NAME).await.is_ok());

    // As the server does, under its own account.
    let program = client(&world.as_the_program()).await;
    let filled = configuration(CLUSTER_NAME);
    eventually("the program may fill its configuration", || async {
        apply(&program, &filled).await.ok()
    })
    .await;
    assert_eq!(count().await, 1);
    let other = apply(&program, &configuration("other")).await;
    assert!(
        matches!(&other, Err(kube::Error::Api(status)) if status.code == 403),
        "{other:?}"
    );

    // Told nothing of webhooks, helm leaves them alone.
    world
        .helm(&[
            "upgrade",
            RELEASE,
            "portcullis",
            "--set",
            "mode=audit,replicas=5",
        ])
        .await;
    assert_eq!(count().await, 1);

    world.helm(&["uninstall", RELEASE]).await;
    assert!(validating.get_opt(CLUSTER_NAME).await.unwrap().is_none());
    assert!(mutating.get_opt(CLUSTER_NAME).await.unwrap().is_none());
    // A replica that still runs cannot put them back: nobody would ever remove them.
    let again = apply(&program, &filled).await;
    assert!(
        matches!(&again, Err(kube::Error::Api(status)) if status.code == 403),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn a_release_may_be_called_as_it_likes_and_have_its_policies_elsewhere() {
    let world = World::start().await;
    for (release, namespace) in [("n", "on"), ("123", "null"), ("null", "123"), ("on", "1e3")] {
        let install = ["install", release, "portcullis", "--create-namespace"];
        // Which may be the namespace of the policies before it is there.
        let set = format!("policies.namespace={namespace}");
        let arguments = install.into_iter().chain(["--set-string", &set]);
        let arguments: Vec<&str> = arguments.collect();
        let said = world.try_helm(namespace, &arguments).await;
        assert!(said.is_success, "{release} in {namespace}: {}", said.err);
        let said = world.try_helm(namespace, &["uninstall", release]).await;
        assert!(said.is_success, "{}", said.err);
    }

    // What is in the cluster alone is served, and that there is nothing else is no mistake.
    let set = "policies.builtIn=false,policies.namespace=rules,policies.cluster=labelled";
    let install = ["install", RELEASE, "portcullis", "--create-namespace"];
    let install: Vec<&str> = install.into_iter().chain(["--set", set]).collect();
    let said = world.try_helm(NAMESPACE, &install).await;
    let words = "there is no namespace `rules`, in which the server is to be given a role";
    assert!(said.err.contains(words), "{}", said.err);
    make_namespace(&world.admin, "rules").await;
    world.helm(&install).await;
    let more = "policies.exceptionNamespaces={rules,team}";
    let upgrade = ["upgrade", RELEASE, "portcullis", "--set"];
    let upgrade: Vec<&str> = upgrade.into_iter().chain([more]).collect();
    let said = world.try_helm(NAMESPACE, &upgrade).await;
    let words = "there is no namespace `team`";
    assert!(said.err.contains(words), "{}", said.err);
    assert!(
        said.err.contains("policies.exceptionNamespaces"),
        "{}",
        said.err
    );
    let folder = super::rendered::configuration(&objects("default", &["--set", set]));
    let kubeconfig = world.as_the_program();
    let program = Launch::in_folder(folder)
        .args(["--config", "portcullis.yaml"])
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .start()
        .await;
    eventually("the program is ready", || async {
        let answer = ask(program.admin, Method::GET, "/readyz").await;
        (answer.status == 200).then_some(())
    })
    .await;
    let policies = program.policies().await;
    assert_eq!(policies["policies"], json!([]), "{policies}");
    assert_eq!(policies["problems"], json!([]), "{policies}");
    program.stop().await;
}

fn configuration(name: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "validate.portcullis.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"service": {"name": RELEASE, "namespace": NAMESPACE, "path": "/validate"}},
            "rules": [{
                "apiGroups": ["example.org"],
                "apiVersions": ["*"],
                "operations": ["CREATE"],
                "resources": ["things"],
            }],
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn the_account_may_read_what_the_policies_read_and_no_more() {
    let world = World::start().await;
    for definition in defaults::definitions() {
        apply(&world.admin, &definition).await.unwrap();
    }
    world
        .helm(&["install", RELEASE, "portcullis", "--create-namespace"])
        .await;
    let program = world.launch("default").start().await;
    let said = eventually("the program is ready", || async {
        let answer = ask(program.admin, Method::GET, "/readyz?verbose").await;
        (answer.status == 200).then(|| answer.text().to_owned())
    })
    .await;
    assert!(
        !said.contains("forbidden") && !said.contains("does not exist"),
        "{said}"
    );
    assert!(
        said.contains("ScaledObject") && said.contains("StorageClass"),
        "{said}"
    );
    program.stop().await;

    let program = client(&world.as_the_program()).await;
    for (verb, group, resource, is_allowed) in [
        ("list", "", "namespaces", true),
        ("get", "", "namespaces", false),
        ("get", "", "services", false),
        ("list", "", "secrets", false),
        ("create", "", "secrets", false),
        ("list", "", "pods", false),
        (
            "create",
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            false,
        ),
        (
            "patch",
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            false,
        ),
        (
            "create",
            "authorization.k8s.io",
            "subjectaccessreviews",
            false,
        ),
        ("update", "apps", "deployments", false),
    ] {
        let found = may(&program, (verb, group, resource)).await;
        assert_eq!(found, is_allowed, "{verb} {group}/{resource}");
    }

    // With less, what is missing is said.
    let less = [
        "upgrade",
        RELEASE,
        "portcullis",
        "--set-json",
        "rbac.reads=[]",
    ];
    world.helm(&less).await;
    eventually("its rights are taken", || async {
        let may = may(&program, ("list", "", "services")).await;
        (!may).then_some(())
    })
    .await;
    let program = world.launch("default").start().await;
    let said = eventually("the program says what it may not read", || async {
        let answer = ask(program.admin, Method::GET, "/readyz?verbose").await;
        let text = answer.text().to_owned();
        (answer.status == 503 && text.contains("forbidden")).then_some(text)
    })
    .await;
    assert!(said.contains("v1/Service is not known yet"), "{said}");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn a_release_that_never_answers_locks_nobody_out() {
    let mut world = World::start().await;
    let certs = world.folder.path().join("certs");
    authority::ensure(&certs, SystemTime::now(), &tls::provider()).unwrap();
    let bundle = ByteString(std::fs::read(certs.join("ca.crt")).unwrap());
    let bundle = serde_json::to_value(bundle).unwrap();
    let set = format!(
        "certificates.mode=mounted,certificates.mounted.secretName=a,\
         certificates.mounted.caBundle={},webhooks.registration=chart,webhooks.timeoutSeconds=1",
        bundle.as_str().unwrap()
    );
    let chart = [RELEASE, "portcullis", "--set", &set];
    let install = ["install", "--create-namespace"].into_iter().chain(chart);
    world.helm(&install.collect::<Vec<_>>()).await;

    let config_map = |namespace: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "one", "namespace": namespace},
        })
    };
    // API servers take a moment to see new configurations.
    let refused = eventually("the webhook is called", || async {
        write(&world.admin, &config_map("default"), Write::Tried)
            .await
            .err()
    })
    .await;
    assert!(
        refused.to_string().contains("failed calling webhook"),
        "{refused}"
    );
    for object in [
        config_map("kube-system"),
        config_map(NAMESPACE),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}}),
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "one", "namespace": "default"},
        }),
    ] {
        let written = apply(&world.admin, &object).await;
        assert!(written.is_ok(), "{object}: {written:?}");
    }
    // Its own roles change, though policies are about roles.
    let more = r#"rbac.extraReads=[{"apiGroup": "", "resources": ["secrets"]}]"#;
    let upgrade = ["upgrade", "--set-json", more].into_iter().chain(chart);
    world.helm(&upgrade.collect::<Vec<_>>()).await;

    // The API server starts, and writes the roles that it misses.
    let roles = |client: &Client| Api::<ClusterRole>::all(client.clone());
    let role = "system:public-info-viewer";
    let deleted = roles(&world.admin)
        .delete(role, &DeleteParams::default())
        .await;
    deleted.unwrap();
    world.server.stop();
    world.server.resume().await;
    let client = world.server.client("admin").await;
    assert!(roles(&client).get(role).await.is_ok());
    let refused = write(&client, &config_map("default"), Write::Tried).await;
    assert!(refused.is_err(), "it is still called");

    // The way out: it is deleted, whatever is denied, and comes back when the release is upgraded.
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let deleted = configurations
        .delete(CLUSTER_NAME, &DeleteParams::default())
        .await;
    deleted.unwrap();
    eventually("nothing is denied", || async {
        write(&client, &config_map("default"), Write::Tried)
            .await
            .ok()
    })
    .await;
    let upgrade = ["upgrade"].into_iter().chain(chart);
    world.helm(&upgrade.collect::<Vec<_>>()).await;
    assert!(configurations.get(CLUSTER_NAME).await.is_ok());

    world.helm(&["uninstall", RELEASE]).await;
    eventually("the webhook is called no longer", || async {
        write(&client, &config_map("default"), Write::Tried)
            .await
            .ok()
    })
    .await;
}

/// Asks whether a user may do something in the whole cluster.
async fn may(client: &Client, (verb, group, resource): (&str, &str, &str)) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}},
    });
    let request =
        axum::http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .unwrap();
    let answer: Value = client.request(request).await.unwrap();
    answer["status"]["allowed"] == true
}
