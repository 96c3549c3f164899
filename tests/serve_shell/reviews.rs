//! Reviews and every way to ask wrongly.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use serde_json::json;

use crate::support::client::{Client, Http, ask, converse, handshake, review};
use crate::support::eventually;
use crate::support::harness::Harness;

const REVIEW: &str = r#"{"uid": "7"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_review_is_answered_over_both_versions_of_http() {
    let server = Harness::start().await;
    for http in Http::BOTH {
        let mut client = Client::connect(&server, http).await;
        for path in ["/validate", "/validate/ignore", "/mutate", "/mutate/ignore"] {
            let answer = client.post(path, REVIEW).await;
            assert_eq!(answer.status, StatusCode::OK, "{http:?} {path}");
            let json = answer.json();
            assert_eq!(json["uid"], "7");
            assert_eq!(json["path"], path);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_denied_and_no_decision() {
    let server = Harness::start().await;
    let body = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "7",
            "kind": {"group": "coordination.k8s.io", "version": "v1", "kind": "Lease"},
            "resource": {"group": "coordination.k8s.io", "version": "v1", "resource": "leases"},
            "operation": "UPDATE",
            "dryRun": true,
            "userInfo": {},
        },
    });
    let large = format!("{body}{}", " ".repeat(18 << 20));
    for http in Http::BOTH {
        let mut client = Client::connect(&server, http).await;
        let answer = client.post("/probe?timeout=3s", body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{http:?}");
        let status = json!({
            "metadata": {},
            "status": "Failure",
            "message": "a dry run that only shows that API servers reach portcullis",
            "reason": "NotAcceptable",
            "code": 406,
        });
        let response = json!({"uid": "7", "allowed": false, "status": status});
        assert_eq!(answer.json()["response"], response, "{http:?}");
        for (body, status) in [(REVIEW, 400), ("", 400), (&*large, 413)] {
            let mut client = Client::connect(&server, http).await;
            let answer = client.post("/probe", body.to_owned()).await;
            assert_eq!(answer.status.as_u16(), status, "{http:?}");
        }
        let get = Request::builder()
            .uri("https://localhost/probe")
            .header("host", "localhost")
            .body(Full::<Bytes>::default());
        let answer = client.send(get.unwrap()).await.unwrap();
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{http:?}");
    }
    let metrics = ask(server.admin, Method::GET, "/metrics").await;
    let reviews = "portcullis_review_duration_seconds_count";
    assert!(!metrics.text().contains(reviews), "{}", metrics.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_review_is_collected_whole() {
    let server = Harness::start().await;
    let large = json!({"uid": "7", "padding": "x".repeat(3_000_000)}).to_string();
    for http in Http::BOTH {
        let mut client = Client::connect(&server, http).await;
        let answer = client.post("/validate", large.clone()).await;
        assert_eq!(answer.json()["bytes"], large.len(), "{http:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_a_status_that_says_why() {
    let server = Harness::start().await;
    let request = |method: Method, path: &str, media: &str| {
        Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header("host", "localhost")
            .header("content-type", media)
            .body(Full::<Bytes>::from(REVIEW))
            .unwrap()
    };
    let json = "application/json";
    for http in Http::BOTH {
        for (request, code, reason, message) in [
            (
                request(Method::POST, "/", json),
                404,
                "NotFound",
                "there is nothing here; reviews go to `/validate`, `/validate/ignore`, \
                 `/mutate`, `/mutate/ignore`",
            ),
            (
                request(Method::POST, "/validate/", json),
                404,
                "NotFound",
                "there is nothing here; reviews go to `/validate`, `/validate/ignore`, \
                 `/mutate`, `/mutate/ignore`",
            ),
            (
                request(Method::GET, "/validate", json),
                405,
                "MethodNotAllowed",
                "the method must be POST",
            ),
            (
                request(Method::POST, "/validate", "text/plain"),
                415,
                "UnsupportedMediaType",
                "the body must have the content type `application/json`",
            ),
            (
                request(Method::POST, "/validate", "application/jsonp"),
                415,
                "UnsupportedMediaType",
                "the body must have the content type `application/json`",
            ),
            (
                request(Method::POST, "/validate?timeout=soon", json),
                400,
                "BadRequest",
                "`timeout` cannot be read: a duration is a number and a unit, as `5s` or `1m30s`",
            ),
            (
                request(Method::POST, "/validate?timeout=0s", json),
                400,
                "BadRequest",
                "`timeout` must be above zero",
            ),
        ] {
            let mut client = Client::connect(&server, http).await;
            let answer = client.send(request).await.unwrap();
            assert_eq!(answer.status.as_u16(), code, "{http:?} {message}");
            if code == 405 {
                assert_eq!(answer.header("allow"), "POST");
            }
            let status = json!({
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "message": message,
                "reason": reason,
                "code": code,
            });
            assert_eq!(answer.json(), status, "{http:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_type_may_have_parameters() {
    let server = Harness::start().await;
    for media in ["application/json; charset=utf-8", "Application/JSON;x=y"] {
        let mut request = review("/validate", REVIEW);
        request
            .headers_mut()
            .insert("content-type", media.parse().unwrap());
        let mut client = Client::connect(&server, Http::Two).await;
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{media}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_admission_is_a_status() {
    let server = Harness::start().await;
    let mut client = Client::connect(&server, Http::Two).await;
    let answer = client.post("/validate", "{").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["message"], "the body is not JSON");
    assert_eq!(
        client.post("/validate", REVIEW).await.status,
        StatusCode::OK
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seventeen_mebibytes_are_too_large() {
    let server = Harness::start().await;
    for http in Http::BOTH {
        let mut client = Client::connect(&server, http).await;
        let answer = client.post("/validate", vec![b' '; 17 << 20]).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{http:?}");
        let json = answer.json();
        assert_eq!(json["reason"], "RequestEntityTooLarge");
        assert_eq!(json["message"], "the body is larger than 16777216 bytes");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_is_read_so_that_the_refusal_is_too() {
    let server = Harness::start().await;
    for http in Http::BOTH {
        for (path, media, code) in [
            ("/nowhere", "application/json", 404),
            ("/validate", "text/plain", 415),
            ("/validate?timeout=x", "application/json", 400),
        ] {
            let mut client = Client::connect(&server, http).await;
            let mut request = review(path, vec![b' '; 17 << 20]);
            request
                .headers_mut()
                .insert("content-type", media.parse().unwrap());
            let answer = client.send(request).await.expect("it is answered");
            assert_eq!(answer.status.as_u16(), code, "{http:?} {path} {media}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_has_the_same_limit() {
    let server = Harness::start_with(|config, _| config.limits.reviews.body_bytes = 1000).await;
    let mut stream = handshake(
        server.address,
        &server.authority,
        Http::One,
        rustls::ALL_VERSIONS,
    )
    .await
    .unwrap();
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let request = format!(
        "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let said = converse(&mut stream, request.as_bytes(), false).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_a_bad_request() {
    let server = Harness::start().await;
    let mut stream = handshake(
        server.address,
        &server.authority,
        Http::One,
        rustls::ALL_VERSIONS,
    )
    .await
    .unwrap();
    let request = "POST /validate HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"uid\"";
    let said = converse(&mut stream, request.as_bytes(), true).await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    assert!(
        said.contains("the body ended before its announced length"),
        "{said}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_waited_for_until_the_deadline() {
    let server = Harness::start().await;
    let mut stream = handshake(
        server.address,
        &server.authority,
        Http::One,
        rustls::ALL_VERSIONS,
    )
    .await
    .unwrap();
    let request = "POST /validate?timeout=200ms HTTP/1.1\r\nHost: localhost\r\n\
                   Connection: close\r\nContent-Type: application/json\r\n\
                   Content-Length: 100\r\n\r\n{\"uid\"";
    let said = converse(&mut stream, request.as_bytes(), false).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(
        said.contains("the body did not arrive before the deadline"),
        "{said}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_of_the_caller_is_honoured() {
    let server = Harness::start().await;
    let mut client = Client::connect(&server, Http::Two).await;
    for (query, most) in [
        ("", 9_500),
        ("?timeout=5s", 4_500),
        ("?a=b&timeout=1m", 29_500),
    ] {
        let answer = client.post(&format!("/validate{query}"), REVIEW).await;
        let left = answer.json()["left_ms"].as_u64().unwrap();
        assert!(
            left <= most && left + 2_000 > most,
            "{left} ms of {most} left"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_answered_and_the_server_goes_on() {
    let server = Harness::start().await;
    for http in Http::BOTH {
        let mut client = Client::connect(&server, http).await;
        let answer = client.post("/mutate", r#"{"do": "panic"}"#).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        let json = answer.json();
        assert_eq!(json["reason"], "InternalError");
        assert!(!answer.text().contains("secret"), "{}", answer.text());
        assert_eq!(client.post("/mutate", REVIEW).await.json()["uid"], "7");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_in_time_is_shed() {
    let server = Harness::start_with(|config, _| config.limits.reviews.concurrency = 1).await;
    server.admission.hold();
    let client = Client::connect(&server, Http::Two).await;
    let waiting = tokio::spawn({
        let mut client = client.share();
        async move {
            client
                .post("/validate", r#"{"uid": "1", "do": "wait"}"#)
                .await
        }
    });
    let admission = Arc::clone(&server.admission);
    eventually("the first review holds the only permit", || async {
        (admission.deciding.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let answer = client.share().post("/validate?timeout=100ms", REVIEW).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.json()["reason"], "ServiceUnavailable");
    server.admission.release();
    assert_eq!(waiting.await.unwrap().json()["uid"], "1");
    let answer = client.share().post("/validate?timeout=5s", REVIEW).await;
    assert_eq!(answer.status, StatusCode::OK, "there is capacity again");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_has_something_to_learn_keeps_nobody_waiting() {
    let server = Harness::start_with(|config, _| config.limits.reviews.concurrency = 1).await;
    server.admission.hold();
    let client = Client::connect(&server, Http::Two).await;
    let asking = tokio::spawn({
        let mut client = client.share();
        async move { client.post("/validate", r#"{"uid": "1", "ask": 3}"#).await }
    });
    let admission = Arc::clone(&server.admission);
    eventually("the first review has something to learn", || async {
        (admission.inquiring.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let answer = client.share().post("/validate?timeout=5s", REVIEW).await;
    assert_eq!(answer.status, StatusCode::OK, "it holds no permit");
    assert_eq!(answer.json()["learnt"], 0);
    let late = r#"{"uid": "2", "ask": 1}"#;
    let answer = client.share().post("/validate?timeout=100ms", late).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "too late");
    server.admission.release();
    assert_eq!(asking.await.unwrap().json()["learnt"], 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_together_are_bounded() {
    let server = Harness::start_with(|config, _| {
        config.limits.reviews.body_bytes = 100_000;
        config.limits.reviews.body_bytes_in_flight = 100_000;
        config.limits.reviews.concurrency = 2;
    })
    .await;
    server.admission.hold();
    let client = Client::connect(&server, Http::Two).await;
    let large =
        |uid: &str| json!({"uid": uid, "do": "wait", "padding": "x".repeat(60_000)}).to_string();
    let waiting = tokio::spawn({
        let (mut client, large) = (client.share(), large("1"));
        async move { client.post("/validate", large).await }
    });
    let admission = Arc::clone(&server.admission);
    eventually("the first body takes its share", || async {
        (admission.deciding.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let answer = client.share().post("/validate", large("2")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.json()["message"],
        "too many and too large reviews at the moment"
    );
    let answer = client.share().post("/validate", REVIEW).await;
    assert_eq!(answer.status, StatusCode::OK, "a small one fits");
    server.admission.release();
    assert_eq!(waiting.await.unwrap().json()["uid"], "1");
    let answer = client.share().post("/validate", large("3")).await;
    assert_eq!(answer.json()["uid"], "3", "the share was given back");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn io_goes_on_while_every_permit_is_taken() {
    let server = Harness::start_with(|config, _| config.limits.reviews.concurrency = 4).await;
    server.admission.hold();
    let client = Client::connect(&server, Http::Two).await;
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let mut client = client.share();
            tokio::spawn(async move { client.post("/validate", r#"{"do": "wait"}"#).await })
        })
        .collect();
    let admission = Arc::clone(&server.admission);
    eventually("all permits are taken", || async {
        (admission.deciding.load(Ordering::SeqCst) == 4).then_some(())
    })
    .await;
    let request = Request::post("https://localhost/nowhere").body(Full::default());
    let answer = client.share().send(request.unwrap()).await.unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = client.share().post("/validate?timeout=50ms", REVIEW).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    server.admission.release();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, StatusCode::OK);
    }
    tokio::time::timeout(Duration::from_secs(20), server.stop())
        .await
        .expect("it ends");
}
