//! Types that do not fit the schema of a kind the policy is about.

use std::collections::BTreeMap;

use crate::cel::ast::{Expr, Literal, NodeId, operator};
use crate::cel::check::{self, Types};
use crate::cel::issue::Issue;
use crate::cel::types::Inferred;
use crate::diagnostics::{Diagnostic, Severity};
use crate::lint::logic::{Known, Logic};
use crate::lint::path::{At, Scope};
use crate::lint::presence::dead;
use crate::lint::subject::{Expression, Role, Subject};
use crate::lint::typing::{Answers, Typed};
use crate::lint::{Linter, Rule, typing};
use crate::policy::model::{Form, PolicyKind};
use crate::schema::View;
use crate::text::Span;

pub(in crate::lint) const RULE: Rule = Rule {
    code: "lint/type",
    severity: Severity::Warning,
    what: "An expression does not fit the schema of a kind that the policy is about.",
    why: "The field does not exist, or has another type. What reads it fails for every object of that \
          kind, and the policy's failurePolicy decides. Kubernetes reports the same in the policy's \
          status.typeChecking, where nobody looks. It is a note where Kubernetes reports it and \
          nothing is wrong: quantities have no type in its schemas, and a part that is only \
          reached for another kind is checked all the same.",
    fix: "Correct the field's name, or compare with a value of its type. Where a policy is about \
          several kinds, ask for `object.kind` before reading what only one of them has. Kinds of \
          your own are known by --crds.",
    example: "object.spec.replcas >= 3      # undefined field `replcas`\n\
              object.spec.replicas >= 3     # what was meant",
    check,
};

/// What is found at one place: the issue, and the kinds it is found for.
struct Found {
    issue: Issue,
    kinds: Vec<String>,
    severity: Severity,
}

fn check(subject: &Subject<'_>, linter: &Linter<'_>) -> Vec<Diagnostic> {
    let mut found: BTreeMap<(Role, Span), Found> = BTreeMap::new();
    let typed = subject.typed(linter.world);
    let answers = typing::answers(subject, typed);
    for (typed, answers) in typed.iter().zip(answers) {
        for (expression, issue, severity) in issues(subject, linter, typed, answers) {
            let key = (expression.role, issue.span);
            let at_place = found.entry(key).or_insert_with(|| Found {
                issue: issue.clone(),
                kinds: Vec::new(),
                severity,
            });
            // Of several kinds those count for which it is the worst.
            if severity > at_place.severity {
                *at_place = Found {
                    issue,
                    kinds: Vec::new(),
                    severity,
                };
            }
            if severity == at_place.severity {
                at_place.kinds.push(typed.matched.kind.to_string());
            }
        }
    }
    let mut findings = Vec::new();
    let mut notes: BTreeMap<Role, usize> = BTreeMap::new();
    for ((role, _), _) in found.iter().filter(|(_, it)| it.severity == Severity::Note) {
        *notes.entry(*role).or_default() += 1;
    }
    for ((role, span), found) in &found {
        let Some(expression) = subject.expression(*role) else {
            continue;
        };
        if found.severity == Severity::Warning {
            findings.push(finding(expression, *span, found));
        } else if let Some(count) = notes.remove(role) {
            findings.push(note(expression, *span, found, count));
        }
    }
    findings
}

/// What does not fit in the expressions of a policy, for objects of one kind.
fn issues<'s>(
    subject: &'s Subject<'_>,
    linter: &Linter<'_>,
    typed: &Typed,
    answers: Answers,
) -> Vec<(&'s Expression<'s>, Issue, Severity)> {
    let mut found = Vec::new();
    let kind = &typed.matched.kind;
    let environment = || typing::environment(subject, linter.world, kind, View::Kubernetes);
    let upstream = is_kubernetes(subject).then(environment).flatten();
    let known = Known::by_kind(subject, &typed.matched);
    let logic = Logic::new(subject, known).with_answers(answers.clone());
    for (expression, types) in subject.expressions.iter().zip(&typed.types) {
        let reported = match &upstream {
            Some(env) if is_reported(subject, expression) => {
                check::types(&expression.ast, env).issues
            }
            _ => Vec::new(),
        };
        if types.issues.is_empty() && reported.is_empty() {
            continue;
        }
        let dead = dead::unreachable(subject, &logic, At::root(expression), &Scope::default());
        let is_real = |issue: &Issue| {
            !dead.iter().any(|it| contains(*it, issue.span))
                && !is_question(expression, issue, &answers)
                && !is_harmless(expression, types, issue)
        };
        let real: Vec<Issue> = types
            .issues
            .iter()
            .filter(|it| is_real(it))
            .cloned()
            .collect();
        let notes = reported
            .into_iter()
            .filter(|issue| !real.iter().any(|it| it.span == issue.span));
        found.extend(notes.map(|issue| (expression, issue, Severity::Note)));
        found.extend(
            real.iter()
                .map(|issue| (expression, issue.clone(), Severity::Warning)),
        );
    }
    found
}

/// Says whether an issue is about asking for what only another kind has.
fn is_question(expression: &Expression<'_>, issue: &Issue, answers: &Answers) -> bool {
    let from = (expression.role, NodeId(0));
    let to = (expression.role, NodeId(u32::MAX));
    answers.range(from..=to).any(|((_, id), _)| {
        matches!(
            expression.ast.expr(*id),
            Expr::Has(select) | Expr::OptSelect(select) if select.field_span == issue.span
        )
    })
}

/// Says whether an expression that does not fit is evaluated all the same: values of different
/// types may be the results of `?:` and `orValue`, and anything may be compared with null.
fn is_harmless(expression: &Expression<'_>, types: &Types, issue: &Issue) -> bool {
    let ast = &expression.ast;
    let is_null = |id: &NodeId| matches!(ast.expr(*id), Expr::Literal(Literal::Null));
    ast.nodes().iter().any(|node| {
        let Expr::Call(call) = &node.expr else {
            return false;
        };
        match call.function.as_str() {
            operator::CONDITIONAL => node.span == issue.span,
            operator::EQUALS | operator::NOT_EQUALS => {
                node.span == issue.span && call.arguments.iter().any(is_null)
            }
            "or" | "orValue" => {
                let target = call.target.map(|target| types.of(target));
                call.function_span == issue.span && matches!(target, Some(Inferred::Optional(_)))
            }
            _ => false,
        }
    })
}

/// Says whether Kubernetes reports such an issue, wrong or not.
fn is_reported(subject: &Subject<'_>, expression: &Expression<'_>) -> bool {
    let is_checked = matches!(expression.role, Role::Validation(_) | Role::Message(_));
    is_checked && is_kubernetes(subject)
}

/// Says whether Kubernetes' type checker looks at a policy.
fn is_kubernetes(subject: &Subject<'_>) -> bool {
    subject.policy.kind == PolicyKind::Validating && subject.policy.origin.form == Form::Kubernetes
}

fn contains(outer: Span, inner: Span) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn finding(expression: &Expression<'_>, span: Span, found: &Found) -> Diagnostic {
    let message = format!("{}, for {}", found.issue.message, found.kinds.join(", "));
    let finding = expression.place(RULE.finding(message), span);
    match &found.issue.help {
        Some(help) => finding.help(help),
        None => finding,
    }
}

/// One note for all that Kubernetes says of an expression without reason.
fn note(expression: &Expression<'_>, span: Span, found: &Found, count: usize) -> Diagnostic {
    let others = match count {
        1 => String::new(),
        2 => "; it warns of another place, too".to_owned(),
        _ => format!("; it warns of {} other places, too", count - 1),
    };
    let message = format!(
        "Kubernetes' type checker warns of this and nothing is wrong: {}, for {}{others}",
        found.issue.message,
        found.kinds.join(", ")
    );
    let note = expression.place(Diagnostic::note(RULE.code, message), span);
    note.help("its warnings stand in the policy's status.typeChecking; `dyn(…)` silences them")
}
