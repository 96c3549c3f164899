//! An expression that comes to the same for every request.

use crate::cel::ast::{Expr, NodeId, operator};
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::logic::{Known, Logic};
use crate::lint::path::{self, At, Scope};
use crate::lint::subject::{Expression, Role, Subject};
use crate::lint::{Linter, Rule};

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/constant",
    severity: Severity::Warning,
    what: "An expression, or a part of one, is always true or always false.",
    why: "It decides nothing. Most often two comparisons exclude each other: \
          `x != 'a' || x != 'b'` is true of everything, and a policy that says so protects nothing.",
    fix: "With `!=` join by `&&`, with `==` by `||`; or use `in`. Remove what cannot matter.",
    example: "object.type != 'A' || object.type != 'B'     # always true\n\
              !(object.type in ['A', 'B'])               # what was meant",
    check,
};

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    let anything = Logic::new(subject, Known::default());
    let by_rules = Logic::new(subject, Known::by_rules(subject));
    let none = Scope::default();
    let mut findings = Vec::new();
    for expression in &subject.expressions {
        let root = At::root(expression);
        let found = constants(
            subject,
            &anything,
            root,
            &none,
            is_decision(expression.role),
        );
        let value = by_rules.value(root, &none);
        match (expression.role, value) {
            _ if !found.is_empty() => {
                let made = found.into_iter();
                findings.extend(made.map(|(id, value)| finding(expression, id, value)));
            }
            // A condition that never holds is another rule's finding.
            (Role::Validation(_), Some(value)) if !is_literal(root) => {
                let mut finding = finding(expression, root.id, value);
                if !value {
                    // Rejecting all that the rules name may be what is meant.
                    finding.severity = Severity::Note;
                }
                findings.push(finding);
            }
            _ => {}
        }
    }
    findings
}

/// Says whether an expression decides something.
fn is_decision(role: Role) -> bool {
    matches!(
        role,
        Role::Condition(_) | Role::Validation(_) | Role::Variable(_)
    )
}

fn finding(expression: &Expression<'_>, id: NodeId, value: bool) -> Diagnostic {
    let is_whole = id == expression.ast.root();
    let what = if is_whole {
        "this expression"
    } else {
        "this part"
    };
    let means = match (expression.role, is_whole, value) {
        (Role::Validation(_), true, true) => ": the validation rejects nothing",
        (Role::Validation(_), true, false) => ": the validation rejects every request",
        (Role::Condition(_), true, true) => ": the condition leaves nothing out",
        (Role::Condition(_), true, false) => ": the policy is never applied",
        _ => "",
    };
    let finding = RULE.finding(format!("{what} is always {value}{means}"));
    let finding = expression.place(finding, expression.ast.span(id));
    finding.help("look at how the comparisons are joined; if it is meant, leave it out")
}

fn is_literal(at: At<'_, '_>) -> bool {
    matches!(at.expr(), Expr::Literal(_))
}

/// The largest parts that are always the same, of those that decide something: operands of `&&`,
/// `||`, `!` and `?:`, and conditions of macros. Literals aside, and variables, which are looked at
/// where they are computed.
fn constants<'s, 'p>(
    subject: &'s Subject<'p>,
    logic: &Logic<'s, 'p>,
    at: At<'s, 'p>,
    scope: &Scope,
    decides: bool,
) -> Vec<(NodeId, bool)> {
    let is_own = !is_literal(at) && !matches!(at.expr(), Expr::Select(_));
    if decides
        && is_own
        && let Some(value) = logic.value(at, scope)
    {
        return vec![(at.id, value)];
    }
    let inner = match at.expr() {
        Expr::Fold(fold) => path::inside(subject, at, fold, scope),
        Expr::OptMap(map) => scope.hidden(&map.variable),
        Expr::Bind(bind) => scope.hidden(&bind.variable),
        _ => scope.clone(),
    };
    let deciding: Vec<NodeId> = match at.expr() {
        Expr::Call(call) => match call.function.as_str() {
            operator::AND | operator::OR | operator::NOT => call.arguments.clone(),
            operator::CONDITIONAL if decides => call.arguments.clone(),
            operator::CONDITIONAL => call.arguments.first().copied().into_iter().collect(),
            _ => Vec::new(),
        },
        Expr::Fold(fold) => fold.predicate.into_iter().collect(),
        _ => Vec::new(),
    };
    let children = at.expr().children();
    let parts = children.into_iter().flat_map(|id| {
        let decides = deciding.contains(&id);
        constants(subject, logic, at.node(id), &inner, decides)
    });
    parts.collect()
}
