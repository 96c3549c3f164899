//! Watches one review being decided: counts what each policy does, logs decisions, and times spans.
//!
//! The engine has no clock; this is where it is looked at, once for each policy and binding. Nothing is
//! made a text unless a decision is to be logged or the review is traced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checks::{Action, Check, Enforcement, Table, error_type, place};
use super::decisions::DecisionLog;
use super::decisions::record::{self, Record};
use super::traces::Trace;
use crate::admission::review::AdmissionRequest;
use crate::engine::observer::{Done, Held, Observer};
use crate::engine::respond::UNQUOTED_REFUSAL;
use crate::engine::verdict::{Decision, ErrorKind, Excused};
use crate::policy::compile::{CompiledPolicy, Expression};
use crate::policy::model::{Binding, PolicyKind, ValidationAction};

/// Watches one review.
pub struct Recorder<'r> {
    /// Where each binding counts.
    pub table: &'r Table,
    /// Where decisions are logged, if they are.
    pub log: Option<&'r DecisionLog>,
    /// The review's trace, if it is traced.
    pub trace: Option<&'r mut Trace>,
    /// What is decided.
    pub request: &'r AdmissionRequest<'r>,
    /// Whether everything is only recorded.
    pub has_mode_audit: bool,
    /// When the last policy ended, or the first began.
    pub since: Option<Instant>,
    /// What policies have found, until it is known what is excused, and whether anything is answered.
    pub found: Vec<Found<'r>>,
    /// Those that have found nothing, and how long that took.
    pub passed: Vec<(&'r Check, Duration)>,
    /// Mutating policies on trial that were not run.
    pub not_tried: Vec<Arc<CompiledPolicy>>,
}

/// What a policy has found with a binding.
pub struct Found<'r> {
    policy: Arc<CompiledPolicy>,
    check: Option<&'r Check>,
    counts: Vec<(Action, Option<ErrorKind>)>,
    elapsed: Duration,
    records: Vec<Record>,
}

impl Observer for Recorder<'_> {
    fn is_watching(&self) -> bool {
        false
    }

    fn applies(&mut self, _: &CompiledPolicy) {}

    fn validated(&mut self, _: &CompiledPolicy, _: usize, _: Held) {}

    fn failed(&mut self, _: &CompiledPolicy, _: &str) {}

    fn begins(&mut self, policy: &CompiledPolicy, binding: &Binding) {
        self.since.get_or_insert_with(Instant::now);
        if let Some(trace) = &mut self.trace {
            trace.policy_begins(&policy.policy.name, &binding.name);
        }
    }

    fn ended(&mut self, done: Done<'_>) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.since.replace(now).unwrap_or(now));
        let is_silent = done.decisions.is_empty()
            && done.changes.is_empty()
            && done.refusal.is_none()
            && done.ignored.is_none();
        let check = self.table.get(done.policy, done.binding);
        if !is_silent {
            self.found.push(Found {
                policy: Arc::clone(done.policy),
                check,
                counts: counts(&done),
                elapsed,
                records: match self.log {
                    Some(_) => self.records(&done, elapsed),
                    None => Vec::new(),
                },
            });
        } else if let (true, Some(check)) = (done.applied, check) {
            self.passed.push((check, elapsed));
        } else if self.log.is_some()
            && done.policy.policy.kind == PolicyKind::Mutating
            && done.binding.is_some_and(Binding::is_audited)
        {
            self.not_tried.push(Arc::clone(done.policy));
        }
        if let Some(trace) = &mut self.trace {
            let main = main_action(&done);
            trace.policy_ended(main.as_str(), done.cost, done.applied);
        }
    }

    fn evaluates(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.expression_begins();
        }
    }

    fn evaluated(&mut self, expression: &Expression, cost: u64, error: Option<ErrorKind>) {
        if let Some(trace) = &mut self.trace {
            trace.expression_ended(&expression.text, cost, error_type(error));
        }
    }
}

impl Recorder<'_> {
    /// Counts and logs what was found, now that it is known what is excused. Of a review that is not
    /// answered by what was found, nothing is to be told: then it is dropped.
    pub fn finish(self, excused: &[Excused]) {
        for (check, elapsed) in &self.passed {
            check.observe(Action::Allow, None, *elapsed);
        }
        let excuse = |policy: &Arc<CompiledPolicy>| {
            let mut excused = excused.iter();
            let excuse = excused.find(|it| Arc::ptr_eq(&it.policy, policy));
            excuse.map(|it| it.exception.exception.full_name())
        };
        let add = |record| {
            if let Some(log) = self.log {
                log.add(record);
            }
        };
        for found in self.found {
            let excuse = excuse(&found.policy);
            let counts = match &excuse {
                Some(_) => vec![(Action::Allow, None)],
                None => found.counts,
            };
            if let Some(check) = found.check {
                for (action, error) in counts {
                    check.observe(action, error, found.elapsed);
                }
            }
            for record in found.records {
                add(match &excuse {
                    Some(name) => record.excused_by(name),
                    None => record,
                });
            }
        }
        // Mutations that are excused are not even tried.
        for not_run in excused.iter().filter(|it| it.decisions.is_empty()) {
            if self.log.is_some() {
                let record = Record::about(self.request);
                let mut record = record.by(&not_run.policy, None, (0, Duration::ZERO));
                let mut not_tried = self.not_tried.iter();
                let is_on_trial = not_tried.any(|it| Arc::ptr_eq(it, &not_run.policy));
                let enforcement = match self.has_mode_audit || is_on_trial {
                    true => Enforcement::Audit,
                    false => Enforcement::Enforce,
                };
                record.enforcement = enforcement.as_str().into();
                record.message = "the policy does not run".to_owned();
                add(record.excused_by(&not_run.exception.exception.full_name()));
            }
        }
    }

    fn records(&self, done: &Done<'_>, elapsed: Duration) -> Vec<Record> {
        let mut records = Vec::new();
        let is_audited = done.binding.is_some_and(Binding::is_audited);
        let enforcement = match self.has_mode_audit || is_audited {
            true => Enforcement::Audit,
            false => Enforcement::Enforce,
        };
        let record = || {
            let record = Record::about(self.request);
            let mut record = record.by(done.policy, done.binding, (done.cost, elapsed));
            record.enforcement = enforcement.as_str().into();
            record
        };
        for decision in done.decisions {
            let would_be = would_be(decision);
            let mut record = record();
            record.validation = decision.validation;
            record.action = self.taken(decision).as_str().into();
            record.would_be = would_be.as_str().into();
            record.reason = record::reason(decision.reason).into();
            record.error = error_type(decision.error).into();
            record.message = record::message(decision, self.request);
            records.push(record);
        }
        if !done.changes.is_empty() {
            let mut record = record();
            record.would_be = Action::Mutate.as_str().into();
            record.action = match enforcement {
                Enforcement::Enforce => Action::Mutate.as_str().into(),
                Enforcement::Audit => Action::Audit.as_str().into(),
            };
            record.message = record::changes(done.changes);
            records.push(record);
        }
        if done.refusal.is_some() {
            let mut record = record();
            record.would_be = Action::Deny.as_str().into();
            record.action = match self.has_mode_audit {
                true => Action::Audit.as_str().into(),
                false => Action::Deny.as_str().into(),
            };
            record.error = error_type(Some(ErrorKind::Invalid)).into();
            record.message = UNQUOTED_REFUSAL.to_owned();
            records.push(record);
        }
        if let Some(error) = done.ignored {
            let mut record = record();
            record.action = Action::Allow.as_str().into();
            record.would_be = Action::Allow.as_str().into();
            record.error = error_type(Some(error)).into();
            record.message =
                "an error is passed over, as the policy's failurePolicy says".to_owned();
            records.push(record);
        }
        records
    }

    /// What is done about a decision.
    fn taken(&self, decision: &Decision) -> Action {
        let has = |action| decision.actions.contains(&action);
        if has(ValidationAction::Deny) && !self.has_mode_audit {
            return Action::Deny;
        }
        match has(ValidationAction::Warn) {
            true => Action::Warn,
            false => Action::Audit,
        }
    }
}

/// What would be done if the policy were enforced: what is only recorded is on trial for a denial.
fn would_be(decision: &Decision) -> Action {
    let has = |action| decision.actions.contains(&action);
    match has(ValidationAction::Deny) || has(ValidationAction::Audit) {
        true => Action::Deny,
        false => Action::Warn,
    }
}

/// What an evaluation led to, each thing once.
fn counts(done: &Done<'_>) -> Vec<(Action, Option<ErrorKind>)> {
    let mut counts = Vec::new();
    // One bit for each series.
    let mut counted = 0_u32;
    let mut count = |action: Action, error: Option<ErrorKind>| {
        let bit = 1 << place(action, error);
        if counted & bit == 0 {
            counted |= bit;
            counts.push((action, error));
        }
    };
    for decision in done.decisions {
        for action in &decision.actions {
            count(Action::from(*action), decision.error);
        }
    }
    if done.refusal.is_some() {
        count(Action::Deny, Some(ErrorKind::Invalid));
    } else if !done.changes.is_empty() {
        count(Action::Mutate, None);
    } else if done.decisions.is_empty() {
        count(Action::Allow, done.ignored);
    }
    counts
}

/// The gravest thing that an evaluation led to.
fn main_action(done: &Done<'_>) -> Action {
    let actions = || done.decisions.iter().flat_map(|it| &it.actions);
    if done.refusal.is_some() {
        return Action::Deny;
    }
    match actions().min() {
        Some(gravest) => Action::from(*gravest),
        None if !done.changes.is_empty() => Action::Mutate,
        None => Action::Allow,
    }
}

impl From<ValidationAction> for Action {
    fn from(action: ValidationAction) -> Self {
        match action {
            ValidationAction::Deny => Action::Deny,
            ValidationAction::Warn => Action::Warn,
            ValidationAction::Audit => Action::Audit,
        }
    }
}
