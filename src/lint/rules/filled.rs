//! Fields that every admitted object has, though its schema does not say so: the API server fills
//! them in or insists on them before policies see the object.
//!
//! Facts of Kubernetes 1.36.2: `pkg/apis/*/v*/defaults.go`, and for what is insisted on
//! `pkg/apis/*/validation`; validating policies come after both (apiserver
//! `pkg/registry/generic/registry/store.go`, `Create`).

use crate::cel::types::Inferred;

const META: &str = "apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Definition and field, in order.
#[rustfmt::skip]
const FILLED: &[(&str, &[&str])] = &[
    ("api.admissionregistration.v1.MutatingWebhook", &["failurePolicy", "matchPolicy", "namespaceSelector", "objectSelector", "reinvocationPolicy", "rules", "timeoutSeconds"]),
    ("api.admissionregistration.v1.RuleWithOperations", &["apiGroups", "apiVersions", "operations", "resources", "scope"]),
    ("api.admissionregistration.v1.ServiceReference", &["port"]),
    ("api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", &["policyName", "validationActions"]),
    ("api.admissionregistration.v1.ValidatingAdmissionPolicySpec", &["failurePolicy", "matchConstraints"]),
    ("api.admissionregistration.v1.ValidatingWebhook", &["failurePolicy", "matchPolicy", "namespaceSelector", "objectSelector", "rules", "timeoutSeconds"]),
    ("api.apps.v1.DaemonSetSpec", &["revisionHistoryLimit"]),
    ("api.apps.v1.DaemonSetUpdateStrategy", &["type"]),
    ("api.apps.v1.DeploymentSpec", &["progressDeadlineSeconds", "replicas", "revisionHistoryLimit"]),
    ("api.apps.v1.DeploymentStrategy", &["type"]),
    ("api.apps.v1.ReplicaSetSpec", &["replicas"]),
    ("api.apps.v1.RollingUpdateDeployment", &["maxSurge", "maxUnavailable"]),
    ("api.apps.v1.StatefulSetSpec", &["podManagementPolicy", "replicas", "revisionHistoryLimit"]),
    ("api.apps.v1.StatefulSetUpdateStrategy", &["type"]),
    ("api.autoscaling.v1.HorizontalPodAutoscalerSpec", &["minReplicas"]),
    ("api.autoscaling.v2.HorizontalPodAutoscalerSpec", &["metrics", "minReplicas"]),
    ("api.batch.v1.CronJobSpec", &["concurrencyPolicy", "failedJobsHistoryLimit", "successfulJobsHistoryLimit", "suspend"]),
    ("api.batch.v1.JobSpec", &["backoffLimit", "completionMode", "parallelism", "podReplacementPolicy", "suspend"]),
    ("api.core.v1.ConfigMapEnvSource", &["name"]),
    ("api.core.v1.ConfigMapKeySelector", &["name"]),
    ("api.core.v1.ConfigMapVolumeSource", &["defaultMode", "name"]),
    ("api.core.v1.Container", &["image", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"]),
    ("api.core.v1.ContainerPort", &["protocol"]),
    ("api.core.v1.EphemeralContainer", &["image", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"]),
    ("api.core.v1.HTTPGetAction", &["path", "scheme"]),
    ("api.core.v1.LocalObjectReference", &["name"]),
    ("api.core.v1.NamespaceSpec", &["finalizers"]),
    ("api.core.v1.NamespaceStatus", &["phase"]),
    ("api.core.v1.ObjectFieldSelector", &["apiVersion"]),
    ("api.core.v1.PersistentVolumeClaimSpec", &["accessModes", "volumeMode"]),
    ("api.core.v1.PersistentVolumeSpec", &["accessModes", "capacity", "persistentVolumeReclaimPolicy", "volumeMode"]),
    ("api.core.v1.PodSpec", &["dnsPolicy", "enableServiceLinks", "restartPolicy", "schedulerName", "securityContext", "terminationGracePeriodSeconds"]),
    ("api.core.v1.PodTemplateSpec", &["spec"]),
    ("api.core.v1.Probe", &["failureThreshold", "periodSeconds", "successThreshold", "timeoutSeconds"]),
    ("api.core.v1.ProjectedVolumeSource", &["defaultMode", "sources"]),
    ("api.core.v1.ReplicationControllerSpec", &["replicas", "selector", "template"]),
    ("api.core.v1.Secret", &["type"]),
    ("api.core.v1.SecretEnvSource", &["name"]),
    ("api.core.v1.SecretKeySelector", &["name"]),
    ("api.core.v1.SecretVolumeSource", &["defaultMode", "secretName"]),
    ("api.core.v1.ServicePort", &["protocol", "targetPort"]),
    // A name outside is insisted on where the type asks for one.
    ("api.core.v1.ServiceSpec", &["externalName", "sessionAffinity", "type"]),
    ("api.discovery.v1.EndpointPort", &["name", "protocol"]),
    ("api.networking.v1.NetworkPolicyPort", &["protocol"]),
    ("api.networking.v1.NetworkPolicySpec", &["policyTypes"]),
    // Written as null if there are none.
    ("api.rbac.v1.ClusterRole", &["rules"]),
    ("api.rbac.v1.Role", &["rules"]),
    ("api.rbac.v1.RoleRef", &["apiGroup"]),
    ("api.scheduling.v1.PriorityClass", &["preemptionPolicy"]),
    ("api.storage.v1.StorageClass", &["reclaimPolicy", "volumeBindingMode"]),
    // What the system writes, before validating policies are asked.
    (META, &["creationTimestamp", "name", "namespace", "uid"]),
];

/// Says whether every object of a type has a field, whatever its schema says.
pub(super) fn always(owner: &Inferred, field: &str) -> bool {
    let Inferred::Schema(object) = owner else {
        return false;
    };
    // What holds `metadata` is a whole object.
    if matches!(field, "apiVersion" | "kind" | "metadata") {
        let meta = object.fields.field("metadata").map(|meta| meta.inferred);
        return matches!(meta, Some(Inferred::Schema(meta)) if *meta.name == *META);
    }
    FILLED
        .iter()
        .any(|(definition, fields)| *object.name == **definition && fields.contains(&field))
}
