//! Reads files of tests: a good object, and cases of what differs with the outcome.
//!
//! ```yaml
//! policies: [replicas.cel]          # default: the policy beside the file, of the same name;
//!                                   # also folders (`.`) and patterns (`*.cel`)
//! base: {apiVersion: apps/v1, kind: Deployment, …}
//! cases:
//!   - name: a single replica is denied
//!     set: {spec.replicas: 1}
//!     remove: [spec.strategy]
//!     expect: {deny: 'meshery runs 1 replicas; production needs 3'}
//! ```
//!
//! A case without any object is about policies with `scope: cluster`; it has `cluster`, `settings`
//! and `expect` only.
//!
//! A case that expects an `object` or a `patch` is about what the mutations make: they are made, whether or
//! not they are switched on (`mutate`) or on trial (`action: audit`), so that a test says what enforcing
//! would do. Validations judge the result, and one on trial still only records.
//!
//! A case may give `exceptions`: PolicyExceptions, which excuse at the time that the case or the file
//! gives as `now`, so that a test does not end when they do.
//!
//! A case that is wrong is said and left out; the others are run.

pub(super) mod objects;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::{Map, Value};

use super::expect::Expect;
use super::path::Path;
use super::reader::Reader;
use crate::admission::review::{GroupVersionResource, Operation};
use crate::admission::synthesize::User;
use crate::cel::value::Timestamp;
use crate::diagnostics::Diagnostic;
use crate::engine::authorizer::Rules;
use crate::policy::exceptions::PolicyException;
use crate::policy::model::PolicyScope;
use crate::policy::read;
use crate::text::yaml::{self, Entry, Yaml};
use crate::text::{Source, Span, nearest};
use objects::{Objects, is_of_request};

/// A file of tests.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// The text.
    pub source: Arc<Source>,
    /// The policies it names, relative to its folder, with their places; empty if it is about the
    /// one beside it.
    pub policies: Vec<(String, Span)>,
    /// The cases that can be run, in order.
    pub cases: Vec<Case>,
}

/// A case: a request, what is around it, and what is to become of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where the name is written.
    pub place: Span,
    /// What is decided: a request, or, without any object, the cluster as a whole.
    pub scope: PolicyScope,
    /// What is to be done.
    pub operation: Operation,
    /// The object as it would be; none for DELETE.
    pub object: Option<Value>,
    /// The object as it is; none for CREATE and CONNECT.
    pub old_object: Option<Value>,
    /// The rest of the request.
    pub request: Request,
    /// Parameters in place of those beside the policy; `None` keeps them.
    pub params: Option<Vec<(Value, Span)>>,
    /// The namespace of the object, if it is said.
    pub namespace_object: Option<Value>,
    /// Settings that differ from the policy's, with their places.
    pub settings: Vec<(String, Value, Span)>,
    /// Other objects of the cluster, with their places.
    pub cluster: Vec<(Value, Span)>,
    /// What is excused, besides what the files of the policies excuse.
    pub exceptions: Vec<PolicyException>,
    /// What time it is; if that is not said, nothing is excused.
    pub now: Option<Timestamp>,
    /// What the authorizer says, if it is said.
    pub authorizer: Option<Rules>,
    /// What is to become of it.
    pub expect: Expect,
}

/// What a case says about the request itself.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What is to be done, if it is said.
    pub operation: Option<Operation>,
    /// `scale`, `status` and the like, or empty.
    pub sub_resource: String,
    /// The resource, if the object's kind does not tell.
    pub resource: Option<GroupVersionResource<'static>>,
    /// The name, where the object does not have it.
    pub name: Option<String>,
    /// The namespace of an object that names none.
    pub namespace: Option<String>,
    /// Who asks, if it is said.
    pub user: Option<User>,
    /// Whether nothing would be stored.
    pub dry_run: bool,
    /// The operation's options.
    pub options: Map<String, Value>,
}

const FILE_KEYS: [&str; 4] = ["policies", "base", "now", "cases"];

const CASE_KEYS: [&str; 14] = [
    "name",
    "set",
    "remove",
    "object",
    "oldObject",
    "params",
    "request",
    "namespaceObject",
    "settings",
    "cluster",
    "authorizer",
    "exceptions",
    "now",
    "expect",
];

const REQUEST_KEYS: [&str; 8] = [
    "operation",
    "subResource",
    "resource",
    "name",
    "namespace",
    "userInfo",
    "dryRun",
    "options",
];

/// Reads a file of tests; each document of it is a base with its cases.
pub fn read(source: &Arc<Source>) -> (TestFile, Vec<Diagnostic>) {
    let stream = yaml::parse_stream(source);
    let mut reader = Reader::new(source);
    for error in stream.errors {
        let help = error.help.unwrap_or_default();
        reader.error(error.span, "test/yaml", error.message, &help);
    }
    let mut file = TestFile {
        source: Arc::clone(source),
        policies: Vec::new(),
        cases: Vec::new(),
    };
    if stream.documents.is_empty() && reader.diagnostics.is_empty() {
        missing_cases(&mut reader, Span::new(0, 0));
    }
    for document in &stream.documents {
        read_document(&mut reader, document, &mut file);
    }
    (file, reader.diagnostics)
}

fn missing_cases(reader: &mut Reader<'_>, span: Span) {
    let help = "write `cases:` with a list of `{name: …, set: …, expect: …}`";
    reader.error(
        span,
        "test/required",
        "the file has no cases".to_owned(),
        help,
    );
}

fn read_document(reader: &mut Reader<'_>, document: &Yaml, file: &mut TestFile) {
    let Some(entries) = reader.fields(document, "a file of tests", &FILE_KEYS) else {
        return;
    };
    let get = |key: &str| entries.iter().find(|entry| entry.key == key);
    if let Some(entry) = get("policies") {
        for item in reader.one_or_many(&entry.value) {
            if let Some(path) = reader.text(item, "a policy") {
                file.policies.push((path.to_owned(), item.span));
            }
        }
    }
    let base = get("base").and_then(|entry| reader.object(&entry.value, "`base`"));
    let base = base.map(Value::Object);
    let now = get("now").and_then(|entry| read_time(reader, &entry.value));
    let Some(entry) = get("cases") else {
        let start = document.span.start;
        return missing_cases(reader, Span::new(start, start));
    };
    match entry.value.as_sequence() {
        None => reader.wrong_type(&entry.value, "`cases`", "a list"),
        Some([]) => missing_cases(reader, entry.key_span),
        Some(cases) => {
            let mut places = FxHashMap::default();
            for earlier in &file.cases {
                places.insert(earlier.name.clone(), earlier.place);
            }
            for node in cases {
                let Some(case) = read_case(reader, node, base.as_ref(), now) else {
                    continue;
                };
                if let Some(earlier) = places.insert(case.name.clone(), case.place) {
                    duplicate(reader, &case, earlier);
                }
                file.cases.push(case);
            }
        }
    }
}

fn duplicate(reader: &mut Reader<'_>, case: &Case, earlier: Span) {
    let message = format!("there is another case named `{}`", case.name);
    let diagnostic = Diagnostic::error("test/duplicate-name", message)
        .at(reader.source, case.place)
        .at(reader.source, earlier)
        .labelled("the other one")
        .help("say what makes them different");
    reader.diagnostics.push(diagnostic);
}

/// Reads a case; `None` if it cannot be run as it is, which is said.
fn read_case(
    reader: &mut Reader<'_>,
    node: &Yaml,
    base: Option<&Value>,
    now: Option<Timestamp>,
) -> Option<Case> {
    let before = reader.diagnostics.len();
    let entries = reader.fields(node, "a case", &CASE_KEYS)?;
    let get = |key: &str| entries.iter().find(|entry| entry.key == key);
    let start = Span::new(node.span.start, node.span.start);
    let name = read_name(reader, entries, start);
    let place = name.map_or(start, |(_, span)| span);
    let request = get("request").map(|entry| read_request(reader, &entry.value));
    let mut request = request.unwrap_or_default();
    let before_change = match get("object") {
        Some(entry) if entry.value.is_null() => None,
        Some(entry) => reader.object(&entry.value, "`object`").map(Value::Object),
        None => base.cloned(),
    };
    let object = before_change
        .clone()
        .map(|object| change(reader, object, entries));
    let old = get("oldObject").and_then(|entry| reader.object(&entry.value, "`oldObject`"));
    let objects = Objects {
        before_change,
        object,
        old: old.map(Value::Object),
    };
    let scope = match entries.iter().any(|entry| is_of_request(&entry.key)) {
        false if objects.are_none() => PolicyScope::Cluster,
        _ => PolicyScope::Request,
    };
    let (operation, object, old_object) = match scope {
        PolicyScope::Request => objects.settle(reader, &mut request, place),
        PolicyScope::Cluster => (Operation::Create, None, None),
    };
    let params = get("params").map(|entry| {
        let items = reader.one_or_many(&entry.value);
        objects_of(reader, items, "a parameter")
    });
    let namespace = get("namespaceObject");
    let namespace = namespace.and_then(|it| reader.object(&it.value, "`namespaceObject`"));
    let settings = get("settings").map(|entry| read_settings(reader, &entry.value));
    let cluster = get("cluster").map(|entry| match entry.value.as_sequence() {
        Some(items) => objects_of(reader, items, "an object of the cluster"),
        None => {
            reader.wrong_type(&entry.value, "`cluster`", "a list of objects");
            Vec::new()
        }
    });
    let authorizer = get("authorizer").and_then(|entry| read_rules(reader, &entry.value));
    let (exceptions, now) = excuses(reader, entries, now);
    let expect = read_expect(reader, entries, place);
    if reader.diagnostics.len() > before {
        return None;
    }
    Some(Case {
        name: name?.0.to_owned(),
        place,
        scope,
        operation,
        object,
        old_object,
        request,
        params,
        namespace_object: namespace.map(Value::Object),
        settings: settings.unwrap_or_default(),
        cluster: cluster.unwrap_or_default(),
        exceptions,
        now,
        authorizer,
        expect: expect?,
    })
}

fn read_expect(reader: &mut Reader<'_>, entries: &[Entry], place: Span) -> Option<Expect> {
    if let Some(entry) = entries.iter().find(|entry| entry.key == "expect") {
        return Expect::read(reader, &entry.value);
    }
    let message = "a case has no `expect`".to_owned();
    let help = "say what is to happen: `expect: admit`, `expect: {deny: MESSAGE}`";
    reader.error(place, "test/required", message, help);
    None
}

/// Reads what is excused, and when; exceptions without a time would excuse nothing.
fn excuses(
    reader: &mut Reader<'_>,
    entries: &[Entry],
    of_file: Option<Timestamp>,
) -> (Vec<PolicyException>, Option<Timestamp>) {
    let get = |key: &str| entries.iter().find(|entry| entry.key == key);
    let now = match get("now") {
        Some(entry) => read_time(reader, &entry.value),
        None => of_file,
    };
    let mut exceptions = Vec::new();
    let Some(entry) = get("exceptions") else {
        return (exceptions, now);
    };
    for item in reader.one_or_many(&entry.value) {
        let (read, findings) = read::exception(reader.source, item);
        exceptions.extend(read);
        reader.diagnostics.extend(findings);
    }
    if now.is_none() && get("now").is_none() {
        let message = "exceptions need a time, because they end".to_owned();
        let help = "say at which the test runs, here or for the file: `now: 2026-06-01`";
        reader.error(entry.key_span, "test/required", message, help);
    }
    (exceptions, now)
}

/// Reads a date, which is its first moment, or a time.
fn read_time(reader: &mut Reader<'_>, node: &Yaml) -> Option<Timestamp> {
    let text = reader.text(node, "`now`")?;
    let midnight = |_| Timestamp::parse(&format!("{text}T00:00:00Z"));
    let read = Timestamp::parse(text).or_else(midnight);
    if read.is_err() {
        let message = format!("`{text}` is no time");
        let help = "write a date, `2026-06-01`, or a time, `2026-06-01T12:00:00Z`";
        reader.error(node.span, "test/unknown-value", message, help);
    }
    read.ok()
}

/// Reads what a case is called, with its place.
fn read_name<'y>(
    reader: &mut Reader<'_>,
    entries: &'y [Entry],
    start: Span,
) -> Option<(&'y str, Span)> {
    let Some(entry) = entries.iter().find(|entry| entry.key == "name") else {
        let help = "say in a sentence what the case shows";
        let message = "a case has no `name`".to_owned();
        reader.error(start, "test/required", message, help);
        return None;
    };
    let name = reader.text(&entry.value, "`name`")?;
    Some((name, entry.value.span))
}

fn read_rules(reader: &mut Reader<'_>, node: &Yaml) -> Option<Rules> {
    match Rules::read(&node.to_json()) {
        Ok(rules) => Some(rules),
        Err(error) => {
            let message = format!("`authorizer` cannot be used: {error}");
            let help = "write a list: `[{verb: delete, group: apps, resource: deployments, \
                        decision: deny}]`; the first rule that fits answers, none allows nothing";
            reader.error(node.span, "test/wrong-type", message, help);
            None
        }
    }
}

/// Applies `set` and `remove`.
fn change(reader: &mut Reader<'_>, mut object: Value, entries: &[Entry]) -> Value {
    for entry in entries {
        let node = &entry.value;
        match (entry.key.as_str(), node.as_mapping(), node.as_sequence()) {
            ("set", Some(fields), _) => {
                for field in fields {
                    let value = field.value.to_json();
                    let path = Path::parse(&field.key);
                    let done = path.and_then(|path| path.set(&mut object, value));
                    path_error(reader, field.key_span, done);
                }
            }
            ("set", _, Some(items)) => {
                for item in items {
                    set_item(reader, &mut object, item);
                }
            }
            ("set", None, None) => {
                reader.wrong_type(node, "`set`", "a mapping of paths to values");
            }
            ("remove", ..) => {
                for item in paths_to_remove(node) {
                    let path = read_path(reader, item);
                    let done = path.map_or(Ok(()), |path| path.remove(&mut object));
                    path_error(reader, item.span, done);
                }
            }
            _ => {}
        }
    }
    object
}

/// A list of paths, or one path: `[metadata, labels]` is two, `[[metadata, labels]]` one.
fn paths_to_remove(node: &Yaml) -> &[Yaml] {
    node.as_sequence().unwrap_or(std::slice::from_ref(node))
}

/// Sets `{path: …, value: …}`, where the path may be a list of steps.
fn set_item(reader: &mut Reader<'_>, object: &mut Value, item: &Yaml) {
    if reader
        .fields(item, "an item of `set`", &["path", "value"])
        .is_none()
    {
        return;
    }
    match (item.get("path"), item.get("value")) {
        (Some(path_node), Some(value)) => {
            let path = read_path(reader, path_node);
            let done = path.map_or(Ok(()), |path| path.set(object, value.to_json()));
            path_error(reader, path_node.span, done);
        }
        _ => {
            let message = "an item of `set` has no `path` or no `value`".to_owned();
            let help = "write `{path: [metadata, labels, example.com/a], value: b}`";
            reader.error(item.span, "test/required", message, help);
        }
    }
}

fn read_path(reader: &mut Reader<'_>, node: &Yaml) -> Option<Path> {
    if let Some(steps) = node.as_sequence() {
        let steps: Vec<Value> = steps.iter().map(Yaml::to_json).collect();
        let path = Path::of(&steps);
        if path.is_none() {
            let message = "a path is a list of keys and indexes".to_owned();
            reader.error(node.span, "test/path", message, "");
        }
        return path;
    }
    let text = reader.text(node, "a path")?;
    match Path::parse(text) {
        Ok(path) => Some(path),
        Err(error) => {
            path_error(reader, node.span, Err(error));
            None
        }
    }
}

fn path_error(reader: &mut Reader<'_>, span: Span, done: Result<(), super::path::PathError>) {
    if let Err(error) = done {
        let help = "a path is dotted, `spec.containers[0].image`; quote keys that hold a dot";
        reader.error(span, "test/path", error.to_string(), help);
    }
}

fn objects_of(reader: &mut Reader<'_>, items: &[Yaml], what: &str) -> Vec<(Value, Span)> {
    let objects = items.iter().filter_map(|item| {
        let fields = reader.object(item, what)?;
        Some((Value::Object(fields), item.span))
    });
    objects.collect()
}

fn read_settings(reader: &mut Reader<'_>, node: &Yaml) -> Vec<(String, Value, Span)> {
    let Some(entries) = node.as_mapping() else {
        reader.wrong_type(node, "`settings`", "a mapping");
        return Vec::new();
    };
    let setting = |entry: &Entry| (entry.key.clone(), entry.value.to_json(), entry.key_span);
    entries.iter().map(setting).collect()
}

fn read_request(reader: &mut Reader<'_>, node: &Yaml) -> Request {
    let mut request = Request::default();
    let Some(entries) = reader.fields(node, "`request`", &REQUEST_KEYS) else {
        return request;
    };
    for entry in entries {
        let value = &entry.value;
        let text = |reader: &mut Reader<'_>| {
            reader
                .text(value, &format!("`{}`", entry.key))
                .map(str::to_owned)
        };
        match entry.key.as_str() {
            "operation" => request.operation = read_operation(reader, value),
            "subResource" => request.sub_resource = text(reader).unwrap_or_default(),
            "name" => request.name = text(reader),
            "namespace" => request.namespace = text(reader),
            "dryRun" => request.dry_run = reader.boolean(value, "`dryRun`").unwrap_or(false),
            "options" => request.options = reader.object(value, "`options`").unwrap_or_default(),
            "userInfo" => request.user = read_user(reader, value),
            "resource" => read_resource(reader, value, &mut request),
            _ => {}
        }
    }
    request
}

fn read_operation(reader: &mut Reader<'_>, node: &Yaml) -> Option<Operation> {
    let word = reader.text(node, "`operation`")?;
    let all = [
        Operation::Create,
        Operation::Update,
        Operation::Delete,
        Operation::Connect,
    ];
    let found = all.into_iter().find(|operation| operation.as_str() == word);
    if found.is_none() {
        let message = format!("`{word}` is no operation");
        let help = match nearest(word, all.map(Operation::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "an operation is CREATE, UPDATE, DELETE or CONNECT".to_owned(),
        };
        reader.error(node.span, "test/unknown-value", message, &help);
    }
    found
}

/// `group/version/resource` (`version/resource` for the core group) with `/subresource`, or the
/// mapping a policy reads.
fn read_resource(reader: &mut Reader<'_>, node: &Yaml, request: &mut Request) {
    let help = "write `apps/v1/deployments`, or `v1/pods` for the core group";
    if node.as_mapping().is_some() {
        let keys = ["group", "version", "resource"];
        reader.fields(node, "`resource`", &keys);
        let [group, version, resource] =
            keys.map(|key| node.get(key).and_then(Yaml::as_str).unwrap_or_default());
        if version.is_empty() || resource.is_empty() {
            let message = "`resource` has no `version` or no `resource`".to_owned();
            reader.error(node.span, "test/required", message, help);
        }
        request.resource = Some(resource_of(group, version, resource));
        return;
    }
    let Some(text) = reader.text(node, "`resource`") else {
        return;
    };
    let parts: Vec<&str> = text.split('/').collect();
    // A version begins with `v` and a digit; a group never does so and is a domain.
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let (group, version, resource, sub_resource) = match parts.as_slice() {
        [version, resource] if is_version(version) => ("", *version, *resource, ""),
        [version, resource, sub] if is_version(version) => ("", *version, *resource, *sub),
        [group, version, resource] => (*group, *version, *resource, ""),
        [group, version, resource, sub] => (*group, *version, *resource, *sub),
        _ => {
            let message = format!("`{text}` is no resource");
            return reader.error(node.span, "test/unknown-value", message, help);
        }
    };
    request.resource = Some(resource_of(group, version, resource));
    if !sub_resource.is_empty() {
        request.sub_resource = sub_resource.to_owned();
    }
}

fn resource_of(group: &str, version: &str, resource: &str) -> GroupVersionResource<'static> {
    GroupVersionResource {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        resource: resource.to_owned().into(),
    }
}

fn read_user(reader: &mut Reader<'_>, node: &Yaml) -> Option<User> {
    let keys = ["username", "groups", "uid", "extra"];
    reader.fields(node, "`userInfo`", &keys)?;
    let username = node
        .get("username")
        .and_then(|it| reader.text(it, "`username`"));
    let groups = node
        .get("groups")
        .map(|it| reader.one_or_many(it))
        .unwrap_or_default();
    let groups = groups
        .iter()
        .filter_map(|group| reader.text(group, "a group"))
        .map(str::to_owned);
    let groups = groups.collect();
    let mut more = reader.object(node, "`userInfo`")?;
    more.retain(|key, _| key != "username" && key != "groups");
    Some(User {
        username: username.unwrap_or_default().to_owned(),
        groups,
        more,
    })
}

#[cfg(test)]
mod tests;
