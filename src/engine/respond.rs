//! From a verdict to the answer that goes to the API server.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::admission::response::{AdmissionResponse, Outcome};
use crate::admission::status::{Status, StatusReason};
use crate::patch::json::Operation;
use crate::policy::model::{Audience, PolicyKind, Reason, ValidationAction};

use super::excused;
use super::mutating::{Mutated, Refusal};
use super::secrecy::Secrecy;
use super::verdict::{Decision, Verdict};

/// Whether denials are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They are; of what is on trial by itself the caller is warned.
    #[default]
    Enforce,
    /// They are, and the caller is told nothing of what is on trial by itself.
    SilentEnforce,
    /// They are only recorded: in audit annotations, and as warnings.
    Audit,
    /// They are only recorded, and the caller is told nothing.
    SilentAudit,
}

impl Mode {
    /// Says whether nothing is rejected or patched.
    pub fn is_audit(self) -> bool {
        matches!(self, Mode::Audit | Mode::SilentAudit)
    }

    /// Says whether callers are warned of what is only recorded.
    pub fn warns(self) -> bool {
        matches!(self, Mode::Enforce | Mode::Audit)
    }
}

/// Most violations listed in one denial; the rest is counted.
const MAX_LISTED: usize = 20;

/// Longest denial; what the API server passes on is bounded by nothing but good manners.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Makes the answer to a request.
pub fn respond<'u>(uid: &'u str, verdict: &Verdict, mode: Mode) -> AdmissionResponse<'u> {
    AdmissionResponse {
        uid,
        outcome: outcome(verdict, mode),
        warnings: limited(warnings(verdict, mode)),
        audit_annotations: audit_annotations(verdict, mode),
    }
}

/// Most of a patch that is shown in a warning, in bytes.
const MAX_SHOWN_PATCH: usize = 200;

/// As much of a patch as an annotation of the API server's own policies may have.
const MAX_RECORDED_PATCH: usize = 10 * 1024;

/// What is recorded in place of why a changed object is refused, which may quote it.
pub const UNQUOTED_REFUSAL: &str = "the changed object cannot be read as one of its kind";

/// Makes the answer to a request whose object was to be changed.
pub fn respond_mutated<'u>(uid: &'u str, mutated: &Mutated, mode: Mode) -> AdmissionResponse<'u> {
    let verdict = &mutated.verdict;
    let mut response = AdmissionResponse {
        uid,
        outcome: mutation_outcome(mutated, mode),
        warnings: warnings(verdict, mode),
        audit_annotations: audit_annotations(verdict, mode),
    };
    let is_patched = !mutated.patch.is_empty() && !mutated.is_denied();
    match mode {
        Mode::Enforce | Mode::SilentEnforce if is_patched => {
            if let Ok(patch) = serde_json::to_vec(&mutated.patch) {
                response.outcome = Outcome::Patched(patch);
            }
        }
        Mode::Enforce | Mode::SilentEnforce => {}
        Mode::Audit | Mode::SilentAudit => {
            if let Some(refusal) = &mutated.refusal {
                let text = refusal.to_string();
                let recorded = recorded_refusal(refusal, verdict.secrecy);
                note(&mut response, mode, "would be refused", text);
                let annotation = ("refusal".to_owned(), recorded);
                response.audit_annotations.push(annotation);
            }
            if is_patched {
                let patch = recorded(&mutated.patch, verdict.secrecy);
                note(&mut response, mode, "would be patched", patch.clone());
                let annotation = ("patch".to_owned(), patch);
                response.audit_annotations.push(annotation);
            }
        }
    }
    record_audited(&mut response, mutated, mode);
    response.warnings = limited(response.warnings);
    response
}

/// Returns why a changed object is refused, as others may be told it.
pub fn recorded_refusal(refusal: &Refusal, secrecy: Secrecy) -> String {
    match secrecy {
        Secrecy::Open => refusal.to_string(),
        Secrecy::Secret => UNQUOTED_REFUSAL.to_owned(),
    }
}

/// Tells the caller what would have happened, unless nobody is to be told.
fn note(response: &mut AdmissionResponse<'_>, mode: Mode, what: &str, detail: String) {
    if mode.warns() {
        let shown = beginning(&detail, MAX_SHOWN_PATCH);
        response.warnings.push(format!("[audit] {what}: {shown}"));
    }
}

/// Records what policies would have changed that only record it.
fn record_audited(response: &mut AdmissionResponse<'_>, mutated: &Mutated, mode: Mode) {
    let mut patches: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for audited in &mutated.audited {
        let policy = audited.policy.policy.name.as_str();
        let is_told = audited.audience == Audience::Callers && mode.warns();
        if is_told || audited.actions.contains(&ValidationAction::Warn) {
            let patch = recorded(&audited.patch, mutated.verdict.secrecy);
            response.warnings.push(format!(
                "[audit] would be patched by policy '{policy}': {}",
                beginning(&patch, MAX_SHOWN_PATCH)
            ));
        }
        let patch = patches.entry(policy).or_default();
        patch.extend(audited.patch.iter().cloned());
    }
    for (policy, patch) in patches {
        let patch = recorded(&patch, mutated.verdict.secrecy);
        let annotation = (format!("{policy}.patch"), patch);
        response.audit_annotations.push(annotation);
    }
}

/// A patch as it is recorded: without the values, if those of Secrets may be among them.
fn recorded(patch: &[Operation], secrecy: Secrecy) -> String {
    let text = match secrecy {
        Secrecy::Open => serde_json::to_string(patch),
        Secrecy::Secret => {
            let without = |operation: &Operation| Operation {
                value: None,
                ..operation.clone()
            };
            serde_json::to_string(&patch.iter().map(without).collect::<Vec<_>>())
        }
    };
    // What was made of JSON can be written as JSON.
    beginning(&text.unwrap_or_default(), MAX_RECORDED_PATCH).to_owned()
}

fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes))
        .unwrap_or_default()
}

fn mutation_outcome(mutated: &Mutated, mode: Mode) -> Outcome {
    if mode.is_audit() {
        return Outcome::Allowed;
    }
    match (&mutated.refusal, denial(&mutated.verdict)) {
        (Some(refusal), _) => {
            let reason = match refusal {
                Refusal::Internal(_) => StatusReason::InternalError,
                Refusal::Unavailable(_) => StatusReason::ServiceUnavailable,
            };
            Outcome::Denied(Status::new(reason, refusal.to_string()))
        }
        // Upstream's code is that of a refusal, its reason that of the first error.
        (None, Some(message)) => {
            let mut denials = mutated.verdict.decisions.iter().filter(|it| it.is_denial());
            let reason = denials
                .next()
                .map_or(Reason::Forbidden, |first| first.reason);
            Outcome::Denied(Status {
                code: StatusReason::Forbidden.code(),
                ..Status::new(status_reason(reason), message)
            })
        }
        (None, None) => Outcome::Allowed,
    }
}

/// Returns the text of a denial as the caller is told it: the first line as the API server words it, then
/// every other one.
pub fn denial(verdict: &Verdict) -> Option<String> {
    listed(verdict, Decision::upstream_message)
}

/// Returns the text of a denial as others may be told it ([`Secrecy::message`]).
pub fn recorded_denial(verdict: &Verdict) -> Option<String> {
    listed(verdict, |decision| {
        decision.upstream_wording(&verdict.secrecy.message(decision))
    })
}

fn listed(verdict: &Verdict, wording: impl Fn(&Decision) -> String) -> Option<String> {
    let mut denials = verdict
        .decisions
        .iter()
        .filter(|decision| decision.is_denial());
    let first = denials.next()?;
    let mut text = wording(first);
    let mut unlisted = 0;
    for (at, decision) in denials.enumerate() {
        let line = format!("\n{}", wording(decision));
        if at + 1 >= MAX_LISTED || text.len() + line.len() > MAX_MESSAGE_BYTES {
            unlisted += 1;
        } else {
            text.push_str(&line);
        }
    }
    if unlisted > 0 {
        text.push_str(&format!("\nand {unlisted} more"));
    }
    Some(text)
}

fn outcome(verdict: &Verdict, mode: Mode) -> Outcome {
    let first = verdict
        .decisions
        .iter()
        .find(|decision| decision.is_denial());
    match (first, denial(verdict)) {
        (Some(first), Some(message)) if !mode.is_audit() => {
            Outcome::Denied(Status::new(status_reason(first.reason), message))
        }
        _ => Outcome::Allowed,
    }
}

fn status_reason(reason: Reason) -> StatusReason {
    match reason {
        Reason::Unauthorized => StatusReason::Unauthorized,
        Reason::Forbidden => StatusReason::Forbidden,
        Reason::Invalid => StatusReason::Invalid,
        Reason::RequestEntityTooLarge => StatusReason::RequestEntityTooLarge,
    }
}

/// Warnings as the API server words them; unless that is switched off also what would have been denied, in
/// audit mode and of policies on trial.
pub fn warnings(verdict: &Verdict, mode: Mode) -> Vec<String> {
    let mut warnings = Vec::new();
    for decision in &verdict.decisions {
        let is_mutating = decision.policy.policy.kind == PolicyKind::Mutating;
        let is_warned = decision.actions.contains(&ValidationAction::Warn);
        if is_warned && !is_mutating {
            warnings.push(warning(decision));
        }
        let is_trial = decision.is_told_as_trial() || (decision.is_denial() && mode.is_audit());
        if (is_trial && mode.warns()) || (is_warned && is_mutating) {
            let told = decision.upstream_wording(&verdict.secrecy.message(decision));
            warnings.push(format!("[audit] would be denied: {told}"));
        }
    }
    warnings
}

/// Most characters that the API server passes on in warnings, and of one if they are more together
/// (apiserver `pkg/endpoints/filters/warning.go`, `AddWarning`).
const MAX_WARNINGS: usize = 4 * 1024;
const MAX_WARNING: usize = 256;

/// Warnings as the API server passes them on, so that no more is sent than arrives: each text once, and
/// where there are too many all of them shortened, and none after the limit is reached.
fn limited(mut warnings: Vec<String>) -> Vec<String> {
    let mut seen = FxHashSet::default();
    warnings.retain(|warning| !warning.is_empty() && seen.insert(warning.clone()));
    let length = |text: &String| text.chars().count();
    if warnings.iter().map(length).sum::<usize>() <= MAX_WARNINGS {
        return warnings;
    }
    let mut written = 0;
    warnings.retain_mut(|warning| {
        if written >= MAX_WARNINGS {
            return false;
        }
        if let Some((end, _)) = warning.char_indices().nth(MAX_WARNING) {
            warning.truncate(end);
        }
        written += length(warning);
        true
    });
    warnings
}

fn warning(decision: &Decision) -> String {
    format!(
        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
        decision.policy.policy.name,
        decision.binding.as_deref().unwrap_or_default(),
        decision.message
    )
}

/// Annotations of the policies, and the violations that are recorded.
///
/// The API server puts the webhook's name and a slash before each key, and a key has room for one
/// slash: the one between policy and key becomes a dot.
pub fn audit_annotations(verdict: &Verdict, mode: Mode) -> Vec<(String, String)> {
    let mut annotations: Vec<(String, String)> = verdict
        .audit_annotations
        .iter()
        .map(|(key, value)| (key.replacen('/', ".", 1), value.clone()))
        .collect();
    let recorded: Vec<&Decision> = verdict
        .decisions
        .iter()
        .filter(|decision| {
            decision.actions.contains(&ValidationAction::Audit)
                || (mode.is_audit() && decision.is_denial())
        })
        .collect();
    if !recorded.is_empty() {
        let failures = failures_as(&recorded, |it| verdict.secrecy.message(it));
        annotations.push(("validation_failure".to_owned(), failures));
    }
    annotations.extend(recommendations(&verdict.decisions));
    annotations.extend(excused::annotation(verdict));
    annotations
}

/// Where the rules that were broken come from, once for each policy that says so.
fn recommendations(decisions: &[Decision]) -> BTreeMap<String, String> {
    let policies = decisions.iter().map(|decision| &decision.policy.policy);
    let said = policies.filter_map(|policy| {
        let source = policy.about.source.clone()?;
        Some((format!("{}.source", policy.name), source))
    });
    said.collect()
}

/// Violations in the form of apiserver's `validation_failure` annotation, all in one list, and in its
/// words. Where they are recorded, [`audit_annotations`] leaves out what may hold values of Secrets.
pub fn failures(decisions: &[&Decision]) -> String {
    failures_as(decisions, |decision| Cow::Borrowed(&decision.message))
}

fn failures_as<'d>(
    decisions: &[&'d Decision],
    message: impl Fn(&'d Decision) -> Cow<'d, str>,
) -> String {
    let failures: Vec<serde_json::Value> = decisions
        .iter()
        .map(|decision| {
            let actions: Vec<&str> = decision
                .actions
                .iter()
                .map(|action| action.as_str())
                .collect();
            serde_json::json!({
                "message": message(decision),
                "policy": decision.policy.policy.name,
                "binding": decision.binding,
                "expressionIndex": decision.validation.unwrap_or_default(),
                "validationActions": actions,
            })
        })
        .collect();
    serde_json::Value::from(failures).to_string()
}

impl ValidationAction {
    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ValidationAction::Deny => "Deny",
            ValidationAction::Warn => "Warn",
            ValidationAction::Audit => "Audit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_warnings_are_sent_as_arrive() {
        let of = |length: usize, at: usize| format!("{at:04}{}", "é".repeat(length - 4));
        let made = |count: usize, length: usize| (0..count).map(|at| of(length, at)).collect();
        // The number of warnings, their length, and what arrives of them.
        let cases = [
            (1, 5000, 1, 256),
            (16, 256, 16, 256),
            (4, 1024, 4, 1024),
            (5, 1024, 5, 256),
            (60, 300, 16, 256),
            (300, 100, 41, 100),
        ];
        for (count, length, arrive, long) in cases {
            let sent = limited(made(count, length));
            let lengths: Vec<usize> = sent.iter().map(|it| it.chars().count()).collect();
            assert_eq!(lengths, vec![long; arrive], "{count} of {length}");
            // They arrive as they are sent: nothing is shortened twice.
            assert_eq!(limited(sent.clone()), sent, "{count} of {length}");
        }
    }

    #[test]
    fn a_warning_is_sent_once() {
        let warnings = ["a", "", "b", "a"].map(str::to_owned).to_vec();
        assert_eq!(limited(warnings), ["a", "b"]);
    }
}
