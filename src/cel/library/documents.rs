//! Documents inside of strings (a ConfigMap's files, an annotation): an extension of Kubernetes'
//! language.
//!
//! `json.parse`, `yaml.parse` and `hcl.parse` fail on a text that cannot be read, with its line and
//! column; what is written there is not repeated but for a name. `parseOrNone` gives an optional
//! instead, so that a policy can decide: `json.parseOrNone(text).?mode.orValue('') == 'strict'`.
//! Limits (memory, time, cost) end the evaluation in both.

use super::super::error::{FaultKind, Result};
use super::super::function::{Body, Call, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::{global, no_such_overload, static_cost};
use crate::hcl;
use crate::json::{self, Json, Object};
use crate::text::yaml::{self, Yaml, YamlValue};
use crate::text::{Position, Source, position};

/// Longest text that is read: what a ConfigMap or Secret can hold (kubernetes
/// `pkg/apis/core/types.go`, `MaxSecretSize`).
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;

/// What a reading gives; `dyn`, so that any path into it is allowed.
pub(super) const DOCUMENT: Type = Type::Dyn;

/// The functions of this library.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "json.parse",
        doc: "Reads a JSON text of up to 1 MiB; `3` is an int and `3.0` a double, and a key given \
              twice is an error.",
        overloads: &[of("json_parse", DOCUMENT, parse_json)],
        examples: &[
            (
                "json.parse('{\"mtls\": {\"mode\": \"strict\"}}').mtls.mode",
                "'strict'",
            ),
            (
                "json.parse('[1, 2.0, null]')",
                "[dyn(1), dyn(2.0), dyn(null)]",
            ),
            (
                "json.parse('{\"a\":\\n nul}')",
                "error: json.parse: line 2, column 5: expected ident",
            ),
            (
                "json.parse('{\"a\": 1, \"a\": 2}')",
                "error: json.parse: line 1, column 16: duplicate key `a`",
            ),
        ],
    },
    Function {
        name: "json.parseOrNone",
        doc: "Reads a JSON text as `json.parse` does; none if it cannot be read.",
        overloads: &[of(
            "json_parse_or_none",
            Type::Optional(&DOCUMENT),
            parse_json_or_none,
        )],
        examples: &[
            ("json.parseOrNone('{\"a\": 1}').?a.orValue(0)", "1"),
            ("json.parseOrNone('{').?a.orValue(0)", "0"),
            ("json.parseOrNone('{').hasValue()", "false"),
        ],
    },
    Function {
        name: "yaml.parse",
        doc: "Reads a YAML text of up to 1 MiB as kubectl reads a manifest: one document, a key given \
              twice is an error, `on` is true, `3.0` is an int, and nothing at all is null.",
        overloads: &[of("yaml_parse", DOCUMENT, parse_yaml)],
        examples: &[
            (
                "yaml.parse('mode: STRICT\\nports: [8080, 9090]').ports[1]",
                "9090",
            ),
            ("yaml.parse('base: &b {x: 1}\\nmore: *b').more.x", "1"),
            ("yaml.parse('')", "null"),
            (
                "yaml.parse('a: 1\\na: 2')",
                "error: yaml.parse: line 2, column 1: ",
            ),
            (
                "yaml.parse('a: 1\\n---\\nb: 2')",
                "error: yaml.parse: line 3, column 1: a second document begins here",
            ),
        ],
    },
    Function {
        name: "yaml.parseOrNone",
        doc: "Reads a YAML text as `yaml.parse` does; none if it cannot be read.",
        overloads: &[of(
            "yaml_parse_or_none",
            Type::Optional(&DOCUMENT),
            parse_yaml_or_none,
        )],
        examples: &[
            ("yaml.parseOrNone('a: 1').?a.orValue(0)", "1"),
            ("yaml.parseOrNone('a: [').?a.orValue(0)", "0"),
        ],
    },
    Function {
        name: "hcl.parse",
        doc: "Reads an HCL 1 text of up to 1 MiB, as SPIRE, Consul and Nomad are configured in it. A \
              block is a map, and each of its labels a map around it; blocks of one name with \
              different labels are entries of one map, those with the same labels (or none) a list; \
              any other name given twice is an error. Names keep their case, which SPIRE does not \
              look at.",
        overloads: &[of("hcl_parse", DOCUMENT, parse_hcl)],
        examples: &[
            (
                "hcl.parse('plugins { KeyManager \"disk\" { plugin_data { keys_path = \"/k\" } } }')\
                 .plugins.KeyManager.disk.plugin_data.keys_path",
                "'/k'",
            ),
            (
                "hcl.parse('key \"a\" { n = 1 } key \"b\" { n = 2 }').key.b.n",
                "2",
            ),
            (
                "hcl.parse('listener { port = 1 } listener { port = 0x1f }').listener.map(l, l.port)",
                "[1, 31]",
            ),
            (
                "hcl.parse('ttl = 5m')",
                "error: hcl.parse: line 1, column 7: this is not a number; quote a string",
            ),
            (
                "hcl.parse('ttl = 1 ttl = 2')",
                "error: hcl.parse: line 1, column 9: `ttl` is given twice",
            ),
        ],
    },
    Function {
        name: "hcl.parseOrNone",
        doc: "Reads an HCL 1 text as `hcl.parse` does; none if it cannot be read.",
        overloads: &[of(
            "hcl_parse_or_none",
            Type::Optional(&DOCUMENT),
            parse_hcl_or_none,
        )],
        examples: &[
            (
                "hcl.parseOrNone('server { ca_ttl = \"1h\" }').?server.?ca_ttl.orValue('')",
                "'1h'",
            ),
            (
                "hcl.parseOrNone('server {').?server.?ca_ttl.orValue('')",
                "''",
            ),
        ],
    },
];

/// Declares an overload that reads a text; it costs a traversal.
pub(super) const fn of(id: &'static str, result: Type, body: Body) -> Overload {
    global(id, &[Type::String], result, body, cost::traverse_first)
        .estimated(static_cost::traverse_first)
        .extension()
}

fn parse_json<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let text = text_of(call, arguments, ("json.parse", 1))?;
    match json::parse(call.arena, text.as_bytes()) {
        Ok(document) => made(call, Value::from(document)),
        Err(error) => {
            let place = in_characters(text, error.position());
            Err(unreadable(call, "json.parse", (place, &error.reason())))
        }
    }
}

fn parse_json_or_none<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    or_none(call, parse_json(call, arguments))
}

fn parse_yaml<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let name = "yaml.parse";
    let text = text_of(call, arguments, (name, 8))?;
    let source = Source::new("", text);
    let stream = yaml::parse_stream(&source);
    let refused = |at: usize, message: &str| unreadable(call, name, (position(text, at), message));
    if let Some(error) = stream.errors.first() {
        return Err(refused(error.span.start, &error.message));
    }
    match stream.documents.as_slice() {
        [] => Ok(Value::Null),
        [document] => match copied(call, document)? {
            Ok(document) => made(call, Value::from(document)),
            Err(at) => Err(refused(at, "this number is not one of JSON")),
        },
        [_, second, ..] => Err(refused(
            second.span.start,
            "a second document begins here, and only one is read",
        )),
    }
}

fn parse_yaml_or_none<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    or_none(call, parse_yaml(call, arguments))
}

fn parse_hcl<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let text = text_of(call, arguments, ("hcl.parse", 2))?;
    match hcl::parse(call.arena, text) {
        Ok(document) => made(call, Value::from(document)),
        Err(error) => Err(unreadable(
            call,
            "hcl.parse",
            (error.position, &error.message),
        )),
    }
}

fn parse_hcl_or_none<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    or_none(call, parse_hcl(call, arguments))
}

/// Returns the text to be read, if it is not too long, and counts `steps` for each byte of it: a
/// megabyte of YAML that is one long list takes a tenth of a second, JSON and HCL far less.
pub(super) fn text_of<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    (name, steps): (&str, u64),
) -> Result<'a, &'a str> {
    let [Value::String(text)] = arguments else {
        return Err(call.raise(FaultKind::NoSuchOverload));
    };
    if text.len() > MAX_TEXT_BYTES {
        return Err(call.fault(&format!("{name}: the text is longer than 1 MiB")));
    }
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    call.step(length.saturating_mul(steps))?;
    // What is read is larger than its text; how much is known when it has been made.
    call.reserve(text.len().saturating_mul(GROWTH))?;
    Ok(text)
}

/// How many times as large as its text a document usually is at most.
const GROWTH: usize = 8;

/// Returns what was made, if the arena still holds no more than it may.
pub(super) fn made<'a>(call: &Call<'a>, value: Value<'a>) -> Result<'a> {
    call.reserve(0)?;
    Ok(value)
}

/// Makes the fault of a text that cannot be read.
pub(super) fn unreadable<'a>(
    call: &Call<'a>,
    name: &str,
    (place, message): (Position, &str),
) -> super::super::error::Error<'a> {
    let Position { line, column } = place;
    call.fault(&format!("{name}: line {line}, column {column}: {message}"))
}

/// Makes an optional of a reading; that a text cannot be read is no error.
pub(super) fn or_none<'a>(call: &Call<'a>, read: Result<'a>) -> Result<'a> {
    match read {
        Ok(value) => Ok(Value::Optional(Some(call.arena.alloc(value)))),
        Err(fault) if matches!(fault.kind, FaultKind::Message(_)) => Ok(Value::Optional(None)),
        Err(fault) if fault.is_fatal() => Err(fault),
        Err(_) => no_such_overload(call),
    }
}

/// Counts the column of a place in characters instead of bytes.
fn in_characters(text: &str, place: Position) -> Position {
    let line = text.split('\n').nth(place.line.saturating_sub(1));
    let before = place.column.saturating_sub(1);
    let line = line.unwrap_or_default().as_bytes();
    let before = line.get(..before.min(line.len())).unwrap_or_default();
    Position {
        line: place.line,
        column: String::from_utf8_lossy(before).chars().count() + 1,
    }
}

/// Copies a document into the arena; gives the place of a number that JSON does not have. Numbers
/// are what Go makes of them (`Yaml::to_json`). Recursion ends at [`yaml::MAX_DEPTH`].
fn copied<'a>(call: &Call<'a>, yaml: &Yaml) -> Result<'a, std::result::Result<Json<'a>, usize>> {
    let arena = call.arena;
    Ok(Ok(match &yaml.value {
        YamlValue::Null => Json::Null,
        YamlValue::Bool(value) => Json::Bool(*value),
        YamlValue::Int(value) => Json::Int(*value),
        YamlValue::Double(value) => match yaml::integral(*value) {
            Some(int) => Json::Int(int),
            None if value.is_finite() => Json::Double(*value),
            None => return Ok(Err(yaml.span.start)),
        },
        YamlValue::String(text) => Json::String(arena.alloc_str(text)),
        YamlValue::Sequence(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                match copied(call, item)? {
                    Ok(item) => list.push(item),
                    Err(at) => return Ok(Err(at)),
                }
            }
            call.reserve(size_of_val(list.as_slice()))?;
            Json::List(arena.alloc_slice_copy(&list))
        }
        YamlValue::Mapping(entries) => {
            let mut object = Vec::with_capacity(entries.len());
            for entry in entries {
                match copied(call, &entry.value)? {
                    Ok(value) => object.push((&*arena.alloc_str(&entry.key), value)),
                    Err(at) => return Ok(Err(at)),
                }
            }
            call.reserve(size_of_val(object.as_slice()))?;
            Json::Object(Object::new_in(arena, arena.alloc_slice_copy(&object)))
        }
    }))
}
