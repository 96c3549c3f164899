//! A firewall between the API server and the webhook: nothing is registered that it would make deny
//! everything, and what is registered is not opened by a replica that starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Method;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::api::Api;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::manages::{REPLICAS, World, deployment};
use super::support::client::ask;
use super::support::eventually;
use super::support::process::Process;

/// What counts how often the registration failed.
const FAILED: &str = "kind=\"registration\",result=\"failed\"";

async fn configuration(client: &Client) -> ValidatingWebhookConfiguration {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    api.get("portcullis").await.unwrap()
}

fn names(configuration: &ValidatingWebhookConfiguration) -> Vec<&str> {
    let webhooks = configuration.webhooks.iter().flatten();
    webhooks.map(|it| it.name.as_str()).collect()
}

/// Starts a replica that no API server is led to.
async fn start_apart(world: &World, policies: &[(&str, &str)]) -> Process {
    let process = world.launch(policies, "portcullis").start().await;
    eventually("the replica is ready", || async {
        let answer = ask(process.admin, Method::GET, "/readyz").await;
        (answer.status == 200).then_some(())
    })
    .await;
    process
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_firewall_before_the_webhook_locks_nobody_out() {
    let policies = [("replicas.cel", REPLICAS)];
    let mut world = World::start(&policies).await;
    // What comes is taken, and never answered.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.balancer.send_to([hole.local_addr().unwrap()]);
    let replica = start_apart(&world, &policies).await;
    let said = eventually("it is told what is in the way", || async {
        let said = ask(replica.admin, Method::GET, "/readyz?verbose").await;
        assert_eq!(said.status, 200, "{}", said.text());
        assert_eq!(world.create(&deployment("prod", 1)).await, "");
        let said = said.text().to_owned();
        said.contains("API servers cannot call the webhook")
            .then_some(said)
    })
    .await;
    let url = format!("https://localhost:{}", world.balancer.address.port());
    for words in [
        "nothing is denied",
        "deadline exceeded",
        &format!("let the control plane reach `{url}`"),
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    println!("{said}");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        assert_eq!(world.create(&deployment("prod", 1)).await, "");
        assert_eq!(
            names(&configuration(&world.admin).await),
            ["probe.portcullis.dev"]
        );
        sleep(Duration::from_millis(200)).await;
    }
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(world.admin.clone());
    let mutating = mutating.get("portcullis").await.unwrap();
    assert!(mutating.webhooks.unwrap_or_default().is_empty());
    // The Lease is renewed all the time, and what is wrong is logged and counted once.
    let log = replica.log();
    assert!(!log.contains("holds the lease no longer"), "{log}");
    assert_eq!(log.matches("API servers cannot call").count(), 1, "{log}");
    let metrics = ask(replica.admin, Method::GET, "/metrics").await;
    let mut lines = metrics.text().lines();
    let failed = lines.any(|it| it.contains(FAILED) && it.ends_with(" 1"));
    assert!(failed, "{}", metrics.text());

    // The way is opened.
    world.replicas.push(replica);
    let begun = Instant::now();
    world.balance();
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    println!("registered {:?} after the way was open", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(
        names(&configuration(&world.admin).await),
        ["validate.portcullis.dev"]
    );
    let said = world.replicas[0].readyz().await;
    assert!(!said.contains("cannot go on"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn a_replica_that_starts_opens_nothing() {
    let policies = [("replicas.cel", REPLICAS)];
    let mut world = World::start(&policies).await;
    world.add(world.launch(&policies, "portcullis")).await;
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    let before = configuration(&world.admin).await;
    let ended = Arc::new(AtomicBool::new(false));
    let watched = {
        let (client, ended, before) = (world.admin.clone(), Arc::clone(&ended), before.clone());
        tokio::spawn(async move {
            let mut looks = 0;
            while !ended.load(Ordering::Relaxed) {
                let now = configuration(&client).await;
                assert_eq!(now.webhooks, before.webhooks);
                assert_eq!(now.metadata.generation, before.metadata.generation);
                looks += 1;
                sleep(Duration::from_millis(5)).await;
            }
            looks
        })
    };
    world.replicas.remove(0).stop().await;
    // Not even where nobody can call the next one.
    world.balance();
    let replica = start_apart(&world, &policies).await;
    let registered = "registered webhooks";
    eventually("it has registered", || async {
        replica.log().contains(registered).then_some(())
    })
    .await;
    let said = world.create(&deployment("prod", 1)).await;
    assert!(said.contains("failed calling webhook"), "{said}");
    world.replicas.push(replica);
    world.balance();
    world
        .until(&deployment("prod", 1), "at least two replicas")
        .await;
    ended.store(true, Ordering::Relaxed);
    println!("{} looks", watched.await.unwrap());
    let after = configuration(&world.admin).await;
    assert_eq!(after.metadata.generation, before.metadata.generation);
}
