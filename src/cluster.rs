//! The cluster as `serve` sees it: caches of what policies may read, and questions to its authorizer.
//!
//! What policies read is answered from memory ([`view::View`]); `cache` follows the API server. Who
//! may do what cannot be known beforehand and is asked for ([`access::Asker`]).

pub mod access;
mod cache;
pub mod connect;
pub mod definitions;
pub mod lease;
mod names;
pub mod published;
pub mod secret;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kube::Client;
use tokio::runtime::Handle;

use crate::admission::review::AdmissionRequest;
use crate::policy::model::ParamKind;
pub use names::{ObjectName, is_name};

use access::{Answers, Asker};
use cache::Cache;
use definitions::{Definitions, Follower};
use view::View;

/// A connection to a cluster, with the caches that policies need.
pub struct Cluster {
    client: Client,
    address: String,
    runtime: Handle,
    namespaces: Arc<Cache>,
    definitions: Follower,
    /// Of the kinds that are followed; exchanged as a whole.
    caches: arc_swap::ArcSwap<BTreeMap<ParamKind, Arc<Cache>>>,
    /// Held while the kinds change.
    changing: Mutex<()>,
    answers: Answers,
}

impl Cluster {
    /// Starts to follow a cluster. Must be called within a runtime of several threads, which does the
    /// work.
    fn new(client: Client, address: String) -> Self {
        let runtime = Handle::current();
        let namespaces = Cache::start(&runtime, client.clone(), namespace_kind());
        Cluster {
            namespaces: Arc::new(namespaces),
            definitions: Follower::start(&runtime, client.clone()),
            client,
            address,
            runtime,
            caches: arc_swap::ArcSwap::default(),
            changing: Mutex::new(()),
            answers: Answers::default(),
        }
    }

    /// Returns the address of the API server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns a client for it.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Follows these kinds and no others, beside namespaces.
    pub fn follow(&self, kinds: &BTreeSet<ParamKind>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.caches.load();
        let caches = kinds.iter().map(|kind| {
            let cache = match known.get(kind) {
                Some(cache) => Arc::clone(cache),
                None if *kind == namespace_kind() => Arc::clone(&self.namespaces),
                None => Arc::new(Cache::start(
                    &self.runtime,
                    self.client.clone(),
                    kind.clone(),
                )),
            };
            (kind.clone(), cache)
        });
        self.caches.store(Arc::new(caches.collect()));
    }

    /// Returns the custom kinds; `None` before they are known.
    pub fn definitions(&self) -> Option<Arc<Definitions>> {
        self.definitions.current()
    }

    /// Returns what is known at this moment, for one request.
    pub fn view(&self, deadline: Instant) -> View<'_> {
        View::new(self, deadline)
    }

    /// Returns who answers what the user of a request may do.
    pub fn asker(&self, request: &AdmissionRequest<'_>, deadline: Instant) -> Asker<'_> {
        Asker::new(self, request, deadline)
    }

    /// Says what is known, or what is not known yet.
    ///
    /// # Errors
    /// Something has never been listed.
    pub fn readiness(&self) -> Result<String, String> {
        let caches = self.caches.load();
        let caches = caches
            .values()
            .chain([&self.namespaces])
            .map(|cache| cache.state())
            .chain([self.definitions.state()]);
        let mut words = vec![self.address.clone()];
        let mut missing = Vec::new();
        for state in caches {
            match state {
                Ok(word) => words.push(word),
                Err(word) => missing.push(word),
            }
        }
        match missing.is_empty() {
            true => Ok(words.join("; ")),
            false => Err(format!("{}: {}", self.address, missing.join("; "))),
        }
    }

    /// Waits for something of the cluster, no longer than until `deadline`, on a thread of the runtime
    /// or any other.
    fn wait<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
        // Told beforehand, the runtime replaces a thread of its own.
        tokio::task::block_in_place(|| {
            let work = async { tokio::time::timeout_at(deadline.into(), work).await };
            self.runtime.block_on(work).ok()
        })
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Cluster");
        shown
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn namespace_kind() -> ParamKind {
    ParamKind {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
    }
}
