//! Decisions of the engine as findings about manifests.

use super::Manifest;
use super::point::{self, Reads};
use crate::diagnostics::{Diagnostic, Excuse, Severity};
use crate::engine::respond::Mode;
use crate::engine::verdict::{Decision, Outcome, Verdict};
use crate::policy::exceptions::PolicyException;
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

/// Returns a note for each violation and error that an exception has taken back, and for each mutation that
/// is not made for one; and a warning for each exception that could not be applied.
pub fn excused(
    manifest: &Manifest,
    namespace: &str,
    verdict: &Verdict,
    reads: &Reads<'_>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for excused in &verdict.excused {
        let exception = &excused.exception.exception;
        let excuse = excuse(exception);
        let by = excuse.by();
        // A mutation that is excused is not even tried.
        let not_made = excused.decisions.is_empty().then(|| {
            let policy = &excused.policy.policy;
            Diagnostic::note(&policy.name, "it is not changed")
                .at(&manifest.source, point::title(manifest))
                .at(&policy.origin.source, policy.origin.span)
                .labelled("the policy")
        });
        let violations = excused.decisions.iter();
        let violations = violations.map(|it| finding(manifest, it, Mode::Enforce, reads));
        found.extend(violations.chain(not_made).map(|finding| {
            Diagnostic {
                severity: Severity::Note,
                message: format!("{} ({by})", finding.message),
                help: Some(format!("{} ({})", exception.reason, exception.owner)),
                excuse: Some(Box::new(excuse.clone())),
                ..finding
            }
            .at(&exception.origin.source, exception.origin.span)
            .labelled("the exception")
            .about(manifest.subject(namespace))
        }));
    }
    found.extend(verdict.unapplied.iter().map(|unapplied| {
        let exception = &unapplied.exception.exception;
        let name = exception.full_name();
        let message = format!("the exception `{name}` cannot be applied: {}", unapplied.message);
        Diagnostic::warning("exception/unapplied", message)
            .at(&exception.origin.source, exception.origin.span)
            .help("it excuses nothing here; let the condition ask with `has(…)` for what may be missing")
            .about(manifest.subject(namespace))
    }));
    found
}

/// Returns what an exception says, for a finding that it excuses.
pub fn excuse(exception: &PolicyException) -> Excuse {
    let expires = exception.expires.as_ref();
    Excuse {
        exception: exception.full_name(),
        reason: exception.reason.clone(),
        owner: exception.owner.clone(),
        ticket: exception.ticket.clone(),
        expires: expires.map(|(expires, _)| expires.to_string()),
    }
}

/// What findings about the cluster as a whole are about.
pub const CLUSTER: &str = "the cluster";

/// Returns a finding for each violation and error of the policies about the cluster as a whole, in
/// its order: as [`findings`], but there is no place other than the expression.
pub fn about_cluster(verdict: &Verdict, mode: Mode) -> Vec<Diagnostic> {
    let finding = |decision: &Decision| {
        let diagnostic = Diagnostic {
            severity: severity(decision, mode),
            ..Diagnostic::error(&decision.policy.policy.name, &decision.message)
        };
        explained(ruled(diagnostic, decision), decision).about(CLUSTER)
    };
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
    let label = match decision.validation {
        Some(_) => "the rule",
        None => "the policy",
    };
    explained(ruled(diagnostic, decision).labelled(label), decision)
}

/// Adds the place of the expression that a decision is about, or else of the policy.
fn ruled(diagnostic: Diagnostic, decision: &Decision) -> Diagnostic {
    let policy = &decision.policy.policy;
    let rule = decision
        .validation
        .and_then(|at| policy.validations.get(at));
    match rule {
        Some(rule) => diagnostic.at(&rule.expression.source, rule.expression.span()),
        None => diagnostic.at(&policy.origin.source, policy.origin.span),
    }
}

/// Adds why the policy is there.
fn explained(diagnostic: Diagnostic, decision: &Decision) -> Diagnostic {
    let policy = &decision.policy.policy;
    match policy.about.description.split("\n\n").next().map(str::trim) {
        Some(why) if !why.is_empty() => diagnostic.help(one_line(why)),
        _ => diagnostic,
    }
}

/// The strongest action decides.
fn severity(decision: &Decision, mode: Mode) -> Severity {
    match (decision.is_denial(), mode) {
        (true, Mode::Enforce | Mode::SilentEnforce) => Severity::Error,
        (true, Mode::Audit | Mode::SilentAudit) => Severity::Warning,
        (false, _) if decision.actions.contains(&ValidationAction::Warn) => Severity::Warning,
        (false, _) => Severity::Note,
    }
}

/// Joins the lines of a comment.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
