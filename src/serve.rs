//! The composition root of the server: certificate, listeners, reloads, readiness, shutdown.
//!
//! It is generic over the [`Admission`] that decides reviews; who builds that is the caller's
//! business, and so is swapping it: [`Engine::reload`] is told when the policies have changed.

pub mod audit;
mod authorities;
pub mod caches;
mod certificate;
pub mod config;
mod dial;
pub mod exceptions;
pub mod herald;
pub mod policies;
mod registered;
pub mod registration;
mod reload;
pub mod shutdown;
pub mod steward;
mod trust;
pub mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::watch as channel;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::certs::CertificateError;
use crate::certs::authority::CA_CERTIFICATE_FILE;
use crate::cluster::published::Published;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Tracer;
use crate::webhook::admission::{Admission, Check};
use crate::webhook::limits::ConnectionLimits;
use crate::webhook::listener::{Listener, Stage};
use crate::webhook::review::Reviews;
use crate::webhook::{admin, routes, tls};
use audit::Auditor;
use certificate::Keeper;
use config::{Certificates, Config, ShutdownConfig};
use herald::Announcements;
use reload::Reloader;
use shutdown::{Signal, Signals};
use steward::{Management, Steward};
use trust::Trust;
use watch::Watch;

/// What decides reviews, and how it follows its policies.
pub struct Engine<A> {
    /// Decides reviews.
    pub admission: Arc<A>,
    /// Says when to reload; started before the policies were read, so that no change is lost in
    /// between. Without it nothing is ever reloaded.
    pub changes: Option<Watch>,
    /// What is published in the cluster besides, and also says when to reload.
    pub published: Option<Arc<Published>>,
    /// What the server needs to tell the authors of what is published how it stands.
    pub announcements: Option<Announcements>,
    /// Reads the policies again and swaps them; returns a summary for the log. An error says in one
    /// line what could not be taken over; that stays as it was. Called on a thread that may block,
    /// one call at a time.
    pub reload: Box<Reload>,
    /// What the server needs to keep its certificate and webhook configurations itself.
    pub management: Option<Management>,
    /// What the server needs to scan what the cluster has.
    pub audit: Option<Auditor>,
    /// Traces reviews whose callers are traced.
    pub tracer: Option<Tracer>,
}

/// Reads policies again; see [`Engine::reload`].
pub type Reload = dyn Fn() -> Result<String, String> + Send + Sync;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no certificate to serve.
    #[error("{}", error)]
    Certificate {
        /// Why.
        #[from]
        error: CertificateError,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address} (`{key}`): {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The key of the configuration that names it.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Work of the start failed as a whole.
    #[error("the start failed: {0}")]
    Start(#[from] tokio::task::JoinError),
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every open connection was answered and closed, or dropped at the end of the time for it:
    /// so many of those.
    Drained {
        /// Connections dropped.
        dropped: usize,
    },
    /// A second signal came before that.
    Aborted,
    /// A listener ended without being asked to.
    Failed,
}

/// A running server; dropping it ends it at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    admin_address: SocketAddr,
    authority: Option<PathBuf>,
    shutdown: ShutdownConfig,
    stage: channel::Sender<Stage>,
    admin_stage: channel::Sender<Stage>,
    webhook: JoinHandle<usize>,
    admin: JoinHandle<usize>,
    steward: Option<JoinHandle<()>>,
    _tasks: JoinSet<()>,
}

/// How many admin connections may be open: the kubelet's probes, a few scrapers, and people.
const ADMIN_CONNECTIONS: usize = 64;
/// How much longer than everything else giving up the Lease may take.
const LEASE_RELEASE: Duration = Duration::from_secs(2);

impl Server {
    /// Starts the server; when it returns, reviews are answered.
    pub async fn start<A: Admission>(
        config: &Config,
        engine: Engine<A>,
        (metrics, registry): (Metrics, Registry),
    ) -> Result<Server, ServeError> {
        let provider = tls::provider();
        let keeper = {
            let (source, metrics) = (config.certs.clone(), metrics.clone());
            let provider = Arc::clone(&provider);
            let registered = engine.management.as_ref().map(|it| {
                let (client, place) = (it.client.clone(), it.place.clone());
                (
                    it.lifetime,
                    Trust::new(client, place, Arc::clone(&provider)),
                )
            });
            let open = move || Keeper::open(source, provider, metrics, registered);
            tokio::task::spawn_blocking(open).await??
        };
        let tls = tls::server_config(provider, keeper.resolver())?;
        let socket = bind(config.listen, "listen").await?;
        let admin_socket = bind(config.admin_listen, "adminListen").await?;
        let (address, admin_address) = (socket.1, admin_socket.1);
        let (stage, observed_stage) = channel::channel(Stage::Serving);
        let (admin_stage, observed_admin_stage) = channel::channel(Stage::Serving);

        let reloader = Reloader::new(engine.reload, metrics.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&keeper).keep().await);
        let published = engine.published;
        if engine.changes.is_some() || published.is_some() {
            tasks.spawn(Arc::clone(&reloader).follow(engine.changes, published.clone()));
        }

        let steward = engine.management.map(|management| {
            let place = (address, config.certs.clone());
            Steward::new(management, Arc::clone(&keeper), place, metrics.clone())
        });
        if let Some(announcements) = engine.announcements {
            let standing = steward.as_ref().map(|it| it.standing());
            tasks.spawn(herald::announce(announcements, standing));
        }
        if let Some(auditor) = engine.audit {
            let tenure = steward.as_ref().map(|it| (it.standing(), it.note()));
            tasks.spawn(auditor.run(tenure, metrics.clone(), observed_stage.clone()));
        }
        let readiness = {
            let (stage, steward) = (observed_stage.clone(), steward.clone());
            move || {
                let mut checks = vec![
                    serving(*stage.borrow()),
                    keeper.check(std::time::SystemTime::now()),
                    reloader.check(),
                ];
                checks.extend(keeper.check_trust(std::time::SystemTime::now()));
                checks.extend(published.as_ref().map(|it| reloader.check_published(it)));
                checks.extend(steward.as_ref().map(|steward| steward.check()));
                checks
            }
        };
        let admin_router =
            admin::router(&engine.admission, Arc::new(readiness), Arc::new(registry));
        let reviews = Reviews::new(
            engine.admission,
            config.limits.reviews.clone(),
            metrics.clone(),
            engine.tracer,
        );
        let webhook = Listener {
            socket: socket.0,
            name: "webhook",
            tls: Some(tls),
            limits: config.limits.connections.clone(),
            metrics: metrics.clone(),
        };
        let admin = Listener {
            socket: admin_socket.0,
            name: "admin",
            tls: None,
            limits: ConnectionLimits {
                open: ADMIN_CONNECTIONS,
                ..config.limits.connections.clone()
            },
            metrics,
        };
        let authority = match &config.certs {
            Certificates::Development(directory) => Some(directory.join(CA_CERTIFICATE_FILE)),
            Certificates::Mounted(_) | Certificates::Secret(_) => None,
        };
        let steward = steward.map(|steward| tokio::spawn(steward.run(observed_stage.clone())));
        Ok(Server {
            address,
            admin_address,
            authority,
            shutdown: config.shutdown.clone(),
            stage,
            admin_stage,
            webhook: tokio::spawn(webhook.run(routes::router(&reviews), observed_stage)),
            admin: tokio::spawn(admin.run(admin_router, observed_admin_stage)),
            steward,
            _tasks: tasks,
        })
    }

    /// Returns where reviews are answered, with the port the system chose if it was to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where operators are answered.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Returns the file with the development CA, if the certificate is from there.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// Serves until a signal, then leaves: `/readyz` fails at once, requests are taken for the
    /// grace period (not after [`Signal::Interrupt`]), then what is open is answered within the
    /// drain period. A second signal ends all that.
    pub async fn run(mut self, mut signals: Signals) -> Ended {
        let first = tokio::select! {
            signal = signals.next() => signal,
            _ = &mut self.webhook => return Ended::Failed,
            _ = &mut self.admin => return Ended::Failed,
        };
        let ended = tokio::select! {
            ended = self.leave(first) => ended,
            _ = signals.next() => Ended::Aborted,
        };
        match ended {
            Ended::Drained { dropped: 0 } => tracing::info!("ended"),
            Ended::Drained { dropped } => tracing::warn!(dropped, "ended before every answer"),
            Ended::Aborted => tracing::warn!("aborted by a second signal"),
            Ended::Failed => tracing::error!("a listener failed"),
        }
        ended
    }

    async fn leave(&mut self, signal: Signal) -> Ended {
        self.stage.send_replace(Stage::Leaving);
        if signal == Signal::Terminate && !self.shutdown.grace.is_zero() {
            tracing::info!(grace = ?self.shutdown.grace, "leaving; still answering");
            tokio::time::sleep(self.shutdown.grace).await;
        }
        tracing::info!(drain = ?self.shutdown.drain, "answering what is open");
        self.stage.send_replace(Stage::Draining);
        let drained = match timeout(self.shutdown.drain, &mut self.webhook).await {
            Ok(drained) => drained,
            Err(_elapsed) => {
                self.stage.send_replace(Stage::Stopped);
                (&mut self.webhook).await
            }
        };
        if let Some(steward) = &mut self.steward {
            // It has had the time since the signal; what it could not give up others wait for.
            if timeout(LEASE_RELEASE, &mut *steward).await.is_err() {
                steward.abort();
            }
        }
        // Probes and scrapers are answered until here.
        self.admin_stage.send_replace(Stage::Stopped);
        match (drained, (&mut self.admin).await) {
            (Ok(dropped), Ok(_)) => Ended::Drained { dropped },
            _ => Ended::Failed,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(steward) = &self.steward {
            steward.abort();
        }
        self.stage.send_replace(Stage::Stopped);
        self.admin_stage.send_replace(Stage::Stopped);
    }
}

async fn bind(
    address: SocketAddr,
    key: &'static str,
) -> Result<(tokio::net::TcpListener, SocketAddr), ServeError> {
    let bound = match Listener::bind(address).await {
        Ok(socket) => socket.local_addr().map(|address| (socket, address)),
        Err(problem) => Err(problem),
    };
    bound.map_err(|source| ServeError::Bind {
        address,
        key,
        source,
    })
}

fn serving(stage: Stage) -> Check {
    let outcome = match stage {
        Stage::Serving => Ok(String::new()),
        Stage::Leaving | Stage::Draining | Stage::Stopped => {
            Err("the server is shutting down".to_owned())
        }
    };
    Check::new("serving", outcome)
}
