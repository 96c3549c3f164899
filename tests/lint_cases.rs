//! What Kubernetes says of policies when they are created, and in `status.typeChecking`, beside what
//! `lint` says.
//!
//! `tests/cases/lint.jsonl` holds our own policies with the fields of Kubernetes' errors and type
//! warnings. `PORTCULLIS_LINT_CASES` names another file of that form to compare with:
//! `cargo test --test lint_cases -- --ignored`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "cases that cannot be read fail the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis::admission::resources::Resources;
use portcullis::cel::version::KubernetesVersion;
use portcullis::diagnostics::Diagnostic;
use portcullis::lint::World;
use portcullis::lint::subject::Subject;
use portcullis::lint::typing;
use portcullis::policy::places::Places;
use portcullis::policy::read;
use portcullis::policy::set::PolicySet;
use portcullis::schema::Schemas;
use portcullis::text::{Source, Span};
use serde_json::Value;

/// What is said of a policy or binding: where its errors are, and how many kinds each expression
/// does not fit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// The parts of the text with errors.
    errors: Vec<Span>,
    warnings: BTreeMap<String, usize>,
}

fn ours(source: &Arc<Source>, world: &World) -> (Said, Places) {
    let (documents, mut problems) = read::read(source);
    let policies = documents.policies.iter().map(|it| &it.places);
    let mut places = policies.chain(documents.bindings.iter().map(|it| &it.places));
    let places = places.next().cloned().unwrap_or_default();
    let built = PolicySet::build(documents, world.version, &PolicySet::default(), |_| false);
    problems.extend(built.diagnostics);
    let errors = problems.iter().filter(|it| it.is_error());
    let span = |it: &Diagnostic| {
        it.labels
            .first()
            .map_or(Span::default(), |label| label.span)
    };
    let mut said = Said {
        errors: errors.map(span).collect(),
        ..Said::default()
    };
    if said.errors.is_empty() {
        for policy in built.set.policies() {
            let subject = Subject::new(&policy.policy, &built.set, world);
            for warning in typing::warnings(&subject, world) {
                *said.warnings.entry(warning.role.field_ref()).or_default() += 1;
            }
        }
    }
    (said, places)
}

fn touches(one: Span, other: Span) -> bool {
    one.start <= other.end && other.start <= one.end
}

/// Where a field, or what it is missing from, is written.
fn written(places: &Places, field: &str) -> Span {
    let mut path = field;
    loop {
        let (key, value) = (places.key(path), places.value(path));
        if let Some(span) = value.or(key) {
            return key.map_or(span, |key| key.to(span));
        }
        let Some(cut) = path.rfind(['.', '[']) else {
            return Span::new(0, usize::MAX);
        };
        path = &path[..cut];
    }
}

/// What differs from what Kubernetes says.
fn differences(case: &Value, world: &World) -> Vec<String> {
    let text = serde_json::to_string(&case["policy"]).unwrap();
    let source = Source::new("policy.json", text);
    let (said, places) = ours(&source, world);
    let mut differences = Vec::new();
    let fields: BTreeSet<&str> = case["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field.as_str().unwrap())
        .collect();
    let spans: Vec<(&str, Span)> = fields
        .iter()
        .map(|field| (*field, written(&places, field)))
        .collect();
    for (field, span) in &spans {
        if !said.errors.iter().any(|own| touches(*own, *span)) {
            differences.push(format!(
                "no error at {field}, but at {:?}",
                said.errors
                    .iter()
                    .map(|own| source.slice(*own))
                    .collect::<Vec<_>>()
            ));
        }
    }
    for own in &said.errors {
        if !spans.iter().any(|(_, span)| touches(*own, *span)) {
            differences.push(format!("an error of our own at `{}`", source.slice(*own)));
        }
    }
    let expected: BTreeMap<String, usize> = case["typeWarnings"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, kinds)| {
            (
                field.clone(),
                usize::try_from(kinds.as_u64().unwrap()).unwrap(),
            )
        })
        .collect();
    if fields.is_empty() && expected != said.warnings {
        differences.push(format!(
            "type warnings {:?}, of Kubernetes {expected:?}",
            said.warnings
        ));
    }
    differences
}

fn compare(cases: &str) {
    let world = World {
        schemas: Arc::new(Schemas::built_in()),
        resources: Resources::default(),
        version: KubernetesVersion::default(),
    };
    let (mut agreed, mut differing) = (0, Vec::new());
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        match differences(&case, &world) {
            found if found.is_empty() => agreed += 1,
            found => {
                let name = &case["policy"]["metadata"]["name"];
                differing.push(format!("{name}: {}", found.join("; ")));
            }
        }
    }
    println!("{agreed} agree, {} differ", differing.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn errors_and_type_warnings_are_those_of_kubernetes() {
    compare(include_str!("cases/lint.jsonl"));
}

#[test]
#[ignore = "needs recordings: PORTCULLIS_LINT_CASES"]
fn other_policies_agree_too() {
    let path = std::env::var_os("PORTCULLIS_LINT_CASES");
    let path = path.expect("PORTCULLIS_LINT_CASES names a file");
    compare(&std::fs::read_to_string(path).unwrap());
}
