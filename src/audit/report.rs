//! What was found as reports, so that they cannot hurt etcd.
//!
//! Only what is wrong is in them, and behind it what an exception excuses. A report is about one kind in one namespace, and of one installation,
//! which is in its name and its labels. What was found there is spread over as few reports as keep each
//! one below [`MOST_BYTES`], by a hash of the object that does not change: another finding about one
//! object is another version of one report. A report says of its content by a checksum what it is, so that
//! one that says the same is not written again.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::finding::{Excused, Finding, Findings, InNamespace, Result as Rating, clipped};
use super::plan::{LeftOut, Plan};
use super::scan::Unit;
use super::served::Discovery;
use crate::admission::resources::split;
use crate::policy::exceptions::PolicyException;

/// The size of a report: a sixth of what etcd takes at once (`--max-request-bytes`, 1.5 MiB).
pub const MOST_BYTES: usize = 256 * 1024;
/// The size of all reports: little beside the 2 GiB that etcd holds by default (`--quota-backend-bytes`).
pub const MOST_BYTES_OF_ALL: usize = 32 * 1024 * 1024;
/// Over how many reports the findings of a namespace are spread at most.
const MOST_SHARDS: u64 = 256;
/// What a report takes besides its results, labels and managed fields included.
const FRAME_BYTES: usize = 2048;
/// The label of all reports, whoever's they are.
const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "portcullis");
/// The label with the installation whose report it is.
pub const INSTALLATION: &str = "portcullis.dev/installation";
/// The label with the kind that it is about, as [`Unit::name`] says it.
pub const KIND: &str = "portcullis.dev/kind";
/// The annotation with the checksum of the content.
pub const CHECKSUM: &str = "portcullis.dev/content";
/// The annotation with the findings that are only counted: a number for each policy, as JSON.
pub const OMITTED: &str = "portcullis.dev/omitted";
/// The annotation with the number of excused findings that are only counted.
const EXCUSED_OMITTED: &str = "portcullis.dev/omitted-excused";
/// What is excused leaves so much of [`MOST_BYTES_OF_ALL`] to what is not.
const LEFT_BY_EXCUSED: usize = MOST_BYTES_OF_ALL / 2;
/// What is quoted of an exception's reason, owner and ticket each.
const MOST_OF_AN_EXCEPTION: usize = 256;
/// How many policies are told apart in that.
const MOST_OMITTED: usize = 1000;
/// The policy under which others are counted then; none can be called so.
const OTHERS: &str = "_others";
/// The length of a label's value (apimachinery `pkg/util/validation/validation.go`,
/// `LabelValueMaxLength`).
const LONGEST_VALUE: usize = 63;
/// The length of the hash in what was too long, and the hyphen before it.
const HASH_LENGTH: usize = 17;
const SOURCE: &str = "portcullis";
/// The result of what was not judged, or does not count.
pub const SKIP: &str = "skip";

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

/// What a report is about: something found, something excused, or a policy that could not be scanned.
#[derive(Debug, Clone, Copy)]
enum Entry<'f> {
    Found(&'f Finding),
    Excused(&'f Excused),
    Left(&'f LeftOut),
}

/// How many findings are only counted, by policy.
pub type Omitted = BTreeMap<String, u64>;

/// A report that is to be.
#[derive(Debug)]
pub struct Draft<'f> {
    /// Its namespace; empty for what is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The values of its labels [`INSTALLATION`] and [`KIND`].
    labels: [String; 2],
    entries: Vec<Entry<'f>>,
    /// The findings of its namespace that are in no report; said by the first.
    pub omitted: Omitted,
    /// How much is excused and in no report; said by the first.
    excused_omitted: u64,
}

/// Where reports are to be written, and how much is left for them.
#[derive(Debug)]
pub struct Laying<'l> {
    /// The API.
    pub api: Api,
    /// The installation whose they are.
    pub installation: &'l str,
    /// How many bytes all reports may take that are not laid out yet.
    pub left: &'l mut usize,
}

/// Lays out what was found in a unit, and with the cluster as a whole what could not be scanned, as reports
/// of bounded size.
pub fn drafts<'f>(
    unit: Unit<'_>,
    findings: &'f Findings,
    plan: &'f Plan,
    laying: &mut Laying<'_>,
) -> Vec<Draft<'f>> {
    let mut drafts = Vec::new();
    let left_out: &[LeftOut] = match unit {
        Unit::Cluster => &plan.left_out,
        Unit::Kind(_) => &[],
    };
    let by_namespace = findings.by_namespace();
    if !left_out.is_empty() && !by_namespace.contains_key("") {
        let content = (left_out, &NOTHING);
        spread(unit, "", content, laying, &mut drafts);
    }
    for (namespace, found) in by_namespace {
        let left_out = if namespace.is_empty() { left_out } else { &[] };
        spread(unit, namespace, (left_out, found), laying, &mut drafts);
    }
    drafts
}

static NOTHING: InNamespace = InNamespace {
    kept: Vec::new(),
    omitted: BTreeMap::new(),
    counts: BTreeMap::new(),
    excused: Vec::new(),
    excused_omitted: 0,
};

/// Spreads what was found in a namespace over reports.
fn spread<'f>(
    unit: Unit<'_>,
    namespace: &str,
    (left_out, found): (&'f [LeftOut], &'f InNamespace),
    laying: &mut Laying<'_>,
    drafts: &mut Vec<Draft<'f>>,
) {
    let (mut omitted, mut excused_omitted) = (found.omitted.clone(), found.excused_omitted);
    let mut omit = |entry: Entry<'_>| match entry {
        Entry::Excused(_) => excused_omitted += 1,
        entry => *omitted.entry(entry.policy().to_owned()).or_default() += 1,
    };
    // Wherever there is no room for all, the last have none.
    let left_out = left_out.iter().map(Entry::Left);
    let failing = found.kept.iter().map(Entry::Found);
    let excused = found.excused.iter().map(Entry::Excused);
    let entries: Vec<Entry<'f>> = left_out.chain(failing).chain(excused).collect();
    *laying.left = laying.left.saturating_sub(FRAME_BYTES);
    let mut sized = Vec::with_capacity(entries.len());
    for entry in entries {
        let bytes = entry.result(laying.api, Some(0)).to_string().len() + 1;
        let least = match entry {
            Entry::Excused(_) => LEFT_BY_EXCUSED,
            Entry::Found(_) | Entry::Left(_) => 0,
        };
        match laying.left.checked_sub(bytes).filter(|it| *it >= least) {
            Some(rest) => {
                *laying.left = rest;
                sized.push((entry.hash(), bytes, entry));
            }
            None => omit(entry),
        }
    }
    let mut shards = 1;
    while shards < MOST_SHARDS && !fits(&sized, shards) {
        shards *= 2;
    }
    let mut by_shard: BTreeMap<u64, (usize, Vec<Entry<'f>>)> = BTreeMap::new();
    for (hash, bytes, entry) in sized {
        let (taken, entries) = by_shard.entry(hash & (shards - 1)).or_default();
        if *taken + bytes + FRAME_BYTES > MOST_BYTES {
            omit(entry);
            continue;
        }
        *taken += bytes;
        entries.push(entry);
    }
    if !omitted.is_empty() || excused_omitted > 0 {
        by_shard.entry(0).or_default();
    }
    let further = by_shard.len().saturating_sub(1);
    *laying.left = laying.left.saturating_sub(further * FRAME_BYTES);
    let labels = [label(laying.installation), label(&unit.name())];
    drafts.extend(by_shard.into_iter().map(|(shard, (_, entries))| Draft {
        namespace: namespace.to_owned(),
        name: name(laying.installation, &labels[1], shard),
        labels: labels.clone(),
        entries,
        omitted: match shard {
            0 => bounded(std::mem::take(&mut omitted)),
            _ => Omitted::new(),
        },
        excused_omitted: match shard {
            0 => excused_omitted,
            _ => 0,
        },
    }));
}

/// Returns no more policies than can be told apart.
fn bounded(omitted: Omitted) -> Omitted {
    if omitted.len() <= MOST_OMITTED {
        return omitted;
    }
    let mut kept = Omitted::new();
    for (at, (policy, count)) in omitted.into_iter().enumerate() {
        let policy = if at < MOST_OMITTED {
            policy
        } else {
            OTHERS.to_owned()
        };
        *kept.entry(policy).or_default() += count;
    }
    kept
}

/// Returns a text as the value of a label: itself, or if it is too long its beginning and a hash.
pub fn label(text: &str) -> String {
    match text.len() <= LONGEST_VALUE {
        true => text.to_owned(),
        false => hashed(text),
    }
}

fn hashed(text: &str) -> String {
    let digest = Sha256::digest(text);
    let hash = digest.iter().take((HASH_LENGTH - 1) / 2);
    let hash: String = hash.map(|byte| format!("{byte:02x}")).collect();
    let begin = text.get(..text.len().min(LONGEST_VALUE - HASH_LENGTH));
    // Names of objects and kinds are ASCII.
    let begin = begin.unwrap_or_default().trim_end_matches(['-', '.']);
    format!("{begin}-{hash}")
}

/// Returns the name of a report. That of the installation is one part of it, without dots, so that no two
/// installations have a name in common.
fn name(installation: &str, kind: &str, shard: u64) -> String {
    let installation = match installation.contains('.') || installation.len() > LONGEST_VALUE {
        true => hashed(installation).replace('.', "-"),
        false => installation.to_owned(),
    };
    format!("{installation}.{kind}-{shard:02x}")
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
    fn omitted(&self) -> Value {
        json!(self.omitted)
    }

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
        hash.update(self.omitted().to_string());
        hash.update(self.excused_omitted.to_be_bytes());
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
        if !self.omitted.is_empty() {
            annotations.insert(OMITTED.to_owned(), json!(self.omitted().to_string()));
        }
        if self.excused_omitted > 0 {
            let count = json!(self.excused_omitted.to_string());
            annotations.insert(EXCUSED_OMITTED.to_owned(), count);
        }
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(self.name));
        if is_namespaced {
            metadata.insert("namespace".to_owned(), json!(self.namespace));
        }
        let [installation, kind] = &self.labels;
        let labels = json!({MANAGED.0: MANAGED.1, INSTALLATION: installation, KIND: kind});
        metadata.insert("labels".to_owned(), labels);
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

impl<'f> Entry<'f> {
    fn policy(self) -> &'f str {
        match self {
            Entry::Found(finding) => &finding.policy.policy.name,
            Entry::Excused(excused) => &excused.finding.policy.policy.name,
            Entry::Left(left) => &left.policy,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Entry::Found(finding) => finding.result.as_str(),
            Entry::Excused(_) | Entry::Left(_) => SKIP,
        }
    }

    /// A number that is the same for all findings about an object, in every scan.
    fn hash(self) -> u64 {
        let parts: [&str; 4] = match self {
            Entry::Found(finding) | Entry::Excused(Excused { finding, .. }) => {
                match &finding.object {
                    Some(object) => [
                        &object.kind.api_version,
                        &object.kind.kind,
                        &object.namespace,
                        &object.name,
                    ],
                    None => [&finding.policy.policy.name, &finding.message, "", ""],
                }
            }
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
            Entry::Found(finding) | Entry::Excused(Excused { finding, .. }) => {
                let policy = &finding.policy.policy;
                put("policy", json!(policy.name));
                if let Some(at) = finding.rule.filter(|_| policy.validations.len() > 1) {
                    put("rule", json!(format!("validations[{at}]")));
                }
                if let Some(category) = &policy.about.category {
                    put("category", json!(category));
                }
                put("severity", json!(policy.about.severity.as_str()));
                put("result", json!(self.word()));
                let counts = finding.result != Rating::Warn && self.word() != SKIP;
                put("scored", json!(counts));
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
                put("result", json!(SKIP));
                put("message", json!(format!("not scanned: {}", left.reason)));
            }
        }
        if let Entry::Excused(excused) = self {
            put("properties", properties(&excused.exception.exception));
        }
        if let Some(seconds) = seconds {
            put("timestamp", json!({"seconds": seconds, "nanos": 0}));
        }
        Value::Object(result)
    }
}

/// Says of an exception what those who read reports ask.
fn properties(exception: &PolicyException) -> Value {
    let mut properties = Map::new();
    let mut put = |key: &str, text: &str| {
        let text = clipped(text, MOST_OF_AN_EXCEPTION);
        properties.insert(key.to_owned(), json!(text));
    };
    put("exception", &exception.full_name());
    put("reason", &exception.reason);
    put("owner", &exception.owner);
    if let Some(ticket) = &exception.ticket {
        put("ticket", ticket);
    }
    if let Some((expires, _)) = &exception.expires {
        put("expires", &expires.to_string());
    }
    Value::Object(properties)
}

#[cfg(test)]
mod tests;
