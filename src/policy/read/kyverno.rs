//! Reads Kyverno's policies, which are in force by themselves: `ValidatingPolicy`, nearly a
//! ValidatingAdmissionPolicy, and the rules of `ClusterPolicy` and `Policy` that are written in CEL.
//!
//! What is about pods is about their controllers, too, by policies of the same text read from the
//! pod template (`autogen`). Rules that decide in another language than CEL reject what they match
//! under `Enforce`, with a message that says so; rules and kinds that change, make or delete objects
//! do nothing. Both are said when they are read.

mod autogen;
mod filter;
mod rules;

use crate::admission::resources::Scope;
use crate::policy::model::{
    Audience, Binding, Documents, MatchCondition, Policy, PolicyKind, ValidationAction,
};
use crate::policy::read::admission::{self, Document, FAILURE_POLICIES};
use crate::policy::read::gatekeeper::{made, rejects};
use crate::policy::read::matching;
use crate::policy::read::reader::{Field, Fields, Reader};
use crate::text::Span;
use autogen::Pods;

/// The group of `ClusterPolicy` and `Policy`.
pub(super) const POLICIES: &str = "kyverno.io";

/// The group of the kinds that are written in CEL.
pub(super) const CEL_POLICIES: &str = "policies.kyverno.io";

/// What a kind is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Rules, each in one of several languages.
    Rules,
    /// CEL that admits or rejects.
    Validating,
    /// It admits or rejects by the signatures of images, which nobody looks up here.
    Images,
    /// It does something else than to admit or reject.
    Acting,
}

/// The kinds of both groups, with the scope of their objects.
const KINDS: [(&str, Kind, Scope); 14] = [
    ("ClusterPolicy", Kind::Rules, Scope::Cluster),
    ("Policy", Kind::Rules, Scope::Namespaced),
    ("ValidatingPolicy", Kind::Validating, Scope::Cluster),
    (
        "NamespacedValidatingPolicy",
        Kind::Validating,
        Scope::Namespaced,
    ),
    ("ImageValidatingPolicy", Kind::Images, Scope::Cluster),
    (
        "NamespacedImageValidatingPolicy",
        Kind::Images,
        Scope::Namespaced,
    ),
    ("MutatingPolicy", Kind::Acting, Scope::Cluster),
    ("NamespacedMutatingPolicy", Kind::Acting, Scope::Namespaced),
    ("GeneratingPolicy", Kind::Acting, Scope::Cluster),
    (
        "NamespacedGeneratingPolicy",
        Kind::Acting,
        Scope::Namespaced,
    ),
    ("DeletingPolicy", Kind::Acting, Scope::Cluster),
    ("NamespacedDeletingPolicy", Kind::Acting, Scope::Namespaced),
    ("ClusterCleanupPolicy", Kind::Acting, Scope::Cluster),
    ("CleanupPolicy", Kind::Acting, Scope::Namespaced),
];

/// Says whether a kind of Kyverno's groups is a policy; reports, exceptions and the like are not.
pub(super) fn is_known(kind: &str) -> bool {
    KINDS.iter().any(|(name, _, _)| *name == kind)
}

/// Returns the scope of the objects of a kind.
pub(super) fn scope(kind: &str) -> Scope {
    let found = KINDS.iter().find(|(name, _, _)| *name == kind);
    match found {
        // What is not read is not found fault with.
        Some((_, Kind::Acting, _)) => Scope::Namespaced,
        Some((_, _, scope)) => *scope,
        None => Scope::Cluster,
    }
}

/// Reads a policy as the policies it stands for and their bindings.
pub(super) fn read(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    name: &str,
    document: Document,
) -> Documents {
    let kind = KINDS.iter().find(|(known, _, _)| *known == name);
    let kind = kind.map_or(Kind::Acting, |(_, kind, _)| *kind);
    let span = document.origin.span;
    if kind == Kind::Acting {
        acts(reader, span, &format!("a {name}"));
        return Documents::default();
    }
    let namespace = document.metadata.namespace.clone();
    let spec = reader.field(&mut fields, "spec");
    reader.field(&mut fields, "status");
    reader.close(&fields);
    let Some(spec) = spec else {
        reader.missing("spec", span, "say what the policy is about");
        return Documents::default();
    };
    let mut read = match kind {
        Kind::Rules => rules::read(reader, &spec, document),
        _ => validating(reader, &spec, kind, document),
    };
    let reading = reader.reading();
    for policy in &mut read.policies {
        policy.reading = reading;
        for message in policy
            .validations
            .iter_mut()
            .filter_map(|it| it.message.as_mut())
        {
            // Messages of several lines are not refused there.
            *message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        policy.match_conditions.splice(
            0..0,
            in_namespace(reader, span, &namespace)
                .into_iter()
                .collect::<Vec<_>>(),
        );
    }
    read
}

/// Says that something is no decision about requests.
fn acts(reader: &mut Reader<'_>, span: Span, what: &str) {
    reader.warn(
        span,
        "policy/not-evaluated",
        format!("{what} changes, makes or deletes objects, which is not done here"),
        "leave it to Kyverno, or write a MutatingAdmissionPolicy",
    );
}

/// The condition under which a policy of a namespace applies.
fn in_namespace(reader: &Reader<'_>, span: Span, namespace: &str) -> Option<MatchCondition> {
    let literal = crate::cel::value::quote::quote(namespace);
    (!namespace.is_empty()).then(|| MatchCondition {
        name: "kyverno-namespace".to_owned(),
        expression: made(
            reader,
            span,
            format!("request.?namespace.orValue('') == {literal}"),
        ),
    })
}

/// Makes the binding that puts a policy in force.
fn binding(policy: &Policy, actions: &[ValidationAction]) -> Binding {
    Binding {
        name: policy.name.clone(),
        kind: PolicyKind::Validating,
        policy_name: policy.name.clone(),
        origin: policy.origin.clone(),
        places: Default::default(),
        reading: Default::default(),
        param_ref: None,
        match_resources: None,
        validation_actions: actions.to_vec(),
        audience: Audience::Operators,
    }
}

const ACTIONS: [(&str, ValidationAction); 3] = [
    ("Deny", ValidationAction::Deny),
    ("Warn", ValidationAction::Warn),
    ("Audit", ValidationAction::Audit),
];

/// Reads a `ValidatingPolicy` (kyverno `api/policies.kyverno.io/v1`, `ValidatingPolicySpec`).
fn validating(
    reader: &mut Reader<'_>,
    spec: &Field<'_>,
    kind: Kind,
    document: Document,
) -> Documents {
    let (version, span) = (document.version, document.origin.span);
    let mut policy = admission::empty_policy(PolicyKind::Validating, document, Default::default());
    let Some(mut fields) = reader.fields(spec) else {
        return Documents::default();
    };
    policy.match_constraints = reader
        .field(&mut fields, "matchConstraints")
        .and_then(|field| matching::match_resources(reader, &field, version));
    policy.match_conditions = admission::list(
        reader,
        &mut fields,
        "matchConditions",
        admission::match_condition,
    );
    if let Some(failure_policy) = reader
        .field(&mut fields, "failurePolicy")
        .and_then(|field| reader.choice(&field, "failure policy", &FAILURE_POLICIES))
    {
        policy.failure_policy = failure_policy;
    }
    let mut actions = match reader.field(&mut fields, "validationActions") {
        Some(field) => reader.each(&field, |reader, item| {
            reader.choice(item, "validation action", &ACTIONS)
        }),
        None => Vec::new(),
    };
    if actions.is_empty() {
        actions.push(ValidationAction::Deny);
    }
    let pods = autogen::configured(reader, &mut fields);
    let is_in_force = is_in_force(reader, &mut fields);
    reader.field(&mut fields, "webhookConfiguration");
    if kind == Kind::Images {
        let message = "the policy verifies images, which is not done here: what it matches is \
                       rejected";
        let help = "leave it to Kyverno, and keep it out of here";
        reader.warn(span, "policy/not-evaluated", message, help);
        let message = "the policy verifies images, which is not done here";
        policy.validations = vec![rejects(reader, span, message)];
    } else {
        policy.variables = admission::list(reader, &mut fields, "variables", admission::variable);
        policy.validations =
            admission::list(reader, &mut fields, "validations", admission::validation);
        policy.audit_annotations = admission::list(
            reader,
            &mut fields,
            "auditAnnotations",
            admission::audit_annotation,
        );
        reader.close(&fields);
    }
    policy.places = reader.places.clone();
    let variants = autogen::of_pods(&policy, &pods);
    let policies: Vec<Policy> = std::iter::once(policy).chain(variants).collect();
    let bindings = policies.iter().filter(|_| is_in_force);
    Documents {
        bindings: bindings.map(|it| binding(it, &actions)).collect(),
        policies,
        ..Documents::default()
    }
}

/// Says whether requests are decided by a policy, and not only objects looked at later on, or
/// documents that are none of Kubernetes.
fn is_in_force(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> bool {
    let Some(field) = reader.field(fields, "evaluation") else {
        return true;
    };
    let at = |path: &[&str]| field.yaml.at(path);
    let is_enabled = at(&["admission", "enabled"]).and_then(|it| it.as_bool());
    let mode = at(&["mode"]).and_then(|it| it.as_str());
    is_enabled != Some(false) && mode != Some("JSON")
}

impl Pods {
    /// Returns the controllers that are asked for: all, unless some are named.
    fn named(names: Option<Vec<String>>) -> Self {
        names.map_or(Pods::All, Pods::These)
    }
}
