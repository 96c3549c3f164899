//! Calls for a reload of the policies when their files change, and remembers how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::watch as channel;

use super::Reload;
use super::watch::Watch;
use crate::cluster::published::Published;
use crate::telemetry::metrics::Metrics;
use crate::webhook::admission::Check;

/// The name in metrics.
const KIND: &str = "policies";

/// Follows the files of the policies.
pub(super) struct Reloader {
    reload: Box<Reload>,
    metrics: Metrics,
    /// What the last reload could not take over.
    trouble: ArcSwapOption<String>,
    /// Whether the policies that are published in the cluster were taken over once.
    has_published: AtomicBool,
}

impl Reloader {
    pub(super) fn new(reload: Box<Reload>, metrics: Metrics) -> Arc<Self> {
        Arc::new(Reloader {
            reload,
            metrics,
            trouble: ArcSwapOption::empty(),
            has_published: AtomicBool::new(false),
        })
    }

    /// Says how the last reload went. What it could not take over is in force as it last was, and
    /// the server ready.
    pub(super) fn check(&self) -> Check {
        let detail = match &*self.trouble.load() {
            Some(trouble) => format!("what could not be taken over stays as it was: {trouble}"),
            None => String::new(),
        };
        Check::new("reload", Ok(detail))
    }

    /// Says whether the policies that are published in the cluster are in force: without them requests
    /// would be admitted that they deny.
    pub(super) fn check_published(&self, published: &Published) -> Check {
        let state = published.state();
        let outcome = match self.has_published.load(Ordering::Acquire) {
            true => state,
            false => state.and_then(|_| Err("they are being read".to_owned())),
        };
        Check::new("published policies", outcome)
    }

    /// Follows files and what is published for good. One reload runs at a time; changes during it lead
    /// to another.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut changes: Option<Watch>,
        published: Option<Arc<Published>>,
    ) {
        let mut revisions = published.as_ref().map(|it| it.changes());
        if let Some(revisions) = &mut revisions
            && *revisions.borrow() > 0
        {
            revisions.mark_changed();
        }
        loop {
            tokio::select! {
                changed = changed(&mut changes) => if changed.is_none() {
                    tracing::error!("files of policies are no longer watched");
                    changes = None;
                    continue;
                },
                () = revised(&mut revisions) => {}
            }
            let is_listed = published.as_ref().is_some_and(|it| it.is_known());
            let reloader = Arc::clone(&self);
            let outcome = tokio::task::spawn_blocking(move || (reloader.reload)()).await;
            // A reload that panicked has swapped nothing.
            let has_swapped = outcome.is_ok();
            self.record(outcome.unwrap_or_else(|_| Err("the reload panicked".to_owned())));
            if is_listed && has_swapped {
                self.has_published.store(true, Ordering::Release);
            }
        }
    }

    fn record(&self, outcome: Result<String, String>) {
        self.metrics.reloaded(KIND, &outcome);
        match outcome {
            Ok(summary) => {
                tracing::info!(summary, "policies reloaded");
                self.trouble.store(None);
            }
            Err(problem) => {
                tracing::error!(
                    problem,
                    "not all policies reloaded; those stay as they were"
                );
                self.trouble.store(Some(Arc::new(problem)));
            }
        }
    }
}

/// Waits for files to change; for ever if there are none.
async fn changed(changes: &mut Option<Watch>) -> Option<()> {
    match changes {
        Some(changes) => changes.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits for what is published to change; for ever if nothing is.
async fn revised(revisions: &mut Option<channel::Receiver<u64>>) {
    if let Some(revisions) = revisions
        && revisions.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
