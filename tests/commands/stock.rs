//! The built-in policies on the real objects of the corpus: every finding has a reason in
//! `tests/cases/stock.yaml`, and every reason a finding.

#![expect(
    clippy::indexing_slicing,
    reason = "a listing without a key fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::policy::packs;
use portcullis::text::{Source, yaml};
use serde_json::Value;

use super::Folder;

/// The rules that were drafted first, by the beginnings of their names, with how many there are.
const DRAFTS: [(&str, usize); 10] = [
    ("CIL", 1),
    ("CON", 3),
    ("IST", 7),
    ("KUM", 4),
    ("LNK", 4),
    ("MES", 2),
    ("MSH", 35),
    ("NSM", 27),
    ("OSM", 3),
    ("TRM", 1),
];

/// How a finding is listed, by its severity.
const KINDS: [(&str, &str); 3] = [
    ("error", "denies"),
    ("warning", "warns"),
    ("note", "records"),
];

/// Folder, policy, what it does, and the object.
type Place = (String, String, &'static str, String);

/// What is found, each with how often.
#[derive(Default)]
struct Found {
    findings: BTreeMap<Place, u64>,
    /// The files and objects that a policy finds something in, by folder and policy.
    objects: BTreeMap<(String, String), BTreeSet<(String, String)>>,
}

fn listing() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/stock.yaml");
    let source = Source::new("stock.yaml", fs::read_to_string(path).unwrap());
    let stream = yaml::parse_stream(&source);
    assert!(stream.errors.is_empty(), "{:?}", stream.errors);
    stream.documents[0].to_json()
}

fn folders() -> Vec<PathBuf> {
    let corpus = PathBuf::from(std::env::var_os("PORTCULLIS_CORPUS").unwrap());
    let entries = fs::read_dir(corpus.join("objects")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Checks each folder by itself.
fn found() -> Found {
    let mut found = Found::default();
    for folder in folders() {
        let line = format!("check {} --format json", folder.display());
        let output = Folder::with(&[]).run(&line);
        assert_ne!(output.code, Some(2), "{folder:?}: {}", output.err);
        let findings: Vec<Value> = serde_json::from_str(&output.out).unwrap();
        for finding in findings {
            let text = |key: &str| finding[key].as_str().unwrap().to_owned();
            let (message, subject) = (text("message"), text("subject"));
            assert!(!message.contains('\n'), "more than a line: {message}");
            assert!(message.starts_with(&subject), "of {subject}: {message}");
            let kind = KINDS.iter().find(|(it, _)| *it == finding["severity"]);
            let (folder, policy) = (name(&folder), text("code"));
            let place = (
                folder.clone(),
                policy.clone(),
                kind.unwrap().1,
                subject.clone(),
            );
            *found.findings.entry(place).or_default() += 1;
            let objects = found.objects.entry((folder, policy)).or_default();
            objects.insert((text("file"), subject));
        }
    }
    found
}

/// What is listed, each with how often; a listing without a reason fails.
fn listed(listing: &Value) -> BTreeMap<Place, u64> {
    let mut listed = BTreeMap::new();
    for (folder, policies) in listing["findings"].as_object().unwrap() {
        for (policy, said) in policies.as_object().unwrap() {
            let reason = said["reason"].as_str().unwrap_or_default();
            assert!(reason.ends_with('.'), "{folder} {policy}: no reason");
            for (key, objects) in said.as_object().unwrap() {
                let Some((_, kind)) = KINDS.iter().find(|(_, kind)| kind == key) else {
                    assert_eq!(key, "reason", "{folder} {policy}");
                    continue;
                };
                for (object, count) in objects.as_object().unwrap() {
                    let place = (folder.clone(), policy.clone(), *kind, object.clone());
                    listed.insert(place, count.as_u64().unwrap());
                }
            }
        }
    }
    listed
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap())
}

/// The number of objects of each installation that break a rule.
fn counts(value: &Value) -> BTreeMap<String, usize> {
    let entries = value.as_object().into_iter().flatten();
    let count = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    entries
        .map(|(install, value)| (install.clone(), count(value)))
        .collect()
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn every_finding_in_real_objects_has_a_reason() {
    let (found, listing) = (found(), listing());
    let listed = listed(&listing);
    let without_reason: Vec<_> = found
        .findings
        .iter()
        .filter(|(place, count)| listed.get(*place) != Some(*count))
        .collect();
    assert!(without_reason.is_empty(), "found: {without_reason:#?}");
    let without_finding: Vec<_> = listed
        .iter()
        .filter(|(place, _)| !found.findings.contains_key(*place))
        .collect();
    assert!(without_finding.is_empty(), "listed: {without_finding:#?}");
    let folders: BTreeSet<String> = folders().iter().map(|path| name(path)).collect();
    let known = listing["findings"].as_object().unwrap();
    assert_eq!(folders, known.keys().cloned().collect());
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn stock_installations_break_as_many_rules_as_the_drafts_counted() {
    let (found, listing) = (found(), listing());
    for draft in listing["drafts"].as_array().unwrap() {
        let mut ours: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
        for ((folder, policy), objects) in &found.objects {
            let is_its_own = strings(&draft["policies"]).any(|it| it == policy);
            if let (true, Some(install)) = (is_its_own, folder.strip_suffix("-stock")) {
                ours.entry(install.to_owned()).or_default().extend(objects);
            }
        }
        let ours: BTreeMap<String, usize> = ours
            .into_iter()
            .map(|(install, objects)| (install, objects.len()))
            .collect();
        let differs = draft.get("ours");
        assert_eq!(ours, counts(differs.unwrap_or(&draft["stock"])), "{draft}");
        assert_ne!(
            differs.map(counts),
            Some(counts(&draft["stock"])),
            "{draft}"
        );
        assert_eq!(draft.get("reason").is_some(), differs.is_some(), "{draft}");
    }
}

#[test]
fn every_draft_became_a_policy() {
    let listing = listing();
    let drafts = listing["drafts"].as_array().unwrap();
    let mut rules: Vec<&str> = drafts.iter().flat_map(|it| strings(&it["rules"])).collect();
    rules.sort_unstable();
    let expected: Vec<String> = DRAFTS
        .iter()
        .flat_map(|(kind, count)| (1..=*count).map(move |at| format!("{kind}-{at:02}")))
        .collect();
    assert_eq!(rules, expected);
    let sources = packs::sources();
    let files: BTreeSet<&str> = sources
        .iter()
        .filter_map(|source| source.name().rsplit('/').next()?.strip_suffix(".cel"))
        .collect();
    for draft in drafts {
        assert!(strings(&draft["policies"]).count() > 0, "{draft}");
        for policy in strings(&draft["policies"]) {
            assert!(files.contains(policy), "{policy} is no policy: {draft}");
        }
    }
}
