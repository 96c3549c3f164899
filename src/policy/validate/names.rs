//! The rules of Kubernetes for names, labels and keys.
//!
//! Upstream: apimachinery `pkg/api/validate/content` and `pkg/util/validation/validation.go`.

/// `DNS1123SubdomainMaxLength`
const SUBDOMAIN_MAX_BYTES: usize = 253;
/// `DNS1035LabelMaxLength`, `labelKeyMaxLength`, `LabelValueMaxLength`
const LABEL_MAX_BYTES: usize = 63;

/// Returns what is wrong with `name` as a DNS subdomain (`IsDNS1123Subdomain`).
pub(crate) fn dns_subdomain(name: &str) -> Vec<String> {
    let mut problems = too_long(name, SUBDOMAIN_MAX_BYTES);
    let label = |part: &str| is_bounded(part, lower_or_digit, |b| lower_or_digit(b) || b == b'-');
    if !name.split('.').all(label) {
        problems.push(
            "must be lower case letters, digits, `-` or `.`, beginning and ending with a letter \
             or digit"
                .to_owned(),
        );
    }
    problems
}

/// Returns what is wrong with `name` as a DNS label that begins with a letter (`IsDNS1035Label`).
pub(crate) fn dns_label_1035(name: &str) -> Vec<String> {
    let mut problems = too_long(name, LABEL_MAX_BYTES);
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || !is_bounded(name, lower_or_digit, |b| lower_or_digit(b) || b == b'-') {
        problems.push(
            "must be lower case letters, digits or `-`, beginning with a letter and ending with a \
             letter or digit"
                .to_owned(),
        );
    }
    problems
}

/// Returns what is wrong with `key` as the key of a label, which is what a qualified name is too
/// (`IsLabelKey`).
pub(crate) fn label_key(key: &str) -> Vec<String> {
    let parts: Vec<&str> = key.split('/').collect();
    let (name, mut problems) = match parts.as_slice() {
        [name] => (*name, Vec::new()),
        ["", name] => (*name, vec!["has an empty prefix before the `/`".to_owned()]),
        [prefix, name] => {
            let problems = dns_subdomain(prefix).into_iter();
            (
                *name,
                problems
                    .map(|problem| format!("prefix {problem}"))
                    .collect(),
            )
        }
        _ => return vec!["must be a name, or a DNS prefix, one `/` and a name".to_owned()],
    };
    if name.is_empty() {
        problems.push("has no name".to_owned());
        return problems;
    }
    problems.extend(too_long(name, LABEL_MAX_BYTES));
    if !is_label_text(name) {
        problems.push(LABEL_TEXT.to_owned());
    }
    problems
}

/// Returns what is wrong with `value` as the value of a label (`IsLabelValue`).
pub(crate) fn label_value(value: &str) -> Vec<String> {
    let mut problems = too_long(value, LABEL_MAX_BYTES);
    if !value.is_empty() && !is_label_text(value) {
        problems.push(format!("value `{value}` {LABEL_TEXT}"));
    }
    problems
}

/// Returns what is wrong with `name` as a part of a URL's path (`IsPathSegmentName`).
pub(crate) fn path_segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("must not be `{name}`")];
    }
    ['/', '%']
        .into_iter()
        .filter(|stray| name.contains(*stray))
        .map(|stray| format!("must not contain `{stray}`"))
        .collect()
}

/// Tells whether `name` can be an identifier in CEL (kubernetes `validation.go`,
/// `isCELIdentifier`).
pub(crate) fn is_cel_identifier(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    let goes_on = name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
    begins && goes_on && !RESERVED.contains(&name)
}

const RESERVED: [&str; 22] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "",
];

const LABEL_TEXT: &str =
    "must be letters, digits, `-`, `_` or `.`, beginning and ending with a letter or digit";

fn is_label_text(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    is_bounded(text, |b| b.is_ascii_alphanumeric(), inner)
}

/// Tells whether `text` is not empty, begins and ends with an `outer` byte and has `inner` ones.
fn is_bounded(text: &str, outer: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| outer(*byte))
        && bytes.last().is_some_and(|byte| outer(*byte))
        && bytes.iter().all(|byte| inner(*byte))
}

fn lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn too_long(text: &str, max_bytes: usize) -> Vec<String> {
    if text.len() <= max_bytes {
        return Vec::new();
    }
    vec![format!(
        "must be no more than {max_bytes} bytes, and has {}",
        text.len()
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_kubernetes_takes() {
        type Rule = fn(&str) -> Vec<String>;
        let long = "a".repeat(64);
        let longer = "a".repeat(254);
        let rows: [(&str, Rule, &[&str], &[&str]); 5] = [
            (
                "subdomain",
                dns_subdomain,
                &["a", "a.b", "a-b.c-d", "1", long.as_str()],
                &[
                    "",
                    "A",
                    "a_b",
                    "-a",
                    "a-",
                    ".a",
                    "a..b",
                    "a.",
                    longer.as_str(),
                    "a b",
                ],
            ),
            (
                "label",
                dns_label_1035,
                &["a", "a-1"],
                &["", "1a", "a.b", "A", "a-", long.as_str()],
            ),
            (
                "key",
                label_key,
                &["a", "A_b.c-1", "example.com/a", "1"],
                &[
                    "",
                    "/a",
                    "a/",
                    "A.com/a",
                    "a/b/c",
                    "-a",
                    "a b",
                    long.as_str(),
                ],
            ),
            (
                "value",
                label_value,
                &["", "a", "A_b.c-1"],
                &["-a", "a b", "a/b", long.as_str()],
            ),
            (
                "segment",
                path_segment,
                &["a", "A b", "..."],
                &[".", "..", "a/b", "a%b"],
            ),
        ];
        for (what, rule, good, bad) in rows {
            for name in good {
                assert_eq!(rule(name), Vec::<String>::new(), "{what} {name}");
            }
            for name in bad {
                assert_ne!(rule(name), Vec::<String>::new(), "{what} {name}");
            }
        }
    }

    #[test]
    fn a_variable_is_an_identifier_and_no_reserved_word() {
        for good in ["a", "_a1", "A"] {
            assert!(is_cel_identifier(good), "{good}");
        }
        for bad in ["", "1a", "a-b", "in", "namespace", "ä"] {
            assert!(!is_cel_identifier(bad), "{bad}");
        }
    }
}
