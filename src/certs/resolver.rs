//! The certificate that handshakes are answered with, swapped atomically.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// Answers each handshake with the pair set last; connections that are open keep theirs. Before there is
/// one, handshakes fail.
#[derive(Debug, Default)]
pub struct Resolver {
    current: ArcSwapOption<Pair>,
}

impl Resolver {
    /// Starts with `pair`.
    pub fn new(pair: Pair) -> Arc<Self> {
        Arc::new(Resolver {
            current: ArcSwapOption::from_pointee(pair),
        })
    }

    /// Serves `pair` from the next handshake on.
    pub fn replace(&self, pair: Pair) {
        self.current.store(Some(Arc::new(pair)));
    }

    /// Returns what is served, if there is something.
    pub fn current(&self) -> Option<Arc<Pair>> {
        self.current.load_full()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        current.as_ref().map(|pair| Arc::clone(&pair.certified))
    }
}
