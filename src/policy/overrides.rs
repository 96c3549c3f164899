//! What the owner of a cluster says of policies that somebody else wrote: a profile for all of them,
//! and for whole packs and single policies their action, their settings, and whether they are in force
//! and may change objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::diagnostics::Diagnostic;
use crate::policy::model::{
    Audience, Documents, Form, Policy, PolicyKind, PolicySeverity, ValidationAction,
};
use crate::policy::packs;
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
    /// For all policies of a folder, by its name.
    pub packs: BTreeMap<String, PolicyOverride>,
    /// For single policies, by name; what is said here comes before what is said of their pack.
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

/// What is said of one policy, or of each of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyOverride {
    /// Whether it is in force at all.
    pub enabled: Option<bool>,
    /// What a violation does, instead of what the policy or a profile says; empty says nothing.
    pub actions: Vec<ValidationAction>,
    /// How strictly it is enforced, instead of what the profile for all says.
    pub profile: Option<Profile>,
    /// Values of some of its settings; of a pack, for each policy that has them.
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
    /// The name of the policy or pack in it.
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
        for (name, said) in &self.packs {
            check_pack(name, said, documents, &mut findings);
        }
        for (name, said) in &self.policies {
            check_policy(name, said, documents, &mut findings);
        }
        let Documents {
            policies, bindings, ..
        } = documents;
        let mut disabled = BTreeSet::new();
        for policy in policies.iter_mut() {
            policy.mutate |= self.mutations == Mutations::All;
            for said in self.said_of(policy).into_iter().rev() {
                said.change(policy);
            }
            if self.first(policy, |said| said.enabled) == Some(false) {
                disabled.insert(policy.name.clone());
            }
        }
        for binding in bindings.iter_mut() {
            let Some(policy) = policies
                .iter()
                .find(|policy| policy.name == binding.policy_name && policy.kind == binding.kind)
            else {
                continue;
            };
            let actions = |said: &PolicyOverride| match said.actions.is_empty() {
                true => None,
                false => Some(said.actions.clone()),
            };
            match self.first(policy, actions) {
                Some(actions) => {
                    binding.validation_actions = actions;
                    // A mutation is carried out or recorded.
                    if binding.kind == PolicyKind::Mutating && !binding.is_audited() {
                        binding.validation_actions.clear();
                    }
                }
                None if policy.origin.form == Form::Cel
                    && binding.kind == PolicyKind::Validating =>
                {
                    let profile = self.first(policy, |said| said.profile);
                    let profile = profile.unwrap_or(self.profile);
                    let written = std::mem::take(&mut binding.validation_actions);
                    binding.validation_actions = profile.actions(&written, policy.about.severity);
                    // What a profile asks less of is not on trial.
                    if binding.validation_actions != written {
                        binding.audience = Audience::Operators;
                    }
                }
                None => {}
            }
        }
        policies.retain(|policy| !disabled.contains(&policy.name));
        bindings.retain(|binding| !disabled.contains(&binding.policy_name));
        findings
    }

    /// Returns what is said of a policy, the nearest first.
    fn said_of(&self, policy: &Policy) -> Vec<&PolicyOverride> {
        let pack = packs::pack_of(policy.origin.source.name());
        let of_pack = pack.and_then(|pack| self.packs.get(pack));
        let own = self.policies.get(&policy.name);
        own.into_iter().chain(of_pack).collect()
    }

    /// Returns the nearest of what is said of a policy.
    fn first<T>(&self, policy: &Policy, look: impl Fn(&PolicyOverride) -> Option<T>) -> Option<T> {
        self.said_of(policy).into_iter().find_map(look)
    }
}

fn report(
    findings: &mut Vec<Diagnostic>,
    said: &PolicyOverride,
    finding: Diagnostic,
    help: String,
) {
    let finding = match &said.place {
        Some(place) => finding.at(&place.source, place.span),
        None => finding,
    };
    findings.push(finding.help(help));
}

/// Says that a policy or pack is none of those that are loaded.
fn not_loaded(name: &str, kind: &str, meant: Option<&str>) -> (Diagnostic, String) {
    let message = format!("`{name}` is none of the {kind} that are loaded");
    let help = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "nothing is changed by it".to_owned(),
    };
    (Diagnostic::warning("policy/not-loaded", message), help)
}

fn check_policy(
    name: &str,
    said: &PolicyOverride,
    documents: &Documents,
    findings: &mut Vec<Diagnostic>,
) {
    let policies = documents.policies.iter();
    let named: Vec<&Policy> = policies.filter(|policy| policy.name == name).collect();
    if named.is_empty() {
        // Not an error: policies may be loaded a few at a time.
        let names = documents.policies.iter().map(|it| it.name.as_str());
        let (finding, help) = not_loaded(name, "policies", nearest(name, names));
        report(findings, said, finding, help);
        return;
    }
    check_settings(&format!("`{name}`"), &named, said, findings);
}

fn check_pack(
    name: &str,
    said: &PolicyOverride,
    documents: &Documents,
    findings: &mut Vec<Diagnostic>,
) {
    let pack = |policy: &Policy| packs::pack_of(policy.origin.source.name()).map(str::to_owned);
    let policies = documents.policies.iter();
    let (inside, outside): (Vec<&Policy>, Vec<&Policy>) =
        policies.partition(|policy| pack(policy).as_deref() == Some(name));
    if !inside.is_empty() {
        return check_settings(&format!("the pack `{name}`"), &inside, said, findings);
    }
    let loaded: BTreeSet<String> = outside.into_iter().filter_map(pack).collect();
    let known: BTreeSet<&str> = packs::names().collect();
    if known.contains(name) {
        let (finding, help) = not_loaded(name, "packs", None);
        report(findings, said, finding, help);
        return;
    }
    let names: BTreeSet<&str> = loaded.iter().map(String::as_str).chain(known).collect();
    let message = format!("there is no pack `{name}`");
    let help = match nearest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let names: Vec<&str> = names.into_iter().collect();
            format!("a pack is a folder of policies: {}", names.join(", "))
        }
    };
    let finding = Diagnostic::error("policy/unknown-pack", message);
    report(findings, said, finding, help);
}

/// Checks settings against those that policies have; `owner` is what they are said of.
fn check_settings(
    owner: &str,
    policies: &[&Policy],
    said: &PolicyOverride,
    findings: &mut Vec<Diagnostic>,
) {
    for (setting, value) in &said.settings {
        let mut defaults = policies.iter().filter_map(|it| it.settings.get(setting));
        if let Some(default) = defaults.clone().find(|it| !is_alike(it, value)) {
            let message = format!(
                "the setting `{setting}` of {owner} must be {}, not `{value}`",
                type_name(default),
            );
            let help = format!("by default it is `{default}`");
            let finding = Diagnostic::error("policy/wrong-setting", message);
            report(findings, said, finding, help);
        } else if defaults.next().is_none() {
            let known = policies.iter().flat_map(|policy| policy.settings.keys());
            let known: BTreeSet<&str> = known.map(String::as_str).collect();
            let message = format!("{owner} has no setting `{setting}`");
            let help = match nearest(setting, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "it has no settings".to_owned(),
                None => {
                    let known: Vec<&str> = known.into_iter().collect();
                    format!("its settings are {}", known.join(", "))
                }
            };
            let finding = Diagnostic::error("policy/unknown-setting", message);
            report(findings, said, finding, help);
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
