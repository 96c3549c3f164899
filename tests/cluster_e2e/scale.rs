//! What a scan of a hundred thousand objects takes, and what ten thousand that fail cost etcd. A
//! measurement: `cargo test --release --test cluster_e2e scale -- --ignored --nocapture`

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::audit::{definition, reports};
use super::support::eventually;
use super::support::kubernetes::ApiServer;
use super::{ALONE, apply, namespace};

const OBJECTS: usize = 100_000;
/// One of so many fails.
const FAILS: usize = 10;
const NAMESPACES: usize = 20;
const WRITERS: usize = 32;
/// Below it nothing may cost etcd more.
const MOST_ETCD_BYTES: u64 = 10_000_000;

/// More than a scan may take: 75 MB were measured, and without bounds the objects alone would take
/// several hundred.
const MOST_KIB: u64 = 128 * 1024;

const NAMES: &str = "// ---
// name: teams
// match: {resources: [v1/configmaps]}
// ---

// @require it says whose it is
object.metadata.?labels.?team.hasValue() || object.metadata.namespace == 'kube-system'
// @message
object.metadata.name + ' has no label `team`'
";

fn config_map(at: usize) -> ConfigMap {
    let labels = match at % FAILS {
        0 => json!({}),
        _ => json!({"team": "a"}),
    };
    let object = json!({
        "metadata": {"name": format!("object-{at:06}"), "labels": labels},
        "data": {"key": "value", "other": "x".repeat(200)},
    });
    serde_json::from_value(object).unwrap()
}

async fn fill(client: &Client) {
    let writers = (0..WRITERS).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            for at in (writer..OBJECTS).step_by(WRITERS) {
                let namespace = format!("n{:02}", at % NAMESPACES);
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
                let parameters = PostParams::default();
                while api.create(&parameters, &config_map(at)).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// Returns a number of etcd's own metrics.
fn etcd(server: &ApiServer, name: &str) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", server.etcd_port())).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value: f64 = line.unwrap().trim().parse().unwrap();
    format!("{value:.0}").parse().unwrap()
}

struct Ran {
    elapsed: Duration,
    peak_kib: u64,
    out: String,
    err: String,
}

/// Runs the command and watches its memory.
fn audit(kubeconfig: &Path, policies: &Path, args: &[&str]) -> Ran {
    let begun = Instant::now();
    let folder = TempDir::new().unwrap();
    let file = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("audit")
        .env_clear()
        .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()])
        .args(["--policies".as_ref(), policies.as_os_str()])
        .args(args)
        .stdin(Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak_kib = peak.unwrap_or(peak_kib).max(peak_kib);
        std::thread::sleep(Duration::from_millis(20));
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    Ran {
        elapsed: begun.elapsed(),
        peak_kib,
        out: read("out"),
        err: read("err"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn scale() {
    let _alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    let kubeconfig = server.kubeconfig("admin");
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("teams.cel"), NAMES).unwrap();
    for (kind, is_namespaced) in [("Report", true), ("ClusterReport", false)] {
        let (group, version) = ("openreports.io", "v1alpha1");
        apply(&admin, &definition(group, version, kind, is_namespaced)).await;
        eventually("reports are served", || {
            reports(&admin, (group, version, kind))
        })
        .await;
    }
    for at in 0..NAMESPACES {
        apply(&admin, &namespace(&format!("n{at:02}"), "test")).await;
    }
    let begun = Instant::now();
    fill(&admin).await;
    println!(
        "{OBJECTS} objects made in {:.0} s",
        begun.elapsed().as_secs_f64()
    );

    let run =
        |args: &[&str]| tokio::task::block_in_place(|| audit(&kubeconfig, folder.path(), args));
    let [none, first, second] = [&["--format", "json"][..], &["--report"], &["--report"]].map(|args| {
        let size = "etcd_mvcc_db_total_size_in_use_in_bytes";
        let put = "etcd_debugging_mvcc_total_put_size_in_bytes";
        let before = (etcd(&server, size), etcd(&server, put));
        let ran = run(args);
        let grown = etcd(&server, size).saturating_sub(before.0);
        let written = etcd(&server, put) - before.1;
        println!(
            "audit {}: {:.1} s, {} KiB at most, etcd has {grown} bytes more, {written} bytes were put\n{}",
            args.join(" "),
            ran.elapsed.as_secs_f64(),
            ran.peak_kib,
            ran.err
        );
        assert!(
            (1..MOST_KIB).contains(&ran.peak_kib),
            "{} KiB",
            ran.peak_kib
        );
        (ran, grown, written)
    });
    let found: Value = serde_json::from_str(&none.0.out).unwrap();
    assert_eq!(found.as_array().unwrap().len(), OBJECTS / FAILS);
    assert!(
        first.1 < MOST_ETCD_BYTES && first.2 < MOST_ETCD_BYTES,
        "{} {}",
        first.1,
        first.2
    );
    assert!(
        second.0.err.contains(" 0 written (0 bytes)"),
        "{}",
        second.0.err
    );
}
