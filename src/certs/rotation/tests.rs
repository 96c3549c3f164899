//! The life of a shared certificate, step by step, as every client sees it.

use super::*;

const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-01-01, so that the tests do not depend on the day they run.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn terms() -> Terms {
    Terms {
        names: vec!["portcullis.policy.svc".to_owned(), "127.0.0.1".to_owned()],
        lifetime: LIFETIME,
    }
}

fn issued() -> Contents {
    let nothing = Contents::default();
    let step = nothing.due(&terms(), start(), &provider());
    assert!(matches!(step, Step::Issue { .. }), "{step:?}");
    nothing.after(&step, &terms(), start()).unwrap()
}

/// Takes one step, which must be this one.
fn take(contents: &Contents, now: SystemTime, expected: &Step) -> Contents {
    assert_eq!(contents.due(&terms(), now, &provider()), *expected);
    contents.after(expected, &terms(), now).unwrap()
}

fn is_trusted(leaf: &Contents, bundle: &Contents, now: SystemTime) -> bool {
    let pair = leaf.leaf(Path::new("a"), now, &provider()).unwrap();
    let authorities: Vec<_> = certificates(bundle.bundle()).collect();
    terms().names.iter().all(|name| {
        let name = ServerName::try_from(name.as_str()).unwrap();
        pair.is_trusted(&authorities, &name, now, &provider())
            .is_ok()
    })
}

fn count(contents: &Contents) -> usize {
    certificates(contents.bundle()).count()
}

#[test]
fn a_certificate_is_followed_by_the_next_and_whoever_lags_is_trusted() {
    let first = issued();
    assert!(is_trusted(&first, &first, start()));
    let names: Vec<_> = first.keys().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["ca.crt", "tls.crt", "tls.key"],
        "the key of the CA is forgotten"
    );
    for (day, expected) in [
        (0, Step::Keep),
        (59, Step::Keep),
        (60, Step::Stage),
        (89, Step::Stage),
    ] {
        assert_eq!(
            first.due(&terms(), start() + DAY * day, &provider()),
            expected,
            "day {day}"
        );
    }
    let now = start() + DAY * 60;
    let staged = take(&first, now, &Step::Stage);
    assert_eq!(
        staged.keys()["tls.crt"],
        first.keys()["tls.crt"],
        "still served"
    );
    assert_eq!(count(&staged), 2);
    let switched = take(&staged, now, &Step::Switch { is_overdue: false });
    assert_ne!(switched.keys()["tls.crt"], first.keys()["tls.crt"]);
    assert!(!switched.keys().contains_key("next.key"));
    // Each replica may serve either leaf, and each API server have either bundle from the staging on.
    for leaf in [&first, &staged, &switched] {
        for bundle in [&staged, &switched] {
            assert!(is_trusted(leaf, bundle, now));
        }
    }
    assert_eq!(
        switched.due(&terms(), start() + DAY * 89, &provider()),
        Step::Keep
    );
    let later = start() + DAY * 90;
    let retired = take(&switched, later, &Step::Retire);
    assert_eq!(count(&retired), 1);
    assert!(is_trusted(&switched, &retired, later));
    assert_eq!(retired.due(&terms(), later, &provider()), Step::Keep);
}

#[test]
fn clocks_may_differ_by_an_hour() {
    let first = issued();
    for now in [
        start() - Duration::from_secs(3_599),
        start() + LIFETIME - Duration::from_secs(1),
    ] {
        assert!(is_trusted(&first, &first, now));
    }
    assert!(
        first
            .leaf(
                Path::new("a"),
                start() - Duration::from_secs(3_601),
                &provider()
            )
            .is_err()
    );
}

#[test]
fn what_cannot_be_served_is_issued_again_and_the_bundle_keeps_what_holds() {
    let first = issued();
    let spoilt = |name: &str, pem: &str| {
        let mut keys = first.keys().clone();
        keys.insert(name.to_owned(), pem.as_bytes().to_vec());
        Contents::from(keys)
    };
    let other = issued();
    let other_key = String::from_utf8(other.keys()["tls.key"].clone()).unwrap();
    for (name, contents) in [
        ("no key", spoilt("tls.key", "")),
        ("another key", spoilt("tls.key", &other_key)),
        ("no leaf", spoilt("tls.crt", "a")),
        ("no bundle", spoilt("ca.crt", "")),
        ("another bundle", spoilt("ca.crt", other.bundle())),
    ] {
        let step = contents.due(&terms(), start(), &provider());
        assert!(matches!(step, Step::Issue { .. }), "{name}: {step:?}");
        let after = contents.after(&step, &terms(), start()).unwrap();
        assert!(is_trusted(&after, &after, start()), "{name}");
        assert_eq!(
            after.due(&terms(), start(), &provider()),
            Step::Keep,
            "{name}"
        );
        assert_eq!(count(&after), count(&contents) + 1, "{name}");
    }
    let late = start() + LIFETIME;
    assert!(matches!(
        first.due(&terms(), late, &provider()),
        Step::Issue { .. }
    ));
    let renamed = Terms {
        names: vec!["other.policy.svc".to_owned()],
        ..terms()
    };
    let step = first.due(&renamed, start(), &provider());
    assert!(
        matches!(&step, Step::Issue { because } if because.contains("clients refuse it")),
        "{step:?}"
    );
}

#[test]
fn a_next_leaf_takes_over_at_once_from_one_that_has_expired() {
    let staged = take(&issued(), start() + DAY * 80, &Step::Stage);
    let late = start() + DAY * 91;
    let switched = take(&staged, late, &Step::Switch { is_overdue: true });
    assert!(is_trusted(&switched, &switched, late));
}

#[test]
fn a_next_leaf_that_cannot_be_served_is_made_again() {
    let now = start() + DAY * 70;
    let mut keys = take(&issued(), now, &Step::Stage).keys().clone();
    keys.insert("next.key".to_owned(), b"a".to_vec());
    let spoilt = Contents::from(keys);
    let staged = take(&spoilt, now, &Step::Stage);
    take(&staged, now, &Step::Switch { is_overdue: false });
}

#[test]
fn a_bundle_does_not_grow_for_ever() {
    let mut contents = issued();
    for _ in 0..20 {
        let again = Step::Issue {
            because: String::new(),
        };
        contents = contents.after(&again, &terms(), start()).unwrap();
    }
    assert_eq!(count(&contents), MOST_AUTHORITIES + 1);
}

#[test]
fn keys_are_never_shown() {
    let shown = format!("{:?}", issued());
    assert_eq!(shown, r#"{"ca.crt", "tls.crt", "tls.key"}"#);
}

#[test]
fn what_is_published_holds_no_key() {
    let first = issued();
    let key = String::from_utf8(first.keys()["tls.key"].clone()).unwrap();
    let mixed = format!("{key}{}# a note\n{key}", first.bundle());
    assert_eq!(only_certificates(&mixed), first.bundle());
}
