//! A variable that holds an optional, whose fields are asked for as if it held a value.

use std::collections::HashSet;

use crate::cel::ast::{Ast, Expr, NodeId, operator};
use crate::cel::check as checker;
use crate::cel::types::Inferred;
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::subject::{Role, Subject};
use crate::lint::{Linter, Rule};
use crate::policy::compile;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/optional-variable",
    severity: Severity::Warning,
    what: "A field or item is taken out of a variable that holds an optional.",
    why: "`variables.x.?field` is none whatever the optional holds: Kubernetes looks for the field in \
          the optional itself. The same expression without the variable finds it, so the mistake \
          is silent, and a check that waits for the field admits everything.",
    fix: "Take the value out where the variable is made (`.orValue({})`), or before the field is asked \
          for: `variables.x.optMap(it, it.field)`.",
    example: "variables.config.?mode.orValue('')        // variables.config is json.parseOrNone(…)\n\
              variables.config.orValue({}).?mode.orValue('')",
    check,
};

fn check(subject: &Subject<'_>, linter: &Linter<'_>) -> Vec<Diagnostic> {
    let asks = |ast: &Ast| {
        ast.nodes()
            .iter()
            .any(|node| asked(ast, &node.expr).is_some())
    };
    if !subject.expressions.iter().any(|it| asks(&it.ast)) {
        return Vec::new();
    }
    let optionals = optionals(subject, linter);
    let mut findings = Vec::new();
    for expression in &subject.expressions {
        for node in expression.ast.nodes() {
            let Some(name) = asked(&expression.ast, &node.expr) else {
                continue;
            };
            if optionals.contains(name) {
                let message =
                    format!("`variables.{name}` is an optional, and what is asked of it is none");
                let finding = expression.place(RULE.finding(message), node.span);
                findings.push(finding.help(format!(
                    "take its value first: `variables.{name}.orValue({{}}).?…`"
                )));
            }
        }
    }
    findings
}

/// The variable that an expression takes a field or an item out of with `.?` or `[?…]`.
fn asked<'a>(ast: &'a Ast, expr: &'a Expr) -> Option<&'a str> {
    let of: NodeId = match expr {
        Expr::OptSelect(select) => select.operand,
        Expr::Call(call) if call.function == operator::OPT_INDEX => *call.arguments.first()?,
        _ => return None,
    };
    let Expr::Select(variable) = ast.expr(of) else {
        return None;
    };
    matches!(ast.expr(variable.operand), Expr::Ident(name) if name == "variables")
        .then_some(variable.field.as_str())
}

/// The variables that hold optionals, whatever the kind of the object.
fn optionals<'s>(subject: &'s Subject<'_>, linter: &Linter<'_>) -> HashSet<&'s str> {
    let mut env = compile::environment(subject.policy, linter.world.version);
    let mut optionals = HashSet::new();
    for (at, variable) in subject.policy.variables.iter().enumerate() {
        let expression = subject.expression(Role::Variable(at));
        let result = expression.map(|it| checker::types(&it.ast, &env).result);
        let result = result.unwrap_or(Inferred::Dyn);
        if matches!(result, Inferred::Optional(_)) {
            optionals.insert(variable.name.as_str());
        }
        env.declare_variable(&variable.name, result.of_variable());
    }
    optionals
}
