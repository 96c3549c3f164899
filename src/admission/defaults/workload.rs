//! Defaults of what runs pods: kubernetes `pkg/apis/apps/v1`, `pkg/apis/batch/v1`, `defaults.go`.

use serde_json::{Value, json};

use super::pod::{claim_spec, template};
use super::{Fields, each, fill, fill_text, fill_zeros, is_absent, with, within};

/// How often the template of a DaemonSet changed; an object that is created is of generation 1.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn deployment(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill(spec, "replicas", 1);
        fill(spec, "selector", Value::Null);
        fill(spec, "revisionHistoryLimit", 10);
        fill(spec, "progressDeadlineSeconds", 600);
        with(spec, "strategy", |strategy| {
            rolling_update(
                strategy,
                &[("maxUnavailable", "25%".into()), ("maxSurge", "25%".into())],
            );
        });
        template(spec, "template");
    });
    with(object, "status", |_| {});
}

/// The annotation is what a retired field became: kubernetes `pkg/apis/apps/v1/conversion.go`.
pub(super) fn daemon_set(object: &mut Fields) {
    with(object, "metadata", |metadata| {
        let generation = metadata
            .get("generation")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        with(metadata, "annotations", |annotations| {
            fill(annotations, TEMPLATE_GENERATION, generation.to_string());
        });
    });
    with(object, "spec", |spec| {
        fill(spec, "selector", Value::Null);
        fill(spec, "revisionHistoryLimit", 10);
        with(spec, "updateStrategy", |strategy| {
            rolling_update(
                strategy,
                &[("maxUnavailable", 1.into()), ("maxSurge", 0.into())],
            );
        });
        template(spec, "template");
    });
    with(object, "status", |status| {
        fill_zeros(
            status,
            &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
            ],
        );
    });
}

pub(super) fn stateful_set(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill(spec, "replicas", 1);
        fill(spec, "selector", Value::Null);
        fill_text(spec, "serviceName", "");
        fill(spec, "revisionHistoryLimit", 10);
        fill_text(spec, "podManagementPolicy", "OrderedReady");
        with(spec, "updateStrategy", stateful_strategy);
        with(spec, "persistentVolumeClaimRetentionPolicy", |policy| {
            fill_text(policy, "whenDeleted", "Retain");
            fill_text(policy, "whenScaled", "Retain");
        });
        each(spec, "volumeClaimTemplates", |claim| {
            fill_text(claim, "kind", "PersistentVolumeClaim");
            fill_text(claim, "apiVersion", "v1");
            with(claim, "metadata", |_| {});
            with(claim, "spec", claim_spec);
            with(claim, "status", |status| {
                fill_text(status, "phase", "Pending")
            });
        });
        template(spec, "template");
    });
    with(object, "status", |status| {
        fill_zeros(status, &["replicas", "availableReplicas"]);
    });
}

pub(super) fn replica_set(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill(spec, "replicas", 1);
        fill(spec, "selector", Value::Null);
        template(spec, "template");
    });
    with(object, "status", |status| fill_zeros(status, &["replicas"]));
}

pub(super) fn replication_controller(object: &mut Fields) {
    let mut labels = None;
    with(object, "spec", |spec| {
        fill(spec, "replicas", 1);
        if !is_absent(spec, "template") {
            template(spec, "template");
        }
        labels = template_labels(spec);
        if let Some(labels) = labels.clone() {
            fill(spec, "selector", labels);
        }
    });
    label_as_template(object, labels);
    with(object, "status", |status| fill_zeros(status, &["replicas"]));
}

pub(super) fn job(object: &mut Fields) {
    let mut labels = None;
    with(object, "spec", |spec| {
        job_spec(spec);
        labels = template_labels(spec);
    });
    label_as_template(object, labels);
    with(object, "status", |_| {});
}

pub(super) fn cron_job(object: &mut Fields) {
    with(object, "spec", |spec| {
        fill_text(spec, "schedule", "");
        fill_text(spec, "concurrencyPolicy", "Allow");
        fill(spec, "suspend", false);
        fill(spec, "successfulJobsHistoryLimit", 3);
        fill(spec, "failedJobsHistoryLimit", 1);
        with(spec, "jobTemplate", |job| {
            with(job, "metadata", |_| {});
            with(job, "spec", |spec| template(spec, "template"));
        });
    });
    with(object, "status", |_| {});
}

fn job_spec(spec: &mut Fields) {
    if is_absent(spec, "parallelism") {
        fill(spec, "completions", 1);
        fill(spec, "parallelism", 1);
    }
    let limit = match is_absent(spec, "backoffLimitPerIndex") {
        true => 6,
        false => i32::MAX,
    };
    fill(spec, "backoffLimit", limit);
    fill(spec, "completionMode", "NonIndexed");
    fill(spec, "suspend", false);
    let replacement = match is_absent(spec, "podFailurePolicy") {
        true => "TerminatingOrFailed",
        false => "Failed",
    };
    fill(spec, "podReplacementPolicy", replacement);
    within(spec, "podFailurePolicy", |policy| {
        each(policy, "rules", |rule| {
            each(rule, "onPodConditions", |pattern| {
                fill_text(pattern, "status", "True")
            });
        });
    });
    fill(spec, "manualSelector", false);
    template(spec, "template");
}

fn rolling_update(strategy: &mut Fields, bounds: &[(&str, Value)]) {
    fill_text(strategy, "type", "RollingUpdate");
    if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
        with(strategy, "rollingUpdate", |update| {
            for (key, value) in bounds {
                fill(update, key, value.clone());
            }
        });
    }
}

fn stateful_strategy(strategy: &mut Fields) {
    if super::is_blank(strategy, "type") {
        strategy.insert("type".to_owned(), "RollingUpdate".into());
        fill(strategy, "rollingUpdate", json!({}));
    }
    if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
        within(strategy, "rollingUpdate", |update| {
            fill(update, "partition", 0)
        });
    }
}

fn template_labels(spec: &Fields) -> Option<Value> {
    spec.get("template")?.pointer("/metadata/labels").cloned()
}

/// Gives an object without labels those of its pods.
fn label_as_template(object: &mut Fields, labels: Option<Value>) {
    if let Some(labels) = labels {
        with(object, "metadata", |metadata| {
            fill(metadata, "labels", labels)
        });
    }
}
