//! Lines arrive whole and in order, in the file that lies in its place, and the rest is counted.

use super::*;
use std::fs;

const SOON: Duration = Duration::from_secs(10);

fn record(at: usize) -> Record {
    Record {
        policy: format!("p{at}"),
        ..Record::default()
    }
}

fn policies(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let read = |line| serde_json::from_str::<Record>(line).unwrap().policy;
    text.lines().map(read).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_queued_is_written_at_the_end() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("decisions.jsonl");
    fs::write(&path, "").unwrap();
    let mut registry = Registry::with_prefix("portcullis");
    let log = DecisionLog::open(Target::File(path.clone()), &mut registry).unwrap();
    for at in 0..1000 {
        log.add(record(at));
    }
    log.close(SOON);
    let expected: Vec<String> = (0..1000).map(|at| format!("p{at}")).collect();
    assert_eq!(policies(&path), expected);
    let page = crate::telemetry::metrics::page(&registry).unwrap();
    assert!(
        page.contains("portcullis_decision_log_records_total{result=\"written\"} 1000"),
        "{page}"
    );
    log.add(record(0));
    log.close(SOON);
}

#[test]
fn a_rotated_file_is_left_and_another_begun() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let mut registry = Registry::default();
    let log = DecisionLog::open(Target::File(path.clone()), &mut registry).unwrap();
    log.add(record(1));
    eventually("the first is written", || policies(&path) == ["p1"]);
    let rotated = folder.path().join("decisions.jsonl.1");
    fs::rename(&path, &rotated).unwrap();
    eventually("a file is made anew", || path.exists());
    log.add(record(2));
    eventually("the second is in it", || policies(&path) == ["p2"]);
    assert_eq!(policies(&rotated), ["p1"]);
    log.close(SOON);
}

#[test]
fn what_there_is_no_room_for_is_counted_and_nobody_waits() {
    let mut registry = Registry::with_prefix("portcullis");
    let full = PathBuf::from("/dev/full");
    if !full.exists() {
        return;
    }
    let log = DecisionLog::open(Target::File(full), &mut registry).unwrap();
    let begun = Instant::now();
    for at in 0..3 * QUEUE {
        log.add(record(at));
    }
    assert!(begun.elapsed() < SOON);
    log.close(SOON);
    let page = crate::telemetry::metrics::page(&registry).unwrap();
    let of = |result: &str| {
        let name = format!("records_total{{result=\"{result}\"}} ");
        let line = page.lines().find_map(|line| line.split_once(&name));
        line.unwrap().1.parse::<usize>().unwrap()
    };
    assert_eq!(of("written"), 0, "{page}");
    assert_eq!(of("failed") + of("dropped"), 3 * QUEUE, "{page}");
}

#[test]
fn a_disk_stays_full_until_something_is_written() {
    let full = PathBuf::from("/dev/full");
    let Ok(file) = File::options().append(true).open(&full) else {
        return;
    };
    let folder = tempfile::TempDir::new().unwrap();
    let (_queue, entries) = sync_channel(1);
    let mut writer = Writer {
        entries,
        output: Output::File { path: full, file },
        counts: Counts {
            written: Counter::default(),
            failed: Counter::default(),
        },
        losses: Arc::new(Losses::new(Counter::default(), |_| {})),
        has_failed: false,
        is_torn: false,
        is_away: false,
    };
    let add = |writer: &mut Writer| writer.write(Entry::Record(Box::new(record(0))));
    add(&mut writer);
    assert!(writer.has_failed);
    writer.follow();
    assert!(writer.has_failed, "it could be opened, and not written");

    let path = folder.path().join("decisions.jsonl");
    let file = File::create(&path).unwrap();
    writer.output = Output::File { path, file };
    writer.follow();
    assert!(writer.has_failed, "nothing was written yet");
    add(&mut writer);
    assert!(!writer.has_failed);

    drop(folder);
    writer.follow();
    add(&mut writer);
    assert!(
        writer.has_failed,
        "its folder is gone, and the file with it"
    );
    let Counts { written, failed } = &writer.counts;
    assert_eq!((written.get(), failed.get()), (1, 2));
}

#[test]
fn how_many_are_dropped_is_said() {
    static SAID: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let said = || SAID.lock().unwrap().clone();
    let (queue, never_read) = sync_channel(QUEUE);
    let dropped = Counter::default();
    let tell = |decisions| SAID.lock().unwrap().push(decisions);
    let log = DecisionLog {
        queue,
        losses: Arc::new(Losses::new(dropped.clone(), tell)),
        writer: Mutex::default(),
    };
    for at in 0..QUEUE + 500 {
        log.add(record(at));
    }
    assert_eq!(dropped.get(), 500);
    eventually("the drops are said", || {
        log.add(record(0));
        !said().is_empty()
    });
    for at in 0..1000 {
        log.add(record(at));
    }
    assert_eq!(said().len(), 1, "{:?}", said());
    log.losses.end();
    assert_eq!(said().len(), 2, "{:?}", said());
    assert_eq!(said().iter().sum::<u64>(), dropped.get());
    drop(never_read);
}

#[test]
fn what_follows_half_a_line_begins_a_new_one() {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    // It has room for some of a long line, and then says that there is none.
    let (to, mut from) = UnixStream::pair().unwrap();
    to.set_nonblocking(true).unwrap();
    let (_queue, entries) = sync_channel(1);
    let counts = Counts {
        written: Counter::default(),
        failed: Counter::default(),
    };
    let mut writer = Writer {
        entries,
        output: Output::File {
            path: PathBuf::from("stream"),
            file: File::from(OwnedFd::from(to)),
        },
        counts: counts.clone(),
        losses: Arc::new(Losses::new(Counter::default(), |_| {})),
        has_failed: false,
        is_torn: false,
        is_away: false,
    };
    let mut add = |record| {
        assert!(
            !writer.write(Entry::Record(Box::new(record))),
            "not the end"
        )
    };
    add(record(1));
    add(Record {
        message: "m".repeat(8 << 20),
        ..record(2)
    });
    assert_eq!((counts.written.get(), counts.failed.get()), (1, 1));
    from.set_nonblocking(true).unwrap();
    let mut text = Vec::new();
    // All there is; then it would wait.
    let problem = from.read_to_end(&mut text).unwrap_err();
    assert_eq!(problem.kind(), io::ErrorKind::WouldBlock);
    assert!(
        !text.ends_with(b"\n") && text.len() > 10_000,
        "half of it is there"
    );
    add(record(3));
    add(record(4));
    let _ = from.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let read = |line| {
        serde_json::from_str::<Record>(line)
            .map(|it| it.policy)
            .ok()
    };
    let read: Vec<Option<String>> = text.lines().map(read).collect();
    let expected = [Some("p1"), None, Some("p3"), Some("p4")];
    assert_eq!(read, expected.map(|it| it.map(str::to_owned)));
    assert_eq!((counts.written.get(), counts.failed.get()), (3, 1));
}
