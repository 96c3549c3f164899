//! A rule about replicas that scaling goes around.

use std::collections::HashSet;

use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::path::{self, At, Scope};
use crate::lint::subject::{Role, Subject};
use crate::lint::{Linter, Rule};
use crate::policy::model::NamedRule;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/scale",
    severity: Severity::Warning,
    what: "A policy decides about `spec.replicas`, and its rules leave the subresource `scale` out.",
    why: "`kubectl scale` and every autoscaler write to `deployments/scale`, which is no update of \
          the Deployment: they go around the policy.",
    fix: "Add `deployments/scale` to the resources. The object is then a `Scale` of \
          `autoscaling/v1`, which has `spec.replicas` too, and leaves it out for 0.",
    example: "resources: [deployments]                      # kubectl scale goes around it\n\
              resources: [deployments, deployments/scale]",
    check,
};

/// Resources that can be scaled.
const SCALABLE: [&str; 4] = [
    "deployments",
    "replicasets",
    "replicationcontrollers",
    "statefulsets",
];

fn check(subject: &Subject<'_>, _: &Linter<'_>) -> Vec<Diagnostic> {
    let Some(constraints) = &subject.policy.match_constraints else {
        return Vec::new();
    };
    if !decides_about_replicas(subject) {
        return Vec::new();
    }
    let rules = &constraints.resource_rules;
    let named: HashSet<&str> = rules
        .iter()
        .flat_map(|rule| &rule.resources)
        .map(String::as_str)
        .collect();
    let mut reported = HashSet::new();
    let mut findings = Vec::new();
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| is_update(rule)) {
        for (index, resource) in rule.resources.iter().enumerate() {
            if !SCALABLE.contains(&resource.as_str())
                || includes_scale(&named, resource)
                || !reported.insert(resource)
            {
                continue;
            }
            let finding = RULE.finding(format!(
                "`{resource}/scale` is left out, so scaling goes around the policy"
            ));
            let path = format!("spec.matchConstraints.resourceRules[{at}].resources[{index}]");
            let help = format!(
                "add `{resource}/scale` to the resources; the object is then a `Scale`, which has \
                 `spec.replicas` too"
            );
            findings.push(subject.place(finding, &path).help(help));
        }
    }
    findings
}

fn is_update(rule: &NamedRule) -> bool {
    let mut operations = rule.operations.iter();
    operations.any(|operation| operation == "*" || operation == "UPDATE")
}

fn includes_scale(named: &HashSet<&str>, resource: &str) -> bool {
    let own = [format!("{resource}/scale"), format!("{resource}/*")];
    let all = ["*/scale", "*/*"];
    own.iter().any(|it| named.contains(it.as_str())) || all.iter().any(|it| named.contains(it))
}

/// Says whether a validation, or a variable, reads `object.spec.replicas`.
fn decides_about_replicas(subject: &Subject<'_>) -> bool {
    let expressions = subject.expressions.iter();
    let mut deciding =
        expressions.filter(|it| matches!(it.role, Role::Validation(_) | Role::Variable(_)));
    deciding.any(|expression| {
        let root = At::root(expression);
        let ids = 0..u32::try_from(expression.ast.nodes().len()).unwrap_or(0);
        ids.map(|id| root.node(crate::cel::ast::NodeId(id)))
            .filter_map(|at| path::path(subject, at, &Scope::default()))
            .any(|path| path == "object.spec.replicas")
    })
}
