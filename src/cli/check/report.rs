//! What a check found, for people and for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostics::junit::{self, TestCase, TestSuite};
use crate::diagnostics::{self, Diagnostic, Format, Severity, Style};
use crate::manifest::{Manifest, finding};
use crate::text::Source;

/// An object, or the cluster as a whole, with what was found about it.
#[derive(Debug)]
pub(super) struct Checked {
    /// Its name for people.
    pub(super) subject: String,
    /// Where it is written; of the cluster as a whole, where the policy is.
    pub(super) source: Arc<Source>,
    /// What is guessed about its kind, which is named with its version.
    pub(super) guess: Option<(Guess, String)>,
    /// Violations, in order of policy; behind them, as notes, those that are excused.
    pub(super) findings: Vec<Diagnostic>,
    /// For each of the latter the full name of its exception.
    pub(super) excused: Vec<String>,
    /// Whether it could not be checked; then that is the only finding.
    pub(super) unusable: bool,
}

/// What is guessed about a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guess {
    /// Its resource and scope: nobody defines it.
    Resource,
    /// That it is served: Kubernetes has it, but not in this version.
    Version,
}

impl Checked {
    /// An object that could not be checked.
    pub(super) fn unusable(manifest: &Manifest, problem: Diagnostic) -> Self {
        Checked {
            subject: manifest.subject(manifest.key().namespace),
            source: Arc::clone(&manifest.source),
            guess: None,
            findings: vec![problem],
            excused: Vec::new(),
            unusable: true,
        }
    }
}

/// Everything that was checked.
#[derive(Debug, Default)]
pub(super) struct AllChecked {
    /// The objects, in order.
    pub(super) objects: Vec<Checked>,
    /// The cluster as a whole, once for each policy about it; `None` if it was not to be looked at.
    pub(super) cluster: Option<Vec<Checked>>,
}

impl AllChecked {
    /// Returns the objects, and the cluster behind them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Checked> {
        self.objects.iter().chain(self.cluster.iter().flatten())
    }
}

/// Prints findings about policies and files, and about objects.
pub(super) fn render(
    findings: &[Diagnostic],
    checked: &AllChecked,
    format: Format,
    style: Style,
) -> String {
    if format == Format::Junit {
        return junit(findings, checked);
    }
    let about_objects = checked.iter().flat_map(|checked| &checked.findings);
    let all: Vec<Diagnostic> = findings.iter().chain(about_objects).cloned().collect();
    diagnostics::render(&all, format, style)
}

/// A suite for each file with a case for each object, so that what is fine is seen, too; and one
/// for findings that are about no object.
fn junit(findings: &[Diagnostic], checked: &AllChecked) -> String {
    let mut suites: Vec<TestSuite> = Vec::new();
    if !findings.is_empty() {
        suites.push(junit::problems(findings));
    }
    for object in checked.iter() {
        let name = object.source.name();
        if suites.last().is_none_or(|suite| suite.name != name) {
            suites.push(TestSuite {
                name: name.to_owned(),
                cases: Vec::new(),
            });
        }
        if let Some(suite) = suites.last_mut() {
            suite.cases.push(case(object));
        }
    }
    junit::render(&suites)
}

fn case(object: &Checked) -> TestCase {
    let (errors, others): (Vec<Diagnostic>, Vec<Diagnostic>) = object
        .findings
        .iter()
        .cloned()
        .partition(Diagnostic::is_error);
    let outcome = match errors.first() {
        None => junit::without_errors(&others),
        Some(first) => {
            let kind = first.code.clone();
            let message = first.message.clone();
            let details = human(&errors);
            match object.unusable {
                true => junit::Outcome::Errored {
                    kind,
                    message,
                    details,
                },
                false => junit::Outcome::Failed {
                    kind,
                    message,
                    details,
                },
            }
        }
    };
    TestCase {
        name: object.subject.clone(),
        classname: object.source.name().to_owned(),
        outcome,
        seconds: None,
        output: (!others.is_empty()).then(|| human(&others)),
    }
}

fn human(findings: &[Diagnostic]) -> String {
    diagnostics::render(findings, Format::Human, Style::Plain)
}

/// Returns a line for each sort of guess, with the kinds it is about.
pub(super) fn guesses(checked: &[Checked]) -> Vec<String> {
    let mut kinds_by_guess: BTreeMap<Guess, BTreeSet<&str>> = BTreeMap::new();
    for (guess, kind) in checked.iter().filter_map(|checked| checked.guess.as_ref()) {
        kinds_by_guess.entry(*guess).or_default().insert(kind);
    }
    let line = |(guess, kinds): (&Guess, &BTreeSet<&str>)| {
        let kinds = kinds.iter().copied().collect::<Vec<_>>().join(", ");
        match guess {
            Guess::Resource => format!(
                "note: the resources of these kinds are guessed (give their definitions with \
                 --crds): {kinds}"
            ),
            Guess::Version => {
                format!("note: Kubernetes does not serve these kinds in this version: {kinds}")
            }
        }
    };
    kinds_by_guess.iter().map(line).collect()
}

/// Returns one line about the run.
pub(super) fn summary(checked: &AllChecked, elapsed: Duration) -> String {
    let of = |severity| {
        let findings = checked
            .iter()
            .filter(|it| !it.unusable)
            .flat_map(|it| &it.findings);
        findings
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let objects = count(checked.objects.len(), "object");
    let mut parts = vec![
        match &checked.cluster {
            Some(policies) if !policies.is_empty() => {
                format!("{objects} and {} checked", finding::CLUSTER)
            }
            _ => format!("{objects} checked"),
        },
        count(of(Severity::Error), "violation"),
    ];
    let excused: usize = checked.iter().map(|it| it.excused.len()).sum();
    let notes = of(Severity::Note).saturating_sub(excused);
    for (found, word) in [(of(Severity::Warning), "warning"), (notes, "note")] {
        if found > 0 {
            parts.push(count(found, word));
        }
    }
    if excused > 0 {
        parts.push(format!("{excused} excused"));
    }
    format!("{} in {:.2} s", parts.join(", "), elapsed.as_secs_f64())
}

fn count(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}
