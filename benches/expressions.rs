//! The twelve expressions on a small and a large Deployment: our evaluator beside the interpreter
//! of the crate `cel`, and beside itself recording what every part gives, in one run.
//!
//! `cargo bench --bench expressions`; the last lines sum up each engine.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot start ends"
)]

#[path = "support/expressions.rs"]
mod expressions;
#[path = "support/objects.rs"]
mod objects;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use criterion::{BenchmarkId, Criterion, criterion_group};
use expressions::EXPRESSIONS;
use objects::deployment;
use portcullis::cel::ast::Ast;
use portcullis::cel::env::{Env, Language};
use portcullis::cel::eval::{Inputs, Limits, Observer, Unobserved, evaluate};
use portcullis::cel::plan::{self, Program};
use portcullis::cel::trace::Recorder;
use portcullis::cel::types::Type;
use portcullis::cel::value::Value;
use portcullis::cel::{check, parse};
use portcullis::json;

/// What recording may take, beside not recording.
const RECORDING: f64 = 2.0;

fn program(expression: &str) -> (Program, Ast) {
    let env = Env::new([("object", Type::Dyn)], Language::Kubernetes);
    let ast = parse::parse(expression).expect("the expression parses");
    let checked = check::check(ast, &env).expect("the expression is well typed");
    let program = plan::plan(&checked).expect("the expression can be planned");
    (program, checked.ast)
}

/// The crate's value of a JSON document, with integers as `int`.
fn crate_value(value: &serde_json::Value) -> cel::Value {
    match value {
        serde_json::Value::Null => cel::Value::Null,
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(int) => cel::Value::Int(int),
            None => cel::Value::Float(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => text.clone().into(),
        serde_json::Value::Array(items) => items.iter().map(crate_value).collect::<Vec<_>>().into(),
        serde_json::Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), crate_value(value)))
            .collect::<std::collections::HashMap<String, cel::Value>>()
            .into(),
    }
}

fn crate_env() -> std::sync::Arc<cel::Env> {
    let mut env = cel::Env::stdlib().with_optional_support(true);
    env.add_extension(cel::extensions::strings)
        .expect("the extension is new");
    std::sync::Arc::new(env)
}

/// One evaluation with everything it takes but the parsing of the object.
fn ours(program: &Program, slots: &[Value<'_>], arena: &Bump) -> bool {
    observed(program, slots, arena, &mut Unobserved)
}

/// The same with all that is told about it recorded.
fn recorded((program, ast): (&Program, &Ast), slots: &[Value<'_>], arena: &Bump) -> bool {
    observed(program, slots, arena, &mut Recorder::new(ast))
}

fn observed<'a>(
    program: &'a Program,
    slots: &'a [Value<'a>],
    arena: &'a Bump,
    observer: &mut impl Observer<'a>,
) -> bool {
    let inputs = arena.alloc(Inputs::new(slots));
    let outcome = evaluate(program, inputs, arena, Limits::default(), observer);
    matches!(outcome.value, Ok(Value::Bool(true)))
}

fn expressions(criterion: &mut Criterion) {
    for (size, containers) in [("11KB", 4), ("210KB", 80)] {
        let object = deployment(containers);
        let text = object.to_string();
        let mut sums = [Duration::ZERO; 3];
        let mut group = criterion.benchmark_group(size);
        group
            .sample_size(20)
            .measurement_time(Duration::from_millis(500));
        group.warm_up_time(Duration::from_millis(200));
        let env = crate_env();
        let mut context = cel::Context::with_env(std::sync::Arc::clone(&env));
        context.add_variable_from_value("object", crate_value(&object));
        for (name, expression) in EXPRESSIONS {
            let (program, ast) = program(expression);
            let document = Bump::new();
            let slots = [Value::from(
                json::parse(&document, text.as_bytes()).expect("valid JSON"),
            )];
            let mut arena = Bump::new();
            assert!(ours(&program, &slots, &arena), "{expression}");
            group.bench_function(BenchmarkId::new("portcullis", name), |bencher| {
                bencher.iter(|| {
                    arena.reset();
                    black_box(ours(&program, &slots, &arena))
                });
            });
            sums[0] += time(|| {
                arena.reset();
                black_box(ours(&program, &slots, &arena));
            });
            sums[2] += time(|| {
                arena.reset();
                black_box(recorded((&program, &ast), &slots, &arena));
            });
            let theirs = env.compile(expression).expect("the crate compiles it");
            let value = theirs.execute(&context).expect("the crate evaluates it");
            assert_eq!(value, cel::Value::Bool(true), "{expression}");
            group.bench_function(BenchmarkId::new("cel-0.15", name), |bencher| {
                bencher.iter(|| black_box(theirs.execute(&context)));
            });
            sums[1] += time(|| {
                black_box(theirs.execute(&context)).expect("the crate evaluates it");
            });
        }
        group.finish();
        println!(
            "{size}: sum of 12 expressions: portcullis {:.1} us, cel 0.15 {:.1} us, ratio {:.1}",
            sums[0].as_secs_f64() * 1e6,
            sums[1].as_secs_f64() * 1e6,
            sums[1].as_secs_f64() / sums[0].as_secs_f64()
        );
        println!(
            "{size}: the same recorded: {:.1} us, {:.2} times, at most {RECORDING} times",
            sums[2].as_secs_f64() * 1e6,
            sums[2].as_secs_f64() / sums[0].as_secs_f64()
        );
    }
}

/// The median of many timings, each long enough to be read off the clock.
fn time(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    let turns =
        u32::try_from(Duration::from_millis(2).as_nanos() / start.elapsed().as_nanos().max(20))
            .unwrap_or(u32::MAX)
            .max(1);
    let mut samples: Vec<Duration> = (0..31)
        .map(|_| {
            let start = Instant::now();
            (0..turns).for_each(|_| work());
            start.elapsed() / turns
        })
        .collect();
    samples.sort();
    samples[samples.len() / 2]
}

criterion_group!(benches, expressions);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
