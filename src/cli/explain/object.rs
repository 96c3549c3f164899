//! What a policy makes of objects: what its mutation changes, what its rules say, and why.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bumpalo::Bump;

use super::{Args, Unknown, mutation, verdict};
use crate::admission::resources::{CrdError, Resources};
use crate::admission::review::{AdmissionRequest, Operation};
use crate::admission::synthesize::{OwnedRequest, User};
use crate::cel::value::Timestamp;
use crate::cel::version::KubernetesVersion;
use crate::cli::{Exit, note, print, show};
use crate::diagnostics::Diagnostic;
use crate::engine::Options;
use crate::engine::verdict::Verdict;
use crate::json;
use crate::manifest::neighbours::Neighbours;
use crate::manifest::request::{self, Circumstances};
use crate::manifest::{self, Manifest};
use crate::policy::exceptions::review;
use crate::policy::model::{Documents, Policy, PolicyKind, PolicyScope};
use crate::policy::set::PolicySet;
use crate::schema::{SchemaError, Schemas};
use crate::sources::{self, files};
use crate::suite::run::mention;
use crate::text::nearest;

/// Prints what a policy says of each object, and makes of it.
pub(super) fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let policy = match only(name, args)? {
        Ok(policy) => policy,
        Err(unknown) => return Ok(super::refuse(&unknown)),
    };
    let Some(policy) = policy else {
        return Ok(Exit::Unusable);
    };
    let (manifests, problems) = read(&args.object);
    show(&problems);
    let mut resources = Resources::default();
    let mut schemas = Schemas::built_in();
    mention(&mut resources, &policy.set);
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
    let set = &policy.set;
    if !policy.mutates && !set.mutating().is_empty() && !set.validating().is_empty() {
        note(
            "note: its mutation is switched off or on trial: the rules are asked about objects as they are \
             (`mutate: true` switches it on)",
        );
    }
    let world = World {
        policy: &policy,
        resources: &resources,
        schemas: &|| &schemas,
        neighbours: &neighbours,
        now: args.exceptions.calendar().map(|it| it.now),
    };
    let mut is_refused = false;
    for (at, (manifest, owned)) in requests.iter().enumerate() {
        let (text, is_admitted) = world.explain(manifest, owned);
        let between = if at > 0 { "\n" } else { "" };
        print(&format!("{between}{text}"));
        is_refused |= !is_admitted;
    }
    let is_unusable = problems.iter().chain(&refusals).any(Diagnostic::is_error);
    Ok(match (is_unusable || requests.is_empty(), is_refused) {
        (true, _) => Exit::Unusable,
        (false, true) => Exit::Found,
        (false, false) => Exit::Clean,
    })
}

/// The one policy that is explained.
struct Alone {
    /// It, its mutation made, whether or not it is switched on or on trial.
    set: PolicySet,
    /// Whether its rules are asked about what its mutation makes of objects, because that is switched on.
    mutates: bool,
}

/// Returns the policy alone; `None` if it cannot be used, which is said.
fn only(name: &str, args: &Args) -> anyhow::Result<Result<Option<Alone>, Unknown>> {
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
        true => match the_policy(name, &documents) {
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
    if let Some(unknown) = named.find_map(not_of_objects) {
        return Ok(Err(unknown));
    }
    documents.policies.retain(|it| it.name == name);
    documents.bindings.retain(|it| it.policy_name == name);
    documents.exceptions.retain(|it| it.names_policy(name));
    let is_on = |it: &Policy| it.kind == PolicyKind::Mutating && it.mutate;
    let trials = documents.bindings.iter().filter(|it| it.is_audited());
    let is_trial = trials.clone().any(|it| it.kind == PolicyKind::Mutating);
    let mutates = documents.policies.iter().any(is_on) && !is_trial;
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
    if findings.iter().any(Diagnostic::is_error) {
        return Ok(Ok(None));
    }
    let set = built.set;
    if set.validating().is_empty() && set.mutating().is_empty() {
        return Ok(Err(Unknown {
            message: format!("no binding puts the policy `{name}` in force"),
            help: "give the file with its binding, too: `--policies` may be repeated".to_owned(),
        }));
    }
    Ok(Ok(Some(Alone { set, mutates })))
}

/// Says why a policy says nothing of one object.
fn not_of_objects(policy: &Policy) -> Option<Unknown> {
    (policy.scope == PolicyScope::Cluster).then(|| Unknown {
        message: format!(
            "the policy `{}` is about the whole cluster, not about an object",
            policy.name
        ),
        help: "`check --cluster-objects` and `audit` ask it".to_owned(),
    })
}

/// Returns the name of the one policy in a file.
fn the_policy(file: &str, documents: &Documents) -> Result<String, Unknown> {
    let policies = documents.policies.iter();
    let mut names: Vec<&str> = policies.map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(Unknown {
            message: format!("there is no policy in `{file}`"),
            help: "an object is explained with a policy: its name, or its file".to_owned(),
        }),
        [name, ..] => Err(Unknown {
            message: format!("there are several policies in `{file}`"),
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

/// What each object is looked at with.
struct World<'w> {
    policy: &'w Alone,
    resources: &'w Resources,
    schemas: &'w dyn Fn() -> &'w Schemas,
    neighbours: &'w Neighbours<'w>,
    now: Option<Timestamp>,
}

impl World<'_> {
    /// Says what becomes of an object, and whether it would be admitted.
    fn explain(&self, manifest: &Manifest, owned: &OwnedRequest) -> (String, bool) {
        let subject = manifest.subject(request::namespace(owned));
        let cluster = self.neighbours.around(request::key(manifest, owned));
        let options = Options {
            resources: self.resources,
            now: self.now,
            ..Options::new(&cluster)
        };
        let request = owned.request();
        let Alone { set, mutates } = self.policy;
        let changed = (!set.mutating().is_empty())
            .then(|| mutation::explain(set, &subject, &request, options, self.schemas));
        let is_judged = !set.validating().is_empty();
        let Some(changed) = changed else {
            return verdict::explain(set, &subject, &request, options);
        };
        if !is_judged || !changed.is_admitted {
            return (changed.text, changed.is_admitted);
        }
        let after = changed.after.filter(|_| *mutates);
        let after = after.and_then(|it| serde_json::value::to_raw_value(&it).ok());
        let request = AdmissionRequest {
            object: after.as_deref().or(request.object),
            ..request
        };
        let (judged, is_admitted) = verdict::explain(set, &subject, &request, options);
        let text = match changed.text == judged {
            // The policy is not about it.
            true => judged,
            false => format!("{}\n{judged}", changed.text),
        };
        (text, is_admitted)
    }
}

/// Tells of exceptions that failed.
pub(super) fn note_unapplied(subject: &str, verdict: &Verdict) {
    for failed in &verdict.unapplied {
        let exception = failed.exception.exception.full_name();
        let problem = &failed.message;
        note(&format!(
            "warning: {subject}: the exception `{exception}` cannot be applied: {problem}"
        ));
    }
}

pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
