//! Flags, the configuration file, and what a person is told.

use super::*;

use clap::{CommandFactory, Parser};
use tempfile::TempDir;

#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    args: Args,
}

fn parsed(arguments: &[&str]) -> Args {
    let arguments = std::iter::once(&"serve").chain(arguments);
    Alone::try_parse_from(arguments)
        .expect("they are usable")
        .args
}

#[test]
fn every_flag_reaches_the_configuration() {
    let args = parsed(&[
        "--listen",
        ":1",
        "--admin-listen",
        ":2",
        "--certs",
        "c",
        "--mode",
        "audit",
        "--policies",
        "a",
        "b",
        "--kubernetes-version",
        "1.31",
        "--log-level",
        "debug",
        "--log-format",
        "json",
    ]);
    let (config, findings) = configuration(&args, Vec::new()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.admin_listen.port(), 2);
    assert_eq!(config.certs, Certificates::Mounted("c".into()));
    assert_eq!(config.mode, Mode::Audit);
    assert_eq!(config.policies, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(config.kubernetes_version.to_string(), "1.31");
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.log.format, logs::LogFormat::Json);
}

#[test]
fn a_service_is_registered_with_a_certificate_beside_it() {
    let args = parsed(&["--service", "policy/portcullis"]);
    let (config, findings) = configuration(&args, Vec::new()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let secret = "policy/portcullis-certs".parse().unwrap();
    assert_eq!(config.certs, Certificates::Secret(secret));
    let place = config.place().unwrap();
    assert_eq!(place.namespace.as_deref(), Some("policy"));
    assert_eq!(place.names()[0], "portcullis.policy.svc");

    let args = parsed(&[
        "--url",
        "https://[::1]:8443",
        "--certs-secret",
        "policy/mine",
    ]);
    let (config, findings) = configuration(&args, Vec::new()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let place = config.place().unwrap();
    assert_eq!(
        (place.namespace.as_deref(), place.names()),
        (Some("policy"), vec!["::1".to_owned()])
    );
    let mounted = parsed(&["--service", "policy/portcullis", "--certs", "c"]);
    let (config, findings) = configuration(&mounted, Vec::new()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(config.certs, Certificates::Mounted("c".into()));
    assert_eq!(config.place().unwrap().name, "portcullis");
    let elsewhere = ["--url", "https://a", "--certs", "c", "--namespace", "own"];
    let named = parsed(&[&elsewhere[..], &["--name", "one.own"]].concat());
    let (config, findings) = configuration(&named, Vec::new()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    let place = config.place().unwrap();
    assert_eq!(
        (place.namespace.as_deref(), &*place.name),
        (Some("own"), "one.own")
    );

    for (arguments, expected) in [
        (&["--certs-secret", "a/b"][..], "by which name"),
        (
            &["--certs-secret", "a/b", "--certs", "c", "--service", "a/b"],
            "both name a certificate",
        ),
        (&["--url", "https://a"], "without `certsSecret` or `certs`"),
        (
            &["--url", "https://a", "--certs", "c"],
            "without `namespace`",
        ),
        (&["--name", "one_two"], "no name of an object"),
        (&["--name", "one..two"], "no name of an object"),
        (
            &["--url", "https://a", "--service", "a/b"],
            "both say where",
        ),
        (&["--service", "a/b", "--cluster", "none"], "is `none`"),
        (&["--service", "a"], "no `NAMESPACE/NAME`"),
        (&["--policy-namespace", "A"], "no name of a namespace"),
        (
            &["--policy-namespace", "a", "--cluster", "none"],
            "names ConfigMaps of a cluster",
        ),
        (&["--url", "http://a"], "no `https://HOST:PORT`"),
        (&["--url", "https://a/path"], "no `https://HOST:PORT`"),
        (&["--url", "https://me@a"], "no `https://HOST:PORT`"),
    ] {
        let (_, findings) = configuration(&parsed(arguments), Vec::new()).unwrap();
        let said: Vec<&str> = findings.iter().map(|it| it.message.as_str()).collect();
        assert!(
            said.iter().any(|it| it.contains(expected)),
            "{arguments:?}: {said:?}"
        );
    }
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let folder = TempDir::new().unwrap();
    let (file, other) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    fs::write(&file, "listen: ':7'\n").unwrap();
    fs::write(&other, "listen: ':8'\n").unwrap();
    let variables = vec![(FILE_VARIABLE.to_owned(), file.display().to_string())];
    let (config, _) = configuration(&parsed(&[]), variables.clone()).unwrap();
    assert_eq!(config.listen.port(), 7);
    let args = parsed(&["--config", &other.display().to_string()]);
    let (config, _) = configuration(&args, variables).unwrap();
    assert_eq!(config.listen.port(), 8, "the flag wins");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = TempDir::new().unwrap();
    for (path, reason) in [
        (folder.path().join("none.yaml"), "No such file"),
        (folder.path().to_owned(), "is not a regular file"),
    ] {
        let name = path.display().to_string();
        let problem = configuration(&parsed(&["--config", &name]), Vec::new()).unwrap_err();
        let text = problem.to_string();
        assert!(text.contains(&name) && text.contains(reason), "{text}");
    }
}

#[test]
fn the_help_names_every_limit_with_its_default() {
    let help = Alone::command().render_long_help().to_string();
    let limits = Config::default().limits;
    for line in [
        format!("limits.connections {} ", limits.connections.open),
        format!("limits.handshake   {:?} ", limits.connections.handshake),
        format!("limits.headers     {:?} ", limits.connections.headers),
        format!("limits.streams     {} ", limits.connections.streams),
        format!("limits.body        {}MiB ", limits.reviews.body_bytes >> 20),
        format!(
            "limits.bodies      {}MiB ",
            limits.reviews.body_bytes_in_flight >> 20
        ),
        format!("limits.timeout     {:?} ", limits.reviews.timeout),
        format!(
            "limits.cache       {}MiB ",
            Config::default().cache_bytes >> 20
        ),
        format!("shutdown.grace     {:?} ", Config::default().shutdown.grace),
        format!("shutdown.drain     {:?} ", Config::default().shutdown.drain),
    ] {
        assert!(help.contains(&line), "{line} in\n{help}");
    }
}

#[test]
fn the_welcome_can_be_pasted() {
    let welcome = Welcome {
        address: "0.0.0.0:8443".parse().unwrap(),
        admin: "127.0.0.1:9090".parse().unwrap(),
        authority: Some(Path::new("certs/dev/ca.crt")),
        certs: &Certificates::Development("certs/dev".into()),
        mode: Mode::Enforce,
        overview: &[
            "meshery-replicas  three".to_owned(),
            "mesh-mtls  strict".to_owned(),
        ],
        sample: Some(Path::new(SAMPLE_REVIEW)),
    };
    insta::assert_snapshot!(welcome.text());
    let mounted = Welcome {
        address: "[::]:8443".parse().unwrap(),
        authority: None,
        certs: &Certificates::Mounted("/certs".into()),
        mode: Mode::Audit,
        overview: &[],
        ..welcome
    };
    insta::assert_snapshot!(mounted.text());
}

#[test]
fn a_start_that_fails_says_what_to_do() {
    let problem = ServeError::Bind {
        address: "127.0.0.1:8443".parse().unwrap(),
        key: "listen",
        source: io::Error::from(io::ErrorKind::AddrInUse),
    };
    let finding = finding(&problem);
    assert_eq!(
        finding.message,
        "cannot listen on 127.0.0.1:8443 (`listen`): address in use"
    );
    assert_eq!(
        finding.help.as_deref(),
        Some("give `listen` another address, or end what listens there")
    );
}

#[test]
fn policies_are_held_to_the_version_of_kubernetes() {
    let folder = TempDir::new().unwrap();
    let policy = "// Releases are semantic versions.
//
// ---
// name: release
// match: {resources: [apps/v1/deployments]}
// ---

// @require a semantic version for a name
isSemver(object.metadata.name)
";
    fs::write(folder.path().join("release.cel"), policy).unwrap();
    let loaded = |version: &str| {
        let path = folder.path().display().to_string();
        let args = parsed(&["--policies", &path, "--kubernetes-version", version]);
        let (config, findings) = configuration(&args, Vec::new()).unwrap();
        assert!(findings.is_empty(), "{findings:?}");
        policies(&config, Given::default()).faults()
    };
    assert_eq!(loaded("1.33"), None);
    let faults = loaded("1.32").unwrap();
    assert!(
        faults.contains("`isSemver` is in Kubernetes since 1.33; checked for 1.32"),
        "{faults}"
    );
}
