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

#[test]
fn what_no_client_could_trust_is_not_issued() {
    let folder = Folder::with(&[]);
    let run = |name: &str, lifetime: &str| {
        folder.run(&format!(
            "certs issue --dns={name} --dir c --lifetime {lifetime}"
        ))
    };
    for name in [
        "",
        "exa,mple",
        "a..b",
        "a.",
        "-a",
        "*",
        "a.*.b",
        "10.0.0.300",
    ] {
        let output = run(name, "24h");
        assert_eq!(output.code, Some(2), "{name}: {}", output.err);
        assert!(
            output.err.contains("no name of a host and no address")
                || output.err.contains("a value is required for '--dns"),
            "{name}: {}",
            output.err
        );
    }
    for (lifetime, words) in [
        ("0s", "must be above zero"),
        ("9s", "not between 10s and ten years"),
        ("87601h", "not between 10s and ten years"),
        ("2562047h", "not between 10s and ten years"),
        ("often", "cannot be used"),
    ] {
        let output = run("localhost", lifetime);
        assert_eq!(output.code, Some(2), "{lifetime}: {}", output.err);
        assert!(output.err.contains(words), "{lifetime}: {}", output.err);
    }
    assert!(!folder.path().join("c").exists(), "nothing is written");
    for name in ["*.policy.svc", "::1", "Portcullis.policy.svc"] {
        let directory = name.replace(['*', ':'], "x");
        let line = format!("certs issue --dns {name} --dir {directory}");
        assert_eq!(folder.run(&line).code, Some(0), "{name}");
        let output = folder.run(&format!("certs inspect {directory}"));
        assert!(output.out.contains(name), "{name}: {}", output.out);
    }
}

#[test]
fn the_cause_of_a_kubeconfig_that_cannot_be_used_is_said_once() {
    let kubeconfig = "apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: 'https://a', certificate-authority: /nowhere}}]
users: [{name: a, user: {}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
";
    let policy = super::REPLICAS;
    let folder = Folder::with(&[("kubeconfig", kubeconfig), ("p/replicas.cel", policy)]);
    for line in [
        "certs inspect --secret a/b --kubeconfig kubeconfig",
        "lint p --kubeconfig kubeconfig",
        "audit --policies p --kubeconfig kubeconfig",
    ] {
        let output = folder.run(line);
        assert_ne!(output.code, Some(0), "{line}");
        let causes = output.err.matches("No such file").count();
        assert_eq!(causes, 1, "{line}: {}", output.err);
    }
}
