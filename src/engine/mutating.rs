//! Changes an object by the mutating policies that match it.
//!
//! Semantics: apiserver `plugin/policy/generic/policy_dispatcher.go`, `Dispatch`, and
//! `plugin/policy/mutating/dispatcher.go`, `dispatchInvocations`: which policies match is settled on the
//! object as it came, each then sees what those before it have made of it, match conditions included.
//! If a policy has run, all of that happens a second time, as the API server passes the object through
//! its plugins again: conditions that fail on the changed object are errors of their policies, and of the
//! policies that have run, those with `reinvocationPolicy: IfNeeded` run once more.
//!
//! DIVERGES: a policy that changes what an object is (its name, namespace, uid, `apiVersion` or `kind`)
//! is an error of that policy.
//!
//! A policy that an exception excuses the object from does not run; that is settled on the object as it
//! came.
//!
//! DIVERGES: policies that match in several versions see what those before them have made of the object.
//! Upstream keeps an object for each version, of which only the one that was changed last is kept, and
//! goes on with it in the version that was sent once a built-in object is changed.

pub(super) mod among;
mod change;

use std::sync::Arc;

use bumpalo::Bump;
use serde_json::Value as Object;
use serde_json::value::to_raw_value;

use crate::admission::convert::convert;
use crate::admission::resources::{Provenance, split};
use crate::admission::review::{self, AdmissionRequest, GroupVersionKind};
use crate::admission::{decode, defaults};
use crate::json::{self, Json};
use crate::patch;
use crate::patch::json::{Applied, Operation};
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{
    Audience, Binding, FailurePolicy, MatchResources, Mutation, ParamObject, PolicyKind, Reading,
    Reason, ReinvocationPolicy, ValidationAction,
};
use crate::policy::set::{BoundPolicy, PolicySet};
use crate::schema::{Kind, Schemas};

use super::activation::{Document, Phase};
use super::documents::Documents;
use super::exceptions::Excuses;
use super::matching::{self, As, Target};
use super::observer::{Done, Observer, Unwatched};
use super::params::{self, Params};
use super::run::{COST_BUDGET, OutOfBudget, Run, Subject, out_of_budget, read};
use super::secrecy::Secrecy;
use super::verdict::{Decision, ErrorKind, Outcome, Problem, Verdict, fault_actions};
use super::{EngineError, Options, arena_bytes, is_selected, unusable};

/// How objects are changed.
#[derive(Clone, Copy)]
pub struct Mutating<'s> {
    /// What kinds look like; asked for only if something is to be changed.
    pub schemas: &'s dyn Fn() -> &'s Schemas,
    /// Whether a changed object is brought into the form that the API server gives it.
    pub defaults: Defaults,
}

/// Whether an object is read into the type of its kind, and what it leaves out is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defaults {
    /// After each change.
    Applied,
    /// Not at all.
    Omitted,
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Mutated {
    /// Errors of policies that fail closed.
    pub verdict: Verdict,
    /// Why the request is refused, whatever the failure policies.
    pub refusal: Option<Refusal>,
    /// The object as it is now, if a mutation was applied, even to no effect.
    pub object: Option<Object>,
    /// What has changed; empty if nothing has, or if the request is refused.
    pub patch: Vec<Operation>,
    /// What policies would change that only record it, each of the object as it was when its turn came.
    pub audited: Vec<Audited>,
    /// What would change if the changed object were sent again: something should only if policies
    /// disagree. Looked for in debug builds alone, and without a consequence.
    pub unsettled: Vec<Operation>,
}

/// A change that is recorded and not made.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The policy.
    pub policy: Arc<CompiledPolicy>,
    /// Its binding.
    pub binding: String,
    /// What is done instead.
    pub actions: Vec<ValidationAction>,
    /// Who is told of it.
    pub audience: Audience,
    /// What would have changed; never empty.
    pub patch: Vec<Operation>,
}

/// A fault that refuses a request whatever the failure policy of the policy that it is found with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The object cannot be read as one of its kind any more.
    #[error("Internal error occurred: {0}")]
    Internal(String),
    /// The schema of the kind is not known.
    #[error("{0}")]
    Unavailable(String),
}

impl Mutated {
    /// Says whether the request is rejected.
    pub fn is_denied(&self) -> bool {
        self.refusal.is_some() || self.verdict.is_denied()
    }
}

/// Changes the object of a request by the mutating policies of `set`.
pub fn mutate(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    mutating: Mutating<'_>,
) -> Result<Mutated, EngineError> {
    mutate_observed(set, request, options, mutating, &mut Unwatched)
}

/// Changes an object as [`mutate`] does, and tells `observer` what is evaluated on the way.
pub fn mutate_observed(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    mutating: Mutating<'_>,
    observer: &mut dyn Observer,
) -> Result<Mutated, EngineError> {
    let how = (mutating, among::Among::All);
    let mut mutated = mutate_once(set, request, options, how, observer)?;
    if cfg!(debug_assertions)
        && let Some(object) = mutated
            .object
            .as_ref()
            .filter(|_| !mutated.patch.is_empty())
        && let Ok(raw) = to_raw_value(object)
    {
        let again = AdmissionRequest {
            object: Some(&raw),
            ..request.clone()
        };
        let again = mutate_once(set, &again, options, how, &mut Unwatched);
        mutated.unsettled = again.map(|again| again.patch).unwrap_or_default();
    }
    Ok(mutated)
}

fn mutate_once(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    (mutating, among): (Mutating<'_>, among::Among<'_>),
    observer: &mut dyn Observer,
) -> Result<Mutated, EngineError> {
    if request.operation == review::Operation::Delete {
        // Upstream never asks mutating policies about these, whatever their rules say
        // (apiserver `plugin/policy/mutating/plugin.go`, `NewPlugin`).
        return Ok(Mutated::default());
    }
    let target = Target::of(request, options.resources);
    let candidates: Vec<_> = matching::candidates(set, PolicyKind::Mutating, &target)
        .filter(|(bound, _)| is_selected(bound, options) && among.has(bound))
        .collect();
    let mut mutated = Mutated {
        verdict: Verdict {
            secrecy: Secrecy::about(request),
            ..Verdict::default()
        },
        ..Mutated::default()
    };
    if candidates.is_empty() {
        return Ok(mutated);
    }
    let arena = Bump::with_capacity(arena_bytes(request));
    let document = arena.alloc(Document::parse(&arena, request, options)?);
    let candidates = Candidates {
        set,
        target: &target,
        policies: &candidates,
        options,
    };
    let mut documents = Documents::new(&arena, request, options, document);
    let excuses = Excuses::new(set, (&arena, &target), document, options);
    let invocations =
        candidates.invocations(&mut documents, document, (&mut mutated.verdict, observer));
    excuses.settle(&mut mutated.verdict);
    // Those that come later see what those before have put into the object.
    for invocation in &invocations {
        let secrecy = &mut mutated.verdict.secrecy;
        *secrecy = secrecy.said_by(invocation.policy);
    }
    let Some(before) = request.object.filter(|_| !invocations.is_empty()) else {
        return Ok(mutated);
    };
    let before: Object = serde_json::from_str(before.get())
        .map_err(|error| EngineError::Unreadable(error.to_string()))?;
    let mut changing = Changing {
        arena: &arena,
        candidates,
        request,
        options,
        mutating,
        among,
        excuses,
        document,
        object: before.clone(),
        is_stale: false,
        has_run: false,
        ignored: None,
        mutated,
    };
    changing.run_all(&invocations, observer);
    Ok(changing.finish(&before))
}

/// Says why a policy that matches cannot be used.
fn problem_of(policy: &CompiledPolicy, wanted: Result<&Document<'_>, String>) -> Option<String> {
    match policy.configuration_error {
        Some(_) => Some("the policy is not valid".to_owned()),
        None => wanted.err(),
    }
}

/// The policies that may be about a request, by what can be seen without its object.
#[derive(Clone, Copy)]
struct Candidates<'s> {
    set: &'s PolicySet,
    target: &'s Target<'s>,
    policies: &'s [(&'s BoundPolicy, As)],
    options: Options<'s>,
}

impl<'s> Candidates<'s> {
    /// Returns what is to be run for the object as `document` shows it; what cannot be used becomes
    /// a decision.
    fn invocations(
        self,
        documents: &mut Documents<'_>,
        document: &Document<'_>,
        (verdict, observer): (&mut Verdict, &mut dyn Observer),
    ) -> Vec<Invocation<'s>> {
        let (target, cluster) = (self.target, self.options.cluster);
        let mut invocations = Vec::new();
        for (bound, version) in self.policies {
            let policy = &bound.policy;
            if !matching::policy_matches(policy, target, document, cluster) {
                continue;
            }
            verdict.matched += 1;
            if let Some(problem) = problem_of(policy, documents.get(version)) {
                let error = Decision::configuration_error(bound, None, &problem);
                unusable((bound, None), error, observer, verdict);
                continue;
            }
            for binding in &bound.bindings {
                if !matching::binding_matches(binding, target, document, cluster) {
                    continue;
                }
                match self.invoked(policy, version, binding, document) {
                    Ok(found) => invocations.extend(found),
                    Err(problem) => {
                        let error = Decision::configuration_error(bound, Some(binding), &problem);
                        unusable((bound, Some(binding)), error, observer, verdict);
                    }
                }
            }
        }
        invocations
    }

    fn invoked(
        self,
        policy: &'s Arc<CompiledPolicy>,
        version: &'s As,
        binding: &'s Binding,
        document: &Document<'_>,
    ) -> Result<Vec<Invocation<'s>>, String> {
        // DIVERGES: as for validating policies, a typing error in a file does not switch its policy
        // off.
        if binding.reading == Reading::Faulty {
            return Err("the binding is not valid".to_owned());
        }
        let of = |param| Invocation {
            policy,
            binding,
            param,
            version,
        };
        Ok(
            match params::collect(self.set, policy, binding, document, self.options)? {
                Params::None => vec![of(None)],
                Params::These(params) => params.into_iter().map(Some).map(of).collect(),
            },
        )
    }

    /// Says whether a policy may refuse a changed object though it has not refused the object as it
    /// came.
    fn may_refuse(self) -> bool {
        self.policies.iter().any(|(bound, _)| {
            let policy = &bound.policy;
            let selects = |constraints: &Option<MatchResources>| {
                constraints.as_ref().is_some_and(|constraints| {
                    let selectors = [
                        &constraints.object_selector,
                        &constraints.namespace_selector,
                    ];
                    !selectors.iter().all(|selector| selector.selects_all())
                })
            };
            policy.failure_policy() == FailurePolicy::Fail
                && (!policy.policy.match_conditions.is_empty()
                    || selects(&policy.policy.match_constraints)
                    || bound
                        .bindings
                        .iter()
                        .any(|binding| selects(&binding.match_resources)))
        })
    }
}

/// A policy to run, for a binding and a parameter.
struct Invocation<'s> {
    policy: &'s Arc<CompiledPolicy>,
    binding: &'s Binding,
    param: Option<&'s ParamObject>,
    /// In which version it looks at the object.
    version: &'s As,
}

impl Invocation<'_> {
    /// Says whether it is about the same policy, binding and parameter (`dispatcher.go`, `keyFor`).
    fn is(&self, other: &Invocation<'_>) -> bool {
        let same = |a: Option<&ParamObject>, b: Option<&ParamObject>| match (a, b) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        Arc::ptr_eq(self.policy, other.policy)
            && std::ptr::eq(self.binding, other.binding)
            && same(self.param, other.param)
    }
}

/// Why a mutation is not applied.
enum Failure {
    /// An error under the policy's failure policy.
    Policy(Problem),
    /// One of the request.
    Request(Refusal),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Policy(Problem::from(message))
    }
}

/// An object on its way through the policies.
struct Changing<'a, 's> {
    arena: &'a Bump,
    candidates: Candidates<'a>,
    request: &'a AdmissionRequest<'a>,
    options: Options<'a>,
    mutating: Mutating<'s>,
    among: among::Among<'a>,
    excuses: Excuses<'a>,
    document: &'a Document<'a>,
    object: Object,
    /// Whether `document` shows the object as it was before the last mutation.
    is_stale: bool,
    /// Whether a mutation was applied, even to no effect.
    has_run: bool,
    /// An error of the policy whose turn it is, that its failure policy passes over.
    ignored: Option<ErrorKind>,
    mutated: Mutated,
}

impl<'a> Changing<'a, '_> {
    /// Runs every invocation. If one has, the changed object is matched anew, conditions included, and
    /// those that want it run once more.
    fn run_all(&mut self, invocations: &[Invocation<'a>], observer: &mut dyn Observer) {
        let mut to_repeat = Vec::new();
        for invocation in invocations {
            let holds = self.invoke(invocation, true, observer);
            if self.mutated.refusal.is_some() {
                return;
            }
            let policy = &invocation.policy.policy;
            let is_repeated = policy.reinvocation_policy == ReinvocationPolicy::IfNeeded;
            if holds && is_repeated && !self.is_tried(invocation) {
                to_repeat.push(invocation);
            }
        }
        self.excuses.settle(&mut self.mutated.verdict);
        let is_over = !self.has_run || self.mutated.is_denied();
        if is_over || (to_repeat.is_empty() && !self.candidates.may_refuse()) {
            return;
        }
        let current = self.current();
        let mut documents = Documents::new(self.arena, self.request, self.options, current);
        let mut verdict = Verdict::default();
        let again = self
            .candidates
            .invocations(&mut documents, current, (&mut verdict, observer));
        self.mutated.verdict.decisions.extend(verdict.decisions);
        for invocation in &again {
            let runs = to_repeat.iter().any(|repeated| repeated.is(invocation));
            self.invoke(invocation, runs, observer);
            if self.mutated.refusal.is_some() {
                return;
            }
        }
        self.excuses.settle(&mut self.mutated.verdict);
    }

    /// Says whether what the policy would change is only recorded.
    fn is_tried(&self, invocation: &Invocation<'_>) -> bool {
        invocation.binding.is_audited() && !matches!(self.among, among::Among::Only(_))
    }

    /// Says whether an exception passes over the policy.
    fn is_excused(&mut self, invocation: &Invocation<'a>) -> bool {
        let verdict = &mut self.mutated.verdict;
        self.excuses.excuse_from(invocation.policy, verdict)
    }

    /// Looks at the conditions of a policy, and if they hold, which is returned, and it is to run, runs
    /// it.
    fn invoke(
        &mut self,
        invocation: &Invocation<'a>,
        runs: bool,
        observer: &mut dyn Observer,
    ) -> bool {
        observer.begins(invocation.policy, invocation.binding);
        let verdict = &self.mutated.verdict;
        let (before, cost) = (verdict.decisions.len(), verdict.cost);
        let holds = self.conditions_hold(invocation, observer);
        let runs = holds && runs && !self.is_excused(invocation);
        let changes = match runs {
            true => self.run(invocation, observer),
            false => Vec::new(),
        };
        let verdict = &self.mutated.verdict;
        observer.ended(Done {
            policy: invocation.policy,
            binding: Some(invocation.binding),
            applied: runs,
            decisions: verdict.decisions.get(before..).unwrap_or_default(),
            ignored: self.ignored.take(),
            changes: &changes,
            refusal: self.mutated.refusal.as_ref(),
            cost: verdict.cost.saturating_sub(cost),
        });
        holds
    }

    /// Says whether the conditions of a policy hold; an error of theirs is one of the policy.
    fn conditions_hold(
        &mut self,
        invocation: &Invocation<'a>,
        observer: &mut dyn Observer,
    ) -> bool {
        let document = self.document_for(invocation);
        let conditions = document.map_err(Problem::from).and_then(|document| {
            let mut run = self.evaluation(invocation, document, observer);
            let conditions = run.conditions_hold();
            self.ignored = run.ignored;
            conditions
        });
        conditions.unwrap_or_else(|problem| {
            self.fail(invocation, None, problem, observer);
            false
        })
    }

    /// Applies what a policy whose conditions hold makes of the object; returns what has changed.
    fn run(&mut self, invocation: &Invocation<'a>, observer: &mut dyn Observer) -> Vec<Operation> {
        let policy = &**invocation.policy;
        observer.applies(policy);
        if self.is_tried(invocation) {
            return self.audit(invocation, observer);
        }
        let before = self.object.clone();
        for (at, mutation) in policy.policy.mutations.iter().enumerate() {
            match self.applied(invocation, (at, mutation), observer) {
                Ok(()) => self.accept(),
                Err(Failure::Policy(problem)) => self.fail(invocation, Some(at), problem, observer),
                Err(Failure::Request(refusal)) => {
                    self.mutated.refusal = Some(refusal);
                    return Vec::new();
                }
            }
        }
        patch::diff::diff(&before, &self.object)
    }

    /// Records what a policy would make of the object, which stays as it is.
    fn audit(
        &mut self,
        invocation: &Invocation<'a>,
        observer: &mut dyn Observer,
    ) -> Vec<Operation> {
        let policy = invocation.policy;
        let (before, document) = (self.object.clone(), self.current());
        let had_run = self.has_run;
        for (at, mutation) in policy.policy.mutations.iter().enumerate() {
            match self.applied(invocation, (at, mutation), observer) {
                Ok(()) => self.accept(),
                Err(Failure::Policy(problem)) => self.fail(invocation, Some(at), problem, observer),
                Err(Failure::Request(refusal)) => {
                    let problem = Problem::from(refusal.to_string());
                    self.fail(invocation, Some(at), problem, observer);
                    break;
                }
            }
        }
        let patch = patch::diff::diff(&before, &self.object);
        (self.object, self.document, self.is_stale) = (before, document, false);
        self.has_run = had_run;
        if !patch.is_empty() {
            self.mutated.audited.push(Audited {
                policy: Arc::clone(policy),
                binding: invocation.binding.name.clone(),
                actions: invocation.binding.validation_actions.clone(),
                audience: invocation.binding.audience(),
                patch: patch.clone(),
            });
        }
        patch
    }

    /// Tells what has become of the object, and how it is told to the API server.
    fn finish(self, before: &Object) -> Mutated {
        let Changing {
            mut mutated,
            object,
            has_run,
            ..
        } = self;
        if mutated.is_denied() || !has_run {
            return mutated;
        }
        let patch = patch::diff::diff(before, &object);
        // What does not apply would be an error of the API server's, whatever the failure policy.
        match patch::json::apply(before, &patch) {
            Ok(Applied::Changed(applied)) if is_read_as(&object, &applied) => mutated.patch = patch,
            _ => {
                let problem = "the patch does not give the object that the policies made";
                mutated.refusal = Some(Refusal::Internal(problem.to_owned()));
            }
        }
        mutated.object = Some(object);
        mutated
    }

    /// The object as it is now, in the version that a policy is about.
    fn document_for(&mut self, invocation: &Invocation<'a>) -> Result<&'a Document<'a>, String> {
        let current = self.current();
        Documents::new(self.arena, self.request, self.options, current).get(invocation.version)
    }

    fn evaluation<'o>(
        &self,
        invocation: &Invocation<'a>,
        document: &'a Document<'a>,
        observer: &'o mut dyn Observer,
    ) -> Run<'a, 'o> {
        let policy = invocation.policy;
        let subject = Subject {
            policy,
            arena: self.arena,
            document,
            is_repeated: false,
        };
        let options = self.options;
        Run {
            policy,
            arena: self.arena,
            subject,
            params: invocation
                .param
                .map(|param| read(self.arena, param, options)),
            options,
            is_tracing: observer.is_tracing(),
            observer,
            cost: 0,
            ignored: None,
        }
    }

    /// Applies a mutation to the object, which stays as it is if that fails. Each has a budget of its
    /// own.
    fn applied(
        &mut self,
        invocation: &Invocation<'a>,
        (at, mutation): (usize, &Mutation),
        observer: &mut dyn Observer,
    ) -> Result<(), Failure> {
        let Some(expression) = invocation.policy.mutations.get(at) else {
            return Err(Failure::from("the mutation is not compiled".to_owned()));
        };
        let document = self.document_for(invocation).map_err(Failure::from)?;
        let mut run = self.evaluation(invocation, document, observer);
        let inputs = run.activation(Phase::Mutations);
        let mut budget = COST_BUDGET;
        let result = run.expression(expression, inputs, &mut budget);
        let cost = run.cost;
        self.mutated.verdict.cost = self.mutated.verdict.cost.saturating_add(cost);
        let value = match result {
            Ok(Ok(value)) => value,
            Ok(Err(problem)) => return Err(Failure::Policy(problem)),
            Err(OutOfBudget) => return Err(Failure::Policy(out_of_budget())),
        };
        let schemas = self.mutating.schemas;
        let change = |object: &mut Object, kind: &Kind| match mutation {
            Mutation::JsonPatch(_) => change::patch(object, (schemas, kind), value),
            Mutation::ApplyConfiguration(_) => change::merge(object, (schemas, kind), value),
        };
        if std::ptr::eq(document, self.document) {
            let kind = self.kind();
            return change(&mut self.object, &kind);
        }
        let before = document.object.to_value();
        let mut object = before.clone();
        change(&mut object, &kind_of(&before))?;
        if object != before {
            self.object = self.converted_back(&object)?;
        }
        Ok(())
    }

    /// Turns an object that was changed in another version into the one that it came in.
    ///
    /// Upstream converts every object; what cannot be converted here is an error of the policy.
    fn converted_back(&self, object: &Object) -> Result<Object, Failure> {
        let request = self.request;
        let sent = request.request_resource.as_ref();
        let sent = sent.unwrap_or(&request.resource);
        let versions = self.options.resources.versions(&sent.group, &sent.resource);
        let api_version = api_version(&request.kind);
        let object = json::from_value(self.arena, object);
        let back = convert(
            self.arena,
            object,
            versions,
            self.arena.alloc_str(&api_version),
        );
        back.map(Json::to_value).ok_or_else(|| {
            Failure::from(format!(
                "failed to convert object: what was changed cannot be made {api_version} here"
            ))
        })
    }

    fn is_built_in(&self) -> bool {
        let kind = &self.request.kind;
        let api_version = api_version(kind);
        let resource = self.options.resources.by_kind(&api_version, &kind.kind);
        resource.provenance == Provenance::BuiltIn
    }

    fn kind(&self) -> Kind {
        let kind = &self.request.kind;
        Kind {
            group: kind.group.to_string(),
            version: kind.version.to_string(),
            kind: kind.kind.to_string(),
        }
    }

    /// Goes on with a changed object.
    fn accept(&mut self) {
        self.has_run = true;
        let is_built_in = self.is_built_in();
        if let (Object::Object(fields), Defaults::Applied) =
            (&mut self.object, self.mutating.defaults)
        {
            // The API server reads it into the type of its kind, and fills in what is left out.
            match is_built_in {
                true => decode::built_in(fields),
                false => decode::custom(fields),
            }
            defaults::apply(fields);
        }
        self.is_stale = true;
    }

    /// The object as policies see it now.
    fn current(&mut self) -> &'a Document<'a> {
        if std::mem::take(&mut self.is_stale) {
            let parsed = json::from_value(self.arena, &self.object);
            let objects = [parsed, self.document.old_object];
            // The request was read before, and is the same.
            if let Ok(document) = Document::with(self.arena, self.request, self.options, objects) {
                self.document = self.arena.alloc(document);
            }
        }
        self.document
    }

    fn fail(
        &mut self,
        invocation: &Invocation<'_>,
        at: Option<usize>,
        Problem { kind, message }: Problem,
        observer: &mut dyn Observer,
    ) {
        let policy = invocation.policy;
        observer.failed(policy, &message);
        if policy.failure_policy() == FailurePolicy::Ignore {
            self.ignored = Some(kind);
            return;
        }
        self.mutated.verdict.decisions.push(Decision {
            policy: Arc::clone(policy),
            binding: Some(invocation.binding.name.clone()),
            validation: at,
            outcome: Outcome::Error,
            error: Some(kind),
            actions: fault_actions(policy, &[invocation.binding]),
            audience: invocation.binding.audience(),
            message,
            reason: Reason::Invalid,
        });
    }
}

/// Says whether an object that is written is read as another, in which whole doubles are integers.
fn is_read_as(object: &Object, read: &Object) -> bool {
    object == read
        || matches!(
            patch::json::apply(object, &[]),
            Ok(Applied::Changed(own)) if own == *read
        )
}

fn api_version(kind: &GroupVersionKind<'_>) -> String {
    match kind.group.is_empty() {
        true => kind.version.to_string(),
        false => format!("{}/{}", kind.group, kind.version),
    }
}

/// What an object says of its kind.
fn kind_of(object: &Object) -> Kind {
    let text = |field: &str| {
        let text = object.get(field).and_then(Object::as_str);
        text.unwrap_or_default()
    };
    let (group, version) = split(text("apiVersion"));
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: text("kind").to_owned(),
    }
}
