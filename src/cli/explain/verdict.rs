//! What the rules of a policy say of an object, and what every part of every expression gave.

use std::fmt::Write as _;
use std::ptr;

use super::object::{indented, note_unapplied};
use super::policy::required;
use crate::admission::review::AdmissionRequest;
use crate::cel::trace::draw::draw;
use crate::cel::trace::steps::Step;
use crate::engine::observer::{Held, Observer};
use crate::engine::verdict::{Decision, Verdict};
use crate::engine::{Options, validate_observed};
use crate::manifest::finding::excuse;
use crate::policy::compile::{CompiledPolicy, Expression};
use crate::policy::model::{Binding, ValidationAction};
use crate::policy::set::PolicySet;

/// Says what becomes of an object, and whether it would be admitted.
pub(super) fn explain(
    set: &PolicySet,
    subject: &str,
    request: &AdmissionRequest<'_>,
    options: Options<'_>,
) -> (String, bool) {
    let mut bindings = set.validating().iter().map(|it| it.bindings.len());
    let mut parts = Parts {
        names_bindings: bindings.any(|count| count > 1),
        ..Parts::default()
    };
    let verdict = match validate_observed(set, request, options, &mut parts) {
        Ok(verdict) => verdict,
        Err(error) => return (format!("{subject}: {error}\n"), false),
    };
    note_unapplied(subject, &verdict);
    let outcome = outcome(&verdict, parts.applied).join(&format!("\n{subject}: "));
    let mut text = format!("{subject}: {outcome}\n");
    for part in &parts.told {
        // A String cannot fail to be written to.
        let _ = write!(text, "\n{}\n{}", part.title, indented(&part.drawn));
    }
    (text, !verdict.decisions.iter().any(Decision::is_denial))
}

/// Says what becomes of it, a line for each rule that is broken.
fn outcome(verdict: &Verdict, applied: bool) -> Vec<String> {
    let broken = verdict.decisions.iter().map(|decision| {
        let word = match decision.actions.iter().min_by_key(|action| rank(**action)) {
            Some(ValidationAction::Deny) => "denied",
            Some(ValidationAction::Warn) => "admitted with a warning",
            Some(ValidationAction::Audit) | None => "admitted and recorded",
        };
        format!("{word}: {}", decision.message)
    });
    let broken: Vec<String> = broken.collect();
    if !broken.is_empty() {
        return broken;
    }
    vec![match verdict.excused.first() {
        Some(excused) => format!("admitted, {}", excuse(&excused.exception.exception)),
        None if verdict.matched == 0 => "the policy is not about it".to_owned(),
        None if !applied => "admitted, since its conditions do not hold".to_owned(),
        None => "admitted".to_owned(),
    }]
}

fn rank(action: ValidationAction) -> u8 {
    match action {
        ValidationAction::Deny => 0,
        ValidationAction::Warn => 1,
        ValidationAction::Audit => 2,
    }
}

/// Keeps what is evaluated, as it is to be shown.
#[derive(Debug, Default)]
struct Parts {
    told: Vec<Part>,
    /// Where what is told of the binding that began last begins.
    begun: usize,
    /// Whether some conditions held.
    applied: bool,
    names_bindings: bool,
}

#[derive(Debug)]
struct Part {
    title: String,
    drawn: String,
    /// The validation that it is the message of.
    message_of: Option<usize>,
}

impl Observer for Parts {
    fn is_tracing(&self) -> bool {
        true
    }

    fn begins(&mut self, _: &CompiledPolicy, binding: &Binding) {
        if self.names_bindings {
            self.told.push(Part {
                title: format!("binding {}", binding.name),
                drawn: String::new(),
                message_of: None,
            });
        }
        self.begun = self.told.len();
    }

    fn applies(&mut self, _: &CompiledPolicy) {
        self.applied = true;
    }

    fn traced(&mut self, policy: &CompiledPolicy, expression: &Expression, steps: &[Step<'_>]) {
        let (title, message_of) = title(policy, expression);
        self.told.push(Part {
            title,
            drawn: draw(&expression.text, steps),
            message_of,
        });
    }

    fn validated(&mut self, _: &CompiledPolicy, validation: usize, held: Held) {
        // Messages of what holds are evaluated, and nobody reads them.
        if held == Held::Yes {
            let mut at = 0;
            let begun = self.begun;
            self.told.retain(|part| {
                at += 1;
                at <= begun || part.message_of != Some(validation)
            });
        }
    }

    fn failed(&mut self, _: &CompiledPolicy, _: &str) {}
}

/// Says what an expression is for; of a message, of which validation.
fn title(policy: &CompiledPolicy, expression: &Expression) -> (String, Option<usize>) {
    let is_it = |other: &Expression| ptr::eq(other, expression);
    let written = &policy.policy;
    if let Some(condition) = policy
        .match_conditions
        .iter()
        .find(|it| is_it(&it.expression))
    {
        return (format!("when {}", condition.name), None);
    }
    let variables = policy.variables.iter().zip(&written.variables);
    for (variable, named) in variables {
        if is_it(variable) {
            return (format!("variables.{}", named.name), None);
        }
    }
    let validations = policy.validations.iter().zip(&written.validations);
    for (at, (validation, written)) in validations.enumerate() {
        if is_it(&validation.expression) {
            return (format!("requires {}", required(written)), None);
        }
        if validation.message_expression.as_ref().is_some_and(is_it) {
            return (format!("message of {}", required(written)), Some(at));
        }
    }
    let annotations = policy.audit_annotations.iter();
    let annotation = annotations.into_iter().find(|it| is_it(&it.expression));
    let key = annotation.map_or("", |it| it.name.as_str());
    (format!("annotation {key}"), None)
}
