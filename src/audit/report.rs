//! What was found as reports, so that they cannot hurt etcd.
//!
//! Only what is wrong is in them. The findings of a namespace are spread over as few reports as keep each
//! one below [`MOST_BYTES`], by a hash of the object that does not change: another finding about one
//! object is another version of one report. A report says of its content by a checksum what it is, so that
//! one that says the same is not written again.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::finding::{Finding, Findings, Result as Rating};
use super::plan::{LeftOut, Plan};
use super::served::Discovery;
use crate::admission::resources::split;

/// The size of a report: a sixth of what etcd takes at once (`--max-request-bytes`, 1.5 MiB).
pub const MOST_BYTES: usize = 256 * 1024;
/// The size of all reports: little beside the 2 GiB that etcd holds by default (`--quota-backend-bytes`).
pub const MOST_BYTES_OF_ALL: usize = 32 * 1024 * 1024;
/// Over how many reports the findings of a namespace are spread at most.
const MOST_SHARDS: u64 = 256;
/// What a report takes besides its results, labels and managed fields included.
const FRAME_BYTES: usize = 2048;
/// The label of all reports.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "portcullis");
/// The annotation with the checksum of the content.
pub const CHECKSUM: &str = "portcullis.dev/content";
/// The annotation with the number of findings that are only counted.
const OMITTED: &str = "portcullis.dev/omitted";
/// What the names of reports begin with.
pub const NAME_PREFIX: &str = "portcullis-";
const SOURCE: &str = "portcullis";

/// The API that reports are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `openreports.io/v1alpha1`: Report and ClusterReport.
    OpenReports,
    /// `wgpolicyk8s.io/v1alpha2`: PolicyReport and ClusterPolicyReport.
    PolicyReports,
}

impl Api {
    /// All, the newer one first.
    pub const ALL: [Api; 2] = [Api::OpenReports, Api::PolicyReports];

    /// Returns the one that a cluster serves, the newer one first.
    pub fn of(discovery: &Discovery) -> Option<Self> {
        Api::ALL.into_iter().find(|api| api.is_served(discovery))
    }

    /// Returns the one of an API group.
    pub fn of_group(group: &str) -> Option<Self> {
        Api::ALL.into_iter().find(|api| api.group() == group)
    }

    /// Says whether a cluster serves both kinds.
    pub fn is_served(self, discovery: &Discovery) -> bool {
        [true, false].into_iter().all(|is_namespaced| {
            let kind = self.kind(is_namespaced);
            discovery.kind(self.api_version(), kind).is_some()
        })
    }

    /// Returns the API group.
    pub fn group(self) -> &'static str {
        split(self.api_version()).0
    }

    /// Returns `group/version`.
    pub fn api_version(self) -> &'static str {
        match self {
            Api::OpenReports => "openreports.io/v1alpha1",
            Api::PolicyReports => "wgpolicyk8s.io/v1alpha2",
        }
    }

    /// Returns the kind of reports about a namespace, or about the rest.
    pub fn kind(self, is_namespaced: bool) -> &'static str {
        match (self, is_namespaced) {
            (Api::OpenReports, true) => "Report",
            (Api::OpenReports, false) => "ClusterReport",
            (Api::PolicyReports, true) => "PolicyReport",
            (Api::PolicyReports, false) => "ClusterPolicyReport",
        }
    }

    /// Returns the plural name of a kind.
    pub fn plural(self, is_namespaced: bool) -> &'static str {
        match (self, is_namespaced) {
            (Api::OpenReports, true) => "reports",
            (Api::OpenReports, false) => "clusterreports",
            (Api::PolicyReports, true) => "policyreports",
            (Api::PolicyReports, false) => "clusterpolicyreports",
        }
    }
}

/// What a report is about: something found, or a policy that could not be scanned.
#[derive(Debug, Clone, Copy)]
enum Entry<'f> {
    Found(&'f Finding),
    Left(&'f LeftOut),
}

/// A report that is to be.
#[derive(Debug)]
pub struct Draft<'f> {
    /// Its namespace; empty for what is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    entries: Vec<Entry<'f>>,
    /// How many findings of its namespace are in no report; said by the first.
    omitted: u64,
}

/// Lays out what was found, and what could not be scanned, as reports of bounded size.
pub fn drafts<'f>(findings: &'f Findings, plan: &'f Plan, api: Api) -> Vec<Draft<'f>> {
    let mut left = MOST_BYTES_OF_ALL;
    let mut drafts = Vec::new();
    let mut whole = vec![];
    let none = findings.by_namespace().get("");
    whole.extend(plan.left_out.iter().map(Entry::Left));
    whole.extend(none.into_iter().flat_map(|it| &it.kept).map(Entry::Found));
    spread(
        "",
        whole,
        none.map_or(0, |it| it.omitted),
        (api, &mut left),
        &mut drafts,
    );
    for (namespace, found) in findings.by_namespace() {
        if !namespace.is_empty() {
            let entries = found.kept.iter().map(Entry::Found).collect();
            spread(
                namespace,
                entries,
                found.omitted,
                (api, &mut left),
                &mut drafts,
            );
        }
    }
    drafts
}

/// Spreads what was found in a namespace over reports.
fn spread<'f>(
    namespace: &str,
    entries: Vec<Entry<'f>>,
    mut omitted: u64,
    (api, left): (Api, &mut usize),
    drafts: &mut Vec<Draft<'f>>,
) {
    let mut sized = Vec::with_capacity(entries.len());
    for entry in entries {
        let bytes = entry.result(api, Some(0)).to_string().len() + 1;
        match left.checked_sub(bytes) {
            Some(rest) => {
                *left = rest;
                sized.push((entry.hash(), bytes, entry));
            }
            None => omitted += 1,
        }
    }
    if sized.is_empty() && omitted == 0 {
        return;
    }
    let mut shards = 1;
    while shards < MOST_SHARDS && !fits(&sized, shards) {
        shards *= 2;
    }
    let mut by_shard: BTreeMap<u64, (usize, Vec<Entry<'f>>)> = BTreeMap::new();
    for (hash, bytes, entry) in sized {
        let (taken, entries) = by_shard.entry(hash & (shards - 1)).or_default();
        if *taken + bytes + FRAME_BYTES > MOST_BYTES {
            omitted += 1;
            continue;
        }
        *taken += bytes;
        entries.push(entry);
    }
    if omitted > 0 {
        by_shard.entry(0).or_default();
    }
    drafts.extend(by_shard.into_iter().map(|(shard, (_, entries))| Draft {
        namespace: namespace.to_owned(),
        name: format!("{NAME_PREFIX}{shard:02x}"),
        entries,
        omitted: match shard {
            0 => omitted,
            _ => 0,
        },
    }));
}

fn fits(sized: &[(u64, usize, Entry<'_>)], shards: u64) -> bool {
    let mut by_shard: FxHashMap<u64, usize> = FxHashMap::default();
    sized.iter().all(|(hash, bytes, _)| {
        let taken = by_shard.entry(hash & (shards - 1)).or_insert(FRAME_BYTES);
        *taken += bytes;
        *taken <= MOST_BYTES
    })
}

/// When results were found first, by what they say.
#[derive(Debug, Default)]
pub struct Known(FxHashMap<String, i64>);

impl Known {
    /// Reads a report.
    pub fn of(report: &Value) -> Self {
        let mut known = FxHashMap::default();
        let results = report.get("results").and_then(Value::as_array);
        for result in results.into_iter().flatten() {
            let seconds = result.pointer("/timestamp/seconds").and_then(Value::as_i64);
            if let (Some(seconds), Some(said)) = (seconds, said(result)) {
                known.insert(said, seconds);
            }
        }
        Known(known)
    }
}

/// What a result says, without when.
fn said(result: &Value) -> Option<String> {
    let text = |pointer: &str| {
        result
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let parts = ["policy", "rule", "result", "message"].map(|key| text(&format!("/{key}")));
    let object = ["kind", "name", "uid"].map(|key| text(&format!("/resources/0/{key}")));
    Some([&parts[..], &object[..]].concat().join("\u{0}"))
}

impl Draft<'_> {
    /// Returns how many results it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether it has none, and only counts what is omitted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the checksum of what it says.
    pub fn checksum(&self, api: Api) -> String {
        let mut hash = Sha256::new();
        hash.update(self.omitted.to_be_bytes());
        for entry in &self.entries {
            hash.update(entry.result(api, None).to_string());
        }
        let digest = hash.finalize();
        digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Returns the report; what was found before keeps the time it was found at.
    pub fn report(&self, api: Api, known: &Known, now: i64) -> Value {
        let is_namespaced = !self.namespace.is_empty();
        let mut summary: BTreeMap<&str, u64> = BTreeMap::new();
        for word in ["pass", "fail", "warn", "error", "skip"] {
            summary.insert(word, 0);
        }
        let results = self.entries.iter().map(|entry| {
            *summary.entry(entry.word()).or_default() += 1;
            let result = entry.result(api, None);
            let before = said(&result).and_then(|it| known.0.get(&it).copied());
            entry.result(api, Some(before.unwrap_or(now)))
        });
        let results: Vec<Value> = results.collect();
        let mut annotations = Map::new();
        annotations.insert(CHECKSUM.to_owned(), json!(self.checksum(api)));
        if self.omitted > 0 {
            annotations.insert(OMITTED.to_owned(), json!(self.omitted.to_string()));
        }
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(self.name));
        if is_namespaced {
            metadata.insert("namespace".to_owned(), json!(self.namespace));
        }
        metadata.insert("labels".to_owned(), json!({LABEL.0: LABEL.1}));
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
        let mut report = Map::new();
        let mut put = |key: &str, value: Value| {
            report.insert(key.to_owned(), value);
        };
        put("apiVersion", json!(api.api_version()));
        put("kind", json!(api.kind(is_namespaced)));
        put("metadata", Value::Object(metadata));
        if is_namespaced {
            let scope = json!({"apiVersion": "v1", "kind": "Namespace", "name": self.namespace});
            put("scope", scope);
        }
        if api == Api::OpenReports {
            put("source", json!(SOURCE));
        }
        put("summary", json!(summary));
        put("results", Value::Array(results));
        Value::Object(report)
    }
}

impl Entry<'_> {
    fn word(self) -> &'static str {
        match self {
            Entry::Found(finding) => finding.result.as_str(),
            Entry::Left(_) => "skip",
        }
    }

    /// A number that is the same for all findings about an object, in every scan.
    fn hash(self) -> u64 {
        let parts: [&str; 4] = match self {
            Entry::Found(finding) => match &finding.object {
                Some(object) => [
                    &object.kind.api_version,
                    &object.kind.kind,
                    &object.namespace,
                    &object.name,
                ],
                None => [&finding.policy.policy.name, &finding.message, "", ""],
            },
            Entry::Left(left) => [&left.policy, &left.reason, "", ""],
        };
        // FNV-1a, mixed so that its low bits depend on all: short, and the same in every version of Rust.
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash ^ (hash >> 32)
    }

    fn result(self, api: Api, seconds: Option<i64>) -> Value {
        let mut result = Map::new();
        let mut put = |key: &str, value: Value| {
            result.insert(key.to_owned(), value);
        };
        if api == Api::PolicyReports {
            put("source", json!(SOURCE));
        }
        match self {
            Entry::Found(finding) => {
                let policy = &finding.policy.policy;
                put("policy", json!(policy.name));
                if let Some(at) = finding.rule.filter(|_| policy.validations.len() > 1) {
                    put("rule", json!(format!("validations[{at}]")));
                }
                if let Some(category) = &policy.about.category {
                    put("category", json!(category));
                }
                put("severity", json!(policy.about.severity.as_str()));
                put("result", json!(finding.result.as_str()));
                put("scored", json!(finding.result != Rating::Warn));
                put("message", json!(finding.message));
                if let Some(object) = &finding.object {
                    let mut reference = Map::new();
                    for (key, text) in [
                        ("apiVersion", &*object.kind.api_version),
                        ("kind", &*object.kind.kind),
                        ("namespace", &*object.namespace),
                        ("name", &*object.name),
                        ("uid", &*object.uid),
                    ] {
                        if !text.is_empty() {
                            reference.insert(key.to_owned(), json!(text));
                        }
                    }
                    put("resources", json!([reference]));
                }
            }
            Entry::Left(left) => {
                put("policy", json!(left.policy));
                if !left.validations.is_empty() {
                    let names = left.validations.iter();
                    let names = names.map(|at| format!("validations[{}]", at.saturating_sub(1)));
                    put("rule", json!(names.collect::<Vec<_>>().join(", ")));
                }
                put("result", json!("skip"));
                put("message", json!(format!("not scanned: {}", left.reason)));
            }
        }
        if let Some(seconds) = seconds {
            put("timestamp", json!({"seconds": seconds, "nanos": 0}));
        }
        Value::Object(result)
    }
}

#[cfg(test)]
mod tests;
