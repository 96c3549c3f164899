//! The parameters a binding gives its policy.
//!
//! Semantics: apiserver `plugin/policy/generic/policy_matcher.go`, `CollectParams`.

use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Binding, ParamObject, ParamSelect, ParameterNotFoundAction};
use crate::policy::set::PolicySet;

use super::activation::Document;

/// Returns the parameters to evaluate a policy with: one `None` for a policy that takes none, an
/// empty list if there is nothing to evaluate, or why the binding cannot be used.
pub(super) fn collect<'s>(
    set: &'s PolicySet,
    policy: &CompiledPolicy,
    binding: &Binding,
    document: &Document<'_>,
) -> Result<Vec<Option<&'s ParamObject>>, String> {
    let Some(kind) = &policy.policy.param_kind else {
        return Ok(vec![None]);
    };
    let Some(reference) = &binding.param_ref else {
        return Ok(vec![None]);
    };
    let of_kind = || set.params().iter().filter(|param| param.kind == *kind);
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
    let found: Vec<Option<&ParamObject>> = of_kind()
        .filter(|param| param.namespace == namespace)
        .filter(|param| match &reference.select {
            ParamSelect::Name(name) => param.name == *name,
            ParamSelect::Selector(selector) => {
                selector.selects(|label| param.labels.get(label).map(String::as_str))
            }
        })
        .map(Some)
        .collect();
    match (found.is_empty(), reference.not_found) {
        (true, ParameterNotFoundAction::Deny) => {
            Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned())
        }
        _ => Ok(found),
    }
}
