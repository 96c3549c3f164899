//! Parts of expressions that are never reached.

use crate::cel::ast::{Expr, NodeId, operator};
use crate::lint::logic::Logic;
use crate::lint::path::{self, At, Scope};
use crate::lint::subject::Subject;
use crate::text::Span;

/// Returns the parts of an expression that are never reached.
pub(in crate::lint) fn unreachable<'s, 'p>(
    subject: &'s Subject<'p>,
    logic: &Logic<'s, 'p>,
    at: At<'s, 'p>,
    scope: &Scope,
) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut pending = vec![(at, scope.clone())];
    while let Some((at, scope)) = pending.pop() {
        let mut inner = scope.clone();
        match at.expr() {
            Expr::Call(call) if matches!(&*call.function, operator::AND | operator::OR) => {
                let is_and = call.function == operator::AND;
                let operands = path::operands(at.ast(), at.id, &call.function);
                let decides = |id: &NodeId| logic.value(at.node(*id), &scope) == Some(!is_and);
                if operands.iter().any(decides) {
                    spans.push(at.ast().span(at.id));
                    continue;
                }
            }
            Expr::Call(call) if call.function == operator::CONDITIONAL => {
                if let [condition, then, other] = call.arguments.as_slice() {
                    match logic.value(at.node(*condition), &scope) {
                        Some(true) => spans.push(at.ast().span(*other)),
                        Some(false) => spans.push(at.ast().span(*then)),
                        None => {}
                    }
                }
            }
            Expr::Fold(fold) => inner = path::inside(subject, at, fold, &scope),
            _ => {}
        }
        for child in at.expr().children() {
            pending.push((at.node(child), inner.clone()));
        }
    }
    spans
}
