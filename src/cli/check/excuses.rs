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

/// Says which exceptions excused nothing.
pub(super) fn unused(
    set: &PolicySet,
    calendar: Option<Calendar>,
    checked: &AllChecked,
) -> Vec<Diagnostic> {
    let Some(Calendar { now, .. }) = calendar else {
        return Vec::new();
    };
    let used: BTreeSet<&str> = checked
        .iter()
        .flat_map(|it| &it.excused)
        .map(String::as_str)
        .collect();
    review::unused(set.exceptions(), now, |it| {
        used.contains(it.exception.full_name().as_str())
    })
}

/// Returns for each violation that is excused the full name of its exception.
pub(super) fn names(verdict: &Verdict) -> Vec<String> {
    let excused = verdict.excused.iter();
    let names = excused.flat_map(|it| {
        let name = it.exception.exception.full_name();
        it.decisions.iter().map(move |_| name.clone())
    });
    names.collect()
}
