//! All policies in force: immutable, in order of name, indexed by the resources they match.

mod index;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::admission::review::Operation;
use crate::cel::version::KubernetesVersion;
use crate::diagnostics::Diagnostic;
use crate::policy::common::Common;
use crate::policy::compile::{self, CompiledPolicy};
use crate::policy::exceptions::{self, CompiledException, Exceptions};
use crate::policy::model::{
    Binding, Documents, FailurePolicy, Form, ParamObject, Policy, PolicyKind, PolicyScope, Reading,
};
use crate::policy::params::Params;
use crate::policy::validate;
use index::Index;

pub use index::Certainty;

/// A set of policies with their bindings and parameters.
#[derive(Debug, Default)]
pub struct PolicySet {
    /// Every policy read, in order of name.
    policies: Vec<Arc<CompiledPolicy>>,
    /// Every binding read, in order of name.
    bindings: Vec<Arc<Binding>>,
    /// The validating policies in force.
    validating: InForce,
    /// The mutating policies in force.
    mutating: InForce,
    /// The policies about the cluster as a whole, in order of name.
    about_cluster: Vec<BoundPolicy>,
    params: Params,
    exceptions: Exceptions,
}

/// The policies of one kind that are in force.
#[derive(Debug, Default)]
struct InForce {
    /// In order of name.
    policies: Vec<BoundPolicy>,
    index: Index,
}

impl InForce {
    /// Links the policies of a kind about requests with their bindings; both in order of name.
    fn link(kind: PolicyKind, policies: &[Arc<CompiledPolicy>], bindings: &[Arc<Binding>]) -> Self {
        let policies = BoundPolicy::link((kind, PolicyScope::Request), policies, bindings);
        let index = Index::of(&policies);
        InForce { policies, index }
    }
}

/// A policy with the bindings that put it in force.
#[derive(Debug)]
pub struct BoundPolicy {
    /// The policy.
    pub policy: Arc<CompiledPolicy>,
    /// Its bindings, in order of name; never empty.
    pub bindings: Vec<Arc<Binding>>,
}

impl BoundPolicy {
    /// Returns what becomes of a request that nobody answers, and thereby which endpoint the policy
    /// is asked by: the only place that says so, for what is registered and for what is decided.
    ///
    /// It is the policy's own failure policy, unless every binding only records: what rejects nothing
    /// when it is asked rejects nothing when it cannot be asked. A Kubernetes binding that was not
    /// understood may have wanted to deny.
    pub fn unanswered(&self) -> FailurePolicy {
        let mut bindings = self.bindings.iter();
        let is_understood = bindings
            .all(|binding| binding.reading == Reading::Whole || binding.origin.form == Form::Cel);
        match self.is_audited() && is_understood {
            true => FailurePolicy::Ignore,
            false => self.policy.failure_policy(),
        }
    }

    /// Says whether every binding only records what the policy would do.
    pub fn is_audited(&self) -> bool {
        self.bindings.iter().all(|binding| binding.is_audited())
    }

    /// Says whether the other one is of the same name and text, as the two kinds that a `.cel` file may
    /// hold are.
    pub fn is_beside(&self, other: &BoundPolicy) -> bool {
        let [own, other] = [self, other].map(|it| &it.policy.policy);
        own.name == other.name && own.origin.source.name() == other.origin.source.name()
    }

    /// Finds the bindings of the policies of a kind and scope that are switched on; both in order
    /// of name.
    fn link(
        (kind, scope): (PolicyKind, PolicyScope),
        policies: &[Arc<CompiledPolicy>],
        bindings: &[Arc<Binding>],
    ) -> Vec<Self> {
        let mut by_policy: FxHashMap<&str, Vec<Arc<Binding>>> = FxHashMap::default();
        for binding in bindings.iter().filter(|it| it.kind == kind) {
            by_policy
                .entry(&binding.policy_name)
                .or_default()
                .push(Arc::clone(binding));
        }
        let of_kind = |policy: &&Arc<CompiledPolicy>| {
            let policy = &policy.policy;
            policy.kind == kind
                && policy.scope == scope
                && (kind == PolicyKind::Validating || policy.mutate)
        };
        policies
            .iter()
            .filter(of_kind)
            .filter_map(|policy| {
                let bindings = by_policy.remove(policy.policy.name.as_str())?;
                Some(BoundPolicy {
                    policy: Arc::clone(policy),
                    bindings,
                })
            })
            .collect()
    }
}

/// What a request is about, as far as the index knows it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    /// The API group.
    pub group: &'r str,
    /// The version.
    pub version: &'r str,
    /// The plural name, with `/subresource` if there is one.
    pub resource: &'r str,
    /// What is done.
    pub operation: Operation,
}

/// A policy that may match a request.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'s> {
    /// The policy.
    pub bound: &'s BoundPolicy,
    /// Whether its rules are still to be looked at.
    pub certainty: Certainty,
}

/// A set made of documents, and what was noticed.
#[derive(Debug)]
pub struct Built {
    /// The set.
    pub set: PolicySet,
    /// What is wrong with the documents.
    pub diagnostics: Vec<Diagnostic>,
    /// Policies that are faulty in the documents and in force as they were before, by name.
    pub kept: Vec<String>,
    /// Exceptions that are faulty in the documents and in force as they were before, by their full names.
    pub kept_exceptions: Vec<String>,
}

impl Built {
    /// Puts what was noticed before in front.
    fn with(mut self, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.append(&mut self.diagnostics);
        Built {
            diagnostics,
            ..self
        }
    }
}

impl PolicySet {
    /// Compiles documents as written for a version of Kubernetes, and links policies with bindings.
    ///
    /// A policy or binding that is faulty stays in force as it was in `previous`, if it was there
    /// and came from the same source; so does one that is missing from a source of which
    /// `is_faulty` says that it could not be read whole. A `.cel` file is one policy with its
    /// binding, whatever its name. Without a good version a faulty policy is in the set as a
    /// configuration error, under its own failure policy.
    pub fn build(
        documents: Documents,
        version: KubernetesVersion,
        previous: &PolicySet,
        is_faulty: impl Fn(&str) -> bool,
    ) -> Built {
        let diagnostics = validate::documents(&documents);
        let built = PolicySet::build_valid(documents, version, previous, is_faulty);
        built.with(diagnostics)
    }

    /// Builds a set as [`PolicySet::build`] does, that takes less memory: it does not know where the
    /// fields of policies and bindings are written.
    pub fn build_to_serve(
        mut documents: Documents,
        version: KubernetesVersion,
        previous: &PolicySet,
        is_faulty: impl Fn(&str) -> bool,
    ) -> Built {
        let diagnostics = validate::documents(&documents);
        documents.forget_places();
        let built = PolicySet::build_valid(documents, version, previous, is_faulty);
        built.with(diagnostics)
    }

    /// Builds a set of documents of which everything was said that can be said before expressions
    /// are compiled.
    fn build_valid(
        documents: Documents,
        version: KubernetesVersion,
        previous: &PolicySet,
        is_faulty: impl Fn(&str) -> bool,
    ) -> Built {
        let mut diagnostics = Vec::new();
        let Documents {
            policies,
            bindings,
            params,
            exceptions,
        } = documents;
        let mut common = Common::default();
        let compiled = policies.into_iter().map(|policy| {
            let (compiled, problems) = compile::compile(policy, version, &mut common);
            diagnostics.extend(problems);
            compiled
        });
        let mut policies: Vec<Arc<CompiledPolicy>> = compiled.collect();
        only_once(&mut diagnostics);
        let kept = keep_policies(&mut policies, previous, &is_faulty);
        let mut bindings: Vec<Arc<Binding>> = bindings.into_iter().map(Arc::new).collect();
        keep_bindings(&mut bindings, previous, &kept, &is_faulty);
        policies.sort_by(|a, b| a.policy.name.cmp(&b.policy.name));
        bindings.sort_by(|a, b| a.name.cmp(&b.name));
        let (exceptions, problems, kept_exceptions) =
            exceptions::build(exceptions, version, &previous.exceptions, &is_faulty);
        diagnostics.extend(problems);
        let mut set = PolicySet::link(policies, bindings, params);
        set.exceptions = Exceptions::link(exceptions, &set.policies);
        Built {
            set,
            kept_exceptions,
            diagnostics,
            kept: kept.iter().map(|old| old.policy.name.clone()).collect(),
        }
    }

    /// Links compiled policies with bindings; both in order of name.
    fn link(
        policies: Vec<Arc<CompiledPolicy>>,
        bindings: Vec<Arc<Binding>>,
        params: Vec<ParamObject>,
    ) -> PolicySet {
        let validating = InForce::link(PolicyKind::Validating, &policies, &bindings);
        let mutating = InForce::link(PolicyKind::Mutating, &policies, &bindings);
        let of_cluster = (PolicyKind::Validating, PolicyScope::Cluster);
        let about_cluster = BoundPolicy::link(of_cluster, &policies, &bindings);
        PolicySet {
            policies,
            bindings,
            validating,
            mutating,
            about_cluster,
            params: Params::new(params),
            exceptions: Exceptions::default(),
        }
    }

    /// Returns the policies of a kind whose rules may match an operation on a resource, in order of name.
    pub fn candidates<'s>(
        &'s self,
        kind: PolicyKind,
        asked: Asked<'_>,
    ) -> impl Iterator<Item = Candidate<'s>> + use<'s> {
        let InForce { policies, index } = match kind {
            PolicyKind::Validating => &self.validating,
            PolicyKind::Mutating => &self.mutating,
        };
        let operation = asked.operation;
        let version = index.version(asked.version);
        let entries = index.entries(asked.group, asked.resource);
        entries.filter_map(move |entry| {
            Some(Candidate {
                bound: policies.get(entry.at)?,
                certainty: entry.matches(operation, version)?,
            })
        })
    }

    /// Returns every policy read, in order of name.
    pub fn policies(&self) -> &[Arc<CompiledPolicy>] {
        &self.policies
    }

    /// Returns every binding read, in order of name.
    pub fn bindings(&self) -> &[Arc<Binding>] {
        &self.bindings
    }

    /// Returns the policies about the cluster as a whole (`scope: cluster`), in order of name; no
    /// request is decided by them.
    pub fn about_cluster(&self) -> &[BoundPolicy] {
        &self.about_cluster
    }

    /// Returns the validating policies in force, in order of name.
    pub fn validating(&self) -> &[BoundPolicy] {
        &self.validating.policies
    }

    /// Returns the mutating policies in force, in order of name.
    pub fn mutating(&self) -> &[BoundPolicy] {
        &self.mutating.policies
    }

    /// Returns the same set with other parameters.
    pub fn with_params(&self, params: Vec<ParamObject>) -> PolicySet {
        let set = PolicySet::link(self.policies.clone(), self.bindings.clone(), params);
        set.excusing(self.exceptions.all().to_vec())
    }

    /// Returns the same set with other exceptions.
    #[must_use]
    pub fn excusing(mut self, exceptions: Vec<Arc<CompiledException>>) -> PolicySet {
        self.exceptions = Exceptions::link(exceptions, &self.policies);
        self
    }

    /// Returns what is excused from the policies.
    pub fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// Returns the objects that may be parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// Leaves out what was said of the same place before: one text may be read as several policies.
fn only_once(diagnostics: &mut Vec<Diagnostic>) {
    let mut said = FxHashSet::default();
    diagnostics.retain(|diagnostic| {
        let label = diagnostic.labels.first();
        let place = label.map(|it| (it.source.name().to_owned(), it.span));
        said.insert((diagnostic.message.clone(), place))
    });
}

/// Puts the last good versions of faulty policies in their place; returns those.
fn keep_policies(
    policies: &mut Vec<Arc<CompiledPolicy>>,
    previous: &PolicySet,
    is_faulty: &impl Fn(&str) -> bool,
) -> Vec<Arc<CompiledPolicy>> {
    let mut by_name: FxHashMap<(PolicyKind, String), usize> = FxHashMap::default();
    let mut by_file: FxHashMap<(PolicyKind, String), usize> = FxHashMap::default();
    for (at, policy) in policies.iter().enumerate() {
        let Policy {
            kind, name, origin, ..
        } = &policy.policy;
        by_name.entry((*kind, name.clone())).or_insert(at);
        if origin.form == Form::Cel {
            by_file.insert((*kind, origin.source.name().to_owned()), at);
        }
    }
    let mut kept = Vec::new();
    for old in &previous.policies {
        let Policy {
            kind, name, origin, ..
        } = &old.policy;
        let source = origin.source.name();
        let at = match origin.form {
            Form::Cel => by_file.get(&(*kind, source.to_owned())),
            Form::Kubernetes => None,
        };
        let at = at.or_else(|| by_name.get(&(*kind, name.clone())));
        match at.and_then(|at| policies.get_mut(*at)) {
            Some(new) => {
                let is_worse = new.is_faulty() && !old.is_faulty();
                if !is_worse || new.policy.origin.source.name() != source {
                    continue;
                }
                *new = Arc::clone(old);
            }
            None if is_faulty(source) => policies.push(Arc::clone(old)),
            None => continue,
        }
        kept.push(Arc::clone(old));
    }
    kept
}

/// Puts the last good versions of faulty bindings in their place, and those of `.cel` files whose
/// policies were kept.
fn keep_bindings(
    bindings: &mut Vec<Arc<Binding>>,
    previous: &PolicySet,
    kept: &[Arc<CompiledPolicy>],
    is_faulty: &impl Fn(&str) -> bool,
) {
    let kept_files: FxHashSet<(PolicyKind, &str)> = kept
        .iter()
        .map(|old| &old.policy)
        .filter(|policy| policy.origin.form == Form::Cel)
        .map(|policy| (policy.kind, policy.origin.source.name()))
        .collect();
    let is_kept = |it: &Binding| {
        it.origin.form == Form::Cel && kept_files.contains(&(it.kind, it.origin.source.name()))
    };
    bindings.retain(|it| !is_kept(it));
    let by_name: FxHashMap<(PolicyKind, String), usize> = bindings
        .iter()
        .enumerate()
        .map(|(at, it)| ((it.kind, it.name.clone()), at))
        .collect();
    for old in &previous.bindings {
        let source = old.origin.source.name();
        match by_name
            .get(&(old.kind, old.name.clone()))
            .and_then(|at| bindings.get_mut(*at))
        {
            Some(new) => {
                let is_worse = new.reading == Reading::Faulty && old.reading == Reading::Whole;
                if is_worse && new.origin.source.name() == source {
                    *new = Arc::clone(old);
                }
            }
            None if is_kept(old) || is_faulty(source) => bindings.push(Arc::clone(old)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
