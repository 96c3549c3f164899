//! What would break if what only records were enforced.
//!
//! API servers have an object changed before they have it judged. What only records changes nothing, and
//! so a rule is asked about an object that its policies would have put right first. Here they are tried
//! before, as far as enforcing would have them made:
//!
//! - In audit mode every policy judges the object that those would leave which are not on trial by
//!   themselves: switching the mode enforces just these.
//! - A policy on trial by itself, whose file changes objects as well, judges what its own mutation would
//!   make of that: one word in this file enforces both. Others on trial stay as they are by it, and what
//!   they would change is left out; own mutations are tried last, though a name may come earlier.
//! - Whatever else is enforced judges the object as it came, which its mutations have changed already.
//!
//! What would be made of an object is looked at and dropped: `/mutate` is asked for the same request, and
//! records it. If it would be refused there, the object is judged as it came.
//!
//! Costs nothing where no mutation matches; else an evaluation of those that do.

use serde_json::value::{RawValue, to_raw_value};

use crate::admission::review::AdmissionRequest;
use crate::policy::model::PolicyKind;
use crate::policy::set::{BoundPolicy, PolicySet};

use super::matching::{self, Target};
use super::mutating::Mutating;
use super::mutating::among::{self, Among};
use super::observer::Observer;
use super::respond::Mode;
use super::verdict::Verdict;
use super::{EngineError, Options, Select, is_selected, validate_some};

/// Decides a request by the validating policies of `set`, as [`super::validate_observed`] does, but has
/// what only records judge what would have been.
pub fn validate(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    (mode, mutating): (Mode, Mutating<'_>),
    observer: &mut dyn Observer,
) -> Result<Verdict, EngineError> {
    if set.mutating().is_empty() {
        return validate_some(set, request, options, &|_| true, observer);
    }
    // Mutations of both failure policies come before any validation.
    let all = Options {
        select: Select::All,
        ..options
    };
    let changed = |request: &AdmissionRequest<'_>, among: Among<'_>| -> Option<Box<RawValue>> {
        let changed = among::changed(set, request, all, mutating, among)?;
        to_raw_value(&changed).ok()
    };
    let enforced = match mode.is_audit() {
        true => changed(request, Among::Enforced),
        false => None,
    };
    let as_enforced = enforced.as_deref().map(|it| with_object(request, it));
    let request = as_enforced.as_ref().unwrap_or(request);
    let target = Target::of(request, options.resources);
    let pairs = pairs(set, &target, options);
    let is_alone = |bound: &BoundPolicy| pairs.iter().all(|(it, _)| !std::ptr::eq(*it, bound));
    let mut verdict = validate_some(set, request, options, &is_alone, observer)?;
    for (validating, mutation) in &pairs {
        let object = changed(request, Among::Only(mutation));
        let changed = object.as_deref().map(|object| with_object(request, object));
        let request = changed.as_ref().unwrap_or(request);
        let is_it = |bound: &BoundPolicy| std::ptr::eq(bound, *validating);
        verdict.join(validate_some(set, request, options, &is_it, observer)?);
    }
    Ok(verdict)
}

/// Returns the policies on trial that may match, each with the mutation of the same file.
fn pairs<'s>(
    set: &'s PolicySet,
    target: &'s Target<'_>,
    options: Options<'_>,
) -> Vec<(&'s BoundPolicy, &'s BoundPolicy)> {
    let on_trial = |kind| {
        let candidates = matching::candidates(set, kind, target);
        let candidates = candidates.map(|(bound, _)| bound);
        candidates.filter(|bound| bound.is_audited())
    };
    let mutations: Vec<&BoundPolicy> = on_trial(PolicyKind::Mutating).collect();
    if mutations.is_empty() {
        return Vec::new();
    }
    let policies = on_trial(PolicyKind::Validating).filter(|it| is_selected(it, options));
    let paired = policies.filter_map(|policy| {
        let mut mutations = mutations.iter();
        let own = mutations.find(|it| it.is_beside(policy))?;
        Some((policy, *own))
    });
    paired.collect()
}

fn with_object<'r>(
    request: &'r AdmissionRequest<'_>,
    object: &'r RawValue,
) -> AdmissionRequest<'r> {
    AdmissionRequest {
        object: Some(object),
        ..request.clone()
    }
}
