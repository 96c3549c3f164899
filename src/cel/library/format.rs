//! Named formats of strings: apiserver `pkg/cel/library/format.go`, with the messages of apimachinery
//! `pkg/util/validation/validation.go` and `pkg/api/validate/content`.

use bumpalo::collections::Vec as ArenaVec;

use super::super::error::Result;
use super::super::function::{Body, Call, Function, cost};
use super::super::types::Type;
use super::super::value::time::is_date;
use super::super::value::url::check;
use super::super::value::{List, NamedFormat, Value};
use super::{global, member, no_such_overload, static_cost};

const FORMAT: Type = Type::Opaque("kubernetes.NamedFormat");

/// Kubernetes has formats since 1.31.
const SINCE: u8 = 31;

/// A format under the name it has in expressions.
struct Entry {
    name: &'static str,
    format: NamedFormat,
}

static FORMATS: [Entry; 13] = [
    entry("dns1123Label", "DNS1123Label", dns_1123_label, 30),
    entry(
        "dns1123Subdomain",
        "DNS1123Subdomain",
        dns_1123_subdomain,
        60,
    ),
    entry("dns1035Label", "DNS1035Label", dns_1035_label, 30),
    entry("qualifiedName", "QualifiedName", qualified_name, 60),
    entry(
        "dns1123LabelPrefix",
        "DNS1123LabelPrefix",
        dns_1123_label_prefix,
        30,
    ),
    entry(
        "dns1123SubdomainPrefix",
        "DNS1123SubdomainPrefix",
        dns_1123_subdomain_prefix,
        60,
    ),
    entry(
        "dns1035LabelPrefix",
        "DNS1035LabelPrefix",
        dns_1035_label_prefix,
        30,
    ),
    entry("labelValue", "LabelValue", label_value, 40),
    entry("uri", "URI", uri, 1103),
    entry("uuid", "uuid", uuid, UUID_REGEX_SIZE),
    entry("byte", "byte", byte, 84),
    entry("date", "date", date, DATE_TIME_REGEX_SIZE),
    entry("datetime", "datetime", date_time, DATE_TIME_REGEX_SIZE),
];

/// Lengths of `UUIDPattern` and `DateTimePattern` of kube-openapi `pkg/validation/strfmt`.
const UUID_REGEX_SIZE: u64 = 70;
const DATE_TIME_REGEX_SIZE: u64 = 71;

const fn entry(
    name: &'static str,
    format: &'static str,
    validate: fn(&str) -> Vec<String>,
    regex_size: u64,
) -> Entry {
    Entry {
        name,
        format: NamedFormat {
            name: format,
            validate,
            regex_size,
        },
    }
}

macro_rules! constant {
    ($name:literal, $doc:literal, $body:ident, $example:expr) => {
        Function {
            name: concat!("format.", $name),
            doc: $doc,
            overloads: &[global(
                concat!("format.", $name),
                &[],
                FORMAT,
                $body as Body,
                cost::one,
            )
            .since(SINCE)],
            examples: &[$example],
        }
    };
}

macro_rules! bodies {
    ($($body:ident = $name:literal),* $(,)?) => {
        $(fn $body<'a>(call: &Call<'a>, _: &[Value<'a>]) -> Result<'a> {
            match named($name) {
                Some(format) => Ok(Value::Format(format)),
                None => no_such_overload(call),
            }
        })*
    };
}

bodies! {
    give_dns_1123_label = "dns1123Label",
    give_dns_1123_subdomain = "dns1123Subdomain",
    give_dns_1035_label = "dns1035Label",
    give_qualified_name = "qualifiedName",
    give_dns_1123_label_prefix = "dns1123LabelPrefix",
    give_dns_1123_subdomain_prefix = "dns1123SubdomainPrefix",
    give_dns_1035_label_prefix = "dns1035LabelPrefix",
    give_label_value = "labelValue",
    give_uri = "uri",
    give_uuid = "uuid",
    give_byte = "byte",
    give_date = "date",
    give_date_time = "datetime",
}

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "format.named",
        doc: "Returns the format of a name, if there is one.",
        overloads: &[global(
            "format-named",
            &[Type::String],
            Type::Optional(&FORMAT),
            find_named,
            cost::one,
        )
        .since(SINCE)],
        examples: &[
            ("format.named('uri').value() == format.uri()", "true"),
            ("format.named('email').hasValue()", "false"),
        ],
    },
    Function {
        name: "validate",
        doc: "Returns what is wrong with a string, or none if it has the format.",
        overloads: &[member(
            "format-validate",
            &[FORMAT, Type::String],
            Type::Optional(&Type::List(&Type::String)),
            validate,
            cost_of_validating,
        )
        .estimated(static_cost::validate)
        .since(SINCE)],
        examples: &[
            (
                "format.dns1123Label().validate('my-name').hasValue()",
                "false",
            ),
            (
                "format.dns1123Label().validate('a.b').value()",
                "['must not contain dots']",
            ),
        ],
    },
    constant!(
        "dns1123Label",
        "Returns the format of a DNS label: `my-name`, at most 63 bytes.",
        give_dns_1123_label,
        ("format.dns1123Label().validate('1-a').hasValue()", "false")
    ),
    constant!(
        "dns1123Subdomain",
        "Returns the format of a DNS subdomain: `my-name.example.com`, at most 253 bytes.",
        give_dns_1123_subdomain,
        (
            "format.dns1123Subdomain().validate('a.b').hasValue()",
            "false"
        )
    ),
    constant!(
        "dns1035Label",
        "Returns the format of a DNS label that starts with a letter.",
        give_dns_1035_label,
        ("format.dns1035Label().validate('1-a').hasValue()", "true")
    ),
    constant!(
        "qualifiedName",
        "Returns the format of a label's key: `example.com/MyName`.",
        give_qualified_name,
        (
            "format.qualifiedName().validate('/a').value()",
            "['prefix part must be non-empty']"
        )
    ),
    constant!(
        "dns1123LabelPrefix",
        "Returns the format of the start of a DNS label: it may end with a dash.",
        give_dns_1123_label_prefix,
        (
            "format.dns1123LabelPrefix().validate('my-').hasValue()",
            "false"
        )
    ),
    constant!(
        "dns1123SubdomainPrefix",
        "Returns the format of the start of a DNS subdomain: it may end with a dash.",
        give_dns_1123_subdomain_prefix,
        (
            "format.dns1123SubdomainPrefix().validate('a.my-').hasValue()",
            "false"
        )
    ),
    constant!(
        "dns1035LabelPrefix",
        "Returns the format of the start of a DNS label that starts with a letter.",
        give_dns_1035_label_prefix,
        (
            "format.dns1035LabelPrefix().validate('my-').hasValue()",
            "false"
        )
    ),
    constant!(
        "labelValue",
        "Returns the format of a label's value: empty or like `MyValue`, at most 63 bytes.",
        give_label_value,
        ("format.labelValue().validate('').hasValue()", "false")
    ),
    constant!(
        "uri",
        "Returns the format of a URL that is absolute or an absolute path.",
        give_uri,
        (
            "format.uri().validate('x').value()",
            "['parse \"x\": invalid URI for request']"
        )
    ),
    constant!(
        "uuid",
        "Returns the format of a UUID, with or without dashes.",
        give_uuid,
        (
            "format.uuid().validate('123e4567e89b-12d3-a456-426614174000').hasValue()",
            "false"
        )
    ),
    constant!(
        "byte",
        "Returns the format of standard base64, padded and not empty.",
        give_byte,
        (
            "format.byte().validate('aGVsbG8').value()",
            "['invalid base64']"
        )
    ),
    constant!(
        "date",
        "Returns the format of a date: `2024-02-29`.",
        give_date,
        (
            "format.date().validate('2023-02-29').value()",
            "['invalid date']"
        )
    ),
    constant!(
        "datetime",
        "Returns the format of an RFC 3339 time: `2024-02-29T12:00:00Z`.",
        give_date_time,
        (
            "format.datetime().validate('2021-01-01T00:00:00Z').hasValue()",
            "false"
        )
    ),
];

fn named(name: &str) -> Option<&'static NamedFormat> {
    FORMATS
        .iter()
        .find(|entry| entry.name == name)
        .map(|entry| &entry.format)
}

fn find_named<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(name)] => {
            let format = named(name).map(|format| &*call.arena.alloc(Value::Format(format)));
            Ok(Value::Optional(format))
        }
        _ => no_such_overload(call),
    }
}

fn validate<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::Format(format), Value::String(text)] = arguments else {
        return no_such_overload(call);
    };
    let problems = (format.validate)(text);
    if problems.is_empty() {
        return Ok(Value::Optional(None));
    }
    let mut values = ArenaVec::with_capacity_in(problems.len(), call.arena);
    for problem in problems {
        values.push(Value::String(call.arena.alloc_str(&problem)));
    }
    let list = Value::List(List::Values(values.into_bump_slice()));
    Ok(Value::Optional(Some(call.arena.alloc(list))))
}

/// As for a regular expression of the format's size.
fn cost_of_validating(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    let Some(Value::Format(format)) = arguments.first() else {
        return 1;
    };
    let text = cost::size_at(arguments, 1).saturating_add(1);
    cost::scaled(text, cost::TRAVERSAL).saturating_mul(cost::scaled(format.regex_size, cost::REGEX))
}

const LABEL_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// The longest label.
const MAX_LABEL: usize = 63;
/// The longest subdomain.
const MAX_SUBDOMAIN: usize = 253;

fn dns_1123_label(text: &str) -> Vec<String> {
    let mut problems = too_long(text, MAX_LABEL, "characters");
    if !is_label(text) {
        problems.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            format!(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL_1123}')"
            )
        });
    }
    problems
}

fn dns_1123_subdomain(text: &str) -> Vec<String> {
    subdomain_problems(text, "characters")
}

fn subdomain_problems(text: &str, unit: &str) -> Vec<String> {
    let mut problems = too_long(text, MAX_SUBDOMAIN, unit);
    if !is_subdomain(text) {
        problems.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{LABEL_1123}(\\.{LABEL_1123})*')"
        ));
    }
    problems
}

fn dns_1035_label(text: &str) -> Vec<String> {
    let mut problems = too_long(text, MAX_LABEL, "characters");
    if !is_label(text) || !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        problems.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

fn dns_1123_label_prefix(text: &str) -> Vec<String> {
    dns_1123_label(&without_dash(text))
}

fn dns_1123_subdomain_prefix(text: &str) -> Vec<String> {
    dns_1123_subdomain(&without_dash(text))
}

fn dns_1035_label_prefix(text: &str) -> Vec<String> {
    dns_1035_label(&without_dash(text))
}

/// Puts a letter for a dash at the end and what comes before it (`maskTrailingDash`).
fn without_dash(text: &str) -> String {
    let masked = text
        .strip_suffix('-')
        .and_then(|text| text.get(..text.len().checked_sub(1)?));
    match masked {
        Some(start) => format!("{start}a"),
        None => text.to_owned(),
    }
}

fn qualified_name(text: &str) -> Vec<String> {
    let must_consist = format!(
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{LABEL_KEY}')"
    );
    let mut problems = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a valid label key {must_consist} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            problems.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            let of_prefix = subdomain_problems(prefix, "bytes");
            problems.extend(
                of_prefix
                    .iter()
                    .map(|problem| format!("prefix part {problem}")),
            );
            name
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    }
    let of_length = too_long(name, MAX_LABEL, "bytes");
    problems.extend(
        of_length
            .iter()
            .map(|problem| format!("name part {problem}")),
    );
    if !is_label_key(name) {
        problems.push(format!("name part {must_consist}"));
    }
    problems
}

fn label_value(text: &str) -> Vec<String> {
    let mut problems = too_long(text, MAX_LABEL, "bytes");
    if !text.is_empty() && !is_label_key(text) {
        problems.push(format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({LABEL_KEY})?')"
        ));
    }
    problems
}

fn uri(text: &str) -> Vec<String> {
    check(&bumpalo::Bump::new(), text)
        .err()
        .into_iter()
        .collect()
}

fn uuid(text: &str) -> Vec<String> {
    let mut rest = text.as_bytes();
    let is_uuid = [8, 4, 4, 4, 12].iter().enumerate().all(|(at, length)| {
        if at > 0 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
        let Some((digits, tail)) = rest.split_at_checked(*length) else {
            return false;
        };
        rest = tail;
        digits.iter().all(u8::is_ascii_hexdigit)
    });
    unless(is_uuid && rest.is_empty(), "does not match the UUID format")
}

fn byte(text: &str) -> Vec<String> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let is_base64 = !digits.is_empty()
        && padding <= 2
        && text.len().is_multiple_of(4)
        && digits.bytes().all(is_digit);
    unless(is_base64, "invalid base64")
}

fn date(text: &str) -> Vec<String> {
    unless(is_date(text), "invalid date")
}

/// A date, a `t` in any case, and a time; what follows another `t` is not looked at
/// (`strfmt.IsDateTime`).
fn date_time(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let is_date_time =
        text.len() >= 4 && parts.next().is_some_and(is_date) && parts.next().is_some_and(is_time);
    unless(is_date_time, "invalid datetime")
}

/// `12:34:56`, any character with digits after it, and `z` or an offset.
fn is_time(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked(8) else {
        return false;
    };
    let mut fields = clock.split(':');
    let in_range = ["23", "59", "59"].iter().all(|last| {
        fields
            .next()
            .is_some_and(|field| is_number(field) && field.len() == 2 && field <= *last)
    });
    let mut letters = rest.chars();
    let has_mark = letters.next().is_some_and(|mark| mark != '\n');
    let fraction = letters.as_str();
    let after = fraction.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let has_fraction = has_mark && after.len() < fraction.len();
    in_range && fields.next().is_none() && (is_zone(rest) || has_fraction && is_zone(after))
}

fn is_zone(text: &str) -> bool {
    match text
        .strip_prefix(['+', '-'])
        .and_then(|offset| offset.split_once(':'))
    {
        Some((hours, minutes)) => {
            hours.len() == 2 && minutes.len() == 2 && is_number(hours) && is_number(minutes)
        }
        None => text == "z",
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn unless(valid: bool, problem: &str) -> Vec<String> {
    if valid {
        Vec::new()
    } else {
        vec![problem.to_owned()]
    }
}

fn too_long(text: &str, limit: usize, unit: &str) -> Vec<String> {
    unless(
        text.len() <= limit,
        &format!("must be no more than {limit} {unit}"),
    )
}

fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_label_key(text: &str) -> bool {
    let is_end = |letter: char| letter.is_ascii_alphanumeric();
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.starts_with(is_end) && text.ends_with(is_end) && text.bytes().all(is_inner)
}
