//! A policy that can stop the cluster itself.

use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::subject::Subject;
use crate::lint::{Linter, Rule};
use crate::policy::model::{
    FailurePolicy, LabelSelector, MatchResources, NamedRule, PolicyKind, ValidationAction,
};

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/lock-out",
    severity: Severity::Warning,
    what: "A policy that rejects matches what the cluster itself needs to write, and leaves nothing \
           out.",
    why: "Leases elect the leaders of the control plane and say that nodes live; nodes report \
          themselves; reviews of tokens and access decide who may do anything; system pods start \
          the network. A policy that rejects one of these, or fails on it under \
          `failurePolicy: Fail`, stops the cluster, and then also the one who would mend it. For \
          pods it is a note: rejecting some of them is what most policies are for.",
    fix: "Name the resources instead of `*`. Leave kube-system out with a namespaceSelector, leases \
          and nodes with excludeResourceRules, or the system's users with a match condition.",
    example: "resourceRules: [{apiGroups: ['*'], resources: ['*'], …}]    # leases, nodes, reviews …\n\
              excludeResourceRules: [{apiGroups: [coordination.k8s.io], resources: [leases], …}]\n\
              namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name,\n\
              \x20 operator: NotIn, values: [kube-system]}]}",
    check,
};

/// Group and resource of what the cluster itself must be able to write.
const VITAL: [(&str, &str); 6] = [
    ("coordination.k8s.io", "leases"),
    ("", "nodes"),
    ("", "nodes/status"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("", "events"),
];

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    let policy = subject.policy;
    let Some(constraints) = &policy.match_constraints else {
        return Vec::new();
    };
    let rejects = policy.kind == PolicyKind::Validating
        && policy.failure_policy == FailurePolicy::Fail
        && subject.bindings.iter().any(|binding| {
            binding.validation_actions.contains(&ValidationAction::Deny)
                && binding.match_resources.as_ref().is_none_or(is_everything)
        });
    // Who wrote a condition or a selector thought of it; what comes through is not known here.
    if !rejects || !policy.match_conditions.is_empty() || !selects_all(constraints) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, rule) in constraints.resource_rules.iter().enumerate() {
        if !is_write(rule) || !rule.resource_names.is_empty() {
            continue;
        }
        let path = format!("spec.matchConstraints.resourceRules[{at}].resources");
        let is_left_in = |(group, resource): &&(&str, &str)| {
            matches(rule, group, resource)
                && !constraints
                    .exclude_resource_rules
                    .iter()
                    .any(|it| matches(it, group, resource))
        };
        let vital: Vec<&str> = VITAL
            .iter()
            .filter(is_left_in)
            .map(|(_, resource)| *resource)
            .collect();
        if vital.is_empty() {
            continue;
        }
        let finding = RULE.finding(format!(
            "the rule matches {}, which the cluster itself must be able to write",
            vital.join(", ")
        ));
        let help = "leave them out with `excludeResourceRules`, or name the resources that are \
                    meant";
        findings.push(subject.place(finding, &path).help(help));
    }
    if findings.is_empty() {
        findings.extend(pods(subject, constraints));
    }
    findings
}

/// Pods of the system, if nothing leaves kube-system out.
fn pods(subject: &Subject<'_>, constraints: &MatchResources) -> Option<Diagnostic> {
    let is_pods = |rule: &NamedRule| is_write(rule) && matches(rule, "", "pods");
    let at = constraints.resource_rules.iter().position(is_pods)?;
    let message = "the rule matches the pods of kube-system too";
    let finding = Diagnostic::note(RULE.code, message);
    let path = format!("spec.matchConstraints.resourceRules[{at}].resources");
    Some(subject.place(finding, &path).help(
        "if the cluster's own pods may break the policy, leave kube-system out with a \
         `namespaceSelector`, here or in the binding",
    ))
}

fn is_everything(resources: &MatchResources) -> bool {
    resources.resource_rules.is_empty()
        && resources.exclude_resource_rules.is_empty()
        && selects_all(resources)
}

fn selects_all(resources: &MatchResources) -> bool {
    let all = LabelSelector::default();
    resources.namespace_selector == all && resources.object_selector == all
}

fn is_write(rule: &NamedRule) -> bool {
    let mut operations = rule.operations.iter();
    operations.any(|operation| matches!(operation.as_str(), "*" | "CREATE" | "UPDATE"))
}

/// Says whether a rule is about a resource, as upstream matches them (apiserver
/// `pkg/admission/plugin/policy/matching`, `rules.Matcher`).
fn matches(rule: &NamedRule, group: &str, resource: &str) -> bool {
    let (name, sub_resource) = resource.split_once('/').unwrap_or((resource, ""));
    let of_group = rule.api_groups.iter().any(|it| it == "*" || it == group);
    of_group
        && rule.resources.iter().any(|pattern| {
            let (pattern, sub_pattern) = pattern.split_once('/').unwrap_or((pattern, ""));
            (pattern == "*" || pattern == name)
                && (sub_pattern == "*" || sub_pattern == sub_resource)
        })
}
