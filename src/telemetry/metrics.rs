//! The metrics of the server, in OpenMetrics text under the prefix `portcullis_`.
//!
//! Times are in seconds. Label values are few and known beforehand, so that no caller can make the
//! page grow.

use std::time::{Duration, SystemTime};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::checks::Checks;

/// The media type of [`page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the review durations, in seconds.
///
/// An answer takes tens of microseconds without policies and below a millisecond with a whole
/// pack, so most bounds are there; the last is the longest timeout a webhook may have (30 s).
const REVIEW_SECONDS: [f64; 19] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.000_75, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Labels of the review durations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReviewLabels {
    /// The path without its leading slash.
    pub endpoint: &'static str,
    /// The class of the status, `2xx`, or `cancelled` when the caller went away.
    pub code: &'static str,
}

/// One label that says why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// The reason, in one word.
    pub reason: &'static str,
}

/// One label that says how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// The result, in one word.
    pub result: &'static str,
}

/// The label of connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabel {
    /// `webhook` or `admin`.
    pub listener: &'static str,
}

/// Labels of reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadLabels {
    /// `policies` or `certificate`.
    pub kind: &'static str,
    /// `ok` or `failed`.
    pub result: &'static str,
}

/// The label of what is reloaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// `policies` or `certificate`.
    pub kind: &'static str,
}

/// The metrics of the server; clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// From the arrival of the headers to the answer, by endpoint and class of the status.
    pub review_duration: Family<ReviewLabels, Histogram, fn() -> Histogram>,
    /// Reviews that have arrived and are not yet answered.
    pub reviews_in_flight: Gauge,
    /// Reviews that wait for a core.
    pub reviews_waiting: Gauge,
    /// Reviews answered 503 because the server had no capacity for them.
    pub reviews_shed: Family<ReasonLabel, Counter>,
    /// Panics caught while reviewing.
    pub panics: Counter,
    /// What policies decide.
    pub checks: Checks,
    /// Open connections.
    pub connections: Family<ListenerLabel, Gauge>,
    /// Connections that ended before a request could be read.
    pub handshake_failures: Family<ReasonLabel, Counter>,
    certificate_not_after: Gauge,
    reloads: Family<ReloadLabels, Counter>,
    reload_failed: Family<KindLabel, Gauge>,
}

impl Metrics {
    /// Makes a registry with these metrics in it; others may be registered beside them.
    pub fn registry() -> (Metrics, Registry) {
        let mut registry = Registry::with_prefix("portcullis");
        let metrics = Metrics {
            review_duration: Family::new_with_constructor(|| Histogram::new(REVIEW_SECONDS)),
            reviews_in_flight: Gauge::default(),
            reviews_waiting: Gauge::default(),
            reviews_shed: Family::default(),
            panics: Counter::default(),
            checks: Checks::default(),
            connections: Family::default(),
            handshake_failures: Family::default(),
            certificate_not_after: Gauge::default(),
            reloads: Family::default(),
            reload_failed: Family::default(),
        };
        metrics.register(&mut registry);
        metrics.collect(&mut registry);
        metrics.begin_at_zero();
        (metrics, registry)
    }

    /// Shows every series whose labels are known beforehand, so that the first event of a kind is
    /// an increase and not the beginning of a series.
    fn begin_at_zero(&self) {
        for reason in ["deadline", "memory"] {
            drop(self.reviews_shed.get_or_create(&ReasonLabel { reason }));
        }
        for reason in ["closed", "not_tls", "timeout", "tls"] {
            drop(
                self.handshake_failures
                    .get_or_create(&ReasonLabel { reason }),
            );
        }
        for kind in ["certificate", "policies"] {
            drop(self.reload_failed.get_or_create(&KindLabel { kind }));
            for result in ["ok", "failed"] {
                drop(self.reloads.get_or_create(&ReloadLabels { kind, result }));
            }
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "build",
            "The version of the program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_with_unit(
            "review_duration",
            "Time from the arrival of a review to its answer",
            Unit::Seconds,
            self.review_duration.clone(),
        );
        registry.register(
            "reviews_in_flight",
            "Reviews that have arrived and are not yet answered",
            self.reviews_in_flight.clone(),
        );
        registry.register(
            "reviews_waiting",
            "Reviews that wait for a core to decide them",
            self.reviews_waiting.clone(),
        );
        registry.register(
            "reviews_shed",
            "Reviews answered 503 for want of capacity",
            self.reviews_shed.clone(),
        );
        registry.register(
            "panics",
            "Panics caught while reviewing, each answered 500",
            self.panics.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "handshake_failures",
            "Connections that ended before a request could be read",
            self.handshake_failures.clone(),
        );
        registry.register_with_unit(
            "certificate_not_after_timestamp",
            "When the served certificate expires, since the Unix epoch",
            Unit::Seconds,
            self.certificate_not_after.clone(),
        );
        registry.register(
            "reloads",
            "Reloads after the start, by what was reloaded and how it ended",
            self.reloads.clone(),
        );
        registry.register(
            "reload_failed",
            "1 while the last reload failed and the last good state is served",
            self.reload_failed.clone(),
        );
    }

    /// Shows what follows the policies in force.
    fn collect(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.checks.clone()));
    }

    /// Records how a reload of `kind` ended.
    pub fn reloaded<T, E>(&self, kind: &'static str, outcome: &Result<T, E>) {
        let result = if outcome.is_ok() { "ok" } else { "failed" };
        self.reloads
            .get_or_create(&ReloadLabels { kind, result })
            .inc();
        self.reload_failed
            .get_or_create(&KindLabel { kind })
            .set(i64::from(outcome.is_err()));
    }

    /// Records when the served certificate expires.
    pub fn certificate_expires(&self, not_after: SystemTime) {
        let seconds = not_after
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        self.certificate_not_after
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

/// Counts something as present until it is dropped.
#[derive(Debug)]
pub struct Presence(Gauge);

impl Presence {
    /// Raises `gauge` by one until the value is dropped.
    pub fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Presence(gauge.clone())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Writes all metrics of `registry` as OpenMetrics text.
pub fn page(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    text::encode(&mut page, registry)?;
    Ok(page)
}
