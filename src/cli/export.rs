//! `portcullis export`: policies as documents for the API server.

use std::path::PathBuf;

use serde_json::Value;

use super::{Exit, OverrideArgs, VersionArgs};
use crate::diagnostics::Diagnostic;
use crate::policy::export;
use crate::policy::model::{Documents, PolicyKind};
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
        super::print(&yaml(&exported)?);
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
        match export::policy(policy, version) {
            Ok(document) => exported.push(document),
            Err(prevented) => {
                problems.extend(prevented);
                continue;
            }
        }
        let bindings = documents.bindings.iter();
        let bound = bindings.filter(|it| it.kind == policy.kind && it.policy_name == policy.name);
        exported.extend(bound.map(|binding| export::binding(binding, version)));
    }
    exported
}

/// Writes documents as YAML; lines stay whole, and texts of several lines stay such.
pub(super) fn yaml(documents: &[Value]) -> anyhow::Result<String> {
    let mut options = serde_saphyr::SerializerOptions::default();
    options.folded_wrap_chars = usize::MAX;
    let mut text = String::new();
    for document in documents {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string_with_options(
            document,
            options.clone(),
        )?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Source;
    use crate::text::yaml::parse_stream;

    /// The API server reads YAML 1.1, where more words than `true` are no texts.
    #[test]
    fn texts_stay_texts() {
        for text in [
            "no",
            "y",
            "on",
            "null",
            "~",
            "012",
            "0o17",
            "0x1f",
            "1_000",
            "1:30",
            "1e3",
            ".inf",
            "1.0",
            "2001-01-01",
            "=",
            "<<",
            "",
            " a ",
            "a: b",
            "a #b",
            "- a",
            "[a]",
            "{a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "a\\b",
            "a\tb",
            "a\n",
            "a\n\nb\n\n",
            "\n a\nb",
            "  a\n b",
            "a\r\nb",
            "a \nb",
            "\u{7f}\u{85}\u{2028}\u{feff}",
            "é𝄞",
        ] {
            let document = serde_json::json!({"a": text, "b": [text]});
            let yaml = yaml(std::slice::from_ref(&document)).unwrap();
            let stream = parse_stream(&Source::new("a.yaml", yaml.clone()));
            let read: Vec<Value> = stream.documents.iter().map(|it| it.to_json()).collect();
            assert_eq!(read, [document], "{text:?} in\n{yaml}");
        }
    }
}
