//! The parameters a binding gives its policy.
//!
//! Semantics: apiserver `plugin/policy/generic/policy_matcher.go`, `CollectParams`.

use crate::admission::resources::Scope;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Binding, ParamObject, ParamSelect, ParameterNotFoundAction};
use crate::policy::set::PolicySet;

use super::Options;
use super::activation::Document;
use super::cluster;

const NO_NAMESPACE: &str =
    "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";

/// What a policy is evaluated with.
pub(super) enum Params<'s> {
    /// Once, without parameters.
    None,
    /// Once for each of these.
    These(Vec<&'s ParamObject>),
}

/// Returns the parameters to evaluate a policy with, or why the binding cannot be used: those read with
/// the policies, and those of the cluster that have other names.
pub(super) fn collect<'s>(
    set: &'s PolicySet,
    policy: &CompiledPolicy,
    binding: &Binding,
    document: &Document<'_>,
    options: Options<'s>,
) -> Result<Params<'s>, String> {
    let Some(kind) = &policy.policy.param_kind else {
        return Ok(Params::None);
    };
    let Some(reference) = &binding.param_ref else {
        return Ok(Params::None);
    };
    let of_kind = || set.params().of_kind(kind);
    let first = of_kind().next();
    // A manifest may leave the namespace out, so one without says nothing of its kind for certain.
    let resource = || options.resources.by_kind(&kind.api_version, &kind.kind);
    let (known, is_cluster_scoped) = match options.cluster.params(kind) {
        cluster::Params::OfPolicies => (None, first.is_some_and(|it| it.namespace.is_empty())),
        cluster::Params::Known {
            objects,
            is_namespaced,
        } => (Some(objects), !is_namespaced),
        cluster::Params::UnknownKind => match first {
            Some(first) => (None, first.namespace.is_empty()),
            None => {
                return Err(format!(
                    "paramKind kind `&ParamKind{{APIVersion:{},Kind:{},}}` not known",
                    kind.api_version, kind.kind
                ));
            }
        },
    };
    let namespace = match (&reference.namespace, is_cluster_scoped) {
        (Some(_), _) if resource().scope == Scope::Cluster => return Err(NO_NAMESPACE.to_owned()),
        (Some(_), true) if known.is_some() => return Err(NO_NAMESPACE.to_owned()),
        (_, true) => "",
        (Some(namespace), false) => namespace,
        (None, false) if document.namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches \
                        cluster-scoped resources"
                    .to_owned(),
            );
        }
        (None, false) => document.namespace,
    };
    let found: Vec<&ParamObject> = match &reference.select {
        ParamSelect::Name(name) => {
            let mut found: Vec<_> = set.params().named(kind, namespace, name).collect();
            if found.is_empty() {
                found.extend(known.and_then(|known| known.get(namespace, name)));
            }
            found
        }
        ParamSelect::Selector(selector) => {
            let known = known.into_iter().flat_map(|known| known.within(namespace));
            let is_read = |it: &ParamObject| {
                let mut read = set.params().named(kind, namespace, &it.name);
                read.next().is_some()
            };
            of_kind()
                .filter(|param| param.namespace == namespace)
                .chain(known.filter(|param| !is_read(param)))
                .filter(|it| selector.selects(|label| it.labels.get(label).map(String::as_str)))
                .collect()
        }
    };
    match (found.is_empty(), reference.not_found) {
        (true, ParameterNotFoundAction::Deny) => {
            Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned())
        }
        _ => Ok(Params::These(found)),
    }
}
