//! `portcullis export`: policies as documents for the API server.

use std::path::PathBuf;

use serde_json::Value;

use super::{Exit, OverrideArgs, VersionArgs};
use crate::diagnostics::Diagnostic;
use crate::policy::export;
use crate::policy::model::{Binding, Documents, Policy, PolicyKind};
use crate::policy::set::PolicySet;
use crate::sources;

/// Print policies as ValidatingAdmissionPolicies and MutatingAdmissionPolicies with their bindings
///
/// What is printed means to the API server what the policy means here. A policy that uses what
/// Kubernetes does not have is named with the place, and left out; then the exit code is 2.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis export my/replicas.cel | kubectl apply -f -
  portcullis export --kubernetes-version 1.31 policies/ > policies.yaml")]
pub struct Args {
    /// Policies: files, folders, or `-`; by default the built-in ones
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    overrides: OverrideArgs,

    #[command(flatten)]
    version: VersionArgs,
}

/// Prints the documents.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let version = args.version.kubernetes_version;
    let (overrides, mut problems) = args.overrides.read()?;
    let texts = sources::texts(&args.paths);
    let (mut documents, findings) = sources::documents(&texts.sources);
    problems.extend(texts.problems);
    problems.extend(findings);
    problems.extend(sources::no_policy(&args.paths, &documents, &problems));
    problems.extend(overrides.apply(&mut documents));
    let checked = documents.clone();
    let built = PolicySet::build(checked, version, &PolicySet::default(), |_| false);
    problems.extend(built.diagnostics);
    let is_usable = !problems.iter().any(Diagnostic::is_error);
    let mut exported = Vec::new();
    if is_usable {
        exported = export_all(&documents, args, &mut problems);
    }
    super::show(&problems);
    if !exported.is_empty() {
        super::print(&sources::write::yaml(&exported)?);
    }
    Ok(match problems.iter().any(Diagnostic::is_error) {
        true => Exit::Unusable,
        false => Exit::Clean,
    })
}

/// Each policy with its bindings; mutations that are switched off stay out.
fn export_all(documents: &Documents, args: &Args, problems: &mut Vec<Diagnostic>) -> Vec<Value> {
    let version = args.version.kubernetes_version;
    let mut exported = Vec::new();
    for policy in &documents.policies {
        if policy.kind == PolicyKind::Mutating && !policy.mutate {
            let message = format!("the mutation of `{}` is switched off", policy.name);
            let diagnostic = Diagnostic::note("export/mutation-off", message);
            let help = "`mutate: true` in the front matter or the overrides of a configuration switches it on";
            problems.push(
                diagnostic
                    .at(&policy.origin.source, policy.origin.span)
                    .help(help),
            );
            continue;
        }
        let bindings = documents.bindings.iter();
        let bound = bindings.filter(|it| it.kind == policy.kind && it.policy_name == policy.name);
        let bound: Vec<&Binding> = bound.collect();
        if let Some(problem) = trial(policy, &bound) {
            problems.push(problem);
            continue;
        }
        match export::policy(policy, version) {
            Ok(document) => exported.push(document),
            Err(prevented) => {
                problems.extend(prevented);
                continue;
            }
        }
        let bound = bound.into_iter();
        exported.extend(bound.map(|binding| export::binding(binding, version)));
    }
    problems.extend(documents.exceptions.iter().map(|exception| {
        let message = format!("the exception `{}` is not exported", exception.full_name());
        Diagnostic::warning("export/exception", message)
            .at(&exception.origin.source, exception.origin.span)
            .help("Kubernetes' own policies have none: what it excuses would be rejected")
    }));
    exported
}

/// Says that a mutation is on trial. A MutatingAdmissionPolicyBinding has no `validationActions`
/// (kubernetes `pkg/apis/admissionregistration/types.go`): whatever is bound is carried out.
fn trial(policy: &Policy, bound: &[&Binding]) -> Option<Diagnostic> {
    let is_on_trial = policy.kind == PolicyKind::Mutating && bound.iter().any(|it| it.is_audited());
    is_on_trial.then(|| {
        let message = format!(
            "the mutation of `{}` is on trial, and Kubernetes has no trial of mutations: its binding would \
             carry it out",
            policy.name
        );
        Diagnostic::error("export/trial", message)
            .at(&policy.origin.source, policy.origin.span)
            .help("export it without `action: audit`, or leave it to Portcullis")
    })
}
