//! The messages of mutations (apiserver `pkg/cel/mutation`): `JSONPatch` with its four fields, and
//! `Object` with any fields, whose types are named by their path but not checked.

use std::sync::Arc;

use crate::cel::ast::{Field, Select, Struct};
use crate::cel::env::Messages;
use crate::cel::issue::Issue;
use crate::cel::types::{Inferred, Type};
use crate::text::nearest;

use super::Checker;

const JSON_PATCH: &str = "JSONPatch";

const JSON_PATCH_FIELDS: [(&str, Inferred); 4] = [
    ("op", Inferred::Simple(Type::String)),
    ("path", Inferred::Simple(Type::String)),
    ("from", Inferred::Simple(Type::String)),
    ("value", Inferred::Dyn),
];

impl Checker<'_> {
    pub(super) fn visit_message(&mut self, message: &Struct) -> Inferred {
        let name = message.name.trim_start_matches('.');
        let is_object = name == "Object" || name.starts_with("Object.");
        let is_known =
            self.env.messages() == Messages::Mutation && (is_object || name == JSON_PATCH);
        if !is_known {
            let issue = Issue::new(message.name_span, format!("undefined type `{name}`"));
            self.issues.push(issue.help(
                "messages exist only in mutations: `Object{…}`, `Object.spec{…}`, `JSONPatch{…}`",
            ));
            return Inferred::Error;
        }
        for field in &message.fields {
            let value = self.visit(field.value);
            let value = self.present(field.value, value, field.presence);
            if !is_object {
                self.check_patch_field(field, &value);
            }
        }
        Inferred::Message(Arc::from(name))
    }

    fn check_patch_field(&mut self, field: &Field, value: &Inferred) {
        let names = || JSON_PATCH_FIELDS.iter().map(|(name, _)| *name);
        match JSON_PATCH_FIELDS
            .iter()
            .find(|(name, _)| *name == field.name)
        {
            Some((_, wanted)) => {
                if !self.unifier.is_assignable(wanted, value) {
                    self.mismatch(field.value, wanted, value);
                }
            }
            None => {
                let message = format!("undefined field `{}` of {JSON_PATCH}", field.name);
                let issue = Issue::new(self.ast.span(field.value), message);
                self.issues.push(match nearest(&field.name, names()) {
                    Some(known) => issue.help(format!("did you mean `{known}`?")),
                    None => issue.help("it has op, path, from and value"),
                });
            }
        }
    }

    /// The type of a field of a message.
    pub(super) fn message_field(&mut self, name: &str, select: &Select) -> Inferred {
        if name != JSON_PATCH {
            return Inferred::Dyn;
        }
        match JSON_PATCH_FIELDS
            .iter()
            .find(|(field, _)| *field == select.field)
        {
            Some((_, declared)) => declared.clone(),
            None => {
                let message = format!("undefined field `{}` of {JSON_PATCH}", select.field);
                self.issues.push(
                    Issue::new(select.field_span, message).help("it has op, path, from and value"),
                );
                Inferred::Error
            }
        }
    }
}
