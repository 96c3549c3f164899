//! When something is said, how often, and in how many words.

use super::*;

const FAULT: &str = "a.cel:1:1: undeclared reference to `objct`";

fn state(name: &str, version: &str, standing: Stands) -> ObjectState {
    let faults = match standing {
        Stands::Loaded => Vec::new(),
        Stands::LastGood | Stands::Failed => vec![FAULT.to_owned()],
    };
    let source = crate::text::Source::new("a.cel", version);
    ObjectState {
        carrier: Arc::new(Carrier {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: Some("rules".to_owned()),
            name: name.to_owned(),
            uid: "1".to_owned(),
            version: version.to_owned(),
            sources: vec![source],
            faults: Vec::new(),
            passed_over: Vec::new(),
        }),
        standing,
        faults,
    }
}

/// Says what is due; returns the reasons.
fn said(news: &mut News, now: Instant) -> Vec<String> {
    let mut reasons = Vec::new();
    while let Some(notice) = news.next(now) {
        reasons.push(notice.event().reason.unwrap());
        news.said(&notice, now);
    }
    reasons
}

#[test]
fn a_fault_is_told_once_and_its_end_once_and_of_what_is_well_nothing() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let mut news = News::default();
    for (second, version, standing, expected) in [
        (0, "1", Stands::Loaded, vec![]),
        (10, "2", Stands::LastGood, vec!["PolicyKept"]),
        // Another object has changed.
        (20, "2", Stands::LastGood, vec![]),
        // Still faulty, but written anew.
        (30, "3", Stands::LastGood, vec!["PolicyKept"]),
        (40, "4", Stands::Loaded, vec!["PolicyLoaded"]),
        (50, "5", Stands::Loaded, vec![]),
        (60, "6", Stands::Failed, vec!["PolicyFailed"]),
    ] {
        news.take(&[state("one", version, standing)], at(second));
        assert_eq!(said(&mut news, at(second)), expected, "{second} s");
    }
    // It is gone, and comes again as it was.
    news.take(&[], at(70));
    assert!(news.objects.is_empty());
}

#[test]
fn who_saves_often_is_told_the_last_of_it() {
    let start = Instant::now();
    let mut news = News::default();
    news.take(&[state("one", "1", Stands::Failed)], start);
    assert_eq!(said(&mut news, start), ["PolicyFailed"]);
    let soon = start + Duration::from_secs(1);
    for version in ["2", "3", "4"] {
        news.take(&[state("one", version, Stands::Failed)], soon);
    }
    news.take(&[state("one", "5", Stands::Loaded)], soon);
    assert!(said(&mut news, soon).is_empty());
    assert_eq!(said(&mut news, start + PAUSE), ["PolicyLoaded"]);
}

#[test]
fn a_replica_that_comes_to_write_tells_what_is_wrong_and_no_old_news() {
    let start = Instant::now();
    let mut news = News::default();
    news.take(
        &[
            state("one", "1", Stands::Failed),
            state("two", "1", Stands::Failed),
        ],
        start,
    );
    news.take(
        &[
            state("one", "1", Stands::Failed),
            state("two", "2", Stands::Loaded),
        ],
        start,
    );
    assert_eq!(said(&mut news, start + NEWS), ["PolicyFailed"]);
}

#[test]
fn no_more_is_written_than_is_allowed() {
    let start = Instant::now();
    let mut allowance = Allowance::full(start);
    let taken = (0..100).filter(|_| allowance.take(start)).count();
    assert_eq!(taken, 20);
    let later = start + REFILL * 3;
    assert_eq!((0..100).filter(|_| allowance.take(later)).count(), 3);
    let much_later = start + REFILL * 1000;
    assert_eq!((0..100).filter(|_| allowance.take(much_later)).count(), 20);
}

#[test]
fn what_is_said_is_what_the_api_server_takes_however_much_is_wrong() {
    let mut many = state(&"n".repeat(253), "1", Stands::Failed);
    many.faults = (0..90)
        .map(|it| format!("{it}: {}", "é".repeat(60)))
        .collect();
    let event = Notice::of(&many).event();
    let note = event.note.unwrap();
    assert!(note.len() <= LONGEST_NOTE, "{}", note.len());
    assert!(note.contains("0: é") && note.ends_with(" more"), "{note}");
    assert!(event.metadata.name.unwrap().len() <= 253);
    many.faults = vec!["x".repeat(5000)];
    let note = Notice::of(&many).event().note.unwrap();
    assert!(
        note.starts_with("it cannot be used as it is written: xxx"),
        "{note}"
    );
    assert!(note.len() <= LONGEST_NOTE && note.ends_with('…'), "{note}");
    // The same thing has the same name, whoever says it; anything else has another.
    let name = |it: &ObjectState| Notice::of(it).event().metadata.name.unwrap();
    let one = state("one", "1", Stands::Failed);
    assert_eq!(name(&one), name(&state("one", "1", Stands::Failed)));
    assert_ne!(name(&one), name(&state("one", "2", Stands::Failed)));
    assert_ne!(name(&one), name(&state("one", "1", Stands::Loaded)));
}
