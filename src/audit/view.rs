//! The cluster as a scanned object sees it: with all others, and without itself, as when it was created.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bumpalo::Bump;
use serde::Deserialize;
use serde_json::Value;

use super::list::{Ask, ListError, Lister};
use super::scan::{self, whole_text};
use super::served::Discovery;
use crate::cel::function::{Lookup, ObjectName};
use crate::engine::cluster::{ClusterView, Known, Params};
use crate::json::{self, Json};
use crate::manifest::Key;
use crate::manifest::neighbours::{Neighbours, Others};
use crate::policy::model::{Form, Origin, ParamKind, ParamObject, PolicyScope};
use crate::policy::set::PolicySet;
use crate::text::{Source, Span};

/// What scanned objects see of the cluster.
pub trait World: Sync {
    /// Does something with the cluster as it is for one of its objects; `None` is nobody in particular.
    /// Says whether everything was known that was asked for: if not, what came of it must not be used.
    fn look(&self, object: Option<Key<'_>>, then: &mut dyn FnMut(&dyn ClusterView)) -> bool;
}

/// The objects of the kinds that policies read, listed once.
#[derive(Debug, Default)]
pub struct Texts {
    kinds: BTreeMap<ParamKind, Listed>,
    /// The kinds that could not be listed, and why.
    pub problems: Vec<(ParamKind, ListError)>,
}

/// The objects of a kind as JSON.
#[derive(Debug)]
struct Listed {
    texts: Vec<String>,
    is_namespaced: bool,
}

/// The kinds that the policies of a set read: those about requests, about the cluster, or both.
pub fn kinds(set: &PolicySet, scopes: &[PolicyScope]) -> BTreeSet<ParamKind> {
    let policies = set.policies().iter().map(|it| &it.policy);
    let policies = policies.filter(|it| scopes.contains(&it.scope));
    let read = policies.flat_map(|policy| {
        let read = policy.reads.iter().map(|it| (&it.api_version, &it.kind));
        let params = policy.param_kind.iter();
        read.chain(params.map(|it| (&it.api_version, &it.kind)))
    });
    read.map(|(api_version, kind)| ParamKind {
        api_version: api_version.clone(),
        kind: kind.clone(),
    })
    .collect()
}

/// The kind of namespaces, which every object in one may ask for.
pub fn namespace_kind() -> ParamKind {
    ParamKind {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
    }
}

impl Texts {
    /// Lists these kinds; those that the cluster does not serve have no objects, and those that would
    /// take more bytes than there are for all are a problem.
    pub async fn list(
        lister: &Lister,
        discovery: &Discovery,
        kinds: &BTreeSet<ParamKind>,
        mut most_bytes: usize,
    ) -> Texts {
        let mut listed = Texts::default();
        for kind in kinds {
            match list_kind(lister, discovery, kind, &mut most_bytes).await {
                Ok(Some(objects)) => {
                    listed.kinds.insert(kind.clone(), objects);
                }
                Ok(None) => {}
                Err(problem) => listed.problems.push((kind.clone(), problem)),
            }
        }
        listed
    }

    /// Returns the names of the objects of a kind; none if it could not be listed.
    pub fn names(&self, kind: &ParamKind) -> Vec<String> {
        #[derive(Deserialize)]
        struct Named {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            name: String,
        }
        let texts = self.kinds.get(kind).map(|it| &it.texts[..]);
        let named = texts.unwrap_or_default().iter();
        // The API server gives a name to each.
        let named = named.filter_map(|text| serde_json::from_str::<Named>(text).ok());
        named.map(|it| it.metadata.name).collect()
    }
}

async fn list_kind(
    lister: &Lister,
    discovery: &Discovery,
    kind: &ParamKind,
    most_bytes: &mut usize,
) -> Result<Option<Listed>, ListError> {
    let Some(served) = discovery.kind(&kind.api_version, &kind.kind) else {
        return Ok(None);
    };
    let (_, version) = crate::admission::resources::split(&kind.api_version);
    let mut listed = Listed {
        texts: Vec::new(),
        is_namespaced: served.is_namespaced,
    };
    let mut restarts = 0;
    let mut ask = Ask::first(served.path(version, None));
    loop {
        let page = match lister.page(ask.clone()).await {
            Ok(page) => page,
            Err(ListError::Expired { token }) if token.is_some() || restarts < scan::RESTARTS => {
                restarts += 1;
                if restarts <= scan::RESTARTS {
                    listed.texts.clear();
                    ask.token = None;
                } else {
                    ask.token = token;
                }
                continue;
            }
            Err(ListError::Unknown) => return Ok(None),
            Err(problem) => return Err(problem),
        };
        for item in page.items()? {
            let text = whole_text(item, &kind.api_version, &kind.kind).into_owned();
            *most_bytes = most_bytes.checked_sub(text.len()).ok_or_else(|| {
                ListError::Refused("there are more objects than can be held".to_owned())
            })?;
            listed.texts.push(text);
        }
        match page.token {
            Some(token) => ask.token = Some(token),
            None => return Ok(Some(listed)),
        }
        ask.limit = page.next_limit;
    }
}

/// What was listed, parsed.
#[derive(Debug)]
pub struct Snapshot<'j> {
    neighbours: Neighbours<'j>,
    /// By kind, with whether it is namespaced, the objects that may be parameters.
    params: BTreeMap<ParamKind, (Known, bool)>,
}

impl<'j> Snapshot<'j> {
    /// Parses what was listed for these policies.
    pub fn new(arena: &'j Bump, texts: &'j Texts, set: &PolicySet) -> Self {
        let all = texts.kinds.values().flat_map(|listed| &listed.texts);
        // What cannot be read cannot be looked up: it is nested deeper than any object that was accepted.
        let neighbours = Neighbours::new(all.filter_map(|text| json::parse_text(arena, text).ok()));
        let params = set
            .policies()
            .iter()
            .filter_map(|it| it.policy.param_kind.as_ref());
        let params = params.filter_map(|kind| {
            let listed = texts.kinds.get(kind)?;
            let mut known = Known::default();
            for text in &listed.texts {
                if let Some(object) = param(text, kind) {
                    known.insert(object);
                }
            }
            Some((kind.clone(), (known, listed.is_namespaced)))
        });
        Snapshot {
            neighbours,
            params: params.collect(),
        }
    }
}

fn param(text: &str, kind: &ParamKind) -> Option<ParamObject> {
    let object: Value = serde_json::from_str(text).ok()?;
    let metadata = object.get("metadata")?;
    let word = |key: &str| {
        metadata
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let labels = metadata.get("labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    Some(ParamObject {
        kind: kind.clone(),
        name: word("name").to_owned(),
        namespace: word("namespace").to_owned(),
        labels: labels
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
        origin: Origin {
            source: Source::new("the cluster", ""),
            span: Span::new(0, 0),
            form: Form::Kubernetes,
        },
        object: Arc::new(object),
    })
}

impl World for Snapshot<'_> {
    fn look(&self, object: Option<Key<'_>>, then: &mut dyn FnMut(&dyn ClusterView)) -> bool {
        let others = match object {
            Some(key) => self.neighbours.around(key),
            None => self.neighbours.whole(),
        };
        then(&Around {
            others,
            params: &self.params,
        });
        true
    }
}

#[derive(Debug)]
struct Around<'n, 'j> {
    others: Others<'n, 'j>,
    params: &'n BTreeMap<ParamKind, (Known, bool)>,
}

impl Lookup for Around<'_, '_> {
    fn get<'a>(&'a self, arena: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>> {
        self.others.get(arena, object)
    }

    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>] {
        self.others.list(arena, api_version, kind, namespace)
    }
}

impl ClusterView for Around<'_, '_> {
    fn namespace(&self, name: &str) -> Option<&Value> {
        self.others.namespace(name)
    }

    fn as_lookup(&self) -> &dyn Lookup {
        self
    }

    fn params(&self, kind: &ParamKind) -> Params<'_> {
        match self.params.get(kind) {
            Some((objects, is_namespaced)) => Params::Known {
                objects,
                is_namespaced: *is_namespaced,
            },
            None => Params::UnknownKind,
        }
    }
}

/// A view of the cluster without one of its objects.
#[derive(Debug)]
pub struct Without<'v> {
    /// The cluster.
    pub view: &'v dyn ClusterView,
    /// The object.
    pub key: Key<'v>,
}

impl Lookup for Without<'_> {
    fn get<'a>(&'a self, arena: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>> {
        let asked = Key {
            api_version: object.api_version,
            kind: object.kind,
            namespace: object.namespace,
            name: object.name,
        };
        if asked == self.key {
            return None;
        }
        self.view.as_lookup().get(arena, object)
    }

    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>] {
        let found = self
            .view
            .as_lookup()
            .list(arena, api_version, kind, namespace);
        if (api_version, kind) != (self.key.api_version, self.key.kind) {
            return found;
        }
        let is_other = |object: &Json<'_>| {
            let text = |path: &[&str]| object.at(path).and_then(Json::as_str).unwrap_or_default();
            text(&["metadata", "name"]) != self.key.name
                || text(&["metadata", "namespace"]) != self.key.namespace
        };
        let others: Vec<Json<'a>> = found.iter().copied().filter(is_other).collect();
        arena.alloc_slice_copy(&others)
    }
}

impl ClusterView for Without<'_> {
    fn namespace(&self, name: &str) -> Option<&Value> {
        self.view.namespace(name)
    }

    fn as_lookup(&self) -> &dyn Lookup {
        self
    }

    fn params(&self, kind: &ParamKind) -> Params<'_> {
        self.view.params(kind)
    }
}
