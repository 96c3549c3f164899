//! Scans of what the cluster has, while the server serves: by one replica, which writes the reports.
//!
//! What is found of a kind is written when the kind was looked at, and then forgotten. Which kinds are done
//! is noted on the Lease ([`Position`]): a replica that comes to hold it goes on with the others, if its
//! policies are the same. Without a Lease every server scans for itself, so that one should have none; and
//! without reports there is nothing to go on from. A scan is begun again a moment after the policies have
//! changed, and none before every source of policies was read once.
//!
//! Requests go first: one object at a time is looked at, on one thread, and none while requests are being
//! answered, for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bumpalo::Bump;
use tokio::sync::watch;

use super::policies::Policies;
use crate::admission::resources::Resources;
use crate::audit::finding::{Findings, Limits};
use crate::audit::keep::Keeper;
use crate::audit::list::Lister;
use crate::audit::plan::{Only, Plan};
use crate::audit::position::Position;
use crate::audit::report::Api;
use crate::audit::scan::{self, Scan, Seen, Unit};
use crate::audit::served::Discovery;
use crate::audit::view::{self, Snapshot, Texts, Without, World};
use crate::audit::write::{WriteError, Writer};
use crate::cluster::Cluster;
use crate::cluster::exceptions;
use crate::cluster::followed::Followed;
use crate::cluster::lease::{Note, Standing};
use crate::engine::cluster::ClusterView;
use crate::manifest::Key;
use crate::policy::exceptions::review;
use crate::policy::model::PolicyScope;
use crate::schema::Schemas;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::scans::{ScanFigures, ScanMetrics};
use crate::webhook::listener::{Stage, reached};

/// What the API server is told.
pub const AGENT: &str = concat!("portcullis-audit/", env!("CARGO_PKG_VERSION"));
/// The wait before the first scan, and after the policies have changed: they change together.
const SETTLE: Duration = Duration::from_secs(10);
/// How many pages are asked for in a second: five thousand objects.
pub const MOST_PAGES_A_SECOND: f64 = 10.0;
/// What policies about the cluster as a whole may read; it is held in memory beside what requests need.
const MOST_READ: usize = 32 * 1024 * 1024;
/// How many findings of a kind are kept: some six megabytes.
const LIMITS: Limits = Limits {
    of_namespace: 10_000,
    of_all: 20_000,
};
/// How long the Namespace of a scanned object may take to come by the watch, and how often it is looked.
const ARRIVAL: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);
/// The pause while requests are answered, and how many of them there are before an object is looked at
/// all the same: a server that is never idle scans, too.
const PAUSE: Duration = Duration::from_millis(1);
const MOST_PAUSES: u32 = 20;

/// What a server needs to scan.
pub struct Auditor {
    /// The name of the installation, whose reports are kept.
    pub name: String,
    /// How long after the end of a scan the next one begins.
    pub interval: Duration,
    /// Where reports are written to, if they are.
    pub reports: Option<Api>,
    /// What policies read.
    pub cluster: Arc<Cluster>,
    /// The policies.
    pub policies: Arc<Policies>,
    /// Asks for pages.
    pub lister: Lister,
    /// What is measured.
    pub metrics: ScanMetrics,
}

/// Whether this replica is the one that scans, and where it notes how far it is.
struct Tenure {
    standing: watch::Receiver<Standing>,
    note: Note,
}

impl Tenure {
    fn is_held(tenure: Option<&Tenure>) -> bool {
        tenure.is_none_or(|it| it.standing.borrow().is_holder())
    }
}

impl Auditor {
    /// Scans until the server leaves; with a Lease only while this replica holds it.
    pub(super) async fn run(
        self,
        tenure: Option<(watch::Receiver<Standing>, Note)>,
        metrics: Metrics,
        mut stage: watch::Receiver<Stage>,
    ) {
        let tenure = tenure.map(|(standing, note)| Tenure { standing, note });
        let scans = async {
            loop {
                if let Some(tenure) = &tenure {
                    // The sender lives as long as the server.
                    let mut standing = tenure.standing.clone();
                    let _ = standing.wait_for(Standing::is_holder).await;
                }
                self.while_held(tenure.as_ref(), &metrics).await;
                self.metrics.forget();
            }
        };
        tokio::select! {
            () = scans => {}
            () = reached(&mut stage, Stage::Leaving) => {}
        }
    }

    /// Scans again and again until this replica holds the Lease no longer.
    async fn while_held(&self, tenure: Option<&Tenure>, metrics: &Metrics) {
        let mut changes = self.policies.changes();
        let lost = tenure.map(|it| it.standing.clone());
        let is_lost = async {
            match lost {
                Some(mut lost) => drop(lost.wait_for(|it| !it.is_holder()).await),
                None => std::future::pending().await,
            }
        };
        let scans = async {
            tokio::time::sleep(SETTLE.min(self.interval)).await;
            loop {
                changes.mark_unchanged();
                match self.once(tenure, metrics).await {
                    Ok(said) => tracing::info!("{said}"),
                    Err(problem) => {
                        self.metrics.failed();
                        tracing::error!(problem, "what the cluster has cannot be scanned");
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => {}
                    Ok(()) = changes.changed() => {
                        tokio::time::sleep(SETTLE.min(self.interval)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = scans => {}
            () = is_lost => {}
        }
    }

    /// Scans once, or the rest of what another replica has begun, and writes what is found; returns a
    /// summary for the log.
    async fn once(&self, tenure: Option<&Tenure>, metrics: &Metrics) -> Result<String, String> {
        let in_force = self.policies.in_force();
        let set = in_force.set();
        // Without its policies what a scan before has found would seem to be mended.
        if let Some(sources) = in_force.never_read() {
            return Err(format!("not all policies could be read yet: {sources}"));
        }
        let known = (self.cluster.definitions(), in_force.followed());
        let (Some(definitions), Some(followed)) = known else {
            return Err("custom kinds are not known yet".to_owned());
        };
        let discovery = Discovery::of(&self.lister).await;
        let discovery = discovery.map_err(|problem| format!("the kinds: {problem}"))?;
        let api = self.reports.filter(|it| it.is_served(&discovery));
        let noted = tenure
            .filter(|_| api.is_some())
            .and_then(|it| it.note.get());
        let position = Position::new(set, api, now()).resume(noted.as_deref());
        let mut plan = Plan::of(set, &discovery, &Only::default());
        let kinds = match set.about_cluster().is_empty() || position.is_past(Unit::Cluster) {
            true => Default::default(),
            false => view::kinds(set, &[PolicyScope::Cluster]),
        };
        let texts = Texts::list(&self.lister, &discovery, &kinds, MOST_READ).await;
        for (kind, problem) in &texts.problems {
            plan.leave_out_readers(set, &kind.api_version, &kind.kind, &problem.to_string());
        }
        let arena = Bump::new();
        let world = Live {
            followed,
            given_up: Mutex::default(),
            whole: Snapshot::new(&arena, &texts, set),
        };
        let resources: &Resources = definitions.resources();
        let scan = Scan {
            set,
            plan: &plan,
            world: &world,
            resources,
            schemas: &|| -> &Schemas { definitions.schemas() },
            lister: &self.lister,
            namespaces: &[],
            threads: 1,
            limits: LIMITS,
            journal: None,
            now: exceptions::now(),
            used: &Mutex::default(),
            give_way: &|| give_way(metrics),
        };
        let run = Run {
            scan: &scan,
            discovery: &discovery,
            api,
            tenure,
        };
        self.go(&run, position).await
    }

    /// Looks at what is not done yet, unit by unit.
    async fn go(&self, run: &Run<'_>, mut position: Position) -> Result<String, String> {
        let may_write = || Tenure::is_held(run.tenure);
        let stopped = || Ok("another replica goes on with the scan".to_owned());
        let units = scan::units(run.scan.plan, &[]);
        let is_resumed = position.has_begun();
        let mut tally = Tally::default();
        let mut keeper = None;
        if let Some(api) = run.api {
            let writer = Writer {
                lister: &self.lister,
                api,
                installation: &self.name,
                namespaces: &[],
                may_write: &may_write,
                now: now(),
            };
            let failed = |problem: WriteError| problem.to_string();
            if is_resumed {
                tracing::info!(objects = position.objects, "a scan is gone on with");
                let done = units.iter().filter(|it| position.is_past(**it)).copied();
                let add =
                    |policy: &str, namespace: &str, count| tally.add(policy, namespace, count);
                writer.count(done, add).await.map_err(failed)?;
            }
            keeper = Some(Keeper::open(writer, position.left).await.map_err(failed)?);
        }
        let mut problems = Problems::default();
        for unit in &units {
            if position.is_past(*unit) {
                continue;
            }
            if !may_write() {
                return stopped();
            }
            let seen = run.scan.look_at(*unit, &mut |_, _| {}).await;
            tally.include(&seen.findings);
            problems.note(*unit, &seen);
            position.objects += seen.objects;
            position.is_whole &= seen.is_whole();
            position.pass(*unit);
            let Some(keeper) = &mut keeper else { continue };
            let is_kept = keeper.keep(*unit, &seen, run.scan.plan).await;
            if keeper.is_stopped() {
                return stopped();
            }
            position.is_whole &= is_kept;
            position.left = keeper.left();
            note(run.tenure, position.text());
        }
        note(run.tenure, None);
        let ended = now();
        let elapsed = u64::try_from(ended.saturating_sub(position.begun)).unwrap_or_default();
        let mut figures = ScanFigures {
            objects: position.objects,
            elapsed: Duration::from_secs(elapsed),
            ended,
            is_whole: position.is_whole,
        };
        let mut said = format!(
            "{} objects scanned, {} findings in {elapsed} s",
            position.objects,
            tally.all(),
        );
        said.push_str(&problems.words());
        match keeper {
            None => said.push_str(&self.missing(run.discovery)),
            Some(keeper) => match keeper.finish(&units, run.discovery).await {
                Ok(written) => said.push_str(&format!(
                    "; {} reports written, {} as they were, {} removed",
                    written.written, written.unchanged, written.removed
                )),
                Err(WriteError::Stopped) => return stopped(),
                Err(problem) => {
                    figures.is_whole = false;
                    said.push_str(&format!("; not all reports were written: {problem}"));
                }
            },
        }
        self.metrics.scanned(figures, tally.counts());
        if figures.is_whole && !is_resumed {
            self.tell_unneeded(run.scan);
        }
        Ok(said)
    }

    /// Says which exceptions neither an object of a whole scan needs nor a request has needed.
    fn tell_unneeded(&self, scan: &Scan<'_>) {
        let Some(now) = exceptions::now() else {
            return;
        };
        let mut used = scan.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.extend(self.policies.uses().names());
        let policies = scan.set.policies().iter().map(|it| &*it.policy.name);
        let is_judged = |name: &&str| !scan.plan.left_out.iter().any(|it| it.policy == *name);
        let run = policies.filter(is_judged).collect();
        let unused = review::unused(scan.set, now, &run, &used);
        self.policies.take_unneeded(unused);
    }

    /// Says why there are no reports, if there should be.
    fn missing(&self, discovery: &Discovery) -> String {
        let Some(api) = self.reports else {
            return String::new();
        };
        let other = Api::of(discovery);
        let other = other.map(|it| format!(", but those of {} (`audit.reports`)", it.group()));
        let (group, other) = (api.group(), other.unwrap_or_default());
        format!("; the cluster has no reports of {group}{other}")
    }
}

/// What a scan is made with.
struct Run<'r> {
    scan: &'r Scan<'r>,
    discovery: &'r Discovery,
    api: Option<Api>,
    tenure: Option<&'r Tenure>,
}

/// Notes for the next holder of the Lease, while this replica holds it.
fn note(tenure: Option<&Tenure>, text: Option<String>) {
    if let Some(tenure) = tenure.filter(|it| Tenure::is_held(Some(it))) {
        tenure.note.set(text);
    }
}

/// Returns the seconds of the epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX))
}

/// How much was found, by policy and namespace.
#[derive(Default)]
struct Tally(BTreeMap<(String, String), u64>);

impl Tally {
    fn add(&mut self, policy: &str, namespace: &str, count: u64) {
        let key = (policy.to_owned(), namespace.to_owned());
        *self.0.entry(key).or_default() += count;
    }

    fn include(&mut self, findings: &Findings) {
        for (namespace, found) in findings.by_namespace() {
            for (policy, counts) in &found.counts {
                // What is only excused has no series.
                if counts.all() > 0 {
                    self.add(policy, namespace, counts.all());
                }
            }
        }
    }

    fn counts(&self) -> Vec<(&str, &str, u64)> {
        let counts = self.0.iter();
        counts
            .map(|((policy, namespace), count)| (policy.as_str(), namespace.as_str(), *count))
            .collect()
    }

    fn all(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What could not be seen; the first is named.
#[derive(Default)]
struct Problems {
    count: u64,
    first: Option<String>,
}

impl Problems {
    fn note(&mut self, unit: Unit<'_>, seen: &Seen) {
        if seen.is_whole() {
            return;
        }
        self.count += 1;
        let name = unit.name();
        let problem = match &seen.problem {
            Some(problem) => format!("{name}: {problem}"),
            None => format!("{name}: {} objects could not be read", seen.unread),
        };
        tracing::error!(problem, "not all of a kind was seen; its reports stay");
        self.first.get_or_insert(problem);
    }

    fn words(&self) -> String {
        let first = self.first.as_ref();
        let words = |it: &String| format!("; {} kinds were not seen as a whole: {it}", self.count);
        first.map(words).unwrap_or_default()
    }
}

/// Waits while requests are being answered, but not for long.
fn give_way(metrics: &Metrics) {
    for _ in 0..MOST_PAUSES {
        if metrics.reviews_in_flight.get() == 0 {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The cluster as requests see it, and for policies about all of it what was listed for them.
struct Live<'l> {
    followed: &'l Followed,
    /// The Namespace that was waited for last, and did not come.
    given_up: Mutex<String>,
    whole: Snapshot<'l>,
}

impl World for Live<'_> {
    fn look(&self, object: Option<Key<'_>>, then: &mut dyn FnMut(&dyn ClusterView)) -> bool {
        let Some(key) = object else {
            return self.whole.look(None, then);
        };
        let until = Instant::now() + ARRIVAL;
        loop {
            let view = self.followed.view();
            then(&Without { view: &view, key });
            if !view.is_missing() {
                return view.lacks().is_none();
            }
            // One wait for each: what does not come is not there any longer, nor are its objects.
            let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
            if *given_up == key.namespace {
                return false;
            }
            if Instant::now() >= until {
                key.namespace.clone_into(&mut given_up);
                return false;
            }
            drop(given_up);
            std::thread::sleep(LOOK);
        }
    }
}
