//! Reviews that never stop coming.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::client::{Client, Http, Serves};
use crate::support::process::respond;

/// Sends reviews until told to stop, over one connection of each version of HTTP. One that is not
/// answered, or not as it must be, fails the test.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts to send `body`. `check` makes a checker for each connection, which sees its responses
    /// in their order.
    pub(crate) async fn start<C>(server: &impl Serves, body: &Value, check: fn() -> C) -> Load
    where
        C: FnMut(&Value) + Send + 'static,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = Vec::new();
        for http in Http::BOTH {
            let mut client = Client::connect(server, http).await;
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let (body, mut check) = (body.clone(), check());
            clients.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    check(&respond(&mut client, "/validate", &body).await);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Load {
            stop,
            answered,
            clients,
        }
    }

    /// Stops, and asserts that there was load and that every answer was right.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every review was answered rightly");
        }
        let answered = self.answered.load(Ordering::Relaxed);
        assert!(answered > 20, "{answered} answers are no load");
    }
}
