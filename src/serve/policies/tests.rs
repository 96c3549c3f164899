//! What is shown of policies, what is followed for them, and who is told of denials.

use super::*;
use crate::text::Source;
use crate::webhook::admission::Phase;

use std::convert::Infallible;

use http_body_util::BodyExt;
use hyper::{Request, Response};
use kube::Client;
use prometheus_client::registry::Registry;

#[test]
fn a_description_is_shown_by_its_first_sentence() {
    for (description, expected) in [
        ("", ""),
        ("Two\nreplicas. And more.", "Two replicas"),
        ("Of a.b and 1.5, no end", "Of a.b and 1.5, no end"),
        ("A title\n\nA paragraph.", "A title"),
    ] {
        assert_eq!(first_words(description), expected, "{description}");
    }
    let long = first_words(&"words ".repeat(30));
    assert!(long.ends_with("words…") && long.len() < 90, "{long}");
}

#[test]
fn what_only_policies_about_the_whole_cluster_read_is_not_followed() {
    let policy = |front_matter: &str| {
        format!("// ---\n// {front_matter}\n// reads: [v1/Node]\n// ---\n// @require x\ntrue\n")
    };
    for (front_matter, expected) in [("match: {resources: [v1/pods]}", 1), ("scope: cluster", 0)] {
        let source = Source::new("p.cel", policy(front_matter));
        let (documents, problems) = sources::documents(&[source]);
        assert!(problems.is_empty(), "{problems:?}");
        let version = KubernetesVersion::default();
        let built = PolicySet::build(documents, version, &PolicySet::default(), |_| false);
        assert_eq!(kinds(&built.set).len(), expected, "{front_matter}");
    }
}

/// An API server that takes everything; what it was sent.
fn taking() -> (Client, Arc<Mutex<Vec<Value>>>) {
    let sent = Arc::<Mutex<Vec<Value>>>::default();
    let taken = Arc::clone(&sent);
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let taken = Arc::clone(&taken);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            taken
                .lock()
                .unwrap()
                .push(serde_json::from_slice(&body).unwrap());
            let body = http_body_util::Full::new(body);
            Ok::<_, Infallible>(Response::new(body))
        }
    });
    (Client::new(service, "default"), sent)
}

/// Sends a Pod of a ReplicaSet to be changed by a policy, and returns the notes of the Events.
async fn notes(patch: &'static str) -> Vec<Value> {
    let text = format!(
        "// ---\n// name: change\n// mutate: true\n// match: {{resources: [v1/pods]}}\n// ---\n// \
         @patch\n{patch}\n"
    );
    let load = move || Texts {
        sources: vec![Source::new("p.cel", text.as_str())],
        ..Texts::default()
    };
    let (client, sent) = taking();
    let events = Events::start(client, "one".to_owned(), &mut Registry::default());
    let version = KubernetesVersion::default();
    let overrides = Overrides::default();
    let policies = Policies::load(Box::new(load), version, overrides, Mode::Enforce, None);
    let policies = policies.with_events(Some(events));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "prod", "name": "a",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {},
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "a", "namespace": "prod", "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1",
                    "controller": true,
                }]},
            },
        },
    });
    let endpoint = Endpoint {
        phase: Phase::Mutate,
        failure_policy: FailurePolicy::Fail,
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let attempt = Attempt {
        deadline,
        trace: None,
        inquiry: &mut Inquiry::default(),
    };
    let answer = policies.review(endpoint, review.to_string().as_bytes(), attempt);
    let answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    assert_eq!(answer["response"]["allowed"], false, "{answer}");
    while sent.lock().unwrap().is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sent = sent.lock().unwrap();
    sent.iter().map(|it| it["note"].clone()).collect()
}

#[tokio::test]
async fn the_owner_of_what_a_mutation_denies_is_told() {
    assert_eq!(
        notes("[JSONPatch{op: 'add', path: '/spec/x', value: object.spec.missing}]").await,
        [
            "Pod denied: policy 'change' with binding 'change' denied request: expression \
          '[JSONPatch{op: 'add', path: '/spec/x', value: object.spec.missing}]' resulted in error: no such \
          key: spec"
        ]
    );
}

#[tokio::test]
async fn the_owner_of_what_cannot_be_read_once_it_is_changed_is_told() {
    let notes = notes("[JSONPatch{op: 'add', path: '/spec', value: 'text'}]").await;
    let [Value::String(note)] = notes.as_slice() else {
        panic!("{notes:?}");
    };
    assert!(
        note.starts_with("Pod denied: Internal error occurred: "),
        "{note}"
    );
}
