//! The objects that are measured.

use serde_json::{Value, json};

/// A Deployment with this many containers of 37 environment variables: 4 make about 11 KB, 80 about
/// 210 KB.
pub(crate) fn deployment(containers: usize) -> Value {
    let containers: Vec<Value> = (0..containers)
        .map(|at| {
            let env: Vec<Value> = (0..37)
                .map(|at| json!({ "name": format!("VARIABLE_{at:03}"), "value": format!("value {at}") }))
                .collect();
            json!({
                "name": format!("container-{at}"),
                "image": format!("registry.example.com/team/service-{at}:v1.2.{at}"),
                "imagePullPolicy": "IfNotPresent",
                "env": env,
                "ports": [{ "containerPort": 8080, "name": "http", "protocol": "TCP" }],
                "resources": {
                    "limits": { "cpu": "500m", "memory": "256Mi" },
                    "requests": { "cpu": "100m", "memory": "128Mi" },
                },
                "livenessProbe": { "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 10 },
                "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8080 }, "periodSeconds": 5 },
                "securityContext": { "allowPrivilegeEscalation": false, "runAsNonRoot": true },
            })
        })
        .collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "prod",
            "labels": { "app": "web", "team": "shop" },
            "annotations": { "example.com/owner": "shop@example.com" },
        },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web", "team": "shop" } },
                "spec": { "containers": containers, "serviceAccountName": "web" },
            },
        },
    })
}
