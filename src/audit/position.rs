//! How far a background scan is, in a few words, so that another replica goes on with it.
//!
//! Units are looked at in order, and each is done when its reports are written: where a scan is says which
//! are, however many there are.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::report::{Api, MOST_BYTES_OF_ALL};
use super::scan::Unit;
use crate::policy::set::PolicySet;

/// A scan that began longer ago is not gone on with: what was done of it is too old.
const MOST_SECONDS: i64 = 24 * 60 * 60;

/// How far a scan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// What is asked of the cluster, and where the answers are.
    about: String,
    /// When it began, in seconds of the epoch.
    pub begun: i64,
    /// Group and resource of the last unit that is done.
    after: Option<(String, String)>,
    /// How many objects were looked at.
    pub objects: u64,
    /// Whether everything could be looked at and reported so far.
    pub is_whole: bool,
    /// How many bytes are left for reports.
    pub left: usize,
}

impl Position {
    /// Begins a scan with a set of policies.
    pub fn new(set: &PolicySet, api: Option<Api>, now: i64) -> Self {
        let api = api.map_or("", Api::api_version);
        Position {
            about: format!("{} {api}", fingerprint(set)),
            begun: now,
            after: None,
            objects: 0,
            is_whole: true,
            left: MOST_BYTES_OF_ALL,
        }
    }

    /// Goes on from where another replica was, if it asked the same and not too long ago.
    pub fn resume(self, noted: Option<&str>) -> Self {
        let before = noted.and_then(|noted| serde_json::from_str::<Position>(noted).ok());
        let may_go_on = |before: &Position| {
            let age = self.begun.saturating_sub(before.begun);
            before.about == self.about && age <= MOST_SECONDS
        };
        before.filter(may_go_on).unwrap_or(self)
    }

    /// Says whether anything is done.
    pub fn has_begun(&self) -> bool {
        self.after.is_some()
    }

    /// Says whether a unit is done.
    pub fn is_past(&self, unit: Unit<'_>) -> bool {
        self.after.as_ref().is_some_and(|it| unit.key() <= *it)
    }

    /// Notes that a unit is done.
    pub fn pass(&mut self, unit: Unit<'_>) {
        self.after = Some(unit.key());
    }

    /// Returns it as a text; `None` only if it were no JSON.
    pub fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// Returns a hash of what a set of policies asks, wherever it was read from.
pub fn fingerprint(set: &PolicySet) -> String {
    let mut parts = Vec::new();
    for compiled in set.policies() {
        let policy = &compiled.policy;
        let settings = serde_json::Value::Object(policy.settings.clone());
        let text = policy.origin.source.text();
        parts.push(format!(
            "{:?} {}\n{text}\n{settings}",
            policy.kind, policy.name
        ));
    }
    for binding in set.bindings() {
        parts.push(format!(
            "{:?} {} {} {:?} {:?} {:?}",
            binding.kind,
            binding.name,
            binding.policy_name,
            binding.param_ref,
            binding.match_resources,
            binding.validation_actions
        ));
    }
    for compiled in set.exceptions().all() {
        let it = &compiled.exception;
        let matching = &it.matching;
        let policies: Vec<_> = it.policies.iter().map(|(policy, _)| policy).collect();
        let expires = it.expires.as_ref().map(|(expires, _)| expires.to_string());
        let condition = matching.condition.as_ref().map(|it| &it.text);
        parts.push(format!(
            "{} {:?} {policies:?} {:?} {:?} {:?} {:?} {:?} {condition:?} {expires:?} {} {} {:?}",
            it.full_name(),
            it.reach,
            matching.resources,
            matching.namespaces,
            matching.names,
            matching.namespace_selector,
            matching.object_selector,
            it.reason,
            it.owner,
            it.ticket,
        ));
    }
    // In which order they were read says nothing.
    parts.sort();
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::plan::Listing;
    use crate::audit::served::Served;
    use crate::cel::version::KubernetesVersion;
    use crate::sources;
    use crate::text::Source;

    fn set(path: &str, text: &str) -> PolicySet {
        let (documents, _) = sources::documents(&[Source::new(path, text)]);
        let version = KubernetesVersion::default();
        PolicySet::build(documents, version, &PolicySet::default(), |_| false).set
    }

    fn listing(group: &str, resource: &str) -> Listing {
        Listing {
            served: Served {
                group: group.to_owned(),
                resource: resource.to_owned(),
                kind: String::new(),
                is_namespaced: true,
                versions: vec!["v1".to_owned()],
            },
            version: "v1".to_owned(),
        }
    }

    const POLICY: &str =
        "// ---\n// name: a\n// match: {resources: [v1/pods]}\n// ---\n// @require b\ntrue\n";

    #[test]
    fn what_was_done_is_known_to_the_next_one() {
        let begun = Position::new(&set("/a/p.cel", POLICY), Some(Api::OpenReports), 1000);
        let [pods, services] = ["pods", "services"].map(|it| listing("", it));
        let deployments = listing("apps", "deployments");
        let mut first = begun.clone();
        assert!(!first.has_begun() && !first.is_past(Unit::Cluster));
        first.pass(Unit::Cluster);
        assert!(first.is_past(Unit::Cluster) && !first.is_past(Unit::Kind(&pods)));
        first.pass(Unit::Kind(&pods));
        first.objects = 7;
        let text = first.text().unwrap();
        assert!(text.len() < 300, "{text}");

        // The same policies lie somewhere else there.
        let next = |text: &str, api, now| {
            let set = set("/b/p.cel", text);
            Position::new(&set, api, now).resume(Some(&first.text().unwrap()))
        };
        let second = next(POLICY, Some(Api::OpenReports), 2000);
        assert_eq!(second, first);
        assert!(second.is_past(Unit::Kind(&pods)) && !second.is_past(Unit::Kind(&services)));
        assert!(!second.is_past(Unit::Kind(&deployments)));
        for other in [
            next(
                &POLICY.replace("true", "false"),
                Some(Api::OpenReports),
                2000,
            ),
            next(POLICY, Some(Api::PolicyReports), 2000),
            next(POLICY, Some(Api::OpenReports), 1000 + MOST_SECONDS + 1),
            begun.resume(Some("{}")),
        ] {
            assert!(!other.has_begun(), "{other:?}");
        }
    }
}
