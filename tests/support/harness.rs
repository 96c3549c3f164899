//! Starts the server with a configuration of the test's, on ports the system chooses.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis::serve::config::{Certificates, Config};
use portcullis::serve::shutdown::{Signal, Signals};
use portcullis::serve::watch::{Source, Watch};
use portcullis::serve::{Ended, Engine, Reload, Server};
use portcullis::telemetry::metrics::Metrics;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::admission::Scripted;
use super::client::Serves;

/// A running server.
pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The PEM file with the CA that clients are to trust.
    pub(crate) authority: PathBuf,
    pub(crate) admission: Arc<Scripted>,
    pub(crate) signals: mpsc::Sender<Signal>,
    running: JoinHandle<Ended>,
    folder: TempDir,
}

impl Harness {
    /// Starts a server with the defaults.
    pub(crate) async fn start() -> Harness {
        Harness::start_with(|_, _| {}).await
    }

    /// Starts a server after `adjust` has changed its configuration; the path is that of a folder
    /// of the test's own.
    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Config, &Path)) -> Harness {
        let folder = TempDir::new().unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            certs: Certificates::Development(folder.path().join("dev")),
            policies: vec![folder.path().join("policies")],
            ..Config::default()
        };
        fs::create_dir(folder.path().join("policies")).unwrap();
        config.shutdown.grace = Duration::ZERO;
        adjust(&mut config, folder.path());
        let admission = Scripted::new();
        let changes = Watch::start(config.policies.clone(), Source::Notifications).await;
        let engine = Engine {
            admission: Arc::clone(&admission),
            changes: Some(changes),
            reload: reload(Arc::clone(&admission), config.policies.clone()),
            management: None,
            audit: None,
            published: None,
            announcements: None,
            tracer: None,
        };
        let server = Server::start(&config, engine, Metrics::registry())
            .await
            .expect("the server starts");
        let (signals, received) = Signals::channel();
        Harness {
            address: server.address(),
            admin: server.admin_address(),
            authority: config.certs.directory().unwrap().join("ca.crt"),
            admission,
            signals,
            running: tokio::spawn(server.run(received)),
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(&mut self) -> Ended {
        let ended = tokio::time::timeout(super::BOUND, &mut self.running).await;
        ended.expect("the server ends").expect("it does not panic")
    }

    /// Ends the server as a person at a terminal does, and expects that nothing was dropped.
    pub(crate) async fn stop(mut self) {
        self.signals.send(Signal::Interrupt).await.unwrap();
        assert_eq!(self.ended().await, Ended::Drained { dropped: 0 });
    }
}

impl Serves for Harness {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn authority(&self) -> &Path {
        &self.authority
    }
}

/// Reads the file `generation` in the first folder of policies; what is no number fails.
fn reload(admission: Arc<Scripted>, policies: Vec<PathBuf>) -> Box<Reload> {
    Box::new(move || {
        let text = fs::read_to_string(policies[0].join("generation"));
        let text = text.map_err(|problem| problem.to_string())?;
        let generation = text.trim().parse().map_err(|_| "not a number".to_owned())?;
        admission.generation.store(generation, Ordering::SeqCst);
        Ok(format!("generation {generation}"))
    })
}
