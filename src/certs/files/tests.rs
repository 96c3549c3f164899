//! Pairs that can be served, and every way in which one cannot.

use super::*;

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// Writes a pair that holds from the day before to the day after [`now`].
fn mount(directory: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY).into();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(directory.join(CERTIFICATE_FILE), certificate.pem()).unwrap();
    fs::write(directory.join(KEY_FILE), key.serialize_pem()).unwrap();
}

fn load_at(directory: &Path, now: SystemTime) -> Result<Pair, CertificateError> {
    load(directory, now, &rustls::crypto::ring::default_provider())
}

/// Spoils a sound folder and returns the error of loading it, without the folder's path.
fn error_after(spoil: impl FnOnce(&Path)) -> String {
    let folder = TempDir::new().unwrap();
    mount(folder.path());
    spoil(folder.path());
    let problem = load_at(folder.path(), now()).expect_err("it was spoilt");
    assert!(!problem.help().is_empty());
    let prefix = format!("{}/", folder.path().display());
    problem.to_string().replace(&prefix, "")
}

#[test]
fn a_sound_pair_is_loaded() {
    let folder = TempDir::new().unwrap();
    mount(folder.path());
    let pair = load_at(folder.path(), now()).expect("it is sound");
    assert_eq!(pair.not_after, now() + DAY);
}

#[test]
fn each_fault_says_what_is_wrong_and_where() {
    let write = |name: &'static str, text: &'static str| {
        move |directory: &Path| fs::write(directory.join(name), text).unwrap()
    };
    for (error, expected) in [
        (
            error_after(|directory| fs::remove_file(directory.join(KEY_FILE)).unwrap()),
            "cannot read `tls.key`: No such file or directory (os error 2)",
        ),
        (
            error_after(write(CERTIFICATE_FILE, "")),
            "`tls.crt` holds no certificate in PEM form",
        ),
        (
            error_after(write(CERTIFICATE_FILE, "-----BEGIN CERTIFICATE-----\nAAAA")),
            "`tls.crt` holds no certificate in PEM form",
        ),
        (
            error_after(write(KEY_FILE, "secret")),
            "`tls.key` holds no private key in PEM form",
        ),
        (
            error_after(|directory| {
                let key = KeyPair::generate().unwrap().serialize_pem();
                fs::write(directory.join(KEY_FILE), key).unwrap();
            }),
            "the key in `tls.key` does not belong to the certificate in `tls.crt`",
        ),
        (
            error_after(|directory| {
                fs::remove_file(directory.join(KEY_FILE)).unwrap();
                fs::create_dir(directory.join(KEY_FILE)).unwrap();
            }),
            "cannot read `tls.key`: it is not a regular file",
        ),
        (
            error_after(|directory| {
                fs::write(
                    directory.join(CERTIFICATE_FILE),
                    vec![b' '; 1024 * 1024 + 1],
                )
                .unwrap();
            }),
            "cannot read `tls.crt`: it is larger than 1 MiB",
        ),
    ] {
        assert_eq!(error, expected);
    }
}

#[test]
fn a_pair_that_is_not_in_force_is_refused() {
    let folder = TempDir::new().unwrap();
    mount(folder.path());
    let late = load_at(folder.path(), now() + DAY).unwrap_err().to_string();
    assert!(late.ends_with("expired at 2026-01-02T00:00:00Z"), "{late}");
    let early = load_at(folder.path(), now() - DAY - DAY);
    let early = early.unwrap_err().to_string();
    assert!(
        early.ends_with("is not valid before 2025-12-31T00:00:00Z"),
        "{early}"
    );
}

#[test]
fn the_layout_of_the_kubelet_is_read_through_its_link() {
    let volume = TempDir::new().unwrap();
    let publish = |name: &str| {
        let data = volume.path().join(name);
        fs::create_dir(&data).unwrap();
        mount(&data);
        let staged = volume.path().join("..data_tmp");
        std::os::unix::fs::symlink(name, &staged).unwrap();
        fs::rename(staged, volume.path().join(DATA_LINK)).unwrap();
    };
    publish("..2026_01_01");
    for name in [CERTIFICATE_FILE, KEY_FILE] {
        let target = Path::new(DATA_LINK).join(name);
        std::os::unix::fs::symlink(target, volume.path().join(name)).unwrap();
    }
    let first = load_at(volume.path(), now()).unwrap();
    publish("..2026_01_02");
    let second = load_at(volume.path(), now()).unwrap();
    assert!(!first.same_chain(&second), "the second publication is read");
}
