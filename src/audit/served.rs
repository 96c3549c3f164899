//! The kinds that a cluster serves, as its discovery says.

use kube::core::discovery::v2::{
    ACCEPT_AGGREGATED_DISCOVERY_V2, APIGroupDiscovery, APIGroupDiscoveryList, APIVersionDiscovery,
};
use serde_json::Value;

use super::list::{Ask, ListError, Lister};
use crate::cluster::definitions;

/// How many definitions are asked for at once: some are a megabyte.
const DEFINITIONS: u32 = 16;

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
    /// Asks a cluster, again if it is busy.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn of(lister: &Lister) -> Result<Self, ListError> {
        let mut discovery = Discovery::default();
        for path in ["/api", "/apis"] {
            let answer = lister
                .document(path, ACCEPT_AGGREGATED_DISCOVERY_V2)
                .await?;
            let groups: Result<APIGroupDiscoveryList, _> = serde_json::from_slice(&answer);
            let groups = groups.map_err(|_| {
                ListError::Failed("the API server does not tell what it serves at once".to_owned())
            })?;
            for group in groups.items {
                discovery.add(group);
            }
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

/// Lists the CustomResourceDefinitions of a cluster, again if it is busy.
///
/// # Errors
/// They cannot be listed.
pub async fn definitions(lister: &Lister) -> Result<Vec<Value>, ListError> {
    let mut ask = Ask {
        limit: DEFINITIONS,
        ..Ask::first("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    };
    let mut found = Vec::new();
    loop {
        let page = match lister.page(ask.clone()).await {
            // What comes after is as of now.
            Err(ListError::Expired { token: Some(token) }) => {
                ask.token = Some(token);
                continue;
            }
            page => page?,
        };
        for item in page.items()? {
            let read = serde_json::from_str(item.get());
            found.extend(read.ok().map(definitions::reduced));
        }
        match page.token {
            Some(token) => ask.token = Some(token),
            None => return Ok(found),
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::list::tests::scripted;

    #[tokio::test]
    async fn a_busy_api_server_is_asked_again() {
        let groups = |name: &str, resource: &str| {
            let resource = json!({
                "resource": resource, "scope": "Namespaced", "verbs": ["create", "list"],
                "responseKind": {"group": name, "version": "v1", "kind": "Kind"},
            });
            let version = json!({"version": "v1", "resources": [resource]});
            json!({"items": [{"metadata": {"name": name}, "versions": [version]}]}).to_string()
        };
        let definition = json!({
            "metadata": {"name": "things.example.com"},
            "spec": {"group": "example.com"},
        });
        let (lister, asked) = scripted(vec![
            (429, vec![("retry-after", "1")], String::new()),
            (200, vec![], groups("", "pods")),
            (503, vec![], String::new()),
            (200, vec![], groups("apps", "deployments")),
            (500, vec![], String::new()),
            (200, vec![], json!({"items": [definition]}).to_string()),
        ]);
        let begun = tokio::time::Instant::now();
        let discovery = Discovery::of(&lister).await.unwrap();
        assert!(begun.elapsed().as_secs() >= 1);
        let names: Vec<String> = discovery.resources.iter().map(Served::name).collect();
        assert_eq!(names, ["pods", "deployments.apps"]);
        let definitions = definitions(&lister).await.unwrap();
        assert_eq!(definitions[0]["metadata"]["name"], "things.example.com");
        assert_eq!(asked.lock().unwrap().len(), 6);
    }
}
