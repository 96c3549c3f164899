//! `portcullis manifests`: what `serve` needs in a cluster, as YAML for GitOps.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Exit, PolicyArgs};
use crate::cluster::exceptions;
use crate::diagnostics::Diagnostic;
use crate::policy::model::ParamKind;
use crate::policy::set::PolicySet;
use crate::serve::config::{self, Certificates, Config, Flags, resolve};
use crate::serve::registration::guards::prove;
use crate::serve::registration::roles::{
    Command, Management, Roles, Settings, command_roles, roles,
};
use crate::serve::registration::{Demand, empty_configurations};
use crate::sources::{self, files};

/// What the role of `portcullis audit` is called, unless it is given another name.
const COMMAND_NAME: &str = "portcullis-audit-command";
/// As often as a scan is to be that is only said to be; rights do not depend on it.
const SOME_INTERVAL: Duration = Duration::from_secs(3600);

/// Print webhook configurations and roles for the policies, as YAML
///
/// The rules are no wider than the policies need. Leases, events, nodes, requests for certificates, reviews
/// of tokens and of access, webhook configurations, these roles, ConfigMaps of the policy namespace,
/// kube-system and the namespace that the webhook runs in are never asked about, whatever the policies
/// say, and roles allow what is used and nothing else. They are bound to the service account NAME of the
/// namespace that the webhook runs in; if that is not known, to nobody.
///
/// Whoever starts the server with a configuration file and flags gives both here, too: what is printed
/// is what that server needs.
///
/// With --ca the webhook configurations are whole: whoever applies them keeps them in step with the
/// policies. So they are with --url alone. With --service, or with --url and --certs-secret or
/// --mounted-certs, they are empty, for `serve` with the same flags to fill in with its certificate and the
/// rules of the policies in force; deleting them uninstalls it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  What a server needs that manages itself:
    portcullis manifests --policies ./policies --service policy/portcullis | kubectl apply -f -

  What a server needs that is configured so:
    portcullis manifests --config portcullis.yaml --service policy/portcullis

  What a server outside of the cluster needs, which manages itself under a kubeconfig:
    portcullis manifests --url https://10.0.0.1:8443 --certs-secret policy/portcullis-certs

  Everything, with a certificate that somebody else makes:
    portcullis manifests --service policy/portcullis --ca ca.crt > portcullis.yaml

  The role of an account that runs `portcullis audit --report`:
    portcullis manifests --for audit --namespace ci")]
pub struct Args {
    #[command(flatten)]
    policies: PolicyArgs,

    /// Take everything from this configuration of `serve`; what is given here counts more
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Enforce `.cel` policies less or more strictly than they say: baseline, production or strict
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// Refuse expressions that this version of Kubernetes does not know: 1.30 to 1.36 [default: 1.36]
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,

    /// What needs them: serve, or audit: the command, which lists what the policies match and read, and
    /// writes reports unless --reports is none
    #[arg(long = "for", value_name = "serve|audit", value_enum, default_value_t)]
    purpose: Purpose,

    /// The Service that API servers call, on its port 443
    #[arg(long, value_name = "NAMESPACE/NAME")]
    service: Option<String>,

    /// Where API servers call instead, without a path: https://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with = "service")]
    url: Option<String>,

    /// What is printed is called so; each installation in a cluster needs a name of its own, which `serve`
    /// is given, too [default: portcullis, or portcullis-audit-command]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The Secret with the certificate that the server makes [default: that of the Service, SERVICE-certs]
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with_all = ["mounted_certs", "ca"])]
    certs_secret: Option<String>,

    /// Somebody else makes the certificate, which `serve --certs` reads: no role for a Secret
    #[arg(long, conflicts_with = "ca")]
    mounted_certs: bool,

    /// The certificates of the authorities that API servers are to trust, as PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The namespace that the webhook runs in [default: that of the Service or of the Secret]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The namespace whose ConfigMaps hold policies for `serve --policy-namespace`; what those read is
    /// not known here
    #[arg(long, value_name = "NAMESPACE")]
    policy_namespace: Option<String>,

    /// Whether labelled admission policies of the cluster are policies for `serve --cluster-policies`;
    /// what those read is not known here [default: none]
    #[arg(long, value_name = "labelled|none")]
    cluster_policies: Option<String>,

    /// Namespaces whose PolicyExceptions are followed, for `serve --exception-namespaces`; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    exception_namespaces: Vec<String>,

    /// Namespaces that API servers never ask about, besides kube-system and that of the webhook; may be
    /// repeated
    #[arg(long, value_name = "NAMESPACE")]
    excluded_namespaces: Vec<String>,

    /// How long API servers wait for an answer, 1 to 30 [default: 10]
    #[arg(long, value_name = "SECONDS")]
    timeout_seconds: Option<String>,

    /// Allow the server to write Events on the controllers of what is denied, too (`events`)
    #[arg(long)]
    events: bool,

    /// Allow the server to scan what the cluster has, too (`audit.interval`)
    #[arg(long)]
    audit: bool,

    /// Where reports of what the cluster has are written to (`audit.reports`) [default: openreports.io]
    #[arg(long, value_name = "openreports.io|wgpolicyk8s.io|none")]
    reports: Option<String>,

    /// What violations lead to: enforce, or audit: then a webhook that does not answer denies nothing
    /// either [default: enforce]
    #[arg(long, value_name = "enforce|audit")]
    mode: Option<String>,
}

/// What needs rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Purpose {
    /// The server.
    #[default]
    Serve,
    /// The command `audit`.
    Audit,
}

/// Prints the objects.
///
/// # Errors
/// The configuration or the certificates cannot be read.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if let (Purpose::Audit, Some(flag)) = (args.purpose, args.of_a_server()) {
        anyhow::bail!("`{flag}` is for a server, and `--for audit` prints what the command needs");
    }
    let (config, manages_itself, mut problems) = args.configuration()?;
    let authorities = args.ca.as_deref().map(authorities).transpose()?;
    let (set, findings) = sources::load(
        &config.policies,
        config.kubernetes_version,
        &config.overrides,
    );
    problems.extend(findings);
    let printed = match args.purpose {
        _ if problems.iter().any(Diagnostic::is_error) => Vec::new(),
        Purpose::Serve => args.of_server(
            (&config, manages_itself),
            &set,
            (authorities, &mut problems),
        )?,
        Purpose::Audit => args.of_command(&config, &set, &mut problems),
    };
    super::show(&problems);
    if problems.iter().any(Diagnostic::is_error) {
        return Ok(Exit::Unusable);
    }
    super::print(&sources::write::yaml(&printed)?);
    Ok(Exit::Clean)
}

impl Args {
    /// Returns the configuration of the server that this is for, and whether it manages itself.
    fn configuration(&self) -> anyhow::Result<(Config, bool, Vec<Diagnostic>)> {
        let file = self.config.as_deref().map(super::configuration);
        let file = file.transpose()?;
        let mut flags = self.flags();
        let (mut config, mut findings) = resolve(&flags, [], file.as_ref());
        // An address is registered by a server that knows a certificate for it, and otherwise by hand.
        let is_known = match &config.certs {
            Certificates::Mounted(_) => true,
            Certificates::Secret(_) | Certificates::Development(_) => {
                config.certs_secret.is_some() && config.service.is_none()
            }
        };
        let mut manages_itself = self.ca.is_none();
        if let Some(url) = &self.url {
            manages_itself &= is_known;
            if manages_itself {
                flags.push(("url", vec![url.clone()]));
                (config, findings) = resolve(&flags, [], file.as_ref());
            } else {
                config.service = None;
                config.url = Some(config::url(url).map_err(anyhow::Error::msg)?);
            }
        }
        if self.audit && config.audit_interval.is_zero() {
            config.audit_interval = SOME_INTERVAL;
        }
        Ok((config, manages_itself, findings))
    }

    /// Returns a flag that means nothing to the command `audit`.
    fn of_a_server(&self) -> Option<&'static str> {
        let given = [
            ("--service", self.service.is_some()),
            ("--url", self.url.is_some()),
            ("--certs-secret", self.certs_secret.is_some()),
            ("--mounted-certs", self.mounted_certs),
            ("--ca", self.ca.is_some()),
            ("--cluster-policies", self.cluster_policies.is_some()),
            ("--events", self.events),
            ("--audit", self.audit),
            ("--mode", self.mode.is_some()),
        ];
        given.into_iter().find_map(|(flag, is)| is.then_some(flag))
    }

    /// Returns the flags of `serve` that these are, without the address.
    fn flags(&self) -> Flags {
        let some = |is_so: bool, value: &str| is_so.then(|| value.to_owned());
        let single = [
            ("profile", self.profile.clone()),
            ("kubernetesVersion", self.kubernetes_version.clone()),
            ("service", self.service.clone()),
            ("name", self.name.clone()),
            ("certsSecret", self.certs_secret.clone()),
            ("certs", some(self.mounted_certs, "mounted")),
            ("namespace", self.namespace.clone()),
            ("policyNamespace", self.policy_namespace.clone()),
            ("clusterPolicies", self.cluster_policies.clone()),
            ("webhooks.timeoutSeconds", self.timeout_seconds.clone()),
            ("events", some(self.events, "true")),
            ("audit.reports", self.reports.clone()),
            ("mode", self.mode.clone()),
        ];
        let single = single.into_iter();
        let mut flags: Flags = single
            .filter_map(|(key, value)| Some((key, vec![value?])))
            .collect();
        let policies = self.policies.paths.iter();
        let policies = policies.map(|path| path.display().to_string());
        for (key, values) in [
            ("policies", policies.collect()),
            ("exceptionNamespaces", self.exception_namespaces.clone()),
            (
                "webhooks.excludedNamespaces",
                self.excluded_namespaces.clone(),
            ),
        ] {
            if !values.is_empty() {
                flags.push((key, values));
            }
        }
        flags
    }

    /// Returns what a server needs.
    fn of_server(
        &self,
        (config, manages_itself): (&Config, bool),
        set: &PolicySet,
        (authorities, problems): (Option<String>, &mut Vec<Diagnostic>),
    ) -> anyhow::Result<Vec<serde_json::Value>> {
        let Some(place) = config.place() else {
            anyhow::bail!("name the Service with `--service`, or an address with `--url`")
        };
        let demand = Demand::of(set);
        problems.extend(demand.findings());
        if place.namespace.is_none() {
            let message = "nothing but `kube-system` is excluded by its namespace";
            let help = "name the namespace that the webhook runs in, if it runs in one, with `--namespace`: what \
                        brings it back must not wait for it";
            problems.push(Diagnostic::warning("manifests/no-namespace", message).help(help));
        }
        let mut settings = Settings::of(config);
        if !manages_itself {
            settings.management = Management::Others;
        }
        let configurations = match settings.management {
            Management::Own(_) => empty_configurations(&place.name),
            Management::Others => demand.configurations(&place, authorities.as_deref()),
        };
        for configuration in &configurations {
            prove(configuration, &place).map_err(anyhow::Error::msg)?;
        }
        let mut documents = Vec::new();
        if settings.policies.is_some() || !settings.exceptions.is_empty() {
            documents.extend(exceptions::definition());
        }
        let Roles { objects, guessed } = roles(set, &settings);
        problems.extend(guesses(&guessed));
        documents.extend(objects);
        documents.extend(configurations);
        Ok(documents)
    }

    /// Returns what `audit` needs.
    fn of_command(
        &self,
        config: &Config,
        set: &PolicySet,
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<serde_json::Value> {
        let name = self.name.as_deref().unwrap_or(COMMAND_NAME);
        let command = Command {
            name,
            namespace: self.namespace.as_deref(),
            policies: config.policy_namespace.as_deref(),
            exceptions: &config.exception_namespaces,
            reports: config.audit_reports,
        };
        let Roles { objects, guessed } = command_roles(set, &command);
        problems.extend(guesses(&guessed));
        objects
    }
}

fn guesses(kinds: &BTreeSet<ParamKind>) -> impl Iterator<Item = Diagnostic> {
    kinds.iter().map(|kind| {
        let message = format!(
            "the resource of the kind `{}` of `{}` is a guess",
            kind.kind, kind.api_version
        );
        let help = "see that the ClusterRole names it as its CustomResourceDefinition does";
        Diagnostic::warning("manifests/guessed-resource", message).help(help)
    })
}

/// Reads the certificates in a file; a private key beside them is refused, so that none is published.
fn authorities(path: &Path) -> anyhow::Result<String> {
    let name = path.display();
    let source = files::read(path, files::MAX_POLICY_BYTES);
    let source = source.map_err(|problem| anyhow::anyhow!("{}", problem.message))?;
    let text = source.text().to_owned();
    anyhow::ensure!(
        !text.contains("PRIVATE KEY"),
        "`{name}` holds a private key; give the certificates alone"
    );
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let certificates = read.unwrap_or_default();
    anyhow::ensure!(
        !certificates.is_empty(),
        "`{name}` holds no certificate in PEM form"
    );
    for (place, certificate) in certificates.into_iter().enumerate() {
        // As a client takes them that is to trust them.
        if let Err(problem) = RootCertStore::empty().add(certificate) {
            let place = place + 1;
            anyhow::bail!("certificate {place} in `{name}` cannot be trusted: {problem}");
        }
    }
    Ok(text)
}
