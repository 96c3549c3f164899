//! Runs a case: the request it describes, decided as the webhook would decide it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

use super::coverage::Tally;
use super::expect::{Got, Line};
use super::format::{Case, TestFile, objects};
use super::path::kind_name;
use crate::admission::resources::Resources;
use crate::admission::review::AdmissionRequest;
use crate::admission::synthesize::{OwnedRequest, Synthesis, User};
use crate::cel::value::access::Authorize;
use crate::cel::version::KubernetesVersion;
use crate::diagnostics::Diagnostic;
use crate::engine::cluster::Objects;
use crate::engine::mutating::{self, Defaults, Mutating, Refusal};
use crate::engine::observer::{Held, Observer};
use crate::engine::verdict::{Outcome as Decided, Verdict};
use crate::engine::{self, EngineError, Options};
use crate::policy::compile::CompiledPolicy;
use crate::policy::exceptions::settle_reach;
use crate::policy::model::{
    Documents, Form, Origin, ParamKind, ParamObject, ParamSelect, Policy, PolicyScope,
    ValidationAction,
};
use crate::policy::set::{Built, PolicySet};
use crate::schema::Schemas;
use crate::text::{Span, nearest};

/// Objects of tests have the defaults that matter, and a change brings no others.
const MUTATING: Mutating<'static> = Mutating {
    schemas: &Schemas::built_in_shared,
    defaults: Defaults::Omitted,
};

/// The policies a file of tests is about.
#[derive(Debug)]
pub struct UnderTest {
    documents: Documents,
    version: KubernetesVersion,
    set: PolicySet,
    resources: Resources,
}

/// How a case ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise; the lines of both sides.
    Failed(Vec<Line>),
    /// It could not be run, because of what the case says.
    Errored(Diagnostic),
}

/// The namespace of objects that name none, as `kubectl` has it.
const NAMESPACE: &str = "default";

impl UnderTest {
    /// Compiles policies as written for a version of Kubernetes; what is wrong with them is returned, and tests of policies that are not
    /// valid are worth nothing.
    pub fn new(documents: Documents, version: KubernetesVersion) -> (Self, Vec<Diagnostic>) {
        let Built {
            set, diagnostics, ..
        } = build(documents.clone(), version);
        let mut resources = Resources::default();
        mention(&mut resources, &set);
        (
            UnderTest {
                documents,
                version,
                set,
                resources,
            },
            diagnostics,
        )
    }

    /// Returns the policies.
    pub fn set(&self) -> &PolicySet {
        &self.set
    }

    /// Leaves out the cases of a file that no policy can be about, and says so: those without an
    /// object if all policies are about requests, those with one if all are about the cluster.
    pub fn leave_out(&self, file: &mut TestFile) -> Vec<Diagnostic> {
        let validating = self.documents.policies.iter();
        let scopes: Vec<PolicyScope> = validating.map(|policy| policy.scope).collect();
        let mut problems = Vec::new();
        let source = &file.source;
        file.cases.retain(|case| {
            if scopes.contains(&case.scope) || scopes.is_empty() {
                return true;
            }
            let (message, help) = match case.scope {
                PolicyScope::Cluster => objects::NO_OBJECT,
                PolicyScope::Request => (
                    "the policy has `scope: cluster`, and is not about an object or a request",
                    "leave out `base`; such a case has `cluster`, `settings` and `expect` only",
                ),
            };
            let problem = Diagnostic::error("test/required", message);
            problems.push(problem.at(source, case.place).help(help));
            false
        });
        problems
    }

    /// Runs a case of `file` and counts in `tally` what was evaluated.
    pub fn run(&self, file: &TestFile, case: &Case, tally: &mut Tally) -> Outcome {
        match self.decide(file, case, tally) {
            Ok(got) => match case.expect.compare(&got) {
                Ok(()) => Outcome::Passed,
                Err(lines) => Outcome::Failed(lines),
            },
            Err(diagnostic) => Outcome::Errored(diagnostic),
        }
    }

    fn decide(&self, file: &TestFile, case: &Case, tally: &mut Tally) -> Result<Got, Diagnostic> {
        let changed = self.with_settings(file, case)?;
        let set = changed.as_ref().unwrap_or(&self.set);
        if case.scope == PolicyScope::Cluster {
            return self.audit(set, file, case, tally);
        }
        let with_params = self.with_params(file, case, set)?;
        let set = with_params.as_ref().unwrap_or(set);
        let owned = self.request(file, case)?;
        let cluster = Objects::new(self.cluster(file, case, owned.namespace())?);
        let user = case.request.user.clone().unwrap_or_default();
        let asked = case
            .authorizer
            .as_ref()
            .map(|rules| rules.for_user(&user.username));
        let options = Options {
            resources: &self.resources,
            authorizer: asked.as_ref().map(|asked| asked as &dyn Authorize),
            now: case.now,
            ..Options::new(&cluster)
        };
        let mut watch = Watch {
            tally,
            applied: false,
            errors: Vec::new(),
        };
        let problem = |error: EngineError| unusable(file, case.place, &error.to_string());
        let request = owned.request();
        if !case.expect.mutates() {
            let verdict = engine::validate_observed(set, &request, options, &mut watch);
            return Ok(got(&verdict.map_err(problem)?, watch.applied, watch.errors));
        }
        let mutated = mutating::mutate_observed(set, &request, options, MUTATING, &mut watch);
        let mut mutated = mutated.map_err(problem)?;
        if let Some(Refusal::Internal(message) | Refusal::Unavailable(message)) = mutated.refusal {
            watch.errors.push(message);
        }
        let mut text = None;
        if let Some(object) = &mutated.object {
            text = Some(
                to_raw_value(object)
                    .map_err(|error| unusable(file, case.place, &error.to_string()))?,
            );
        }
        let after = AdmissionRequest {
            object: text.as_deref().or(request.object),
            ..request
        };
        // What is changed must be settled, and be what the validating policies want.
        let again = mutating::mutate(set, &after, options, MUTATING).map_err(problem)?;
        if !again.patch.is_empty() {
            let patch = serde_json::to_string(&again.patch).unwrap_or_default();
            watch.errors.push(format!(
                "mutated once more, the object changes again: {patch}"
            ));
        }
        let validated = engine::validate_observed(set, &after, options, &mut watch);
        let mut verdict = validated.map_err(problem)?;
        verdict.decisions.append(&mut mutated.verdict.decisions);
        verdict.excused.append(&mut mutated.verdict.excused);
        let mut got = got(&verdict, watch.applied, watch.errors);
        let object = after
            .object
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        let patch = serde_json::to_value(&mutated.patch).unwrap_or_default();
        got.changed = Some((object.unwrap_or_default(), patch));
        Ok(got)
    }

    /// Evaluates the policies about the cluster as a whole on the objects of a case.
    fn audit(
        &self,
        set: &PolicySet,
        file: &TestFile,
        case: &Case,
        tally: &mut Tally,
    ) -> Result<Got, Diagnostic> {
        if case.expect.mutates() {
            let problem = "a policy with `scope: cluster` changes no object";
            return Err(unusable(file, case.place, problem));
        }
        let cluster = Objects::new(self.cluster(file, case, "")?);
        let options = Options {
            resources: &self.resources,
            ..Options::new(&cluster)
        };
        let mut watch = Watch {
            tally,
            applied: false,
            errors: Vec::new(),
        };
        let verdict = engine::audit_cluster(set, options, &mut watch);
        Ok(got(&verdict, watch.applied, watch.errors))
    }

    /// Compiles the policies with the settings of a case, and with their mutations made if it expects
    /// some; `None` if nothing is other than it is written.
    fn with_settings(&self, file: &TestFile, case: &Case) -> Result<Option<PolicySet>, Diagnostic> {
        let is_as_written = case.settings.is_empty() && case.exceptions.is_empty();
        if is_as_written && !case.expect.mutates() {
            return Ok(None);
        }
        let mut documents = self.documents.clone();
        documents.exceptions.extend(case.exceptions.iter().cloned());
        if case.expect.mutates() {
            documents.make_mutations();
        }
        for (name, value, span) in &case.settings {
            let mut is_known = false;
            for policy in &mut documents.policies {
                let Some(setting) = policy.settings.get_mut(name) else {
                    continue;
                };
                is_known = true;
                if kind_name(setting) != kind_name(value) {
                    let message = format!(
                        "the setting `{name}` is {}, not {}",
                        kind_name(setting),
                        kind_name(value)
                    );
                    let diagnostic = Diagnostic::error("test/wrong-type", message);
                    return Err(diagnostic.at(&file.source, *span));
                }
                *setting = value.clone();
            }
            if !is_known {
                return Err(self.unknown_setting(file, name, *span));
            }
        }
        let built = build(documents, self.version);
        let is_of_file = |it: &Diagnostic| {
            let label = it.labels.first();
            it.is_error() && label.is_some_and(|it| Arc::ptr_eq(&it.source, &file.source))
        };
        match built.diagnostics.into_iter().find(is_of_file) {
            Some(problem) => Err(problem),
            None => Ok(Some(built.set)),
        }
    }

    fn unknown_setting(&self, file: &TestFile, name: &str, span: Span) -> Diagnostic {
        let policies = self.documents.policies.iter();
        let known = policies.flat_map(|policy| policy.settings.keys().map(String::as_str));
        let diagnostic = Diagnostic::error(
            "test/unknown-key",
            format!("the policy has no setting `{name}`"),
        )
        .at(&file.source, span);
        match nearest(name, known) {
            Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
            None => diagnostic.help("settings are declared in the policy's front matter"),
        }
    }

    /// Links the policies with the parameters of a case; `None` if it has none of its own.
    fn with_params(
        &self,
        file: &TestFile,
        case: &Case,
        set: &PolicySet,
    ) -> Result<Option<PolicySet>, Diagnostic> {
        let Some(params) = &case.params else {
            return Ok(None);
        };
        let params = params
            .iter()
            .map(|(object, span)| self.param(file, object, *span));
        let params = params.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(set.with_params(params)))
    }

    /// Makes a parameter; what it does not say about itself is what the policy and its binding ask
    /// for.
    fn param(
        &self,
        file: &TestFile,
        object: &Value,
        span: Span,
    ) -> Result<ParamObject, Diagnostic> {
        let policies = &self.documents.policies;
        let declared = policies
            .iter()
            .find_map(|policy| policy.param_kind.as_ref());
        let text = |path: &str| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let api_version = text("/apiVersion").or(declared.map(|kind| kind.api_version.clone()));
        let kind = text("/kind").or(declared.map(|kind| kind.kind.clone()));
        let (Some(api_version), Some(kind)) = (api_version, kind) else {
            let message = "a parameter has no `apiVersion` or no `kind`";
            let help = "the policy declares no kind of parameters either";
            let diagnostic = Diagnostic::error("test/required", message);
            return Err(diagnostic.at(&file.source, span).help(help));
        };
        let name = text("/metadata/name")
            .or_else(|| self.param_name())
            .unwrap_or_default();
        let mut object = object.clone();
        complete(&mut object, &api_version, &kind, &name);
        let labels = object
            .pointer("/metadata/labels")
            .and_then(Value::as_object);
        let label =
            |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        Ok(ParamObject {
            kind: ParamKind { api_version, kind },
            name,
            namespace: text("/metadata/namespace").unwrap_or_default(),
            labels: labels
                .into_iter()
                .flatten()
                .filter_map(label)
                .collect::<BTreeMap<_, _>>(),
            object: Arc::new(object),
            origin: Origin {
                source: Arc::clone(&file.source),
                span,
                form: Form::Kubernetes,
            },
        })
    }

    /// Returns the name that a binding asks for.
    fn param_name(&self) -> Option<String> {
        let mut references = self
            .documents
            .bindings
            .iter()
            .filter_map(|it| it.param_ref.as_ref());
        references.find_map(|reference| match &reference.select {
            ParamSelect::Name(name) => Some(name.clone()),
            ParamSelect::Selector(_) => None,
        })
    }

    fn request(&self, file: &TestFile, case: &Case) -> Result<OwnedRequest, Diagnostic> {
        let request = &case.request;
        let namespace = request
            .namespace
            .clone()
            .unwrap_or_else(|| NAMESPACE.to_owned());
        let synthesis = Synthesis {
            operation: case.operation,
            object: case.object.clone(),
            old_object: case.old_object.clone(),
            namespace,
            name: request.name.clone(),
            user: request.user.clone().unwrap_or_default(),
            dry_run: request.dry_run,
            sub_resource: request.sub_resource.clone(),
            resource: request.resource.clone(),
            options: request.options.clone(),
            ..Synthesis::create(Value::Null)
        };
        let made = synthesis.request(&self.resources);
        made.map_err(|error| unusable(file, case.place, &error.to_string()))
    }

    /// Returns the objects of the cluster as the API server keeps them, the namespace of the request
    /// among them, whose name is given.
    fn cluster(&self, file: &TestFile, case: &Case, name: &str) -> Result<Vec<Value>, Diagnostic> {
        let mut objects = Vec::new();
        for (object, span) in &case.cluster {
            let kept = self.settle(object.clone());
            objects.push(kept.map_err(|problem| unusable(file, *span, &problem))?);
        }
        if let Some(namespace) = &case.namespace_object {
            let mut namespace = namespace.clone();
            complete(&mut namespace, "v1", "Namespace", name);
            let kept = self.settle(namespace);
            // The first one of a name is found.
            objects.insert(
                0,
                kept.map_err(|problem| unusable(file, case.place, &problem))?,
            );
        }
        Ok(objects)
    }

    fn settle(&self, object: Value) -> Result<Value, String> {
        let owned = Synthesis {
            user: User::default(),
            ..Synthesis::create(object)
        };
        let owned = owned
            .request(&self.resources)
            .map_err(|error| error.to_string())?;
        let raw = owned.request().object.map_or("null", |raw| raw.get());
        serde_json::from_str(raw).map_err(|error| error.to_string())
    }
}

/// Compiles policies with nothing to fall back to.
fn build(mut documents: Documents, version: KubernetesVersion) -> Built {
    settle_reach(&mut documents, None);
    PolicySet::build(documents, version, &PolicySet::default(), |_| false)
}

/// Tells the table of resources which ones the rules of policies name.
pub fn mention(resources: &mut Resources, set: &PolicySet) {
    let constraints = set
        .policies()
        .iter()
        .filter_map(|it| it.policy.match_constraints.as_ref());
    for rule in constraints.flat_map(|constraints| &constraints.resource_rules) {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let resource = resource.split('/').next().unwrap_or_default();
                resources.mention(group, resource);
            }
        }
    }
}

/// Fills in what an object does not say about itself.
fn complete(object: &mut Value, api_version: &str, kind: &str, name: &str) {
    let Value::Object(fields) = object else {
        return;
    };
    let fill = |fields: &mut Map<String, Value>, key: &str, text: &str| {
        if !fields.contains_key(key) && !text.is_empty() {
            fields.insert(key.to_owned(), text.into());
        }
    };
    fill(fields, "apiVersion", api_version);
    fill(fields, "kind", kind);
    if let Value::Object(metadata) = fields.entry("metadata").or_insert_with(|| json!({})) {
        fill(metadata, "name", name);
    }
}

fn unusable(file: &TestFile, span: Span, problem: &str) -> Diagnostic {
    Diagnostic::error(
        "test/required",
        format!("the case cannot be run: {problem}"),
    )
    .at(&file.source, span)
}

/// Sorts what was decided; what several bindings say is said once.
fn got(verdict: &Verdict, applied: bool, errors: Vec<String>) -> Got {
    let mut got = Got {
        applied: applied
            || !errors.is_empty()
            || !verdict.decisions.is_empty()
            || !verdict.excused.is_empty(),
        annotations: verdict.audit_annotations.clone(),
        excused: excused(verdict),
        ..Got::default()
    };
    let mut seen = Vec::new();
    for decision in &verdict.decisions {
        let messages = match decision.outcome {
            Decided::Error => &mut got.errors,
            Decided::Violation if decision.is_denial() => &mut got.denials,
            Decided::Violation if decision.actions.contains(&ValidationAction::Warn) => {
                &mut got.warnings
            }
            Decided::Violation => &mut got.records,
        };
        let policy: &Policy = &decision.policy.policy;
        let key = (
            &policy.name,
            decision.validation,
            &decision.message,
            decision.is_denial(),
        );
        if !seen.contains(&key) {
            seen.push(key);
            messages.push(decision.message.clone());
        }
    }
    // An exception that failed excused nothing, and that is not what was meant.
    for unapplied in &verdict.unapplied {
        got.errors.push(unapplied.message.clone());
    }
    // Errors that a failure policy hides decide nothing, and are still not what was meant.
    let taken_back = verdict.excused.iter().flat_map(|it| &it.decisions);
    let taken_back: Vec<&str> = taken_back.map(|it| it.message.as_str()).collect();
    for error in errors {
        if !got.errors.contains(&error) && !taken_back.contains(&error.as_str()) {
            got.errors.push(error);
        }
    }
    got
}

/// The exceptions that have taken something back.
fn excused(verdict: &Verdict) -> Vec<String> {
    let names = verdict.excused.iter();
    names.map(|it| it.exception.exception.full_name()).collect()
}

/// Watches one case.
struct Watch<'t> {
    tally: &'t mut Tally,
    applied: bool,
    errors: Vec<String>,
}

impl Observer for Watch<'_> {
    fn applies(&mut self, policy: &CompiledPolicy) {
        self.applied = true;
        self.tally.applied(policy);
    }

    fn validated(&mut self, policy: &CompiledPolicy, validation: usize, held: Held) {
        self.tally.validated(policy, validation, held);
    }

    fn failed(&mut self, _: &CompiledPolicy, message: &str) {
        self.errors.push(message.to_owned());
    }
}

#[cfg(test)]
mod tests;
