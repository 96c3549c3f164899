//! Quoting as Go's `%q` does, for messages and for `format`.

use std::fmt::Write as _;

/// Returns the text in double quotes with Go's escapes (`strconv.Quote`).
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            letter if is_printable(letter) => quoted.push(letter),
            letter => push_escaped(&mut quoted, u32::from(letter)),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns bytes in double quotes; what is no UTF-8 as `\x` escapes.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let valid = quote(chunk.valid());
        quoted.push_str(
            valid
                .get(1..valid.len().saturating_sub(1))
                .unwrap_or_default(),
        );
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(quoted: &mut String, code: u32) {
    // Writing to a String cannot fail.
    let _ = match code {
        0..0x20 | 0x7f => write!(quoted, "\\x{code:02x}"),
        0x20..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
}

/// Says whether a character is shown as it is: letters, marks, numbers, punctuation, symbols and
/// the space.
fn is_printable(letter: char) -> bool {
    if letter.is_ascii() {
        return !letter.is_ascii_control();
    }
    // `escape_debug` escapes what is not printable, and marks only at the start of a text.
    let shown = ['a', letter].iter().collect::<String>();
    shown.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_in_go() {
        for (text, expect) in [
            ("a\"b\\", r#""a\"b\\""#),
            (
                "\u{7}\u{8}\u{c}\n\r\t\u{b}\u{1}\u{7f}",
                r#""\a\b\f\n\r\t\v\x01\x7f""#,
            ),
            ("é'中\u{301}", "\"é'中\u{301}\""),
            ("\u{a0}\u{feff}\u{e000}", r#""\u00a0\ufeff\ue000""#),
            ("\u{f0000}", r#""\U000f0000""#),
        ] {
            assert_eq!(quote(text), expect);
        }
        assert_eq!(quote_bytes(b"a\"\xffb"), r#""a\"\xffb""#);
    }
}
