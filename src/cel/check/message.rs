//! Messages: those of `google.protobuf` ([`protobuf`]), and in mutations (apiserver
//! `pkg/cel/mutation`) `JSONPatch` with its four fields, and `Object` with any fields, whose types
//! are named by their path but not checked.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cel::ast::{Field, NodeId, Select, Struct};
use crate::cel::env::{Env, Messages};
use crate::cel::issue::Issue;
use crate::cel::protobuf::{self, Descriptor};
use crate::cel::types::{Inferred, ObjectType, Type};
use crate::text::{Span, nearest};

use super::{Checker, Reference, instantiate};

const JSON_PATCH: &str = "JSONPatch";

const JSON_PATCH_FIELDS: [(&str, Type); 4] = [
    ("op", Type::String),
    ("path", Type::String),
    ("from", Type::String),
    ("value", Type::Dyn),
];

/// The messages whose fields are declared.
#[derive(Clone, Copy)]
enum Known {
    JsonPatch,
    Protobuf(&'static Descriptor),
    /// The type of a declared variable, or of a part of one.
    Declared(&'static ObjectType),
}

impl Known {
    fn named(name: &str, env: &Env) -> Option<Self> {
        match name {
            JSON_PATCH => (env.messages() == Messages::Mutation).then_some(Known::JsonPatch),
            _ => match protobuf::descriptor(name) {
                Some(descriptor) => Some(Known::Protobuf(descriptor)),
                None => env.object_named(name).map(Known::Declared),
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Known::JsonPatch => JSON_PATCH,
            Known::Protobuf(descriptor) => descriptor.name,
            Known::Declared(object) => object.name,
        }
    }

    fn field(self, name: &str) -> Option<Type> {
        match self {
            Known::JsonPatch => {
                let mut fields = JSON_PATCH_FIELDS.iter();
                fields.find(|(known, _)| *known == name).map(|(_, it)| *it)
            }
            Known::Protobuf(descriptor) => descriptor.field(name),
            Known::Declared(object) => {
                let mut fields = object.fields.iter();
                fields.find(|(known, _)| *known == name).map(|(_, it)| *it)
            }
        }
    }

    fn field_names(self) -> Vec<&'static str> {
        match self {
            Known::JsonPatch => JSON_PATCH_FIELDS.iter().map(|(name, _)| *name).collect(),
            Known::Protobuf(descriptor) => descriptor.field_names().collect(),
            Known::Declared(object) => object.fields.iter().map(|(name, _)| *name).collect(),
        }
    }
}

impl Checker<'_> {
    pub(super) fn visit_message(&mut self, id: NodeId, message: &Struct) -> Inferred {
        let name = message.name.trim_start_matches('.');
        let is_mutation = self.env.messages() == Messages::Mutation;
        let is_object = is_mutation && (name == "Object" || name.starts_with("Object."));
        let known = Known::named(name, self.env);
        if known.is_none() && !is_object {
            let issue = Issue::new(message.name_span, format!("undefined type `{name}`"));
            let help = match name.split('.').next() {
                Some("Object" | JSON_PATCH) => {
                    "exists only in mutations: `Object{…}`, `Object.spec{…}`, `JSONPatch{…}`"
                        .to_owned()
                }
                _ => match nearest(name, protobuf::names()) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => {
                        "a message has its full name, as `google.protobuf.Duration{…}`".to_owned()
                    }
                },
            };
            self.issues.push(issue.help(help));
            return Inferred::Error;
        }
        for field in &message.fields {
            let value = self.visit(field.value);
            let value = self.present(field.value, value, field.presence);
            if let Some(known) = known {
                self.check_field(known, field, &value);
            }
        }
        match known {
            Some(Known::Protobuf(descriptor)) => {
                self.refer(id, Reference::Message(descriptor));
                descriptor.inferred()
            }
            Some(Known::Declared(object)) => {
                self.refer(id, Reference::Undefined(object.name));
                Inferred::Simple(Type::Object(object))
            }
            _ => Inferred::Message(Arc::from(name)),
        }
    }

    fn check_field(&mut self, known: Known, field: &Field, value: &Inferred) {
        let Some(declared) = known.field(&field.name) else {
            let span = self.ast.span(field.value);
            self.undefined_field(known, &field.name, span);
            return;
        };
        let wanted = instantiate(&declared, &mut FxHashMap::default(), &mut self.unifier);
        if !self.unifier.is_assignable(&wanted, value) {
            self.mismatch(field.value, &wanted, value);
        }
    }

    fn undefined_field(&mut self, known: Known, field: &str, span: Span) {
        let names = known.field_names();
        let message = format!("undefined field `{field}` of {}", known.name());
        let issue = Issue::new(span, message);
        self.issues
            .push(match nearest(field, names.iter().copied()) {
                Some(known) => issue.help(format!("did you mean `{known}`?")),
                None if names.is_empty() => issue.help("it has no fields"),
                None => issue.help(format!("it has {}", names.join(", "))),
            });
    }

    /// The type of a field of a message.
    pub(super) fn message_field(&mut self, name: &str, select: &Select) -> Inferred {
        let Some(known) = Known::named(name, self.env) else {
            return Inferred::Dyn;
        };
        match known.field(&select.field) {
            Some(declared) => instantiate(&declared, &mut FxHashMap::default(), &mut self.unifier),
            None => {
                self.undefined_field(known, &select.field, select.field_span);
                Inferred::Error
            }
        }
    }

    /// The name of a message of `google.protobuf`, or of a constant there, as a value.
    ///
    /// The messages that become values of other types are no types themselves: cel-go finds them
    /// when it checks, but not when it plans (`interpreter/planner.go`, `planCheckedIdent`).
    pub(super) fn protobuf_value(&mut self, id: NodeId, name: &str) -> Option<Inferred> {
        if name == protobuf::NULL_VALUE {
            self.refer(id, Reference::Enum(0));
            return Some(Inferred::Simple(Type::Int));
        }
        let descriptor = protobuf::descriptor(name)?;
        let inferred = descriptor.inferred();
        if descriptor.is_type() {
            self.refer(id, Reference::Type(descriptor.name));
            return Some(Inferred::Type(Some(Arc::new(inferred))));
        }
        let message = format!("`{name}` is not the type of any value");
        self.issues.push(
            Issue::new(self.ast.span(id), message)
                .help(format!("what it makes is of type `{inferred}`")),
        );
        Some(Inferred::Error)
    }
}
