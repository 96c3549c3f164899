//! Installations as API servers know them: by a Service each, under a name of its own, with certificates
//! of their own or mounted ones.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use hyper::Method;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, PostParams};
use portcullis::certs::issue::{Issued, issue};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep};

use super::balancer::Balancer;
use super::manages::{NAMES, create, manifests, named};
use super::network::Network;
use super::support::client::{Client as Direct, Http, Serves, ask};
use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::support::process::{Launch, Process};
use super::support::rights::{account, granted, in_force, live};
use super::support::secret::MountedSecret;
use super::{ALONE, apply, namespace};

/// Whoever has a team has what it costs.
const COSTS: &str = "// ---
// name: costs
// match: {resources: [v1/configmaps]}
// mutate: true
// reinvocationPolicy: IfNeeded
// ---

// @patch
'team' in object.metadata.?labels.orValue({}) && !('cost' in object.metadata.labels)
  ? [JSONPatch{op: 'add', path: '/metadata/labels/cost', value: 'of-' + object.metadata.labels.team}]
  : []
";
/// Whoever has no team gets one.
const TEAMS: &str = "// ---
// name: teams
// match: {resources: [v1/configmaps]}
// mutate: true
// ---

// @patch
'team' in object.metadata.?labels.orValue({})
  ? [] : [JSONPatch{op: 'add', path: '/metadata/labels', value: {'team': 'blue'}}]
";
/// All have a team in the end.
const TEAMED: &str = "// ---
// name: teamed
// match: {resources: [v1/configmaps]}
// ---

// @require somebody has it
object.metadata.?labels.team.orValue('') == 'blue'
";

/// A namespace, a Service in it, and the address of that.
type Site = (&'static str, &'static str, &'static str);
const FIRST: Site = ("gate-a", "first", "10.0.0.11");
const SECOND: Site = ("gate-b", "second", "10.0.0.12");

/// A cluster with a network.
struct World {
    server: ApiServer,
    admin: Client,
    network: Network,
    _alone: MutexGuard<'static, ()>,
}

/// The name of the installation there.
fn title((namespace, service, _): Site) -> String {
    format!("{service}.{namespace}")
}

/// The name by which API servers call there.
fn host(site: Site) -> String {
    format!("{}.svc", title(site))
}

impl World {
    async fn start() -> World {
        let alone = ALONE.lock().await;
        let network = Network::start().await;
        let server = ApiServer::start_in(Some(&network.socket())).await;
        let admin = server.client("admin").await;
        for name in ["gate-a", "gate-b", "prod"] {
            apply(&admin, &namespace(name, "test")).await;
        }
        World {
            server,
            admin,
            network,
            _alone: alone,
        }
    }

    /// Grants what an installation needs; returns it.
    async fn grant(&self, site: Site, policies: &[(&str, &str)], more: &[&str]) -> Vec<Value> {
        let (service, name) = (format!("{}/{}", site.0, site.1), title(site));
        let args = [&["--service", &*service, "--name", &*name][..], more].concat();
        let objects = manifests(policies, &args);
        for object in &objects {
            apply(&self.admin, object).await;
        }
        let user = account(site.0, &name);
        in_force(&self.admin, &user, &granted(&objects)).await;
        objects
    }

    /// Prepares a replica with the rights of its account.
    fn launch(&self, site: Site, policies: &[(&str, &str)]) -> Launch {
        let kubeconfig = self.server.kubeconfig(site.1);
        Launch::new()
            .policies(policies)
            .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
            .args(["--service", &format!("{}/{}", site.0, site.1)])
            .args(["--name", &title(site)])
    }

    async fn lead(&self, (namespace, name, address): Site, behind: std::net::SocketAddr) {
        let service = self.network.service((namespace, name), address, behind);
        apply(&self.admin, &service).await;
    }

    /// Adds an installation with one replica.
    async fn install(&self, site: Site, policies: &[(&str, &str)]) -> Process {
        self.grant(site, policies, &[]).await;
        let process = self.launch(site, policies).start().await;
        self.lead(site, process.address()).await;
        process
    }

    /// Returns what a ConfigMap becomes, or why it is refused.
    async fn created(&self, name: &str) -> Result<ConfigMap, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.admin.clone(), "prod");
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let created = api.create(&parameters, &object).await;
        created.map_err(|problem| problem.to_string())
    }

    /// Waits until ConfigMaps get exactly these labels.
    async fn until(&self, labels: &[(&str, &str)]) {
        let words = format!("ConfigMaps get {labels:?}");
        let labels = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()));
        let expected = Some(labels.collect());
        eventually(&words, || async {
            let created = self.created("one").await.ok()?;
            (created.metadata.labels == expected).then_some(())
        })
        .await;
    }

    async fn validating(&self, site: Site) -> ValidatingWebhookConfiguration {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.admin.clone());
        api.get(&title(site)).await.unwrap()
    }

    async fn mutating(&self, site: Site) -> MutatingWebhookConfiguration {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.admin.clone());
        api.get(&title(site)).await.unwrap()
    }

    /// Returns what API servers are told to trust.
    async fn bundle(&self, site: Site) -> Vec<u8> {
        let webhooks = self.validating(site).await.webhooks.unwrap();
        webhooks[0].client_config.ca_bundle.clone().unwrap().0
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn two_installations_change_objects_one_after_the_other() {
    let world = World::start().await;
    let (first, second) = (
        [("costs.cel", COSTS)],
        [("teams.cel", TEAMS), ("teamed.cel", TEAMED)],
    );
    let one = world.install(FIRST, &first).await;
    eventually("the first is registered", || async {
        let webhooks = world.mutating(FIRST).await.webhooks?;
        assert_eq!(webhooks[0].reinvocation_policy.as_deref(), Some("IfNeeded"));
        let service = webhooks[0].client_config.service.clone().unwrap();
        assert_eq!((&*service.namespace, &*service.name), ("gate-a", "first"));
        assert_eq!(service.path.as_deref(), Some("/mutate"));
        Some(())
    })
    .await;
    let two = world.install(SECOND, &second).await;
    // The first, called again after the second, sees the team.
    world.until(&[("team", "blue"), ("cost", "of-blue")]).await;
    let webhooks = world.mutating(SECOND).await.webhooks.unwrap();
    assert_eq!(webhooks[0].reinvocation_policy.as_deref(), Some("Never"));

    // Neither writes over what the other does.
    let versions = async || {
        let [one, two] = [world.mutating(FIRST).await, world.mutating(SECOND).await];
        let [three, four] = [
            world.validating(FIRST).await,
            world.validating(SECOND).await,
        ];
        let of = [one.metadata, two.metadata, three.metadata, four.metadata];
        of.map(|it| it.resource_version.unwrap())
    };
    let before = versions().await;
    // Longer than what is as it should be stays unwritten.
    sleep(Duration::from_secs(12)).await;
    assert_eq!(versions().await, before);

    // Called once, it does not.
    let never = COSTS.replace("IfNeeded", "Never");
    std::fs::write(one.policy("costs.cel"), never).unwrap();
    world.until(&[("team", "blue")]).await;

    // What nobody changes is refused by what is asked last, and validation sees what mutation made.
    std::fs::remove_file(two.policy("teams.cel")).unwrap();
    eventually("nobody gives it a team", || async {
        let refused = world.created("one").await.err()?;
        refused.contains("somebody has it").then_some(())
    })
    .await;
    one.stop().await;
    two.stop().await;
}

/// Has a folder hold this pair, as the kubelet would.
fn publish(secret: &mut MountedSecret, issued: &Issued) {
    let write = |data: &Path| {
        for (name, text) in [
            ("tls.crt", &issued.certificate),
            ("tls.key", &issued.key),
            ("ca.crt", &issued.authority),
        ] {
            std::fs::write(data.join(name), text).unwrap();
        }
    };
    secret.publish_spoilt(write);
}

fn issued() -> Issued {
    let names = [host(FIRST)];
    issue(&names, SystemTime::now(), Duration::from_secs(3600)).unwrap()
}

/// A leaf that another authority signed is served five seconds after a replica has seen it, and the last
/// authority trusted for 25.
const LIFETIME: &str = "60s";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_mounted_certificate_is_registered_and_followed() {
    let mut world = World::start().await;
    let policies = [("names.cel", NAMES)];
    let objects = world.grant(FIRST, &policies, &["--mounted-certs"]).await;
    let (user, rights) = (account(FIRST.0, &title(FIRST)), granted(&objects));
    let about_secrets = rights.iter().filter(|right| right.resource == "secrets");
    assert_eq!(about_secrets.count(), 0);
    let life = async |world: &mut World| follow(world, &policies).await;
    live(&mut world, |it| &it.server, (&user, &rights), life).await;
}

/// Two replicas, whose folders change at different times, the one that registers last.
async fn follow(world: &World, policies: &[(&str, &str)]) {
    let (first, second) = (issued(), issued());
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let mut secrets = folders.each_ref().map(|it| MountedSecret::new(it.path()));
    let balancer = Balancer::start().await;
    let mut replicas = Vec::new();
    for secret in &mut secrets {
        publish(secret, &first);
        let launch = world.launch(FIRST, policies).certs(secret.directory());
        let process = launch
            .env("PORTCULLIS_CERTS_LIFETIME", LIFETIME)
            .start()
            .await;
        eventually("it is ready, and knows who holds the lease", || async {
            let answer = ask(process.admin, Method::GET, "/readyz?verbose").await;
            let said = answer.text();
            let is_ready = answer.status == 200;
            (is_ready && said.contains("the lease") && !said.contains("is looked for"))
                .then_some(())
        })
        .await;
        replicas.push(process);
    }
    assert!(replicas[0].readyz().await.contains("this replica holds"));
    balancer.send_to(replicas.iter().map(Serves::address));
    world.lead(FIRST, balancer.address).await;
    let forbidden = named("v1", "ConfigMap", Some("prod"));
    eventually("the webhook is called", || async {
        let said = create(&world.admin, &forbidden).await;
        said.contains("it is not called `forbidden`").then_some(())
    })
    .await;
    assert_eq!(world.bundle(FIRST).await, first.authority.as_bytes());
    let secret: Api<Secret> = Api::namespaced(world.admin.clone(), FIRST.0);
    assert!(secret.get_opt("first-certs").await.unwrap().is_none());

    let is_over = Arc::new(AtomicBool::new(false));
    let load = {
        let (admin, is_over) = (world.admin.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut asked = 0;
            while !is_over.load(Ordering::Relaxed) {
                let said = create(&admin, &forbidden).await;
                assert!(said.contains("it is not called `forbidden`"), "{said}");
                asked += 1;
            }
            asked
        })
    };
    let [early, late] = &mut secrets;
    publish(late, &second);
    connect(world, &replicas, Duration::from_secs(2)).await;
    publish(early, &second);
    connect(world, &replicas, Duration::from_secs(12)).await;
    for replica in &replicas {
        eventually("the second certificate is served", || async {
            let served = replica.log().matches("certificate reloaded").count();
            assert!(served <= 1, "{}", replica.log());
            (served == 1).then_some(())
        })
        .await;
    }
    eventually("the first authority is trusted no longer", || async {
        let bundle = world.bundle(FIRST).await;
        (bundle == second.authority.as_bytes()).then_some(())
    })
    .await;
    connect(world, &replicas, Duration::from_secs(1)).await;
    is_over.store(true, Ordering::Relaxed);
    println!("{} requests, none failed", load.await.unwrap());

    // Without what API servers are to trust nothing is registered, and that is said.
    for replica in replicas {
        replica.stop().await;
    }
    let bare = world.launch(FIRST, policies).certs(late.directory());
    late.publish_spoilt(|data| std::fs::remove_file(data.join("ca.crt")).unwrap());
    let bare = bare.start().await;
    eventually("what is missing is said", || async {
        let answer = ask(bare.admin, Method::GET, "/readyz?verbose").await;
        let said = answer.text();
        let words = "what API servers are to trust is not known: there is no certificate in";
        (answer.status == 200 && said.contains(words)).then_some(())
    })
    .await;
    bare.stop().await;
}

/// Connects to each replica, again and again, as an API server would that knows what is registered.
async fn connect(world: &World, replicas: &[Process], lasts: Duration) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ca.crt");
    let begun = Instant::now();
    while begun.elapsed() < lasts {
        std::fs::write(&path, world.bundle(FIRST).await).unwrap();
        for replica in replicas {
            let server = (&*host(FIRST), replica.address());
            let connected = Direct::connect_to(server, &path, Http::One).await;
            connected.unwrap_or_else(|problem| panic!("{problem}: {}", replica.log()));
        }
        sleep(Duration::from_millis(50)).await;
    }
}
