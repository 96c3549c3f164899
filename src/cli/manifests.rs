//! `portcullis manifests`: what `serve` needs in a cluster, as YAML for GitOps.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Exit, OverrideArgs, PolicyArgs, VersionArgs};
use crate::cluster::ObjectName;
use crate::cluster::exceptions;
use crate::diagnostics::Diagnostic;
use crate::serve::config::{self, ClusterPolicies, Mode};
use crate::serve::registration::guards::holes;
use crate::serve::registration::roles::{Management, Namespaces, Roles, audit_roles, roles};
use crate::serve::registration::{Demand, NAME, Place, Target, certs_secret, empty_configurations};
use crate::sources;

/// Print webhook configurations and roles for the policies, as YAML
///
/// The rules are no wider than the policies need. Leases, events, nodes, reviews of tokens and of
/// access, webhook configurations, kube-system and the namespace that the webhook runs in are never
/// asked about, whatever the policies say, and roles allow what is used and nothing else.
///
/// With --ca the webhook configurations are whole: whoever applies them keeps them in step with the
/// policies. With --service and without --ca they are empty, for `portcullis serve --service` to fill
/// in with its own certificate and the rules of the policies in force; deleting them uninstalls it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  What a server needs that manages itself:
    portcullis manifests --policies ./policies --service policy/portcullis | kubectl apply -f -

  Everything, with a certificate that somebody else makes:
    portcullis manifests --service policy/portcullis --ca ca.crt > portcullis.yaml")]
pub struct Args {
    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    overrides: OverrideArgs,

    #[command(flatten)]
    version: VersionArgs,

    /// The Service that API servers call, on its port 443
    #[arg(long, value_name = "NAMESPACE/NAME", required_unless_present = "url")]
    service: Option<ObjectName>,

    /// Where API servers call instead, without a path: https://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with = "service", value_parser = config::url)]
    url: Option<String>,

    /// What is printed is called so; each installation in a cluster needs a name of its own, which `serve`
    /// is given, too
    #[arg(long, value_name = "NAME", value_parser = config::name, default_value = NAME)]
    name: String,

    /// Somebody else makes the certificate, which `serve --certs` reads: no role for a Secret
    #[arg(long, conflicts_with_all = ["url", "ca"])]
    mounted_certs: bool,

    /// The certificates of the authorities that API servers are to trust, as PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The namespace that the webhook runs in [default: that of the Service]
    #[arg(long, value_name = "NAMESPACE", value_parser = config::namespace)]
    namespace: Option<String>,

    /// The namespace whose ConfigMaps hold policies for `serve --policy-namespace`; what those read is
    /// not known here
    #[arg(long, value_name = "NAMESPACE", value_parser = config::namespace)]
    policy_namespace: Option<String>,

    /// Whether labelled admission policies of the cluster are policies for `serve --cluster-policies`;
    /// what those read is not known here
    #[arg(long, value_name = "labelled|none", value_parser = config::cluster_policies, default_value = "none")]
    cluster_policies: ClusterPolicies,

    /// Allow the server to scan what the cluster has and to write reports, too (`audit.interval`)
    #[arg(long)]
    audit: bool,

    /// Namespaces whose PolicyExceptions are followed, for `serve --exception-namespaces`; may be repeated
    #[arg(long, value_name = "NAMESPACE", value_parser = config::namespace)]
    exception_namespaces: Vec<String>,

    /// What violations lead to: enforce, or audit: then a webhook that does not answer denies nothing
    /// either
    #[arg(long, value_name = "enforce|audit", value_parser = config::mode, default_value = "enforce")]
    mode: Mode,
}

/// Prints the objects.
///
/// # Errors
/// The configuration or the certificates cannot be read.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let (overrides, mut problems) = args.overrides.read()?;
    let version = args.version.kubernetes_version;
    let (set, findings) = sources::load(&args.policies.paths, version, &overrides);
    problems.extend(findings);
    let authorities = args.ca.as_ref().map(authorities).transpose()?;
    let target = match (&args.service, &args.url) {
        (_, Some(url)) => Target::Url(url.clone()),
        (Some(service), None) => Target::Service(service.clone()),
        (None, None) => {
            anyhow::bail!("name the Service with `--service`, or an address with `--url`")
        }
    };
    let own = args
        .service
        .as_ref()
        .map(|service| service.namespace.clone());
    let place = Place {
        name: args.name.clone(),
        namespace: args.namespace.clone().or(own),
        target,
        mode: args.mode,
    };
    let demand = Demand::of(&set);
    problems.extend(demand.findings());
    let secret = args.service.as_ref().map(certs_secret);
    let secret = secret.as_ref().filter(|_| !args.mounted_certs);
    let management = match (&authorities, &place.target) {
        (None, Target::Service(_)) => Management::Own(secret.map(|it| &*it.name)),
        _ => Management::Others,
    };
    let configurations = match management {
        Management::Own(_) => empty_configurations(&place.name),
        Management::Others => demand.configurations(&place, authorities.as_deref()),
    };
    for configuration in &configurations {
        let holes = holes(configuration, place.namespace.as_deref());
        anyhow::ensure!(holes.is_empty(), "{}", holes.join("; "));
    }
    let namespaces = Namespaces {
        own: place.namespace.as_deref(),
        policies: args.policy_namespace.as_deref(),
        cluster_policies: args.cluster_policies,
        exceptions: &args.exception_namespaces,
    };
    let Roles { objects, guessed } = roles(&set, &place.name, namespaces, management);
    problems.extend(guessed.iter().map(|kind| {
        let message = format!(
            "the resource of the kind `{}` of `{}` is a guess",
            kind.kind, kind.api_version
        );
        let help = "see that the ClusterRole names it as its CustomResourceDefinition does";
        Diagnostic::warning("manifests/guessed-resource", message).help(help)
    }));
    super::show(&problems);
    if problems.iter().any(Diagnostic::is_error) {
        return Ok(Exit::Unusable);
    }
    let mut documents = Vec::new();
    if args.policy_namespace.is_some() || !args.exception_namespaces.is_empty() {
        documents.extend(exceptions::definition());
    }
    documents.extend(objects);
    if args.audit {
        documents.extend(audit_roles(&set, &place.name, place.namespace.as_deref()));
    }
    documents.extend(configurations);
    super::print(&sources::write::yaml(&documents)?);
    Ok(Exit::Clean)
}

/// Reads the certificates in a file; a private key beside them is refused, so that none is published.
fn authorities(path: &PathBuf) -> anyhow::Result<String> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|problem| anyhow::anyhow!("cannot read `{name}`: {problem}"))?;
    anyhow::ensure!(
        !text.contains("PRIVATE KEY"),
        "`{name}` holds a private key; give the certificates alone"
    );
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(text),
        _ => anyhow::bail!("`{name}` holds no certificate in PEM form"),
    }
}
