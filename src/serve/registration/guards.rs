//! What no webhook is ever called for, whatever the policies say, and the proof of it.
//!
//! Rules of webhooks cannot exclude anything, and policies may name everything (`*/*`). So each webhook
//! has match conditions, which the API server evaluates before it calls, and a selector of namespaces.
//! The conditions read only what every request has, so that none of them fails.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{NAMESPACE_LABEL, Place, configured_name, probe};
use crate::cluster;
use crate::policy::model::NamedRule;

/// Something the webhook must never be in the way of.
struct Guard {
    /// The name of the match condition.
    name: &'static str,
    /// Holds for what the webhook may be called for; [`NAME`], [`ROLES_IN`] and [`POLICIES_IN`] stand for
    /// what the installation is.
    expression: &'static str,
    /// The resources that it keeps out, with group and, where it is not all of it, a subresource.
    resources: &'static [Guarded],
    /// What would happen otherwise.
    otherwise: &'static str,
}

/// What stands for the name of the installation: no name can hold it.
const NAME: &str = "{name}";
/// What stands for the namespaces of its roles, the empty one of those of the whole cluster among them.
const ROLES_IN: &str = "{roles in}";
/// What stands for the namespace whose ConfigMaps are policies. Without one the guard is none.
const POLICIES_IN: &str = "{policies in}";

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
///
/// Its own roles are known by their names, in the namespaces where it has any and in no other: whoever may
/// write roles elsewhere must not evade policies by how they are called.
static GUARDS: [Guard; 10] = [
    Guard {
        name: "no-certificates",
        expression: "request.resource.group != 'certificates.k8s.io'",
        resources: &[whole("certificates.k8s.io", "*")],
        otherwise: "would keep nodes from joining and from renewing what they are known by",
    },
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
        name: "not-its-policies",
        expression: "!(request.resource.group == '' && request.resource.resource == 'configmaps' && \
                     has(request.namespace) && request.namespace == '{policies in}')",
        resources: &[],
        otherwise: "a policy among them could not be taken back that denies it",
    },
    Guard {
        name: "not-its-roles",
        expression: "!(request.resource.group == 'rbac.authorization.k8s.io' && has(request.name) && \
                     request.name in ['{name}', '{name}-audit', '{name}-exceptions', '{name}-policies'] && \
                     (!has(request.namespace) || request.namespace in [{roles in}]))",
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
    /// Returns the match condition for a place, if one is needed there.
    fn expression(&self, name: &str, place: &Place) -> Option<String> {
        let policies_in = match &place.policy_namespace {
            None if self.expression.contains(POLICIES_IN) => return None,
            namespace => namespace.as_deref().unwrap_or_default(),
        };
        let roles_in = place.role_namespaces.iter().map(String::as_str);
        let roles_in: BTreeSet<&str> = roles_in.chain([""]).collect();
        let roles_in: Vec<String> = roles_in.iter().map(|it| format!("'{it}'")).collect();
        let expression = self.expression.replace(NAME, name);
        let expression = expression.replace(ROLES_IN, &roles_in.join(", "));
        Some(expression.replace(POLICIES_IN, policies_in))
    }

    /// Says whether a match condition is this one for some place.
    fn is_somewhere(&self, name: &str, condition: &str) -> bool {
        let expression = self.expression.replace(NAME, name);
        let Some((before, after)) = expression.split_once(ROLES_IN) else {
            return condition == expression;
        };
        let named = condition.strip_prefix(before);
        let named = named.and_then(|it| it.strip_suffix(after));
        let is_namespace = |text: &str| {
            let name = text.strip_prefix('\'').and_then(|it| it.strip_suffix('\''));
            name.is_some_and(|name| name.is_empty() || cluster::is_name(name))
        };
        // Roles of the whole cluster are in none.
        named.is_some_and(|it| it.starts_with("''") && it.split(", ").all(is_namespace))
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

/// The match conditions of every webhook of an installation.
pub(super) fn conditions(place: &Place) -> Value {
    let condition = |guard: &Guard| {
        let expression = guard.expression(&place.name, place)?;
        Some(json!({"name": guard.name, "expression": expression}))
    };
    GUARDS.iter().filter_map(condition).collect()
}

/// Why a configuration could lock the cluster out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The entry of `webhooks` that it is in.
    pub webhook: usize,
    /// The field of that entry which does not exclude what it should.
    pub field: &'static str,
    /// What the webhook may be called for, and what follows from it.
    pub message: String,
}

/// Returns why a configuration could lock the cluster out; empty if it cannot.
///
/// It is a proof for each of these: leases, events, nodes, requests for certificates, reviews of tokens
/// and of access, requests for tokens, webhook configurations, what the API server itself writes, the
/// webhook's own roles, which are named after the configuration, ConfigMaps with policies, and everything
/// in `kube-system` and in the other namespaces that are excluded. For a resource it takes rules that
/// cannot match it, or the match condition as it is written here: no other is understood, so that nothing
/// is believed that is not known. For a namespace it takes a selector that its name alone fails. Of the
/// entry that asks whether the webhook is reached the proof is that it is one ([`probe`]).
///
/// Without a place it is what the configuration itself says: nothing is known of policies in ConfigMaps,
/// the webhook runs where its Service is, and has roles where it says so.
pub fn holes(configuration: &Value, place: Option<&Place>) -> Vec<Hole> {
    let installation = configured_name(configuration);
    let webhooks = list(&configuration["webhooks"]).enumerate();
    let mut holes = Vec::new();
    for (at, webhook) in webhooks {
        if probe::is_one(webhook, installation) {
            continue;
        }
        let hole = |field: &'static str, message: String| Hole {
            webhook: at,
            field,
            message,
        };
        let name = webhook["name"].as_str().unwrap_or_default();
        for guard in &GUARDS {
            let is_there = match place {
                Some(place) => match guard.expression(installation, place) {
                    Some(expression) => has_condition(webhook, |it| it == expression),
                    None => true,
                },
                None => {
                    guard.expression.contains(POLICIES_IN)
                        || has_condition(webhook, |it| guard.is_somewhere(installation, it))
                }
            };
            if is_there {
                continue;
            }
            let met = guard.resources.iter().filter(|it| may_match(webhook, it));
            let met: Vec<String> = met.map(|it| format!("`{}`", it.name())).collect();
            let what = match guard.resources {
                [] => "what is not its to decide".to_owned(),
                _ if met.is_empty() => continue,
                _ => met.join(", "),
            };
            let message = format!(
                "`{name}` may be called for {what} and {}: the match condition `{}` is missing",
                guard.otherwise, guard.name
            );
            holes.push(hole("matchConditions", message));
        }
        let excluded = match place {
            Some(place) => place.excluded(),
            None => {
                let own = webhook.pointer("/clientConfig/service/namespace");
                super::excluded_namespaces(own.and_then(Value::as_str))
            }
        };
        for namespace in excluded {
            if !excludes(&webhook["namespaceSelector"], namespace) {
                let message = format!(
                    "`{name}` may be called for what is in the namespace `{namespace}`: no requirement \
                     of its `namespaceSelector` excludes that by `{NAMESPACE_LABEL}`"
                );
                holes.push(hole("namespaceSelector", message));
            }
        }
    }
    holes
}

/// Says why a configuration could lock the cluster out.
///
/// # Errors
/// It could.
pub fn prove(configuration: &Value, place: &Place) -> Result<(), String> {
    let holes = holes(configuration, Some(place)).into_iter();
    let holes: Vec<String> = holes.map(|hole| hole.message).collect();
    match holes.is_empty() {
        true => Ok(()),
        false => Err(holes.join("; ")),
    }
}

/// All conditions must hold for a call (apiserver `pkg/admission/plugin/webhook/matchconditions`,
/// `Match`): one that does not is enough, whatever the others do.
fn has_condition(webhook: &Value, is_meant: impl Fn(&str) -> bool) -> bool {
    let mut conditions = list(&webhook["matchConditions"]);
    conditions.any(|condition| condition["expression"].as_str().is_some_and(&is_meant))
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
