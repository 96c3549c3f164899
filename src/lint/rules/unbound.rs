//! A policy that no binding puts in force, and a binding that puts none in force.

use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::subject::Subject;
use crate::lint::{Linter, Rule};
use crate::policy::model::{Form, PolicyScope};
use crate::policy::set::PolicySet;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/unbound",
    severity: Severity::Warning,
    what: "A policy has no binding, or a binding names a policy that is not there.",
    why: "A policy without a binding enforces nothing, and neither the API server nor Portcullis \
          says so.",
    fix: "Write a ValidatingAdmissionPolicyBinding with the policy's name as `policyName`, and lint \
          both together.",
    example: "apiVersion: admissionregistration.k8s.io/v1\n\
              kind: ValidatingAdmissionPolicyBinding\n\
              metadata: {name: replicas}\n\
              spec: {policyName: replicas, validationActions: [Deny]}",
    check,
};

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    let policy = subject.policy;
    let needs_one = policy.origin.form == Form::Kubernetes && policy.scope == PolicyScope::Request;
    if !needs_one || !subject.bindings.is_empty() || policy.name.is_empty() {
        return Vec::new();
    }
    let finding = RULE.finding(format!(
        "no binding names the policy `{}`: it enforces nothing",
        policy.name
    ));
    let finding = finding.at(&policy.origin.source, policy.origin.span);
    vec![finding.help(format!(
        "write a binding with `policyName: {}`, or name its file too",
        policy.name
    ))]
}

/// Finds bindings whose policy is not there.
pub(in crate::lint) fn without_policy(set: &PolicySet) -> Vec<Diagnostic> {
    let is_there = |kind, name: &str| {
        let mut policies = set.policies().iter().map(|it| &it.policy);
        policies.any(|policy| policy.kind == kind && policy.name == name)
    };
    let dangling = set
        .bindings()
        .iter()
        .filter(|it| !it.policy_name.is_empty() && !is_there(it.kind, &it.policy_name));
    let findings = dangling.map(|binding| {
        let origin = &binding.origin;
        let span = binding.places.find(&origin.source, "spec.policyName");
        let message = format!("there is no policy `{}` here", binding.policy_name);
        let finding = RULE.finding(message);
        finding
            .at(&origin.source, span.unwrap_or(origin.span))
            .help("correct the name, or name the policy's file too")
    });
    findings.collect()
}
