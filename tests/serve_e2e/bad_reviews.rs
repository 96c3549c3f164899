//! Reviews and connections no API server would send: each is refused for its own reason, and the
//! server keeps answering.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::BOUND;
use crate::support::client::{self, Answer, Client, Http, Serves, assert_about, converse};
use crate::support::process::{Launch, Process, respond};
use crate::{assert_plainly_allowed, denial, review};

/// Denies every Deployment whose object it has read.
const READER: &str = "\
// ---
// match: {resources: [apps/v1/deployments], operations: [CREATE, UPDATE]}
// ---
// @require the object was not read
!has(object.metadata)
";

async fn start() -> Process {
    Launch::new()
        .policies(&[("reader.cel", READER)])
        .start()
        .await
}

/// Posts a body in both versions of HTTP; asserts that both answers are this `Status`, and that
/// another review is answered.
async fn refused(server: &Process, body: impl AsRef<[u8]>, code: u16, reason: &str, message: &str) {
    for http in Http::BOTH {
        let mut client = Client::connect(server, http).await;
        let answer = client.post("/validate", body.as_ref().to_vec()).await;
        assert_status(&answer, code, reason, message);
        let response = server.review(&review("create")).await;
        assert!(
            denial(&response).ends_with("the object was not read"),
            "{response:#}"
        );
    }
}

fn assert_status(answer: &Answer, code: u16, reason: &str, message: &str) {
    let expected = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.status.as_u16(), code);
}

async fn bad_request(body: impl AsRef<[u8]>, message: &str) {
    let server = start().await;
    refused(&server, body, 400, "BadRequest", message).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_json_is_refused() {
    bad_request(
        "kind: AdmissionReview",
        "the body is not JSON (line 1, column 1)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_is_refused() {
    bad_request(
        "",
        "the body is empty; post an `admission.k8s.io/v1` AdmissionReview with a `request`",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_review_is_refused_wherever_it_ends() {
    let server = start().await;
    let whole = review("create").to_string();
    let mut client = server.client().await;
    for end in (1..whole.len()).step_by(37) {
        let Some(part) = whole.get(..end) else {
            continue;
        };
        let answer = client.post("/validate", part.to_owned()).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{end}: {message}");
        assert!(
            message.starts_with("the body is truncated (line 1, "),
            "{end}: {message}"
        );
    }
    let part = &whole[..whole.len() / 2];
    let message = format!("the body is truncated (line 1, column {})", part.len());
    refused(&server, part, 400, "BadRequest", &message).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_admission_review_is_refused() {
    let server = start().await;
    let help = "post an `admission.k8s.io/v1` AdmissionReview with a `request`";
    for (body, found) in [
        ("[]", "a list"),
        ("\"AdmissionReview\"", "a string"),
        ("null", "null"),
        ("{}", "an object without `kind`"),
        (r#"{"kind":"Pod","apiVersion":"v1"}"#, "a `Pod` of `v1`"),
    ] {
        let message = format!("the body is not an AdmissionReview but {found}; {help}");
        refused(&server, body, 400, "BadRequest", &message).await;
    }
    let message = format!("the AdmissionReview holds no request; {help}");
    let body = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#;
    refused(&server, body, 400, "BadRequest", &message).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_without_a_uid_is_refused() {
    let mut body = review("create");
    body["request"].as_object_mut().unwrap().remove("uid");
    bad_request(
        body.to_string(),
        "`request.uid` is missing or empty; give the request a `uid`; the answer must carry it",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_of_another_version_is_refused() {
    let mut body = review("create");
    body["apiVersion"] = "admission.k8s.io/v1beta1".into();
    bad_request(
        body.to_string(),
        "`admission.k8s.io/v1beta1` is not a supported version of AdmissionReview; set \
         `admissionReviewVersions: [v1]` in the webhook configuration",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_17_mib_is_refused_and_one_below_16_is_not() {
    let server = start().await;
    let mut body = review("create");
    body["request"]["object"]["data"] = "x".repeat(17 << 20).into();
    let message = "the body is larger than 16777216 bytes";
    refused(
        &server,
        body.to_string(),
        413,
        "RequestEntityTooLarge",
        message,
    )
    .await;
    body["request"]["object"]["data"] = "x".repeat(15 << 20).into();
    let response = server.review(&body).await;
    assert!(denial(&response).ends_with("the object was not read"));
    server.stop().await;
}

/// The creation of a Deployment in which `field` is nested so deeply; as text, since `serde_json`
/// would need the stack.
fn nested(field: &str, levels: usize) -> String {
    let mut body = review("create");
    body["request"][field]["nested"] = "here".into();
    let value = format!(
        "{}1{}",
        r#"{"a":["#.repeat(levels / 2),
        "]}".repeat(levels / 2)
    );
    body.to_string().replace("\"here\"", &value)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_5000_levels_deep_is_refused_where_a_policy_reads_it() {
    let server = start().await;
    for (field, named) in [
        ("object", "request.object"),
        ("oldObject", "request.oldObject"),
        ("userInfo", "the request"),
        ("options", "the request"),
    ] {
        for levels in [200, 5_000, 1_000_000] {
            let mut client = server.client().await;
            let answer = client.post("/validate", nested(field, levels)).await;
            let message = answer.json()["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert_eq!(answer.status, 400, "{field}, {levels}");
            let expected = format!("{named} is unusable: nested deeper than 200 levels (line 1, ");
            assert!(
                message.starts_with(&expected),
                "{field}, {levels}: {message}"
            );
        }
    }
    assert!(
        !server.review(&review("create")).await["allowed"]
            .as_bool()
            .unwrap()
    );
    server.stop().await;
}

/// What no policy reads is not parsed: it can harm nobody here, and the API server that stores it
/// has parsed it.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_5000_levels_deep_that_no_policy_reads_is_admitted() {
    let elsewhere = READER.replace("deployments", "statefulsets");
    let server = Launch::new()
        .policies(&[("reader.cel", &elsewhere)])
        .start()
        .await;
    let mut client = server.client().await;
    for field in ["object", "oldObject", "userInfo", "options"] {
        for levels in [5_000, 1_000_000] {
            let answer = client.post("/validate", nested(field, levels)).await;
            assert_plainly_allowed(&answer.json()["response"]);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_there_twice_is_refused() {
    let server = start().await;
    let whole = review("create").to_string();
    let mut client = server.client().await;
    for (once, twice, named) in [
        (
            r#""operation":"#,
            r#""operation":"DELETE","operation":"#,
            "the AdmissionReview has the key `operation` twice",
        ),
        (
            r#""request":"#,
            r#""request":null,"request":"#,
            "the AdmissionReview has the key `request` twice",
        ),
        (
            r#""namespace":"shop","operation""#,
            r#""namespace":"a","namespace":"shop","operation""#,
            "the AdmissionReview has the key `namespace` twice",
        ),
        (
            r#""replicas":"#,
            r#""replicas":1,"replicas":"#,
            "request.object is unusable: duplicate key `replicas`",
        ),
        (
            r#""replicas":"#,
            r#""replic\u0061s":1,"replicas":"#,
            "request.object is unusable: duplicate key `replicas`",
        ),
        (
            r#""username":"#,
            r#""username":"admin","username":"#,
            "the request is unusable: duplicate key `username`",
        ),
    ] {
        let body = whole.replacen(once, twice, 1);
        assert_ne!(body, whole, "{named}");
        let answer = client.post("/validate", body).await;
        let message = answer.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(answer.status, 400, "{named}");
        assert!(message.starts_with(named), "{message}");
    }
    assert!(
        !server.review(&review("create")).await["allowed"]
            .as_bool()
            .unwrap()
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_utf_8_are_refused() {
    let mut body = review("create").to_string().into_bytes();
    let at = body.len() / 2;
    body[at] = 0xff;
    bad_request(body, &format!("the body is not UTF-8 (byte {at})")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_type_is_refused() {
    let server = start().await;
    for content_type in [Some("application/yaml"), Some("text/plain"), None] {
        let mut request = client::review("/validate", review("create").to_string());
        match content_type {
            Some(name) => request
                .headers_mut()
                .insert("content-type", name.parse().unwrap()),
            None => request.headers_mut().remove("content-type"),
        };
        let answer = server.client().await.send(request).await.unwrap();
        assert_status(
            &answer,
            415,
            "UnsupportedMediaType",
            "the body must have the content type `application/json`",
        );
    }
    let mut request = client::review("/validate", review("create").to_string());
    let name = "application/json; charset=utf-8".parse().unwrap();
    request.headers_mut().insert("content-type", name);
    assert_eq!(
        server.client().await.send(request).await.unwrap().status,
        200
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_methods_and_timeouts_are_refused() {
    let server = start().await;
    let mut client = server.client().await;
    for (method, path, code, reason, said) in [
        ("POST", "/", 404, "NotFound", "reviews go to `/validate`"),
        (
            "GET",
            "/validate",
            405,
            "MethodNotAllowed",
            "the method must be POST",
        ),
        (
            "POST",
            "/validate?timeout=soon",
            400,
            "BadRequest",
            "`timeout` cannot be read",
        ),
        (
            "GET",
            "/mutate",
            405,
            "MethodNotAllowed",
            "the method must be POST",
        ),
    ] {
        let mut request = client::review(path, review("create").to_string());
        *request.method_mut() = method.parse().unwrap();
        let answer = client.send(request).await.unwrap();
        let status = answer.json();
        assert_eq!(answer.status, code, "{path}");
        assert_eq!(
            (status["code"].as_u64(), &status["reason"]),
            (Some(code.into()), &reason.into())
        );
        assert!(
            status["message"].as_str().unwrap().contains(said),
            "{status}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_the_tls_port_is_told_to_use_https() {
    let server = start().await;
    let body = review("create").to_string();
    let request = format!(
        "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let said = converse(&mut stream, request.as_bytes(), true).await;
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
    assert!(
        said.ends_with("call it with https:// instead of http://"),
        "{said}"
    );
    assert!(
        !server.review(&review("create")).await["allowed"]
            .as_bool()
            .unwrap()
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_dropped_and_the_others_are_answered() {
    let deadline = Duration::from_millis(300);
    let server = Launch::new()
        .env("PORTCULLIS_LIMITS_HANDSHAKE", "300ms")
        .policies(&[("reader.cel", READER)])
        .start()
        .await;
    let begun = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    let response = respond(&mut server.client().await, "/validate", &review("create")).await;
    assert!(denial(&response).ends_with("the object was not read"));
    for mut stream in silent {
        let mut said = Vec::new();
        let ended = timeout(BOUND, stream.read_to_end(&mut said)).await;
        ended.expect("it is dropped").expect("by a clean close");
        assert!(said.is_empty());
    }
    assert_about(begun.elapsed(), deadline);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_would_never_end_is_ended_by_its_budget() {
    let endless = "\
// ---
// match: {resources: [apps/v1/deployments], operations: ['*']}
// ---
// @require nothing
object.list.all(a, object.list.all(b, object.list.all(c, a + b + c >= 0)))
";
    let server = Launch::new()
        .policies(&[("endless.cel", endless)])
        .start()
        .await;
    let mut body: Value = review("create");
    body["request"]["object"]["list"] = (0..5_000).collect();
    let response = server.review(&body).await;
    let message = denial(&response);
    assert!(message.contains("cost"), "{message}");
    server.stop().await;
}

/// A review that follows quick ones is decided where it was read; others must not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_review_does_not_hold_up_the_others() {
    let mut slow = READER.split("// @require").next().unwrap().to_owned();
    // Each of them is ended by its own limit; what two have in common is evaluated once.
    for at in 0..10 {
        slow.push_str(&format!(
            "// @require nothing slow {at}\n\
             !has(object.list) || object.list.all(a, object.list.all(b, a + b >= -{at}))\n"
        ));
    }
    let server = Launch::new().policies(&[("slow.cel", &slow)]).start().await;
    let mut long = review("create");
    long["request"]["object"]["list"] = (0..10_000).collect();
    let (mut other, mut client) = (server.client().await, server.client().await);
    for round in 0..5 {
        for _ in 0..200 {
            assert_plainly_allowed(&respond(&mut client, "/validate", &review("create")).await);
        }
        let begun = Instant::now();
        let (body, mut slow) = (long.clone(), client.share());
        let asked = tokio::spawn(async move {
            denial(&respond(&mut slow, "/validate", &body).await);
            Instant::now()
        });
        let mut slowest = Duration::ZERO;
        while !asked.is_finished() {
            let asked = Instant::now();
            assert_plainly_allowed(&respond(&mut other, "/validate", &review("create")).await);
            slowest = slowest.max(asked.elapsed());
        }
        let taken = asked.await.unwrap() - begun;
        assert!(
            slowest < taken / 2,
            "round {round}: {slowest:?} of {taken:?}"
        );
    }
    server.stop().await;
}
