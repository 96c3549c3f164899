//! What a policy is about: why it is there, where the rule comes from, what it looks at and requires,
//! and what its settings are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Args, Unknown, codes};
use crate::cli::{Exit, print, show};
use crate::diagnostics::Diagnostic;
use crate::policy::exceptions::PolicyException;
use crate::policy::model::{
    Binding, Documents, FailurePolicy, LabelOperator, LabelSelector, NamedRule, PodMatching,
    Policy, PolicyKind, PolicyScope, Reading, Validation, ValidationAction,
};
use crate::policy::overrides::Overrides;
use crate::sources;
use crate::text::nearest;

/// Prints what the policies are about that a name or a file names; or what a code means.
pub(super) fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let is_file = Path::new(name).is_file();
    // With a slash it is the code of a finding, or a file that is not there.
    let is_code = name.contains('/') || name.starts_with('[');
    if !is_file && is_code {
        return Ok(match codes::explain(name) {
            Ok(text) => {
                print(&text);
                Exit::Clean
            }
            Err(unknown) => super::refuse(&unknown),
        });
    }
    let (overrides, mut findings) = args.overrides.read()?;
    let file = [PathBuf::from(name)];
    let texts = sources::texts(match is_file {
        true => &file,
        false => &args.policies.paths,
    });
    findings.extend(texts.problems);
    let (mut written, problems) = sources::documents(&texts.sources);
    findings.extend(problems);
    findings.extend(args.exceptions.excusing().read_into(&mut written));
    let mut configured = written.clone();
    findings.extend(configure(overrides, &mut configured));
    show(&findings);
    let mut names: Vec<&str> = written.policies.iter().map(|it| it.name.as_str()).collect();
    names.dedup();
    let is_asked = |it: &&str| is_file || *it == name;
    let asked: Vec<&str> = names.iter().copied().filter(is_asked).collect();
    if asked.is_empty() {
        return Ok(super::refuse(&unknown(name, &names)));
    }
    let texts = asked.into_iter().filter_map(|name| {
        let named = Named::find(name, &written, &configured)?;
        Some(named.text())
    });
    print(&texts.collect::<Vec<_>>().join("\n"));
    Ok(match findings.iter().any(Diagnostic::is_error) {
        true => Exit::Unusable,
        false => Exit::Clean,
    })
}

/// Says who is excused until when, and why.
fn excuse(exception: &PolicyException) -> String {
    let name = exception.full_name();
    let PolicyException { reason, owner, .. } = exception;
    match &exception.expires {
        Some((expires, _)) if exception.reading == Reading::Whole => {
            format!("`{name}` until {expires}: {reason} ({owner})")
        }
        _ => format!("`{name}`, which is faulty and excuses nothing"),
    }
}

/// Applies what a configuration says, and keeps what it switches off. That it speaks of policies which
/// are not read here is not wrong.
fn configure(mut overrides: Overrides, documents: &mut Documents) -> Vec<Diagnostic> {
    let said = overrides.policies.values_mut();
    for said in said.chain(overrides.packs.values_mut()) {
        said.enabled = None;
    }
    let mut findings = overrides.apply(documents);
    findings.retain(Diagnostic::is_error);
    findings
}

fn unknown(name: &str, policies: &[&str]) -> Unknown {
    let known = policies.iter().copied();
    let known = known.chain(codes::all().map(|(code, _)| code));
    Unknown {
        message: format!("there is no policy `{name}`"),
        help: match nearest(name, known) {
            Some(known) => format!("did you mean `{known}`?"),
            None => {
                "name a policy, as its findings do, its file, or the code of a finding with its \
                     `/`; `--policies` says where policies are"
                    .to_owned()
            }
        },
    }
}

/// The policies of one name, as written and as configured.
struct Named<'d> {
    /// The one that decides, or else the one that changes objects.
    written: &'d Policy,
    configured: &'d Policy,
    /// The one that changes objects.
    mutating: Option<&'d Policy>,
    bindings: Vec<(&'d Binding, &'d Binding)>,
    exceptions: Vec<&'d PolicyException>,
}

impl<'d> Named<'d> {
    fn find(name: &str, written: &'d Documents, configured: &'d Documents) -> Option<Self> {
        let pairs = written.policies.iter().zip(&configured.policies);
        let named: Vec<_> = pairs.filter(|(it, _)| it.name == name).collect();
        let of = |kind| named.iter().copied().find(|(it, _)| it.kind == kind);
        let mutating = of(PolicyKind::Mutating);
        let (policy, changed) = of(PolicyKind::Validating).or(mutating)?;
        let bindings = written.bindings.iter().zip(&configured.bindings);
        Some(Named {
            written: policy,
            configured: changed,
            mutating: mutating.map(|(_, configured)| configured),
            bindings: bindings
                .filter(|(it, _)| it.policy_name == name && it.kind == policy.kind)
                .collect(),
            exceptions: configured
                .exceptions
                .iter()
                .filter(|it| it.names_policy(name))
                .collect(),
        })
    }

    fn text(&self) -> String {
        let policy = self.configured;
        let mut text = format!("{}\n", policy.name);
        let description = policy.about.description.trim();
        if !description.is_empty() {
            text.push('\n');
            text.extend(
                description
                    .lines()
                    .map(|line| format!("  {line}\n").replace("  \n", "\n")),
            );
        }
        text.push('\n');
        let about = &policy.about;
        let mut field = |name: &str, lines: Vec<String>| {
            for (at, line) in lines.iter().enumerate() {
                let name = if at == 0 { name } else { "" };
                // A String cannot fail to be written to.
                let _ = writeln!(text, "  {name:<10}{line}");
            }
        };
        field("source", about.source.iter().cloned().collect());
        field("severity", vec![about.severity.as_str().to_owned()]);
        field("category", about.category.iter().cloned().collect());
        field("about", subjects(policy));
        let conditions = policy.match_conditions.iter();
        field("when", conditions.map(|it| it.name.clone()).collect());
        field(
            "requires",
            policy.validations.iter().map(required).collect(),
        );
        field("changes", self.changes());
        field("action", self.actions());
        let on_error = match (policy.scope, policy.failure_policy) {
            (PolicyScope::Cluster, _) => None,
            (_, FailurePolicy::Fail) => Some("rejects (failurePolicy: Fail)"),
            (_, FailurePolicy::Ignore) => Some("admits (failurePolicy: Ignore)"),
        };
        field(
            "on error",
            on_error.into_iter().map(str::to_owned).collect(),
        );
        let params = policy.param_kind.iter();
        field(
            "params",
            params
                .map(|it| format!("{}/{}", it.api_version, it.kind))
                .collect(),
        );
        let reads = policy.reads.iter();
        field(
            "reads",
            reads
                .map(|it| format!("{}/{}", it.api_version, it.kind))
                .collect(),
        );
        field("settings", self.settings());
        let exceptions = self.exceptions.iter();
        field("excuses", exceptions.map(|it| excuse(it)).collect());
        field("file", vec![policy.origin.source.name().to_owned()]);
        text
    }

    fn changes(&self) -> Vec<String> {
        let state = match self.mutating {
            Some(policy) if policy.mutate => "objects",
            Some(_) => "objects, once its mutation is switched on with `mutate: true`",
            None => return Vec::new(),
        };
        vec![state.to_owned()]
    }

    /// What a violation does, for each way in which the policy is bound.
    fn actions(&self) -> Vec<String> {
        if self.written.kind == PolicyKind::Mutating {
            return Vec::new();
        }
        if self.bindings.is_empty() {
            return vec!["none: no binding puts it in force".to_owned()];
        }
        let of = |(written, configured): &(&Binding, &Binding)| {
            let (was, is) = (actions(written), actions(configured));
            match was == is {
                true => is,
                false => format!("{is} (as written: {was})"),
            }
        };
        let mut lines: Vec<String> = self.bindings.iter().map(of).collect();
        lines.dedup();
        lines
    }

    fn settings(&self) -> Vec<String> {
        let settings = self.configured.settings.iter();
        let line = |(name, value): (&String, &serde_json::Value)| {
            let default = self.written.settings.get(name);
            match default.filter(|default| *default != value) {
                Some(default) => format!("{name}: {value} (by default {default})"),
                None => format!("{name}: {value}"),
            }
        };
        settings.map(line).collect()
    }
}

fn actions(binding: &Binding) -> String {
    let word = |action: &ValidationAction| match action {
        ValidationAction::Deny => "deny",
        ValidationAction::Warn => "warn",
        ValidationAction::Audit => "audit",
    };
    let words: Vec<&str> = binding.validation_actions.iter().map(word).collect();
    words.join(", ")
}

/// What a validation says that it wants, in one line.
pub(super) fn required(validation: &Validation) -> String {
    let text = match &validation.message {
        Some(message) => message.as_str(),
        None => &validation.expression.text,
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the policy looks at.
fn subjects(policy: &Policy) -> Vec<String> {
    if policy.scope == PolicyScope::Cluster {
        return vec!["the whole cluster, once per audit".to_owned()];
    }
    let Some(constraints) = &policy.match_constraints else {
        return vec!["nothing: it has no matchConstraints".to_owned()];
    };
    let mut lines = Vec::new();
    if policy.pods == PodMatching::PodTemplates {
        lines.push("pods, as they are or in the templates of workloads".to_owned());
    }
    lines.extend(resources("", &constraints.resource_rules));
    lines.extend(resources("not ", &constraints.exclude_resource_rules));
    lines.extend(selector("namespaces", &constraints.namespace_selector));
    lines.extend(selector("objects", &constraints.object_selector));
    lines
}

/// The resources of rules, those of the same operations in one line.
fn resources(before: &str, rules: &[NamedRule]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for rule in rules {
        let mut operations = rule.operations.join(", ");
        if !rule.resource_names.is_empty() {
            let _ = write!(operations, "; named {}", rule.resource_names.join(", "));
        }
        let mut names = Vec::new();
        for group in &rule.api_groups {
            for version in &rule.api_versions {
                let prefix = match group.as_str() {
                    "" => version.clone(),
                    group => format!("{group}/{version}"),
                };
                names.extend(rule.resources.iter().map(|it| format!("{prefix}/{it}")));
            }
        }
        match lines.iter_mut().find(|(it, _)| *it == operations) {
            Some((_, line)) => line.extend(names),
            None => lines.push((operations, names)),
        }
    }
    let line = |(operations, mut names): (String, Vec<String>)| {
        names.dedup();
        format!("{before}{} ({operations})", names.join(", "))
    };
    lines.into_iter().map(line).collect()
}

fn selector(what: &str, selector: &LabelSelector) -> Option<String> {
    let labels = selector.match_labels.iter();
    let mut parts: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    for it in &selector.match_expressions {
        let values = it.values.join(", ");
        parts.push(match it.operator {
            LabelOperator::In => format!("{} in ({values})", it.key),
            LabelOperator::NotIn => format!("{} not in ({values})", it.key),
            LabelOperator::Exists => it.key.clone(),
            LabelOperator::DoesNotExist => format!("!{}", it.key),
        });
    }
    (!parts.is_empty()).then(|| format!("only {what} with {}", parts.join(" and ")))
}
