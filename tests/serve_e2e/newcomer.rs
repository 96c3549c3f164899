//! What a person who has just cloned the repository sees.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::repository;
use crate::support::process::{Launch, Process};

/// Runs the command that the server says to try, in its folder; without curl on this machine the
/// same is done by the client of these tests.
async fn try_it(server: &Process) -> Value {
    let mut lines = server.welcome.lines().map(str::trim);
    let line = lines
        .find(|line| line.starts_with("curl "))
        .unwrap_or_else(|| panic!("there is nothing to try in\n{}", server.welcome));
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl; the tests' own client asks instead");
        let review = std::fs::read(repository("tests/data/review.json")).unwrap();
        return server
            .review(&serde_json::from_slice(&review).unwrap())
            .await;
    }
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{line} --silent --show-error --max-time 20")])
        .current_dir(server.folder());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{problems}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["response"].clone()
}

fn assert_denies_meshery(response: &Value) {
    assert_eq!(response["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(
        crate::denial(response),
        "ValidatingAdmissionPolicy 'meshery-replicas' with binding 'meshery-replicas' denied \
         request: Deployment meshery/meshery has spec.replicas 1; production needs at least 3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_in_a_clone_says_what_to_try_and_it_denies() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(repository("tests"), folder.path().join("tests")).unwrap();
    let server = Launch::in_folder(folder).start().await;
    for part in [
        "portcullis ",
        "https://127.0.0.1:",
        "/readyz?verbose",
        "CA           certs/dev/ca.crt\n",
        "meshery-replicas",
        "mtls-strict",
        "access-control-deny",
        "--cacert certs/dev/ca.crt",
        "--data @tests/data/review.json",
    ] {
        assert!(
            server.welcome.contains(part),
            "`{part}` in\n{}",
            server.welcome
        );
    }
    assert!(server.folder().join("certs/dev/ca.crt").is_file());
    assert_denies_meshery(&try_it(&server).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_elsewhere_brings_its_own_review_to_try() {
    let server = Launch::new().start().await;
    assert!(
        server.welcome.contains("--data @certs/dev/review.json"),
        "{}",
        server.welcome
    );
    assert_denies_meshery(&try_it(&server).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_uses_the_same_authority() {
    let first = Launch::new().start().await;
    let authority = first.folder().join("certs/dev/ca.crt");
    let before = std::fs::read(&authority).unwrap();
    let copy = TempDir::new().unwrap();
    let from = first.folder().join("certs");
    let copied = Command::new("cp")
        .arg("-a")
        .args([&from, &copy.path().join("certs")])
        .status();
    assert!(copied.unwrap().success());
    first.stop().await;
    let second = Launch::in_folder(copy).start().await;
    assert_eq!(
        std::fs::read(second.folder().join("certs/dev/ca.crt")).unwrap(),
        before
    );
    assert_denies_meshery(&try_it(&second).await);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_json_is_told_in_json() {
    let server = Launch::new().args(["--log-format", "json"]).start().await;
    let said: Value = serde_json::from_str(&server.welcome)
        .unwrap_or_else(|_| panic!("it is no line of JSON: {}", server.welcome));
    let webhook = said["webhook"].as_str().unwrap_or_default();
    assert!(webhook.starts_with("https://127.0.0.1:"), "{webhook}");
    assert_eq!(said["mode"], "enforce");
    for line in server.log().lines() {
        let line: Result<Value, _> = serde_json::from_str(line);
        assert!(line.is_ok(), "{}", server.log());
    }
}
