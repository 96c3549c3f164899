//! The signals that end the server.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A request to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, by the kubelet: the cluster may still send requests for some time.
    Terminate,
    /// SIGINT, by a person at a terminal, who wants it to end soon.
    Interrupt,
}

/// Requests to end, in their order.
#[derive(Debug)]
pub struct Signals(mpsc::Receiver<Signal>);

impl Signals {
    /// Listens for SIGTERM and SIGINT, which from here on end nothing by themselves.
    pub fn of_process() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (sender, signals) = Signals::channel();
        // Ends with the receiver.
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = terminate.recv() => Signal::Terminate,
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    () = sender.closed() => return,
                };
                // The second one aborts; further ones have nothing to add.
                let _ = sender.try_send(signal);
            }
        });
        Ok(signals)
    }

    /// Takes signals from a sender instead, for a server inside another program.
    pub fn channel() -> (mpsc::Sender<Signal>, Self) {
        let (sender, receiver) = mpsc::channel(2);
        (sender, Signals(receiver))
    }

    /// Waits for the next signal; for ever once nobody can send one.
    pub async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}
