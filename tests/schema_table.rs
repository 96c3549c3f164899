//! Makes the table of built-in kinds from Kubernetes' own OpenAPI documents.
//!
//! `src/schema/table.txt` holds facts of `api/openapi-spec/v3/*.json` of one version. To make it
//! anew, run `OPENAPI_V3_DIR=…/api/openapi-spec/v3 PORTCULLIS_RECORD=1 cargo test --test
//! schema_table`; without `PORTCULLIS_RECORD` the table is compared. The form of the table is told
//! in `src/schema/table.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "documents that cannot be read fail the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The version whose documents the table holds.
const VERSION: &str = "1.36.2";

/// An object of any kind; the API server's merge knows it by its name.
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

type Definitions = BTreeMap<String, Value>;

/// All definitions of the documents; those that differ between documents are kinds of all groups,
/// of which no policy is about.
fn definitions(folder: &Path) -> Definitions {
    let mut all = Definitions::new();
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let schemas = document.pointer("/components/schemas");
        for (name, schema) in schemas.and_then(Value::as_object).into_iter().flatten() {
            all.insert(name.clone(), schema.clone());
        }
    }
    all
}

/// The kind a definition is, unless it is a list, or one of all groups.
fn kind(schema: &Value) -> Option<String> {
    let kinds = schema.get("x-kubernetes-group-version-kind")?.as_array()?;
    let [kind] = kinds.as_slice() else {
        return None;
    };
    let text = |field: &str| kind[field].as_str().unwrap();
    (!text("kind").ends_with("List"))
        .then(|| format!("{}/{}/{}", text("group"), text("version"), text("kind")))
}

/// The name of what a schema refers to; references are wrapped in `allOf` to hold a description.
fn reference(schema: &Value) -> Option<&str> {
    let reference = schema.get("$ref").or_else(|| {
        let all = schema.get("allOf")?.as_array()?;
        all.iter().find_map(|part| part.get("$ref"))
    })?;
    reference.as_str()?.rsplit('/').next()
}

struct Table<'d> {
    definitions: &'d Definitions,
    numbers: BTreeMap<&'d str, usize>,
}

impl Table<'_> {
    /// The type of a schema, as the table writes it.
    fn form(&self, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            if name == RAW_EXTENSION {
                return "r".to_owned();
            }
            if let Some(number) = self.numbers.get(name) {
                return format!("@{number}");
            }
            return self.form(&self.definitions[name]);
        }
        let text = |field: &str| {
            schema
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        match (text("type"), text("format")) {
            (_, "int-or-string") => "x".to_owned(),
            ("string", "byte") => "y".to_owned(),
            ("string", "date-time") => "t".to_owned(),
            ("string", "") => "s".to_owned(),
            ("integer", _) => "i".to_owned(),
            ("number", _) => "n".to_owned(),
            ("boolean", _) => "b".to_owned(),
            ("array", _) => self.list(schema),
            ("object", _) => match schema.get("additionalProperties") {
                Some(values) if values.is_object() => format!("{{{}}}", self.form(values)),
                _ => "o".to_owned(),
            },
            // Quantities are texts or numbers; of anything else nothing is known.
            ("", _) if schema.get("oneOf").is_some() => "q".to_owned(),
            ("", _) => "?".to_owned(),
            other => panic!("a schema of type {other:?}"),
        }
    }

    fn list(&self, schema: &Value) -> String {
        let items = self.form(&schema["items"]);
        let kind = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            None => String::new(),
            Some("atomic") => "a".to_owned(),
            Some("set") => "s".to_owned(),
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().unwrap();
                let keys: Vec<_> = keys.iter().map(|key| self.key(schema, key)).collect();
                format!("m{}", keys.join(","))
            }
            Some(other) => panic!("a list of type {other}"),
        };
        format!("[{items}]{kind}")
    }

    /// A key of a list, with the value an item has that does not write it.
    fn key(&self, list: &Value, key: &Value) -> String {
        let name = key.as_str().unwrap();
        let items = &list["items"];
        let items = reference(items).map_or(items, |name| &self.definitions[name]);
        match items
            .pointer(&format!("/properties/{name}/default"))
            .unwrap_or(&Value::Null)
        {
            Value::Null => name.to_owned(),
            Value::String(text) => format!("{name}={text}"),
            Value::Number(number) => format!("{name}=#{number}"),
            other => panic!("a key that is {other} where it is not written"),
        }
    }

    /// A line: name, kind, and the fields with their marks.
    fn line(&self, name: &str, schema: &Value) -> String {
        let mut line = name.trim_start_matches("io.k8s.").to_owned();
        if schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic") {
            line.push('~');
        }
        line.push('\t');
        line.push_str(&kind(schema).unwrap_or_default());
        let required: BTreeSet<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (field, part) in schema["properties"].as_object().unwrap() {
            // The default of a struct that Go cannot leave out of its JSON.
            let is_struct = part.get("default") == Some(&Value::Object(Default::default()))
                && part.get("items").is_none();
            let mark = match (required.contains(field.as_str()), is_struct) {
                (true, _) => "!",
                (false, true) => "=",
                (false, false) => "",
            };
            let merge = match part.get("x-kubernetes-map-type").and_then(Value::as_str) {
                None => "",
                Some("atomic") => "~",
                Some("granular") => "+",
                Some(other) => panic!("a map of type {other}"),
            };
            line.push_str(&format!("\t{field}{mark}:{}{merge}", self.form(part)));
        }
        line
    }
}

/// Adds everything that a definition refers to, with properties of its own.
fn reach<'d>(definitions: &'d Definitions, name: &'d str, reached: &mut BTreeSet<&'d str>) {
    let schema = &definitions[name];
    if schema.get("properties").is_some() && !reached.insert(name) {
        return;
    }
    let mut pending = vec![schema];
    while let Some(schema) = pending.pop() {
        if let Some(name) = reference(schema) {
            reach(definitions, name, reached);
        }
        let parts = schema.get("properties").and_then(Value::as_object);
        pending.extend(parts.into_iter().flat_map(|parts| parts.values()));
        pending.extend(schema.get("items"));
        pending.extend(schema.get("additionalProperties"));
    }
}

fn table(definitions: &Definitions) -> String {
    let mut reached = BTreeSet::new();
    for (name, schema) in definitions {
        if kind(schema).is_some() && schema.get("properties").is_some() {
            reach(definitions, name, &mut reached);
        }
    }
    let numbers = reached
        .iter()
        .enumerate()
        .map(|(at, name)| (*name, at))
        .collect();
    let table = Table {
        definitions,
        numbers,
    };
    let mut text = format!("Kubernetes {VERSION}\n");
    for name in &reached {
        text.push_str(&table.line(name, &definitions[*name]));
        text.push('\n');
    }
    text
}

#[test]
fn the_table_is_what_kubernetes_publishes() {
    let Some(folder) = std::env::var_os("OPENAPI_V3_DIR") else {
        println!("not compared: OPENAPI_V3_DIR names no OpenAPI documents");
        return;
    };
    let made = table(&definitions(Path::new(&folder)));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema/table.txt");
    if std::env::var_os("PORTCULLIS_RECORD").is_some() {
        fs::write(path, made).unwrap();
        return;
    }
    assert!(
        made == fs::read_to_string(path).unwrap(),
        "the table is of another version"
    );
}
