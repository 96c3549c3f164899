//! The map from a string's text back to the bytes it is written in.
//!
//! Quoting, folding, indentation and chomping only ever change white space and escapes. So the
//! other characters of the text are found in the file one by one, in order, and white space before
//! one of them is placed where it is directly before it in the file.

/// A character of the file that stands for one in the text.
struct Unit {
    /// The character it means.
    meaning: char,
    offset: usize,
    /// Bytes it is written in.
    len: usize,
}

/// Returns where runs of unchanged bytes begin, as pairs (offset in `text`, offset in the source).
///
/// `written` is the scalar as it is in the file, from its quote or block indicator on, at
/// `written_at`. Linear in both texts.
pub(super) fn runs(text: &str, written: &str, written_at: usize) -> Vec<(usize, usize)> {
    let mut reader = Reader::new(written);
    let mut runs = Vec::new();
    // Both offsets of the character before.
    let mut last = None;
    // White space of the text since the last other character or line break.
    let mut space_from = 0;
    for (at, c) in text.char_indices() {
        if is_space(c) {
            if c == '\n' {
                space_from = at + 1;
            }
            continue;
        }
        let Some(unit) = reader.next(c) else { break };
        let continues = last.is_some_and(|(text_at, file_at)| {
            // Both count up, so neither difference is negative.
            at - text_at == unit.offset - file_at
        });
        if !continues {
            // Spaces that the file has too belong to the run; others stay with what is before.
            let spaces = text.get(space_from..at).unwrap_or_default();
            let before = written.get(..unit.offset).unwrap_or_default();
            let shared = shared_suffix(spaces, before);
            runs.push((at - shared, written_at + unit.offset - shared));
        }
        last = Some((at, unit.offset));
        space_from = at + c.len_utf8();
    }
    runs
}

/// Returns how many bytes of white space two texts have in common at their ends.
fn shared_suffix(spaces: &str, before: &str) -> usize {
    let pairs = spaces.bytes().rev().zip(before.bytes().rev());
    pairs.take_while(|(a, b)| a == b).count()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Plain, literal or folded: every character means itself.
    Bare,
    SingleQuoted,
    DoubleQuoted,
}

/// Reads the characters that are not white space out of a written scalar.
struct Reader<'a> {
    written: &'a str,
    at: usize,
    style: Style,
}

impl<'a> Reader<'a> {
    fn new(written: &'a str) -> Self {
        let (style, at) = match written.as_bytes().first() {
            Some(b'\'') => (Style::SingleQuoted, 1),
            Some(b'"') => (Style::DoubleQuoted, 1),
            // The header of a block scalar: indicators and a comment, to the end of the line.
            Some(b'|' | b'>') => (Style::Bare, written.find('\n').unwrap_or(written.len())),
            _ => (Style::Bare, 0),
        };
        Reader { written, at, style }
    }

    /// Returns the next character, which means `wanted`.
    ///
    /// `None` when the file has something else there. The exception are slashes at the beginning of
    /// a line: a scalar inside of comments.
    fn next(&mut self, wanted: char) -> Option<Unit> {
        let mut line_began = false;
        loop {
            let unit = self.unit()?;
            let verbatim = unit.len == unit.meaning.len_utf8();
            if is_space(unit.meaning) {
                line_began = verbatim && (unit.meaning == '\n' || line_began);
                continue;
            }
            if unit.meaning == wanted {
                return Some(unit);
            }
            if !(line_began && verbatim && unit.meaning == '/') {
                return None;
            }
        }
    }

    fn unit(&mut self) -> Option<Unit> {
        let offset = self.at;
        let rest = self.written.get(offset..)?;
        let mut chars = rest.chars();
        let c = chars.next()?;
        let (meaning, len) = match (self.style, c) {
            (Style::SingleQuoted, '\'') => ('\'', 2),
            (Style::DoubleQuoted, '\\') => escape(rest, chars.next()?),
            _ => (c, c.len_utf8()),
        };
        self.at += len;
        Some(Unit {
            meaning,
            offset,
            len,
        })
    }
}

/// Returns what the escape at the beginning of `rest` means, and its length.
fn escape(rest: &str, kind: char) -> (char, usize) {
    let code = |from: usize, digits: usize| {
        let digits = rest.get(from..from + digits)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let or_replacement = |code: Option<u32>| code.and_then(char::from_u32).unwrap_or('\u{fffd}');
    match kind {
        'x' => (or_replacement(code(2, 2)), 4),
        'U' => (or_replacement(code(2, 8)), 10),
        'u' => match (code(2, 4), code(8, 4)) {
            (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000))
                if rest.get(6..8) == Some("\\u") =>
            {
                let pair = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (or_replacement(Some(pair)), 12)
            }
            (code, _) => (or_replacement(code), 6),
        },
        'n' | 'r' | 't' | '\t' | ' ' => (' ', 2),
        // A line break that is not there.
        '\n' | '\r' => (' ', 2),
        '0' => ('\0', 2),
        'a' => ('\u{7}', 2),
        'b' => ('\u{8}', 2),
        'v' => ('\u{b}', 2),
        'f' => ('\u{c}', 2),
        'e' => ('\u{1b}', 2),
        'N' => ('\u{85}', 2),
        '_' => ('\u{a0}', 2),
        'L' => ('\u{2028}', 2),
        'P' => ('\u{2029}', 2),
        other => (other, 1 + other.len_utf8()),
    }
}
