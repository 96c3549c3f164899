//! From manifests to the requests an API server would send about them.

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::{Key, Manifest, point};
use crate::admission::resources::Resources;
use crate::admission::review::Operation;
use crate::admission::synthesize::{OwnedRequest, Synthesis, User};
use crate::diagnostics::Diagnostic;

/// What is to be done with an object.
#[derive(Debug, Clone, Copy)]
pub struct Change<'m> {
    /// The object that findings are about: as it would be, or the one to be deleted.
    pub manifest: &'m Manifest,
    /// What is to be done.
    pub operation: Operation,
    /// The object as it is, if it is updated and that is known.
    pub old: Option<&'m Manifest>,
}

/// What is the same for all requests of a run.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The namespace of objects that name none.
    pub namespace: String,
    /// Who asks.
    pub user: User,
}

/// Returns one change of the same kind for each object.
pub fn all(manifests: &[Manifest], operation: Operation) -> Vec<Change<'_>> {
    let change = |manifest| Change {
        manifest,
        operation,
        old: None,
    };
    manifests.iter().map(change).collect()
}

/// Returns what leads from old objects to new ones: those that are in both are updated, new ones
/// created, and those that are gone deleted, as GitOps tools that prune do.
///
/// Objects are the same if apiVersion, kind, namespace and name are; `namespace` is that of objects
/// that name none. Deletions come last.
pub fn between<'m>(
    old: &'m [Manifest],
    new: &'m [Manifest],
    namespace: &'m str,
) -> Vec<Change<'m>> {
    let key = |manifest: &'m Manifest| {
        let key = manifest.key();
        let namespace = if key.namespace.is_empty() {
            namespace
        } else {
            key.namespace
        };
        Key { namespace, ..key }
    };
    let mut old_by_key: FxHashMap<Key<'m>, &'m Manifest> = FxHashMap::default();
    old_by_key.extend(old.iter().map(|manifest| (key(manifest), manifest)));
    let mut changes = Vec::with_capacity(new.len());
    let mut kept = FxHashMap::default();
    for manifest in new {
        let old = old_by_key.get(&key(manifest)).copied();
        kept.insert(key(manifest), ());
        let operation = if old.is_some() {
            Operation::Update
        } else {
            Operation::Create
        };
        changes.push(Change {
            manifest,
            operation,
            old,
        });
    }
    for manifest in old {
        // Only the last of several counts, and only once.
        if kept.insert(key(manifest), ()).is_none() {
            let manifest = old_by_key.get(&key(manifest)).copied().unwrap_or(manifest);
            changes.push(Change {
                manifest,
                operation: Operation::Delete,
                old: None,
            });
        }
    }
    changes
}

/// Makes the request for a change; an update of an object whose old form is not known changes
/// nothing.
pub fn request(
    change: Change<'_>,
    circumstances: &Circumstances,
    resources: &Resources,
) -> Result<OwnedRequest, Diagnostic> {
    request_for(change.manifest.to_json(), change, circumstances, resources)
}

/// Makes the request for a change to another object than the one in the manifest.
pub fn request_for(
    object: Value,
    change: Change<'_>,
    circumstances: &Circumstances,
    resources: &Resources,
) -> Result<OwnedRequest, Diagnostic> {
    let synthesis = match change.operation {
        Operation::Update => {
            let old = change.old.map_or_else(|| object.clone(), Manifest::to_json);
            Synthesis::update(old, object)
        }
        Operation::Delete => Synthesis::delete(object),
        Operation::Create | Operation::Connect => Synthesis::create(object),
    };
    let synthesis = Synthesis {
        operation: change.operation,
        namespace: circumstances.namespace.clone(),
        user: circumstances.user.clone(),
        ..synthesis
    };
    synthesis.request(resources).map_err(|error| {
        Diagnostic::error("manifest/unusable", error.to_string())
            .at(&change.manifest.source, point::title(change.manifest))
            .about(change.manifest.subject(change.manifest.key().namespace))
    })
}

/// Returns what identifies the object of a request, as the cluster would keep it.
pub fn key<'r>(manifest: &'r Manifest, request: &'r OwnedRequest) -> Key<'r> {
    Key {
        api_version: &manifest.api_version,
        kind: &manifest.kind,
        namespace: namespace(request),
        name: request.name(),
    }
}

/// Returns the namespace an object is in; a Namespace is in none, although its request names one.
pub fn namespace(request: &OwnedRequest) -> &str {
    let resource = &request.resource();
    let is_namespace = resource.group.is_empty() && resource.resource == "namespaces";
    if is_namespace {
        ""
    } else {
        request.namespace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Source;

    fn manifests(text: &str) -> Vec<Manifest> {
        super::super::read(&Source::new("m.yaml", text)).0
    }

    fn pods(names: &[&str]) -> Vec<Manifest> {
        let pod = |name: &&str| format!("{{apiVersion: v1, kind: Pod, metadata: {{{name}}}}}\n");
        manifests(&names.iter().map(pod).collect::<Vec<_>>().join("---\n"))
    }

    #[test]
    fn what_is_in_both_is_updated_and_what_is_gone_is_deleted() {
        let old = pods(&[
            "name: kept",
            "name: gone",
            "name: moved, namespace: x",
            "name: gone",
        ]);
        let new = pods(&[
            "name: new",
            "name: kept, namespace: default",
            "name: moved, namespace: z",
        ]);
        let changes = between(&old, &new, "default");
        let shown = changes.iter().map(|change| {
            let key = change.manifest.key();
            let old = if change.old.is_some() {
                " with old"
            } else {
                ""
            };
            format!(
                "{} {}{old}",
                change.operation.as_str(),
                change.manifest.subject(key.namespace)
            )
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "CREATE Pod new",
                "UPDATE Pod default/kept with old",
                "CREATE Pod z/moved",
                "DELETE Pod gone",
                "DELETE Pod x/moved",
            ]
        );
    }

    #[test]
    fn a_request_is_for_the_namespace_and_user_of_the_run() {
        let circumstances = Circumstances {
            namespace: "prod".to_owned(),
            user: User::named("alice"),
        };
        let pods = pods(&["name: a", "name: b, namespace: x"]);
        for (pod, (operation, namespace)) in pods
            .iter()
            .zip([(Operation::Update, "prod"), (Operation::Delete, "x")])
        {
            let change = Change {
                manifest: pod,
                operation,
                old: None,
            };
            let owned = request(change, &circumstances, &Resources::default()).unwrap();
            let request = owned.request();
            assert_eq!(request.operation, operation);
            assert_eq!(request.namespace, namespace);
            assert_eq!(request.object.is_some(), operation == Operation::Update);
            assert!(request.old_object.is_some());
            assert!(request.user_info.unwrap().get().contains("alice"));
        }
    }
}
