//! Reads the policies and bindings of `admissionregistration.k8s.io`.

use crate::policy::defaults::{self, Version};
use crate::policy::model::{
    About, Audience, AuditAnnotation, Binding, FailurePolicy, MatchCondition, Mutation, Origin,
    PodMatching, Policy, PolicyKind, PolicyScope, PolicySeverity, Reason, ReinvocationPolicy,
    Validation, ValidationAction, Variable,
};
use crate::policy::read::kubernetes::Metadata;
use crate::policy::read::matching;
use crate::policy::read::reader::{Field, Fields, Reader};
use crate::text::Span;

pub(super) const FAILURE_POLICIES: [(&str, FailurePolicy); 2] = [
    ("Fail", FailurePolicy::Fail),
    ("Ignore", FailurePolicy::Ignore),
];

pub(super) const REINVOCATION_POLICIES: [(&str, ReinvocationPolicy); 2] = [
    ("Never", ReinvocationPolicy::Never),
    ("IfNeeded", ReinvocationPolicy::IfNeeded),
];

pub(super) const REASONS: [(&str, Reason); 3] = [
    ("Forbidden", Reason::Forbidden),
    ("Invalid", Reason::Invalid),
    ("RequestEntityTooLarge", Reason::RequestEntityTooLarge),
];

pub(super) const SEVERITIES: [(&str, PolicySeverity); 5] = [
    ("info", PolicySeverity::Info),
    ("low", PolicySeverity::Low),
    ("medium", PolicySeverity::Medium),
    ("high", PolicySeverity::High),
    ("critical", PolicySeverity::Critical),
];

const ACTIONS: [(&str, ValidationAction); 3] = [
    ("Deny", ValidationAction::Deny),
    ("Warn", ValidationAction::Warn),
    ("Audit", ValidationAction::Audit),
];

/// Where what people are told about a policy is written.
const DESCRIPTION: &str = "portcullis.dev/description";
const SEVERITY: &str = "portcullis.dev/severity";
const CATEGORY: &str = "portcullis.dev/category";
const SOURCE: &str = "portcullis.dev/source";

/// What is known about a document before its spec is read.
pub(super) struct Document {
    pub(super) version: Version,
    pub(super) origin: Origin,
    pub(super) metadata: Metadata,
}

/// Reads a policy.
pub(super) fn policy(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    kind: PolicyKind,
    document: Document,
) -> Policy {
    let version = document.version;
    let about = about(reader, &document.metadata);
    let mut policy = empty_policy(kind, document, about);
    if let Some(field) = reader.field(&mut fields, "spec") {
        spec(reader, &field, &mut policy, version);
    } else if kind == PolicyKind::Mutating {
        reinvocation_policy(reader, None, policy.origin.span, version);
    }
    // What the API server writes is not read.
    reader.field(&mut fields, "status");
    reader.close(&fields);
    policy.reading = reader.reading();
    policy.places = std::mem::take(&mut reader.places);
    policy
}

/// Returns a policy of which nothing is known but its metadata.
pub(super) fn empty_policy(kind: PolicyKind, document: Document, about: About) -> Policy {
    Policy {
        name: document.metadata.name,
        kind,
        origin: document.origin,
        places: Default::default(),
        reading: Default::default(),
        about,
        scope: PolicyScope::Request,
        match_constraints: None,
        match_conditions: Vec::new(),
        variables: Vec::new(),
        validations: Vec::new(),
        audit_annotations: Vec::new(),
        mutations: Vec::new(),
        failure_policy: defaults::of(document.version).failure_policy,
        param_kind: None,
        settings: serde_json::Map::new(),
        reads: Vec::new(),
        pods: PodMatching::Object,
        reinvocation_policy: ReinvocationPolicy::Never,
        mutate: true,
    }
}

fn about(reader: &mut Reader<'_>, metadata: &Metadata) -> About {
    let annotation = |key: &str| metadata.annotations.get(key).cloned();
    let severity = annotation(SEVERITY).and_then(|word| {
        let path = format!("metadata.annotations[{SEVERITY}]");
        let span = reader.places.value(&path).unwrap_or_default();
        reader.choose(&word, span, "severity", &SEVERITIES)
    });
    About {
        description: annotation(DESCRIPTION).unwrap_or_default(),
        severity: severity.unwrap_or_default(),
        category: annotation(CATEGORY),
        source: annotation(SOURCE),
    }
}

fn spec(reader: &mut Reader<'_>, field: &Field<'_>, policy: &mut Policy, version: Version) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    policy.param_kind = reader
        .field(&mut fields, "paramKind")
        .and_then(|field| matching::param_kind(reader, &field));
    policy.match_constraints = reader
        .field(&mut fields, "matchConstraints")
        .and_then(|field| matching::match_resources(reader, &field, version));
    policy.match_conditions = list(reader, &mut fields, "matchConditions", match_condition);
    policy.variables = list(reader, &mut fields, "variables", variable);
    if let Some(failure_policy) = reader
        .field(&mut fields, "failurePolicy")
        .and_then(|field| reader.choice(&field, "failure policy", &FAILURE_POLICIES))
    {
        policy.failure_policy = failure_policy;
    }
    match policy.kind {
        PolicyKind::Validating => {
            policy.validations = list(reader, &mut fields, "validations", validation);
            policy.audit_annotations =
                list(reader, &mut fields, "auditAnnotations", audit_annotation);
        }
        PolicyKind::Mutating => {
            policy.mutations = list(reader, &mut fields, "mutations", mutation);
            let field = reader.field(&mut fields, "reinvocationPolicy");
            let around = policy.origin.span;
            policy.reinvocation_policy = reinvocation_policy(reader, field, around, version);
        }
    }
    reader.close(&fields);
}

fn reinvocation_policy(
    reader: &mut Reader<'_>,
    field: Option<Field<'_>>,
    around: Span,
    version: Version,
) -> ReinvocationPolicy {
    let read = match field {
        Some(field) => reader.choice(&field, "reinvocation policy", &REINVOCATION_POLICIES),
        None => {
            let default = defaults::of(version).reinvocation_policy;
            if default.is_none() {
                let path = "spec.reinvocationPolicy";
                reader.missing(path, around, "one of `Never`, `IfNeeded`");
            }
            default
        }
    };
    read.unwrap_or_default()
}

/// Reads the list named `key`; an item that is no mapping is left out.
pub(super) fn list<T>(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
    read: fn(&mut Reader<'_>, &mut Fields<'_>, Span) -> Option<T>,
) -> Vec<T> {
    let Some(field) = reader.field(fields, key) else {
        return Vec::new();
    };
    reader.each(&field, |reader, item| {
        let mut fields = reader.fields(item)?;
        let value = read(reader, &mut fields, item.yaml.span);
        reader.close(&fields);
        value
    })
}

/// Reads a match condition.
pub(super) fn match_condition(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    around: Span,
) -> Option<MatchCondition> {
    Some(MatchCondition {
        name: reader.text(fields, "name"),
        expression: reader.expression(fields, "expression", around),
    })
}

/// Reads a variable.
pub(super) fn variable(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    around: Span,
) -> Option<Variable> {
    let name = reader.text(fields, "name");
    let name_span = reader.places.value(&fields.path("name"));
    Some(Variable {
        name,
        name_span: name_span.unwrap_or(Span::new(around.start, around.start)),
        expression: reader.expression(fields, "expression", around),
    })
}

/// Reads a validation.
pub(super) fn validation(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    around: Span,
) -> Option<Validation> {
    Some(Validation {
        expression: reader.expression(fields, "expression", around),
        message: reader
            .field(fields, "message")
            .and_then(|field| reader.string(&field))
            .filter(|message| !message.is_empty())
            .map(str::to_owned),
        message_expression: reader
            .optional_expression(fields, "messageExpression")
            .filter(|expression| !expression.text.is_empty()),
        reason: reader
            .field(fields, "reason")
            .and_then(|field| reader.choice(&field, "reason", &REASONS)),
    })
}

/// Reads an audit annotation.
pub(super) fn audit_annotation(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    around: Span,
) -> Option<AuditAnnotation> {
    Some(AuditAnnotation {
        key: reader.text(fields, "key"),
        value_expression: reader.expression(fields, "valueExpression", around),
    })
}

/// How a mutation changes the object.
#[derive(Clone, Copy, PartialEq)]
enum PatchType {
    JsonPatch,
    ApplyConfiguration,
}

/// Reads a mutation. Upstream: kubernetes `validation.go`, `validateMutation`.
fn mutation(reader: &mut Reader<'_>, fields: &mut Fields<'_>, around: Span) -> Option<Mutation> {
    let patch_type = reader.field(fields, "patchType");
    let json_patch = reader.field(fields, "jsonPatch");
    let apply = reader.field(fields, "applyConfiguration");
    let Some(patch_type) = patch_type else {
        let help = "one of `JSONPatch`, `ApplyConfiguration`";
        reader.missing(&fields.path("patchType"), around, help);
        return None;
    };
    let choices = [
        ("JSONPatch", PatchType::JsonPatch),
        ("ApplyConfiguration", PatchType::ApplyConfiguration),
    ];
    let chosen = reader.choice(&patch_type, "patch type", &choices)?;
    let (wanted, key, other) = match chosen {
        PatchType::JsonPatch => (json_patch, "jsonPatch", apply),
        PatchType::ApplyConfiguration => (apply, "applyConfiguration", json_patch),
    };
    if let Some(other) = other {
        reader.error(
            other.yaml.span,
            "policy/exclusive",
            format!(
                "`{}` does not go with `patchType: {}`",
                other.name,
                type_name(chosen)
            ),
            format!("remove it, or write `{key}` instead"),
        );
    }
    let Some(wanted) = wanted else {
        let help = format!("`patchType: {}` needs it", type_name(chosen));
        reader.missing(&fields.path(key), around, help);
        return None;
    };
    let mut inner = reader.fields(&wanted)?;
    let expression = reader.expression(&mut inner, "expression", wanted.yaml.span);
    reader.close(&inner);
    Some(match chosen {
        PatchType::JsonPatch => Mutation::JsonPatch(expression),
        PatchType::ApplyConfiguration => Mutation::ApplyConfiguration(expression),
    })
}

fn type_name(patch_type: PatchType) -> &'static str {
    match patch_type {
        PatchType::JsonPatch => "JSONPatch",
        PatchType::ApplyConfiguration => "ApplyConfiguration",
    }
}

/// Reads a binding.
pub(super) fn binding(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    kind: PolicyKind,
    document: Document,
) -> Binding {
    let mut binding = Binding {
        name: document.metadata.name,
        kind,
        policy_name: String::new(),
        origin: document.origin,
        places: Default::default(),
        reading: Default::default(),
        param_ref: None,
        match_resources: None,
        validation_actions: Vec::new(),
        audience: Audience::Operators,
    };
    if let Some(field) = reader.field(&mut fields, "spec") {
        binding_spec(reader, &field, &mut binding, document.version);
    }
    reader.close(&fields);
    binding.reading = reader.reading();
    binding.places = std::mem::take(&mut reader.places);
    binding
}

fn binding_spec(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    binding: &mut Binding,
    version: Version,
) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    binding.policy_name = reader.text(&mut fields, "policyName");
    binding.param_ref = reader
        .field(&mut fields, "paramRef")
        .and_then(|field| matching::param_ref(reader, &field, version));
    binding.match_resources = reader
        .field(&mut fields, "matchResources")
        .and_then(|field| matching::match_resources(reader, &field, version));
    if binding.kind == PolicyKind::Validating
        && let Some(field) = reader.field(&mut fields, "validationActions")
    {
        binding.validation_actions = reader.each(&field, |reader, item| {
            reader.choice(item, "validation action", &ACTIONS)
        });
    }
    reader.close(&fields);
}
