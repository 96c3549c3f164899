//! Writes documents as YAML, for people and for everything that reads YAML.

use serde_json::Value;
use serde_saphyr::{SerializeError, SerializerOptions};

/// Writes documents as YAML; lines stay whole, and texts of several lines stay such.
///
/// # Errors
/// The writer refuses a document, which it does with none of JSON.
pub fn yaml(documents: &[Value]) -> Result<String, SerializeError> {
    let mut options = SerializerOptions::default();
    options.folded_wrap_chars = usize::MAX;
    let mut text = String::new();
    for document in documents {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string_with_options(
            document,
            options.clone(),
        )?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Source;
    use crate::text::yaml::parse_stream;

    /// The API server reads YAML 1.1, where more words than `true` are no texts.
    #[test]
    fn texts_stay_texts() {
        for text in [
            "no",
            "y",
            "on",
            "null",
            "~",
            "012",
            "0o17",
            "0x1f",
            "1_000",
            "1:30",
            "1e3",
            ".inf",
            "1.0",
            "2001-01-01",
            "=",
            "<<",
            "",
            " a ",
            "a: b",
            "a #b",
            "- a",
            "[a]",
            "{a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "a\\b",
            "a\tb",
            "a\n",
            "a\n\nb\n\n",
            "\n a\nb",
            "  a\n b",
            "a\r\nb",
            "a \nb",
            "\u{7f}\u{85}\u{2028}\u{feff}",
            "é𝄞",
        ] {
            let document = serde_json::json!({"a": text, "b": [text]});
            let yaml = yaml(std::slice::from_ref(&document)).unwrap();
            let stream = parse_stream(&Source::new("a.yaml", yaml.clone()));
            let read: Vec<Value> = stream.documents.iter().map(|it| it.to_json()).collect();
            assert_eq!(read, [document], "{text:?} in\n{yaml}");
        }
    }
}
