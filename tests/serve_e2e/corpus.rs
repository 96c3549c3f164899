//! Reviews that were recorded from API servers: every one is answered.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::process::{Launch, Process, respond};

/// Reads every variable to its end, and violates what it can.
const READER: &str = "\
// ---
// name: reader
// match: {resources: ['*/*/*/*'], operations: ['*']}
// action: [warn, audit]
// ---

// @let size
(object == null ? 0 : object.map(key, object[key]).size())
  + (oldObject == null ? 0 : oldObject.map(key, oldObject[key]).size())

// @let same
object == oldObject

// @require the variables are read
variables.size < 0 && variables.same
  && request.kind == request.requestKind && request.resource == request.requestResource
// @message
request.operation + ' ' + request.resource.group + '/' + request.resource.version + '/'
  + request.resource.resource + ' ' + string(variables.size)
  + ' by ' + (has(request.userInfo.username) ? request.userInfo.username : 'nobody')
  + (namespaceObject == null ? '' : ' in ' + namespaceObject.metadata.name)

// @audit read
string(variables.size) + string(request.options == null) + string(variables.same)
";

/// The same as a denial.
fn denier() -> String {
    READER
        .replace("name: reader", "name: denier")
        .replace("action: [warn, audit]", "action: deny")
}

/// The bodies, in order of name.
fn bodies() -> Vec<(String, Value)> {
    let corpus = std::env::var_os("PORTCULLIS_CORPUS").unwrap();
    let folder = PathBuf::from(corpus).join("reviews");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("PORTCULLIS_CORPUS has a folder `reviews`")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name != "index.json"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let body = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        (
            path.file_name().unwrap().to_string_lossy().into_owned(),
            body,
        )
    };
    paths.into_iter().map(read).collect()
}

/// Posts every body; returns the responses.
async fn answers(server: &Process, path: &str, bodies: &[(String, Value)]) -> Vec<(String, Value)> {
    let mut client = server.client().await;
    let mut responses = Vec::new();
    let mut refused = Vec::new();
    for (name, body) in bodies {
        if body["apiVersion"] == "admission.k8s.io/v1" {
            let response = respond(&mut client, path, body).await;
            responses.push((name.clone(), response));
            continue;
        }
        let answer = client.post(path, body.to_string()).await;
        assert_eq!(answer.status, 400, "{name}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("`admission.k8s.io/v1beta1` is not a supported version"),
            "{message}"
        );
        refused.push(name);
    }
    assert_eq!(refused.len(), 1, "{refused:?}");
    responses
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
async fn every_recorded_review_is_answered_by_the_built_in_packs() {
    let bodies = bodies();
    assert_eq!(bodies.len(), 66);
    let server = Launch::new().start().await;
    for (name, response) in answers(&server, "/validate", &bodies).await {
        assert_eq!(response["allowed"], true, "{name}: {response}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
async fn every_recorded_review_is_read_to_its_end() {
    let bodies = bodies();
    let server = Launch::new()
        .policies(&[("reader.cel", READER)])
        .start()
        .await;
    // What denies nothing is asked where a failure is passed over.
    for (name, response) in answers(&server, "/validate/ignore", &bodies).await {
        assert_eq!(response["allowed"], true, "{name}: {response}");
        let warnings = response["warnings"].to_string();
        assert!(!warnings.contains("error"), "{name}: {warnings}");
        assert_eq!(
            response["auditAnnotations"]["reader.read"].is_string(),
            is_seen(&name),
            "{name}: {response}"
        );
    }
    server.stop().await;
    let server = Launch::new()
        .policies(&[("denier.cel", &denier())])
        .start()
        .await;
    for (name, response) in answers(&server, "/validate", &bodies).await {
        if !is_seen(&name) {
            continue;
        }
        let message = crate::denial(&response);
        assert!(!message.contains("resulted in error"), "{name}: {message}");
        assert_eq!(response["status"]["code"], 422, "{name}");
    }
    server.stop().await;
}

/// Whether policies see a recorded review: they never see what is asked to decide them.
fn is_seen(name: &str) -> bool {
    !name.contains("subjectaccessreview")
}
