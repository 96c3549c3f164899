//! The program as a cluster meets it: `portcullis serve` as a process, called over TLS.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect; clippy knows that of test functions only"
)]

#[path = "../support/mod.rs"]
mod support;

mod bad_policies;
mod bad_reviews;
mod certificates;
mod corpus;
mod decisions;
mod exceptions;
mod guide;
mod lifecycle;
mod load;
mod newcomer;
mod observed;
mod reload;
mod unheard;
mod verdicts;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::sync::Mutex;

/// Held by tests that measure time, and by those that keep a core busy for longer.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Returns the path of a file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns a review of `tests/data/reviews`.
fn review(name: &str) -> Value {
    let path = repository(&format!("tests/data/reviews/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Returns the creation of a Deployment of this name.
fn creation(name: &str) -> Value {
    let mut review = review("create");
    for path in ["/request/name", "/request/object/metadata/name"] {
        *review.pointer_mut(path).unwrap() = name.into();
    }
    review
}

/// Returns the message of a denial.
fn denial(response: &Value) -> &str {
    assert_eq!(response["allowed"], false, "{response:#}");
    response["status"]["message"].as_str().unwrap()
}

/// Asserts that a response admits and says nothing else.
fn assert_plainly_allowed(response: &Value) {
    let expected = serde_json::json!({ "uid": response["uid"], "allowed": true });
    assert_eq!(*response, expected);
}
