//! Resolves every name of an expression and infers the type of every node, as cel-go's checker
//! does with Kubernetes' options (`checker/checker.go`; homogeneous aggregate literals).
//!
//! Types are gradual: `dyn` goes with everything, and is all that is known of `object`. What
//! Kubernetes refuses at compile time is an issue here, at its place and with a suggestion.

mod call;
mod fold;
mod format;
mod later;
mod message;
pub mod operators;
mod unify;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::text::{Span, nearest};

use super::ast::{Ast, Entry, Expr, Item, Literal, NodeId, Presence, Select};
use super::env::{Env, Language};
use super::function::Overload;
use super::issue::Issue;
use super::protobuf::Descriptor;
use super::types::{Inferred, SchemaObject, Type};
use operators::OperatorCost;
use unify::Unifier;

/// An expression all of whose names are resolved.
#[derive(Debug)]
pub struct Checked {
    /// The expression.
    pub ast: Ast,
    /// The type of the whole expression.
    pub result: Inferred,
    /// What each node refers to, by [`NodeId`].
    references: Vec<Reference>,
    /// The type of each node, by [`NodeId`], with variables.
    types: Vec<Inferred>,
    unifier: Unifier,
    /// How many local variables are alive at once at most.
    pub locals: usize,
    /// Where the first function is called that Kubernetes does not have.
    pub extension: Option<Span>,
}

/// What a node refers to.
#[derive(Debug, Clone, Default)]
pub enum Reference {
    /// Nothing: its value comes from its children.
    #[default]
    None,
    /// A variable of the environment.
    Slot(usize),
    /// A variable of an enclosing macro; for macros their first variable.
    Local(usize),
    /// One of the policy's own variables.
    Variable(usize),
    /// A type.
    Type(&'static str),
    /// A constant of an enumeration.
    Enum(i64),
    /// A message of `google.protobuf`.
    Message(&'static Descriptor),
    /// An object that has a type, but cannot be made.
    Undefined(&'static str),
    /// An operator, with its cost, and which of its signatures may take the operands: a bit each.
    Operator(OperatorCost, u16),
    /// The overloads of a function that may take the arguments; never empty.
    Overloads(Vec<&'static Overload>),
}

impl Checked {
    /// Returns what a node refers to.
    pub fn reference(&self, id: NodeId) -> &Reference {
        index(id)
            .and_then(|at| self.references.get(at))
            .unwrap_or(&Reference::None)
    }

    /// Returns the type of a node; `dyn` where there is none, as for the namespace of a function.
    pub fn type_of(&self, id: NodeId) -> Inferred {
        let known = index(id).and_then(|at| self.types.get(at));
        known.map_or(Inferred::Dyn, |known| self.unifier.finish(known))
    }

    /// Iterates over all references.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.references.iter()
    }
}

fn index(id: NodeId) -> Option<usize> {
    usize::try_from(id.0).ok()
}

/// The types of an expression's nodes, as far as they are known.
#[derive(Debug)]
pub struct Types {
    /// The type of each node, by [`NodeId`].
    nodes: Vec<Inferred>,
    /// The type of the whole expression.
    pub result: Inferred,
    /// What does not fit together.
    pub issues: Vec<Issue>,
}

impl Types {
    /// Returns the type of a node.
    pub fn of(&self, id: NodeId) -> &Inferred {
        index(id)
            .and_then(|at| self.nodes.get(at))
            .unwrap_or(&Inferred::Dyn)
    }
}

/// Infers the types of an expression, faulty or not.
pub fn types(ast: &Ast, env: &Env) -> Types {
    let mut checker = Checker::new(ast, env);
    let result = checker.run();
    let nodes = std::mem::take(&mut checker.types);
    let finish = |inferred: &Inferred| checker.unifier.finish(inferred);
    let nodes = nodes.iter().map(finish).collect();
    let mut issues = std::mem::take(&mut checker.issues);
    issues.sort_by_key(|issue| issue.span);
    Types {
        nodes,
        result,
        issues,
    }
}

/// Checks an expression against the declarations of `env`.
pub fn check(ast: Ast, env: &Env) -> Result<Checked, Vec<Issue>> {
    let mut checker = Checker::new(&ast, env);
    let result = checker.run();
    let Checker {
        references,
        types,
        unifier,
        locals,
        extension,
        mut issues,
        ..
    } = checker;
    if issues.is_empty() {
        return Ok(Checked {
            ast,
            result,
            references,
            types,
            unifier,
            locals,
            extension,
        });
    }
    issues.sort_by_key(|issue| issue.span);
    Err(issues)
}

/// More issues of one expression are not looked for.
const MAX_ISSUES: usize = 100;

struct Checker<'c> {
    env: &'c Env,
    ast: &'c Ast,
    types: Vec<Inferred>,
    references: Vec<Reference>,
    /// The macros' variables in scope, outermost first.
    scope: Vec<(String, Inferred)>,
    locals: usize,
    extension: Option<Span>,
    issues: Vec<Issue>,
    unifier: Unifier,
    /// How many calls of `format` are open: their lists may mix types.
    exempt: usize,
    /// List and map literals to be checked once all types are known.
    literals: Vec<NodeId>,
    /// Calls of `format`, to be checked then too.
    formats: Vec<NodeId>,
    /// Where variables of macros are read, with their types.
    uses: Vec<(NodeId, String, Inferred)>,
}

impl<'c> Checker<'c> {
    fn new(ast: &'c Ast, env: &'c Env) -> Self {
        Checker {
            env,
            ast,
            types: vec![Inferred::Dyn; ast.nodes().len()],
            references: vec![Reference::None; ast.nodes().len()],
            scope: Vec::new(),
            locals: 0,
            extension: None,
            issues: Vec::new(),
            unifier: Unifier::default(),
            exempt: 0,
            literals: Vec::new(),
            formats: Vec::new(),
            uses: Vec::new(),
        }
    }

    /// Checks everything, and returns the type of the whole.
    fn run(&mut self) -> Inferred {
        let result = self.visit(self.ast.root());
        self.check_literals();
        self.refuse_type_variables();
        self.unifier.finish(&result)
    }
}

impl Checker<'_> {
    /// Infers the type of a node.
    fn visit(&mut self, id: NodeId) -> Inferred {
        if self.issues.len() >= MAX_ISSUES {
            return Inferred::Error;
        }
        let ast = self.ast;
        let inferred = match ast.expr(id) {
            Expr::Literal(literal) => Inferred::Simple(match literal {
                Literal::Null => Type::Null,
                Literal::Bool(_) => Type::Bool,
                Literal::Int(_) => Type::Int,
                Literal::Uint(_) => Type::Uint,
                Literal::Double(_) => Type::Double,
                Literal::String(_) => Type::String,
                Literal::Bytes(_) => Type::Bytes,
            }),
            Expr::Ident(name) => self.visit_ident(id, name),
            Expr::Select(select) => match self.resolved_select(id, select) {
                Some(inferred) => inferred,
                None => self.visit_field(select, Presence::Always),
            },
            Expr::OptSelect(select) => self.visit_field(select, Presence::Optional),
            Expr::Has(select) => {
                if self.policy_variable(id, select).is_none() {
                    self.visit_field(select, Presence::Always);
                }
                Inferred::Simple(Type::Bool)
            }
            Expr::Call(call) => self.visit_call(id, call),
            Expr::List(items) => self.visit_list(id, items),
            Expr::Map(entries) => self.visit_map(id, entries),
            Expr::Struct(message) => self.visit_message(id, message),
            Expr::Fold(fold) => self.visit_fold(id, fold),
            Expr::OptMap(map) => self.visit_opt_map(id, map),
            Expr::Bind(bind) => {
                if !bind.variable.starts_with('@') {
                    self.extension_used(id, "cel.bind");
                }
                let value = self.visit(bind.value);
                self.scoped(id, vec![(bind.variable.clone(), value)], |checker| {
                    checker.visit(bind.body)
                })
            }
        };
        let inferred = self.small(id, inferred);
        if let Some(known) = index(id).and_then(|at| self.types.get_mut(at)) {
            *known = inferred.clone();
        }
        inferred
    }

    /// Refuses a type that takes too long to compare: `x.map(y, {y: y})` doubles one.
    fn small(&mut self, id: NodeId, inferred: Inferred) -> Inferred {
        if self.unifier.is_small(&inferred) {
            return inferred;
        }
        let issue = Issue::new(self.ast.span(id), "the type of this is too large");
        self.issues
            .push(issue.help("hide parts of it behind `dyn(…)`"));
        Inferred::Error
    }

    fn type_of(&self, id: NodeId) -> Inferred {
        let known = index(id).and_then(|at| self.types.get(at));
        known.map_or(Inferred::Dyn, |known| self.unifier.finish(known))
    }

    /// Notes the use of a macro that Kubernetes does not have.
    fn extension_used(&mut self, id: NodeId, name: &str) {
        let span = self.ast.span(id);
        self.extension.get_or_insert(span);
        if self.env.language() == Language::Kubernetes {
            self.refuse_extension(span, name);
        }
    }

    fn refuse_extension(&mut self, span: Span, name: &str) {
        let message = format!("`{name}` is not part of Kubernetes' language");
        let issue = Issue::new(span, message);
        self.issues
            .push(issue.help("write the policy as a `.cel` file to use extensions"));
    }

    /// Visits something with further local variables in scope.
    fn scoped<R>(
        &mut self,
        id: NodeId,
        variables: Vec<(String, Inferred)>,
        visit: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let outer = self.scope.len();
        self.refer(id, Reference::Local(outer));
        self.scope.extend(variables);
        self.locals = self.locals.max(self.scope.len());
        let result = visit(self);
        self.scope.truncate(outer);
        result
    }

    fn visit_ident(&mut self, id: NodeId, written: &str) -> Inferred {
        let name = written.trim_start_matches('.');
        // Kubernetes' cel-go resolves a name with a dot in front as one without.
        if let Some((at, inferred)) = self.local(name) {
            self.refer(id, Reference::Local(at));
            self.uses.push((id, name.to_owned(), inferred.clone()));
            return inferred;
        }
        if let Some((slot, declared)) = self.env.slot(name) {
            let inferred = match self.env.schema_of(slot) {
                Some(known) => known.clone(),
                None => instantiate(declared, &mut FxHashMap::default(), &mut self.unifier),
            };
            self.refer(id, Reference::Slot(slot));
            return inferred;
        }
        if let Some(inferred) = self.type_value(id, name) {
            return inferred;
        }
        self.undeclared_variable(id, name);
        Inferred::Error
    }

    fn undeclared_variable(&mut self, id: NodeId, name: &str) {
        let issue = Issue::new(
            self.ast.span(id),
            format!("undeclared reference to `{name}`"),
        );
        if let Some(why) = self.env.absence(name) {
            return self.issues.push(issue.help(why));
        }
        let locals = self.scope.iter().map(|(name, _)| name.as_str());
        let known: Vec<&str> = self
            .env
            .names()
            .chain(locals)
            .filter(|name| !name.starts_with('@'))
            .collect();
        let issue = match nearest(name, known.iter().copied()) {
            Some(known) => issue.help(format!("did you mean `{known}`?")),
            None => {
                let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                issue.help(format!("the variables here are {}", names.join(", ")))
            }
        };
        self.issues.push(issue);
    }

    /// The innermost local variable of a name.
    fn local(&self, name: &str) -> Option<(usize, Inferred)> {
        let at = self.scope.iter().rposition(|(local, _)| local == name)?;
        self.scope
            .get(at)
            .map(|(_, inferred)| (at, inferred.clone()))
    }

    fn type_value(&mut self, id: NodeId, name: &str) -> Option<Inferred> {
        if let Some(inferred) = self.protobuf_value(id, name) {
            return Some(inferred);
        }
        let (name, declared) = self.env.type_named(name)?;
        self.refer(id, Reference::Type(name));
        let inner = instantiate(declared, &mut FxHashMap::default(), &mut self.unifier);
        Some(Inferred::Type(Some(Arc::new(inner))))
    }

    /// A selection that is a type's name or one of the policy's variables.
    fn resolved_select(&mut self, id: NodeId, select: &Select) -> Option<Inferred> {
        if let Some(inferred) = self.policy_variable(id, select) {
            return Some(inferred);
        }
        let name = self.ast.qualified_name(id)?;
        let name = name.trim_start_matches('.');
        // The whole name is looked up first: no variable hides it (cel-go `checker/checker.go`,
        // `checkSelect`).
        if let Some((slot, declared)) = self.env.slot(name) {
            let inferred = instantiate(declared, &mut FxHashMap::default(), &mut self.unifier);
            self.refer(id, Reference::Slot(slot));
            return Some(inferred);
        }
        self.type_value(id, name)
    }

    /// `variables.NAME`: resolved to the variable itself, unless `variables` is hidden.
    fn policy_variable(&mut self, id: NodeId, select: &Select) -> Option<Inferred> {
        let is_variables = matches!(self.ast.expr(select.operand), Expr::Ident(name) if name == "variables")
            && self.local("variables").is_none()
            && self.env.slot("variables").is_some();
        if !is_variables {
            return None;
        }
        if let Some((at, inferred)) = self.env.variable(&select.field) {
            let inferred = inferred.clone();
            self.refer(id, Reference::Variable(at));
            return Some(inferred);
        }
        let issue = Issue::new(
            self.ast.span(id),
            format!("undefined variable `{}`", select.field),
        );
        let issue = match nearest(&select.field, self.env.variable_names()) {
            Some(known) => issue.help(format!("did you mean `variables.{known}`?")),
            None => issue.help("a variable can be read only below the place it is declared"),
        };
        self.issues.push(issue);
        Some(Inferred::Error)
    }

    fn visit_field(&mut self, select: &Select, presence: Presence) -> Inferred {
        let operand = self.visit(select.operand);
        let operand = self.unifier.substitute(&operand);
        let (target, is_optional) = match operand {
            Inferred::Optional(inner) => ((*inner).clone(), true),
            other => (other, false),
        };
        let result = match &target {
            Inferred::Map(_, value) => (**value).clone(),
            Inferred::Simple(Type::Object(object)) => self.object_field(object, select),
            Inferred::Variable(_) => {
                self.unifier.is_assignable(&Inferred::Dyn, &target);
                Inferred::Dyn
            }
            Inferred::Message(name) => self.message_field(name, select),
            Inferred::Schema(object) => self.schema_field(object, select),
            Inferred::Dyn | Inferred::Any | Inferred::Error => Inferred::Dyn,
            other => {
                let message = format!("type `{}` has no fields", self.unifier.finish(other));
                self.issues.push(Issue::new(select.field_span, message));
                Inferred::Dyn
            }
        };
        let result = self.unifier.substitute(&result);
        if is_optional || presence == Presence::Optional {
            return Inferred::Optional(Arc::new(result));
        }
        result
    }

    fn object_field(
        &mut self,
        object: &'static super::types::ObjectType,
        select: &Select,
    ) -> Inferred {
        let found = object.fields.iter().find(|(name, _)| *name == select.field);
        if let Some((_, declared)) = found {
            return instantiate(declared, &mut FxHashMap::default(), &mut self.unifier);
        }
        let message = format!("undefined field `{}` of {}", select.field, object.name);
        let issue = Issue::new(select.field_span, message);
        let names = || object.fields.iter().map(|(name, _)| *name);
        let issue = match nearest(&select.field, names()) {
            Some(known) => issue.help(format!("did you mean `{known}`?")),
            None => issue.help(format!("it has {}", names().collect::<Vec<_>>().join(", "))),
        };
        self.issues.push(issue);
        Inferred::Error
    }

    fn schema_field(&mut self, object: &SchemaObject, select: &Select) -> Inferred {
        if let Some(field) = object.fields.field(&select.field) {
            return field.inferred;
        }
        let message = format!("undefined field `{}` of {}", select.field, object.title);
        let issue = Issue::new(select.field_span, message);
        let names = object.fields.names();
        let issue = match nearest(&select.field, names.iter().map(String::as_str)) {
            Some(known) => issue.help(format!("did you mean `{known}`?")),
            None => issue,
        };
        self.issues.push(issue);
        Inferred::Error
    }

    fn visit_list(&mut self, id: NodeId, items: &[Item]) -> Inferred {
        let mut joined = None;
        for item in items {
            let inferred = self.visit(item.value);
            let inferred = self.present(item.value, inferred, item.presence);
            joined = Some(self.join(joined, inferred));
        }
        self.literal_made(id);
        let item = joined.unwrap_or_else(|| self.unifier.fresh());
        Inferred::List(Arc::new(item))
    }

    fn visit_map(&mut self, id: NodeId, entries: &[Entry]) -> Inferred {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let key = self.visit(entry.key);
            keys = Some(self.join(keys, key));
            let value = self.visit(entry.value);
            let value = self.present(entry.value, value, entry.presence);
            values = Some(self.join(values, value));
        }
        self.literal_made(id);
        let key = keys.unwrap_or_else(|| self.unifier.fresh());
        let value = values.unwrap_or_else(|| self.unifier.fresh());
        Inferred::Map(Arc::new(key), Arc::new(value))
    }

    fn literal_made(&mut self, id: NodeId) {
        if self.exempt == 0 {
            self.literals.push(id);
        }
    }

    /// The type of an item or value that may be left out.
    fn present(&mut self, id: NodeId, inferred: Inferred, presence: Presence) -> Inferred {
        match (presence, inferred) {
            (Presence::Always, inferred) => inferred,
            (Presence::Optional, Inferred::Optional(inner)) => (*inner).clone(),
            (Presence::Optional, Inferred::Error) => Inferred::Error,
            (Presence::Optional, inferred) if inferred.is_dyn() => inferred,
            (Presence::Optional, other) => {
                let wanted = Inferred::Optional(Arc::new(other.clone()));
                self.mismatch(id, &wanted, &other);
                other
            }
        }
    }

    /// The type of the items so far and one more; `dyn` if they do not go together, which
    /// [`Self::check_literals`] refuses where mixtures are not allowed.
    fn join(&mut self, previous: Option<Inferred>, current: Inferred) -> Inferred {
        let Some(previous) = previous else {
            return current;
        };
        if !self.unifier.is_assignable(&previous, &current) {
            return Inferred::Dyn;
        }
        match unify::is_less_specific(&previous, &current) {
            true => previous,
            false => current,
        }
    }

    fn mismatch(&mut self, id: NodeId, wanted: &Inferred, found: &Inferred) {
        let (wanted, found) = (self.unifier.finish(wanted), self.unifier.finish(found));
        let message = format!("expected type `{wanted}` but found `{found}`");
        self.issues.push(Issue::new(self.ast.span(id), message));
    }

    /// The items of a literal must be of one type, of which `dyn` is another one (cel-go
    /// `cel/validator.go`, `ValidateHomogeneousAggregateLiterals`).
    fn check_literals(&mut self) {
        let ast = self.ast;
        if !self.issues.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.formats) {
            self.check_format(id);
        }
        for id in std::mem::take(&mut self.literals) {
            match ast.expr(id) {
                Expr::List(items) => {
                    self.check_uniform(items.iter().map(|item| (item.value, item.presence)));
                }
                Expr::Map(entries) => {
                    self.check_uniform(entries.iter().map(|entry| (entry.key, Presence::Always)));
                    self.check_uniform(entries.iter().map(|entry| (entry.value, entry.presence)));
                }
                _ => {}
            }
        }
    }

    fn check_uniform(&mut self, parts: impl Iterator<Item = (NodeId, Presence)>) {
        let mut first: Option<Inferred> = None;
        for (id, presence) in parts {
            let inferred = match (self.type_of(id), presence) {
                (Inferred::Optional(inner), Presence::Optional) => (*inner).clone(),
                (other, _) => other,
            };
            match &first {
                None => first = Some(inferred),
                Some(wanted) if *wanted != inferred => {
                    let wanted = wanted.clone();
                    self.mismatch(id, &wanted, &inferred);
                    return;
                }
                Some(_) => {}
            }
        }
    }

    fn refer(&mut self, id: NodeId, reference: Reference) {
        if let Some(entry) = index(id).and_then(|at| self.references.get_mut(at)) {
            *entry = reference;
        }
    }
}

/// Makes a declared type with fresh variables for its parameters.
fn instantiate(
    declared: &Type,
    names: &mut FxHashMap<&'static str, Inferred>,
    unifier: &mut Unifier,
) -> Inferred {
    match declared {
        Type::Dyn => Inferred::Dyn,
        Type::Type => Inferred::Type(None),
        Type::Param(name) => names.entry(name).or_insert_with(|| unifier.fresh()).clone(),
        Type::List(item) => Inferred::List(Arc::new(instantiate(item, names, unifier))),
        Type::Map(key, value) => Inferred::Map(
            Arc::new(instantiate(key, names, unifier)),
            Arc::new(instantiate(value, names, unifier)),
        ),
        Type::Optional(inner) => Inferred::Optional(Arc::new(instantiate(inner, names, unifier))),
        other => Inferred::Simple(*other),
    }
}
