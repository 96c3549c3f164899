//! Defaults of services, storage, autoscalers, network and access rules.

use serde_json::{Value, json};

use super::pod::{claim_spec, copy_absent};
use super::{Fields, each, fill, fill_text, fill_zeros, is_absent, is_blank, with, within};
use crate::admission::response::base64;

/// The API group of roles.
const RBAC: &str = "rbac.authorization.k8s.io";

/// How long a client is sent to the same pod: three hours.
const CLIENT_IP_SECONDS: i64 = 10_800;

/// kubernetes `pkg/apis/core/v1/defaults.go`, `SetDefaults_Service`.
pub(super) fn service(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill_text(spec, "sessionAffinity", "None");
        match spec.get("sessionAffinity").and_then(Value::as_str) {
            Some("None") => drop(spec.shift_remove("sessionAffinityConfig")),
            Some("ClientIP") => with(spec, "sessionAffinityConfig", |config| {
                with(config, "clientIP", |client| {
                    fill(client, "timeoutSeconds", CLIENT_IP_SECONDS);
                });
            }),
            _ => {}
        }
        fill_text(spec, "type", "ClusterIP");
        each(spec, "ports", |port| {
            fill_text(port, "protocol", "TCP");
            fill(port, "port", 0);
            if is_blank(port, "name") {
                port.shift_remove("name");
            }
            let target = port.get("targetPort");
            if is_blank(port, "targetPort") || target.and_then(Value::as_i64) == Some(0) {
                let number = port.get("port").cloned().unwrap_or_default();
                port.insert("targetPort".to_owned(), number);
            }
        });
        traffic(spec);
    });
    with(object, "status", |status| {
        with(status, "loadBalancer", |_| {})
    });
}

fn traffic(spec: &mut Fields) {
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default();
    let (is_balancer, is_node_port) = (kind == "LoadBalancer", kind == "NodePort");
    let is_cluster = kind == "ClusterIP";
    let has_external = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|addresses| !addresses.is_empty());
    if is_balancer || is_node_port || (is_cluster && has_external) {
        fill_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if is_balancer || is_node_port || is_cluster {
        fill(spec, "internalTrafficPolicy", "Cluster");
    }
    if is_balancer {
        fill(spec, "allocateLoadBalancerNodePorts", true);
    }
}

pub(super) fn endpoints(object: &mut Fields) {
    each(object, "subsets", |subset| {
        each(subset, "ports", |port| fill_text(port, "protocol", "TCP"));
    });
}

pub(super) fn endpoint_slice(object: &mut Fields) {
    each(object, "endpoints", |endpoint| {
        with(endpoint, "conditions", |_| {})
    });
    each(object, "ports", |port| {
        fill(port, "name", "");
        fill(port, "protocol", "TCP");
    });
}

/// Texts given in the clear replace those in base64: kubernetes `pkg/apis/core/v1/conversion.go`.
pub(super) fn secret(object: &mut Fields) {
    fill_text(object, "type", "Opaque");
    let Some(Value::Object(texts)) = object.shift_remove("stringData") else {
        return;
    };
    with(object, "data", |data| {
        for (key, text) in texts {
            let text = text.as_str().unwrap_or_default();
            data.insert(key, base64(text.as_bytes()).into());
        }
    });
}

pub(super) fn priority_class(object: &mut Fields) {
    fill(object, "value", 0);
    fill(object, "preemptionPolicy", "PreemptLowerPriority");
}

pub(super) fn namespace(object: &mut Fields) {
    with(object, "metadata", |metadata| {
        if let Some(name) = metadata.get("name").cloned() {
            with(metadata, "labels", |labels| {
                labels.insert("kubernetes.io/metadata.name".to_owned(), name);
            });
        }
    });
    with(object, "spec", |_| {});
    with(object, "status", |status| {
        fill_text(status, "phase", "Active")
    });
}

pub(super) fn persistent_volume_claim(object: &mut Fields) {
    with(object, "spec", claim_spec);
    with(object, "status", |status| {
        fill_text(status, "phase", "Pending")
    });
}

pub(super) fn persistent_volume(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        fill(spec, "volumeMode", "Filesystem");
        within(spec, "hostPath", |source| fill(source, "type", ""));
        within(spec, "iscsi", |source| {
            fill_text(source, "iscsiInterface", "default")
        });
    });
    with(object, "status", |status| {
        fill_text(status, "phase", "Pending")
    });
}

/// kubernetes `pkg/apis/core/v1/defaults.go`, `SetDefaults_LimitRangeItem`.
pub(super) fn limit_range(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill(spec, "limits", Value::Null);
        each(spec, "limits", |limit| {
            if limit.get("type").and_then(Value::as_str) == Some("Container") {
                copy_absent(limit, "max", "default", |_| true);
                copy_absent(limit, "default", "defaultRequest", |_| true);
                copy_absent(limit, "min", "defaultRequest", |_| true);
            }
        });
    });
}

/// kubernetes `pkg/apis/autoscaling/v1/defaults.go` and `conversion.go`.
pub(super) fn autoscaler_v1(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill(spec, "minReplicas", 1);
        fill(spec, "maxReplicas", 0);
        fill(spec, "targetCPUUtilizationPercentage", 80);
    });
    with(object, "status", |status| {
        fill_zeros(status, &["currentReplicas", "desiredReplicas"]);
    });
}

/// kubernetes `pkg/apis/autoscaling/v2/defaults.go`.
pub(super) fn autoscaler(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill(spec, "minReplicas", 1);
        fill(spec, "maxReplicas", 0);
        fill(
            spec,
            "metrics",
            json!([{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
            }}]),
        );
        within(spec, "behavior", |behavior| {
            with(behavior, "scaleUp", |rules| {
                fill(rules, "stabilizationWindowSeconds", 0);
                fill(rules, "selectPolicy", "Max");
                fill(
                    rules,
                    "policies",
                    json!([
                        {"type": "Pods", "value": 4, "periodSeconds": 15},
                        {"type": "Percent", "value": 100, "periodSeconds": 15},
                    ]),
                );
            });
            with(behavior, "scaleDown", |rules| {
                fill(rules, "selectPolicy", "Max");
                fill(
                    rules,
                    "policies",
                    json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]),
                );
            });
        });
    });
    with(object, "status", |status| {
        fill(status, "desiredReplicas", 0);
        fill(status, "currentMetrics", Value::Null);
    });
}

pub(super) fn disruption_budget(object: &mut Fields) {
    with(object, "spec", |_| {});
    with(object, "status", |status| {
        fill_zeros(
            status,
            &[
                "disruptionsAllowed",
                "currentHealthy",
                "desiredHealthy",
                "expectedPods",
            ],
        );
    });
}

pub(super) fn ingress(object: &mut Fields) {
    with(object, "spec", |spec| {
        each(spec, "rules", |rule| {
            within(rule, "http", |http| {
                fill(http, "paths", Value::Null);
                each(http, "paths", |path| {
                    fill(path, "pathType", Value::Null);
                    with(path, "backend", backend);
                });
            });
        });
        within(spec, "defaultBackend", backend);
    });
    with(object, "status", |status| {
        with(status, "loadBalancer", |_| {})
    });
}

fn backend(backend: &mut Fields) {
    within(backend, "service", |service| with(service, "port", |_| {}));
}

pub(super) fn ingress_class(object: &mut Fields) {
    with(object, "spec", |spec| {
        within(spec, "parameters", |parameters| {
            fill(parameters, "scope", "Cluster")
        });
    });
}

/// kubernetes `pkg/apis/networking/v1/defaults.go`.
pub(super) fn network_policy(object: &mut Fields) {
    with(object, "spec", |spec| {
        with(spec, "podSelector", |_| {});
        let has_egress = spec
            .get("egress")
            .and_then(Value::as_array)
            .is_some_and(|rules| !rules.is_empty());
        let types = if has_egress {
            json!(["Ingress", "Egress"])
        } else {
            json!(["Ingress"])
        };
        fill(spec, "policyTypes", types);
        for rules in ["ingress", "egress"] {
            each(spec, rules, |rule| {
                each(rule, "ports", |port| fill(port, "protocol", "TCP"));
            });
        }
    });
}

pub(super) fn role(object: &mut Fields) {
    fill(object, "rules", Value::Null);
    each(object, "rules", |rule| fill(rule, "verbs", Value::Null));
}

/// kubernetes `pkg/apis/rbac/v1/defaults.go`.
pub(super) fn role_binding(object: &mut Fields) {
    with(object, "roleRef", |role| fill_text(role, "apiGroup", RBAC));
    each(object, "subjects", |subject| {
        if matches!(
            subject.get("kind").and_then(Value::as_str),
            Some("User" | "Group")
        ) {
            fill_text(subject, "apiGroup", RBAC);
        }
    });
}

/// kubernetes `pkg/apis/authentication/v1/defaults.go`.
pub(super) fn token_request(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill(spec, "audiences", Value::Null);
        fill(spec, "expirationSeconds", 3600);
        fill(spec, "boundObjectRef", Value::Null);
    });
    with(object, "status", |status| {
        fill(status, "token", "");
        fill(status, "expirationTimestamp", Value::Null);
    });
}

pub(super) fn storage_class(object: &mut Fields) {
    if is_absent(object, "reclaimPolicy") {
        object.insert("reclaimPolicy".to_owned(), "Delete".into());
    }
    fill(object, "volumeBindingMode", "Immediate");
}
