//! The offline commands as their users run them: the binary, on files of the test's own.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect; clippy knows that of test functions only"
)]

mod certs;
mod check;
mod corpus;
mod decisions;
mod exceptions;
mod explain;
mod export;
mod fix;
mod inputs;
mod lint;
mod manifests;
mod new;
mod packs;
mod production;
mod sets;
mod stock;
mod test;
mod version;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a command may take; generous, for machines that are busy.
const BOUND: Duration = Duration::from_secs(60);

/// A folder of its own that commands run in.
struct Folder(TempDir);

/// What a command said.
#[derive(Debug)]
struct Output {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Folder {
    /// Makes a folder with these files.
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Runs a command line.
    fn run(&self, line: &str) -> Output {
        self.run_with(line, "")
    }

    /// Runs a command line with this standard input; one that does not end is a failure.
    fn run_with(&self, line: &str, input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // Who does not read its input closes it; that is not what is tested.
        let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let id = child.id();
        let (done, ended) = std::sync::mpsc::channel();
        let waiter = thread::spawn(move || drop(done.send(child.wait_with_output())));
        let started = Instant::now();
        let output = ended.recv_timeout(BOUND).unwrap_or_else(|_| {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
            panic!("`{line}` did not end within {:?}", started.elapsed());
        });
        waiter.join().unwrap();
        writer.join().unwrap();
        let output = output.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Output {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Output {
    /// The lines of standard error without the time it took.
    fn summary(&self) -> String {
        let lines = self.err.lines().map(|line| match line.rsplit_once(" in ") {
            Some((before, time)) if time.ends_with(" s") => before,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A policy that wants three replicas.
const REPLICAS: &str = "// Three replicas survive the loss of a node.
//
// ---
// name: replicas
// match: {resources: [apps/v1/deployments], operations: ['*']}
// settings: {floor: 3}
// ---

// @require at least three replicas
object == null || object.spec.replicas >= settings.floor
// @message
object.metadata.name + ' runs ' + string(object.spec.replicas)
";

/// A Deployment with so many replicas.
fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n"
    )
}
