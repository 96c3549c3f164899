//! The decision log: one line of JSON for each decision that is not a plain admission.
//!
//! Reviews hand records to a queue and never wait; a thread of its own writes them. What the queue has
//! no room for is dropped and counted, and said in the server's log once a minute. The file is opened again
//! when another one lies in its place, as after a rotation. What follows half a line, after a disk was full,
//! begins a new one. At the end what is queued is written, as long as there is time for it.

mod losses;
pub mod record;
pub mod summary;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::metrics::ResultLabel;
use losses::Losses;
use record::Record;

/// Records that wait to be written. With texts of two kilobytes, the longest that are kept, a few
/// megabytes; at ten thousand denials a second, half a second of a disk that hangs.
const QUEUE: usize = 4096;
/// How often it is looked whether another file lies in the place of the one that is written.
const LOOK: Duration = Duration::from_secs(1);
/// How much is written at once.
const BATCH: usize = 64 * 1024;

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

/// How many records came to what.
#[derive(Debug, Clone)]
struct Counts {
    written: Counter,
    failed: Counter,
}

/// The log; to be closed at the end.
#[derive(Debug)]
pub struct DecisionLog {
    queue: SyncSender<Entry>,
    losses: Arc<Losses>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Entry {
    Record(Box<Record>),
    End,
}

impl DecisionLog {
    /// Opens the log and begins to write.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(target: Target, registry: &mut Registry) -> io::Result<Self> {
        let records: Family<ResultLabel, Counter> = Family::default();
        registry.register(
            "decision_log_records",
            "Records of the decision log, by what came of them",
            records.clone(),
        );
        let of = |result| records.get_or_create(&ResultLabel { result }).clone();
        let counts = Counts {
            written: of("written"),
            failed: of("failed"),
        };
        let losses = Arc::new(Losses::new(of("dropped"), losses::log));
        let output = Output::open(target)?;
        let (queue, entries) = sync_channel(QUEUE);
        let writer = Writer {
            entries,
            output,
            counts,
            losses: Arc::clone(&losses),
            has_failed: false,
            is_torn: false,
            is_away: false,
        };
        let writer = std::thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || writer.run())?;
        Ok(DecisionLog {
            queue,
            losses,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Adds a record, or drops and counts it when too many wait.
    pub fn add(&self, record: Record) {
        if self
            .queue
            .try_send(Entry::Record(Box::new(record)))
            .is_err()
        {
            self.losses.drop_one();
        }
    }

    /// Writes what is queued and ends; what is not written within `time` is lost.
    pub fn close(&self, time: Duration) {
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(writer) = writer else {
            return;
        };
        self.losses.end();
        let deadline = Instant::now() + time;
        let pause = Duration::from_millis(5);
        let mut has_told = false;
        while !writer.is_finished() {
            if Instant::now() >= deadline {
                tracing::warn!("not every decision was written to the decision log");
                return;
            }
            has_told = has_told || self.queue.try_send(Entry::End).is_ok();
            std::thread::sleep(pause);
        }
        // It has ended, and says nothing.
        let _ = writer.join();
    }
}

/// What is written to.
#[derive(Debug)]
enum Output {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Output {
    fn open(target: Target) -> io::Result<Self> {
        Ok(match target {
            Target::Stdout => Output::Stdout,
            Target::File(path) => {
                let file = open(&path)?;
                Output::File { path, file }
            }
        })
    }

    fn path(&self) -> &Path {
        match self {
            Output::Stdout => Path::new("-"),
            Output::File { path, .. } => path,
        }
    }

    /// Writes lines; returns how many bytes of them, and why not all.
    fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        match self {
            Output::Stdout => {
                let mut out = io::stdout().lock();
                let (count, outcome) = write(&mut out, lines);
                (count, outcome.and_then(|()| out.flush()))
            }
            Output::File { file, .. } => write(file, lines),
        }
    }

    /// Says whether the file has no name any more, so that nobody will read it.
    fn is_nowhere(&self) -> bool {
        match self {
            Output::Stdout => false,
            Output::File { file, .. } => file.metadata().is_ok_and(|it| it.nlink() == 0),
        }
    }

    /// Opens the file anew if another one, or none, lies in its place; says whether it was.
    fn follow(&mut self) -> io::Result<bool> {
        let Output::File { path, file } = self else {
            return Ok(false);
        };
        let identity = |it: std::fs::Metadata| (it.dev(), it.ino());
        let lies_there = std::fs::metadata(&*path).map(identity).ok();
        let is_another = lies_there != Some(identity(file.metadata()?));
        if is_another {
            *file = open(path)?;
        }
        Ok(is_another)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Without a reader, opening a pipe would wait; what the process was given (`/dev/stdout`) is open.
    let is_given = path.starts_with("/dev") || path.starts_with("/proc/self/fd");
    let is_pipe = std::fs::metadata(path).is_ok_and(|it| it.file_type().is_fifo());
    if is_pipe && !is_given {
        let problem = "it is a named pipe, not a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes as much as can be written; returns how many bytes that were, and why not all.
fn write(output: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|it| !it.is_empty()) {
        match output.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
            Err(problem) => return (written, Err(problem)),
        }
    }
    (written, Ok(()))
}

/// Writes until it is told to end.
struct Writer {
    entries: Receiver<Entry>,
    output: Output,
    counts: Counts,
    losses: Arc<Losses>,
    has_failed: bool,
    /// Whether half a line stands at the end of what was written.
    is_torn: bool,
    /// Whether the file is not in its place, and none can be made there.
    is_away: bool,
}

impl Writer {
    fn run(mut self) {
        let mut looked = Instant::now();
        let mut is_over = false;
        while !is_over {
            let first = match self.entries.recv_timeout(LOOK) {
                Ok(entry) => Some(entry),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if looked.elapsed() >= LOOK {
                self.follow();
                looked = Instant::now();
            }
            self.losses.look();
            if let Some(first) = first {
                is_over = self.write(first);
            }
        }
    }

    /// Follows the file, should it have been moved away. That it can be opened does not say that it can be written.
    fn follow(&mut self) {
        let followed = self.output.follow();
        self.is_away = followed.is_err();
        match followed {
            Ok(is_new) => self.is_torn &= !is_new,
            Err(problem) => self.note(Err(problem)),
        }
    }

    /// Writes an entry and those that wait behind it; says whether it was the end.
    fn write(&mut self, first: Entry) -> bool {
        let mut lines = Vec::new();
        if self.is_torn {
            lines.push(b'\n');
        }
        let head = lines.len();
        let mut count: u64 = 0;
        let mut next = Ok(first);
        let is_over = loop {
            match next {
                Ok(Entry::Record(record)) => {
                    // Texts and numbers always serialize.
                    if serde_json::to_writer(&mut lines, &record).is_ok() {
                        lines.push(b'\n');
                        count += 1;
                    }
                }
                Ok(Entry::End) => break true,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break false,
            }
            if lines.len() >= BATCH {
                break false;
            }
            next = self.entries.try_recv();
        };
        let is_lost = self.is_away && self.output.is_nowhere();
        let (bytes, outcome) = match is_lost {
            true => (0, Ok(())),
            false => self.output.write(&lines),
        };
        if let Some(last) = bytes.checked_sub(1) {
            self.is_torn = lines.get(last) != Some(&b'\n');
        }
        let written = lines.get(head..bytes).unwrap_or_default();
        // No record has a line break in it but the one at its end.
        let written = written.iter().filter(|it| **it == b'\n').count() as u64;
        self.counts.written.inc_by(written);
        self.counts.failed.inc_by(count.saturating_sub(written));
        // What goes to a file that was moved away is not where it is looked for.
        if outcome.is_err() || (count > 0 && !self.is_away) {
            self.note(outcome);
        }
        is_over
    }

    /// Says once that writing fails, and once that it works again.
    fn note(&mut self, outcome: io::Result<()>) {
        match outcome {
            Ok(()) if self.has_failed => {
                self.has_failed = false;
                tracing::info!("the decision log can be written again");
            }
            Err(problem) if !self.has_failed => {
                self.has_failed = true;
                let path = self.output.path().display();
                tracing::error!(%path, %problem, "the decision log cannot be written");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
