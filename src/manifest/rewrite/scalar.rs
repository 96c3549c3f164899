//! How a text is written in YAML: plain where every reader takes it for a text, else quoted.

use crate::text::yaml;

/// Where a scalar stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// On a line of its own or behind a key.
    Block,
    /// Between the brackets of a collection.
    Flow,
}

/// How the text that stood there before is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Quotes {
    /// Only if it must be.
    #[default]
    Needed,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
}

impl Quotes {
    /// Returns the quotes that a scalar is written with.
    pub(super) fn of(written: &str) -> Self {
        match written.as_bytes().first() {
            Some(b'\'') => Quotes::Single,
            Some(b'"') => Quotes::Double,
            _ => Quotes::Needed,
        }
    }
}

/// Writes a text on one line.
pub(super) fn text(text: &str, quotes: Quotes, context: Context) -> String {
    let is_single = |c: char| is_printable(c) && c != '\n' && c != '\t';
    match quotes {
        Quotes::Needed if is_plain(text, context) => text.to_owned(),
        Quotes::Single if text.chars().all(is_single) => format!("'{}'", text.replace('\'', "''")),
        _ => double_quoted(text),
    }
}

/// Says whether a text without quotes is that text, for the readers of YAML 1.1 and of 1.2.
fn is_plain(text: &str, context: Context) -> bool {
    let mut chars = text.chars();
    let (first, second, last) = (chars.next(), chars.next(), text.chars().next_back());
    let begins = match first {
        Some('-') => second.is_some_and(|c| c.is_alphabetic() || c == '-') && text != "--",
        Some(first) => first.is_alphanumeric() || matches!(first, '/' | '_' | '.' | '$' | '('),
        None => false,
    };
    let inside = |c: char| {
        c.is_alphanumeric()
            || match context {
                Context::Block => (' '..='~').contains(&c),
                Context::Flow => (' '..='~').contains(&c) && !",[]{}\"'".contains(c),
            }
    };
    begins
        && !matches!(last, Some(' ' | ':'))
        && text.chars().all(inside)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !is_like_a_number(text)
        && yaml::is_plain_text(text)
}

/// Numbers, dates, times of day and versions: what one reader or another takes for a number.
fn is_like_a_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.contains(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_hexdigit() || "+-.:,_xXoO TZtz".contains(c))
}

/// Writes a text as JSON does, and so that a reader of YAML finds nothing that cannot be printed.
pub(super) fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    quoted.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

/// YAML 1.2, 5.1, without the characters that some readers take for the end of a line.
fn is_printable(c: char) -> bool {
    matches!(c, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}')
        || matches!(c, '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Returns the header of a literal block for a text of several lines, if it can be written as one.
pub(super) fn literal_header(text: &str) -> Option<&'static str> {
    let fits = text.chars().all(is_printable)
        && !text.starts_with([' ', '\t', '\n'])
        && !text.ends_with("\n\n")
        && text.trim_end_matches('\n').contains('\n');
    fits.then_some(match text.ends_with('\n') {
        true => "|",
        false => "|-",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_where_a_reader_would_take_it_for_something_else() {
        for (given, block, flow) in [
            ("web", "web", "web"),
            ("nginx:1.27", "nginx:1.27", "nginx:1.27"),
            ("--log=debug", "--log=debug", "--log=debug"),
            ("a, b", "a, b", "\"a, b\""),
            ("yes", "\"yes\"", "\"yes\""),
            ("1.2.3", "\"1.2.3\"", "\"1.2.3\""),
            ("12:30", "\"12:30\"", "\"12:30\""),
            ("2001-01-01", "\"2001-01-01\"", "\"2001-01-01\""),
            ("null", "\"null\"", "\"null\""),
            ("", "\"\"", "\"\""),
            ("- a", "\"- a\"", "\"- a\""),
            ("a: b", "\"a: b\"", "\"a: b\""),
            ("a #b", "\"a #b\"", "\"a #b\""),
            ("*", "\"*\"", "\"*\""),
            ("{{ x }}", "\"{{ x }}\"", "\"{{ x }}\""),
            ("tab\there", "\"tab\\there\"", "\"tab\\there\""),
            ("\u{7f}\u{feff}", "\"\\u007f\\ufeff\"", "\"\\u007f\\ufeff\""),
        ] {
            assert_eq!(text(given, Quotes::Needed, Context::Block), block);
            assert_eq!(text(given, Quotes::Needed, Context::Flow), flow);
        }
        assert_eq!(text("it's", Quotes::Single, Context::Flow), "'it''s'");
        assert_eq!(text("a\nb", Quotes::Single, Context::Flow), "\"a\\nb\"");
        assert_eq!(text("a", Quotes::Double, Context::Flow), "\"a\"");
    }
}
