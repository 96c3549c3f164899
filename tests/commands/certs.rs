//! `certs`: issues certificates and says what is wrong with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Folder;

#[test]
fn what_is_issued_is_sound_and_nothing_is_overwritten() {
    let folder = Folder::with(&[]);
    let issue = "certs issue --dns portcullis.policy.svc --dns 10.0.0.1 --dir c --lifetime 24h";
    let output = folder.run(issue);
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert_eq!(output.out, "c/tls.key\nc/tls.crt\nc/ca.crt\n");
    let mode = fs::metadata(folder.path().join("c/tls.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = folder.run("certs inspect c");
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(
        output
            .out
            .contains("names    portcullis.policy.svc, 10.0.0.1"),
        "{}",
        output.out
    );
    assert!(
        output.out.contains("issuer   CN=Portcullis CA "),
        "{}",
        output.out
    );
    assert!(!output.out.contains("BEGIN"), "{}", output.out);
    let again = folder.run(issue);
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("is there already"), "{}", again.err);
}

#[test]
fn what_clients_refuse_is_said() {
    let folder = Folder::with(&[]);
    for name in ["a", "b"] {
        let line = format!("certs issue --dns localhost --dir {name}");
        assert_eq!(folder.run(&line).code, Some(0));
    }
    let copy =
        |from: &str, to: &str| fs::copy(folder.path().join(from), folder.path().join(to)).unwrap();
    copy("b/ca.crt", "a/ca.crt");
    let output = folder.run("certs inspect a");
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(
        output.err.contains("refuses `tls.crt` as `localhost`"),
        "{}",
        output.err
    );
    copy("b/tls.key", "a/tls.key");
    let output = folder.run("certs inspect a");
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(
        output.err.contains("does not belong to the certificate"),
        "{}",
        output.err
    );
    let output = folder.run("certs inspect none");
    assert_eq!(output.code, Some(2), "{}", output.err);
    assert!(
        output.err.contains("there is no certificate in `none`"),
        "{}",
        output.err
    );
}
