//! `portcullis test`: the cases beside policies.

mod policies;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::{Colour, Exit, VersionArgs, note};
use crate::cel::version::KubernetesVersion;
use crate::diagnostics::{self, Diagnostic, Format};
use crate::sources::{self, files};
use crate::suite::coverage::{Tally, Tests};
use crate::suite::format::{self, TestFile};
use crate::suite::report::{self, FileResult};
use crate::suite::run::UnderTest;
use crate::suite::{FILE_SUFFIX, report::Counts};
use crate::text::Source;

/// Run the tests beside policies
///
/// Exits with 0 if all cases end as expected, with 1 if not (with --coverage also if a validation
/// was not seen to admit and to deny), and with 2 if a policy or a file of tests cannot be used.
///
/// A case that expects an `object` or a `patch` has the policies' mutations made, whether or not they are
/// switched on (`mutate: true`) or on trial (`action: audit`): it says what enforcing them would do.
///
/// PolicyExceptions that lie with the policies excuse, too, at the time that a case gives as `now`; those of a
/// case are its `exceptions`. There is no option for others: a test is to end the same for everybody.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis test                            the tests in the folder `policies`
  portcullis test my/replicas.cel            the tests of one policy
  portcullis test --coverage --format junit  for a pipeline")]
pub struct Args {
    /// Folders, policies or files of tests (`*.test.yaml`); by default the folder `policies`
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    version: VersionArgs,

    /// Fail policies with a validation never seen to admit and to deny, and print a table
    #[arg(long)]
    coverage: bool,

    /// How results are printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: ReportFormat,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ReportFormat {
    #[default]
    Human,
    Junit,
}

/// Where tests are looked for if no path is given.
const DEFAULT_FOLDER: &str = "policies";

/// Runs tests and prints how they ended.
pub fn run(args: &Args) -> Exit {
    let paths = match args.paths.as_slice() {
        [] => vec![PathBuf::from(DEFAULT_FOLDER)],
        paths => paths.to_vec(),
    };
    let mut plan = Plan::make(&paths, args.version.kubernetes_version);
    if plan.tests.is_empty() && plan.problems.is_empty() {
        let paths: Vec<String> = paths
            .iter()
            .map(|it| format!("`{}`", it.display()))
            .collect();
        let message = format!("there are no tests in {}", paths.join(", "));
        let help = format!("tests of `NAME.cel` are in `NAME{FILE_SUFFIX}` beside it");
        plan.problems
            .push(Diagnostic::error("file/empty", message).help(help));
    }
    let mut tally = Tally::default();
    if args.coverage {
        plan.add_untested(&mut tally);
    }
    let mut results = Vec::new();
    for (file, policies) in &plan.tests {
        tally.add(policies.set(), Tests::Some);
        let run = |case| (case, policies.run(file, case, &mut tally));
        results.push(FileResult {
            source: &file.source,
            cases: file.cases.iter().map(run).collect(),
        });
    }
    print(args, &plan, &results, &tally);
    let is_unusable = plan.problems.iter().any(Diagnostic::is_error);
    let is_failed = report::counts(&results).failed > 0;
    let is_uncovered = args.coverage && !tally.is_complete();
    match (is_unusable, is_failed || is_uncovered) {
        (true, _) => Exit::Unusable,
        (false, true) => Exit::Found,
        (false, false) => Exit::Clean,
    }
}

fn print(args: &Args, plan: &Plan, results: &[FileResult<'_>], tally: &Tally) {
    let style = args.color.style();
    match args.format {
        ReportFormat::Human => {
            let mut text = diagnostics::render(&plan.problems, Format::Human, style);
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&report::human(results, style));
            if args.coverage {
                text.push_str(&format!("\n{}\n", tally.table(style).trim_end()));
            }
            super::print(&text);
        }
        ReportFormat::Junit => {
            let coverage = args.coverage.then_some(tally);
            super::print(&report::junit(results, &plan.problems, coverage));
        }
    }
    let Counts { passed, failed } = report::counts(results);
    if passed + failed > 0 {
        note(&report::summary(results));
    }
}

/// What is to be run.
struct Plan {
    version: KubernetesVersion,
    tests: Vec<(TestFile, UnderTest)>,
    /// Policies that no file of tests is about.
    untested: Vec<PathBuf>,
    problems: Vec<Diagnostic>,
}

impl Plan {
    fn make(paths: &[PathBuf], version: KubernetesVersion) -> Self {
        let found = files::find(paths, |path| {
            files::is_test(path) || sources::is_policy(path)
        });
        let mut plan = Plan {
            version,
            tests: Vec::new(),
            untested: Vec::new(),
            problems: found.problems,
        };
        let mut tests: Vec<PathBuf> = Vec::new();
        let mut untested: BTreeMap<PathBuf, ()> = BTreeMap::new();
        for path in found.files {
            let test = if files::is_test(&path) {
                path.clone()
            } else {
                test_of(&path)
            };
            if test.is_file() || test == path {
                if !tests.contains(&test) {
                    tests.push(test);
                }
            } else {
                untested.insert(path, ());
            }
        }
        for test in tests {
            plan.read(&test, &mut untested);
        }
        plan.untested = untested.into_keys().collect();
        plan
    }

    /// Reads a file of tests with its policies.
    fn read(&mut self, path: &Path, untested: &mut BTreeMap<PathBuf, ()>) {
        let source = match files::read(path, files::MAX_POLICY_BYTES) {
            Ok(source) => source,
            Err(problem) => return self.problems.push(problem),
        };
        let (mut file, problems) = format::read(&source);
        self.problems.extend(problems);
        let policies = match policies::of(path, &file) {
            Ok(policies) => policies,
            Err(problems) => return self.problems.extend(problems),
        };
        let mut sources: Vec<Arc<Source>> = Vec::new();
        for policy in policies {
            untested.remove(&policy);
            match files::read(&policy, files::MAX_POLICY_BYTES) {
                Ok(source) => sources.push(source),
                Err(problem) => self.problems.push(problem),
            }
        }
        let (documents, mut problems) = sources::documents(&sources);
        let (under_test, findings) = UnderTest::new(documents, self.version);
        problems.extend(findings);
        let is_usable = !problems.iter().any(Diagnostic::is_error);
        self.problems.extend(problems);
        if is_usable {
            self.problems.extend(under_test.leave_out(&mut file));
        }
        if is_usable && !sources.is_empty() {
            self.tests.push((file, under_test));
        }
    }

    /// Notes the policies without tests, as far as they can be read; others are found elsewhere.
    fn add_untested(&mut self, tally: &mut Tally) {
        for path in &self.untested {
            match files::read(path, files::MAX_POLICY_BYTES) {
                Ok(source) => {
                    let (documents, mut problems) = sources::documents(&[source]);
                    let (under_test, findings) = UnderTest::new(documents, self.version);
                    problems.extend(findings);
                    tally.add(under_test.set(), Tests::None);
                    self.problems.extend(problems);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
    }
}

/// Returns where the tests of a policy are.
fn test_of(policy: &Path) -> PathBuf {
    let stem = policy
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    policy.with_file_name(format!("{stem}{FILE_SUFFIX}"))
}
