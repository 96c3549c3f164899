//! The values expressions read: the request as Kubernetes shows it to policies.

use std::borrow::Cow;
use std::cell::OnceCell;

use bumpalo::Bump;
use serde_json::value::RawValue;

use crate::admission::review::{AdmissionRequest, GroupVersionKind, GroupVersionResource};
use crate::cel::eval::Inputs;
use crate::cel::eval::shared::Shared;
use crate::cel::value::Value;
use crate::cel::value::access::{Access, ResourceCheck, Subject};
use crate::json::{self, Json, Object};
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::PodMatching;

use super::cluster::ClusterView;
use super::{EngineError, Options};

/// A request with its objects parsed, in an arena.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) resource: GroupVersionResource<'a>,
    pub(super) kind: GroupVersionKind<'a>,
    pub(super) namespace: &'a str,
    pub(super) object: Json<'a>,
    pub(super) old_object: Json<'a>,
    /// The variable `request`.
    request: Json<'a>,
    /// The variables of the authorizer; none where there is nobody to ask.
    access: &'a [Value<'a>],
    /// The variable `namespaceObject`.
    namespace_object: OnceCell<Json<'a>>,
    /// The same with everything its Namespace has.
    whole_namespace: OnceCell<Json<'a>>,
    /// The variable `pod`.
    pod: OnceCell<Json<'a>>,
    /// What is shared in each phase.
    phases: [PhaseValues<'a>; PHASES],
}

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Match conditions, which see no `namespaceObject`.
    Conditions,
    /// Validations.
    Decisions,
    /// Message expressions, which cannot ask the authorizer, not by a variable either.
    Messages,
    /// Audit annotations, which cannot ask it either, and see the whole Namespace.
    Annotations,
    /// Mutations, which see the whole Namespace.
    Mutations,
}

const PHASES: usize = 5;

impl Phase {
    /// Says whether the authorizer may be asked.
    pub(super) fn asks_authorizer(self) -> bool {
        !matches!(self, Phase::Messages | Phase::Annotations)
    }
}

/// What all policies of a request have in common in one phase.
#[derive(Debug)]
pub(super) struct PhaseValues<'a> {
    /// The inputs of policies without anything of their own; those that read `namespaceObject` last.
    pub(super) plain: [OnceCell<&'a Inputs<'a>>; 2],
    /// Results of the expressions that say the same.
    pub(super) shared: OnceCell<&'a Shared<'a>>,
}

impl PhaseValues<'_> {
    fn new() -> Self {
        PhaseValues {
            plain: [OnceCell::new(), OnceCell::new()],
            shared: OnceCell::new(),
        }
    }
}

impl<'a> Document<'a> {
    /// Parses the objects of a request.
    pub(super) fn parse(
        arena: &'a Bump,
        request: &'a AdmissionRequest<'_>,
        options: Options<'_>,
    ) -> Result<Self, EngineError> {
        let object = parse(arena, request.object).map_err(EngineError::Object)?;
        let old_object = parse(arena, request.old_object).map_err(EngineError::OldObject)?;
        Self::with(arena, request, options, [object, old_object])
    }

    /// Makes the document of a request whose objects are parsed.
    pub(super) fn with(
        arena: &'a Bump,
        request: &'a AdmissionRequest<'_>,
        options: Options<'_>,
        objects: [Json<'a>; 2],
    ) -> Result<Self, EngineError> {
        let kind = &request.kind;
        let numbers = options
            .resources
            .numbers(&kind.group, &kind.version, &kind.kind);
        let [object, old_object] = match numbers {
            Some(numbers) => objects.map(|object| numbers.apply(arena, object)),
            None => objects,
        };
        let variable = request_variable(arena, request)?;
        Ok(Document {
            resource: request.resource.reborrow(),
            kind: request.kind.reborrow(),
            namespace: &request.namespace,
            object,
            old_object,
            request: variable,
            access: options.authorizer.map_or(&[], |_| access(arena, request)),
            namespace_object: OnceCell::new(),
            whole_namespace: OnceCell::new(),
            pod: OnceCell::new(),
            phases: std::array::from_fn(|_| PhaseValues::new()),
        })
    }

    /// What there is without a request: nothing but the cluster.
    pub(super) fn of_cluster() -> Self {
        const NONE: Cow<'static, str> = Cow::Borrowed("");
        Document {
            resource: GroupVersionResource {
                group: NONE,
                version: NONE,
                resource: NONE,
            },
            kind: GroupVersionKind {
                group: NONE,
                version: NONE,
                kind: NONE,
            },
            namespace: "",
            object: Json::Null,
            old_object: Json::Null,
            request: Json::Null,
            access: &[],
            namespace_object: OnceCell::new(),
            whole_namespace: OnceCell::new(),
            pod: OnceCell::new(),
            phases: std::array::from_fn(|_| PhaseValues::new()),
        }
    }

    /// Says whether the request is about a Namespace itself.
    pub(super) fn is_namespace(&self) -> bool {
        self.resource.group.is_empty() && self.resource.resource == "namespaces"
    }

    /// Says whether the request is about something in a namespace.
    pub(super) fn is_namespaced(&self) -> bool {
        !self.namespace.is_empty() && !self.is_namespace()
    }

    /// Returns what all policies have in common in a phase.
    pub(super) fn phase(&self, phase: Phase) -> &PhaseValues<'a> {
        let [conditions, decisions, messages, annotations, mutations] = &self.phases;
        match phase {
            Phase::Conditions => conditions,
            Phase::Decisions => decisions,
            Phase::Messages => messages,
            Phase::Annotations => annotations,
            Phase::Mutations => mutations,
        }
    }

    /// Returns the values of the slots of [`crate::policy::compile::SLOTS`]; those of the authorizer
    /// only if there is one.
    pub(super) fn slots(
        &self,
        arena: &'a Bump,
        policy: &CompiledPolicy,
        params: Json<'a>,
        (phase, namespace): (Phase, Json<'a>),
    ) -> &'a [Value<'a>] {
        let settings = match policy.policy.settings.is_empty() {
            true => Json::Object(Object::new_in(arena, &[])),
            false => json::from_map(arena, &policy.policy.settings),
        };
        let pod = match policy.policy.pods {
            PodMatching::Object => Json::Null,
            PodMatching::PodTemplates => *self.pod.get_or_init(|| self.pod(arena)),
        };
        let access = match phase.asks_authorizer() {
            true => self.access,
            false => &[],
        };
        self.with_slots(arena, [params, namespace, settings, pod], access)
    }

    /// Returns the values of the slots for an expression that is no policy's: what a request alone
    /// gives.
    pub(super) fn slots_of_request(&self, arena: &'a Bump, namespace: Json<'a>) -> &'a [Value<'a>] {
        let values = [Json::Null, namespace, Json::Null, Json::Null];
        self.with_slots(arena, values, self.access)
    }

    fn with_slots(
        &self,
        arena: &'a Bump,
        [params, namespace, settings, pod]: [Json<'a>; 4],
        access: &[Value<'a>],
    ) -> &'a [Value<'a>] {
        let values = [
            self.object,
            self.old_object,
            self.request,
            params,
            namespace,
            settings,
            pod,
            // `variables` is read by its fields only.
            Json::Null,
        ];
        let values = values.into_iter().map(Value::from);
        let values = values.chain(access.iter().copied());
        bumpalo::collections::Vec::from_iter_in(values, arena).into_bump_slice()
    }

    /// The `metadata` and `spec` of the pod, or of the pod template of a workload.
    fn pod(&self, arena: &'a Bump) -> Json<'a> {
        let template = match &*self.kind.kind {
            "Pod" => Some(self.object),
            "CronJob" => self.object.at(&["spec", "jobTemplate", "spec", "template"]),
            _ => self.object.at(&["spec", "template"]),
        };
        let Some(template) = template else {
            return Json::Null;
        };
        let empty = Json::Object(Object::new_in(arena, &[]));
        let entries = ["metadata", "spec"].map(|key| (key, template.get(key).unwrap_or(empty)));
        Json::Object(Object::new_in(arena, arena.alloc_slice_copy(&entries)))
    }

    /// The variable `namespaceObject`: null for what is in no namespace. Of a namespace that is not
    /// known there is at least the name, as a label too, which every real one carries.
    ///
    /// Of `metadata` there is what apiserver `plugin/cel/condition.go`, `CreateNamespaceObject`, copies.
    pub(super) fn namespace_object(&self, arena: &'a Bump, cluster: &dyn ClusterView) -> Json<'a> {
        *self.namespace_object.get_or_init(|| {
            let whole = self.whole_namespace(arena, cluster);
            match whole.get("metadata") {
                Some(metadata) => {
                    let metadata = some_of(arena, metadata, &NAMESPACE_METADATA);
                    let kept = ["spec", "status"].map(|field| Some((field, whole.get(field)?)));
                    let kept = kept.into_iter().flatten();
                    let entries: Vec<_> = std::iter::once(("metadata", metadata))
                        .chain(kept)
                        .collect();
                    object(arena, &entries)
                }
                None => whole,
            }
        })
    }

    /// The variable `namespaceObject` where upstream gives expressions the Namespace as it is: in
    /// audit annotations (`plugin/policy/validating/validator.go`, `Validate`) and in mutations
    /// (`plugin/policy/mutating/patch`).
    pub(super) fn whole_namespace(&self, arena: &'a Bump, cluster: &dyn ClusterView) -> Json<'a> {
        *self
            .whole_namespace
            .get_or_init(|| self.read_namespace(arena, cluster))
    }

    fn read_namespace(&self, arena: &'a Bump, cluster: &dyn ClusterView) -> Json<'a> {
        if !self.is_namespaced() {
            return Json::Null;
        }
        if let Some(known) = cluster.namespace(self.namespace) {
            let known = json::from_value(arena, known);
            let empty = object(arena, &[]);
            // Go writes these three, whatever is in them.
            let fields = ["metadata", "spec", "status"];
            return object(
                arena,
                &fields.map(|field| (field, known.get(field).unwrap_or(empty))),
            );
        }
        let name = Json::String(self.namespace);
        let labels = object(arena, &[(NAME_LABEL, name)]);
        object(
            arena,
            &[(
                "metadata",
                object(arena, &[("name", name), ("labels", labels)]),
            )],
        )
    }
}

/// What of its metadata a Namespace keeps as a variable.
const NAMESPACE_METADATA: [&str; 12] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
];

/// The label every namespace carries its name in.
pub(super) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

fn parse<'a>(arena: &'a Bump, raw: Option<&'a RawValue>) -> Result<Json<'a>, json::JsonError> {
    raw.map_or(Ok(Json::Null), |raw| json::parse_text(arena, raw.get()))
}

/// An object with some of the fields of another.
fn some_of<'a>(arena: &'a Bump, of: Json<'a>, fields: &[&'static str]) -> Json<'a> {
    let kept = fields
        .iter()
        .filter_map(|field| Some((*field, of.get(field)?)));
    object(arena, &kept.collect::<Vec<_>>())
}

fn object<'a>(arena: &'a Bump, entries: &[(&'a str, Json<'a>)]) -> Json<'a> {
    Json::Object(Object::new_in(arena, arena.alloc_slice_copy(entries)))
}

/// The values of `authorizer` and of `authorizer.requestResource`, which is about the resource as it
/// was asked for, before the object was converted (apiserver `plugin/cel/activation.go`).
fn access<'a>(arena: &'a Bump, request: &'a AdmissionRequest<'_>) -> &'a [Value<'a>] {
    let (resource, subresource) = match &request.request_resource {
        Some(sent) => (sent, &request.request_sub_resource),
        None => (&request.resource, &request.sub_resource),
    };
    let subject = Subject::Requester;
    let check = ResourceCheck {
        subject,
        group: &resource.group,
        resource: &resource.resource,
        subresource,
        namespace: &request.namespace,
        name: &request.name,
        field_selector: "",
        label_selector: "",
    };
    let values = [Access::Authorizer(subject), Access::Resource(check)];
    arena.alloc_slice_copy(&values.map(|access| Value::Access(arena.alloc(access))))
}

/// Builds `request`: what JSON would leave out because it is empty is absent; `uid`, `object` and
/// `oldObject` are not there (apiserver `plugin/cel/condition.go`, `CreateAdmissionRequest`).
fn request_variable<'a>(
    arena: &'a Bump,
    request: &'a AdmissionRequest<'_>,
) -> Result<Json<'a>, EngineError> {
    let mut entries = vec![
        ("kind", kind(arena, &request.kind)),
        ("resource", resource(arena, &request.resource)),
    ];
    let mut text = |key, value: &'a str| {
        if !value.is_empty() {
            entries.push((key, Json::String(value)));
        }
    };
    text("subResource", &request.sub_resource);
    text("requestSubResource", &request.request_sub_resource);
    text("name", &request.name);
    text("namespace", &request.namespace);
    entries.push(("operation", Json::String(request.operation.as_str())));
    entries.push(("dryRun", Json::Bool(request.dry_run)));
    let kind_sent = request.request_kind.as_ref().unwrap_or(&request.kind);
    entries.push(("requestKind", kind(arena, kind_sent)));
    let resource_sent = request
        .request_resource
        .as_ref()
        .unwrap_or(&request.resource);
    entries.push(("requestResource", resource(arena, resource_sent)));
    let user_info = parse(arena, request.user_info).map_err(EngineError::Request)?;
    let user_info = if user_info.is_null() {
        object(arena, &[])
    } else {
        user_info
    };
    entries.push(("userInfo", user_info));
    entries.push((
        "options",
        parse(arena, request.options).map_err(EngineError::Request)?,
    ));
    Ok(object(arena, &entries))
}

fn kind<'a>(arena: &'a Bump, kind: &'a GroupVersionKind<'_>) -> Json<'a> {
    let entries = [
        ("group", Json::String(&kind.group)),
        ("version", Json::String(&kind.version)),
        ("kind", Json::String(&kind.kind)),
    ];
    object(arena, &entries)
}

fn resource<'a>(arena: &'a Bump, resource: &'a GroupVersionResource<'_>) -> Json<'a> {
    let entries = [
        ("group", Json::String(&resource.group)),
        ("version", Json::String(&resource.version)),
        ("resource", Json::String(&resource.resource)),
    ];
    object(arena, &entries)
}
