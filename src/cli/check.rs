//! `portcullis check`: manifests, as if each were sent to the API server.
//!
//! Flow: policies and texts are read, objects taken out of the texts, their requests made, and each
//! decided with the others of the run as its cluster; what is slow is done on all processors. With
//! `--fix` and the like the mutating policies change the texts first (`fix`), and what is checked is
//! what is printed.

mod cases;
pub(super) mod excuses;
mod fix;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bumpalo::Bump;
use clap::ValueEnum;

use super::{Colour, Exit, note};
use super::{ExceptionArgs, OverrideArgs, PolicyArgs, VersionArgs};
use crate::admission::resources::{CrdError, Provenance, Resources};
use crate::admission::review::Operation;
use crate::admission::synthesize::{OwnedRequest, User};
use crate::cel::value::Timestamp;
use crate::cluster::exceptions;
use crate::diagnostics::{Diagnostic, Format};
use crate::engine::cluster::ClusterView;
use crate::engine::observer::Unwatched;
use crate::engine::respond::Mode;
use crate::engine::{self, Options};
use crate::json;
use crate::manifest::neighbours::Neighbours;
use crate::manifest::point::{self, Reads};
use crate::manifest::request::{self, Change, Circumstances};
use crate::manifest::{self, Manifest, finding};
use crate::parallel;
use crate::policy::set::PolicySet;
use crate::serve::config;
use crate::sources::{self, files};
use crate::suite::run::mention;
use crate::text::{Source, Span, yaml};
use crate::webhook::limits::cores;
use report::{AllChecked, Checked, Guess};

/// Check manifests as if each object were created (or updated, or deleted)
///
/// Exits with 0 if every object would be admitted, with 1 if one would be rejected, and with 2 if a
/// policy, a manifest or an argument cannot be used. Warnings and notes change no exit code.
///
/// With --fix, --diff or --in-place the mutating policies that are switched on change the objects first.
/// Findings are then about what is left, and go to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis check deploy/                              every manifest below a folder
  helm template mesh ./chart | portcullis check -       what a chart renders
  portcullis check new.yaml --old old.yaml              what a change would update and delete
  portcullis check deploy/ --diff --mutate all          what every mutation would change
  portcullis check deploy/ --in-place                   change it, comments and order kept
  portcullis check deploy/ --policies my/ --format sarif > findings.sarif
  portcullis check deploy/ --exceptions exceptions/     what is excused is a note")]
pub struct Args {
    /// Manifests: files, folders, or `-` for standard input
    #[arg(value_name = "FILE", required_unless_present = "jsonl")]
    manifests: Vec<PathBuf>,

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    exceptions: ExceptionArgs,

    #[command(flatten)]
    overrides: OverrideArgs,

    #[command(flatten)]
    version: VersionArgs,

    /// The objects as they are: what is in both is updated, what is only here is deleted
    #[arg(long, value_name = "FILE", conflicts_with = "operation")]
    old: Vec<PathBuf>,

    /// What is done with the objects; an update without --old changes nothing
    #[arg(
        long,
        value_enum,
        value_name = "OPERATION",
        default_value_t,
        ignore_case = true
    )]
    operation: OperationArg,

    /// The namespace of objects that name none
    #[arg(long, short, value_name = "NAME", default_value = "default", value_parser = config::namespace)]
    namespace: String,

    /// Who asks; by default an administrator of the cluster
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// A group of the user besides system:authenticated; may be repeated
    #[arg(long = "group", value_name = "NAME", requires = "user")]
    groups: Vec<String>,

    /// Other objects of the cluster that policies may look up, and with them whole the policies about
    /// the cluster itself; may be repeated
    #[arg(long, value_name = "DIR")]
    cluster_objects: Vec<PathBuf>,

    /// CustomResourceDefinitions that say what the resources of kinds are; may be repeated
    #[arg(long, value_name = "DIR|FILE")]
    crds: Vec<PathBuf>,

    /// Whether violations reject an object or are only shown
    #[arg(long, value_enum, default_value_t)]
    mode: ModeArg,

    /// How findings are printed: human, json, sarif, junit or github
    #[arg(long, value_name = "FORMAT", default_value_t)]
    format: Format,

    #[command(flatten)]
    fixing: fix::FixArgs,

    /// Answer whole cases from standard input, one a line, with their own policies and exceptions
    #[arg(long, exclusive = true)]
    jsonl: bool,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "UPPER")]
enum OperationArg {
    #[default]
    Create,
    Update,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ModeArg {
    #[default]
    Enforce,
    Audit,
}

/// Checks manifests and prints what was found.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.jsonl {
        return Ok(cases::run());
    }
    anyhow::ensure!(
        stdin_uses(args) <= 1,
        "standard input can be read only once, and `-` is given more than once"
    );
    fix::check_arguments(args)?;
    let started = Instant::now();
    let (mut overrides, mut findings) = args.overrides.read()?;
    args.fixing.switch_on(&mut overrides);
    let version = args.version.kubernetes_version;
    let excusing = args.exceptions.excusing();
    let (set, problems) =
        sources::load_excusing(&args.policies.paths, excusing, version, &overrides);
    args.fixing.check_names(&set)?;
    findings.extend(problems);
    let calendar = args.exceptions.calendar();
    findings.extend(excuses::findings(&set, calendar));
    let is_fixing = args.fixing.is_asked_for();
    let print = |findings: &[Diagnostic], checked: &AllChecked| match is_fixing {
        true => fix::show(findings, checked, args.format, args.color),
        false => {
            let style = args.color.style();
            super::print(&report::render(findings, checked, args.format, style));
        }
    };
    if findings.iter().any(Diagnostic::is_error) {
        print(&findings, &AllChecked::default());
        note("no object was checked, because not all policies can be used");
        return Ok(Exit::Unusable);
    }
    let mut input = Input::read(args);
    findings.extend(input.problems.iter().cloned());
    if input.new.is_empty() && input.old.is_empty() && input.problems.is_empty() {
        let problem = Diagnostic::error("file/empty", "there are no objects to check");
        findings.push(problem.help("a chart that failed to render leaves nothing behind"));
    }
    let is_unusable = findings.iter().any(Diagnostic::is_error);
    let resources = input.resources(&set);
    let fixed = match is_fixing && !is_unusable {
        true => Some(fix::fix(&mut input, args, &set, &resources)),
        false => None,
    };
    let mut checked = input.check(args, &set, &resources);
    let is_unreadable = is_unusable || checked.iter().any(|it| it.unusable);
    if let Some(fixed) = &fixed {
        fixed.add_findings(&mut checked.objects);
    }
    if !is_unreadable {
        findings.extend(excuses::unused(&set, calendar, &checked, is_fixing));
    }
    print(&findings, &checked);
    for line in report::guesses(&checked.objects) {
        note(&line);
    }
    if let Some(line) = unaudited(&set, &checked) {
        note(&line);
    }
    let is_written = match &fixed {
        Some(fixed) if !is_unreadable => fixed.hand_out(args, &set),
        _ => !is_fixing,
    };
    note(&report::summary(&checked, started.elapsed()));
    if is_fixing && is_unreadable {
        note("nothing was changed, because not all objects can be used");
    }
    let is_found = checked
        .iter()
        .any(|it| it.findings.iter().any(Diagnostic::is_error));
    Ok(match (is_unreadable || !is_written, is_found) {
        (true, _) => Exit::Unusable,
        (false, true) => Exit::Found,
        (false, false) => Exit::Clean,
    })
}

/// A change with its request, or why there is none.
type Asked<'i> = (&'i Change<'i>, &'i Result<OwnedRequest, Diagnostic>);

/// Everything that was read.
struct Input {
    /// The texts of `new`, each with its path.
    texts: Vec<(PathBuf, Arc<Source>)>,
    new: Vec<Manifest>,
    old: Vec<Manifest>,
    around: Vec<Manifest>,
    crds: Vec<Manifest>,
    problems: Vec<Diagnostic>,
}

impl Input {
    fn read(args: &Args) -> Self {
        let mut problems = Vec::new();
        let mut read = |paths: &[PathBuf]| {
            let (texts, found) = read_texts(paths);
            problems.extend(found);
            let (manifests, found) = take_manifests(&texts);
            problems.extend(found);
            (texts, manifests)
        };
        let (texts, new) = read(&args.manifests);
        let (_, old) = read(&args.old);
        let (_, around) = read(&args.cluster_objects);
        let (_, crds) = read(&args.crds);
        if !args.crds.is_empty() && !crds.iter().any(is_crd) {
            let problem = Diagnostic::warning(
                "manifest/no-crd",
                "there is no CustomResourceDefinition in what `--crds` names",
            );
            problems.push(problem);
        }
        Input {
            texts,
            new,
            old,
            around,
            crds,
            problems,
        }
    }

    /// Collects what is known of resources: from CRDs wherever they are, and from rules.
    fn resources(&self, set: &PolicySet) -> Resources {
        let mut resources = Resources::default();
        mention(&mut resources, set);
        if let Some(own) = exceptions::definition() {
            let _: Result<(), CrdError> = resources.define(&own);
        }
        let all = [&self.around, &self.old, &self.new, &self.crds];
        for crd in all
            .into_iter()
            .flatten()
            .filter(|manifest| is_crd(manifest))
        {
            // One that is faulty defines nothing; its kind is then a guess, and noted as one.
            let _: Result<(), CrdError> = resources.define(&crd.to_json());
        }
        resources
    }

    fn changes<'m>(&'m self, args: &'m Args) -> Vec<Change<'m>> {
        if args.old.is_empty() {
            let operation = match args.operation {
                OperationArg::Create => Operation::Create,
                OperationArg::Update => Operation::Update,
                OperationArg::Delete => Operation::Delete,
            };
            request::all(&self.new, operation)
        } else {
            request::between(&self.old, &self.new, &args.namespace)
        }
    }

    fn check(&self, args: &Args, set: &PolicySet, resources: &Resources) -> AllChecked {
        self.with_each(args, (set, resources), |against, asked| AllChecked {
            objects: parallel::map(asked, cores(), |(change, request)| {
                against.check(change, request)
            }),
            cluster: (!args.cluster_objects.is_empty()).then(|| against.audit()),
        })
    }

    /// Returns what `decide` makes of all changes and their requests.
    fn with_each<R>(
        &self,
        args: &Args,
        (set, resources): (&PolicySet, &Resources),
        decide: impl FnOnce(&Against<'_>, &[Asked<'_>]) -> R,
    ) -> R {
        let circumstances = Circumstances {
            namespace: args.namespace.clone(),
            user: user(args),
        };
        let make = |change: &Change<'_>| request::request(*change, &circumstances, resources);
        let changes = self.changes(args);
        let requests = parallel::map(&changes, cores(), make);
        let around = request::all(&self.around, Operation::Create);
        let around: Vec<_> = parallel::map(&around, cores(), make)
            .into_iter()
            .flatten()
            .collect();
        let arena = Bump::new();
        let neighbours = neighbours(&arena, &around, &requests);
        let reads = Reads::new(set);
        let mode = match args.mode {
            ModeArg::Enforce => Mode::Enforce,
            ModeArg::Audit => Mode::Audit,
        };
        let asked: Vec<_> = changes.iter().zip(&requests).collect();
        let against = Against {
            set,
            resources,
            circumstances: &circumstances,
            neighbours: &neighbours,
            mode,
            reads: &reads,
            now: args.exceptions.calendar().map(|it| it.now),
        };
        decide(&against, &asked)
    }
}

/// Says that the policies about the cluster as a whole were not evaluated: the manifests of a run are
/// no cluster, and what is missing among them is missing nowhere else.
fn unaudited(set: &PolicySet, checked: &AllChecked) -> Option<String> {
    let count = set.about_cluster().len();
    if count == 0 || checked.cluster.is_some() {
        return None;
    }
    let policies = match count {
        1 => "1 policy about the whole cluster was".to_owned(),
        count => format!("{count} policies about the whole cluster were"),
    };
    Some(format!(
        "note: {policies} not evaluated (give the cluster's objects with --cluster-objects)"
    ))
}

/// Parses the objects of a run once more, as the cluster around each of them: objects that are to
/// be deleted are not in it.
fn neighbours<'j>(
    arena: &'j Bump,
    around: &'j [OwnedRequest],
    requests: &'j [Result<OwnedRequest, Diagnostic>],
) -> Neighbours<'j> {
    let all = around.iter().chain(requests.iter().flatten());
    Neighbours::new(all.filter_map(|owned| {
        let object = owned.request().object?;
        json::parse(arena, object.get().as_bytes()).ok()
    }))
}

/// What every request is decided with.
struct Against<'r> {
    set: &'r PolicySet,
    resources: &'r Resources,
    circumstances: &'r Circumstances,
    neighbours: &'r Neighbours<'r>,
    mode: Mode,
    reads: &'r Reads<'r>,
    now: Option<Timestamp>,
}

impl Against<'_> {
    /// Evaluates the policies about the cluster as a whole.
    fn audit(&self) -> Vec<Checked> {
        let cluster = self.neighbours.whole();
        let verdict = engine::audit_cluster(self.set, self.options(&cluster), &mut Unwatched);
        let findings = finding::about_cluster(&verdict, self.mode);
        let policies = self.set.about_cluster().iter();
        let checked = policies.map(|bound| {
            let policy = &bound.policy.policy;
            let its_own = findings.iter().filter(|it| it.code == policy.name);
            Checked {
                subject: finding::CLUSTER.to_owned(),
                source: Arc::clone(&policy.origin.source),
                guess: None,
                findings: its_own.cloned().collect(),
                excused: Vec::new(),
                unusable: false,
            }
        });
        checked.collect()
    }

    fn options<'o>(&'o self, cluster: &'o dyn ClusterView) -> Options<'o> {
        Options {
            resources: self.resources,
            now: self.now,
            ..Options::new(cluster)
        }
    }

    fn check(&self, change: &Change<'_>, request: &Result<OwnedRequest, Diagnostic>) -> Checked {
        let manifest = change.manifest;
        let owned = match request {
            Ok(owned) => owned,
            Err(problem) => return Checked::unusable(manifest, problem.clone()),
        };
        let namespace = request::namespace(owned);
        let cluster = self.neighbours.around(request::key(manifest, owned));
        let options = self.options(&cluster);
        let (findings, excused) = match engine::validate(self.set, &owned.request(), options) {
            Ok(verdict) => {
                let how = (self.mode, self.reads);
                let mut findings = finding::findings(manifest, namespace, &verdict, how);
                findings.extend(finding::excused(manifest, namespace, &verdict, self.reads));
                (findings, excuses::names(&verdict))
            }
            Err(error) => {
                let problem = Diagnostic::error("manifest/unusable", error.to_string());
                let problem = problem.at(&manifest.source, point::title(manifest));
                return Checked::unusable(manifest, problem);
            }
        };
        Checked {
            subject: manifest.subject(namespace),
            source: Arc::clone(&manifest.source),
            guess: guess(manifest, owned),
            findings,
            excused,
            unusable: false,
        }
    }
}

/// Says what is guessed about the resource of a kind.
fn guess(manifest: &Manifest, owned: &OwnedRequest) -> Option<(Guess, String)> {
    let guess = match owned.provenance() {
        Provenance::Guessed => Guess::Resource,
        Provenance::BuiltInOtherVersion => Guess::Version,
        Provenance::BuiltIn | Provenance::Defined | Provenance::Mentioned => return None,
    };
    Some((
        guess,
        format!("{} ({})", manifest.kind, manifest.api_version),
    ))
}

/// Counts the arguments that are to be read from standard input.
fn stdin_uses(args: &Args) -> usize {
    let all = [
        &args.manifests,
        &args.policies.paths,
        &args.exceptions.paths,
        &args.old,
        &args.cluster_objects,
        &args.crds,
    ];
    let paths = all.into_iter().flatten();
    paths
        .filter(|path| path.as_os_str() == files::STDIN)
        .count()
}

fn user(args: &Args) -> User {
    match &args.user {
        None => User::default(),
        Some(name) => {
            let mut user = User::named(name);
            user.groups.extend(args.groups.iter().cloned());
            user
        }
    }
}

fn is_crd(manifest: &Manifest) -> bool {
    manifest.kind == "CustomResourceDefinition"
}

/// Reads files, and what is in folders.
fn read_texts(paths: &[PathBuf]) -> (Vec<(PathBuf, Arc<Source>)>, Vec<Diagnostic>) {
    let found = files::find(paths, |path: &Path| files::is_document(path));
    let mut problems = found.problems;
    let mut texts = Vec::new();
    for path in found.files {
        match files::read(&path, files::MAX_MANIFEST_BYTES) {
            Ok(source) => texts.push((path, source)),
            Err(problem) => problems.push(problem),
        }
    }
    (texts, problems)
}

/// Takes the objects out of texts.
fn take_manifests(texts: &[(PathBuf, Arc<Source>)]) -> (Vec<Manifest>, Vec<Diagnostic>) {
    // By part, because one file may hold everything.
    let parts = texts.iter().flat_map(|(_, source)| {
        yaml::parts(source)
            .into_iter()
            .map(move |part| (source, part))
    });
    let parts: Vec<_> = parts.collect();
    let read_part = |(source, part): &(&Arc<Source>, Span)| manifest::read_part(source, *part);
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    for (read, findings) in parallel::map(&parts, cores(), read_part) {
        manifests.extend(read);
        problems.extend(findings);
    }
    (manifests, problems)
}
