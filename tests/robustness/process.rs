//! `portcullis eval --jsonl` as a process that is watched.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::TIME;
use super::inputs::Input;
use super::policies::PolicyFile;

/// A process that has used this much of the processor is ended.
const ENOUGH: Duration = TIME.saturating_mul(3);

/// A process that has not ended by then waits for something.
const PATIENCE: Duration = Duration::from_secs(120);

/// The least of what the threads of a server have as stack, in KiB; the main thread is given no more.
const STACK_KIB: u32 = 2_048;

/// Ends a process that wants far more memory than it may, before the machine suffers; most of it is
/// address space that is reserved for stacks and never used. In KiB.
const ADDRESS_SPACE_KIB: u32 = 2 << 20;

/// A process that evaluates.
pub(crate) struct Evaluator {
    child: Child,
}

/// How an input was answered.
pub(crate) struct Answered {
    /// The line of the answer; empty if there was none.
    pub(crate) line: String,
    /// What happened instead of an answer.
    pub(crate) trouble: String,
    /// The time of the processor, that of the start included.
    pub(crate) time: Duration,
    /// The most memory that was resident.
    pub(crate) memory_bytes: u64,
}

impl Evaluator {
    /// Starts a process within the limits.
    pub(crate) fn start() -> Self {
        let child = limited("\"$1\" eval --jsonl")
            .arg(env!("CARGO_BIN_EXE_portcullis"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Evaluator { child }
    }

    /// Gives the process one row, waits for the answer, and ends it.
    pub(crate) fn answer(mut self, input: &Input) -> Answered {
        let row = row(input);
        let mut stdin = self.child.stdin.take().unwrap();
        // The process may end before it has read everything.
        let _ = writeln!(stdin, "{row}");
        let mut stdout = BufReader::new(self.child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut line = String::new();
            // Without a line there is no answer, whatever the reason.
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
        });
        let started = Instant::now();
        let (answer, (time, memory_bytes)) = loop {
            let answer = receiver.recv_timeout(Duration::from_millis(20));
            let used = used(self.child.id());
            if answer.is_ok() || used.0 > ENOUGH || started.elapsed() > PATIENCE {
                break (answer, used);
            }
        };
        drop(stdin);
        let mut trouble = String::new();
        if answer.is_err() {
            self.child.kill().unwrap();
            trouble = format!("nothing after {time:?} of the processor");
        }
        reader.join().unwrap();
        let mut errors = String::new();
        let stderr = self.child.stderr.take();
        // What is no text is no message of ours.
        let _ = stderr.unwrap().read_to_string(&mut errors);
        let status = self.child.wait().unwrap();
        if !status.success() || !errors.is_empty() {
            trouble = format!("{trouble} {status} {}", errors.trim());
        }
        let line = answer.unwrap_or_default();
        Answered {
            line: if trouble.is_empty() {
                line
            } else {
                String::new()
            },
            trouble,
            time,
            memory_bytes,
        }
    }
}

/// The time of the processor and the most memory so far, as Linux says; elsewhere nothing is
/// known of them.
///
/// Nothing is counted before the program has begun: until `execve` has replaced it, the memory of a
/// new process is that of the test, which may be far more.
fn used(process: u32) -> (Duration, u64) {
    let folder = format!("/proc/{process}");
    let program = fs::read_link(format!("{folder}/exe")).unwrap_or_default();
    if !program.ends_with("portcullis") {
        return (Duration::ZERO, 0);
    }
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    // `proc_pid_stat(5)`: utime and stime are the 14th and 15th field, in hundredths of a
    // second; the second one may hold spaces, and ends with the last bracket.
    let stat = fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .into_iter()
        .flat_map(|rest| rest.split_whitespace().skip(11).take(2))
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    (
        Duration::from_millis(ticks * 10),
        kib.unwrap_or_default() << 10,
    )
}

/// The row of an input.
fn row(input: &Input) -> String {
    let Input {
        name,
        expression,
        vars,
        extensions,
    } = input;
    json!({"id": name, "expr": expression, "vars": vars, "extensions": extensions}).to_string()
}

/// A command within the limits; its arguments are `$1` and so on.
fn limited(command: &str) -> Command {
    let script = format!("ulimit -s {STACK_KIB} -v {ADDRESS_SPACE_KIB} && exec {command}");
    let mut limited = Command::new("bash");
    limited
        .args(["-c", &script, "bash"])
        .env("RUST_BACKTRACE", "0");
    limited
}

/// How a process ended.
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote, to either output.
    pub(crate) text: String,
    pub(crate) time: Duration,
    pub(crate) memory_bytes: u64,
}

/// Gives one process all inputs; returns the lines it answers.
pub(crate) fn stream(inputs: &[Input]) -> Vec<String> {
    let mut evaluator = Evaluator::start();
    let mut stdin = evaluator.child.stdin.take().unwrap();
    let stdout = BufReader::new(evaluator.child.stdout.take().unwrap());
    let lines = thread::scope(|scope| {
        scope.spawn(move || {
            for input in inputs {
                writeln!(stdin, "{}", row(input)).unwrap();
            }
        });
        stdout.lines().map(Result::unwrap).collect()
    });
    assert!(evaluator.child.wait().unwrap().success());
    lines
}

/// Evaluates an input with a trace.
pub(crate) fn eval_with_trace(input: &Input) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let vars = folder.path().join("vars.json");
    fs::write(&vars, input.vars.to_string()).unwrap();
    let expression = folder.path().join("expression");
    fs::write(&expression, &input.expression).unwrap();
    let arguments = ["eval", "-", "--trace", "--vars", vars.to_str().unwrap()];
    run(&arguments, Stdio::from(fs::File::open(expression).unwrap()))
}

/// Checks a manifest against a file of policies.
pub(crate) fn check(policy: &PolicyFile) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("policy.{}", policy.extension));
    fs::write(&file, &policy.text).unwrap();
    let manifest = folder.path().join("manifest.yaml");
    let object = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}, data: {}}";
    fs::write(&manifest, object).unwrap();
    let (file, manifest) = (file.to_str().unwrap(), manifest.to_str().unwrap());
    run(&["check", "--policies", file, manifest], Stdio::null())
}

/// Lints a policy.
pub(crate) fn lint(policy: &PolicyFile) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("policy.{}", policy.extension));
    fs::write(&file, &policy.text).unwrap();
    run(&["lint", file.to_str().unwrap()], Stdio::null())
}

/// Runs the program within the limits to its end, and looks at it now and then.
fn run(arguments: &[&str], stdin: Stdio) -> Ended {
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut child = limited("\"$@\"")
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .stdin(stdin)
        .stdout(output.as_file().try_clone().unwrap())
        .stderr(output.as_file().try_clone().unwrap())
        .spawn()
        .unwrap();
    let (mut time, mut memory_bytes) = (Duration::ZERO, 0);
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if time > ENOUGH || started.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        // A process that has ended and was not waited for has used nothing.
        let (used, memory) = used(child.id());
        time = time.max(used);
        memory_bytes = memory_bytes.max(memory);
        thread::sleep(Duration::from_millis(2));
    };
    let text = fs::read(output.path()).unwrap();
    Ended {
        code: status.code(),
        text: String::from_utf8_lossy(&text).into_owned(),
        time,
        memory_bytes,
    }
}
