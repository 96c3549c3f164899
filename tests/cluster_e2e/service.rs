//! What stands between API servers and replicas in a cluster, both ways, without its network.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often a replica is asked whether it is ready; the chart has the kubelet ask every two seconds.
const PROBE: Duration = Duration::from_millis(200);
/// How long it may take to say so, as in the chart.
const PATIENCE: Duration = Duration::from_secs(2);

/// One address for several replicas, as kube-proxy makes one of a Service: new connections go, in
/// turns, to those that are ready, or to any if none is; open ones stay where they are; one that is
/// refused is not tried elsewhere.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    endpoints: Endpoints,
}

type Endpoints = Arc<Mutex<Vec<Endpoint>>>;

#[derive(Clone, Copy)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    pub(crate) is_ready: bool,
    /// How many connections it was sent, and how many of them have ended.
    pub(crate) routed: usize,
    pub(crate) ended: usize,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoints = Endpoints::default();
        let service = Service {
            address,
            endpoints: Arc::clone(&endpoints),
        };
        tokio::spawn(async move {
            let mut turn = 0;
            while let Ok((mut client, _)) = listener.accept().await {
                turn += 1;
                let Some(chosen) = choose(&endpoints, turn) else {
                    continue;
                };
                let endpoints = Arc::clone(&endpoints);
                tokio::spawn(async move {
                    if let Ok(mut server) = connect(chosen).await {
                        let _ = client.set_nodelay(true);
                        // Either side may end it.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                    change(&endpoints, chosen, |it| it.ended += 1);
                });
            }
        });
        service
    }

    /// Adds a replica, which gets connections once it is ready.
    pub(crate) fn add(&self, address: SocketAddr, admin: SocketAddr) {
        self.endpoints.lock().unwrap().push(Endpoint {
            address,
            is_ready: false,
            routed: 0,
            ended: 0,
        });
        let endpoints = Arc::clone(&self.endpoints);
        tokio::spawn(async move {
            loop {
                let answer = timeout(PATIENCE, readyz(admin)).await;
                let is_ready = answer.is_ok_and(|it| it.is_ok_and(|it| it));
                if !change(&endpoints, address, |it| it.is_ready = is_ready) {
                    return;
                }
                sleep(PROBE).await;
            }
        });
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        let mut endpoints = self.endpoints.lock().unwrap();
        endpoints.retain(|it| it.address != address);
    }

    pub(crate) fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let endpoints = self.endpoints.lock().unwrap();
        *endpoints.iter().find(|it| it.address == address).unwrap()
    }
}

/// Returns where the next connection goes.
fn choose(endpoints: &Endpoints, turn: usize) -> Option<SocketAddr> {
    let mut endpoints = endpoints.lock().unwrap();
    let is_any_ready = endpoints.iter().any(|it| it.is_ready);
    let mut candidates: Vec<&mut Endpoint> = endpoints
        .iter_mut()
        .filter(|it| it.is_ready || !is_any_ready)
        .collect();
    let at = turn.checked_rem(candidates.len())?;
    candidates[at].routed += 1;
    Some(candidates[at].address)
}

/// Changes an endpoint; says whether there is one.
fn change(endpoints: &Endpoints, address: SocketAddr, change: impl FnOnce(&mut Endpoint)) -> bool {
    let mut endpoints = endpoints.lock().unwrap();
    let endpoint = endpoints.iter_mut().find(|it| it.address == address);
    endpoint.map(change).is_some()
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn readyz(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = connect(admin).await?;
    let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

/// The way from a replica to the API server. While it is cut nothing that either side says arrives,
/// and neither is told so: what a network does that has come apart.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Link {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (whole, observed) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = connect(server).await else {
                    continue;
                };
                let _ = client.set_nodelay(true);
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, observed.clone()));
                tokio::spawn(pass(from_server, to_client, observed.clone()));
            }
        });
        Link { address, whole }
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

/// Passes on what comes, while the link is whole, until either side ends.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let is_gone = whole.wait_for(|whole| *whole).await.is_err();
        if is_gone || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
