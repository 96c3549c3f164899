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
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::balancer::Balancer;
use super::manages::{NAMES, create, manifests, named};
use super::support::client::{Client as Direct, Http, Serves, ask};
use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::support::network::Network;
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
pub(super) type Site = (&'static str, &'static str, &'static str);
pub(super) const FIRST: Site = ("gate-a", "first", "10.0.0.11");
const SECOND: Site = ("gate-b", "second", "10.0.0.12");

/// A cluster with a network.
pub(super) struct World {
    pub(super) server: ApiServer,
    pub(super) admin: Client,
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
    pub(super) async fn start() -> World {
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
    pub(super) async fn grant(
        &self,
        site: Site,
        policies: &[(&str, &str)],
        more: &[&str],
    ) -> Vec<Value> {
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
    pub(super) fn launch(&self, site: Site, policies: &[(&str, &str)]) -> Launch {
        let kubeconfig = self.server.kubeconfig(site.1);
        Launch::new()
            .policies(policies)
            .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
            .args(["--service", &format!("{}/{}", site.0, site.1)])
            .args(["--name", &title(site)])
    }

    pub(super) async fn lead(
        &self,
        (namespace, name, address): Site,
        behind: std::net::SocketAddr,
    ) {
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
    pub(super) async fn bundle(&self, site: Site) -> Vec<u8> {
        let webhooks = self.validating(site).await.webhooks.unwrap();
        webhooks[0].client_config.ca_bundle.clone().unwrap().0
    }

    /// Waits until [`NAMES`] denies.
    pub(super) async fn is_called(&self) {
        let forbidden = named("v1", "ConfigMap", Some("prod"));
        eventually("the webhook is called", || async {
            let said = create(&self.admin, &forbidden).await;
            said.contains("it is not called `forbidden`").then_some(())
        })
        .await;
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
pub(super) fn publish(secret: &mut MountedSecret, issued: &Issued) {
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

pub(super) fn issued() -> Issued {
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
    world.is_called().await;
    assert_eq!(world.bundle(FIRST).await, first.authority.as_bytes());
    let secret: Api<Secret> = Api::namespaced(world.admin.clone(), FIRST.0);
    assert!(secret.get_opt("first-certs").await.unwrap().is_none());

    let load = Load::start(&world.admin);
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
    load.end().await;

    // Without what API servers are to trust nothing is registered, and that is said.
    for replica in replicas {
        replica.stop().await;
    }
    let bare = world.launch(FIRST, policies).certs(late.directory());
    late.publish_spoilt(|data| {
        std::fs::write(data.join("tls.crt"), &second.certificate).unwrap();
        std::fs::write(data.join("tls.key"), &second.key).unwrap();
        std::fs::remove_file(data.join("ca.crt")).unwrap();
    });
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

/// Requests one after the other, each of which is to be refused by the policy.
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    asks: JoinHandle<usize>,
}

impl Load {
    pub(super) fn start(admin: &Client) -> Self {
        let forbidden = named("v1", "ConfigMap", Some("prod"));
        let (admin, is_over) = (admin.clone(), Arc::new(AtomicBool::new(false)));
        let observed = Arc::clone(&is_over);
        let asks = tokio::spawn(async move {
            let mut asked = 0;
            while !observed.load(Ordering::Relaxed) {
                let said = create(&admin, &forbidden).await;
                assert!(said.contains("it is not called `forbidden`"), "{said}");
                asked += 1;
            }
            asked
        });
        Load { is_over, asks }
    }

    pub(super) async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        println!("{} requests, none failed", self.asks.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_replica_is_ready_once_who_signed_its_certificate_is_trusted() {
    let world = World::start().await;
    let policies = [("names.cel", NAMES)];
    world.grant(FIRST, &policies, &["--mounted-certs"]).await;
    let (old, new) = (issued(), issued());
    let folders = [(); 4].map(|()| TempDir::new().unwrap());
    let mut secrets = folders.each_ref().map(|it| MountedSecret::new(it.path()));
    let [of_first, of_second, of_third, of_fourth] = &mut secrets;
    for (secret, issued) in [
        (&mut *of_first, &old),
        (of_second, &old),
        (of_third, &new),
        (of_fourth, &new),
    ] {
        publish(secret, issued);
    }
    let start = async |secret: &MountedSecret| start_mounted(&world, secret).await;
    let balancer = Balancer::start().await;
    let first = start(of_first).await;
    until_it_holds(&[&first]).await;
    let second = start(of_second).await;
    until_ready(&second).await;
    balancer.send_to([first.address(), second.address()]);
    world.lead(FIRST, balancer.address).await;
    world.is_called().await;
    assert_eq!(world.bundle(FIRST).await, old.authority.as_bytes());
    let load = Load::start(&world.admin);

    // The next pod is given another certificate than those that run have seen, and asks for what it needs.
    let third = start(of_third).await;
    until_ready(&third).await;
    let words = "do not trust the certificate yet";
    assert!(third.log().contains(words), "{}", third.log());
    let both = format!("{}{}", old.authority, new.authority);
    assert_eq!(world.bundle(FIRST).await, both.as_bytes());
    publish(of_first, &new);
    let both = format!("{}{}", new.authority, old.authority);
    eventually(
        "what the one that registers has itself is first",
        || async { (world.bundle(FIRST).await == both.as_bytes()).then_some(()) },
    )
    .await;
    balancer.send_to([&first, &second, &third].map(Serves::address));
    let all = [first, second, third];
    connect(&world, &all, Duration::from_secs(2)).await;
    load.end().await;
    take_turns(&world, &balancer, all, (of_fourth, [&old, &new])).await;
}

async fn start_mounted(world: &World, secret: &MountedSecret) -> Process {
    let policies = [("names.cel", NAMES)];
    let launch = world.launch(FIRST, &policies).certs(secret.directory());
    let launch = launch.env("PORTCULLIS_CERTS_LIFETIME", LIFETIME);
    let launch = launch.env("PORTCULLIS_SHUTDOWN_GRACE", "2s");
    launch.start().await
}

/// Has a replica end as the kubelet would: what comes meanwhile is answered.
pub(super) async fn leave(mut replica: Process) {
    replica.signal("-TERM");
    assert_eq!(replica.ended().await, Some(0), "{}", replica.log());
}

/// Whoever goes on knows one of both authorities alone, and forgets neither: first one of them, then the
/// other.
async fn take_turns(
    world: &World,
    balancer: &Balancer,
    [first, second, third]: [Process; 3],
    (of_fourth, authorities): (&MountedSecret, [&Issued; 2]),
) {
    balancer.send_to([&second, &third].map(Serves::address));
    leave(first).await;
    let load = Load::start(&world.admin);
    let at = until_it_holds(&[&second, &third]).await;
    println!("the {} goes on", ["second", "third"][at]);
    let left = [second, third];
    connect(world, &left, Duration::from_secs(3)).await;
    both_are_trusted(world, authorities).await;
    let fourth = start_mounted(world, of_fourth).await;
    until_ready(&fourth).await;
    balancer.send_to(left.iter().chain([&fourth]).map(Serves::address));
    let [second, third] = left;
    let (gone, stays) = match at {
        0 => (second, third),
        _ => (third, second),
    };
    balancer.send_to([&stays, &fourth].map(Serves::address));
    load.end().await;
    leave(gone).await;
    let load = Load::start(&world.admin);
    until_it_holds(&[&stays, &fourth]).await;
    let left = [stays, fourth];
    connect(world, &left, Duration::from_secs(3)).await;
    both_are_trusted(world, authorities).await;
    load.end().await;
    for replica in left {
        replica.stop().await;
    }
}

pub(super) async fn until_ready(replica: &Process) {
    eventually("it is ready", || async {
        let answer = ask(replica.admin, Method::GET, "/readyz").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Waits until one of these holds the Lease and is ready; says which.
async fn until_it_holds(replicas: &[&Process]) -> usize {
    eventually("one of them holds the Lease", || async {
        for (at, replica) in replicas.iter().enumerate() {
            let answer = ask(replica.admin, Method::GET, "/readyz?verbose").await;
            if answer.status == 200 && answer.text().contains("this replica holds") {
                return Some(at);
            }
        }
        None
    })
    .await
}

async fn both_are_trusted(world: &World, authorities: [&Issued; 2]) {
    let bundle = String::from_utf8(world.bundle(FIRST).await).unwrap();
    for issued in authorities {
        assert!(bundle.contains(&issued.authority), "{bundle}");
    }
}

/// Connects to each replica, again and again, as an API server would that knows what is registered.
pub(super) async fn connect(world: &World, replicas: &[Process], lasts: Duration) {
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
