//! Requests that are not decided, and why.

use crate::admission::resources::Resources;
use crate::admission::review::{AdmissionRequest, GroupVersionResource, ReviewError};
use crate::cluster::view::Lack;
use crate::engine::EngineError;
use crate::webhook::admission::Refusal;

pub(super) fn malformed(error: &ReviewError) -> Refusal {
    let message = match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    };
    Refusal {
        status: 400,
        reason: "BadRequest",
        message,
    }
}

/// Says whether policies never see the resource: to decide it, they would ask the API server what it is
/// about to ask them (kubernetes `pkg/kubeapiserver/admission/exclusion/resources.go`, `excluded`).
pub(super) fn is_out_of_reach(request: &AdmissionRequest<'_>) -> bool {
    let resource = &request.resource;
    matches!(
        (&*resource.group, &*resource.resource),
        (
            "authentication.k8s.io",
            "selfsubjectreviews" | "tokenreviews"
        ) | (
            "authorization.k8s.io",
            "localsubjectaccessreviews"
                | "selfsubjectaccessreviews"
                | "selfsubjectrulesreviews"
                | "subjectaccessreviews"
        )
    )
}

/// Says whether a request is about a kind that Kubernetes has no table of.
pub(super) fn is_custom(request: &AdmissionRequest<'_>) -> bool {
    let GroupVersionResource {
        group,
        version,
        resource,
    } = &request.resource;
    let known = Resources::built_in().by_resource(group, version, resource);
    known.is_none()
}

/// Something that a policy reads is not known.
pub(super) fn unknown(lack: Lack) -> Refusal {
    let message = match lack {
        Lack::Unknown => "what the policies read of the cluster is not known yet",
        Lack::TooLarge => {
            "what the policies read of the cluster is more than there is memory for: raise \
             `limits.cache`"
        }
    };
    Refusal {
        status: 503,
        reason: "ServiceUnavailable",
        message: message.to_owned(),
    }
}

pub(super) fn unusable(error: &EngineError) -> Refusal {
    Refusal {
        status: 400,
        reason: "BadRequest",
        message: error.to_string(),
    }
}
