//! Indents the lines of quoted scalars that Go reads and the parser does not.
//!
//! The parser wants each line of a quoted scalar deeper than the mapping around it, as YAML has it;
//! Go takes any (`go.yaml.in/yaml/v2`, `scannerc.go`, `yaml_parser_scan_flow_scalar`), and so do
//! `kubectl` and whoever publishes what it read. White space at the beginning of such a line means
//! nothing, so that more of it changes no value.

use std::ops::Range;

/// How much a text may grow: what is written deep and goes on in many short lines is not worth it.
const MAX_ADDED: usize = 1 << 20;

/// A text with white space that was not written.
#[derive(Debug, Clone)]
pub(super) struct Indented {
    /// The text.
    pub(super) text: String,
    /// Where white space was put in, in order.
    added: Vec<Added>,
}

/// White space that was put in.
#[derive(Debug, Clone)]
struct Added {
    at: Range<usize>,
    /// How many bytes were put in before it.
    before: usize,
}

impl Indented {
    /// Takes a text as it is written.
    pub(super) fn new(text: &str) -> Self {
        Indented {
            text: text.to_owned(),
            added: Vec::new(),
        }
    }

    /// Indents the quoted scalar that begins at `start` to the column of its quote; `false` if its
    /// end is missing, or it has no line to indent, or too many.
    pub(super) fn indent(&mut self, start: usize) -> bool {
        let Some(lines) = lines(&self.text, start).filter(|lines| !lines.is_empty()) else {
            return false;
        };
        let before = self.text.get(..start).unwrap_or_default();
        let column = start - before.rfind('\n').map_or(0, |at| at + 1);
        let known: usize = self.added.iter().map(|it| it.at.len()).sum();
        if column == 0 || known + column.saturating_mul(lines.len()) > MAX_ADDED {
            return false;
        }
        let mut text = String::with_capacity(self.text.len() + column * lines.len());
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut copied = 0;
        for line in &lines {
            text.push_str(self.text.get(copied..*line).unwrap_or_default());
            ranges.push(text.len()..text.len() + column);
            text.extend(std::iter::repeat_n(' ', column));
            copied = *line;
        }
        text.push_str(self.text.get(copied..).unwrap_or_default());
        // What was put in before moves behind what is put in now.
        ranges.extend(self.added.iter().map(|it| {
            let moved = column * lines.partition_point(|line| *line <= it.at.start);
            it.at.start + moved..it.at.end + moved
        }));
        ranges.sort_by_key(|range| range.start);
        let mut before = 0;
        let added = ranges.into_iter().map(|at| {
            let added = Added { before, at };
            before += added.at.len();
            added
        });
        self.added = added.collect();
        self.text = text;
        true
    }

    /// Returns where the byte at `offset` is in the text as it was written.
    pub(super) fn written(&self, offset: usize) -> usize {
        let behind = self.added.partition_point(|it| it.at.start < offset);
        let last = behind.checked_sub(1).and_then(|at| self.added.get(at));
        offset - last.map_or(0, |it| it.before + it.at.end.min(offset) - it.at.start)
    }
}

/// Returns where the lines after the first of the quoted scalar at `start` begin; `None` if it has
/// no end.
fn lines(text: &str, start: usize) -> Option<Vec<usize>> {
    let mut chars = text.get(start..)?.char_indices().peekable();
    let (_, quote) = chars.next().filter(|(_, c)| matches!(c, '\'' | '"'))?;
    let mut lines = Vec::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => lines.push(start + at + 1),
            '\\' if quote == '"' => {
                if let Some((at, '\n')) = chars.next() {
                    lines.push(start + at + 1);
                }
            }
            c if c == quote => match chars.peek() {
                Some((_, '\'')) if quote == '\'' => drop(chars.next()),
                _ => return Some(lines),
            },
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_where_it_was_written() {
        let text = "a: \"x\n\ny\"\nb: 'c''\nd'\nlast: 1\n";
        let mut indented = Indented::new(text);
        assert!(indented.indent(text.find("'c").unwrap()));
        assert!(indented.indent(3));
        assert_eq!(
            indented.text,
            "a: \"x\n   \n   y\"\nb: 'c''\n   d'\nlast: 1\n"
        );
        for word in ["x", "y", "'c", "d'", "last"] {
            let written = indented.written(indented.text.find(word).unwrap());
            assert_eq!(text.get(written..written + word.len()), Some(word));
        }
    }

    #[test]
    fn what_does_not_end_or_would_grow_too_much_is_left() {
        assert!(!Indented::new("a: 'x\n''\n").indent(3));
        assert!(!Indented::new("a: 'x'\n").indent(3));
        let deep = format!("{}'{}'", " ".repeat(1 << 12), "\n".repeat(1 << 12));
        assert!(!Indented::new(&deep).indent(1 << 12));
    }
}
