//! The types of expressions, for each kind a policy is about (apiserver
//! `plugin/policy/validating/typechecking.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cel::ast::{Expr, NodeId, Select};
use crate::cel::check::{self, Types};
use crate::cel::env::{Env, Messages};
use crate::cel::issue::Issue;
use crate::cel::types::{Inferred, Occurrence};
use crate::policy::compile;
use crate::policy::model::{Form, NamedRule, PodMatching, Policy, PolicyKind};
use crate::schema::{Kind, View};

use super::World;
use super::subject::{Expression, Matched, Role, Subject};

/// Kubernetes `maxTypesToCheck`.
const MAX_KINDS: usize = 10;

/// What Kubernetes says in `status.typeChecking` of one expression for one kind.
#[derive(Debug, Clone)]
pub struct TypeWarning {
    /// The expression.
    pub role: Role,
    /// The kind.
    pub kind: Kind,
    /// What does not fit.
    pub issues: Vec<Issue>,
}

impl Role {
    /// Returns the path of the expression in the policy's object, as Kubernetes writes it.
    pub fn field_ref(self) -> String {
        match self {
            Role::Condition(at) => format!("spec.matchConditions[{at}].expression"),
            Role::Variable(at) => format!("spec.variables[{at}].expression"),
            Role::Validation(at) => format!("spec.validations[{at}].expression"),
            Role::Message(at) => format!("spec.validations[{at}].messageExpression"),
            Role::Annotation(at) => format!("spec.auditAnnotations[{at}].valueExpression"),
            Role::Mutation(at) => format!("spec.mutations[{at}]"),
        }
    }
}

/// A rule may name thousands of each, and all combinations of them are looked up.
const MAX_LOOKUPS: usize = 10_000;

/// The kinds that a policy's rules name exactly and whose schemas are known.
///
/// Upstream `typesToCheck`: rules with a wildcard in groups or versions are passed over, and so are
/// resources with one and subresources; each rule stops everything once it has found ten.
pub(super) fn kinds(policy: &Policy, world: &World) -> Vec<Matched> {
    let rules = policy.match_constraints.as_ref();
    let rules = rules.map(|constraints| constraints.resource_rules.as_slice());
    let mut found = BTreeSet::new();
    for rule in rules.unwrap_or_default() {
        if add_kinds(rule, world, &mut found) >= MAX_KINDS {
            break;
        }
    }
    let is_known = |it: &Matched| world.schemas.kind(&it.kind).is_some();
    let mut kinds: Vec<Matched> = found.into_iter().filter(is_known).collect();
    kinds.dedup_by(|one, other| one.kind == other.kind);
    kinds
}

fn add_kinds(rule: &NamedRule, world: &World, found: &mut BTreeSet<Matched>) -> usize {
    let is_wild = |names: &[String]| names.iter().any(|name| name.contains('*'));
    if is_wild(&rule.api_groups) || is_wild(&rule.api_versions) {
        return 0;
    }
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let resources = sorted(&rule.resources);
    let resources = resources.iter().filter(|name| !name.contains(['*', '/']));
    let (mut count, mut lookups) = (0, 0);
    for group in &sorted(&rule.api_groups) {
        for version in &sorted(&rule.api_versions) {
            for resource in resources.clone() {
                lookups += 1;
                if lookups > MAX_LOOKUPS {
                    return count;
                }
                for (group, version, kind) in world.resources.kinds_for(group, version, resource) {
                    let kind = Kind {
                        group,
                        version,
                        kind,
                    };
                    let resource = resource.clone();
                    found.insert(Matched { kind, resource });
                    count += 1;
                    if count == MAX_KINDS {
                        return count;
                    }
                }
            }
        }
    }
    count
}

/// The environment of a policy's expressions for objects of a kind, and the types of its variables.
pub(super) fn environment(
    subject: &Subject<'_>,
    world: &World,
    kind: &Kind,
    view: View,
) -> Option<Env> {
    let policy = subject.policy;
    let object = world.schemas.object(kind, view)?;
    let mut env = compile::environment(policy, world.version)
        .with_schema("object", &object)
        .with_schema("oldObject", &object);
    if policy.pods == PodMatching::PodTemplates {
        env = env.with_schema("pod", &pod(&object));
    }
    if view == View::Kubernetes {
        // Upstream's checker forgets to declare it.
        env = env.without("authorizer.requestResource");
        if let Some(params) = params(policy, world) {
            env = env.with_schema("params", &params);
        }
    }
    if policy.kind == PolicyKind::Mutating {
        env = env.with_messages(Messages::Mutation);
    }
    for (at, variable) in policy.variables.iter().enumerate() {
        let types = subject
            .expression(Role::Variable(at))
            .map(|expression| check::types(&expression.ast, &env));
        let inferred = match types {
            Some(types) if view != View::Kubernetes => shallow(types.result, MAX_NESTING),
            Some(types) if types.issues.is_empty() => types.result.of_variable(),
            _ => Inferred::Dyn,
        };
        env.declare_variable(&variable.name, inferred);
    }
    Some(env)
}

/// Types of variables nested more deeply are `dyn` to rules: a chain of variables may nest a thousand.
const MAX_NESTING: usize = 16;

fn shallow(inferred: Inferred, limit: usize) -> Inferred {
    let mut inner = &inferred;
    for _ in 0..limit {
        inner = match inner {
            Inferred::List(part) | Inferred::Map(_, part) | Inferred::Optional(part) => part,
            _ => return inferred,
        };
    }
    Inferred::Dyn
}

/// The type of a policy's parameters, if their schema is known.
fn params(policy: &Policy, world: &World) -> Option<Inferred> {
    let kind = policy.param_kind.as_ref()?;
    let (group, version) = crate::admission::resources::split(&kind.api_version);
    let kind = Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.kind.clone(),
    };
    // As upstream, where the name is the kind with the time: not the type of an object of the kind.
    let name = format!("params.{}", kind.kind);
    world.schemas.named_object(&kind, &name, View::Kubernetes)
}

/// The type of `pod`: the object itself, or the template in it.
fn pod(object: &Inferred) -> Inferred {
    let at = |path: &[&str]| {
        let mut inner = object.clone();
        for field in path {
            let Inferred::Schema(schema) = &inner else {
                return None;
            };
            inner = schema.fields.field(field)?.inferred;
        }
        Some(inner)
    };
    at(&["spec", "jobTemplate", "spec", "template"])
        .or_else(|| at(&["spec", "template"]))
        .unwrap_or_else(|| object.clone())
}

/// Returns what Kubernetes would write into `status.typeChecking` of a validating policy.
pub fn warnings(subject: &Subject<'_>, world: &World) -> Vec<TypeWarning> {
    if subject.policy.kind == PolicyKind::Mutating || subject.policy.origin.form == Form::Cel {
        return Vec::new();
    }
    let is_checked =
        |it: &&Expression<'_>| matches!(it.role, Role::Validation(_) | Role::Message(_));
    let mut warnings = Vec::new();
    for matched in &subject.kinds {
        let Some(env) = environment(subject, world, &matched.kind, View::Kubernetes) else {
            continue;
        };
        for expression in subject.expressions.iter().filter(is_checked) {
            let Types { issues, .. } = check::types(&expression.ast, &env);
            if !issues.is_empty() {
                warnings.push(TypeWarning {
                    role: expression.role,
                    kind: matched.kind.clone(),
                    issues,
                });
            }
        }
    }
    warnings.sort_by_key(|warning| warning.role);
    warnings
}

/// The types of one kind's objects, for rules: everything that is known.
#[derive(Debug)]
pub(super) struct Typed {
    /// The kind.
    pub(super) matched: Matched,
    /// The types of each expression, in the order of the subject's.
    pub(super) types: Vec<Arc<Types>>,
}

/// What the parts come to that ask, with `has` or `.?`, for a field that only some kinds of a policy
/// have: who writes one policy for several kinds tells them apart so. For each kind, in order.
pub(super) fn answers(subject: &Subject<'_>, typed: &[Typed]) -> Vec<Answers> {
    let mut answers = vec![Answers::new(); typed.len()];
    for (at, expression) in subject.expressions.iter().enumerate() {
        for id in (0..).map(NodeId).take(expression.ast.nodes().len()) {
            let (Expr::Has(select) | Expr::OptSelect(select)) = expression.ast.expr(id) else {
                continue;
            };
            let of_kinds: Vec<Option<bool>> = typed
                .iter()
                .map(|typed| answer(typed.types.get(at)?, select))
                .collect();
            if of_kinds.iter().all(|it| *it == Some(false)) {
                // Nobody has it: a mistake, and no question.
                continue;
            }
            if of_kinds.contains(&Some(false)) {
                for (answers, answer) in answers.iter_mut().zip(of_kinds) {
                    answers.extend(answer.map(|it| ((expression.role, id), it)));
                }
            }
        }
    }
    answers
}

/// What parts of expressions come to for one kind.
pub(super) type Answers = BTreeMap<(Role, NodeId), bool>;

/// Whether objects of a kind have a field: always, never, or `None` for now and then.
fn answer(types: &Types, select: &Select) -> Option<bool> {
    let mut operand = types.of(select.operand);
    if let Inferred::Optional(inner) = operand {
        operand = inner;
    }
    match operand {
        Inferred::Schema(object) => match object.fields.field(&select.field) {
            None => Some(false),
            Some(field) if field.occurrence == Occurrence::Always => Some(true),
            Some(_) => None,
        },
        Inferred::Error => Some(false),
        _ => None,
    }
}

/// The types of all expressions, for each kind.
pub(super) fn typed(subject: &Subject<'_>, world: &World, view: View) -> Vec<Typed> {
    let kinds = subject.kinds.iter().filter_map(|matched| {
        let env = environment(subject, world, &matched.kind, view)?;
        let expressions = subject.expressions.iter();
        Some(Typed {
            matched: matched.clone(),
            types: expressions
                .map(|expression| {
                    // A variable sees those above it only; more would not be an error here.
                    Arc::new(check::types(&expression.ast, &env))
                })
                .collect(),
        })
    });
    kinds.collect()
}
