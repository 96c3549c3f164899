//! What an Event about a denial says.

use std::collections::BTreeSet;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::admission::review::{AdmissionRequest, Operation};
use crate::engine::mutating::Refusal;
use crate::engine::respond::{recorded_denial, recorded_refusal};
use crate::engine::verdict::Verdict;

/// Longest note of an Event (kubernetes `pkg/apis/core/validation/events.go`, `NoteLengthLimit`), less
/// the ellipsis of one that is cut.
const MOST_NOTE: usize = 1021;
/// Longest beginning of the name of an Event that is that of its owner.
const MOST_NAME: usize = 200;

/// A request that was rejected and whose object something else would have owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    /// Of the object and of its owner.
    pub(super) namespace: String,
    pub(super) owner: Owner,
    policies: BTreeSet<String>,
    /// What people are told.
    pub(super) note: String,
}

/// Denials that one Event is about: by the same policies, of objects of one owner.
pub(super) type Key = (String, BTreeSet<String>);

/// `metadata.ownerReferences[]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owner {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    owner_references: Vec<Owner>,
}

impl Denied {
    /// Says what there is to say about a request, if somebody is to be told: it was to create an object
    /// that something of its namespace controls.
    pub(super) fn of(
        request: &AdmissionRequest<'_>,
        verdict: &Verdict,
        refusal: Option<&Refusal>,
    ) -> Option<Self> {
        let is_created = request.operation == Operation::Create && request.sub_resource.is_empty();
        if !is_created || request.dry_run || request.namespace.is_empty() {
            return None;
        }
        let message = match refusal {
            Some(refusal) => recorded_refusal(refusal, verdict.secrecy),
            None => recorded_denial(verdict)?,
        };
        let object: Object = serde_json::from_str(request.object?.get()).ok()?;
        let mut owners = object.metadata.owner_references.into_iter();
        let owner = owners.find(|it| it.controller)?;
        let denials = verdict.decisions.iter().filter(|it| it.is_denial());
        let policies = denials.map(|it| it.policy.policy.name.clone());
        let policies: BTreeSet<String> = policies.collect();
        let kind = &request.kind.kind;
        let note = format!("{kind} denied: {message}");
        Some(Denied {
            namespace: request.namespace.clone().into_owned(),
            owner,
            policies,
            note: cut(note),
        })
    }

    pub(super) fn key(&self) -> Key {
        (self.owner.uid.clone(), self.policies.clone())
    }

    /// A name for an Event: the same for the same writer, so that what it forgot it finds again.
    pub(super) fn event_name(&self, writer: &str) -> String {
        let mut digest = Sha256::new();
        for part in [writer, &self.owner.uid]
            .into_iter()
            .chain(self.policies.iter().map(String::as_str))
        {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let digest = digest.finalize();
        let digits: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let end = self.owner.name.floor_char_boundary(MOST_NAME);
        let owner = self.owner.name.get(..end).unwrap_or_default();
        format!("{}.{digits}", owner.trim_end_matches(['.', '-']))
    }
}

fn cut(mut note: String) -> String {
    if note.len() > MOST_NOTE {
        note.truncate(note.floor_char_boundary(MOST_NOTE));
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::synthesize::Synthesis;
    use crate::cel::version::KubernetesVersion;
    use crate::engine::cluster::Objects;
    use crate::engine::{self, Options};
    use crate::policy::overrides::Overrides;
    use crate::sources;
    use crate::text::Source;

    fn decide(change: impl FnOnce(&mut Synthesis), object: Value) -> Option<Denied> {
        let text = "// ---\n// match: {resources: [v1/pods, v1/secrets, v1/pods/status], operations: ['*']}\n// ---\n\
                    // @require never\nfalse\n// @message\n'the text of ' + object.metadata.name\n";
        let (mut documents, _) = sources::documents(&[Source::new("never.cel", text)]);
        Overrides::default().apply(&mut documents);
        let built = crate::policy::set::PolicySet::build(
            documents,
            KubernetesVersion::default(),
            &crate::policy::set::PolicySet::default(),
            |_| false,
        );
        let mut synthesis = Synthesis::create(object);
        synthesis.namespace = "prod".to_owned();
        change(&mut synthesis);
        let resources = crate::admission::resources::Resources::built_in();
        let owned = synthesis.request(resources).unwrap();
        let cluster = Objects::default();
        let request = owned.request();
        let verdict = engine::validate(&built.set, &request, Options::new(&cluster)).unwrap();
        assert!(verdict.is_denied());
        Denied::of(&request, &verdict, None)
    }

    fn object(kind: &str, is_controlled: bool) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": "a", "namespace": "prod", "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "0"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "1",
                 "controller": is_controlled, "blockOwnerDeletion": true},
            ]},
        })
    }

    #[test]
    fn the_controller_of_an_object_is_told() {
        let denied = decide(|_| {}, object("Pod", true)).unwrap();
        assert_eq!(denied.owner.name, "web-1");
        assert_eq!(
            denied.note,
            "Pod denied: ValidatingAdmissionPolicy 'never' with binding 'never' denied request: the text of a"
        );
        let name = denied.event_name("one");
        assert!(
            name.starts_with("web-1.") && name != denied.event_name("two"),
            "{name}"
        );
    }

    #[test]
    fn nobody_is_told_of_what_nobody_controls_or_was_only_tried() {
        assert_eq!(decide(|_| {}, object("Pod", false)), None);
        let plain = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        assert_eq!(decide(|_| {}, plain), None);
        assert_eq!(decide(|it| it.dry_run = true, object("Pod", true)), None);
        let update = |it: &mut Synthesis| {
            it.operation = Operation::Update;
            it.old_object = Some(object("Pod", true));
        };
        assert_eq!(decide(update, object("Pod", true)), None);
    }

    #[test]
    fn of_a_secret_only_what_is_written_is_told() {
        let denied = decide(|_| {}, object("Secret", true)).unwrap();
        assert_eq!(
            denied.note,
            "Secret denied: ValidatingAdmissionPolicy 'never' with binding 'never' denied request: never"
        );
    }

    #[test]
    fn a_long_note_is_cut() {
        let mut long = object("Pod", true);
        long["metadata"]["name"] = json!("é".repeat(2000));
        let denied = decide(|_| {}, long).unwrap();
        assert!(
            denied.note.len() <= 1024 && denied.note.ends_with('…'),
            "{}",
            denied.note.len()
        );
    }
}
