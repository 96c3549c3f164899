//! What operators learn of decisions: metrics, the decision log, traces.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::client::{Client, ask, review as posted};
use crate::support::eventually;
use crate::support::process::{Launch, Process, respond};
use crate::{creation, review};

const RULES: &str = "// ---
// name: four
// match: {resources: [apps/v1/deployments]}
// ---
// @require four replicas
object.spec.replicas >= 4
";

const TRIAL: &str = "// ---
// name: trial
// action: audit
// match: {resources: [apps/v1/deployments]}
// ---
// @require five replicas
object.spec.replicas >= 5
";

const SECRETS: &str = "// ---
// name: hidden
// match: {resources: [v1/secrets]}
// ---
// @require no passwords
false
// @message
'the password is ' + object.data.password
";

const PATCH: &str = "// ---
// name: patch
// mutate: true
// match: {resources: [apps/v1/deployments, v1/secrets]}
// ---
// @patch
[JSONPatch{op: 'add', path: '/metadata/labels', value: {'hush': 'a-value'}}]
";

fn launch(arguments: &[&str]) -> Launch {
    Launch::new()
        .policies(&[
            ("four.cel", RULES),
            ("trial.cel", TRIAL),
            ("hidden.cel", SECRETS),
            ("patch.cel", PATCH),
        ])
        .args(["--decision-log", "decisions.jsonl"])
        .args(arguments.iter().copied())
}

fn secret() -> Value {
    let mut review = review("create");
    let request = &mut review["request"];
    for (field, value) in [
        (
            "kind",
            json!({"group": "", "version": "v1", "kind": "Secret"}),
        ),
        (
            "resource",
            json!({"group": "", "version": "v1", "resource": "secrets"}),
        ),
        (
            "object",
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "s", "namespace": "shop"},
                "data": {"password": "c3dvcmRmaXNo"},
            }),
        ),
    ] {
        request[field] = value;
    }
    for field in ["requestKind", "requestResource"] {
        request.as_object_mut().unwrap().remove(field);
    }
    review
}

/// Returns so many records, without what differs from run to run.
async fn records(server: &Process, count: usize) -> Vec<Value> {
    let path = server.folder().join("decisions.jsonl");
    let text = eventually("the decisions are logged", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        async move { (text.lines().count() >= count && text.ends_with('\n')).then_some(text) }
    })
    .await;
    let read = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        for (field, stands) in [("time", json!("…")), ("durationSeconds", json!(0))] {
            assert!(!record[field].is_null(), "{record}");
            record[field] = stands;
        }
        record
    };
    text.lines().map(read).collect()
}

async fn metrics(server: &Process) -> String {
    ask(server.admin, Method::GET, "/metrics")
        .await
        .text()
        .to_owned()
}

fn counted(page: &str, policy: &str, action: &str, enforcement: &str) -> u64 {
    let kind = if policy == "patch" {
        "mutating"
    } else {
        "validating"
    };
    let series = format!(
        "portcullis_policy_check_total{{policy=\"{policy}\",policy_binding=\"{policy}\",kind=\"{kind}\",\
         error_type=\"no_error\",enforcement_action=\"{action}\",enforcement=\"{enforcement}\"}} "
    );
    let found = page.lines().find_map(|line| line.strip_prefix(&series));
    found.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_counted_and_logged() {
    let server = launch(&[]).start().await;
    let mut client = server.client().await;
    respond(&mut client, "/validate", &creation("web")).await;
    respond(&mut client, "/validate/ignore", &creation("web")).await;
    respond(&mut client, "/mutate", &creation("web")).await;
    respond(&mut client, "/validate", &secret()).await;
    respond(&mut client, "/mutate", &secret()).await;
    let records = records(&server, 5).await;
    insta::assert_json_snapshot!(records);
    assert!(!format!("{records:?}").contains("c3dvcmRmaXNo"));
    assert!(!server.log().contains("c3dvcmRmaXNo"), "{}", server.log());
    let page = metrics(&server).await;
    for (policy, action, enforcement, expected) in [
        ("four", "deny", "enforce", 1),
        ("four", "allow", "enforce", 0),
        ("trial", "audit", "audit", 1),
        ("hidden", "deny", "enforce", 1),
        ("patch", "mutate", "enforce", 2),
    ] {
        let found = counted(&page, policy, action, enforcement);
        assert_eq!(found, expected, "{policy} {action}\n{page}");
    }
    // They are counted after they are written.
    eventually("five records are counted", || async {
        let written = "portcullis_decision_log_records_total{result=\"written\"} 5\n";
        metrics(&server).await.contains(written).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_word_makes_everything_a_trial() {
    let server = launch(&["--mode", "audit", "--audit-warnings", "false"])
        .start()
        .await;
    let mut client = server.client().await;
    for (path, body) in [
        ("/validate", creation("web")),
        ("/validate/ignore", creation("web")),
        ("/mutate", creation("web")),
        ("/mutate", secret()),
    ] {
        let response = respond(&mut client, path, &body).await;
        assert_eq!(response["allowed"], true, "{response}");
        assert_eq!(response["patch"], Value::Null, "{response}");
        assert_eq!(response["warnings"], Value::Null, "{response}");
        assert!(!response["auditAnnotations"].is_null(), "{response}");
        let is_secret = body["request"]["kind"]["kind"] == "Secret";
        assert!(
            !is_secret || !response.to_string().contains("a-value"),
            "{response}"
        );
    }
    let records = records(&server, 4).await;
    for record in &records {
        assert_eq!(record["enforcement"], "audit", "{record}");
        assert_eq!(record["action"], "audit", "{record}");
    }
    let would_be: Vec<_> = records
        .iter()
        .map(|it| it["wouldBe"].as_str().unwrap())
        .collect();
    assert_eq!(would_be, ["deny", "deny", "mutate", "mutate"]);
    let page = metrics(&server).await;
    assert_eq!(counted(&page, "four", "deny", "audit"), 1, "{page}");
    assert_eq!(counted(&page, "patch", "mutate", "audit"), 2, "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_enforcing_would_mend_is_not_recorded_as_a_violation() {
    let mends = |action: &str| {
        format!(
            "// ---\n// name: mends\n// action: {action}\n// mutate: true\n\
             // match: {{resources: [apps/v1/deployments]}}\n// ---\n// @require five replicas\n\
             object.spec.replicas >= 5\n// @patch\n\
             [JSONPatch{{op: 'replace', path: '/spec/replicas', value: 5}}]\n"
        )
    };
    for (mode, action, suffix) in [("audit", "deny", ""), ("enforce", "audit", "/ignore")] {
        let server = Launch::new()
            .policies(&[("mends.cel", &mends(action)), ("four.cel", RULES)])
            .args(["--decision-log", "decisions.jsonl", "--mode", mode])
            .start()
            .await;
        let mut client = server.client().await;
        let mutated = respond(&mut client, &format!("/mutate{suffix}"), &creation("web")).await;
        assert_eq!(mutated["patch"], Value::Null, "{mutated}");
        assert!(
            mutated["warnings"][0]
                .as_str()
                .unwrap()
                .contains("would be patched"),
            "{mutated}"
        );
        let validated = respond(&mut client, &format!("/validate{suffix}"), &creation("web")).await;
        let plain = json!({"uid": validated["uid"], "allowed": true});
        assert_eq!(validated, plain, "{mode}");
        // What there is is judged by what is enforced.
        let enforced = respond(&mut client, "/validate", &creation("web")).await;
        assert_eq!(enforced["allowed"], mode == "audit", "{mode}: {enforced}");
        let records = records(&server, if mode == "audit" { 1 } else { 2 }).await;
        let would_be: Vec<_> = records
            .iter()
            .map(|it| (&it["policy"], &it["wouldBe"]))
            .collect();
        let (mends, four) = (json!("mends"), json!("four"));
        let (mutate, deny) = (json!("mutate"), json!("deny"));
        let expected = [(&mends, &mutate), (&four, &deny)];
        assert_eq!(would_be, expected[..would_be.len()], "{mode}");
        let page = metrics(&server).await;
        assert_eq!(counted(&page, "mends", "audit", "audit"), 0, "{page}");
        assert_eq!(counted(&page, "mends", "deny", "audit"), 0, "{page}");
        server.stop().await;
    }
}

/// What a receiver of OTLP was sent.
type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn receiver() -> (String, Received) {
    let received = Received::default();
    let kept = Arc::clone(&received);
    let take = async move |headers: HeaderMap, body: Bytes| {
        kept.lock().unwrap().push((headers, body));
    };
    let router = Router::new().route("/v1/traces", post(take));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
    (endpoint, received)
}

async fn traced(client: &mut Client, path: &str, body: &Value, flags: &str) {
    let mut request = posted(path, body.to_string());
    let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    let headers = request.headers_mut();
    headers.insert("traceparent", parent.parse().unwrap());
    assert_eq!(client.send(request).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampled_review_is_traced_below_its_caller() {
    let (endpoint, received) = receiver().await;
    let server = launch(&[])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush")
        .start()
        .await;
    let mut client = server.client().await;
    traced(&mut client, "/validate", &creation("not-sampled"), "00").await;
    respond(&mut client, "/validate", &creation("no-parent")).await;
    traced(&mut client, "/validate", &creation("web"), "01").await;
    traced(&mut client, "/validate", &secret(), "01").await;
    let log = server.log();
    let admin = server.admin;
    assert!(!log.contains("hush"), "{log}");
    let page = ask(admin, Method::GET, "/metrics").await.text().to_owned();
    assert!(
        page.contains("portcullis_trace_spans_total{result=\"dropped\"} 0"),
        "{page}"
    );
    // What is queued is sent at the end.
    server.stop().await;
    let received = received.lock().unwrap();
    let (headers, _) = &received[0];
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["authorization"], "Bearer hush");
    let spans: Vec<Span> = received.iter().flat_map(|(_, body)| spans(body)).collect();
    let reviews: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == "/validate")
        .collect();
    assert_eq!(reviews.len(), 2, "{spans:#?}");
    for span in &spans {
        assert_eq!(span.trace, "0af7651916cd43dd8448eb211c80319c");
    }
    let review = reviews[0];
    assert_eq!(review.parent, "b7ad6b7169203331");
    assert!(review.text.contains("k8s.object.name=web"), "{review:?}");
    assert!(
        review.text.contains("k8s.admission.allowed=0"),
        "{review:?}"
    );
    let below = |parent: &Span| -> Vec<&Span> {
        spans.iter().filter(|it| it.parent == parent.id).collect()
    };
    let policies = below(review);
    let names: Vec<_> = policies.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["policy four"], "the other is asked elsewhere");
    assert!(
        policies[0]
            .text
            .contains("portcullis.enforcement_action=deny"),
        "{policies:?}"
    );
    let expressions = below(policies[0]);
    assert_eq!(expressions.len(), 1, "{spans:#?}");
    assert!(
        expressions[0]
            .text
            .contains("portcullis.cel.expression=object.spec.replicas >= 4")
    );
    assert!(!format!("{spans:?}").contains("c3dvcmRmaXNo"), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_answer_holds_nothing_up() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let mut server = launch(&["--traces-endpoint", &endpoint]).start().await;
    let mut client = server.client().await;
    for _ in 0..20 {
        traced(&mut client, "/validate", &creation("web"), "01").await;
    }
    server.signal("-INT");
    assert_eq!(server.ended().await, Some(0), "{}", server.log());
    // It is the time for last words that is over, and not the patience with the endpoint.
    let log = server.log();
    assert!(log.contains("not every span was sent"), "{log}");
    assert!(!log.contains("spans cannot be sent"), "{log}");
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_said_at_once() {
    for (arguments, expected) in [
        (
            ["--decision-log", "no/such/folder/log"],
            "the decision log `no/such/folder/log` cannot be opened",
        ),
        (
            ["--traces-endpoint", "collector:4318"],
            "`--traces-endpoint`: `collector:4318` is no",
        ),
    ] {
        let (code, said) = Launch::new().args(arguments).until_it_ends().await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// A span as it came.
#[derive(Debug, Default)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    /// The attributes, as `name=value`.
    text: String,
}

/// Reads the spans of an `ExportTraceServiceRequest`.
fn spans(body: &[u8]) -> Vec<Span> {
    let inside = |of: &[(u64, Field)], wanted: u64| -> Vec<Vec<(u64, Field)>> {
        let found = of.iter().filter(|(number, _)| *number == wanted);
        found.map(|(_, field)| fields(field.bytes())).collect()
    };
    let mut found = Vec::new();
    for resource_spans in inside(&fields(body), 1) {
        for scope_spans in inside(&resource_spans, 2) {
            found.extend(inside(&scope_spans, 2).iter().map(|it| span(it)));
        }
    }
    found
}

fn span(of: &[(u64, Field)]) -> Span {
    let mut span = Span::default();
    for (number, field) in of {
        match number {
            1 => span.trace = hex(field.bytes()),
            2 => span.id = hex(field.bytes()),
            4 => span.parent = hex(field.bytes()),
            5 => span.name = text(field.bytes()),
            9 => {
                let pair = fields(field.bytes());
                let value = match &fields(pair[1].1.bytes())[0].1 {
                    Field::Bytes(bytes) => text(bytes),
                    Field::Number(number) => number.to_string(),
                };
                span.text
                    .push_str(&format!("{}={value}\n", text(pair[0].1.bytes())));
            }
            _ => {}
        }
    }
    span
}

#[derive(Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            Field::Number(number) => panic!("{number} is no bytes"),
        }
    }
}

/// Reads a message of protocol buffers.
fn fields(mut rest: &[u8]) -> Vec<(u64, Field)> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut rest)),
            1 => {
                let (number, after) = rest.split_at(8);
                rest = after;
                Field::Number(u64::from_le_bytes(number.try_into().unwrap()))
            }
            2 => {
                let length = usize::try_from(varint(&mut rest)).unwrap();
                let (bytes, after) = rest.split_at(length);
                rest = after;
                Field::Bytes(bytes.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, field));
    }
    found
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for at in 0.. {
        let byte = rest[0];
        *rest = &rest[1..];
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
