//! What leaves the server of its decisions: the decision log and traces, opened and closed.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;

use super::variables;
use crate::diagnostics::Diagnostic;
use crate::serve::config::Config;
use crate::telemetry::decisions::{DecisionLog, Target};
use crate::telemetry::traces::Tracer;
use crate::telemetry::traces::export::{Destination, Exporter};

/// How long what is queued of decisions and spans has at the end; with the defaults of the shutdown still
/// within the 30 s that the kubelet waits.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What leaves the server besides answers, logs and metrics.
pub(super) struct Reports {
    pub(super) log: Option<Arc<DecisionLog>>,
    pub(super) tracer: Option<Tracer>,
    exporter: Option<Exporter>,
}

impl Reports {
    pub(super) fn open(config: &Config, registry: &mut Registry) -> Result<Self, Diagnostic> {
        let log = config.decision_log.clone().map(|target| {
            let named = match &target {
                Target::Stdout => String::new(),
                Target::File(path) => format!(" `{}`", path.display()),
            };
            DecisionLog::open(target, registry)
                .map(Arc::new)
                .map_err(|problem| {
                    let message = format!("the decision log{named} cannot be opened: {problem}");
                    Diagnostic::error("serve/decision-log", message)
                        .help("name a file in a folder that can be written, or `-`")
                })
        });
        let destination = Destination::resolve(
            config.traces_endpoint.as_ref(),
            &variables().into_iter().collect(),
        );
        let wrong = |problem: String| {
            let message = format!("traces cannot be sent: {problem}");
            Diagnostic::error("serve/traces", message)
                .help("name a receiver of OTLP over HTTP: `http://collector:4318`")
        };
        let exporter = match destination.map_err(wrong)? {
            Some(destination) => Some(Exporter::start(destination, registry).map_err(wrong)?),
            None => None,
        };
        let (tracer, exporter) = exporter.unzip();
        Ok(Reports {
            log: log.transpose()?,
            tracer,
            exporter,
        })
    }

    /// Writes and sends what is queued.
    pub(super) async fn close(self) {
        let log = self.log;
        let written = tokio::task::spawn_blocking(move || {
            if let Some(log) = log {
                log.close(LAST_WORDS);
            }
        });
        if let Some(exporter) = self.exporter {
            exporter.close(LAST_WORDS).await;
        }
        // It ends in time, and says nothing.
        let _ = written.await;
    }
}
