//! What an API server keeps in a configuration that was not meant.
//!
//! Server-side apply brings back the fields that were applied, and leaves alone what others have added: a
//! match condition, an entry. Each of those decides what is asked about, too.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::configured_name;

/// Returns what is otherwise in `kept` than in `meant`, in a few words each; empty if nothing is.
///
/// Every field of a webhook is one that is meant ([`super::Demand::configurations`]); one that a later
/// version of Kubernetes adds is not known, and would come back each time it is taken out.
pub fn differences(meant: &Value, kept: &Value) -> Vec<String> {
    let (meant, kept) = (by_name(&meant["webhooks"]), by_name(&kept["webhooks"]));
    let mut differences = Vec::new();
    for (name, webhook) in &meant {
        let Some(found) = kept.get(name) else {
            differences.push(format!("the webhook `{name}` is missing"));
            continue;
        };
        for (field, value) in webhook.as_object().into_iter().flatten() {
            if field == "matchConditions" {
                conditions(name, (value, &found[field]), &mut differences);
            } else if *value != found[field] {
                differences.push(format!("`{field}` of `{name}`"));
            }
        }
    }
    let others = kept.keys().filter(|name| !meant.contains_key(*name));
    differences.extend(others.map(|name| format!("the webhook `{name}`")));
    differences
}

/// Adds what is otherwise among match conditions; their order means nothing.
fn conditions(webhook: &str, (meant, kept): (&Value, &Value), differences: &mut Vec<String>) {
    let (meant, kept) = (by_name(meant), by_name(kept));
    let other = kept
        .iter()
        .filter(|(name, condition)| meant.get(*name) != Some(condition));
    differences
        .extend(other.map(|(name, _)| format!("the match condition `{name}` of `{webhook}`")));
    let missing = meant.keys().filter(|name| !kept.contains_key(*name));
    differences
        .extend(missing.map(|name| format!("`{webhook}` lacks the match condition `{name}`")));
}

fn by_name(list: &Value) -> BTreeMap<&str, &Value> {
    let items = list.as_array().into_iter().flatten();
    items
        .map(|item| (item["name"].as_str().unwrap_or_default(), item))
        .collect()
}

/// Returns who else has written webhooks, as they called themselves.
pub fn others(kept: &Value, own: &str) -> Vec<String> {
    let managed = kept.pointer("/metadata/managedFields");
    let managed = managed.and_then(Value::as_array).into_iter().flatten();
    let others = managed.filter(|it| it["fieldsV1"].get("f:webhooks").is_some());
    let names = others.filter_map(|it| it["manager"].as_str());
    let mut names: Vec<String> = names.filter(|it| *it != own).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Returns the merge patch that leaves what is meant and nothing else of what was kept, unless somebody has
/// changed that in the meantime.
pub fn removal(meant: &Value, kept: &Value) -> Value {
    let webhooks = &meant["webhooks"];
    let is_empty = webhooks.as_array().is_none_or(Vec::is_empty);
    json!({
        "apiVersion": meant["apiVersion"],
        "kind": meant["kind"],
        "metadata": {
            "name": configured_name(meant),
            "resourceVersion": kept.pointer("/metadata/resourceVersion"),
        },
        "webhooks": if is_empty { &Value::Null } else { webhooks },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change<'c> = &'c dyn Fn(&mut Value);

    fn meant() -> Value {
        let condition = |name: &str| json!({"name": name, "expression": "true"});
        json!({
            "metadata": {"name": "portcullis"},
            "webhooks": [{
                "name": "a", "objectSelector": {}, "rules": [1],
                "matchConditions": [condition("one"), condition("two")],
            }],
        })
    }

    #[test]
    fn what_was_added_changed_or_taken_away_is_named() {
        let rows: [(&str, Change, &str); 9] = [
            ("nothing", &|_| {}, ""),
            (
                "order",
                &|it| {
                    it["webhooks"][0]["matchConditions"]
                        .as_array_mut()
                        .unwrap()
                        .reverse()
                },
                "",
            ),
            (
                "what is not known",
                &|it| it["webhooks"][0]["later"] = json!(1),
                "",
            ),
            (
                "a selector",
                &|it| it["webhooks"][0]["objectSelector"] = json!({"matchLabels": {"a": "b"}}),
                "`objectSelector` of `a`",
            ),
            (
                "a rule",
                &|it| it["webhooks"][0]["rules"] = json!([1, 2]),
                "`rules` of `a`",
            ),
            (
                "a condition",
                &|it| {
                    let conditions = it["webhooks"][0]["matchConditions"].as_array_mut().unwrap();
                    conditions.push(json!({"name": "never", "expression": "false"}));
                },
                "the match condition `never` of `a`",
            ),
            (
                "another condition",
                &|it| it["webhooks"][0]["matchConditions"][1]["expression"] = json!("false"),
                "the match condition `two` of `a`",
            ),
            (
                "a condition less",
                &|it| {
                    it["webhooks"][0]["matchConditions"] =
                        json!([{"name": "two", "expression": "true"}])
                },
                "`a` lacks the match condition `one`",
            ),
            (
                "entries",
                &|it| it["webhooks"][0]["name"] = json!("b"),
                "the webhook `a` is missing; the webhook `b`",
            ),
        ];
        for (name, change, expected) in rows {
            let mut kept = meant();
            change(&mut kept);
            assert_eq!(differences(&meant(), &kept).join("; "), expected, "{name}");
        }
    }

    #[test]
    fn who_has_written_webhooks_is_told_from_who_has_labelled_them() {
        let managed =
            |manager: &str, field: &str| json!({"manager": manager, "fieldsV1": {field: {}}});
        let kept = json!({"metadata": {"managedFields": [
            managed("portcullis", "f:webhooks"),
            managed("kubectl-edit", "f:webhooks"),
            managed("kubectl-edit", "f:webhooks"),
            managed("helm", "f:metadata"),
        ]}});
        assert_eq!(others(&kept, "portcullis"), ["kubectl-edit"]);
    }

    #[test]
    fn an_empty_list_is_taken_out() {
        let kept = json!({"metadata": {"resourceVersion": "7"}});
        let empty = json!({"metadata": {"name": "a"}, "webhooks": []});
        let patch = removal(&empty, &kept);
        assert_eq!(patch["webhooks"], Value::Null);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(removal(&meant(), &kept)["webhooks"], meant()["webhooks"]);
    }
}
