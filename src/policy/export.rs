//! Policies and bindings as Kubernetes documents that mean the same.
//!
//! What only a `.cel` file has is written out: a setting is its value, `pod` is a variable, the text
//! of `@when` is a name. What cannot be written out is said: our extensions of the language, and
//! policies without a request.

mod rewrite;

use serde_json::{Map, Value, json};

use crate::cel::check::{self, Checked};
use crate::cel::env::{Env, Messages};
use crate::cel::parse;
use crate::cel::version::KubernetesVersion;
use crate::diagnostics::Diagnostic;
use crate::policy::compile;
use crate::policy::model::{
    Binding, FailurePolicy, Form, LabelOperator, LabelSelector, MatchPolicy, MatchResources,
    Mutation, NamedRule, ParamRef, ParamSelect, ParameterNotFoundAction, PodMatching, Policy,
    PolicyKind, PolicyScope, PolicySeverity, Reason, ReinvocationPolicy, Scope,
};
use crate::text::{Fragment, Span};

use rewrite::Pod;

/// Returns a policy as a ValidatingAdmissionPolicy or MutatingAdmissionPolicy, or what prevents that.
///
/// The expressions must compile here; then one that does not there is a match condition that reads
/// variables.
pub fn policy(policy: &Policy, version: KubernetesVersion) -> Result<Value, Vec<Diagnostic>> {
    let mut export = Export {
        policy,
        env: compile::environment(policy, version),
        pod: Pod::Variable(free_name(policy)),
        diagnostics: Vec::new(),
    };
    if policy.scope == PolicyScope::Cluster {
        let message = "the policy is evaluated without a request, which Kubernetes' are not";
        let help = "`scope: cluster` is for audits by Portcullis only";
        export.say(Diagnostic::error("export/scope", message).help(help));
    }
    let Some(api_version) = api_version(policy.kind, version) else {
        let message = format!("Kubernetes {version} has no MutatingAdmissionPolicy");
        let help = "it is there since 1.32: choose a later `--kubernetes-version`";
        export.say(Diagnostic::error("export/version", message).help(help));
        return Err(export.diagnostics);
    };
    let spec = export.spec();
    if !export.diagnostics.is_empty() {
        return Err(export.diagnostics);
    }
    Ok(json!({
        "apiVersion": api_version,
        "kind": kind(policy.kind),
        "metadata": metadata(policy),
        "spec": spec,
    }))
}

/// Returns a binding as a document.
pub fn binding(binding: &Binding, version: KubernetesVersion) -> Value {
    let mut spec = Map::new();
    spec.insert("policyName".to_owned(), binding.policy_name.as_str().into());
    if let Some(reference) = &binding.param_ref {
        spec.insert("paramRef".to_owned(), param_ref(reference));
    }
    if let Some(resources) = &binding.match_resources {
        spec.insert("matchResources".to_owned(), match_resources(resources));
    }
    if binding.kind == PolicyKind::Validating {
        let actions = binding.validation_actions.iter();
        let actions: Vec<&str> = actions.map(|action| action.as_str()).collect();
        spec.insert("validationActions".to_owned(), actions.into());
    }
    json!({
        "apiVersion": api_version(binding.kind, version).unwrap_or(V1),
        "kind": format!("{}Binding", kind(binding.kind)),
        "metadata": {"name": binding.name},
        "spec": spec,
    })
}

const V1: &str = "admissionregistration.k8s.io/v1";

/// The newest version of the API that a version of Kubernetes serves.
fn api_version(kind: PolicyKind, version: KubernetesVersion) -> Option<&'static str> {
    match (kind, version.minor()) {
        (PolicyKind::Validating, _) | (PolicyKind::Mutating, 36..) => Some(V1),
        (PolicyKind::Mutating, 34..) => Some("admissionregistration.k8s.io/v1beta1"),
        (PolicyKind::Mutating, 32..) => Some("admissionregistration.k8s.io/v1alpha1"),
        (PolicyKind::Mutating, _) => None,
    }
}

fn kind(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Validating => "ValidatingAdmissionPolicy",
        PolicyKind::Mutating => "MutatingAdmissionPolicy",
    }
}

/// A name for the variable `pod` that the policy has not given away.
fn free_name(policy: &Policy) -> String {
    let mut name = "pod".to_owned();
    while policy.variables.iter().any(|it| it.name == name) {
        name.push('_');
    }
    name
}

fn metadata(policy: &Policy) -> Value {
    let severity = match policy.about.severity {
        PolicySeverity::Medium => None,
        other => Some(other.as_str().to_owned()),
    };
    let description = Some(&policy.about.description).filter(|text| !text.is_empty());
    let annotations = [
        ("description", description.cloned()),
        ("severity", severity),
        ("category", policy.about.category.clone()),
        ("source", policy.about.source.clone()),
    ];
    let annotations = annotations.into_iter().filter_map(|(name, text)| {
        let key = format!("portcullis.dev/{name}");
        Some((key, Value::String(text?)))
    });
    let annotations: Map<String, Value> = annotations.collect();
    match annotations.is_empty() {
        true => json!({"name": policy.name}),
        false => json!({"name": policy.name, "annotations": annotations}),
    }
}

struct Export<'p> {
    policy: &'p Policy,
    env: Env,
    pod: Pod,
    diagnostics: Vec<Diagnostic>,
}

impl Export<'_> {
    fn say(&mut self, diagnostic: Diagnostic) {
        let origin = &self.policy.origin;
        self.diagnostics
            .push(diagnostic.at(&origin.source, origin.span));
    }

    fn spec(&mut self) -> Value {
        let policy = self.policy;
        let mut spec = Map::new();
        let mut put = |key: &str, value: Value| spec.insert(key.to_owned(), value);
        put(
            "failurePolicy",
            failure_policy(policy.failure_policy).into(),
        );
        if policy.kind == PolicyKind::Mutating {
            let name = match policy.reinvocation_policy {
                ReinvocationPolicy::Never => "Never",
                ReinvocationPolicy::IfNeeded => "IfNeeded",
            };
            put("reinvocationPolicy", name.into());
        }
        if let Some(kind) = &policy.param_kind {
            let kind = json!({"apiVersion": kind.api_version, "kind": kind.kind});
            put("paramKind", kind);
        }
        if let Some(constraints) = &policy.match_constraints {
            put("matchConstraints", match_resources(constraints));
        }
        // Before the variables are declared: conditions cannot read them.
        let conditions = self.match_conditions();
        let lists = [
            ("matchConditions", conditions),
            ("variables", self.variables()),
            ("validations", self.validations()),
            ("auditAnnotations", self.audit_annotations()),
            ("mutations", self.mutations()),
        ];
        for (key, items) in lists {
            if !items.is_empty() {
                put(key, items.into());
            }
        }
        Value::Object(spec)
    }

    /// The variables, `pod` first: those below may read it. Declares them for what follows.
    fn variables(&mut self) -> Vec<Value> {
        let mut variables = Vec::new();
        if let (PodMatching::PodTemplates, Pod::Variable(name)) = (self.policy.pods, &self.pod) {
            variables.push(json!({"name": name, "expression": rewrite::POD}));
        }
        for variable in &self.policy.variables {
            let (text, result) = self.rewritten(&variable.expression);
            if let Some(checked) = result {
                self.env.declare_variable(&variable.name, checked.result);
            }
            variables.push(json!({"name": variable.name, "expression": text}));
        }
        variables
    }

    /// Conditions cannot read variables.
    fn match_conditions(&mut self) -> Vec<Value> {
        let pod = std::mem::replace(&mut self.pod, Pod::Inline);
        let mut names: Vec<String> = Vec::new();
        let mut conditions = Vec::new();
        for condition in &self.policy.match_conditions {
            let name = match self.policy.origin.form {
                Form::Kubernetes => condition.name.clone(),
                Form::Cel => slug(&condition.name, &names),
            };
            let expression = self.rewritten(&condition.expression).0;
            conditions.push(json!({"name": name, "expression": expression}));
            names.push(name);
        }
        self.pod = pod;
        conditions
    }

    fn validations(&mut self) -> Vec<Value> {
        let mut validations = Vec::new();
        for validation in &self.policy.validations {
            let mut fields = Map::new();
            let expression = self.rewritten(&validation.expression).0;
            fields.insert("expression".to_owned(), expression.into());
            if let Some(message) = &validation.message {
                fields.insert("message".to_owned(), message.as_str().into());
            }
            if let Some(expression) = &validation.message_expression {
                let expression = self.rewritten(expression).0;
                fields.insert("messageExpression".to_owned(), expression.into());
            }
            if let Some(reason) = validation.reason {
                fields.insert("reason".to_owned(), reason_name(reason).into());
            }
            validations.push(Value::Object(fields));
        }
        validations
    }

    fn audit_annotations(&mut self) -> Vec<Value> {
        let mut annotations = Vec::new();
        for annotation in &self.policy.audit_annotations {
            let expression = self.rewritten(&annotation.value_expression).0;
            annotations.push(json!({"key": annotation.key, "valueExpression": expression}));
        }
        annotations
    }

    fn mutations(&mut self) -> Vec<Value> {
        let env = self.env.clone();
        self.env = env.clone().with_messages(Messages::Mutation);
        let mut mutations = Vec::new();
        for mutation in &self.policy.mutations {
            let (kind, key, expression) = match mutation {
                Mutation::JsonPatch(it) => ("JSONPatch", "jsonPatch", it),
                Mutation::ApplyConfiguration(it) => {
                    ("ApplyConfiguration", "applyConfiguration", it)
                }
            };
            let expression = self.rewritten(expression).0;
            mutations.push(json!({"patchType": kind, key: {"expression": expression}}));
        }
        self.env = env;
        mutations
    }

    /// An expression without settings and `pod`, and what the checker found of it.
    fn rewritten(&mut self, fragment: &Fragment) -> (String, Option<Checked>) {
        let text = match self.policy.origin.form {
            Form::Kubernetes => return (fragment.text.clone(), None),
            Form::Cel => fragment.text.as_str(),
        };
        let checked = parse::parse(text).and_then(|ast| check::check(ast, &self.env));
        let checked = match checked {
            Ok(checked) => checked,
            Err(issues) => {
                let issues = issues.into_iter();
                self.diagnostics.extend(issues.map(|issue| {
                    let message = format!("Kubernetes refuses this: {}", issue.message);
                    let diagnostic = Diagnostic::error("export/expression", message);
                    let help = "match conditions cannot read variables there";
                    diagnostic.within(fragment, issue.span).help(help)
                }));
                return (text.trim().to_owned(), None);
            }
        };
        if let Some(span) = checked.extension {
            let used = called(text, span);
            let message = format!("`{used}` is not part of Kubernetes' language");
            let diagnostic = Diagnostic::error("cel/extension", message).within(fragment, span);
            self.diagnostics
                .push(diagnostic.help("only Portcullis can enforce this policy"));
        }
        let rewritten = rewrite::rewrite(text, &checked, &self.policy.settings, &self.pod);
        (rewritten.trim().to_owned(), Some(checked))
    }
}

/// The name of a function with what stands before its last dot.
fn called(text: &str, name: Span) -> &str {
    let before = text.get(..name.start).unwrap_or_default();
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.');
    let start = before.trim_end_matches(is_part).len();
    let used = text.get(start..name.end).unwrap_or_default();
    used.split('(').next().unwrap_or_default()
}

/// Makes a name of a text that people read, other than those there are: what is between letters and
/// digits becomes a dash.
fn slug(text: &str, taken: &[String]) -> String {
    let mut name = String::new();
    for letter in text.to_lowercase().chars() {
        match letter {
            'a'..='z' | '0'..='9' => name.push(letter),
            // An apostrophe does not part a word.
            '\'' | '’' => {}
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    name.truncate(MAX_NAME);
    let base = match name.trim_end_matches('-') {
        "" => "condition",
        base => base,
    };
    let mut name = base.to_owned();
    let mut count = 1;
    while taken.contains(&name) {
        count += 1;
        name = format!("{base}-{count}");
    }
    name
}

/// A qualified name has 63 characters at most; some are left for a number.
const MAX_NAME: usize = 58;

fn failure_policy(failure_policy: FailurePolicy) -> &'static str {
    match failure_policy {
        FailurePolicy::Fail => "Fail",
        FailurePolicy::Ignore => "Ignore",
    }
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Unauthorized => "Unauthorized",
        Reason::Forbidden => "Forbidden",
        Reason::Invalid => "Invalid",
        Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
    }
}

fn param_ref(reference: &ParamRef) -> Value {
    let mut fields = Map::new();
    match &reference.select {
        ParamSelect::Name(name) => fields.insert("name".to_owned(), name.as_str().into()),
        ParamSelect::Selector(it) => fields.insert("selector".to_owned(), selector(it)),
    };
    if let Some(namespace) = &reference.namespace {
        fields.insert("namespace".to_owned(), namespace.as_str().into());
    }
    let action = match reference.not_found {
        ParameterNotFoundAction::Allow => "Allow",
        ParameterNotFoundAction::Deny => "Deny",
    };
    fields.insert("parameterNotFoundAction".to_owned(), action.into());
    Value::Object(fields)
}

fn match_resources(resources: &MatchResources) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    for (key, rules) in [
        ("resourceRules", &resources.resource_rules),
        ("excludeResourceRules", &resources.exclude_resource_rules),
    ] {
        if !rules.is_empty() {
            put(key, rules.iter().map(rule).collect());
        }
    }
    for (key, labels) in [
        ("namespaceSelector", &resources.namespace_selector),
        ("objectSelector", &resources.object_selector),
    ] {
        if *labels != LabelSelector::default() {
            put(key, selector(labels));
        }
    }
    if resources.match_policy == MatchPolicy::Exact {
        put("matchPolicy", "Exact".into());
    }
    Value::Object(fields)
}

fn rule(rule: &NamedRule) -> Value {
    let mut fields = Map::new();
    for (key, items) in [
        ("apiGroups", &rule.api_groups),
        ("apiVersions", &rule.api_versions),
        ("operations", &rule.operations),
        ("resources", &rule.resources),
        ("resourceNames", &rule.resource_names),
    ] {
        if !items.is_empty() {
            fields.insert(key.to_owned(), items.clone().into());
        }
    }
    let scope = match rule.scope {
        Scope::All => None,
        Scope::Cluster => Some("Cluster"),
        Scope::Namespaced => Some("Namespaced"),
    };
    fields.extend(scope.map(|scope| ("scope".to_owned(), scope.into())));
    Value::Object(fields)
}

fn selector(selector: &LabelSelector) -> Value {
    let mut fields = Map::new();
    if !selector.match_labels.is_empty() {
        fields.insert("matchLabels".to_owned(), json!(selector.match_labels));
    }
    let requirements = selector.match_expressions.iter().map(|requirement| {
        let operator = match requirement.operator {
            LabelOperator::In => "In",
            LabelOperator::NotIn => "NotIn",
            LabelOperator::Exists => "Exists",
            LabelOperator::DoesNotExist => "DoesNotExist",
        };
        match requirement.values.as_slice() {
            [] => json!({"key": requirement.key, "operator": operator}),
            values => json!({"key": requirement.key, "operator": operator, "values": values}),
        }
    });
    let requirements: Vec<Value> = requirements.collect();
    if !requirements.is_empty() {
        fields.insert("matchExpressions".to_owned(), requirements.into());
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests;
