//! Finds the cluster: a kubeconfig that is named, the pod's service account, or the user's kubeconfig.

use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use kube::Client;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::Cluster;
use crate::sources::files;

/// Why a cluster that is configured cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig is not usable.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// The kubeconfig is no file, or too large for one.
    #[error("the kubeconfig {0}")]
    NoFile(String),
    /// The service account is not usable.
    #[error("the service account of the pod cannot be used: {0}")]
    ServiceAccount(#[from] InClusterError),
    /// The connection cannot be set up.
    #[error("the connection to the cluster cannot be set up: {0}")]
    Client(#[from] Box<kube::Error>),
}

/// Connects to the cluster of a kubeconfig, or else to the one that can be found; `None` if there is
/// none. What policies read of it may take `cache_bytes`. Nothing is sent yet: a cluster that does not
/// answer is waited for.
///
/// # Errors
/// What is configured cannot be used.
pub async fn connect(
    kubeconfig: Option<&Path>,
    cache_bytes: usize,
) -> Result<Option<Arc<Cluster>>, ConnectError> {
    let connected = client(kubeconfig).await?;
    let cluster = |(client, address)| Arc::new(Cluster::new(client, address, cache_bytes));
    Ok(connected.map(cluster))
}

/// Returns a client for such a cluster, and its address.
///
/// # Errors
/// What is configured cannot be used.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Option<(Client, String)>, ConnectError> {
    let found = find(kubeconfig, None).await?;
    found.map(client_of).transpose()
}

/// Returns such a client that says who it is and leaves it to its user to ask again: for work that can
/// wait, and is told apart from what cannot.
///
/// # Errors
/// What is configured cannot be used.
pub async fn patient_client(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
    agent: &'static str,
) -> Result<Option<(Client, String)>, ConnectError> {
    let Some(mut config) = find(kubeconfig, context).await? else {
        return Ok(None);
    };
    let agent = HeaderValue::from_static(agent);
    config.headers.push((USER_AGENT, agent));
    config.default_retry = false;
    client_of(config).map(Some)
}

fn client_of(config: Config) -> Result<(Client, String), ConnectError> {
    // kube takes the provider of the process; this is the only one that is built in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(Box::new)?;
    Ok((client, address))
}

/// Says what went wrong with a request, in the API server's words: those of a refusal name the account,
/// the verb and the resource.
pub fn described(problem: &kube::Error) -> String {
    match problem {
        kube::Error::Api(status) if status.code == 403 => format!(
            "{}; `portcullis manifests` prints the roles that are needed",
            status.message
        ),
        kube::Error::Api(status) => status.message.clone(),
        other => with_causes(other),
    }
}

/// Returns what an error says, and what its causes say that was not said: of a connection that is refused
/// its own words are only that it could not be made.
pub fn with_causes(problem: &(dyn Error + 'static)) -> String {
    let mut text = problem.to_string();
    let mut cause = problem.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = deeper.source();
    }
    text
}

async fn find(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Option<Config>, ConnectError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = kubeconfig {
        // Read by kube, a pipe would be waited for, and a device has no end.
        let opened = files::open(path, Some(files::MAX_POLICY_BYTES));
        opened.map_err(|problem| ConnectError::NoFile(problem.message))?;
        let kubeconfig = Kubeconfig::read_from(path)?;
        return Ok(Some(
            Config::from_custom_kubeconfig(kubeconfig, &options).await?,
        ));
    }
    // Set in every pod (kubernetes `pkg/kubelet/envvars`), whether or not it has an account.
    if context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        match Config::incluster_env() {
            Ok(config) => return Ok(Some(config)),
            Err(InClusterError::ReadDefaultNamespace(problem)) if is_absent(&problem) => {}
            Err(InClusterError::ReadCertificateBundle(problem)) if is_absent(&problem) => {}
            Err(problem) => return Err(problem.into()),
        }
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(Some(config)),
        Err(KubeconfigError::FindPath | KubeconfigError::CurrentContextNotSet) => Ok(None),
        Err(KubeconfigError::ReadConfig(problem, _)) if is_absent(&problem) => Ok(None),
        Err(problem) => Err(problem.into()),
    }
}

fn is_absent(problem: &std::io::Error) -> bool {
    problem.kind() == ErrorKind::NotFound
}
