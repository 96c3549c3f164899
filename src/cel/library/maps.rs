//! What `transformMap` and `transformMapEntry` are made of: cel-go `ext/comprehensions.go`.

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::entries::Entries;
use super::super::value::{Map, Value};
use super::lists::shown;
use super::{global, no_such_overload};

const K: Type = Type::Param("K");
const V: Type = Type::Param("V");
const MAP: Type = Type::Map(&K, &V);

/// The functions.
pub static FUNCTIONS: &[Function] = &[Function {
    name: "cel.@mapInsert",
    doc: "Returns a map with one or several entries added, whose keys must not be there yet.",
    overloads: &[
        global(
            "@mapInsert_map_key_value",
            &[MAP, K, V],
            MAP,
            insert,
            cost::one,
        )
        .since(32),
        global("@mapInsert_map_map", &[MAP, MAP], MAP, insert, cost::one).since(32),
    ],
    examples: &[
        ("{'a': 1}.transformMap(k, v, v + 1)", "{'a': 2}"),
        (
            "{'a': 1, 'b': 2}.transformMapEntry(k, v, {v: k})",
            "{1: 'a', 2: 'b'}",
        ),
    ],
}];

fn insert<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (map, added) = match arguments {
        [Value::Map(map), key, value] => (map, vec![(*key, *value)]),
        [Value::Map(map), Value::Map(added)] => (map, added.iter().collect()),
        _ => return no_such_overload(call),
    };
    if let Some((key, _)) = added.iter().find(|(key, _)| map.get(key).is_some()) {
        let key = shown(call, key);
        return Err(call.fault(&format!("insert failed: key {key} already exists")));
    }
    if added.is_empty() {
        return Ok(Value::Map(*map));
    }
    let size = map.len().saturating_add(added.len());
    call.reserve(size.saturating_mul(size_of::<(Value<'_>, Value<'_>)>()))?;
    let entries = map.iter().chain(added).collect::<Vec<_>>();
    let map: Map<'a> = Entries::new_in(call.arena, &entries);
    Ok(Value::Map(map))
}
