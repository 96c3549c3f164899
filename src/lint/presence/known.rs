//! What is there if an expression comes to a value, as a set of paths.

use crate::cel::ast::{Call, Expr, FoldKind, Literal, NodeId, Select, operator};
use crate::cel::types::Inferred;
use crate::lint::path::{self, At, Local, Scope};

use super::{By, OBJECTS, Presence, Present};

impl<'s, 'p> Presence<'s, 'p> {
    /// What every item of a list has, as the rest of its path behind the item.
    pub(super) fn of_items(&self, at: At<'s, 'p>, scope: &Scope) -> Present {
        let nothing = Present::new();
        if !self.step() {
            return nothing;
        }
        match at.expr() {
            Expr::Select(select) => {
                let variable = path::variable(self.subject, at, select, scope);
                match (variable, scope.of_variable()) {
                    (Some(it), Some(inner)) => self.of_items(At::root(it), &inner),
                    _ => nothing,
                }
            }
            Expr::Call(call) => match (call.function.as_str(), call.arguments.as_slice()) {
                (operator::ADD, [a, b]) => {
                    let a = self.of_items(at.node(*a), scope);
                    let b = self.of_items(at.node(*b), scope);
                    a.intersection(&b).cloned().collect()
                }
                _ => nothing,
            },
            Expr::Fold(fold) if fold.second.is_none() => {
                let inner = path::inside(self.subject, at, fold, scope);
                let Some(Local::Item(item)) = inner.local(&fold.variable) else {
                    return nothing;
                };
                let mut known = Present::new();
                for rest in self.of_items(at.node(fold.range), scope) {
                    known.insert(format!("{item}{rest}"));
                }
                if let Some(predicate) = fold.predicate {
                    let predicate = at.node(predicate);
                    known.extend(self.truths(predicate, true, By::Evaluating, &inner));
                }
                let kept = match (fold.kind, fold.transform) {
                    (FoldKind::Filter, _) => Some(item.clone()),
                    (FoldKind::Map, Some(transform)) => self.path(at.node(transform), &inner),
                    _ => None,
                };
                let Some(kept) = kept else {
                    return nothing;
                };
                let rests = known.iter().filter_map(|path| path.strip_prefix(&kept));
                rests
                    .filter(|rest| !rest.is_empty())
                    .map(str::to_owned)
                    .collect()
            }
            _ => nothing,
        }
    }

    /// What is there if an expression comes to a value.
    pub(super) fn truths(&self, at: At<'s, 'p>, wanted: bool, by: By, scope: &Scope) -> Present {
        if !self.step() {
            return Present::new();
        }
        match at.expr() {
            Expr::Select(select) => match path::variable(self.subject, at, select, scope) {
                Some(variable) => match scope.of_variable() {
                    Some(inner) => self.truths(At::root(variable), wanted, by, &inner),
                    None => Present::new(),
                },
                None => self.evaluated(at, by, scope),
            },
            Expr::Has(select) => {
                let mut present = self.evaluated(at.node(select.operand), by, scope);
                if wanted && let Some(path) = self.selected(at, select, scope) {
                    add_with_owners(&mut present, &path);
                }
                present
            }
            Expr::Call(call) => self.truths_of_call(at, call, (wanted, by), scope),
            Expr::Fold(fold) => {
                let mut present = self.evaluated(at.node(fold.range), by, scope);
                let decides = match fold.kind {
                    FoldKind::All => wanted,
                    FoldKind::Exists => !wanted,
                    _ => false,
                };
                if let (true, Some(texts), Some(predicate)) =
                    (decides, path::texts(at.node(fold.range)), fold.predicate)
                {
                    for text in texts {
                        let inner = scope.with(&fold.variable, Local::Text(text));
                        present.extend(self.truths(at.node(predicate), wanted, by, &inner));
                    }
                }
                present
            }
            _ => self.evaluated(at, by, scope),
        }
    }

    fn truths_of_call(
        &self,
        at: At<'s, 'p>,
        call: &Call,
        (wanted, by): (bool, By),
        scope: &Scope,
    ) -> Present {
        let truths = |id: NodeId, wanted| self.truths(at.node(id), wanted, by, scope);
        match (call.function.as_str(), call.arguments.as_slice()) {
            (operator::NOT, [inner]) => truths(*inner, !wanted),
            (operator::AND | operator::OR, _) => {
                let operands = path::operands(at.ast(), at.id, &call.function);
                let mut all = operands.into_iter().map(|id| truths(id, wanted));
                if (call.function == operator::AND) == wanted {
                    return all.flatten().collect();
                }
                // One of them decided; which one is not known.
                let first = all.next().unwrap_or_default();
                all.fold(first, |both, next| {
                    both.intersection(&next).cloned().collect()
                })
            }
            (operator::CONDITIONAL, [condition, then, other]) => {
                let mut ways =
                    [(then, true), (other, false)]
                        .into_iter()
                        .filter_map(|(branch, taken)| {
                            let gives = self.logic.value(at.node(*branch), scope);
                            let reached = self.logic.value(at.node(*condition), scope);
                            if gives == Some(!wanted) || reached == Some(!taken) {
                                return None;
                            }
                            let mut present = truths(*condition, taken);
                            present.extend(truths(*branch, wanted));
                            Some(present)
                        });
                let first = ways.next().unwrap_or_default();
                ways.fold(first, |both, next| {
                    both.intersection(&next).cloned().collect()
                })
            }
            (operator::IN, [item, of]) => {
                let mut present = self.evaluated(at, by, scope);
                let of = self.path(at.node(*of), scope);
                let key = path::key_of(self.subject, at.node(*item), scope);
                if wanted && let (Some(of), Some(key)) = (of, key) {
                    add_with_owners(&mut present, &format!("{of}{key}"));
                }
                present.extend(self.by_operation(at, call, wanted, scope));
                present
            }
            ("hasValue", []) => {
                let mut present = self.evaluated(at, by, scope);
                let target = call.target.and_then(|it| self.path(at.node(it), scope));
                if wanted && let Some(path) = target {
                    add_with_owners(&mut present, &path);
                }
                present
            }
            ("orValue", [default]) => {
                let mut present = self.evaluated(at, by, scope);
                let default = self.logic.value(at.node(*default), scope);
                let target = call.target.and_then(|it| self.path(at.node(it), scope));
                if default == Some(!wanted)
                    && let Some(path) = target
                {
                    add_with_owners(&mut present, &path);
                }
                present
            }
            (operator::EQUALS | operator::NOT_EQUALS, [a, b]) => {
                let mut present = self.evaluated(at, by, scope);
                let differs = (call.function == operator::NOT_EQUALS) == wanted;
                for (read, other) in [(*a, *b), (*b, *a)] {
                    if let Some(path) = self.by_default(at, (read, other), differs, scope) {
                        add_with_owners(&mut present, &path);
                    }
                    present.extend(self.by_null(at, (read, other), differs, scope));
                    if differs {
                        self.by_size(at, (read, other), &mut present, scope);
                    }
                }
                present.extend(self.by_operation(at, call, !differs, scope));
                present
            }
            (operator::GREATER | operator::LESS_EQUALS, [size, zero]) => {
                let mut present = self.evaluated(at, by, scope);
                if (call.function == operator::GREATER) == wanted {
                    self.by_size(at, (*size, *zero), &mut present, scope);
                }
                present
            }
            _ => self.evaluated(at, by, scope),
        }
    }

    /// `a.?b.orValue([]).size() != 0`: what is there has items.
    fn by_size(
        &self,
        at: At<'s, 'p>,
        (size, zero): (NodeId, NodeId),
        present: &mut Present,
        scope: &Scope,
    ) {
        let Expr::Literal(Literal::Int(0)) = at.ast().expr(zero) else {
            return;
        };
        let Expr::Call(call) = at.ast().expr(size) else {
            return;
        };
        let of = call.target.or_else(|| call.arguments.first().copied());
        if call.function == "size"
            && let Some(path) = of.and_then(|of| self.path(at.node(of), scope))
        {
            add_with_owners(present, &path);
        }
    }

    /// `object != null`, and `oldObject == null`: one of the two is always there.
    fn by_null(
        &self,
        at: At<'s, 'p>,
        (read, other): (NodeId, NodeId),
        differs: bool,
        scope: &Scope,
    ) -> Option<String> {
        let Expr::Literal(Literal::Null) = at.ast().expr(other) else {
            return None;
        };
        let path = self.path(at.node(read), scope)?;
        match (path.as_str(), differs) {
            (_, true) => Some(path),
            ("object", false) => Some("oldObject".to_owned()),
            ("oldObject", false) => Some("object".to_owned()),
            _ => None,
        }
    }

    /// `request.operation == 'CREATE'` and the like: which of the two objects there are.
    fn by_operation(
        &self,
        at: At<'s, 'p>,
        call: &Call,
        is_one_of: bool,
        scope: &Scope,
    ) -> Vec<String> {
        let [a, b] = *call.arguments.as_slice() else {
            return Vec::new();
        };
        let is_operation = |id| {
            self.path(at.node(id), scope)
                .is_some_and(|path| path == "request.operation")
        };
        let texts = |id: NodeId| match at.ast().expr(id) {
            Expr::Literal(Literal::String(text)) => Some(vec![text.clone()]),
            _ => path::texts(at.node(id)),
        };
        let named = match (is_operation(a), is_operation(b)) {
            (true, _) => texts(b),
            (_, true) => texts(a),
            _ => None,
        };
        let Some(named) = named else {
            return Vec::new();
        };
        let left = self.logic.operations();
        let left: Vec<&str> = left
            .iter()
            .map(String::as_str)
            .filter(|it| named.iter().any(|name| name == it) == is_one_of)
            .collect();
        let there = OBJECTS
            .iter()
            .filter(|(_, absent)| !left.iter().any(|operation| absent.contains(operation)));
        there.map(|(path, _)| (*path).to_owned()).collect()
    }

    /// `a.?b.orValue('x') != 'x'`, `a.?b.orValue('x') == 'y'`, and `a.?b != optional.none()`: with
    /// what is written for a missing field, it is there.
    fn by_default(
        &self,
        at: At<'s, 'p>,
        (read, other): (NodeId, NodeId),
        differs: bool,
        scope: &Scope,
    ) -> Option<String> {
        let Expr::Call(call) = at.ast().expr(read) else {
            let is_none = matches!(
                at.ast().expr(other),
                Expr::Call(call) if call.function == "none" && call.arguments.is_empty()
            );
            let is_optional = matches!(at.ast().expr(read), Expr::OptSelect(_));
            let path = || self.path(at.node(read), scope);
            return (differs && is_none && is_optional).then(path).flatten();
        };
        let [default] = call.arguments.as_slice() else {
            return None;
        };
        if call.function != "orValue" {
            return None;
        }
        let (Expr::Literal(default), Expr::Literal(other)) =
            (at.ast().expr(*default), at.ast().expr(other))
        else {
            return None;
        };
        // If it differs from its default, or is the same as something else.
        ((default == other) == differs)
            .then(|| self.path(at.node(call.target?), scope))
            .flatten()
    }

    /// What is there if an expression has a value at all.
    fn evaluated(&self, at: At<'s, 'p>, by: By, scope: &Scope) -> Present {
        let mut present = Present::new();
        if by == By::Evaluating {
            self.add_evaluated(at, scope, &mut present);
        }
        present
    }

    fn add_evaluated(&self, at: At<'s, 'p>, scope: &Scope, present: &mut Present) {
        if !self.step() {
            return;
        }
        let mut add = |id: NodeId| self.add_evaluated(at.node(id), scope, present);
        match at.expr() {
            Expr::Select(select) => {
                if let Some(variable) = path::variable(self.subject, at, select, scope) {
                    if let Some(inner) = scope.of_variable() {
                        self.add_evaluated(At::root(variable), &inner, present);
                    }
                    return;
                }
                add(select.operand);
                if !matches!(self.type_of(at.node(select.operand)), Inferred::Optional(_))
                    && let Some(path) = self.path(at, scope)
                {
                    add_with_owners(present, &path);
                }
            }
            Expr::Has(select) | Expr::OptSelect(select) => add(select.operand),
            Expr::Call(call) => match (call.function.as_str(), call.arguments.as_slice()) {
                (operator::AND | operator::OR, _) => {}
                (operator::CONDITIONAL, [condition, ..]) => add(*condition),
                _ => {
                    call.target.into_iter().for_each(&mut add);
                    call.arguments.iter().copied().for_each(&mut add);
                    if call.function == operator::INDEX
                        && let Some(path) = self.path(at, scope)
                    {
                        present.insert(path);
                    }
                }
            },
            Expr::Fold(fold) => add(fold.range),
            Expr::OptMap(map) => add(map.target),
            Expr::Bind(bind) => add(bind.value),
            other => other.children().into_iter().for_each(add),
        }
    }

    /// The path of `has(operand.field)`.
    fn selected(&self, at: At<'_, '_>, select: &Select, scope: &Scope) -> Option<String> {
        if path::variable(self.subject, at, select, scope).is_some() {
            return None;
        }
        let operand = self.path(at.node(select.operand), scope)?;
        Some(format!("{operand}.{}", select.field))
    }
}

/// Adds a path; who has a field has everything around it.
fn add_with_owners(present: &mut Present, path: &str) {
    present.insert(path.to_owned());
    let mut rest = path;
    while let Some((owner, _)) = rest.rsplit_once('.') {
        present.insert(owner.to_owned());
        rest = owner;
    }
}
