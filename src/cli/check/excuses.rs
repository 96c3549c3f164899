//! What exceptions have to do with a check.

use std::collections::BTreeSet;

use super::report::AllChecked;
use crate::diagnostics::Diagnostic;
use crate::engine::verdict::Verdict;
use crate::policy::exceptions::review::{self, Calendar};
use crate::policy::set::PolicySet;

/// Says which exceptions have ended or soon will, and which name no policy.
pub(in crate::cli) fn findings(set: &PolicySet, calendar: Option<Calendar>) -> Vec<Diagnostic> {
    let expiring = calendar.map(|calendar| review::expiring(set.exceptions(), calendar));
    let mut findings = expiring.unwrap_or_default();
    findings.extend(review::unknown_policies(set.exceptions(), set.policies()));
    findings
}

/// Says which exceptions excused nothing of what was checked and, if it was, changed before.
pub(super) fn unused(
    set: &PolicySet,
    calendar: Option<Calendar>,
    checked: &AllChecked,
    is_fixing: bool,
) -> Vec<Diagnostic> {
    let Some(Calendar { now, .. }) = calendar else {
        return Vec::new();
    };
    let used = checked.iter().flat_map(|it| &it.excused);
    let used: BTreeSet<String> = used.cloned().collect();
    review::unused(set, now, &run(set, is_fixing), &used)
}

/// The names of the policies that requests are decided by, those that change them only if they are run.
pub(in crate::cli) fn run(set: &PolicySet, is_mutated: bool) -> BTreeSet<&str> {
    let mutating = set.mutating().iter().filter(|_| is_mutated);
    let all = set.validating().iter().chain(mutating);
    all.map(|it| it.policy.policy.name.as_str()).collect()
}

/// Returns for each violation that is excused, and for each mutation, the full name of its exception.
pub(super) fn names(verdict: &Verdict) -> Vec<String> {
    let excused = verdict.excused.iter();
    let names = excused.flat_map(|it| {
        let name = it.exception.exception.full_name();
        vec![name; it.decisions.len().max(1)]
    });
    names.collect()
}
