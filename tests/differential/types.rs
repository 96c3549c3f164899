//! The types expressions are generated for.

use portcullis::cel::types::Type;
use rustc_hash::FxHashMap;

/// A type without parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ty {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    Type,
    List(Box<Ty>),
    Map(Box<Ty>, Box<Ty>),
    Optional(Box<Ty>),
    Opaque(&'static str),
}

/// What parameters of a signature stand for.
pub(crate) type Bindings = FxHashMap<&'static str, Ty>;

/// Binds the parameters of `declared` so that it becomes `wanted`, if it can.
pub(crate) fn unify(declared: &Type, wanted: &Ty, bindings: &mut Bindings) -> bool {
    match (declared, wanted) {
        (Type::Param(name), wanted) => {
            bindings.entry(name).or_insert_with(|| wanted.clone()) == wanted
        }
        (Type::Dyn, Ty::Dyn)
        | (Type::Null, Ty::Null)
        | (Type::Bool, Ty::Bool)
        | (Type::Int, Ty::Int)
        | (Type::Uint, Ty::Uint)
        | (Type::Double, Ty::Double)
        | (Type::String, Ty::String)
        | (Type::Bytes, Ty::Bytes)
        | (Type::Duration, Ty::Duration)
        | (Type::Timestamp, Ty::Timestamp)
        | (Type::Type, Ty::Type) => true,
        (Type::List(declared), Ty::List(wanted)) => unify(declared, wanted, bindings),
        (Type::Optional(declared), Ty::Optional(wanted)) => unify(declared, wanted, bindings),
        (Type::Map(key, value), Ty::Map(wanted_key, wanted_value)) => {
            unify(key, wanted_key, bindings) && unify(value, wanted_value, bindings)
        }
        (Type::Opaque(declared), Ty::Opaque(wanted)) => declared == wanted,
        _ => false,
    }
}

/// Puts what they stand for in place of the parameters; `free` chooses for those not bound.
pub(crate) fn bound(declared: &Type, bindings: &mut Bindings, free: &mut dyn FnMut() -> Ty) -> Ty {
    match declared {
        Type::Dyn | Type::Object(_) => Ty::Dyn,
        Type::Null => Ty::Null,
        Type::Bool => Ty::Bool,
        Type::Int => Ty::Int,
        Type::Uint => Ty::Uint,
        Type::Double => Ty::Double,
        Type::String => Ty::String,
        Type::Bytes => Ty::Bytes,
        Type::Duration => Ty::Duration,
        Type::Timestamp => Ty::Timestamp,
        Type::Type => Ty::Type,
        Type::List(item) => Ty::List(Box::new(bound(item, bindings, free))),
        Type::Optional(inner) => Ty::Optional(Box::new(bound(inner, bindings, free))),
        Type::Map(key, value) => {
            let key = bound(key, bindings, free);
            Ty::Map(Box::new(key), Box::new(bound(value, bindings, free)))
        }
        Type::Opaque(name) => Ty::Opaque(name),
        Type::Param(name) => bindings.entry(name).or_insert_with(free).clone(),
    }
}
