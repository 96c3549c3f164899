//! A variable that no expression reads.

use std::collections::HashSet;

use crate::cel::ast::Expr;
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::subject::Subject;
use crate::lint::{Linter, Rule};
use crate::policy::model::Form;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/unused-variable",
    severity: Severity::Warning,
    what: "A variable is declared and never read.",
    why: "A variable is computed only where it is read, so this one does nothing. Often the \
          validation that should read it repeats the expression, or was forgotten.",
    fix: "Read it as `variables.NAME`, or remove it.",
    example: "variables: [{name: containers, expression: object.spec.containers}]\n\
              validations: [{expression: 'object.spec.containers.all(…)'}]     # not variables.containers",
    check,
};

fn check(subject: &Subject<'_>, linter: &Linter<'_>) -> Vec<Diagnostic> {
    let policy = subject.policy;
    // A `.cel` file may be a validating and a mutating policy with the same variables.
    let same_file = linter.subjects.iter().filter(|other| {
        other.policy.origin.form == Form::Cel
            && policy.origin.form == Form::Cel
            && other.policy.origin.source.name() == policy.origin.source.name()
    });
    let all: Vec<&Subject<'_>> = same_file.chain([subject]).collect();
    if all.iter().any(|it| !is_parsed(it)) {
        return Vec::new();
    }
    let mut read = HashSet::new();
    for expression in all.iter().flat_map(|it| &it.expressions) {
        for node in expression.ast.nodes() {
            if let Expr::Select(select) | Expr::OptSelect(select) | Expr::Has(select) = &node.expr
                && let Expr::Ident(root) = expression.ast.expr(select.operand)
                && root.trim_start_matches('.') == "variables"
            {
                read.insert(select.field.as_str());
            }
        }
    }
    let unused = policy
        .variables
        .iter()
        .filter(|it| !read.contains(it.name.as_str()));
    let findings = unused.map(|variable| {
        let finding = RULE.finding(format!("the variable `{}` is never read", variable.name));
        finding
            .at(&variable.expression.source, variable.name_span)
            .help(format!(
                "read it as `variables.{}`, or remove it",
                variable.name
            ))
    });
    findings.collect()
}

/// Says whether all expressions could be parsed: another may be the one that reads a variable.
fn is_parsed(subject: &Subject<'_>) -> bool {
    let policy = subject.policy;
    let messages = policy
        .validations
        .iter()
        .filter(|it| it.message_expression.is_some());
    let all = policy.match_conditions.len()
        + policy.variables.len()
        + policy.validations.len()
        + messages.count()
        + policy.audit_annotations.len()
        + policy.mutations.len();
    subject.expressions.len() == all
}
