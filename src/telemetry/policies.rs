//! How the policies stand, as metrics: how many in which state, and the name of each that is not in force
//! as it is written.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Most policies that have a series of their own: who writes faulty policies cannot make the page grow.
const MOST_NAMED: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// A policy, or a text of which no policy is known, that is not in force as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub struct Faulty {
    /// The name of the policy; empty if it is not known.
    pub policy: String,
    /// The text that it is in.
    pub source: String,
    /// How it stands.
    pub state: &'static str,
}

/// The metrics of the policies.
#[derive(Debug, Default)]
pub struct PolicyMetrics {
    policies: Family<StateLabel, Gauge>,
    faulty: Family<Faulty, Gauge>,
    /// The series of `faulty`.
    named: Mutex<BTreeSet<Faulty>>,
}

impl PolicyMetrics {
    /// Makes the metrics and shows them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = PolicyMetrics::default();
        registry.register(
            "policies",
            "Policies by how they stand; `unreadable` counts texts of which no policy is known",
            metrics.policies.clone(),
        );
        registry.register(
            "policy_faulty",
            "1 for each of the first policies that are not in force as they are written",
            metrics.faulty.clone(),
        );
        metrics
    }

    /// Takes over how the policies stand: how many in each state, and which are faulty.
    pub fn show(&self, counts: &[(&'static str, usize)], faulty: BTreeSet<Faulty>) {
        for (state, count) in counts {
            let gauge = self.policies.get_or_create(&StateLabel { state });
            gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        let faulty: BTreeSet<Faulty> = faulty.into_iter().take(MOST_NAMED).collect();
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in named.difference(&faulty) {
            self.faulty.remove(gone);
        }
        for one in &faulty {
            self.faulty.get_or_create(one).set(1);
        }
        *named = faulty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::page;

    fn faulty(number: usize) -> Faulty {
        Faulty {
            policy: format!("p{number:03}"),
            source: "a \"quoted\" name.cel".to_owned(),
            state: "faulty",
        }
    }

    #[test]
    fn no_more_than_a_few_policies_have_a_series_and_those_that_are_well_again_have_none() {
        let mut registry = Registry::with_prefix("portcullis");
        let metrics = PolicyMetrics::register(&mut registry);
        metrics.show(
            &[("in_force", 2), ("faulty", 80)],
            (0..80).map(faulty).collect(),
        );
        let shown = page(&registry).unwrap();
        assert!(
            shown.contains("portcullis_policies{state=\"faulty\"} 80\n"),
            "{shown}"
        );
        assert_eq!(
            shown.matches("portcullis_policy_faulty{").count(),
            MOST_NAMED,
            "{shown}"
        );
        let one = "portcullis_policy_faulty{policy=\"p003\",source=\"a \\\"quoted\\\" name.cel\",state=\"faulty\"} 1\n";
        assert!(shown.contains(one), "{shown}");
        metrics.show(&[("in_force", 82), ("faulty", 0)], BTreeSet::new());
        let shown = page(&registry).unwrap();
        assert!(
            shown.contains("portcullis_policies{state=\"faulty\"} 0\n"),
            "{shown}"
        );
        assert!(!shown.contains("portcullis_policy_faulty{"), "{shown}");
    }
}
