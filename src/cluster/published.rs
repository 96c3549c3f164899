//! Policies in ConfigMaps of one namespace, followed: those with the label `portcullis.dev/policy`.
//!
//! One namespace, because a policy decides for the whole cluster: who may write ConfigMaps there may
//! write policies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::secret::watch_problem;
use crate::sources::is_policy;
use crate::text::Source;

/// The label that says so; its value is the author's.
pub const LABEL: &str = "portcullis.dev/policy";
/// The first wait after a failure; doubled with each further one up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The texts of policies in ConfigMaps; dropping it ends it.
pub struct Published {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    namespace: String,
    /// `None` before the first list.
    current: ArcSwapOption<Vec<Arc<Source>>>,
    /// Why it is not up to date, if it is not.
    problem: Mutex<Option<String>>,
    revision: watch::Sender<u64>,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Published {
    /// Begins to follow the ConfigMaps of a namespace; must be called within a runtime.
    pub fn start(client: Client, namespace: String) -> Self {
        let shared = Arc::new(Shared {
            namespace,
            current: ArcSwapOption::empty(),
            problem: Mutex::new(None),
            revision: watch::Sender::new(0),
        });
        let task = tokio::spawn(Arc::clone(&shared).keep(client));
        Published { shared, task }
    }

    /// Returns the texts; `None` before they are known.
    pub fn texts(&self) -> Option<Arc<Vec<Arc<Source>>>> {
        self.shared.current.load_full()
    }

    /// Returns what the names of all texts begin with.
    pub fn origin(&self) -> PathBuf {
        Path::new("configmap").join(&self.shared.namespace)
    }

    /// Returns a channel that says when other texts are there.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// Says in a few words what is known, or why nothing is.
    ///
    /// # Errors
    /// Nothing has been listed yet.
    pub fn state(&self) -> Result<String, String> {
        let problem = self.shared.problem.lock();
        let problem = problem.unwrap_or_else(PoisonError::into_inner);
        let problem = problem.as_ref().map(|it| format!(" ({it})"));
        let problem = problem.unwrap_or_default();
        let namespace = &self.shared.namespace;
        match &*self.shared.current.load() {
            Some(texts) => Ok(format!(
                "{} of ConfigMaps in `{namespace}`{problem}",
                texts.len()
            )),
            None => Err(format!(
                "those of ConfigMaps in `{namespace}` are not known yet{problem}"
            )),
        }
    }
}

impl Shared {
    async fn keep(self: Arc<Self>, client: Client) {
        let api: Api<ConfigMap> = Api::namespaced(client, &self.namespace);
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default().labels(LABEL)));
        let mut wait = FIRST_WAIT;
        let mut maps: BTreeMap<String, Vec<Arc<Source>>> = BTreeMap::new();
        let mut is_listing = true;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    wait = FIRST_WAIT;
                    self.say(None);
                    match event {
                        Event::Init => {
                            maps.clear();
                            is_listing = true;
                        }
                        Event::InitDone => is_listing = false,
                        Event::InitApply(map) | Event::Apply(map) => {
                            let name = map.metadata.name.clone().unwrap_or_default();
                            maps.insert(name.clone(), self.read(&name, map));
                        }
                        Event::Delete(map) => {
                            maps.remove(&map.metadata.name.unwrap_or_default());
                        }
                    }
                    if !is_listing {
                        self.publish(&maps);
                    }
                }
                Err(problem) => {
                    let problem = watch_problem(&problem);
                    tracing::warn!("policies in ConfigMaps are not followed: {problem}");
                    self.say(Some(problem));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Each key that is named as a file of policies is one.
    fn read(&self, name: &str, map: ConfigMap) -> Vec<Arc<Source>> {
        let data = map.data.unwrap_or_default().into_iter();
        let policies = data.filter(|(key, _)| is_policy(Path::new(key)));
        let read = |(key, text): (String, String)| {
            let origin = format!("configmap/{}/{name}/{key}", self.namespace);
            Source::new(origin, text)
        };
        policies.map(read).collect()
    }

    fn publish(&self, maps: &BTreeMap<String, Vec<Arc<Source>>>) {
        let texts: Vec<Arc<Source>> = maps.values().flatten().cloned().collect();
        let same = |a: &Arc<Source>, b: &Arc<Source>| a.name() == b.name() && a.text() == b.text();
        if let Some(current) = &*self.current.load()
            && current.len() == texts.len()
            && current.iter().zip(&texts).all(|(a, b)| same(a, b))
        {
            return;
        }
        self.current.store(Some(Arc::new(texts)));
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn say(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}
