//! Connections that no good client would make, and the limits they meet.

use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client::{Client, Http, assert_about, converse, handshake};
use crate::support::harness::Harness;
use crate::support::{BOUND, eventually};

const SHORT: Duration = Duration::from_millis(300);

async fn short_deadlines() -> Harness {
    Harness::start_with(|config, _| {
        config.limits.connections.handshake = SHORT;
        config.limits.connections.headers = SHORT;
    })
    .await
}

/// A client that was not hurt by others is answered.
async fn assert_answers(server: &Harness) {
    let mut client = Client::connect(server, Http::Two).await;
    let answer = client.post("/validate", r#"{"uid": "1"}"#).await;
    assert_eq!(answer.json()["uid"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_are_spoken() {
    let server = Harness::start().await;
    for version in [&TLS12, &TLS13] {
        let stream = handshake(server.address, &server.authority, Http::Two, &[version])
            .await
            .expect("the handshake succeeds");
        let tls = stream.get_ref().1;
        assert_eq!(tls.protocol_version(), Some(version.version));
        assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_the_tls_port_is_told_to_use_https() {
    let server = Harness::start().await;
    for request in [
        "GET /validate HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!(
            "POST /validate HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{}",
            "x".repeat(100_000)
        ),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let said = converse(&mut stream, request.as_bytes(), true).await;
        let (head, body) = said.split_once("\r\n\r\n").expect("there is a body");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(body.contains("https://"), "{body}");
        let length = format!("Content-Length: {}", body.len());
        assert!(head.contains(&length), "{head} announces {length}");
    }
    assert_answers(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_neither_tls_nor_http_end_the_connection() {
    let server = Harness::start().await;
    for bytes in [&[0_u8, 1, 2, 3][..], b"ssh-2.0", &[22, 3, 1, 255, 255]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let said = converse(&mut stream, bytes, true).await;
        assert!(!said.starts_with("HTTP"), "{said}");
    }
    assert_answers(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_dropped_at_the_deadline() {
    let server = short_deadlines().await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut said = Vec::new();
    let ended = timeout(BOUND, stream.read_to_end(&mut said)).await;
    ended.expect("it is dropped").expect("by a clean close");
    assert!(said.is_empty());
    assert_about(begun.elapsed(), SHORT);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_silent_after_the_handshake_is_dropped() {
    let server = short_deadlines().await;
    for http in Http::BOTH {
        let stream = handshake(
            server.address,
            &server.authority,
            http,
            rustls::ALL_VERSIONS,
        );
        let mut stream = stream.await.unwrap();
        let begun = Instant::now();
        let mut said = Vec::new();
        let ended = timeout(BOUND, stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "{http:?} is dropped");
        assert_about(begun.elapsed(), SHORT);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_trickle_in_meet_their_deadline() {
    let server = short_deadlines().await;
    let stream = handshake(
        server.address,
        &server.authority,
        Http::One,
        rustls::ALL_VERSIONS,
    );
    let (mut reader, mut writer) = tokio::io::split(stream.await.unwrap());
    let begun = Instant::now();
    let trickle = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        writer.write_all(b"POST /validate HTTP/1.1\r\nX: ").await?;
        loop {
            pace.tick().await;
            writer.write_all(b"x").await?;
            writer.flush().await?;
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        Ok::<(), std::io::Error>(())
    });
    let mut said = Vec::new();
    let ended = timeout(BOUND, reader.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "it is dropped");
    assert_about(begun.elapsed(), SHORT);
    trickle.abort();
    assert_answers(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = Harness::start_with(|config, _| config.limits.connections.idle = SHORT).await;
    let mut client = Client::connect(&server, Http::Two).await;
    client.post("/validate", "{}").await;
    eventually("the idle connection is closed", || {
        let mut client = client.share();
        async move { (!client.is_open().await).then_some(()) }
    })
    .await;
    server.admission.hold();
    let mut client = Client::connect(&server, Http::Two).await;
    let busy = tokio::spawn(async move {
        let answer = client
            .post("/validate", r#"{"uid": "1", "do": "wait"}"#)
            .await;
        (answer, Instant::now())
    });
    let release = Instant::now() + SHORT * 3;
    tokio::time::sleep_until(release.into()).await;
    server.admission.release();
    let (answer, at) = busy.await.unwrap();
    assert_eq!(answer.json()["uid"], "1");
    assert!(at >= release, "it outlived the idle limit");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_for_room() {
    let server = Harness::start_with(|config, _| config.limits.connections.open = 1).await;
    let mut first = Client::connect(&server, Http::Two).await;
    first.post("/validate", "{}").await;
    let (address, authority) = (server.address, server.authority.clone());
    let mut second =
        tokio::spawn(async move { Client::try_connect(address, &authority, Http::Two).await });
    let early = timeout(SHORT, &mut second).await;
    assert!(early.is_err(), "there is no room yet");
    first.post("/validate", "{}").await;
    drop(first);
    let second = timeout(BOUND, second).await.expect("room is made");
    let mut second = second.unwrap().expect("it is taken");
    assert_eq!(second.post("/validate", "{}").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_the_limit_are_refused() {
    let server = Harness::start().await;
    for (http, name) in [(Http::Two, "HTTP/2"), (Http::One, "HTTP/1.1")] {
        let mut client = Client::connect(&server, http).await;
        let mut request = crate::support::client::review("/validate", "{}");
        let value = "x".repeat(1 << 20).parse().unwrap();
        request.headers_mut().insert("x-large", value);
        match client.send(request).await {
            Ok(answer) => assert_eq!(answer.status, 431, "{name}"),
            Err(problem) => assert!(!problem.is_timeout(), "{name}: {problem}"),
        }
        assert_answers(&server).await;
    }
    server.stop().await;
}
