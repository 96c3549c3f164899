//! The program of `tests/kubernetes-cel`, asked by rows.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use serde_json::Value as Row;

/// The running program.
pub(crate) struct Oracle {
    child: Child,
    rows: Option<Sender<String>>,
    writer: Option<JoinHandle<()>>,
    answers: BufReader<ChildStdout>,
}

/// Returns where the program is, if it has been built: `$PORTCULLIS_KUBERNETES_CEL`, or in the
/// cache, where `cargo bench --bench kubernetes` leaves it.
pub(crate) fn program() -> Option<PathBuf> {
    let named = std::env::var_os("PORTCULLIS_KUBERNETES_CEL").map(PathBuf::from);
    let cached = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        Some(cache.or_else(home)?.join("portcullis/kubernetes-cel"))
    };
    named.or_else(cached).filter(|path| path.is_file())
}

impl Oracle {
    /// Starts the program.
    pub(crate) fn start(program: PathBuf) -> Self {
        let mut child = Command::new(program)
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let (rows, queue) = channel::<String>();
        // A thread of its own, so that a full pipe never blocks both sides.
        let writer = std::thread::spawn(move || {
            for mut row in queue {
                row.push('\n');
                input.write_all(row.as_bytes()).unwrap();
            }
        });
        Oracle {
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
            rows: Some(rows),
            writer: Some(writer),
        }
    }

    /// Sends rows, does `meanwhile`, and returns an answer for each row.
    pub(crate) fn ask<T>(&mut self, rows: &[Row], meanwhile: impl FnOnce() -> T) -> (Vec<Row>, T) {
        for row in rows {
            self.rows.as_ref().unwrap().send(row.to_string()).unwrap();
        }
        let done = meanwhile();
        let answers = rows.iter().map(|row| {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            let answer = serde_json::from_str(&line);
            answer
                .map_err(|error| format!("{error}: `{line}` for {row}"))
                .unwrap()
        });
        (answers.collect(), done)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input ends the program.
        self.rows = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        let _ = self.child.wait();
    }
}
