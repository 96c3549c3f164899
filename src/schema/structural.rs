//! The schemas of CustomResourceDefinitions (`spec.versions[*].schema.openAPIV3Schema`), as the API
//! server publishes them and expressions see them (apiextensions-apiserver
//! `pkg/controller/openapi/builder`, apiserver `pkg/cel/common/schemas.go`).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Format, Kind, ListKey, ListType, MapType, Need, Property, SchemaError, SchemaId, Schemas,
    Shape, UnknownFields,
};

/// No schema of a known CRD is nested as deeply; a manifest may be two hundred deep.
const MAX_DEPTH: usize = 200;

/// The largest known CRDs have some thousands of parts.
const MAX_PARTS: usize = 200_000;

/// Adds the kinds of a CustomResourceDefinition.
pub(super) fn define(schemas: &mut Schemas, crd: &Value) -> Result<(), SchemaError> {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str);
    if text("/kind") != Some("CustomResourceDefinition")
        || text("/apiVersion") != Some("apiextensions.k8s.io/v1")
    {
        return Err(SchemaError::NotACrd);
    }
    let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else {
        return Err(SchemaError::NotACrd);
    };
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    for version in versions.into_iter().flatten() {
        let Some(name) = version.get("name").and_then(Value::as_str) else {
            continue;
        };
        if version.get("served").and_then(Value::as_bool) == Some(false) {
            continue;
        }
        let mut reader = Reader {
            left: MAX_PARTS,
            schemas: &mut *schemas,
        };
        let id = match version.pointer("/schema/openAPIV3Schema") {
            Some(Value::Object(schema)) => reader.object_root(schema, kind)?,
            _ => reader.without_schema(kind),
        };
        let kind = Kind {
            group: group.to_owned(),
            version: name.to_owned(),
            kind: kind.to_owned(),
        };
        schemas.kinds.insert(kind, id);
    }
    Ok(())
}

struct Reader<'r> {
    left: usize,
    schemas: &'r mut Schemas,
}

impl Reader<'_> {
    /// The schema of a whole object: `apiVersion`, `kind` and `metadata` are those of every object.
    fn object_root(
        &mut self,
        schema: &Map<String, Value>,
        path: &str,
    ) -> Result<SchemaId, SchemaError> {
        let id = self.schema(schema, path, MAX_DEPTH)?;
        let meta = match self.schemas.object_meta {
            Some(meta) => meta,
            None => self.named_only(path),
        };
        self.with_meta(id, meta);
        Ok(id)
    }

    /// An object of which only its name is known.
    fn without_schema(&mut self, path: &str) -> SchemaId {
        let id = self.add(
            path,
            Shape::Object {
                properties: Vec::new(),
                merge: MapType::Granular,
                unknown: UnknownFields::Preserved,
            },
        );
        let meta = self.named_only(path);
        self.with_meta(id, meta);
        id
    }

    /// `metadata` with `name` and `generateName` only.
    fn named_only(&mut self, path: &str) -> SchemaId {
        let text = self.add("", Shape::Text(Format::Plain));
        let properties = ["generateName", "name"]
            .map(|name| optional(name, text))
            .into();
        let id = self.add(
            &format!("{path}.metadata"),
            Shape::Object {
                properties,
                merge: MapType::Granular,
                unknown: UnknownFields::Pruned,
            },
        );
        if let Some(meta) = self.schemas.object_meta {
            self.schemas.published.insert(id, meta);
        }
        id
    }

    fn with_meta(&mut self, id: SchemaId, meta: SchemaId) {
        let text = self.add("", Shape::Text(Format::Plain));
        let node = usize::try_from(id.0).ok();
        let node = node.and_then(|at| self.schemas.nodes.get_mut(at));
        if let Some(Shape::Object { properties, .. }) = node.map(|node| &mut node.shape) {
            let own = ["apiVersion", "kind", "metadata"];
            properties.retain(|property| !own.contains(&&*property.name));
            for (name, schema) in [("apiVersion", text), ("kind", text), ("metadata", meta)] {
                properties.push(Property {
                    need: Need::Required,
                    ..optional(name, schema)
                });
            }
            properties.sort_by(|left, right| left.name.cmp(&right.name));
        }
    }

    fn add(&mut self, path: &str, shape: Shape) -> SchemaId {
        self.schemas.add(path, shape)
    }

    fn part(&mut self, schema: &Value, path: &str, depth: usize) -> Result<SchemaId, SchemaError> {
        let Value::Object(schema) = schema else {
            return Ok(self.add("", Shape::Unknown));
        };
        let id = self.schema(schema, path, depth)?;
        if is(schema, "x-kubernetes-embedded-resource") {
            let meta = self.named_only(path);
            self.with_meta(id, meta);
        }
        Ok(id)
    }

    fn schema(
        &mut self,
        schema: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<SchemaId, SchemaError> {
        let depth = depth
            .checked_sub(1)
            .ok_or(SchemaError::TooDeep { limit: MAX_DEPTH })?;
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(SchemaError::TooLarge { limit: MAX_PARTS })?;
        let text = |field: &str| {
            schema
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if is(schema, "x-kubernetes-int-or-string") || text("format") == "int-or-string" {
            return Ok(self.add("", Shape::IntOrString));
        }
        let shape = match text("type") {
            "array" => match schema.get("items") {
                Some(items) => Shape::List {
                    items: self.part(items, &format!("{path}.@idx"), depth)?,
                    merge: list_type(schema),
                },
                None => Shape::Unknown,
            },
            "object" => self.object(schema, path, depth)?,
            "string" => Shape::Text(match text("format") {
                "byte" => Format::Bytes,
                "duration" => Format::Duration,
                "date" | "date-time" => Format::Timestamp,
                "" => Format::Plain,
                _ => Format::Other,
            }),
            "boolean" => Shape::Bool,
            "number" => Shape::Number,
            "integer" => Shape::Integer,
            _ => Shape::Unknown,
        };
        let name = match shape {
            Shape::Object { .. } => path,
            _ => "",
        };
        Ok(self.add(name, shape))
    }

    fn object(
        &mut self,
        schema: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<Shape, SchemaError> {
        let merge = match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
            Some("atomic") => MapType::Atomic,
            _ => MapType::Granular,
        };
        if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
            let values = self.part(values, &format!("{path}.@elem"), depth)?;
            return Ok(Shape::Map { values, merge });
        }
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut properties = Vec::new();
        let written = schema.get("properties").and_then(Value::as_object);
        for (name, part) in written.into_iter().flatten() {
            let need = match (required.contains(&name.as_str()), part.get("default")) {
                (true, _) => Need::Required,
                (false, None | Some(Value::Null)) => Need::Optional,
                (false, Some(_)) => Need::Filled,
            };
            let schema = self.part(part, &format!("{path}.{name}"), depth)?;
            properties.push(Property {
                need,
                ..optional(name, schema)
            });
        }
        properties.sort_by(|left, right| left.name.cmp(&right.name));
        let unknown = match is(schema, "x-kubernetes-preserve-unknown-fields") {
            true => UnknownFields::Preserved,
            false => UnknownFields::Pruned,
        };
        Ok(Shape::Object {
            properties,
            merge,
            unknown,
        })
    }
}

fn optional(name: &str, schema: SchemaId) -> Property {
    Property {
        name: Arc::from(name),
        schema,
        need: Need::Optional,
        merge: None,
    }
}

fn is(schema: &Map<String, Value>, extension: &str) -> bool {
    schema.get(extension).and_then(Value::as_bool) == Some(true)
}

fn list_type(schema: &Map<String, Value>) -> ListType {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array);
            let keys = keys.into_iter().flatten().filter_map(Value::as_str);
            let items = schema
                .get("items")
                .and_then(|items| items.get("properties"));
            let key = |name: &str| {
                let default = items.and_then(|items| items.get(name)?.get("default"));
                ListKey {
                    name: Arc::from(name),
                    default: default.filter(|default| !default.is_null()).cloned(),
                }
            };
            ListType::Map(keys.map(key).collect())
        }
        _ => ListType::Atomic,
    }
}
