//! Distinguished names, as Go prints them.

use std::fmt::Write as _;

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::{Fields, hexadecimal};
use crate::cel::function::Call;
use crate::cel::value::{IntoValue, Value};

/// The short names of attributes (Go `crypto/x509/pkix/pkix.go`, `attributeTypeNames`).
const SHORT_NAMES: [(&str, &str); 9] = [
    ("2.5.4.6", "C"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.17", "POSTALCODE"),
];

/// Returns the parts of a name that policies ask for, and the whole. Of several common names the
/// last one counts, as in Go.
pub(super) fn fields<'a>(call: &Call<'a>, name: &X509Name<'_>) -> Fields<'a> {
    let text = |text: String| text.into_value(call.arena);
    let list = |texts: Vec<String>| {
        let texts: Vec<Value<'a>> = texts.into_iter().map(text).collect();
        texts.into_value(call.arena)
    };
    let common_name = name.iter_common_name().filter_map(shown).last();
    let fields = [
        ("commonName", text(common_name.unwrap_or_default())),
        (
            "organization",
            list(name.iter_organization().filter_map(shown).collect()),
        ),
        (
            "organizationalUnit",
            list(name.iter_organizational_unit().filter_map(shown).collect()),
        ),
        ("name", text(whole(name))),
    ];
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (Value::String(name), value))
        .collect()
}

fn shown(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    attribute.as_str().ok().map(str::to_owned)
}

/// The whole name: the last part first (RFC 2253; Go `crypto/x509/pkix/pkix.go`,
/// `RDNSequence.String`).
fn whole(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let parts = parts.into_iter().rev().map(|part| {
        let attributes: Vec<String> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == id);
    match (short, attribute.as_str()) {
        (Some((_, short)), Ok(value)) => format!("{short}={}", escaped(value)),
        (Some((_, short)), Err(_)) => format!("{short}=#{}", hexadecimal(attribute.as_slice())),
        (None, _) => format!("{id}=#{}", hexadecimal(attribute.as_slice())),
    }
}

/// A value that cannot be taken for more than one part.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        let is_special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        if c.is_control() {
            // A String cannot fail to be written to.
            let _ = write!(text, "\\{:02x}", u32::from(c));
            continue;
        }
        if is_special {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
