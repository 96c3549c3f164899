//! `portcullis explain`: what a function does, and what a code of a finding means.

mod codes;
mod functions;
mod macros;
#[cfg(test)]
mod tests;

use super::{Exit, note};
use crate::cel::version::KubernetesVersion;

/// Explain a function of the expression language, or the code of a finding
///
/// Exits with 2 if there is no such function or code.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
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
}

/// What is explained.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// The code of a finding, as it stands in brackets: `policy/unknown-key`
    #[arg(value_name = "CODE")]
    code: Option<String>,

    /// A function or macro: its signatures, cost, first version of Kubernetes, and examples
    #[arg(long, value_name = "NAME")]
    function: Option<String>,

    /// List all functions and macros
    #[arg(long)]
    functions: bool,
}

/// Prints the explanation.
pub fn run(args: &Args) -> Exit {
    let explanation = match (&args.subject.code, &args.subject.function) {
        (Some(code), _) => codes::explain(code),
        (None, Some(name)) => functions::explain(name, args.kubernetes_version),
        (None, None) => Ok(functions::list()),
    };
    match explanation {
        Ok(text) => {
            super::print(&text);
            Exit::Clean
        }
        Err(unknown) => {
            note(&format!("error: {}", unknown.message));
            note(&format!("help: {}", unknown.help));
            Exit::Unusable
        }
    }
}

/// Why there is no explanation.
#[derive(Debug, PartialEq, Eq)]
struct Unknown {
    message: String,
    help: String,
}
