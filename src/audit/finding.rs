//! What a scan finds, and how much of it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::diagnostics::{Diagnostic, Severity};
use crate::engine::verdict::{self, Decision, Outcome, Verdict};
use crate::manifest::finding::excuse;
use crate::policy::compile::CompiledPolicy;
use crate::policy::exceptions::CompiledException;
use crate::policy::model::ValidationAction;

/// What is kept of a message.
pub(super) const MOST_OF_A_MESSAGE: usize = 1024;

/// Something that a policy says of an object, or of the cluster as a whole.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The policy.
    pub policy: Arc<CompiledPolicy>,
    /// The position of the validation, from 0; `None` if it is not about one.
    pub rule: Option<usize>,
    /// How bad it is.
    pub result: Result,
    /// One line for people.
    pub message: Box<str>,
    /// The object; `None` for the cluster as a whole.
    pub object: Option<Object>,
}

/// A finding that an exception excuses.
#[derive(Debug, Clone)]
pub struct Excused {
    /// What is found all the same.
    pub finding: Finding,
    /// The exception.
    pub exception: Arc<CompiledException>,
}

/// How bad a finding is, in the words of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Result {
    /// It would be rejected.
    Fail,
    /// The policy could not be evaluated, and it would be rejected.
    Error,
    /// It would be admitted with a warning, recorded, or changed.
    Warn,
}

impl Result {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Result::Fail => "fail",
            Result::Error => "error",
            Result::Warn => "warn",
        }
    }
}

/// An object that something is found about.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its kind.
    pub kind: Arc<KindName>,
    /// Its namespace; empty if it is in none.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
}

/// A kind in a version.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindName {
    /// `group/version`, or `version` for the core group.
    pub api_version: String,
    /// The kind.
    pub kind: String,
}

impl Object {
    /// Returns the name for people, as other commands write it.
    pub fn subject(&self) -> String {
        let kind = &self.kind.kind;
        match &*self.namespace {
            "" => format!("{kind} {}", self.name),
            namespace => format!("{kind} {namespace}/{}", self.name),
        }
    }
}

/// How often a policy found something in a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What would be rejected.
    pub fail: u64,
    /// What could not be evaluated.
    pub error: u64,
    /// What would be warned about, recorded or changed.
    pub warn: u64,
    /// What exceptions excuse, which is none of the others.
    pub excused: u64,
}

impl Counts {
    fn add(&mut self, result: Result) {
        match result {
            Result::Fail => self.fail += 1,
            Result::Error => self.error += 1,
            Result::Warn => self.warn += 1,
        }
    }

    /// Adds others.
    pub fn include(&mut self, other: Counts) {
        self.fail += other.fail;
        self.error += other.error;
        self.warn += other.warn;
        self.excused += other.excused;
    }

    /// Returns how many there are that nothing excuses.
    pub fn all(self) -> u64 {
        self.fail + self.error + self.warn
    }
}

/// How many findings are kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one namespace.
    pub of_namespace: usize,
    /// Of all.
    pub of_all: usize,
}

impl Default for Limits {
    /// A finding takes about 300 bytes: some 30 MB. What a namespace has more than these is in no report
    /// that anybody reads.
    fn default() -> Self {
        Limits {
            of_namespace: 20_000,
            of_all: 100_000,
        }
    }
}

/// What is excused is kept up to this part of the limits.
const EXCUSED: usize = 4;

/// What was found in one namespace, or about what is in none.
#[derive(Debug, Default)]
pub struct InNamespace {
    /// The findings that are kept.
    pub kept: Vec<Finding>,
    /// How many more there are, by policy.
    pub omitted: BTreeMap<String, u64>,
    /// All of them, by policy.
    pub counts: BTreeMap<String, Counts>,
    /// What exceptions excuse, and is not among them.
    pub excused: Vec<Excused>,
    /// How much more is excused.
    pub excused_omitted: u64,
}

/// What was found; never more than its limits.
#[derive(Debug, Default)]
pub struct Findings {
    limits: Limits,
    kept: usize,
    excused: usize,
    by_namespace: BTreeMap<Box<str>, InNamespace>,
}

impl Findings {
    /// Keeps so many.
    pub fn new(limits: Limits) -> Self {
        Findings {
            limits,
            ..Findings::default()
        }
    }

    /// Adds a finding, or counts it.
    pub fn add(&mut self, finding: Finding) {
        let namespace = finding.object.as_ref().map_or("", |it| &it.namespace);
        if !self.by_namespace.contains_key(namespace) {
            self.by_namespace
                .insert(namespace.into(), InNamespace::default());
        }
        let Some(place) = self.by_namespace.get_mut(namespace) else {
            return;
        };
        counts_of(place, &finding).add(finding.result);
        let Limits {
            of_namespace,
            of_all,
        } = self.limits;
        if place.kept.len() < of_namespace && self.kept < of_all {
            place.kept.push(finding);
            self.kept += 1;
        } else {
            omit(place, finding);
        }
    }

    /// Adds what is excused, or counts it: a share of what is kept of the others, and never in their place.
    pub fn excuse(&mut self, excused: Excused) {
        let object = excused.finding.object.as_ref();
        let namespace = object.map_or("", |it| &it.namespace);
        let place = self.by_namespace.entry(namespace.into()).or_default();
        counts_of(place, &excused.finding).excused += 1;
        self.keep_excused(excused);
    }

    /// Keeps what is excused, which was counted, if there is room.
    fn keep_excused(&mut self, excused: Excused) {
        let object = excused.finding.object.as_ref();
        let namespace = object.map_or("", |it| &it.namespace);
        let Some(place) = self.by_namespace.get_mut(namespace) else {
            return;
        };
        let Limits {
            of_namespace,
            of_all,
        } = self.limits;
        let is_room =
            place.excused.len() < of_namespace / EXCUSED && self.excused < of_all / EXCUSED;
        match is_room {
            true => {
                place.excused.push(excused);
                self.excused += 1;
            }
            false => place.excused_omitted += 1,
        }
    }

    /// Adds all of these.
    pub fn include(&mut self, others: Findings) {
        for (namespace, found) in others.by_namespace {
            let place = self.by_namespace.entry(namespace.clone()).or_default();
            place.excused_omitted += found.excused_omitted;
            for (policy, counts) in found.counts {
                place.counts.entry(policy).or_default().include(counts);
            }
            for (policy, count) in found.omitted {
                *place.omitted.entry(policy).or_default() += count;
            }
            for finding in found.kept {
                if place.kept.len() < self.limits.of_namespace && self.kept < self.limits.of_all {
                    place.kept.push(finding);
                    self.kept += 1;
                } else {
                    omit(place, finding);
                }
            }
            let excused = found.excused.into_iter();
            excused.for_each(|it| self.keep_excused(it));
        }
    }

    /// Puts what is kept in an order that depends on nothing else.
    pub fn sort(&mut self) {
        for place in self.by_namespace.values_mut() {
            place.kept.sort_by(|a, b| order(a).cmp(&order(b)));
            let excused = &mut place.excused;
            excused.sort_by(|a, b| order(&a.finding).cmp(&order(&b.finding)));
        }
    }

    /// Returns what was found by namespace; empty for what is in none.
    pub fn by_namespace(&self) -> &BTreeMap<Box<str>, InNamespace> {
        &self.by_namespace
    }

    /// Returns the findings that are kept.
    pub fn kept(&self) -> impl Iterator<Item = &Finding> {
        self.by_namespace.values().flat_map(|it| &it.kept)
    }

    /// Returns what is excused and kept.
    pub fn excused(&self) -> impl Iterator<Item = &Excused> {
        self.by_namespace.values().flat_map(|it| &it.excused)
    }

    /// Counts those that are not.
    pub fn omitted(&self) -> u64 {
        let omitted = self.by_namespace.values().flat_map(|it| &it.omitted);
        omitted.map(|(_, count)| count).sum()
    }

    /// Counts what is excused and not kept.
    pub fn excused_omitted(&self) -> u64 {
        let places = self.by_namespace.values();
        places.map(|it| it.excused_omitted).sum()
    }

    /// Counts all, by policy.
    pub fn by_policy(&self) -> BTreeMap<&str, Counts> {
        let mut all: BTreeMap<&str, Counts> = BTreeMap::new();
        for place in self.by_namespace.values() {
            for (policy, counts) in &place.counts {
                all.entry(policy).or_default().include(*counts);
            }
        }
        all
    }

    /// Counts all.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for counts in self.by_policy().into_values() {
            all.include(counts);
        }
        all
    }
}

fn counts_of<'p>(place: &'p mut InNamespace, finding: &Finding) -> &'p mut Counts {
    let name = finding.policy.policy.name.clone();
    place.counts.entry(name).or_default()
}

fn omit(place: &mut InNamespace, finding: Finding) {
    let policy = &finding.policy.policy.name;
    match place.omitted.get_mut(policy) {
        Some(count) => *count += 1,
        None => drop(place.omitted.insert(policy.clone(), 1)),
    }
}

type Order<'f> = (
    Option<(&'f KindName, &'f str)>,
    &'f str,
    Option<usize>,
    &'f str,
);

fn order(finding: &Finding) -> Order<'_> {
    let object = finding.object.as_ref();
    let object = object.map(|it| (&*it.kind, &*it.name));
    (
        object,
        &finding.policy.policy.name,
        finding.rule,
        &finding.message,
    )
}

/// Returns what a verdict says of an object, or of the cluster: once each, whatever the bindings.
pub fn of_verdict(verdict: &Verdict, plan: &Plan, object: Option<&Object>) -> Vec<Finding> {
    of_decisions(&verdict.decisions, verdict, (plan, object))
}

/// Returns what exceptions have taken back of a verdict.
pub fn excused(verdict: &Verdict, plan: &Plan, object: Option<&Object>) -> Vec<Excused> {
    let of = |excused: &verdict::Excused| {
        let exception = Arc::clone(&excused.exception);
        let found = of_decisions(&excused.decisions, verdict, (plan, object)).into_iter();
        found.map(move |finding| Excused {
            finding,
            exception: Arc::clone(&exception),
        })
    };
    verdict.excused.iter().flat_map(of).collect()
}

/// Returns what some decisions of a verdict say.
fn of_decisions(
    decisions: &[Decision],
    verdict: &Verdict,
    (plan, object): (&Plan, Option<&Object>),
) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for decision in decisions {
        if !plan.counts(&decision.policy, decision.validation) {
            continue;
        }
        let finding = Finding {
            policy: Arc::clone(&decision.policy),
            rule: decision.validation,
            result: result(decision),
            message: clipped(&verdict.secrecy.message(decision), MOST_OF_A_MESSAGE).into(),
            object: object.cloned(),
        };
        let is_same = |it: &&mut Finding| {
            Arc::ptr_eq(&it.policy, &finding.policy)
                && it.rule == finding.rule
                && it.message == finding.message
        };
        match found.iter_mut().find(is_same) {
            Some(known) => known.result = known.result.min(finding.result),
            None => found.push(finding),
        }
    }
    found
}

fn result(decision: &Decision) -> Result {
    let denies = decision.actions.contains(&ValidationAction::Deny);
    match (decision.outcome, denies) {
        (_, false) => Result::Warn,
        (Outcome::Error, true) => Result::Error,
        (Outcome::Violation, true) => Result::Fail,
    }
}

/// Returns so many bytes of a text at most, on one line.
pub(super) fn clipped(text: &str, most: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.len() <= most {
        return one_line;
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !one_line.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", one_line.get(..end).unwrap_or_default())
}

/// What findings about the cluster as a whole are about.
pub const CLUSTER: &str = "the cluster";

impl Finding {
    /// Returns the name of what it is about.
    pub fn subject(&self) -> String {
        match &self.object {
            Some(object) => object.subject(),
            None => CLUSTER.to_owned(),
        }
    }

    /// Returns it as other commands' findings are shown, with the place of the rule.
    pub fn to_diagnostic(&self) -> Diagnostic {
        let policy = &self.policy.policy;
        let diagnostic = match self.result {
            Result::Fail | Result::Error => Diagnostic::error(&policy.name, &*self.message),
            Result::Warn => Diagnostic::warning(&policy.name, &*self.message),
        };
        let rule = self.rule.and_then(|at| policy.validations.get(at));
        let diagnostic = match rule {
            Some(rule) => diagnostic.at(&rule.expression.source, rule.expression.span()),
            None => diagnostic.at(&policy.origin.source, policy.origin.span),
        };
        let why = policy.about.description.split("\n\n").next();
        let why = why.unwrap_or_default();
        let diagnostic = match why.trim().is_empty() {
            true => diagnostic,
            false => diagnostic.help(clipped(why, MOST_OF_A_MESSAGE)),
        };
        diagnostic.about(self.subject())
    }
}

impl Excused {
    /// Returns the finding's message with what excuses it.
    pub fn message(&self) -> String {
        let by = excuse(&self.exception.exception).by();
        format!("{} ({by})", self.finding.message)
    }

    /// Returns it as other commands' findings are shown: a note, with the exception and its place.
    pub fn to_diagnostic(&self) -> Diagnostic {
        let exception = &self.exception.exception;
        Diagnostic {
            severity: Severity::Note,
            message: self.message(),
            help: Some(format!("{} ({})", exception.reason, exception.owner)),
            excuse: Some(Box::new(excuse(exception))),
            ..self.finding.to_diagnostic()
        }
        .at(&exception.origin.source, exception.origin.span)
        .labelled("the exception")
    }
}
