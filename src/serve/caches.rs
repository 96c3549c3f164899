//! Metrics of what is kept of the cluster, read when somebody asks for them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::cluster::followed::Size;

/// Says what is kept at the moment.
pub type Sizes = dyn Fn() -> Vec<Size> + Send + Sync;

/// The metrics `cache_…`, one series for each kind that policies read.
pub struct Caches {
    limit: usize,
    sizes: Box<Sizes>,
}

impl Caches {
    /// Makes metrics of caches that may take so many bytes.
    pub fn new(limit: usize, sizes: Box<Sizes>) -> Self {
        Caches { limit, sizes }
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Caches").finish_non_exhaustive()
    }
}

/// Name without its unit, help, unit, and value of a gauge.
type Gauge = (&'static str, &'static str, Option<Unit>, fn(&Size) -> f64);

/// The gauges of each kind.
const GAUGES: [Gauge; 5] = [
    (
        "cache_synced",
        "Whether the objects of a kind that policies read are known",
        None,
        |size| f64::from(u8::from(size.is_synced)),
    ),
    (
        "cache_objects",
        "How many objects of the kind are known",
        None,
        |size| size.objects as f64,
    ),
    (
        "cache",
        "How much memory they take, about",
        Some(Unit::Bytes),
        |size| size.bytes as f64,
    ),
    (
        "cache_stale",
        "For how long the watch has been failing, or the kind has not been listed; 0 while it is followed",
        Some(Unit::Seconds),
        |size| size.stale.as_secs_f64(),
    ),
    (
        "cache_excess",
        "1 while the objects do not fit in the memory for caches: what reads them is answered 503",
        None,
        |size| f64::from(u8::from(size.is_too_large)),
    ),
];

impl Collector for Caches {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let sizes = (self.sizes)();
        for (name, help, unit, value) in GAUGES {
            let mut metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for size in &sizes {
                let kind = &size.kind;
                let labels = [("api_version", &*kind.api_version), ("kind", &*kind.kind)];
                ConstGauge::new(value(size)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "How much memory all caches together may take";
        let unit = Unit::Bytes;
        let limit = ConstGauge::new(self.limit as f64);
        let metric =
            encoder.encode_descriptor("cache_limit", help, Some(&unit), MetricType::Gauge)?;
        limit.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::model::ParamKind;
    use crate::telemetry::metrics::{self, Metrics};

    #[test]
    fn each_kind_has_its_series() {
        let size = || Size {
            kind: ParamKind {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
            },
            is_synced: true,
            objects: 3,
            bytes: 1024,
            stale: Duration::from_millis(1500),
            is_too_large: false,
        };
        let (_, mut registry) = Metrics::registry();
        registry.register_collector(Box::new(Caches::new(4096, Box::new(move || vec![size()]))));
        let page = metrics::page(&registry).unwrap();
        let lines: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("portcullis_cache"))
            .collect();
        assert_eq!(
            lines,
            [
                r#"portcullis_cache_synced{api_version="apps/v1",kind="Deployment"} 1.0"#,
                r#"portcullis_cache_objects{api_version="apps/v1",kind="Deployment"} 3.0"#,
                r#"portcullis_cache_bytes{api_version="apps/v1",kind="Deployment"} 1024.0"#,
                r#"portcullis_cache_stale_seconds{api_version="apps/v1",kind="Deployment"} 1.5"#,
                r#"portcullis_cache_excess{api_version="apps/v1",kind="Deployment"} 0.0"#,
                "portcullis_cache_limit_bytes 4096.0",
            ]
        );
    }
}
