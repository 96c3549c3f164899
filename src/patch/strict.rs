//! Whether the API server can read a patched object into the type of its kind.
//!
//! It does so after a `JSONPatch`, strictly: a field that the type does not have refuses the request
//! (apiserver `plugin/policy/mutating/patch/json_patch.go`, apimachinery `serializer/json`). The
//! answer of a webhook is read leniently; what is not found here would be dropped without a word.

use serde_json::{Map, Value};

use crate::cel::value::Timestamp;
use crate::cel::value::quantity::Quantity;
use crate::cel::value::quote::quote;
use crate::json::MAX_DEPTH;
use crate::schema::{Format, Kind, SchemaId, Schemas, Shape};

/// More unknown fields than anyone reads are not told.
const MAX_UNKNOWN: usize = 100;

/// Why the object cannot be read. Upstream answers the request with an `InternalError`, whatever the
/// policy's `failurePolicy`, and puts `Internal error occurred: ` before the text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StrictError {
    /// It is no object.
    #[error("couldn't get version/kind; json parse error: json: cannot unmarshal {0}")]
    NoObject(&'static str),
    /// It says that it is of another kind.
    #[error(
        "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
        quote(kind),
        quote(version)
    )]
    OtherKind {
        /// The kind it says.
        kind: String,
        /// The group and version it says.
        version: String,
    },
    /// It is a custom object that does not say its kind.
    #[error("Object 'Kind' is missing")]
    NoKind,
    /// A value is of another type than its field. The types of numbers, and of structs within
    /// structs, are not always the ones that Go tells.
    #[error("json: cannot unmarshal {value} into Go struct field {field} of type {of}")]
    Type {
        /// What the value is.
        value: String,
        /// The struct and the path.
        field: String,
        /// What it should be.
        of: String,
    },
    /// A text is no quantity or time.
    #[error("{0}")]
    Text(String),
    /// There are fields that the type does not have.
    #[error("strict decoding error: {}", unknown_fields(.0))]
    Unknown(Vec<String>),
    /// The object is nested more deeply than objects may be.
    #[error("exceeded max depth")]
    TooDeep,
}

fn unknown_fields(paths: &[String]) -> String {
    let fields = paths
        .iter()
        .map(|path| format!("unknown field {}", quote(path)));
    fields.collect::<Vec<_>>().join(", ")
}

/// Checks that an object can be read as one of a kind. Custom objects have no type: they only must
/// say their kind.
pub fn check(schemas: &Schemas, kind: &Kind, object: &Value) -> Result<(), StrictError> {
    let built_in = schemas.kind(kind).filter(|id| schemas.is_definition(*id));
    let fields = match (object, built_in) {
        (Value::Object(fields), _) => fields,
        // Nothing is read, and all that is there is what the kind has anyway.
        (Value::Null, Some(_)) => return Ok(()),
        (other, _) => return Err(StrictError::NoObject(type_of(other))),
    };
    let Some(id) = built_in else {
        let kind = fields.get("kind").and_then(Value::as_str);
        return match kind.is_some_and(|kind| !kind.is_empty()) {
            true => Ok(()),
            false => Err(StrictError::NoKind),
        };
    };
    check_kind(kind, fields)?;
    let mut check = Check {
        schemas,
        path: String::new(),
        names: Vec::new(),
        unknown: Vec::new(),
    };
    check.value(id, object, "", MAX_DEPTH)?;
    match check.unknown.is_empty() {
        true => Ok(()),
        false => Err(StrictError::Unknown(check.unknown)),
    }
}

/// What an object does not say of its kind is filled in.
fn check_kind(kind: &Kind, fields: &Map<String, Value>) -> Result<(), StrictError> {
    let version = match kind.group.is_empty() {
        true => kind.version.clone(),
        false => format!("{}/{}", kind.group, kind.version),
    };
    let said = |name: &str, filled_in: &str| {
        let text = fields.get(name).and_then(Value::as_str);
        let text = text.filter(|text| !text.is_empty());
        text.unwrap_or(filled_in).to_owned()
    };
    let (own_version, own_kind) = (said("apiVersion", &version), said("kind", &kind.kind));
    match own_version == version && own_kind == kind.kind {
        true => Ok(()),
        false => Err(StrictError::OtherKind {
            kind: own_kind,
            version: own_version,
        }),
    }
}

struct Check<'s> {
    schemas: &'s Schemas,
    /// Where the check is: `spec.containers[0]`.
    path: String,
    /// The fields on the way, without items and the keys of maps.
    names: Vec<&'s str>,
    unknown: Vec<String>,
}

impl<'s> Check<'s> {
    /// Checks a value; `owner` is the struct that it is a part of.
    fn value(
        &mut self,
        id: SchemaId,
        value: &Value,
        owner: &'s str,
        depth: usize,
    ) -> Result<(), StrictError> {
        let depth = depth.checked_sub(1).ok_or(StrictError::TooDeep)?;
        let schemas = self.schemas;
        let schema = schemas.schema(id);
        match (&schema.shape, value) {
            (_, Value::Null) => Ok(()),
            (Shape::Object { properties, .. }, Value::Object(fields)) => {
                if properties.is_empty() {
                    return Ok(());
                }
                for (name, field) in fields {
                    let found = properties.binary_search_by(|it| (*it.name).cmp(name.as_str()));
                    let property = found.ok().and_then(|at| properties.get(at));
                    let length = self.enter(name);
                    match property {
                        Some(property) => {
                            self.names.push(&property.name);
                            self.value(property.schema, field, &schema.title, depth)?;
                            self.names.pop();
                        }
                        None if self.unknown.len() < MAX_UNKNOWN => {
                            self.unknown.push(self.path.clone());
                        }
                        None => {}
                    }
                    self.path.truncate(length);
                }
                Ok(())
            }
            (Shape::Map { values, .. }, Value::Object(fields)) => {
                for (name, field) in fields {
                    let length = self.enter(name);
                    self.value(*values, field, owner, depth)?;
                    self.path.truncate(length);
                }
                Ok(())
            }
            (Shape::List { items, .. }, Value::Array(list)) => {
                for (at, item) in list.iter().enumerate() {
                    let length = self.path.len();
                    self.path.push_str(&format!("[{at}]"));
                    self.value(*items, item, owner, depth)?;
                    self.path.truncate(length);
                }
                Ok(())
            }
            (shape, value) => match self.scalar(shape, value) {
                Some(true) => Ok(()),
                Some(false) => Err(self.mismatch(id, value, owner)),
                None => Err(StrictError::Text(match shape {
                    Shape::Quantity => {
                        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
                    }
                    _ => {
                        let text = quote(value.as_str().unwrap_or_default());
                        format!("parsing time {text} as \"2006-01-02T15:04:05Z07:00\"")
                    }
                })),
            },
        }
    }

    /// Whether a value is of a scalar's type; `None` if it is a text that cannot be read.
    fn scalar(&self, shape: &Shape, value: &Value) -> Option<bool> {
        match (shape, value) {
            (Shape::Unknown | Shape::Raw, _) => Some(true),
            (Shape::Text(Format::Timestamp), Value::String(text)) => {
                Timestamp::parse(text).ok().map(|_| true)
            }
            (Shape::Text(_), value) => Some(value.is_string()),
            (Shape::Integer, value) => Some(value.is_i64() || value.is_u64()),
            (Shape::Number, value) => Some(value.is_number()),
            (Shape::Bool, value) => Some(value.is_boolean()),
            (Shape::IntOrString, value) => Some(value.is_string() || value.is_i64()),
            (Shape::Quantity, Value::String(text)) => Quantity::parse(text).ok().map(|_| true),
            (Shape::Quantity, value) => value.is_number().then_some(true),
            _ => Some(false),
        }
    }

    fn mismatch(&self, id: SchemaId, value: &Value, owner: &str) -> StrictError {
        let value = match value {
            // A number that does not fit is told, one in another's place is not.
            Value::Number(number) if self.is_number(id) => format!("number {number}"),
            value => type_of(value).to_owned(),
        };
        let field = format!("{owner}.{}", self.names.join("."));
        StrictError::Type {
            value,
            field,
            of: self.go_type(id, MAX_DEPTH),
        }
    }

    fn is_number(&self, id: SchemaId) -> bool {
        matches!(
            self.schemas.schema(id).shape,
            Shape::Integer | Shape::Number | Shape::IntOrString
        )
    }

    fn go_type(&self, id: SchemaId, depth: usize) -> String {
        let schema = self.schemas.schema(id);
        let Some(depth) = depth.checked_sub(1) else {
            return String::new();
        };
        match &schema.shape {
            Shape::Object { .. } => {
                let mut names = schema.name.rsplit('.');
                let (name, package) = (names.next(), names.next());
                format!(
                    "{}.{}",
                    package.unwrap_or_default(),
                    name.unwrap_or_default()
                )
            }
            Shape::Map { values, .. } => format!("map[string]{}", self.go_type(*values, depth)),
            Shape::List { items, .. } => format!("[]{}", self.go_type(*items, depth)),
            Shape::Text(_) => "string".to_owned(),
            Shape::Integer | Shape::IntOrString => "int32".to_owned(),
            Shape::Number => "float64".to_owned(),
            Shape::Bool => "bool".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::Raw | Shape::Unknown => "interface {}".to_owned(),
        }
    }

    fn enter(&mut self, name: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        length
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(operation: &str, path: &str, value: Value) -> Result<(), String> {
        static SCHEMAS: std::sync::LazyLock<Schemas> = std::sync::LazyLock::new(Schemas::built_in);
        use crate::patch::json::{Action, Applied, Operation, apply};
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}});
        let operation = Operation {
            op: Action::new(operation),
            path: path.to_owned(),
            from: String::new(),
            value: Some(value),
        };
        let Ok(Applied::Changed(object)) = apply(&object, &[operation]) else {
            panic!("{path} does not apply");
        };
        let kind = Kind {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
        };
        check(&SCHEMAS, &kind, &object).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_type_can_hold_passes() {
        for (path, value) in [
            ("/spec/replicas", json!(3)),
            ("/spec/replicas", json!(3.0)),
            ("/spec/replicas", json!(null)),
            ("/metadata/annotations", json!({"a": null})),
            ("/metadata/creationTimestamp", json!("2024-01-01T00:00:00Z")),
            ("/spec/template/spec/containers/0/ports", json!([null])),
            (
                "/spec/template/spec/containers/0/resources",
                json!({"limits": {"cpu": 2}}),
            ),
            (
                "/spec/template/spec/containers/0/livenessProbe",
                json!({"httpGet": {"port": "http"}}),
            ),
        ] {
            assert_eq!(checked("add", path, value), Ok(()), "{path}");
        }
        assert_eq!(checked("remove", "/kind", json!(null)), Ok(()));
        assert_eq!(checked("replace", "", json!(null)), Ok(()));
    }

    #[test]
    fn what_it_cannot_hold_is_told_as_upstream_tells_it() {
        for (path, value, expect) in [
            (
                "/spec/foo",
                json!(1),
                "strict decoding error: unknown field \"spec.foo\"",
            ),
            (
                "/spec/Replicas",
                json!(1),
                "strict decoding error: unknown field \"spec.Replicas\"",
            ),
            (
                "/spec/template/spec/containers/0/x",
                json!(1),
                "strict decoding error: unknown field \"spec.template.spec.containers[0].x\"",
            ),
            (
                "/spec/replicas",
                json!("x"),
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "/spec/replicas",
                json!(1.5),
                "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "/metadata/labels",
                json!(["a"]),
                "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
            ),
            (
                "/metadata/labels",
                json!({"a": 1}),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                "/metadata/finalizers",
                json!([1]),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.finalizers of type string",
            ),
            (
                "/metadata/creationTimestamp",
                json!(1),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
            ),
            (
                "/spec/template/spec/containers",
                json!({}),
                "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
            ),
            (
                "/spec/template/spec/containers/-",
                json!("a"),
                "json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers of type v1.Container",
            ),
            (
                "/spec/template/spec/hostNetwork",
                json!("true"),
                "json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.hostNetwork of type bool",
            ),
            (
                "/spec/template/spec/containers/0/resources",
                json!({"limits": {"cpu": "abc"}}),
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                "/kind",
                json!("Pod"),
                "no kind \"Pod\" is registered for version \"apps/v1\" in scheme \"pkg/runtime/scheme.go:111\"",
            ),
        ] {
            assert_eq!(
                checked("add", path, value),
                Err(expect.to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn custom_objects_must_say_their_kind() {
        let schemas = Schemas::default();
        let kind = Kind {
            group: "example.com".to_owned(),
            version: "v1".to_owned(),
            kind: "Foo".to_owned(),
        };
        let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "anything": [1, "x"]});
        assert_eq!(check(&schemas, &kind, &foo), Ok(()));
        assert_eq!(check(&schemas, &kind, &json!({})), Err(StrictError::NoKind));
        assert_eq!(
            check(&schemas, &kind, &json!([])),
            Err(StrictError::NoObject("array"))
        );
    }
}
