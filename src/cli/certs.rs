//! `portcullis certs`: looks at certificates and issues them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use rustls::pki_types::DnsName;

use super::Exit;
use crate::certs::authority::{CA_CERTIFICATE_FILE, write_atomically};
use crate::certs::inspect::{Report, inspect};
use crate::certs::issue::{Issued, issue};
use crate::certs::rotation::Contents;
use crate::certs::{CERTIFICATE_FILE, KEY_FILE};
use crate::cluster::ObjectName;
use crate::cluster::connect::{client, described, with_causes};
use crate::serve::config::{self, DEVELOPMENT_CERTS};
use crate::webhook::tls;

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Look at certificates of the webhook, or issue one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis certs inspect certs/dev
  portcullis certs inspect --secret policy/portcullis-certs
  portcullis certs issue --dns portcullis.policy.svc --dir certs")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print names and times of a certificate, and what clients would refuse: then the exit code is 1
    Inspect(InspectArgs),
    /// Issue a certificate under an authority of its own, whose key is forgotten: tls.crt, tls.key and
    /// ca.crt
    Issue(IssueArgs),
}

#[derive(Debug, clap::Args)]
struct InspectArgs {
    /// A folder with tls.crt, tls.key and ca.crt [default: certs/dev]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    /// A Secret of a cluster instead
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "directory")]
    secret: Option<ObjectName>,

    /// The kubeconfig that leads to the cluster [default: the pod's service account, $KUBECONFIG or
    /// ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "secret")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    /// A name or address that API servers call; may be repeated
    #[arg(long, value_name = "NAME", required = true, value_parser = host)]
    dns: Vec<String>,

    /// The folder to write to; what is there is left alone
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// How long it lives
    #[arg(long, value_name = "DURATION", default_value = "2160h", value_parser = config::lifetime)]
    lifetime: Duration,
}

/// Reads what a certificate can be for: what clients find no certificate for is refused.
fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_name = DnsName::try_from(name).is_ok() && !name.ends_with('.');
    match is_name || text.parse::<IpAddr>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("it is no name of a host and no address".to_owned()),
    }
}

/// Looks or issues.
///
/// # Errors
/// Something cannot be read or written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Inspect(args) => look(args),
        Command::Issue(args) => make(args),
    }
}

fn look(args: &InspectArgs) -> anyhow::Result<Exit> {
    let (contents, origin) = match &args.secret {
        Some(name) => match of_secret(name, args.kubeconfig.as_deref()) {
            Ok(contents) => (contents, PathBuf::from(name.to_string())),
            Err(problem) => {
                super::note(&format!("error: {}", with_causes(problem.as_ref())));
                return Ok(Exit::Service);
            }
        },
        None => {
            let default = || PathBuf::from(DEVELOPMENT_CERTS);
            let directory = args.directory.clone().unwrap_or_else(default);
            (of_folder(&directory)?, directory)
        }
    };
    let Report { text, problems } =
        inspect(&contents, &origin, SystemTime::now(), &tls::provider());
    super::print(&text);
    for problem in &problems {
        super::note(&format!("error: {problem}"));
    }
    Ok(match problems.is_empty() {
        true => Exit::Clean,
        false => Exit::Found,
    })
}

fn of_folder(directory: &Path) -> anyhow::Result<Contents> {
    let mut keys = BTreeMap::new();
    for name in [CERTIFICATE_FILE, KEY_FILE, CA_CERTIFICATE_FILE] {
        let path = directory.join(name);
        match std::fs::read(&path) {
            Ok(contents) => {
                keys.insert(name.to_owned(), contents);
            }
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => {}
            Err(problem) => {
                return Err(problem).with_context(|| format!("cannot read `{}`", path.display()));
            }
        }
    }
    anyhow::ensure!(
        !keys.is_empty(),
        "there is no certificate in `{}`",
        directory.display()
    );
    Ok(Contents::from(keys))
}

fn of_secret(name: &ObjectName, kubeconfig: Option<&Path>) -> anyhow::Result<Contents> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let secret = runtime.block_on(async {
        let client = client(kubeconfig).await?;
        let (client, _) = client.context("no cluster was found")?;
        let api: Api<Secret> = Api::namespaced(client, &name.namespace);
        let got = tokio::time::timeout(PATIENCE, api.get(&name.name)).await;
        let got = got.context("the API server does not answer")?;
        got.map_err(|problem| anyhow::anyhow!("{}", described(&problem)))
    })?;
    let data = secret.data.unwrap_or_default().into_iter();
    let keys: BTreeMap<_, _> = data.map(|(key, value)| (key, value.0)).collect();
    Ok(Contents::from(keys))
}

fn make(args: &IssueArgs) -> anyhow::Result<Exit> {
    let Issued {
        certificate,
        key,
        authority,
    } = issue(&args.dns, SystemTime::now(), args.lifetime)?;
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("cannot write `{}`", args.dir.display()))?;
    let files = [
        (KEY_FILE, key, 0o600),
        (CERTIFICATE_FILE, certificate, 0o644),
        (CA_CERTIFICATE_FILE, authority, 0o644),
    ];
    for (name, ..) in &files {
        let path = args.dir.join(name);
        anyhow::ensure!(!path.exists(), "`{}` is there already", path.display());
    }
    for (name, text, mode) in files {
        let path = args.dir.join(name);
        write_atomically(&path, text.as_bytes(), mode)?;
        super::print(&format!("{}\n", path.display()));
    }
    Ok(Exit::Clean)
}
