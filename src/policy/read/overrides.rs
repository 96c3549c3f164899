//! Reads what a configuration says of policies.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::policy::model::ValidationAction;
use crate::policy::overrides::{Place, PolicyOverride, Profile};
use crate::policy::read::front_matter;
use crate::policy::read::reader::{Field, Reader};
use crate::text::Source;
use crate::text::yaml::Yaml;

/// Reads a mapping of names of policies or packs to what is said of them:
/// `{meshery-replicas: {action: warn, settings: {minReplicas: 2}}}`.
///
/// Takes `enabled`, `action`, `profile`, `settings` and `mutate`.
pub fn overrides(
    source: &Arc<Source>,
    yaml: &Yaml,
) -> (Vec<(String, PolicyOverride)>, Vec<Diagnostic>) {
    let mut reader = Reader::new(source);
    let root = reader.root(yaml);
    let mut read = Vec::new();
    for (entry, field) in reader.entries(&root) {
        let place = Place {
            source: Arc::clone(source),
            span: entry.key_span,
        };
        let mut said = of_one(&mut reader, &field);
        said.place = Some(place);
        read.push((entry.key.clone(), said));
    }
    (read, reader.diagnostics)
}

fn of_one(reader: &mut Reader<'_>, field: &Field<'_>) -> PolicyOverride {
    let mut said = PolicyOverride::default();
    let Some(mut fields) = reader.fields(field) else {
        return said;
    };
    let fields = &mut fields;
    if let Some(field) = reader.field(fields, "enabled") {
        said.enabled = reader.boolean(&field);
    }
    if let Some(field) = reader.field(fields, "action") {
        said.actions = front_matter::actions_in(reader, &field);
        let has = |action| said.actions.contains(&action);
        if has(ValidationAction::Deny) && has(ValidationAction::Warn) {
            reader.error(
                field.yaml.span,
                "policy/exclusive",
                "`deny` and `warn` do not go together",
                "what is denied is said; leave `warn` out",
            );
        }
    }
    if let Some(field) = reader.field(fields, "profile") {
        said.profile = reader.choice(&field, "profile", &Profile::NAMES);
    }
    if let Some(field) = reader.field(fields, "settings") {
        said.settings = front_matter::settings(reader, &field);
    }
    if let Some(field) = reader.field(fields, "mutate") {
        said.mutate = reader.boolean(&field);
    }
    reader.close(fields);
    said
}
