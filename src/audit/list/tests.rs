//! Pages as an API server gives them, and as one does that is busy, forgets, or holds large objects.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;

/// A status, headers and a body.
pub(in crate::audit) type Answer = (u16, Vec<(&'static str, &'static str)>, String);

/// An API server that gives these answers, one after the other, and the targets that were asked for.
pub(in crate::audit) fn scripted(answers: Vec<Answer>) -> (Lister, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        heard.lock().unwrap().push(request.uri().to_string());
        let answer = answers.lock().unwrap().pop_front();
        let (status, headers, body) = answer.expect("there is an answer left");
        async move {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let body = http_body_util::Full::new(Bytes::from(body));
            Ok::<_, Infallible>(response.body(body).unwrap())
        }
    });
    (Lister::new(Client::new(service, "default"), None), asked)
}

/// A list with objects of these names.
pub(in crate::audit) fn list(names: &[&str], token: &str) -> String {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name, "namespace": "shop"}}))
        .collect();
    let metadata = json!({"continue": token, "remainingItemCount": 7});
    json!({"kind": "ConfigMapList", "metadata": metadata, "items": items}).to_string()
}

#[tokio::test]
async fn a_page_knows_where_the_next_one_begins() {
    let answers = vec![
        (200, vec![], list(&["a", "b"], "to/ken=")),
        (200, vec![], list(&["c"], "")),
    ];
    let (lister, asked) = scripted(answers);
    let first = lister.page(Ask::first("/api/v1/configmaps")).await.unwrap();
    assert_eq!(first.items().unwrap().len(), 2);
    assert_eq!(first.remaining, Some(7));
    let ask = Ask {
        token: first.token.clone(),
        ..Ask::first("/api/v1/configmaps")
    };
    let second = lister.page(ask).await.unwrap();
    assert_eq!(second.token, None, "an empty token is none");
    let asked = asked.lock().unwrap();
    assert_eq!(
        *asked,
        [
            "/api/v1/configmaps?limit=500",
            "/api/v1/configmaps?limit=500&continue=to%2Fken%3D",
        ]
    );
    assert_eq!(lister.traffic().requests, 2);
}

#[tokio::test]
async fn who_is_asked_to_wait_waits_and_asks_again() {
    let busy = json!({"kind": "Status", "message": "too many requests", "code": 429}).to_string();
    let answers = vec![
        (429, vec![("retry-after", "1")], busy),
        (200, vec![], list(&["a"], "")),
    ];
    let (lister, asked) = scripted(answers);
    let begun = Instant::now();
    lister.page(Ask::first("/api/v1/pods")).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert_eq!(lister.traffic().waits, 1);
}

#[tokio::test]
async fn a_page_too_large_to_hold_is_asked_for_with_fewer_objects() {
    let answers = vec![
        (200, vec![], "x".repeat(MOST_BYTES + 1)),
        (200, vec![], list(&["a"], "")),
    ];
    let (lister, asked) = scripted(answers);
    let page = lister.page(Ask::first("/api/v1/secrets")).await.unwrap();
    assert_eq!(page.next_limit, 250, "they may be small again");
    assert_eq!(asked.lock().unwrap()[1], "/api/v1/secrets?limit=125");
}

#[tokio::test]
async fn errors_say_what_the_api_server_said() {
    let status = |message: &str, token: &str| {
        json!({"kind": "Status", "message": message, "metadata": {"continue": token}}).to_string()
    };
    for (code, body, expected) in [
        (
            410,
            status("gone", "next"),
            ListError::Expired {
                token: Some("next".to_owned()),
            },
        ),
        (404, status("not found", ""), ListError::Unknown),
        (
            403,
            status("pods is forbidden", ""),
            ListError::Refused("pods is forbidden".to_owned()),
        ),
        (
            400,
            "<html>".to_owned(),
            ListError::Refused("400 Bad Request".to_owned()),
        ),
        (200, "<html>".to_owned(), no_list()),
    ] {
        let (lister, _) = scripted(vec![(code, vec![], body)]);
        let error = lister.page(Ask::first("/api/v1/pods")).await.unwrap_err();
        assert_eq!(error, expected, "{code}");
    }
}

#[tokio::test]
async fn requests_keep_the_distance_that_is_asked_for() {
    let answers = (0..4).map(|_| (200, vec![], list(&[], ""))).collect();
    let (lister, _) = scripted(answers);
    let lister = Lister::new(lister.client().clone(), Some(20.0));
    let begun = Instant::now();
    for _ in 0..4 {
        lister.page(Ask::first("/api/v1/pods")).await.unwrap();
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(140),
        "{:?}",
        begun.elapsed()
    );
}
