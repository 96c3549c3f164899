//! The reviews that are measured.

use serde_json::json;

use crate::objects::deployment;

/// A review of creating a Deployment of four containers.
pub(crate) fn body() -> Vec<u8> {
    let resource = json!({ "group": "apps", "version": "v1", "resource": "deployments" });
    let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": "web",
            "namespace": "prod",
            "operation": "CREATE",
            "userInfo": { "username": "admin", "groups": ["system:masters", "system:authenticated"] },
            "object": deployment(4),
            "oldObject": null,
            "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    })
    .to_string()
    .into_bytes()
}
