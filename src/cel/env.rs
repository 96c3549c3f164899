//! What an expression may refer to: variables by slot, the policy's own variables, functions.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::function::{Function, Overload, Since};
use super::library;
use super::types::{Inferred, ObjectType, Type};
use super::version::KubernetesVersion;

/// The declarations an expression is checked against.
#[derive(Debug, Clone)]
pub struct Env {
    slots: Vec<Slot>,
    variables: Vec<(String, Inferred)>,
    language: Language,
    version: KubernetesVersion,
    messages: Messages,
}

#[derive(Debug, Clone)]
struct Slot {
    name: String,
    /// `None`: the slot exists, but may not be named.
    declared: Option<Type>,
    /// Why it may not be named, for who does it all the same.
    absence: Option<&'static str>,
    /// What a schema says of it, where more is known than was declared.
    schema: Option<Inferred>,
}

/// Which functions may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Kubernetes' own; everything else is refused, as the API server would.
    Kubernetes,
    /// With our extensions.
    Extended,
}

/// Which messages may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// None.
    None,
    /// `JSONPatch` and `Object`.
    Mutation,
}

/// The types that may be named, as values of `type(x)`.
///
/// Of those of Kubernetes' libraries only addresses and networks have names there (apiserver
/// `pkg/cel/library/ip.go` and `cidr.go`, `cel.Types`), since 1.30 and so in every version we know.
const TYPES: [(&str, Type); 15] = [
    ("bool", Type::Bool),
    ("bytes", Type::Bytes),
    ("double", Type::Double),
    ("google.protobuf.Duration", Type::Duration),
    ("google.protobuf.Timestamp", Type::Timestamp),
    ("int", Type::Int),
    ("list", Type::List(&Type::Dyn)),
    ("map", Type::Map(&Type::Dyn, &Type::Dyn)),
    ("net.CIDR", Type::Opaque("net.CIDR")),
    ("net.IP", Type::Opaque("net.IP")),
    ("null_type", Type::Null),
    ("optional_type", Type::Opaque("optional_type")),
    ("string", Type::String),
    ("type", Type::Type),
    ("uint", Type::Uint),
];

/// A table of constants, made at first use.
static FUNCTIONS: LazyLock<FxHashMap<&'static str, &'static Function>> = LazyLock::new(|| {
    library::functions()
        .map(|function| (function.name, function))
        .collect()
});

impl Env {
    /// Declares variables; the position of a name is the slot its value is read from.
    pub fn new<'n>(slots: impl IntoIterator<Item = (&'n str, Type)>, language: Language) -> Self {
        let slots = slots
            .into_iter()
            .map(|(name, declared)| Slot {
                name: name.to_owned(),
                declared: Some(declared),
                absence: None,
                schema: None,
            })
            .collect();
        Env {
            slots,
            variables: Vec::new(),
            language,
            version: KubernetesVersion::default(),
            messages: Messages::None,
        }
    }

    /// Allows the messages of mutations.
    #[must_use]
    pub fn with_messages(mut self, messages: Messages) -> Self {
        self.messages = messages;
        self
    }

    /// Returns which messages may be made.
    pub fn messages(&self) -> Messages {
        self.messages
    }

    /// Returns which functions may be used.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Leaves out what came after a version of Kubernetes; without this everything is there.
    #[must_use]
    pub fn with_version(mut self, version: KubernetesVersion) -> Self {
        self.version = version;
        self
    }

    /// Returns the version of Kubernetes that expressions are written for.
    pub fn version(&self) -> KubernetesVersion {
        self.version
    }

    /// Takes the declaration of a variable back: `params` of a policy without parameters.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        for slot in self.slots.iter_mut().filter(|slot| slot.name == name) {
            slot.declared = None;
        }
        self
    }

    /// Takes the declaration of a variable back, and says why to who names it all the same.
    #[must_use]
    pub fn without_because(self, name: &str, why: &'static str) -> Self {
        let mut env = self.without(name);
        for slot in env.slots.iter_mut().filter(|slot| slot.name == name) {
            slot.absence = Some(why);
        }
        env
    }

    /// Returns why a variable is not there, if there is more to say than that.
    pub fn absence(&self, name: &str) -> Option<&'static str> {
        let mut slots = self.slots.iter();
        slots.find(|slot| slot.name == name)?.absence
    }

    /// Says what a schema knows of a variable that is declared.
    #[must_use]
    pub fn with_schema(mut self, name: &str, known: &Inferred) -> Self {
        for slot in self.slots.iter_mut().filter(|slot| slot.name == name) {
            slot.schema = Some(known.clone());
        }
        self
    }

    /// Returns what a schema knows of the variable in a slot.
    pub fn schema_of(&self, slot: usize) -> Option<&Inferred> {
        self.slots.get(slot)?.schema.as_ref()
    }

    /// Declares the next of the policy's own variables, read as `variables.NAME`.
    pub fn declare_variable(&mut self, name: &str, declared: Inferred) {
        self.variables.push((name.to_owned(), declared));
    }

    /// Returns the slot of a variable, and its type.
    pub fn slot(&self, name: &str) -> Option<(usize, &Type)> {
        let at = self.slots.iter().position(|slot| slot.name == name)?;
        Some((at, self.slots.get(at)?.declared.as_ref()?))
    }

    /// Returns the declaration of an object's type that a variable has, or a part of one.
    pub fn object_named(&self, name: &str) -> Option<&'static ObjectType> {
        let mut declared = self.slots.iter().filter_map(|slot| slot.declared);
        declared.find_map(|declared| object_within(declared, name))
    }

    /// Returns the names of the variables that may be used.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots
            .iter()
            .filter(|slot| slot.declared.is_some())
            .map(|slot| slot.name.as_str())
    }

    /// Returns the position of one of the policy's own variables, and its type; of several of one
    /// name the last one counts (apiserver `plugin/cel/composition.go`, `AddField`).
    pub fn variable(&self, name: &str) -> Option<(usize, &Inferred)> {
        let at = self
            .variables
            .iter()
            .rposition(|(variable, _)| variable == name)?;
        Some((at, &self.variables.get(at)?.1))
    }

    /// Returns the names of the policy's own variables.
    pub fn variable_names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// Returns a function of the language by its name; none of its overloads may be allowed yet in
    /// the version of Kubernetes.
    pub fn function(&self, name: &str) -> Option<&'static Function> {
        FUNCTIONS
            .get(name)
            .copied()
            .filter(|function| function.overloads.iter().any(|it| self.speaks(it)))
            .filter(|function| self.has_library(function))
    }

    /// Says whether a name is that of a function that only our extensions have, and that may not be
    /// used.
    pub fn is_refused_extension(&self, name: &str) -> bool {
        FUNCTIONS
            .get(name)
            .is_some_and(|function| !function.overloads.iter().any(|it| self.speaks(it)))
    }

    /// Says whether the library of a function is there: `jsonpatch` comes with the messages
    /// (apiserver `plugin/cel/compile.go`, `hasPatchTypes`).
    fn has_library(&self, function: &Function) -> bool {
        self.messages == Messages::Mutation
            || self.language == Language::Extended
            || !function.name.starts_with("jsonpatch.")
    }

    /// Returns the names of all functions that may be written.
    pub fn function_names(&self) -> impl Iterator<Item = &'static str> {
        FUNCTIONS
            .values()
            .filter(|function| {
                let mut overloads = function.overloads.iter();
                overloads.any(|it| self.allows(it)) && !function.name.contains('@')
            })
            .map(|function| function.name)
    }

    /// Returns a type that may be named.
    pub fn type_named(&self, name: &str) -> Option<(&'static str, &'static Type)> {
        TYPES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(name, declared)| (*name, declared))
    }

    /// Says whether an overload may be used.
    pub fn allows(&self, overload: &Overload) -> bool {
        self.speaks(overload) && self.version.has(overload.since)
    }

    /// Says whether an overload is part of the language, in whatever version.
    pub fn speaks(&self, overload: &Overload) -> bool {
        self.language == Language::Extended || overload.since != Since::Extension
    }
}

/// The object's type of a name among those a type is made of.
fn object_within(declared: Type, name: &str) -> Option<&'static ObjectType> {
    match declared {
        Type::Object(object) if object.name == name => Some(object),
        Type::Object(object) => {
            let mut fields = object.fields.iter();
            fields.find_map(|(_, declared)| object_within(*declared, name))
        }
        Type::List(part) | Type::Optional(part) => object_within(*part, name),
        Type::Map(key, value) => object_within(*key, name).or_else(|| object_within(*value, name)),
        _ => None,
    }
}
