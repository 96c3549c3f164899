//! What operators and the kubelet are told.

use hyper::Method;

use crate::support::client::{Client, Http, ask, converse};
use crate::support::eventually;
use crate::support::harness::Harness;

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_server_is_alive_and_ready() {
    let server = Harness::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = ask(server.admin, Method::GET, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, "ok"),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    let answer = ask(server.admin, Method::GET, "/readyz?verbose").await;
    let lines: Vec<_> = answer
        .text()
        .lines()
        .map(|line| line.split(": until").next().unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            "[+]serving ok",
            "[+]certificate ok",
            "[+]reload ok",
            "[+]policies ok: 3 policies",
            "readyz check passed",
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_shown_as_json() {
    let server = Harness::start().await;
    let answer = ask(server.admin, Method::GET, "/policies").await;
    assert_eq!(answer.json()["generation"], 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_to_the_admin_port_get_a_status() {
    let server = Harness::start().await;
    let answer = ask(server.admin, Method::GET, "/validate").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["reason"], "NotFound");
    let answer = ask(server.admin, Method::POST, "/metrics").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "GET,HEAD");
    assert_eq!(answer.json()["message"], "the method must be GET");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_is_as_documented() {
    let server = Harness::start().await;
    let mut client = Client::connect(&server, Http::Two).await;
    client.post("/validate", "{}").await;
    client.post("/validate/ignore", "{").await;
    client.post("/mutate", r#"{"do": "panic"}"#).await;
    let mut plain = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    converse(&mut plain, b"GET / HTTP/1.1\r\n\r\n", true).await;
    let page = eventually("the plain connection is counted and gone", || async {
        let answer = ask(server.admin, Method::GET, "/metrics").await;
        assert_eq!(
            answer.header("content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        let page = answer.text().to_owned();
        let counted = page.contains(r#"reason="not_tls"} 1"#)
            && page.contains(r#"connections{listener="webhook"} 1"#)
            && page.contains(r#"connections{listener="admin"} 1"#);
        counted.then_some(page)
    })
    .await;
    insta::assert_snapshot!(stable(&page));
    server.stop().await;
}

/// Puts lines in an order that does not depend on hashing, and leaves out what depends on time.
fn stable(page: &str) -> String {
    let mut families: Vec<Vec<String>> = Vec::new();
    for line in page.lines() {
        if line.starts_with("# HELP") || line.starts_with("# EOF") {
            families.push(Vec::new());
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let timed = !line.starts_with('#')
            && (name.contains("_sum")
                || name.contains("_timestamp_")
                || name.contains("le=\"") && !name.contains("+Inf"));
        let line = if timed {
            format!("{name} …")
        } else {
            format!("{name} {value}")
        };
        families.last_mut().unwrap().push(line);
    }
    for family in &mut families {
        let first = family.iter().position(|line| !line.starts_with('#'));
        let samples = first.map_or(&mut [][..], |first| &mut family[first..]);
        samples.sort_by_key(|line| series(line));
    }
    families.concat().join("\n")
}

/// The labels other than `le`, so that the buckets of one series stay together and in order.
fn series(line: &str) -> String {
    let labels = line.split_once('{').map_or("", |(_, labels)| labels);
    let labels = labels.split('}').next().unwrap();
    let others = labels.split(',').filter(|label| !label.starts_with("le="));
    others.collect::<Vec<_>>().join(",")
}
