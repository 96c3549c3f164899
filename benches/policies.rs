//! What policies take: memory and time to load them, time to decide by many of them.
//!
//! `cargo bench --bench policies`; each line ends with the bar and whether it is reached.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot start ends"
)]

#[path = "support/clock.rs"]
mod clock;
#[path = "support/objects.rs"]
mod objects;
#[path = "support/policies.rs"]
mod policies;
#[path = "support/reviews.rs"]
mod reviews;

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use allocation_counter::measure;
use clock::{bar, medians};
use policies::PACK;
use portcullis::admission::review;
use portcullis::cel::version::KubernetesVersion;
use portcullis::engine::cluster::Objects;
use portcullis::engine::mutating::{Defaults, Mutating, mutate};
use portcullis::engine::{Options, validate};
use portcullis::policy::set::PolicySet;
use portcullis::schema::Schemas;
use portcullis::sources;
use portcullis::text::Source;
use reviews::body;

/// How many policies are loaded to measure one.
const MANY: usize = 2_000;

fn load(sources: Vec<Arc<Source>>) -> PolicySet {
    let (documents, findings) = sources::documents(&sources);
    assert!(findings.is_empty(), "{findings:?}");
    let built = PolicySet::build_to_serve(
        documents,
        KubernetesVersion::default(),
        &PolicySet::default(),
        |_| false,
    );
    assert!(built.diagnostics.is_empty(), "{:?}", built.diagnostics);
    built.set
}

fn memory() {
    let resource = "apps/v1/deployments";
    type Make = dyn Fn(usize) -> Arc<Source>;
    let forms: [(&str, &Make); 3] = [
        ("a .cel policy of 3 expressions", &|at| {
            policies::cel(at, resource)
        }),
        (
            "a ValidatingAdmissionPolicy with its binding",
            &policies::kubernetes,
        ),
        ("the same policy under many names", &|at| {
            Source::new(format!("{at}.cel"), policies::cel(0, resource).text())
        }),
    ];
    for (form, make) in forms {
        // What is made once for all policies is not theirs.
        load(vec![make(0)]);
        let mut set = PolicySet::default();
        let allocated = measure(|| set = load((0..MANY).map(make).collect()));
        assert_eq!(set.validating().len(), MANY);
        let each = |bytes: f64| bytes / MANY as f64 / 1024.0;
        bar(
            &format!("{form}, memory"),
            each(allocated.bytes_current as f64),
            "KiB",
            10.0,
        );
    }
}

fn compilation() {
    let cel: Vec<_> = (0..PACK)
        .map(|at| policies::cel(at, "apps/v1/deployments"))
        .collect();
    let yaml: Vec<_> = (0..PACK).map(policies::kubernetes).collect();
    for (form, sources) in [
        ("a .cel policy", cel),
        ("a ValidatingAdmissionPolicy", yaml),
    ] {
        let mut samples: Vec<f64> = (0..20)
            .flat_map(|_| &sources)
            .map(|source| {
                let source = vec![Arc::clone(source)];
                let start = Instant::now();
                black_box(load(source));
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        samples.sort_by(f64::total_cmp);
        let what = format!("{form}, reading and compiling it");
        bar(&what, samples[samples.len() / 2], "ms", 0.3);
        let allocations = measure(|| {
            load(vec![Arc::clone(&sources[0])]);
        });
        println!("  {} allocations", allocations.count_total);
    }
}

/// Decides a review by each set, in turns; milliseconds, and allocations.
fn decide<const N: usize>(sets: [&PolicySet; N]) -> [(f64, u64); N] {
    let body = body();
    let cluster = Objects::default();
    let options = Options::new(&cluster);
    let decide = |set: &PolicySet| {
        let request = review::parse(&body).expect("a review");
        let verdict = validate(set, &request, options).expect("it is decided");
        assert!(!verdict.is_denied(), "{:?}", verdict.decisions);
        assert!(verdict.matched > 0);
        black_box(verdict);
    };
    let mut works = sets.map(|set| move || decide(set));
    let times = medians(works.each_mut().map(|work| work as &mut dyn FnMut()));
    let mut results = [(0.0, 0); N];
    for ((result, time), set) in results.iter_mut().zip(times).zip(sets) {
        let allocations = measure(|| decide(set)).count_total;
        *result = (time.as_secs_f64() * 1e3, allocations);
    }
    results
}

fn requests() {
    let matching = |at| policies::cel(at, "apps/v1/deployments");
    let others = |at| {
        policies::cel(
            at,
            ["v1/pods", "v1/services", "apps/v1/statefulsets"][at % 3],
        )
    };
    let five = load((0..5).map(matching).collect());
    let many = load((0..5).map(matching).chain((5..MANY).map(others)).collect());
    let [(few, _), (all, _)] = decide([&five, &many]);
    bar(
        "2,000 policies of which 5 match, beside 5",
        all / few,
        "times",
        1.05,
    );

    let one = load(policies::bound(1));
    let bound = load(policies::bound(1024));
    let params = load(policies::with_params(1024));
    let [(one, _), (bound, first), (params, second)] = decide([&one, &bound, &params]);
    println!("one policy with one binding: {one:.4} ms");
    bar("one policy with 1,024 bindings", bound, "ms", 2.0);
    println!("  {first} allocations");
    bar(
        "one policy with 1,024 bindings and parameters",
        params,
        "ms",
        2.0,
    );
    println!("  {second} allocations");

    let pack = load((0..PACK).map(policies::kubernetes).collect());
    let [(pack, allocations)] = decide([&pack]);
    bar("60 policies on a Deployment", pack, "ms", 0.5);
    println!("  {allocations} allocations");
}

/// Ten policies that change the Deployment, half of them by operations, half by a configuration.
fn mutations() {
    let sources = (0..10).map(policies::mutating).collect();
    let set = load(sources);
    assert_eq!(set.mutating().len(), 10);
    let body = body();
    let cluster = Objects::default();
    let options = Options::new(&cluster);
    let mutating = Mutating {
        schemas: &Schemas::built_in_shared,
        defaults: Defaults::Applied,
    };
    let mut decide = || {
        let request = review::parse(&body).expect("a review");
        let mutated = mutate(&set, &request, options, mutating).expect("it is decided");
        assert!(!mutated.is_denied(), "{:?}", mutated.verdict.decisions);
        assert!(mutated.patch.len() >= 10, "{:?}", mutated.patch);
        black_box(mutated);
    };
    let [time] = medians([&mut decide]);
    bar(
        "10 mutating policies on a Deployment",
        time.as_secs_f64() * 1e3,
        "ms",
        1.0,
    );
    println!("  {} allocations", measure(decide).count_total);
}

/// Runs the program with 200 policies, and asks the system what it takes.
fn serve() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).expect("the folder is new");
    for at in 0..200 {
        let source = match at % 2 {
            0 => policies::cel(at, "apps/v1/deployments"),
            _ => policies::kubernetes(at),
        };
        std::fs::write(policies.join(source.name()), source.text()).expect("a file is written");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--policies", "policies"])
        .current_dir(folder.path())
        .env("PORTCULLIS_LISTEN", "127.0.0.1:0")
        .env("PORTCULLIS_ADMIN_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = output.lines().map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("admin ")),
        "it does not serve"
    );
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let status = status.unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|it| it.trim().split(' ').next()?.parse::<f64>().ok());
    match resident {
        Some(kib) => bar(
            "serve with 200 policies, resident",
            kib / 1024.0,
            "MiB",
            40.0,
        ),
        None => println!("serve with 200 policies: this system does not say what is resident"),
    }
}

fn main() {
    // `cargo test --benches` runs benches too; there is nothing to test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    memory();
    compilation();
    requests();
    mutations();
    serve();
}
