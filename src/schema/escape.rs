//! Names of fields as expressions write them (apiserver `pkg/cel/escaping.go`).

use std::borrow::Cow;

/// The words of CEL that no name can be.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Says whether a name is a word of CEL.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.binary_search(&name).is_ok()
}

/// Returns a field's name as expressions write it; `None` if they cannot.
pub(super) fn escape(name: &str) -> Option<Cow<'_, str>> {
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if is_reserved(name) {
        return Some(format!("__{name}__").into());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    if !name.chars().all(is_plain) {
        return None;
    }
    if !name.contains("__") && !name.contains(['-', '.', '/']) {
        return Some(name.into());
    }
    let escaped = name.replace("__", "__underscores__");
    let mut result = String::with_capacity(escaped.len());
    for c in escaped.chars() {
        match c {
            '.' => result.push_str("__dot__"),
            '-' => result.push_str("__dash__"),
            '/' => result.push_str("__slash__"),
            c => result.push(c),
        }
    }
    Some(result.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_upstream() {
        for (name, escaped) in [
            ("a", Some("a")),
            ("a_b", Some("a_b")),
            ("", None),
            ("4a", None),
            ("a$b", None),
            ("ä", None),
            ("namespace", Some("__namespace__")),
            (
                "name.space-x/y",
                Some("name__dot__space__dash__x__slash__y"),
            ),
            ("a__b___c", Some("a__underscores__b__underscores___c")),
            ("-", Some("__dash__")),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
        }
        assert!(RESERVED.is_sorted());
    }
}
