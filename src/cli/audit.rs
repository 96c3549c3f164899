//! `portcullis audit`: what a cluster has already, held against the policies.

pub mod decisions;
mod table;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bumpalo::Bump;

use super::check::excuses;
use super::{Colour, ExceptionArgs, Exit, OverrideArgs, PolicyArgs, VersionArgs, note};
use crate::admission::resources::Resources;
use crate::audit::exceptions;
use crate::audit::finding::Limits;
use crate::audit::journal::{About, Journal};
use crate::audit::keep::Keeper;
use crate::audit::list::{ListError, Lister};
use crate::audit::plan::{LeftOut, Only, Plan};
use crate::audit::report::{self, Api};
use crate::audit::scan::{self, Progress, Scan, Scanned};
use crate::audit::served::{self, Discovery};
use crate::audit::view::{self, Snapshot, Texts};
use crate::audit::write::{WriteError, Writer, Written};
use crate::cluster::connect::patient_client;
use crate::diagnostics::{Diagnostic, Format, render};
use crate::policy::exceptions::review;
use crate::policy::model::PolicyScope;
use crate::policy::set::PolicySet;
use crate::schema::Schemas;
use crate::serve::config;
use crate::sources::{self, Excusing};
use crate::text::{Source, nearest};
use crate::webhook::limits::cores;

/// What the API server is told.
const AGENT: &str = concat!("portcullis-audit/", env!("CARGO_PKG_VERSION"));
/// What policies may read of the cluster; it is held in memory, parsed some four times as large.
const MOST_READ: usize = 512 * 1024 * 1024;
/// How often a terminal is told how far the scan is.
const TELL: Duration = Duration::from_millis(200);
/// What the option means here.
const POLICY_NAMESPACE: &str = "The namespace whose PolicyExceptions reach all others, those in files and \
    those that lie in it in the cluster; those of any other namespace excuse its own objects alone";

/// Hold what a cluster has already against the policies
///
/// Every object of the kinds that the policies are about is looked at as if it were created now, and so is
/// the cluster as a whole. What cannot be known of an object that exists (who created it, what it was
/// before) cannot be judged: policies that ask for that are named with the reason.
///
/// Objects are listed by page, and the API server decides how fast: a hundred thousand of them take no
/// more memory than a thousand. It takes the right to list the kinds that the policies match and read,
/// namespaces and custom resource definitions; with --report also to list, create, patch and delete reports.
/// `portcullis manifests --for audit` prints that role.
///
/// Besides the exceptions in files, the PolicyExceptions of the cluster count that lie in the namespaces
/// which --policy-namespace and --exception-namespaces name, as for `serve`; that takes the right to list
/// policyexceptions there. What they excuse is printed as `skip` or as notes with the exception, behind
/// everything else, and changes no exit code.
///
/// With --decisions nothing is scanned: the logs of `serve --decision-log` are read, and say by policy which
/// requests would be denied if it were enforced, by whom and about what; requests by which nothing was to be
/// stored apart.
///
/// Exits with 0 if every object would be admitted, with 1 if one would be rejected, with 2 if a policy or an
/// argument cannot be used, and with 3 if the cluster does not answer or not everything could be looked at.
#[derive(Debug, clap::Args)]
#[command(mut_arg("policy_namespace", |it| it.help(POLICY_NAMESPACE)))]
#[command(after_help = "\
Examples:
  portcullis audit                                       the cluster that kubectl talks to
  portcullis audit -n shop -n billing                    what is in two namespaces
  portcullis audit --policies my/ --kind deployments     policies of your own, one kind
  portcullis audit --format sarif > findings.sarif       for code scanning
  portcullis audit --report                              write Reports that others show
  portcullis audit --policy-namespace portcullis --exception-namespaces team-a team-b
                                    with the PolicyExceptions that `serve` would follow
  portcullis audit --resume progress.jsonl               go on, should it be interrupted
  portcullis audit --decisions decisions.jsonl --since 24h
                                    what policies on trial would have denied since yesterday
  kubectl logs -n policy -l app.kubernetes.io/name=portcullis --tail=-1 | portcullis audit --decisions -
                                    the same of all replicas; without --tail kubectl gives ten lines of each")]
pub struct Args {
    #[command(flatten)]
    decisions: decisions::DecisionArgs,

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    exceptions: ExceptionArgs,

    /// Namespaces whose PolicyExceptions in the cluster excuse objects of the same namespace
    #[arg(long, value_name = "NAMESPACE", num_args = 1.., value_parser = config::namespace)]
    exception_namespaces: Vec<String>,

    #[command(flatten)]
    overrides: OverrideArgs,

    #[command(flatten)]
    version: VersionArgs,

    /// The kubeconfig that leads to the cluster [default: the pod's service account, $KUBECONFIG or
    /// ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig, instead of its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Look at this namespace only, and not at the cluster as a whole; may be repeated
    #[arg(long, short, value_name = "NAME", value_parser = config::namespace)]
    namespace: Vec<String>,

    /// Look at this kind only: deployments, deployments.apps or Deployment; may be repeated
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,

    /// Ask this policy only; may be repeated
    #[arg(long, value_name = "POLICY")]
    policy: Vec<String>,

    /// How findings are printed: human, json, sarif, junit or github
    #[arg(long, value_name = "FORMAT", default_value_t)]
    format: Format,

    /// Write what is found as reports into the cluster, too: Reports of openreports.io, or PolicyReports of
    /// wgpolicyk8s.io; of the first that the cluster has, unless one of them is given
    #[arg(long, value_name = "API", num_args = 0..=1, require_equals = true, value_parser = reports)]
    #[arg(default_missing_value = ANY, conflicts_with_all = ["kind", "policy"])]
    report: Option<Reports>,

    /// The installation whose reports are written: no other's are read or removed
    #[arg(long, value_name = "NAME", default_value = "portcullis", value_parser = config::name, requires = "report")]
    name: String,

    /// On how many threads objects are evaluated [default: the number of processors]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: Option<u16>,

    /// Send at most so many requests a second [default: as many as the API server lets through]
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    qps: Option<f64>,

    /// Keep in FILE how far the audit is, and if it is there, go on; it is removed when everything was looked at
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

/// What is given for any API of reports.
const ANY: &str = "any";

/// Where reports are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reports {
    /// To the first that the cluster has.
    Any,
    /// To this one.
    One(Api),
}

impl Reports {
    /// Returns the API, if the cluster has it.
    fn found(self, discovery: &Discovery) -> Option<Api> {
        match self {
            Reports::Any => Api::of(discovery),
            Reports::One(api) => Some(api).filter(|it| it.is_served(discovery)),
        }
    }
}

fn reports(text: &str) -> Result<Reports, String> {
    match (text, Api::of_group(text)) {
        (ANY, _) => Ok(Reports::Any),
        (_, Some(api)) => Ok(Reports::One(api)),
        (_, None) => Err("it is none of `openreports.io`, `wgpolicyk8s.io`".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("it is no number above zero".to_owned()),
    }
}

impl Args {
    /// Returns the namespaces whose exceptions of the cluster count.
    fn excusing_namespaces(&self) -> Vec<String> {
        let policy_namespace = self.exceptions.policy_namespace.iter();
        let mut names: Vec<String> = policy_namespace
            .chain(&self.exception_namespaces)
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Says whether only a part of the cluster is looked at.
    fn is_partial(&self) -> bool {
        !(self.namespace.is_empty() && self.kind.is_empty() && self.policy.is_empty())
    }
}

/// What ends the command before anything was found.
enum Failure {
    /// The arguments cannot be used.
    Unusable(anyhow::Error),
    /// The cluster does not answer.
    Service(String),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Unusable(error)
    }
}

/// Scans a cluster and prints what was found.
///
/// # Errors
/// The configuration or the kubeconfig cannot be read.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if !args.decisions.files.is_empty() {
        let only = (&args.policy[..], &args.namespace[..]);
        return decisions::run(&args.decisions, only, args.format);
    }
    let (set, findings) = load(args, &[])?;
    if findings.iter().any(Diagnostic::is_error) {
        super::print(&render(&findings, args.format, args.color.style()));
        note("nothing was scanned, because not all policies can be used");
        return Ok(Exit::Unusable);
    }
    check_names("--policy", &args.policy, || {
        set.policies()
            .iter()
            .map(|it| it.policy.name.clone())
            .collect()
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match runtime.block_on(audit(args, set, findings)) {
        Ok(exit) => Ok(exit),
        Err(Failure::Unusable(problem)) => Err(problem),
        Err(Failure::Service(problem)) => {
            note(&format!("error: {problem}"));
            Ok(Exit::Service)
        }
    }
}

/// Reads the policies, with exceptions of the cluster, and says what is wrong with them.
fn load(args: &Args, of_cluster: &[Arc<Source>]) -> anyhow::Result<(PolicySet, Vec<Diagnostic>)> {
    let (overrides, mut findings) = args.overrides.read()?;
    let excusing = Excusing {
        of_cluster,
        ..args.exceptions.excusing()
    };
    let version = args.version.kubernetes_version;
    let (set, problems) =
        sources::load_excusing(&args.policies.paths, excusing, version, &overrides);
    findings.extend(problems);
    findings.extend(excuses::findings(&set, args.exceptions.calendar()));
    Ok((set, findings))
}

/// Lists the exceptions of the cluster that count.
async fn listed_exceptions(args: &Args, lister: &Lister) -> Result<Vec<Arc<Source>>, Failure> {
    let namespaces = args.excusing_namespaces();
    let listed = exceptions::list(lister, &namespaces).await;
    let listed = listed.map_err(|problem| Failure::Service(problem.to_string()))?;
    if !listed.is_served {
        note("note: the cluster has no PolicyExceptions: it does not know the kind");
    }
    for namespace in &listed.empty {
        note(&format!(
            "note: there are no PolicyExceptions in the namespace `{namespace}`"
        ));
    }
    Ok(listed.texts)
}

/// Refuses names that nothing has.
fn check_names(
    flag: &str,
    names: &[String],
    known: impl Fn() -> Vec<String>,
) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let known = known();
    for name in names {
        let is_known = known.iter().any(|it| it.eq_ignore_ascii_case(name));
        let meant = nearest(name, known.iter().map(String::as_str));
        anyhow::ensure!(
            is_known,
            "`{flag} {name}`: there is nothing of that name{}",
            meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"))
        );
    }
    Ok(())
}

/// What is known of the cluster before anything is scanned.
struct Known {
    discovery: Discovery,
    resources: Resources,
    schemas: Schemas,
}

impl Known {
    async fn of(lister: &Lister, address: &str) -> Result<Self, Failure> {
        let failed = |what: &str, problem: String| {
            Failure::Service(format!("cannot list {what} of {address}: {problem}"))
        };
        let discovery = Discovery::of(lister).await;
        let discovery = discovery.map_err(|problem| failed("the kinds", problem.to_string()))?;
        let crds = served::definitions(lister).await;
        let crds = crds.map_err(|problem| failed("the custom kinds", problem.to_string()))?;
        let (mut resources, mut schemas) = (Resources::default(), Schemas::built_in());
        for crd in &crds {
            // The cluster has accepted them: what is not understood of one is not known.
            let _ = resources.define(crd);
            let _ = schemas.define(crd);
        }
        Ok(Known {
            discovery,
            resources,
            schemas,
        })
    }
}

async fn audit(
    args: &Args,
    mut set: PolicySet,
    mut findings: Vec<Diagnostic>,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let (kubeconfig, context) = (args.kubeconfig.as_deref(), args.context.as_deref());
    let connected = patient_client(kubeconfig, context, AGENT).await;
    let connected = connected.map_err(|problem| Failure::Unusable(problem.into()))?;
    let Some((client, address)) = connected else {
        let problem = "no cluster was found: name its kubeconfig with `--kubeconfig`";
        return Err(Failure::Unusable(anyhow::anyhow!(problem)));
    };
    let lister = Lister::new(client, args.qps);
    let known = Known::of(&lister, &address).await?;
    let served = || {
        let resources = known.discovery.resources.iter();
        let names = resources.flat_map(|it| [it.name(), it.resource.clone(), it.kind.clone()]);
        names.collect()
    };
    check_names("--kind", &args.kind, served)?;
    let api = match args.report {
        None => None,
        Some(wanted) => match wanted.found(&known.discovery) {
            Some(api) => Some(api),
            None => return Err(Failure::Service(no_reports(&address, wanted))),
        },
    };
    let only = Only {
        policies: args.policy.clone(),
        kinds: args.kind.clone(),
    };
    let of_cluster = listed_exceptions(args, &lister).await?;
    if !of_cluster.is_empty() {
        (set, findings) = load(args, &of_cluster)?;
    }
    let set = &set;
    let mut plan = Plan::of(set, &known.discovery, &only);
    let texts = read(&lister, &known, set).await?;
    let there = || texts.names(&view::namespace_kind());
    check_names("--namespace", &args.namespace, there)?;
    for (kind, problem) in &texts.problems {
        plan.leave_out_readers(set, &kind.api_version, &kind.kind, &problem.to_string());
    }
    let arena = Bump::new();
    let snapshot = Snapshot::new(&arena, &texts, set);
    let threads = args.concurrency.map_or_else(cores, usize::from);
    let journal = journal(args, &address, set)?.map(Mutex::new);
    let used = Mutex::default();
    let scan = Scan {
        set,
        plan: &plan,
        world: &snapshot,
        resources: &known.resources,
        schemas: &|| &known.schemas,
        lister: &lister,
        namespaces: &args.namespace,
        threads,
        limits: Limits::default(),
        journal: journal.as_ref(),
        now: args.exceptions.calendar().map(|it| it.now),
        used: &used,
        give_way: &|| {},
    };
    let mut meter = Meter::new();
    let mut keeper = match api {
        Some(api) => Some(keeper(args, api, &lister).await?),
        None => None,
    };
    let scanned = scan
        .run(&mut |progress| meter.show(progress), keeper.as_mut())
        .await;
    meter.clear();
    let units = scan::units(&plan, &args.namespace);
    let closed = journal.map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner));
    if let Some(Err(problem)) = closed.map(|it| it.close(scanned.is_whole())) {
        note(&format!("warning: {problem}"));
    }
    // What only a part of the cluster needs, or a part that was looked at before, may be needed.
    let is_all = scanned.is_whole() && args.resume.is_none() && !args.is_partial();
    if let (true, Some(calendar)) = (is_all, args.exceptions.calendar()) {
        let used = used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut run = excuses::run(set, true);
        run.retain(|name| !plan.left_out.iter().any(|it| it.policy == *name));
        findings.extend(review::unused(set, calendar.now, &run, &used));
    }
    let output = Output {
        args,
        findings: &findings,
        plan: &plan,
        scanned: &scanned,
    };
    output.print();
    output.notes(&known.discovery, &texts);
    let mut is_whole = scanned.is_whole() && texts.problems.is_empty();
    if let (Some(keeper), Some(api)) = (keeper, api) {
        let written = keeper.finish(&units, &known.discovery).await;
        is_whole &= written_reports(api, written, scanned.is_whole());
    }
    note(&output.summary(started.elapsed()));
    let counts = scanned.findings.counts();
    Ok(match (is_whole, counts.fail + counts.error) {
        (false, _) => Exit::Service,
        (true, 0) => Exit::Clean,
        (true, _) => Exit::Found,
    })
}

/// Opens the file with how far an audit was, if there is to be one.
fn journal(args: &Args, address: &str, set: &PolicySet) -> Result<Option<Journal>, Failure> {
    let Some(path) = &args.resume else {
        return Ok(None);
    };
    let only = [&args.namespace[..], &args.kind, &args.policy].join(&"/".to_owned());
    let about = About::new(address, set, only);
    let journal = Journal::open(path, &about, set).map_err(|problem| {
        let problem = anyhow::Error::from(problem);
        Failure::Unusable(problem.context("remove it to begin anew, or name another file"))
    })?;
    let objects = journal.objects();
    if objects > 0 {
        let objects = count(objects, "object", "objects");
        note(&format!("{objects} were looked at before"));
    }
    Ok(Some(journal))
}

/// Lists what the policies read.
async fn read(lister: &Lister, known: &Known, set: &PolicySet) -> Result<Texts, Failure> {
    let mut kinds = view::kinds(set, &[PolicyScope::Request, PolicyScope::Cluster]);
    kinds.insert(view::namespace_kind());
    let texts = Texts::list(lister, &known.discovery, &kinds, MOST_READ).await;
    let mut problems = texts.problems.iter();
    match problems.find(|(kind, _)| *kind == view::namespace_kind()) {
        Some((_, problem)) => Err(Failure::Service(format!(
            "cannot list namespaces: {problem}"
        ))),
        None => Ok(texts),
    }
}

fn no_reports(address: &str, wanted: Reports) -> String {
    if let Reports::One(api) = wanted {
        return format!("{address} serves no reports of {}", api.api_version());
    }
    format!(
        "{address} serves no reports: install the custom resource definitions of openreports.io \
         (https://github.com/openreports/reports-api) or of wgpolicyk8s.io"
    )
}

/// Looks up the reports that there are.
async fn keeper<'k>(args: &'k Args, api: Api, lister: &'k Lister) -> Result<Keeper<'k>, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let writer = Writer {
        lister,
        api,
        installation: &args.name,
        namespaces: &args.namespace,
        may_write: &|| true,
        now: now.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX)),
    };
    let keeper = Keeper::open(writer, report::MOST_BYTES_OF_ALL).await;
    keeper.map_err(|problem| Failure::Service(problem.to_string()))
}

/// Tells what became of reports; says whether they say everything.
fn written_reports(api: Api, written: Result<Written, WriteError>, is_whole: bool) -> bool {
    match written {
        Ok(written) => note(&format!(
            "reports of {}: {} written ({} bytes), {} as they were, {} removed",
            api.api_version(),
            written.written,
            written.bytes,
            written.unchanged,
            written.removed
        )),
        Err(problem) => {
            note(&format!("error: {problem}"));
            return false;
        }
    }
    if !is_whole {
        note("the reports about kinds that could not be looked at as a whole are as they were");
    }
    is_whole
}

/// What is said of a scan.
struct Output<'o> {
    args: &'o Args,
    findings: &'o [Diagnostic],
    plan: &'o Plan,
    scanned: &'o Scanned,
}

impl Output<'_> {
    fn print(&self) {
        let Output { args, scanned, .. } = self;
        let style = args.color.style();
        if args.format == Format::Human {
            super::print(&render(self.findings, args.format, style));
            super::print(&table::render(&scanned.findings, style));
            return;
        }
        let found = scanned.findings.kept().map(|it| it.to_diagnostic());
        let excused = scanned.findings.excused().map(|it| it.to_diagnostic());
        let known = self.findings.iter().cloned();
        let all: Vec<Diagnostic> = known.chain(found).chain(excused).collect();
        super::print(&render(&all, args.format, style));
    }

    /// Says what was not looked at, and why.
    fn notes(&self, discovery: &Discovery, texts: &Texts) {
        for line in left_out(&self.plan.left_out) {
            note(&format!("not scanned: {line}"));
        }
        let without = self.plan.without_kind;
        if without > 0 {
            let policies = count(without, "policy", "policies");
            note(&format!(
                "not scanned: {policies} about kinds that this cluster does not have"
            ));
        }
        for group in &discovery.unknown {
            note(&format!(
                "warning: what is in {group} is not known: its API server does not answer"
            ));
        }
        for (kind, problem) in &texts.problems {
            let (ListError::Refused(problem) | ListError::Failed(problem)) = problem else {
                continue;
            };
            note(&format!(
                "error: cannot list {}/{}: {problem}",
                kind.api_version, kind.kind
            ));
        }
        for (kind, problem) in &self.scanned.problems {
            note(&format!("error: cannot list {kind}: {problem}"));
        }
        if self.scanned.unread > 0 {
            let objects = count(self.scanned.unread, "object", "objects");
            note(&format!("error: {objects} could not be read"));
        }
        let omitted = self.scanned.findings.omitted();
        if omitted > 0 {
            note(&format!("{omitted} more findings are only counted"));
        }
        let omitted = self.scanned.findings.excused_omitted();
        if omitted > 0 {
            note(&format!("{omitted} more excused findings are only counted"));
        }
    }

    fn summary(&self, elapsed: Duration) -> String {
        let Output { plan, scanned, .. } = self;
        let counts = scanned.findings.counts();
        let mut parts = vec![
            format!(
                "{} of {} scanned",
                count(scanned.objects, "object", "objects"),
                count(plan.listings.len(), "kind", "kinds")
            ),
            count(counts.fail, "violation", "violations"),
        ];
        if counts.error > 0 {
            parts.push(count(counts.error, "error", "errors"));
        }
        if counts.warn > 0 {
            parts.push(count(counts.warn, "warning", "warnings"));
        }
        if counts.excused > 0 {
            parts.push(format!("{} excused", counts.excused));
        }
        format!("{} in {:.2} s", parts.join(", "), elapsed.as_secs_f64())
    }
}

fn count(count: impl std::fmt::Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let word = if count == "1" { one } else { many };
    format!("{count} {word}")
}

/// Returns a line for each reason, with the policies it is about.
fn left_out(all: &[LeftOut]) -> Vec<String> {
    let reasons: BTreeSet<&str> = all.iter().map(|it| it.reason.as_str()).collect();
    let line = |reason: &str| {
        let mut names: Vec<String> = Vec::new();
        for left in all.iter().filter(|it| it.reason == reason) {
            names.push(match left.validations.first() {
                Some(at) => format!("validation {at} of `{}`", left.policy),
                None => format!("`{}`", left.policy),
            });
        }
        format!("{} {reason}", names.join(", "))
    };
    reasons.into_iter().map(line).collect()
}

/// Shows on a terminal how far a scan is.
struct Meter {
    is_terminal: bool,
    shown: Option<Instant>,
}

impl Meter {
    fn new() -> Self {
        Meter {
            is_terminal: io::stderr().is_terminal(),
            shown: None,
        }
    }

    fn show(&mut self, progress: Progress<'_>) {
        if !self.is_terminal || self.shown.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        self.shown = Some(Instant::now());
        let remaining = match progress.remaining {
            Some(remaining) => format!(", {remaining} to come"),
            None => String::new(),
        };
        let (at, of) = progress.at;
        let line = format!(
            "\r\u{1b}[2K{} objects, {} findings; {at} of {of} kinds: {}{remaining}",
            progress.objects, progress.found, progress.kind
        );
        self.write(&line);
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            self.write("\r\u{1b}[2K");
        }
    }

    fn write(&self, text: &str) {
        let mut terminal = io::stderr().lock();
        let _ = terminal
            .write_all(text.as_bytes())
            .and_then(|()| terminal.flush());
    }
}
