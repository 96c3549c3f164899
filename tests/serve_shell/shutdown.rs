//! The end of the server: nobody who was let in goes without an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Method;
use portcullis::serve::Ended;
use portcullis::serve::shutdown::{Signal, Signals};

use crate::support::client::{Client, Http, ask, was_not_sent};
use crate::support::eventually;
use crate::support::harness::Harness;

/// Sends reviews one after the other, on fresh connections when the server closes one, until it
/// takes no more. Every review that the connection accepted must be answered.
async fn send_until_refused(
    address: std::net::SocketAddr,
    authority: std::path::PathBuf,
    http: Http,
    answered: Arc<AtomicUsize>,
) {
    while let Ok(mut client) = Client::try_connect(address, &authority, http).await {
        while client.is_open().await {
            let request = crate::support::client::review("/validate", r#"{"uid": "1"}"#);
            match client.send(request).await {
                Ok(answer) => assert_eq!(answer.json()["uid"], "1"),
                // The connection closed between the question and the request.
                Err(problem) if was_not_sent(&problem) => break,
                Err(problem) => panic!("{http:?}: a review was not answered: {problem:?}"),
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_under_load_fails_no_review() {
    for round in 0..5 {
        let mut server = Harness::start_with(|config, _| {
            config.shutdown.grace = Duration::from_millis(200);
        })
        .await;
        let answered = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = [Http::One, Http::Two, Http::One, Http::Two]
            .into_iter()
            .map(|http| {
                let (authority, answered) = (server.authority.clone(), Arc::clone(&answered));
                tokio::spawn(send_until_refused(
                    server.address,
                    authority,
                    http,
                    answered,
                ))
            })
            .collect();
        eventually("the load is on", || async {
            (answered.load(Ordering::Relaxed) > 50).then_some(())
        })
        .await;
        server.signals.send(Signal::Terminate).await.unwrap();
        assert_eq!(
            server.ended().await,
            Ended::Drained { dropped: 0 },
            "round {round}"
        );
        for client in clients {
            client.await.expect("every review was answered");
        }
        assert_eq!(
            server.admission.decided.load(Ordering::SeqCst),
            answered.load(Ordering::SeqCst),
            "what was decided was answered"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_fails_at_once_and_requests_are_taken_for_the_grace_period() {
    let mut server = Harness::start_with(|config, _| {
        config.shutdown.grace = Duration::from_secs(3600);
    })
    .await;
    assert_eq!(ask(server.admin, Method::GET, "/readyz").await.text(), "ok");
    server.signals.send(Signal::Terminate).await.unwrap();
    let text = eventually("readiness fails", || async {
        let answer = ask(server.admin, Method::GET, "/readyz").await;
        (answer.status == 503).then(|| answer.text().to_owned())
    })
    .await;
    assert!(
        text.contains("[-]serving failed: the server is shutting down"),
        "{text}"
    );
    assert_eq!(ask(server.admin, Method::GET, "/livez").await.status, 200);
    for http in Http::BOTH {
        let mut client = Client::connect(&server, http).await;
        let answer = client.post("/validate", r#"{"uid": "1"}"#).await;
        assert_eq!(answer.json()["uid"], "1");
        let close = if http == Http::One { "close" } else { "" };
        assert_eq!(answer.header("connection"), close, "{http:?}");
    }
    server.signals.send(Signal::Terminate).await.unwrap();
    assert_eq!(server.ended().await, Ended::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_answered_after_the_server_stopped_accepting() {
    for http in Http::BOTH {
        let mut server = Harness::start().await;
        server.admission.hold();
        let mut client = Client::connect(&server, http).await;
        let waiting = tokio::spawn(async move {
            client
                .post("/validate", r#"{"uid": "1", "do": "wait"}"#)
                .await
        });
        eventually("the review is being decided", || async {
            (server.admission.deciding.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        server.signals.send(Signal::Interrupt).await.unwrap();
        eventually("nothing is accepted any more", || async {
            Client::try_connect(server.address, &server.authority, http)
                .await
                .is_err()
                .then_some(())
        })
        .await;
        server.admission.release();
        assert_eq!(waiting.await.unwrap().json()["uid"], "1", "{http:?}");
        assert_eq!(server.ended().await, Ended::Drained { dropped: 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_drain_is_dropped() {
    let mut server = Harness::start_with(|config, _| {
        config.shutdown.drain = Duration::from_millis(100);
        config.limits.reviews.concurrency = 1;
    })
    .await;
    server.admission.hold();
    let client = Client::connect(&server, Http::Two).await;
    let decided = tokio::spawn({
        let mut client = client.share();
        async move {
            let review = crate::support::client::review("/validate", r#"{"do": "wait"}"#);
            client.send(review).await.is_ok()
        }
    });
    eventually("the review is being decided", || async {
        (server.admission.deciding.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let admission = Arc::clone(&server.admission);
    server.signals.send(Signal::Interrupt).await.unwrap();
    assert_eq!(server.ended().await, Ended::Drained { dropped: 1 });
    admission.release();
    assert!(!decided.await.unwrap(), "it was not answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_of_the_process_end_the_server() {
    let kill = |signal: &str| {
        let process = std::process::id().to_string();
        let status = std::process::Command::new("kill")
            .args([signal, &process])
            .status();
        assert!(status.unwrap().success(), "kill {signal}");
    };
    let mut signals = Signals::of_process().unwrap();
    kill("-TERM");
    assert_eq!(signals.next().await, Signal::Terminate);
    kill("-INT");
    assert_eq!(signals.next().await, Signal::Interrupt);
}
