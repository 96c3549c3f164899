//! What is excused of a verdict: violations and errors of a policy that an exception takes back.
//!
//! Looked at only when a policy has found something, so that requests that violate nothing pay nothing,
//! and an exception that is never needed is seen to be so. What is taken back is kept in the verdict. An
//! exception takes everything of its policy back, errors included: an object that may violate a
//! policy in any way gains nothing by one. Mutations of a policy that is excused are not made.
//!
//! Where something is not known, nothing is excused: without a time, for an object in a namespace whose
//! labels are not known, in a version that is not known to be the same resource, and if the condition
//! cannot be evaluated.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use bumpalo::Bump;
use rustc_hash::FxHashMap;

use crate::cel::error::FaultKind;
use crate::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use crate::cel::value::Value;
use crate::json::Json;
use crate::policy::compile::CompiledPolicy;
use crate::policy::exceptions::{CompiledException, Matching, Pattern, Reach};
use crate::policy::model::LabelSelector;
use crate::policy::set::PolicySet;

use super::Options;
use super::activation::{Document, NAME_LABEL};
use super::matching::{As, Target, selects};
use super::verdict::{ErrorKind, Unapplied, Verdict};

/// What the conditions of all exceptions may cost for one request: as much as the match conditions of a
/// policy (apiserver `pkg/apis/cel/config.go`, `RuntimeCELCostBudgetMatchConditions`).
const BUDGET: u64 = 2_500_000;

/// The exceptions of a set, as far as they are about a request.
pub(super) struct Excuses<'a> {
    set: &'a PolicySet,
    arena: &'a Bump,
    target: &'a Target<'a>,
    /// The request as it came, whatever policies make of its object.
    document: &'a Document<'a>,
    options: Options<'a>,
    budget: Cell<u64>,
    /// Whether an exception is about the request, by its position in the set.
    known: RefCell<FxHashMap<usize, bool>>,
    /// Exceptions whose conditions could not be evaluated.
    unapplied: RefCell<Vec<Unapplied>>,
}

impl<'a> Excuses<'a> {
    pub(super) fn new(
        set: &'a PolicySet,
        (arena, target): (&'a Bump, &'a Target<'a>),
        document: &'a Document<'a>,
        options: Options<'a>,
    ) -> Self {
        Excuses {
            set,
            arena,
            target,
            document,
            options,
            budget: Cell::new(BUDGET),
            known: RefCell::default(),
            unapplied: RefCell::default(),
        }
    }

    /// Takes back what is excused of a verdict, and keeps it there.
    pub(super) fn settle(&self, verdict: &mut Verdict) {
        if self.set.exceptions().is_empty() || verdict.decisions.is_empty() {
            return;
        }
        for decision in std::mem::take(&mut verdict.decisions) {
            match self.of(&decision.policy) {
                Some(exception) => {
                    let policy = Arc::clone(&decision.policy);
                    verdict.excuse(exception, &policy, Some(decision));
                }
                None => verdict.decisions.push(decision),
            }
        }
        verdict.unapplied.append(&mut self.unapplied.borrow_mut());
    }

    /// Says whether a mutating policy is not to run, and if so notes that it did not.
    pub(super) fn excuse_from(&self, policy: &Arc<CompiledPolicy>, verdict: &mut Verdict) -> bool {
        let excusing = self.of(policy);
        verdict.unapplied.append(&mut self.unapplied.borrow_mut());
        let Some(exception) = excusing else {
            return false;
        };
        verdict.excuse(exception, policy, None);
        true
    }

    /// Returns the first exception that excuses the request from a policy.
    fn of(&self, policy: &CompiledPolicy) -> Option<&'a Arc<CompiledException>> {
        let mut about = self.set.exceptions().of_policy(&policy.policy.name);
        let found = about.find(|(at, exception)| {
            let known = self.known.borrow().get(at).copied();
            known.unwrap_or_else(|| {
                let applies = self.applies(exception);
                self.known.borrow_mut().insert(*at, applies);
                applies
            })
        });
        found.map(|(_, exception)| exception)
    }

    fn applies(&self, exception: &'a Arc<CompiledException>) -> bool {
        let matching = &exception.exception.matching;
        exception.is_in_force(self.options.now)
            && self.is_reached(exception.exception.reach, &exception.exception.namespace)
            && self.is_matched(matching)
            && self.condition_holds(exception)
    }

    /// A Namespace is in no namespace, its own included: who may write into it may not make it.
    fn is_reached(&self, reach: Reach, namespace: &str) -> bool {
        match reach {
            Reach::Everywhere => true,
            Reach::OwnNamespace => {
                self.document.is_namespaced() && self.document.namespace == namespace
            }
        }
    }

    fn is_matched(&self, matching: &Matching) -> bool {
        let is_there = || {
            let is_namespaced = self.document.is_namespaced();
            let mut namespaces = matching.namespaces.iter();
            is_namespaced && namespaces.any(|it| it.fits(self.document.namespace))
        };
        (matching.namespaces.is_empty() || is_there())
            && (matching.names.is_empty() || matching.names.iter().any(|it| self.is_named(it)))
            && (matching.resources.is_empty() || self.is_of(matching))
            && self.namespace_matches(&matching.namespace_selector)
            && self.object_matches(&matching.object_selector)
    }

    fn is_of(&self, matching: &Matching) -> bool {
        let version = self
            .target
            .matching(&matching.resources, Default::default());
        version.is_some_and(|version| version != As::Given)
    }

    /// An object that is yet to get its name has what the name will begin with.
    fn is_named(&self, pattern: &Pattern) -> bool {
        let text = |field| {
            let found = self.document.object.at(&["metadata", field]);
            found.and_then(Json::as_str).unwrap_or_default()
        };
        match (self.target.name(), text("name")) {
            ("", "") => {
                let prefix = text("generateName");
                !prefix.is_empty() && pattern.fits_all_beginning_with(prefix)
            }
            ("", name) | (name, _) => pattern.fits(name),
        }
    }

    /// What is in no namespace has none with these labels; elsewhere in Kubernetes a selector of
    /// namespaces matches it.
    fn namespace_matches(&self, selector: &LabelSelector) -> bool {
        if selector.selects_all() {
            return true;
        }
        if !self.document.is_namespaced() {
            return false;
        }
        let name = self.document.namespace;
        match self.options.cluster.namespace(name) {
            Some(namespace) => selector.selects(|label| {
                let labels = namespace.pointer("/metadata/labels")?;
                labels.get(label)?.as_str()
            }),
            None => {
                let mut keys = selector.match_labels.keys();
                let mut further = selector.match_expressions.iter();
                keys.all(|key| key == NAME_LABEL)
                    && further.all(|it| it.key == NAME_LABEL)
                    && selector.selects(|label| (label == NAME_LABEL).then_some(name))
            }
        }
    }

    /// The object as it would be: what it was excuses nothing that it becomes.
    fn object_matches(&self, selector: &LabelSelector) -> bool {
        let Document {
            object, old_object, ..
        } = *self.document;
        let object = if object.is_null() { old_object } else { object };
        selector.selects_all() || (!object.is_null() && selects(selector, object))
    }

    fn condition_holds(&self, exception: &Arc<CompiledException>) -> bool {
        let Some(condition) = &exception.condition else {
            return true;
        };
        let Ok(program) = &condition.program else {
            return false;
        };
        let budget = self.budget.get();
        let namespace = self
            .document
            .namespace_object(self.arena, self.options.cluster);
        let slots = self.document.slots_of_request(self.arena, namespace);
        let inputs = self.arena.alloc(Inputs::new(slots));
        let limits = Limits {
            cost: budget,
            is_expired: self.options.is_expired,
            ..Limits::default()
        };
        let outcome = evaluate(program, inputs, self.arena, limits, &mut Unobserved);
        self.budget.set(budget.saturating_sub(outcome.cost));
        match outcome.value {
            Ok(Value::Bool(holds)) => holds,
            Ok(_) => false,
            Err(fault) => {
                let message = format!("expression '{}' resulted in error: {fault}", condition.text);
                self.unapplied.borrow_mut().push(Unapplied {
                    exception: Arc::clone(exception),
                    error: match fault.kind {
                        FaultKind::CostExceeded => ErrorKind::OutOfBudget,
                        _ => ErrorKind::Invalid,
                    },
                    message,
                });
                false
            }
        }
    }
}
