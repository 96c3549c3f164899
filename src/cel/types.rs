//! The types of CEL, as functions and variables are declared with them.

use std::fmt;
use std::sync::Arc;

/// A type in a declaration; parameters are named (`A`, `T`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Any type.
    Dyn,
    /// `null_type`
    Null,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `uint`
    Uint,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Duration`
    Duration,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `type`
    Type,
    /// `list(T)`
    List(&'static Type),
    /// `map(K, V)`
    Map(&'static Type, &'static Type),
    /// `optional_type(T)`
    Optional(&'static Type),
    /// A type parameter.
    Param(&'static str),
    /// A type of a library, by its name: `kubernetes.Quantity`.
    Opaque(&'static str),
    /// An object whose fields are declared.
    Object(&'static ObjectType),
}

/// The declaration of an object: only these fields may be selected.
#[derive(Debug, PartialEq, Eq)]
pub struct ObjectType {
    /// The type's name.
    pub name: &'static str,
    /// The fields with their types.
    pub fields: &'static [(&'static str, Type)],
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => formatter.write_str("dyn"),
            Type::Null => formatter.write_str("null_type"),
            Type::Bool => formatter.write_str("bool"),
            Type::Int => formatter.write_str("int"),
            Type::Uint => formatter.write_str("uint"),
            Type::Double => formatter.write_str("double"),
            Type::String => formatter.write_str("string"),
            Type::Bytes => formatter.write_str("bytes"),
            Type::Duration => formatter.write_str("google.protobuf.Duration"),
            Type::Timestamp => formatter.write_str("google.protobuf.Timestamp"),
            Type::Type => formatter.write_str("type"),
            Type::List(item) => write!(formatter, "list({item})"),
            Type::Map(key, value) => write!(formatter, "map({key}, {value})"),
            Type::Optional(inner) => write!(formatter, "optional_type({inner})"),
            Type::Param(name) => formatter.write_str(name),
            Type::Opaque(name) => formatter.write_str(name),
            Type::Object(object) => formatter.write_str(object.name),
        }
    }
}

/// An object of a schema: only the fields it declares may be selected.
///
/// As in CEL a type is its name: two objects of one name are of one type.
#[derive(Debug, Clone)]
pub struct SchemaObject {
    /// The type's name.
    pub name: Arc<str>,
    /// What people are told it is.
    pub title: Arc<str>,
    /// What declares its fields.
    pub fields: Arc<dyn SchemaFields>,
    /// What it may be used as.
    pub identity: Identity,
}

/// What an object of a schema may be used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// As an object of the same name only, as upstream's type checker has it.
    Nominal,
    /// As any object or map, which it is when the expression is evaluated.
    Structural,
}

impl Inferred {
    /// Says whether it is an object that counts as any other object or map.
    pub(crate) fn is_structural(&self) -> bool {
        matches!(self, Inferred::Schema(object) if object.identity == Identity::Structural)
    }
}

/// The fields of an object, looked up when they are needed: schemas may refer to themselves.
pub trait SchemaFields: fmt::Debug + Send + Sync {
    /// Returns a field by its name in an expression.
    fn field(&self, name: &str) -> Option<SchemaField>;

    /// Returns the names of all fields, as expressions write them.
    fn names(&self) -> Vec<String>;
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct SchemaField {
    /// Its type.
    pub inferred: Inferred,
    /// Whether every object has it.
    pub occurrence: Occurrence,
}

/// Whether every object has a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    /// It is required, or filled in before anybody reads it.
    Always,
    /// It may be missing.
    Optional,
}

impl PartialEq for SchemaObject {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for SchemaObject {}

/// A type the checker inferred: as [`Type`], with variables instead of parameters, and shared parts.
///
/// A wrapper equals what it wraps, as in cel-go (`common/types/types.go`, `IsExactType`).
#[derive(Debug, Clone)]
pub enum Inferred {
    /// Not known until the expression is evaluated.
    Dyn,
    /// The type of something already found wrong; goes with everything.
    Error,
    /// `google.protobuf.Any`: as unknown as `dyn`, by another name.
    Any,
    /// A type without parts.
    Simple(Type),
    /// A message of `google.protobuf` that is a value of this type, or null.
    Wrapper(Type),
    /// `type(T)`; without `T` the type of any type.
    Type(Option<Arc<Inferred>>),
    /// `list(T)`
    List(Arc<Inferred>),
    /// `map(K, V)`
    Map(Arc<Inferred>, Arc<Inferred>),
    /// `optional_type(T)`
    Optional(Arc<Inferred>),
    /// A message, by its name: `JSONPatch`, `Object.spec`, `google.protobuf.Empty`.
    Message(Arc<str>),
    /// An object whose fields a schema declares; shared, so that types stay small.
    Schema(Arc<SchemaObject>),
    /// A type still to be found.
    Variable(usize),
}

impl Inferred {
    /// Says whether nothing is known of the values.
    pub fn is_dyn(&self) -> bool {
        matches!(self, Inferred::Dyn | Inferred::Any)
    }

    /// Returns the type of a policy's variable whose expression gives this one: of objects and
    /// opaque values Kubernetes forgets all but that they are there (apiserver
    /// `plugin/cel/composition.go`, `convertCelTypeToDeclType`).
    #[must_use]
    pub fn of_variable(&self) -> Inferred {
        if self.is_plain() {
            return self.clone();
        }
        match self {
            Inferred::List(item) => Inferred::List(Arc::new(item.of_variable())),
            Inferred::Map(key, value) => {
                Inferred::Map(Arc::new(key.of_variable()), Arc::new(value.of_variable()))
            }
            _ => Inferred::Dyn,
        }
    }

    /// Says whether it is made of scalars, lists and maps only.
    fn is_plain(&self) -> bool {
        match self {
            Inferred::Simple(simple) => {
                !matches!(simple, Type::Opaque(_) | Type::Object(_) | Type::Param(_))
            }
            Inferred::Any => true,
            Inferred::List(item) => item.is_plain(),
            Inferred::Map(key, value) => key.is_plain() && value.is_plain(),
            _ => false,
        }
    }
}

impl PartialEq for Inferred {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Inferred::Dyn, Inferred::Dyn)
            | (Inferred::Error, Inferred::Error)
            | (Inferred::Any, Inferred::Any) => true,
            (
                Inferred::Simple(a) | Inferred::Wrapper(a),
                Inferred::Simple(b) | Inferred::Wrapper(b),
            ) => a == b,
            (Inferred::Type(a), Inferred::Type(b)) => a == b,
            (Inferred::List(a), Inferred::List(b)) => a == b,
            (Inferred::Map(a, x), Inferred::Map(b, y)) => a == b && x == y,
            (Inferred::Optional(a), Inferred::Optional(b)) => a == b,
            (Inferred::Message(a), Inferred::Message(b)) => a == b,
            (Inferred::Schema(a), Inferred::Schema(b)) => a == b,
            (Inferred::Variable(a), Inferred::Variable(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Inferred {}

impl fmt::Display for Inferred {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Inferred::Dyn | Inferred::Variable(_) => formatter.write_str("dyn"),
            Inferred::Error => formatter.write_str("!error!"),
            Inferred::Any => formatter.write_str("google.protobuf.Any"),
            Inferred::Simple(simple) => simple.fmt(formatter),
            Inferred::Wrapper(wrapped) => write!(formatter, "wrapper({wrapped})"),
            Inferred::Type(Some(inner)) => write!(formatter, "type({inner})"),
            Inferred::Type(None) => formatter.write_str("type"),
            Inferred::List(item) => write!(formatter, "list({item})"),
            Inferred::Map(key, value) => write!(formatter, "map({key}, {value})"),
            Inferred::Optional(inner) => write!(formatter, "optional_type({inner})"),
            Inferred::Message(name) => formatter.write_str(name),
            Inferred::Schema(object) => formatter.write_str(&object.title),
        }
    }
}
