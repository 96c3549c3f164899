//! Schemas as the merge sees them: what a place may hold, and how that is merged (kube-openapi
//! `pkg/schemaconv/openapi.go`, structured-merge-diff `schema/elements.go`).

use crate::schema::{
    Format, ListKey, ListType, MapType, Property, SchemaId, Schemas, Shape, UnknownFields,
};

/// The schemas.
#[derive(Clone, Copy)]
pub(super) struct Types<'s> {
    pub(super) schemas: &'s Schemas,
}

/// A reference to a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeRef {
    /// A schema.
    Schema {
        id: SchemaId,
        /// How its map is merged, if the field says so.
        merge: Option<MapType>,
        /// Whether objects around it take unknown fields: so do the ones within.
        is_open: bool,
    },
    /// Anything, replaced as a whole (`__untyped_atomic_`).
    Atomic,
    /// Anything; maps are merged, lists replaced (`__untyped_deduced_`).
    Deduced,
}

impl TypeRef {
    pub(super) fn of(id: SchemaId) -> Self {
        TypeRef::Schema {
            id,
            merge: None,
            is_open: false,
        }
    }
}

/// What a place may hold; nothing that is `None`.
pub(super) struct Atom<'s> {
    pub(super) scalar: Option<Scalar>,
    pub(super) list: Option<ListAtom<'s>>,
    pub(super) map: Option<MapAtom<'s>>,
}

/// The types of scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    Text,
    Boolean,
    Untyped,
}

/// A list.
pub(super) struct ListAtom<'s> {
    pub(super) items: TypeRef,
    pub(super) relationship: Relationship<'s>,
}

/// How the items of a list belong together.
#[derive(Clone, Copy)]
pub(super) enum Relationship<'s> {
    Atomic,
    Set,
    Map(&'s [ListKey]),
}

impl ListAtom<'_> {
    pub(super) fn is_atomic(&self) -> bool {
        matches!(self.relationship, Relationship::Atomic)
    }
}

/// A map or an object.
pub(super) struct MapAtom<'s> {
    properties: &'s [Property],
    /// The type of other fields, if there may be any.
    values: Option<TypeRef>,
    is_open: bool,
    pub(super) is_atomic: bool,
}

const ANYTHING_ATOMIC: Atom<'static> = Atom {
    scalar: Some(Scalar::Untyped),
    list: Some(ListAtom {
        items: TypeRef::Atomic,
        relationship: Relationship::Atomic,
    }),
    map: Some(MapAtom {
        properties: &[],
        values: Some(TypeRef::Atomic),
        is_open: false,
        is_atomic: true,
    }),
};

const ANYTHING: Atom<'static> = Atom {
    scalar: Some(Scalar::Untyped),
    list: Some(ListAtom {
        items: TypeRef::Atomic,
        relationship: Relationship::Atomic,
    }),
    map: Some(MapAtom {
        properties: &[],
        values: Some(TypeRef::Deduced),
        is_open: false,
        is_atomic: false,
    }),
};

impl<'s> Types<'s> {
    /// What a place of a type may hold.
    pub(super) fn atom(self, of: TypeRef) -> Atom<'s> {
        let (id, merge, is_open) = match of {
            TypeRef::Atomic => return ANYTHING_ATOMIC,
            TypeRef::Deduced => return ANYTHING,
            TypeRef::Schema { id, merge, is_open } => (id, merge, is_open),
        };
        match &self.schemas.schema(id).shape {
            Shape::Object {
                properties,
                merge: own,
                unknown,
            } => {
                let is_open = is_open || *unknown == UnknownFields::Preserved;
                let takes_others = is_open || properties.is_empty();
                map(MapAtom {
                    properties,
                    values: takes_others.then_some(TypeRef::Deduced),
                    is_open,
                    is_atomic: merge.unwrap_or(*own) == MapType::Atomic,
                })
            }
            Shape::Map { values, merge: own } => map(MapAtom {
                properties: &[],
                values: Some(self.reference(*values, None, is_open)),
                is_open,
                is_atomic: merge.unwrap_or(*own) == MapType::Atomic,
            }),
            Shape::List { items, merge } => Atom {
                scalar: None,
                list: Some(ListAtom {
                    items: self.reference(*items, None, is_open),
                    relationship: match merge {
                        ListType::Atomic => Relationship::Atomic,
                        ListType::Set => Relationship::Set,
                        ListType::Map(keys) => Relationship::Map(keys),
                    },
                }),
                map: None,
            },
            Shape::Text(Format::Plain | Format::Bytes) => scalar(Scalar::Text),
            Shape::Text(Format::Other | Format::Duration | Format::Timestamp) | Shape::Quantity => {
                scalar(Scalar::Untyped)
            }
            Shape::Integer | Shape::Number => scalar(Scalar::Numeric),
            Shape::Bool => scalar(Scalar::Boolean),
            Shape::Raw => ANYTHING_ATOMIC,
            Shape::IntOrString | Shape::Unknown => ANYTHING,
        }
    }

    /// The type of a field that a schema names.
    pub(super) fn named_field(self, map: &MapAtom<'s>, name: &str) -> Option<TypeRef> {
        let found = map
            .properties
            .binary_search_by(|property| (*property.name).cmp(name));
        let property = map.properties.get(found.ok()?)?;
        Some(self.reference(property.schema, property.merge, map.is_open))
    }

    /// The type of a field; `None` if there may be none of the name.
    pub(super) fn field(self, map: &MapAtom<'s>, name: &str) -> Option<TypeRef> {
        self.named_field(map, name).or(map.values)
    }

    fn reference(self, id: SchemaId, merge: Option<MapType>, is_open: bool) -> TypeRef {
        let id = self.schemas.published(id);
        TypeRef::Schema {
            id,
            merge,
            // A definition of its own is not part of the schema that refers to it.
            is_open: is_open && !self.schemas.is_object_meta(id),
        }
    }
}

fn scalar(scalar: Scalar) -> Atom<'static> {
    Atom {
        scalar: Some(scalar),
        list: None,
        map: None,
    }
}

fn map(map: MapAtom<'_>) -> Atom<'_> {
    Atom {
        scalar: None,
        list: None,
        map: Some(map),
    }
}
