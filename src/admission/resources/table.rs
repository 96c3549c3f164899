//! The resources Kubernetes serves itself.
//!
//! Facts of Kubernetes 1.36.2, `api/discovery/aggregated_v2.json` and `api/discovery/api__v1.json`:
//! every resource that can be written, with all versions (most preferred first), sorted by group
//! and resource; subresources that can only be read are left out.

use super::Scope::{Cluster, Namespaced};
use super::{Row, SubResource};

/// A subresource of the same kind as its resource.
const fn own(name: &'static str) -> SubResource {
    SubResource { name, kind: None }
}

/// A subresource with a kind of its own: group, version, kind.
const fn of(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
) -> SubResource {
    SubResource {
        name,
        kind: Some((group, version, kind)),
    }
}

const SCALE: SubResource = of("scale", "autoscaling", "v1", "Scale");
const STATUS: SubResource = own("status");
const PODS: &[SubResource] = &[
    of("attach", "", "v1", "PodAttachOptions"),
    of("binding", "", "v1", "Binding"),
    own("ephemeralcontainers"),
    of("eviction", "policy", "v1", "Eviction"),
    of("exec", "", "v1", "PodExecOptions"),
    of("portforward", "", "v1", "PodPortForwardOptions"),
    of("proxy", "", "v1", "PodProxyOptions"),
    own("resize"),
    STATUS,
];

/// INVARIANT: sorted by group and resource (a test upholds it).
#[rustfmt::skip]
pub(super) const BUILT_IN: &[Row] = &[
    Row { group: "", resource: "bindings", kind: "Binding", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "", resource: "configmaps", kind: "ConfigMap", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "", resource: "endpoints", kind: "Endpoints", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "", resource: "events", kind: "Event", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "", resource: "limitranges", kind: "LimitRange", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "", resource: "namespaces", kind: "Namespace", scope: Cluster, versions: &["v1"], sub_resources: &[own("finalize"), STATUS] },
    Row { group: "", resource: "nodes", kind: "Node", scope: Cluster, versions: &["v1"], sub_resources: &[of("proxy", "", "v1", "NodeProxyOptions"), STATUS] },
    Row { group: "", resource: "persistentvolumeclaims", kind: "PersistentVolumeClaim", scope: Namespaced, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "", resource: "persistentvolumes", kind: "PersistentVolume", scope: Cluster, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "", resource: "pods", kind: "Pod", scope: Namespaced, versions: &["v1"], sub_resources: PODS },
    Row { group: "", resource: "podtemplates", kind: "PodTemplate", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "", resource: "replicationcontrollers", kind: "ReplicationController", scope: Namespaced, versions: &["v1"], sub_resources: &[SCALE, STATUS] },
    Row { group: "", resource: "resourcequotas", kind: "ResourceQuota", scope: Namespaced, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "", resource: "secrets", kind: "Secret", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "", resource: "serviceaccounts", kind: "ServiceAccount", scope: Namespaced, versions: &["v1"], sub_resources: &[of("token", "authentication.k8s.io", "v1", "TokenRequest")] },
    Row { group: "", resource: "services", kind: "Service", scope: Namespaced, versions: &["v1"], sub_resources: &[of("proxy", "", "v1", "ServiceProxyOptions"), STATUS] },
    Row { group: "admissionregistration.k8s.io", resource: "mutatingadmissionpolicies", kind: "MutatingAdmissionPolicy", scope: Cluster, versions: &["v1", "v1beta1", "v1alpha1"], sub_resources: &[] },
    Row { group: "admissionregistration.k8s.io", resource: "mutatingadmissionpolicybindings", kind: "MutatingAdmissionPolicyBinding", scope: Cluster, versions: &["v1", "v1beta1", "v1alpha1"], sub_resources: &[] },
    Row { group: "admissionregistration.k8s.io", resource: "mutatingwebhookconfigurations", kind: "MutatingWebhookConfiguration", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicies", kind: "ValidatingAdmissionPolicy", scope: Cluster, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicybindings", kind: "ValidatingAdmissionPolicyBinding", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "admissionregistration.k8s.io", resource: "validatingwebhookconfigurations", kind: "ValidatingWebhookConfiguration", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "apiextensions.k8s.io", resource: "customresourcedefinitions", kind: "CustomResourceDefinition", scope: Cluster, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "apiregistration.k8s.io", resource: "apiservices", kind: "APIService", scope: Cluster, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "apps", resource: "controllerrevisions", kind: "ControllerRevision", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "apps", resource: "daemonsets", kind: "DaemonSet", scope: Namespaced, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "apps", resource: "deployments", kind: "Deployment", scope: Namespaced, versions: &["v1"], sub_resources: &[SCALE, STATUS] },
    Row { group: "apps", resource: "replicasets", kind: "ReplicaSet", scope: Namespaced, versions: &["v1"], sub_resources: &[SCALE, STATUS] },
    Row { group: "apps", resource: "statefulsets", kind: "StatefulSet", scope: Namespaced, versions: &["v1"], sub_resources: &[SCALE, STATUS] },
    Row { group: "authentication.k8s.io", resource: "selfsubjectreviews", kind: "SelfSubjectReview", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "authentication.k8s.io", resource: "tokenreviews", kind: "TokenReview", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "authorization.k8s.io", resource: "localsubjectaccessreviews", kind: "LocalSubjectAccessReview", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "authorization.k8s.io", resource: "selfsubjectaccessreviews", kind: "SelfSubjectAccessReview", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "authorization.k8s.io", resource: "selfsubjectrulesreviews", kind: "SelfSubjectRulesReview", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "authorization.k8s.io", resource: "subjectaccessreviews", kind: "SubjectAccessReview", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "autoscaling", resource: "horizontalpodautoscalers", kind: "HorizontalPodAutoscaler", scope: Namespaced, versions: &["v2", "v1"], sub_resources: &[STATUS] },
    Row { group: "batch", resource: "cronjobs", kind: "CronJob", scope: Namespaced, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "batch", resource: "jobs", kind: "Job", scope: Namespaced, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "certificates.k8s.io", resource: "certificatesigningrequests", kind: "CertificateSigningRequest", scope: Cluster, versions: &["v1"], sub_resources: &[own("approval"), STATUS] },
    Row { group: "certificates.k8s.io", resource: "clustertrustbundles", kind: "ClusterTrustBundle", scope: Cluster, versions: &["v1beta1", "v1alpha1"], sub_resources: &[] },
    Row { group: "certificates.k8s.io", resource: "podcertificaterequests", kind: "PodCertificateRequest", scope: Namespaced, versions: &["v1beta1"], sub_resources: &[STATUS] },
    Row { group: "coordination.k8s.io", resource: "leasecandidates", kind: "LeaseCandidate", scope: Namespaced, versions: &["v1beta1", "v1alpha2"], sub_resources: &[] },
    Row { group: "coordination.k8s.io", resource: "leases", kind: "Lease", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "discovery.k8s.io", resource: "endpointslices", kind: "EndpointSlice", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "events.k8s.io", resource: "events", kind: "Event", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "flowcontrol.apiserver.k8s.io", resource: "flowschemas", kind: "FlowSchema", scope: Cluster, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "flowcontrol.apiserver.k8s.io", resource: "prioritylevelconfigurations", kind: "PriorityLevelConfiguration", scope: Cluster, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "internal.apiserver.k8s.io", resource: "storageversions", kind: "StorageVersion", scope: Cluster, versions: &["v1alpha1"], sub_resources: &[STATUS] },
    Row { group: "networking.k8s.io", resource: "ingressclasses", kind: "IngressClass", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "networking.k8s.io", resource: "ingresses", kind: "Ingress", scope: Namespaced, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "networking.k8s.io", resource: "ipaddresses", kind: "IPAddress", scope: Cluster, versions: &["v1", "v1beta1"], sub_resources: &[] },
    Row { group: "networking.k8s.io", resource: "networkpolicies", kind: "NetworkPolicy", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "networking.k8s.io", resource: "servicecidrs", kind: "ServiceCIDR", scope: Cluster, versions: &["v1", "v1beta1"], sub_resources: &[STATUS] },
    Row { group: "node.k8s.io", resource: "runtimeclasses", kind: "RuntimeClass", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "policy", resource: "poddisruptionbudgets", kind: "PodDisruptionBudget", scope: Namespaced, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "rbac.authorization.k8s.io", resource: "clusterrolebindings", kind: "ClusterRoleBinding", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "rbac.authorization.k8s.io", resource: "clusterroles", kind: "ClusterRole", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "rbac.authorization.k8s.io", resource: "rolebindings", kind: "RoleBinding", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "rbac.authorization.k8s.io", resource: "roles", kind: "Role", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "resource.k8s.io", resource: "deviceclasses", kind: "DeviceClass", scope: Cluster, versions: &["v1", "v1beta2", "v1beta1"], sub_resources: &[] },
    Row { group: "resource.k8s.io", resource: "devicetaintrules", kind: "DeviceTaintRule", scope: Cluster, versions: &["v1beta2", "v1alpha3"], sub_resources: &[STATUS] },
    Row { group: "resource.k8s.io", resource: "resourceclaims", kind: "ResourceClaim", scope: Namespaced, versions: &["v1", "v1beta2", "v1beta1"], sub_resources: &[STATUS] },
    Row { group: "resource.k8s.io", resource: "resourceclaimtemplates", kind: "ResourceClaimTemplate", scope: Namespaced, versions: &["v1", "v1beta2", "v1beta1"], sub_resources: &[] },
    Row { group: "resource.k8s.io", resource: "resourcepoolstatusrequests", kind: "ResourcePoolStatusRequest", scope: Cluster, versions: &["v1alpha3"], sub_resources: &[STATUS] },
    Row { group: "resource.k8s.io", resource: "resourceslices", kind: "ResourceSlice", scope: Cluster, versions: &["v1", "v1beta2", "v1beta1"], sub_resources: &[] },
    Row { group: "scheduling.k8s.io", resource: "podgroups", kind: "PodGroup", scope: Namespaced, versions: &["v1alpha2"], sub_resources: &[STATUS] },
    Row { group: "scheduling.k8s.io", resource: "priorityclasses", kind: "PriorityClass", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "scheduling.k8s.io", resource: "workloads", kind: "Workload", scope: Namespaced, versions: &["v1alpha2"], sub_resources: &[] },
    Row { group: "storage.k8s.io", resource: "csidrivers", kind: "CSIDriver", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "storage.k8s.io", resource: "csinodes", kind: "CSINode", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "storage.k8s.io", resource: "csistoragecapacities", kind: "CSIStorageCapacity", scope: Namespaced, versions: &["v1"], sub_resources: &[] },
    Row { group: "storage.k8s.io", resource: "storageclasses", kind: "StorageClass", scope: Cluster, versions: &["v1"], sub_resources: &[] },
    Row { group: "storage.k8s.io", resource: "volumeattachments", kind: "VolumeAttachment", scope: Cluster, versions: &["v1"], sub_resources: &[STATUS] },
    Row { group: "storage.k8s.io", resource: "volumeattributesclasses", kind: "VolumeAttributesClass", scope: Cluster, versions: &["v1", "v1beta1"], sub_resources: &[] },
    Row { group: "storagemigration.k8s.io", resource: "storageversionmigrations", kind: "StorageVersionMigration", scope: Cluster, versions: &["v1beta1"], sub_resources: &[STATUS] },
];

/// Resources of different groups that are one and the same in storage, and so are equivalent for
/// `matchPolicy: Equivalent`: kubernetes `pkg/kubeapiserver/default_storage_factory_builder.go`,
/// of which only this pair is still served.
pub(super) const SHARED_STORAGE: &[(&str, &str, &str)] = &[("events", "", "events.k8s.io")];
