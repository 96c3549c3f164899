//! The network of a cluster, as far as an API server needs one: what it asks for by the address of a
//! Service leads to what is behind that.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// Longer than the head of any request for a connection.
const MOST_BYTES: usize = 4096;

pub(crate) struct Network {
    folder: TempDir,
    addresses: Arc<Mutex<HashMap<String, SocketAddr>>>,
}

impl Network {
    pub(crate) async fn start() -> Self {
        let network = Network {
            folder: TempDir::new().unwrap(),
            addresses: Arc::default(),
        };
        let listener = UnixListener::bind(network.socket()).unwrap();
        let addresses = Arc::clone(&network.addresses);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // What breaks is for its two ends to notice.
                tokio::spawn(pass(client, Arc::clone(&addresses)));
            }
        });
        network
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("network")
    }

    /// Lets the address of a Service lead to a server.
    pub(crate) fn lead(&self, cluster_ip: &str, behind: SocketAddr) {
        let mut addresses = self.addresses.lock().unwrap();
        addresses.insert(format!("{cluster_ip}:443"), behind);
    }

    /// Lets a Service lead to a server; returns it as an object.
    pub(crate) fn service(
        &self,
        (namespace, name): (&str, &str),
        cluster_ip: &str,
        behind: SocketAddr,
    ) -> Value {
        self.lead(cluster_ip, behind);
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": cluster_ip, "ports": [{"name": "webhook", "port": 443}]},
        })
    }
}

async fn pass(
    mut client: UnixStream,
    addresses: Arc<Mutex<HashMap<String, SocketAddr>>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MOST_BYTES {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let behind = addresses.lock().unwrap().get(target).copied();
    let server = match behind {
        Some(behind) => TcpStream::connect(behind).await,
        None => Err(io::ErrorKind::NotFound.into()),
    };
    let Ok(mut server) = server else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    };
    server.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
