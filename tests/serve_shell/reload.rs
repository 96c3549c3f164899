//! Policies and certificates that change while requests come in.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use portcullis::serve::config::Certificates;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::JoinHandle;

use crate::support::client::{Client, Http, ask};
use crate::support::eventually;
use crate::support::harness::Harness;
use crate::support::secret::MountedSecret;

/// Sends reviews until told to stop; returns how many were answered. One that is not panics.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(server: &Harness) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = Vec::new();
        for http in Http::BOTH {
            let mut client = Client::connect(server, http).await;
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            clients.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.post("/validate", r#"{"uid": "1"}"#).await;
                    assert_eq!(answer.json()["uid"], "1");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Load {
            stop,
            answered,
            clients,
        }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every review was answered");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

async fn ready(server: &Harness) -> String {
    let answer = ask(server.admin, Method::GET, "/readyz?verbose").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

async fn metrics(server: &Harness) -> String {
    let answer = ask(server.admin, Method::GET, "/metrics").await;
    answer.text().to_owned()
}

fn save(folder: &Path, generation: &str) {
    let staged = folder.join("policies/generation~");
    fs::write(&staged, generation).unwrap();
    fs::rename(staged, folder.join("policies/generation")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_policy_is_in_force_within_a_second_and_no_review_fails() {
    let server = Harness::start().await;
    let load = Load::start(&server).await;
    let mut client = Client::connect(&server, Http::Two).await;
    for generation in 1..=3_u64 {
        let saved = Instant::now();
        save(server.folder(), &generation.to_string());
        loop {
            let answer = client.post("/validate", "{}").await;
            if answer.json()["generation"] == generation {
                break;
            }
            assert!(
                saved.elapsed() < Duration::from_secs(1),
                "{generation} is late"
            );
        }
    }
    assert!(load.stop().await > 0, "there was load");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_fails_keeps_the_last_good_policies_and_says_so() {
    let server = Harness::start().await;
    save(server.folder(), "1");
    eventually("the first reload", || async {
        let text = metrics(&server).await;
        text.contains(r#"portcullis_reloads_total{kind="policies",result="ok"} 1"#)
            .then_some(())
    })
    .await;
    save(server.folder(), "broken");
    let text = eventually("the failure is shown", || async {
        let text = ready(&server).await;
        text.contains("not a number").then_some(text)
    })
    .await;
    assert!(
        text.contains("[+]reload ok: what could not be taken over stays as it was: not a number\n"),
        "{text}"
    );
    let page = metrics(&server).await;
    assert!(
        page.contains(r#"portcullis_reload_failed{kind="policies"} 1"#),
        "{page}"
    );
    let policies = ask(server.admin, Method::GET, "/policies").await;
    assert_eq!(policies.json()["generation"], 1);
    save(server.folder(), "2");
    eventually("the next good one is taken", || async {
        ready(&server)
            .await
            .contains("[+]reload ok\n")
            .then_some(())
    })
    .await;
    server.stop().await;
}

/// Breaks the pair in a folder.
type Spoil<'a> = &'a dyn Fn(&Path);

/// Connects until the server presents `leaf`.
async fn presents(server: &Harness, leaf: &str) {
    let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
    eventually("the leaf is presented", || async {
        let client = Client::connect(server, Http::Two).await;
        (client.leaf == leaf).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rotation_of_a_mounted_certificate_is_served_and_a_broken_pair_is_not() {
    let mut secret = None;
    let server = Harness::start_with(|config, folder| {
        let mounted = MountedSecret::new(folder);
        config.certs = Certificates::Mounted(mounted.directory().to_owned());
        secret = Some(mounted);
    })
    .await;
    let mut secret = secret.unwrap();
    let load = Load::start(&server).await;
    let mut last = String::new();
    for rotation in 0..3 {
        let leaf = secret.rotate();
        assert_ne!(leaf, last, "rotation {rotation} is another leaf");
        presents(&server, &leaf).await;
        last = leaf;
    }
    let spoils: [(&str, Spoil<'_>); 3] = [
        ("does not belong to", &|data| {
            let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
            fs::write(data.join("tls.key"), other).unwrap();
        }),
        ("holds no certificate", &|data| {
            let whole = fs::read_to_string(data.join("tls.crt")).unwrap();
            fs::write(data.join("tls.crt"), &whole[..whole.len() / 2]).unwrap();
        }),
        ("cannot read", &|data| {
            fs::remove_file(data.join("tls.key")).unwrap();
        }),
    ];
    for (reason, spoil) in spoils {
        secret.publish_spoilt(spoil);
        let text = eventually(reason, || async {
            let text = ready(&server).await;
            text.contains(reason).then_some(text)
        })
        .await;
        assert!(
            text.contains("[+]certificate ok: the last good one is served"),
            "{text}"
        );
        presents(&server, &last).await;
    }
    let page = metrics(&server).await;
    for line in [
        r#"portcullis_reloads_total{kind="certificate",result="ok"} 3"#,
        r#"portcullis_reloads_total{kind="certificate",result="failed"} 3"#,
        r#"portcullis_reload_failed{kind="certificate"} 1"#,
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    let leaf = secret.rotate();
    presents(&server, &leaf).await;
    let text = ready(&server).await;
    assert!(text.contains("[+]certificate ok: until 20"), "{text}");
    assert!(load.stop().await > 0, "there was load");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_serves_the_same_development_certificate() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut leaves = Vec::new();
    for _ in 0..2 {
        let server = Harness::start_with(|config, _| {
            config.certs = Certificates::Development(folder.path().join("dev"));
        })
        .await;
        leaves.push(Client::connect(&server, Http::Two).await.leaf);
        server.stop().await;
    }
    assert_eq!(leaves[0], leaves[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_served_stops_the_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = portcullis::serve::config::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin_listen: "127.0.0.1:0".parse().unwrap(),
        certs: Certificates::Mounted(folder.path().to_owned()),
        ..Default::default()
    };
    let engine = portcullis::serve::Engine {
        admission: crate::support::admission::Scripted::new(),
        changes: None,
        reload: Box::new(|| Ok(String::new())),
        management: None,
        audit: None,
        published: None,
        announcements: None,
        tracer: None,
    };
    let telemetry = portcullis::telemetry::metrics::Metrics::registry();
    let problem = portcullis::serve::Server::start(&config, engine, telemetry)
        .await
        .expect_err("there is no certificate");
    let text = problem.to_string();
    assert!(
        text.starts_with("cannot read `") && text.contains("tls.crt"),
        "{text}"
    );
}
