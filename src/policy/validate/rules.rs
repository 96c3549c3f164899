//! Checks match resources: rules, wildcards and selectors.

use std::collections::HashSet;

use crate::policy::model::{LabelOperator, LabelSelector, MatchResources, NamedRule};
use crate::policy::validate::{Checker, names};
use crate::text::nearest;

/// Kubernetes `supportedOperations`.
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// Kubernetes `supportedMutatingOperations`.
const MUTABLE_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

impl Checker<'_> {
    /// Upstream: `validateMatchResources`.
    pub(super) fn match_resources(&mut self, path: &str, resources: &MatchResources) {
        let selector = format!("{path}.namespaceSelector");
        self.selector(&selector, &resources.namespace_selector);
        let selector = format!("{path}.objectSelector");
        self.selector(&selector, &resources.object_selector);
        for (index, rule) in resources.resource_rules.iter().enumerate() {
            self.rule(&format!("{path}.resourceRules[{index}]"), rule);
        }
        for (index, rule) in resources.exclude_resource_rules.iter().enumerate() {
            self.rule(&format!("{path}.excludeResourceRules[{index}]"), rule);
        }
    }

    /// An object that is deleted cannot be changed. Upstream: `validateMutatingAdmissionPolicySpec`.
    pub(super) fn mutable_operations(&mut self, path: &str, resources: &MatchResources) {
        for (index, rule) in resources.resource_rules.iter().enumerate() {
            for (at, operation) in rule.operations.iter().enumerate() {
                let operation = operation.as_str();
                if OPERATIONS.contains(&operation) && !MUTABLE_OPERATIONS.contains(&operation) {
                    self.add(
                        &format!("{path}.resourceRules[{index}].operations[{at}]"),
                        "policy/unknown-operation",
                        format!("a mutating policy cannot be about `{operation}`"),
                        "only `CREATE`, `UPDATE` and `CONNECT` have an object to change",
                    );
                }
            }
        }
    }

    /// Upstream: `validateNamedRuleWithOperations`, `validateRuleWithOperations`, `validateRule`.
    fn rule(&mut self, path: &str, rule: &NamedRule) {
        let mut seen = HashSet::new();
        for (index, name) in rule.resource_names.iter().enumerate() {
            let path = format!("{path}.resourceNames[{index}]");
            self.problems(
                &path,
                "policy/invalid-name",
                name,
                names::path_segment(name),
            );
            if !seen.insert(name) {
                let message = format!("`{name}` is written twice");
                self.add(
                    &path,
                    "policy/duplicate-value",
                    message,
                    "write each name once",
                );
            }
        }
        self.operations(&format!("{path}.operations"), &rule.operations);
        self.wildcard(&format!("{path}.apiGroups"), &rule.api_groups, "groups");
        let versions = format!("{path}.apiVersions");
        self.wildcard(&versions, &rule.api_versions, "versions");
        self.none_empty(&versions, &rule.api_versions);
        self.resources(&format!("{path}.resources"), &rule.resources);
    }

    fn operations(&mut self, path: &str, operations: &[String]) {
        self.wildcard(path, operations, "operations");
        for (index, operation) in operations.iter().enumerate() {
            if OPERATIONS.contains(&operation.as_str()) {
                continue;
            }
            let help = match nearest(operation, OPERATIONS) {
                Some(found) => format!("did you mean `{found}`?"),
                None => "one of `CREATE`, `UPDATE`, `DELETE`, `CONNECT`, `*`".to_owned(),
            };
            self.add(
                &format!("{path}[{index}]"),
                "policy/unknown-operation",
                format!("unknown operation `{operation}`"),
                help,
            );
        }
    }

    /// Checks that a list is not empty, and that `*` stands alone in it.
    fn wildcard(&mut self, path: &str, items: &[String], what: &str) {
        if items.is_empty() {
            self.required(path, "`['*']` takes all");
        }
        if items.len() > 1 && items.iter().any(|item| item == "*") {
            let message = format!("`*` is all {what}, and there are others");
            self.add(path, "policy/overlap", message, "keep `*`, or the others");
        }
    }

    fn none_empty(&mut self, path: &str, items: &[String]) {
        for (index, item) in items.iter().enumerate() {
            if item.is_empty() {
                let path = format!("{path}[{index}]");
                self.add(
                    &path,
                    "policy/required",
                    "it is empty",
                    "remove it, or write `*`",
                );
            }
        }
    }

    /// Upstream: `validateResources`.
    fn resources(&mut self, path: &str, resources: &[String]) {
        if resources.is_empty() {
            self.required(path, "`['*']` takes all");
        }
        self.none_empty(path, resources);
        // `pods/*` and `*/scale`, as seen so far.
        let mut all_subresources = HashSet::new();
        let mut all_resources = HashSet::new();
        for (index, item) in resources.iter().enumerate() {
            let Some((resource, subresource)) = item.split_once('/') else {
                continue;
            };
            let covered = [
                all_subresources
                    .contains(resource)
                    .then(|| format!("{resource}/*")),
                all_resources
                    .contains(subresource)
                    .then(|| format!("*/{subresource}")),
            ];
            for wildcard in covered.into_iter().flatten() {
                self.add(
                    &format!("{path}[{index}]"),
                    "policy/overlap",
                    format!("`{item}` is covered by `{wildcard}`"),
                    "remove one of them",
                );
            }
            if subresource == "*" {
                all_subresources.insert(resource);
            }
            if resource == "*" {
                all_resources.insert(subresource);
            }
        }
        if resources.len() > 1 && resources.iter().any(|item| item == "*/*") {
            let message = "`*/*` is everything, and there are others";
            self.add(path, "policy/overlap", message, "keep `*/*`, or the others");
        }
        // Upstream looks at the last resource without a subresource only.
        let last = resources
            .iter()
            .rfind(|item| !item.is_empty() && !item.contains('/'));
        if resources.iter().any(|item| item == "*") && last.is_some_and(|item| item != "*") {
            let message = "`*` is all resources, and there are others";
            self.add(path, "policy/overlap", message, "keep `*`, or the others");
        }
    }

    /// Upstream: apimachinery `pkg/apis/meta/v1/validation`, `ValidateLabelSelector`.
    pub(super) fn selector(&mut self, path: &str, selector: &LabelSelector) {
        for (key, value) in &selector.match_labels {
            let path = format!("{path}.matchLabels[{key}]");
            for problem in names::label_key(key) {
                let span = self.places.key(&path).unwrap_or_else(|| self.span(&path));
                let message = format!("`{key}` {problem}");
                let help = "keys are like `app` or `example.com/app`";
                self.add_at(span, "policy/invalid-label", message, help);
            }
            self.label_value(&path, value);
        }
        for (index, requirement) in selector.match_expressions.iter().enumerate() {
            let at = |field: &str| format!("{path}.matchExpressions[{index}].{field}");
            let values = &requirement.values;
            match requirement.operator {
                LabelOperator::In | LabelOperator::NotIn if values.is_empty() => {
                    self.required(&at("values"), "`In` and `NotIn` compare with some");
                }
                LabelOperator::Exists | LabelOperator::DoesNotExist if !values.is_empty() => {
                    self.add(
                        &at("values"),
                        "policy/not-allowed",
                        "`Exists` and `DoesNotExist` compare with no values",
                        "remove them, or write `operator: In`",
                    );
                }
                _ => {}
            }
            if requirement.key.is_empty() {
                self.required(&at("key"), "name the label");
            } else {
                let problems = names::label_key(&requirement.key);
                let key = &requirement.key;
                self.problems(&at("key"), "policy/invalid-label", key, problems);
            }
            for (index, value) in values.iter().enumerate() {
                self.label_value(&format!("{}[{index}]", at("values")), value);
            }
        }
    }

    fn label_value(&mut self, path: &str, value: &str) {
        for problem in names::label_value(value) {
            let help = "no object can have such a label";
            self.add(path, "policy/invalid-label", problem, help);
        }
    }
}
