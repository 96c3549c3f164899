//! Writes out what only expressions of `.cel` files can read: `settings` and `pod`.

use serde_json::{Map, Value};

use crate::cel::ast::{Expr, NodeId};
use crate::cel::check::{Checked, Reference};
use crate::policy::compile::SLOTS;
use crate::text::Span;

/// How `pod` is written out.
pub(super) enum Pod {
    /// As one of the policy's variables, by its name.
    Variable(String),
    /// As the expression itself.
    Inline,
}

/// What `pod` is: the metadata and the spec of the pod, or of the pod template of a workload, each
/// empty if it is missing; null if there is neither.
pub(super) const POD: &str = "\
(request.kind.kind == 'Pod' ? optional.of(object) :
  request.kind.kind == 'CronJob' ? object.?spec.jobTemplate.spec.template :
  object.?spec.template)
  .optMap(pod, dyn({'metadata': pod.?metadata.orValue({}), 'spec': pod.?spec.orValue({})}))
  .orValue(dyn(null))";

/// Returns an expression with the values of settings in place of their names, and with `pod` as it is
/// written out.
pub(super) fn rewrite(
    text: &str,
    checked: &Checked,
    settings: &Map<String, Value>,
    pod: &Pod,
) -> String {
    let mut edits: Vec<(Span, String)> = Vec::new();
    for (at, node) in checked.ast.nodes().iter().enumerate() {
        let Ok(at) = u32::try_from(at) else { break };
        let edit = match &node.expr {
            Expr::Has(select) if is_slot(checked, select.operand, "settings") => {
                settings.get(&select.field).map(|_| "true".to_owned())
            }
            Expr::Select(select) if is_slot(checked, select.operand, "settings") => {
                settings.get(&select.field).map(literal)
            }
            Expr::Ident(_) if is_slot(checked, NodeId(at), "settings") => {
                Some(map(settings.iter()))
            }
            Expr::Ident(_) if is_slot(checked, NodeId(at), "pod") => Some(match pod {
                Pod::Variable(name) => format!("variables.{name}"),
                Pod::Inline => format!("({POD})"),
            }),
            _ => None,
        };
        edits.extend(edit.map(|edit| (node.span, edit)));
    }
    // The wider ones first: a setting that is written out leaves no `settings` behind.
    edits.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    let mut rewritten = String::with_capacity(text.len());
    let mut from = 0;
    for (span, edit) in edits {
        if span.start < from {
            continue;
        }
        rewritten.push_str(text.get(from..span.start).unwrap_or_default());
        rewritten.push_str(&edit);
        from = span.end;
    }
    rewritten.push_str(text.get(from..).unwrap_or_default());
    rewritten
}

fn is_slot(checked: &Checked, id: NodeId, name: &str) -> bool {
    let Reference::Slot(slot) = checked.reference(id) else {
        return false;
    };
    SLOTS.get(*slot).is_some_and(|(known, _)| *known == name)
}

/// Writes a value as an expression.
fn literal(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        // The escapes of JSON are escapes of CEL, too.
        Value::String(text) => {
            match text.contains(['\'', '\\', '\n']) || text.contains(char::is_control) {
                true => value.to_string(),
                false => format!("'{text}'"),
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = match is_uniform(items) {
                true => items.iter().map(literal).collect(),
                false => items.iter().map(untyped).collect(),
            };
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => map(fields.iter()),
    }
}

/// The items of a list literal must have one type.
fn is_uniform(items: &[Value]) -> bool {
    items.iter().all(Value::is_string) || items.iter().all(Value::is_i64)
}

fn untyped(value: &Value) -> String {
    format!("dyn({})", literal(value))
}

fn map<'v>(entries: impl Iterator<Item = (&'v String, &'v Value)>) -> String {
    let entries = entries.map(|(key, value)| {
        let key = literal(&Value::String(key.clone()));
        format!("{key}: {}", untyped(value))
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}
