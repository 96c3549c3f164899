//! What is wrong with policies that can be enforced all the same.
//!
//! Flow: [`lint`] makes a [`subject::Subject`] of each policy (its expressions parsed, the kinds it
//! is about, its bindings) and lets every rule of [`RULES`] look at it. A rule is one file of
//! `rules`, with its documentation, which `portcullis explain CODE` shows. What the API server would
//! refuse is found when policies are read and compiled, and is no rule here.
//!
//! A rule says something only where it is certain: whoever gets a finding that is none looks at no
//! other.

mod logic;
mod path;
mod presence;
mod rules;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod typing;

use std::collections::HashSet;
use std::sync::Arc;

use crate::admission::resources::Resources;
use crate::cel::version::KubernetesVersion;
use crate::diagnostics::{Diagnostic, Severity};
use crate::policy::set::PolicySet;
use crate::schema::Schemas;
use crate::text::Span;
use subject::Subject;

/// Something that policies should not do.
#[derive(Debug)]
pub struct Rule {
    /// The code of its findings.
    pub code: &'static str,
    /// How much a finding matters at most.
    pub severity: Severity,
    /// What is found, in a sentence.
    pub what: &'static str,
    /// What comes of it.
    pub why: &'static str,
    /// How to mend it.
    pub fix: &'static str,
    /// What is found, and how it is written well.
    pub example: &'static str,
    check: fn(&Subject<'_>, &Linter<'_>) -> Vec<Diagnostic>,
}

/// Every rule, in alphabetical order of the codes.
pub static RULES: [&Rule; 14] = [
    &rules::constant::RULE,
    &rules::lock_out::RULE,
    &rules::missing_has::RULE,
    &rules::never_matches::RULE,
    &rules::null_namespace::RULE,
    &rules::null_object::RULE,
    &rules::optional_variable::RULE,
    &rules::quantity_as_text::RULE,
    &rules::scale::RULE,
    &rules::self_rejected::RULE,
    &rules::types::RULE,
    &rules::unbound::RULE,
    &rules::unknown_setting::RULE,
    &rules::unused_variable::RULE,
];

/// What is known besides the policies.
#[derive(Debug, Clone)]
pub struct World {
    /// What kinds look like.
    pub schemas: Arc<Schemas>,
    /// Which resources there are.
    pub resources: Resources,
    /// The version of Kubernetes that policies are written for.
    pub version: KubernetesVersion,
}

/// A run over a set of policies.
#[derive(Debug)]
pub struct Linter<'l> {
    /// What is known besides the policies.
    pub world: &'l World,
    /// All policies.
    pub subjects: Vec<Subject<'l>>,
}

impl Rule {
    /// Returns the rule with a code.
    pub fn named(code: &str) -> Option<&'static Rule> {
        RULES.into_iter().find(|rule| rule.code == code)
    }

    /// Makes a finding of this rule.
    fn finding(&self, message: impl Into<String>) -> Diagnostic {
        match self.severity {
            Severity::Note => Diagnostic::note(self.code, message),
            Severity::Warning => Diagnostic::warning(self.code, message),
            Severity::Error => Diagnostic::error(self.code, message),
        }
    }
}

/// Looks at every policy of a set.
pub fn lint(set: &PolicySet, world: &World) -> Vec<Diagnostic> {
    stacker::grow(STACK_BYTES, || lint_all(set, world))
}

/// Stack for following variables ([`path::MAX_HOPS`]) of expressions as deep as they may be; of it
/// only what is used is ever touched.
const STACK_BYTES: usize = 64 << 20;

fn lint_all(set: &PolicySet, world: &World) -> Vec<Diagnostic> {
    let subjects = set
        .policies()
        .iter()
        .map(|policy| Subject::new(&policy.policy, set, world))
        .collect();
    let linter = Linter { world, subjects };
    let mut seen = HashSet::new();
    let mut findings: Vec<Diagnostic> = Vec::new();
    for subject in &linter.subjects {
        for rule in RULES {
            let found = (rule.check)(subject, &linter);
            // A `.cel` file that is two policies says everything twice.
            findings.extend(found.into_iter().filter(|it| seen.insert(identity(it))));
        }
    }
    findings.extend(rules::unbound::without_policy(set));
    findings
}

/// What makes two findings the same one.
fn identity(finding: &Diagnostic) -> (String, String, Option<(String, Span)>) {
    let label = finding.labels.first();
    let place = label.map(|label| (label.source.name().to_owned(), label.span));
    (finding.code.clone(), finding.message.clone(), place)
}
