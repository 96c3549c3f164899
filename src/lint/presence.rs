//! Where an expression reads a field that the object may not have.
//!
//! What is known to be there is a set of paths ([`super::path`]). It grows along `&&`, `||` and `?:`
//! as the language evaluates them: the right side of `has(a.b) && a.b == 1` is reached only with
//! `a.b`, and so is the left side of `a.b == 1 && has(a.b)`, because `false` absorbs the error.
//! A variable is looked at where it is read, with what is known there.

pub(super) mod dead;
mod known;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cel::ast::{Call, Expr, Fold, Literal, NodeId, Select, operator};
use crate::cel::check::Types;
use crate::cel::types::{Inferred, Occurrence};
use crate::text::Span;

use super::logic::Logic;
use super::path::{self, At, Local, Scope};
use super::subject::{Role, Subject};
use super::typing::Typed;

/// Steps for one policy and kind; no policy of the corpora takes a hundredth of it.
const FUEL: u32 = 100_000;

/// Paths known to be there.
type Present = BTreeSet<String>;

/// A field that is read and may be missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Missing {
    /// The expression it is read in.
    pub(super) role: Role,
    /// Where.
    pub(super) span: Span,
    /// What kind of thing it is.
    pub(super) what: What,
}

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A field that the schema does not require.
    Field,
    /// A key of a map.
    Key,
    /// The object itself, or the old one.
    Null,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Fields and keys that an object of some kind may lack.
    Fields,
    /// `object` and `oldObject` where there is none.
    Nulls,
}

/// The objects, with the operations that have none (apiserver `pkg/admission/attributes.go`).
const OBJECTS: [(&str, &[&str]); 2] = [
    ("object", &["DELETE"]),
    ("oldObject", &["CREATE", "CONNECT"]),
];

/// What makes a path known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// That something asked for it without needing it.
    Asking,
    /// That, or that something was evaluated which needs it.
    Evaluating,
}

/// Looks for fields that may be missing, in objects of one kind.
pub(super) struct Presence<'s, 'p> {
    subject: &'s Subject<'p>,
    search: Search,
    types: BTreeMap<Role, Arc<Types>>,
    logic: &'s Logic<'s, 'p>,
    always: &'s dyn Fn(&Inferred, &str) -> bool,
    missing: RefCell<BTreeSet<Missing>>,
    fuel: Cell<u32>,
}

impl<'s, 'p> Presence<'s, 'p> {
    /// Prepares for looking for null objects, of whatever kind.
    pub(super) fn of_nulls(subject: &'s Subject<'p>, logic: &'s Logic<'s, 'p>) -> Self {
        Presence {
            subject,
            search: Search::Nulls,
            types: BTreeMap::new(),
            logic,
            always: &|_, _| true,
            missing: RefCell::default(),
            fuel: Cell::new(FUEL),
        }
    }

    /// Prepares for the objects of one kind; `always` knows fields that are filled in though the
    /// schema does not say so.
    pub(super) fn of_fields(
        subject: &'s Subject<'p>,
        typed: &Typed,
        logic: &'s Logic<'s, 'p>,
        always: &'s dyn Fn(&Inferred, &str) -> bool,
    ) -> Self {
        let roles = subject.expressions.iter().map(|it| it.role);
        Presence {
            subject,
            search: Search::Fields,
            types: roles.zip(typed.types.iter().cloned()).collect(),
            logic,
            always,
            missing: RefCell::default(),
            fuel: Cell::new(FUEL),
        }
    }

    /// Returns what may be missing where the policy decides: in match conditions and validations,
    /// and in the variables they read. A message or annotation that fails is only left out.
    pub(super) fn find(self) -> BTreeSet<Missing> {
        let none = Scope::default();
        let of = |wanted: fn(&Role) -> bool| {
            let expressions = self.subject.expressions.iter();
            expressions.filter(move |it| wanted(&it.role)).map(At::root)
        };
        let conditions: Vec<_> = of(|role| matches!(role, Role::Condition(_))).collect();
        for condition in &conditions {
            if self.logic.value(*condition, &none) == Some(false) {
                // Never about objects of this kind.
                return BTreeSet::new();
            }
        }
        let validations: Vec<_> =
            of(|role| matches!(role, Role::Validation(_) | Role::Mutation(_))).collect();
        let mut present = Present::new();
        for group in [&conditions, &validations] {
            self.visit_group(group, &mut present);
        }
        self.missing.into_inner()
    }

    /// Visits expressions that must all hold. The first of them that does not decides, whatever
    /// becomes of the others: what one asks for is known in all.
    fn visit_group(&self, group: &[At<'s, 'p>], present: &mut Present) {
        let none = Scope::default();
        let asks: Vec<Present> = group
            .iter()
            .map(|expression| self.truths(*expression, true, By::Asking, &none))
            .collect();
        let mut later: BTreeMap<String, usize> = BTreeMap::new();
        for path in asks.iter().flatten() {
            *later.entry(path.clone()).or_default() += 1;
        }
        for (expression, own) in group.iter().zip(&asks) {
            for path in own {
                if let Some(count) = later.get_mut(path) {
                    *count -= 1;
                }
            }
            if !self.steps(1 + later.len() / 8) {
                return;
            }
            let mut known = present.clone();
            known.extend(
                later
                    .iter()
                    .filter(|(_, count)| **count > 0)
                    .map(|(path, _)| path.clone()),
            );
            self.visit(*expression, &known, &none);
            present.extend(self.truths(*expression, true, By::Evaluating, &none));
        }
    }

    fn step(&self) -> bool {
        self.steps(1)
    }

    /// Says whether there are so many steps left, and takes them.
    fn steps(&self, count: usize) -> bool {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let left = self.fuel.get().checked_sub(count);
        self.fuel.set(left.unwrap_or(0));
        left.is_some()
    }

    fn path(&self, at: At<'_, '_>, scope: &Scope) -> Option<String> {
        path::path(self.subject, at, scope)
    }

    fn type_of(&self, at: At<'_, '_>) -> &Inferred {
        let types = self.types.get(&at.expression.role);
        types.map_or(&Inferred::Dyn, |types| types.of(at.id))
    }

    /// Reports what a node reads that may be missing; says whether it found something in what the
    /// node selects from, so that a chain is reported once.
    fn visit(&self, at: At<'s, 'p>, known: &Present, scope: &Scope) -> bool {
        // What is known is copied on the way down.
        if !self.steps(1 + known.len() / 8) {
            return true;
        }
        match at.expr() {
            Expr::Select(select) => {
                if let Some(variable) = path::variable(self.subject, at, select, scope) {
                    if let Some(inner) = scope.of_variable() {
                        self.visit(At::root(variable), known, &inner);
                    }
                    return false;
                }
                let operand = at.node(select.operand);
                self.visit(operand, known, scope)
                    || self.report_null(operand, known, scope)
                    || self.report_field(at, select, known, scope)
            }
            Expr::Has(select) => {
                if path::variable(self.subject, at, select, scope).is_none() {
                    self.visit(at.node(select.operand), known, scope);
                }
                false
            }
            Expr::OptSelect(select) => self.visit(at.node(select.operand), known, scope),
            Expr::Call(call) => self.visit_call(at, call, known, scope),
            Expr::Fold(fold) => {
                self.visit_fold(at, fold, known, scope);
                false
            }
            Expr::OptMap(map) => {
                self.visit(at.node(map.target), known, scope);
                let local = Local::Item(format!("[*{}#{}]", map.variable, at.id.0));
                let inner = scope.with(&map.variable, local);
                self.visit(at.node(map.body), known, &inner);
                false
            }
            Expr::Bind(bind) => {
                self.visit(at.node(bind.value), known, scope);
                let path = self.path(at.node(bind.value), scope).unwrap_or_default();
                let inner = scope.with(&bind.variable, Local::Item(path));
                self.visit(at.node(bind.body), known, &inner);
                false
            }
            other => {
                for child in other.children() {
                    self.visit(at.node(child), known, scope);
                }
                false
            }
        }
    }

    fn visit_call(&self, at: At<'s, 'p>, call: &Call, known: &Present, scope: &Scope) -> bool {
        match (call.function.as_str(), call.arguments.as_slice()) {
            (operator::AND | operator::OR, _) => {
                self.visit_chain(at, call, known, scope);
                false
            }
            (operator::CONDITIONAL, [condition, then, other]) => {
                let condition = at.node(*condition);
                self.visit(condition, known, scope);
                for (branch, wanted) in [(then, true), (other, false)] {
                    if self.logic.value(condition, scope) != Some(!wanted) {
                        let mut known = known.clone();
                        known.extend(self.truths(condition, wanted, By::Evaluating, scope));
                        self.visit(at.node(*branch), &known, scope);
                    }
                }
                false
            }
            (operator::INDEX, [operand, index]) => {
                self.visit(at.node(*index), known, scope);
                self.visit(at.node(*operand), known, scope)
                    || self.report_null(at.node(*operand), known, scope)
                    || self.report_key(at, (*operand, *index), known, scope)
            }
            _ => {
                let parts = call.target.iter().chain(&call.arguments);
                for part in parts {
                    self.visit(at.node(*part), known, scope);
                }
                false
            }
        }
    }

    /// Each operand of a chain is reached with what the others before it were evaluated to, and
    /// counts only with what those after it ask for.
    fn visit_chain(&self, at: At<'s, 'p>, call: &Call, known: &Present, scope: &Scope) {
        let is_and = call.function == operator::AND;
        let operands = path::operands(at.ast(), at.id, &call.function);
        let decides = |id: &NodeId| self.logic.value(at.node(*id), scope) == Some(!is_and);
        if operands.iter().any(decides) {
            return;
        }
        let mut later: Vec<Present> = Vec::new();
        let mut after = Present::new();
        for id in operands.iter().rev() {
            later.push(after.clone());
            after.extend(self.truths(at.node(*id), is_and, By::Asking, scope));
        }
        let mut before = known.clone();
        for (id, after) in operands.iter().zip(later.into_iter().rev()) {
            let mut known = before.clone();
            known.extend(after);
            self.visit(at.node(*id), &known, scope);
            before.extend(self.truths(at.node(*id), is_and, By::Evaluating, scope));
        }
    }

    fn visit_fold(&self, at: At<'s, 'p>, fold: &Fold, known: &Present, scope: &Scope) {
        self.visit(at.node(fold.range), known, scope);
        if let (Some(texts), None) = (path::texts(at.node(fold.range)), &fold.second) {
            for text in texts {
                let inner = scope.with(&fold.variable, Local::Text(text));
                self.visit_bodies(at, fold, known.clone(), &inner);
            }
            return;
        }
        let inner = path::inside(self.subject, at, fold, scope);
        let item = fold.second.as_ref().unwrap_or(&fold.variable);
        let mut known = known.clone();
        if let Some(Local::Item(item)) = inner.local(item) {
            let of_items = self.of_items(at.node(fold.range), scope);
            known.extend(of_items.iter().map(|rest| format!("{item}{rest}")));
        }
        self.visit_bodies(at, fold, known, &inner);
    }

    fn visit_bodies(&self, at: At<'s, 'p>, fold: &Fold, mut known: Present, inner: &Scope) {
        if let Some(predicate) = fold.predicate {
            let predicate = at.node(predicate);
            self.visit(predicate, &known, inner);
            if fold.transform.is_some() {
                known.extend(self.truths(predicate, true, By::Evaluating, inner));
            }
        }
        if let Some(transform) = fold.transform {
            self.visit(at.node(transform), &known, inner);
        }
    }

    /// Reports `object` where it may be null.
    fn report_null(&self, operand: At<'_, '_>, known: &Present, scope: &Scope) -> bool {
        if self.search != Search::Nulls {
            return false;
        }
        let Some(path) = self.path(operand, scope) else {
            return false;
        };
        let Some((_, absent)) = OBJECTS.iter().find(|(object, _)| *object == path) else {
            return false;
        };
        let operations = self.logic.operations();
        operations.iter().any(|it| absent.contains(&it.as_str()))
            && self.report(operand, What::Null, known, scope)
    }

    fn report_field(
        &self,
        at: At<'_, '_>,
        select: &Select,
        known: &Present,
        scope: &Scope,
    ) -> bool {
        let operand = self.type_of(at.node(select.operand));
        let what = match operand {
            Inferred::Schema(object) => {
                let field = object.fields.field(&select.field);
                let is_optional = field.is_some_and(|it| it.occurrence == Occurrence::Optional);
                if !is_optional || (self.always)(operand, &select.field) {
                    return false;
                }
                What::Field
            }
            Inferred::Map(..) => What::Key,
            _ => return false,
        };
        self.report(at, what, known, scope)
    }

    fn report_key(
        &self,
        at: At<'_, '_>,
        (operand, index): (NodeId, NodeId),
        known: &Present,
        scope: &Scope,
    ) -> bool {
        let is_literal = matches!(at.ast().expr(index), Expr::Literal(Literal::String(_)))
            || matches!(
                at.ast().expr(index),
                Expr::Ident(name) if matches!(scope.local(name), Some(Local::Text(_)))
            );
        let is_map = matches!(self.type_of(at.node(operand)), Inferred::Map(..));
        is_literal && is_map && self.report(at, What::Key, known, scope)
    }

    /// Notes something that may be missing, unless it is known to be there, or what it belongs to is
    /// not known.
    fn report(&self, at: At<'_, '_>, what: What, known: &Present, scope: &Scope) -> bool {
        let Some(path) = self.path(at, scope) else {
            return false;
        };
        let root = path.split(['.', '[']).next().unwrap_or_default();
        let is_object = matches!(root, "object" | "oldObject" | "pod");
        if known.contains(&path) || !(is_object || (root.is_empty() && what == What::Field)) {
            return false;
        }
        // Without steps left something that makes it known may have been overlooked.
        if self.fuel.get() > 0 && !self.logic.is_exhausted() {
            self.missing.borrow_mut().insert(Missing {
                role: at.expression.role,
                span: at.ast().span(at.id),
                what,
            });
        }
        true
    }
}
