//! Makes the request an API server would send from manifests, without one.
//!
//! Flow: the object is brought into the form the API server gives it ([`decode`], [`defaults`]),
//! its resource is looked up ([`Resources`]), namespace and name are settled, and the rest of the
//! request is filled in as for a `kubectl` of a cluster administrator. What only a running cluster
//! knows (`uid`, `creationTimestamp`, `managedFields`, what admission plugins add) is not invented.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::resources::{Provenance, Resource, Resources, Scope, split};
use super::review::{
    API_VERSION, AdmissionRequest, GroupVersionKind, GroupVersionResource, KIND, Operation,
};
use super::{decode, defaults};
use crate::json::MAX_DEPTH;

/// The uid of synthesized requests, unless another one is given.
pub const UID: &str = "00000000-0000-0000-0000-000000000000";

/// What stands for the random end of a generated name.
const GENERATED: &str = "xxxxx";

/// What to make a request from.
#[derive(Debug, Clone)]
pub struct Synthesis {
    /// What is to be done.
    pub operation: Operation,
    /// The object as it would be; none for DELETE.
    pub object: Option<Value>,
    /// The object as it is; none for CREATE and CONNECT.
    pub old_object: Option<Value>,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// The name, where the object does not have it: CONNECT, a collection.
    pub name: Option<String>,
    /// Who asks.
    pub user: User,
    /// Whether nothing would be stored.
    pub dry_run: bool,
    /// `scale`, `status` and the like, or empty.
    pub sub_resource: String,
    /// The resource addressed, if the object's kind does not tell: what a Scale belongs to.
    pub resource: Option<GroupVersionResource<'static>>,
    /// The operation's options; fields given here come over those filled in.
    pub options: Map<String, Value>,
    /// Identifies the request.
    pub uid: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's name.
    pub username: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// Further fields of a UserInfo: `uid`, `extra`.
    pub more: Map<String, Value>,
}

impl Default for User {
    /// The administrator that `kubeadm` makes, in the groups an API server reports for it.
    fn default() -> Self {
        User {
            username: "kubernetes-admin".to_owned(),
            groups: vec![
                "system:masters".to_owned(),
                "system:authenticated".to_owned(),
            ],
            more: Map::new(),
        }
    }
}

impl User {
    /// Makes a user who is authenticated and in no other group.
    pub fn named(username: impl Into<String>) -> Self {
        User {
            username: username.into(),
            groups: vec!["system:authenticated".to_owned()],
            more: Map::new(),
        }
    }
}

/// Why no request can be made.
#[derive(Debug, thiserror::Error)]
pub enum SynthesisError {
    /// Neither an object nor a resource is given.
    #[error("there is no object")]
    NoObject,
    /// A manifest that is no map.
    #[error("the manifest is not an object")]
    NotAnObject,
    /// A field that must be there, and a text.
    #[error("`{field}` is missing or empty")]
    MissingField {
        /// Its path.
        field: &'static str,
    },
    /// The manifest is nested deeper than any that is evaluated.
    #[error("the manifest is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// JSON cannot hold the manifest.
    #[error("the manifest cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl Synthesis {
    /// Makes a request to create an object.
    pub fn create(object: Value) -> Self {
        Self::new(Operation::Create, Some(object), None)
    }

    /// Makes a request to change an object.
    pub fn update(old_object: Value, object: Value) -> Self {
        Self::new(Operation::Update, Some(object), Some(old_object))
    }

    /// Makes a request to delete an object.
    pub fn delete(old_object: Value) -> Self {
        Self::new(Operation::Delete, None, Some(old_object))
    }

    fn new(operation: Operation, object: Option<Value>, old_object: Option<Value>) -> Self {
        Synthesis {
            operation,
            object,
            old_object,
            namespace: "default".to_owned(),
            name: None,
            user: User::default(),
            dry_run: false,
            sub_resource: String::new(),
            resource: None,
            options: Map::new(),
            uid: UID.to_owned(),
        }
    }

    /// Makes the request.
    pub fn request(self, resources: &Resources) -> Result<OwnedRequest, SynthesisError> {
        let object = self.object.map(into_fields).transpose()?;
        let old_object = self.old_object.map(into_fields).transpose()?;
        let shown = object.as_ref().or(old_object.as_ref());
        let (kind, resource) = identify(shown, self.resource, &self.sub_resource, resources)?;
        let place = Place {
            namespace: self.namespace,
            operation: self.operation,
            typed: is_typed(&resource, &self.sub_resource),
            scope: resource.scope,
        };
        let object = object.map(|fields| place.settle(fields));
        let old_object = old_object.map(|fields| place.settle(fields));
        let shown = object.as_ref().or(old_object.as_ref());
        let name = shown
            .and_then(|fields| metadata_text(fields, "name"))
            .map(str::to_owned)
            .or(self.name)
            .unwrap_or_default();
        let namespace = match resource.scope {
            Scope::Namespaced => shown
                .and_then(|fields| metadata_text(fields, "namespace"))
                .map_or(place.namespace, str::to_owned),
            // The API server gives requests for a Namespace that namespace.
            Scope::Cluster if is_namespaces(&resource) => name.clone(),
            Scope::Cluster => String::new(),
        };
        Ok(OwnedRequest {
            options: options(self.operation, self.dry_run, self.options)
                .map(raw)
                .transpose()?,
            uid: self.uid,
            resource: GroupVersionResource {
                group: resource.group.into(),
                version: resource.version.into(),
                resource: resource.resource.into(),
            },
            kind,
            sub_resource: self.sub_resource,
            name,
            namespace,
            operation: self.operation,
            user_info: raw(user_info(self.user))?,
            object: object.map(raw).transpose()?,
            old_object: old_object.map(raw).transpose()?,
            dry_run: self.dry_run,
            provenance: resource.provenance,
        })
    }
}

/// A request that owns what it is made of.
#[derive(Debug, Clone)]
pub struct OwnedRequest {
    uid: String,
    kind: GroupVersionKind<'static>,
    resource: GroupVersionResource<'static>,
    sub_resource: String,
    name: String,
    namespace: String,
    operation: Operation,
    user_info: Box<RawValue>,
    object: Option<Box<RawValue>>,
    old_object: Option<Box<RawValue>>,
    dry_run: bool,
    options: Option<Box<RawValue>>,
    provenance: Provenance,
}

impl OwnedRequest {
    /// Returns the request, borrowed; nothing is parsed or copied.
    pub fn request(&self) -> AdmissionRequest<'_> {
        AdmissionRequest {
            uid: Cow::Borrowed(&self.uid),
            kind: borrow_kind(&self.kind),
            resource: borrow_resource(&self.resource),
            sub_resource: Cow::Borrowed(&self.sub_resource),
            request_kind: Some(borrow_kind(&self.kind)),
            request_resource: Some(borrow_resource(&self.resource)),
            request_sub_resource: Cow::Borrowed(&self.sub_resource),
            name: Cow::Borrowed(&self.name),
            namespace: Cow::Borrowed(&self.namespace),
            operation: self.operation,
            user_info: Some(&self.user_info),
            object: self.object.as_deref(),
            old_object: self.old_object.as_deref(),
            dry_run: self.dry_run,
            options: self.options.as_deref(),
        }
    }

    /// Returns the resource addressed.
    pub fn resource(&self) -> &GroupVersionResource<'static> {
        &self.resource
    }

    /// Returns the namespace; empty for cluster-scoped objects, a Namespace's own name for it.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the object's name; empty if it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how the resource is known: whether plural, scope and namespace may be guesses.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Returns the body of the AdmissionReview an API server would post, in its order of fields.
    pub fn to_review(&self) -> Vec<u8> {
        let kind = json!({
            "group": self.kind.group, "version": self.kind.version, "kind": self.kind.kind,
        });
        let resource = json!({
            "group": self.resource.group, "version": self.resource.version,
            "resource": self.resource.resource,
        });
        let mut request = Map::new();
        let mut put = |key: &str, value: Value| {
            if value.as_str() != Some("") {
                request.insert(key.to_owned(), value);
            }
        };
        let read = |raw: Option<&RawValue>| {
            raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or(Value::Null)
        };
        put("uid", self.uid.clone().into());
        put("kind", kind.clone());
        put("resource", resource.clone());
        put("subResource", self.sub_resource.clone().into());
        put("requestKind", kind);
        put("requestResource", resource);
        put("requestSubResource", self.sub_resource.clone().into());
        put("name", self.name.clone().into());
        put("namespace", self.namespace.clone().into());
        put("operation", self.operation.as_str().into());
        put("userInfo", read(Some(&self.user_info)));
        put("object", read(self.object.as_deref()));
        put("oldObject", read(self.old_object.as_deref()));
        put("dryRun", self.dry_run.into());
        put("options", read(self.options.as_deref()));
        json!({"kind": KIND, "apiVersion": API_VERSION, "request": request})
            .to_string()
            .into_bytes()
    }
}

/// Finds out what kind is sent to what resource.
fn identify(
    shown: Option<&Map<String, Value>>,
    addressed: Option<GroupVersionResource<'static>>,
    sub_resource: &str,
    resources: &Resources,
) -> Result<(GroupVersionKind<'static>, Resource), SynthesisError> {
    let own_kind = shown.map(kind_of).transpose()?;
    let resource = match (addressed, own_kind) {
        (Some(addressed), own_kind) => resources
            .by_resource(&addressed.group, &addressed.version, &addressed.resource)
            .unwrap_or_else(|| unknown(addressed, own_kind)),
        (None, Some((api_version, kind))) => resources.by_kind(api_version, kind),
        (None, None) => return Err(SynthesisError::NoObject),
    };
    let kind = match own_kind {
        Some((api_version, kind)) => {
            let (group, version) = split(api_version);
            (group.to_owned(), version.to_owned(), kind.to_owned())
        }
        None => match resource.sub_resource(sub_resource).and_then(|sub| sub.kind) {
            Some((group, version, kind)) => (group.to_owned(), version.to_owned(), kind.to_owned()),
            None => (
                resource.group.clone(),
                resource.version.clone(),
                resource.kind.clone(),
            ),
        },
    };
    let kind = GroupVersionKind {
        group: kind.0.into(),
        version: kind.1.into(),
        kind: kind.2.into(),
    };
    Ok((kind, resource))
}

/// A resource that is addressed by a plural nobody knows.
fn unknown(addressed: GroupVersionResource<'_>, own_kind: Option<(&str, &str)>) -> Resource {
    Resource {
        group: addressed.group.into_owned(),
        version: addressed.version.into_owned(),
        resource: addressed.resource.into_owned(),
        kind: own_kind.map_or("", |(_, kind)| kind).to_owned(),
        scope: Scope::Namespaced,
        sub_resources: Vec::new(),
        provenance: Provenance::Guessed,
    }
}

fn kind_of(fields: &Map<String, Value>) -> Result<(&str, &str), SynthesisError> {
    let text = |field| {
        fields
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or(SynthesisError::MissingField { field })
    };
    Ok((text("apiVersion")?, text("kind")?))
}

fn is_namespaces(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.resource == "namespaces"
}

/// Says whether the API server has a type for what is sent to a resource.
fn is_typed(resource: &Resource, sub_resource: &str) -> bool {
    let has_own_kind = resource
        .sub_resource(sub_resource)
        .is_some_and(|sub_resource| sub_resource.kind.is_some());
    has_own_kind
        || match resource.provenance {
            Provenance::BuiltIn | Provenance::BuiltInOtherVersion => true,
            Provenance::Defined | Provenance::Mentioned | Provenance::Guessed => false,
        }
}

/// Where objects are, and how they are read.
struct Place {
    namespace: String,
    operation: Operation,
    /// Whether the API server reads them into types of its own.
    typed: bool,
    scope: Scope,
}

impl Place {
    /// Brings an object into the form policies see.
    fn settle(&self, mut fields: Map<String, Value>) -> Map<String, Value> {
        if self.typed {
            decode::built_in(&mut fields);
        } else {
            decode::custom(&mut fields);
        }
        if self.operation == Operation::Connect {
            return fields;
        }
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if let Value::Object(metadata) = metadata {
            self.settle_metadata(metadata);
        }
        if self.typed {
            defaults::apply(&mut fields);
        }
        fields
    }

    fn settle_metadata(&self, metadata: &mut Map<String, Value>) {
        let text = |key| {
            let text = metadata.get(key).and_then(Value::as_str);
            text.filter(|text: &&str| !text.is_empty())
                .map(str::to_owned)
        };
        let (name, prefix, namespace) = (text("name"), text("generateName"), text("namespace"));
        // The API server makes up the name before it asks anyone: apiserver
        // `pkg/registry/rest/create.go`.
        if let (None, Some(prefix)) = (name, prefix) {
            metadata.insert("name".to_owned(), format!("{prefix}{GENERATED}").into());
        }
        match (self.scope, namespace) {
            (Scope::Namespaced, None) => {
                metadata.insert("namespace".to_owned(), self.namespace.clone().into());
            }
            (Scope::Namespaced, Some(_)) => {}
            (Scope::Cluster, _) => drop(metadata.shift_remove("namespace")),
        }
    }
}

fn metadata_text<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    fields
        .get("metadata")?
        .get(key)?
        .as_str()
        .filter(|text| !text.is_empty())
}

fn into_fields(value: Value) -> Result<Map<String, Value>, SynthesisError> {
    if is_deeper_than(&value, MAX_DEPTH) {
        return Err(SynthesisError::TooDeep);
    }
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(SynthesisError::NotAnObject),
    }
}

/// Says whether a value is nested deeper than `limit`, without recursion.
fn is_deeper_than(value: &Value, limit: usize) -> bool {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::Array(_) | Value::Object(_) if depth > limit => return true,
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    false
}

fn options(
    operation: Operation,
    dry_run: bool,
    given: Map<String, Value>,
) -> Option<Map<String, Value>> {
    let kind = match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return None,
    };
    let mut options = Map::new();
    options.insert("kind".to_owned(), kind.into());
    options.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
    if dry_run {
        options.insert("dryRun".to_owned(), json!(["All"]));
    }
    options.extend(given);
    Some(options)
}

fn user_info(user: User) -> Map<String, Value> {
    let mut info = Map::new();
    info.insert("username".to_owned(), user.username.into());
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), user.groups.into());
    }
    info.extend(user.more);
    info
}

fn raw(fields: Map<String, Value>) -> Result<Box<RawValue>, SynthesisError> {
    to_raw_value(&fields).map_err(SynthesisError::Unwritable)
}

fn borrow_kind<'a>(kind: &'a GroupVersionKind<'static>) -> GroupVersionKind<'a> {
    GroupVersionKind {
        group: Cow::Borrowed(&kind.group),
        version: Cow::Borrowed(&kind.version),
        kind: Cow::Borrowed(&kind.kind),
    }
}

fn borrow_resource<'a>(resource: &'a GroupVersionResource<'static>) -> GroupVersionResource<'a> {
    GroupVersionResource {
        group: Cow::Borrowed(&resource.group),
        version: Cow::Borrowed(&resource.version),
        resource: Cow::Borrowed(&resource.resource),
    }
}

#[cfg(test)]
mod tests;
