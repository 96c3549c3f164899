//! The cluster as `serve` sees it: caches of what policies may read, and questions to its authorizer.
//!
//! What policies read is answered from memory ([`view::View`]); [`followed::Followed`] has a `cache` for
//! each kind, which follows the API server and keeps what policies read of it. What is denied to
//! controllers is written where people look for it ([`events::Events`]). Who may do what cannot be known
//! beforehand ([`access::Asker`]) and is asked for between two attempts to decide ([`inquiry::Inquiry`]).

pub mod access;
mod budget;
mod cache;
pub mod connect;
pub mod definitions;
pub mod events;
pub mod exceptions;
pub mod followed;
pub mod inquiry;
mod kept;
pub mod lease;
mod names;
pub mod published;
pub mod secret;
pub mod view;
mod weight;

use std::sync::Arc;

use kube::Client;
use tokio::runtime::Handle;

use crate::admission::review::AdmissionRequest;
pub use names::{ObjectName, is_name};

use access::{Answers, Asker};
use budget::Budget;
use definitions::{Definitions, Follower};
use followed::Followed;
use inquiry::Inquiry;
use view::View;

/// A connection to a cluster.
pub struct Cluster {
    client: Client,
    address: String,
    runtime: Handle,
    /// For all caches of what policies read.
    budget: Arc<Budget>,
    definitions: Follower,
    answers: Answers,
}

impl Cluster {
    /// Starts to follow the custom kinds of a cluster; what policies read may take so many bytes. Must
    /// be called within a runtime of several threads, which does the work.
    fn new(client: Client, address: String, cache_bytes: usize) -> Self {
        let runtime = Handle::current();
        Cluster {
            definitions: Follower::start(&runtime, client.clone()),
            client,
            address,
            runtime,
            budget: Budget::new(cache_bytes),
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

    /// Returns the custom kinds; `None` before they are known.
    pub fn definitions(&self) -> Option<Arc<Definitions>> {
        self.definitions.current()
    }

    /// Returns what is known at this moment of what is followed, and who answers what the user of a
    /// request may do, for one attempt to decide it.
    pub fn view<'c>(
        &'c self,
        followed: &'c Followed,
        inquiry: &'c Inquiry,
        request: &AdmissionRequest<'c>,
    ) -> (View<'c>, Asker<'c>) {
        (
            View::new(followed, inquiry.has_waited),
            Asker::new(&self.answers, &inquiry.told, request),
        )
    }

    /// Says what is known, or what is not known yet.
    ///
    /// # Errors
    /// Something has never been listed.
    pub fn readiness(&self, followed: &Followed) -> Result<String, String> {
        let states = followed.states().chain([self.definitions.state()]);
        let mut words = vec![self.address.clone()];
        let mut missing = Vec::new();
        for state in states {
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
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Cluster");
        shown
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
