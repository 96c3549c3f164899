//! Scans of what the cluster has, while the server serves: by one replica, which writes the reports.
//!
//! Without a Lease every server scans for itself, so that one should have none. A replica that comes to
//! hold the Lease begins with the first kind: reports are written after a whole scan, and what another one
//! had done of it was in its memory. A scan is begun again a moment after the policies have changed.
//!
//! Requests go first: one object at a time is looked at, on one thread, and none while requests are being
//! answered, for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bumpalo::Bump;
use tokio::sync::watch;

use super::policies::Policies;
use crate::admission::resources::Resources;
use crate::audit::finding::Limits;
use crate::audit::list::Lister;
use crate::audit::plan::{Only, Plan};
use crate::audit::report::{Api, drafts};
use crate::audit::scan::{Scan, Scanned};
use crate::audit::served::Discovery;
use crate::audit::view::{self, Snapshot, Texts, Without, World};
use crate::audit::write::{WriteError, Writer};
use crate::cluster::Cluster;
use crate::cluster::exceptions;
use crate::cluster::followed::Followed;
use crate::cluster::lease::Standing;
use crate::engine::cluster::ClusterView;
use crate::manifest::Key;
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
/// How many findings are kept: some six megabytes.
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

impl Auditor {
    /// Scans until the server leaves; with a Lease only while this replica holds it.
    pub(super) async fn run(
        self,
        mut standing: Option<watch::Receiver<Standing>>,
        metrics: Metrics,
        mut stage: watch::Receiver<Stage>,
    ) {
        let scans = async {
            loop {
                if let Some(standing) = &mut standing {
                    // The sender lives as long as the server.
                    let _ = standing.wait_for(Standing::is_holder).await;
                }
                self.while_held(standing.clone(), &metrics).await;
                self.metrics.forget();
            }
        };
        tokio::select! {
            () = scans => {}
            () = reached(&mut stage, Stage::Leaving) => {}
        }
    }

    /// Scans again and again until this replica holds the Lease no longer.
    async fn while_held(&self, standing: Option<watch::Receiver<Standing>>, metrics: &Metrics) {
        let mut changes = self.policies.changes();
        let lost = standing.clone();
        let is_lost = async {
            match lost {
                Some(mut lost) => drop(lost.wait_for(|it| !it.is_holder()).await),
                None => std::future::pending().await,
            }
        };
        let may_write = || standing.as_ref().is_none_or(|it| it.borrow().is_holder());
        let scans = async {
            tokio::time::sleep(SETTLE.min(self.interval)).await;
            loop {
                changes.mark_unchanged();
                match self.once(&may_write, metrics).await {
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

    /// Scans once and writes what was found; returns a summary for the log.
    async fn once(
        &self,
        may_write: &(dyn Fn() -> bool + Sync),
        metrics: &Metrics,
    ) -> Result<String, String> {
        let begun = Instant::now();
        let in_force = self.policies.in_force();
        let set = in_force.set();
        let known = (self.cluster.definitions(), in_force.followed());
        let (Some(definitions), Some(followed)) = known else {
            return Err("custom kinds are not known yet".to_owned());
        };
        let discovery = Discovery::of(self.lister.client()).await;
        let discovery = discovery.map_err(|problem| format!("the kinds: {problem}"))?;
        let mut plan = Plan::of(set, &discovery, &Only::default());
        let kinds = match set.about_cluster().is_empty() {
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
        let scanned = scan.run(&mut |_| {}).await;
        let ended = SystemTime::now().duration_since(UNIX_EPOCH);
        let ended = ended.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX));
        let figures = ScanFigures {
            objects: scanned.objects,
            elapsed: begun.elapsed(),
            ended,
            is_whole: scanned.is_whole(),
        };
        self.metrics.scanned(figures, found(&scanned));
        let mut said = format!(
            "{} objects scanned, {} findings in {:.1} s",
            scanned.objects,
            scanned.findings.counts().all(),
            begun.elapsed().as_secs_f64()
        );
        said.push_str(
            &self
                .report(&scanned, (&plan, &discovery), may_write, ended)
                .await?,
        );
        Ok(said)
    }

    /// Writes the reports, if they are to be, everything could be looked at and the cluster has them.
    async fn report(
        &self,
        scanned: &Scanned,
        (plan, discovery): (&Plan, &Discovery),
        may_write: &(dyn Fn() -> bool + Sync),
        now: i64,
    ) -> Result<String, String> {
        if !scanned.is_whole() {
            let mut problems = scanned.problems.iter();
            let first = problems
                .next()
                .map(|(kind, problem)| format!("{kind}: {problem}"));
            let first =
                first.unwrap_or_else(|| format!("{} objects could not be read", scanned.unread));
            return Err(format!(
                "no report is written, because not everything was seen: {first}"
            ));
        }
        let Some(api) = self.reports else {
            return Ok(String::new());
        };
        if !api.is_served(discovery) {
            let other = Api::of(discovery);
            let other = other.map(|it| format!(", but those of {} (`audit.reports`)", it.group()));
            let (group, other) = (api.group(), other.unwrap_or_default());
            return Ok(format!("; the cluster has no reports of {group}{other}"));
        }
        let writer = Writer {
            lister: &self.lister,
            api,
            namespaces: &[],
            may_write,
            now,
        };
        match writer.write(drafts(&scanned.findings, plan, api)).await {
            Ok(written) => Ok(format!(
                "; {} reports written, {} as they were, {} removed",
                written.written, written.unchanged, written.removed
            )),
            Err(WriteError::Stopped) => Ok("; another replica holds the lease".to_owned()),
            Err(problem) => Err(problem.to_string()),
        }
    }
}

/// What was found, by policy and namespace.
fn found(scanned: &Scanned) -> Vec<(&str, &str, u64)> {
    let namespaces = scanned.findings.by_namespace().iter();
    let counts = namespaces.flat_map(|(namespace, found)| {
        let counts = found.counts.iter();
        counts.map(move |(policy, counts)| (policy.as_str(), &**namespace, counts.all()))
    });
    counts.collect()
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
