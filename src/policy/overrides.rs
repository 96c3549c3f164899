//! What the owner of a cluster says of policies that somebody else wrote: a profile for all of them,
//! and for single ones their action, their settings, and whether they are in force and may change
//! objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::diagnostics::Diagnostic;
use crate::policy::model::{Documents, Form, Policy, PolicyKind, PolicySeverity, ValidationAction};
use crate::text::{Source, Span, nearest};

/// How strictly `.cel` policies are enforced, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Denies only what is of high severity; what would be denied otherwise is warned of, and what
    /// would be warned of is recorded.
    Baseline,
    /// As each policy says.
    #[default]
    Production,
    /// Denies what would be warned of, and warns of what would be recorded.
    Strict,
}

impl Profile {
    /// The words for them.
    pub const NAMES: [(&str, Profile); 3] = [
        ("baseline", Profile::Baseline),
        ("production", Profile::Production),
        ("strict", Profile::Strict),
    ];

    fn action(self, written: ValidationAction, severity: PolicySeverity) -> ValidationAction {
        use ValidationAction::{Audit, Deny, Warn};
        match (self, written) {
            (Profile::Production, written) => written,
            (Profile::Baseline, Deny) if severity >= PolicySeverity::High => Deny,
            (Profile::Baseline, Deny) | (Profile::Strict, Audit) => Warn,
            (Profile::Baseline, Warn | Audit) => Audit,
            (Profile::Strict, Deny | Warn) => Deny,
        }
    }

    fn actions(
        self,
        written: &[ValidationAction],
        severity: PolicySeverity,
    ) -> Vec<ValidationAction> {
        let mut actions: Vec<_> = written
            .iter()
            .map(|action| self.action(*action, severity))
            .collect();
        actions.sort_unstable();
        actions.dedup();
        // As upstream: what is denied is said, and needs no warning.
        if actions.contains(&ValidationAction::Deny) {
            actions.retain(|action| *action != ValidationAction::Warn);
        }
        actions
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, profile)| *profile).ok_or_else(|| {
            let names = Self::NAMES.map(|(name, _)| name);
            match nearest(text, names) {
                Some(meant) => format!("unknown profile `{text}`; did you mean `{meant}`?"),
                None => format!("unknown profile `{text}`: one of {}", names.join(", ")),
            }
        })
    }
}

/// What is said of policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// For all `.cel` policies that nothing else is said of.
    pub profile: Profile,
    /// For single policies, by name.
    pub policies: BTreeMap<String, PolicyOverride>,
    /// Which mutations are switched on, of those of which nothing else is said.
    pub mutations: Mutations,
}

/// Which mutations are switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mutations {
    /// Those whose policies say so.
    #[default]
    AsWritten,
    /// All.
    All,
}

/// What is said of one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyOverride {
    /// Whether it is in force at all.
    pub enabled: Option<bool>,
    /// What a violation does, instead of what the policy or the profile says; empty says nothing.
    pub actions: Vec<ValidationAction>,
    /// Values of some of its settings.
    pub settings: Map<String, Value>,
    /// Whether its mutation is switched on.
    pub mutate: Option<bool>,
    /// Where this is said.
    pub place: Option<Place>,
}

/// A place in a configuration.
#[derive(Debug, Clone)]
pub struct Place {
    /// The text.
    pub source: Arc<Source>,
    /// The name of the policy in it.
    pub span: Span,
}

// Configurations that say the same are the same, wherever they say it.
impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl Overrides {
    /// Applies what is said to what was read; a finding for each name and setting that does not exist.
    pub fn apply(&self, documents: &mut Documents) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        for (name, said) in &self.policies {
            self.check(name, said, documents, &mut findings);
        }
        let Documents {
            policies, bindings, ..
        } = documents;
        for policy in policies.iter_mut() {
            policy.mutate |= self.mutations == Mutations::All;
            if let Some(said) = self.policies.get(&policy.name) {
                said.change(policy);
            }
        }
        for binding in bindings.iter_mut() {
            let Some(policy) = policies.iter().find(|policy| {
                policy.name == binding.policy_name && policy.kind == PolicyKind::Validating
            }) else {
                continue;
            };
            if binding.kind != PolicyKind::Validating {
                continue;
            }
            match self.policies.get(&policy.name) {
                Some(said) if !said.actions.is_empty() => {
                    binding.validation_actions.clone_from(&said.actions);
                }
                _ if policy.origin.form == Form::Cel => {
                    let written = &binding.validation_actions;
                    binding.validation_actions =
                        self.profile.actions(written, policy.about.severity);
                }
                _ => {}
            }
        }
        let is_enabled = |name: &str| {
            let said = self.policies.get(name);
            said.and_then(|said| said.enabled).unwrap_or(true)
        };
        policies.retain(|policy| is_enabled(&policy.name));
        bindings.retain(|binding| is_enabled(&binding.policy_name));
        findings
    }

    fn check(
        &self,
        name: &str,
        said: &PolicyOverride,
        documents: &Documents,
        findings: &mut Vec<Diagnostic>,
    ) {
        let mut report = |finding: Diagnostic, help: String| {
            let finding = match &said.place {
                Some(place) => finding.at(&place.source, place.span),
                None => finding,
            };
            findings.push(finding.help(help));
        };
        let named: Vec<&Policy> = documents
            .policies
            .iter()
            .filter(|policy| policy.name == name)
            .collect();
        if named.is_empty() {
            // Not an error: policies may be loaded a few at a time.
            let message = format!("`{name}` is none of the policies that are loaded");
            let names = documents.policies.iter().map(|it| it.name.as_str());
            let help = match nearest(name, names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "nothing is changed by it".to_owned(),
            };
            report(Diagnostic::warning("policy/not-loaded", message), help);
            return;
        }
        for (setting, value) in &said.settings {
            let known = named.iter().find_map(|policy| policy.settings.get(setting));
            match known {
                Some(default) if is_alike(default, value) => {}
                Some(default) => {
                    let message = format!(
                        "the setting `{setting}` of `{name}` must be {}, not `{value}`",
                        type_name(default),
                    );
                    let help = format!("by default it is `{default}`");
                    report(Diagnostic::error("policy/wrong-setting", message), help);
                }
                None => {
                    let known = named.iter().flat_map(|policy| policy.settings.keys());
                    let known: Vec<&str> = known.map(String::as_str).collect();
                    let message = format!("`{name}` has no setting `{setting}`");
                    let help = match nearest(setting, known.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None if known.is_empty() => "it has no settings".to_owned(),
                        None => format!("its settings are {}", known.join(", ")),
                    };
                    report(Diagnostic::error("policy/unknown-setting", message), help);
                }
            }
        }
    }
}

impl PolicyOverride {
    fn change(&self, policy: &mut Policy) {
        for (setting, value) in &self.settings {
            if let Some(default) = policy.settings.get_mut(setting)
                && is_alike(default, value)
            {
                *default = as_type_of(default, value);
            }
        }
        if policy.kind == PolicyKind::Mutating
            && let Some(mutate) = self.mutate
        {
            policy.mutate = mutate;
        }
    }
}

/// Says whether a value can stand in for a default: expressions are checked with its type.
fn is_alike(default: &Value, value: &Value) -> bool {
    match (default, value) {
        (Value::Array(defaults), Value::Array(values)) => match defaults.first() {
            Some(first) => values.iter().all(|value| is_alike(first, value)),
            None => true,
        },
        (Value::Number(default), Value::Number(value)) => default.is_f64() || !value.is_f64(),
        _ => type_name(default) == type_name(value),
    }
}

/// An integer in the place of a double is one.
fn as_type_of(default: &Value, value: &Value) -> Value {
    match (default, value) {
        (Value::Array(defaults), Value::Array(values)) => {
            let item = |value: &Value| match defaults.first() {
                Some(first) => as_type_of(first, value),
                None => value.clone(),
            };
            Value::Array(values.iter().map(item).collect())
        }
        (Value::Number(default), Value::Number(number)) if default.is_f64() => {
            number.as_f64().map_or_else(|| value.clone(), Value::from)
        }
        _ => value.clone(),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests;
