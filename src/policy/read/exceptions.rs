//! Reads exceptions: `portcullis.dev/v1alpha1` `PolicyException`.
//!
//! Stricter than policies are read: what is written and means nothing (an empty list, a selector that
//! selects everything) would make an exception wider than its author thought.

use crate::policy::exceptions::{Expiry, KIND, Matching, Pattern, PolicyException, Reach, VERSION};
use crate::policy::model::{LabelSelector, NamedRule, Scope};
use crate::policy::read::admission::Document;
use crate::policy::read::matching;
use crate::policy::read::reader::{Field, Fields, Reader, did_you_mean};
use crate::policy::read::resource_pattern;
use crate::policy::validate::names;
use crate::text::Span;
use crate::text::yaml::{Yaml, YamlValue};

/// Longest `reason`, `owner` and `ticket`: they are recorded with every use.
const MAX_TEXT_BYTES: usize = 1024;

/// Most items of a list: each is compared with every violation that its policies find.
const MAX_ITEMS: usize = 256;

/// Says whether a kind of our group is this one, or was to be.
pub(super) fn is_meant(kind: &str) -> bool {
    kind == KIND || did_you_mean(kind, [KIND], "", "").is_some()
}

/// Reads an exception; what cannot be read makes it faulty.
pub(super) fn read(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_>,
    (kind, version): (&str, &str),
    document: Document,
) -> PolicyException {
    let whole = fields.first_key();
    identity(reader, (kind, version), whole);
    let mut exception = PolicyException {
        name: document.metadata.name,
        namespace: document.metadata.namespace,
        origin: document.origin,
        reading: reader.reading(),
        reach: Reach::default(),
        policies: Vec::new(),
        matching: Matching::default(),
        reason: String::new(),
        owner: String::new(),
        ticket: None,
        expires: None,
    };
    name(reader, &exception.name, whole);
    match reader.field(&mut fields, "spec") {
        Some(field) => spec(reader, &field, &mut exception),
        None => reader.missing("spec", whole, "it says what is excused, why and until when"),
    }
    // What the API server adds.
    reader.field(&mut fields, "status");
    reader.close(&fields);
    exception.reading = reader.reading();
    exception
}

fn identity(reader: &mut Reader<'_>, (kind, version): (&str, &str), whole: Span) {
    if kind != KIND {
        let span = reader.places.value("kind").unwrap_or(whole);
        let message = format!("unknown kind `{kind}`");
        let help = format!("did you mean `{KIND}`?");
        reader.error(span, "policy/unknown-kind", message, help);
    }
    let span = reader.places.value("apiVersion").unwrap_or(whole);
    reader.choose(version, span, "version", &[(VERSION, ())]);
}

fn name(reader: &mut Reader<'_>, name: &str, whole: Span) {
    if name.is_empty() {
        reader.missing("metadata.name", whole, "name it after what it excuses");
        return;
    }
    let span = reader.places.value("metadata.name").unwrap_or(whole);
    for problem in names::dns_subdomain(name) {
        let message = format!("`{name}` {problem}");
        reader.error(
            span,
            "policy/invalid-name",
            message,
            "such as `legacy-billing`",
        );
    }
}

fn spec(reader: &mut Reader<'_>, field: &Field<'_>, exception: &mut PolicyException) {
    let Some(mut fields) = reader.fields(field) else {
        return;
    };
    let fields = &mut fields;
    let around = field.yaml.span;
    let around = Span::new(around.start, around.start);
    match reader.field(fields, "policies") {
        Some(field) => exception.policies = patterns(reader, &field),
        None => {
            let help = "name the policies as their findings do: `policies: [replicas, istio-*]`";
            reader.missing("spec.policies", around, help);
        }
    }
    if let Some(field) = reader.field(fields, "match") {
        exception.matching = what(reader, &field);
    }
    exception.reason = text(reader, fields, "reason", "why is it excused?", around);
    let help = "who answers for it: a team, or an address";
    exception.owner = text(reader, fields, "owner", help, around);
    if let Some(field) = reader.field(fields, "ticket") {
        exception.ticket = bounded(reader, &field).map(str::to_owned);
    }
    match reader.field(fields, "expires") {
        Some(field) => exception.expires = expires(reader, &field),
        None => {
            let help = "every exception ends: `expires: 2026-12-31`";
            reader.missing("spec.expires", around, help);
        }
    }
    reader.close(fields);
}

fn text(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
    help: &str,
    around: Span,
) -> String {
    let field = reader.field(fields, key);
    let text = field.as_ref().map(|field| bounded(reader, field));
    match text {
        Some(Some(text)) if text.trim().is_empty() => {
            reader.missing(&fields.path(key), around, help);
            String::new()
        }
        Some(text) => text.unwrap_or_default().to_owned(),
        None => {
            reader.missing(&fields.path(key), around, help);
            String::new()
        }
    }
}

fn bounded<'y>(reader: &mut Reader<'_>, field: &Field<'y>) -> Option<&'y str> {
    let text = reader.string(field)?;
    if text.len() <= MAX_TEXT_BYTES {
        return Some(text);
    }
    let message = format!("`{}` is longer than {MAX_TEXT_BYTES} bytes", field.name);
    let help = "it is recorded with every use; say the rest in the ticket";
    reader.error(field.yaml.span, "policy/too-long", message, help);
    None
}

fn expires(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<(Expiry, Span)> {
    let text = reader.string(field)?;
    let span = field.yaml.span;
    match Expiry::parse(text) {
        Ok(expiry) => Some((expiry, span)),
        Err(problem) => {
            let (message, help) = problem.explained(text);
            reader.error(span, "exception/malformed-expiry", message, help);
            None
        }
    }
}

/// Reads which requests are meant.
fn what(reader: &mut Reader<'_>, field: &Field<'_>) -> Matching {
    let mut what = Matching::default();
    let Some(mut fields) = reader.fields(field) else {
        return what;
    };
    let fields = &mut fields;
    if let Some(field) = reader.field(fields, "resources") {
        what.resources = list(reader, &field, resource);
    }
    let mut names = |reader: &mut Reader<'_>, key| {
        let field = reader.field(fields, key);
        let named = field.map(|field| patterns(reader, &field));
        let named = named.unwrap_or_default().into_iter();
        named.map(|(pattern, _)| pattern).collect()
    };
    what.namespaces = names(reader, "namespaces");
    what.names = names(reader, "names");
    what.namespace_selector = selector(reader, fields, "namespaceSelector");
    what.object_selector = selector(reader, fields, "objectSelector");
    what.condition = reader.optional_expression(fields, "condition");
    if let Some(condition) = &what.condition
        && condition.text.trim().is_empty()
    {
        let span = reader.places.value("spec.match.condition");
        let span = span.unwrap_or(condition.span());
        let help = "write what must hold: `object.spec.replicas == 1`";
        reader.error(
            span,
            "policy/empty-expression",
            "`condition` is empty",
            help,
        );
    }
    reader.close(fields);
    what
}

fn selector(reader: &mut Reader<'_>, fields: &mut Fields<'_>, key: &'static str) -> LabelSelector {
    let Some(field) = reader.field(fields, key) else {
        return LabelSelector::default();
    };
    let selector = matching::selector(reader, &field);
    if selector == LabelSelector::default() {
        let message = format!("`{key}` selects everything");
        let help = "leave it out, or say which labels are meant";
        reader.error(key_span(reader, &field), "policy/required", message, help);
    }
    selector
}

fn patterns(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<(Pattern, Span)> {
    list(reader, field, |reader, item| {
        let text = reader.string(item)?;
        if text.is_empty() || text.contains(char::is_whitespace) {
            let message = format!("`{text}` is no name");
            let help = "write a name, or part of one with `*` for the rest";
            reader.error(item.yaml.span, "policy/invalid-name", message, help);
            return None;
        }
        Some((Pattern::new(text), item.yaml.span))
    })
}

/// Reads a list that is not empty.
fn list<T>(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    read: impl FnMut(&mut Reader<'_>, &Field<'_>) -> Option<T>,
) -> Vec<T> {
    let items = field.yaml.as_sequence().map(<[Yaml]>::len);
    let span = key_span(reader, field);
    let name = &field.name;
    match items {
        Some(0) => {
            let message = format!("`{name}` is empty");
            let help = "list what is meant; without the key everything is";
            reader.error(span, "policy/required", message, help);
        }
        Some(count) if count > MAX_ITEMS => {
            let message = format!("`{name}` has {count} items; at most {MAX_ITEMS} are allowed");
            let help = "write patterns with `*`, or several exceptions";
            reader.error(span, "policy/too-many", message, help);
            return Vec::new();
        }
        _ => {}
    }
    reader.each(field, read)
}

fn key_span(reader: &Reader<'_>, field: &Field<'_>) -> Span {
    let first = match &field.yaml.value {
        YamlValue::Sequence(_) | YamlValue::Mapping(_) => reader.places.key(&field.path),
        _ => None,
    };
    first.unwrap_or(field.yaml.span)
}

fn resource(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<NamedRule> {
    let text = reader.string(field)?;
    match resource_pattern::parse(text) {
        Ok(pattern) => Some(NamedRule {
            resource_names: Vec::new(),
            operations: vec!["*".to_owned()],
            api_groups: vec![pattern.group.to_owned()],
            api_versions: vec![pattern.version.to_owned()],
            resources: vec![pattern.resource.to_owned()],
            scope: Scope::All,
        }),
        Err(help) => {
            let message = format!("malformed resource `{text}`");
            reader.error(field.yaml.span, "policy/malformed-resource", message, help);
            None
        }
    }
}
