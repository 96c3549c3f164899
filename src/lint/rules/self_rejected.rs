//! A patch that writes what a validation rejects.

use serde_json::Value;

use crate::cel::ast::{Expr, Literal, NodeId, operator};
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::path::{self, At, Scope, operands};
use crate::lint::subject::{Expression, Role, Subject};
use crate::lint::{Linter, Rule};
use crate::policy::model::{
    MatchResources, NamedRule, Policy, PolicyKind, PolicyScope, ValidationAction,
};

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/self-rejected",
    severity: Severity::Warning,
    what: "A mutation writes a value that a validation of the same policies rejects.",
    why: "Whatever the mutation has changed is denied by the validation after it: those who ask can \
          neither leave the field out nor be helped by the mutation.",
    fix: "Write a value that the validation admits, best the one it compares with: a setting that \
          both read.",
    example: "// @require three replicas\n\
              object.spec.replicas >= 3\n\
              // @patch\n\
              [JSONPatch{op: 'add', path: '/spec/replicas', value: 1}]\n\
              [JSONPatch{op: 'add', path: '/spec/replicas', value: 3}]",
    check,
};

/// What a patch writes for certain if it is applied.
struct Write<'a, 'p> {
    /// The place as [`path::path`] has it.
    path: String,
    value: Value,
    expression: &'a Expression<'p>,
    node: NodeId,
}

fn check(subject: &Subject<'_>, linter: &Linter<'_>) -> Vec<Diagnostic> {
    if subject.policy.kind != PolicyKind::Mutating {
        return Vec::new();
    }
    let Some(writes) = writes(subject) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for write in &writes {
        let others = linter.subjects.iter();
        // Another mutation may write the same field once more.
        let is_rewritten = others
            .clone()
            .filter(|other| other.policy.kind == PolicyKind::Mutating)
            .filter(|other| !std::ptr::eq(*other, subject))
            .any(|other| !is_left_alone(other, &write.path));
        if is_rewritten {
            continue;
        }
        let rejecting = others
            .filter(|other| judges(other, subject, &write.path))
            .find_map(|other| rejection(other, write).map(|at| (other, at)));
        if let Some((other, at)) = rejecting {
            let name = &other.policy.name;
            let whose = match is_same_file(other.policy, subject.policy) {
                true => "the validation beside it".to_owned(),
                false => format!("a validation of `{name}`"),
            };
            let finding = RULE.finding(format!(
                "the patch writes `{}`, which {whose} rejects",
                write.value
            ));
            let finding = write
                .expression
                .place(finding, write.expression.ast.span(write.node));
            let finding = at.expression.place(finding, at.ast().span(at.id));
            findings.push(
                finding
                    .labelled("does not hold then")
                    .help("write a value that the validation admits"),
            );
        }
    }
    findings
}

/// Returns what the JSON patches of a policy write; `None` if that is not known of each.
fn writes<'a, 'p>(subject: &'a Subject<'p>) -> Option<Vec<Write<'a, 'p>>> {
    let mut writes: Vec<Write<'a, 'p>> = Vec::new();
    let mut paths: Vec<String> = Vec::new();
    for (expression, node, fields) in patches(subject) {
        let at = At {
            expression,
            id: node,
        };
        let field = |name: &str| {
            let found = fields.iter().find(|(field, _)| *field == name);
            found.map(|(_, value)| at.node(*value))
        };
        let text = |name: &str| field(name).and_then(|at| constant(subject, at));
        let Some(Value::String(pointer)) = text("path") else {
            return None;
        };
        let path = path_of(&pointer)?;
        paths.push(path.clone());
        let is_write =
            matches!(text("op"), Some(Value::String(op)) if op == "add" || op == "replace");
        if let (true, Some(value)) = (is_write, field("value"))
            && let Some(constant) = constant(subject, value)
        {
            writes.push(Write {
                path,
                value: constant,
                expression,
                node: value.id,
            });
        }
    }
    // What is written, or is around what is written, more than once is not certain.
    writes.retain(|write| {
        let touching = paths.iter().filter(|path| is_around(path, &write.path));
        touching.count() == 1
    });
    Some(writes)
}

/// A field of a message with its value.
type FieldValue<'a> = (&'a str, NodeId);

/// Returns the `JSONPatch{…}` of the mutations of a policy.
fn patches<'a, 'p>(
    subject: &'a Subject<'p>,
) -> impl Iterator<Item = (&'a Expression<'p>, NodeId, Vec<FieldValue<'a>>)> {
    let expressions = subject.expressions.iter();
    let relevant =
        expressions.filter(|it| matches!(it.role, Role::Mutation(_) | Role::Variable(_)));
    relevant.flat_map(|expression| {
        let nodes = (0_u32..).zip(expression.ast.nodes());
        nodes.filter_map(move |(id, node)| match &node.expr {
            Expr::Struct(message) if message.name.trim_start_matches('.') == "JSONPatch" => {
                let fields = message.fields.iter();
                let fields = fields.map(|field| (field.name.as_str(), field.value));
                Some((expression, NodeId(id), fields.collect()))
            }
            _ => None,
        })
    })
}

/// Says whether no mutation of a policy writes at a path, as far as is known.
fn is_left_alone(subject: &Subject<'_>, path: &str) -> bool {
    patches(subject).all(|(expression, node, fields)| {
        let at = At {
            expression,
            id: node,
        };
        let pointer = fields.iter().find(|(name, _)| *name == "path");
        match pointer.and_then(|(_, value)| constant(subject, at.node(*value))) {
            Some(Value::String(pointer)) => {
                path_of(&pointer).is_none_or(|other| !is_around(&other, path))
            }
            _ => true,
        }
    })
}

/// Says whether one path is, or is above or below, another.
fn is_around(path: &str, other: &str) -> bool {
    let is_below = |path: &str, above: &str| {
        path.strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    is_below(path, other) || is_below(other, path)
}

/// Returns a JSON pointer as the path that an expression reads.
fn path_of(pointer: &str) -> Option<String> {
    let mut path = "object".to_owned();
    for part in pointer.strip_prefix('/')?.split('/') {
        let part = part.replace("~1", "/").replace("~0", "~");
        match part.parse::<u32>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if part == "-" || part.is_empty() => return None,
            Err(_) => {
                path.push('.');
                path.push_str(&part);
            }
        }
    }
    Some(path)
}

/// Returns the value of a literal or of a setting.
fn constant(subject: &Subject<'_>, at: At<'_, '_>) -> Option<Value> {
    match at.expr() {
        Expr::Literal(literal) => match literal {
            Literal::Bool(value) => Some((*value).into()),
            Literal::Int(value) => Some((*value).into()),
            Literal::Double(value) => Some((*value).into()),
            Literal::String(text) => Some(text.as_str().into()),
            Literal::Null | Literal::Uint(_) | Literal::Bytes(_) => None,
        },
        Expr::Select(_) => {
            let path = path::path(subject, at, &Scope::default())?;
            let value = subject
                .policy
                .settings
                .get(path.strip_prefix("settings.")?)?;
            (!value.is_array() && !value.is_object() && !value.is_null()).then(|| value.clone())
        }
        _ => None,
    }
}

fn is_same_file(policy: &Policy, other: &Policy) -> bool {
    std::sync::Arc::ptr_eq(&policy.origin.source, &other.origin.source) && policy.name == other.name
}

/// Says whether the validations of a policy certainly look at what a mutation has written at a path,
/// for some request that is mutated, and deny it.
fn judges(other: &Subject<'_>, mutating: &Subject<'_>, path: &str) -> bool {
    let (policy, mutated) = (other.policy, mutating.policy);
    if policy.kind != PolicyKind::Validating || policy.scope != PolicyScope::Request {
        return false;
    }
    let mut bindings = other.bindings.iter();
    let denies = bindings.any(|binding| {
        binding.validation_actions.contains(&ValidationAction::Deny)
            && binding.match_resources.is_none()
    });
    let (Some(rules), Some(mutated_rules)) =
        (&policy.match_constraints, &mutated.match_constraints)
    else {
        return false;
    };
    let is_same = is_same_file(policy, mutated);
    // What holds before the mutation holds after it if it does not read what is written.
    let conditions = policy.match_conditions.iter().enumerate();
    let conditions_hold = conditions.into_iter().all(|(at, condition)| {
        let mut own = mutated.match_conditions.iter();
        let is_own = own.any(|it| it.expression.text == condition.expression.text);
        is_own
            && is_same
            && other
                .expression(Role::Condition(at))
                .is_some_and(|expression| !reads(other, expression, path))
    });
    denies
        && conditions_hold
        && (is_same || is_unrestricted(rules))
        && overlap(rules, mutated_rules)
}

/// Says whether an expression reads a path, or anything of which it may be a part.
fn reads(subject: &Subject<'_>, expression: &Expression<'_>, path: &str) -> bool {
    let root = At::root(expression);
    let ids = 0..u32::try_from(expression.ast.nodes().len()).unwrap_or(0);
    ids.map(|id| root.node(NodeId(id)))
        .filter_map(|at| path::path(subject, at, &Scope::default()))
        .any(|read| read == path)
}

fn is_unrestricted(constraints: &MatchResources) -> bool {
    constraints.exclude_resource_rules.is_empty()
        && constraints.namespace_selector.selects_all()
        && constraints.object_selector.selects_all()
}

/// Says whether a request is possible that rules of both are about.
fn overlap(rules: &MatchResources, others: &MatchResources) -> bool {
    let pairs = |rule: &NamedRule| {
        others.resource_rules.iter().any(|other| {
            rule.resource_names.is_empty()
                && meet(&rule.operations, &other.operations)
                && meet(&rule.api_groups, &other.api_groups)
                && meet(&rule.api_versions, &other.api_versions)
                && meet(&rule.resources, &other.resources)
        })
    };
    rules.resource_rules.iter().any(pairs)
}

fn meet(names: &[String], others: &[String]) -> bool {
    names.iter().any(|name| {
        let mut others = others.iter();
        name == "*" || others.any(|other| other == "*" || other == name)
    })
}

/// Returns the part of a validation that certainly does not hold once a patch is applied.
fn rejection<'a, 'p>(other: &'a Subject<'p>, write: &Write<'_, '_>) -> Option<At<'a, 'p>> {
    let validations = other.expressions.iter();
    let mut validations = validations.filter(|it| matches!(it.role, Role::Validation(_)));
    validations.find_map(|expression| {
        let root = At::root(expression);
        let parts = operands(&expression.ast, root.id, operator::AND);
        let mut parts = parts.into_iter().map(|part| root.node(part));
        parts.find(|part| is_false(other, *part, write))
    })
}

/// Says whether a comparison does not hold of what is written.
fn is_false(subject: &Subject<'_>, at: At<'_, '_>, write: &Write<'_, '_>) -> bool {
    let Expr::Call(call) = at.expr() else {
        return false;
    };
    let [left, right] = *call.arguments.as_slice() else {
        return false;
    };
    let is_written = |id| {
        let read = path::path(subject, at.node(id), &Scope::default());
        read.is_some_and(|read| read == write.path)
    };
    let value = |id| constant(subject, at.node(id));
    if call.function == operator::IN && is_written(left) {
        let Expr::List(items) = at.ast().expr(right) else {
            return false;
        };
        let items: Option<Vec<Value>> = items.iter().map(|item| value(item.value)).collect();
        return items.is_some_and(|items| !items.contains(&write.value));
    }
    let (order, function) = match (is_written(left), is_written(right)) {
        (true, false) => (
            value(right).and_then(|it| compare(&write.value, &it)),
            &call.function,
        ),
        (false, true) => (
            value(left).and_then(|it| compare(&it, &write.value)),
            &call.function,
        ),
        _ => return false,
    };
    let Some(order) = order else {
        return false;
    };
    let holds = match function.as_str() {
        operator::EQUALS => order.is_eq(),
        operator::NOT_EQUALS => order.is_ne(),
        operator::LESS => order.is_lt(),
        operator::LESS_EQUALS => order.is_le(),
        operator::GREATER => order.is_gt(),
        operator::GREATER_EQUALS => order.is_ge(),
        _ => true,
    };
    !holds
}

/// Compares values of one type.
fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}
