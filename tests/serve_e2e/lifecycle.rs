//! How the program starts, refuses to start, and ends.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;

use crate::support::client::{self, Client, Http, Serves, ask, was_not_sent};
use crate::support::eventually;
use crate::support::process::Launch;
use crate::{assert_plainly_allowed, review};

/// Sends reviews one after the other, on fresh connections when the server closes one, until it
/// takes no more. Every review that a connection accepted must be answered.
async fn send_until_refused(
    (address, authority): (SocketAddr, PathBuf),
    http: Http,
    answered: Arc<AtomicUsize>,
) {
    let body = review("create").to_string();
    while let Ok(mut client) = Client::try_connect(address, &authority, http).await {
        while client.is_open().await {
            match client.send(client::review("/validate", body.clone())).await {
                Ok(answer) => assert_plainly_allowed(&answer.json()["response"]),
                // The connection closed between the question and the request.
                Err(problem) if was_not_sent(&problem) => break,
                Err(problem) => panic!("{http:?}: a review was not answered: {problem:?}"),
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_under_load_fails_no_review_and_exits_with_zero() {
    for round in 0..3 {
        let mut server = Launch::new()
            .env("PORTCULLIS_SHUTDOWN_GRACE", "200ms")
            .start()
            .await;
        let answered = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = [Http::One, Http::Two, Http::One, Http::Two]
            .into_iter()
            .map(|http| {
                let server = (server.address(), server.authority().to_owned());
                tokio::spawn(send_until_refused(server, http, Arc::clone(&answered)))
            })
            .collect();
        eventually("the load is on", || async {
            (answered.load(Ordering::Relaxed) > 50).then_some(())
        })
        .await;
        server.signal("-TERM");
        assert_eq!(
            server.ended().await,
            Some(0),
            "round {round}: {}",
            server.log()
        );
        for client in clients {
            client.await.expect("every review was answered");
        }
        assert!(
            !server.log().contains("ended before every answer"),
            "{}",
            server.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_aborts() {
    let mut server = Launch::new()
        .env("PORTCULLIS_SHUTDOWN_GRACE", "1h")
        .start()
        .await;
    server.signal("-TERM");
    eventually("readiness fails", || async {
        let answer = ask(server.admin, Method::GET, "/readyz").await;
        (answer.status == 503).then_some(())
    })
    .await;
    let response = server.review(&review("create")).await;
    assert_plainly_allowed(&response);
    server.signal("-TERM");
    assert_eq!(server.ended().await, Some(3), "{}", server.log());
    assert!(
        server.log().contains("aborted by a second signal"),
        "{}",
        server.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_ends_the_start_with_two() {
    let config = "listen: ':99999'\nlimits: {bodie: 1}\n";
    for (name, arguments, said) in [
        (
            "flag",
            &["--listn", ":1"][..],
            "unexpected argument '--listn'",
        ),
        ("value", &["--mode", "enforced"], "did you mean `enforce`?"),
        (
            "file",
            &["--config", "none.yaml"],
            "cannot read the configuration `none.yaml`",
        ),
        (
            "content",
            &["--config", "portcullis.yaml"],
            "portcullis.yaml:1:9",
        ),
        (
            "policies",
            &["--policies", "nowhere"],
            "the policies `nowhere` cannot be read",
        ),
        ("certs", &["--certs", "nowhere"], "tls.crt"),
    ] {
        let launch = Launch::new().args(arguments.iter().copied());
        fs::write(launch.folder().join("portcullis.yaml"), config).unwrap();
        let (code, log) = launch.until_it_ends().await;
        assert_eq!(code, Some(2), "{name}: {log}");
        assert!(log.contains(said), "{name}: `{said}` in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_ends_the_start_with_three() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (variable, key) in [
        ("PORTCULLIS_LISTEN", "listen"),
        ("PORTCULLIS_ADMIN_LISTEN", "adminListen"),
    ] {
        let (code, log) = Launch::new().env(variable, &address).until_it_ends().await;
        assert_eq!(code, Some(3), "{log}");
        assert!(
            log.contains(&format!("cannot listen on {address} (`{key}`)"))
                && log.contains(&format!("give `{key}` another address")),
            "{log}"
        );
    }
}
