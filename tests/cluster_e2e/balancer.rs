//! What a Service is: one address for several replicas, in turns; those that do not answer are left out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};

/// One address for several.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let balancer = Balancer {
            address: listener.local_addr().unwrap(),
            replicas: Arc::default(),
        };
        let replicas = Arc::clone(&balancer.replicas);
        tokio::spawn(async move {
            let turn = AtomicUsize::new(0);
            while let Ok((mut client, _)) = listener.accept().await {
                let mut replicas = replicas.lock().unwrap().clone();
                let count = replicas.len().max(1);
                replicas.rotate_left(turn.fetch_add(1, Ordering::Relaxed) % count);
                tokio::spawn(async move {
                    for replica in replicas {
                        if let Ok(mut server) = TcpStream::connect(replica).await {
                            // Either side may end it.
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                            return;
                        }
                    }
                });
            }
        });
        balancer
    }

    /// Sends connections to these replicas from here on.
    pub(crate) fn send_to(&self, replicas: impl IntoIterator<Item = SocketAddr>) {
        *self.replicas.lock().unwrap() = replicas.into_iter().collect();
    }
}
