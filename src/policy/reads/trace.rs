//! Follows what an expression reads of the objects it looks up.
//!
//! Each value is known by the parts of objects that it may be ([`Held`]); a selection goes on to a part
//! of a part. What is compared, printed or given to a function is kept whole, but for the few uses
//! that cannot tell more than a type or a size. Optionals are what they hold. In doubt more is kept:
//! after too many steps everything.

use std::collections::{BTreeMap, BTreeSet};

use crate::cel::ast::{Ast, Call, Expr, Fold, FoldKind, Literal, NodeId, Select, operator};
use crate::cel::parse;
use crate::policy::model::{ParamKind, Policy};

use super::shape::Shape;

/// The variable that holds the Namespace of a request.
pub(super) const NAMESPACE: &str = "namespaceObject";

/// Steps for one policy; the largest built-in one takes a thousandth of it.
const STEPS: usize = 1_000_000;

/// What a policy reads.
pub(super) struct Found {
    pub(super) kinds: BTreeMap<ParamKind, Shape>,
    pub(super) namespace: Shape,
}

/// Finds what a policy reads of the kinds it declares, and of Namespaces.
pub(super) fn trace(policy: &Policy) -> Found {
    let mut trace = Trace::new(policy);
    for variable in &policy.variables {
        // What cannot be parsed is never evaluated.
        if let Ok(ast) = parse::parse(&variable.expression.text) {
            let held = trace.value(&ast, ast.root(), &mut Scope::default());
            trace.variables.entry(&variable.name).or_default().add(held);
        }
    }
    for expression in super::decisions(policy) {
        if let Ok(ast) = parse::parse(&expression.text) {
            trace.consumed(&ast, ast.root(), &mut Scope::default());
        }
    }
    trace.found()
}

/// A part of an object, by its position among all.
type PartId = usize;

/// The root of Namespaces.
const NAMESPACE_ROOT: PartId = 0;

/// What is known to be read of a part.
#[derive(Debug, Default)]
struct Part {
    is_whole: bool,
    has_text: bool,
    fields: BTreeMap<String, PartId>,
    each: Option<PartId>,
}

/// What a value may hold.
#[derive(Debug, Clone, Default)]
struct Held {
    /// The parts that it may be.
    parts: BTreeSet<PartId>,
    /// What the items of a list, or the values of a map, may hold that the expression has made.
    items: Option<Box<Held>>,
}

impl Held {
    fn add(&mut self, other: Held) {
        self.parts.extend(other.parts);
        if let Some(items) = other.items {
            self.items.get_or_insert_default().add(*items);
        }
    }

    fn of_part(part: PartId) -> Self {
        Held {
            parts: BTreeSet::from([part]),
            items: None,
        }
    }

    fn of_items(items: Held) -> Self {
        Held {
            parts: BTreeSet::new(),
            items: Some(Box::new(items)),
        }
    }

    fn len(&self) -> usize {
        1 + self.parts.len() + self.items.as_ref().map_or(0, |items| items.len())
    }
}

/// The variables of macros, innermost last.
#[derive(Debug, Default)]
struct Scope(Vec<(String, Held)>);

impl Scope {
    fn get(&self, name: &str) -> Option<&Held> {
        let mut locals = self.0.iter().rev();
        locals
            .find(|(local, _)| local == name)
            .map(|(_, held)| held)
    }
}

struct Trace<'p> {
    parts: Vec<Part>,
    /// The roots of the kinds that may be looked up.
    kinds: BTreeMap<ParamKind, PartId>,
    variables: BTreeMap<&'p str, Held>,
    steps: usize,
}

impl<'p> Trace<'p> {
    fn new(policy: &'p Policy) -> Self {
        let mut trace = Trace {
            parts: vec![Part::default()],
            kinds: BTreeMap::new(),
            variables: BTreeMap::new(),
            steps: STEPS,
        };
        for read in &policy.reads {
            let kind = ParamKind {
                api_version: read.api_version.clone(),
                kind: read.kind.clone(),
            };
            let root = trace.part();
            trace.kinds.insert(kind, root);
        }
        trace
    }

    fn found(self) -> Found {
        let is_lost = self.steps == 0;
        let shape = |part| match is_lost {
            true => Shape::whole(),
            false => self.shape(part),
        };
        let of_kind = |(kind, root): (&ParamKind, &PartId)| {
            let mut kept = Shape::named();
            kept.add(shape(*root));
            (kind.clone(), kept)
        };
        Found {
            kinds: self.kinds.iter().map(of_kind).collect(),
            namespace: shape(NAMESPACE_ROOT),
        }
    }

    fn shape(&self, part: PartId) -> Shape {
        let Some(part) = self.parts.get(part) else {
            return Shape::whole();
        };
        if part.is_whole {
            return Shape::whole();
        }
        let fields = part.fields.iter();
        let fields = fields.map(|(field, part)| (field.clone(), self.shape(*part)));
        let mut shape = Shape::of_fields(fields.collect());
        if part.has_text {
            shape.add(Shape::text());
        }
        if let Some(each) = part.each {
            shape.add(Shape::of_each(self.shape(each)));
        }
        shape
    }

    fn part(&mut self) -> PartId {
        self.parts.push(Part::default());
        self.parts.len() - 1
    }

    /// Takes steps; when there are none left, what is found does not count any more.
    fn step(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_sub(steps);
        self.steps > 0
    }

    /// What a field of a value holds.
    fn field(&mut self, held: Held, name: &str) -> Held {
        let mut found = held.items.map(|items| *items).unwrap_or_default();
        for part in held.parts {
            let known = self.parts.get(part).map(|it| it.fields.get(name).copied());
            let child = known.flatten().unwrap_or_else(|| {
                let child = self.part();
                if let Some(part) = self.parts.get_mut(part) {
                    part.fields.insert(name.to_owned(), child);
                }
                child
            });
            found.parts.insert(child);
        }
        found
    }

    /// What the items of a value hold.
    fn item(&mut self, held: Held) -> Held {
        let mut found = held.items.map(|items| *items).unwrap_or_default();
        for part in held.parts {
            let known = self.parts.get(part).map(|it| it.each);
            let child = known.flatten().unwrap_or_else(|| {
                let child = self.part();
                if let Some(part) = self.parts.get_mut(part) {
                    part.each = Some(child);
                }
                child
            });
            found.parts.insert(child);
        }
        found
    }

    /// The value is used in a way that may tell anything about it.
    fn consume(&mut self, held: Held) {
        for part in held.parts {
            if let Some(part) = self.parts.get_mut(part) {
                part.is_whole = true;
            }
        }
        if let Some(items) = held.items {
            self.consume(*items);
        }
    }

    /// The size of the value is told: that of a text, too.
    fn measure(&mut self, held: &Held) {
        for part in &held.parts {
            if let Some(part) = self.parts.get_mut(*part) {
                part.has_text = true;
            }
        }
        let parts = held.parts.clone();
        self.item(Held { parts, items: None });
    }

    /// The value is compared with null: an object as a whole is none, and its size is not zero, which
    /// is what the comparison costs.
    fn compare_with_null(&mut self, mut held: Held) {
        let roots: BTreeSet<PartId> = self.kinds.values().copied().collect();
        held.parts
            .retain(|part| *part != NAMESPACE_ROOT && !roots.contains(part));
        self.measure(&held);
    }

    fn consumed(&mut self, ast: &Ast, id: NodeId, scope: &mut Scope) {
        let held = self.value(ast, id, scope);
        self.consume(held);
    }

    fn within(
        &mut self,
        ast: &Ast,
        id: NodeId,
        scope: &mut Scope,
        locals: Vec<(&str, Held)>,
    ) -> Held {
        let depth = scope.0.len();
        let locals = locals.into_iter();
        scope
            .0
            .extend(locals.map(|(name, held)| (name.to_owned(), held)));
        let held = self.value(ast, id, scope);
        scope.0.truncate(depth);
        held
    }

    fn value(&mut self, ast: &Ast, id: NodeId, scope: &mut Scope) -> Held {
        if !self.step(1) {
            return Held::default();
        }
        let held = match ast.expr(id) {
            Expr::Literal(_) => Held::default(),
            Expr::Ident(name) => self.named(name, scope),
            Expr::Select(select) | Expr::OptSelect(select) => self.selected(ast, select, scope),
            Expr::Has(select) => {
                self.selected(ast, select, scope);
                Held::default()
            }
            Expr::Call(call) => self.called(ast, call, scope),
            Expr::List(items) => {
                let mut held = Held::default();
                for item in items {
                    held.add(self.value(ast, item.value, scope));
                }
                Held::of_items(held)
            }
            Expr::Map(entries) => {
                let mut held = Held::default();
                for entry in entries {
                    self.consumed(ast, entry.key, scope);
                    held.add(self.value(ast, entry.value, scope));
                }
                Held::of_items(held)
            }
            Expr::Struct(message) => {
                for field in &message.fields {
                    self.consumed(ast, field.value, scope);
                }
                Held::default()
            }
            Expr::Fold(fold) => self.folded(ast, fold, scope),
            Expr::OptMap(map) => {
                let target = self.value(ast, map.target, scope);
                self.within(ast, map.body, scope, vec![(&map.variable, target)])
            }
            Expr::Bind(bind) => {
                let value = self.value(ast, bind.value, scope);
                self.within(ast, bind.body, scope, vec![(&bind.variable, value)])
            }
        };
        self.step(held.len());
        held
    }

    fn named(&mut self, name: &str, scope: &Scope) -> Held {
        if let Some(local) = scope.get(name) {
            return local.clone();
        }
        match name.trim_start_matches('.') {
            NAMESPACE => Held::of_part(NAMESPACE_ROOT),
            VARIABLES => {
                let mut all = Held::default();
                for held in self.variables.values() {
                    all.add(held.clone());
                }
                Held::of_items(all)
            }
            _ => Held::default(),
        }
    }

    fn selected(&mut self, ast: &Ast, select: &Select, scope: &mut Scope) -> Held {
        if let Expr::Ident(name) = ast.expr(select.operand)
            && name.trim_start_matches('.') == VARIABLES
            && scope.get(name).is_none()
        {
            let variable = self.variables.get(select.field.as_str());
            return variable.cloned().unwrap_or_default();
        }
        let operand = self.value(ast, select.operand, scope);
        self.field(operand, &select.field)
    }

    fn called(&mut self, ast: &Ast, call: &Call, scope: &mut Scope) -> Held {
        let namespace = call.target.and_then(|target| ast.qualified_name(target));
        let namespace = namespace.as_deref().map(|it| it.trim_start_matches('.'));
        match namespace {
            Some("cluster") => return self.looked_up(ast, call, scope),
            Some("optional") if scope.get("optional").is_none() => {
                return self.optional(ast, call, scope);
            }
            _ => {}
        }
        let arguments = call.arguments.as_slice();
        match (call.function.as_str(), call.target.as_ref(), arguments) {
            (operator::CONDITIONAL, _, [condition, then, other]) => {
                self.consumed(ast, *condition, scope);
                self.either(ast, (*then, *other), scope)
            }
            (operator::INDEX | operator::OPT_INDEX, _, [operand, key]) => {
                let operand = self.value(ast, *operand, scope);
                match ast.expr(*key) {
                    Expr::Literal(Literal::String(name)) => self.field(operand, name),
                    _ => {
                        self.consumed(ast, *key, scope);
                        self.item(operand)
                    }
                }
            }
            (operator::ADD, _, [a, b]) => {
                let held = self.either(ast, (*a, *b), scope);
                // Of texts and numbers something else comes, of lists a list.
                self.measure(&held);
                held
            }
            (operator::EQUALS | operator::NOT_EQUALS, _, [a, b])
                if is_null(ast, *a) || is_null(ast, *b) =>
            {
                let held = self.either(ast, (*a, *b), scope);
                self.compare_with_null(held);
                Held::default()
            }
            ("size", None, [of]) | ("size", Some(of), []) => {
                let held = self.value(ast, *of, scope);
                self.measure(&held);
                Held::default()
            }
            ("type", None, [of]) | ("hasValue", Some(of), []) => {
                self.value(ast, *of, scope);
                Held::default()
            }
            ("dyn", None, [of]) | ("value", Some(of), []) => self.value(ast, *of, scope),
            ("orValue" | "or", Some(of), [other]) => self.either(ast, (*of, *other), scope),
            _ => {
                for part in call.target.iter().chain(arguments) {
                    self.consumed(ast, *part, scope);
                }
                Held::default()
            }
        }
    }

    fn either(&mut self, ast: &Ast, (a, b): (NodeId, NodeId), scope: &mut Scope) -> Held {
        let mut held = self.value(ast, a, scope);
        held.add(self.value(ast, b, scope));
        held
    }

    fn looked_up(&mut self, ast: &Ast, call: &Call, scope: &mut Scope) -> Held {
        for argument in &call.arguments {
            self.consumed(ast, *argument, scope);
        }
        // Should a macro's variable have the name, it is no less read.
        if let Some(local) = scope.get("cluster").cloned() {
            self.consume(local);
        }
        let text = |at: usize| match call.arguments.get(at).map(|id| ast.expr(*id)) {
            Some(Expr::Literal(Literal::String(text))) => Some(text.clone()),
            _ => None,
        };
        let kind = text(0)
            .zip(text(1))
            .map(|(api_version, kind)| ParamKind { api_version, kind });
        // What is not declared is not compiled.
        let root = kind.and_then(|kind| self.kinds.get(&kind).copied());
        match (call.function.as_str(), root) {
            ("get", Some(root)) => Held::of_part(root),
            ("list", Some(root)) => Held::of_items(Held::of_part(root)),
            _ => Held::default(),
        }
    }

    fn optional(&mut self, ast: &Ast, call: &Call, scope: &mut Scope) -> Held {
        match (call.function.as_str(), call.arguments.as_slice()) {
            ("of", [of]) => self.value(ast, *of, scope),
            ("ofNonZeroValue", [of]) => {
                let held = self.value(ast, *of, scope);
                self.measure(&held);
                held
            }
            (_, arguments) => {
                for argument in arguments {
                    self.consumed(ast, *argument, scope);
                }
                Held::default()
            }
        }
    }

    fn folded(&mut self, ast: &Ast, fold: &Fold, scope: &mut Scope) -> Held {
        let range = self.value(ast, fold.range, scope);
        let item = self.item(range.clone());
        let locals = || match &fold.second {
            // The first is an index or a key.
            Some(second) => vec![
                (fold.variable.as_str(), Held::default()),
                (second.as_str(), item.clone()),
            ],
            None => vec![(fold.variable.as_str(), item.clone())],
        };
        if let Some(predicate) = fold.predicate {
            let held = self.within(ast, predicate, scope, locals());
            self.consume(held);
        }
        let made = match fold.transform {
            Some(transform) => self.within(ast, transform, scope, locals()),
            None => Held::default(),
        };
        match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => Held::default(),
            // Of a map its keys, which are kept with its items.
            FoldKind::Filter => range,
            FoldKind::Map | FoldKind::TransformMap => Held::of_items(made),
            FoldKind::TransformMapEntry => {
                let mut items = self.item(made.clone());
                items.add(made);
                Held::of_items(items)
            }
        }
    }
}

/// The variable with the policy's own variables.
const VARIABLES: &str = "variables";

fn is_null(ast: &Ast, id: NodeId) -> bool {
    matches!(ast.expr(id), Expr::Literal(Literal::Null))
}
