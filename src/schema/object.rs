//! Schemas as types of expressions (apiserver `pkg/cel/common/schemas.go`, `SchemaDeclType`).

use std::sync::Arc;

use super::escape::{escape, is_reserved};
use super::{Format, Need, QUANTITY, SchemaId, Schemas, Shape, UnknownFields, View};
use crate::cel::types::{
    Identity, Inferred, Occurrence, SchemaField, SchemaFields, SchemaObject, Type,
};

/// An object of a schema, whose fields are looked up when they are named.
#[derive(Debug)]
struct Object {
    schemas: Arc<Schemas>,
    id: SchemaId,
    name: Arc<str>,
    view: View,
    /// The objects around it. One that is part of itself has no fields there (apiserver
    /// `pkg/cel/openapi/resolver/refs.go`, `populateRefs`).
    around: Vec<SchemaId>,
}

/// The type of a kind's objects.
pub(super) fn root(
    schemas: &Arc<Schemas>,
    id: SchemaId,
    kind: &str,
    view: View,
) -> Option<Inferred> {
    let place = Place {
        schemas,
        view,
        around: &[],
    };
    place.inferred(id, kind)
}

/// Where in a kind a schema is met.
#[derive(Clone, Copy)]
struct Place<'p> {
    schemas: &'p Arc<Schemas>,
    view: View,
    around: &'p [SchemaId],
}

impl Place<'_> {
    /// The type of a schema; `None` if expressions cannot name such a value.
    ///
    /// Lists and maps of each other end at an object, at the latest where their schema does: in a
    /// table or a CRD every one of them is a part of the one around it.
    fn inferred(&self, id: SchemaId, path: &str) -> Option<Inferred> {
        let schema = self.schemas.schema(id);
        let simple = |simple| Some(Inferred::Simple(simple));
        let unnamed = match self.view {
            View::Kubernetes => None,
            View::Whole | View::Amounts => Some(Inferred::Dyn),
        };
        match &schema.shape {
            Shape::Object {
                properties,
                unknown,
                ..
            } => {
                let open = *unknown == UnknownFields::Preserved && properties.is_empty();
                if open && self.view != View::Kubernetes {
                    return Some(Inferred::Dyn);
                }
                Some(self.object(id, path))
            }
            Shape::Map { values, .. } => {
                let values = self.inferred(*values, &format!("{path}.@elem"))?;
                let key = Inferred::Simple(Type::String);
                Some(Inferred::Map(Arc::new(key), Arc::new(values)))
            }
            Shape::List { items, .. } => {
                let items = self.inferred(*items, &format!("{path}.@idx"))?;
                Some(Inferred::List(Arc::new(items)))
            }
            Shape::Text(Format::Plain | Format::Other) => simple(Type::String),
            Shape::Text(Format::Bytes) => simple(Type::Bytes),
            Shape::Text(Format::Duration) => simple(Type::Duration),
            Shape::Text(Format::Timestamp) => simple(Type::Timestamp),
            Shape::Integer => simple(Type::Int),
            Shape::Number => simple(Type::Double),
            Shape::Bool => simple(Type::Bool),
            Shape::IntOrString => Some(Inferred::Dyn),
            Shape::Quantity if self.view == View::Amounts => simple(Type::Opaque(QUANTITY)),
            Shape::Quantity => unnamed,
            Shape::Raw if self.view != View::Kubernetes => Some(Inferred::Dyn),
            Shape::Raw => Some(self.object(id, path)),
            Shape::Unknown => unnamed,
        }
    }

    fn object(&self, id: SchemaId, path: &str) -> Inferred {
        let schema = self.schemas.schema(id);
        let (name, title) = match self.view {
            View::Whole | View::Amounts if !schema.name.is_empty() => {
                (Arc::clone(&schema.name), Arc::clone(&schema.title))
            }
            _ => (Arc::from(path), Arc::from(path)),
        };
        let mut around = self.around.to_vec();
        around.push(id);
        Inferred::Schema(Arc::new(SchemaObject {
            name: Arc::clone(&name),
            title,
            fields: Arc::new(Object {
                schemas: Arc::clone(self.schemas),
                id,
                name,
                view: self.view,
                around,
            }),
            identity: match self.view {
                View::Kubernetes => Identity::Nominal,
                View::Whole | View::Amounts => Identity::Structural,
            },
        }))
    }
}

impl Object {
    fn is_inside_itself(&self) -> bool {
        let inner = self.around.split_last();
        inner.is_some_and(|(own, around)| around.contains(own))
    }

    fn place(&self) -> Place<'_> {
        Place {
            schemas: &self.schemas,
            view: self.view,
            around: &self.around,
        }
    }

    fn unknown(&self) -> UnknownFields {
        match &self.schemas.schema(self.id).shape {
            Shape::Object { unknown, .. } => *unknown,
            _ => UnknownFields::Pruned,
        }
    }
}

impl SchemaFields for Object {
    fn field(&self, name: &str) -> Option<SchemaField> {
        let Shape::Object { properties, .. } = &self.schemas.schema(self.id).shape else {
            return None;
        };
        if self.is_inside_itself() {
            return None;
        }
        // A word of CEL may also be written as it is (apiserver `pkg/cel/environment`).
        let found = properties.iter().find(|property| {
            (is_reserved(name) && *property.name == *name)
                || escape(&property.name).as_deref() == Some(name)
        });
        let Some(property) = found else {
            let is_open =
                self.view != View::Kubernetes && self.unknown() == UnknownFields::Preserved;
            return is_open.then_some(SchemaField {
                inferred: Inferred::Dyn,
                occurrence: Occurrence::Always,
            });
        };
        let path = format!("{}.{name}", self.name);
        let inferred = self.place().inferred(property.schema, &path)?;
        let occurrence = match property.need {
            Need::Required | Need::Filled => Occurrence::Always,
            Need::Optional => Occurrence::Optional,
        };
        Some(SchemaField {
            inferred,
            occurrence,
        })
    }

    fn names(&self) -> Vec<String> {
        if self.is_inside_itself() {
            return Vec::new();
        }
        let Shape::Object { properties, .. } = &self.schemas.schema(self.id).shape else {
            return Vec::new();
        };
        let names = properties.iter().filter_map(|property| {
            self.place().inferred(property.schema, "")?;
            match is_reserved(&property.name) {
                true => Some(property.name.to_string()),
                false => escape(&property.name).map(String::from),
            }
        });
        names.collect()
    }
}
