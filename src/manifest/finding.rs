//! Decisions of the engine as findings about manifests.

use super::Manifest;
use super::point::{self, Reads};
use crate::diagnostics::{Diagnostic, Severity};
use crate::engine::respond::Mode;
use crate::engine::verdict::{Decision, Outcome, Verdict};
use crate::policy::model::ValidationAction;

/// Returns a finding for each violation and error of a verdict, in its order.
///
/// The code is the policy's name; what would reject the request is an error (a warning if `mode`
/// rejects nothing), what warns a warning, and what is only recorded a note. The second place is
/// the expression.
pub fn findings(
    manifest: &Manifest,
    namespace: &str,
    verdict: &Verdict,
    (mode, reads): (Mode, &Reads<'_>),
) -> Vec<Diagnostic> {
    let subject = || manifest.subject(namespace);
    let finding = |decision| finding(manifest, decision, mode, reads).about(subject());
    verdict.decisions.iter().map(finding).collect()
}

fn finding(manifest: &Manifest, decision: &Decision, mode: Mode, reads: &Reads<'_>) -> Diagnostic {
    let policy = &decision.policy.policy;
    let span = match decision.outcome {
        Outcome::Violation => reads.point(
            manifest,
            &policy.name,
            decision.validation,
            &decision.message,
        ),
        Outcome::Error => point::title(manifest),
    };
    let diagnostic = Diagnostic::error(&policy.name, &decision.message);
    let diagnostic = Diagnostic {
        severity: severity(decision, mode),
        ..diagnostic
    }
    .at(&manifest.source, span);
    let rule = decision
        .validation
        .and_then(|at| policy.validations.get(at));
    let diagnostic = match rule {
        Some(rule) => {
            let span = rule.expression.span();
            diagnostic
                .at(&rule.expression.source, span)
                .labelled("the rule")
        }
        None => diagnostic
            .at(&policy.origin.source, policy.origin.span)
            .labelled("the policy"),
    };
    match policy.about.description.split("\n\n").next().map(str::trim) {
        Some(why) if !why.is_empty() => diagnostic.help(one_line(why)),
        _ => diagnostic,
    }
}

/// The strongest action decides.
fn severity(decision: &Decision, mode: Mode) -> Severity {
    match (decision.is_denial(), mode) {
        (true, Mode::Enforce) => Severity::Error,
        (true, Mode::Audit) => Severity::Warning,
        (false, _) if decision.actions.contains(&ValidationAction::Warn) => Severity::Warning,
        (false, _) => Severity::Note,
    }
}

/// Joins the lines of a comment.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
