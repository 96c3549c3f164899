//! Policies that are published in the cluster, followed: what has the label `portcullis.dev/policy`.
//!
//! ConfigMaps of one namespace, because a policy decides for the whole cluster: who may write ConfigMaps
//! there may write policies. And the admission policies of `admissionregistration.k8s.io`, with the
//! bindings that name them, which only those may write who may do so anyway.

mod config_maps;
mod follow;
mod objects;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use rustc_hash::FxHashSet;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::diagnostics::Diagnostic;
use crate::policy::model::PolicyKind;
use crate::sources::Carrier;
use follow::Kind;

/// The label that says so; its value is the author's.
pub const LABEL: &str = "portcullis.dev/policy";

/// What of a cluster holds policies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The namespace of the ConfigMaps.
    pub namespace: Option<String>,
    /// Whether admission policies with the label are among it.
    pub objects: bool,
}

/// The texts of policies in a cluster; dropping it ends it.
pub struct Published {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// What is published at one time.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The objects, in order.
    pub carriers: Vec<Arc<Carrier>>,
    /// What the names of all texts begin with that are not known yet.
    pub unread: Vec<PathBuf>,
    /// What is wrong besides.
    pub problems: Vec<Diagnostic>,
}

struct Shared {
    shelves: Vec<Shelf>,
    /// What is to be seen; changes as a whole.
    visible: Mutex<Visible>,
    revision: watch::Sender<u64>,
}

/// What is followed of one kind.
struct Shelf {
    kind: Kind,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` before the first list.
    entries: Option<Vec<Entry>>,
    /// Whether the cluster serves the kind.
    is_absent: bool,
    /// Objects that are more than is taken.
    left_out: usize,
    /// Why it is not up to date, if it is not.
    problem: Option<String>,
}

/// An object of a kind.
#[derive(Clone)]
struct Entry {
    carrier: Arc<Carrier>,
    /// The policy that a binding names.
    names: Option<String>,
}

#[derive(Default, PartialEq)]
struct Visible {
    carriers: Vec<Arc<Carrier>>,
    known: usize,
    left_out: usize,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Published {
    /// Begins to follow what is wanted; `None` if nothing is. Must be called within a runtime.
    pub fn start(client: &Client, wanted: &Wanted) -> Option<Self> {
        let config_maps = wanted.namespace.iter().cloned().map(config_maps::kind);
        let objects = objects::kinds().into_iter().filter(|_| wanted.objects);
        let shelves: Vec<Shelf> = config_maps.chain(objects).map(Shelf::new).collect();
        if shelves.is_empty() {
            return None;
        }
        let count = shelves.len();
        let shared = Arc::new(Shared {
            shelves,
            visible: Mutex::default(),
            revision: watch::Sender::new(0),
        });
        let follow = |at| tokio::spawn(Arc::clone(&shared).keep(at, client.clone()));
        let tasks = (0..count).map(follow).collect();
        Some(Published { shared, tasks })
    }

    /// Returns what is known.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            carriers: locked(&self.shared.visible).carriers.clone(),
            ..Snapshot::default()
        };
        for shelf in &self.shared.shelves {
            let state = locked(&shelf.state);
            if state.entries.is_none() {
                snapshot.unread.push(shelf.kind.origin());
            }
            snapshot.problems.extend(shelf.too_many(state.left_out));
        }
        snapshot
    }

    /// Says whether everything was listed once.
    pub fn is_known(&self) -> bool {
        let mut shelves = self.shared.shelves.iter();
        shelves.all(|it| locked(&it.state).entries.is_some())
    }

    /// Returns a channel that says when something else is there.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// Says in a few words what is known, or why something is not.
    ///
    /// # Errors
    /// Something has never been listed.
    pub fn state(&self) -> Result<String, String> {
        let states: Vec<_> = self.shared.shelves.iter().map(Shelf::words).collect();
        let missing: Vec<&str> = states
            .iter()
            .filter_map(|it| it.as_ref().err().map(String::as_str))
            .collect();
        match missing.is_empty() {
            true => Ok(states
                .into_iter()
                .filter_map(Result::ok)
                .collect::<Vec<_>>()
                .join("; ")),
            false => Err(missing.join("; ")),
        }
    }
}

impl Shared {
    /// Shows what is known, if it is something else: of the bindings those that name a policy.
    fn show(&self) {
        let mut visible = locked(&self.visible);
        let mut next = Visible::default();
        let mut names: FxHashSet<(PolicyKind, String)> = FxHashSet::default();
        // The kinds of policies come before those of their bindings.
        for shelf in &self.shelves {
            let state = locked(&shelf.state);
            next.left_out += state.left_out;
            let Some(entries) = &state.entries else {
                continue;
            };
            next.known += 1;
            for Entry { carrier, names: of } in entries {
                if let (Some(kind), Some(of)) = (shelf.kind.binds, of)
                    && !names.contains(&(kind, of.clone()))
                {
                    continue;
                }
                if let Some(kind) = shelf.kind.holds {
                    names.insert((kind, carrier.name.clone()));
                }
                next.carriers.push(Arc::clone(carrier));
            }
        }
        if *visible != next {
            *visible = next;
            self.revision.send_modify(|revision| *revision += 1);
        }
    }
}

impl Shelf {
    fn new(kind: Kind) -> Self {
        Shelf {
            kind,
            state: Mutex::default(),
        }
    }

    /// Says in a few words what is known, or why nothing is.
    fn words(&self) -> Result<String, String> {
        let state = locked(&self.state);
        let problem = state.problem.as_ref().map(|it| format!(" ({it})"));
        let problem = problem.unwrap_or_default();
        let what = &self.kind.words;
        match &state.entries {
            Some(_) if state.is_absent => Ok(format!("{what} are not served{problem}")),
            Some(entries) => Ok(format!("{} {what}{problem}", entries.len())),
            None => Err(format!("{what} are not known yet{problem}")),
        }
    }

    /// The finding about what is more than is taken.
    fn too_many(&self, left_out: usize) -> Option<Diagnostic> {
        let what = &self.kind.words;
        let message = format!("{left_out} of {what} are more than is taken, and not in force");
        let problem = Diagnostic::error("published/too-many", message);
        let help = "of each kind 10,000 objects are read, and 64 MiB";
        (left_out > 0).then(|| problem.help(help))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
