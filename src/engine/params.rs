//! The parameters a binding gives its policy.
//!
//! Semantics: apiserver `plugin/policy/generic/policy_matcher.go`, `CollectParams`.

use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Binding, ParamObject, ParamSelect, ParameterNotFoundAction};
use crate::policy::set::PolicySet;

use super::activation::Document;

/// What a policy is evaluated with.
pub(super) enum Params<'s> {
    /// Once, without parameters.
    None,
    /// Once for each of these.
    These(Vec<&'s ParamObject>),
}

/// Returns the parameters to evaluate a policy with, or why the binding cannot be used.
pub(super) fn collect<'s>(
    set: &'s PolicySet,
    policy: &CompiledPolicy,
    binding: &Binding,
    document: &Document<'_>,
) -> Result<Params<'s>, String> {
    let Some(kind) = &policy.policy.param_kind else {
        return Ok(Params::None);
    };
    let Some(reference) = &binding.param_ref else {
        return Ok(Params::None);
    };
    let of_kind = || set.params().of_kind(kind);
    let is_cluster_scoped = of_kind()
        .next()
        .is_some_and(|param| param.namespace.is_empty());
    let namespace = match (&reference.namespace, is_cluster_scoped) {
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
        ParamSelect::Name(name) => set.params().named(kind, namespace, name).collect(),
        ParamSelect::Selector(selector) => of_kind()
            .filter(|param| param.namespace == namespace)
            .filter(|param| selector.selects(|label| param.labels.get(label).map(String::as_str)))
            .collect(),
    };
    match (found.is_empty(), reference.not_found) {
        (true, ParameterNotFoundAction::Deny) => {
            Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned())
        }
        _ => Ok(Params::These(found)),
    }
}
