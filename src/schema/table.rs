//! The table of Kubernetes' own kinds.
//!
//! `table.txt` is made by `tests/schema_table.rs`. A line is a definition: its name (with `~` if it
//! is merged as a whole), the kind it is as `group/version/Kind`, and its fields, separated by tabs.
//! A field is `name:type`, the name with `!` if it must be written and with `=` if Go always writes
//! it; the type with `~` if the field is merged as a whole and with `+` if it is not although its
//! definition is. Types: `s` text, `y` base64, `t` time, `i` integer, `n` number, `b` bool, `x`
//! integer or text, `q` quantity, `o` object without fields, `r` object of any kind, `?` anything,
//! `@N` the Nth definition, `{T}` map, `[T]` list, followed by `a` (atomic), `s` (set) or `m` with its
//! keys (map), each with `=` and the text or `=#` and the number an item has that does not write it.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Format, Kind, ListKey, ListType, MapType, Need, Property, Schema, SchemaId, Schemas, Shape,
    UnknownFields,
};

/// The table itself.
pub(super) const TEXT: &str = include_str!("table.txt");

/// The definition of `metadata`.
const OBJECT_META: &str = "apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Reads a table; what is malformed is left out.
pub(super) fn read(text: &str) -> Schemas {
    let mut schemas = Schemas::default();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    // Definitions come first, so that their numbers are their positions.
    for line in &lines {
        let name = line.split('\t').next().unwrap_or_default();
        let name = name.trim_end_matches('~');
        schemas.nodes.push(Schema {
            name: Arc::from(name),
            title: Arc::from(name.rsplit('.').next().unwrap_or_default()),
            shape: Shape::Unknown,
        });
    }
    schemas.definitions = u32::try_from(schemas.nodes.len()).unwrap_or(u32::MAX);
    for (at, line) in lines.iter().enumerate() {
        let mut cells = line.split('\t');
        let merge = match cells.next().unwrap_or_default().ends_with('~') {
            true => MapType::Atomic,
            false => MapType::Granular,
        };
        let Ok(number) = u32::try_from(at) else {
            break;
        };
        let kind = cells.next().unwrap_or_default();
        if let [group, version, kind] = *kind.split('/').collect::<Vec<_>>() {
            let kind = Kind {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: kind.to_owned(),
            };
            schemas.kinds.insert(kind, SchemaId(number));
        }
        let properties = cells
            .filter_map(|cell| property(&mut schemas, cell))
            .collect();
        if let Some(node) = schemas.nodes.get_mut(at) {
            if *node.name == *OBJECT_META {
                schemas.object_meta = Some(SchemaId(number));
            }
            node.shape = Shape::Object {
                properties,
                merge,
                unknown: UnknownFields::Pruned,
            };
        }
    }
    schemas
}

fn property(schemas: &mut Schemas, cell: &str) -> Option<Property> {
    let (name, form) = cell.split_once(':')?;
    let (name, need) = match name.as_bytes().last()? {
        b'!' => (name.strip_suffix('!')?, Need::Required),
        b'=' => (name.strip_suffix('=')?, Need::Filled),
        _ => (name, Need::Optional),
    };
    let (form, merge) = match (form.strip_suffix('~'), form.strip_suffix('+')) {
        (Some(form), _) => (form, Some(MapType::Atomic)),
        (_, Some(form)) => (form, Some(MapType::Granular)),
        _ => (form, None),
    };
    Some(Property {
        name: Arc::from(name),
        schema: schema(schemas, form)?,
        need,
        merge,
    })
}

/// Adds the schema that a type stands for; its depth is that of the brackets in our own table.
fn schema(schemas: &mut Schemas, form: &str) -> Option<SchemaId> {
    if let Some(number) = form.strip_prefix('@') {
        return number.parse().ok().map(SchemaId);
    }
    let shape = if let Some(rest) = form.strip_prefix('[') {
        let (items, list_type) = rest.rsplit_once(']')?;
        let merge = match list_type.split_at_checked(1) {
            Some(("s", _)) => ListType::Set,
            Some(("m", keys)) => ListType::Map(keys.split(',').map(list_key).collect()),
            _ => ListType::Atomic,
        };
        let items = schema(schemas, items)?;
        Shape::List { items, merge }
    } else if let Some(rest) = form.strip_prefix('{') {
        let values = schema(schemas, rest.strip_suffix('}')?)?;
        let merge = MapType::Granular;
        Shape::Map { values, merge }
    } else {
        match form {
            "s" => Shape::Text(Format::Plain),
            "y" => Shape::Text(Format::Bytes),
            "t" => Shape::Text(Format::Timestamp),
            "i" => Shape::Integer,
            "n" => Shape::Number,
            "b" => Shape::Bool,
            "x" => Shape::IntOrString,
            "q" => Shape::Quantity,
            "o" => Shape::Object {
                properties: Vec::new(),
                merge: MapType::Granular,
                unknown: UnknownFields::Preserved,
            },
            "r" => Shape::Raw,
            _ => Shape::Unknown,
        }
    };
    Some(schemas.add("", shape))
}

fn list_key(written: &str) -> ListKey {
    let (name, default) = match written.split_once('=') {
        None => (written, None),
        Some((name, default)) => {
            let default = match default.strip_prefix('#') {
                Some(number) => Value::from(number.parse::<i64>().unwrap_or_default()),
                None => Value::from(default),
            };
            (name, Some(default))
        }
    };
    ListKey {
        name: Arc::from(name),
        default,
    }
}
