//! What a field means that was not written, by the version it was written in.
//!
//! Upstream: kubernetes `pkg/apis/admissionregistration/{v1,v1beta1,v1alpha1}/defaults.go`.

use crate::policy::model::{
    FailurePolicy, MatchPolicy, ParameterNotFoundAction, ReinvocationPolicy, Scope,
};

/// A version of `admissionregistration.k8s.io`, or the `.cel` form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `admissionregistration.k8s.io/v1`
    V1,
    /// `admissionregistration.k8s.io/v1beta1`
    V1Beta1,
    /// `admissionregistration.k8s.io/v1alpha1`
    V1Alpha1,
    /// A `.cel` file.
    Cel,
}

impl Version {
    /// The versions of Kubernetes documents, by name.
    pub const KUBERNETES: [(&'static str, Version); 3] = [
        ("v1", Version::V1),
        ("v1beta1", Version::V1Beta1),
        ("v1alpha1", Version::V1Alpha1),
    ];
}

/// What fields mean that were not written; `None` means they must be.
///
/// Selectors that are not written select everything, in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// `failurePolicy`
    pub failure_policy: FailurePolicy,
    /// `matchPolicy`
    pub match_policy: MatchPolicy,
    /// `scope` of a rule
    pub scope: Scope,
    /// `reinvocationPolicy`
    pub reinvocation_policy: Option<ReinvocationPolicy>,
    /// `parameterNotFoundAction`
    pub parameter_not_found: Option<ParameterNotFoundAction>,
    /// `operations` of a rule that selects
    pub operations: Option<&'static [&'static str]>,
    /// `operations` of a rule that excludes
    pub excluded_operations: Option<&'static [&'static str]>,
}

/// Returns the defaults of `version`.
///
/// A `.cel` file need not write what a Kubernetes document must: it closes on missing parameters,
/// never reinvokes, and its rules are about objects being created or updated.
pub fn of(version: Version) -> Defaults {
    let kubernetes = Defaults {
        failure_policy: FailurePolicy::Fail,
        match_policy: MatchPolicy::Equivalent,
        scope: Scope::All,
        reinvocation_policy: None,
        parameter_not_found: None,
        operations: None,
        excluded_operations: None,
    };
    match version {
        Version::V1 | Version::V1Beta1 => kubernetes,
        Version::V1Alpha1 => Defaults {
            parameter_not_found: Some(ParameterNotFoundAction::Deny),
            ..kubernetes
        },
        Version::Cel => Defaults {
            reinvocation_policy: Some(ReinvocationPolicy::Never),
            parameter_not_found: Some(ParameterNotFoundAction::Deny),
            operations: Some(&["CREATE", "UPDATE"]),
            excluded_operations: Some(&["*"]),
            ..kubernetes
        },
    }
}
