//! The configuration of `serve`: flags over environment over a YAML file over defaults.
//!
//! Every key can be given in every layer (limits have no flags) and is checked in all of them; all
//! problems are reported at once, those of the file with their place.

mod file;
mod keys;
mod values;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;

use crate::audit::report::Api;
use crate::cel::version::KubernetesVersion;
use crate::cluster::ObjectName;
use crate::diagnostics::Diagnostic;
use crate::policy::overrides::Overrides;
use crate::serve::herald::CLUSTER_NAMESPACE;
use crate::serve::registration::{NAME, Place, TIMEOUT_SECONDS, Target, certs_secret};
use crate::telemetry::decisions;
use crate::telemetry::logs::LogConfig;
use crate::text::{Source, Span, nearest};
use crate::webhook::limits::Limits;
use keys::{KEYS, Key};

/// The prefix of the environment variables.
pub const VARIABLE_PREFIX: &str = "PORTCULLIS_";
/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "PORTCULLIS_CONFIG";
/// Where the development certificates are, below the working directory.
pub const DEVELOPMENT_CERTS: &str = "certs/dev";

/// What `serve` needs to know, checked as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where API servers call.
    pub listen: SocketAddr,
    /// Where operators ask.
    pub admin_listen: SocketAddr,
    /// Where the certificate comes from.
    pub certs: Certificates,
    /// The Secret that holds the certificate, instead of a folder.
    pub certs_secret: Option<ObjectName>,
    /// How long a certificate that is issued into a Secret lives.
    pub certs_lifetime: Duration,
    /// The Service that API servers are to call; the webhook is registered with it.
    pub service: Option<ObjectName>,
    /// Where API servers are to call instead of a Service.
    pub url: Option<String>,
    /// The name of the installation in the cluster.
    pub name: String,
    /// The namespace that the server runs in.
    pub namespace: Option<String>,
    /// What a violation leads to.
    pub mode: Mode,
    /// Whether callers are warned of what would have been, in audit mode and by policies on trial.
    pub audit_warnings: bool,
    /// Files and folders of policies; empty means the built-in packs.
    pub policies: Vec<PathBuf>,
    /// Files and folders of exceptions, besides those that lie with the policies.
    pub exceptions: Vec<PathBuf>,
    /// The namespace whose ConfigMaps hold policies, too.
    pub policy_namespace: Option<String>,
    /// The namespaces whose exceptions excuse their own objects.
    pub exception_namespaces: Vec<String>,
    /// Which admission policies of the cluster are policies here, too.
    pub cluster_policies: ClusterPolicies,
    /// The namespaces that no API server asks about, besides `kube-system` and the server's own.
    pub excluded_namespaces: Vec<String>,
    /// How long API servers wait for an answer.
    pub webhook_timeout_seconds: u8,
    /// What expressions may use.
    pub kubernetes_version: KubernetesVersion,
    /// What is said of policies that somebody else wrote.
    pub overrides: Overrides,
    /// Whether policies may read a cluster.
    pub cluster: ClusterChoice,
    /// The file that names the cluster; without it the cluster is looked for.
    pub kubeconfig: Option<PathBuf>,
    /// How long after a scan of what the cluster has the next one begins; zero for none.
    pub audit_interval: Duration,
    /// Where reports of such scans are written to, if they are.
    pub audit_reports: Option<Api>,
    /// What is logged.
    pub log: LogConfig,
    /// Whether owners of what is denied are told by Events.
    pub events: bool,
    /// How many bytes what policies read of the cluster may take.
    pub cache_bytes: usize,
    /// Where decisions are logged, if they are.
    pub decision_log: Option<decisions::Target>,
    /// Where traces are sent; without it, where the variables of OpenTelemetry say.
    pub traces_endpoint: Option<Uri>,
    /// Limits of connections and reviews.
    pub limits: Limits,
    /// How the server ends.
    pub shutdown: ShutdownConfig,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// Made in this folder, which is ours, and renewed.
    Development(PathBuf),
    /// Read from this folder, which somebody else writes.
    Mounted(PathBuf),
    /// Read from this Secret, which the replica that holds the Lease writes.
    Secret(ObjectName),
}

impl Certificates {
    /// Returns the folder, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Certificates::Development(directory) | Certificates::Mounted(directory) => {
                Some(directory)
            }
            Certificates::Secret(_) => None,
        }
    }
}

/// Reads where API servers call: `https://HOST:PORT`.
///
/// # Errors
/// It is something else.
pub fn url(text: &str) -> Result<String, String> {
    values::url(text)
}

/// Reads the name of a namespace.
///
/// # Errors
/// It is none.
pub fn namespace(text: &str) -> Result<String, String> {
    keys::namespace(text)
}

/// Reads the name of an installation.
///
/// # Errors
/// No object could have it.
pub fn name(text: &str) -> Result<String, String> {
    keys::name(text)
}

/// Reads how long a certificate lives.
///
/// # Errors
/// It is no duration, or too short or too long for one.
pub fn lifetime(text: &str) -> Result<Duration, String> {
    keys::lifetime(text)
}

/// Reads a mode.
///
/// # Errors
/// There is no such mode.
pub fn mode(text: &str) -> Result<Mode, String> {
    keys::mode(text)
}

/// Reads which admission policies of a cluster are meant.
///
/// # Errors
/// There is no such choice.
pub fn cluster_policies(text: &str) -> Result<ClusterPolicies, String> {
    keys::cluster_policies(text)
}

/// What a violation leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// What each policy says: denials deny.
    #[default]
    Enforce,
    /// Nothing is rejected or patched; what would have been is recorded.
    Audit,
}

/// Whether policies may read a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClusterChoice {
    /// The one that is found, if there is one.
    #[default]
    Auto,
    /// No.
    None,
}

/// Which admission policies of a cluster are policies here, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClusterPolicies {
    /// None: only the API server enforces them.
    #[default]
    None,
    /// Those with the label `portcullis.dev/policy`: the API server enforces them as well.
    Labelled,
}

/// How the server ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long requests are still accepted after SIGTERM, while `/readyz` fails.
    pub grace: Duration,
    /// How long open requests then have.
    pub drain: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        // Together below the 30 s that the kubelet waits (`DefaultTerminationGracePeriodSeconds`,
        // kubernetes `pkg/apis/core/v1/defaults.go`): 5 s for the endpoint to disappear from every
        // node, and 20 s for reviews, whose timeout is 10 s unless configured.
        ShutdownConfig {
            grace: Duration::from_secs(5),
            drain: Duration::from_secs(20),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            certs: Certificates::Development(PathBuf::from(DEVELOPMENT_CERTS)),
            certs_secret: None,
            // Ninety days, cert-manager's default duration.
            certs_lifetime: Duration::from_secs(90 * 24 * 60 * 60),
            service: None,
            url: None,
            name: NAME.to_owned(),
            namespace: None,
            mode: Mode::default(),
            audit_warnings: true,
            policies: Vec::new(),
            exceptions: Vec::new(),
            policy_namespace: None,
            exception_namespaces: Vec::new(),
            cluster_policies: ClusterPolicies::default(),
            excluded_namespaces: Vec::new(),
            webhook_timeout_seconds: TIMEOUT_SECONDS,
            kubernetes_version: KubernetesVersion::default(),
            overrides: Overrides::default(),
            cluster: ClusterChoice::default(),
            kubeconfig: None,
            events: false,
            // Half of what is left of the 512 MiB that the chart gives a pod when reviews take theirs; a
            // hundred thousand objects of which a kilobyte is read.
            cache_bytes: 128 << 20,
            audit_interval: Duration::ZERO,
            audit_reports: Some(Api::OpenReports),
            log: LogConfig::default(),
            decision_log: None,
            traces_endpoint: None,
            limits: Limits::default(),
            shutdown: ShutdownConfig::default(),
        }
    }
}

impl Config {
    /// Returns what webhook configurations are to say, if they are to be written.
    pub fn place(&self) -> Option<Place> {
        let target = match (&self.service, &self.url) {
            (_, Some(url)) => Target::Url(url.clone()),
            (Some(service), None) => Target::Service(service.clone()),
            (None, None) => return None,
        };
        Some(Place {
            name: self.name.clone(),
            namespace: self.own_namespace().map(str::to_owned),
            role_namespaces: self.role_namespaces(),
            target,
            mode: self.mode,
            policy_namespace: self.policy_namespace.clone(),
            excluded_namespaces: self.excluded_namespaces.iter().cloned().collect(),
            timeout_seconds: self.webhook_timeout_seconds,
        })
    }

    /// Returns the namespace that the server runs in, if it is known.
    pub fn own_namespace(&self) -> Option<&str> {
        let beside = self.service.as_ref().or(self.certs_secret.as_ref());
        let namespace = self.namespace.as_ref();
        namespace
            .or(beside.map(|it| &it.namespace))
            .map(String::as_str)
    }

    /// Returns the namespaces where the server has roles, besides its own.
    fn role_namespaces(&self) -> BTreeSet<String> {
        let labelled = self.cluster_policies == ClusterPolicies::Labelled;
        let told = labelled.then(|| CLUSTER_NAMESPACE.to_owned());
        let secret = self.certs_secret.as_ref().map(|it| it.namespace.clone());
        let named = self.policy_namespace.iter().cloned();
        let named = named.chain(self.exception_namespaces.iter().cloned());
        let (all, own) = (named.chain(told).chain(secret), self.own_namespace());
        all.filter(|it| Some(&**it) != own).collect()
    }
}

/// Values given as flags: keys, as [`Config`] files spell them, with their values.
pub type Flags = Vec<(&'static str, Vec<String>)>;

/// Puts the layers together and checks the whole.
///
/// `variables` is the environment; those without [`VARIABLE_PREFIX`] are ignored. Relative paths
/// in `file` are relative to its folder. With any finding that is an error the configuration must
/// not be used.
pub fn resolve(
    flags: &Flags,
    variables: impl IntoIterator<Item = (String, String)>,
    file: Option<&Arc<Source>>,
) -> (Config, Vec<Diagnostic>) {
    let mut resolution = Resolution::default();
    if let Some(source) = file {
        file::read(source, &mut resolution);
    }
    let mut variables: Vec<_> = variables
        .into_iter()
        // Templates leave variables empty when there is nothing to say.
        .filter(|(name, value)| name.starts_with(VARIABLE_PREFIX) && !value.is_empty())
        .collect();
    variables.sort();
    for (name, value) in &variables {
        resolution.variable(name, value);
    }
    for (path, values) in flags {
        if let Some(key) = KEYS.iter().find(|key| key.path == *path) {
            resolution.set(key, values, &Origin::Flag);
        }
    }
    resolution.check_whole();
    resolution.check_management();
    (resolution.config, resolution.findings)
}

/// Where a value was given.
enum Origin<'a> {
    Flag,
    Variable,
    File(&'a Arc<Source>, Span),
}

#[derive(Default)]
struct Resolution {
    config: Config,
    findings: Vec<Diagnostic>,
}

impl Resolution {
    fn variable(&mut self, name: &str, value: &str) {
        if name == FILE_VARIABLE {
            return;
        }
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            return self.unknown_variable(name);
        };
        let values: Vec<String> = if key.is_list {
            value
                .split(',')
                .map(|part| part.trim().to_owned())
                .collect()
        } else {
            vec![value.to_owned()]
        };
        self.set(key, &values, &Origin::Variable);
    }

    /// Warns of a variable that looks like a mistake.
    ///
    /// Others are none of ours: the kubelet gives every pod beside a Service named `portcullis`
    /// variables such as `PORTCULLIS_SERVICE_HOST` and `PORTCULLIS_PORT_443_TCP` (kubernetes
    /// `pkg/kubelet/envvars/envvars.go`).
    fn unknown_variable(&mut self, name: &str) {
        if name.contains("_SERVICE_") || name.contains("_PORT") {
            return;
        }
        let known: Vec<_> = KEYS.iter().map(Key::variable).collect();
        let known = known.iter().map(String::as_str).chain([FILE_VARIABLE]);
        if let Some(meant) = nearest(name, known) {
            self.findings.push(
                Diagnostic::warning(
                    "config/unknown-variable",
                    format!("the environment variable `{name}` means nothing"),
                )
                .help(format!("did you mean `{meant}`?")),
            );
        }
    }

    fn set(&mut self, key: &Key, values: &[String], origin: &Origin<'_>) {
        if let Err(problem) = (key.set)(&mut self.config, values) {
            let name = match origin {
                Origin::Flag => format!("--{}", key.flag.unwrap_or(key.path)),
                Origin::Variable => key.variable(),
                Origin::File(..) => key.path.to_owned(),
            };
            let finding = Diagnostic::error("config/invalid-value", format!("`{name}`: {problem}"));
            self.findings.push(match origin {
                Origin::File(source, span) => finding.at(source, *span),
                Origin::Flag | Origin::Variable => finding,
            });
        }
    }

    /// Checks what no key can know alone.
    fn check_whole(&mut self) {
        let Config {
            listen,
            admin_listen,
            cluster,
            kubeconfig,
            limits,
            ..
        } = &self.config;
        if listen == admin_listen && listen.port() != 0 {
            self.findings.push(
                Diagnostic::error(
                    "config/same-address",
                    format!("`listen` and `adminListen` are both `{listen}`"),
                )
                .help("give one of them another port"),
            );
        }
        if *cluster == ClusterChoice::None && kubeconfig.is_some() {
            self.findings.push(
                Diagnostic::error(
                    "config/contradiction",
                    "`kubeconfig` names a cluster, but `cluster` is `none`",
                )
                .help("leave one of them out"),
            );
        }
        let reviews = &limits.reviews;
        if reviews.body_bytes > reviews.body_bytes_in_flight {
            self.findings.push(
                Diagnostic::error(
                    "config/contradiction",
                    "`limits.body` is larger than `limits.bodies`, so that the largest body could \
                     never be read",
                )
                .help("raise `limits.bodies`, the size of all bodies together"),
            );
        }
    }
}

impl Resolution {
    /// Checks what is said of certificates in a Secret and of registration, and finds the Secret.
    fn check_management(&mut self) {
        let config = &mut self.config;
        let is_registered = config.service.is_some() || config.url.is_some();
        if let (Certificates::Development(_), Some(service), None) =
            (&config.certs, &config.service, &config.certs_secret)
        {
            config.certs_secret = Some(certs_secret(service));
        }
        let contradiction = match (&config.certs, &config.certs_secret) {
            (Certificates::Mounted(_), Some(_)) => Some((
                "`certs` and `certsSecret` both name a certificate",
                "leave one of them out",
            )),
            _ if config.service.is_some() && config.url.is_some() => Some((
                "`service` and `url` both say where API servers call",
                "leave one of them out",
            )),
            (_, Some(_)) if !is_registered => Some((
                "`certsSecret` is given, and nothing says by which name API servers call",
                "name the Service with `service`, or the address with `url`",
            )),
            (Certificates::Development(_), None) if config.url.is_some() => Some((
                "`url` is given without `certsSecret` or `certs`",
                "name a Secret for the certificate, or the folder where it is mounted; or print what is \
                 to be registered with `portcullis manifests`",
            )),
            (_, None) if config.url.is_some() && config.namespace.is_none() => Some((
                "`url` and `certs` are given without `namespace`",
                "name the namespace that the server runs in, where the Lease is kept",
            )),
            _ if config.policy_namespace.is_some() && config.cluster == ClusterChoice::None => {
                Some((
                    "`policyNamespace` names ConfigMaps of a cluster, but `cluster` is `none`",
                    "leave one of them out",
                ))
            }
            _ if config.cluster_policies == ClusterPolicies::Labelled
                && config.cluster == ClusterChoice::None =>
            {
                Some((
                    "`clusterPolicies` are those of a cluster, but `cluster` is `none`",
                    "leave one of them out",
                ))
            }
            _ if !config.exception_namespaces.is_empty()
                && config.cluster == ClusterChoice::None =>
            {
                Some((
                    "`exceptionNamespaces` are those of a cluster, but `cluster` is `none`",
                    "leave one of them out",
                ))
            }
            _ if is_registered && config.cluster == ClusterChoice::None => Some((
                "the webhook is to be registered, but `cluster` is `none`",
                "leave one of them out",
            )),
            _ => None,
        };
        if let Some((message, help)) = contradiction {
            let finding = Diagnostic::error("config/contradiction", message);
            self.findings.push(finding.help(help));
        } else if let Some(secret) = &config.certs_secret {
            config.certs = Certificates::Secret(secret.clone());
        }
    }
}

#[cfg(test)]
mod tests;
