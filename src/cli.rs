//! The command line: one file for each command, each with its `Args` and its `run`.
//!
//! Results go to standard output, everything else to standard error. Exit codes are those of
//! [`Exit`].

pub mod audit;
pub mod certs;
pub mod check;
pub mod eval;
pub mod explain;
pub mod export;
pub mod lint;
pub mod manifests;
pub mod new;
pub mod serve;
pub mod test;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand, ValueEnum};

use crate::cel::value::Timestamp;
use crate::cel::version::KubernetesVersion;
use crate::cluster::connect::with_causes;
use crate::cluster::exceptions;
use crate::diagnostics::{Diagnostic, Format, Style, render};
use crate::policy::exceptions::review::{Calendar, NOTICE_DAYS};
use crate::policy::overrides::{Overrides, Profile};
use crate::serve::config;
use crate::sources::{Excusing, files};
use crate::text::Source;

/// How a command ended, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to report: 0.
    Clean = 0,
    /// Violations were found, or tests failed: 1.
    Found = 1,
    /// The arguments, a policy or another input cannot be used: 2, as clap exits.
    Unusable = 2,
    /// The cluster or another service failed, or this one could not run: 3.
    Service = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// CEL policies that decide what a Kubernetes cluster admits.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "\
Exit codes: 0 nothing to report; 1 violations or failed tests; 2 unusable arguments, policies or \
input; 3 a service failed.

Every command explains itself, with examples: portcullis COMMAND --help")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Args>),
    Check(check::Args),
    Test(test::Args),
    Audit(audit::Args),
    Eval(eval::Args),
    Lint(lint::Args),
    Explain(explain::Args),
    Export(export::Args),
    Manifests(manifests::Args),
    Certs(certs::Args),
    New(new::Args),
}

/// Runs the command that the arguments of the process name.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => Ok(test::run(&args)),
        Command::Audit(args) => audit::run(&args),
        Command::Eval(args) => Ok(eval::run(&args)),
        Command::Lint(args) => Ok(lint::run(&args)),
        Command::Explain(args) => explain::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Manifests(args) => manifests::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::New(args) => new::run(&args),
    };
    match outcome {
        // Whoever reads half of the results must not take them for all.
        Ok(_) if IS_CUT_SHORT.load(Ordering::Relaxed) => Exit::Service.into(),
        Ok(exit) => exit.into(),
        Err(problem) => {
            note(&format!("error: {}", with_causes(problem.as_ref())));
            Exit::Unusable.into()
        }
    }
}

/// Which policies to use.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PolicyArgs {
    /// Policies to use instead of the built-in ones: a file, a folder, or `-`; may be repeated
    #[arg(long = "policies", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// What is excused from the policies.
#[derive(Debug, Clone, clap::Args)]
pub struct ExceptionArgs {
    /// PolicyExceptions besides those that lie with the policies: a file or a folder; may be repeated
    #[arg(id = "exceptions", long = "exceptions", value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// The namespace whose PolicyExceptions reach all others, as for `serve`; those of any other namespace
    /// excuse its own objects alone
    #[arg(long, value_name = "NAMESPACE", value_parser = config::namespace)]
    pub policy_namespace: Option<String>,

    /// Warn of exceptions that end within so many days
    #[arg(long, value_name = "DAYS", default_value_t = NOTICE_DAYS)]
    pub expires_within: u32,

    /// Apply exceptions as if it were then, such as 2026-12-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub now: Option<Timestamp>,
}

impl ExceptionArgs {
    /// Returns where exceptions are, and how far they reach.
    fn excusing(&self) -> Excusing<'_> {
        Excusing {
            paths: &self.paths,
            of_cluster: &[],
            policy_namespace: self.policy_namespace.as_deref(),
        }
    }

    /// Returns the time; `None` if the clock cannot be believed.
    fn calendar(&self) -> Option<Calendar> {
        Some(Calendar {
            now: self.now.or_else(exceptions::now)?,
            notice_days: self.expires_within,
        })
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = || Timestamp::parse(&format!("{text}T00:00:00Z"));
    let read = Timestamp::parse(text).or_else(|_| midnight());
    read.map_err(|_| format!("`{text}` is no time, such as `2026-12-31` or `2026-12-31T12:00:00Z`"))
}

/// What expressions may use.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct VersionArgs {
    /// Refuse expressions that this version of Kubernetes does not know: 1.30 to 1.36
    #[arg(long, value_name = "VERSION", default_value_t)]
    pub kubernetes_version: KubernetesVersion,
}

/// What is said of the policies.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OverrideArgs {
    /// Enforce `.cel` policies less or more strictly than they say: baseline, production or strict
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Profile>,

    /// Apply the `profile`, the `packs` and the `overrides` of a configuration of `serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl OverrideArgs {
    /// Returns what is said, and what is wrong with it.
    fn read(&self) -> anyhow::Result<(Overrides, Vec<Diagnostic>)> {
        let (mut overrides, findings) = match &self.config {
            Some(path) => {
                let source = configuration(path)?;
                let (config, findings) = config::resolve(&Vec::new(), [], Some(&source));
                (config.overrides, findings)
            }
            None => (Overrides::default(), Vec::new()),
        };
        if let Some(profile) = self.profile {
            overrides.profile = profile;
        }
        Ok((overrides, findings))
    }
}

/// Reads a configuration file.
fn configuration(path: &Path) -> anyhow::Result<Arc<Source>> {
    let name = path.display();
    let metadata = fs::metadata(path)
        .map_err(|problem| anyhow::anyhow!("cannot read the configuration `{name}`: {problem}"))?;
    anyhow::ensure!(
        metadata.is_file(),
        "the configuration `{name}` is not a regular file"
    );
    files::read(path, files::MAX_POLICY_BYTES)
        .map_err(|problem| anyhow::anyhow!("the configuration {}", problem.message))
}

/// When the human format uses colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// Returns the style for standard output.
    pub fn style(self) -> Style {
        self.style_on(io::stdout().is_terminal())
    }

    fn style_on(self, is_terminal: bool) -> Style {
        let is_wanted = match self {
            Colour::Always => true,
            Colour::Never => false,
            // https://no-color.org: present and not empty.
            Colour::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                is_terminal && !refused
            }
        };
        if is_wanted {
            Style::Coloured
        } else {
            Style::Plain
        }
    }
}

/// Whether results could not be written.
static IS_CUT_SHORT: AtomicBool = AtomicBool::new(false);

/// Writes results; a reader that has gone away ends them, and is no error.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let Err(problem) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) else {
        return;
    };
    let is_said = IS_CUT_SHORT.load(Ordering::Relaxed);
    if problem.kind() != io::ErrorKind::BrokenPipe && !is_said {
        IS_CUT_SHORT.store(true, Ordering::Relaxed);
        note(&format!("error: the results cannot be written: {problem}"));
    }
}

/// Writes a line about the run itself.
fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Shows findings on standard error.
fn show(findings: &[Diagnostic]) {
    let style = Colour::Auto.style_on(io::stderr().is_terminal());
    let _ = io::stderr().write_all(render(findings, Format::Human, style).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn unusable_arguments_exit_with_two() {
        for arguments in [
            &["portcullis"][..],
            &["portcullis", "sreve"],
            &["portcullis", "serve", "--listn", ":1"],
        ] {
            let refusal = Cli::try_parse_from(arguments).expect_err("it is unusable");
            assert_eq!(refusal.exit_code(), Exit::Unusable as i32, "{arguments:?}");
        }
    }
}
