//! Reads Gatekeeper's documents: a `ConstraintTemplate` with CEL is a policy, each of its
//! constraints a binding with a parameter.
//!
//! The meaning is that of Gatekeeper's own translation to ValidatingAdmissionPolicy (gatekeeper
//! `pkg/drivers/k8scel/transform`): `variables.params` are the constraint's parameters,
//! `variables.anyObject` is the object, or the old one when there is none. What a constraint matches
//! is decided as its webhook does it (`pkg/mutation/match`): by conditions of the policy that read
//! the constraint. Rego is not evaluated; what a template says in Rego alone rejects what its
//! constraints match, with a message that says so.

use crate::policy::model::{
    Audience, Binding, FailurePolicy, LabelSelector, MatchCondition, MatchResources, NamedRule,
    ParamKind, ParamRef, ParamSelect, ParameterNotFoundAction, Policy, PolicyKind, Scope,
    Validation, ValidationAction, Variable,
};
use crate::policy::read::admission::{self, Document, FAILURE_POLICIES};
use crate::policy::read::matching::{self, SCOPES};
use crate::policy::read::reader::{Field, Fields, Reader};
use crate::text::{Fragment, Span};

/// The group of templates.
pub(super) const TEMPLATES: &str = "templates.gatekeeper.sh";

/// The group of constraints, whose kinds are the users' own.
pub(super) const CONSTRAINTS: &str = "constraints.gatekeeper.sh";

/// The version in which templates see their constraints.
pub(super) const CONSTRAINT_VERSION: &str = "constraints.gatekeeper.sh/v1beta1";

/// The engine whose language is CEL.
const CEL_ENGINE: &str = "K8sNativeValidation";

/// The subresources that Gatekeeper's webhook asks for (gatekeeper `charts/gatekeeper/values.yaml`,
/// `validatingWebhookSubResources`), behind every resource.
const RESOURCES: [&str; 17] = [
    "*",
    "pods/ephemeralcontainers",
    "pods/exec",
    "pods/log",
    "pods/eviction",
    "pods/portforward",
    "pods/proxy",
    "pods/attach",
    "pods/binding",
    "pods/resize",
    "deployments/scale",
    "replicasets/scale",
    "statefulsets/scale",
    "replicationcontrollers/scale",
    "services/proxy",
    "nodes/proxy",
    "services/status",
];

/// The operations Gatekeeper's webhook asks for unless it is told otherwise.
const OPERATIONS: [&str; 2] = ["CREATE", "UPDATE"];

const ALL_OPERATIONS: [(&str, &str); 5] = [
    ("CREATE", "CREATE"),
    ("UPDATE", "UPDATE"),
    ("DELETE", "DELETE"),
    ("CONNECT", "CONNECT"),
    ("*", "*"),
];

/// Reads a template.
pub(super) fn template(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    document: Document,
) -> Policy {
    let around = document.origin.span;
    let name = document.metadata.name.clone();
    let mut policy = admission::empty_policy(PolicyKind::Validating, document, Default::default());
    policy.failure_policy = FailurePolicy::Fail;
    policy.match_constraints = Some(MatchResources {
        resource_rules: vec![NamedRule {
            resource_names: Vec::new(),
            operations: OPERATIONS.map(str::to_owned).to_vec(),
            api_groups: vec!["*".to_owned()],
            api_versions: vec!["*".to_owned()],
            resources: RESOURCES.map(str::to_owned).to_vec(),
            scope: Scope::All,
        }],
        ..MatchResources::default()
    });
    policy.match_conditions = conditions(reader, around);
    if let Some(field) = reader.field(&mut fields, "spec") {
        template_spec(reader, &field, &name, &mut policy);
    } else {
        reader.missing("spec", around, "a template has `crd` and `targets`");
    }
    reader.field(&mut fields, "status");
    reader.close(&fields);
    policy.reading = reader.reading();
    policy.places = std::mem::take(&mut reader.places);
    policy
}

fn template_spec(reader: &mut Reader<'_>, field: &Field<'_>, name: &str, policy: &mut Policy) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    let kind = ["crd", "spec", "names", "kind"];
    let written = field.yaml.at(&kind).and_then(|kind| kind.as_str());
    reader.field(&mut fields, "crd");
    match written {
        Some(kind) => {
            if kind.to_lowercase() != name {
                let span = field
                    .yaml
                    .at(&kind_path())
                    .map_or(field.yaml.span, |it| it.span);
                reader.error(
                    span,
                    "policy/invalid-name",
                    format!("the kind `{kind}` does not go with the template's name `{name}`"),
                    format!("the name must be `{}`", kind.to_lowercase()),
                );
            }
            policy.param_kind = Some(ParamKind {
                api_version: CONSTRAINT_VERSION.to_owned(),
                kind: kind.to_owned(),
            });
        }
        None => {
            let help = "write `crd.spec.names.kind`: the kind of its constraints";
            reader.missing(&fields.path("crd"), field.yaml.span, help);
        }
    }
    let targets = reader
        .field(&mut fields, "targets")
        .map(|field| (field.yaml.span, reader.items(&field)));
    reader.close(&fields);
    match targets {
        Some((_, targets)) if targets.len() == 1 => {
            for item in &targets {
                target(reader, item, policy);
            }
        }
        Some((span, _)) => reader.error(
            span,
            "policy/too-many",
            "a template has exactly one target",
            "write one item, with `target: admission.k8s.gatekeeper.sh`",
        ),
        None => reader.missing("spec.targets", field.yaml.span, "a template has one target"),
    }
}

fn kind_path() -> [&'static str; 4] {
    ["crd", "spec", "names", "kind"]
}

fn target(reader: &mut Reader<'_>, field: &Field<'_>, policy: &mut Policy) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    reader.field(&mut fields, "target");
    let rego = reader.field(&mut fields, "rego").map(|it| it.yaml.span);
    reader.field(&mut fields, "libs");
    if let Some(field) = reader.field(&mut fields, "operations") {
        let operations = reader.each(&field, |reader, item| {
            reader.choice(item, "operation", &ALL_OPERATIONS)
        });
        let rules = policy.match_constraints.iter_mut();
        for rule in rules.flat_map(|it| &mut it.resource_rules) {
            rule.operations = operations.iter().copied().map(str::to_owned).collect();
        }
    }
    let mut source = None;
    if let Some(code) = reader.field(&mut fields, "code") {
        for item in reader.items(&code) {
            let Some(mut fields) = reader.fields(&item) else {
                continue;
            };
            let engine = reader.text(&mut fields, "engine");
            let text = reader.field_at(&mut fields, "source", "spec");
            reader.close(&fields);
            if engine == CEL_ENGINE && source.is_none() {
                source = text;
            }
        }
    }
    reader.close(&fields);
    match source {
        Some(source) => cel(reader, &source, policy),
        None => {
            let span = rego.unwrap_or(field.yaml.span);
            let message = "this template has no CEL: Rego is not evaluated, and what its \
                           constraints match is rejected";
            let help = "write it in CEL, under `code` with `engine: K8sNativeValidation`, or keep \
                        it with Gatekeeper and out of here";
            reader.warn(
                crate::policy::places::first_line(reader.source, span),
                "policy/not-evaluated",
                message,
                help,
            );
            policy.validations = vec![rejects(
                reader,
                span,
                "the template is written in Rego, which is not evaluated here",
            )];
        }
    }
}

/// Makes the validation of what cannot be evaluated: it never holds.
pub(super) fn rejects(reader: &Reader<'_>, span: Span, message: &str) -> Validation {
    Validation {
        expression: made(reader, span, "false".to_owned()),
        message: Some(message.to_owned()),
        message_expression: None,
        reason: None,
    }
}

/// Reads the CEL of a template (gatekeeper `pkg/drivers/k8scel/schema/schema.go`, `Source`).
fn cel(reader: &mut Reader<'_>, source: &Field<'_>, policy: &mut Policy) {
    let Some(mut fields) = reader.fields(source) else {
        return;
    };
    policy.variables = given(reader, policy.origin.span);
    let own = admission::list(
        reader,
        &mut fields,
        "matchCondition",
        admission::match_condition,
    );
    policy.match_conditions.extend(own);
    let variables = admission::list(reader, &mut fields, "variables", admission::variable);
    for variable in &variables {
        if ["params", "anyObject"].contains(&variable.name.as_str()) {
            reader.error(
                variable.name_span,
                "policy/duplicate-name",
                format!("`{}` is Gatekeeper's own variable", variable.name),
                "choose another name",
            );
        }
    }
    policy.variables.extend(variables);
    policy.validations = admission::list(reader, &mut fields, "validations", admission::validation);
    if let Some(failure_policy) = reader
        .field(&mut fields, "failurePolicy")
        .and_then(|field| reader.choice(&field, "failure policy", &FAILURE_POLICIES))
    {
        policy.failure_policy = failure_policy;
    }
    if let Some(field) = reader.field(&mut fields, "generateVAP") {
        reader.boolean(&field);
    }
    reader.close(&fields);
    only_read(policy);
}

/// Leaves out those of Gatekeeper's variables that the template does not name.
fn only_read(policy: &mut Policy) {
    let variables = policy.variables.iter().skip(GIVEN.len());
    let validations = policy.validations.iter();
    let texts: Vec<&str> = variables
        .map(|it| &it.expression)
        .chain(
            validations
                .flat_map(|it| std::iter::once(&it.expression).chain(&it.message_expression)),
        )
        .map(|it| it.text.as_str())
        .collect();
    let unread: Vec<&str> = GIVEN
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !texts.iter().any(|text| text.contains(name)))
        .collect();
    policy
        .variables
        .retain(|it| !unread.contains(&it.name.as_str()));
}

/// Makes an expression that stands for something written at `span` in other words.
pub(super) fn made(reader: &Reader<'_>, span: Span, text: String) -> Fragment {
    Fragment::mapped(reader.source, span, text, [])
}

/// The variables that Gatekeeper gives to templates.
const GIVEN: [(&str, &str); 2] = [
    (
        "anyObject",
        "request.operation == 'DELETE' && object == null ? oldObject : object",
    ),
    (
        "params",
        "has(params.spec) && has(params.spec.parameters) ? params.spec.parameters : null",
    ),
];

fn given(reader: &Reader<'_>, span: Span) -> Vec<Variable> {
    let variable = |(name, text): (&str, &str)| Variable {
        name: name.to_owned(),
        name_span: span,
        expression: made(reader, span, text.to_owned()),
    };
    GIVEN.map(variable).into()
}

/// The conditions under which a constraint, `params`, is about a request.
fn conditions(reader: &Reader<'_>, span: Span) -> Vec<MatchCondition> {
    let absent = |field: &str| {
        format!(
            "!has(params.spec) || !has(params.spec.match) || !has(params.spec.match.{field}) || \
             size(params.spec.match.{field}) == 0"
        )
    };
    let one_of = |field: &str, value: &str| {
        format!(
            "!has(kind.{field}) || size(kind.{field}) == 0 || '*' in kind.{field} || \
             {value} in kind.{field}"
        )
    };
    let namespace = "request.?namespace.orValue('')";
    let matches_namespace = wildcard("string(pattern)", namespace);
    let kinds = format!(
        "{} || params.spec.match.kinds.exists(kind, ({}) && ({}))",
        absent("kinds"),
        one_of("apiGroups", "request.kind.group"),
        one_of("kinds", "request.kind.kind"),
    );
    let namespaces = format!(
        "{} || {namespace} == '' || \
         params.spec.match.namespaces.exists(pattern, {matches_namespace})",
        absent("namespaces"),
    );
    let excluded = format!(
        "{} || {namespace} == '' || \
         !params.spec.match.excludedNamespaces.exists(pattern, {matches_namespace})",
        absent("excludedNamespaces"),
    );
    let named = format!(
        "({}) || (it.?metadata.?generateName.orValue('') != '' && pattern.endsWith('*') && ({}))",
        wildcard(
            "pattern",
            "it.?metadata.?name.orValue(request.?name.orValue(''))"
        ),
        wildcard("pattern", "it.metadata.generateName"),
    );
    let name = format!(
        "{} || [string(params.spec.match.name)].exists(pattern, \
         [object, oldObject].exists(it, it != null && ({named})))",
        absent("name"),
    );
    let rows = [
        ("gatekeeper-kinds", kinds),
        ("gatekeeper-namespaces", namespaces),
        ("gatekeeper-excluded-namespaces", excluded),
        ("gatekeeper-name", name),
    ];
    rows.into_iter()
        .map(|(name, text)| MatchCondition {
            name: name.to_owned(),
            expression: made(reader, span, text),
        })
        .collect()
}

/// Says in CEL whether a text matches a pattern with `*` at its ends only (gatekeeper
/// `pkg/wildcard/wildcard.go`, `Matches`); both are expressions.
fn wildcard(pattern: &str, text: &str) -> String {
    let rest = format!("{pattern}.replace('*', '')");
    format!(
        "{pattern}.startsWith('*') ? \
         ({pattern}.endsWith('*') ? {text}.contains({rest}) : {text}.endsWith({rest})) : \
         {pattern}.endsWith('*') ? {text}.startsWith({rest}) : {text} == {pattern}"
    )
}

/// What a constraint's violations do; `scoped` leaves it to `scopedEnforcementActions`.
#[derive(Clone, Copy, PartialEq)]
enum Action {
    Does(ValidationAction),
    Scoped,
}

const ACTIONS: [(&str, Action); 4] = [
    ("deny", Action::Does(ValidationAction::Deny)),
    ("warn", Action::Does(ValidationAction::Warn)),
    ("dryrun", Action::Does(ValidationAction::Audit)),
    ("scoped", Action::Scoped),
];

/// Reads a constraint of a kind as the binding of its template, which has the kind's name.
///
/// The ValidatingAdmissionPolicies that Gatekeeper makes of templates are named `gatekeeper-…` and have
/// bindings of their own: a constraint beside those is their parameter, and binds nothing twice.
pub(super) fn constraint(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    kind: &str,
    document: Document,
) -> Binding {
    let kind = kind.to_lowercase();
    let name = document.metadata.name;
    let mut binding = Binding {
        name: format!("{kind}.{name}"),
        kind: PolicyKind::Validating,
        policy_name: kind,
        origin: document.origin,
        places: Default::default(),
        reading: Default::default(),
        param_ref: Some(ParamRef {
            select: ParamSelect::Name(name),
            namespace: None,
            not_found: ParameterNotFoundAction::Deny,
        }),
        match_resources: None,
        validation_actions: vec![ValidationAction::Deny],
        audience: Audience::Operators,
    };
    if let Some(field) = reader.field(&mut fields, "spec") {
        constraint_spec(reader, &field, &mut binding);
    }
    reader.field(&mut fields, "status");
    reader.close(&fields);
    binding.reading = reader.reading();
    binding.places = std::mem::take(&mut reader.places);
    binding
}

fn constraint_spec(reader: &mut Reader<'_>, field: &Field<'_>, binding: &mut Binding) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    let action = reader
        .field(&mut fields, "enforcementAction")
        .and_then(|field| reader.choice(&field, "action", &ACTIONS));
    let scoped = reader.field(&mut fields, "scopedEnforcementActions");
    match action {
        Some(Action::Does(action)) => binding.validation_actions = vec![action],
        Some(Action::Scoped) => binding.validation_actions = scoped_actions(reader, scoped),
        None => {}
    }
    if let Some(field) = reader.field(&mut fields, "match") {
        binding.match_resources = constraint_match(reader, &field);
    }
    // What it holds is for the template to say.
    reader.field(&mut fields, "parameters");
    reader.close(&fields);
}

/// Returns what is done at admission; what is for audits or for the command line alone is recorded.
///
/// Upstream: gatekeeper `pkg/util/enforcement_action.go`.
fn scoped_actions(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Vec<ValidationAction> {
    let mut actions = Vec::new();
    for item in field.map(|it| reader.items(&it)).unwrap_or_default() {
        let Some(mut fields) = reader.fields(&item) else {
            continue;
        };
        let action = reader
            .field(&mut fields, "action")
            .and_then(|field| reader.choice(&field, "action", &ACTIONS));
        let points = reader.field(&mut fields, "enforcementPoints");
        reader.close(&fields);
        let mut at_admission = false;
        for point in points.map(|it| reader.items(&it)).unwrap_or_default() {
            let name = point.yaml.get("name").and_then(|name| name.as_str());
            let points = ["*", "validation.gatekeeper.sh", "vap.k8s.io"];
            at_admission |= name.is_some_and(|name| points.contains(&name));
        }
        match action {
            Some(Action::Does(action)) if at_admission && !actions.contains(&action) => {
                actions.push(action);
            }
            _ => {}
        }
    }
    if actions.contains(&ValidationAction::Deny) {
        actions.retain(|action| *action != ValidationAction::Warn);
    }
    if actions.is_empty() {
        actions.push(ValidationAction::Audit);
    }
    actions
}

const SOURCES: [(&str, ()); 3] = [("All", ()), ("Original", ()), ("", ())];

fn constraint_match(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<MatchResources> {
    let mut fields = reader.fields(field)?;
    if let Some(kinds) = reader.field(&mut fields, "kinds") {
        for item in reader.items(&kinds) {
            let Some(mut fields) = reader.fields(&item) else {
                continue;
            };
            reader.texts(&mut fields, "apiGroups");
            reader.texts(&mut fields, "kinds");
            reader.close(&fields);
        }
    }
    for key in ["namespaces", "excludedNamespaces"] {
        if let Some(field) = reader.field(&mut fields, key) {
            for item in reader.items(&field) {
                checked_wildcard(reader, &item);
            }
        }
    }
    if let Some(field) = reader.field(&mut fields, "name") {
        checked_wildcard(reader, &field);
    }
    let mut selector = |reader: &mut Reader<'_>, key: &'static str| {
        let field = reader.field(&mut fields, key);
        field.map_or_else(LabelSelector::default, |it| matching::selector(reader, &it))
    };
    let object_selector = selector(reader, "labelSelector");
    let namespace_selector = selector(reader, "namespaceSelector");
    let scope = reader
        .field(&mut fields, "scope")
        .and_then(|field| reader.choice(&field, "scope", &SCOPES))
        .unwrap_or(Scope::All);
    if let Some(field) = reader.field(&mut fields, "source") {
        reader.choice(&field, "source", &SOURCES);
    }
    reader.close(&fields);
    let any = || vec!["*".to_owned()];
    let rule = (scope != Scope::All).then(|| NamedRule {
        resource_names: Vec::new(),
        operations: any(),
        api_groups: any(),
        api_versions: any(),
        resources: vec!["*/*".to_owned()],
        scope,
    });
    Some(MatchResources {
        resource_rules: rule.into_iter().collect(),
        object_selector,
        namespace_selector,
        ..MatchResources::default()
    })
}

/// Refuses a `*` that is not at an end, as the schema of constraints does.
fn checked_wildcard(reader: &mut Reader<'_>, field: &Field<'_>) {
    let Some(pattern) = reader.string(field) else {
        return;
    };
    let inner = pattern.strip_prefix('*').unwrap_or(pattern);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    if inner.contains('*') {
        reader.error(
            field.yaml.span,
            "policy/invalid-name",
            format!("`{pattern}` has a `*` in its midst"),
            "a `*` stands at the beginning or at the end",
        );
    }
}
