//! Names of objects as people write them: `NAMESPACE/NAME`.

use std::fmt;
use std::str::FromStr;

/// The name of a namespaced object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no `NAMESPACE/NAME`");
        let (namespace, name) = text.split_once('/').ok_or_else(refused)?;
        match is_name(namespace) && name.split('.').all(is_name) {
            true => Ok(ObjectName {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            false => Err(refused()),
        }
    }
}

/// Says whether a text is the name of a namespace: a label of RFC 1123 (apimachinery `pkg/api/validate/content/dns.go`).
pub fn is_name(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_namespace_and_a_name() {
        for (text, is_name) in [
            ("policy/portcullis", true),
            ("a/b.c", true),
            ("portcullis", false),
            ("/portcullis", false),
            ("policy/", false),
            ("policy/a/b", false),
            ("Policy/a", false),
            ("policy/-a", false),
            ("policy/a.", false),
            ("a.b/c", false),
        ] {
            let read = text.parse::<ObjectName>();
            assert_eq!(read.is_ok(), is_name, "{text}");
            assert!(read.is_err() || read.unwrap().to_string() == text);
        }
    }
}
