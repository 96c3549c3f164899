//! What policies decide, counted by policy and binding as the API server counts its own policies
//! (apiserver `pkg/admission/plugin/policy/validating/metrics/metrics.go`).
//!
//! Which series a binding counts in is looked up when policies are loaded, and found on the request path
//! by the binding's address: an observation takes no lock and allocates at most once in the life of a
//! series. Series of policies that are gone leave the page with the reload that took them away.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use rustc_hash::FxHashMap;

use crate::engine::verdict::ErrorKind;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Binding, PolicyKind};
use crate::policy::set::PolicySet;

/// So many bindings have series of their own; what is beyond counts as [`OTHER`]. With a dozen lines for
/// each thing that a binding leads to, a page of them stays at a few megabytes.
pub const MOST_BINDINGS: usize = 2_000;
/// The policy and binding of all that are beyond [`MOST_BINDINGS`].
pub const OTHER: &str = "other";

/// Upper bounds in seconds. A policy of three expressions takes about ten microseconds; the deadline of a
/// webhook is ten seconds.
const BOUNDS: [f64; 11] = [
    0.000_001, 0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.01, 0.1, 1.0,
];

/// What an evaluation led to: the label `enforcement_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing was found.
    Allow,
    /// A violation or error that rejects the request, or would.
    Deny,
    /// A violation that the caller is warned of.
    Warn,
    /// A violation that is recorded.
    Audit,
    /// The object was changed, or would have been.
    Mutate,
}

impl Action {
    const ALL: [Action; 5] = [
        Action::Allow,
        Action::Deny,
        Action::Warn,
        Action::Audit,
        Action::Mutate,
    ];

    /// Returns the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Deny => "deny",
            Action::Warn => "warn",
            Action::Audit => "audit",
            Action::Mutate => "mutate",
        }
    }
}

/// Returns the label `error_type`.
pub const fn error_type(error: Option<ErrorKind>) -> &'static str {
    match error {
        None => "no_error",
        Some(ErrorKind::Compilation) => "compile_error",
        Some(ErrorKind::Invalid) => "invalid_error",
        Some(ErrorKind::OutOfBudget) => "out_of_budget",
    }
}

const ERRORS: [Option<ErrorKind>; 4] = [
    None,
    Some(ErrorKind::Compilation),
    Some(ErrorKind::Invalid),
    Some(ErrorKind::OutOfBudget),
];

/// Whether what a policy says is carried out: the label `enforcement`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Enforcement {
    /// It is.
    Enforce,
    /// It is only recorded.
    Audit,
}

impl Enforcement {
    /// Returns the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Enforcement::Enforce => "enforce",
            Enforcement::Audit => "audit",
        }
    }
}

/// The name of a kind of policies in labels and records.
pub const fn kind_name(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Validating => "validating",
        PolicyKind::Mutating => "mutating",
    }
}

/// What all series of a binding have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    policy: String,
    /// Empty for a policy that cannot be used at all.
    binding: String,
    kind: PolicyKind,
    enforcement: Enforcement,
}

/// The series of one binding.
#[derive(Debug)]
pub struct Check {
    key: Key,
    /// By action, then error.
    series: [OnceLock<Box<Series>>; Action::ALL.len() * ERRORS.len()],
}

#[derive(Debug, Default)]
struct Series {
    nanoseconds: AtomicU64,
    /// The last one is of what is beyond all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

impl Series {
    // Relaxed: each number is right by itself, and a scrape may come between any two.
    fn observe(&self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let at = BOUNDS.partition_point(|bound| seconds > *bound);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        let counts = self.buckets.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        bounds.zip(counts).collect()
    }
}

impl Check {
    fn new(key: Key) -> Self {
        let check = Check {
            key,
            series: Default::default(),
        };
        // A first denial is then an increase, and not the beginning of a series.
        for action in [Action::Allow, Action::Deny] {
            check.series(action, None);
        }
        check
    }

    fn series(&self, action: Action, error: Option<ErrorKind>) -> Option<&Series> {
        let series = self.series.get(place(action, error))?;
        Some(series.get_or_init(Box::default))
    }

    /// Counts an evaluation that led to `action`.
    pub fn observe(&self, action: Action, error: Option<ErrorKind>, elapsed: Duration) {
        if let Some(series) = self.series(action, error) {
            series.observe(elapsed);
        }
    }

    /// Returns what is recorded so far, with its labels.
    fn recorded(&self) -> impl Iterator<Item = ([(&str, &str); 6], &Series)> {
        let key = &self.key;
        let labels = Action::ALL
            .iter()
            .flat_map(|action| ERRORS.iter().map(move |error| (*action, *error)));
        labels
            .zip(&self.series)
            .filter_map(move |((action, error), series)| {
                let labels = [
                    ("policy", key.policy.as_str()),
                    ("policy_binding", key.binding.as_str()),
                    ("kind", kind_name(key.kind)),
                    ("error_type", error_type(error)),
                    ("enforcement_action", action.as_str()),
                    ("enforcement", key.enforcement.as_str()),
                ];
                Some((labels, &**series.get()?))
            })
    }
}

/// The position of a series among those of its binding, of which there are 20.
pub(super) fn place(action: Action, error: Option<ErrorKind>) -> usize {
    let error = match error {
        None => 0,
        Some(ErrorKind::Compilation) => 1,
        Some(ErrorKind::Invalid) => 2,
        Some(ErrorKind::OutOfBudget) => 3,
    };
    action as usize * ERRORS.len() + error
}

/// All series; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    shown: Arc<Mutex<Vec<Arc<Check>>>>,
}

/// Where the bindings of one set of policies count.
#[derive(Debug, Default)]
pub struct Table {
    /// By the address of a binding, or of a policy for what it does without one.
    checks: FxHashMap<usize, Arc<Check>>,
}

impl Checks {
    /// Finds the series of the bindings of a set, and forgets all others. `has_mode_audit` says whether
    /// everything is only recorded.
    pub fn table(&self, set: &PolicySet, has_mode_audit: bool) -> Table {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known: FxHashMap<Key, Arc<Check>> = FxHashMap::default();
        known.extend(shown.drain(..).map(|check| (check.key.clone(), check)));
        let mut table = Table::default();
        let mut bindings = 0;
        let mut now: FxHashMap<Key, Arc<Check>> = FxHashMap::default();
        let mut add = |address: usize, key: Key| {
            let check = now.entry(key.clone());
            let check = check.or_insert_with(|| {
                let known = known.remove(&key);
                known.unwrap_or_else(|| Arc::new(Check::new(key)))
            });
            table.checks.insert(address, Arc::clone(check));
        };
        for bound in set.validating().iter().chain(set.mutating()) {
            let policy = &bound.policy.policy;
            let faulty = bound.policy.is_faulty().then_some(None);
            let each = bound.bindings.iter().map(|it| Some(&**it)).chain(faulty);
            for binding in each {
                bindings += 1;
                let is_audited = has_mode_audit || binding.is_some_and(Binding::is_audited);
                let is_beyond = bindings > MOST_BINDINGS;
                let named = |name: &str| match is_beyond {
                    true => OTHER.to_owned(),
                    false => name.to_owned(),
                };
                let key = Key {
                    policy: named(&policy.name),
                    binding: named(binding.map_or("", |binding| &binding.name)),
                    kind: policy.kind,
                    enforcement: match is_audited {
                        true => Enforcement::Audit,
                        false => Enforcement::Enforce,
                    },
                };
                add(address(&bound.policy, binding), key);
            }
        }
        shown.extend(now.into_values());
        shown.sort_by(|a, b| {
            let of = |check: &Check| {
                let key = &check.key;
                (
                    key.policy.clone(),
                    key.binding.clone(),
                    key.kind as u8,
                    key.enforcement,
                )
            };
            of(a).cmp(&of(b))
        });
        table
    }
}

impl Table {
    /// Returns where a policy counts with a binding; `None` if it is not of the set.
    pub fn get(&self, policy: &CompiledPolicy, binding: Option<&Binding>) -> Option<&Check> {
        let check = self.checks.get(&address(policy, binding))?;
        Some(check)
    }
}

/// Addresses stay as long as the set that holds policies and bindings.
fn address(policy: &CompiledPolicy, binding: Option<&Binding>) -> usize {
    match binding {
        Some(binding) => std::ptr::from_ref(binding).addr(),
        None => std::ptr::from_ref(policy).addr(),
    }
}

impl Collector for Checks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.clone();
        let mut counters = encoder.encode_descriptor(
            "policy_check",
            "Evaluations of policies, by binding and what they led to.",
            None,
            MetricType::Counter,
        )?;
        for (labels, series) in shown.iter().flat_map(|check| check.recorded()) {
            let count: u64 = series.buckets().iter().map(|(_, count)| count).sum();
            let mut counter = counters.encode_family(&labels)?;
            counter.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let mut histograms = encoder.encode_descriptor(
            "policy_check_duration",
            "Time to evaluate a policy for a binding, by what it led to.",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (labels, series) in shown.iter().flat_map(|check| check.recorded()) {
            let buckets = series.buckets();
            let count: u64 = buckets.iter().map(|(_, count)| count).sum();
            if count == 0 {
                continue;
            }
            let nanoseconds = Duration::from_nanos(series.nanoseconds.load(Ordering::Relaxed));
            let mut histogram = histograms.encode_family(&labels)?;
            histogram.encode_histogram::<NoLabelSet>(
                nanoseconds.as_secs_f64(),
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
