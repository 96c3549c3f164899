//! Reads `match` and `exclude` of a `.cel` file's front matter into rules.

use std::collections::HashMap;

use crate::policy::defaults::{self, Version};
use crate::policy::model::{NamedRule, PodMatching, Scope};
use crate::policy::read::matching::SCOPES;
use crate::policy::read::reader::{Field, Fields, Reader};
use crate::policy::read::resource_pattern::{self, ResourcePattern};
use crate::text::Span;
use crate::text::yaml::YamlValue;

const INCLUDED: &str = "spec.matchConstraints.resourceRules";
const EXCLUDED: &str = "spec.matchConstraints.excludeResourceRules";

/// Most operations and names that all rules together may repeat: each rule has its own copy, so
/// that a text of a few hundred kilobytes could otherwise ask for gigabytes.
const MAX_COPIES: usize = 100_000;

/// Everything that is a pod or has a pod template, which is what `pods: true` matches.
const POD_RESOURCES: [(&str, &str, &[&str]); 3] = [
    ("", "v1", &["pods"]),
    (
        "apps",
        "v1",
        &["deployments", "statefulsets", "daemonsets", "replicasets"],
    ),
    ("batch", "v1", &["jobs", "cronjobs"]),
];

/// Reads `match`; without it, only a policy about pods matches something.
pub(super) fn included(
    reader: &mut Reader<'_>,
    field: Option<&Field<'_>>,
    pods: PodMatching,
) -> Option<Vec<NamedRule>> {
    let mut rules = Rules::new(INCLUDED, pods, defaults::of(Version::Cel).operations);
    match field {
        Some(field) => rules.read(reader, field),
        None if pods == PodMatching::PodTemplates => rules.add_pods(&Common {
            operations: rules.default_operations(),
            ..Common::default()
        }),
        None => {
            reader.error(
                reader.front_matter,
                "policy/required",
                "`match` is missing",
                "say which resources the policy is about: `match: {resources: \
                 [apps/v1/deployments], operations: [CREATE, UPDATE]}`",
            );
            return None;
        }
    }
    Some(rules.rules)
}

/// Reads `exclude`.
pub(super) fn excluded(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<NamedRule> {
    let operations = defaults::of(Version::Cel).excluded_operations;
    let mut rules = Rules::new(EXCLUDED, PodMatching::Object, operations);
    rules.read(reader, field);
    rules.rules
}

/// The rules of one key, in the making.
struct Rules {
    path: &'static str,
    pods: PodMatching,
    operations: Option<&'static [&'static str]>,
    rules: Vec<NamedRule>,
    /// The rules of the mapping being read, by group and version.
    by_version: HashMap<(String, String), usize>,
    /// Operations and names in all rules.
    copies: usize,
}

/// What all rules of one mapping have in common.
#[derive(Default)]
struct Common {
    names: Vec<String>,
    name_spans: Vec<Span>,
    operations: Vec<String>,
    operation_spans: Vec<Span>,
    operations_span: Option<Span>,
    scope: Scope,
}

impl Rules {
    fn new(
        path: &'static str,
        pods: PodMatching,
        operations: Option<&'static [&'static str]>,
    ) -> Self {
        Rules {
            path,
            pods,
            operations,
            rules: Vec::new(),
            by_version: HashMap::new(),
            copies: 0,
        }
    }

    fn default_operations(&self) -> Vec<String> {
        let operations = self.operations.unwrap_or_default();
        operations.iter().map(ToString::to_string).collect()
    }

    /// Reads one mapping, or a list of them.
    fn read(&mut self, reader: &mut Reader<'_>, field: &Field<'_>) {
        if let YamlValue::Sequence(_) = field.yaml.value {
            for item in reader.items(field) {
                self.read_one(reader, &item);
            }
        } else {
            self.read_one(reader, field);
        }
    }

    fn read_one(&mut self, reader: &mut Reader<'_>, field: &Field<'_>) {
        let Some(mut fields) = reader.fields(field) else {
            return;
        };
        let first = self.rules.len();
        self.by_version.clear();
        let resources = reader.field(&mut fields, "resources");
        let common = self.common(reader, &mut fields);
        reader.close(&fields);
        match resources {
            Some(resources) => {
                if let YamlValue::Sequence(items) = &resources.yaml.value
                    && items.is_empty()
                {
                    reader.error(
                        resources.yaml.span,
                        "policy/required",
                        "`resources` is empty",
                        "list `group/version/resource`, such as `apps/v1/deployments`",
                    );
                }
                for item in reader.items(&resources) {
                    self.resource(reader, &item, &common);
                }
            }
            None if self.pods == PodMatching::PodTemplates => self.add_pods(&common),
            None => {
                let path = fields.path("resources");
                let help = "list `group/version/resource`, such as `apps/v1/deployments`";
                reader.missing(&path, field.yaml.span, help);
            }
        }
        for index in first..self.rules.len() {
            note_common(reader, &format!("{}[{index}]", self.path), &common);
        }
    }

    fn common(&self, reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Common {
        let mut common = Common {
            operations: self.default_operations(),
            ..Common::default()
        };
        if let Some(field) = reader.field(fields, "operations") {
            (common.operations, common.operation_spans) = spanned(reader, &field);
            common.operations_span = Some(field.yaml.span);
        }
        if let Some(field) = reader.field(fields, "names") {
            (common.names, common.name_spans) = spanned(reader, &field);
        }
        if let Some(scope) = reader
            .field(fields, "scope")
            .and_then(|field| reader.choice(&field, "scope", &SCOPES))
        {
            common.scope = scope;
        }
        common
    }

    fn resource(&mut self, reader: &mut Reader<'_>, field: &Field<'_>, common: &Common) {
        let Some(text) = reader.string(field) else {
            return;
        };
        let pattern = match resource_pattern::parse(text) {
            Ok(pattern) => pattern,
            Err(help) => {
                let message = format!("malformed resource `{text}`");
                reader.error(field.yaml.span, "policy/malformed-resource", message, help);
                return;
            }
        };
        if self.pods == PodMatching::PodTemplates && !is_pod_resource(&pattern) {
            reader.error(
                field.yaml.span,
                "policy/exclusive",
                format!("`{text}` has no pods, and `pods: true` is about them"),
                "remove it, or `pods: true`",
            );
            return;
        }
        let copies = self.copies + common.operations.len() + common.names.len();
        if copies > MAX_COPIES {
            if self.copies <= MAX_COPIES {
                let help = "match whole groups with `*`, or write several policies";
                reader.error(field.yaml.span, "policy/too-many", "too many rules", help);
                self.copies = copies;
            }
            return;
        }
        let (index, at) = self.add(&pattern, common);
        let path = format!("{}[{index}]", self.path);
        reader.places.note(path.clone(), None, field.yaml.span);
        for list in ["apiGroups[0]", "apiVersions[0]"] {
            reader
                .places
                .note(format!("{path}.{list}"), None, field.yaml.span);
        }
        let path = format!("{path}.resources[{at}]");
        reader.places.note(path, None, field.yaml.span);
    }

    /// Adds a resource to this mapping's rule of its group and version; returns both their places.
    fn add(&mut self, pattern: &ResourcePattern<'_>, common: &Common) -> (usize, usize) {
        let key = (pattern.group.to_owned(), pattern.version.to_owned());
        let index = *self.by_version.entry(key).or_insert(self.rules.len());
        if index == self.rules.len() {
            self.copies += common.operations.len() + common.names.len();
            self.rules.push(NamedRule {
                resource_names: common.names.clone(),
                operations: common.operations.clone(),
                api_groups: vec![pattern.group.to_owned()],
                api_versions: vec![pattern.version.to_owned()],
                resources: Vec::new(),
                scope: common.scope,
            });
        }
        let at = self.rules.get_mut(index).map_or(0, |rule| {
            rule.resources.push(pattern.resource.to_owned());
            rule.resources.len() - 1
        });
        (index, at)
    }

    fn add_pods(&mut self, common: &Common) {
        for (group, version, resources) in POD_RESOURCES {
            for resource in resources {
                let pattern = ResourcePattern {
                    group,
                    version,
                    resource,
                };
                self.add(&pattern, common);
            }
        }
    }
}

fn is_pod_resource(pattern: &ResourcePattern<'_>) -> bool {
    POD_RESOURCES.iter().any(|(group, _, resources)| {
        *group == pattern.group && resources.contains(&pattern.resource)
    })
}

/// Returns a list of strings with the place of each.
fn spanned(reader: &mut Reader<'_>, field: &Field<'_>) -> (Vec<String>, Vec<Span>) {
    let read = reader.each(field, |reader, item| {
        Some((reader.string(item)?.to_owned(), item.yaml.span))
    });
    read.into_iter().unzip()
}

/// Notes where what the rule at `path` has in common with others was written, if it was.
fn note_common(reader: &mut Reader<'_>, path: &str, common: &Common) {
    if let Some(span) = common.operations_span {
        reader.places.note(format!("{path}.operations"), None, span);
    }
    for (index, span) in common.operation_spans.iter().enumerate() {
        let path = format!("{path}.operations[{index}]");
        reader.places.note(path, None, *span);
    }
    for (index, span) in common.name_spans.iter().enumerate() {
        let path = format!("{path}.resourceNames[{index}]");
        reader.places.note(path, None, *span);
    }
}
