//! An object that is read though the request has none.

use std::collections::HashSet;

use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::logic::{Known, Logic};
use crate::lint::presence::Presence;
use crate::lint::subject::Subject;
use crate::lint::{Linter, Rule};
use crate::policy::model::FailurePolicy;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/null-object",
    severity: Severity::Warning,
    what: "`object` is read in a policy about DELETE, or `oldObject` in one about CREATE or CONNECT.",
    why: "There is no `object` when something is deleted, and no `oldObject` when something is \
          created: both are null, and reading a field of null is an error. Under \
          `failurePolicy: Fail` nothing can be deleted any more.",
    fix: "Name only the operations that are meant, or ask first: `object == null || …`, \
          `request.operation == 'DELETE' ? oldObject.… : object.…`.",
    example: "operations: ['*'], object.spec.replicas >= 3            # rejects every DELETE\n\
              operations: [CREATE, UPDATE], object.spec.replicas >= 3",
    check,
};

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    if subject.policy.match_constraints.is_none() {
        return Vec::new();
    }
    let logic = Logic::new(subject, Known::by_rules(subject));
    let mut reported = HashSet::new();
    let mut findings = Vec::new();
    for missing in Presence::of_nulls(subject, &logic).find() {
        let Some(expression) = subject.expression(missing.role) else {
            continue;
        };
        let name = expression.text(missing.span);
        // Once for each expression: what mends one mends all.
        if !reported.insert((missing.role, name)) {
            continue;
        }
        let without = match name {
            "oldObject" => "CREATE",
            _ => "DELETE",
        };
        let message = format!("`{name}` is null on {without}, which the rules include");
        let consequence = match subject.policy.failure_policy {
            FailurePolicy::Fail => "the expression fails then, and the request is rejected",
            FailurePolicy::Ignore => "the expression fails then, and the policy is passed over",
        };
        let help = format!("{consequence}; leave {without} out of the operations, or ask for null");
        let finding = expression.place(RULE.finding(message), missing.span);
        findings.push(finding.help(help));
    }
    findings
}
