//! The metrics of background scans.
//!
//! Namespaces come and go, so their number as labels is bounded: what is found most has a series of its
//! own, and the rest of a policy is under the namespace [`OTHERS`], which no namespace can be called.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::metrics::ReasonLabel;

/// How many pairs of policy and namespace have a series of their own.
const MOST_SERIES: usize = 1000;
/// The namespace of all others.
pub const OTHERS: &str = "_others";

/// Labels of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FoundLabels {
    policy: String,
    namespace: String,
}

/// What is measured of background scans; clones share their values.
#[derive(Debug, Clone, Default)]
pub struct ScanMetrics {
    violations: Family<FoundLabels, Gauge>,
    objects: Gauge,
    duration: Gauge<f64, std::sync::atomic::AtomicU64>,
    last: Gauge,
    /// How scans ended: `ok`, `partial` or `failed`.
    scans: Family<ReasonLabel, Counter>,
}

/// What came of a scan, to be shown.
#[derive(Debug, Clone, Copy)]
pub struct ScanFigures {
    /// How many objects were looked at.
    pub objects: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// When it ended, in seconds of the epoch.
    pub ended: i64,
    /// Whether everything could be looked at.
    pub is_whole: bool,
}

impl ScanMetrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        for reason in ["ok", "partial", "failed"] {
            drop(self.scans.get_or_create(&ReasonLabel { reason }));
        }
        registry.register(
            "audit_violations",
            "What the last scan found, by policy and namespace",
            self.violations.clone(),
        );
        registry.register(
            "audit_objects",
            "Objects that the last scan looked at",
            self.objects.clone(),
        );
        registry.register_with_unit(
            "audit_duration",
            "How long the last scan took",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "audit_last_timestamp",
            "When the last scan that saw everything ended, since the Unix epoch",
            Unit::Seconds,
            self.last.clone(),
        );
        registry.register(
            "audits",
            "Scans of what the cluster has, by how they ended",
            self.scans.clone(),
        );
    }

    /// Shows what a scan has found, in place of what the one before has.
    pub fn scanned(&self, figures: ScanFigures, found: Vec<(&str, &str, u64)>) {
        self.violations.clear();
        for ((policy, namespace), count) in bounded(found) {
            let labels = FoundLabels { policy, namespace };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.violations.get_or_create(&labels).set(count);
        }
        let objects = i64::try_from(figures.objects).unwrap_or(i64::MAX);
        self.objects.set(objects);
        self.duration.set(figures.elapsed.as_secs_f64());
        if figures.is_whole {
            self.last.set(figures.ended);
        }
        let reason = if figures.is_whole { "ok" } else { "partial" };
        self.scans.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a scan that came to nothing.
    pub fn failed(&self) {
        let reason = "failed";
        self.scans.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Forgets what was found: another replica tells it.
    pub fn forget(&self) {
        self.violations.clear();
    }
}

/// Keeps the largest counts apart, and adds up the others by policy.
fn bounded(mut found: Vec<(&str, &str, u64)>) -> BTreeMap<(String, String), u64> {
    found.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
    let mut kept = BTreeMap::new();
    for (at, (policy, namespace, count)) in found.into_iter().enumerate() {
        let namespace = if at < MOST_SERIES { namespace } else { OTHERS };
        *kept
            .entry((policy.to_owned(), namespace.to_owned()))
            .or_default() += count;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_namespaces_than_series_are_counted_together() {
        let names: Vec<String> = (0..1500).map(|at| format!("n{at}")).collect();
        let found = names.iter().map(|name| ("p", name.as_str(), 2)).collect();
        let kept = bounded(found);
        assert_eq!(kept.len(), MOST_SERIES + 1);
        assert_eq!(kept[&("p".to_owned(), OTHERS.to_owned())], 1000);
    }
}
