//! The twelve expressions, and the compilation of a policy, beside cel-go as Kubernetes configures
//! it, in one run on one machine.
//!
//! `cargo bench --bench kubernetes` builds the program of `tests/kubernetes-cel` into the cache and
//! measures both engines expression by expression, in turns. Without Go it says so and measures
//! nothing.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark that cannot be run stops"
)]

#[path = "support/expressions.rs"]
mod expressions;
#[path = "support/objects.rs"]
mod objects;

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bumpalo::Bump;
use expressions::EXPRESSIONS;
use objects::deployment;
use portcullis::cel::env::{Env, Language};
use portcullis::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use portcullis::cel::plan::{self, Program};
use portcullis::cel::value::Value;
use portcullis::cel::{check, parse};
use portcullis::json;
use portcullis::policy::compile::SLOTS;
use serde_json::json;

/// What the evaluator must reach, summed over the expressions.
const RATIO: f64 = 15.0;

/// A policy of three expressions.
const POLICY: [usize; 3] = [0, 2, 8];

/// What compiling a policy may take.
const POLICY_COMPILATION: Duration = Duration::from_micros(300);

/// cel-go, in the program that was built.
struct Kubernetes {
    child: Child,
    rows: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Builds the program with Go; where there is none, says so.
fn build() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let program = cache.or_else(home)?.join("portcullis/kubernetes-cel");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes-cel");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(module)
        .status();
    match built {
        Ok(status) if status.success() => Some(program),
        Ok(status) => panic!("go build of tests/kubernetes-cel: {status}"),
        Err(error) => {
            println!("skipped: Go is needed to compare with Kubernetes ({error})");
            None
        }
    }
}

impl Kubernetes {
    fn start(program: PathBuf) -> Self {
        let mut child = Command::new(program)
            .arg("-bench")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        Kubernetes {
            rows: child.stdin.take().expect("its input is a pipe"),
            answers: BufReader::new(child.stdout.take().expect("its output is a pipe")),
            child,
        }
    }

    /// Returns how long an evaluation and a compilation take, in nanoseconds.
    fn measure(&mut self, expression: &str, object: &serde_json::Value) -> [f64; 2] {
        let row = json!({ "expr": expression, "env": "admission", "vars": { "object": object } });
        writeln!(self.rows, "{row}").expect("the program reads rows");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the program answers each row");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("answers are JSON");
        assert_eq!(answer["value"], true, "{expression}: {answer}");
        ["evaluationNs", "compilationNs"]
            .map(|name| answer[name].as_f64().expect("every answer is timed"))
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn environment() -> Env {
    Env::new(SLOTS, Language::Kubernetes)
        .without("settings")
        .without("pod")
}

fn compile(expression: &str, env: &Env) -> Program {
    let ast = parse::parse(expression).expect("the expression parses");
    let checked = check::check(ast, env).expect("the expression is well typed");
    plan::plan(&checked).expect("the expression can be planned")
}

fn evaluates_to_true(program: &Program, slots: &[Value<'_>], arena: &Bump) -> bool {
    let inputs = Inputs::new(slots);
    let outcome = evaluate(program, &inputs, arena, Limits::default(), &mut Unobserved);
    matches!(outcome.value, Ok(Value::Bool(true)))
}

/// Returns how long an evaluation and a compilation take, in nanoseconds.
fn measure(expression: &str, text: &str, env: &Env) -> [f64; 2] {
    let program = compile(expression, env);
    let document = Bump::new();
    let object = json::parse(&document, text.as_bytes()).expect("valid JSON");
    let mut slots = vec![Value::Null; SLOTS.len()];
    slots[0] = Value::from(object);
    let mut arena = Bump::new();
    assert!(evaluates_to_true(&program, &slots, &arena), "{expression}");
    let evaluation = median(|| {
        arena.reset();
        black_box(evaluates_to_true(&program, &slots, &arena));
    });
    let compilation = median(|| {
        black_box(compile(expression, env));
    });
    [evaluation, compilation]
}

/// The median of 31 samples of two milliseconds, in nanoseconds: as the program measures.
fn median(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    let once = start.elapsed().as_nanos().max(20);
    let turns = u32::try_from(Duration::from_millis(2).as_nanos() / once)
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
    samples[samples.len() / 2].as_nanos() as f64
}

fn main() {
    // `cargo test --benches` runs benches too; there is nothing to test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(program) = build() else { return };
    let mut kubernetes = Kubernetes::start(program);
    let env = environment();
    let mut faults = Vec::new();
    let mut compilations = [0.0; 2];
    for (size, containers) in [("11 KB", 4), ("210 KB", 80)] {
        let object = deployment(containers);
        let text = object.to_string();
        println!(
            "{size:<12} {:>12} {:>12} {:>7}",
            "portcullis", "kubernetes", "ratio"
        );
        let mut sums = [0.0; 2];
        for (at, (name, expression)) in EXPRESSIONS.iter().enumerate() {
            let [theirs, their_compilation] = kubernetes.measure(expression, &object);
            let [ours, our_compilation] = measure(expression, &text, &env);
            println!(
                "{name:<12} {ours:>9.0} ns {theirs:>9.0} ns {:>6.1}x",
                theirs / ours
            );
            if theirs < ours {
                faults.push(format!("`{name}` is slower at {size}"));
            }
            sums = [sums[0] + ours, sums[1] + theirs];
            if POLICY.contains(&at) {
                compilations = [
                    compilations[0] + our_compilation / 2.0,
                    compilations[1] + their_compilation / 2.0,
                ];
            }
        }
        let ratio = sums[1] / sums[0];
        println!(
            "{:<12} {:>9.0} ns {:>9.0} ns {ratio:>6.1}x\n",
            "sum", sums[0], sums[1]
        );
        if ratio < RATIO {
            faults.push(format!(
                "{ratio:.1} times faster at {size}, not {RATIO} times"
            ));
        }
    }
    println!(
        "compiling a policy of 3 expressions: {:.1} us, kubernetes {:.1} us, {:.1}x",
        compilations[0] / 1e3,
        compilations[1] / 1e3,
        compilations[1] / compilations[0]
    );
    if compilations[0] > POLICY_COMPILATION.as_nanos() as f64 {
        faults.push(format!(
            "a policy takes more than {POLICY_COMPILATION:?} to compile"
        ));
    }
    for fault in &faults {
        println!("below the bar: {fault}");
    }
}
