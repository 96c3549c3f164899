//! What an expression must come to, whatever the request: only where that is certain.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;

use crate::cel::ast::{Ast, Call, Expr, Fold, FoldKind, Literal, NodeId, operator};
use crate::cel::env::{Env, Language};
use crate::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use crate::cel::value::Value;
use crate::cel::{check, parse, plan};
use crate::policy::model::{NamedRule, Policy};

use super::path::{self, At, Local, Scope};
use super::subject::{Matched, Subject};
use super::typing::Answers;

/// Steps for one policy and kind; no policy of the corpora takes a hundredth of it.
const FUEL: u32 = 200_000;

/// What is known of the requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The operations there may be; `None` if any.
    operations: Option<BTreeSet<String>>,
    /// The kinds of objects there may be; `None` if any.
    kinds: Option<Vec<Matched>>,
}

impl Known {
    /// What the rules of a policy let through.
    pub(super) fn by_rules(subject: &Subject<'_>) -> Self {
        Known {
            operations: operations(subject.policy),
            kinds: is_exact(subject).then(|| subject.kinds.clone()),
        }
    }

    /// Requests about objects of one kind.
    pub(super) fn by_kind(subject: &Subject<'_>, matched: &Matched) -> Self {
        Known {
            operations: operations(subject.policy),
            kinds: Some(vec![matched.clone()]),
        }
    }
}

fn operations(policy: &Policy) -> Option<BTreeSet<String>> {
    let rules = &policy.match_constraints.as_ref()?.resource_rules;
    let operations = rules.iter().flat_map(|rule| &rule.operations);
    let operations: BTreeSet<String> = operations.cloned().collect();
    (!operations.is_empty() && !operations.contains("*")).then_some(operations)
}

/// Says whether the kinds of a subject are all that its rules let through.
fn is_exact(subject: &Subject<'_>) -> bool {
    let Some(constraints) = &subject.policy.match_constraints else {
        return false;
    };
    let rules = &constraints.resource_rules;
    let is_named = |rule: &NamedRule| {
        // A list may say the same a thousand times.
        let groups: BTreeSet<&String> = rule.api_groups.iter().collect();
        let resources: BTreeSet<&String> = rule.resources.iter().collect();
        groups.len() * resources.len() <= subject.kinds.len()
            && resources.iter().all(|resource| {
                !resource.contains(['*', '/'])
                    && groups.iter().all(|group| {
                        let mut kinds = subject.kinds.iter();
                        kinds.any(|it| it.resource == **resource && it.kind.group == **group)
                    })
            })
    };
    !rules.is_empty() && rules.iter().all(is_named) && subject.kinds.len() < 10
}

/// Finds out what expressions come to.
#[derive(Debug)]
pub(super) struct Logic<'s, 'p> {
    subject: &'s Subject<'p>,
    known: Known,
    answers: Answers,
    fuel: Cell<u32>,
}

impl<'s, 'p> Logic<'s, 'p> {
    pub(super) fn new(subject: &'s Subject<'p>, known: Known) -> Self {
        Logic {
            subject,
            known,
            answers: Answers::new(),
            fuel: Cell::new(FUEL),
        }
    }

    /// Tells what parts come to that ask for what not all kinds have.
    #[must_use]
    pub(super) fn with_answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// Returns the operations there may be.
    pub(super) fn operations(&self) -> BTreeSet<String> {
        self.known.operations.clone().unwrap_or_else(|| {
            let all = ["CONNECT", "CREATE", "DELETE", "UPDATE"];
            all.map(str::to_owned).into()
        })
    }

    /// Says whether there was more to find out than there are steps: answers may be missing.
    pub(super) fn is_exhausted(&self) -> bool {
        self.fuel.get() == 0
    }

    /// Returns what a boolean expression comes to whenever it has a value.
    pub(super) fn value(&self, at: At<'s, 'p>, scope: &Scope) -> Option<bool> {
        self.truth(at, scope)
    }

    fn truth(&self, at: At<'s, 'p>, scope: &Scope) -> Option<bool> {
        self.fuel.set(self.fuel.get().checked_sub(1)?);
        match at.expr() {
            Expr::Literal(Literal::Bool(value)) => Some(*value),
            Expr::Has(_) => {
                let key = (at.expression.role, at.id);
                self.answers.get(&key).copied()
            }
            Expr::Select(select) => {
                let variable = path::variable(self.subject, at, select, scope)?;
                self.truth(At::root(variable), &scope.of_variable()?)
            }
            Expr::Call(call) => self.call(at, call, scope),
            Expr::Fold(fold) => self.unrolled(at, fold, scope).or_else(|| self.closed(at)),
            _ => None,
        }
    }

    fn call(&self, at: At<'s, 'p>, call: &Call, scope: &Scope) -> Option<bool> {
        let truth = |id: NodeId| self.truth(at.node(id), scope);
        match (call.function.as_str(), call.arguments.as_slice()) {
            (operator::NOT, [inner]) => truth(*inner).map(|value| !value),
            (operator::AND | operator::OR, [..]) => self.chain(at, call, scope),
            (operator::CONDITIONAL, [condition, then, other]) => match truth(*condition) {
                Some(true) => truth(*then),
                Some(false) => truth(*other),
                None => {
                    let (then, other) = (truth(*then)?, truth(*other)?);
                    (then == other).then_some(then)
                }
            },
            (operator::EQUALS, [a, b]) => self
                .equal(at.node(*a), at.node(*b), scope)
                .or_else(|| self.closed(at)),
            (operator::NOT_EQUALS, [a, b]) => self
                .equal(at.node(*a), at.node(*b), scope)
                .map(|value| !value)
                .or_else(|| self.closed(at)),
            (operator::IN, [item, list]) => self
                .member(at.node(*item), at.node(*list), scope)
                .or_else(|| self.closed(at)),
            (operator::GREATER_EQUALS, [size, zero])
                if is_size(at.ast(), *size) && is_zero(at.ast(), *zero) =>
            {
                Some(true)
            }
            (operator::LESS, [size, zero])
                if is_size(at.ast(), *size) && is_zero(at.ast(), *zero) =>
            {
                Some(false)
            }
            _ => self.closed(at),
        }
    }

    /// `a && b && …` and `a || b || …`
    fn chain(&self, at: At<'s, 'p>, call: &Call, scope: &Scope) -> Option<bool> {
        let is_and = call.function == operator::AND;
        let operands = path::operands(at.ast(), at.id, &call.function);
        let mut all_known = true;
        for id in &operands {
            match self.truth(at.node(*id), scope) {
                Some(value) if value != is_and => return Some(value),
                Some(_) => {}
                None => all_known = false,
            }
        }
        if all_known {
            return Some(is_and);
        }
        self.contradicts(at, &operands, is_and, scope)
            .then_some(!is_and)
    }

    /// Says whether two operands of a chain exclude each other: `x == 'a' && x == 'b'`, and for `||`
    /// whether one of two must hold: `x != 'a' || x != 'b'`.
    fn contradicts(
        &self,
        at: At<'s, 'p>,
        operands: &[NodeId],
        is_and: bool,
        scope: &Scope,
    ) -> bool {
        let ast = at.ast();
        let mut texts = BTreeSet::new();
        let mut negated = BTreeSet::new();
        let mut values: BTreeMap<String, &Literal> = BTreeMap::new();
        let wanted = if is_and {
            operator::EQUALS
        } else {
            operator::NOT_EQUALS
        };
        for id in operands {
            let Expr::Call(call) = ast.expr(*id) else {
                texts.insert(at.node(*id).text());
                continue;
            };
            match (call.function.as_str(), call.arguments.as_slice()) {
                (operator::NOT, [inner]) => {
                    negated.insert(at.node(*inner).text());
                }
                (function, [a, b]) if function == wanted => {
                    let Some((path, literal)) = self.comparison(at, *a, *b, scope) else {
                        continue;
                    };
                    let other = values.insert(path, literal);
                    if other.is_some_and(|other| other != literal) {
                        return true;
                    }
                }
                _ => {
                    texts.insert(at.node(*id).text());
                }
            }
        }
        texts.intersection(&negated).any(|text| !text.is_empty())
    }

    /// A comparison of something that is read with a literal.
    fn comparison<'l>(
        &self,
        at: At<'l, '_>,
        a: NodeId,
        b: NodeId,
        scope: &Scope,
    ) -> Option<(String, &'l Literal)> {
        let (read, literal) = match (at.ast().expr(a), at.ast().expr(b)) {
            (_, Expr::Literal(literal)) => (a, literal),
            (Expr::Literal(literal), _) => (b, literal),
            _ => return None,
        };
        // Numbers of different types may be equal.
        if !matches!(
            literal,
            Literal::String(_) | Literal::Bool(_) | Literal::Int(_)
        ) {
            return None;
        }
        let path = path::path(self.subject, at.node(read), scope)?;
        Some((path, literal))
    }

    fn equal(&self, a: At<'s, 'p>, b: At<'s, 'p>, scope: &Scope) -> Option<bool> {
        if let Expr::Literal(Literal::Null) = b.expr() {
            return self.is_null(a, scope);
        }
        if let Expr::Literal(Literal::Null) = a.expr() {
            return self.is_null(b, scope);
        }
        if let (Some(one), Some(other)) = (self.texts(a, scope), self.texts(b, scope)) {
            return match one.is_disjoint(&other) {
                true => Some(false),
                false if one.len() == 1 && other.len() == 1 => Some(true),
                false => None,
            };
        }
        let one = path::path(self.subject, a, scope)?;
        let is_text = |at: At<'_, '_>| !matches!(at.expr(), Expr::Literal(_));
        let same = one == path::path(self.subject, b, scope)?;
        (same && is_text(a)).then_some(true)
    }

    /// Says whether `object` or `oldObject` is null, by the operation.
    fn is_null(&self, at: At<'_, '_>, scope: &Scope) -> Option<bool> {
        let operations = self.known.operations.as_ref()?;
        let null_for: &[&str] = match path::path(self.subject, at, scope)?.as_str() {
            "object" => &["DELETE"],
            "oldObject" => &["CREATE", "CONNECT"],
            _ => return None,
        };
        let mut nulls = operations.iter().map(|it| null_for.contains(&it.as_str()));
        let first = nulls.next()?;
        nulls.all(|is_null| is_null == first).then_some(first)
    }

    fn member(&self, item: At<'s, 'p>, list: At<'s, 'p>, scope: &Scope) -> Option<bool> {
        let list: BTreeSet<String> = path::texts(list)?.into_iter().collect();
        if list.is_empty() {
            return Some(false);
        }
        let item = self.texts(item, scope)?;
        match (item.is_disjoint(&list), item.is_subset(&list)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }

    /// The texts that an expression may come to.
    fn texts(&self, at: At<'_, '_>, scope: &Scope) -> Option<BTreeSet<String>> {
        match at.expr() {
            Expr::Literal(Literal::String(text)) => return Some([text.clone()].into()),
            Expr::Ident(name) => {
                return match scope.local(name)? {
                    Local::Text(text) => Some([text.clone()].into()),
                    Local::Item(_) => None,
                };
            }
            _ => {}
        }
        let path = path::path(self.subject, at, scope)?;
        if path == "request.operation" {
            return self.known.operations.clone();
        }
        let of_kind: fn(&Matched) -> String = match path.as_str() {
            "object.kind" | "oldObject.kind" | "request.kind.kind" => |it| it.kind.kind.clone(),
            "request.kind.group" | "request.resource.group" => |it| it.kind.group.clone(),
            "request.resource.resource" => |it| it.resource.clone(),
            _ => return None,
        };
        let kinds = self.known.kinds.as_ref()?;
        Some(kinds.iter().map(of_kind).collect())
    }

    /// `['a', 'b'].all(x, …)`: each text in turn.
    fn unrolled(&self, at: At<'s, 'p>, fold: &Fold, scope: &Scope) -> Option<bool> {
        let is_all = match fold.kind {
            FoldKind::All => true,
            FoldKind::Exists => false,
            _ => return None,
        };
        let texts = path::texts(at.node(fold.range))?;
        if fold.second.is_some() {
            return None;
        }
        let predicate = at.node(fold.predicate?);
        let mut all_known = true;
        for text in texts {
            let inner = scope.with(&fold.variable, Local::Text(text));
            match self.truth(predicate, &inner) {
                Some(value) if value != is_all => return Some(value),
                Some(_) => {}
                None => all_known = false,
            }
        }
        all_known.then_some(is_all)
    }

    /// The value of an expression without variables.
    fn closed(&self, at: At<'_, '_>) -> Option<bool> {
        if !self.is_closed(at.ast(), at.id, &mut Vec::new()) {
            return None;
        }
        let env = Env::new([], Language::Extended);
        let checked = check::check(parse::parse(at.text()).ok()?, &env).ok()?;
        let program = plan::plan(&checked).ok()?;
        let arena = Bump::new();
        let inputs = Inputs::new(&[]);
        let limits = Limits {
            cost: 10_000,
            ..Limits::default()
        };
        match evaluate(&program, &inputs, &arena, limits, &mut Unobserved).value {
            Ok(Value::Bool(value)) => Some(value),
            _ => None,
        }
    }

    /// Says whether a part of an expression names no variable but its own.
    fn is_closed<'a>(&self, ast: &'a Ast, id: NodeId, bound: &mut Vec<&'a str>) -> bool {
        let Some(left) = self.fuel.get().checked_sub(1) else {
            return false;
        };
        self.fuel.set(left);
        let expr = ast.expr(id);
        match expr {
            Expr::Ident(name) => bound.contains(&name.as_str()),
            Expr::Fold(fold) => {
                if !self.is_closed(ast, fold.range, bound) {
                    return false;
                }
                let outer = bound.len();
                bound.push(&fold.variable);
                bound.extend(fold.second.as_deref());
                let bodies = [fold.predicate, fold.transform];
                let is_closed = bodies
                    .into_iter()
                    .flatten()
                    .all(|body| self.is_closed(ast, body, bound));
                bound.truncate(outer);
                is_closed
            }
            Expr::OptMap(_) | Expr::Bind(_) | Expr::Struct(_) => false,
            _ => {
                let children = expr.children();
                children
                    .into_iter()
                    .all(|child| self.is_closed(ast, child, bound))
            }
        }
    }
}

fn is_size(ast: &Ast, id: NodeId) -> bool {
    matches!(ast.expr(id), Expr::Call(call) if call.function == "size")
}

fn is_zero(ast: &Ast, id: NodeId) -> bool {
    matches!(ast.expr(id), Expr::Literal(Literal::Int(0)))
}
