//! Log lines on their way to standard error: nobody who logs waits for whoever reads it.
//!
//! A line goes to a bounded queue, and a thread of its own writes. What there is no room for is dropped,
//! counted, and told of in a line when there is room again. The thread lives as long as the process,
//! because anything may log until the end; [`Lines::flush`] waits for what is queued.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::metrics::ResultLabel;

/// Lines that wait, and their bytes: some seconds of a busy server; one line with all that is wrong with
/// some thousand policies takes about a megabyte.
const QUEUE: usize = 4096;
const QUEUE_BYTES: usize = 8 << 20;
/// How much is written at once: what a pipe has room for.
const BATCH: usize = 64 * 1024;
/// How long until it is looked again whether an output has room that never waits.
const PAUSE: Duration = Duration::from_millis(5);

/// The queue; clones share it.
#[derive(Debug, Clone)]
pub struct Lines {
    queue: SyncSender<Vec<u8>>,
    waiting: Arc<Waiting>,
    counts: Counts,
}

/// What is queued or being written.
#[derive(Debug, Default)]
struct Waiting {
    lines: AtomicUsize,
    bytes: AtomicUsize,
}

/// How many lines came to what.
#[derive(Debug, Clone)]
struct Counts {
    family: Family<ResultLabel, Counter>,
    written: Counter,
    dropped: Counter,
    failed: Counter,
}

impl Counts {
    fn new() -> Self {
        let family: Family<ResultLabel, Counter> = Family::default();
        let of = |result| family.get_or_create(&ResultLabel { result }).clone();
        Counts {
            written: of("written"),
            dropped: of("dropped"),
            failed: of("failed"),
            family,
        }
    }
}

impl Lines {
    /// Begins to write lines to `output`.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn to(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let waiting = Arc::<Waiting>::default();
        let counts = Counts::new();
        let writer = Writer {
            lines,
            output,
            waiting: Arc::clone(&waiting),
            counts: counts.clone(),
            told: 0,
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())?;
        Ok(Lines {
            queue,
            waiting,
            counts,
        })
    }

    /// Shows in a registry what becomes of lines.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "log_lines",
            "Lines of the log, by what came of them",
            self.counts.family.clone(),
        );
    }

    /// Waits until what is queued is written, but no longer than `time`.
    pub fn flush(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while self.waiting.lines.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
    }

    fn add(&self, line: &[u8]) {
        let Waiting { lines, bytes } = &*self.waiting;
        let before = bytes.fetch_add(line.len(), Ordering::AcqRel);
        lines.fetch_add(1, Ordering::AcqRel);
        let is_room = before.saturating_add(line.len()) <= QUEUE_BYTES;
        if !is_room || self.queue.try_send(line.to_vec()).is_err() {
            bytes.fetch_sub(line.len(), Ordering::AcqRel);
            lines.fetch_sub(1, Ordering::AcqRel);
            self.counts.dropped.inc();
        }
    }
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line(self)
    }
}

/// Takes one line, which is written to it in one piece.
#[derive(Debug)]
pub struct Line<'l>(&'l Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writer<W> {
    lines: Receiver<Vec<u8>>,
    output: W,
    waiting: Arc<Waiting>,
    counts: Counts,
    /// How many of those that were dropped have been told of.
    told: u64,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        while let Ok(mut batch) = self.lines.recv() {
            let mut count = 1;
            let mut is_empty = false;
            while batch.len() < BATCH && !is_empty {
                match self.lines.try_recv() {
                    Ok(line) => {
                        batch.extend_from_slice(&line);
                        count += 1;
                    }
                    Err(_nothing_or_nobody) => is_empty = true,
                }
            }
            match write(&mut self.output, &batch) {
                Ok(()) => self.counts.written.inc_by(count as u64),
                Err(_nobody_to_tell) => self.counts.failed.inc_by(count as u64),
            };
            if is_empty {
                self.tell_of_losses();
            }
            // Only now: whoever waits for the end waits for the line about losses, too.
            self.waiting.bytes.fetch_sub(batch.len(), Ordering::AcqRel);
            self.waiting.lines.fetch_sub(count, Ordering::AcqRel);
        }
    }

    fn tell_of_losses(&mut self) {
        let dropped = self.counts.dropped.get();
        let lines = dropped.saturating_sub(self.told);
        if lines > 0 {
            self.told = dropped;
            tracing::warn!(
                lines,
                "nobody read the log as fast, and lines of it were lost"
            );
        }
    }
}

/// Writes everything, also to what says that it has no room instead of waiting.
fn write(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(PAUSE);
            }
            Err(problem) => return Err(problem),
        }
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Sender};
    use std::sync::{Condvar, Mutex};

    const SOON: Duration = Duration::from_secs(10);

    /// Takes nothing until it is opened.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<bool>, Condvar)>);

    impl Gate {
        fn open(&self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_all();
        }
    }

    struct Behind(Gate, Sender<Vec<u8>>);

    impl Write for Behind {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (is_open, opened) = &*self.0.0;
            let shut = |is_open: &mut bool| !*is_open;
            drop(opened.wait_while(is_open.lock().unwrap(), shut).unwrap());
            self.1.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_log_that_nobody_reads_and_losses_are_counted() {
        let (gate, (sender, written)) = (Gate::default(), mpsc::channel());
        let lines = Lines::to(Behind(gate.clone(), sender)).unwrap();
        let begun = Instant::now();
        for at in 0..2 * QUEUE {
            lines
                .make_writer()
                .write_all(format!("{at}\n").as_bytes())
                .unwrap();
        }
        assert!(begun.elapsed() < SOON);
        lines.flush(Duration::from_millis(20));
        assert_eq!(
            lines.counts.written.get(),
            0,
            "it ends in time all the same"
        );
        gate.open();
        lines.flush(SOON);
        let text: Vec<u8> = written.try_iter().flatten().collect();
        let text = String::from_utf8(text).unwrap();
        let numbers: Vec<usize> = text.lines().map(|it| it.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "in order");
        let (kept, lost) = (numbers.len() as u64, lines.counts.dropped.get());
        assert!(kept >= QUEUE as u64 && lost > 0, "{kept} {lost}");
        assert_eq!(kept + lost, 2 * QUEUE as u64);
        assert_eq!(lines.counts.written.get(), kept);
    }

    #[test]
    fn what_waits_is_bounded_by_its_bytes_too() {
        let (gate, (sender, written)) = (Gate::default(), mpsc::channel());
        let lines = Lines::to(Behind(gate.clone(), sender)).unwrap();
        let long = vec![b'a'; QUEUE_BYTES / 4];
        for _ in 0..10 {
            lines.make_writer().write_all(&long).unwrap();
        }
        assert_eq!(lines.counts.dropped.get(), 6);
        gate.open();
        lines.flush(SOON);
        let bytes: usize = written.try_iter().map(|it| it.len()).sum();
        assert_eq!(bytes, QUEUE_BYTES);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_counted() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::to(Broken).unwrap();
        lines.make_writer().write_all(b"a line\n").unwrap();
        lines.flush(SOON);
        assert_eq!(lines.counts.failed.get(), 1);
    }
}
