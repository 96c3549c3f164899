//! Exceptions (`portcullis.dev/v1alpha1` `PolicyException`): which policies pass over which requests, for
//! which reason, at whose responsibility, and until when.
//!
//! An exception never denies anything: it takes violations back that its policies have found. It does so
//! only if everything about it is certain: one that is faulty, of which the time is not known, or whose
//! condition fails, excuses nothing.
//!
//! Who may write one is decided by where it lies. Files are the operator's, and so is the namespace with
//! the policies; an exception of any other namespace reaches objects of that namespace only
//! ([`Reach`]).

mod expiry;
mod pattern;
pub mod review;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cel::value::Timestamp;
use crate::cel::version::KubernetesVersion;
use crate::diagnostics::Diagnostic;
use crate::policy::common::Common;
use crate::policy::compile::{self, CompiledPolicy, Expression};
use crate::policy::model::{Documents, LabelSelector, NamedRule, Origin, PolicyScope, Reading};
use crate::text::{Fragment, Span};

pub use expiry::Expiry;
pub use pattern::Pattern;

/// The group of the kind.
pub const GROUP: &str = "portcullis.dev";

/// The version that is read.
pub const VERSION: &str = "v1alpha1";

/// The kind.
pub const KIND: &str = "PolicyException";

/// An exception, as read.
#[derive(Debug, Clone)]
pub struct PolicyException {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, empty if it has none.
    pub namespace: String,
    /// Where it was read; the place is that of its name.
    pub origin: Origin,
    /// Whether all that was written could be understood.
    pub reading: Reading,
    /// Which namespaces it may be about.
    pub reach: Reach,
    /// The names of the policies, each with its place; empty only if it is faulty.
    pub policies: Vec<(Pattern, Span)>,
    /// Which requests.
    pub matching: Matching,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// Where it was agreed upon.
    pub ticket: Option<String>,
    /// When it ends, with its place; `None` only if it is faulty.
    pub expires: Option<(Expiry, Span)>,
}

/// Which namespaces an exception may be about, whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Its own: objects in it, not the Namespace itself.
    #[default]
    OwnNamespace,
    /// All, and objects in none.
    Everywhere,
}

/// Which requests an exception is about: everything that is written must fit.
#[derive(Debug, Clone, Default)]
pub struct Matching {
    /// `group/version/resource`; empty fits every resource.
    pub resources: Vec<NamedRule>,
    /// Names of namespaces; empty fits all, and objects in none.
    pub namespaces: Vec<Pattern>,
    /// Names of objects; empty fits all.
    pub names: Vec<Pattern>,
    /// Labels of the namespace; if it is written, objects in no namespace do not fit.
    pub namespace_selector: LabelSelector,
    /// Labels of the object as it would be, or as it is if it is to be deleted.
    pub object_selector: LabelSelector,
    /// A boolean expression, as in a match condition.
    pub condition: Option<Fragment>,
}

impl Matching {
    /// Says whether nothing but the resource is asked about an object.
    pub fn is_about_all_objects(&self) -> bool {
        self.namespaces.is_empty()
            && self.names.is_empty()
            && self.namespace_selector == LabelSelector::default()
            && self.object_selector == LabelSelector::default()
            && self.condition.is_none()
    }
}

impl PolicyException {
    /// Returns the name, behind the namespace if it has one.
    pub fn full_name(&self) -> String {
        match self.namespace.is_empty() {
            true => self.name.clone(),
            false => format!("{}/{}", self.namespace, self.name),
        }
    }

    /// Says whether it is about a policy of this name.
    pub fn names_policy(&self, name: &str) -> bool {
        self.policies.iter().any(|(policy, _)| policy.fits(name))
    }

    /// Says whether another has the same name in the same namespace.
    fn is_named_as(&self, other: &PolicyException) -> bool {
        self.name == other.name && self.namespace == other.namespace
    }
}

/// An exception whose condition is a program.
#[derive(Debug)]
pub struct CompiledException {
    /// The exception as read.
    pub exception: PolicyException,
    /// The condition, if there is one.
    pub condition: Option<Expression>,
}

/// What has become of an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It excuses what fits.
    Active,
    /// It does, and will end soon.
    Expiring,
    /// It has ended and excuses nothing.
    Expired,
    /// Something about it could not be understood, and it excuses nothing.
    Faulty,
}

impl State {
    /// All of them.
    pub const ALL: [State; 4] = [
        State::Active,
        State::Expiring,
        State::Expired,
        State::Faulty,
    ];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Expiring => "expiring",
            State::Expired => "expired",
            State::Faulty => "faulty",
        }
    }
}

impl CompiledException {
    /// Says whether some part of it cannot be used.
    pub fn is_faulty(&self) -> bool {
        let condition = self.condition.as_ref();
        self.exception.reading == Reading::Faulty
            || self.exception.expires.is_none()
            || condition.is_some_and(|condition| condition.program.is_err())
    }

    /// Says whether it may excuse something at a time; never if that is not known.
    pub fn is_in_force(&self, now: Option<Timestamp>) -> bool {
        let expires = self.exception.expires.as_ref();
        let is_before = |now| expires.is_some_and(|(expires, _)| !expires.is_over(now));
        !self.is_faulty() && now.is_some_and(is_before)
    }

    /// Returns what has become of it by a time.
    pub fn state(&self, now: Timestamp, notice_days: u32) -> State {
        match &self.exception.expires {
            Some((expires, _)) if !self.is_faulty() => match expires.days_left(now) {
                None => State::Expired,
                Some(left) if left < i64::from(notice_days) => State::Expiring,
                Some(_) => State::Active,
            },
            _ => State::Faulty,
        }
    }
}

/// The exceptions of a set of policies, in order of namespace and name, found by policy.
#[derive(Debug, Default)]
pub struct Exceptions {
    all: Vec<Arc<CompiledException>>,
    by_policy: FxHashMap<String, Vec<usize>>,
}

impl Exceptions {
    /// Finds the policies of each exception; of those about the cluster as a whole nothing is excused.
    pub(super) fn link(
        mut all: Vec<Arc<CompiledException>>,
        policies: &[Arc<CompiledPolicy>],
    ) -> Self {
        let key = |it: &Arc<CompiledException>| {
            let exception = &it.exception;
            (exception.namespace.clone(), exception.name.clone())
        };
        all.sort_by_cached_key(key);
        let mut by_policy: FxHashMap<String, Vec<usize>> = FxHashMap::default();
        if all.is_empty() {
            return Exceptions { all, by_policy };
        }
        for policy in policies.iter().map(|policy| &policy.policy) {
            if policy.scope == PolicyScope::Cluster || by_policy.contains_key(&policy.name) {
                continue;
            }
            let about = all.iter().enumerate();
            let about = about.filter(|(_, it)| it.exception.names_policy(&policy.name));
            let about: Vec<usize> = about.map(|(at, _)| at).collect();
            if !about.is_empty() {
                by_policy.insert(policy.name.clone(), about);
            }
        }
        Exceptions { all, by_policy }
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns all of them, in order of namespace and name.
    pub fn all(&self) -> &[Arc<CompiledException>] {
        &self.all
    }

    /// Returns those about a policy, each with its position in [`Exceptions::all`].
    pub fn of_policy(&self, name: &str) -> impl Iterator<Item = (usize, &Arc<CompiledException>)> {
        let known = self.by_policy.get(name);
        let known = known.into_iter().flatten();
        known.filter_map(|at| Some((*at, self.all.get(*at)?)))
    }
}

/// Says of each exception how far it may reach: one without a namespace, or in the namespace with the
/// policies, everywhere.
pub fn settle_reach(documents: &mut Documents, policy_namespace: Option<&str>) {
    for exception in &mut documents.exceptions {
        let namespace = exception.namespace.as_str();
        exception.reach = match namespace.is_empty() || policy_namespace == Some(namespace) {
            true => Reach::Everywhere,
            false => Reach::OwnNamespace,
        };
    }
}

/// Compiles exceptions, and puts the last good versions of faulty ones in their place.
///
/// Of two with one name in one namespace neither excuses anything: which of them was meant is not
/// known. Returns them with the findings and the full names of those that are kept as they were.
pub(super) fn build(
    exceptions: Vec<PolicyException>,
    version: KubernetesVersion,
    previous: &Exceptions,
    is_faulty: &impl Fn(&str) -> bool,
) -> (Vec<Arc<CompiledException>>, Vec<Diagnostic>, Vec<String>) {
    let mut diagnostics = Vec::new();
    let mut common = Common::default();
    let mut compiled: Vec<Arc<CompiledException>> = Vec::new();
    let duplicates = duplicates(&exceptions);
    for (mut exception, earlier) in exceptions.into_iter().zip(duplicates) {
        if let Some(earlier) = earlier {
            exception.reading = Reading::Faulty;
            diagnostics.extend(earlier);
        }
        let condition = exception.matching.condition.as_ref().map(|fragment| {
            let (expression, problems) = compile::condition(fragment, version, &mut common);
            diagnostics.extend(problems);
            expression
        });
        compiled.push(Arc::new(CompiledException {
            exception,
            condition,
        }));
    }
    let kept = keep(&mut compiled, previous, is_faulty);
    (compiled, diagnostics, kept)
}

/// Returns for each exception whether there is another of its name, with a finding for all but the
/// first.
fn duplicates(exceptions: &[PolicyException]) -> Vec<Option<Option<Diagnostic>>> {
    let mut by_name: FxHashMap<(&str, &str), Vec<usize>> = FxHashMap::default();
    for (at, it) in exceptions.iter().enumerate() {
        let key = (it.namespace.as_str(), it.name.as_str());
        by_name.entry(key).or_default().push(at);
    }
    let mut found: Vec<Option<Option<Diagnostic>>> = vec![None; exceptions.len()];
    for same in by_name.values().filter(|same| same.len() > 1) {
        let first = same.first().and_then(|at| exceptions.get(*at));
        for at in same {
            let (Some(it), Some(first)) = (exceptions.get(*at), first) else {
                continue;
            };
            let is_first = std::ptr::eq(it, first);
            let finding = (!is_first).then(|| {
                let name = it.full_name();
                let message = format!("there is another exception named `{name}`");
                Diagnostic::error("policy/duplicate-name", message)
                    .at(&it.origin.source, it.origin.span)
                    .at(&first.origin.source, first.origin.span)
                    .labelled("the other one")
                    .help("neither of them excuses anything; give each its own name")
            });
            if let Some(slot) = found.get_mut(*at) {
                *slot = Some(finding);
            }
        }
    }
    found
}

/// As for policies: what is faulty now and was not stays as it was, and so does what is missing from a
/// source that could not be read whole. It ends when it was to end.
fn keep(
    compiled: &mut Vec<Arc<CompiledException>>,
    previous: &Exceptions,
    is_faulty: &impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut kept = Vec::new();
    for old in &previous.all {
        let source = old.exception.origin.source.name();
        let mut same = compiled
            .iter_mut()
            .filter(|new| new.exception.is_named_as(&old.exception));
        match same.next() {
            Some(new) => {
                let is_worse = new.is_faulty() && !old.is_faulty();
                let is_same_source = new.exception.origin.source.name() == source;
                if !is_worse || !is_same_source || same.next().is_some() {
                    continue;
                }
                *new = Arc::clone(old);
            }
            None if is_faulty(source) => compiled.push(Arc::clone(old)),
            None => continue,
        }
        kept.push(old.exception.full_name());
    }
    kept
}

#[cfg(test)]
mod tests;
