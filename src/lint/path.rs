//! What an expression reads, as a path: the same for all ways to write it.
//!
//! `object.metadata.labels['app']`, `object.metadata.labels.app` and `variables.labels.app` are one
//! path where the variable is what its name says.

use crate::cel::ast::{Ast, Expr, Fold, Literal, NodeId, Select, operator};

use super::subject::{Expression, Subject};

/// How many variables may stand for each other; more are not followed.
const MAX_HOPS: u32 = 8;

/// The local variables where an expression stands, innermost last.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    locals: Vec<(String, Local)>,
    /// How many variables more may be followed from here.
    hops: u32,
}

/// What a local variable is.
#[derive(Debug, Clone)]
pub(super) enum Local {
    /// A part of this path, or of something that has none.
    Item(String),
    /// A text, of a list of texts that a macro runs over.
    Text(String),
}

impl Default for Scope {
    fn default() -> Self {
        Scope {
            locals: Vec::new(),
            hops: MAX_HOPS,
        }
    }
}

impl Scope {
    /// Returns the scope of a variable's expression, unless too many were followed already.
    pub(super) fn of_variable(&self) -> Option<Self> {
        Some(Scope {
            locals: Vec::new(),
            hops: self.hops.checked_sub(1)?,
        })
    }

    /// Returns a local variable by name.
    pub(super) fn local(&self, name: &str) -> Option<&Local> {
        let mut locals = self.locals.iter().rev();
        locals.find(|(local, _)| local == name).map(|(_, it)| it)
    }

    /// Returns a scope in which a name is a variable that nothing is known of.
    pub(super) fn hidden(&self, name: &str) -> Self {
        self.with(name, Local::Item(format!("[*{name}]")))
    }

    /// Returns the scope within a macro.
    #[must_use]
    pub(super) fn with(&self, name: &str, local: Local) -> Self {
        let mut inner = self.clone();
        inner.locals.push((name.to_owned(), local));
        inner
    }
}

/// A node of one of a policy's expressions.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a, 'p> {
    /// The expression.
    pub(super) expression: &'a Expression<'p>,
    /// The node.
    pub(super) id: NodeId,
}

impl<'a, 'p> At<'a, 'p> {
    /// The whole of an expression.
    pub(super) fn root(expression: &'a Expression<'p>) -> Self {
        At {
            expression,
            id: expression.ast.root(),
        }
    }

    /// Another node of the same expression.
    pub(super) fn node(self, id: NodeId) -> Self {
        At {
            expression: self.expression,
            id,
        }
    }

    pub(super) fn ast(self) -> &'a Ast {
        &self.expression.ast
    }

    pub(super) fn expr(self) -> &'a Expr {
        self.expression.ast.expr(self.id)
    }

    /// The text as written.
    pub(super) fn text(self) -> &'a str {
        self.expression.text(self.ast().span(self.id))
    }
}

/// Returns the variable of the policy that a selection reads, and the expression of it.
pub(super) fn variable<'a, 'p>(
    subject: &'a Subject<'p>,
    at: At<'a, 'p>,
    select: &Select,
    scope: &Scope,
) -> Option<&'a Expression<'p>> {
    match at.ast().expr(select.operand) {
        Expr::Ident(name) if name == "variables" && scope.local(name).is_none() => {
            subject.variable(&select.field)
        }
        _ => None,
    }
}

/// Returns what a node reads, if it does nothing else.
pub(super) fn path(subject: &Subject<'_>, at: At<'_, '_>, scope: &Scope) -> Option<String> {
    follow(subject, at, scope)
}

fn follow(subject: &Subject<'_>, at: At<'_, '_>, scope: &Scope) -> Option<String> {
    match at.expr() {
        Expr::Ident(name) => match scope.local(name) {
            Some(Local::Item(path)) => Some(path.clone()),
            Some(Local::Text(_)) => None,
            None => Some(name.trim_start_matches('.').to_owned()),
        },
        Expr::Select(select) | Expr::OptSelect(select) => {
            if let Some(variable) = variable(subject, at, select, scope) {
                return follow(subject, At::root(variable), &scope.of_variable()?);
            }
            let operand = follow(subject, at.node(select.operand), scope)?;
            Some(format!("{operand}.{}", select.field))
        }
        Expr::Call(call) => match (call.function.as_str(), call.arguments.as_slice()) {
            (operator::INDEX | operator::OPT_INDEX, [operand, index]) => {
                let operand = follow(subject, at.node(*operand), scope)?;
                let index = key(subject, at.node(*index), scope)?;
                Some(format!("{operand}{index}"))
            }
            // Nothing, where there is nothing.
            ("orValue", [default]) if is_empty(at.ast().expr(*default)) => {
                follow(subject, at.node(call.target?), scope)
            }
            ("dyn", [inner]) if call.target.is_none() => follow(subject, at.node(*inner), scope),
            _ => None,
        },
        _ => None,
    }
}

fn is_empty(expr: &Expr) -> bool {
    match expr {
        Expr::Map(entries) => entries.is_empty(),
        Expr::List(items) => items.is_empty(),
        _ => false,
    }
}

/// Returns how a path goes on with a key.
fn key(subject: &Subject<'_>, at: At<'_, '_>, scope: &Scope) -> Option<String> {
    match at.expr() {
        Expr::Literal(Literal::String(text)) => Some(format!(".{text}")),
        Expr::Literal(Literal::Int(number)) => Some(format!("[{number}]")),
        Expr::Ident(name) if let Some(Local::Text(text)) = scope.local(name) => {
            Some(format!(".{text}"))
        }
        _ => {
            let path = follow(subject, at, scope)?;
            Some(format!("[{path}]"))
        }
    }
}

/// Returns how a path goes on with a key.
pub(super) fn key_of(subject: &Subject<'_>, at: At<'_, '_>, scope: &Scope) -> Option<String> {
    key(subject, at, scope)
}

/// Returns the scope of a macro's body.
pub(super) fn inside(subject: &Subject<'_>, at: At<'_, '_>, fold: &Fold, scope: &Scope) -> Scope {
    let range = path(subject, at.node(fold.range), scope).unwrap_or_default();
    let item = |name: &str| Local::Item(format!("{range}[*{name}#{}]", at.id.0));
    let inner = scope.with(&fold.variable, item(&fold.variable));
    match &fold.second {
        Some(second) => inner.with(second, item(second)),
        None => inner,
    }
}

/// Returns the texts of a list that is written out.
pub(super) fn texts(at: At<'_, '_>) -> Option<Vec<String>> {
    let Expr::List(items) = at.expr() else {
        return None;
    };
    let text = |id: NodeId| match at.ast().expr(id) {
        Expr::Literal(Literal::String(text)) => Some(text.clone()),
        _ => None,
    };
    items.iter().map(|item| text(item.value)).collect()
}

/// Returns the operands of a chain of one operator, from left to right.
pub(super) fn operands(ast: &Ast, id: NodeId, chain: &str) -> Vec<NodeId> {
    let mut found = Vec::new();
    let mut pending = vec![id];
    while let Some(id) = pending.pop() {
        match ast.expr(id) {
            Expr::Call(call) if call.function == chain => {
                pending.extend(call.arguments.iter().rev());
            }
            _ => found.push(id),
        }
    }
    found
}
