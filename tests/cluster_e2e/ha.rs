//! Three replicas under a constant load, while what happens to replicas happens to them.
//!
//! API servers call a Service by HTTP/1.1 and do not send a review again that was written to a
//! connection which then broke: of errors they retry only those of GET (client-go `rest/request.go`,
//! `request`), and `net/http` only what it has not begun to write or what is idempotent by its method
//! (`transport.go`, `shouldRetryRequest`). Of answers they do retry 429 and 5xx with `Retry-After`
//! (`rest/with_retry.go`), but who was killed answers nothing. The helper that would retry,
//! `WithExponentialBackoff` of apiserver `pkg/util/webhook`, is used for authentication, authorization and
//! audit, and not for admission. So no webhook can promise that a SIGKILL loses nothing: what was in
//! flight to that replica, or is sent there before the cluster has noticed, fails, and by `failurePolicy:
//! Fail` nothing is admitted by it; the test counts how many that are at most. Whatever else happens here
//! must lose nothing, and neither must the end of the holder that Kubernetes asks for (SIGTERM), which is
//! among the replicas that are rolled.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Method;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Client;
use kube::api::Api;
use tokio::sync::MutexGuard;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::manages::{create, deployment, manifests};
use super::service::{Link, Service};
use super::support::client::{Serves, ask};
use super::support::kubernetes::ApiServer;
use super::support::network::Network;
use super::support::process::{Launch, Process};
use super::support::{SOON, eventually};
use super::{ALONE, apply, namespace};

/// So many ask at once, so often.
const CALLERS: usize = 8;
const EVERY: Duration = Duration::from_millis(40);
/// How long certificates live. The next is due after two thirds; a holder that is gone is replaced within
/// the last third, and who is cut off is mended in it. The test lasts long enough to see the first
/// forgotten.
const LIFETIME: &str = "60s";
/// As the chart has it.
const GRACE: &str = "5s";
const FILE: &str = "replicas.cel";

/// Deployments need so many replicas; the namespace is of the cluster.
fn policy(least: u8) -> String {
    format!(
        "// ---
// name: replicas
// match: {{resources: [apps/v1/deployments]}}
// ---

// @require at least {least} replicas
namespaceObject.metadata.labels.env != 'test' || object.spec.replicas >= {least}
"
    )
}

/// One request of the load and what came of it.
struct Sample {
    sent: Instant,
    answered: Instant,
    replicas: u8,
    said: String,
}

impl Sample {
    /// Says whether the webhook could not be asked, or the API server could not.
    fn is_failed(&self) -> bool {
        !self.said.is_empty() && !self.said.contains("denied the request")
    }

    /// Says whether it is the verdict of a policy that may have been in force; for [`SOON`] after a change
    /// of policies the old one may still be.
    fn is_right(&self, changes: &[(Instant, u8)]) -> bool {
        let in_force = changes.iter().enumerate().filter(|(at, (since, _))| {
            let until = changes.get(at + 1).map(|(until, _)| *until + SOON);
            *since <= self.answered && until.is_none_or(|until| self.sent < until)
        });
        let mut least = in_force.map(|(_, (_, least))| *least);
        least.any(|least| match self.replicas >= least {
            true => self.said.is_empty(),
            false => self.said.contains(&format!("at least {least} replicas")),
        })
    }
}

/// Asks for good; ends when it is told to.
fn load(admin: &Client, is_over: &Arc<AtomicBool>) -> Vec<JoinHandle<Vec<Sample>>> {
    let caller = |number: usize| {
        let (admin, is_over) = (admin.clone(), Arc::clone(is_over));
        tokio::spawn(async move {
            let mut samples = Vec::new();
            let mut clock = interval(EVERY);
            // All ask at the same time, so that several connections are open.
            clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut replicas = (1..=3).cycle().skip(number);
            while !is_over.load(Ordering::Relaxed) {
                clock.tick().await;
                let replicas = replicas.next().unwrap();
                let sent = Instant::now();
                let said = create(&admin, &deployment("prod", replicas)).await;
                samples.push(Sample {
                    sent,
                    answered: Instant::now(),
                    replicas,
                    said,
                });
            }
            samples
        })
    };
    (0..CALLERS).map(caller).collect()
}

struct Replica {
    name: String,
    process: Process,
    link: Link,
    since: Instant,
}

impl Replica {
    async fn metric(&self, name: &str) -> f64 {
        let page = ask(self.process.admin, Method::GET, "/metrics").await;
        let lines = page.text().lines().filter(|line| line.starts_with(name));
        let values = lines.filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    async fn reviews(&self) -> f64 {
        self.metric("portcullis_review_duration_seconds_count")
            .await
    }

    async fn expires(&self) -> f64 {
        self.metric("portcullis_certificate_not_after_timestamp_seconds")
            .await
    }

    async fn says(&self, words: &str) -> bool {
        let said = ask(self.process.admin, Method::GET, "/readyz?verbose").await;
        said.text().contains(words)
    }

    /// Puts into a line what it has used up to now.
    async fn spent(&self) -> String {
        let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.process.id()));
        let status = of("status").unwrap();
        let mebibytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
            kibibytes.parse::<f64>().unwrap() / 1024.0
        };
        // After the name, which is in parentheses; in hundredths of a second (proc_pid_stat(5)).
        let stat = of("stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap() / 100.0;
        let (lived, used) = (self.since.elapsed().as_secs_f64(), ticks(12) + ticks(13));
        format!(
            "{:<8} {lived:>6.1} {:>8.0} {:>9.1} {:>9.1} {used:>8.2} {:>7.1}",
            self.name,
            self.reviews().await,
            mebibytes("VmRSS:"),
            mebibytes("VmHWM:"),
            used / lived * 100.0,
        )
    }
}

/// Replicas behind a Service, in a cluster that calls them.
struct World {
    server: ApiServer,
    admin: Client,
    service: Service,
    _network: Network,
    replicas: Vec<Replica>,
    least: u8,
    /// Since when policies ask for so many replicas.
    changes: Vec<(Instant, u8)>,
    phases: Vec<(&'static str, Instant)>,
    /// What replicas have used that are no more.
    spent: Vec<String>,
    started: usize,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    async fn start(least: u8) -> World {
        let alone = ALONE.lock().await;
        let network = Network::start().await;
        let server = ApiServer::start_in(Some(&network.socket())).await;
        let admin = server.client("admin").await;
        for name in ["policy", "prod"] {
            apply(&admin, &namespace(name, "test")).await;
        }
        let text = policy(least);
        for object in manifests(&[(FILE, &text)], &["--service", "policy/portcullis"]) {
            apply(&admin, &object).await;
        }
        let service = Service::start().await;
        let name = ("policy", "portcullis");
        apply(&admin, &network.service(name, "10.0.0.10", service.address)).await;
        World {
            server,
            admin,
            service,
            _network: network,
            replicas: Vec::new(),
            least,
            changes: vec![(Instant::now(), least)],
            phases: Vec::new(),
            spent: Vec::new(),
            started: 0,
            _alone: alone,
        }
    }

    fn begin(&mut self, phase: &'static str) {
        self.phases.push((phase, Instant::now()));
    }

    /// Starts a replica and waits until the Service sends requests to it.
    async fn add(&mut self) {
        let kubeconfig = fs::read_to_string(self.server.kubeconfig("portcullis")).unwrap();
        let (before, rest) = kubeconfig.split_once("https://").unwrap();
        let (server, after) = rest.split_once('\'').unwrap();
        let link = Link::start(server.parse().unwrap()).await;
        let launch = Launch::new().policies(&[(FILE, &policy(self.least))]);
        let text = format!("{before}https://{}'{after}", link.address);
        fs::write(launch.folder().join("kubeconfig"), text).unwrap();
        let since = Instant::now();
        let process = launch
            .args([
                "--kubeconfig",
                "kubeconfig",
                "--service",
                "policy/portcullis",
            ])
            .env("PORTCULLIS_CERTS_LIFETIME", LIFETIME)
            .env("PORTCULLIS_SHUTDOWN_GRACE", GRACE)
            .start()
            .await;
        self.service.add(process.address(), process.admin);
        self.started += 1;
        let name = format!("no. {}", self.started);
        self.replicas.push(Replica {
            name,
            process,
            link,
            since,
        });
        self.routed(self.replicas.len() - 1, true).await;
    }

    /// Waits until the Service sends new connections to a replica, or does so no longer.
    async fn routed(&self, at: usize, is_routed: bool) {
        let address = self.address(at);
        eventually("the Service has noticed", || async {
            (self.service.endpoint(address).is_ready == is_routed).then_some(())
        })
        .await;
    }

    fn address(&self, at: usize) -> SocketAddr {
        self.replicas[at].process.address()
    }

    /// Returns the replica that says that it holds the Lease.
    async fn holding(&self) -> usize {
        eventually("a replica holds the lease", || async {
            for (at, replica) in self.replicas.iter().enumerate() {
                if replica.says("this replica holds the lease").await {
                    return Some(at);
                }
            }
            None
        })
        .await
    }

    /// Returns the authorities that the API server is told to trust.
    async fn bundle(&self) -> Vec<String> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.admin.clone());
        let configuration = api.get("portcullis").await.unwrap();
        let webhooks = configuration.webhooks.unwrap();
        let bundle = webhooks[0].client_config.ca_bundle.clone().unwrap();
        let bundle = String::from_utf8(bundle.0).unwrap();
        let authorities = bundle.split_inclusive("-----END CERTIFICATE-----\n");
        authorities.map(str::to_owned).collect()
    }

    /// Gives every replica other policies, each as a whole.
    fn change(&mut self, least: u8) {
        self.least = least;
        self.changes.push((Instant::now(), least));
        for replica in &self.replicas {
            let written = replica.process.folder().join("written");
            fs::write(&written, policy(least)).unwrap();
            fs::rename(&written, replica.process.policy(FILE)).unwrap();
        }
    }

    /// Kills the holder of the Lease; returns how many requests that may have cost, and until when.
    async fn kill(&mut self) -> (usize, Instant) {
        let at = self.holding().await;
        let address = self.address(at);
        self.spent.push(self.replicas[at].spent().await);
        let before = self.service.endpoint(address);
        self.replicas[at].process.signal("-KILL");
        self.routed(at, false).await;
        let noticed = Instant::now();
        // On each connection there is one request at a time.
        let lost = self.service.endpoint(address).routed - before.ended;
        self.service.remove(address);
        let mut killed = self.replicas.remove(at);
        assert_eq!(killed.process.ended().await, None);
        (lost, noticed)
    }

    /// Replaces every replica as a Deployment does: the next starts when one is ready for one that
    /// leaves, whose end nobody waits for.
    async fn roll(&mut self) {
        let mut leaving = Vec::new();
        for _ in 0..3 {
            self.add().await;
            let old = self.replicas.remove(0);
            self.spent.push(old.spent().await);
            old.process.signal("-TERM");
            leaving.push(old);
        }
        for mut old in leaving {
            assert_eq!(old.process.ended().await, Some(0), "{}", old.process.log());
            self.service.remove(old.process.address());
            check_log(&old);
        }
    }

    /// Waits until every replica serves another certificate and the first is trusted no longer.
    async fn rotate(&self, (first, expires): (&[String], f64)) {
        eventually("every replica serves the next certificate", || async {
            for replica in &self.replicas {
                if replica.expires().await <= expires {
                    return None;
                }
            }
            Some(())
        })
        .await;
        eventually("the first certificate is forgotten", || async {
            let bundle = self.bundle().await;
            (bundle.len() == 1 && bundle != first).then_some(())
        })
        .await;
    }

    /// Cuts the holder of the Lease off the API server until another one holds it; returns how many
    /// reviews it has answered.
    async fn cut_the_holder(&mut self) -> f64 {
        let at = self.holding().await;
        let before = self.replicas[at].reviews().await;
        self.replicas[at].link.cut();
        eventually("another replica holds the lease", || async {
            for (other, replica) in self.replicas.iter().enumerate() {
                if other != at && replica.says("this replica holds the lease").await {
                    return Some(());
                }
            }
            None
        })
        .await;
        let words = "this replica holds the lease";
        assert!(!self.replicas[at].says(words).await, "two hold the lease");
        // Its policies are its own.
        self.change(2);
        sleep(SOON + Duration::from_secs(1)).await;
        assert!(self.service.endpoint(self.address(at)).is_ready);
        let answered = self.replicas[at].reviews().await - before;
        self.replicas[at].link.mend();
        eventually("it leaves the lease to the other", || async {
            self.replicas[at]
                .says("` holds the lease")
                .await
                .then_some(())
        })
        .await;
        answered
    }

    /// Cuts another replica off the API server and mends it; returns how many reviews it has answered.
    async fn cut(&mut self) -> f64 {
        let holding = self.holding().await;
        let others = (0..self.replicas.len()).filter(|at| *at != holding);
        let open = |at: &usize| {
            let endpoint = self.service.endpoint(self.address(*at));
            endpoint.routed - endpoint.ended
        };
        let at = others.max_by_key(open).unwrap();
        let before = self.replicas[at].reviews().await;
        self.replicas[at].link.cut();
        eventually("it notices", || async {
            let words = "cannot go on: the lease: the API server does not answer";
            self.replicas[at].says(words).await.then_some(())
        })
        .await;
        // Its policies are its own.
        self.change(2);
        sleep(SOON * 2).await;
        assert!(self.service.endpoint(self.address(at)).is_ready);
        let answered = self.replicas[at].reviews().await - before;
        self.replicas[at].link.mend();
        eventually("it goes on", || async {
            let is_stuck = self.replicas[at].says("cannot go on").await;
            (!is_stuck).then_some(())
        })
        .await;
        sleep(SOON).await;
        answered
    }
}

fn check_log(replica: &Replica) {
    let log = replica.process.log();
    for words in ["panicked", "ended before every answer"] {
        assert!(!log.contains(words), "{log}");
    }
}

/// What a phase came to.
#[derive(Default)]
struct Outcome<'a> {
    requests: usize,
    failed: Vec<&'a Sample>,
    wrong: Vec<&'a Sample>,
    longest: Duration,
}

/// Counts the samples by the phase in which they were answered.
fn outcomes<'a>(world: &World, samples: &'a [Sample]) -> Vec<Outcome<'a>> {
    let mut outcomes: Vec<Outcome> = world.phases.iter().map(|_| Outcome::default()).collect();
    for sample in samples {
        let begun = world.phases.iter();
        let begun = begun.filter(|(_, since)| *since <= sample.answered);
        let outcome = &mut outcomes[begun.count().max(1) - 1];
        outcome.requests += 1;
        outcome.longest = outcome.longest.max(sample.answered - sample.sent);
        if sample.is_failed() {
            outcome.failed.push(sample);
        } else if !sample.is_right(&world.changes) {
            outcome.wrong.push(sample);
        }
    }
    outcomes
}

/// Lays out what came of each phase and what each replica has used.
fn report(world: &World, outcomes: &[Outcome]) -> String {
    let mut table = "phase              seconds requests   failed    wrong  longest\n".to_owned();
    let ends = world.phases.iter().skip(1).map(|(_, since)| *since);
    let ends = ends.chain([Instant::now()]);
    for (((phase, since), end), it) in world.phases.iter().zip(ends).zip(outcomes) {
        let (lasted, longest) = ((end - *since).as_secs_f64(), it.longest.as_millis());
        let (failed, wrong) = (it.failed.len(), it.wrong.len());
        let requests = it.requests;
        // Writing to a text does not fail.
        let _ = writeln!(
            table,
            "{phase:<18} {lasted:>7.1} {requests:>8} {failed:>8} {wrong:>8} {longest:>5} ms"
        );
    }
    table += "\nreplica seconds  reviews   RSS MiB  peak MiB    CPU s   CPU %\n";
    table + &world.spent.join("\n")
}

fn said(samples: &[&Sample]) -> String {
    let lines = samples.iter().take(5).map(|it| {
        let taken = it.answered - it.sent;
        // The whole Status follows.
        let said = it.said.split(" (Status ").next().unwrap_or_default();
        format!("{} replicas, after {taken:?}: {said}\n", it.replicas)
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn nothing_that_happens_to_replicas_changes_a_verdict() {
    let mut world = World::start(2).await;
    for _ in 0..3 {
        world.add().await;
    }
    eventually("the API server asks", || async {
        let said = create(&world.admin, &deployment("prod", 1)).await;
        said.contains("at least 2 replicas").then_some(())
    })
    .await;
    let (authorities, expires) = (world.bundle().await, world.replicas[0].expires().await);
    let is_over = Arc::new(AtomicBool::new(false));
    let callers = load(&world.admin, &is_over);
    world.begin("steady");
    sleep(Duration::from_secs(4)).await;

    world.begin("kill");
    let (lost, noticed) = world.kill().await;
    world.add().await;
    world.holding().await;
    world.begin("roll");
    world.roll().await;
    world.begin("rotate");
    world.rotate((&authorities, expires)).await;
    world.begin("cut off the holder");
    let by_holder = world.cut_the_holder().await;
    world.begin("change");
    for least in [3, 2, 3] {
        world.change(least);
        sleep(SOON * 2).await;
    }
    world.begin("cut off another");
    let answered = world.cut().await;

    is_over.store(true, Ordering::Relaxed);
    let mut samples = Vec::new();
    for caller in callers {
        samples.extend(caller.await.unwrap());
    }
    let outcomes = outcomes(&world, &samples);
    for replica in &world.replicas {
        check_log(replica);
        world.spent.push(replica.spent().await);
    }
    println!("{}", report(&world, &outcomes));
    println!(
        "the kill could fail {lost} requests at most:\n{}{by_holder} and {answered} reviews while cut off",
        said(&outcomes[1].failed)
    );

    assert!(
        by_holder > 0.0 && answered > 0.0,
        "nobody asked the replica that was cut off"
    );
    for ((phase, _), outcome) in world.phases.iter().zip(&outcomes) {
        assert!(outcome.requests > 100, "{phase}: {}", outcome.requests);
        assert!(
            outcome.wrong.is_empty(),
            "{phase}: {}",
            said(&outcome.wrong)
        );
        let failed = &outcome.failed;
        let could_fail =
            |it: &&Sample| it.sent <= noticed && it.said.contains("failed calling webhook");
        let is_excused = *phase == "kill" && failed.len() <= lost && failed.iter().all(could_fail);
        assert!(failed.is_empty() || is_excused, "{phase}: {}", said(failed));
    }
}
