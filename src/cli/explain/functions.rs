//! Functions and macros, from their one declaration.

use std::fmt::Write as _;

use bumpalo::Bump;

use super::Unknown;
use super::macros::{MACROS, Macro};
use crate::cel::function::{Function, Overload, Since, Style};
use crate::cel::library::{self, authz};
use crate::cel::types::Type;
use crate::cel::value::entries::Entries;
use crate::cel::value::{List, Value};
use crate::cel::version::KubernetesVersion;
use crate::text::nearest;

/// Explains a function or macro, however its name is written: `split`, `.split()`, `string.split`;
/// with a version says whether each form is in it.
pub(super) fn explain(given: &str, version: Option<KubernetesVersion>) -> Result<String, Unknown> {
    let name = given
        .split('(')
        .next()
        .unwrap_or_default()
        .trim_start_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    for name in [name, last] {
        let functions = library::functions().find(|function| is_named(function, name));
        let macros: Vec<&Macro> = MACROS.iter().filter(|it| it.name == name).collect();
        if functions.is_some() || !macros.is_empty() {
            let described = macros.into_iter().map(|it| describe_macro(it, version));
            let described = described.chain(functions.map(|it| describe(it, version)));
            return Ok(described.collect::<Vec<_>>().join("\n"));
        }
    }
    let qualified = names().map(|(name, _)| name).find(|name| {
        let after = name.strip_suffix(last).unwrap_or_default();
        after.ends_with('.')
    });
    let nearest = || nearest(last, names().map(|(name, _)| name));
    let help = match qualified.or_else(nearest) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "`portcullis explain --functions` lists all".to_owned(),
    };
    Err(Unknown {
        message: format!("there is no function `{given}`"),
        help,
    })
}

/// Functions that macros stand for have names that cannot be written.
fn is_named(function: &Function, name: &str) -> bool {
    function.name == name && !name.contains('@')
}

/// The names of everything, with its description.
fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let macros = MACROS.iter().map(|it| (it.name, it.doc));
    let functions = library::functions().filter(|it| is_named(it, it.name));
    macros.chain(functions.map(|it| (it.name, it.doc)))
}

/// Lists everything, in order of name.
pub(super) fn list() -> String {
    let mut all: Vec<(&str, &str)> = names().collect();
    all.sort_by_key(|(name, _)| (name.to_lowercase(), *name));
    all.dedup_by_key(|(name, _)| *name);
    let width = all.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or_default();
    all.iter()
        .map(|(name, doc)| format!("{name:width$}  {}\n", one_line(doc)))
        .collect()
}

fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn describe(function: &Function, version: Option<KubernetesVersion>) -> String {
    let mut text = format!("{}\n\n{}\n\n", function.name, one_line(function.doc));
    let forms = function.overloads.iter().map(|it| form(function, it));
    let forms: Vec<String> = forms.collect();
    let width = forms.iter().map(|form| form.chars().count()).max();
    let width = width.unwrap_or_default();
    for (form, overload) in forms.iter().zip(function.overloads) {
        // A String cannot fail to be written to.
        let _ = writeln!(
            text,
            "  {form:width$}  {}; cost {}",
            since(overload.since, version),
            cost(overload)
        );
    }
    let whose = authz::asks(function).then_some(authz::EXAMPLES_ARE_FOR);
    text.push_str(&examples(function.examples, whose));
    text
}

fn describe_macro(it: &Macro, version: Option<KubernetesVersion>) -> String {
    let mut text = format!("{}\n\n{}\n\n", it.name, it.doc);
    let width = it.forms.iter().map(|form| form.chars().count()).max();
    let width = width.unwrap_or_default();
    for form in it.forms {
        // A String cannot fail to be written to.
        let since = since(it.since, version);
        let _ = writeln!(text, "  {form:width$}  macro; {since}");
    }
    text.push_str(&examples(it.examples, None));
    text
}

/// The examples under their heading, which says whose they are if that matters.
fn examples(examples: &[(&str, &str)], whose: Option<&str>) -> String {
    let mut text = match (examples, whose) {
        ([], _) => String::new(),
        (_, None) => "\nExamples\n".to_owned(),
        (_, Some(whose)) => format!("\nExamples, {whose}\n"),
    };
    for (expression, result) in examples {
        // A String cannot fail to be written to.
        let _ = writeln!(text, "  {expression}\n    {result}");
    }
    text
}

/// How an overload is called, with types: `string.split(string) -> list(string)`.
fn form(function: &Function, overload: &Overload) -> String {
    let show = |types: &[Type]| {
        let types: Vec<String> = types.iter().map(ToString::to_string).collect();
        types.join(", ")
    };
    let name = function.name;
    let call = match (overload.style, overload.params.split_first()) {
        (Style::Member, Some((receiver, rest))) => format!("{receiver}.{name}({})", show(rest)),
        _ => format!("{name}({})", show(overload.params)),
    };
    format!("{call} -> {}", overload.result)
}

/// Says since when something exists, and whether it does in a version.
fn since(since: Since, version: Option<KubernetesVersion>) -> String {
    let text = match since {
        Since::Kubernetes(0) => "every Kubernetes with CEL".to_owned(),
        Since::Kubernetes(minor) => format!("Kubernetes 1.{minor}"),
        Since::Extension => return "not in Kubernetes".to_owned(),
    };
    match version {
        None => text,
        Some(version) if version.has(since) => format!("{text} ({version} has it)"),
        Some(version) => format!("{text} ({version} lacks it)"),
    }
}

/// What a call costs: a number, or several for arguments of growing size.
fn cost(overload: &Overload) -> String {
    let costs = SAMPLE_SIZES.map(|size| {
        let arena = Bump::new();
        let arguments: Vec<Value<'_>> = overload
            .params
            .iter()
            .map(|param| sample(&arena, param, size))
            .collect();
        let result = sample(&arena, &overload.result, size);
        (overload.cost)(&arguments, Some(&result))
    });
    match costs {
        [small, middle, large] if small == middle && middle == large => small.to_string(),
        [small, middle, large] => {
            let [first, second, third] = SAMPLE_SIZES;
            format!("{small}, {middle}, {large} at sizes {first}, {second}, {third}")
        }
    }
}

/// Sizes that show how a cost grows.
const SAMPLE_SIZES: [usize; 3] = [10, 100, 1000];

/// A value of a type with `size` characters, items or entries.
fn sample<'a>(arena: &'a Bump, of: &Type, size: usize) -> Value<'a> {
    match of {
        Type::String => Value::String(arena.alloc_str(&"a".repeat(size))),
        Type::Bytes => Value::Bytes(arena.alloc_slice_fill_copy(size, 0)),
        Type::List(_) => Value::List(List::Values(
            arena.alloc_slice_fill_copy(size, Value::Int(0)),
        )),
        Type::Map(..) => {
            let numbers = (0..size).map(|at| i64::try_from(at).unwrap_or_default());
            let entries: Vec<_> = numbers.map(|at| (Value::Int(at), Value::Null)).collect();
            Value::Map(Entries::new_in(arena, &entries))
        }
        Type::Optional(inner) => Value::Optional(Some(arena.alloc(sample(arena, inner, size)))),
        Type::Uint => Value::Uint(0),
        Type::Double => Value::Double(0.0),
        Type::Bool => Value::Bool(false),
        Type::Null => Value::Null,
        _ => Value::Int(0),
    }
}
