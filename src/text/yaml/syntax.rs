//! Where tokens lie in the text, and what a syntax error means to the person who made it.

use saphyr_parser::ScalarStyle;

use super::{Place, YamlError};

/// Byte offsets of characters; the parser counts characters.
pub(super) struct Offsets<'a> {
    text: &'a str,
    /// Byte offset of each [`STEP`]th character; empty when all characters are one byte.
    steps: Vec<usize>,
}

/// What the parser says of a quoted scalar with a line that is not indented; it stopped at the quote.
pub(super) const SHALLOW_QUOTED: &str = "invalid indentation in quoted scalar";

/// A look-up walks over at most this many characters.
const STEP: usize = 64;

impl<'a> Offsets<'a> {
    /// Measures `text`.
    pub(super) fn new(text: &'a str) -> Self {
        let steps = if text.is_ascii() {
            Vec::new()
        } else {
            let offsets = text.char_indices().map(|(at, _)| at);
            offsets.step_by(STEP).collect()
        };
        Offsets { text, steps }
    }

    /// Returns the byte offset of the character with this number; past the end, the text's length.
    pub(super) fn byte(&self, character: usize) -> usize {
        if self.steps.is_empty() {
            return character.min(self.text.len());
        }
        let Some(step) = self.steps.get(character / STEP) else {
            return self.text.len();
        };
        let rest = self.text.get(*step..).unwrap_or_default();
        match rest.char_indices().nth(character % STEP) {
            Some((offset, _)) => step + offset,
            None => self.text.len(),
        }
    }
}

/// Returns the offset after the anchor and the tag of a node that begins at `start`.
pub(super) fn skip_properties(text: &str, start: usize) -> usize {
    skip(text, start, |_| false)
}

/// Returns where the value behind a key begins, whose end is given.
pub(super) fn skip_colon(text: &str, key_end: usize) -> usize {
    skip(text, key_end, |byte| matches!(byte, b':' | b'?'))
}

/// Returns the bounds of a scalar without its anchor and tag, and with the `|` or `>` of a block
/// scalar, which is looked for from `previous_end` on.
pub(super) fn scalar_bounds(
    text: &str,
    style: ScalarStyle,
    previous_end: usize,
    (start, end): (usize, usize),
) -> (usize, usize) {
    match style {
        ScalarStyle::Literal | ScalarStyle::Folded => {
            // Between the last token and the header there is nothing but indicators.
            let header = skip(text, previous_end, |byte| {
                matches!(byte, b':' | b'-' | b'?')
            });
            let is_header = matches!(text.as_bytes().get(header), Some(b'|' | b'>'));
            let start = if is_header { header } else { start };
            (start, trim_end(text, start, end))
        }
        ScalarStyle::Plain => {
            let start = skip_inline_properties(text, start, end);
            (start, trim_end(text, start, end))
        }
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            let start = skip_properties(text, start);
            (start, quoted_end(text, start, end))
        }
    }
}

/// Returns where the quoted scalar at `start` ends; the parser also counts what follows on the line.
fn quoted_end(text: &str, start: usize, end: usize) -> usize {
    let bytes = text.get(start..end).unwrap_or_default().as_bytes();
    let Some(quote) = bytes.first() else {
        return end;
    };
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' if *quote == b'"' => 2,
            b'\'' if *quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => 2,
            byte if byte == quote => return start + at + 1,
            _ => 1,
        };
    }
    end
}

/// Returns `end` without the white space before it, not below `start`.
pub(super) fn trim_end(text: &str, start: usize, end: usize) -> usize {
    let inner = text.get(start..end).unwrap_or_default();
    start + inner.trim_end_matches([' ', '\t', '\r', '\n']).len()
}

/// Returns where a collection that begins at `start` ends: a collection in brackets with a comma behind
/// its last part is reported without its bracket.
pub(super) fn flow_end(text: &str, start: usize, end: usize) -> usize {
    let before = text.get(start..end).unwrap_or_default();
    if !(before.starts_with(['{', '[']) && before.ends_with(',')) {
        return end;
    }
    let bracket = skip(text, end, |_| false);
    match text.as_bytes().get(bracket) {
        Some(b'}' | b']') => bracket + 1,
        _ => end,
    }
}

/// Skips the properties of a plain scalar; an empty one has nothing behind them.
fn skip_inline_properties(text: &str, start: usize, end: usize) -> usize {
    if start >= end || !matches!(text.as_bytes().get(start), Some(b'&' | b'!')) {
        return start;
    }
    skip_properties(text, start).min(end)
}

/// Skips white space, comments, anchors, tags, and bytes that are `passable` before white space.
fn skip(text: &str, start: usize, passable: impl Fn(u8) -> bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        at += match byte {
            b' ' | b'\t' | b'\r' | b'\n' => 1,
            b'#' => rest.find('\n').unwrap_or(rest.len()),
            b'&' | b'!' => rest.find([' ', '\t', '\r', '\n']).unwrap_or(rest.len()),
            _ if rest.starts_with('\u{feff}') => '\u{feff}'.len_utf8(),
            byte if passable(*byte) => 1,
            _ => break,
        };
    }
    at
}

/// Says what is wrong at `at`, where the parser stopped saying `info`.
pub(super) fn error(info: &str, text: &str, at: usize, place: &Place) -> YamlError {
    let at = at.min(text.len());
    let (message, help, at) = explain(info, text, at);
    let is_template = line_around(text, at).contains("{{");
    let help = if is_template {
        Some("this looks like a template; render it first (`helm template`)")
    } else {
        help
    };
    YamlError {
        span: place.span(at, (at + 1).min(text.len())),
        message,
        help: help.map(str::to_owned),
    }
}

/// Returns the message, the help and the better place for an error of the parser.
fn explain(info: &str, text: &str, at: usize) -> (String, Option<&'static str>, usize) {
    if info
        .split([' ', ','])
        .any(|word| matches!(word, "tab" | "tabs"))
    {
        let message = "a tab where only spaces may be".to_owned();
        let help = Some("indent with spaces; YAML does not allow tabs");
        return (message, help, first_tab(text, at));
    }
    if let Some((message, help)) = plain_words(info) {
        return (message.to_owned(), Some(help), at);
    }
    match info {
        "while parsing a quoted scalar, found unknown escape character" => (
            "an escape that YAML does not have".to_owned(),
            Some("write `\\\\` for a backslash, or use single quotes"),
            first_bad_escape(text, at),
        ),
        "while parsing node, found unknown anchor" => (
            format!("`{}` stands for nothing", word_at(text, at)),
            Some("mark a value above with `&` and the same name, or quote the text"),
            at,
        ),
        "simple key expect ':'" | "simple key expected" => (
            "expected `:` after the key".to_owned(),
            Some("write the key, `: ` and the value on one line"),
            last_line_before(text, at),
        ),
        "recursion limit exceeded" => (
            format!("nested deeper than {} levels", super::MAX_DEPTH),
            None,
            at,
        ),
        "found unprintable character" => {
            ("a character that cannot be printed".to_owned(), None, at)
        }
        "unexpected eof" => ("unexpected end of the document".to_owned(), None, at),
        _ if info.starts_with("unexpected character") => (
            format!("a value cannot begin with `{}`", char_at(text, at)),
            Some("quote the value"),
            at,
        ),
        _ => (plainly(info), None, at),
    }
}

/// Returns message and help for the errors of the parser that need nothing but other words.
fn plain_words(info: &str) -> Option<(&'static str, &'static str)> {
    Some(match info {
        "mapping values are not allowed in this context" => (
            "`:` is not allowed here",
            "quote the value if the colon belongs to it; otherwise check the indentation",
        ),
        "illegal placement of ':' indicator" => (
            "`:` is not allowed here",
            "close the list that was opened with `[` above, or quote the value",
        ),
        "while scanning a quoted scalar, found unexpected end of stream"
        | "while scanning a quoted scalar, found unexpected document indicator" => (
            "the quote opened here is not closed",
            "add the closing quote",
        ),
        SHALLOW_QUOTED => (
            "the quote opened here is not closed",
            "add the closing quote; if the text goes on, indent its next line",
        ),
        "invalid trailing content after double-quoted scalar" => (
            "text after the closing quote",
            "quote the whole value; within double quotes write a quote as `\\\"`",
        ),
        "while parsing a block mapping, did not find expected key" => (
            "expected a key or the end of the mapping",
            "check the indentation of this line and of the ones above it",
        ),
        "while parsing a block collection, did not find expected '-' indicator" => (
            "expected `- ` or the end of the list",
            "list items and keys cannot stand at one indentation",
        ),
        "did not find expected <document start>" => (
            "the document has ended before this line",
            "check the indentation, or separate documents with a line `---`",
        ),
        "while parsing a flow sequence, expected ',' or ']'" => (
            "expected `,` or `]`",
            "close the list that was opened with `[`",
        ),
        "while parsing a flow mapping, did not find expected ',' or '}'" => (
            "expected `,` or `}`",
            "close the mapping that was opened with `{`",
        ),
        "block sequence entries are not allowed in this context" => (
            "a list item is not allowed here",
            "begin the list on its own line, below the key",
        ),
        _ => return None,
    })
}

/// Returns a message of the parser in the form of ours.
fn plainly(info: &str) -> String {
    let what = match info.split_once(", ") {
        Some((context, what)) if context.starts_with("while ") => what,
        _ => info,
    };
    what.replace(['\'', '"'], "`")
}

fn line_around(text: &str, at: usize) -> &str {
    let start = line_start(text, at);
    let rest = text.get(start..).unwrap_or_default();
    rest.lines().next().unwrap_or_default()
}

fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.rfind('\n').map_or(0, |newline| newline + 1)
}

/// Returns where the last line with text before `at` begins.
fn last_line_before(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default().trim_end();
    let start = line_start(text, before.len());
    let line = before.get(start..).unwrap_or_default();
    start + line.len() - line.trim_start().len()
}

/// Returns the first tab from the beginning of the line of `at` on.
fn first_tab(text: &str, at: usize) -> usize {
    let start = line_start(text, at);
    let rest = text.get(start..).unwrap_or_default();
    rest.find('\t').map_or(at, |tab| start + tab)
}

/// Returns the place of the first escape in the double-quoted scalar at `at` that is none.
fn first_bad_escape(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let mut chars = rest.char_indices();
    while let Some((offset, c)) = chars.next() {
        if c != '\\' {
            continue;
        }
        let known = "0abt\tnvfre \"/\\N_LPxuU\r\n";
        match chars.next() {
            Some((_, escaped)) if known.contains(escaped) => {}
            _ => return at + offset,
        }
    }
    at
}

fn char_at(text: &str, at: usize) -> String {
    let rest = text.get(at..).unwrap_or_default();
    rest.chars().take(1).collect()
}

/// Returns the word at `at`, at most 40 characters of it.
fn word_at(text: &str, at: usize) -> String {
    let rest = text.get(at..).unwrap_or_default();
    let word = rest.split([' ', '\t', '\r', '\n', ',', ']', '}']).next();
    word.unwrap_or_default().chars().take(40).collect()
}
