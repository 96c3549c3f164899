//! What the `match` and `exclude` of a rule say, as rules over resources and a condition in CEL.
//!
//! Semantics: kyverno `pkg/engine/utils/match.go`, `MatchesResourceDescription`, on the object as it
//! would be and as it is. Versions of kinds that are matched are not looked at, so that a rule is not
//! passed by asking for another one; those of kinds that are excluded are. Nothing here knows the
//! roles of a user: a rule for some roles is for all, and none of them is excluded.

use std::collections::BTreeSet;

use crate::admission::resources::Resources;
use crate::cel::value::quote::quote;
use crate::policy::model::{LabelOperator, LabelSelector, NamedRule, Scope};
use crate::policy::read::matching;
use crate::policy::read::reader::{Field, Fields, Reader};

/// One entry of `any` or `all`.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) kinds: Vec<KindPattern>,
    operations: Vec<&'static str>,
    /// What it says about the object, which is `it`, and its namespace.
    about_object: Vec<String>,
    /// What it says about who asks, and the namespace's labels.
    about_request: Vec<String>,
    /// Whether names, labels or annotations are asked for, which differ between a pod and what makes
    /// it.
    pub(super) is_about_metadata: bool,
}

/// A kind as rules name it: parts may be patterns, an empty part is said to be `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KindPattern {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) sub_resource: String,
}

/// How the filters of a `match` or `exclude` are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Together {
    Any,
    All,
}

/// A `match` or an `exclude`.
#[derive(Debug, Clone)]
pub(super) struct Filters {
    pub(super) filters: Vec<Filter>,
    pub(super) together: Together,
}

/// Which of both is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Match,
    Exclude,
}

const OPERATIONS: [(&str, &str); 4] = [
    ("CREATE", "CREATE"),
    ("UPDATE", "UPDATE"),
    ("DELETE", "DELETE"),
    ("CONNECT", "CONNECT"),
];

/// Reads a `match` or an `exclude`.
pub(super) fn filters(reader: &mut Reader<'_>, field: &Field<'_>, side: Side) -> Option<Filters> {
    let mut fields = reader.fields(field)?;
    let any = reader.field(&mut fields, "any");
    let all = reader.field(&mut fields, "all");
    let together = match all {
        Some(_) if any.is_none() => Together::All,
        _ => Together::Any,
    };
    if let (Some(any), Some(all)) = (&any, &all) {
        for field in [any, all] {
            reader.error(
                reader.places.key(&field.path).unwrap_or(field.yaml.span),
                "policy/exclusive",
                "`any` and `all` are mutually exclusive",
                "keep one of them",
            );
        }
    }
    let filters = match any.or(all) {
        Some(list) => {
            let read = reader.each(&list, |reader, item| {
                let mut fields = reader.fields(item)?;
                let filter = filter(reader, &mut fields, side);
                reader.close(&fields);
                Some(filter)
            });
            reader.close(&fields);
            read
        }
        None => {
            let read = filter(reader, &mut fields, side);
            reader.close(&fields);
            vec![read]
        }
    };
    Some(Filters { filters, together })
}

fn filter(reader: &mut Reader<'_>, fields: &mut Fields<'_>, side: Side) -> Filter {
    let mut filter = Filter::default();
    if let Some(field) = reader.field(fields, "resources") {
        resources(reader, &field, side, &mut filter);
    }
    for key in ["roles", "clusterRoles"] {
        if let Some(field) = reader.field(fields, key) {
            reader.strings(&field);
            let (text, message) = match side {
                Side::Match => (
                    "true",
                    "the roles of users are not known: this is for all users",
                ),
                Side::Exclude => (
                    "false",
                    "the roles of users are not known: nobody is excluded",
                ),
            };
            filter.about_request.push(text.to_owned());
            let help = "name users, groups or service accounts under `subjects`";
            reader.warn(field.yaml.span, "policy/not-evaluated", message, help);
        }
    }
    if let Some(field) = reader.field(fields, "subjects") {
        let subjects = reader.each(&field, subject);
        filter.about_request.push(one_of(subjects));
    }
    filter
}

fn resources(reader: &mut Reader<'_>, field: &Field<'_>, side: Side, filter: &mut Filter) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    if let Some(field) = reader.field(&mut fields, "kinds") {
        filter.kinds = reader.each(&field, |reader, item| kind(reader, item, side));
    }
    if let Some(field) = reader.field(&mut fields, "operations") {
        filter.operations = reader.each(&field, |reader, item| {
            reader.choice(item, "operation", &OPERATIONS)
        });
    }
    let mut names = reader.texts(&mut fields, "names");
    names.extend(Some(reader.text(&mut fields, "name")).filter(|name| !name.is_empty()));
    if !names.is_empty() {
        let name = "it.?metadata.?name.orValue(it.?metadata.?generateName.orValue(\
                    request.?name.orValue('')))";
        let names = names.iter().map(|pattern| wildcard(pattern, name));
        filter.about_object.push(one_of(names));
        filter.is_about_metadata = true;
    }
    let namespaces = reader.texts(&mut fields, "namespaces");
    if !namespaces.is_empty() {
        let namespace = "request.?namespace.orValue('')";
        let namespaces = namespaces
            .iter()
            .map(|pattern| wildcard(pattern, namespace));
        filter.about_request.push(one_of(namespaces));
    }
    if let Some(field) = reader.field(&mut fields, "annotations") {
        let annotations = "it.?metadata.?annotations.orValue({})";
        for (key, value) in reader.string_map(&field) {
            filter
                .about_object
                .push(has_entry(annotations, &key, &value));
        }
        filter.is_about_metadata = true;
    }
    if let Some(field) = reader.field(&mut fields, "selector") {
        let wanted = matching::selector(reader, &field);
        let labels = "it.?metadata.?labels.orValue({})";
        filter.about_object.push(selector(&wanted, labels));
        filter.is_about_metadata = true;
    }
    if let Some(field) = reader.field(&mut fields, "namespaceSelector") {
        let wanted = matching::selector(reader, &field);
        let labels =
            "(namespaceObject == null ? {} : namespaceObject.?metadata.?labels.orValue({}))";
        let selected = selector(&wanted, labels);
        filter
            .about_request
            .push(format!("request.kind.kind != 'Namespace' && {selected}"));
    }
    reader.close(&fields);
}

/// Upstream: kyverno `pkg/utils/match/subjects.go`.
fn subject(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let mut fields = reader.fields(field)?;
    let kinds = [("User", 'u'), ("Group", 'g'), ("ServiceAccount", 's')];
    let kind = reader
        .field(&mut fields, "kind")
        .and_then(|field| reader.choice(&field, "kind", &kinds));
    let name = reader.text(&mut fields, "name");
    let namespace = reader.text(&mut fields, "namespace");
    reader.text(&mut fields, "apiGroup");
    reader.close(&fields);
    let user = "request.userInfo.?username.orValue('')";
    Some(match kind? {
        'g' => format!(
            "request.userInfo.?groups.orValue([]).exists(group, {})",
            wildcard(&name, "group")
        ),
        's' => wildcard(&format!("system:serviceaccount:{namespace}:{name}"), user),
        _ => wildcard(&name, user),
    })
}

/// Upstream: kyverno `pkg/utils/kube/kind.go`, `ParseKindSelector`.
fn kind(reader: &mut Reader<'_>, field: &Field<'_>, side: Side) -> Option<KindPattern> {
    let text = reader.string(field)?;
    let mut parts: Vec<&str> = text.split('/').collect();
    if let Some(last) = parts.pop() {
        parts.extend(last.split('.'));
    }
    let is_version = |part: &str| {
        let digits = part.strip_prefix('v').unwrap_or_default();
        part == "*" || digits.starts_with(|c: char| c.is_ascii_digit())
    };
    let parts = match *parts.as_slice() {
        [kind] => ["*", "*", kind, ""],
        ["*", "*"] => ["*", "*", "*", "*"],
        ["*", sub] if sub.to_lowercase() == sub => ["*", "*", "*", sub],
        [version, kind] if is_version(version) => ["*", version, kind, ""],
        [kind, sub] => ["*", "*", kind, sub],
        [version, kind, sub] if is_version(version) => ["*", version, kind, sub],
        [group, version, kind] => [group, version, kind, ""],
        [group, version, kind, sub] => [group, version, kind, sub],
        _ => {
            reader.error(
                field.yaml.span,
                "policy/malformed-kind",
                format!("`{text}` is no `group/version/Kind/subresource`"),
                "as in `Pod`, `apps/v1/Deployment`, `Pod/exec`",
            );
            return None;
        }
    };
    let [group, version, kind, sub_resource] = parts.map(str::to_owned);
    let pattern = KindPattern {
        group,
        version,
        kind,
        sub_resource,
    };
    if side == Side::Exclude && pattern.is_of_unknown() {
        reader.error(
            field.yaml.span,
            "policy/malformed-kind",
            format!("the resource of `{}` is not known", pattern.kind),
            "a subresource goes with a kind that Kubernetes serves itself, or with `*`",
        );
    }
    Some(pattern)
}

impl KindPattern {
    fn plural(&self) -> Option<&'static str> {
        Resources::plural_of(&self.kind)
    }

    /// Says whether it is a subresource of a kind that is none of Kubernetes. Whose it is cannot be
    /// told by a request: it matches the subresources of that name of all such kinds.
    fn is_of_unknown(&self) -> bool {
        !self.sub_resource.is_empty() && self.kind != "*" && self.plural().is_none()
    }

    /// Says whether the rules of [`Self::resources`] say all about it.
    fn is_plain(&self) -> bool {
        self.plural().is_some() && !is_pattern(&self.sub_resource) && !is_pattern(&self.group)
            || self.plural().is_some() && self.group == "*"
    }

    /// The resources it is about, as rules name them.
    fn resources(&self) -> Vec<String> {
        let sub = match is_pattern(&self.sub_resource) {
            true => "*",
            false => &self.sub_resource,
        };
        let resource = self.plural().unwrap_or("*");
        match (resource, sub) {
            ("pods", "") => vec!["pods".to_owned(), "pods/ephemeralcontainers".to_owned()],
            (resource, "") => vec![resource.to_owned()],
            (resource, sub) => vec![format!("{resource}/{sub}")],
        }
    }

    /// Says in CEL whether a request is about it.
    fn condition(&self, side: Side) -> String {
        let sub = "request.?subResource.orValue('')";
        let mut all = Vec::new();
        let of_resource = !self.sub_resource.is_empty() && self.kind != "*";
        match self.plural().filter(|_| of_resource) {
            None if self.is_of_unknown() => {
                all.push(wildcard(&self.group, "request.resource.group"));
            }
            Some(plural) => {
                all.push(wildcard(&self.group, "request.resource.group"));
                all.push(format!("request.resource.resource == {}", quote(plural)));
            }
            None => {
                all.push(wildcard(&self.group, "request.kind.group"));
                all.push(wildcard(&self.kind, "request.kind.kind"));
            }
        }
        if side == Side::Exclude {
            all.push(wildcard(&self.version, "request.kind.version"));
        }
        all.push(match (self.kind.as_str(), self.sub_resource.as_str()) {
            ("Pod", "") => format!("{sub} in ['', 'ephemeralcontainers']"),
            (_, pattern) => wildcard(pattern, sub),
        });
        all_of(all)
    }
}

impl Filter {
    /// Says in CEL whether a request is about it; `it` is the object.
    fn condition(&self, side: Side) -> String {
        let mut all = Vec::new();
        if !self.operations.is_empty() {
            let operations: Vec<String> = self.operations.iter().map(|it| quote(it)).collect();
            all.push(format!("request.operation in [{}]", operations.join(", ")));
        }
        if !self.kinds.is_empty() {
            all.push(one_of(self.kinds.iter().map(|kind| kind.condition(side))));
        }
        all.extend(self.about_request.iter().cloned());
        all.extend(self.about_object.iter().cloned());
        if all.is_empty() {
            // What says nothing matches nothing and excludes nothing; taken as a mistake when matched.
            return (side == Side::Match).to_string();
        }
        all_of(all)
    }
}

impl Filters {
    fn condition(&self, side: Side) -> String {
        let each = self.filters.iter().map(|it| it.condition(side));
        match self.together {
            Together::Any => one_of(each),
            Together::All => all_of(each),
        }
    }

    /// The rules over resources that hold whatever is matched.
    pub(super) fn rules(&self) -> Vec<NamedRule> {
        let mut operations: BTreeSet<&str> = BTreeSet::new();
        for filter in &self.filters {
            match filter.operations.as_slice() {
                [] => operations.extend(OPERATIONS.map(|(name, _)| name)),
                some => operations.extend(some),
            }
        }
        let mut resources: Vec<(String, String)> = Vec::new();
        for filter in &self.filters {
            if filter.kinds.is_empty() {
                resources.push(("*".to_owned(), "*/*".to_owned()));
            }
            for kind in &filter.kinds {
                let group = match is_pattern(&kind.group) {
                    true => "*",
                    false => &kind.group,
                };
                let all = kind.resources().into_iter();
                resources.extend(all.map(|resource| (group.to_owned(), resource)));
            }
        }
        let mut rules: Vec<NamedRule> = Vec::new();
        for (group, resource) in resources {
            let rule = match rules
                .iter_mut()
                .find(|rule| rule.api_groups == [group.as_str()])
            {
                Some(rule) => rule,
                None => {
                    rules.push(NamedRule {
                        resource_names: Vec::new(),
                        operations: operations.iter().copied().map(str::to_owned).collect(),
                        api_groups: vec![group],
                        api_versions: vec!["*".to_owned()],
                        resources: Vec::new(),
                        scope: Scope::All,
                    });
                    let Some(last) = rules.last_mut() else {
                        continue;
                    };
                    last
                }
            };
            if !rule.resources.contains(&resource) {
                rule.resources.push(resource);
            }
        }
        for rule in &mut rules {
            only_widest(&mut rule.resources);
        }
        rules
    }

    /// Says whether the rules say all.
    fn is_plain(&self) -> bool {
        let first = self.filters.first().map(|it| &it.operations);
        self.together == Together::Any
            && self.filters.iter().all(|filter| {
                !filter.kinds.is_empty()
                    && filter.kinds.iter().all(KindPattern::is_plain)
                    && filter.about_object.is_empty()
                    && filter.about_request.is_empty()
                    && Some(&filter.operations) == first
            })
    }
}

/// Leaves out what a wildcard beside it covers.
fn only_widest(resources: &mut Vec<String>) {
    if resources.iter().any(|it| it == "*/*") {
        resources.retain(|it| it == "*/*");
    }
    if resources.iter().any(|it| it == "*") {
        resources.retain(|it| it == "*" || it.contains('/'));
    }
    let subs: Vec<String> = resources
        .iter()
        .filter_map(|it| it.strip_prefix("*/").map(str::to_owned))
        .collect();
    resources.retain(|it| match it.split_once('/') {
        Some((resource, sub)) => resource == "*" || !subs.iter().any(|it| it == sub),
        None => true,
    });
    let wild: Vec<String> = resources
        .iter()
        .filter_map(|it| it.strip_suffix("/*").map(str::to_owned))
        .collect();
    resources.retain(|it| match it.split_once('/') {
        Some((resource, sub)) => sub == "*" || !wild.iter().any(|it| it == resource),
        None => true,
    });
}

/// Says in CEL whether a rule is about a request; `None` if its rules over resources say it all.
pub(super) fn condition(matched: &Filters, excluded: Option<&Filters>) -> Option<String> {
    let without = excluded.map(|it| it.condition(Side::Exclude));
    let without = without.filter(|it| it != "false");
    if without.is_none() && matched.is_plain() {
        return None;
    }
    let mut text = matched.condition(Side::Match);
    if let Some(without) = without {
        text = format!("({text}) && !({without})");
    }
    let mut filters = matched.filters.iter();
    let mut excludes = excluded.into_iter().flat_map(|it| &it.filters);
    let reads_object = filters.any(|it| !it.about_object.is_empty())
        || excludes.any(|it| !it.about_object.is_empty());
    Some(match reads_object {
        true => format!("[object, oldObject].exists(it, it != null && ({text}))"),
        false => text,
    })
}

fn selector(selector: &LabelSelector, labels: &str) -> String {
    let exact = selector.match_labels.iter();
    let exact = exact.map(|(key, value)| has_entry(labels, key, value));
    let more = selector.match_expressions.iter().map(|requirement| {
        let key = quote(&requirement.key);
        let values: Vec<String> = requirement.values.iter().map(|it| quote(it)).collect();
        let listed = format!(
            "({key} in {labels} && {labels}[{key}] in [{}])",
            values.join(", ")
        );
        match requirement.operator {
            LabelOperator::In => listed,
            LabelOperator::NotIn => format!("!{listed}"),
            LabelOperator::Exists => format!("{key} in {labels}"),
            LabelOperator::DoesNotExist => format!("!({key} in {labels})"),
        }
    });
    all_of(exact.chain(more))
}

/// Says in CEL whether a map has an entry; key and value may be patterns.
fn has_entry(map: &str, key: &str, value: &str) -> String {
    if is_pattern(key) {
        let (key, value) = (
            wildcard(key, "key"),
            wildcard(value, &format!("{map}[key]")),
        );
        return format!("{map}.exists(key, ({key}) && ({value}))");
    }
    let key = quote(key);
    format!(
        "({key} in {map} && ({}))",
        wildcard(value, &format!("{map}[{key}]"))
    )
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Says in CEL whether a text, an expression, matches a pattern of `*` and `?`.
fn wildcard(pattern: &str, text: &str) -> String {
    if !is_pattern(pattern) {
        return format!("{text} == {}", quote(pattern));
    }
    if pattern.chars().all(|c| c == '*') {
        return "true".to_owned();
    }
    let escaped = regex_syntax::escape(pattern);
    let regex = escaped.replace(r"\*", ".*").replace(r"\?", ".");
    format!(
        "string({text}).matches({})",
        quote(&format!("^(?s:{regex})$"))
    )
}

fn one_of(all: impl IntoIterator<Item = String>) -> String {
    joined(all, " || ", "false", "true")
}

fn all_of(all: impl IntoIterator<Item = String>) -> String {
    joined(all, " && ", "true", "false")
}

/// Joins conditions, without those that change nothing; one that decides stands alone.
fn joined(
    all: impl IntoIterator<Item = String>,
    with: &str,
    neutral: &str,
    deciding: &str,
) -> String {
    let all = all.into_iter().filter(|it| it != neutral);
    let all: Vec<String> = all.collect();
    match all.as_slice() {
        [] => neutral.to_owned(),
        all if all.iter().any(|it| it == deciding) => deciding.to_owned(),
        [one] => one.clone(),
        all => format!("({})", all.join(&format!("){with}("))),
    }
}
