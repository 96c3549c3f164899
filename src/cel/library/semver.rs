//! Semantic versions: apiserver `pkg/cel/library/semverlib.go`.

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::super::value::semver::{Semver, normalize};
use super::{global, member, no_such_overload, static_cost};

/// The type of versions.
pub(super) const SEMVER: Type = Type::Opaque("kubernetes.Semver");

/// Kubernetes has versions since 1.33.
pub(super) const SINCE: u8 = 33;

/// The functions; comparisons are declared with those of quantities.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "semver",
        doc: "Reads a semantic version, tolerantly if asked to: `v1` is 1.0.0 then.",
        overloads: &[
            global(
                "string_to_semver",
                &[Type::String],
                SEMVER,
                semver,
                cost::traverse_first,
            )
            .estimated(static_cost::traverse_first)
            .since(SINCE),
            global(
                "string_bool_to_semver",
                &[Type::String, Type::Bool],
                SEMVER,
                semver,
                cost::traverse_first,
            )
            .estimated(static_cost::traverse_first)
            .since(SINCE),
        ],
        examples: &[
            ("semver('v1.0', true) == semver('1.0.0+build')", "true"),
            (
                "semver('1.0')",
                "error: No Major.Minor.Patch elements found",
            ),
        ],
    },
    Function {
        name: "isSemver",
        doc: "Says whether a string is a semantic version, read tolerantly if asked to.",
        overloads: &[
            global(
                "is_semver_string",
                &[Type::String],
                Type::Bool,
                is_semver,
                cost::traverse_first,
            )
            .estimated(static_cost::traverse_first)
            .since(SINCE),
            global(
                "is_semver_string_bool",
                &[Type::String, Type::Bool],
                Type::Bool,
                is_semver,
                cost::traverse_first,
            )
            .estimated(static_cost::traverse_first)
            .since(SINCE),
        ],
        examples: &[
            ("isSemver('v1.0')", "false"),
            ("isSemver('v1.0', true)", "true"),
        ],
    },
    Function {
        name: "major",
        doc: "Returns the major number of a version.",
        overloads: &[member("semver_major", &[SEMVER], Type::Int, major, cost::one).since(SINCE)],
        examples: &[("semver('1.2.3').major()", "1")],
    },
    Function {
        name: "minor",
        doc: "Returns the minor number of a version.",
        overloads: &[member("semver_minor", &[SEMVER], Type::Int, minor, cost::one).since(SINCE)],
        examples: &[("semver('1.2.3').minor()", "2")],
    },
    Function {
        name: "patch",
        doc: "Returns the patch number of a version.",
        overloads: &[member("semver_patch", &[SEMVER], Type::Int, patch, cost::one).since(SINCE)],
        examples: &[("semver('1.2.3').patch()", "3")],
    },
];

fn parse<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
) -> Result<'a, std::result::Result<Semver<'a>, String>> {
    let (text, tolerant) = match arguments {
        [Value::String(text)] => (*text, false),
        [Value::String(text), Value::Bool(tolerant)] => (*text, *tolerant),
        _ => return no_such_overload(call).map(|_| Err(String::new())),
    };
    if !tolerant {
        return Ok(Semver::parse(call.arena, text));
    }
    Ok(normalize(text).and_then(|text| Semver::parse(call.arena, call.arena.alloc_str(&text))))
}

fn semver<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match parse(call, arguments)? {
        Ok(version) => Ok(Value::Semver(call.arena.alloc(version))),
        Err(error) => Err(call.fault(&error)),
    }
}

fn is_semver<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    Ok(Value::Bool(parse(call, arguments)?.is_ok()))
}

fn major<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    number(call, arguments, |version| version.major)
}

fn minor<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    number(call, arguments, |version| version.minor)
}

fn patch<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    number(call, arguments, |version| version.patch)
}

fn number<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    select: fn(&Semver<'a>) -> u64,
) -> Result<'a> {
    match arguments {
        // Upstream wraps numbers around that are too large for an int.
        [Value::Semver(version)] => Ok(Value::Int(select(version).cast_signed())),
        _ => no_such_overload(call),
    }
}
