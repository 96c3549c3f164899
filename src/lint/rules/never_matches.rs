//! A match condition that no request meets.

use crate::cel::ast::Expr;
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::logic::{Known, Logic};
use crate::lint::path::{At, Scope};
use crate::lint::subject::{Role, Subject};
use crate::lint::{Linter, Rule};

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/never-matches",
    severity: Severity::Warning,
    what: "A match condition is false for every request that the rules let through.",
    why: "The policy is never applied, and looks as if it were.",
    fix: "Compare with an operation or a kind that the rules name, or add it to the rules.",
    example: "resourceRules: [{operations: [CREATE], …}]\n\
              matchConditions: [{expression: \"request.operation == 'UPDATE'\", …}]   # never holds",
    check,
};

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    let anything = Logic::new(subject, Known::default());
    let by_rules = Logic::new(subject, Known::by_rules(subject));
    let mut findings = Vec::new();
    for condition in &subject.expressions {
        let root = At::root(condition);
        let value = |logic: &Logic<'_, '_>| logic.value(root, &Scope::default());
        // What is false of anything is another rule's finding, unless it is written as `false`.
        let is_literal = matches!(root.expr(), Expr::Literal(_));
        let is_never =
            value(&by_rules) == Some(false) && (is_literal || value(&anything).is_none());
        if is_never && matches!(condition.role, Role::Condition(_)) {
            let finding = RULE.finding("this condition never holds: the policy is never applied");
            let finding = condition.place(finding, condition.ast.span(root.id));
            findings.push(
                finding.help("compare it with the operations and resources in the policy's rules"),
            );
        }
    }
    findings
}
