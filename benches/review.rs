//! A review with a 10 KB Deployment and 50 matching policies of 3 expressions, through the handler
//! without TLS, beside the same review when no policy matches; and what it costs besides to write the decision
//! log, if all is admitted, if one rule of a policy is broken and if one of every policy is, and to trace the
//! review, to a collector that takes everything.
//!
//! `cargo bench --bench review`; the last lines give microseconds and allocations.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot start ends"
)]

#[path = "support/clock.rs"]
mod clock;
#[path = "support/collector.rs"]
mod collector;
#[path = "support/policies.rs"]
mod distinct;
#[path = "support/objects.rs"]
mod objects;
#[path = "support/reviews.rs"]
mod reviews;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clock::medians;
use criterion::{Criterion, criterion_group};
use portcullis::cel::version::KubernetesVersion;
use portcullis::cluster::inquiry::Inquiry;
use portcullis::engine::respond::Mode;
use portcullis::policy::overrides::Overrides;
use portcullis::serve::policies::{Policies, Records};
use portcullis::sources::Texts;
use portcullis::telemetry::decisions::{DecisionLog, Target};
use portcullis::telemetry::traces::Tracer;
use portcullis::telemetry::traces::export::{Destination, Exporter, endpoint};
use portcullis::text::Source;
use portcullis::webhook::admission::{Admission, Attempt, Endpoint};
use prometheus_client::registry::Registry;
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

/// A policy of which the Deployment breaks the first rule.
fn broken(at: usize) -> Arc<Source> {
    let text = policy(at, "apps/v1/deployments").text().to_owned();
    Source::new(
        format!("policy-{at}.cel"),
        text.replacen("replicas >= 3", "replicas >= 300", 1),
    )
}

/// Policies of which the Deployment breaks a rule of the first one.
fn one_broken(at: usize) -> Arc<Source> {
    match at {
        0 => broken(at),
        _ => policy(at, "apps/v1/deployments"),
    }
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
    traced(policies, body, None)
}

/// Answers, and traces it as a call of an API server that traces.
fn traced(policies: &Policies, body: &[u8], tracer: Option<&Tracer>) -> Vec<u8> {
    let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut trace = tracer.and_then(|it| it.begin("/validate", Some(parent), Instant::now()));
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut inquiry = Inquiry::default();
    let attempt = Attempt {
        deadline,
        trace: trace.as_mut(),
        inquiry: &mut inquiry,
    };
    let answer = policies
        .review(Endpoint::ALL[0], body, attempt)
        .expect("the review is decided");
    if let Some(trace) = trace {
        trace.finish(200);
    }
    answer
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
    print(cases.each_ref().map(|(name, policies)| {
        let work = || drop(black_box(answer(policies, &body)));
        (*name, work)
    }));
}

/// Measures what is told of a review beside the answer.
fn told(_: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("there is a runtime");
    let mut registry = Registry::default();
    let to = endpoint(&collector::start()).expect("it is an address");
    let destination = Destination::resolve(Some(&to), &BTreeMap::new());
    let destination = destination.expect("it can be used").expect("it is one");
    let (tracer, exporter) = runtime
        .block_on(async { Exporter::start(destination, &mut registry) })
        .expect("it can be spoken to");
    let folder = tempfile::tempdir().expect("there is a folder");
    let target = Target::File(folder.path().join("decisions.jsonl"));
    let log = DecisionLog::open(target, &mut registry).expect("it can be opened");
    let log = Arc::new(log);
    let logged = |make| {
        let records = Records {
            log: Some(Arc::clone(&log)),
            ..Records::default()
        };
        policies(make).recorded(records)
    };
    let all: fn(usize) -> Arc<Source> = |at| distinct::cel(at, "apps/v1/deployments");
    let body = body();
    let cases = [
        ("all admit", policies(all), None),
        ("all admit, logged", logged(all), None),
        ("all admit, traced", policies(all), Some(&tracer)),
        ("one denies", policies(one_broken), None),
        ("one denies, logged", logged(one_broken), None),
        ("all deny", policies(broken), None),
        ("all deny, logged", logged(broken), None),
    ];
    println!("what is told of it:");
    print(cases.each_ref().map(|(name, policies, tracer)| {
        let work = || drop(black_box(traced(policies, &body, *tracer)));
        (*name, work)
    }));
    log.close(Duration::from_secs(10));
    runtime.block_on(exporter.close(Duration::from_secs(10)));
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).expect("it can be shown");
    for line in page.lines().filter(|line| line.contains("_total{")) {
        println!("  {line}");
    }
}

/// Prints how long each takes, and what it allocates.
fn print<const N: usize>(mut cases: [(&str, impl FnMut()); N]) {
    let times = medians(cases.each_mut().map(|(_, work)| work as &mut dyn FnMut()));
    for ((name, work), time) in cases.iter_mut().zip(times) {
        let allocations = allocation_counter::measure(work);
        println!(
            "  {name}: {:.1} us, {} allocations, {} bytes at most",
            time.as_secs_f64() * 1e6,
            allocations.count_total,
            allocations.bytes_max
        );
    }
}

criterion_group!(benches, review, told);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
