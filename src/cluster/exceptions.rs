//! PolicyExceptions of the cluster, followed in the namespaces that the operator names, and the time by
//! which they end.
//!
//! Each object becomes a text that is read as a file is. Only what an author writes is taken over, and
//! under a name that cannot be taken for anything but a document: who may write an exception may
//! write nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::secret::watch_problem;
use crate::cel::value::Timestamp;
use crate::policy::exceptions::{GROUP, KIND, VERSION};
use crate::text::{Source, yaml};

/// The definition of the kind, as the chart installs it.
const DEFINITION: &str = include_str!("policyexceptions.yaml");

/// Returns the CustomResourceDefinition of the kind; `None` only if what is built in were no YAML.
pub fn definition() -> Option<Value> {
    let source = Source::new("policyexceptions.yaml", DEFINITION);
    let stream = yaml::parse_stream(&source);
    let document = stream
        .documents
        .first()
        .filter(|_| stream.errors.is_empty());
    document.map(|document| document.to_json())
}

/// Returns the time; `None` with a clock before 1970 or after 9999.
pub fn now() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let whole = Timestamp::from_seconds(i64::try_from(since.as_secs()).ok()?)?;
    Some(Timestamp {
        nanos: since.subsec_nanos(),
        ..whole
    })
}

/// Returns the text of an exception that lies in a namespace.
pub fn text(namespace: &str, name: &str, spec: Option<&Value>) -> Arc<Source> {
    let written = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    let text = serde_json::to_string_pretty(&written).unwrap_or_default();
    Source::new(format!("{ORIGIN}/{namespace}/{name}.json"), text)
}

/// The first wait after a failure; doubled with each further one up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The resource.
pub const PLURAL: &str = "policyexceptions";

/// What the names of all texts begin with.
const ORIGIN: &str = "policyexception";

/// The texts of PolicyExceptions; dropping it ends it.
pub struct ClusterExceptions {
    namespaces: Vec<Arc<Namespace>>,
    revision: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

/// One namespace.
struct Namespace {
    name: String,
    known: Mutex<Known>,
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    /// `None` before the first list.
    texts: Option<BTreeMap<String, Arc<Source>>>,
    /// Why they are not up to date, if they are not.
    problem: Option<String>,
}

impl ClusterExceptions {
    /// Begins to follow namespaces; must be called within a runtime.
    pub fn start(client: &Client, namespaces: &[String]) -> Self {
        let revision = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        let namespace = |name: &String| {
            Arc::new(Namespace {
                name: name.clone(),
                known: Mutex::default(),
                revision: revision.clone(),
            })
        };
        let namespaces: Vec<_> = namespaces.iter().map(namespace).collect();
        for namespace in &namespaces {
            tasks.spawn(Arc::clone(namespace).keep(client.clone()));
        }
        ClusterExceptions {
            namespaces,
            revision,
            _tasks: tasks,
        }
    }

    /// Returns the texts, and the origins of those that are not known yet.
    pub fn texts(&self) -> (Vec<Arc<Source>>, Vec<PathBuf>) {
        let (mut texts, mut unknown) = (Vec::new(), Vec::new());
        for namespace in &self.namespaces {
            match &namespace.known().texts {
                Some(known) => texts.extend(known.values().cloned()),
                None => unknown.push(PathBuf::from(ORIGIN).join(&namespace.name)),
            }
        }
        (texts, unknown)
    }

    /// Returns a channel that says when other texts are there.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Says in a few words what is known, or why nothing is.
    ///
    /// # Errors
    /// One of the namespaces has not been listed yet.
    pub fn state(&self) -> Result<String, String> {
        let states: Vec<String> = self
            .namespaces
            .iter()
            .map(|namespace| namespace.state())
            .collect::<Result<_, _>>()?;
        Ok(states.join(", "))
    }
}

impl Namespace {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Result<String, String> {
        let known = self.known();
        let problem = known.problem.as_ref().map(|it| format!(" ({it})"));
        let problem = problem.unwrap_or_default();
        let name = &self.name;
        match &known.texts {
            Some(texts) => Ok(format!("{} in `{name}`{problem}", texts.len())),
            None => Err(format!("those in `{name}` are not known yet{problem}")),
        }
    }

    async fn keep(self: Arc<Self>, client: Client) {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, KIND);
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.name, &resource);
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
        let mut wait = FIRST_WAIT;
        let mut texts: BTreeMap<String, Arc<Source>> = BTreeMap::new();
        let mut is_listing = true;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    wait = FIRST_WAIT;
                    match event {
                        Event::Init => {
                            texts.clear();
                            is_listing = true;
                        }
                        Event::InitDone => is_listing = false,
                        Event::InitApply(object) | Event::Apply(object) => {
                            let name = object.metadata.name.clone().unwrap_or_default();
                            let spec = object.data.get("spec");
                            texts.insert(name.clone(), text(&self.name, &name, spec));
                        }
                        Event::Delete(object) => {
                            texts.remove(&object.metadata.name.unwrap_or_default());
                        }
                    }
                    if !is_listing {
                        self.publish(&texts, None);
                    }
                }
                Err(problem) if is_unserved(&problem) => {
                    // A cluster without the kind has no exceptions.
                    texts.clear();
                    self.publish(
                        &texts,
                        Some("the cluster has no PolicyExceptions".to_owned()),
                    );
                    tokio::time::sleep(LONGEST_WAIT).await;
                }
                Err(problem) => {
                    let problem = watch_problem(&problem);
                    tracing::warn!("PolicyExceptions are not followed: {problem}");
                    self.known().problem = Some(problem);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    fn publish(&self, texts: &BTreeMap<String, Arc<Source>>, problem: Option<String>) {
        let mut known = self.known();
        known.problem = problem;
        let is_same = known.texts.as_ref().is_some_and(|known| {
            let same =
                |(a, b): (&Arc<Source>, &Arc<Source>)| a.name() == b.name() && a.text() == b.text();
            known.len() == texts.len() && known.values().zip(texts.values()).all(same)
        });
        if is_same {
            return;
        }
        known.texts = Some(texts.clone());
        drop(known);
        self.revision.send_modify(|revision| *revision += 1);
    }
}

/// Says whether the API server does not know the kind.
fn is_unserved(problem: &watcher::Error) -> bool {
    let code = match problem {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status)) => status.code,
        watcher::Error::WatchError(status) => status.code,
        _ => return false,
    };
    code == 404
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_installs_the_same_definition() {
        let chart = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/charts/portcullis/crds/policyexceptions.yaml"
        );
        assert_eq!(std::fs::read_to_string(chart).unwrap(), DEFINITION);
        let definition = definition().unwrap();
        assert_eq!(definition["spec"]["names"]["kind"], KIND);
        assert_eq!(definition["spec"]["names"]["plural"], PLURAL);
        assert_eq!(definition["spec"]["group"], GROUP);
        assert_eq!(definition["spec"]["versions"][0]["name"], VERSION);
    }
}
