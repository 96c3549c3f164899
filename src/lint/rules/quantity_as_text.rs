//! A quantity that is compared as the text it is written as.

use crate::cel::ast::{Expr, Literal, NodeId, operator};
use crate::cel::types::{Inferred, Type};
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::subject::{Expression, Subject};
use crate::lint::typing::{self, Typed};
use crate::lint::{Linter, Rule};
use crate::schema::{QUANTITY, View};

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/quantity-as-text",
    severity: Severity::Warning,
    what: "A quantity of memory, CPU or storage is compared as a text.",
    why: "Quantities are texts to an expression: '9Mi' is greater than '10Gi', and '1000m' is not \
          '1'. The policy admits what it should reject, and the other way round.",
    fix: "Make quantities of them: `quantity(a).compareTo(quantity(b))`, `isLessThan`, \
          `isGreaterThan`.",
    example: "c.resources.limits.memory <= '1Gi'\n\
              !quantity(c.resources.limits.memory).isGreaterThan(quantity('1Gi'))",
    check,
};

/// Resources whose amounts are quantities.
const RESOURCES: [&str; 4] = ["cpu", "ephemeral-storage", "memory", "storage"];

/// Fields that hold amounts by resource.
const HOLDERS: [&str; 4] = ["capacity", "hard", "limits", "requests"];

fn check(subject: &Subject<'_>, linter: &Linter<'_>) -> Vec<Diagnostic> {
    if !subject.expressions.iter().any(compares) {
        return Vec::new();
    }
    let typed = typing::typed(subject, linter.world, View::Amounts);
    let mut findings = Vec::new();
    for (at, expression) in subject.expressions.iter().enumerate() {
        for node in expression.ast.nodes() {
            let Expr::Call(call) = &node.expr else {
                continue;
            };
            let [a, b] = *call.arguments.as_slice() else {
                continue;
            };
            let is_quantity = |id| is_quantity(expression, id, at, &typed);
            let is_text = |id| is_text(expression, id);
            let is_compared = match call.function.as_str() {
                operator::LESS
                | operator::LESS_EQUALS
                | operator::GREATER
                | operator::GREATER_EQUALS => {
                    (is_quantity(a) && (is_text(b) || is_quantity(b)))
                        || (is_text(a) && is_quantity(b))
                }
                // Two fields written alike are equal; a literal may be written otherwise.
                operator::EQUALS | operator::NOT_EQUALS => {
                    (is_quantity(a) && is_text(b)) || (is_text(a) && is_quantity(b))
                }
                _ => false,
            };
            if is_compared {
                let finding = RULE.finding("a quantity is compared as a text");
                let finding = expression.place(finding, node.span);
                findings.push(finding.help(
                    "compare amounts: `quantity(…).compareTo(quantity(…))` is below, at or above 0",
                ));
            }
        }
    }
    findings
}

/// Says whether something is compared with a text, or something with something.
fn compares(expression: &Expression<'_>) -> bool {
    let mut nodes = expression.ast.nodes().iter();
    nodes.any(|node| match &node.expr {
        Expr::Call(call) => match call.function.as_str() {
            operator::LESS
            | operator::LESS_EQUALS
            | operator::GREATER
            | operator::GREATER_EQUALS => true,
            operator::EQUALS | operator::NOT_EQUALS => {
                call.arguments.iter().any(|id| is_text(expression, *id))
            }
            _ => false,
        },
        _ => false,
    })
}

fn is_text(expression: &Expression<'_>, id: NodeId) -> bool {
    // An empty text asks whether there is one.
    matches!(
        expression.ast.expr(id),
        Expr::Literal(Literal::String(text)) if !text.is_empty()
    )
}

fn is_quantity(expression: &Expression<'_>, id: NodeId, at: usize, typed: &[Typed]) -> bool {
    let quantity = Inferred::Simple(Type::Opaque(QUANTITY));
    let by_type = typed
        .iter()
        .filter_map(|typed| typed.types.get(at))
        .any(|types| *types.of(id) == quantity);
    by_type || is_named_like_one(expression, id)
}

/// Where no schema is known: `….limits.memory`, `….requests['cpu']`.
fn is_named_like_one(expression: &Expression<'_>, id: NodeId) -> bool {
    let ast = &expression.ast;
    let (holder, resource) = match ast.expr(id) {
        Expr::Select(select) => (select.operand, select.field.as_str()),
        Expr::Call(call) if call.function == operator::INDEX => {
            let [holder, key] = *call.arguments.as_slice() else {
                return false;
            };
            match ast.expr(key) {
                Expr::Literal(Literal::String(key)) => (holder, key.as_str()),
                _ => return false,
            }
        }
        _ => return false,
    };
    let is_holder = matches!(
        ast.expr(holder),
        Expr::Select(select) if HOLDERS.contains(&select.field.as_str())
    );
    is_holder && RESOURCES.contains(&resource)
}
