//! Follows the objects of one kind for good, and reads each as it comes.
//!
//! A watch that fails is taken up again, or begun anew with a list; until then what was known last is
//! what is known. A kind that the cluster does not serve is looked for again, at leisure: it comes with
//! another API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};

use super::{Entry, LABEL, Shared, Shelf, locked};
use crate::cluster::connect::described;
use crate::cluster::secret::watch_problem;
use crate::policy::model::PolicyKind;
use crate::sources::Carrier;

/// The first wait after a failure; doubled with each further one up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often a kind that is not served is looked for: API servers are changed by hand, and it takes
/// three small requests.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// How many objects are asked for at once; a ConfigMap may be a megabyte.
const PAGE: u32 = 50;
/// Most objects of a kind that are taken: ten times as many as clusters have that are known for it.
pub(super) const MOST_OBJECTS: usize = 10_000;
/// Most bytes of their texts together; sixty-four of the largest ConfigMaps.
const MOST_BYTES: usize = 64 << 20;

/// A kind whose objects hold policies, or put them in force.
pub(super) struct Kind {
    /// What its objects are called in a sentence.
    pub(super) words: String,
    pub(super) group: &'static str,
    /// The versions that can be read, the best first.
    pub(super) versions: &'static [&'static str],
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespace: Option<String>,
    /// The policies that its objects are.
    pub(super) holds: Option<PolicyKind>,
    /// The policies that its objects bind.
    pub(super) binds: Option<PolicyKind>,
    /// Reads an object, whose `apiVersion` is given.
    pub(super) read: fn(&Kind, &str, DynamicObject) -> Read,
}

/// What an object says.
pub(super) struct Read {
    pub(super) carrier: Carrier,
    /// The policy that a binding names.
    pub(super) names: Option<String>,
}

impl Kind {
    /// Returns what the names of all texts begin with.
    pub(super) fn origin(&self) -> PathBuf {
        let kind = self.kind.to_lowercase();
        match &self.namespace {
            Some(namespace) => Path::new(&kind).join(namespace),
            None => PathBuf::from(kind),
        }
    }

    /// Returns an object without what it holds.
    pub(super) fn carrier(&self, api_version: &str, object: &DynamicObject) -> Carrier {
        let metadata = &object.metadata;
        // Where there is one, the status changes only the other.
        let generation = metadata.generation.map(|it| it.to_string());
        Carrier {
            api_version: api_version.to_owned(),
            kind: self.kind.to_owned(),
            namespace: self.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            version: generation
                .or(metadata.resource_version.clone())
                .unwrap_or_default(),
            sources: Vec::new(),
            faults: Vec::new(),
            passed_over: Vec::new(),
        }
    }

    fn resource(&self, version: &str) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, version, self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    /// Returns the best version of the kind that the cluster serves.
    async fn served(&self, client: &Client) -> Result<Option<&'static str>, Error> {
        for &version in self.versions {
            if self.group.is_empty() {
                return Ok(Some(version));
            }
            let group = format!("{}/{version}", self.group);
            match client.list_api_group_resources(&group).await {
                Ok(list) if list.resources.iter().any(|it| it.name == self.plural) => {
                    return Ok(Some(version));
                }
                Ok(_) => {}
                Err(problem) if is_unknown(&problem) => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(None)
    }
}

/// The objects of a kind, within limits.
#[derive(Default)]
pub(super) struct Objects {
    by_name: BTreeMap<String, Entry>,
    bytes: usize,
    left_out: usize,
    /// The names that have come in a list that has not ended.
    listed: Option<BTreeSet<String>>,
}

impl Objects {
    /// Begins a list; what is known already stays for as long.
    fn begin_list(&mut self) {
        self.listed = Some(BTreeSet::new());
        self.left_out = 0;
    }

    /// Ends a list: what was not in it is gone. Says whether something is.
    fn end_list(&mut self) -> bool {
        let listed = self.listed.take().unwrap_or_default();
        let known = self.by_name.keys();
        let gone: Vec<String> = known.filter(|it| !listed.contains(*it)).cloned().collect();
        gone.iter().for_each(|name| self.remove(name));
        !gone.is_empty()
    }

    /// Takes an object over, unless it is more than is taken: then what was there of it stays.
    fn insert(&mut self, read: Read) {
        let name = read.carrier.name.clone();
        if let Some(listed) = &mut self.listed {
            listed.insert(name.clone());
        }
        let size = read.carrier.size_bytes();
        let known = self.by_name.get(&name);
        let freed = known.map_or(0, |it| it.carrier.size_bytes());
        let count = self.by_name.len() + usize::from(known.is_none());
        if count > MOST_OBJECTS || self.bytes - freed + size > MOST_BYTES {
            self.left_out += 1;
            return;
        }
        // Most changes are of the status, or of what nobody reads here.
        if known
            .is_some_and(|it| it.names == read.names && it.carrier.holds_the_same(&read.carrier))
        {
            return;
        }
        self.bytes = self.bytes - freed + size;
        let entry = Entry {
            carrier: Arc::new(read.carrier),
            names: read.names,
        };
        self.by_name.insert(name, entry);
    }

    fn remove(&mut self, name: &str) {
        if let Some(entry) = self.by_name.remove(name) {
            self.bytes -= entry.carrier.size_bytes();
        }
    }

    fn left_out(&self) -> usize {
        self.left_out
    }

    fn entries(&self) -> Vec<Entry> {
        self.by_name.values().cloned().collect()
    }
}

/// A wait that grows.
struct Wait(Duration);

impl Wait {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_WAIT);
    }
}

impl Shared {
    /// Follows the objects of one of the shelves.
    pub(super) async fn keep(self: Arc<Self>, at: usize, client: Client) {
        let Some(shelf) = self.shelves.get(at) else {
            return;
        };
        let mut wait = Wait(FIRST_WAIT);
        loop {
            match shelf.kind.served(&client).await {
                Ok(Some(version)) => {
                    wait = Wait(FIRST_WAIT);
                    // Ends when the kind is served no longer, or all is to be listed again.
                    self.follow(shelf, &client, version).await;
                    tokio::time::sleep(FIRST_WAIT).await;
                }
                Ok(None) => {
                    shelf.is_not_served();
                    self.show();
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(problem) => {
                    shelf.say(described(&problem));
                    wait.wait().await;
                }
            }
        }
    }

    async fn follow(&self, shelf: &Shelf, client: &Client, version: &str) {
        let resource = shelf.kind.resource(version);
        let api: Api<DynamicObject> = match &shelf.kind.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let mut config = watcher::Config::default().page_size(PAGE);
        if shelf.kind.binds.is_none() {
            config = config.labels(LABEL);
        }
        let mut events = std::pin::pin!(watcher(api, config));
        let mut wait = Wait(FIRST_WAIT);
        let mut objects = Objects::default();
        // A failure may come before the list begins.
        objects.begin_list();
        while let Some(event) = events.next().await {
            // What has come meanwhile is taken with it: shown once for all.
            let mut next = Some(event);
            let mut has_room = false;
            while let Some(event) = next.take() {
                match event {
                    Ok(event) => {
                        wait = Wait(FIRST_WAIT);
                        let api_version = &resource.api_version;
                        has_room |= apply(event, (&shelf.kind, api_version), &mut objects);
                        next = events.next().now_or_never().flatten();
                    }
                    Err(
                        watcher::Error::InitialListFailed(problem)
                        | watcher::Error::WatchStartFailed(problem),
                    ) if is_unknown(&problem) => {
                        return;
                    }
                    Err(problem) => {
                        shelf.say(watch_problem(&problem));
                        wait.wait().await;
                    }
                }
            }
            if objects.listed.is_none() {
                shelf.take(&objects);
                self.show();
            }
            // What was left out may have its place now.
            if has_room && objects.left_out() > 0 {
                return;
            }
        }
    }
}

impl Shelf {
    pub(super) fn take(&self, objects: &Objects) {
        let mut state = locked(&self.state);
        if state.problem.take().is_some() {
            tracing::info!("{} are followed again", self.kind.words);
        }
        state.is_absent = false;
        state.left_out = objects.left_out();
        state.entries = Some(objects.entries());
    }

    /// What was known before stays: of several API servers one may be older than the others.
    fn is_not_served(&self) {
        let mut state = locked(&self.state);
        state.is_absent = true;
        state.problem = match &state.entries {
            Some(entries) if !entries.is_empty() => {
                Some(format!("{} known before stay in force", entries.len()))
            }
            _ => None,
        };
        state.entries.get_or_insert_default();
    }

    fn say(&self, problem: String) {
        let mut state = locked(&self.state);
        if state.problem.as_ref() != Some(&problem) {
            tracing::warn!("{} are not followed: {problem}", self.kind.words);
            state.problem = Some(problem);
        }
    }
}

/// Takes an event over; says whether objects are gone.
pub(super) fn apply(
    event: Event<DynamicObject>,
    (kind, api_version): (&Kind, &str),
    objects: &mut Objects,
) -> bool {
    match event {
        Event::Init => objects.begin_list(),
        Event::InitDone => return objects.end_list(),
        Event::InitApply(object) | Event::Apply(object) => {
            objects.insert((kind.read)(kind, api_version, object));
        }
        Event::Delete(object) => {
            objects.remove(&object.metadata.name.unwrap_or_default());
            return true;
        }
    }
    false
}

/// Says whether the cluster says that it has no such kind.
fn is_unknown(problem: &Error) -> bool {
    matches!(problem, Error::Api(status) if status.code == 404)
}
