//! Merging an `ApplyConfiguration` into an object, as the API server does for mutating policies.
//!
//! Semantics: apiserver `plugin/policy/mutating/patch/smd.go` over the module
//! `sigs.k8s.io/structured-merge-diff/v6/typed`: the configuration and the object are validated
//! against the kind's published schema (`validate`), a configuration that holds anything atomic is
//! refused (`atomics`), and what it says is put into the object, lists item by item
//! (`lists`). Who owns a field plays no part.

mod atomics;
mod atoms;
mod given;
mod key;
mod lists;
#[cfg(test)]
mod tests;
mod tree;
mod validate;

use serde_json::Value;

pub use self::given::{Configuration, Foreign};

use self::atoms::{Atom, TypeRef, Types};
use crate::schema::{Kind, Schemas};

/// Why a configuration is not merged; worded as upstream words it, which puts `error applying patch: `
/// before it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// There is no schema of the kind. Upstream refuses the request with a `ServiceUnavailable` that
    /// says this, whatever the policy's `failurePolicy`, and without the words before.
    #[error(
        "Resource kind {0} not found. There can be a delay between when CustomResourceDefinitions are created and when they are available."
    )]
    UnknownKind(GroupVersionKind),
    /// What the API server publishes of the kind's group and version has no schema of the kind.
    #[error("failed to convert patch object to typed object: no corresponding type for {0}")]
    NoType(GroupVersionKind),
    /// The configuration is not of the kind's schema.
    #[error("failed to convert patch object to typed object: {0}")]
    Configuration(Faults),
    /// The configuration holds what can only be replaced as a whole.
    #[error("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {0}")]
    Atomic(String),
    /// The object is not of the kind's schema.
    #[error("failed to convert original object to typed object: {0}")]
    Object(Faults),
    /// The object or the configuration is nested more deeply than objects may be.
    #[error("the object is nested more than {limit} deep")]
    TooDeep {
        /// How deep it may be.
        limit: usize,
    },
}

/// A kind as Go prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupVersionKind(pub Kind);

impl std::fmt::Display for GroupVersionKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kind {
            group,
            version,
            kind,
        } = &self.0;
        write!(formatter, "{group}/{version}, Kind={kind}")
    }
}

/// What is wrong with a value, in order of path; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl std::fmt::Display for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [fault] => formatter.write_str(fault),
            faults => {
                formatter.write_str("errors:")?;
                for fault in faults {
                    write!(formatter, "\n  {fault}")?;
                }
                Ok(())
            }
        }
    }
}

/// Returns the object with what the configuration says.
///
/// The configuration is taken to be of the object's `apiVersion` and `kind`, whatever it says itself.
pub fn merge(
    schemas: &Schemas,
    kind: &Kind,
    object: &Value,
    configuration: &Configuration,
) -> Result<Value, MergeError> {
    let mut merged = object.clone();
    merge_into(schemas, kind, &mut merged, configuration)?;
    Ok(merged)
}

/// Puts what the configuration says into the object, which is left as it is if there is an error.
///
/// Takes the time to validate the object.
pub fn merge_into(
    schemas: &Schemas,
    kind: &Kind,
    object: &mut Value,
    configuration: &Configuration,
) -> Result<(), MergeError> {
    let types = Types { schemas };
    let root = published(schemas, kind)?;
    let configuration = of_kind(configuration, kind);
    validate::check(types, root, &configuration, validate::Duplicates::Refused)?
        .map_or(Ok(()), |faults| Err(MergeError::Configuration(faults)))?;
    let atomic = atomics::find(types, root, &configuration);
    if !atomic.is_empty() {
        return Err(MergeError::Atomic(atomic.join(", ")));
    }
    validate::check(types, root, object, validate::Duplicates::Allowed)?
        .map_or(Ok(()), |faults| Err(MergeError::Object(faults)))?;
    merge_value(types, root, object, &configuration);
    Ok(())
}

/// Kinds of subresources that are published only with other groups' kinds, by group and kind: upstream
/// looks for a schema in the document of the kind's own group and version (apiserver
/// `plugin/policy/mutating/patch/typeconverter.go`, `GetTypeConverter`).
const ELSEWHERE: [(&str, &str); 3] = [
    ("authentication.k8s.io", "TokenRequest"),
    ("autoscaling", "Scale"),
    ("policy", "Eviction"),
];

fn published(schemas: &Schemas, kind: &Kind) -> Result<TypeRef, MergeError> {
    let is_elsewhere = ELSEWHERE.contains(&(&kind.group, &kind.kind));
    match schemas.kind(kind).filter(|_| !is_elsewhere) {
        Some(id) => Ok(TypeRef::of(id)),
        None if schemas.has_version_of(kind) => {
            Err(MergeError::NoType(GroupVersionKind(kind.clone())))
        }
        None => Err(MergeError::UnknownKind(GroupVersionKind(kind.clone()))),
    }
}

fn of_kind(configuration: &Configuration, kind: &Kind) -> Configuration {
    let mut configuration = configuration.clone();
    if let Configuration::Object(fields) = &mut configuration {
        let version = match kind.group.is_empty() {
            true => kind.version.clone(),
            false => format!("{}/{}", kind.group, kind.version),
        };
        fields.insert("apiVersion".to_owned(), Configuration::Text(version));
        fields.insert("kind".to_owned(), Configuration::Text(kind.kind.clone()));
    }
    configuration
}

/// Puts what a valid configuration says into a valid value (`mergingWalker.merge`, with the rule to
/// keep the right-hand side).
///
/// What only one side has is taken as it is. An empty list or map changes one that is not empty in
/// nothing, and replaces everything else.
fn merge_value(types: Types<'_>, of: TypeRef, live: &mut Value, given: &Configuration) {
    let no_items = Vec::new();
    let Atom { list, map, .. } = types.atom(of);
    match (&mut *live, given) {
        (Value::Object(fields), Configuration::Object(given)) => {
            if let Some(map) = map.filter(|map| !map.is_atomic)
                && !(fields.is_empty() && given.is_empty())
            {
                for (name, given) in given {
                    match (fields.get_mut(name), types.field(&map, name)) {
                        (Some(live), Some(of)) => merge_value(types, of, live, given),
                        _ => {
                            fields.insert(name.clone(), given.to_value());
                        }
                    }
                }
                return;
            }
        }
        (Value::Array(items), Configuration::List(_) | Configuration::NoItems) => {
            let given = match given {
                Configuration::List(given) => given,
                _ => &no_items,
            };
            if let Some(list) = list.filter(|list| !list.is_atomic())
                && !(items.is_empty() && given.is_empty())
            {
                lists::merge(types, &list, items, given);
                return;
            }
        }
        // A null changes nothing in what has parts of its own.
        (Value::Object(fields), Configuration::Null)
            if map.as_ref().is_some_and(|map| !map.is_atomic) && !fields.is_empty() =>
        {
            return;
        }
        (Value::Array(items), Configuration::Null)
            if map.is_none() && list.is_some_and(|list| !list.is_atomic()) && !items.is_empty() =>
        {
            return;
        }
        _ => {}
    }
    *live = given.to_value();
}
