//! A setting that is read and not declared.

use crate::cel::ast::{Ast, Expr, Node};
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::subject::Subject;
use crate::lint::{Linter, Rule};
use crate::policy::model::Form;
use crate::text::nearest;

/// The variable that holds the settings.
const SETTINGS: &str = "settings";

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/unknown-setting",
    severity: Severity::Warning,
    what: "An expression reads a setting that the policy does not declare.",
    why: "Only declared settings have a value, and only they can be overridden; reading another is an \
          error, which `failurePolicy: Fail` turns into a denial of every request.",
    fix: "Declare it with its default value in the front matter, `settings: {NAME: VALUE}`, or correct the \
          name.",
    example: "// settings: {minReplicas: 3}\n\
              object.spec.replicas >= settings.minReplica     # minReplicas",
    check,
};

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    let policy = subject.policy;
    if policy.origin.form != Form::Cel {
        return Vec::new();
    }
    let expressions = subject.expressions.iter();
    let reads = expressions.filter(|it| !is_shadowed(&it.ast));
    let findings = reads.flat_map(|expression| {
        let nodes = evaluated(&expression.ast).into_iter();
        nodes.filter_map(move |node| {
            let Expr::Select(select) = &node.expr else {
                return None;
            };
            let name = select.field.as_str();
            if !is_settings(expression.ast.expr(select.operand))
                || policy.settings.contains_key(name)
            {
                return None;
            }
            let near = nearest(name, policy.settings.keys().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `settings.{near}`?"),
                None => format!("declare it: `settings: {{{name}: …}}`"),
            };
            let finding = RULE.finding(format!("the setting `{name}` is not declared"));
            Some(expression.place(finding, node.span).help(help))
        })
    });
    findings.collect()
}

/// The nodes that are reached from the root: macros such as `has` leave others behind.
fn evaluated(ast: &Ast) -> Vec<&Node> {
    let mut left = vec![ast.root()];
    let mut nodes = Vec::new();
    while let Some(id) = left.pop() {
        let node = ast.node(id);
        left.extend(node.expr.children());
        nodes.push(node);
    }
    nodes
}

fn is_settings(expr: &Expr) -> bool {
    matches!(expr, Expr::Ident(name) if name.trim_start_matches('.') == SETTINGS)
}

/// Says whether a macro has a variable of that name.
fn is_shadowed(ast: &Ast) -> bool {
    ast.nodes().iter().any(|node| match &node.expr {
        Expr::Fold(fold) => fold.variable == SETTINGS || fold.second.as_deref() == Some(SETTINGS),
        Expr::Bind(bind) => bind.variable == SETTINGS,
        _ => false,
    })
}
