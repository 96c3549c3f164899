//! What the mutation of a policy makes of an object: what it changes as it was, the patch, and as it is.

use serde_json::{Map, Value};

use super::object::{indented, note_unapplied};
use crate::admission::review::AdmissionRequest;
use crate::cli::note;
use crate::engine::Options;
use crate::engine::mutating::{self, Defaults, Mutated, Mutating, Refusal};
use crate::engine::respond::denial;
use crate::json::MAX_DEPTH;
use crate::manifest::finding::excuse;
use crate::manifest::rewrite;
use crate::patch::diff::align::{Step, align};
use crate::policy::set::PolicySet;
use crate::schema::Schemas;

/// What became of an object.
pub(super) struct Explained {
    /// In words.
    pub(super) text: String,
    /// Whether it would be admitted so far.
    pub(super) is_admitted: bool,
    /// What it is now, if it was changed.
    pub(super) after: Option<Value>,
}

/// Says what becomes of an object.
pub(super) fn explain<'s>(
    set: &PolicySet,
    subject: &str,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
    schemas: &'s dyn Fn() -> &'s Schemas,
) -> Explained {
    let told = |words: &str, is_admitted: bool| Explained {
        text: format!("{subject}: {words}\n"),
        is_admitted,
        after: None,
    };
    let mutating = Mutating {
        schemas,
        defaults: Defaults::Applied,
    };
    let mutated = match mutating::mutate(set, request, options, mutating) {
        Ok(mutated) => mutated,
        Err(error) => return told(&error.to_string(), false),
    };
    if let Some(problem) = refusal(&mutated) {
        return told(&problem, false);
    }
    note_unapplied(subject, &mutated.verdict);
    if let Some(excused) = mutated.verdict.excused.first() {
        let excuse = excuse(&excused.exception.exception);
        return told(&format!("not changed, {excuse}"), true);
    }
    if mutated.verdict.matched == 0 {
        return told("the policy is not about it", true);
    }
    let before = request.object.map_or("null", |raw| raw.get());
    let before: Value = serde_json::from_str(before).unwrap_or_default();
    let (false, Some(after)) = (mutated.patch.is_empty(), mutated.object) else {
        return told("not changed", true);
    };
    if !mutated.unsettled.is_empty() {
        note(&format!(
            "note: {subject}: sent again, it would change once more"
        ));
    }
    let operations = mutated.patch.iter();
    let patch: Vec<String> = operations
        .filter_map(|operation| serde_json::to_string(operation).ok())
        .collect();
    let (old, new) = changed(&before, &after, MAX_DEPTH);
    let text = format!(
        "{subject}\n\nbefore:\n{}\npatch:\n{}\nafter:\n{}",
        shown(old),
        indented(&patch.join("\n")),
        shown(new)
    );
    Explained {
        text,
        is_admitted: true,
        after: Some(after),
    }
}

fn refusal(mutated: &Mutated) -> Option<String> {
    match &mutated.refusal {
        Some(Refusal::Internal(problem) | Refusal::Unavailable(problem)) => Some(problem.clone()),
        None => denial(&mutated.verdict),
    }
}

fn shown(part: Option<Value>) -> String {
    match part {
        Some(value) => indented(&rewrite::yaml(&value)),
        None => indented("(nothing)"),
    }
}

/// Returns the parts of two values that differ, each as it is in the one and in the other. An item of a
/// list keeps its name, so that it can be told from the others.
fn changed(before: &Value, after: &Value, depth: usize) -> (Option<Value>, Option<Value>) {
    match (before, after, depth.checked_sub(1)) {
        _ if before == after => (None, None),
        (Value::Object(before), Value::Object(after), Some(depth)) => {
            let (mut old, mut new) = (Map::new(), Map::new());
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let (was, is) = match (before.get(key), after.get(key)) {
                    (Some(before), Some(after)) => changed(before, after, depth),
                    (before, after) => (before.cloned(), after.cloned()),
                };
                old.extend(was.map(|value| (key.clone(), value)));
                new.extend(is.map(|value| (key.clone(), value)));
            }
            let part =
                |fields: Map<String, Value>| (!fields.is_empty()).then_some(Value::Object(fields));
            (part(old), part(new))
        }
        (Value::Array(before), Value::Array(after), Some(depth)) => {
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for (at, step) in old_positions(&align(before, after)) {
                match step {
                    Step::Keep(was, is) => {
                        let Some((was, is)) = before.get(was).zip(after.get(is)) else {
                            continue;
                        };
                        let (before, after) = changed(was, is, depth);
                        let is_changed = before.is_some() || after.is_some();
                        let name = was.get("name").filter(|name| is.get("name") == Some(*name));
                        if is_changed {
                            old.extend(named(before, name));
                            new.extend(named(after, name));
                        }
                    }
                    Step::Remove => old.extend(before.get(at).cloned()),
                    Step::Add(is) => new.extend(after.get(is).cloned()),
                }
            }
            let part = |items: Vec<Value>| (!items.is_empty()).then_some(Value::Array(items));
            (part(old), part(new))
        }
        _ => (Some(before.clone()), Some(after.clone())),
    }
}

/// Tells each step with the position of the old list that it is at.
fn old_positions(steps: &[Step]) -> Vec<(usize, Step)> {
    let mut at = 0;
    let step = |step: &Step| {
        let here = (at, *step);
        at += usize::from(!matches!(step, Step::Add(_)));
        here
    };
    steps.iter().map(step).collect()
}

fn named(item: Option<Value>, name: Option<&Value>) -> Option<Value> {
    match (item, name) {
        (Some(Value::Object(fields)), Some(name)) => {
            let mut named = Map::new();
            named.insert("name".to_owned(), name.clone());
            named.extend(fields);
            Some(Value::Object(named))
        }
        (None, Some(name)) => {
            let name = ("name".to_owned(), name.clone());
            Some(Value::Object(Map::from_iter([name])))
        }
        (item, _) => item,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_shown_and_items_keep_their_names() {
        let before = json!({
            "a": 1, "b": {"c": 1, "d": 2}, "l": [{"name": "x", "v": 1, "w": 1}, {"name": "y"}],
        });
        let after = json!({
            "a": 1, "b": {"c": 1, "d": 3}, "e": [1],
            "l": [{"name": "x", "v": 2, "w": 1}, {"name": "y", "n": {}}, {"name": "z"}],
        });
        let (old, new) = changed(&before, &after, MAX_DEPTH);
        let was = json!({"b": {"d": 2}, "l": [{"name": "x", "v": 1}, {"name": "y"}]});
        let is = json!({
            "b": {"d": 3}, "e": [1],
            "l": [{"name": "x", "v": 2}, {"name": "y", "n": {}}, {"name": "z"}],
        });
        assert_eq!((old, new), (Some(was), Some(is)));
        assert_eq!(changed(&before, &before, MAX_DEPTH), (None, None));
    }
}
