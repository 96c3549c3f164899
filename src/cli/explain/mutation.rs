//! What the mutation of a policy makes of objects: what it changes as it was, the patch, and as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bumpalo::Bump;
use serde_json::{Map, Value};

use super::{Args, Unknown};
use crate::admission::resources::{CrdError, Resources};
use crate::admission::review::Operation;
use crate::admission::synthesize::{OwnedRequest, User};
use crate::cel::value::Timestamp;
use crate::cel::version::KubernetesVersion;
use crate::cli::{Exit, note, print, show};
use crate::diagnostics::Diagnostic;
use crate::engine::Options;
use crate::engine::mutating::{self, Defaults, Mutated, Mutating, Refusal};
use crate::engine::respond::denial;
use crate::json::{self, MAX_DEPTH};
use crate::manifest::finding::excuse;
use crate::manifest::neighbours::Neighbours;
use crate::manifest::request::{self, Circumstances};
use crate::manifest::{self, Manifest, rewrite};
use crate::patch::diff::align::{Step, align};
use crate::policy::exceptions::review;
use crate::policy::model::{Documents, PolicyKind};
use crate::policy::set::PolicySet;
use crate::schema::{SchemaError, Schemas};
use crate::sources::{self, files};
use crate::suite::run::mention;
use crate::text::nearest;

/// Prints what a policy makes of each object.
pub(super) fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let set = match only(name, args)? {
        Ok(set) => set,
        Err(unknown) => return Ok(super::refuse(&unknown)),
    };
    let Some(set) = set else {
        return Ok(Exit::Unusable);
    };
    let (manifests, problems) = read(&args.object);
    show(&problems);
    let mut resources = Resources::default();
    let mut schemas = Schemas::built_in();
    mention(&mut resources, &set);
    for crd in manifests.iter().map(Manifest::to_json) {
        // Everything that is no definition defines nothing.
        let _: Result<(), CrdError> = resources.define(&crd);
        let _: Result<(), SchemaError> = schemas.define(&crd);
    }
    let circumstances = Circumstances {
        namespace: "default".to_owned(),
        user: User::default(),
    };
    let changes = request::all(&manifests, Operation::Create);
    let (mut requests, mut refusals) = (Vec::new(), Vec::new());
    for change in changes {
        match request::request(change, &circumstances, &resources) {
            Ok(request) => requests.push((change.manifest, request)),
            Err(problem) => refusals.push(problem),
        }
    }
    show(&refusals);
    let arena = Bump::new();
    let objects = requests.iter().filter_map(|(_, owned)| {
        let object = owned.request().object?;
        json::parse(&arena, object.get().as_bytes()).ok()
    });
    let neighbours = Neighbours::new(objects);
    let world = World {
        set: &set,
        resources: &resources,
        schemas: &|| &schemas,
        neighbours: &neighbours,
        now: args.exceptions.calendar().map(|it| it.now),
    };
    let mut is_refused = false;
    for (at, (manifest, owned)) in requests.iter().enumerate() {
        let (text, is_done) = world.explain(manifest, owned);
        let between = if at > 0 { "\n" } else { "" };
        print(&format!("{between}{text}"));
        is_refused |= !is_done;
    }
    let is_unusable = problems.iter().chain(&refusals).any(Diagnostic::is_error);
    Ok(match (is_unusable || requests.is_empty(), is_refused) {
        (true, _) => Exit::Unusable,
        (false, true) => Exit::Found,
        (false, false) => Exit::Clean,
    })
}

/// Returns the policy alone, its mutation made, whether or not it is switched on or on trial; `None` if it cannot be used, which is said.
fn only(name: &str, args: &Args) -> anyhow::Result<Result<Option<PolicySet>, Unknown>> {
    let (overrides, mut findings) = args.overrides.read()?;
    let is_file = Path::new(name).is_file();
    let file = [PathBuf::from(name)];
    let texts = sources::texts(match is_file {
        true => &file,
        false => &args.policies.paths,
    });
    findings.extend(texts.problems);
    let (mut documents, problems) = sources::documents(&texts.sources);
    findings.extend(problems);
    findings.extend(overrides.apply(&mut documents));
    findings.extend(args.exceptions.excusing().read_into(&mut documents));
    let name = match is_file {
        true => match the_mutation(name, &documents) {
            Ok(name) => name,
            Err(unknown) => {
                show(&findings);
                return Ok(Err(unknown));
            }
        },
        false => name.to_owned(),
    };
    let name = name.as_str();
    let names = documents.policies.iter().map(|policy| policy.name.as_str());
    let mut named = documents.policies.iter().filter(|it| it.name == name);
    if named.clone().next().is_none() {
        return Ok(Err(Unknown {
            message: format!("there is no policy `{name}`"),
            help: match nearest(name, names) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "`--policies` says where policies are".to_owned(),
            },
        }));
    }
    if !named.any(|policy| policy.kind == PolicyKind::Mutating) {
        return Ok(Err(Unknown {
            message: format!("the policy `{name}` changes nothing"),
            help: "only of mutations can be said what they make of an object".to_owned(),
        }));
    }
    documents
        .policies
        .retain(|it| it.name == name && it.kind == PolicyKind::Mutating);
    documents.bindings.retain(|it| it.policy_name == name);
    documents.exceptions.retain(|it| it.names_policy(name));
    documents.make_mutations();
    let version = KubernetesVersion::default();
    let built = PolicySet::build(documents, version, &PolicySet::default(), |_| false);
    findings.extend(built.diagnostics);
    let calendar = args.exceptions.calendar();
    findings.extend(
        calendar
            .iter()
            .flat_map(|it| review::expiring(built.set.exceptions(), *it)),
    );
    show(&findings);
    let is_usable = !findings.iter().any(Diagnostic::is_error);
    Ok(Ok(is_usable.then_some(built.set)))
}

/// Returns the name of the one mutation in a file.
fn the_mutation(file: &str, documents: &Documents) -> Result<String, Unknown> {
    let policies = documents.policies.iter();
    let mut names = policies
        .filter(|it| it.kind == PolicyKind::Mutating)
        .map(|it| it.name.clone());
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(Unknown {
            message: format!("there is no mutation in `{file}`"),
            help: "only of mutations can be said what they make of an object".to_owned(),
        }),
        (Some(name), Some(_)) => Err(Unknown {
            message: format!("there are several mutations in `{file}`"),
            help: format!("name one of them, such as `{name}`, and the file with `--policies`"),
        }),
    }
}

fn read(paths: &[PathBuf]) -> (Vec<Manifest>, Vec<Diagnostic>) {
    let found = files::find(paths, files::is_document);
    let (mut manifests, mut problems) = (Vec::new(), found.problems);
    for path in &found.files {
        match files::read(path, files::MAX_MANIFEST_BYTES) {
            Ok(source) => {
                let (read, findings) = manifest::read(&Arc::clone(&source));
                manifests.extend(read);
                problems.extend(findings);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if manifests.is_empty() && problems.is_empty() {
        problems.push(Diagnostic::error(
            "file/empty",
            "there are no objects to explain it with",
        ));
    }
    (manifests, problems)
}

/// What each object is changed with.
struct World<'w> {
    set: &'w PolicySet,
    resources: &'w Resources,
    schemas: &'w dyn Fn() -> &'w Schemas,
    neighbours: &'w Neighbours<'w>,
    now: Option<Timestamp>,
}

impl World<'_> {
    /// Says what becomes of an object, and whether it would be admitted so far.
    fn explain(&self, manifest: &Manifest, owned: &OwnedRequest) -> (String, bool) {
        let subject = manifest.subject(request::namespace(owned));
        let cluster = self.neighbours.around(request::key(manifest, owned));
        let options = Options {
            resources: self.resources,
            now: self.now,
            ..Options::new(&cluster)
        };
        let mutating = Mutating {
            schemas: self.schemas,
            defaults: Defaults::Applied,
        };
        let request = owned.request();
        let mutated = match mutating::mutate(self.set, &request, options, mutating) {
            Ok(mutated) => mutated,
            Err(error) => return (format!("{subject}: {error}\n"), false),
        };
        if let Some(problem) = refusal(&mutated) {
            return (format!("{subject}: {problem}\n"), false);
        }
        for failed in &mutated.verdict.unapplied {
            let exception = failed.exception.exception.full_name();
            let problem = &failed.message;
            note(&format!(
                "warning: {subject}: the exception `{exception}` cannot be applied: {problem}"
            ));
        }
        if let Some(excused) = mutated.verdict.excused.first() {
            let excuse = excuse(&excused.exception.exception);
            return (format!("{subject}: not changed, {excuse}\n"), true);
        }
        if mutated.verdict.matched == 0 {
            return (format!("{subject}: the policy is not about it\n"), true);
        }
        let before = request.object.map_or("null", |raw| raw.get());
        let before: Value = serde_json::from_str(before).unwrap_or_default();
        let (false, Some(after)) = (mutated.patch.is_empty(), &mutated.object) else {
            return (format!("{subject}: not changed\n"), true);
        };
        if !mutated.unsettled.is_empty() {
            note(&format!(
                "note: {subject}: sent again, it would change once more"
            ));
        }
        let operations = mutated.patch.iter();
        let patch: Vec<String> = operations
            .filter_map(|operation| serde_json::to_string(operation).ok())
            .collect();
        let (old, new) = changed(&before, after, MAX_DEPTH);
        let text = format!(
            "{subject}\n\nbefore:\n{}\npatch:\n{}\nafter:\n{}",
            shown(old),
            indented(&patch.join("\n")),
            shown(new)
        );
        (text, true)
    }
}

fn refusal(mutated: &Mutated) -> Option<String> {
    match &mutated.refusal {
        Some(Refusal::Internal(problem) | Refusal::Unavailable(problem)) => Some(problem.clone()),
        None => denial(&mutated.verdict),
    }
}

fn shown(part: Option<Value>) -> String {
    match part {
        Some(value) => indented(&rewrite::yaml(&value)),
        None => indented("(nothing)"),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Returns the parts of two values that differ, each as it is in the one and in the other. An item of a
/// list keeps its name, so that it can be told from the others.
fn changed(before: &Value, after: &Value, depth: usize) -> (Option<Value>, Option<Value>) {
    match (before, after, depth.checked_sub(1)) {
        _ if before == after => (None, None),
        (Value::Object(before), Value::Object(after), Some(depth)) => {
            let (mut old, mut new) = (Map::new(), Map::new());
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let (was, is) = match (before.get(key), after.get(key)) {
                    (Some(before), Some(after)) => changed(before, after, depth),
                    (before, after) => (before.cloned(), after.cloned()),
                };
                old.extend(was.map(|value| (key.clone(), value)));
                new.extend(is.map(|value| (key.clone(), value)));
            }
            let part =
                |fields: Map<String, Value>| (!fields.is_empty()).then_some(Value::Object(fields));
            (part(old), part(new))
        }
        (Value::Array(before), Value::Array(after), Some(depth)) => {
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for (at, step) in old_positions(&align(before, after)) {
                match step {
                    Step::Keep(was, is) => {
                        let Some((was, is)) = before.get(was).zip(after.get(is)) else {
                            continue;
                        };
                        let (before, after) = changed(was, is, depth);
                        let is_changed = before.is_some() || after.is_some();
                        let name = was.get("name").filter(|name| is.get("name") == Some(*name));
                        if is_changed {
                            old.extend(named(before, name));
                            new.extend(named(after, name));
                        }
                    }
                    Step::Remove => old.extend(before.get(at).cloned()),
                    Step::Add(is) => new.extend(after.get(is).cloned()),
                }
            }
            let part = |items: Vec<Value>| (!items.is_empty()).then_some(Value::Array(items));
            (part(old), part(new))
        }
        _ => (Some(before.clone()), Some(after.clone())),
    }
}

/// Tells each step with the position of the old list that it is at.
fn old_positions(steps: &[Step]) -> Vec<(usize, Step)> {
    let mut at = 0;
    let step = |step: &Step| {
        let here = (at, *step);
        at += usize::from(!matches!(step, Step::Add(_)));
        here
    };
    steps.iter().map(step).collect()
}

fn named(item: Option<Value>, name: Option<&Value>) -> Option<Value> {
    match (item, name) {
        (Some(Value::Object(fields)), Some(name)) => {
            let mut named = Map::new();
            named.insert("name".to_owned(), name.clone());
            named.extend(fields);
            Some(Value::Object(named))
        }
        (None, Some(name)) => {
            let name = ("name".to_owned(), name.clone());
            Some(Value::Object(Map::from_iter([name])))
        }
        (item, _) => item,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_shown_and_items_keep_their_names() {
        let before = json!({
            "a": 1, "b": {"c": 1, "d": 2}, "l": [{"name": "x", "v": 1, "w": 1}, {"name": "y"}],
        });
        let after = json!({
            "a": 1, "b": {"c": 1, "d": 3}, "e": [1],
            "l": [{"name": "x", "v": 2, "w": 1}, {"name": "y", "n": {}}, {"name": "z"}],
        });
        let (old, new) = changed(&before, &after, MAX_DEPTH);
        let was = json!({"b": {"d": 2}, "l": [{"name": "x", "v": 1}, {"name": "y"}]});
        let is = json!({
            "b": {"d": 3}, "e": [1],
            "l": [{"name": "x", "v": 2}, {"name": "y", "n": {}}, {"name": "z"}],
        });
        assert_eq!((old, new), (Some(was), Some(is)));
        assert_eq!(changed(&before, &before, MAX_DEPTH), (None, None));
    }
}
