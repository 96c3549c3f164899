//! The certificate that handshakes are answered with, swapped atomically.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// Answers each handshake with the pair set last; connections that are open keep theirs.
#[derive(Debug)]
pub struct Resolver {
    current: ArcSwap<Pair>,
}

impl Resolver {
    /// Starts with `pair`.
    pub fn new(pair: Pair) -> Arc<Self> {
        Arc::new(Resolver {
            current: ArcSwap::from_pointee(pair),
        })
    }

    /// Serves `pair` from the next handshake on.
    pub fn replace(&self, pair: Pair) {
        self.current.store(Arc::new(pair));
    }

    /// Returns what is served.
    pub fn current(&self) -> Arc<Pair> {
        self.current.load_full()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
}
