//! Reads the front matter of a `.cel` file.

use serde_json::{Map, Value};

use crate::policy::defaults::{self, Version};
use crate::policy::model::{
    About, FailurePolicy, MatchResources, ParamKind, ParamRef, PodMatching, PolicyScope, ReadKind,
    ReinvocationPolicy, ValidationAction,
};
use crate::policy::read::admission::{FAILURE_POLICIES, REINVOCATION_POLICIES, SEVERITIES};
use crate::policy::read::match_rules;
use crate::policy::read::matching::{self, MATCH_POLICIES, ParamRefParts};
use crate::policy::read::reader::{Field, Fields, Reader};
use crate::policy::read::resource_pattern;
use crate::policy::validate::names;
use crate::text::yaml::YamlValue;

const ACTIONS: [(&str, ValidationAction); 3] = [
    ("deny", ValidationAction::Deny),
    ("warn", ValidationAction::Warn),
    ("audit", ValidationAction::Audit),
];

/// What the front matter says; defaults for what it does not.
#[derive(Debug)]
pub(super) struct FrontMatter {
    pub(super) name: Option<String>,
    pub(super) about: About,
    pub(super) scope: PolicyScope,
    pub(super) match_constraints: Option<MatchResources>,
    pub(super) actions: Vec<ValidationAction>,
    pub(super) failure_policy: FailurePolicy,
    pub(super) settings: Map<String, Value>,
    pub(super) reads: Vec<ReadKind>,
    pub(super) pods: PodMatching,
    pub(super) param_kind: Option<ParamKind>,
    pub(super) param_ref: Option<ParamRef>,
    pub(super) reinvocation_policy: ReinvocationPolicy,
    pub(super) mutate: bool,
}

impl Default for FrontMatter {
    fn default() -> Self {
        let defaults = defaults::of(Version::Cel);
        FrontMatter {
            name: None,
            about: About::default(),
            scope: PolicyScope::default(),
            match_constraints: None,
            actions: vec![ValidationAction::Deny],
            failure_policy: defaults.failure_policy,
            settings: Map::new(),
            reads: Vec::new(),
            pods: PodMatching::default(),
            param_kind: None,
            param_ref: None,
            reinvocation_policy: defaults.reinvocation_policy.unwrap_or_default(),
            mutate: false,
        }
    }
}

/// Reads the mapping in `field`.
pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> FrontMatter {
    let mut read = FrontMatter::default();
    let Some(mut fields) = reader.fields(field) else {
        return read;
    };
    let fields = &mut fields;
    read.name = reader
        .field_at(fields, "name", "metadata.name")
        .and_then(|field| reader.string(&field))
        .map(str::to_owned);
    read.about = about(reader, fields);
    read.actions = actions(reader, fields);
    if let Some(policy) = reader
        .field_at(fields, "failurePolicy", "spec.failurePolicy")
        .and_then(|field| reader.choice(&field, "failure policy", &FAILURE_POLICIES))
    {
        read.failure_policy = policy;
    }
    if let Some(policy) = reader
        .field_at(fields, "reinvocationPolicy", "spec.reinvocationPolicy")
        .and_then(|field| reader.choice(&field, "reinvocation policy", &REINVOCATION_POLICIES))
    {
        read.reinvocation_policy = policy;
    }
    if let Some(field) = reader.field(fields, "settings") {
        read.settings = settings(reader, &field);
    }
    if let Some(field) = reader.field(fields, "reads") {
        read.reads = reader.each(&field, read_kind);
    }
    if let Some(field) = reader.field_at(fields, "params", "spec.paramRef") {
        (read.param_kind, read.param_ref) = params(reader, &field);
    }
    read.mutate = flag(reader, fields, "mutate");
    if flag(reader, fields, "pods") {
        read.pods = PodMatching::PodTemplates;
    }
    read.scope = scope(reader, fields);
    if read.scope == PolicyScope::Cluster {
        refuse_request_keys(reader, field);
    }
    read.match_constraints = match_constraints(reader, fields, &read);
    reader.close(fields);
    read
}

fn about(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> About {
    let mut text = |reader: &mut Reader<'_>, key| {
        let field = reader.field(fields, key)?;
        reader.string(&field).map(str::to_owned)
    };
    let category = text(reader, "category");
    let source = text(reader, "source");
    let severity = reader
        .field(fields, "severity")
        .and_then(|field| reader.choice(&field, "severity", &SEVERITIES));
    About {
        description: String::new(),
        severity: severity.unwrap_or_default(),
        category,
        source,
    }
}

/// Reads `action`, a word or a list of them.
fn actions(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<ValidationAction> {
    match reader.field_at(fields, "action", "spec.validationActions") {
        Some(field) => actions_in(reader, &field),
        None => vec![ValidationAction::Deny],
    }
}

/// Reads a word or a list of them.
pub(super) fn actions_in(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<ValidationAction> {
    if let YamlValue::Sequence(_) = field.yaml.value {
        return reader.each(field, |reader, item| {
            reader.choice(item, "action", &ACTIONS)
        });
    }
    let action = reader.choice(field, "action", &ACTIONS);
    action.into_iter().collect()
}

fn flag(reader: &mut Reader<'_>, fields: &mut Fields<'_>, key: &'static str) -> bool {
    let field = reader.field(fields, key);
    field
        .and_then(|field| reader.boolean(&field))
        .unwrap_or_default()
}

fn scope(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> PolicyScope {
    reader
        .field(fields, "scope")
        .and_then(|field| reader.choice(&field, "scope", &[("cluster", PolicyScope::Cluster)]))
        .unwrap_or_default()
}

/// What says which requests a policy is about, or what it reads of them.
const REQUEST_KEYS: [&str; 7] = [
    "match",
    "exclude",
    "namespaceSelector",
    "objectSelector",
    "matchPolicy",
    "params",
    "pods",
];

/// Refuses what means nothing to a policy about the cluster as a whole.
fn refuse_request_keys(reader: &mut Reader<'_>, field: &Field<'_>) {
    let entries = field.yaml.as_mapping().unwrap_or_default();
    for entry in entries {
        if REQUEST_KEYS.contains(&entry.key.as_str()) {
            reader.error(
                crate::policy::places::first_line(reader.source, entry.value.span),
                "policy/exclusive",
                format!("`{}` does not go with `scope: cluster`", entry.key),
                "such a policy is evaluated once per scan, without an object; remove it",
            );
        }
    }
}

/// Reads constants: scalars, and lists of scalars.
pub(super) fn settings(reader: &mut Reader<'_>, field: &Field<'_>) -> Map<String, Value> {
    let mut settings = Map::new();
    for (entry, field) in reader.entries(field) {
        if !names::is_cel_identifier(&entry.key) {
            let (message, help) = not_a_name(&entry.key, reader.source.slice(entry.key_span));
            reader.error(entry.key_span, "policy/invalid-name", message, help);
        }
        let value = match &field.yaml.value {
            YamlValue::Sequence(_) => Some(Value::Array(reader.each(&field, setting))),
            _ => setting(reader, &field),
        };
        if let Some(value) = value {
            settings.insert(entry.key.clone(), value);
        }
    }
    settings
}

/// Says why a setting cannot have a name, and what to do. YAML 1.1, which is what Kubernetes reads, has
/// more words for booleans, `on` and `y` among them: as a key such a word is not what is `written`.
fn not_a_name(key: &str, written: &str) -> (String, String) {
    if matches!(key, "true" | "false") && written != key && !written.starts_with(['"', '\'']) {
        return (
            format!(
                "`{written}` is a boolean in YAML, `{key}`, and cannot be the name of a setting"
            ),
            format!("put it in quotes: `'{written}': …`"),
        );
    }
    (
        format!("`{key}` cannot be the name of a setting"),
        "it is read as `settings.NAME`: use letters, digits and `_`, a letter first, and no \
         reserved word"
            .to_owned(),
    )
}

fn setting(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Value> {
    match &field.yaml.value {
        YamlValue::Bool(value) => Some((*value).into()),
        YamlValue::Int(value) => Some((*value).into()),
        // Not `to_json`, which makes an integer of `3.0`: a constant has the type it is written in.
        YamlValue::Double(value) if value.is_finite() => Some((*value).into()),
        YamlValue::String(text) => Some(text.as_str().into()),
        _ => {
            reader.wrong_type(
                field,
                "a scalar or a list of scalars",
                "give each entry a setting of its own, or take the object as a parameter: `params`",
            );
            None
        }
    }
}

fn read_kind(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<ReadKind> {
    let pattern = reader.string(field)?;
    match resource_pattern::parse_kind(pattern) {
        Ok((api_version, kind)) => Some(ReadKind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        }),
        Err(help) => {
            let message = format!("malformed kind `{pattern}`");
            reader.error(field.yaml.span, "policy/malformed-kind", message, help);
            None
        }
    }
}

fn params(reader: &mut Reader<'_>, field: &Field<'_>) -> (Option<ParamKind>, Option<ParamRef>) {
    let Some(mut fields) = reader.fields(field) else {
        return (None, None);
    };
    let kind = match reader.field_at(&mut fields, "kind", "spec.paramKind") {
        Some(field) => matching::param_kind(reader, &field),
        None => {
            let help = "the kind of the parameters: `{apiVersion: v1, kind: ConfigMap}`";
            reader.missing("spec.paramRef.kind", field.yaml.span, help);
            None
        }
    };
    let parts = ParamRefParts::read(reader, &mut fields, "notFound");
    reader.close(&fields);
    (kind, parts.build(reader, field, Version::Cel))
}

fn match_constraints(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    read: &FrontMatter,
) -> Option<MatchResources> {
    let path = "spec.matchConstraints";
    let selector = |reader: &mut Reader<'_>, fields: &mut Fields<'_>, key| {
        reader
            .field_at(fields, key, format!("{path}.{key}"))
            .map(|field| matching::selector(reader, &field))
            .unwrap_or_default()
    };
    let namespace_selector = selector(reader, fields, "namespaceSelector");
    let object_selector = selector(reader, fields, "objectSelector");
    let match_policy = reader
        .field_at(fields, "matchPolicy", format!("{path}.matchPolicy"))
        .and_then(|field| reader.choice(&field, "match policy", &MATCH_POLICIES))
        .unwrap_or(defaults::of(Version::Cel).match_policy);
    let included = reader.field_at(fields, "match", path);
    let excluded = reader.field_at(fields, "exclude", format!("{path}.excludeResourceRules"));
    if read.scope == PolicyScope::Cluster {
        return None;
    }
    let resource_rules = match_rules::included(reader, included.as_ref(), read.pods)?;
    let exclude_resource_rules = excluded
        .map(|field| match_rules::excluded(reader, &field))
        .unwrap_or_default();
    Some(MatchResources {
        resource_rules,
        exclude_resource_rules,
        namespace_selector,
        object_selector,
        match_policy,
    })
}
