//! Some of the mutating policies, as if they alone were there.

use serde_json::Value as Object;

use crate::admission::review::AdmissionRequest;
use crate::engine::Options;
use crate::engine::observer::Unwatched;
use crate::policy::set::{BoundPolicy, PolicySet};

use super::{Mutating, mutate_once};

/// Which policies change an object.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Among<'p> {
    /// All; what is on trial is recorded.
    All,
    /// Those that are not on trial.
    Enforced,
    /// This one alone, as if it were not on trial.
    Only(&'p BoundPolicy),
}

impl Among<'_> {
    pub(super) fn has(self, bound: &BoundPolicy) -> bool {
        match self {
            Among::All => true,
            Among::Enforced => !bound.is_audited(),
            Among::Only(only) => std::ptr::eq(only, bound),
        }
    }
}

/// Returns what some policies make of an object; `None` if nothing, or if they would refuse it.
pub(in crate::engine) fn changed(
    set: &PolicySet,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    mutating: Mutating<'_>,
    among: Among<'_>,
) -> Option<Object> {
    let made = mutate_once(set, request, options, (mutating, among), &mut Unwatched).ok()?;
    made.object.filter(|_| !made.patch.is_empty())
}
