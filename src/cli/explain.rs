//! `portcullis explain`: what a function does, what a code of a finding means, what a policy is about,
//! and what it says of objects and makes of them.

mod codes;
mod functions;
mod macros;
mod mutation;
mod object;
mod policy;
#[cfg(test)]
mod tests;
mod verdict;

use std::path::PathBuf;

use super::{ExceptionArgs, Exit, OverrideArgs, PolicyArgs, note};
use crate::cel::version::KubernetesVersion;
use crate::sources::files;

/// Explain a policy, its verdict about an object, the code of a finding, or a function of the expression
/// language
///
/// Exits with 1 if an object would be denied, and with 2 if there is no such function, code or policy.
#[derive(Debug, clap::Args)]
#[command(mut_arg("exceptions", |it| it.conflicts_with_all(["function", "functions"])))]
#[command(after_help = "\
Examples:
  portcullis explain meshery-replicas
  portcullis explain policies/replicas.cel --config portcullis.yaml
  portcullis explain meshery-replicas --object deployment.yaml
  portcullis explain policy/unknown-key
  portcullis explain --function split
  portcullis explain --function semver --kubernetes-version 1.32
  portcullis explain --functions")]
pub struct Args {
    #[command(flatten)]
    subject: Subject,

    /// Say of each form whether this version of Kubernetes has it: 1.30 to 1.36
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["code", "functions"])]
    kubernetes_version: Option<KubernetesVersion>,

    /// Show what POLICY says of the objects in a file, folder or `-`, with what every part of each of its
    /// expressions gives, and what its mutation makes of them; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["function", "functions"])]
    object: Vec<PathBuf>,

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    exceptions: ExceptionArgs,

    #[command(flatten)]
    overrides: OverrideArgs,
}

/// What is explained.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// A policy, by its name or its file, or the code of a finding, as it stands in brackets:
    /// `policy/unknown-key`
    #[arg(value_name = "POLICY|CODE")]
    code: Option<String>,

    /// A function or macro: its signatures, cost, first version of Kubernetes, and examples
    #[arg(long, value_name = "NAME")]
    function: Option<String>,

    /// List all functions and macros
    #[arg(long)]
    functions: bool,
}

/// Prints the explanation.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let paths = [&args.object, &args.policies.paths, &args.exceptions.paths];
    let is_stdin = |path: &&PathBuf| path.as_os_str() == files::STDIN;
    anyhow::ensure!(
        paths.into_iter().flatten().filter(is_stdin).count() <= 1,
        "standard input can be read only once, and `-` is given more than once"
    );
    let explanation = match (&args.subject.code, &args.subject.function) {
        (Some(name), _) if !args.object.is_empty() => return object::run(name, args),
        (Some(name), _) => return policy::run(name, args),
        (None, Some(name)) => functions::explain(name, args.kubernetes_version),
        (None, None) => Ok(functions::list()),
    };
    Ok(match explanation {
        Ok(text) => {
            super::print(&text);
            Exit::Clean
        }
        Err(unknown) => refuse(&unknown),
    })
}

fn refuse(unknown: &Unknown) -> Exit {
    note(&format!("error: {}", unknown.message));
    note(&format!("help: {}", unknown.help));
    Exit::Unusable
}

/// Why there is no explanation.
#[derive(Debug, PartialEq, Eq)]
struct Unknown {
    message: String,
    help: String,
}
