//! `check --fix`: the manifests as mutating policies would have them.
//!
//! Flow: each object is changed as the server's `/mutate` changes it ([`mutating::mutate`]), what has
//! changed is taken over into what is written, and the texts are edited. The rest of `check` then goes on
//! with the edited texts. Nothing is printed or written unless everything could be read.

mod output;

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::report::{AllChecked, Checked};
use super::{Against, Input, excuses, files, is_crd, take_manifests};
use crate::admission::resources::Resources;
use crate::admission::synthesize::OwnedRequest;
use crate::cli::{Colour, note};
use crate::diagnostics::{Diagnostic, Format};
use crate::engine::mutating::{self, Defaults, Mutated, Mutating, Refusal};
use crate::manifest::request::{self, Change};
use crate::manifest::{Manifest, finding, point, rewrite, written};
use crate::parallel;
use crate::policy::model::PolicyKind;
use crate::policy::overrides::{Mutations, Overrides};
use crate::policy::set::PolicySet;
use crate::schema::{SchemaError, Schemas};
use crate::text::{Source, nearest};
use crate::webhook::limits::cores;

/// Stands for every mutation.
const ALL: &str = "all";

/// What becomes of what mutating policies change.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FixArgs {
    /// Print the manifests as the mutating policies in force change them
    #[arg(long)]
    fix: bool,

    /// Show what they would change, instead of the manifests
    #[arg(long)]
    diff: bool,

    /// Write what they change back to the files; nothing is printed but, if asked for, the difference
    #[arg(long, short)]
    in_place: bool,

    /// Switch on the mutation of a policy, or `all`; may be repeated
    #[arg(long, value_name = "POLICY")]
    mutate: Vec<String>,
}

impl FixArgs {
    /// Says whether anything is to be changed.
    pub(super) fn is_asked_for(&self) -> bool {
        self.fix || self.diff || self.in_place
    }

    /// Switches on the mutations that are named.
    pub(super) fn switch_on(&self, overrides: &mut Overrides) {
        for name in &self.mutate {
            match name.as_str() {
                ALL => overrides.mutations = Mutations::All,
                name => {
                    let said = overrides.policies.entry(name.to_owned()).or_default();
                    said.mutate = Some(true);
                }
            }
        }
    }

    /// Refuses names of policies that change nothing.
    pub(super) fn check_names(&self, set: &PolicySet) -> anyhow::Result<()> {
        let names = mutations(set);
        for name in self.mutate.iter().filter(|name| *name != ALL) {
            let is_known = names.iter().any(|(known, _)| known == name);
            let known = names.iter().map(|(known, _)| *known);
            anyhow::ensure!(
                is_known,
                "`--mutate {name}`: there is no mutation of that name{}",
                match nearest(name, known) {
                    Some(meant) => format!("; did you mean `{meant}`?"),
                    None => String::new(),
                }
            );
        }
        Ok(())
    }
}

/// The mutating policies of a set, each with whether it is switched on.
fn mutations(set: &PolicySet) -> Vec<(&str, bool)> {
    let policies = set.policies().iter().map(|it| &it.policy);
    policies
        .filter(|policy| policy.kind == PolicyKind::Mutating)
        .map(|policy| (policy.name.as_str(), policy.mutate))
        .collect()
}

/// Refuses what cannot be done.
pub(super) fn check_arguments(args: &super::Args) -> anyhow::Result<()> {
    let is_stdin = |path: &std::path::PathBuf| path.as_os_str() == files::STDIN;
    anyhow::ensure!(
        !(args.fixing.in_place && args.manifests.iter().any(is_stdin)),
        "standard input cannot be written back; `--fix` prints what would be"
    );
    anyhow::ensure!(
        args.fixing.is_asked_for() || args.fixing.mutate.is_empty(),
        "`--mutate` goes with `--fix`, `--diff` or `--in-place`"
    );
    Ok(())
}

/// Shows findings on standard error.
pub(super) fn show(findings: &[Diagnostic], checked: &AllChecked, format: Format, colour: Colour) {
    use std::io::{IsTerminal, Write};
    let style = colour.style_on(std::io::stderr().is_terminal());
    let text = super::report::render(findings, checked, format, style);
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The texts with what was changed in them.
pub(super) struct Fixed {
    /// Each as it was and as it is.
    texts: Vec<Text>,
    /// How many objects are changed.
    changed: usize,
    /// Why objects are not changed, by their number.
    unchanged: Vec<(usize, Unchanged)>,
}

/// Why something about an object is not changed.
#[derive(Default)]
struct Unchanged {
    findings: Vec<Diagnostic>,
    /// The full names of the exceptions among them.
    excused: Vec<String>,
}

/// A text as it was and as it is.
struct Text {
    path: std::path::PathBuf,
    before: Arc<Source>,
    after: Arc<Source>,
}

impl Text {
    fn is_changed(&self) -> bool {
        !Arc::ptr_eq(&self.before, &self.after)
    }
}

/// Changes the objects of the input by the mutating policies in force.
pub(super) fn fix(
    input: &mut Input,
    args: &super::Args,
    set: &PolicySet,
    resources: &Resources,
) -> Fixed {
    let schemas = OnceLock::new();
    let schemas = || -> &Schemas { schemas.get_or_init(|| schemas_of(input)) };
    let outcomes = match set.mutating().is_empty() {
        true => Vec::new(),
        false => input.with_each(args, (set, resources), |against, asked| {
            parallel::map(asked, cores(), |(change, request)| {
                against.mutated(change, request, &schemas)
            })
        }),
    };
    let mut unchanged = Vec::new();
    let mut wanted = Vec::with_capacity(input.new.len());
    // The objects that are as they are asked for come first, then those that are to be deleted.
    for (at, (object, why)) in outcomes.into_iter().enumerate().take(input.new.len()) {
        wanted.push(object);
        if !why.findings.is_empty() {
            unchanged.push((at, why));
        }
    }
    wanted.resize(input.new.len(), None);
    let changed = wanted.iter().flatten().count();
    let mut wanted = wanted.into_iter().enumerate();
    let mut texts = Vec::with_capacity(input.texts.len());
    for (path, source) in &input.texts {
        let of_source = input
            .new
            .iter()
            .filter(|it| Arc::ptr_eq(&it.source, source));
        let (mut numbers, mut objects) = (Vec::new(), Vec::new());
        for (manifest, (at, object)) in of_source.zip(wanted.by_ref()) {
            numbers.push(at);
            objects.push((manifest, object));
        }
        let after = match edited(source, &objects) {
            Ok(after) => after,
            Err(problem) => {
                let why = Unchanged {
                    findings: vec![problem],
                    ..Unchanged::default()
                };
                unchanged.extend(numbers.first().map(|at| (*at, why)));
                None
            }
        };
        texts.push(Text {
            path: path.clone(),
            before: Arc::clone(source),
            after: after.unwrap_or_else(|| Arc::clone(source)),
        });
    }
    input.texts = texts
        .iter()
        .map(|text| (text.path.clone(), Arc::clone(&text.after)))
        .collect();
    if changed > 0 {
        // What was read before is read again; there was nothing to say about it.
        input.new = take_manifests(&input.texts).0;
    }
    Fixed {
        texts,
        changed,
        unchanged,
    }
}

/// Edits a text; `None` if nothing in it is to be changed.
fn edited(
    source: &Arc<Source>,
    objects: &[(&Manifest, Option<Value>)],
) -> Result<Option<Arc<Source>>, Diagnostic> {
    if objects.iter().all(|(_, object)| object.is_none()) {
        return Ok(None);
    }
    let rewritten = rewrite::rewrite(source, objects).map_err(|error| {
        Diagnostic::error("manifest/unusable", error.to_string()).at(source, error.span)
    })?;
    for span in rewritten.anew {
        if source.slice(span).contains('#') {
            let (first, last) = (source.position(span.start), source.position(span.end));
            note(&format!(
                "note: {}: lines {} to {} are written anew, without their comments",
                source.name(),
                first.line,
                last.line
            ));
        }
    }
    Ok(Some(Source::new(source.name(), rewritten.text)))
}

/// The schemas of Kubernetes' kinds and of the definitions in the input.
fn schemas_of(input: &Input) -> Schemas {
    let mut schemas = Schemas::built_in();
    let all = [&input.around, &input.old, &input.new, &input.crds];
    for crd in all.into_iter().flatten().filter(|it| is_crd(it)) {
        // One that is faulty defines nothing; its kind is then not known.
        let _: Result<(), SchemaError> = schemas.define(&crd.to_json());
    }
    schemas
}

impl Fixed {
    /// Adds what prevents changes to what was found about the objects.
    pub(super) fn add_findings(&self, checked: &mut [Checked]) {
        for (at, why) in &self.unchanged {
            if let Some(object) = checked.get_mut(*at) {
                object.findings.extend(why.findings.iter().cloned());
                object.excused.extend(why.excused.iter().cloned());
            }
        }
    }
}

impl Against<'_> {
    /// Returns what is to be written for an object, `None` if it is not changed; and why it is not.
    fn mutated<'s>(
        &self,
        change: &Change<'_>,
        request: &Result<OwnedRequest, Diagnostic>,
        schemas: &'s (dyn Fn() -> &'s Schemas + 's),
    ) -> (Option<Value>, Unchanged) {
        // What cannot be asked for is said when it is checked.
        let Ok(owned) = request else {
            return (None, Unchanged::default());
        };
        match self.run(change, owned, schemas, Defaults::Applied) {
            Ok(mutated) => {
                let namespace = request::namespace(owned);
                let verdict = &mutated.verdict;
                let why = Unchanged {
                    findings: finding::excused(change.manifest, namespace, verdict, self.reads),
                    excused: excuses::names(verdict),
                };
                (self.rewritten(change, owned, schemas, mutated), why)
            }
            Err(findings) => {
                let why = Unchanged {
                    findings,
                    ..Unchanged::default()
                };
                (None, why)
            }
        }
    }

    /// Returns what is to be written for what an object has become.
    fn rewritten<'s>(
        &self,
        change: &Change<'_>,
        owned: &OwnedRequest,
        schemas: &'s (dyn Fn() -> &'s Schemas + 's),
        mutated: Mutated,
    ) -> Option<Value> {
        let after = mutated.object.filter(|_| !mutated.patch.is_empty())?;
        let before = owned.request().object;
        let before = before.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let before: Value = before.unwrap_or_default();
        let node = change.manifest.node.to_json();
        // Best is what becomes the same object without what the API server fills in by itself.
        let plain = self.run(change, owned, schemas, Defaults::Omitted);
        let plain = plain.ok().and_then(|plain| plain.object);
        let plain = plain.map(|plain| written::carried_over(&node, &before, &plain));
        let object = match plain.filter(|plain| self.becomes(change, plain, &after)) {
            Some(plain) => plain,
            None => written::carried_over(&node, &before, &after),
        };
        (object != node).then_some(object)
    }

    fn run<'s>(
        &self,
        change: &Change<'_>,
        owned: &OwnedRequest,
        schemas: &'s (dyn Fn() -> &'s Schemas + 's),
        defaults: Defaults,
    ) -> Result<Mutated, Vec<Diagnostic>> {
        let manifest = change.manifest;
        let cluster = self.neighbours.around(request::key(manifest, owned));
        let options = self.options(&cluster);
        let mutating = Mutating { schemas, defaults };
        let namespace = request::namespace(owned);
        let refused = |code: &str, message: String| {
            let problem = Diagnostic::error(code, message);
            let problem = problem.at(&manifest.source, point::title(manifest));
            vec![problem.about(manifest.subject(namespace))]
        };
        let mutated = mutating::mutate(self.set, &owned.request(), options, mutating)
            .map_err(|error| refused("manifest/unusable", error.to_string()))?;
        match &mutated.refusal {
            Some(Refusal::Internal(message) | Refusal::Unavailable(message)) => {
                Err(refused("manifest/refused", message.clone()))
            }
            None if mutated.verdict.is_denied() => {
                let how = (self.mode, self.reads);
                Err(finding::findings(
                    manifest,
                    namespace,
                    &mutated.verdict,
                    how,
                ))
            }
            None => Ok(mutated),
        }
    }

    /// Says whether the API server makes `wanted` of what is written.
    fn becomes(&self, change: &Change<'_>, written: &Value, wanted: &Value) -> bool {
        let mut object = written.clone();
        if let Value::Object(fields) = &mut object {
            let manifest = change.manifest;
            for (key, text) in [
                ("apiVersion", &manifest.api_version),
                ("kind", &manifest.kind),
            ] {
                if !fields.contains_key(key) {
                    fields.insert(key.to_owned(), text.as_str().into());
                }
            }
        }
        let owned = request::request_for(object, *change, self.circumstances, self.resources);
        let Ok(owned) = owned else {
            return false;
        };
        let made = owned.request().object.map(|raw| raw.get());
        made.and_then(|made| serde_json::from_str::<Value>(made).ok())
            .is_some_and(|made| made == *wanted)
    }
}
