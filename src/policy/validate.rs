//! Checks policies and bindings as the API server does when they are created.
//!
//! Everything that needs no look into an expression. What no model can hold (unknown words, two
//! things where one must be) was found when it was read. Upstream: kubernetes
//! `pkg/apis/admissionregistration/validation/validation.go`.

pub(crate) mod names;
mod rules;

use std::collections::{HashMap, HashSet};

use crate::diagnostics::Diagnostic;
use crate::policy::model::{
    Binding, Documents, Form, Mutation, Origin, ParamKind, ParamSelect, Policy, PolicyKind,
    PolicyScope, Reading, Validation, ValidationAction,
};
use crate::policy::places::Places;
use crate::text::Span;

/// Kubernetes `validateMatchConditions`.
const MAX_MATCH_CONDITIONS: usize = 64;
/// Kubernetes `maxAuditAnnotations`.
const MAX_AUDIT_ANNOTATIONS: usize = 20;
/// Kubernetes `maxAuditAnnotationValueExpressionLength`.
const MAX_VALUE_EXPRESSION_BYTES: usize = 5 * 1024;

/// Checks every policy and binding, and that no two of a kind have one name.
pub fn documents(documents: &Documents) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    // A file that is two policies says everything twice.
    let mut seen = HashSet::new();
    let found = documents
        .policies
        .iter()
        .flat_map(policy)
        .chain(documents.bindings.iter().flat_map(binding));
    for diagnostic in found {
        let place = diagnostic
            .labels
            .first()
            .map(|label| (label.source.name().to_owned(), label.span));
        if seen.insert((place, diagnostic.code.clone(), diagnostic.message.clone())) {
            diagnostics.push(diagnostic);
        }
    }
    let policies = documents.policies.iter();
    diagnostics.extend(duplicates(
        policies.map(|policy| (policy.kind, policy.name.as_str(), &policy.origin)),
        "policy",
    ));
    // A binding that a file implies has its policy's name and shares its fate.
    let written = documents
        .bindings
        .iter()
        .filter(|binding| binding.origin.form == Form::Kubernetes);
    diagnostics.extend(duplicates(
        written.map(|binding| (binding.kind, binding.name.as_str(), &binding.origin)),
        "binding",
    ));
    diagnostics
}

fn duplicates<'d>(
    items: impl Iterator<Item = (PolicyKind, &'d str, &'d Origin)>,
    what: &str,
) -> Vec<Diagnostic> {
    let mut first: HashMap<(bool, &str), &Origin> = HashMap::new();
    let mut diagnostics = Vec::new();
    for (kind, name, origin) in items.filter(|(_, name, _)| !name.is_empty()) {
        let key = (kind == PolicyKind::Mutating, name);
        let Some(earlier) = first.get(&key) else {
            first.insert(key, origin);
            continue;
        };
        diagnostics.push(
            Diagnostic::error(
                "policy/duplicate-name",
                format!("there is another {what} named `{name}`"),
            )
            .at(&origin.source, origin.span)
            .at(&earlier.source, earlier.span)
            .labelled("the other one")
            .help("give each its own name"),
        );
    }
    diagnostics
}

/// Checks one policy.
pub fn policy(policy: &Policy) -> Vec<Diagnostic> {
    let mut checker = Checker::new(&policy.origin, &policy.places, policy.reading);
    checker.name(&policy.name);
    if let Some(kind) = &policy.param_kind {
        checker.param_kind(kind);
    }
    match_constraints(&mut checker, policy);
    match_conditions(&mut checker, policy);
    variables(&mut checker, policy);
    match policy.kind {
        PolicyKind::Validating => decisions(&mut checker, policy),
        PolicyKind::Mutating => mutations(&mut checker, policy),
    }
    checker.diagnostics
}

fn match_constraints(checker: &mut Checker<'_>, policy: &Policy) {
    let path = "spec.matchConstraints";
    let Some(constraints) = &policy.match_constraints else {
        // What is missing in a `.cel` file was said when it was read.
        if policy.origin.form == Form::Kubernetes && policy.scope == PolicyScope::Request {
            checker.required(path, "say which resources the policy is about");
        }
        return;
    };
    checker.match_resources(path, constraints);
    if constraints.resource_rules.is_empty() && policy.origin.form == Form::Kubernetes {
        let path = format!("{path}.resourceRules");
        checker.required(&path, "say which resources the policy is about");
    }
    if policy.kind == PolicyKind::Mutating {
        checker.mutable_operations(path, constraints);
    }
}

fn match_conditions(checker: &mut Checker<'_>, policy: &Policy) {
    let path = "spec.matchConditions";
    let conditions = &policy.match_conditions;
    if conditions.len() > MAX_MATCH_CONDITIONS {
        let message = format!(
            "{} match conditions; at most {MAX_MATCH_CONDITIONS} are allowed",
            conditions.len()
        );
        checker.add(
            path,
            "policy/too-many",
            message,
            "combine some of them with `&&`",
        );
    }
    let mut names = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = |field: &str| format!("{path}[{index}].{field}");
        checker.expression(&at("expression"), &condition.expression.text);
        let name = condition.name.as_str();
        if name.is_empty() {
            checker.required(&at("name"), "name it after what it selects");
        } else if policy.origin.form == Form::Kubernetes {
            checker.problems(
                &at("name"),
                "policy/invalid-name",
                name,
                names::label_key(name),
            );
        }
        if !name.is_empty() && !names.insert(name) {
            let message = format!("there is another match condition named `{name}`");
            let help = "give each its own name";
            checker.add(&at("name"), "policy/duplicate-name", message, help);
        }
    }
}

fn variables(checker: &mut Checker<'_>, policy: &Policy) {
    let mut names = HashSet::new();
    for (index, variable) in policy.variables.iter().enumerate() {
        let at = |field: &str| format!("spec.variables[{index}].{field}");
        let name = variable.name.as_str();
        if name.trim().is_empty() {
            checker.required(&at("name"), "it is read as `variables.NAME`");
        } else if !names::is_cel_identifier(name) {
            checker.add(
                &at("name"),
                "policy/invalid-name",
                format!("`{name}` cannot be the name of a variable"),
                "use letters, digits and `_`, beginning with no digit, and no reserved word",
            );
        }
        checker.expression(&at("expression"), &variable.expression.text);
        // Upstream lets the later one win; whoever writes a file means neither.
        if policy.origin.form == Form::Cel && !name.is_empty() && !names.insert(name) {
            let message = format!("there is another variable named `{name}`");
            let help = "give each its own name";
            checker.add(&at("name"), "policy/duplicate-name", message, help);
        }
    }
}

fn decisions(checker: &mut Checker<'_>, policy: &Policy) {
    if policy.validations.is_empty() && policy.audit_annotations.is_empty() {
        // What is missing in a `.cel` file was said when it was read.
        if policy.origin.form == Form::Kubernetes {
            let unread = policy.reading == Reading::Faulty
                && ["spec.validations", "spec.auditAnnotations"]
                    .iter()
                    .any(|path| checker.places.value(path).is_some());
            if !unread {
                checker.add(
                    "spec.validations",
                    "policy/required",
                    "`validations` is missing, and so is `auditAnnotations`",
                    "a policy has at least one of either",
                );
            }
        }
        return;
    }
    for (index, validation) in policy.validations.iter().enumerate() {
        check_validation(checker, &format!("spec.validations[{index}]"), validation);
    }
    audit_annotations(checker, policy);
}

fn check_validation(checker: &mut Checker<'_>, path: &str, validation: &Validation) {
    checker.expression(&format!("{path}.expression"), &validation.expression.text);
    if let Some(expression) = &validation.message_expression {
        checker.expression(&format!("{path}.messageExpression"), &expression.text);
    }
    let Some(message) = &validation.message else {
        return;
    };
    let path = format!("{path}.message");
    if message.trim().is_empty() {
        let text = "the message is blank";
        checker.add(
            &path,
            "policy/invalid-message",
            text,
            "write one, or leave it out",
        );
    } else if message.trim().contains(['\n', '\r']) {
        let text = "the message has line breaks";
        checker.add(
            &path,
            "policy/invalid-message",
            text,
            "write it in one line",
        );
    }
}

fn audit_annotations(checker: &mut Checker<'_>, policy: &Policy) {
    let path = "spec.auditAnnotations";
    let annotations = &policy.audit_annotations;
    if annotations.len() > MAX_AUDIT_ANNOTATIONS {
        let message = format!(
            "{} audit annotations; at most {MAX_AUDIT_ANNOTATIONS} are allowed",
            annotations.len()
        );
        checker.add(
            path,
            "policy/too-many",
            message,
            "move some of them to a second policy",
        );
    }
    let mut keys = HashSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let at = |field: &str| format!("{path}[{index}].{field}");
        let key = annotation.key.as_str();
        if key.is_empty() {
            checker.required(&at("key"), "it is recorded as `POLICY/KEY`");
        } else if !policy.name.is_empty() {
            // The key is recorded behind the name of the policy and a slash, which the name is the
            // prefix of; whether it can be one is said of the name.
            let problems = if key.contains('/') {
                vec!["must not contain `/`".to_owned()]
            } else {
                names::label_key(key)
            };
            checker.problems(&at("key"), "policy/invalid-name", key, problems);
        }
        let path = at("valueExpression");
        let expression = annotation.value_expression.text.trim();
        checker.expression(&path, expression);
        if expression.len() > MAX_VALUE_EXPRESSION_BYTES {
            let message = format!(
                "the expression has {} bytes; at most {MAX_VALUE_EXPRESSION_BYTES} are allowed",
                expression.len()
            );
            checker.add(
                &path,
                "policy/too-long",
                message,
                "move parts of it into variables",
            );
        }
        if !keys.insert(key) && !key.is_empty() {
            let message = format!("there is another audit annotation with key `{key}`");
            checker.add(
                &at("key"),
                "policy/duplicate-name",
                message,
                "give each its own key",
            );
        }
    }
}

fn mutations(checker: &mut Checker<'_>, policy: &Policy) {
    if policy.mutations.is_empty() {
        checker.required("spec.mutations", "a mutating policy has at least one");
    }
    for (index, mutation) in policy.mutations.iter().enumerate() {
        let (field, expression) = match mutation {
            Mutation::JsonPatch(expression) => ("jsonPatch", expression),
            Mutation::ApplyConfiguration(expression) => ("applyConfiguration", expression),
        };
        let path = format!("spec.mutations[{index}].{field}.expression");
        checker.expression(&path, &expression.text);
    }
}

/// Checks one binding.
pub fn binding(binding: &Binding) -> Vec<Diagnostic> {
    let mut checker = Checker::new(&binding.origin, &binding.places, binding.reading);
    // The binding of a `.cel` file has the policy's name, which is checked there.
    if binding.origin.form == Form::Kubernetes {
        checker.name(&binding.name);
        let path = "spec.policyName";
        let name = binding.policy_name.as_str();
        if name.is_empty() {
            checker.required(path, "name the policy it puts in force");
        } else {
            checker.problems(
                path,
                "policy/invalid-name",
                name,
                names::dns_subdomain(name),
            );
        }
    }
    if let Some(param_ref) = &binding.param_ref {
        match &param_ref.select {
            ParamSelect::Name(name) => {
                let problems = names::path_segment(name);
                checker.problems("spec.paramRef.name", "policy/invalid-name", name, problems);
            }
            ParamSelect::Selector(selector) => {
                checker.selector("spec.paramRef.selector", selector);
            }
        }
    }
    if let Some(resources) = &binding.match_resources {
        checker.match_resources("spec.matchResources", resources);
        if binding.kind == PolicyKind::Mutating {
            checker.mutable_operations("spec.matchResources", resources);
        }
    }
    if binding.kind == PolicyKind::Validating {
        validation_actions(&mut checker, &binding.validation_actions);
    }
    checker.diagnostics
}

fn validation_actions(checker: &mut Checker<'_>, actions: &[ValidationAction]) {
    let path = "spec.validationActions";
    let mut seen = HashSet::new();
    for (index, action) in actions.iter().enumerate() {
        if !seen.insert(*action) {
            let message = format!("`{action:?}` is written twice");
            let help = "write each action once";
            checker.add(
                &format!("{path}[{index}]"),
                "policy/duplicate-value",
                message,
                help,
            );
        }
    }
    if seen.contains(&ValidationAction::Deny) && seen.contains(&ValidationAction::Warn) {
        checker.add(
            path,
            "policy/exclusive",
            "`Deny` and `Warn` are mutually exclusive",
            "a denial tells the caller everything a warning would; keep one of them",
        );
    }
    if actions.is_empty() {
        checker.required(path, "at least one of `Deny`, `Warn`, `Audit`");
    }
}

/// Collects findings about one policy or binding.
struct Checker<'d> {
    origin: &'d Origin,
    places: &'d Places,
    reading: Reading,
    diagnostics: Vec<Diagnostic>,
}

impl<'d> Checker<'d> {
    fn new(origin: &'d Origin, places: &'d Places, reading: Reading) -> Self {
        Checker {
            origin,
            places,
            reading,
            diagnostics: Vec::new(),
        }
    }

    /// Adds a finding about the field at `path`.
    fn add(&mut self, path: &str, code: &str, message: impl Into<String>, help: impl Into<String>) {
        self.add_at(self.span(path), code, message, help);
    }

    fn add_at(
        &mut self,
        span: Span,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.diagnostics.push(
            Diagnostic::error(code, message)
                .at(&self.origin.source, span)
                .help(help),
        );
    }

    fn span(&self, path: &str) -> Span {
        let found = self.places.find(&self.origin.source, path);
        found.unwrap_or(self.origin.span)
    }

    /// Adds that the field at `path` is missing, unless it is there and could not be read.
    fn required(&mut self, path: &str, help: &str) {
        let written = self.places.value(path).is_some();
        if self.reading == Reading::Faulty && written {
            return;
        }
        let name = path.rsplit('.').next().unwrap_or(path);
        let state = if written { "empty" } else { "missing" };
        self.add(
            path,
            "policy/required",
            format!("`{name}` is {state}"),
            help,
        );
    }

    /// Adds what is wrong with a name.
    fn problems(&mut self, path: &str, code: &str, name: &str, problems: Vec<String>) {
        for problem in problems {
            self.add(
                path,
                code,
                format!("`{name}` {problem}"),
                "choose another name",
            );
        }
    }

    fn name(&mut self, name: &str) {
        let path = "metadata.name";
        if name.is_empty() {
            self.required(path, "every policy and binding has a name");
        } else {
            self.problems(
                path,
                "policy/invalid-name",
                name,
                names::dns_subdomain(name),
            );
        }
    }

    fn expression(&mut self, path: &str, text: &str) {
        if !text.trim().is_empty() {
            return;
        }
        if self.places.value(path).is_none() {
            self.required(path, "write a CEL expression");
            return;
        }
        if self.reading == Reading::Whole || !text.is_empty() {
            let message = "the expression is empty";
            self.add(
                path,
                "policy/empty-expression",
                message,
                "write a CEL expression",
            );
        }
    }

    /// Upstream: `validateParamKind`.
    fn param_kind(&mut self, kind: &ParamKind) {
        let path = "spec.paramKind.apiVersion";
        let api_version = kind.api_version.as_str();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if api_version.is_empty() {
            self.required(path, "write `group/version`, or `v1` for the core group");
        } else if version.contains('/') {
            let message = format!("`{api_version}` is no `group/version`");
            self.add(path, "policy/invalid-name", message, "write one `/`");
        } else {
            if !group.is_empty() {
                self.problems(
                    path,
                    "policy/invalid-name",
                    group,
                    names::dns_subdomain(group),
                );
            }
            if version.is_empty() {
                let message = format!("`{api_version}` has no version");
                self.add(
                    path,
                    "policy/invalid-name",
                    message,
                    "write `group/version`",
                );
            } else {
                let problems = names::dns_label_1035(version);
                self.problems(path, "policy/invalid-name", version, problems);
            }
        }
        let path = "spec.paramKind.kind";
        if kind.kind.is_empty() {
            self.required(path, "name the kind of the parameters");
        } else {
            let problems = names::dns_label_1035(&kind.kind.to_lowercase());
            self.problems(path, "policy/invalid-name", &kind.kind, problems);
        }
    }
}

#[cfg(test)]
mod tests;
