//! A review with a 10 KB Deployment and 50 matching policies of 3 expressions, through the handler
//! without TLS, beside the same review when no policy matches.
//!
//! `cargo bench --bench review`; the last lines give microseconds and allocations.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot start ends"
)]

#[path = "support/clock.rs"]
mod clock;
#[path = "support/policies.rs"]
mod distinct;
#[path = "support/objects.rs"]
mod objects;
#[path = "support/reviews.rs"]
mod reviews;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clock::medians;
use criterion::{Criterion, criterion_group};
use portcullis::cel::version::KubernetesVersion;
use portcullis::cluster::inquiry::Inquiry;
use portcullis::engine::respond::Mode;
use portcullis::policy::overrides::Overrides;
use portcullis::serve::policies::Policies;
use portcullis::sources::Texts;
use portcullis::text::Source;
use portcullis::webhook::admission::{Admission, Attempt, Endpoint};
use reviews::body;

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

fn policies(make: fn(usize) -> Arc<Source>) -> Policies {
    let load = move || Texts {
        sources: (0..POLICIES).map(make).collect(),
        ..Texts::default()
    };
    let policies = Policies::load(
        Box::new(load),
        KubernetesVersion::default(),
        Overrides::default(),
        Mode::Enforce,
        None,
    );
    assert_eq!(policies.summary(), format!("{POLICIES} policies in force"));
    policies
}

fn answer(policies: &Policies, body: &[u8]) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut inquiry = Inquiry::default();
    let attempt = Attempt {
        deadline,
        trace: None,
        inquiry: &mut inquiry,
    };
    policies
        .review(Endpoint::ALL[0], body, attempt)
        .expect("the review is decided")
}

fn review(criterion: &mut Criterion) {
    let body = body();
    let cases = [
        (
            "50 policies with the same expressions match",
            policies(|at| policy(at, "apps/v1/deployments")),
        ),
        (
            "50 policies of which no two are the same match",
            policies(|at| distinct::cel(at, "apps/v1/deployments")),
        ),
        (
            "none matches",
            policies(|at| policy(at, "apps/v1/statefulsets")),
        ),
    ];
    let mut group = criterion.benchmark_group("review");
    for (name, policies) in &cases {
        let text = String::from_utf8(answer(policies, &body)).expect("JSON is UTF-8");
        assert!(text.contains(r#""allowed":true"#), "{text}");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| black_box(answer(policies, black_box(&body))));
        });
    }
    group.finish();
    println!("review of {} bytes:", body.len());
    let mut works = cases.each_ref().map(|(_, policies)| {
        || {
            black_box(answer(policies, &body));
        }
    });
    let times = medians(works.each_mut().map(|work| work as &mut dyn FnMut()));
    for ((name, policies), time) in cases.iter().zip(times) {
        let allocations = allocation_counter::measure(|| {
            black_box(answer(policies, &body));
        });
        println!(
            "  {name}: {:.1} us, {} allocations, {} bytes at most",
            time.as_secs_f64() * 1e6,
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
