//! Reads the rules of a `ClusterPolicy` or a `Policy`, each as a policy of its own.
//!
//! Semantics: kyverno `pkg/engine/handlers/validation/validate_cel.go`. The first rule has the
//! policy's name, each further one its own name behind it.

use super::autogen::{self, CONTROLLERS, Controller, TEMPLATES, Template};
use super::filter::{self, Filters, KindPattern, Side};
use super::{acts, binding};
use crate::policy::model::{
    Documents, MatchCondition, MatchPolicy, MatchResources, ParamRef, Policy, PolicyKind,
    ValidationAction,
};
use crate::policy::places::first_line;
use crate::policy::read::admission::{self, Document};
use crate::policy::read::gatekeeper::{made, rejects};
use crate::policy::read::matching;
use crate::policy::read::reader::{Field, Fields, Reader};
use crate::text::Span;

/// Which controllers of pods rules are made for.
const AUTOGEN: &str = "pod-policies.kyverno.io/autogen-controllers";

/// Fields of a policy that say nothing about what is decided at admission, or only that less of it
/// is done.
const PASSED_OVER: [&str; 10] = [
    "background",
    "applyRules",
    "failurePolicy",
    "schemaValidation",
    "webhookTimeoutSeconds",
    "mutateExistingOnPolicyUpdate",
    "generateExistingOnPolicyUpdate",
    "generateExisting",
    "useServerSideApply",
    "emitWarning",
];

const FAILURE_ACTIONS: [(&str, ValidationAction); 4] = [
    ("Enforce", ValidationAction::Deny),
    ("enforce", ValidationAction::Deny),
    ("Audit", ValidationAction::Audit),
    ("audit", ValidationAction::Audit),
];

/// A rule that decides.
struct Rule {
    name: String,
    span: Span,
    matched: Filters,
    excluded: Option<Filters>,
    action: ValidationAction,
    param_ref: Option<ParamRef>,
    /// With everything but what it matches.
    policy: Policy,
}

/// What the whole policy says about its rules.
struct Shared {
    action: ValidationAction,
    conditions: Vec<MatchCondition>,
}

/// Reads the spec of a policy.
pub(super) fn read(reader: &mut Reader<'_>, spec: &Field<'_>, document: Document) -> Documents {
    let Some(mut fields) = reader.fields(spec) else {
        return Documents::default();
    };
    let annotation = document.metadata.annotations.get(AUTOGEN).cloned();
    let base = admission::empty_policy(PolicyKind::Validating, document, Default::default());
    let shared = shared(reader, &mut fields);
    let is_in_force = reader
        .field(&mut fields, "admission")
        .and_then(|field| reader.boolean(&field))
        .unwrap_or(true);
    for key in PASSED_OVER {
        reader.field(&mut fields, key);
    }
    let rules = match reader.field(&mut fields, "rules") {
        Some(field) => reader.each(&field, |reader, item| rule(reader, item, &base, &shared)),
        None => {
            reader.missing(
                &fields.path("rules"),
                base.origin.span,
                "a policy has rules",
            );
            Vec::new()
        }
    };
    reader.close(&fields);
    let controllers = controllers(&rules, annotation.as_deref());
    let mut read = Documents::default();
    for (index, rule) in rules.iter().enumerate() {
        let name = match index {
            0 => base.name.clone(),
            _ => format!("{}.{}", base.name, label(&rule.name)),
        };
        for policy in rule.policies(reader, &name, &controllers) {
            if is_in_force {
                let mut binding = binding(&policy, &[rule.action]);
                binding.param_ref = rule.param_ref.clone();
                read.bindings.push(binding);
            }
            read.policies.push(policy);
        }
    }
    read
}

/// Makes a part of a name of what a rule is called.
fn label(name: &str) -> String {
    let lower = name.to_lowercase();
    let plain = lower.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    plain.trim_matches('-').to_owned()
}

fn shared(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Shared {
    let action = reader
        .field(fields, "validationFailureAction")
        .and_then(|field| reader.choice(&field, "action", &FAILURE_ACTIONS))
        .unwrap_or(ValidationAction::Audit);
    overrides(reader, fields, "validationFailureActionOverrides");
    let mut conditions = Vec::new();
    if let Some(field) = reader.field(fields, "webhookConfiguration")
        && let Some(mut fields) = reader.fields(&field)
    {
        conditions = admission::list(
            reader,
            &mut fields,
            "matchConditions",
            admission::match_condition,
        );
        reader.field(&mut fields, "failurePolicy");
        reader.field(&mut fields, "timeoutSeconds");
        reader.close(&fields);
    }
    Shared { action, conditions }
}

/// Refuses other actions for some namespaces, which no binding of ours could say.
fn overrides(reader: &mut Reader<'_>, fields: &mut Fields<'_>, key: &'static str) {
    if let Some(field) = reader.field(fields, key) {
        reader.error(
            reader.places.key(&field.path).unwrap_or(field.yaml.span),
            "policy/not-allowed",
            "actions for some namespaces only are not supported",
            "write two policies, each with a `namespaceSelector`",
        );
    }
}

fn rule(reader: &mut Reader<'_>, item: &Field<'_>, base: &Policy, shared: &Shared) -> Option<Rule> {
    let mut fields = reader.fields(item)?;
    let name = reader.text(&mut fields, "name");
    let span = first_line(reader.source, item.yaml.span);
    let matched = reader
        .field(&mut fields, "match")
        .and_then(|field| filter::filters(reader, &field, Side::Match));
    let excluded = reader
        .field(&mut fields, "exclude")
        .and_then(|field| filter::filters(reader, &field, Side::Exclude));
    let mut policy = base.clone();
    policy.match_conditions = shared.conditions.clone();
    policy.match_conditions.extend(admission::list(
        reader,
        &mut fields,
        "celPreconditions",
        admission::match_condition,
    ));
    reader.field(&mut fields, "skipBackgroundRequests");
    reader.field(&mut fields, "reportProperties");
    reader.field(&mut fields, "imageExtractors");
    reader.field(&mut fields, "context");
    if let Some(field) = reader.field(&mut fields, "preconditions") {
        let span = reader.places.key(&field.path).unwrap_or(field.yaml.span);
        let message = "preconditions are not evaluated: the rule applies without them";
        let help = "write them in CEL, under `celPreconditions`";
        reader.warn(span, "policy/not-evaluated", message, help);
    }
    let (mutate, generate) = (
        reader.field(&mut fields, "mutate"),
        reader.field(&mut fields, "generate"),
    );
    let validate = reader.field(&mut fields, "validate");
    let images = reader.field(&mut fields, "verifyImages");
    reader.close(&fields);
    let mut rule = Rule {
        name,
        span,
        matched: matched.clone().unwrap_or(Filters {
            filters: Vec::new(),
            together: filter::Together::Any,
        }),
        excluded,
        action: shared.action,
        param_ref: None,
        policy,
    };
    match (validate, images) {
        (Some(field), _) => validation(reader, &field, &mut rule),
        (None, Some(field)) => undecided(reader, &field, "image verification", &mut rule),
        (None, None) if mutate.is_some() || generate.is_some() => {
            acts(reader, span, &format!("the rule `{}`", rule.name));
            return None;
        }
        (None, None) => {
            let path = format!("{}.validate", item.path);
            reader.missing(&path, span, "say what the rule does");
        }
    }
    if matched.is_none() {
        let path = format!("{}.match", item.path);
        reader.missing(&path, span, "say what the rule is about");
    }
    Some(rule)
}

/// Reads a `validate`.
fn validation(reader: &mut Reader<'_>, field: &Field<'_>, rule: &mut Rule) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    if let Some(action) = reader
        .field(&mut fields, "failureAction")
        .and_then(|field| reader.choice(&field, "action", &FAILURE_ACTIONS))
    {
        rule.action = action;
    }
    overrides(reader, &mut fields, "failureActionOverrides");
    let message = reader.text(&mut fields, "message");
    reader.field(&mut fields, "allowExistingViolations");
    let others = [
        "pattern",
        "anyPattern",
        "deny",
        "foreach",
        "podSecurity",
        "manifests",
        "assert",
    ];
    let other = others.into_iter().find_map(|key| {
        let field = reader.field(&mut fields, key)?;
        Some((key, field))
    });
    match reader.field(&mut fields, "cel") {
        Some(field) => cel(reader, &field, &message, rule),
        None => match other {
            Some((key, field)) => undecided(reader, &field, &format!("`{key}`"), rule),
            None => {
                let path = fields.path("cel");
                reader.missing(&path, field.yaml.span, "say what must hold");
            }
        },
    }
    reader.close(&fields);
}

/// Makes a rule of another language one that never holds.
fn undecided(reader: &mut Reader<'_>, field: &Field<'_>, what: &str, rule: &mut Rule) {
    let span = reader.places.key(&field.path).unwrap_or(field.yaml.span);
    let name = &rule.name;
    let consequence = match rule.action {
        ValidationAction::Deny => "rejected",
        _ => "recorded",
    };
    reader.warn(
        span,
        "policy/not-evaluated",
        format!("{what} of the rule `{name}` is not evaluated: what it matches is {consequence}"),
        "write it in CEL, under `validate.cel`, or leave it to Kyverno and keep it out of here",
    );
    let message = format!("the rule `{name}` is not written in CEL and not evaluated here");
    rule.policy.validations = vec![rejects(reader, span, &message)];
}

/// Reads a `validate.cel`.
fn cel(reader: &mut Reader<'_>, field: &Field<'_>, message: &str, rule: &mut Rule) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    let policy = &mut rule.policy;
    policy.param_kind = reader
        .field(&mut fields, "paramKind")
        .and_then(|field| matching::param_kind(reader, &field));
    rule.param_ref = reader.field(&mut fields, "paramRef").and_then(|field| {
        matching::param_ref(reader, &field, crate::policy::defaults::Version::V1)
    });
    policy.variables = admission::list(reader, &mut fields, "variables", admission::variable);
    policy.validations = admission::list(reader, &mut fields, "expressions", admission::validation);
    for validation in &mut policy.validations {
        if validation.message.is_none() && !message.is_empty() {
            validation.message = Some(message.to_owned());
        }
    }
    policy.audit_annotations = admission::list(
        reader,
        &mut fields,
        "auditAnnotations",
        admission::audit_annotation,
    );
    reader.field(&mut fields, "generate");
    reader.close(&fields);
}

/// Returns the controllers that rules about pods are made for.
///
/// Upstream: kyverno `pkg/autogen/v1/autogen.go`, `CanAutoGen` and `computeRules`.
fn controllers(rules: &[Rule], annotation: Option<&str>) -> Vec<Controller> {
    let filters = |rule: &Rule| -> Vec<filter::Filter> {
        let excluded = rule.excluded.iter().flat_map(|it| it.filters.clone());
        rule.matched
            .filters
            .iter()
            .cloned()
            .chain(excluded)
            .collect()
    };
    let filters: Vec<filter::Filter> = rules.iter().flat_map(filters).collect();
    let is_fit = |it: &filter::Filter| {
        !it.is_about_metadata && (it.kinds.len() <= 1 || !it.kinds.iter().any(is_pod))
    };
    if !filters.iter().all(is_fit) {
        return Vec::new();
    }
    let named = |it: &&Controller| match annotation {
        None => true,
        Some(names) => names
            .split(',')
            .any(|name| name == "all" || name == it.kind),
    };
    CONTROLLERS.iter().filter(named).copied().collect()
}

fn is_pod(kind: &KindPattern) -> bool {
    kind.kind == "Pod"
}

impl Rule {
    /// Makes the policies that say what the rule does, about pods and about their controllers.
    fn policies(&self, reader: &Reader<'_>, name: &str, controllers: &[Controller]) -> Vec<Policy> {
        let mut policies = vec![self.about(reader, name, &self.policy, |filters| filters.clone())];
        let names_pods = |filters: &Filters| {
            let mut kinds = filters.filters.iter().flat_map(|it| &it.kinds);
            kinds.any(is_pod)
        };
        let has_kinds = |filters: &Filters| filters.filters.iter().any(|it| !it.kinds.is_empty());
        let excludes_others = self
            .excluded
            .as_ref()
            .is_some_and(|it| has_kinds(it) && !names_pods(it));
        if !names_pods(&self.matched) || excludes_others || self.name.starts_with("autogen-") {
            return policies;
        }
        for (template, suffix) in TEMPLATES {
            let of_template = controllers.iter().filter(|it| it.template == template);
            let kinds: Vec<KindPattern> = of_template.map(pattern).collect();
            if kinds.is_empty() {
                continue;
            }
            let policy = autogen::rewritten(&self.policy, template);
            let name = format!("{name}.{suffix}");
            policies.push(self.about(reader, &name, &policy, |filters| {
                in_place_of_pods(filters, &kinds, template)
            }));
        }
        policies
    }

    fn about(
        &self,
        reader: &Reader<'_>,
        name: &str,
        policy: &Policy,
        read: impl Fn(&Filters) -> Filters,
    ) -> Policy {
        let mut policy = policy.clone();
        let (matched, excluded) = (read(&self.matched), self.excluded.as_ref().map(read));
        policy.name = name.to_owned();
        policy.match_constraints = Some(MatchResources {
            resource_rules: matched.rules(),
            match_policy: MatchPolicy::Equivalent,
            ..MatchResources::default()
        });
        if let Some(text) = filter::condition(&matched, excluded.as_ref()) {
            let condition = MatchCondition {
                name: "kyverno-match".to_owned(),
                expression: made(reader, self.span, text),
            };
            policy.match_conditions.insert(0, condition);
        }
        policy
    }
}

fn pattern(controller: &Controller) -> KindPattern {
    KindPattern {
        group: controller.group.to_owned(),
        version: "v1".to_owned(),
        kind: controller.kind.to_owned(),
        sub_resource: String::new(),
    }
}

/// Puts controllers where filters name pods; for cron jobs everywhere, as upstream.
fn in_place_of_pods(filters: &Filters, kinds: &[KindPattern], template: Template) -> Filters {
    let mut filters = filters.clone();
    for filter in &mut filters.filters {
        let is_of_pods = filter.kinds.iter().any(is_pod);
        if is_of_pods || (template == Template::OfJob && !filter.kinds.is_empty()) {
            filter.kinds = kinds.to_vec();
        }
    }
    filters
}
