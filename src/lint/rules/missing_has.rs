//! An optional field that is read without asking whether it is there.

use std::collections::BTreeMap;

use super::filled;
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::logic::{Known, Logic};
use crate::lint::presence::{Missing, Presence, What};
use crate::lint::subject::Subject;
use crate::lint::{Linter, Rule, typing};
use crate::policy::model::FailurePolicy;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/missing-has",
    severity: Severity::Warning,
    what: "A field that objects may lack is read, and nothing makes sure that it is there.",
    why: "Reading a field or a key that is missing is an error. The policy's failurePolicy decides \
          what becomes of it: Fail rejects objects that are in order, with a message nobody \
          understands, and Ignore lets everything through that lacks the field.",
    fix: "Ask with `has(…)` before, or give what counts for a missing field with `.?` and \
          `orValue(…)`. Keys are asked for with `in`. A match condition that asks is enough for the \
          whole policy.",
    example: "object.spec.securityContext.runAsUser > 0\n\
              has(object.spec.securityContext.runAsUser) && object.spec.securityContext.runAsUser > 0\n\
              object.spec.?securityContext.?runAsUser.orValue(0) > 0",
    check,
};

fn check(subject: &Subject<'_>, linter: &Linter<'_>) -> Vec<Diagnostic> {
    let mut found: BTreeMap<Missing, Vec<String>> = BTreeMap::new();
    let typed = subject.typed(linter.world);
    let answers = typing::answers(subject, typed);
    for (typed, answers) in typed.iter().zip(answers) {
        let known = Known::by_kind(subject, &typed.matched);
        let logic = Logic::new(subject, known).with_answers(answers);
        let presence = Presence::of_fields(subject, typed, &logic, &filled::always);
        for missing in presence.find() {
            let kinds = found.entry(missing).or_default();
            kinds.push(typed.matched.kind.to_string());
        }
    }
    let findings = found.into_iter().filter_map(|(missing, kinds)| {
        let expression = subject.expression(missing.role)?;
        let read = expression.text(missing.span);
        let finding = match missing.what {
            What::Field => RULE.finding(format!(
                "`{read}` may be missing: it is optional in {}",
                kinds.join(", ")
            )),
            What::Null => return None,
            What::Key => RULE.finding(format!(
                "`{read}` may be missing: a map need not have the key"
            )),
        };
        let consequence = match subject.policy.failure_policy {
            FailurePolicy::Fail => "then the expression fails and the request is rejected",
            FailurePolicy::Ignore => "then the expression fails and the policy is passed over",
        };
        let help = match missing.what {
            What::Field => format!("{consequence}; ask before, with `has({read})`"),
            _ => format!("{consequence}; ask before, with `in`"),
        };
        Some(expression.place(finding, missing.span).help(help))
    });
    findings.collect()
}
