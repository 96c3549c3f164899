//! A match condition that reads the namespace, which there is none of yet.

use crate::cel::ast::{Ast, Expr, NodeId, operator};
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::subject::{Role, Subject};
use crate::lint::{Linter, Rule};
use crate::policy::model::FailurePolicy;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/null-namespace",
    severity: Severity::Warning,
    what: "A match condition reads `namespaceObject`.",
    why: "The API server looks for the namespace only when a policy's conditions hold. In the \
          conditions `namespaceObject` is null, and reading a field of null is an error: under \
          `failurePolicy: Fail` every request is rejected that the rules match, under Ignore the \
          policy never applies.",
    fix: "Select namespaces by their labels with a namespaceSelector, or ask in the validation. The \
          name alone is `request.namespace`.",
    example: "// @when outside of production\n\
              namespaceObject.metadata.labels.env != 'prod'    # an error, always\n\
              namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: [prod]}]}",
    check,
};

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let expressions = subject.expressions.iter();
    for expression in expressions.filter(|it| matches!(it.role, Role::Condition(_))) {
        let mut nodes = expression.ast.nodes().iter();
        // Once for each condition: what mends one mends all.
        let Some(read) = nodes.find_map(|node| read_of_namespace(&expression.ast, &node.expr))
        else {
            continue;
        };
        let consequence = match subject.policy.failure_policy {
            FailurePolicy::Fail => "the condition fails, and every request is rejected",
            FailurePolicy::Ignore => "the condition fails, and the policy never applies",
        };
        let message = "`namespaceObject` is null in match conditions";
        let finding = expression.place(RULE.finding(message), expression.ast.node(read).span);
        findings.push(finding.help(format!(
            "{consequence}; use a namespaceSelector, or `request.namespace` for the name"
        )));
    }
    findings
}

/// The namespace that a field or an item is taken out of.
fn read_of_namespace(ast: &Ast, expr: &Expr) -> Option<NodeId> {
    let of = match expr {
        Expr::Select(select) | Expr::Has(select) | Expr::OptSelect(select) => select.operand,
        Expr::Call(call) if matches!(&*call.function, operator::INDEX | operator::OPT_INDEX) => {
            *call.arguments.first()?
        }
        _ => return None,
    };
    matches!(ast.expr(of), Expr::Ident(name) if name == "namespaceObject").then_some(of)
}
