//! What the development authority makes, keeps and refuses.

use super::*;

use tempfile::TempDir;

use crate::certs::files;

/// 2026-01-01, so that the tests do not depend on the day they run.
const START: Duration = Duration::from_secs(1_767_225_600);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + START
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn ensure_at(folder: &TempDir, now: SystemTime) -> Outcome {
    ensure(folder.path(), now, &provider()).expect("the folder can be used")
}

fn contents(folder: &TempDir) -> Vec<Vec<u8>> {
    [CA_CERTIFICATE_FILE, CA_KEY_FILE, CERTIFICATE_FILE, KEY_FILE]
        .map(|name| fs::read(folder.path().join(name)).expect("the file is there"))
        .to_vec()
}

fn made() -> TempDir {
    let folder = TempDir::new().unwrap();
    let outcome = ensure_at(&folder, start());
    assert!(
        matches!(&outcome, Outcome::AuthorityCreated { because } if because.contains("there is no")),
        "{outcome:?}"
    );
    folder
}

#[test]
fn a_second_start_reuses_every_file() {
    let folder = made();
    let before = contents(&folder);
    assert_eq!(ensure_at(&folder, start() + DAY), Outcome::Reused);
    assert_eq!(contents(&folder), before);
}

#[test]
fn keys_can_be_read_by_their_owner_alone() {
    let folder = made();
    for (name, mode) in [
        (CA_KEY_FILE, 0o600),
        (KEY_FILE, 0o600),
        (CA_CERTIFICATE_FILE, 0o644),
        (CERTIFICATE_FILE, 0o644),
    ] {
        let metadata = fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
}

#[test]
fn the_pair_can_be_served() {
    let folder = made();
    let pair = files::load(folder.path(), start(), &provider()).expect("it is sound");
    assert_eq!(pair.not_after, start() + LEAF_LIFETIME);
}

#[test]
fn the_leaf_is_renewed_before_its_end_under_the_same_authority() {
    let folder = made();
    let before = contents(&folder);
    let last_day = start() + LEAF_LIFETIME - LEAF_RENEWED_BEFORE;
    assert_eq!(ensure_at(&folder, last_day - DAY), Outcome::Reused);
    let outcome = ensure_at(&folder, last_day);
    assert!(
        matches!(&outcome, Outcome::LeafIssued { because } if because.contains("expires at 2026-04-01")),
        "{outcome:?}"
    );
    let after = contents(&folder);
    assert_eq!(after[..2], before[..2], "the authority stays");
    assert_ne!(after[2..], before[2..], "the leaf does not");
    assert_eq!(ensure_at(&folder, last_day), Outcome::Reused);
}

#[test]
fn the_authority_is_renewed_before_a_leaf_could_outlive_it() {
    let folder = made();
    let before = contents(&folder);
    let outcome = ensure_at(&folder, start() + CA_LIFETIME - CA_RENEWED_BEFORE);
    assert!(
        matches!(&outcome, Outcome::AuthorityCreated { because } if because.contains("holds from")),
        "{outcome:?}"
    );
    assert_ne!(contents(&folder)[0], before[0]);
}

#[test]
fn damaged_files_of_ours_are_made_again() {
    let halved = |contents: &[u8]| contents[..contents.len() / 2].to_vec();
    for (name, authority) in [
        (CA_CERTIFICATE_FILE, true),
        (CA_KEY_FILE, true),
        (CERTIFICATE_FILE, false),
        (KEY_FILE, false),
    ] {
        let folder = made();
        let path = folder.path().join(name);
        fs::write(&path, halved(&fs::read(&path).unwrap())).unwrap();
        let (is_authority, because) = match ensure_at(&folder, start()) {
            Outcome::AuthorityCreated { because } => (true, because),
            Outcome::LeafIssued { because } => (false, because),
            Outcome::Reused => panic!("{name}: damage went unseen"),
        };
        assert_eq!(is_authority, authority, "{name}: {because}");
        assert!(because.contains(name), "{because} names {name}");
        assert_eq!(ensure_at(&folder, start()), Outcome::Reused, "{name}");
    }
}

#[test]
fn a_leaf_of_another_authority_of_ours_is_replaced() {
    let (folder, other) = (made(), made());
    for name in [CERTIFICATE_FILE, KEY_FILE] {
        fs::copy(other.path().join(name), folder.path().join(name)).unwrap();
    }
    let outcome = ensure_at(&folder, start());
    assert!(
        matches!(&outcome, Outcome::LeafIssued { because } if because.contains("clients refuse it")),
        "{outcome:?}"
    );
}

#[test]
fn certificates_of_others_are_refused_and_left_alone() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let foreign = params.self_signed(&key).unwrap().pem();
    for name in [CA_CERTIFICATE_FILE, CERTIFICATE_FILE] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &foreign).unwrap();
        let refusal = ensure(folder.path(), start(), &provider()).unwrap_err();
        assert!(
            matches!(&refusal, CertificateError::Foreign { path: named } if *named == path),
            "{refusal}"
        );
        assert!(refusal.help().contains("--certs"), "{}", refusal.help());
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let problem = ensure(&file.join("dev"), start(), &provider()).unwrap_err();
    assert!(
        matches!(&problem, CertificateError::Write { path, .. } if path.ends_with("file/dev")),
        "{problem}"
    );
}

#[test]
fn starts_at_the_same_time_agree_on_one_authority() {
    let folder = TempDir::new().unwrap();
    let created = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| ensure_at(&folder, start())))
            .collect();
        let outcomes = starts.into_iter().map(|start| start.join().unwrap());
        outcomes
            .filter(|outcome| *outcome != Outcome::Reused)
            .count()
    });
    assert_eq!(created, 1);
}
