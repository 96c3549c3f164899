//! The strings extension, version 2 as Kubernetes enables it: cel-go `ext/strings.go`.
//!
//! Positions count characters. Where the text is ASCII a position is an offset, and results that are
//! part of a text borrow from it.

use bumpalo::collections::String as ArenaString;

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::{List, Value};
use super::{global, int, lists, member, no_such_overload, static_cost};

const STRINGS: Type = Type::List(&Type::String);
const A: Type = Type::Param("A");
const LIST: Type = Type::List(&A);

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "charAt",
        doc: "Returns the character at a position from 0; an empty string at the end.",
        overloads: &[member(
            "string_char_at_int",
            &[Type::String, Type::Int],
            Type::String,
            char_at,
            cost::one,
        )],
        examples: &[
            ("'héllo'.charAt(1)", "'é'"),
            ("'hello'.charAt(5)", "''"),
            ("'hello'.charAt(6)", "error: index out of range: 6"),
        ],
    },
    Function {
        name: "indexOf",
        doc: "Returns the first position of a string, from a position on, or of an item of a list; -1 if there is none.",
        overloads: &[
            // The overload of lists comes first upstream, too: that decides what an untyped
            // receiver is taken for.
            member(
                "list_a_index_of_int",
                &[LIST, A],
                Type::Int,
                lists::index_of,
                lists::cost_of_traversal,
            )
            .estimated(static_cost::of_items),
            member(
                "string_index_of_string",
                &[Type::String, Type::String],
                Type::Int,
                index_of,
                lists::cost_of_traversal,
            )
            .estimated(static_cost::of_items),
            member(
                "string_index_of_string_int",
                &[Type::String, Type::String, Type::Int],
                Type::Int,
                index_of,
                lists::cost_of_traversal,
            )
            .estimated(static_cost::of_items),
        ],
        examples: &[
            ("'hello mellow'.indexOf('ello')", "1"),
            ("'hello mellow'.indexOf('ello', 2)", "7"),
            ("'hello'.indexOf('x')", "-1"),
            ("'hello'.indexOf('', 20)", "20"),
            ("'hello'.indexOf('h', -1)", "error: index out of range: -1"),
            ("[1, 2, 2, 3].indexOf(2)", "1"),
        ],
    },
    Function {
        name: "lastIndexOf",
        doc: "Returns the last position of a string, at most some position, or of an item of a list; -1 if there is none.",
        overloads: &[
            member(
                "list_a_last_index_of_int",
                &[LIST, A],
                Type::Int,
                lists::last_index_of,
                lists::cost_of_traversal,
            )
            .estimated(static_cost::of_items),
            member(
                "string_last_index_of_string",
                &[Type::String, Type::String],
                Type::Int,
                last_index_of,
                lists::cost_of_traversal,
            )
            .estimated(static_cost::of_items),
            member(
                "string_last_index_of_string_int",
                &[Type::String, Type::String, Type::Int],
                Type::Int,
                last_index_of,
                lists::cost_of_traversal,
            )
            .estimated(static_cost::of_items),
        ],
        examples: &[
            ("'hello mellow'.lastIndexOf('ello')", "7"),
            ("'hello mellow'.lastIndexOf('ello', 6)", "1"),
            ("'hello'.lastIndexOf('')", "5"),
            ("'hello'.lastIndexOf('h', 20)", "-1"),
            ("['a', 'b', 'b', 'c'].lastIndexOf('b')", "2"),
        ],
    },
    Function {
        name: "join",
        doc: "Returns the strings of a list one after the other, with a separator between them.",
        overloads: &[
            member("list_join", &[STRINGS], Type::String, join, cost_of_join)
                .estimated(static_cost::join),
            member(
                "list_join_string",
                &[STRINGS, Type::String],
                Type::String,
                join,
                cost_of_join,
            )
            .estimated(static_cost::join),
        ],
        examples: &[
            ("['hello', 'mellow'].join()", "'hellomellow'"),
            ("['hello', 'mellow'].join(', ')", "'hello, mellow'"),
            ("[].join('/')", "''"),
        ],
    },
    Function {
        name: "lowerAscii",
        doc: "Returns the string with the ASCII letters in lower case.",
        overloads: &[member(
            "string_lower_ascii",
            &[Type::String],
            Type::String,
            lower_ascii,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_same_size)],
        examples: &[("'TacoCÆt'.lowerAscii()", "'tacocÆt'")],
    },
    Function {
        name: "upperAscii",
        doc: "Returns the string with the ASCII letters in upper case.",
        overloads: &[member(
            "string_upper_ascii",
            &[Type::String],
            Type::String,
            upper_ascii,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_same_size)],
        examples: &[("'TacoCæt'.upperAscii()", "'TACOCæT'")],
    },
    Function {
        name: "replace",
        doc: "Returns the string with occurrences of another one replaced, all or the first ones.",
        overloads: &[
            member(
                "string_replace_string_string",
                &[Type::String, Type::String, Type::String],
                Type::String,
                replace,
                cost_of_rewriting,
            )
            .estimated(static_cost::replace),
            member(
                "string_replace_string_string_int",
                &[Type::String, Type::String, Type::String, Type::Int],
                Type::String,
                replace,
                cost_of_rewriting,
            )
            .estimated(static_cost::replace),
        ],
        examples: &[
            ("'hello hello'.replace('he', 'we')", "'wello wello'"),
            ("'hello hello'.replace('he', 'we', 1)", "'wello hello'"),
            ("'hello hello'.replace('he', 'we', 0)", "'hello hello'"),
            ("'né'.replace('', '_')", "'_n_é_'"),
        ],
    },
    Function {
        name: "split",
        doc: "Returns the parts of a string between separators, at most some number of them.",
        overloads: &[
            member(
                "string_split_string",
                &[Type::String, Type::String],
                STRINGS,
                split,
                cost_of_rewriting,
            )
            .estimated(static_cost::split),
            member(
                "string_split_string_int",
                &[Type::String, Type::String, Type::Int],
                STRINGS,
                split,
                cost_of_rewriting,
            )
            .estimated(static_cost::split),
        ],
        examples: &[
            ("'hello hello'.split(' ')", "['hello', 'hello']"),
            ("'a,b,c'.split(',', 2)", "['a', 'b,c']"),
            ("'a,b'.split(',', 0)", "[]"),
            ("'né'.split('')", "['n', 'é']"),
        ],
    },
    Function {
        name: "substring",
        doc: "Returns the part of a string from a position on, up to another one.",
        overloads: &[
            member(
                "string_substring_int",
                &[Type::String, Type::Int],
                Type::String,
                substring,
                cost::traverse_first,
            )
            .estimated(static_cost::traverse_same_size),
            member(
                "string_substring_int_int",
                &[Type::String, Type::Int, Type::Int],
                Type::String,
                substring,
                cost::traverse_first,
            )
            .estimated(static_cost::traverse_same_size),
        ],
        examples: &[
            ("'tacocat'.substring(4)", "'cat'"),
            ("'täcocat'.substring(1, 3)", "'äc'"),
            ("'tacocat'.substring(8)", "error: index out of range: 8"),
            (
                "'tacocat'.substring(2, 1)",
                "error: invalid substring range. start: 2, end: 1",
            ),
        ],
    },
    Function {
        name: "trim",
        doc: "Returns the string without Unicode white space at its ends.",
        overloads: &[member(
            "string_trim",
            &[Type::String],
            Type::String,
            trim,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_same_size)],
        examples: &[("'  \\ttrim\\n    '.trim()", "'trim'")],
    },
    Function {
        name: "strings.quote",
        doc: "Returns the string in double quotes, its special characters escaped as CEL does.",
        overloads: &[global(
            "strings_quote",
            &[Type::String],
            Type::String,
            quote,
            cost::traverse_first,
        )
        .estimated(static_cost::quote)
        .since(29)],
        examples: &[("strings.quote('a \"b\"\\n')", "'\"a \\\\\"b\\\\\"\\\\n\"'")],
    },
];

fn out_of_range<'a, T>(call: &Call<'a>, index: i64) -> Result<'a, T> {
    Err(call.fault(&format!("index out of range: {index}")))
}

/// Returns the byte offset of a position; the end of the text has one, too.
fn offset_of(text: &str, position: i64) -> Option<usize> {
    let position = usize::try_from(position).ok()?;
    if text.is_ascii() {
        return (position <= text.len()).then_some(position);
    }
    let mut offsets = text.char_indices().map(|(offset, _)| offset);
    match offsets.by_ref().nth(position) {
        Some(offset) => Some(offset),
        None => (text.chars().count() == position).then_some(text.len()),
    }
}

/// Returns the position of a byte offset.
fn position_of<'a>(text: &str, offset: usize) -> Value<'a> {
    let before = text.get(..offset).unwrap_or(text);
    int(if before.is_ascii() {
        offset
    } else {
        before.chars().count()
    })
}

fn char_at<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::Int(position)] = arguments else {
        return no_such_overload(call);
    };
    let Some(rest) = offset_of(text, *position).and_then(|offset| text.get(offset..)) else {
        return out_of_range(call, *position);
    };
    let length = rest.chars().next().map_or(0, char::len_utf8);
    Ok(Value::String(rest.get(..length).unwrap_or_default()))
}

fn index_of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (text, part, from) = match arguments {
        [Value::String(text), Value::String(part)] => (text, part, 0),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, *from),
        _ => return no_such_overload(call),
    };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return out_of_range(call, from);
    }
    let found = offset_of(text, from).and_then(|start| {
        let at = text.get(start..)?.find(*part)?;
        Some(position_of(text, start + at))
    });
    Ok(found.unwrap_or(Value::Int(-1)))
}

fn last_index_of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (text, part, limit) = match arguments {
        [Value::String(text), Value::String("")] => return Ok(position_of(text, text.len())),
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(_), Value::String(""), limit @ Value::Int(_)] => return Ok(*limit),
        [Value::String(text), Value::String(part), Value::Int(limit)] => (text, part, Some(*limit)),
        _ => return no_such_overload(call),
    };
    let searched = match limit {
        None => Some(*text),
        Some(limit) if limit < 0 => return out_of_range(call, limit),
        // A match may start at the limit and reach beyond it.
        Some(limit) => offset_of(text, limit)
            .filter(|start| *start < text.len())
            .map(|start| {
                let end = text.len().min(start.saturating_add(part.len()));
                let end = (start..=end).rev().find(|end| text.is_char_boundary(*end));
                text.get(..end.unwrap_or(start)).unwrap_or(text)
            }),
    };
    let start = searched.and_then(|searched| searched.rfind(*part));
    Ok(start.map_or(Value::Int(-1), |start| position_of(text, start)))
}

fn join<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (list, separator) = match arguments {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, *separator),
        _ => return no_such_overload(call),
    };
    let mut size = separator.len().saturating_mul(list.len().saturating_sub(1));
    for item in list.iter() {
        match item {
            Value::String(text) => size = size.saturating_add(text.len()),
            other => {
                let shown = lists::shown(call, &other);
                return Err(call.fault(&format!("join: invalid input: {shown}")));
            }
        }
    }
    call.reserve(size)?;
    let mut joined = ArenaString::with_capacity_in(size, call.arena);
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        if let Value::String(text) = item {
            joined.push_str(text);
        }
    }
    Ok(Value::String(joined.into_bump_str()))
}

fn lower_ascii<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value @ Value::String(text)] if !text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Ok(*value)
        }
        [Value::String(text)] => {
            call.reserve(text.len())?;
            let copy = call.arena.alloc_str(text);
            copy.make_ascii_lowercase();
            Ok(Value::String(copy))
        }
        _ => no_such_overload(call),
    }
}

fn upper_ascii<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value @ Value::String(text)] if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Ok(*value)
        }
        [Value::String(text)] => {
            call.reserve(text.len())?;
            let copy = call.arena.alloc_str(text);
            copy.make_ascii_uppercase();
            Ok(Value::String(copy))
        }
        _ => no_such_overload(call),
    }
}

fn replace<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (text, old, new, limit) = match arguments {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [
            Value::String(text),
            Value::String(old),
            Value::String(new),
            Value::Int(limit),
        ] => (text, old, new, *limit),
        _ => return no_such_overload(call),
    };
    // A negative limit is none.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let count = text.matches(*old).take(limit).count();
    if count == 0 || old == new {
        return Ok(Value::String(text));
    }
    let removed = old.len().saturating_mul(count);
    let size = text
        .len()
        .saturating_sub(removed)
        .saturating_add(new.len().saturating_mul(count));
    call.reserve(size)?;
    let mut replaced = ArenaString::with_capacity_in(size, call.arena);
    let mut end = 0;
    for (start, _) in text.match_indices(*old).take(count) {
        replaced.push_str(text.get(end..start).unwrap_or_default());
        replaced.push_str(new);
        end = start + old.len();
    }
    replaced.push_str(text.get(end..).unwrap_or_default());
    Ok(Value::String(replaced.into_bump_str()))
}

fn split<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (text, separator, limit) = match arguments {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [
            Value::String(text),
            Value::String(separator),
            Value::Int(limit),
        ] => (text, separator, *limit),
        _ => return no_such_overload(call),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(Value::List(List::Values(&[])));
    }
    let separators = if separator.is_empty() {
        text.chars().count().saturating_sub(1)
    } else {
        text.matches(*separator).count()
    };
    let count = if text.is_empty() && separator.is_empty() {
        0
    } else {
        limit.min(separators + 1)
    };
    call.reserve(count.saturating_mul(size_of::<Value<'_>>()))?;
    let mut rest = *text;
    let parts = call.arena.alloc_slice_fill_with(count, |at| {
        if at + 1 == count {
            return Value::String(rest);
        }
        let end = if separator.is_empty() {
            rest.chars().next().map_or(0, char::len_utf8)
        } else {
            rest.find(*separator).unwrap_or(rest.len())
        };
        let (part, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = tail.get(separator.len()..).unwrap_or_default();
        Value::String(part)
    });
    Ok(Value::List(List::Values(parts)))
}

fn substring<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (text, start, end) = match arguments {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return no_such_overload(call),
    };
    if let Some(end) = end.filter(|end| start > *end) {
        let message = format!("invalid substring range. start: {start}, end: {end}");
        return Err(call.fault(&message));
    }
    let Some(rest) = offset_of(text, start).and_then(|offset| text.get(offset..)) else {
        return out_of_range(call, start);
    };
    let Some(end) = end else {
        return Ok(Value::String(rest));
    };
    match offset_of(rest, end.saturating_sub(start)).and_then(|length| rest.get(..length)) {
        Some(part) => Ok(Value::String(part)),
        None => out_of_range(call, end),
    }
}

fn trim<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => Ok(Value::String(text.trim())),
        _ => no_such_overload(call),
    }
}

fn quote<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = arguments else {
        return no_such_overload(call);
    };
    call.reserve(text.len().saturating_mul(2).saturating_add(2))?;
    let mut quoted = ArenaString::with_capacity_in(text.len() + 2, call.arena);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    Ok(Value::String(quoted.into_bump_str()))
}

/// The traversal and the construction of the result.
fn cost_of_rewriting(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    cost::scaled(cost::size_at(arguments, 0), 2.0 * cost::TRAVERSAL)
}

fn cost_of_join(_: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    cost::scaled(result.map_or(1, cost::size), 2.0 * cost::TRAVERSAL)
}
