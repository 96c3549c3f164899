//! Scans while the program serves: by the replica that holds the Lease, in the rights that `manifests`
//! prints.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use hyper::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::apply;
use super::audit::{audit, definition, reports, said};
use super::manages::{World, deployment, manifests};
use super::support::client::ask;
use super::support::eventually;

const NAMES: &str = "// ---
// name: names
// match: {resources: [v1/configmaps]}
// ---

// @require it is not called `bad`
!object.metadata.name.startsWith('bad')
";

const OF_CLUSTER: &str = "// ---
// name: cluster-teams
// scope: cluster
// reads: [v1/LimitRange]
// ---

// @require there is a LimitRange
cluster.list('v1', 'LimitRange', '').size() > 0
";

const REPORT: (&str, &str, &str) = ("openreports.io", "v1alpha1", "Report");
const CLUSTER_REPORT: (&str, &str, &str) = ("openreports.io", "v1alpha1", "ClusterReport");

fn config_map(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "prod"},
    })
}

impl World {
    /// Waits until the reports name these objects and no others.
    async fn reported(&self, names: &[&str]) {
        let what = format!("{names:?} are reported");
        eventually(&what, || async {
            let all = reports(&self.admin, REPORT).await?;
            let results = all.iter().flat_map(|it| it["results"].as_array());
            let mut found: Vec<&str> = results
                .flatten()
                .filter_map(|it| it["resources"][0]["name"].as_str())
                .collect();
            found.sort_unstable();
            (found == names).then_some(())
        })
        .await;
    }

    async fn metrics(&self, at: usize) -> String {
        let answer = ask(self.replicas[at].admin, Method::GET, "/metrics").await;
        answer.text().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn the_replica_that_holds_the_lease_keeps_the_reports() {
    let policies = [("names.cel", NAMES), ("cluster.cel", OF_CLUSTER)];
    let mut objects = manifests(&policies, &["--service", "policy/portcullis", "--audit"]);
    objects.extend(
        [(REPORT.2, true), (CLUSTER_REPORT.2, false)]
            .map(|(kind, is_namespaced)| definition(REPORT.0, REPORT.1, kind, is_namespaced)),
    );
    let mut world = World::start_with(&objects).await;
    apply(&world.admin, &config_map("bad-1")).await;
    for _ in 0..2 {
        let launch = world.launch(&policies, "portcullis");
        world
            .add(launch.env("PORTCULLIS_AUDIT_INTERVAL", "1s"))
            .await;
    }
    world.reported(&["bad-1"]).await;
    eventually("what is about the cluster is reported, too", || async {
        let of_cluster = reports(&world.admin, CLUSTER_REPORT).await.unwrap();
        let mut of_cluster = of_cluster.iter();
        let is_there = of_cluster.any(|it| it.to_string().contains("cluster-teams"));
        is_there.then_some(())
    })
    .await;

    let holding = world.holding().await;
    let series = "portcullis_audit_violations{policy=\"names\",namespace=\"prod\"} 1";
    eventually("the scan is counted and what it found is shown", || async {
        let page = world.metrics(holding).await;
        let scans = "portcullis_audits_total{reason=\"ok\"} ";
        let scans = page.lines().find_map(|line| line.strip_prefix(scans));
        let is_counted = scans.is_some_and(|count| count != "0");
        (is_counted && page.contains(series)).then_some(())
    })
    .await;
    let other = world.metrics(1 - holding).await;
    assert!(!other.contains("portcullis_audit_violations{"), "{other}");

    // The webhook refuses what is bad by now; what was there before can go.
    world
        .until(&config_map("bad-2"), "it is not called `bad`")
        .await;
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(world.admin.clone(), "prod");
    api.delete("bad-1", &DeleteParams::default()).await.unwrap();
    world.reported(&[]).await;

    // Other policies find other things, and another replica goes on.
    let log = world.replicas[holding].log();
    assert!(!log.contains("cannot be scanned"), "{log}");
    for replica in &world.replicas {
        let text = NAMES.replace("'bad'", "'kube'").replace("`bad`", "`kube`");
        std::fs::write(replica.policy("names.cel"), text).unwrap();
    }
    world.replicas.remove(holding).stop().await;
    world.balance();
    let other = NAMES.replace("'bad'", "'x'").replace("`bad`", "`x`");
    std::fs::write(world.replicas[0].policy("names.cel"), other).unwrap();
    world.until(&config_map("x"), "it is not called `x`").await;
    apply(&world.admin, &config_map("y")).await;
    let second = NAMES.replace("'bad'", "'y'").replace("`bad`", "`y`");
    std::fs::write(world.replicas[0].policy("names.cel"), second).unwrap();
    world.reported(&["y"]).await;
    let log = world.replicas[0].log();
    assert!(!log.contains("cannot be scanned"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn policies_that_cannot_be_read_yet_take_no_result_away() {
    let policies = [("names.cel", NAMES)];
    let mut objects = manifests(&policies, &["--service", "policy/portcullis", "--audit"]);
    objects.extend(
        [(REPORT.2, true), (CLUSTER_REPORT.2, false)]
            .map(|(kind, is_namespaced)| definition(REPORT.0, REPORT.1, kind, is_namespaced)),
    );
    let mut world = World::start_with(&objects).await;
    for name in ["bad-1", "worse-1"] {
        apply(&world.admin, &config_map(name)).await;
    }
    let launch = world.launch(&policies, "portcullis");
    world
        .add(launch.env("PORTCULLIS_AUDIT_INTERVAL", "1s"))
        .await;
    world.reported(&["bad-1"]).await;
    world.replicas.remove(0).stop().await;

    // The next one begins with a file that is there and cannot be read.
    let launch = world.launch(&[("other.cel", REPLICAS)], "portcullis");
    let file = launch.folder().join("policies/names.cel");
    std::os::unix::fs::symlink("gone", &file).unwrap();
    let launch = launch.env("PORTCULLIS_AUDIT_INTERVAL", "1s");
    world.replicas.push(launch.start().await);
    eventually("two scans are not begun", || async {
        let page = world.metrics(0).await;
        let failed = "portcullis_audits_total{reason=\"failed\"} ";
        let failed = page.lines().find_map(|line| line.strip_prefix(failed))?;
        (failed.parse::<u64>().unwrap() >= 2).then_some(())
    })
    .await;
    let log = world.replicas[0].log();
    let why = "not all policies could be read yet: `policies/names.cel`";
    assert!(log.contains(why), "{log}");
    world.reported(&["bad-1"]).await;
    assert!(!world.metrics(0).await.contains("{reason=\"ok\"} 1"));

    // Once it is read, what is found is what it says.
    let text = NAMES
        .replace("'bad'", "'worse'")
        .replace("`bad`", "`worse`");
    let staged = world.replicas[0].folder().join("staged");
    fs::write(&staged, text).unwrap();
    fs::rename(&staged, world.replicas[0].policy("names.cel")).unwrap();
    world.reported(&["worse-1"]).await;
}

/// How long a scan of many objects may take on a machine that is busy.
const LONG: Duration = Duration::from_secs(240);
/// How long the kind in the middle takes at least: several renewals of the Lease.
const SLOW: Duration = Duration::from_secs(8);
/// No object may take as long as would end its evaluation.
const MOST_OF_AN_OBJECT: Duration = Duration::from_millis(400);

const REPLICAS: &str = "// ---
// name: replicas
// match: {resources: [apps/v1/deployments]}
// ---

// @require at least two replicas
object.spec.replicas >= 2
";

/// A policy about ServiceAccounts that takes its time: several rules, each below what one may cost.
fn slow(levels: usize) -> String {
    let mut text =
        "// ---\n// name: accounts\n// match: {resources: [v1/serviceaccounts]}\n// ---\n\n\
                    // @require it is not called `bad`\n!object.metadata.name.startsWith('bad')\n"
            .to_owned();
    for rule in 0..5 {
        write!(text, "\n// @require it is short {rule}\n").unwrap();
        for level in 0..levels {
            write!(text, "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].all(v{level}, ").unwrap();
        }
        let closed = ")".repeat(levels);
        writeln!(text, "v0 + size(object.metadata.name) < 100{rule}{closed}").unwrap();
    }
    text
}

/// Returns the slow policy, and how many objects it takes to be slow.
fn measured() -> (String, u32) {
    let folder = TempDir::new().unwrap();
    let object = folder.path().join("object.json");
    fs::write(&object, account("one").to_string()).unwrap();
    let mut levels = 4;
    loop {
        let policy = slow(levels);
        fs::write(folder.path().join("slow.cel"), &policy).unwrap();
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("check")
            .arg("--policies")
            .arg(folder.path().join("slow.cel"))
            .arg(&object)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let took = begun.elapsed();
        if took < MOST_OF_AN_OBJECT || levels == 2 {
            // Most of it may be the start of the program: not less than it takes if a third is.
            let count = (3 * SLOW).as_millis() / took.as_millis().max(1);
            return (policy, u32::try_from(count).unwrap().clamp(20, 2000));
        }
        levels -= 1;
    }
}

fn account(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": "prod"},
    })
}

/// Waits for what takes long.
async fn at_last<T, F: Future<Output = Option<T>>>(what: &str, mut holds: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = holds().await {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl World {
    /// Returns what the Lease says of a scan.
    async fn position(&self) -> Option<String> {
        let api: Api<Lease> = Api::namespaced(self.admin.clone(), "policy");
        let lease = api.get("portcullis").await.ok()?;
        let annotations = lease.metadata.annotations?;
        annotations.get("portcullis.dev/scan").cloned()
    }

    /// Counts how often scans have listed a resource.
    fn lists(&self, path: &str) -> usize {
        let events = self.server.audit("system:serviceaccount:policy:portcullis");
        let is_list = |event: &&Value| {
            let text = |key: &str| event[key].as_str().unwrap_or_default();
            let target = text("requestURI");
            text("userAgent").starts_with("portcullis-audit/")
                && text("stage") == "ResponseComplete"
                && target.split('?').next() == Some(path)
                && !target.contains("continue=")
        };
        events.iter().filter(is_list).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn another_replica_goes_on_with_a_scan_where_its_holder_was_killed() {
    let (slow, count) = measured();
    let policies = [
        ("names.cel", NAMES),
        ("accounts.cel", &slow),
        ("replicas.cel", REPLICAS),
        ("cluster.cel", OF_CLUSTER),
    ];
    let mut objects = manifests(&policies, &["--service", "policy/portcullis", "--audit"]);
    objects.extend(
        [(REPORT.2, true), (CLUSTER_REPORT.2, false)]
            .map(|(kind, is_namespaced)| definition(REPORT.0, REPORT.1, kind, is_namespaced)),
    );
    let mut world = World::start_with(&objects).await;
    apply(&world.admin, &config_map("bad-1")).await;
    apply(&world.admin, &account("bad-2")).await;
    apply(&world.admin, &deployment("prod", 1)).await;
    for at in 0..count {
        apply(&world.admin, &account(&format!("account-{at:04}"))).await;
    }
    for _ in 0..2 {
        let launch = world.launch(&policies, "portcullis");
        world
            .add(launch.env("PORTCULLIS_AUDIT_INTERVAL", "1h"))
            .await;
    }

    // It is killed while it looks at the second of three kinds.
    let holding = world.holding().await;
    let noted = at_last("a kind is done", || async {
        let position = world.position().await?;
        position.contains("configmaps").then_some(position)
    })
    .await;
    let mut killed = world.replicas.remove(holding);
    killed.signal("-KILL");
    assert_eq!(killed.ended().await, None);
    println!("{count} accounts; killed at {noted}");
    world.balance();
    assert!(
        !killed.log().contains("objects scanned"),
        "it was in the middle"
    );
    assert_eq!(world.lists("/apis/apps/v1/deployments"), 0);
    let all = reports(&world.admin, REPORT).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");

    // The other one goes on with that kind, and what comes after it.
    at_last("the scan is over", || async {
        let log = world.replicas[0].log();
        log.contains("objects scanned").then_some(())
    })
    .await;
    world.reported(&["bad-1", "bad-2", "web"]).await;
    let log = world.replicas[0].log();
    assert!(log.contains("a scan is gone on with"), "{log}");
    for (path, times) in [
        ("/api/v1/limitranges", 1),
        ("/api/v1/configmaps", 1),
        ("/api/v1/serviceaccounts", 2),
        ("/apis/apps/v1/deployments", 1),
    ] {
        assert_eq!(world.lists(path), times, "{path}\n{log}");
    }
    let page = world.metrics(0).await;
    let series = |policy: &str, namespace: &str| {
        format!("portcullis_audit_violations{{policy=\"{policy}\",namespace=\"{namespace}\"}} 1")
    };
    for (policy, namespace) in [
        ("names", "prod"),
        ("accounts", "prod"),
        ("replicas", "prod"),
        ("cluster-teams", ""),
    ] {
        assert!(
            page.contains(&series(policy, namespace)),
            "{policy}\n{page}"
        );
    }
    assert!(
        page.contains("portcullis_audits_total{reason=\"ok\"} 1"),
        "{page}"
    );

    // The reports are those of one whole scan, and nothing is left to go on with.
    let folder = TempDir::new().unwrap();
    for (name, text) in policies {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (_, err) = said(&audit(
        &world.server.kubeconfig("admin"),
        folder.path(),
        &["--report"],
    ));
    assert!(
        err.contains("0 written (0 bytes), 4 as they were, 0 removed"),
        "{err}"
    );
    eventually("the position is gone", || async {
        world.position().await.is_none().then_some(())
    })
    .await;
}
