//! Calls for a reload of the policies when their files change, and remembers how it went.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Reload;
use super::watch::Watch;
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
}

impl Reloader {
    pub(super) fn new(reload: Box<Reload>, metrics: Metrics) -> Arc<Self> {
        Arc::new(Reloader {
            reload,
            metrics,
            trouble: ArcSwapOption::empty(),
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

    /// Follows `changes` for good. One reload runs at a time; changes during it lead to another.
    pub(super) async fn follow(self: Arc<Self>, mut changes: Watch) {
        while changes.changed().await.is_some() {
            let reloader = Arc::clone(&self);
            let outcome = tokio::task::spawn_blocking(move || (reloader.reload)()).await;
            // A reload that panicked has swapped nothing.
            self.record(outcome.unwrap_or_else(|_| Err("the reload panicked".to_owned())));
        }
        tracing::error!("policies are no longer watched");
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
