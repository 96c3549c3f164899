//! The kinds that a cluster serves, as its discovery says.

use kube::Client;
use kube::client::{APIGroupDiscovery, APIVersionDiscovery};

use super::list::ListError;
use crate::cluster::connect::described;

/// A resource that can be listed and created, with its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name.
    pub resource: String,
    /// The kind.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub is_namespaced: bool,
    /// Its versions, most preferred first; never empty.
    pub versions: Vec<String>,
}

/// What a cluster serves.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// The resources, in the order of the API server.
    pub resources: Vec<Served>,
    /// Groups whose own API server does not answer, with their version: what is in them is not known.
    pub unknown: Vec<String>,
}

impl Discovery {
    /// Asks a cluster.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn of(client: &Client) -> Result<Self, ListError> {
        let failed = |problem: kube::Error| ListError::Failed(described(&problem));
        let core = client.list_core_api_versions_aggregated().await;
        let groups = client.list_api_groups_aggregated().await;
        let mut discovery = Discovery::default();
        let all = [core.map_err(failed)?.items, groups.map_err(failed)?.items];
        for group in all.into_iter().flatten() {
            discovery.add(group);
        }
        Ok(discovery)
    }

    fn add(&mut self, discovered: APIGroupDiscovery) {
        let group = discovered.metadata.and_then(|it| it.name);
        let group = group.unwrap_or_default();
        for version in discovered.versions {
            self.add_version(&group, version);
        }
    }

    fn add_version(&mut self, group: &str, discovered: APIVersionDiscovery) {
        let Some(version) = discovered.version else {
            return;
        };
        if discovered.freshness.as_deref() == Some("Stale") {
            self.unknown.push(format!("{group}/{version}"));
        }
        for found in discovered.resources {
            let can = |verb: &str| found.verbs.iter().any(|it| it == verb);
            let (Some(resource), Some(kind)) =
                (found.resource.clone(), found.response_kind.clone())
            else {
                continue;
            };
            // What nobody can create no request to create is made of: metrics, component statuses.
            if !can("list") || !can("create") {
                continue;
            }
            let is_known = |it: &&mut Served| it.group == group && it.resource == resource;
            match self.resources.iter_mut().find(is_known) {
                Some(known) => known.versions.push(version.clone()),
                None => self.resources.push(Served {
                    group: group.to_owned(),
                    resource,
                    kind: kind.kind.unwrap_or_default(),
                    is_namespaced: found.scope.as_deref() == Some("Namespaced"),
                    versions: vec![version.clone()],
                }),
            }
        }
    }

    /// Returns the resource of a kind, if it is served in this version.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Served> {
        let (group, version) = crate::admission::resources::split(api_version);
        self.resources.iter().find(|it| {
            it.group == group && it.kind == kind && it.versions.iter().any(|it| it == version)
        })
    }
}

impl Served {
    /// Returns `group/version`, or `version` for the core group.
    pub fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Returns the path of the collection, of one namespace or of all.
    pub fn path(&self, version: &str, namespace: Option<&str>) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        if let Some(namespace) = namespace.filter(|_| self.is_namespaced) {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.resource);
        path
    }

    /// Returns the name for people: `deployments.apps`.
    pub fn name(&self) -> String {
        match self.group.as_str() {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        }
    }
}
