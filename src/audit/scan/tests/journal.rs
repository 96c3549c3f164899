//! Scans that are interrupted and go on.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::*;
use crate::audit::journal::{About, JournalError};

fn opened(path: &Path, text: &str) -> Result<Journal, JournalError> {
    let set = set(text);
    Journal::open(path, &About::new("https://a", &set, Vec::new()), &set)
}

/// Scans with a file of how far it is; closes that.
async fn scan_on(path: &Path, answers: Vec<Answer>) -> (Scanned, Vec<String>) {
    let journal = Mutex::new(opened(path, NAMES).unwrap());
    let (scanned, asked) = scan_with(
        &set(NAMES),
        &discovery("configmaps", "ConfigMap"),
        answers,
        Limits::default(),
        Some(&journal),
    )
    .await;
    let journal = journal.into_inner().unwrap();
    journal.close(scanned.is_whole()).unwrap();
    (scanned, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_goes_on_with_the_next_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress");
    let answers = vec![
        (200, vec![], list(&["a", "bad-1"], "second")),
        (200, vec![], list(&["bad-2"], "third")),
        (403, vec![], String::new()),
    ];
    let (scanned, _) = scan_on(&path, answers).await;
    assert!(!scanned.is_whole());
    // The process was ended while it wrote.
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"list\":\"/api/v1/co").unwrap();

    let rest = vec![(200, vec![], list(&["bad-3", "b"], ""))];
    let (scanned, asked) = scan_on(&path, rest).await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("continue=third"), "{asked:?}");
    let expected = [
        "ConfigMap shop/bad-1",
        "ConfigMap shop/bad-2",
        "ConfigMap shop/bad-3",
    ];
    assert_eq!(subjects(&scanned), expected);
    assert_eq!(scanned.objects, 5);
    let first = scanned.findings.kept().next().unwrap();
    assert_eq!(&*first.message, "bad-1 holds nothing");
    assert!(scanned.is_whole() && !path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_the_api_server_has_forgotten_goes_on_as_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress");
    let answers = vec![
        (200, vec![], list(&["bad-1"], "second")),
        (403, vec![], String::new()),
    ];
    scan_on(&path, answers).await;
    let expired = r#"{"kind":"Status","reason":"Expired","metadata":{"continue":"onward"}}"#;
    let rest = vec![
        (410, vec![], expired.to_owned()),
        (200, vec![], list(&["bad-2"], "")),
    ];
    let (scanned, asked) = scan_on(&path, rest).await;
    assert!(asked[1].contains("continue=onward"), "{asked:?}");
    let expected = ["ConfigMap shop/bad-1", "ConfigMap shop/bad-2"];
    assert_eq!(subjects(&scanned), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_is_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress");
    let unreadable = r#"{"kind":"ConfigMapList","metadata":{},"items":[{"metadata":3}]}"#;
    let answers = vec![(200, vec![], unreadable.to_owned())];
    let (scanned, _) = scan_on(&path, answers).await;
    assert_eq!((scanned.unread, scanned.is_whole()), (1, false));
    let answers = vec![(200, vec![], list(&["bad-1"], ""))];
    let (scanned, _) = scan_on(&path, answers).await;
    assert_eq!(subjects(&scanned), ["ConfigMap shop/bad-1"]);
    assert!(scanned.is_whole());
}

#[test]
fn what_is_about_something_else_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress");
    drop(opened(&path, NAMES).unwrap());
    let text = fs::read(&path).unwrap();
    assert!(opened(&path, NAMES).is_ok());
    let other = opened(&path, &NAMES.replace("'bad'", "'worse'"));
    assert!(matches!(other, Err(JournalError::Other { .. })));
    assert_eq!(fs::read(&path).unwrap(), text);
    for foreign in ["no JSON\n", "{\"kind\": \"Pod\"}\n", "no line"] {
        fs::write(&path, foreign).unwrap();
        let refused = opened(&path, NAMES);
        assert!(matches!(refused, Err(JournalError::Foreign { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
    assert!(matches!(
        opened(folder.path(), NAMES),
        Err(JournalError::Unusable { .. })
    ));
}
