//! `portcullis lint`: what is wrong with policies, whether or not they can be enforced.

mod configurations;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::{Colour, ExceptionArgs, Exit, VersionArgs, note};
use crate::admission::resources::Resources;
use crate::cel::version::KubernetesVersion;
use crate::cluster::{self, connect};
use crate::diagnostics::{Diagnostic, Format, Severity, render};
use crate::lint::{self, World};
use crate::manifest;
use crate::policy::exceptions::review;
use crate::policy::set::PolicySet;
use crate::schema::Schemas;
use crate::sources::{self, files};
use crate::text::Source;

/// Find what is wrong with policies before they meet a request
///
/// Says what the API server would refuse, where types do not fit the schemas of the kinds a policy
/// is about, and what is valid and still a mistake. Webhook configurations of Portcullis among them, however
/// they were made, are proved not to lock a cluster out. Exits with 0 if there is nothing but notes, with 1 if there
/// is a warning, and with 2 if a policy or an argument cannot be used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis lint policies/                              every policy below a folder
  portcullis lint policies/ --crds crds/                 with the schemas of custom kinds
  portcullis lint policies/ --kubeconfig ~/.kube/config  with those that a cluster has
  portcullis lint policies/ --format sarif > lint.sarif  for code scanning
  portcullis explain lint/missing-has                    what a finding means, and how to mend it")]
pub struct Args {
    /// Policies with their bindings: files, folders, or `-`; the built-in ones by default
    #[arg(value_name = "PATH")]
    policies: Vec<PathBuf>,

    /// CustomResourceDefinitions that say what custom kinds look like; may be repeated
    #[arg(long, value_name = "DIR|FILE")]
    crds: Vec<PathBuf>,

    /// Ask the cluster of this kubeconfig for its CustomResourceDefinitions
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    #[command(flatten)]
    exceptions: ExceptionArgs,

    #[command(flatten)]
    version: VersionArgs,

    /// How findings are printed: human, json, sarif, junit or github
    #[arg(long, value_name = "FORMAT", default_value_t)]
    format: Format,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

/// Looks at policies and prints what was found.
pub fn run(args: &Args) -> Exit {
    let paths = args.policies.iter().chain(&args.crds);
    if paths
        .filter(|path| path.as_os_str() == files::STDIN)
        .count()
        > 1
    {
        note("error: standard input can be read only once, and `-` is given more than once");
        return Exit::Unusable;
    }
    let started = Instant::now();
    let defined = match args.kubeconfig.as_deref().map(definitions) {
        Some(Err((exit, problem))) => {
            note(&format!(
                "error: {}",
                connect::with_causes(problem.as_ref())
            ));
            return exit;
        }
        Some(Ok(defined)) => defined,
        None => Vec::new(),
    };
    let version = args.version.kubernetes_version;
    let texts = sources::texts(&args.policies);
    let mut findings = texts.problems;
    let (mut documents, problems) = sources::documents(&texts.sources);
    findings.extend(problems);
    if texts.sources.iter().all(says_nothing) {
        findings.extend(sources::no_policy(&args.policies, &documents, &findings));
    }
    findings.extend(args.exceptions.excusing().read_into(&mut documents));
    let built = PolicySet::build(documents, version, &PolicySet::default(), |_| false);
    let refused = built.diagnostics.clone();
    findings.extend(built.diagnostics);
    let (world, problems) = world(&texts.sources, (&args.crds, &defined), version);
    findings.extend(problems);
    let linted = lint::lint(&built.set, &world);
    // What does not compile fits no type either, and is said once.
    let is_said = |it: &Diagnostic| refused.iter().any(|refused| is_at_one_place(refused, it));
    findings.extend(
        linted
            .into_iter()
            .filter(|it| it.code != "lint/type" || !is_said(it)),
    );
    let exceptions = built.set.exceptions();
    let calendar = args.exceptions.calendar();
    findings.extend(
        calendar
            .iter()
            .flat_map(|it| review::expiring(exceptions, *it)),
    );
    findings.extend(review::unknown_policies(exceptions, built.set.policies()));
    findings.extend(review::too_wide(exceptions));
    let (configurations, holes) = configurations::prove(&texts.sources);
    findings.extend(holes);
    super::print(&render(&findings, args.format, args.color.style()));
    let count = |severity: Severity| {
        let matching = findings.iter().filter(|it| it.severity == severity);
        matching.count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let notes = match count(Severity::Note) {
        0 => String::new(),
        notes => format!(", {}", counted(notes, "note", "notes")),
    };
    let configurations = match configurations {
        0 => String::new(),
        count => format!(
            " and {}",
            counted(count, "webhook configuration", "webhook configurations")
        ),
    };
    note(&format!(
        "{}{configurations} checked, {}, {}{notes} in {:.1} s",
        counted(built.set.policies().len(), "policy", "policies"),
        counted(errors, "error", "errors"),
        counted(warnings, "warning", "warnings"),
        started.elapsed().as_secs_f64(),
    ));
    match (errors, warnings) {
        (0, 0) => Exit::Clean,
        (0, _) => Exit::Found,
        _ => Exit::Unusable,
    }
}

/// Says whether a text is empty but for comments, as what a failed command leaves behind; of what is no
/// policy nothing is said otherwise.
fn says_nothing(source: &Arc<Source>) -> bool {
    let mut lines = source.text().lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

fn is_at_one_place(a: &Diagnostic, b: &Diagnostic) -> bool {
    match (a.labels.first(), b.labels.first()) {
        (Some(a), Some(b)) => Arc::ptr_eq(&a.source, &b.source) && a.span == b.span,
        _ => false,
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Asks a cluster for the definitions of its custom kinds.
fn definitions(kubeconfig: &Path) -> Result<Vec<Value>, (Exit, anyhow::Error)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|problem| (Exit::Service, problem.into()))?;
    runtime.block_on(async {
        let connected = connect::client(Some(kubeconfig)).await;
        let connected = connected.map_err(|problem| (Exit::Unusable, problem.into()))?;
        let Some((client, address)) = connected else {
            return Ok(Vec::new());
        };
        let asked = cluster::definitions::list(client).await;
        asked
            .with_context(|| format!("cannot list the custom kinds of {address}"))
            .map_err(|problem| (Exit::Service, problem))
    })
}

/// What is known of kinds: Kubernetes' own, those of CRDs given or lying beside the policies, and those
/// that a cluster has.
fn world(
    policies: &[Arc<Source>],
    (crds, defined): (&[PathBuf], &[Value]),
    version: KubernetesVersion,
) -> (World, Vec<Diagnostic>) {
    let mut schemas = Schemas::built_in();
    let mut resources = Resources::default();
    for crd in defined {
        // The cluster has accepted them: what is not understood of one is not known.
        let _ = resources.define(crd);
        let _ = schemas.define(crd);
    }
    let found = files::find(crds, files::is_document);
    let mut problems = found.problems;
    let mut given = Vec::new();
    for path in &found.files {
        match files::read(path, files::MAX_MANIFEST_BYTES) {
            Ok(source) => given.push(source),
            Err(problem) => problems.push(problem),
        }
    }
    let beside = policies
        .iter()
        .filter(|source| source.text().contains("CustomResourceDefinition"));
    let mut is_defined = false;
    for source in beside.chain(&given) {
        let (manifests, faults) = manifest::read(source);
        if given.iter().any(|it| Arc::ptr_eq(it, source)) {
            problems.extend(faults);
        }
        for crd in manifests
            .iter()
            .filter(|it| it.kind == "CustomResourceDefinition")
        {
            is_defined = true;
            let object = crd.to_json();
            // One that defines no resource has no schema either, and is said once.
            let _ = resources.define(&object);
            if let Err(error) = schemas.define(&object) {
                let problem = Diagnostic::warning("lint/crd", error.to_string());
                let span = crate::manifest::point::title(crd);
                problems.push(problem.at(&crd.source, span));
            }
        }
    }
    if !crds.is_empty() && !is_defined {
        problems.push(Diagnostic::warning(
            "manifest/no-crd",
            "there is no CustomResourceDefinition in what `--crds` names",
        ));
    }
    let world = World {
        schemas: Arc::new(schemas),
        resources,
        version,
    };
    (world, problems)
}
