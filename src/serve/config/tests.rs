//! The layers of the configuration, and every finding about them.

use super::*;

use crate::diagnostics::Severity;

fn resolve_file(text: &str) -> (Config, Vec<Diagnostic>) {
    let source = Source::new("/etc/portcullis/config.yaml", text);
    resolve(&Vec::new(), [], Some(&source))
}

/// Renders findings as `line:column message (help)`, which is what a user needs of them.
fn summary(findings: &[Diagnostic]) -> Vec<String> {
    let line = |finding: &Diagnostic| {
        let place = finding.labels.first().map(|label| {
            let position = label.position();
            format!("{}:{} ", position.line, position.column)
        });
        let help = finding.help.as_ref().map(|help| format!(" ({help})"));
        format!(
            "{}{}{}",
            place.unwrap_or_default(),
            finding.message,
            help.unwrap_or_default()
        )
    };
    findings.iter().map(line).collect()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn flag(key: &'static str, value: &str) -> (&'static str, Vec<String>) {
    (key, vec![value.to_owned()])
}

#[test]
fn nothing_given_is_the_default() {
    for (config, findings) in [resolve(&Vec::new(), [], None), resolve_file("")] {
        assert_eq!(config, Config::default());
        assert_eq!(summary(&findings), Vec::<String>::new());
    }
}

#[test]
fn every_key_can_be_given_in_the_file() {
    let (config, findings) = resolve_file(
        "listen: ':443'
adminListen: '[::1]:9091'
certs: /certs
mode: audit
policies: [packs, /elsewhere/a.cel]
clusterPolicies: labelled
kubernetesVersion: 1.30
audit: {interval: 1h, reports: wgpolicyk8s.io}
log: {level: 'warn,portcullis=debug', format: json}
limits:
  connections: 10
  handshake: 1s
  headers: 2s
  idle: 1m30s
  streams: 11
  body: 1MiB
  bodies: 2Mi
  concurrency: 3
  timeout: 5s
  cache: 3MiB
shutdown:
  grace: 0s
  drain: 10s
",
    );
    assert_eq!(summary(&findings), Vec::<String>::new());
    assert_eq!(config.cluster_policies, ClusterPolicies::Labelled);
    assert_eq!(config.listen, "0.0.0.0:443".parse().unwrap());
    assert_eq!(config.admin_listen, "[::1]:9091".parse().unwrap());
    assert_eq!(config.certs, Certificates::Mounted("/certs".into()));
    assert_eq!(config.mode, Mode::Audit);
    let policies: [PathBuf; 2] = ["/etc/portcullis/packs".into(), "/elsewhere/a.cel".into()];
    assert_eq!(config.policies, policies, "relative to the file's folder");
    assert_eq!(config.kubernetes_version, KubernetesVersion::OLDEST);
    assert_eq!(config.log.level, "warn,portcullis=debug");
    assert_eq!(config.audit_interval, Duration::from_secs(3600));
    assert_eq!(config.audit_reports, Some(Api::PolicyReports));
    assert_eq!(config.limits.connections.open, 10);
    assert_eq!(config.limits.connections.handshake, Duration::from_secs(1));
    assert_eq!(config.limits.connections.headers, Duration::from_secs(2));
    assert_eq!(config.limits.connections.idle, Duration::from_secs(90));
    assert_eq!(config.limits.connections.streams, 11);
    assert_eq!(config.limits.reviews.body_bytes, 1024 * 1024);
    assert_eq!(config.limits.reviews.body_bytes_in_flight, 2 * 1024 * 1024);
    assert_eq!(config.limits.reviews.concurrency, 3);
    assert_eq!(config.limits.reviews.timeout, Duration::from_secs(5));
    assert_eq!(config.cache_bytes, 3 * 1024 * 1024);
    assert_eq!(config.shutdown.grace, Duration::ZERO);
    assert_eq!(config.shutdown.drain, Duration::from_secs(10));
}

#[test]
fn flags_win_over_the_environment_and_it_over_the_file() {
    let source = Source::new(
        "config.yaml",
        "mode: audit\nlog: {level: warn, format: json}\n",
    );
    let (config, findings) = resolve(
        &vec![flag("log.level", "debug")],
        variables(&[
            ("PORTCULLIS_LOG_LEVEL", "error"),
            ("PORTCULLIS_LOG_FORMAT", "text"),
            ("PORTCULLIS_POLICIES", "a, b/c.cel"),
            ("PORTCULLIS_LISTEN", ""),
        ]),
        Some(&source),
    );
    assert_eq!(summary(&findings), Vec::<String>::new());
    assert_eq!(config.log.level, "debug", "the flag");
    assert_eq!(
        config.log.format,
        crate::telemetry::logs::LogFormat::Text,
        "the environment"
    );
    assert_eq!(config.mode, Mode::Audit, "the file");
    assert_eq!(config.policies, [PathBuf::from("a"), "b/c.cel".into()]);
    assert_eq!(config.listen, Config::default().listen, "an empty variable");
}

#[test]
fn every_problem_of_every_layer_is_reported_at_once() {
    let source = Source::new(
        "config.yaml",
        "listn: ':1'
mode: enforced
limits:
  body: 1GB
  bodys: 1MiB
  concurrency: [1]
log: info
shutdown:
  colour: red
pack: {}
",
    );
    let (_, findings) = resolve(
        &vec![flag("listen", "localhost:8443")],
        variables(&[
            ("PORTCULLIS_LIMITS_TIMEOUT", "31s"),
            ("PORTCULLIS_LIMITS_STREAMS", "0"),
        ]),
        Some(&source),
    );
    assert_eq!(
        summary(&findings),
        [
            "1:1 `listn` is no key of the configuration (did you mean `listen`?)",
            "2:7 `mode`: `enforced` is none of `enforce`, `audit`; did you mean `enforce`?",
            "4:9 `limits.body`: `1GB` is no size, as `16MiB`, `512KiB` or a number of bytes",
            "5:3 `limits.bodys` is no key of the configuration (did you mean `body`?)",
            "6:16 `limits.concurrency` must be a single value, not a list",
            "7:6 `log` must be a mapping, not a string",
            "9:3 `shutdown.colour` is no key of the configuration (known here: `grace`, `drain`)",
            "10:1 `pack` is no key of the configuration (did you mean `packs`?)",
            "`PORTCULLIS_LIMITS_STREAMS`: must be above zero",
            "`PORTCULLIS_LIMITS_TIMEOUT`: `31s` is longer than a webhook's timeout can be: 30s",
            "`--listen`: `localhost:8443` is no address and port; write `127.0.0.1:8443`",
        ]
    );
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Error)
    );
}

#[test]
fn values_that_contradict_each_other_are_reported() {
    let (_, findings) =
        resolve_file("listen: 127.0.0.1:9090\nlimits: {body: 2MiB, bodies: 1MiB}\n");
    let (_, others) = resolve_file("cluster: none\nclusterPolicies: labelled\n");
    assert_eq!(
        summary(&others),
        [
            "`clusterPolicies` are those of a cluster, but `cluster` is `none` (leave one of them out)"
        ]
    );
    assert_eq!(
        summary(&findings),
        [
            "`listen` and `adminListen` are both `127.0.0.1:9090` (give one of them another port)",
            "`limits.body` is larger than `limits.bodies`, so that the largest body could never \
             be read (raise `limits.bodies`, the size of all bodies together)",
        ]
    );
}

#[test]
fn a_file_that_is_no_configuration_is_reported_with_its_place() {
    for (text, finding) in [
        (
            "- listen",
            "1:1 the configuration must be a mapping, not a list",
        ),
        (
            "mode: audit\n---\nmode: enforce\n",
            "3:1 the file holds a second document (put all keys into one document)",
        ),
    ] {
        assert_eq!(summary(&resolve_file(text).1), [finding], "{text}");
    }
    let (_, findings) = resolve_file("mode: [audit\n");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].code, "config/syntax");
    assert!(!findings[0].labels.is_empty(), "{findings:?}");
}

#[test]
fn a_misspelt_variable_is_a_warning_and_those_of_services_are_none() {
    let (config, findings) = resolve(
        &Vec::new(),
        variables(&[
            ("PORTCULLIS_LISTN", ":1"),
            ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
            ("PORTCULLIS_PORT", "tcp://10.0.0.1:443"),
            ("PORTCULLIS_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("PORTCULLIS_CONFIG", "config.yaml"),
            ("PATH", "/bin"),
        ]),
        None,
    );
    assert_eq!(config, Config::default());
    assert_eq!(
        summary(&findings),
        ["the environment variable `PORTCULLIS_LISTN` means nothing \
          (did you mean `PORTCULLIS_LISTEN`?)"]
    );
    assert_eq!(findings[0].severity, Severity::Warning);
}

#[test]
fn keys_are_spelled_once_in_each_layer() {
    let mut spellings: Vec<_> = KEYS.iter().map(Key::variable).collect();
    assert!(spellings.contains(&"PORTCULLIS_ADMIN_LISTEN".to_owned()));
    assert!(spellings.contains(&"PORTCULLIS_LIMITS_BODY".to_owned()));
    spellings.sort();
    spellings.dedup();
    assert_eq!(spellings.len(), KEYS.len());
}

#[test]
fn the_version_of_kubernetes_is_one_we_know_in_every_layer() {
    let unknown = "Kubernetes `1.29` is not known; known are \
                   1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36";
    let by_variable = |version: &str| {
        let given = variables(&[("PORTCULLIS_KUBERNETES_VERSION", version)]);
        resolve(&Vec::new(), given, None)
    };
    let by_flag = |version: &str| resolve(&vec![flag("kubernetesVersion", version)], [], None);
    let by_file = |version: &str| resolve_file(&format!("kubernetesVersion: {version}\n"));
    for (layer, name) in [
        (
            &by_variable as &dyn Fn(&str) -> (Config, Vec<Diagnostic>),
            "`PORTCULLIS_KUBERNETES_VERSION`",
        ),
        (&by_flag, "`--kubernetes-version`"),
        (&by_file, "1:20 `kubernetesVersion`"),
    ] {
        let (config, findings) = layer("1.32");
        assert_eq!(summary(&findings), Vec::<String>::new(), "{name}");
        assert_eq!(config.kubernetes_version.to_string(), "1.32", "{name}");
        let (_, findings) = layer("1.29");
        assert_eq!(summary(&findings), [format!("{name}: {unknown}")]);
    }
}

#[test]
fn packs_and_policies_are_spoken_of_in_the_same_words() {
    let (config, findings) = resolve_file(
        "packs: {kuma: {settings: {kuma: 3}}, osm: {enabled: false}}\noverrides: {kuma: {action: warn}}\n",
    );
    assert_eq!(summary(&findings), [] as [&str; 0]);
    let Overrides {
        packs, policies, ..
    } = config.overrides;
    assert_eq!(packs["kuma"].settings["kuma"], 3);
    assert_eq!(packs["osm"].enabled, Some(false));
    assert_eq!(policies.keys().collect::<Vec<_>>(), ["kuma"]);
    let (_, findings) = resolve_file("packs: {kuma: {setings: {kuma: 3}, profile: baslin}}\n");
    let expected = [
        "1:45 unknown profile `baslin` (did you mean `baseline`?)",
        "1:16 unknown key `setings` (did you mean `settings`?)",
    ];
    assert_eq!(summary(&findings), expected);
}
