//! Published sets of policies, as they are: they load, and decide what their own tests say.
//!
//! Checkouts of the sets lie in the folder `$PORTCULLIS_POLICY_SETS`: `cel-admission-library`
//! (Kubescape), `policies` (Kyverno) and `gatekeeper-library`. What differs is listed in
//! `tests/cases/policy-sets.yaml` with its cause; the tests are ignored unless asked for.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a set that cannot be read fails the test"
)]

mod gatekeeper;
mod kyverno;
mod loading;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::admission::resources::Resources;
use portcullis::admission::review::AdmissionRequest;
use portcullis::admission::synthesize::Synthesis;
use portcullis::cel::version::KubernetesVersion;
use portcullis::diagnostics::Diagnostic;
use portcullis::engine::cluster::Objects;
use portcullis::engine::verdict::Decision;
use portcullis::engine::{Options, validate};
use portcullis::policy::overrides::Overrides;
use portcullis::policy::set::PolicySet;
use portcullis::sources;
use portcullis::text::{Source, yaml};
use serde_json::Value;

/// A path in the folder of the sets.
fn set_path(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("PORTCULLIS_POLICY_SETS").unwrap()).join(name)
}

/// The files below a folder, hidden ones too, whose names are `wanted`, in order.
fn files(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if wanted(path.file_name().unwrap().to_str().unwrap()) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The documents of a file that are YAML.
fn documents(path: &Path) -> Vec<Value> {
    let source = Source::new(
        path.display().to_string(),
        fs::read_to_string(path).unwrap_or_default(),
    );
    let stream = yaml::parse_stream(&source);
    let documents = stream.documents.iter();
    documents
        .map(yaml::Yaml::to_json)
        .filter(|it| !it.is_null())
        .collect()
}

/// The policies of these files.
fn load(paths: &[PathBuf]) -> (PolicySet, Vec<Diagnostic>) {
    sources::load(paths, KubernetesVersion::default(), &Overrides::default())
}

/// What a finding says and where.
fn shown(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.labels.first().map_or(String::new(), |label| {
        format!("{}:{}", label.source.name(), label.position().line)
    });
    format!(
        "{place}: {}: {}: {}",
        diagnostic.severity, diagnostic.code, diagnostic.message
    )
}

/// What is decided when an object is created.
fn created(
    set: &PolicySet,
    object: &Value,
    cluster: &Objects,
    resources: &Resources,
) -> Vec<Decision> {
    let request = Synthesis::create(object.clone())
        .request(resources)
        .unwrap();
    decided(set, &request.request(), cluster)
}

fn decided(set: &PolicySet, request: &AdmissionRequest<'_>, cluster: &Objects) -> Vec<Decision> {
    let options = Options::new(cluster);
    validate(set, request, options).unwrap().decisions
}

/// Says what was compared; fails on a difference without a known cause, and on a known one that is gone.
fn compare(what: &str, agreed: usize, differences: &BTreeMap<String, String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/policy-sets.yaml");
    let known = documents(&path).into_iter().next().unwrap();
    // From the beginning of the names of differences to their cause.
    let known = known[what].as_object().cloned().unwrap_or_default();
    println!("{what}: {agreed} of {} agree", agreed + differences.len());
    for (beginning, cause) in &known {
        let count = differences
            .keys()
            .filter(|it| it.starts_with(beginning))
            .count();
        println!("  {count} x {beginning}: {cause}");
        assert!(count > 0, "all of these agree: {beginning}");
    }
    let unknown: Vec<String> = differences
        .iter()
        .filter(|(name, _)| !known.keys().any(|it| name.starts_with(it)))
        .map(|(name, said)| format!("{name}: {said}"))
        .collect();
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}
