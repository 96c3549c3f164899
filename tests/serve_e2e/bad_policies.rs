//! Policies nobody should write: each gets a clear finding, and the server serves the others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use crate::support::eventually;
use crate::support::process::{Launch, Process, respond};
use crate::{ALONE, creation, denial, review};

/// The policy that must go on deciding.
const GOOD: &str = "\
// ---
// match: {resources: [apps/v1/deployments], operations: [CREATE]}
// ---
// @require no trial
object.metadata.name != 'trial'
";

const MATCH: &str = "// ---\n// match: {resources: [v1/pods], operations: [CREATE]}\n// ---\n";

/// Starts a server beside whose good policy `spoil` has put a bad one; asserts that the log, the
/// readiness and the policies name it in these words, and that the good one decides.
async fn named(spoil: impl FnOnce(&Path), said: &str) -> Process {
    let launch = Launch::new().policies(&[("good.cel", GOOD)]);
    spoil(&launch.folder().join("policies"));
    let server = launch.start().await;
    assert_named(&server, said).await;
    server
}

async fn assert_named(server: &Process, said: &str) {
    assert!(server.log().contains(said), "`{said}` in\n{}", server.log());
    let readyz = server.readyz().await;
    assert!(readyz.contains(said), "`{said}` in\n{readyz}");
    let problems = server.policies().await["problems"].to_string();
    assert!(!problems.is_empty() && problems != "[]", "{problems}");
    let mut client = server.client().await;
    let response = respond(&mut client, "/validate", &creation("trial")).await;
    assert!(
        denial(&response).ends_with("'good' denied request: no trial"),
        "{response:#}"
    );
    let response = respond(&mut client, "/validate", &review("create")).await;
    assert_eq!(response["allowed"], true, "{response:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_of_1_mib_is_refused() {
    let text = format!(
        "{MATCH}// @require large\n[{}1].size() > 0\n",
        "1,".repeat(1 << 19)
    );
    assert!(text.len() > 1 << 20);
    let server = named(
        |folder| fs::write(folder.join("large.cel"), text).unwrap(),
        "policies/large.cel:5:",
    )
    .await;
    let readyz = server.readyz().await;
    assert!(
        readyz.contains("100000") || readyz.contains("100,000"),
        "{readyz}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_file_of_1_mib_is_in_force() {
    let mut text = MATCH.to_owned();
    text.push_str("// @require it is a pod\nobject.kind == 'Pod'\n");
    text.push_str(&"// A remark that says nothing at all, over and over.\n".repeat(21_000));
    assert!(text.len() > 1 << 20);
    let server = Launch::new()
        .policies(&[("large.cel", &text)])
        .start()
        .await;
    assert!(
        server
            .readyz()
            .await
            .contains("[+]policies ok: 1 policies in force\n")
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_very_many_terms_are_refused() {
    // 100,000 terms are longer than an expression may be; 40,000 are only nested too deeply.
    for terms in [100_000, 40_000] {
        let sum = vec!["1"; terms].join("+");
        let text = format!("{MATCH}// @require a large sum\n{sum} > 0\n");
        let server = named(
            |folder| fs::write(folder.join("sum.cel"), text).unwrap(),
            "policies/sum.cel:5:",
        )
        .await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_named_like_a_policy_is_a_folder() {
    let launch = Launch::new().policies(&[("good.cel", GOOD)]);
    let folder = launch.folder().join("policies/x.cel");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("inner.cel"), GOOD.replace("trial", "inner")).unwrap();
    let server = launch.start().await;
    let response = server.review(&creation("inner")).await;
    assert!(
        denial(&response).ends_with("'inner' denied request: no inner"),
        "{response}"
    );
    assert!(
        server
            .readyz()
            .await
            .contains("[+]policies ok: 2 policies in force\n")
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_pipe_is_refused_and_never_waited_for() {
    let server = named(
        |folder| {
            let made = std::process::Command::new("mkfifo")
                .arg(folder.join("pipe.cel"))
                .status();
            assert!(made.unwrap().success());
        },
        "`policies/pipe.cel` is a named pipe, not a file",
    )
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_named() {
    let server = named(
        |folder| symlink("gone.cel", folder.join("dangling.cel")).unwrap(),
        "`policies/dangling.cel` cannot be read: there is no such file",
    )
    .await;
    server.stop().await;
    let server = named(
        |folder| symlink("loop.cel", folder.join("loop.cel")).unwrap(),
        "`policies/loop.cel` cannot be read: ",
    )
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_named() {
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(100_000).collect();
    let server = named(
        |folder| fs::write(folder.join("garbage.cel"), bytes).unwrap(),
        "`policies/garbage.cel` is not a UTF-8 text: byte 128, in line 2",
    )
    .await;
    server.stop().await;
    let server = named(
        |folder| fs::write(folder.join("zeros.yaml"), [0; 1000]).unwrap(),
        "not a text: character U+0000",
    )
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_nested_too_deeply_is_refused() {
    for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("[1].all(a, ", ")")] {
        let text = format!(
            "{MATCH}// @require deep\n{}true{}\n",
            open.repeat(9_000),
            close.repeat(9_000)
        );
        let server = named(
            |folder| fs::write(folder.join("deep.cel"), text).unwrap(),
            "policies/deep.cel:5:",
        )
        .await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_policies_in_one_folder_are_served_and_followed() {
    let _alone = ALONE.lock().await;
    let launch = Launch::new().policies(&[("good.cel", GOOD)]);
    let folder = launch.folder().join("policies");
    for at in 0..10_000 {
        let text = format!("{MATCH}// @require not {at}\nobject.metadata.name != 'n{at}'\n");
        fs::write(folder.join(format!("p{at:05}.cel")), text).unwrap();
    }
    let begun = Instant::now();
    let server = launch.start().await;
    eprintln!("10,000 policies are served after {:?}", begun.elapsed());
    assert!(
        server
            .readyz()
            .await
            .contains("[+]policies ok: 10001 policies in force\n")
    );
    let described = server.policies().await;
    assert_eq!(described["policies"].as_array().unwrap().len(), 10_001);
    let response = server.review(&creation("trial")).await;
    assert!(denial(&response).ends_with("no trial"));
    fs::write(folder.join("good.cel"), GOOD.replace("trial", "error")).unwrap();
    let saved = Instant::now();
    eventually("the saved policy is in force", || async {
        let response = server.review(&creation("error")).await;
        (response["allowed"] == false).then_some(())
    })
    .await;
    eprintln!(
        "one of 10,000 policies is in force after {:?}",
        saved.elapsed()
    );
    server.stop().await;
}
