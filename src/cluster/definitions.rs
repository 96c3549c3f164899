//! The custom kinds of a cluster, as its CustomResourceDefinitions say: their versions, where their
//! numbers are, and what they look like.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;
use futures_util::{FutureExt, StreamExt};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Error};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::admission::resources::Resources;
use crate::schema::Schemas;

/// How many definitions are asked for at once; each is up to a megabyte.
const PAGE: u32 = 50;

/// The custom kinds at one moment.
#[derive(Debug, Default)]
pub struct Definitions {
    texts: Vec<Arc<str>>,
    resources: Resources,
    schemas: OnceLock<Schemas>,
}

impl Definitions {
    fn of(texts: &Texts) -> Self {
        let mut resources = Resources::default();
        for crd in texts.values().filter_map(|text| read(text)) {
            // What defines no resource is none.
            let _ = resources.define(&crd);
        }
        Definitions {
            texts: texts.values().cloned().collect(),
            resources,
            schemas: OnceLock::new(),
        }
    }

    /// Returns the resources of all kinds, Kubernetes' own included.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// Returns what all kinds look like; read at its first use, which only mutations make.
    pub fn schemas(&self) -> &Schemas {
        self.schemas.get_or_init(|| {
            let mut schemas = Schemas::built_in_shared().clone();
            for crd in self.texts.iter().filter_map(|text| read(text)) {
                // A kind without a schema is one that nothing can be merged into.
                let _ = schemas.define(&crd);
            }
            schemas
        })
    }
}

/// By name, in JSON: parsed, they would take ten times the memory.
type Texts = BTreeMap<String, Arc<str>>;

/// Follows the definitions of a cluster; dropping it ends it.
pub(super) struct Follower {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    current: ArcSwapOption<Definitions>,
    /// Why it is not up to date, if it is not.
    problem: Mutex<Option<String>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    /// Begins to follow.
    pub(super) fn start(runtime: &Handle, client: Client) -> Self {
        let shared = Arc::new(Shared::default());
        let task = runtime.spawn(Arc::clone(&shared).keep(client));
        Follower { shared, task }
    }

    /// Returns what is known; `None` before the first list.
    pub(super) fn current(&self) -> Option<Arc<Definitions>> {
        self.shared.current.load_full()
    }

    /// Says in a few words what is known, or why nothing is.
    pub(super) fn state(&self) -> Result<String, String> {
        let problem = self.shared.problem.lock();
        let problem = problem.unwrap_or_else(PoisonError::into_inner);
        let problem = problem.as_ref().map(|it| format!(" ({it})"));
        let problem = problem.unwrap_or_default();
        match &*self.shared.current.load() {
            Some(known) => Ok(format!("{} custom kinds{problem}", known.texts.len())),
            None => Err(format!("custom kinds are not known yet{problem}")),
        }
    }
}

impl Shared {
    async fn keep(self: Arc<Self>, client: Client) {
        let events = watcher(api(client), watcher::Config::default().page_size(PAGE));
        let mut events = std::pin::pin!(events.default_backoff());
        let mut texts = Texts::default();
        let mut is_listing = true;
        while let Some(event) = events.next().await {
            // What has come meanwhile is taken with it: read once for all.
            let mut next = Some(event);
            let mut has_changed = false;
            while let Some(event) = next.take() {
                match event {
                    Ok(event) => {
                        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        has_changed |= apply(event, &mut texts, &mut is_listing);
                        next = events.next().now_or_never().flatten();
                    }
                    Err(problem) => {
                        tracing::warn!("the definitions of custom kinds are not known: {problem}");
                        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(problem.to_string());
                    }
                }
            }
            if has_changed && !is_listing {
                self.publish(&texts);
            }
        }
    }

    fn publish(&self, texts: &Texts) {
        // Reading many definitions takes as long as many reviews.
        tokio::task::block_in_place(|| {
            let definitions = Definitions::of(texts);
            let previous = self.current.load();
            if previous
                .as_ref()
                .is_some_and(|it| it.schemas.get().is_some())
            {
                definitions.schemas();
            }
            self.current.store(Some(Arc::new(definitions)));
        });
    }
}

/// Takes an event over; says whether something is different, or is known for the first time.
fn apply(event: Event<DynamicObject>, texts: &mut Texts, is_listing: &mut bool) -> bool {
    match event {
        Event::Init => {
            texts.clear();
            *is_listing = true;
            false
        }
        Event::InitDone => {
            *is_listing = false;
            true
        }
        Event::InitApply(object) | Event::Apply(object) => {
            let name = object.metadata.name.clone().unwrap_or_default();
            let text: Arc<str> = Arc::from(reduced(object).to_string());
            // Most changes are of the status.
            if texts.get(&name) == Some(&text) {
                return false;
            }
            texts.insert(name, text);
            true
        }
        Event::Delete(object) => texts
            .remove(&object.metadata.name.unwrap_or_default())
            .is_some(),
    }
}

/// What counts of a definition: its `spec` without descriptions.
pub fn reduced(object: DynamicObject) -> Value {
    let mut data = object.data;
    let mut spec = data.get_mut("spec").map(Value::take).unwrap_or_default();
    let versions = spec.get_mut("versions").and_then(Value::as_array_mut);
    for version in versions.into_iter().flatten() {
        if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
            strip(schema);
        }
    }
    serde_json::json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": object.metadata.name},
        "spec": spec,
    })
}

/// Removes the descriptions of a schema, as deep as JSON is read; a property may have that name.
fn strip(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        return;
    };
    if fields.get("description").is_some_and(Value::is_string) {
        fields.remove("description");
    }
    for (field, value) in fields {
        match (field.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(strip),
            ("items" | "additionalProperties", schema) => strip(schema),
            _ => {}
        }
    }
}

fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn api(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let resource = ApiResource::from_gvk_with_plural(&kind, "customresourcedefinitions");
    Api::all_with(client, &resource)
}

/// Asks a cluster for its definitions, once.
///
/// # Errors
/// The cluster does not answer, or does not let us list them.
pub async fn list(client: Client) -> Result<Vec<Value>, Error> {
    let api = api(client);
    let mut found = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        found.extend(page.items.into_iter().map(reduced));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_definition_is_kept_without_descriptions_but_with_a_field_of_that_name() {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "ratios.example.com", "generation": 3},
            "spec": {
                "group": "example.com",
                "names": {"kind": "Ratio", "plural": "ratios"},
                "scope": "Cluster",
                "versions": [{"name": "v1", "served": true, "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "a ratio",
                    "properties": {
                        "description": {"type": "string", "description": "what it is"},
                        "ratio": {"type": "number"},
                    },
                }}}],
            },
            "status": {"conditions": []},
        });
        let object: DynamicObject = serde_json::from_value(definition).unwrap();
        let mut texts = Texts::default();
        let mut is_listing = true;
        for event in [
            Event::Init,
            Event::InitApply(object.clone()),
            Event::InitDone,
        ] {
            apply(event, &mut texts, &mut is_listing);
        }
        let properties = json!({"description": {"type": "string"}, "ratio": {"type": "number"}});
        let kept = read(&texts["ratios.example.com"]).unwrap();
        let at = "/spec/versions/0/schema/openAPIV3Schema/properties";
        assert_eq!(kept.pointer(at), Some(&properties));

        let definitions = Definitions::of(&texts);
        let resource = definitions
            .resources()
            .by_kind("example.com/v1", "Ratio")
            .resource;
        assert_eq!(resource, "ratios");
        let numbers = definitions
            .resources()
            .numbers("example.com", "v1", "Ratio");
        assert!(numbers.is_some());
        let kind = crate::schema::Kind {
            group: "example.com".to_owned(),
            version: "v1".to_owned(),
            kind: "Ratio".to_owned(),
        };
        assert!(definitions.schemas().kind(&kind).is_some());
        // Of a change that is about the status only nothing is made.
        assert!(!apply(Event::Apply(object), &mut texts, &mut is_listing));
    }
}
