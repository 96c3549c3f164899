//! A review with a 10 KB Deployment and 50 matching policies of 3 expressions, through the handler
//! without TLS, beside the same review when no policy matches.
//!
//! `cargo bench --bench review`; the last lines give microseconds and allocations.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot start ends"
)]

#[path = "support/objects.rs"]
mod objects;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use objects::deployment;
use portcullis::cel::version::KubernetesVersion;
use portcullis::engine::respond::Mode;
use portcullis::serve::policies::Policies;
use portcullis::sources::Texts;
use portcullis::text::Source;
use portcullis::webhook::admission::{Admission, Endpoint};
use serde_json::json;

const POLICIES: usize = 50;

/// A policy with three expressions that hold for the Deployment.
fn policy(at: usize, resource: &str) -> Arc<Source> {
    let text = format!(
        "// Policy {at}.\n\
         // ---\n\
         // match:\n\
         //   resources: [{resource}]\n\
         //   operations: [CREATE, UPDATE]\n\
         // ---\n\
         // @require at least three replicas\n\
         object.spec.replicas >= 3\n\
         // @require limits on every container\n\
         object.spec.template.spec.containers.all(c, has(c.resources) && has(c.resources.limits))\n\
         // @require no image tagged latest\n\
         object.spec.template.spec.containers.all(c, !c.image.endsWith(':latest'))\n"
    );
    Source::new(format!("policy-{at}.cel"), text)
}

fn policies(resource: &'static str) -> Policies {
    let load = move || Texts {
        sources: (0..POLICIES).map(|at| policy(at, resource)).collect(),
        ..Texts::default()
    };
    let policies = Policies::load(Box::new(load), KubernetesVersion::default(), Mode::Enforce);
    assert_eq!(policies.summary(), format!("{POLICIES} policies in force"));
    policies
}

fn body() -> Vec<u8> {
    let resource = json!({ "group": "apps", "version": "v1", "resource": "deployments" });
    let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": "web",
            "namespace": "prod",
            "operation": "CREATE",
            "userInfo": { "username": "admin", "groups": ["system:masters", "system:authenticated"] },
            "object": deployment(4),
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    })
    .to_string()
    .into_bytes()
}

fn answer(policies: &Policies, body: &[u8]) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(10);
    policies
        .review(Endpoint::ALL[0], body, deadline)
        .expect("the review is decided")
}

fn review(criterion: &mut Criterion) {
    let body = body();
    let matching = policies("apps/v1/deployments");
    let others = policies("apps/v1/statefulsets");
    let mut group = criterion.benchmark_group("review");
    for (name, policies) in [("50 policies match", &matching), ("none matches", &others)] {
        let text = String::from_utf8(answer(policies, &body)).expect("JSON is UTF-8");
        assert!(text.contains(r#""allowed":true"#), "{text}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(answer(policies, black_box(&body))));
        });
    }
    group.finish();
    println!("review of {} bytes:", body.len());
    for (name, policies) in [("50 policies match", &matching), ("none matches", &others)] {
        let mut samples: Vec<Duration> = (0..201)
            .map(|_| {
                let start = Instant::now();
                black_box(answer(policies, &body));
                start.elapsed()
            })
            .collect();
        samples.sort();
        let allocations = allocation_counter::measure(|| {
            black_box(answer(policies, &body));
        });
        println!(
            "  {name}: {:.1} us, {} allocations, {} bytes at most",
            samples[samples.len() / 2].as_secs_f64() * 1e6,
            allocations.count_total,
            allocations.bytes_max
        );
    }
}

criterion_group!(benches, review);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
