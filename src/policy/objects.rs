//! The declared types of `request` and `namespaceObject` (apiserver `plugin/cel/compile.go`,
//! `BuildRequestType`, `BuildNamespaceType`).

use crate::cel::types::{ObjectType, Type};

const STRINGS: Type = Type::List(&Type::String);
const STRING_MAP: Type = Type::Map(&Type::String, &Type::String);
const KIND: Type = Type::Object(&GROUP_VERSION_KIND);
const RESOURCE: Type = Type::Object(&GROUP_VERSION_RESOURCE);

static GROUP_VERSION_KIND: ObjectType = ObjectType {
    name: "kubernetes.GroupVersionKind",
    fields: &[
        ("group", Type::String),
        ("version", Type::String),
        ("kind", Type::String),
    ],
};

static GROUP_VERSION_RESOURCE: ObjectType = ObjectType {
    name: "kubernetes.GroupVersionResource",
    fields: &[
        ("group", Type::String),
        ("version", Type::String),
        ("resource", Type::String),
    ],
};

static USER_INFO: ObjectType = ObjectType {
    name: "kubernetes.UserInfo",
    fields: &[
        ("username", Type::String),
        ("uid", Type::String),
        ("groups", STRINGS),
        ("extra", Type::Map(&Type::String, &STRINGS)),
    ],
};

/// The type of `request`.
pub static REQUEST: ObjectType = ObjectType {
    name: "kubernetes.AdmissionRequest",
    fields: &[
        ("kind", KIND),
        ("resource", RESOURCE),
        ("subResource", Type::String),
        ("requestKind", KIND),
        ("requestResource", RESOURCE),
        ("requestSubResource", Type::String),
        ("name", Type::String),
        ("namespace", Type::String),
        ("operation", Type::String),
        ("userInfo", Type::Object(&USER_INFO)),
        ("dryRun", Type::Bool),
        ("options", Type::Dyn),
    ],
};

static NAMESPACE_SPEC: ObjectType = ObjectType {
    name: "kubernetes.NamespaceSpec",
    fields: &[("finalizers", STRINGS)],
};

static NAMESPACE_CONDITION: ObjectType = ObjectType {
    name: "kubernetes.NamespaceCondition",
    fields: &[
        ("status", Type::String),
        ("type", Type::String),
        ("lastTransitionTime", Type::Timestamp),
        ("message", Type::String),
        ("reason", Type::String),
    ],
};

static NAMESPACE_STATUS: ObjectType = ObjectType {
    name: "kubernetes.NamespaceStatus",
    fields: &[
        (
            "conditions",
            Type::List(&Type::Object(&NAMESPACE_CONDITION)),
        ),
        ("phase", Type::String),
    ],
};

static NAMESPACE_METADATA: ObjectType = ObjectType {
    name: "kubernetes.NamespaceMetadata",
    fields: &[
        ("name", Type::String),
        ("generateName", Type::String),
        ("namespace", Type::String),
        ("labels", STRING_MAP),
        ("annotations", STRING_MAP),
        ("UID", Type::String),
        ("creationTimestamp", Type::Timestamp),
        ("deletionGracePeriodSeconds", Type::Int),
        ("deletionTimestamp", Type::Timestamp),
        ("generation", Type::Int),
        ("resourceVersion", Type::String),
        ("finalizers", STRINGS),
    ],
};

/// The type of `namespaceObject`.
pub static NAMESPACE: ObjectType = ObjectType {
    name: "kubernetes.Namespace",
    fields: &[
        ("metadata", Type::Object(&NAMESPACE_METADATA)),
        ("spec", Type::Object(&NAMESPACE_SPEC)),
        ("status", Type::Object(&NAMESPACE_STATUS)),
    ],
};
