//! API defaulting: what the API server fills into built-in objects before policies see them.
//!
//! Follows kubernetes 1.36.2 `pkg/apis/*/*/defaults.go` and `zz_generated.defaults.go`, with the
//! fields that are always written even if they are empty (`status: {}`, `resources: {}`), and no
//! feature gates off their defaults. What controllers and allocators fill in (cluster IPs, node
//! ports, the service account's volume and name) is not invented, nor are `uid`,
//! `creationTimestamp` and `managedFields`.
//!
//! Values of another type than a field has are left alone; the API server would refuse them.

use serde_json::{Map, Value, json};

mod kinds;
mod pod;
mod workload;

/// The fields of an object.
type Fields = Map<String, Value>;

/// Fills in the defaults of a built-in object; objects of other kinds are left as they are.
///
/// Expects nulls to be gone: [`super::decode`].
pub fn apply(object: &mut Fields) {
    let text = |key: &str| {
        let text = object.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    match (&*text("apiVersion"), &*text("kind")) {
        ("v1", "Pod") => pod::pod(object),
        ("v1", "PodTemplate") => pod::template(object, "template"),
        ("v1", "ReplicationController") => workload::replication_controller(object),
        ("apps/v1", "Deployment") => workload::deployment(object),
        ("apps/v1", "ReplicaSet") => workload::replica_set(object),
        ("apps/v1", "StatefulSet") => workload::stateful_set(object),
        ("apps/v1", "DaemonSet") => workload::daemon_set(object),
        ("batch/v1", "Job") => workload::job(object),
        ("batch/v1", "CronJob") => workload::cron_job(object),
        ("v1", "Service") => kinds::service(object),
        ("v1", "Endpoints") => kinds::endpoints(object),
        ("v1", "Secret") => kinds::secret(object),
        ("discovery.k8s.io/v1", "EndpointSlice") => kinds::endpoint_slice(object),
        ("scheduling.k8s.io/v1", "PriorityClass") => kinds::priority_class(object),
        ("v1", "Namespace") => kinds::namespace(object),
        ("v1", "PersistentVolumeClaim") => kinds::persistent_volume_claim(object),
        ("v1", "PersistentVolume") => kinds::persistent_volume(object),
        ("v1", "LimitRange") => kinds::limit_range(object),
        ("v1", "ResourceQuota") => {
            with(object, "spec", |_| {});
            with(object, "status", |_| {});
        }
        ("autoscaling/v1", "HorizontalPodAutoscaler") => kinds::autoscaler_v1(object),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => kinds::autoscaler(object),
        ("policy/v1", "PodDisruptionBudget") => kinds::disruption_budget(object),
        ("networking.k8s.io/v1", "Ingress") => kinds::ingress(object),
        ("networking.k8s.io/v1", "IngressClass") => kinds::ingress_class(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => kinds::network_policy(object),
        ("rbac.authorization.k8s.io/v1", "Role" | "ClusterRole") => kinds::role(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding" | "ClusterRoleBinding") => {
            kinds::role_binding(object);
        }
        ("authentication.k8s.io/v1", "TokenRequest") => kinds::token_request(object),
        ("storage.k8s.io/v1", "StorageClass") => kinds::storage_class(object),
        _ => {}
    }
}

/// Says whether a key has no value.
fn is_absent(fields: &Fields, key: &str) -> bool {
    fields.get(key).is_none_or(Value::is_null)
}

/// Says whether a key has no value or the empty text.
fn is_blank(fields: &Fields, key: &str) -> bool {
    is_absent(fields, key) || fields.get(key).and_then(Value::as_str) == Some("")
}

/// Sets a key that is absent.
fn fill(fields: &mut Fields, key: &str, value: impl Into<Value>) {
    if is_absent(fields, key) {
        fields.insert(key.to_owned(), value.into());
    }
}

/// Sets a key that is absent or the empty text.
fn fill_text(fields: &mut Fields, key: &str, text: &str) {
    if is_blank(fields, key) {
        fields.insert(key.to_owned(), text.into());
    }
}

/// Sets a key that is absent or zero.
fn fill_number(fields: &mut Fields, key: &str, number: i64) {
    if is_absent(fields, key) || fields.get(key).and_then(Value::as_i64) == Some(0) {
        fields.insert(key.to_owned(), number.into());
    }
}

/// Sets counters that are always written.
fn fill_zeros(fields: &mut Fields, keys: &[&str]) {
    for key in keys {
        fill(fields, key, 0);
    }
}

/// Does something with the object under a key, which is made if it is absent.
fn with(fields: &mut Fields, key: &str, change: impl FnOnce(&mut Fields)) {
    if is_absent(fields, key) {
        fields.insert(key.to_owned(), json!({}));
    }
    within(fields, key, change);
}

/// Does something with the object under a key, if there is one.
fn within(fields: &mut Fields, key: &str, change: impl FnOnce(&mut Fields)) {
    if let Some(Value::Object(inner)) = fields.get_mut(key) {
        change(inner);
    }
}

/// Does something with each object of the list under a key, if there is one.
fn each(fields: &mut Fields, key: &str, change: impl FnMut(&mut Fields)) {
    if let Some(Value::Array(items)) = fields.get_mut(key) {
        items
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(change);
    }
}

#[cfg(test)]
mod tests;
