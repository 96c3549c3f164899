//! `policies/README.md`: which policy guards which recommendation, made from the policies themselves.
//!
//! To make it anew, run `PORTCULLIS_RECORD=1 cargo test --test policies_readme`; without
//! `PORTCULLIS_RECORD` it is compared. A policy says in `source` which recommendations it is about:
//! `source: 'NGINX Service Mesh, Production Tuning: mTLS (N1)'`. Each must be guarded by a policy, or
//! be listed in [`SHOWN_BY_NOTHING`].

#![expect(
    clippy::unwrap_used,
    reason = "policies that cannot be read fail the test"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::policy::model::{
    Binding, Documents, PodMatching, Policy, PolicyKind, PolicyScope, ValidationAction,
};
use portcullis::policy::read;
use portcullis::text::Source;

/// The recommendations of Meshery's "Production Deployment Considerations", in our words.
const MESHERY: [(&str, &str); 31] = [
    (
        "M1",
        "more than one node or zone, so that no single one is needed",
    ),
    (
        "M2",
        "three control plane nodes where Kubernetes is run by oneself",
    ),
    ("M3", "three replicas of Meshery's workloads"),
    ("M4", "three replicas of Meshery's operator"),
    ("M5", "replicas on different nodes"),
    ("M6", "autoscaling of the server and the operator"),
    ("M7", "nodes that are added when pods need them"),
    (
        "M8",
        "connections between Meshery and what it manages that lead somewhere",
    ),
    ("M9", "access by network policies, not from everywhere"),
    ("M10", "the TCP ports that are documented"),
    ("M11", "the gRPC ports that are documented"),
    ("M12", "no ports open but those that are needed"),
    ("M13", "WebSockets through Emissary"),
    ("M14", "TLS where traffic comes in"),
    ("M15", "no Local Provider, whose sessions are anonymous"),
    ("M16", "a Remote Provider chosen beforehand"),
    ("M17", "a callback URL that fits the ingress"),
    ("M18", "pods whose health is told by probes"),
    ("M19", "processor and memory that are measured"),
    ("M20", "requests and limits to measure by"),
    ("M21", "metrics of services: time, rate, errors"),
    ("M22", "traces of the server"),
    ("M23", "logs in one place"),
    ("M24", "labels to filter logs by"),
    ("M25", "tools that analyse logs"),
    ("M26", "an alert when a service is down"),
    ("M27", "an alert when a node is not ready"),
    ("M28", "an alert when answers are slow"),
    ("M29", "an alert on errors of HTTP"),
    ("M30", "an alert when a resource runs out"),
    ("M31", "tools that collect all of this"),
];

/// The recommendations of NGINX Service Mesh's "Production Tuning", in our words.
const NGINX: [(&str, &str); 18] = [
    ("N1", "mutual TLS that is strict"),
    ("N2", "an ingress controller that is part of the mesh"),
    ("N3", "a secure route to services outside of the mesh"),
    ("N4", "TLS for traffic past the egress"),
    ("N5", "access that is denied unless it is allowed"),
    ("N6", "only expected clients allowed"),
    ("N7", "SPIRE's other defaults looked at"),
    ("N8", "a certificate authority above SPIRE's own"),
    ("N9", "an intermediate certificate, not the root"),
    ("N10", "keys in memory"),
    ("N11", "keys in memory only below another authority"),
    ("N12", "storage that survives a restart"),
    ("N13", "certificates that live briefly"),
    ("N14", "limits to rates"),
    ("N15", "limits below what was tested, or autoscaling"),
    ("N16", "circuit breakers"),
    ("N17", "circuit breakers with a service to fall back to"),
    ("N18", "mutual TLS and access control together"),
];

/// What no policy can guard, and why.
const SHOWN_BY_NOTHING: [(&str, &str); 1] = [(
    "M25",
    "no object of a cluster shows who reads its logs, and with what",
)];

/// Packs in front of the others.
const FIRST: [&str; 3] = ["meshery", "cluster-audit", "nginx-service-mesh"];

const HOW: &str = "make it anew: PORTCULLIS_RECORD=1 cargo test --test policies_readme";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// A file of policies.
struct File {
    /// The name of its folder.
    pack: String,
    name: String,
    validating: Policy,
    binding: Binding,
    /// Whether it changes objects, too.
    has_mutation: bool,
}

impl File {
    fn read(pack: &str, path: &Path) -> Self {
        let name = path.display().to_string();
        let (documents, problems) =
            read::read(&Source::new(name, fs::read_to_string(path).unwrap()));
        assert!(problems.is_empty(), "{}: {problems:?}", path.display());
        let Documents {
            policies, bindings, ..
        } = documents;
        let is_validating = |policy: &Policy| policy.kind == PolicyKind::Validating;
        let (validating, mutating): (Vec<Policy>, Vec<Policy>) =
            policies.into_iter().partition(is_validating);
        let binding = bindings
            .into_iter()
            .find(|it| it.kind == PolicyKind::Validating);
        File {
            pack: pack.to_owned(),
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            validating: validating.into_iter().next().unwrap(),
            binding: binding.unwrap(),
            has_mutation: !mutating.is_empty(),
        }
    }

    fn source(&self) -> &str {
        self.validating.about.source.as_deref().unwrap_or_default()
    }

    /// The recommendations that `source` names.
    fn recommendations(&self) -> BTreeSet<&str> {
        let words = self
            .source()
            .split(|it: char| !it.is_alphanumeric() && it != '-');
        let is_id = |word: &&str| {
            let number = word.strip_prefix(['M', 'N']);
            number.is_some_and(|it| !it.is_empty() && it.chars().all(|it| it.is_ascii_digit()))
        };
        words.filter(is_id).collect()
    }

    fn link(&self) -> String {
        format!("[{}]({}/{})", self.validating.name, self.pack, self.name)
    }

    fn action(&self) -> String {
        let word = |action: &ValidationAction| match action {
            ValidationAction::Deny => "deny",
            ValidationAction::Warn => "warn",
            ValidationAction::Audit => "audit",
        };
        let actions = self.binding.validation_actions.iter().map(word);
        let patch = self.has_mutation.then_some("patch");
        actions.chain(patch).collect::<Vec<_>>().join(", ")
    }

    /// What the policy looks at, as `kubectl` names resources.
    fn objects(&self) -> String {
        let policy = &self.validating;
        if policy.scope == PolicyScope::Cluster {
            let kinds: Vec<&str> = policy.reads.iter().map(|it| it.kind.as_str()).collect();
            return format!("the whole cluster: {}", kinds.join(", "));
        }
        if policy.pods == PodMatching::PodTemplates {
            return "pods and pod templates".to_owned();
        }
        let mut names: Vec<String> = Vec::new();
        let constraints = policy.match_constraints.as_ref().unwrap();
        for rule in &constraints.resource_rules {
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    let name = match (resource.split_once('/'), group.as_str()) {
                        (_, "") => resource.clone(),
                        (Some((resource, sub)), group) => format!("{resource}.{group}/{sub}"),
                        (None, group) => format!("{resource}.{group}"),
                    };
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        names.join(", ")
    }

    /// The first sentence of the description.
    fn purpose(&self) -> String {
        let words: Vec<&str> = self
            .validating
            .about
            .description
            .split_whitespace()
            .collect();
        let text = words.join(" ");
        let end = text.find(". ").map_or(text.len(), |at| at + 1);
        text[..end].trim_end_matches('.').to_owned()
    }
}

/// Every file of policies, by pack and name.
fn files() -> Vec<File> {
    let mut packs: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let place = |pack: &String| FIRST.iter().position(|first| first == pack);
    packs.sort_by_key(|pack| (place(pack).unwrap_or(FIRST.len()), pack.clone()));
    let mut files = Vec::new();
    for pack in packs {
        let entries = fs::read_dir(folder().join(&pack)).unwrap();
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "cel"))
            .collect();
        paths.sort();
        files.extend(paths.iter().map(|path| File::read(&pack, path)));
    }
    files
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn recommendations(text: &mut String, files: &[File], known: &[(&str, &str)]) {
    text.push_str("| | recommendation | policy | action | objects |\n|---|---|---|---|---|\n");
    for (id, what) in known {
        if let Some((_, why)) = SHOWN_BY_NOTHING.iter().find(|(known, _)| known == id) {
            writeln!(text, "| {id} | {what} | none: {why} | | |").unwrap();
        }
        let about = files.iter().filter(|it| it.recommendations().contains(id));
        for (at, file) in about.enumerate() {
            let (id, what) = if at == 0 { (*id, *what) } else { ("", "") };
            let (link, action, objects) = (file.link(), file.action(), cell(&file.objects()));
            writeln!(text, "| {id} | {what} | {link} | {action} | {objects} |").unwrap();
        }
    }
}

fn packs(text: &mut String, files: &[File]) {
    for pack in files.chunk_by(|one, other| one.pack == other.pack) {
        writeln!(text, "\n## `{}`\n", pack.first().map_or("", |it| &it.pack)).unwrap();
        text.push_str("| policy | why | action | severity | source |\n|---|---|---|---|---|\n");
        for file in pack {
            let (link, purpose) = (file.link(), cell(&file.purpose()));
            let (action, source) = (file.action(), cell(file.source()));
            let severity = file.validating.about.severity.as_str();
            writeln!(
                text,
                "| {link} | {purpose} | {action} | {severity} | {source} |"
            )
            .unwrap();
        }
    }
}

fn readme(files: &[File]) -> String {
    let mut text = format!(
        "<!-- Made from the policies; {HOW} -->\n\n# Policies\n\n\
         The {} policies that are built in, each with its tests beside it, and what they are for. An\n\
         action is what a violation does: `deny`, `warn`, or `audit`, which only records it; `patch` means\n\
         that the policy can mend the object, too, once its mutation is switched on (`mutate: true`).\n\
         Actions and settings are changed in the configuration, without a change to the policies.\n\n\
         Policies about the whole cluster are evaluated by `portcullis check --cluster-objects`.\n\n\
         ## Meshery, Production Deployment Considerations\n\n",
        files.len()
    );
    recommendations(&mut text, files, &MESHERY);
    text.push_str("\n## NGINX Service Mesh, Production Tuning, and the same for other meshes\n\n");
    recommendations(&mut text, files, &NGINX);
    packs(&mut text, files);
    text
}

#[test]
fn every_recommendation_is_guarded() {
    let files = files();
    let unsourced = files.iter().filter(|file| file.source().is_empty());
    let unsourced: Vec<&str> = unsourced.map(|file| file.name.as_str()).collect();
    assert_eq!(unsourced, [] as [&str; 0], "policies without a `source`");
    let known: BTreeSet<&str> = MESHERY.iter().chain(&NGINX).map(|(id, _)| *id).collect();
    let guarded: BTreeSet<&str> = files.iter().flat_map(File::recommendations).collect();
    let excepted: BTreeSet<&str> = SHOWN_BY_NOTHING.iter().map(|(id, _)| *id).collect();
    let unknown: Vec<_> = guarded.difference(&known).collect();
    assert!(unknown.is_empty(), "there is no recommendation {unknown:?}");
    let missing: Vec<_> = known
        .difference(&guarded)
        .filter(|id| !excepted.contains(*id))
        .collect();
    assert!(
        missing.is_empty(),
        "no policy names {missing:?} in its `source`; if none can, say why in SHOWN_BY_NOTHING"
    );
    let guarded_all_the_same: Vec<_> = guarded.intersection(&excepted).collect();
    assert!(
        guarded_all_the_same.is_empty(),
        "{guarded_all_the_same:?} is guarded"
    );
}

#[test]
fn the_readme_says_what_the_policies_say() {
    let path = folder().join("README.md");
    let made = readme(&files());
    if std::env::var_os("PORTCULLIS_RECORD").is_some() {
        fs::write(&path, made).unwrap();
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differing = made
        .lines()
        .zip(written.lines())
        .find(|(made, written)| made != written);
    assert!(
        made == written,
        "policies/README.md is old, first at {differing:#?}; {HOW}"
    );
}
