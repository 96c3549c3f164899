//! The policies that Kyverno makes of one about pods, for what makes pods.
//!
//! Semantics: kyverno `pkg/cel/autogen` and `pkg/autogen/v1`. The text `object.spec` is read as
//! `object.spec.template.spec`, and so on; `object.metadata.namespace` stays, because a template has
//! none.

use std::ops::Range;

use crate::policy::model::{MatchResources, NamedRule, Policy};
use crate::policy::read::reader::{Fields, Reader};
use crate::text::Fragment;

/// The controllers that a policy about pods is to be made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pods {
    /// All there are.
    All,
    /// Those that are named; may be none.
    These(Vec<String>),
}

/// Where a controller has its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Template {
    /// `spec.template`
    Direct,
    /// `spec.jobTemplate.spec.template`
    OfJob,
}

/// A kind of controller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Controller {
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) kind: &'static str,
    pub(super) template: Template,
}

const fn controller(
    group: &'static str,
    resource: &'static str,
    kind: &'static str,
    template: Template,
) -> Controller {
    Controller {
        group,
        resource,
        kind,
        template,
    }
}

/// All controllers; ReplicationController last, which is one of rules only.
pub(super) const CONTROLLERS: [Controller; 7] = [
    controller("apps", "daemonsets", "DaemonSet", Template::Direct),
    controller("apps", "deployments", "Deployment", Template::Direct),
    controller("apps", "replicasets", "ReplicaSet", Template::Direct),
    controller("apps", "statefulsets", "StatefulSet", Template::Direct),
    controller("batch", "jobs", "Job", Template::Direct),
    controller("batch", "cronjobs", "CronJob", Template::OfJob),
    controller(
        "",
        "replicationcontrollers",
        "ReplicationController",
        Template::Direct,
    ),
];

/// The forms of templates, with what is added to the names of policies made for them.
pub(super) const TEMPLATES: [(Template, &str); 2] = [
    (Template::Direct, "autogen"),
    (Template::OfJob, "autogen-cronjobs"),
];

/// Reads `autogen` of a `ValidatingPolicy`.
pub(super) fn configured(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Pods {
    let Some(field) = reader.field(fields, "autogen") else {
        return Pods::All;
    };
    let named = field.yaml.at(&["podControllers", "controllers"]);
    let names = named.and_then(|it| it.as_sequence()).map(|names| {
        let names = names.iter().filter_map(|name| name.as_str());
        names.map(str::to_owned).collect()
    });
    Pods::named(names)
}

/// Makes the policies for the controllers of a policy that is about pods and nothing else.
pub(super) fn of_pods(policy: &Policy, pods: &Pods) -> Vec<Policy> {
    let Some(constraints) = &policy.match_constraints else {
        return Vec::new();
    };
    let [rule] = constraints.resource_rules.as_slice() else {
        return Vec::new();
    };
    let is_plain = constraints.object_selector.selects_all()
        && constraints.exclude_resource_rules.is_empty()
        && rule.resource_names.is_empty()
        && rule.api_groups == [""]
        && rule.api_versions == ["v1"]
        && rule.resources == ["pods"];
    if !is_plain {
        return Vec::new();
    }
    let is_wanted = |it: &&Controller| match pods {
        Pods::All => true,
        Pods::These(names) => names.iter().any(|name| name == it.resource),
    };
    let of_policies = CONTROLLERS.iter().filter(|it| !it.group.is_empty());
    let wanted: Vec<&Controller> = of_policies.filter(is_wanted).collect();
    let make = |(template, suffix): (Template, &str)| {
        let of_template = wanted.iter().filter(|it| it.template == template);
        let resource_rules: Vec<NamedRule> = of_template
            .map(|it| NamedRule {
                resource_names: Vec::new(),
                operations: rule.operations.clone(),
                api_groups: vec![it.group.to_owned()],
                api_versions: vec!["v1".to_owned()],
                resources: vec![it.resource.to_owned()],
                scope: rule.scope,
            })
            .collect();
        let mut made = rewritten(policy, template);
        made.name = format!("{}.{suffix}", policy.name);
        made.match_constraints = Some(MatchResources {
            resource_rules,
            ..constraints.clone()
        });
        let is_about = |it: &MatchResources| !it.resource_rules.is_empty();
        made.match_constraints
            .as_ref()
            .is_some_and(is_about)
            .then_some(made)
    };
    TEMPLATES.into_iter().filter_map(make).collect()
}

/// Returns a policy whose expressions read the pod out of a template.
pub(super) fn rewritten(policy: &Policy, template: Template) -> Policy {
    let mut policy = policy.clone();
    let conditions = policy.match_conditions.iter_mut();
    let variables = policy.variables.iter_mut();
    let annotations = policy.audit_annotations.iter_mut();
    let expressions = conditions
        .map(|it| &mut it.expression)
        .chain(variables.map(|it| &mut it.expression))
        .chain(annotations.map(|it| &mut it.value_expression));
    let validations = policy.validations.iter_mut();
    let of_validations = validations
        .flat_map(|it| [Some(&mut it.expression), it.message_expression.as_mut()])
        .flatten();
    for expression in expressions.chain(of_validations) {
        *expression = template.read_in(expression);
    }
    policy
}

impl Template {
    /// Rewrites an expression about a pod as one about what has the template.
    fn read_in(self, expression: &Fragment) -> Fragment {
        let path = match self {
            Template::Direct => "spec.template.",
            Template::OfJob => "spec.jobTemplate.spec.template.",
        };
        let places = fields_of_pods(&expression.text);
        let edits: Vec<(Range<usize>, &str)> =
            places.into_iter().map(|at| (at..at, path)).collect();
        expression.edited(&edits)
    }
}

/// Returns where `spec` and `metadata` of an object stand in a text.
fn fields_of_pods(text: &str) -> Vec<usize> {
    let mut places = Vec::new();
    for (at, object) in text.match_indices("bject.") {
        let before = text.get(..at).unwrap_or_default();
        let start = at + object.len();
        let rest = text.get(start..).unwrap_or_default();
        let is_namespace = |rest: &str| {
            let after = rest.strip_prefix("metadata.namespace");
            after.is_some_and(|it| !it.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        };
        let is_field =
            rest.starts_with("spec") || (rest.starts_with("metadata") && !is_namespace(rest));
        if (before.ends_with('o') || before.ends_with("oldO")) && is_field {
            places.push(start);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Source, Span};

    #[test]
    fn what_is_read_of_a_pod_is_read_of_its_template() {
        let rows = [
            ("object.spec.x", "object.spec.template.spec.x"),
            ("oldObject.spec", "oldObject.spec.template.spec"),
            (
                "object.metadata.labels == oldObject.metadata.labels",
                "object.spec.template.metadata.labels == oldObject.spec.template.metadata.labels",
            ),
            (
                "object.metadata.namespace == ''",
                "object.metadata.namespace == ''",
            ),
            (
                "namespaceObject.metadata.name",
                "namespaceObject.metadata.name",
            ),
            ("object.kind", "object.kind"),
        ];
        for (text, wanted) in rows {
            let source = Source::new("p.yaml", text);
            let fragment = Fragment::verbatim(&source, Span::new(0, text.len()));
            let read = Template::Direct.read_in(&fragment);
            assert_eq!(read.text, wanted);
            let last = Span::new(wanted.len() - 1, wanted.len());
            assert_eq!(
                read.locate(last),
                Span::new(text.len() - 1, text.len()),
                "{text}"
            );
        }
    }
}
