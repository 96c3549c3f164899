//! The chart: what it says by default, what helm makes of it, and whether a cluster takes it.
//!
//! Tests that need helm, or an API server, are ignored unless asked for: `tests/chart/build` and
//! `tests/kube-apiserver/build`, then `cargo test --test chart -- --ignored`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect; clippy knows that of test functions only"
)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod defaults;
mod helm;
mod manages;
mod monitoring;
mod packs;
mod panels;
mod rendered;
mod rights;

use std::path::{Path, PathBuf};

use portcullis::text::Source;
use portcullis::text::yaml::{self, Yaml};
use serde_json::Value;

/// A path in the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The documents of a text in YAML.
fn documents(text: &str) -> Vec<Value> {
    let source = Source::new("documents", text);
    let stream = yaml::parse_stream(&source);
    assert!(stream.errors.is_empty(), "{:?}\n{text}", stream.errors);
    let documents = stream.documents.iter().map(Yaml::to_json);
    documents.filter(|document| !document.is_null()).collect()
}

/// Kind and name of an object.
fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// The only object of a kind.
fn only<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let mut of_kind = objects.iter().filter(|object| object["kind"] == kind);
    let first = of_kind
        .next()
        .unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(of_kind.next().is_none(), "there are several of {kind}");
    first
}
