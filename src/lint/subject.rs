//! A policy as rules look at it.

use std::cell::OnceCell;

use rustc_hash::FxHashMap;

use crate::cel::ast::Ast;
use crate::cel::parse;
use crate::diagnostics::Diagnostic;
use crate::policy::model::{Binding, Mutation, Policy};
use crate::policy::set::PolicySet;
use crate::schema::{Kind, View};
use crate::text::{Fragment, Span};

use super::World;
use super::typing::{self, Typed};

/// A policy with what is known of it.
#[derive(Debug)]
pub struct Subject<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// The bindings that name it.
    pub bindings: Vec<&'p Binding>,
    /// The kinds its rules name exactly and whose schemas are known.
    pub kinds: Vec<Matched>,
    /// Its expressions that can be parsed.
    pub expressions: Vec<Expression<'p>>,
    /// The types of the expressions for each kind, once they are asked for.
    typed: OnceCell<Vec<Typed>>,
    /// Positions of expressions by what they are for.
    by_role: FxHashMap<Role, usize>,
    /// Positions of variables by name; of several of one name the last one counts.
    variables: FxHashMap<&'p str, usize>,
}

/// A kind that a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matched {
    /// The kind.
    pub kind: Kind,
    /// The resource, as written in the rule.
    pub resource: String,
}

/// An expression of a policy.
#[derive(Debug)]
pub struct Expression<'p> {
    /// What it is for.
    pub role: Role,
    /// Its text.
    pub fragment: &'p Fragment,
    /// Its tree.
    pub ast: Ast,
}

/// What an expression is for, with its position among those like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `matchConditions[i].expression`
    Condition(usize),
    /// `variables[i].expression`
    Variable(usize),
    /// `validations[i].expression`
    Validation(usize),
    /// `validations[i].messageExpression`
    Message(usize),
    /// `auditAnnotations[i].valueExpression`
    Annotation(usize),
    /// `mutations[i]`
    Mutation(usize),
}

impl<'p> Subject<'p> {
    /// Parses the expressions of a policy, and finds its bindings and kinds.
    pub fn new(policy: &'p Policy, set: &'p PolicySet, world: &World) -> Self {
        let bindings = set.bindings().iter().map(AsRef::as_ref);
        let is_its_own = |it: &&Binding| it.kind == policy.kind && it.policy_name == policy.name;
        let expressions = expressions(policy);
        let roles = expressions.iter().map(|it| it.role);
        let names = policy.variables.iter().map(|it| it.name.as_str());
        Subject {
            typed: OnceCell::new(),
            by_role: roles.enumerate().map(|(at, role)| (role, at)).collect(),
            variables: names.enumerate().map(|(at, name)| (name, at)).collect(),
            policy,
            bindings: bindings.filter(is_its_own).collect(),
            kinds: typing::kinds(policy, world),
            expressions,
        }
    }

    /// Returns the types of the expressions for each kind, with all that is known.
    pub(super) fn typed(&self, world: &World) -> &[Typed] {
        self.typed
            .get_or_init(|| typing::typed(self, world, View::Whole))
    }

    /// Returns the expression with a role, if it could be parsed.
    pub fn expression(&self, role: Role) -> Option<&Expression<'p>> {
        self.expressions.get(*self.by_role.get(&role)?)
    }

    /// Returns the expression of a variable, and its role.
    pub fn variable(&self, name: &str) -> Option<&Expression<'p>> {
        let at = *self.variables.get(name)?;
        self.expression(Role::Variable(at))
    }

    /// Puts a finding where a field of the policy is written, or else where the policy is.
    pub fn place(&self, finding: Diagnostic, path: &str) -> Diagnostic {
        let origin = &self.policy.origin;
        let found = self.policy.places.find(&origin.source, path);
        finding.at(&origin.source, found.unwrap_or(origin.span))
    }
}

impl Expression<'_> {
    /// Puts a finding at a part of the expression.
    pub fn place(&self, finding: Diagnostic, span: Span) -> Diagnostic {
        finding.within(self.fragment, span)
    }

    /// Returns a part of its text.
    pub fn text(&self, span: Span) -> &str {
        let text = self.fragment.text.get(span.start..span.end);
        text.unwrap_or_default()
    }
}

fn expressions(policy: &Policy) -> Vec<Expression<'_>> {
    let conditions = policy.match_conditions.iter().enumerate();
    let conditions = conditions.map(|(at, it)| (Role::Condition(at), &it.expression));
    let variables = policy.variables.iter().enumerate();
    let variables = variables.map(|(at, it)| (Role::Variable(at), &it.expression));
    let validations = policy.validations.iter().enumerate();
    let validations = validations.flat_map(|(at, it)| {
        let message = it.message_expression.as_ref();
        let message = message.map(|message| (Role::Message(at), message));
        [(Role::Validation(at), &it.expression)]
            .into_iter()
            .chain(message)
    });
    let annotations = policy.audit_annotations.iter().enumerate();
    let annotations = annotations.map(|(at, it)| (Role::Annotation(at), &it.value_expression));
    let mutations = policy
        .mutations
        .iter()
        .enumerate()
        .map(|(at, it)| match it {
            Mutation::JsonPatch(expression) | Mutation::ApplyConfiguration(expression) => {
                (Role::Mutation(at), expression)
            }
        });
    let all = conditions
        .chain(variables)
        .chain(validations)
        .chain(annotations)
        .chain(mutations);
    all.filter_map(|(role, fragment)| {
        let ast = parse::parse(&fragment.text).ok()?;
        Some(Expression {
            role,
            fragment,
            ast,
        })
    })
    .collect()
}
