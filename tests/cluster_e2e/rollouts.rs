//! Replicas that are replaced by others whose certificates are of another origin, one by one and under load,
//! as a Deployment does it: the next is routed to once it is ready, and then one of those before leaves.

use std::time::{Duration, Instant};

use hyper::Method;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams};
use tempfile::TempDir;
use tokio::time::sleep;

use super::installations::{FIRST, Load, World, connect, issued, leave, publish, until_ready};
use super::manages::NAMES;
use super::service::Service;
use super::support::client::{Serves, ask};
use super::support::process::{Launch, Process};
use super::support::secret::MountedSecret;
use super::support::{SOON, eventually};

/// So that what is trusted for a while is so for 37.5 s, and no certificate ends meanwhile.
const LIFETIME: &str = "90s";
/// Where replicas keep what they issue.
const SECRET: &str = "first-certs";
const POLICIES: [(&str, &str); 1] = [("names.cel", NAMES)];

/// Where the certificates of replicas come from.
enum Origin {
    /// They issue them themselves.
    Own,
    /// A folder.
    Mounted {
        secret: MountedSecret,
        _folder: TempDir,
    },
}

impl Origin {
    /// Returns a folder with a certificate, and who signed that.
    fn mounted() -> (Self, String) {
        let (issued, folder) = (issued(), TempDir::new().unwrap());
        let mut secret = MountedSecret::new(folder.path());
        publish(&mut secret, &issued);
        let origin = Origin::Mounted {
            secret,
            _folder: folder,
        };
        (origin, issued.authority)
    }

    /// Applies what `manifests` prints for it, as an upgrade does first.
    async fn grant(&self, world: &World) {
        let more: &[&str] = match self {
            Origin::Own => &[],
            Origin::Mounted { .. } => &["--mounted-certs"],
        };
        world.grant(FIRST, &POLICIES, more).await;
    }

    /// Does what an upgrade with the chart does besides: it makes the Secret, empty, or removes it, and lets
    /// nobody else make it.
    async fn prepare(&self, world: &World) {
        let api: Api<Secret> = Api::namespaced(world.admin.clone(), FIRST.0);
        match self {
            Origin::Own => {
                let mut secret = Secret::default();
                secret.metadata.name = Some(SECRET.to_owned());
                api.create(&PostParams::default(), &secret).await.unwrap();
            }
            Origin::Mounted { .. } => {
                // Until API servers have seen what roles allow.
                sleep(SOON).await;
                let _ = api.delete(SECRET, &DeleteParams::default()).await;
            }
        }
    }

    fn launch(&self, world: &World) -> Launch {
        let launch = world.launch(FIRST, &POLICIES);
        let launch = match self {
            Origin::Own => launch,
            Origin::Mounted { secret, .. } => launch.certs(secret.directory()),
        };
        launch
            .env("PORTCULLIS_CERTS_LIFETIME", LIFETIME)
            .env("PORTCULLIS_SHUTDOWN_GRACE", "2s")
    }
}

/// Starts a replica and waits until requests are routed to it.
async fn add(world: &World, service: &Service, origin: &Origin) -> Process {
    let replica = origin.launch(world).start().await;
    service.add(replica.address(), replica.admin);
    routed(service, &replica).await;
    replica
}

async fn routed(service: &Service, replica: &Process) {
    let begun = Instant::now();
    until_ready(replica).await;
    println!("ready after {:?}", begun.elapsed());
    eventually("requests are routed to it", || async {
        let endpoint = service.endpoint(replica.address());
        endpoint.is_ready.then_some(())
    })
    .await;
}

/// Starts two replicas that API servers call.
async fn install(world: &World, service: &Service, origin: &Origin) -> Vec<Process> {
    origin.grant(world).await;
    world.lead(FIRST, service.address).await;
    let mut replicas = Vec::new();
    for _ in 0..2 {
        replicas.push(add(world, service, origin).await);
    }
    world.is_called().await;
    replicas
}

/// Waits until one of these holds the Lease; says which. One whose Secret is gone says that instead.
async fn holding(replicas: &[Process]) -> usize {
    let words = ["this replica holds", "cannot go on: the Secret"];
    eventually("one of them holds the Lease", || async {
        for (at, replica) in replicas.iter().enumerate() {
            let answer = ask(replica.admin, Method::GET, "/readyz?verbose").await;
            if words.iter().any(|words| answer.text().contains(words)) {
                return Some(at);
            }
        }
        None
    })
    .await
}

fn load(world: &World) -> Vec<Load> {
    (0..4).map(|_| Load::start(&world.admin)).collect()
}

/// Replaces two replicas by two others, each of which runs so long before one leaves; returns those, and what
/// API servers trust then.
async fn roll(
    world: &World,
    (before, after): (&Origin, &Origin),
    each: Duration,
) -> ([Process; 2], String) {
    let service = Service::start().await;
    let mut replicas = install(world, &service, before).await;
    let first = world.bundle(FIRST).await;
    let loads = load(world);

    after.grant(world).await;
    after.prepare(world).await;
    for at in 0..2 {
        let next = add(world, &service, after).await;
        replicas.push(next);
        connect(world, &replicas, each).await;
        // Whoever registers is the first to go.
        let former = replicas.len() - 1 - at;
        let holds = holding(&replicas).await;
        let left = replicas.remove(if holds < former { holds } else { 0 });
        let address = left.address();
        leave(left).await;
        service.remove(address);
        connect(world, &replicas, Duration::from_secs(4)).await;
    }
    holding(&replicas).await;
    connect(world, &replicas, Duration::from_secs(2)).await;
    let first = String::from_utf8(first).unwrap();
    let both = String::from_utf8(world.bundle(FIRST).await).unwrap();
    assert!(both.contains(&first), "{both} lacks {first}");
    eventually("who signed the former is forgotten", || async {
        let bundle = String::from_utf8(world.bundle(FIRST).await).unwrap();
        (!bundle.contains(&first)).then_some(())
    })
    .await;
    connect(world, &replicas, Duration::from_secs(2)).await;
    for load in loads {
        load.end().await;
    }
    let bundle = String::from_utf8(world.bundle(FIRST).await).unwrap();
    let replicas: [Process; 2] = replicas.try_into().ok().unwrap();
    for replica in &replicas {
        assert!(!replica.log().contains("ERROR"), "{}", replica.log());
    }
    (replicas, bundle)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn replicas_that_issue_certificates_give_way_to_ones_with_mounted_ones() {
    let world = World::start().await;
    let (mounted, authority) = Origin::mounted();
    let (replicas, bundle) = roll(&world, (&Origin::Own, &mounted), SOON).await;
    assert_eq!(bundle, authority);
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn replicas_with_mounted_certificates_give_way_to_ones_that_issue_them() {
    let world = World::start().await;
    let (mounted, authority) = Origin::mounted();
    let (replicas, bundle) = roll(&world, (&mounted, &Origin::Own), SOON).await;
    assert!(!bundle.contains(&authority) && !bundle.is_empty());
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn replicas_give_way_to_ones_with_certificates_of_another_folder() {
    let world = World::start().await;
    let ((former, _), (next, authority)) = (Origin::mounted(), Origin::mounted());
    // Longer than what one replica asks for is trusted unless it asks again.
    let each = Duration::from_secs(42);
    let (replicas, bundle) = roll(&world, (&former, &next), each).await;
    assert_eq!(bundle, authority);
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_secret_that_is_deleted_is_made_again_and_no_request_fails() {
    let world = World::start().await;
    let service = Service::start().await;
    let replicas = install(&world, &service, &Origin::Own).await;
    let first = String::from_utf8(world.bundle(FIRST).await).unwrap();
    let loads = load(&world);
    let api: Api<Secret> = Api::namespaced(world.admin.clone(), FIRST.0);
    let parameters = DeleteParams::default();
    api.delete(SECRET, &parameters).await.unwrap();
    connect(&world, &replicas, Duration::from_secs(8)).await;
    let both = String::from_utf8(world.bundle(FIRST).await).unwrap();
    assert!(both.ends_with(&first) && both != first, "{both}");
    for load in loads {
        load.end().await;
    }
    for replica in replicas {
        let served = replica.log().matches("certificate reloaded").count();
        assert_eq!(served, 2, "{}", replica.log());
        assert!(!replica.log().contains("not ready"), "{}", replica.log());
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn what_no_holder_issues_one_of_the_others_does() {
    let world = World::start().await;
    let service = Service::start().await;
    let (mounted, authority) = Origin::mounted();
    let mut replicas = install(&world, &service, &mounted).await;
    let loads = load(&world);
    Origin::Own.grant(&world).await;
    for _ in 0..2 {
        // Both wait for it at the same time.
        let next = Origin::Own.launch(&world).start().await;
        service.add(next.address(), next.admin);
        replicas.push(next);
    }
    let mut issued = 0;
    for next in replicas.iter().skip(2) {
        routed(&service, next).await;
        issued += next.log().matches("certificate issued").count();
    }
    assert_eq!(issued, 1, "{}", replicas[2].log());
    connect(&world, &replicas, SOON).await;
    let bundle = String::from_utf8(world.bundle(FIRST).await).unwrap();
    let secret: Api<Secret> = Api::namespaced(world.admin.clone(), FIRST.0);
    let secret = secret.get(SECRET).await.unwrap().data.unwrap();
    let own = String::from_utf8(secret["ca.crt"].0.clone()).unwrap();
    assert_eq!(bundle, format!("{authority}{own}"));
    for load in loads {
        load.end().await;
    }
    for replica in replicas {
        replica.stop().await;
    }
}
