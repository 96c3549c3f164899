//! What kinds look like: Kubernetes' own by a table, custom ones by their CustomResourceDefinition.
//!
//! Flow: [`Schemas::built_in`] reads the table (its first use costs a few milliseconds; a server
//! never needs it), [`Schemas::define`] adds what a CRD says, and [`Schemas::object`] gives a kind
//! as a type that expressions are checked against. How lists are merged is kept with them.

mod escape;
pub mod numbers;
mod object;
mod structural;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::cel::types::Inferred;

/// The schemas known to one run.
#[derive(Debug, Clone, Default)]
pub struct Schemas {
    nodes: Vec<Schema>,
    kinds: FxHashMap<Kind, SchemaId>,
    /// `metadata` of every object, once the table is read.
    object_meta: Option<SchemaId>,
    /// What expressions see with fewer fields than it is published with: `metadata` of objects in
    /// objects.
    published: FxHashMap<SchemaId, SchemaId>,
    /// How many of the nodes, the first ones, are definitions of the table.
    definitions: u32,
}

/// Group, version and kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.group.is_empty() {
            write!(formatter, "{}/", self.group)?;
        }
        write!(formatter, "{} {}", self.version, self.kind)
    }
}

/// The position of a schema among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SchemaId(u32);

/// What a value is.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The name of its definition, or its path in its CRD.
    pub name: Arc<str>,
    /// The name as people are told it: the last part of a definition's.
    pub title: Arc<str>,
    /// What kind of value it is.
    pub shape: Shape,
}

/// The kinds of values.
#[derive(Debug, Clone)]
pub enum Shape {
    /// `type: object` with properties.
    Object {
        /// The fields, in order of name.
        properties: Vec<Property>,
        /// How it is merged.
        merge: MapType,
        /// Whether there may be fields that the schema does not name.
        unknown: UnknownFields,
    },
    /// `type: object` with values of one schema.
    Map {
        /// The schema of the values.
        values: SchemaId,
        /// How it is merged.
        merge: MapType,
    },
    /// `type: array`
    List {
        /// The schema of the items.
        items: SchemaId,
        /// How it is merged.
        merge: ListType,
    },
    /// `type: string`
    Text(Format),
    /// `type: integer`
    Integer,
    /// `type: number`
    Number,
    /// `type: boolean`
    Bool,
    /// A number or a text, as a port is.
    IntOrString,
    /// A quantity of a resource; Kubernetes' expressions cannot name such fields.
    Quantity,
    /// An object of any kind (`runtime.RawExtension`).
    Raw,
    /// Nothing is known of it; Kubernetes' expressions cannot name such fields.
    Unknown,
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct Property {
    /// Its name as written in manifests.
    pub name: Arc<str>,
    /// What it holds.
    pub schema: SchemaId,
    /// Whether it must be there.
    pub need: Need,
    /// How its map is merged, if that is not as its schema says (`x-kubernetes-map-type` beside a
    /// reference).
    pub merge: Option<MapType>,
}

/// Whether a field is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must be written.
    Required,
    /// It is filled in where it is not written.
    Filled,
    /// It may be missing.
    Optional,
}

/// Whether an object may have fields its schema does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// They are dropped.
    Pruned,
    /// `x-kubernetes-preserve-unknown-fields`
    Preserved,
}

/// The formats of texts that have types of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// None is given.
    Plain,
    /// One without a type of its own.
    Other,
    /// `byte`: base64.
    Bytes,
    /// `duration`
    Duration,
    /// `date` and `date-time`
    Timestamp,
}

/// `x-kubernetes-map-type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapType {
    /// Field by field.
    #[default]
    Granular,
    /// As a whole.
    Atomic,
}

/// `x-kubernetes-list-type`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListType {
    /// As a whole.
    #[default]
    Atomic,
    /// As a set of values.
    Set,
    /// As a map whose keys are these fields of the items.
    Map(Vec<ListKey>),
}

/// A field that tells the items of a list apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListKey {
    /// Its name.
    pub name: Arc<str>,
    /// What an item has that does not write it.
    pub default: Option<Value>,
}

/// How much of a schema expressions see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What Kubernetes shows them, to the letter: what has no type of its own cannot be named, and
    /// the types of two fields are never the same.
    Kubernetes,
    /// Everything: what has no type of its own is `dyn`, and an object may be used as any other
    /// object or map, as when the expression is evaluated.
    Whole,
    /// As [`View::Whole`], with quantities of a type of their own ([`QUANTITY`]).
    Amounts,
}

/// The type of quantities in [`View::Amounts`].
pub const QUANTITY: &str = "resource quantity";

/// Why a document defines no kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SchemaError {
    /// It is no CustomResourceDefinition.
    #[error("not an `apiextensions.k8s.io/v1` CustomResourceDefinition")]
    NotACrd,
    /// Schemas are nested in each other too deeply.
    #[error("its schema is nested more than {limit} deep")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// There are more schemas than are read.
    #[error("its schema has more than {limit} parts")]
    TooLarge {
        /// How many there may be.
        limit: usize,
    },
}

impl Schemas {
    /// Returns the schemas of Kubernetes' own kinds.
    pub fn built_in() -> Self {
        table::read(table::TEXT)
    }

    /// Returns the same, read once in a process.
    pub fn built_in_shared() -> &'static Self {
        static SCHEMAS: std::sync::LazyLock<Schemas> = std::sync::LazyLock::new(Schemas::built_in);
        &SCHEMAS
    }

    /// Adds the kinds that a CustomResourceDefinition defines, one for each version it serves.
    pub fn define(&mut self, crd: &Value) -> Result<(), SchemaError> {
        structural::define(self, crd)
    }

    /// Returns the schema of a kind, if it is known.
    pub fn kind(&self, kind: &Kind) -> Option<SchemaId> {
        self.kinds.get(kind).copied()
    }

    /// Says whether any kind of a kind's group and version is known.
    pub fn has_version_of(&self, kind: &Kind) -> bool {
        let mut kinds = self.kinds.keys();
        kinds.any(|it| it.group == kind.group && it.version == kind.version)
    }

    /// Returns a schema.
    pub fn schema(&self, id: SchemaId) -> &Schema {
        static NOTHING: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(|| Schema {
            name: Arc::from(""),
            title: Arc::from(""),
            shape: Shape::Unknown,
        });
        usize::try_from(id.0)
            .ok()
            .and_then(|at| self.nodes.get(at))
            .unwrap_or(&NOTHING)
    }

    /// Returns the schema that the API server publishes, and merges by, where expressions see another.
    pub fn published(&self, id: SchemaId) -> SchemaId {
        self.published.get(&id).copied().unwrap_or(id)
    }

    /// Says whether a schema is a definition of Kubernetes' own, not of a CRD.
    pub fn is_definition(&self, id: SchemaId) -> bool {
        id.0 < self.definitions
    }

    /// Says whether a schema is that of every object's `metadata`.
    pub fn is_object_meta(&self, id: SchemaId) -> bool {
        self.object_meta == Some(id)
    }

    /// Returns the type of a kind's objects; `None` if the kind is not known.
    pub fn object(self: &Arc<Self>, kind: &Kind, view: View) -> Option<Inferred> {
        self.named_object(kind, &kind.kind, view)
    }

    /// Returns the type of a kind's objects under another name, so that it is another type.
    pub fn named_object(self: &Arc<Self>, kind: &Kind, name: &str, view: View) -> Option<Inferred> {
        object::root(self, self.kind(kind)?, name, view)
    }

    /// Adds a schema whose name is told as it is.
    fn add(&mut self, name: &str, shape: Shape) -> SchemaId {
        let id = SchemaId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = Arc::from(name);
        self.nodes.push(Schema {
            title: Arc::clone(&name),
            name,
            shape,
        });
        id
    }
}
