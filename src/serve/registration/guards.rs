//! What no webhook is ever called for, whatever the policies say, and the proof of it.
//!
//! Rules of webhooks cannot exclude anything, and policies may name everything (`*/*`). So each webhook
//! has match conditions, which the API server evaluates before it calls, and a selector of namespaces.
//! The conditions read only what every request has, so that none of them fails.

use serde_json::{Value, json};

use super::{NAMESPACE_LABEL, configured_name, excluded_namespaces};
use crate::policy::model::NamedRule;

/// Something the webhook must never be in the way of.
struct Guard {
    /// The name of the match condition.
    name: &'static str,
    /// Holds for what the webhook may be called for; [`NAME`] stands for the name of the installation.
    expression: &'static str,
    /// The resources that it keeps out, with group and, where it is not all of it, a subresource.
    resources: &'static [Guarded],
    /// What would happen otherwise.
    otherwise: &'static str,
}

/// What stands for the name of the installation: no name can hold it.
const NAME: &str = "{name}";

/// A resource that is kept out.
struct Guarded {
    group: &'static str,
    /// `*` for the whole group.
    resource: &'static str,
    /// `None` for the resource with all its subresources.
    sub_resource: Option<&'static str>,
}

const fn whole(group: &'static str, resource: &'static str) -> Guarded {
    Guarded {
        group,
        resource,
        sub_resource: None,
    }
}

/// In order of name.
///
/// The API server itself (its loopback client, apiserver `pkg/server/config.go`,
/// `AuthorizeClientBearerToken`) writes the roles, priority levels and addresses without which it does
/// not start or cannot be reached: kubernetes `pkg/registry/rbac/rest/storage_rbac.go`,
/// `PostStartHook`, ends it after thirty seconds of failures, before any pod could come back.
static GUARDS: [Guard; 8] = [
    Guard {
        name: "no-configurations",
        expression: "request.resource.group != 'admissionregistration.k8s.io'",
        resources: &[whole("admissionregistration.k8s.io", "*")],
        otherwise: "could not be removed by those it locks out",
    },
    Guard {
        name: "no-events",
        expression: "!(request.resource.group in ['', 'events.k8s.io'] && request.resource.resource == 'events')",
        resources: &[whole("", "events"), whole("events.k8s.io", "events")],
        otherwise: "would hide what goes wrong",
    },
    Guard {
        name: "no-leases",
        expression: "request.resource.group != 'coordination.k8s.io'",
        resources: &[whole("coordination.k8s.io", "*")],
        otherwise: "would stop nodes and controllers",
    },
    Guard {
        name: "no-nodes",
        expression: "!(request.resource.group == '' && request.resource.resource == 'nodes') && \
                     !(request.resource.group == 'storage.k8s.io' && request.resource.resource == 'csinodes')",
        resources: &[whole("", "nodes"), whole("storage.k8s.io", "csinodes")],
        otherwise: "would keep nodes from joining",
    },
    Guard {
        name: "no-reviews",
        expression: "!(request.resource.group in ['authentication.k8s.io', 'authorization.k8s.io'])",
        resources: &[
            whole("authentication.k8s.io", "*"),
            whole("authorization.k8s.io", "*"),
        ],
        otherwise: "would be asked about its own questions",
    },
    Guard {
        name: "no-tokens",
        expression: "!(request.resource.group == '' && request.resource.resource == 'serviceaccounts' && \
                     has(request.subResource) && request.subResource == 'token')",
        resources: &[Guarded {
            group: "",
            resource: "serviceaccounts",
            sub_resource: Some("token"),
        }],
        otherwise: "would keep pods from starting",
    },
    Guard {
        name: "not-its-roles",
        expression: "!(request.resource.group == 'rbac.authorization.k8s.io' && has(request.name) && \
                     request.name == '{name}' && \
                     (!has(request.namespace) || request.namespace == ''))",
        resources: &[],
        otherwise: "could not be given the rights without which it does not answer",
    },
    Guard {
        name: "not-the-api-server",
        expression: "!has(request.userInfo.username) || request.userInfo.username != 'system:apiserver'",
        resources: &[],
        otherwise: "would keep the API server from starting",
    },
];

impl Guard {
    fn expression(&self, name: &str) -> String {
        self.expression.replace(NAME, name)
    }
}

impl Guarded {
    /// Says whether a rule over this group and `resource` or `resource/subresource` may match it.
    fn is_met_by(&self, group: &str, resource: &str) -> bool {
        let (resource, sub_resource) = split(resource);
        let meets_sub_resource = match self.sub_resource {
            None => true,
            Some(own) => sub_resource == "*" || sub_resource == own,
        };
        (group == "*" || group == self.group)
            && (resource == "*" || self.resource == "*" || resource == self.resource)
            && meets_sub_resource
    }

    /// Says whether it is all that a rule over this group and resource can match.
    fn is_all_of(&self, group: &str, resource: &str) -> bool {
        let (resource, sub_resource) = split(resource);
        group == self.group
            && (self.resource == "*" || resource == self.resource)
            && self.sub_resource.is_none_or(|own| own == sub_resource)
    }

    fn name(&self) -> String {
        let resource = match self.sub_resource {
            Some(sub_resource) => format!("{}/{sub_resource}", self.resource),
            None => self.resource.to_owned(),
        };
        match self.group {
            "" => resource,
            group => format!("{resource}.{group}"),
        }
    }
}

fn split(resource: &str) -> (&str, &str) {
    resource.split_once('/').unwrap_or((resource, ""))
}

/// Says whether the webhook is never called for a group and resource, both without wildcards or not.
pub(super) fn is_guarded(group: &str, resource: &str) -> bool {
    let mut guarded = GUARDS.iter().flat_map(|guard| guard.resources);
    guarded.any(|guarded| guarded.is_all_of(group, resource))
}

/// Returns the names of what a rule names and is never called for.
pub(super) fn guarded_names(rule: &NamedRule) -> Vec<String> {
    let mut names = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            if is_guarded(group, resource) {
                names.push(match group.as_str() {
                    "" => resource.clone(),
                    group => format!("{resource}.{group}"),
                });
            }
        }
    }
    names
}

/// The match conditions of every webhook of the installation of that name.
pub(super) fn conditions(name: &str) -> Value {
    let condition =
        |guard: &Guard| json!({"name": guard.name, "expression": guard.expression(name)});
    GUARDS.iter().map(condition).collect()
}

/// Returns why a configuration could lock the cluster out; empty if it cannot.
///
/// It is a proof for each of these: leases, events, nodes, reviews of tokens and of access, requests
/// for tokens, webhook configurations, what the API server itself writes, the webhook's own roles, which
/// have the name of the configuration, and everything in `kube-system` and in the webhook's own
/// namespace. For a resource it takes rules that cannot match it, or the match condition as it is written
/// here: no other is understood, so that nothing is believed that is not known. For a namespace it takes a
/// selector that its name alone fails.
pub fn holes(configuration: &Value, own_namespace: Option<&str>) -> Vec<String> {
    let mut holes = Vec::new();
    let installation = configured_name(configuration);
    for webhook in list(&configuration["webhooks"]) {
        let name = webhook["name"].as_str().unwrap_or_default();
        for guard in &GUARDS {
            if has_condition(webhook, &guard.expression(installation)) {
                continue;
            }
            let met = guard.resources.iter().filter(|it| may_match(webhook, it));
            let met: Vec<String> = met.map(|it| format!("`{}`", it.name())).collect();
            let what = match guard.resources {
                [] => "what is not its to decide".to_owned(),
                _ if met.is_empty() => continue,
                _ => met.join(", "),
            };
            holes.push(format!(
                "`{name}` may be called for {what} and {}: the match condition `{}` is missing",
                guard.otherwise, guard.name
            ));
        }
        for namespace in excluded_namespaces(own_namespace) {
            if !excludes(&webhook["namespaceSelector"], namespace) {
                holes.push(format!(
                    "`{name}` may be called for what is in the namespace `{namespace}`: no requirement \
                     of its `namespaceSelector` excludes that by `{NAMESPACE_LABEL}`"
                ));
            }
        }
    }
    holes
}

/// All conditions must hold for a call (apiserver `pkg/admission/plugin/webhook/matchconditions`,
/// `Match`): one that does not is enough, whatever the others do.
fn has_condition(webhook: &Value, expression: &str) -> bool {
    let mut conditions = list(&webhook["matchConditions"]);
    conditions.any(|condition| condition["expression"] == expression)
}

/// Semantics: apiserver `pkg/admission/plugin/webhook/predicates/rules/rules.go`; versions, operations
/// and scopes are taken to match.
fn may_match(webhook: &Value, guarded: &Guarded) -> bool {
    let mut rules = list(&webhook["rules"]);
    rules.any(|rule| {
        let mut groups = texts(&rule["apiGroups"]);
        groups.any(|group| {
            let mut resources = texts(&rule["resources"]);
            resources.any(|resource| guarded.is_met_by(group, resource))
        })
    })
}

/// Says whether a selector excludes a namespace whatever its other labels are.
fn excludes(selector: &Value, namespace: &str) -> bool {
    if let Some(required) = selector["matchLabels"]
        .get(NAMESPACE_LABEL)
        .and_then(Value::as_str)
        && required != namespace
    {
        return true;
    }
    let mut requirements = list(&selector["matchExpressions"]);
    requirements.any(|requirement| {
        let is_listed = texts(&requirement["values"]).any(|value| value == namespace);
        requirement["key"] == NAMESPACE_LABEL
            && match requirement["operator"].as_str() {
                Some("NotIn") => is_listed,
                Some("In") => !is_listed,
                Some("DoesNotExist") => true,
                _ => false,
            }
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).filter_map(Value::as_str)
}
