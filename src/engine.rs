//! Decides requests: the one evaluation path of `serve`, `check`, `test` and everything else.
//!
//! A request is matched against the set's index; the object is parsed only when a policy matches.
//! Each matching policy is evaluated for each of its bindings and parameters, in order of name, and
//! its decisions are collected into a [`Verdict`]. Synchronous, without clock and I/O: the cluster
//! answers from memory ([`cluster::ClusterView`]), the deadline is asked for.
//!
//! Semantics: apiserver `pkg/admission/plugin/policy/validating/dispatcher.go`, `Dispatch`.

mod activation;
pub mod authorizer;
pub mod cluster;
mod documents;
mod exceptions;
mod excused;
mod matching;
pub mod mutating;
pub mod observer;
mod params;
pub mod respond;
mod run;
pub mod secrecy;
pub mod trial;
mod validating;
pub mod verdict;

use bumpalo::Bump;
use rustc_hash::FxHashMap;

use crate::admission::resources::Resources;
use crate::admission::review::AdmissionRequest;
use crate::cel::eval::IsExpired;
use crate::cel::value::Timestamp;
use crate::cel::value::access::Authorize;
use crate::json::JsonError;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Binding, FailurePolicy, ParamObject, PolicyKind, Reading};
use crate::policy::set::{BoundPolicy, PolicySet};

use activation::Document;
use cluster::ClusterView;
use documents::Documents;
use exceptions::Excuses;
use matching::Target;
use observer::{Done, Observer, Unwatched};
use params::Params;
use secrecy::Secrecy;
use verdict::{Decision, ErrorKind, Evaluated, Outcome, Verdict};

/// How a request is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Options<'o> {
    /// What is known of the cluster.
    pub cluster: &'o dyn ClusterView,
    /// What is known of its resources: versions that are the same, and fields that hold numbers.
    pub resources: &'o Resources,
    /// Who is asked what the user of the request may do; without one, expressions that ask fail.
    pub authorizer: Option<&'o dyn Authorize>,
    /// Asked now and then; `true` ends the evaluation with an error.
    pub is_expired: Option<&'o dyn IsExpired>,
    /// Which policies to apply.
    pub select: Select,
    /// What time it is, for exceptions, which all end; if it is not known, nothing is excused.
    pub now: Option<Timestamp>,
}

impl<'o> Options<'o> {
    /// All policies are applied, with built-in resources, nobody to ask, no deadline, and nothing excused.
    pub fn new(cluster: &'o dyn ClusterView) -> Self {
        Options {
            cluster,
            resources: Resources::built_in(),
            authorizer: None,
            is_expired: None,
            select: Select::All,
            now: None,
        }
    }
}

/// Which policies to apply, by what becomes of requests that nobody answers: the API server calls an
/// endpoint for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// All.
    All,
    /// Those for which it is this ([`BoundPolicy::unanswered`]).
    Only(FailurePolicy),
}

/// Why a request could not be decided; a fault of the request, HTTP 400.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// `object` is no document.
    #[error("request.object is unusable: {0}")]
    Object(#[source] JsonError),
    /// `oldObject` is no document.
    #[error("request.oldObject is unusable: {0}")]
    OldObject(#[source] JsonError),
    /// Another part of the request is no document.
    #[error("the request is unusable: {0}")]
    Request(#[source] JsonError),
    /// `object` cannot be changed, because it cannot be read.
    #[error("request.object is unusable: {0}")]
    Unreadable(String),
}

/// Decides a request by the validating policies of `set`.
///
/// The verdict lists every violation of every policy, in order of policy and binding name.
pub fn validate(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
) -> Result<Verdict, EngineError> {
    validate_observed(set, request, options, &mut Unwatched)
}

/// Decides a request as [`validate`] does, and tells `observer` what is evaluated on the way.
pub fn validate_observed(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Verdict, EngineError> {
    validate_some(set, request, options, &|_| true, observer)
}

/// Decides a request by some of the policies.
fn validate_some(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    is_asked: &dyn Fn(&BoundPolicy) -> bool,
    observer: &mut dyn Observer,
) -> Result<Verdict, EngineError> {
    let mut verdict = Verdict {
        secrecy: Secrecy::about(request),
        ..Verdict::default()
    };
    let target = Target::of(request, options.resources);
    let mut candidates = matching::candidates(set, PolicyKind::Validating, &target)
        .filter(|(bound, _)| is_selected(bound, options) && is_asked(bound))
        .peekable();
    if candidates.peek().is_none() {
        return Ok(verdict);
    }
    let arena = Bump::with_capacity(arena_bytes(request));
    let document = arena.alloc(Document::parse(&arena, request, options)?);
    let mut documents = Documents::new(&arena, request, options, document);
    for (bound, version) in candidates {
        let policy = &bound.policy;
        if !matching::policy_matches(policy, &target, document, options.cluster) {
            continue;
        }
        verdict.matched += 1;
        match documents.get(&version) {
            Ok(document) => {
                let watch = Watch { options, observer };
                let on = On {
                    arena: &arena,
                    document,
                    target: Some(&target),
                };
                evaluate(set, bound, on, watch, &mut verdict);
            }
            Err(message) => {
                let error = Decision::configuration_error(bound, None, &message);
                unusable((bound, None), error, observer, &mut verdict);
            }
        }
    }
    Excuses::new(set, (&arena, &target), document, options).settle(&mut verdict);
    Ok(verdict)
}

/// Evaluates the policies about the cluster as a whole (`scope: cluster`), once and without a request,
/// as [`validate_observed`] evaluates others: with the same budgets, bindings and failure policies.
///
/// What they say of the cluster is for an audit; there is nothing that a verdict could reject.
pub fn audit_cluster(
    set: &PolicySet,
    options: Options<'_>,
    observer: &mut dyn Observer,
) -> Verdict {
    let mut verdict = Verdict::default();
    let arena = Bump::new();
    let document = arena.alloc(Document::of_cluster());
    let policies = set.about_cluster().iter();
    for bound in policies.filter(|bound| is_selected(bound, options)) {
        verdict.matched += 1;
        let watch = Watch { options, observer };
        let on = On {
            arena: &arena,
            document,
            target: None,
        };
        evaluate(set, bound, on, watch, &mut verdict);
    }
    verdict
}

/// A parsed document takes about three times its text; measured on Deployments of 2 to 200 KB.
fn arena_bytes(request: &AdmissionRequest<'_>) -> usize {
    let raw = [request.object, request.old_object];
    let bytes: usize = raw.into_iter().flatten().map(|raw| raw.get().len()).sum();
    4096 + bytes * 3
}

fn is_selected(bound: &BoundPolicy, options: Options<'_>) -> bool {
    match options.select {
        Select::All => true,
        Select::Only(failure_policy) => bound.unanswered() == failure_policy,
    }
}

/// What a policy is evaluated on.
#[derive(Clone, Copy)]
struct On<'a, 't> {
    arena: &'a Bump,
    document: &'a Document<'a>,
    /// What the rules of bindings are compared with; `None` for the cluster as a whole, of which
    /// every binding is.
    target: Option<&'t Target<'t>>,
}

/// How to decide, and who is told.
struct Watch<'a, 'o> {
    options: Options<'a>,
    observer: &'o mut dyn Observer,
}

fn evaluate<'a>(
    set: &'a PolicySet,
    bound: &'a BoundPolicy,
    on: On<'a, '_>,
    Watch { options, observer }: Watch<'a, '_>,
    verdict: &mut Verdict,
) {
    let policy = &bound.policy;
    let document = on.document;
    if policy.configuration_error.is_some() {
        let error = Decision::configuration_error(bound, None, "the policy is not valid");
        return unusable((bound, None), error, observer, verdict);
    }
    let mut annotations = verdict::Annotations::default();
    let mut evaluations = Evaluations::new(policy, (on.arena, document), bound.bindings.len());
    for binding in &bound.bindings {
        let is_left_out = on.target.is_some_and(|target| {
            !matching::binding_matches(binding, target, document, options.cluster)
        });
        if is_left_out {
            continue;
        }
        // DIVERGES: the API server would not have stored it, and the policy would not be in force.
        // A typing error in a file must not switch its policy off.
        if binding.reading == Reading::Faulty {
            let problem = "the binding is not valid";
            let error = Decision::configuration_error(bound, Some(binding), problem);
            unusable((bound, Some(binding)), error, observer, verdict);
            continue;
        }
        let params = match params::collect(set, policy, binding, document, options) {
            Ok(params) => params,
            Err(message) => {
                let error = Decision::configuration_error(bound, Some(binding), &message);
                unusable((bound, Some(binding)), error, observer, verdict);
                continue;
            }
        };
        observer.begins(policy, binding);
        let (before, cost) = (verdict.decisions.len(), verdict.cost);
        let (mut applied, mut ignored) = (false, None);
        let mut add = |param| {
            let watch = Watch { options, observer };
            evaluations.with(param, watch, |evaluated| {
                applied |= evaluated.applied;
                ignored = ignored.or(evaluated.ignored);
                verdict.add(policy, binding, evaluated, &mut annotations);
            });
        };
        match params {
            Params::None => add(None),
            Params::These(params) => params.into_iter().map(Some).for_each(add),
        }
        observer.ended(Done {
            policy,
            binding: Some(binding),
            applied,
            decisions: verdict.decisions.get(before..).unwrap_or_default(),
            ignored,
            changes: &[],
            refusal: None,
            cost: verdict.cost.saturating_sub(cost),
        });
    }
    verdict.publish(&policy.policy.name, annotations);
}

/// Adds the decision about what cannot be used, if there is one.
fn unusable(
    (bound, binding): (&BoundPolicy, Option<&Binding>),
    error: Option<Decision>,
    observer: &mut dyn Observer,
    verdict: &mut Verdict,
) {
    observer.ended(Done {
        policy: &bound.policy,
        binding,
        applied: false,
        decisions: error.as_slice(),
        ignored: error.is_none().then_some(ErrorKind::Invalid),
        changes: &[],
        refusal: None,
        cost: 0,
    });
    verdict.decisions.extend(error);
}

/// The evaluations of one policy: one for each parameter, however many bindings have it.
struct Evaluations<'a> {
    policy: &'a CompiledPolicy,
    arena: &'a Bump,
    document: &'a Document<'a>,
    bindings: usize,
    /// By the address of the parameter.
    known: FxHashMap<Option<usize>, Evaluated>,
}

impl<'a> Evaluations<'a> {
    fn new(
        policy: &'a CompiledPolicy,
        (arena, document): (&'a Bump, &'a Document<'a>),
        bindings: usize,
    ) -> Self {
        Evaluations {
            policy,
            arena,
            document,
            bindings,
            known: FxHashMap::default(),
        }
    }

    /// Does something with what the policy gives with a parameter.
    fn with(
        &mut self,
        param: Option<&ParamObject>,
        watch: Watch<'a, '_>,
        then: impl FnOnce(&Evaluated),
    ) {
        let is_repeated = self.bindings > 1 && !watch.observer.is_watching();
        let subject = run::Subject {
            policy: self.policy,
            arena: self.arena,
            document: self.document,
            is_repeated,
        };
        if !is_repeated {
            return then(&validating::validate(subject, param, watch));
        }
        let address = param.map(|param| std::ptr::from_ref(param).addr());
        let evaluate = || validating::validate(subject, param, watch);
        then(self.known.entry(address).or_insert_with(evaluate));
    }
}

impl Outcome {
    /// Says whether the outcome is an error of the policy rather than a violation.
    pub fn is_error(self) -> bool {
        self == Outcome::Error
    }
}

#[cfg(test)]
mod tests;
