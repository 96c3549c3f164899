//! Scans while the program serves: by the replica that holds the Lease, in the rights that `manifests`
//! prints.

use hyper::Method;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use super::apply;
use super::audit::{definition, reports};
use super::manages::{World, manifests};
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
    let of_cluster = reports(&world.admin, CLUSTER_REPORT).await.unwrap();
    assert!(
        of_cluster[0].to_string().contains("cluster-teams"),
        "{of_cluster:?}"
    );

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
    let refused = world.create(&config_map("bad-2")).await;
    assert!(refused.contains("it is not called `bad`"), "{refused}");
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
