//! The policies to work with, read from files and folders, or the built-in ones.

pub mod files;
pub mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cel::version::KubernetesVersion;
use crate::diagnostics::{Diagnostic, Severity};
use crate::policy::exceptions::settle_reach;
use crate::policy::model::Documents;
use crate::policy::overrides::Overrides;
use crate::policy::set::PolicySet;
use crate::policy::{packs, read};
use crate::text::Source;

/// The texts of policies.
#[derive(Debug, Default)]
pub struct Texts {
    /// What could be read.
    pub sources: Vec<Arc<Source>>,
    /// What is wrong with the rest.
    pub problems: Vec<Diagnostic>,
    /// Files and folders that are there and could not be read.
    pub unread: Vec<PathBuf>,
    /// The objects of a cluster that some of the sources are in.
    pub carriers: Vec<Arc<Carrier>>,
}

/// An object of a cluster that holds policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// The version of its kind.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace; `None` if it is in none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What distinguishes it from others of its name.
    pub uid: String,
    /// Its generation, or else its version, when the texts were last others.
    pub version: String,
    /// The texts in it.
    pub sources: Vec<Arc<Source>>,
    /// What is wrong with what is no text.
    pub faults: Vec<String>,
    /// Keys that are not named as files of policies.
    pub passed_over: Vec<String>,
}

impl Carrier {
    /// Says whether everything that counts is the same.
    pub fn holds_the_same(&self, other: &Carrier) -> bool {
        (&self.uid, &self.api_version) == (&other.uid, &other.api_version)
            && self.sources == other.sources
            && (&self.faults, &self.passed_over) == (&other.faults, &other.passed_over)
    }

    /// Returns how many bytes its texts take.
    pub fn size_bytes(&self) -> usize {
        let sources = self.sources.iter();
        sources.map(|it| it.name().len() + it.text().len()).sum()
    }
}

impl std::fmt::Display for Carrier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Carrier { kind, name, .. } = self;
        match &self.namespace {
            Some(namespace) => write!(formatter, "{kind} {namespace}/{name}"),
            None => write!(formatter, "{kind} {name}"),
        }
    }
}

/// Reads the texts of the policies at these paths, or of the built-in ones if there are none.
///
/// Folders are walked for `.cel`, `.yaml`, `.yml` and `.json`; files of tests are passed over.
pub fn texts(paths: &[PathBuf]) -> Texts {
    let mut texts = texts_if_any(paths);
    if texts.sources.is_empty() && texts.problems.is_empty() {
        texts.problems.push(nothing_in(paths));
    }
    texts
}

/// Reads them as [`texts`] does, where there are others besides: that there are none is no mistake.
pub fn texts_if_any(paths: &[PathBuf]) -> Texts {
    if paths.is_empty() {
        return Texts {
            sources: packs::sources(),
            ..Texts::default()
        };
    }
    let found = files::find(paths, is_policy);
    let mut sources = Vec::new();
    let (mut problems, mut unread) = (found.problems, found.unread);
    for path in &found.files {
        match files::read(path, files::MAX_POLICY_BYTES) {
            Ok(source) => sources.push(source),
            Err(problem) => {
                problems.push(problem);
                unread.push(path.clone());
            }
        }
    }
    Texts {
        sources,
        problems,
        unread,
        carriers: Vec::new(),
    }
}

/// Says that the paths hold no policy, if nothing else says why: with manifests given by mistake as policies,
/// everything would be admitted.
pub fn no_policy(
    paths: &[PathBuf],
    documents: &Documents,
    findings: &[Diagnostic],
) -> Option<Diagnostic> {
    (documents.policies.is_empty() && findings.is_empty()).then(|| nothing_in(paths))
}

fn nothing_in(paths: &[PathBuf]) -> Diagnostic {
    let paths: Vec<String> = paths
        .iter()
        .map(|it| format!("`{}`", it.display()))
        .collect();
    let message = format!("there are no policies in {}", paths.join(", "));
    Diagnostic::error("file/empty", message).help(
        "policies are `.cel` files, and documents of their kinds in `.yaml`, `.yml` and `.json` files",
    )
}

/// Reads the texts of exceptions that do not lie with the policies; that there are none is no mistake.
pub fn exceptions(paths: &[PathBuf]) -> Texts {
    let found = files::find(paths, files::is_document);
    let mut texts = Texts {
        problems: found.problems,
        unread: found.unread,
        ..Texts::default()
    };
    for path in &found.files {
        match files::read(path, files::MAX_POLICY_BYTES) {
            Ok(source) => texts.sources.push(source),
            Err(problem) => {
                texts.problems.push(problem);
                texts.unread.push(path.clone());
            }
        }
    }
    texts
}

/// Says whether a file in a folder is taken for policies.
pub fn is_policy(path: &Path) -> bool {
    files::has_extension(path, &["cel"]) || files::is_document(path)
}

/// Reads policies out of texts.
pub fn documents(sources: &[Arc<Source>]) -> (Documents, Vec<Diagnostic>) {
    let mut documents = Documents::default();
    let mut diagnostics = Vec::new();
    for source in sources {
        let (read, findings) = read::read(source);
        documents.policies.extend(read.policies);
        documents.bindings.extend(read.bindings);
        documents.params.extend(read.params);
        documents.exceptions.extend(read.exceptions);
        diagnostics.extend(findings);
    }
    (documents, diagnostics)
}

/// The version of Kubernetes whose language policies are written in: the one asked for, and of the
/// built-in ones the newest. No API server compiles those unless they are exported.
pub fn language(paths: &[PathBuf], asked: KubernetesVersion) -> KubernetesVersion {
    match paths.is_empty() {
        true => KubernetesVersion::NEWEST,
        false => asked,
    }
}

/// Where exceptions are that do not lie with the policies, and how far they reach.
#[derive(Debug, Clone, Copy, Default)]
pub struct Excusing<'e> {
    /// Files and folders.
    pub paths: &'e [PathBuf],
    /// Those of a cluster, each as a text. A fault in one is no fault of the run: it excuses nothing.
    pub of_cluster: &'e [Arc<Source>],
    /// The namespace whose exceptions reach all others.
    pub policy_namespace: Option<&'e str>,
}

impl Excusing<'_> {
    /// Adds the exceptions to what was read with the policies, and says how far each reaches.
    pub fn read_into(self, documents: &mut Documents) -> Vec<Diagnostic> {
        let texts = exceptions(self.paths);
        let (read, findings) = self::documents(&texts.sources);
        let mut problems = texts.problems;
        problems.extend(findings);
        let others = read.policies.iter().map(|it| &it.origin);
        problems.extend(others.map(|origin| {
            Diagnostic::error("exception/not-an-exception", "a policy among exceptions")
                .at(&origin.source, origin.span)
                .help("`--exceptions` names PolicyExceptions; name policies with `--policies`")
        }));
        documents.exceptions.extend(read.exceptions);
        let (read, findings) = self::documents(self.of_cluster);
        problems.extend(findings);
        documents.exceptions.extend(read.exceptions);
        settle_reach(documents, self.policy_namespace);
        problems
    }

    /// Makes warnings of what is wrong with exceptions of the cluster: whoever may write one there is not to
    /// be able to end a run by it.
    fn soften(self, diagnostics: &mut [Diagnostic]) {
        let texts: BTreeSet<*const Source> = self.of_cluster.iter().map(Arc::as_ptr).collect();
        for diagnostic in diagnostics.iter_mut().filter(|it| it.is_error()) {
            let label = diagnostic.labels.first();
            if label.is_some_and(|label| texts.contains(&Arc::as_ptr(&label.source))) {
                diagnostic.severity = Severity::Warning;
                diagnostic
                    .message
                    .push_str("; the exception excuses nothing");
            }
        }
    }
}

/// Reads and compiles the policies at these paths, or the built-in ones, as written for a version of
/// Kubernetes and with what is said of them.
pub fn load(
    paths: &[PathBuf],
    version: KubernetesVersion,
    overrides: &Overrides,
) -> (PolicySet, Vec<Diagnostic>) {
    load_excusing(paths, Excusing::default(), version, overrides)
}

/// Reads and compiles policies as [`load`] does, with exceptions from elsewhere.
pub fn load_excusing(
    paths: &[PathBuf],
    excusing: Excusing<'_>,
    version: KubernetesVersion,
    overrides: &Overrides,
) -> (PolicySet, Vec<Diagnostic>) {
    let Texts {
        sources,
        problems: mut diagnostics,
        ..
    } = texts(paths);
    let (mut documents, findings) = documents(&sources);
    diagnostics.extend(findings);
    diagnostics.extend(no_policy(paths, &documents, &diagnostics));
    diagnostics.extend(overrides.apply(&mut documents));
    diagnostics.extend(excusing.read_into(&mut documents));
    let version = language(paths, version);
    let built = PolicySet::build(documents, version, &PolicySet::default(), |_| false);
    diagnostics.extend(built.diagnostics);
    excusing.soften(&mut diagnostics);
    (built.set, diagnostics)
}
