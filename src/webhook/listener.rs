//! Accepts connections under a limit, and ends them when the server leaves.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{Connections, serve};
use super::limits::ConnectionLimits;
use crate::telemetry::metrics::Metrics;

/// How long accepting pauses after the system refused (no file descriptors left, most of the
/// time), so that the loop does not spin on the refusal.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Requests are welcome.
    Serving,
    /// Requests are answered while the cluster learns that others should be asked; answers under
    /// HTTP/1.1 close their connection, so that no client is left holding an idle one.
    Leaving,
    /// Nothing is accepted any more; what is open is answered, then closed.
    Draining,
    /// What is still open is dropped.
    Stopped,
}

/// Waits until `stage` is at least `wanted`; for ever if nobody can move it there any more.
pub async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    if stage.wait_for(|stage| *stage >= wanted).await.is_err() {
        pending::<()>().await;
    }
}

/// A bound socket with what its connections get.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// The name in metrics: `webhook` or `admin`.
    pub name: &'static str,
    /// The configuration of TLS; without it connections are plain.
    pub tls: Option<Arc<ServerConfig>>,
    /// The limits of connections.
    pub limits: ConnectionLimits,
    /// Where connections are counted.
    pub metrics: Metrics,
}

impl Listener {
    /// Binds `address`.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    /// Serves `router` until [`Stage::Draining`], then until the connections have ended or
    /// [`Stage::Stopped`]. Returns how many were dropped.
    pub async fn run(self, router: Router, mut stage: watch::Receiver<Stage>) -> usize {
        let permits = Arc::new(Semaphore::new(
            self.limits.open.clamp(1, Semaphore::MAX_PERMITS),
        ));
        let connections = Arc::new(Connections::new(
            self.name,
            self.tls,
            self.limits,
            self.metrics,
            router,
        ));
        let mut open = JoinSet::new();
        let start = |open: &mut JoinSet<()>, accepted: Accepted| {
            let connections = Arc::clone(&connections);
            let stage = stage.clone();
            open.spawn(async move {
                serve(&connections, accepted.stream, stage).await;
                drop(accepted.permit);
            });
        };
        let mut leaving = stage.clone();
        loop {
            tokio::select! {
                accepted = accept(&self.socket, &permits) => start(&mut open, accepted),
                Some(_) = open.join_next() => {}
                () = reached(&mut leaving, Stage::Draining) => break,
            }
        }
        // What the system has accepted for us already would be reset by closing the socket.
        while let Some(accepted) = accept_pending(&self.socket, &permits).await {
            start(&mut open, accepted);
        }
        drop(self.socket);
        loop {
            tokio::select! {
                ended = open.join_next() => if ended.is_none() { return 0 },
                () = reached(&mut stage, Stage::Stopped) => break,
            }
        }
        let dropped = open.len();
        open.shutdown().await;
        dropped
    }
}

struct Accepted {
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
}

/// Accepts the next connection once there is room for it.
async fn accept(socket: &TcpListener, permits: &Arc<Semaphore>) -> Accepted {
    let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
        // Nothing closes the semaphore.
        return pending().await;
    };
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return Accepted { stream, permit },
            Err(problem) => {
                tracing::warn!(%problem, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Accepts a connection that is waiting; `None` when there is none, or no room.
async fn accept_pending(socket: &TcpListener, permits: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(permits).try_acquire_owned().ok()?;
    tokio::select! {
        biased;
        accepted = socket.accept() => {
            let (stream, _) = accepted.ok()?;
            Some(Accepted { stream, permit })
        }
        () = std::future::ready(()) => None,
    }
}
