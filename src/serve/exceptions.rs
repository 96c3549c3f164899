//! Exceptions while the server runs: what time it is, how often each was used, what became of each.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::policies::Policies;
use crate::cel::value::Timestamp;
use crate::cluster::exceptions::{ClusterExceptions, now};
use crate::diagnostics::Diagnostic;
use crate::engine::verdict::Verdict;
use crate::policy::exceptions::review::{self, Calendar, NOTICE_DAYS};
use crate::policy::exceptions::{CompiledException, Reach, State};
use crate::policy::set::PolicySet;
use crate::telemetry::checks::error_type;
use crate::telemetry::logs::seldom::Seldom;

/// Most pairs of policy and exception that are counted each by itself; the uses of others are counted
/// together, so that the page of metrics stays as small as it is.
const MOST_PAIRS: usize = 1000;

/// What others are counted as.
const OTHERS: &str = "(others)";

/// How often it is looked which exceptions have ended meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// How often exceptions were used, by policy and full name.
#[derive(Debug, Default)]
pub(super) struct Uses {
    counts: Mutex<FxHashMap<(String, String), u64>>,
    /// About which exceptions it was logged that they fail.
    seldom: Seldom,
}

impl Uses {
    /// Counts what was excused of one request.
    pub(super) fn count(&self, verdict: &Verdict) {
        for unapplied in &verdict.unapplied {
            let exception = unapplied.exception.exception.full_name();
            // The message may quote the object; `check` and `explain` tell it.
            if let Some(more) = self.seldom.is_due(&exception, Instant::now()) {
                let error = error_type(Some(unapplied.error));
                tracing::warn!(exception, error, more, "an exception failed");
            }
        }
        if verdict.excused.is_empty() {
            return;
        }
        let mut counts = self.lock();
        for excused in &verdict.excused {
            let policy = excused.policy.policy.name.clone();
            let mut key = (policy, excused.exception.exception.full_name());
            if counts.len() >= MOST_PAIRS && !counts.contains_key(&key) {
                key = (OTHERS.to_owned(), OTHERS.to_owned());
            }
            *counts.entry(key).or_default() += 1;
        }
    }

    /// Returns how often an exception was used, whatever the policy.
    fn of(&self, name: &str) -> u64 {
        let counts = self.lock();
        let its_own = counts
            .iter()
            .filter(|((_, exception), _)| exception == name);
        its_own.map(|(_, count)| count).sum()
    }

    /// Returns the full names of those that were used.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let counts = self.lock();
        counts
            .keys()
            .map(|(_, exception)| exception.clone())
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, FxHashMap<(String, String), u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says what is wrong with the exceptions of a set that is loaded.
pub(super) fn findings(set: &PolicySet) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if let Some(now) = now() {
        let notice_days = NOTICE_DAYS;
        findings = review::expiring(set.exceptions(), Calendar { now, notice_days });
    }
    findings.extend(review::unknown_policies(set.exceptions(), set.policies()));
    findings.extend(review::too_wide(set.exceptions()));
    findings
}

/// Says in the log what is wrong with exceptions by then and was not before: that one has ended, or soon
/// will; for good.
pub async fn watch(policies: Arc<Policies>) {
    let mut known = policies.wrong_exceptions();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = policies.wrong_exceptions();
        for finding in now.difference(&known) {
            tracing::warn!("{finding}");
        }
        known = now;
    }
}

/// Describes the exceptions of a set; `kept` are those that stay as they were.
pub(super) fn describe(set: &PolicySet, kept: &[String], uses: &Uses) -> Vec<Value> {
    let now = now();
    let all = set.exceptions().all().iter();
    all.map(|it| of_one(it, kept, uses, now)).collect()
}

fn of_one(
    compiled: &CompiledException,
    kept: &[String],
    uses: &Uses,
    now: Option<Timestamp>,
) -> Value {
    let exception = &compiled.exception;
    let name = exception.full_name();
    let expires = exception
        .expires
        .as_ref()
        .map(|(expires, _)| expires.to_string());
    let policies: Vec<&str> = exception
        .policies
        .iter()
        .map(|(it, _)| it.as_str())
        .collect();
    json!({
        "name": name,
        "state": now.map(|now| compiled.state(now, NOTICE_DAYS).as_str()),
        "isLastGoodVersion": kept.contains(&name),
        "policies": policies,
        "reach": match exception.reach {
            Reach::Everywhere => "everywhere",
            Reach::OwnNamespace => "own namespace",
        },
        "owner": exception.owner,
        "reason": exception.reason,
        "ticket": exception.ticket,
        "expires": expires,
        "source": exception.origin.source.name(),
        "uses": uses.of(&name),
    })
}

/// Reloads the policies when exceptions of the cluster change, for good.
pub async fn follow(policies: Arc<Policies>, followed: Arc<ClusterExceptions>) {
    let mut changes = followed.changes();
    // What was listed before is taken in now.
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        let reloaded = Arc::clone(&policies);
        let reload = move || {
            reloaded.reload();
            reloaded.faults()
        };
        match tokio::task::spawn_blocking(reload).await {
            Ok(None) => tracing::info!(summary = policies.summary(), "exceptions reloaded"),
            Ok(Some(problem)) => tracing::error!(problem, "exceptions or policies are faulty"),
            Err(_panicked) => tracing::error!("the reload panicked"),
        }
    }
}

/// Shows with each scrape what has become of the exceptions by then.
pub struct Exposed {
    policies: Arc<Policies>,
}

impl Exposed {
    /// Shows the exceptions of these policies.
    pub fn of(policies: &Arc<Policies>) -> Self {
        let policies = Arc::clone(policies);
        Exposed { policies }
    }
}

impl fmt::Debug for Exposed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exposed").finish_non_exhaustive()
    }
}

impl Collector for Exposed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut counts: Vec<_> = {
            let counts = self.policies.uses().lock();
            let copied = counts.iter().map(|(key, count)| (key.clone(), *count));
            copied.collect()
        };
        counts.sort();
        let states = self.policies.exception_states();
        let kind = ConstGauge::new(0u64).metric_type();
        let help = "Exceptions by what has become of them";
        let mut family = encoder.encode_descriptor("exceptions", help, None, kind)?;
        for state in State::ALL {
            let count = states.iter().filter(|it| **it == state).count();
            let labels = [("state", state.as_str())];
            ConstGauge::new(count as u64).encode(family.encode_family(&labels)?)?;
        }
        let kind = ConstCounter::new(0u64).metric_type();
        let help =
            "Violations and mutations of a policy that an exception has taken back, by request";
        let mut family = encoder.encode_descriptor("exceptions_used", help, None, kind)?;
        for ((policy, exception), count) in counts {
            let labels = [("policy", policy), ("exception", exception)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
