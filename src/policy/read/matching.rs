//! Reads what both forms share: match resources, selectors, parameter kinds and references.

use crate::policy::defaults::{self, Version};
use crate::policy::model::{
    LabelOperator, LabelRequirement, LabelSelector, MatchPolicy, MatchResources, NamedRule,
    ParamKind, ParamRef, ParamSelect, ParameterNotFoundAction, Scope,
};
use crate::policy::read::reader::{Field, Fields, Reader};
use crate::text::Span;

pub(super) const MATCH_POLICIES: [(&str, MatchPolicy); 2] = [
    ("Exact", MatchPolicy::Exact),
    ("Equivalent", MatchPolicy::Equivalent),
];

pub(super) const SCOPES: [(&str, Scope); 3] = [
    ("*", Scope::All),
    ("Cluster", Scope::Cluster),
    ("Namespaced", Scope::Namespaced),
];

const OPERATORS: [(&str, LabelOperator); 4] = [
    ("In", LabelOperator::In),
    ("NotIn", LabelOperator::NotIn),
    ("Exists", LabelOperator::Exists),
    ("DoesNotExist", LabelOperator::DoesNotExist),
];

const NOT_FOUND_ACTIONS: [(&str, ParameterNotFoundAction); 2] = [
    ("Allow", ParameterNotFoundAction::Allow),
    ("Deny", ParameterNotFoundAction::Deny),
];

/// Reads a `MatchResources`.
pub(super) fn match_resources(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    version: Version,
) -> Option<MatchResources> {
    let mut fields = reader.fields(field)?;
    let resource_rules = rules(reader, &mut fields, "resourceRules", version);
    let exclude_resource_rules = rules(reader, &mut fields, "excludeResourceRules", version);
    let namespace_selector = reader
        .field(&mut fields, "namespaceSelector")
        .map(|field| selector(reader, &field))
        .unwrap_or_default();
    let object_selector = reader
        .field(&mut fields, "objectSelector")
        .map(|field| selector(reader, &field))
        .unwrap_or_default();
    let match_policy = reader
        .field(&mut fields, "matchPolicy")
        .and_then(|field| reader.choice(&field, "match policy", &MATCH_POLICIES))
        .unwrap_or(defaults::of(version).match_policy);
    reader.close(&fields);
    Some(MatchResources {
        resource_rules,
        exclude_resource_rules,
        namespace_selector,
        object_selector,
        match_policy,
    })
}

fn rules(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
    version: Version,
) -> Vec<NamedRule> {
    let Some(field) = reader.field(fields, key) else {
        return Vec::new();
    };
    reader.each(&field, |reader, item| rule(reader, item, version))
}

fn rule(reader: &mut Reader<'_>, field: &Field<'_>, version: Version) -> Option<NamedRule> {
    let mut fields = reader.fields(field)?;
    let rule = NamedRule {
        resource_names: reader.texts(&mut fields, "resourceNames"),
        operations: reader.texts(&mut fields, "operations"),
        api_groups: reader.texts(&mut fields, "apiGroups"),
        api_versions: reader.texts(&mut fields, "apiVersions"),
        resources: reader.texts(&mut fields, "resources"),
        scope: reader
            .field(&mut fields, "scope")
            .and_then(|field| reader.choice(&field, "scope", &SCOPES))
            .unwrap_or(defaults::of(version).scope),
    };
    reader.close(&fields);
    Some(rule)
}

/// Reads a `LabelSelector`.
pub(super) fn selector(reader: &mut Reader<'_>, field: &Field<'_>) -> LabelSelector {
    let Some(mut fields) = reader.fields(field) else {
        return LabelSelector::default();
    };
    let match_labels = reader
        .field(&mut fields, "matchLabels")
        .map(|field| reader.string_map(&field))
        .unwrap_or_default();
    let match_expressions = reader
        .field(&mut fields, "matchExpressions")
        .map(|field| reader.each(&field, requirement))
        .unwrap_or_default();
    reader.close(&fields);
    LabelSelector {
        match_labels,
        match_expressions,
    }
}

fn requirement(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<LabelRequirement> {
    let mut fields = reader.fields(field)?;
    let key = reader.text(&mut fields, "key");
    let operator = match reader.field(&mut fields, "operator") {
        Some(field) => reader.choice(&field, "selector operator", &OPERATORS),
        None => {
            let path = fields.path("operator");
            let help = "one of `In`, `NotIn`, `Exists`, `DoesNotExist`";
            reader.missing(&path, field.yaml.span, help);
            None
        }
    };
    let values = reader.texts(&mut fields, "values");
    reader.close(&fields);
    Some(LabelRequirement {
        key,
        operator: operator?,
        values,
    })
}

/// Reads a `ParamKind`.
pub(super) fn param_kind(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<ParamKind> {
    let mut fields = reader.fields(field)?;
    let kind = ParamKind {
        api_version: reader.text(&mut fields, "apiVersion"),
        kind: reader.text(&mut fields, "kind"),
    };
    reader.close(&fields);
    Some(kind)
}

/// Reads a `ParamRef`; `None` if it selects nothing, or two things.
pub(super) fn param_ref(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    version: Version,
) -> Option<ParamRef> {
    let mut fields = reader.fields(field)?;
    let parts = ParamRefParts::read(reader, &mut fields, "parameterNotFoundAction");
    reader.close(&fields);
    parts.build(reader, field, version)
}

/// The fields of a parameter reference, in either form.
pub(super) struct ParamRefParts<'y> {
    name: String,
    name_field: Option<Field<'y>>,
    selector: Option<(Field<'y>, LabelSelector)>,
    namespace: Option<String>,
    not_found: Option<Field<'y>>,
    not_found_key: &'static str,
}

impl<'y> ParamRefParts<'y> {
    /// Reads the fields; the last one's key differs between the forms.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        fields: &mut Fields<'y>,
        not_found_key: &'static str,
    ) -> Self {
        let name_field = reader.field_at(fields, "name", "spec.paramRef.name");
        let name = name_field
            .as_ref()
            .and_then(|field| reader.string(field))
            .unwrap_or_default()
            .to_owned();
        let selector = reader
            .field_at(fields, "selector", "spec.paramRef.selector")
            .map(|field| {
                let selected = selector(reader, &field);
                (field, selected)
            });
        let namespace = reader
            .field_at(fields, "namespace", "spec.paramRef.namespace")
            .and_then(|field| reader.string(&field))
            .filter(|namespace| !namespace.is_empty())
            .map(str::to_owned);
        let not_found = reader.field_at(
            fields,
            not_found_key,
            "spec.paramRef.parameterNotFoundAction",
        );
        ParamRefParts {
            name,
            name_field,
            selector,
            namespace,
            not_found,
            not_found_key,
        }
    }

    /// Puts them together.
    pub(super) fn build(
        self,
        reader: &mut Reader<'_>,
        field: &Field<'_>,
        version: Version,
    ) -> Option<ParamRef> {
        let not_found = self.not_found(reader, field, version);
        let select = match (self.name.is_empty(), self.selector) {
            (false, None) => ParamSelect::Name(self.name),
            (true, Some((_, selector))) => ParamSelect::Selector(selector),
            (false, Some((selector, _))) => {
                for field in self.name_field.iter().chain([&selector]) {
                    reader.error(
                        field.yaml.span,
                        "policy/exclusive",
                        "`name` and `selector` are mutually exclusive",
                        "keep one of them",
                    );
                }
                return None;
            }
            (true, None) => {
                let span = match self.name_field {
                    Some(name) => name.yaml.span,
                    None => around(reader, field),
                };
                reader.error(
                    span,
                    "policy/required",
                    "one of `name` or `selector` is missing",
                    "say which parameters are meant; `selector: {}` takes all",
                );
                return None;
            }
        };
        Some(ParamRef {
            select,
            namespace: self.namespace,
            not_found: not_found?,
        })
    }

    fn not_found(
        &self,
        reader: &mut Reader<'_>,
        field: &Field<'_>,
        version: Version,
    ) -> Option<ParameterNotFoundAction> {
        if let Some(field) = &self.not_found {
            return reader.choice(field, "not found action", &NOT_FOUND_ACTIONS);
        }
        let default = defaults::of(version).parameter_not_found;
        if default.is_none() {
            reader.missing(
                &format!("{}.{}", field.path, self.not_found_key),
                field.yaml.span,
                "`Deny` or `Allow`: what happens when there are no such parameters",
            );
        }
        default
    }
}

/// Returns where to point at for something that is missing in `field`: its key.
fn around(reader: &Reader<'_>, field: &Field<'_>) -> Span {
    let missing = format!("{}.name", field.path);
    let around = reader.places.find(reader.source, &missing);
    around.unwrap_or(field.yaml.span)
}
