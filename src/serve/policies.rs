//! The policies the server applies, and the answers they give: one immutable set, swapped whole.

mod decide;
mod refusal;
pub mod report;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Value, json};
use tokio::sync::watch as channel;

use crate::cel::version::KubernetesVersion;
use crate::cluster::Cluster;
use crate::cluster::events::Events;
use crate::cluster::exceptions::{self as of_cluster, ClusterExceptions};
use crate::cluster::followed::{Followed, Size};
use crate::cluster::inquiry::Inquiry;
use crate::diagnostics::{Diagnostic, Format, Style, render};
use crate::engine::respond::Mode;
use crate::policy::compile::CompiledPolicy;
use crate::policy::exceptions::review::NOTICE_DAYS;
use crate::policy::exceptions::{self as excuses, settle_reach};
use crate::policy::model::{Binding, FailurePolicy, ParamKind, PolicyKind, PolicyScope};
use crate::policy::overrides::Overrides;
use crate::policy::reads::Reads;
use crate::policy::set::PolicySet;
use crate::serve::exceptions::{self, Uses};
use crate::serve::registration::Demand;
use crate::sources::{self, Texts};
use crate::telemetry::checks::{Checks, Table};
use crate::telemetry::decisions::DecisionLog;
use crate::telemetry::logs::seldom::Seldom;
use crate::webhook::admission::{Admission, Attempt, Check, Endpoint, Undecided};
use report::{Report, Written};

/// Reads the texts of the policies.
pub type Load = dyn Fn() -> Texts + Send + Sync;

/// How long policies that read more of the cluster than those before wait for that to be listed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many findings are named where there is one line for all.
const MOST_NAMED: usize = 5;

/// Decides reviews by policies that can be exchanged at any time.
pub struct Policies {
    load: Box<Load>,
    version: KubernetesVersion,
    overrides: Overrides,
    mode: Mode,
    loaded: ArcSwap<Loaded>,
    /// Answers what policies ask about the cluster; without it nothing is known.
    cluster: Option<Arc<Cluster>>,
    /// Tells the owners of what is denied, if they are to be told.
    events: Option<Events>,
    /// Counts how often policies were loaded.
    revision: channel::Sender<u64>,
    uses: Uses,
    /// Exceptions that the last scan of everything did not need.
    unneeded: ArcSwap<Vec<Diagnostic>>,
    /// When it was logged that policies disagree.
    unsettled: Seldom,
    /// Exceptions of the cluster, which are among what is loaded.
    of_cluster: Option<Arc<ClusterExceptions>>,
    /// One reload at a time: what was read later is in force later.
    reloading: Mutex<()>,
    /// The namespace whose exceptions reach all others.
    policy_namespace: Option<String>,
    /// Where what is decided is counted and logged.
    records: Records,
}

/// Where what is decided is counted and logged; without anything nowhere.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The counts.
    pub checks: Checks,
    /// The decision log.
    pub log: Option<Arc<DecisionLog>>,
}

/// What was loaded at one time.
#[derive(Debug, Default)]
struct Loaded {
    set: PolicySet,
    /// What is followed of the cluster for them.
    followed: Option<Followed>,
    /// Policies in force as they were before, because what is written is faulty.
    kept: Vec<String>,
    /// Exceptions, the same.
    kept_exceptions: Vec<String>,
    problems: Vec<Diagnostic>,
    report: Arc<Report>,
    /// Whether every source could be read, this time or once before: then what is not there was taken
    /// away.
    was_whole: bool,
    /// Where each binding counts.
    table: Table,
}

/// The policies in force at one moment.
pub(super) struct InForce(Arc<Loaded>);

impl InForce {
    pub(super) fn set(&self) -> &PolicySet {
        &self.0.set
    }

    /// Returns what is followed for them; `None` without a cluster.
    pub(super) fn followed(&self) -> Option<&Followed> {
        self.0.followed.as_ref()
    }

    /// Names what could never be read so far; `None` if nothing is: then what is not in force was taken
    /// away.
    pub(super) fn never_read(&self) -> Option<String> {
        let unread = self.0.report.unread.iter();
        let names: Vec<String> = unread.map(|it| format!("`{}`", it.display())).collect();
        (!self.0.was_whole).then(|| listed(&names, ", "))
    }
}

impl Policies {
    /// Loads policies, written for a version of Kubernetes, for the first time. Faulty ones are
    /// configuration errors under their own failure policy.
    pub fn load(
        load: Box<Load>,
        version: KubernetesVersion,
        overrides: Overrides,
        mode: Mode,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        let policies = Policies {
            load,
            version,
            overrides,
            mode,
            loaded: ArcSwap::default(),
            cluster,
            events: None,
            revision: channel::Sender::new(0),
            records: Records::default(),
            uses: Uses::default(),
            unneeded: ArcSwap::default(),
            unsettled: Seldom::default(),
            of_cluster: None,
            reloading: Mutex::default(),
            policy_namespace: None,
        };
        policies.reload();
        policies
    }

    /// Counts and logs what is decided there; to be called before anything is decided.
    pub fn recorded(mut self, records: Records) -> Self {
        self.records = records;
        let loaded = self.loaded.swap(Arc::default());
        let loaded = match Arc::try_unwrap(loaded) {
            Ok(mut loaded) => {
                loaded.table = self.table(&loaded.set);
                Arc::new(loaded)
            }
            // Somebody looks at it: what it decides is counted from the next load on.
            Err(loaded) => loaded,
        };
        self.loaded.store(loaded);
        self
    }

    fn table(&self, set: &PolicySet) -> Table {
        self.records.checks.table(set, self.mode.is_audit())
    }

    /// Tells the owners of what is denied by Events.
    #[must_use]
    pub fn with_events(self, events: Option<Events>) -> Self {
        Policies { events, ..self }
    }

    /// Takes the exceptions of the cluster in, of which those in one namespace reach all others.
    #[must_use]
    pub fn excusing(
        mut self,
        policy_namespace: Option<String>,
        of_cluster: Option<Arc<ClusterExceptions>>,
    ) -> Self {
        if policy_namespace.is_some() || of_cluster.is_some() {
            self.policy_namespace = policy_namespace;
            self.of_cluster = of_cluster;
            self.reload();
        }
        self
    }

    /// Loads policies again and swaps them in; faulty ones keep their last good version.
    pub fn reload(&self) {
        let _alone = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let previous = self.loaded.load();
        let mut texts = (self.load)();
        if let Some((sources, unknown)) = self.of_cluster.as_ref().map(|it| it.texts()) {
            texts.sources.extend(sources);
            texts.unread.extend(unknown);
        }
        let (mut documents, findings) = sources::documents(&texts.sources);
        let mut problems = texts.problems;
        problems.extend(findings);
        let faulty: FxHashSet<String> = problems
            .iter()
            .filter(|problem| problem.is_error())
            .flat_map(|problem| &problem.labels)
            .map(|label| label.source.name().to_owned())
            .collect();
        // What could not be read says nothing about the policies that were in it.
        let is_unread = |source: &str| {
            let mut unread = texts.unread.iter();
            unread.any(|path| Path::new(source).starts_with(path))
        };
        problems.extend(self.overrides.apply(&mut documents));
        settle_reach(&mut documents, self.policy_namespace.as_deref());
        let built = PolicySet::build_to_serve(documents, self.version, &previous.set, |source| {
            faulty.contains(source) || is_unread(source)
        });
        problems.extend(built.diagnostics);
        let about_exceptions = exceptions::findings(&built.set);
        let was_whole = previous.was_whole || texts.unread.is_empty();
        let written = Written {
            sources: texts.sources,
            unread: texts.unread,
            carriers: texts.carriers,
        };
        let loaded = Loaded {
            followed: self.follow(&built.set, previous.followed.as_ref()),
            report: {
                let all = [&*problems, &about_exceptions].concat();
                Arc::new(Report::of(written, &built.set, &all))
            },
            table: self.table(&built.set),
            set: built.set,
            kept: built.kept,
            kept_exceptions: built.kept_exceptions,
            problems,
            was_whole,
        };
        self.loaded.store(Arc::new(loaded));
        self.unneeded.store(Arc::default());
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Returns a channel that says when other policies are in force.
    pub fn changes(&self) -> channel::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Returns how each text stands, and each object that policies are in.
    pub fn report(&self) -> Arc<Report> {
        Arc::clone(&self.loaded.load().report)
    }

    /// Returns the state of every policy, after its name and that of its text.
    pub fn states(&self) -> Vec<(String, String, State)> {
        let loaded = self.loaded.load();
        let states = loaded.states();
        let named = states.map(|(policy, state, _)| {
            let read = &policy.policy;
            let source = read.origin.source.name().to_owned();
            (read.name.clone(), source, state)
        });
        named.collect()
    }

    /// Returns what the policies in force ask to be called for; `None` as long as some source could
    /// never be read, because what its policies ask for is not known.
    pub fn demand(&self) -> Option<Demand> {
        let loaded = self.loaded.load();
        loaded.was_whole.then(|| Demand::of(&loaded.set))
    }

    /// Returns the policies in force at this moment.
    pub(super) fn in_force(&self) -> InForce {
        InForce(self.loaded.load_full())
    }

    /// Follows what a set reads of the cluster. On a reload the set comes into force when that is
    /// known, so that no request is refused for want of it; what the set before reads is followed as
    /// long as that is in force.
    fn follow(&self, set: &PolicySet, before: Option<&Followed>) -> Option<Followed> {
        let cluster = self.cluster.as_ref()?;
        let followed = cluster.follow(&Reads::of(set), before);
        if before.is_some() {
            followed.wait(PATIENCE);
        }
        Some(followed)
    }

    /// Says how much of the cluster is kept for the policies in force.
    pub fn caches(&self) -> Vec<Size> {
        let loaded = self.loaded.load();
        let followed = loaded.followed.as_ref();
        followed.map(Followed::sizes).unwrap_or_default()
    }

    /// Shows what is wrong with the policies as they are written; empty if nothing is.
    pub fn problems(&self) -> String {
        render(&self.all_problems(), Format::Human, Style::Plain)
    }

    /// Returns what is wrong by now: with what is written, and with exceptions, some of which end while
    /// nothing is written.
    fn all_problems(&self) -> Vec<Diagnostic> {
        let loaded = self.loaded.load();
        let mut problems = loaded.problems.clone();
        problems.extend(exceptions::findings(&loaded.set));
        problems.extend(self.unneeded.load().iter().cloned());
        problems
    }

    /// Returns what is wrong with exceptions by now, in words.
    pub(super) fn wrong_exceptions(&self) -> BTreeSet<String> {
        let found = exceptions::findings(&self.loaded.load().set);
        found.into_iter().map(|it| it.message).collect()
    }

    /// Takes what a scan of everything has found not to be needed, and says what is new of it.
    pub(super) fn take_unneeded(&self, found: Vec<Diagnostic>) {
        let before = self.unneeded.swap(Arc::new(found));
        for finding in self.unneeded.load().iter() {
            if !before.iter().any(|it| it.message == finding.message) {
                tracing::warn!("{} by any object of the cluster", finding.message);
            }
        }
    }

    /// Names what is wrong with the policies as they are written, each with its place, in one line;
    /// `None` if nothing is.
    pub fn faults(&self) -> Option<String> {
        let loaded = self.loaded.load();
        let errors = loaded.problems.iter().filter(|it| it.is_error());
        let lines: Vec<String> = errors.map(line).collect();
        (!lines.is_empty()).then(|| listed(&lines, "; "))
    }

    /// Returns how often exceptions were used.
    pub(super) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Returns what has become of each exception; nothing if the time is not known.
    pub(super) fn exception_states(&self) -> Vec<excuses::State> {
        let loaded = self.loaded.load();
        let all = loaded.set.exceptions().all().iter();
        let now = of_cluster::now();
        all.filter_map(|it| Some(it.state(now?, NOTICE_DAYS)))
            .collect()
    }

    /// Says in a few words what is in force.
    pub fn summary(&self) -> String {
        self.loaded.load().summary()
    }

    /// Returns one line for each policy in force.
    pub fn overview(&self) -> Vec<String> {
        let loaded = self.loaded.load();
        let line = |policy: &Arc<CompiledPolicy>| {
            let description = first_words(&policy.policy.about.description);
            format!("{}  {description}", policy.policy.name)
        };
        let validating = loaded.set.validating().iter();
        let mutating = loaded.set.mutating().iter();
        let in_force = validating.chain(mutating);
        in_force.map(|bound| line(&bound.policy)).collect()
    }
}

impl Loaded {
    fn summary(&self) -> String {
        let faulty: Vec<String> = self
            .set
            .policies()
            .iter()
            .filter(|policy| policy.is_faulty())
            .map(|policy| format!("`{}`", policy.policy.name))
            .collect();
        let kept: Vec<String> = self.kept.iter().map(|name| format!("`{name}`")).collect();
        let in_force = self.set.validating().len() + self.set.mutating().len();
        let mut summary = format!("{in_force} policies in force");
        for (names, state) in [
            (kept, "kept at their last good version"),
            (faulty, "faulty"),
        ] {
            if !names.is_empty() {
                let count = names.len();
                summary.push_str(&format!(", {count} {state} ({})", listed(&names, ", ")));
            }
        }
        summary
    }

    /// Returns every policy with its state and its bindings.
    fn states(&self) -> impl Iterator<Item = (&Arc<CompiledPolicy>, State, Vec<&Binding>)> {
        let mut bindings: FxHashMap<&str, Vec<&Binding>> = FxHashMap::default();
        for binding in self.set.bindings() {
            bindings
                .entry(&binding.policy_name)
                .or_default()
                .push(binding);
        }
        let kept: FxHashSet<&str> = self.kept.iter().map(String::as_str).collect();
        self.set.policies().iter().map(move |policy| {
            let read = &policy.policy;
            let bindings = bindings.get(read.name.as_str()).into_iter().flatten();
            let bindings: Vec<&Binding> = bindings
                .copied()
                .filter(|binding| binding.kind == read.kind)
                .collect();
            let state = match (policy.is_faulty(), bindings.is_empty()) {
                _ if kept.contains(read.name.as_str()) => State::LastGood,
                (false, _) if read.scope == PolicyScope::Cluster => State::AboutCluster,
                (true, _) => State::Faulty,
                (false, true) => State::NotBound,
                (false, false) => State::InForce,
            };
            (policy, state, bindings)
        })
    }

    fn describe_all(&self) -> Vec<Value> {
        let states = self.states();
        let described = states.map(|(policy, state, bindings)| {
            let mut described = describe(policy, &bindings, state);
            let (kind, name) = (policy.policy.kind, &policy.policy.name);
            let source = policy.policy.origin.source.name();
            if let Some(fields) = described.as_object_mut() {
                let object = self.report.object_of(source);
                fields.insert("object".to_owned(), json!(object));
                let faults = self.report.faults_of(kind, name);
                fields.insert("faults".to_owned(), faults);
            }
            described
        });
        described.collect()
    }
}

/// How many characters of a description are shown where a policy has one line.
const MOST_CHARACTERS: usize = 80;

/// Returns the first sentence of a description, or as many words of it as fit.
fn first_words(description: &str) -> String {
    let paragraph = description.split("\n\n").next().unwrap_or_default();
    let mut shown = String::new();
    for word in paragraph.split_whitespace() {
        if shown.chars().count() + word.chars().count() >= MOST_CHARACTERS {
            shown.push('…');
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        match word.strip_suffix('.') {
            Some(last) => {
                shown.push_str(last);
                break;
            }
            None => shown.push_str(word),
        }
    }
    shown
}

/// How a policy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// As it is written.
    InForce,
    /// As it was before; what is written is faulty.
    LastGood,
    /// It is faulty, and its failure policy decides.
    Faulty,
    /// No binding names it.
    NotBound,
    /// No request is decided by it.
    AboutCluster,
}

impl State {
    /// Returns the words that are shown.
    pub fn words(self) -> &'static str {
        match self {
            State::InForce => "in force",
            State::LastGood => "last good version",
            State::Faulty => "faulty",
            State::NotBound => "not bound",
            State::AboutCluster => "not about requests",
        }
    }
}

fn describe(policy: &CompiledPolicy, bindings: &[&Binding], state: State) -> Value {
    let read = &policy.policy;
    let bindings: Vec<Value> = bindings
        .iter()
        .map(|binding| {
            let actions: Vec<&str> = binding
                .validation_actions
                .iter()
                .map(|action| action.as_str())
                .collect();
            json!({ "name": binding.name, "validationActions": actions })
        })
        .collect();
    json!({
        "name": read.name,
        "kind": match read.kind {
            PolicyKind::Validating => "validating",
            PolicyKind::Mutating => "mutating",
        },
        "state": state.words(),
        "source": read.origin.source.name(),
        "description": read.about.description,
        "severity": read.about.severity.as_str(),
        "category": read.about.category,
        "failurePolicy": match read.failure_policy {
            FailurePolicy::Fail => "Fail",
            FailurePolicy::Ignore => "Ignore",
        },
        "bindings": bindings,
    })
}

/// Returns a finding as compilers print one: place, then message.
fn line(problem: &Diagnostic) -> String {
    match problem.labels.first() {
        Some(label) => {
            let at = label.position();
            let source = label.source.name();
            format!("{source}:{}:{}: {}", at.line, at.column, problem.message)
        }
        None => problem.message.clone(),
    }
}

/// Joins the first few, and counts the others.
fn listed(items: &[String], separator: &str) -> String {
    let named = items.iter().take(MOST_NAMED).map(String::as_str);
    let mut text = named.collect::<Vec<_>>().join(separator);
    if let Some(others) = items.len().checked_sub(MOST_NAMED + 1) {
        text.push_str(&format!("{separator}and {} more", others + 1));
    }
    text
}

impl Admission for Policies {
    type Inquiry = Inquiry;

    fn review(
        &self,
        endpoint: Endpoint,
        body: &[u8],
        attempt: Attempt<'_, Inquiry>,
    ) -> Result<Vec<u8>, Undecided> {
        self.attempt(endpoint, body, attempt)
    }

    async fn inquire(&self, inquiry: &mut Inquiry, deadline: Instant) {
        if let Some(cluster) = &self.cluster {
            cluster.pursue(inquiry, deadline).await;
        }
    }

    fn policies(&self) -> Value {
        let loaded = self.loaded.load();
        let problems = render(&self.all_problems(), Format::Json, Style::Plain);
        json!({
            "mode": if self.mode.is_audit() { "audit" } else { "enforce" },
            "policies": loaded.describe_all(),
            "exceptions": exceptions::describe(&loaded.set, &loaded.kept_exceptions, &self.uses),
            "sources": loaded.report.describe(),
            "problems": serde_json::from_str::<Value>(&problems).unwrap_or_default(),
        })
    }

    fn readiness(&self) -> Vec<Check> {
        let summary = match self.faults() {
            Some(faults) => format!("{}: {faults}", self.summary()),
            None => self.summary(),
        };
        let mut checks = vec![Check::new("policies", Ok(summary))];
        let loaded = self.loaded.load();
        let known = self.cluster.as_ref().zip(loaded.followed.as_ref());
        let known = known.map(|(cluster, followed)| cluster.readiness(followed));
        checks.extend(known.map(|outcome| Check::new("cluster", outcome)));
        let exceptions = self.of_cluster.iter();
        checks.extend(exceptions.map(|it| Check::new("exceptions", it.state())));
        checks
    }
}

/// The kinds of the cluster that policies about requests read; what others read need not be followed.
pub(super) fn kinds(set: &PolicySet) -> BTreeSet<ParamKind> {
    let policies = set.policies().iter();
    let policies = policies.filter(|it| it.policy.scope == PolicyScope::Request);
    let kinds = policies.flat_map(|compiled| {
        let policy = &compiled.policy;
        let read = policy.reads.iter().map(|read| ParamKind {
            api_version: read.api_version.clone(),
            kind: read.kind.clone(),
        });
        read.chain(policy.param_kind.clone())
    });
    kinds.collect()
}

#[cfg(test)]
mod tests;
