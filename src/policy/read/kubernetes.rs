//! Reads Kubernetes documents: policies, bindings, and every other object as a parameter.
//!
//! Strict about fields that do not exist, as `kubectl` asks the API server to be
//! (`fieldValidation: Strict`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admission::resources::Scope;
use crate::diagnostics::Diagnostic;
use crate::policy::defaults::Version;
use crate::policy::exceptions::{GROUP as OWN_GROUP, KIND as EXCEPTION, PolicyException};
use crate::policy::model::{Documents, Form, Origin, ParamKind, ParamObject, PolicyKind};
use crate::policy::read::reader::{Field, Fields, Reader, did_you_mean};
use crate::policy::read::{admission, exceptions, gatekeeper, kyverno};
use crate::policy::validate::names;
use crate::text::yaml::{self, Yaml, YamlValue};
use crate::text::{Source, Span};

/// The group of policies.
const GROUP: &str = "admissionregistration.k8s.io";

/// The version of exceptions that do not say theirs.
const EXCEPTION_VERSION: &str = "portcullis.dev/v1alpha1";

/// Deepest nesting of lists in lists.
const MAX_LIST_DEPTH: usize = 8;

/// The kinds of the group that are read here.
const KINDS: [(&str, Kind); 4] = [
    (
        "ValidatingAdmissionPolicy",
        Kind::Policy(PolicyKind::Validating),
    ),
    (
        "ValidatingAdmissionPolicyBinding",
        Kind::Binding(PolicyKind::Validating),
    ),
    (
        "MutatingAdmissionPolicy",
        Kind::Policy(PolicyKind::Mutating),
    ),
    (
        "MutatingAdmissionPolicyBinding",
        Kind::Binding(PolicyKind::Mutating),
    ),
];

/// The other kinds of the group, which are objects like any other here.
const OTHER_KINDS: [&str; 2] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

#[derive(Clone, Copy)]
enum Kind {
    Policy(PolicyKind),
    Binding(PolicyKind),
}

/// Reads all documents of a stream.
pub(super) fn read(source: &Arc<Source>) -> (Documents, Vec<Diagnostic>) {
    let stream = yaml::parse_stream(source);
    let mut all = All {
        source,
        documents: Documents::default(),
        diagnostics: stream
            .errors
            .into_iter()
            .map(|error| syntax_error(source, error))
            .collect(),
    };
    for document in &stream.documents {
        all.document(document, Inherited::default(), 0);
    }
    (all.documents, all.diagnostics)
}

/// Reads one document that is an exception, whether or not it says so.
pub(super) fn exception(
    source: &Arc<Source>,
    yaml: &Yaml,
) -> (Vec<PolicyException>, Vec<Diagnostic>) {
    let mut all = All {
        source,
        documents: Documents::default(),
        diagnostics: Vec::new(),
    };
    let implied = Inherited {
        api_version: Some(EXCEPTION_VERSION),
        kind: Some(EXCEPTION),
    };
    // What is in a list is an object, and has nothing beside it that could be something else.
    all.document(yaml, implied, 1);
    (all.documents.exceptions, all.diagnostics)
}

/// Makes the finding about a text that is no YAML.
pub(super) fn syntax_error(source: &Arc<Source>, error: yaml::YamlError) -> Diagnostic {
    let diagnostic = Diagnostic::error("policy/yaml", error.message).at(source, error.span);
    match error.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

struct All<'s> {
    source: &'s Arc<Source>,
    documents: Documents,
    diagnostics: Vec<Diagnostic>,
}

/// What the items of a typed list need not repeat.
#[derive(Clone, Copy, Default)]
struct Inherited<'y> {
    api_version: Option<&'y str>,
    kind: Option<&'y str>,
}

impl All<'_> {
    fn document<'y>(&mut self, yaml: &'y Yaml, inherited: Inherited<'y>, depth: usize) {
        if matches!(yaml.value, YamlValue::Null) {
            return;
        }
        if depth == 0 && is_something_else(yaml) {
            let diagnostic = Diagnostic::note("policy/not-an-object", "no Kubernetes object");
            let diagnostic = diagnostic.at(self.source, first_key(yaml));
            self.diagnostics
                .push(diagnostic.help("it is passed over: objects have `apiVersion` and `kind`"));
            return;
        }
        let mut reader = Reader::new(self.source);
        let root = reader.root(yaml);
        let Some(mut fields) = reader.fields(&root) else {
            self.diagnostics.append(&mut reader.diagnostics);
            return;
        };
        let api_version = identity(
            &mut reader,
            &mut fields,
            "apiVersion",
            inherited.api_version,
        );
        let kind = identity(&mut reader, &mut fields, "kind", inherited.kind);
        if let (Some(api_version), Some(kind)) = (api_version, kind) {
            let object = Object {
                api_version,
                kind,
                yaml,
            };
            if let Some(items) = object.items() {
                self.list(object, items, depth);
            } else {
                self.object(&mut reader, fields, object);
            }
        }
        self.diagnostics.append(&mut reader.diagnostics);
    }

    fn list<'y>(&mut self, list: Object<'y>, items: &'y [Yaml], depth: usize) {
        if depth == MAX_LIST_DEPTH {
            self.diagnostics.push(
                Diagnostic::error("policy/too-deep", "lists are nested too deeply")
                    .at(self.source, first_key(list.yaml))
                    .help("put the objects into one list"),
            );
            return;
        }
        let kind = list
            .kind
            .strip_suffix("List")
            .filter(|kind| !kind.is_empty());
        let inherited = Inherited {
            api_version: kind.map(|_| list.api_version),
            kind,
        };
        for item in items {
            self.document(item, inherited, depth + 1);
        }
    }

    fn object(&mut self, reader: &mut Reader<'_>, mut fields: Fields<'_>, object: Object<'_>) {
        let (group, version) = object
            .api_version
            .split_once('/')
            .unwrap_or(("", object.api_version));
        match group {
            GROUP if !OTHER_KINDS.contains(&object.kind) => {}
            gatekeeper::TEMPLATES | gatekeeper::CONSTRAINTS => {
                return self.gatekeeper(reader, fields, object);
            }
            kyverno::POLICIES | kyverno::CEL_POLICIES if kyverno::is_known(object.kind) => {
                return self.kyverno(reader, fields, object);
            }
            OWN_GROUP if exceptions::is_meant(object.kind) => {
                let scope = (Version::V1, Scope::Namespaced);
                let document = self.named(reader, &mut fields, object, scope);
                let kind = (object.kind, version);
                let exception = exceptions::read(reader, fields, kind, document);
                self.documents.exceptions.push(exception);
                return;
            }
            _ => {
                let param = param_object(reader, &mut fields, object);
                self.documents.params.extend(param);
                return;
            }
        }
        let Some(kind) = known_kind(reader, object) else {
            return;
        };
        let span = reader.places.value("apiVersion").unwrap_or_default();
        let Some(version) = reader.choose(version, span, "version", &Version::KUBERNETES) else {
            return;
        };
        let document = self.named(reader, &mut fields, object, (version, Scope::Cluster));
        match kind {
            Kind::Policy(kind) => {
                let policy = admission::policy(reader, fields, kind, document);
                self.documents.policies.push(policy);
            }
            Kind::Binding(kind) => {
                let binding = admission::binding(reader, fields, kind, document);
                self.documents.bindings.push(binding);
            }
        }
    }
}

impl All<'_> {
    /// Reads who an object is.
    fn named(
        &self,
        reader: &mut Reader<'_>,
        fields: &mut Fields<'_>,
        object: Object<'_>,
        (version, scope): (Version, Scope),
    ) -> admission::Document {
        let metadata = metadata(reader, fields, scope);
        let name = reader.places.value("metadata.name");
        let origin = Origin {
            source: Arc::clone(self.source),
            span: name.unwrap_or(first_key(object.yaml)),
            form: Form::Kubernetes,
        };
        admission::Document {
            version,
            origin,
            metadata,
        }
    }

    /// Reads a template or a constraint; a constraint is the parameter of its template, too.
    fn gatekeeper(&mut self, reader: &mut Reader<'_>, mut fields: Fields<'_>, object: Object<'_>) {
        let document = self.named(reader, &mut fields, object, (Version::V1, Scope::Cluster));
        if !object.api_version.starts_with(gatekeeper::CONSTRAINTS) {
            let policy = gatekeeper::template(reader, fields, document);
            self.documents.policies.push(policy);
            return;
        }
        if let Some(mut param) = param_object(reader, &mut fields, object) {
            param.kind.api_version = gatekeeper::CONSTRAINT_VERSION.to_owned();
            self.documents.params.push(param);
        }
        let binding = gatekeeper::constraint(reader, fields, object.kind, document);
        self.documents.bindings.push(binding);
    }
}

impl All<'_> {
    /// Reads a policy of Kyverno, which is in force by itself.
    fn kyverno(&mut self, reader: &mut Reader<'_>, mut fields: Fields<'_>, object: Object<'_>) {
        let scope = kyverno::scope(object.kind);
        let document = self.named(reader, &mut fields, object, (Version::V1, scope));
        let read = kyverno::read(reader, fields, object.kind, document);
        self.documents.policies.extend(read.policies);
        self.documents.bindings.extend(read.bindings);
    }
}

#[derive(Clone, Copy)]
struct Object<'y> {
    api_version: &'y str,
    kind: &'y str,
    yaml: &'y Yaml,
}

impl<'y> Object<'y> {
    /// The items, if this is a list.
    fn items(self) -> Option<&'y [Yaml]> {
        if !self.kind.ends_with("List") {
            return None;
        }
        self.yaml.get("items")?.as_sequence()
    }
}

/// Says whether a document is something that lies beside objects: the values of a chart, a list of
/// patches, a description for a catalogue. What has any part of an object may be one with a mistake.
fn is_something_else(yaml: &Yaml) -> bool {
    const PARTS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
    let is_other = |entries: &[yaml::Entry]| {
        let mut keys = entries.iter().map(|entry| entry.key.as_str());
        !entries.is_empty() && !keys.any(|key| PARTS.contains(&key))
    };
    match &yaml.value {
        YamlValue::Mapping(entries) => is_other(entries),
        YamlValue::Sequence(items) => items.iter().all(|it| it.as_mapping().is_some_and(is_other)),
        _ => false,
    }
}

/// Returns `apiVersion` or `kind`.
fn identity<'y>(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'y>,
    key: &'static str,
    inherited: Option<&'y str>,
) -> Option<&'y str> {
    let field = reader.field(fields, key);
    let written = field.as_ref().and_then(|field| reader.string(field));
    if field.is_some() {
        return written.filter(|text| !text.is_empty()).or_else(|| {
            if written.is_some() {
                reader.missing(
                    key,
                    Span::default(),
                    "every object has `apiVersion` and `kind`",
                );
            }
            None
        });
    }
    if inherited.is_none() {
        let help = "every object has `apiVersion` and `kind`";
        let around = fields.first_key();
        reader.missing(key, around, help);
    }
    inherited
}

fn known_kind(reader: &mut Reader<'_>, object: Object<'_>) -> Option<Kind> {
    let found = KINDS.iter().find(|(name, _)| *name == object.kind);
    if let Some((_, kind)) = found {
        return Some(*kind);
    }
    let names = KINDS.map(|(name, _)| name);
    let help = did_you_mean(object.kind, names.into_iter().chain(OTHER_KINDS), "`", "`")
        .unwrap_or_else(|| format!("the group has {}", names.join(", ")));
    let span = reader
        .places
        .value("kind")
        .unwrap_or(first_key(object.yaml));
    reader.error(
        span,
        "policy/unknown-kind",
        format!("unknown kind `{}` of {GROUP}", object.kind),
        help,
    );
    None
}

/// The metadata of an object, as far as anything here depends on it.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// Reads the metadata of a policy or binding, which are objects of the cluster.
///
/// Upstream: apimachinery `pkg/api/validation/objectmeta.go`.
fn metadata(reader: &mut Reader<'_>, fields: &mut Fields<'_>, scope: Scope) -> Metadata {
    let Some(field) = reader.field(fields, "metadata") else {
        return Metadata::default();
    };
    let Some(mut fields) = reader.fields(&field) else {
        return Metadata::default();
    };
    let metadata = identity_of(reader, &mut fields);
    for key in SERVER_FIELDS {
        reader.field(&mut fields, key);
    }
    reader.close(&fields);
    if let Some(span) = reader.places.value("metadata.namespace")
        && !metadata.namespace.is_empty()
        && scope == Scope::Cluster
    {
        reader.error(
            span,
            "policy/not-allowed",
            "policies and bindings have no namespace",
            "remove it; use a `namespaceSelector` to limit a policy to namespaces",
        );
    }
    for (key, value) in &metadata.labels {
        let path = format!("metadata.labels[{key}]");
        label_key(reader, &path, key, key);
        let span = reader.places.value(&path).unwrap_or_default();
        for problem in names::label_value(value) {
            let message = format!("label `{key}`: {problem}");
            reader.error(
                span,
                "policy/invalid-label",
                message,
                "labels are short words",
            );
        }
    }
    for key in metadata.annotations.keys() {
        let path = format!("metadata.annotations[{key}]");
        label_key(reader, &path, key, &key.to_lowercase());
    }
    metadata
}

/// Checks the key at `path` of a label or an annotation, as if it were spelled `checked`.
fn label_key(reader: &mut Reader<'_>, path: &str, key: &str, checked: &str) {
    let span = reader.places.key(path).unwrap_or_default();
    for problem in names::label_key(checked) {
        let message = format!("`{key}` {problem}");
        let help = "keys are like `app` or `example.com/app`";
        reader.error(span, "policy/invalid-label", message, help);
    }
}

/// The fields of metadata that a person does not write but may have got from the API server.
const SERVER_FIELDS: [&str; 10] = [
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

fn identity_of(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Metadata {
    Metadata {
        name: reader.text(fields, "name"),
        namespace: reader.text(fields, "namespace"),
        labels: reader
            .field(fields, "labels")
            .map(|field| reader.string_map(&field))
            .unwrap_or_default(),
        annotations: reader
            .field(fields, "annotations")
            .map(|field| reader.string_map(&field))
            .unwrap_or_default(),
    }
}

fn param_object(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    object: Object<'_>,
) -> Option<ParamObject> {
    let field: Option<Field<'_>> = reader.field(fields, "metadata");
    let metadata = match field {
        Some(field) => {
            let mut fields = reader.fields(&field)?;
            identity_of(reader, &mut fields)
        }
        None => Metadata::default(),
    };
    let mut value = object.yaml.to_json();
    drop_nulls(&mut value);
    if let Some(map) = value.as_object_mut() {
        map.entry("apiVersion")
            .or_insert_with(|| object.api_version.into());
        map.entry("kind").or_insert_with(|| object.kind.into());
    }
    let span = reader.places.value("metadata.name");
    Some(ParamObject {
        kind: ParamKind {
            api_version: object.api_version.to_owned(),
            kind: object.kind.to_owned(),
        },
        name: metadata.name,
        namespace: metadata.namespace,
        labels: metadata.labels,
        object: Arc::new(value),
        origin: Origin {
            source: Arc::clone(reader.source),
            span: span.unwrap_or(first_key(object.yaml)),
            form: Form::Kubernetes,
        },
    })
}

/// Removes fields of null, which the API server does not keep. The depth is bounded by the parser.
fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Returns the first key of a mapping, or the beginning of anything else.
fn first_key(yaml: &Yaml) -> Span {
    match yaml.as_mapping().and_then(|entries| entries.first()) {
        Some(entry) => entry.key_span,
        None => Span::new(yaml.span.start, yaml.span.start),
    }
}
