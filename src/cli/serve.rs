//! `portcullis serve`: the webhook.

mod reports;
mod welcome;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;

use super::{Exit, show};
use crate::audit::list::Lister;
use crate::cluster::Cluster;
use crate::cluster::connect::{ConnectError, connect, patient_client};
use crate::cluster::events::Events;
use crate::cluster::exceptions::ClusterExceptions;
use crate::cluster::published::{Published, Wanted};
use crate::diagnostics::{Diagnostic, Severity};
use crate::engine::respond;
use crate::serve::audit::{AGENT, Auditor, MOST_PAGES_A_SECOND};
use crate::serve::caches::Caches;
use crate::serve::config::{
    Certificates, ClusterChoice, ClusterPolicies, Config, FILE_VARIABLE, Flags, Mode, resolve,
};
use crate::serve::exceptions::{self, Exposed};
use crate::serve::herald::Announcements;
use crate::serve::policies::report::{Standing, TextState};
use crate::serve::policies::{Policies, Records, State};
use crate::serve::shutdown::Signals;
use crate::serve::steward::Management;
use crate::serve::watch::{Source as Hints, Watch};
use crate::serve::{Ended, Engine, Reload, ServeError, Server};
use crate::sources;
use crate::telemetry::decisions::Target;
use crate::telemetry::logs::{self, Log, LogFormat};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::policies::{Faulty, PolicyMetrics};
use crate::telemetry::scans::ScanMetrics;
use crate::webhook::limits::cores;
use reports::Reports;
use welcome::Welcome;

/// A review in the repository that the built-in packs deny.
pub const SAMPLE_REVIEW: &str = "tests/data/review.json";
/// The same, for those who are elsewhere: it is put beside the development certificate.
const SAMPLE_REVIEW_TEXT: &str = include_str!("../../tests/data/review.json");
const SAMPLE_REVIEW_FILE: &str = "review.json";

/// Serve the admission webhook
///
/// Without any argument the built-in packs are served on https://127.0.0.1:8443 with a development
/// certificate, which is made in certs/dev/ on the first start. Policies and certificates are
/// followed while the server runs: a saved file is in force within a second.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Serve the built-in packs on this host:
    portcullis serve

  Serve the policies of a folder, and only record what they would deny:
    portcullis serve --policies ./policies --mode audit

  Serve in a cluster, with the certificate of a mounted Secret:
    portcullis serve --listen :8443 --admin-listen :9090 --certs /etc/portcullis/certs

  Serve in a cluster by a Service; the replicas make their certificate and register the webhook:
    portcullis serve --listen :8443 --admin-listen :9090 --service policy/portcullis

  Serve as a file says:
    portcullis serve --config portcullis.yaml

Configuration:
  Each of these can be given as a flag, as an environment variable or in the file, in this order of
  precedence:
    --listen              PORTCULLIS_LISTEN              listen
    --admin-listen        PORTCULLIS_ADMIN_LISTEN        adminListen
    --certs               PORTCULLIS_CERTS               certs
    --service             PORTCULLIS_SERVICE             service
    --certs-secret        PORTCULLIS_CERTS_SECRET        certsSecret
    --url                 PORTCULLIS_URL                 url
    --name                PORTCULLIS_NAME                name
    --namespace           PORTCULLIS_NAMESPACE           namespace
    --mode                PORTCULLIS_MODE                mode
    --audit-warnings      PORTCULLIS_AUDIT_WARNINGS      auditWarnings
    --policies            PORTCULLIS_POLICIES            policies  (a list; in the variable a,b)
    --exceptions          PORTCULLIS_EXCEPTIONS          exceptions  (a list; in the variable a,b)
    --policy-namespace    PORTCULLIS_POLICY_NAMESPACE    policyNamespace
    --exception-namespaces  PORTCULLIS_EXCEPTION_NAMESPACES  exceptionNamespaces  (a list)
    --excluded-namespaces   PORTCULLIS_WEBHOOKS_EXCLUDED_NAMESPACES  webhooks.excludedNamespaces  (a list)
    --timeout-seconds     PORTCULLIS_WEBHOOKS_TIMEOUT_SECONDS  webhooks.timeoutSeconds  (1 to 30)
    --cluster-policies    PORTCULLIS_CLUSTER_POLICIES    clusterPolicies  (labelled, none)
    --kubernetes-version  PORTCULLIS_KUBERNETES_VERSION  kubernetesVersion
    --profile             PORTCULLIS_PROFILE             profile     (baseline, production, strict)
    --cluster             PORTCULLIS_CLUSTER             cluster     (auto, none)
    --kubeconfig          PORTCULLIS_KUBECONFIG          kubeconfig
    --log-level           PORTCULLIS_LOG_LEVEL           log.level
    --log-format          PORTCULLIS_LOG_FORMAT          log.format
    --decision-log        PORTCULLIS_DECISION_LOG        decisionLog
    --traces-endpoint     PORTCULLIS_TRACES_ENDPOINT     traces.endpoint
    --config              PORTCULLIS_CONFIG
  What is said of whole packs, which are folders of policies, and of single policies is in the file
  alone; of a policy before that of its pack:
    packs:
      kuma: {settings: {kuma: 3}}            # for each policy that has the setting
      istio: {profile: baseline}             # or {action: warn}
      osm: {enabled: false}
    overrides:
      meshery-replicas: {action: warn, settings: {minReplicas: 2}}
      mtls-strict: {mutate: true}            # or {enabled: false}
  These have no flag (PORTCULLIS_LIMITS_BODY is limits.body):
    events             false   Events on the controllers of what is denied (PolicyDenied), so that
                               `kubectl describe` of a ReplicaSet says why it has no pods; the account
                               of the server must be allowed to create and patch events.k8s.io events.
                               In audit mode nothing is denied, and none is written
    certsLifetime      2160h   of a certificate in a Secret, which is renewed a third of it before
    audit.interval     0s      after a scan of what the cluster has comes the next; 0s for none
    audit.reports      openreports.io  where what it finds is written: openreports.io, wgpolicyk8s.io, or
                               none; metrics say it in any case
    limits.connections 1024    open connections
    limits.handshake   5s      for the TLS handshake
    limits.headers     10s     for the headers of a request
    limits.idle        5m      without a request before an HTTP/2 connection is closed
    limits.streams     250     open requests of one HTTP/2 connection
    limits.body        16MiB   one review
    limits.bodies      256MiB  all reviews together
    limits.concurrency cores   reviews decided at a time
    limits.timeout     10s     when the caller gives no ?timeout=
    limits.cache       128MiB  what is kept of the cluster's objects; what needs more is answered 503
    shutdown.grace     5s      still taking requests after SIGTERM
    shutdown.drain     20s     then answering what is open

Audit mode:
  With --mode audit nothing is rejected and nothing patched. What would have been is in the audit
  annotations of the answer, which the API server writes to its audit log, in the decision log, in the
  metrics (enforcement=\"audit\"), and in a warning to the caller, unless `auditWarnings` is false. A
  single `.cel` policy, or a pack, is tried out in the same way by `action: audit`, in its file or in the
  overrides above. Rules are asked about objects as the mutations that would be enforced with them leave
  them. About Secrets, and of policies that read Secrets, paths of changes and static messages are
  recorded, never values or what was computed. What only records rejects nothing when no replica answers
  either. `--mode enforce`, or `action: deny`, carries it all out.

Decision log:
  With --decision-log each decision that is not a plain admission is one line of JSON, apiVersion
  portcullis.dev/v1 and kind Decision; fields may be added. Lines are written beside the reviews, which
  never wait; what there is no room for is counted (portcullis_decision_log_records_total). A file that
  was moved away is made anew within a second.
    time, requestUid, user, operation, dryRun        when, and what was asked by whom
    resource {group, version, resource, subresource}, namespace, name
    policy, policyKind, binding, validation          who decided; the validation counts from 0
    action       allow (an error was passed over, or excused), deny, warn, audit, mutate: what was done
    wouldBe      the same, or what would have been done if the policy were enforced
    enforcement  enforce, or audit for what is only recorded
    exception                                        the PolicyException that excuses it
    reason, error, message                           error: no_error, compile_error, invalid_error, out_of_budget
    cost, durationSeconds                            CEL cost units and time of the policy
  No part of an object is in it but what a policy's message says. About Secrets, and of policies that read
  Secrets, the static message stands for the computed one. What it says would break is summed up by
  `portcullis audit --decisions FILE`.

Metrics and traces:
  /metrics counts portcullis_policy_check_total and portcullis_policy_check_duration_seconds by policy,
  policy_binding, kind, error_type, enforcement_action and enforcement, as the API server does for its own
  policies. Reviews whose traceparent is sampled are traced by OTLP over HTTP (protobuf): the review, its
  policies, their expressions. OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and
  OTEL_SDK_DISABLED are heeded.

Rights:
  `portcullis manifests --config FILE`, with the same flags, prints the roles that the server needs, no more.

SIGTERM makes /readyz fail, keeps serving for the grace period, answers what is open and exits 0;
SIGINT skips the grace period; a second signal aborts.")]
pub struct Args {
    /// Where API servers call: ADDRESS:PORT, or :PORT for every address [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// Where operators ask: /livez, /readyz?verbose, /metrics, /policies [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,

    /// A folder with tls.crt and tls.key, as a Secret is mounted [default: a development
    /// certificate in certs/dev]
    #[arg(long, value_name = "DIR")]
    certs: Option<String>,

    /// The Service that API servers call. The webhook is registered for the policies in force, and its
    /// certificate kept in a Secret, unless --certs has one, with the ca.crt that API servers are to trust
    /// [default: nothing is registered]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    service: Option<String>,

    /// The Secret with that certificate [default: that of the Service, SERVICE-certs]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    certs_secret: Option<String>,

    /// Where API servers call if not by a Service: https://HOST:PORT; goes with --certs-secret, or with
    /// --certs and --namespace
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// What is registered is called so, and the Lease; each installation in a cluster needs a name of its
    /// own [default: portcullis]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The namespace that the server runs in, which it is never asked about, and where the Lease is
    /// [default: that of the Service or of the Secret]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// What violations lead to: enforce what the policies say, or audit: record, deny nothing
    /// [default: enforce]
    #[arg(long, value_name = "enforce|audit")]
    mode: Option<String>,

    /// Whether callers are warned of what would have been denied or patched, in audit mode and by `.cel`
    /// policies whose action is audit [default: true]
    #[arg(long, value_name = "true|false")]
    audit_warnings: Option<String>,

    /// Files and folders of policies [default: the built-in packs]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    policies: Vec<String>,

    /// Files and folders of PolicyExceptions, besides those that lie with the policies
    #[arg(long, value_name = "PATH", num_args = 1..)]
    exceptions: Vec<String>,

    /// Besides, the ConfigMaps of this namespace that have the label portcullis.dev/policy: each key
    /// named as a file of policies is one, in force within a second. Its PolicyExceptions reach every
    /// namespace
    #[arg(long, value_name = "NAMESPACE")]
    policy_namespace: Option<String>,

    /// Namespaces whose PolicyExceptions excuse objects of the same namespace: who may write them there
    /// decides what policies apply there
    #[arg(long, value_name = "NAMESPACE", num_args = 1..)]
    exception_namespaces: Vec<String>,

    /// Namespaces that API servers never ask about, besides kube-system and the server's own: where the
    /// network or the storage of new nodes is from, which must start while no replica runs
    #[arg(long, value_name = "NAMESPACE", num_args = 1..)]
    excluded_namespaces: Vec<String>,

    /// How long API servers wait for an answer, 1 to 30 [default: 10]
    #[arg(long, value_name = "SECONDS")]
    timeout_seconds: Option<String>,

    /// Besides, the ValidatingAdmissionPolicies and MutatingAdmissionPolicies of the cluster that have
    /// the label portcullis.dev/policy, with their bindings. The API server enforces them, too; here
    /// they are in /policies, in audit mode, and in one answer with all other violations. What only
    /// Portcullis is to enforce goes into a ConfigMap [default: none]
    #[arg(long, value_name = "labelled|none")]
    cluster_policies: Option<String>,

    /// What expressions may use: what this version of Kubernetes and older ones know, 1.30 to 1.36
    /// [default: 1.36]
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,

    /// Enforce `.cel` policies less or more strictly than they say [default: production]
    #[arg(long, value_name = "baseline|production|strict")]
    profile: Option<String>,

    /// Whether policies read the cluster: auto, if the pod's service account or a kubeconfig leads to
    /// one, or none: parameters are then those in the files of the policies [default: auto]
    #[arg(long, value_name = "auto|none")]
    cluster: Option<String>,

    /// The kubeconfig that leads to the cluster [default: the pod's service account, $KUBECONFIG or
    /// ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,

    /// What is logged: error, warn, info, debug, trace, also by module [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// How it is logged [default: text]
    #[arg(long, value_name = "text|json")]
    log_format: Option<String>,

    /// Where decisions are logged, other than plain admissions: a file, which may be rotated, or - for
    /// standard output [default: nowhere]
    #[arg(long, value_name = "FILE|-", allow_hyphen_values = true)]
    decision_log: Option<String>,

    /// Where traces are sent by OTLP over HTTP, as http://collector:4318 [default: where
    /// OTEL_EXPORTER_OTLP_ENDPOINT says, if it does]
    #[arg(long, value_name = "URL")]
    traces_endpoint: Option<String>,

    /// A YAML file with the configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Serves until a signal.
///
/// # Errors
/// The configuration file cannot be read, the policies cannot be used, or the runtime cannot be
/// started.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let (config, findings) = configuration(args, variables())?;
    show(&findings);
    if findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return Ok(Exit::Unusable);
    }
    // Later they may come and go; now it is a mistake that would admit everything.
    let lost = [
        lost("policies", &config.policies),
        lost("exceptions", &config.exceptions),
    ]
    .concat();
    if !lost.is_empty() {
        show(&lost);
        return Ok(Exit::Unusable);
    }
    let log = logs::start(&config.log)?;
    logs::report_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One more than reviews are decided at a time, for input and output.
        .worker_threads(cores().max(config.limits.reviews.concurrency) + 1)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(&config, &log));
    // What a second signal interrupted is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: &Config, log: &Log) -> anyhow::Result<Exit> {
    let show = |finding| {
        log.flush();
        show(&[finding]);
    };
    let signals = Signals::of_process()?;
    let watched = [&config.policies[..], &config.exceptions].concat();
    let changes = match watched.is_empty() {
        true => None,
        false => Some(Watch::start(watched, Hints::Notifications).await),
    };
    let (metrics, mut registry) = Metrics::registry();
    log.lines().register(&mut registry);
    let reports = match Reports::open(config, &mut registry) {
        Ok(reports) => reports,
        Err(finding) => {
            show(finding);
            return Ok(Exit::Unusable);
        }
    };
    let states = Arc::new(PolicyMetrics::register(&mut registry));
    let cluster = match cluster(config).await {
        Ok(cluster) => cluster,
        Err(problem) => {
            show(
                Diagnostic::error("serve/cluster", problem.to_string())
                    .help("repair it, or give `--cluster none` to serve without a cluster"),
            );
            return Ok(Exit::Unusable);
        }
    };
    let wanted = Wanted {
        namespace: config.policy_namespace.clone(),
        objects: config.cluster_policies == ClusterPolicies::Labelled,
    };
    let is_audited = !config.audit_interval.is_zero();
    let needs_cluster = config.place().is_some()
        || wanted != Wanted::default()
        || is_audited
        || !config.exception_namespaces.is_empty();
    if needs_cluster && cluster.is_none() {
        let message = "`service`, `url`, `policyNamespace`, `clusterPolicies`, `exceptionNamespaces` and \
                       `audit` need a cluster, and none was found";
        let help = "name its kubeconfig with `--kubeconfig`, or leave them out";
        show(Diagnostic::error("serve/cluster", message).help(help));
        return Ok(Exit::Unusable);
    }
    let client = cluster.as_ref().map(|cluster| cluster.client());
    let published = client.as_ref();
    let published = published.and_then(|client| Published::start(client, &wanted));
    let published = published.map(Arc::new);
    let records = Records {
        checks: metrics.checks.clone(),
        log: reports.log.clone(),
    };
    let events = client.clone().filter(|_| config.events);
    let events = events.map(|client| Events::start(client, instance(), &mut registry));
    let followed = followed(config, client.as_ref());
    let given = Given {
        cluster: cluster.clone(),
        published: published.clone(),
        exceptions: followed.clone(),
        records,
        events,
    };
    let admission = tokio::task::block_in_place(|| policies(config, given));
    let admission = Arc::new(admission);
    let following = followed.map(|it| tokio::spawn(exceptions::follow(Arc::clone(&admission), it)));
    let watching = tokio::spawn(exceptions::watch(Arc::clone(&admission)));
    registry.register_collector(Box::new(Exposed::of(&admission)));
    registry.register_collector(Box::new({
        let policies = Arc::clone(&admission);
        Caches::new(config.cache_bytes, Box::new(move || policies.caches()))
    }));
    let scans = ScanMetrics::default();
    scans.register(&mut registry);
    let audit = match cluster.filter(|_| is_audited) {
        Some(cluster) => Some(auditor(config, cluster, &admission, scans).await?),
        None => None,
    };
    let overview = admission.overview();
    show_states(&admission, &states);
    let engine = Engine {
        reload: reload(&admission, states),
        announcements: announcements(&published, &client, &admission),
        management: client.and_then(|client| management(config, client, &admission)),
        audit,
        admission,
        changes,
        published,
        tracer: reports.tracer.clone(),
    };
    let server = match Server::start(config, engine, (metrics, registry)).await {
        Ok(server) => server,
        Err(problem) => {
            show(finding(&problem));
            return Ok(match problem {
                ServeError::Certificate { .. } => Exit::Unusable,
                ServeError::Bind { .. } | ServeError::Tls(_) | ServeError::Start(_) => {
                    Exit::Service
                }
            });
        }
    };
    let sample = tokio::task::block_in_place(|| sample(&config.certs));
    let welcome = Welcome {
        address: server.address(),
        admin: server.admin_address(),
        authority: server.authority(),
        certs: &config.certs,
        mode: config.mode,
        overview: &overview,
        sample: sample.as_deref(),
    };
    // Nobody may be reading, and the server serves all the same.
    let _ = match (config.log.format, &config.decision_log) {
        (LogFormat::Json, _) => {
            welcome.log();
            Ok(())
        }
        (LogFormat::Text, Some(Target::Stdout)) => {
            io::stderr().write_all(welcome.text().as_bytes())
        }
        (LogFormat::Text, _) => io::stdout().write_all(welcome.text().as_bytes()),
    };
    let ended = server.run(signals).await;
    for task in following.into_iter().chain([watching]) {
        task.abort();
    }
    reports.close().await;
    Ok(match ended {
        Ended::Drained { .. } => Exit::Clean,
        Ended::Aborted | Ended::Failed => Exit::Service,
    })
}

/// Returns a finding for each path that leads nowhere.
fn lost(key: &str, paths: &[PathBuf]) -> Vec<Diagnostic> {
    let lost = paths.iter().filter_map(|path| {
        let problem = fs::metadata(path).err()?;
        let message = format!("the {key} `{}` cannot be read: {problem}", path.display());
        let finding = Diagnostic::error("serve/policies", message);
        let help = match key {
            "policies" => "name a file or a folder, or leave `policies` out for the built-in packs",
            _ => "name a file or a folder, or leave it out",
        };
        Some(finding.help(help))
    });
    lost.collect()
}

/// Returns a file with a review to try the server with.
fn sample(certs: &Certificates) -> Option<PathBuf> {
    let in_repository = Path::new(SAMPLE_REVIEW);
    match certs {
        _ if in_repository.is_file() => Some(in_repository.to_owned()),
        Certificates::Development(folder) => {
            let path = folder.join(SAMPLE_REVIEW_FILE);
            fs::write(&path, SAMPLE_REVIEW_TEXT).is_ok().then_some(path)
        }
        // That folder is not ours, or there is none.
        Certificates::Mounted(_) | Certificates::Secret(_) => None,
    }
}

/// Finds the cluster that policies read.
async fn cluster(config: &Config) -> Result<Option<Arc<Cluster>>, ConnectError> {
    let cluster = match config.cluster {
        ClusterChoice::None => None,
        ClusterChoice::Auto => connect(config.kubeconfig.as_deref(), config.cache_bytes).await?,
    };
    match &cluster {
        Some(cluster) => tracing::info!(address = cluster.address(), "policies read the cluster"),
        None => tracing::info!(
            "policies read no cluster: parameters are those in their files, and there is no authorizer"
        ),
    }
    Ok(cluster)
}

/// Begins to follow the exceptions of the cluster: those beside the published policies, and those of the
/// namespaces that are named.
fn followed(config: &Config, client: Option<&Client>) -> Option<Arc<ClusterExceptions>> {
    let mut namespaces: Vec<String> = config.policy_namespace.iter().cloned().collect();
    namespaces.extend(config.exception_namespaces.iter().cloned());
    namespaces.sort();
    namespaces.dedup();
    let client = client.filter(|_| !namespaces.is_empty())?;
    Some(Arc::new(ClusterExceptions::start(client, &namespaces)))
}

/// What policies have to do with besides their configuration.
#[derive(Default)]
struct Given {
    cluster: Option<Arc<Cluster>>,
    published: Option<Arc<Published>>,
    exceptions: Option<Arc<ClusterExceptions>>,
    records: Records,
    events: Option<Events>,
}

/// Loads the policies of the configuration; what is wrong with them is logged.
fn policies(config: &Config, given: Given) -> Policies {
    let (paths, excusing) = (config.policies.clone(), config.exceptions.clone());
    let published = given.published;
    let mode = match (config.mode, config.audit_warnings) {
        (Mode::Enforce, true) => respond::Mode::Enforce,
        (Mode::Enforce, false) => respond::Mode::SilentEnforce,
        (Mode::Audit, true) => respond::Mode::Audit,
        (Mode::Audit, false) => respond::Mode::SilentAudit,
    };
    let policies = Policies::load(
        Box::new(move || {
            let mut texts = match published {
                Some(_) => sources::texts_if_any(&paths),
                None => sources::texts(&paths),
            };
            let exceptions = sources::exceptions(&excusing);
            texts.sources.extend(exceptions.sources);
            texts.problems.extend(exceptions.problems);
            texts.unread.extend(exceptions.unread);
            if let Some(published) = &published {
                let others = published.snapshot();
                let sources = others.carriers.iter().flat_map(|it| &it.sources);
                texts.sources.extend(sources.cloned());
                texts.carriers = others.carriers;
                texts.unread.extend(others.unread);
                texts.problems.extend(others.problems);
            }
            texts
        }),
        sources::language(&config.policies, config.kubernetes_version),
        config.overrides.clone(),
        mode,
        given.cluster,
    );
    let policies = policies.recorded(given.records).with_events(given.events);
    let policies = policies.excusing(config.policy_namespace.clone(), given.exceptions);
    let problems = policies.problems();
    if !problems.is_empty() {
        tracing::error!("policies have problems\n{problems}");
    }
    policies
}

/// Names this process in Events.
fn instance() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    match host.is_empty() {
        true => format!("portcullis-{}", std::process::id()),
        false => host,
    }
}

/// Returns what the server needs to manage itself, if it is to.
fn management(config: &Config, client: Client, policies: &Arc<Policies>) -> Option<Management> {
    let place = config.place()?;
    let demand = {
        let policies = Arc::clone(policies);
        move || policies.demand()
    };
    Some(Management {
        client,
        namespace: place.namespace.clone()?,
        place,
        lifetime: config.certs_lifetime,
        demand: Box::new(demand),
        changes: policies.changes(),
    })
}

/// Returns what the server needs to tell authors how their policies stand, if those are in the cluster.
fn announcements(
    published: &Option<Arc<Published>>,
    client: &Option<Client>,
    policies: &Arc<Policies>,
) -> Option<Announcements> {
    published.as_ref()?;
    let reporting = Arc::clone(policies);
    Some(Announcements {
        client: client.clone()?,
        report: Box::new(move || reporting.report()),
        changes: policies.changes(),
    })
}

/// Takes over into metrics how the policies stand.
fn show_states(policies: &Policies, metrics: &PolicyMetrics) {
    let states = policies.states();
    let counted = |word, state| {
        let states = states.iter().filter(|(_, _, it)| *it == state);
        (word, states.count())
    };
    let report = policies.report();
    // Of these no policy is known that could be in a state.
    let is_unreadable = |it: &&TextState| it.standing == Standing::Failed && it.policies.is_empty();
    let unreadable: Vec<&TextState> = report.texts.iter().filter(is_unreadable).collect();
    let counts = [
        counted("in_force", State::InForce),
        counted("last_good", State::LastGood),
        counted("faulty", State::Faulty),
        counted("not_bound", State::NotBound),
        counted("about_cluster", State::AboutCluster),
        ("unreadable", unreadable.len()),
    ];
    let policies = states.iter().filter_map(|(policy, source, state)| {
        let state = match state {
            State::LastGood => "last_good",
            State::Faulty => "faulty",
            State::InForce | State::NotBound | State::AboutCluster => return None,
        };
        Some(Faulty {
            policy: policy.clone(),
            source: source.clone(),
            state,
        })
    });
    let texts = unreadable.iter().map(|text| Faulty {
        policy: String::new(),
        source: text.name.clone(),
        state: "unreadable",
    });
    metrics.show(&counts, policies.chain(texts).collect());
}

/// Returns what the server needs to scan what the cluster has.
async fn auditor(
    config: &Config,
    cluster: Arc<Cluster>,
    policies: &Arc<Policies>,
    metrics: ScanMetrics,
) -> anyhow::Result<Auditor> {
    let found = patient_client(config.kubeconfig.as_deref(), None, AGENT).await?;
    let client = found.map_or_else(|| cluster.client(), |(client, _)| client);
    Ok(Auditor {
        name: config.name.clone(),
        interval: config.audit_interval,
        reports: config.audit_reports,
        cluster,
        policies: Arc::clone(policies),
        lister: Lister::new(client, Some(MOST_PAGES_A_SECOND)),
        metrics,
    })
}

/// Reloads the policies; a faulty one stays in force as it last was.
fn reload(policies: &Arc<Policies>, states: Arc<PolicyMetrics>) -> Box<Reload> {
    let policies = Arc::clone(policies);
    Box::new(move || {
        policies.reload();
        show_states(&policies, &states);
        let problems = policies.problems();
        if !problems.is_empty() {
            tracing::error!("policies have problems\n{problems}");
        }
        match policies.faults() {
            Some(faults) => Err(faults),
            None => Ok(policies.summary()),
        }
    })
}

/// Returns the environment; what is no Unicode is not for us.
fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn configuration(
    args: &Args,
    variables: Vec<(String, String)>,
) -> anyhow::Result<(Config, Vec<Diagnostic>)> {
    let from_variable = || {
        let (_, value) = variables.iter().find(|(name, _)| name == FILE_VARIABLE)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    };
    let file = match args.config.clone().or_else(from_variable) {
        Some(path) => Some(super::configuration(&path)?),
        None => None,
    };
    Ok(resolve(&args.flags(), variables, file.as_ref()))
}

impl Args {
    fn flags(&self) -> Flags {
        let single = [
            ("listen", &self.listen),
            ("adminListen", &self.admin_listen),
            ("certs", &self.certs),
            ("certsSecret", &self.certs_secret),
            ("service", &self.service),
            ("url", &self.url),
            ("name", &self.name),
            ("namespace", &self.namespace),
            ("mode", &self.mode),
            ("auditWarnings", &self.audit_warnings),
            ("policyNamespace", &self.policy_namespace),
            ("clusterPolicies", &self.cluster_policies),
            ("webhooks.timeoutSeconds", &self.timeout_seconds),
            ("kubernetesVersion", &self.kubernetes_version),
            ("profile", &self.profile),
            ("cluster", &self.cluster),
            ("kubeconfig", &self.kubeconfig),
            ("log.level", &self.log_level),
            ("log.format", &self.log_format),
            ("decisionLog", &self.decision_log),
            ("traces.endpoint", &self.traces_endpoint),
        ];
        let mut flags: Flags = single
            .into_iter()
            .filter_map(|(key, value)| Some((key, vec![value.clone()?])))
            .collect();
        for (key, paths) in [
            ("policies", &self.policies),
            ("exceptions", &self.exceptions),
            ("exceptionNamespaces", &self.exception_namespaces),
            ("webhooks.excludedNamespaces", &self.excluded_namespaces),
        ] {
            if !paths.is_empty() {
                flags.push((key, paths.clone()));
            }
        }
        flags
    }
}

fn finding(problem: &ServeError) -> Diagnostic {
    let finding = Diagnostic::error("serve/start", problem.to_string());
    match problem {
        ServeError::Certificate { error } => finding.help(error.help()),
        ServeError::Bind { key, .. } => finding.help(format!(
            "give `{key}` another address, or end what listens there"
        )),
        ServeError::Tls(_) | ServeError::Start(_) => finding,
    }
}

#[cfg(test)]
mod tests;
