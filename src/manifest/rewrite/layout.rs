//! Where the parts of a YAML text stand: lines, columns, colons and hyphens.

use super::render::Manner;
use crate::text::Span;
use crate::text::yaml::{Entry, Yaml, YamlValue};

/// A text to look around in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'t> {
    pub(super) text: &'t str,
}

/// Returns the entries of a mapping that are written in it, which those out of a merge key are not.
pub(super) fn own_entries<'y>(node: &Yaml, entries: &'y [Entry]) -> Vec<&'y Entry> {
    let inside = |entry: &&Entry| {
        node.span.start <= entry.key_span.start && entry.key_span.end <= node.span.end
    };
    entries.iter().filter(inside).collect()
}

fn last_of(node: &Yaml) -> Option<&Yaml> {
    match &node.value {
        YamlValue::Mapping(entries) => entries.last().map(|entry| &entry.value),
        YamlValue::Sequence(items) => items.last(),
        _ => None,
    }
}

impl Layout<'_> {
    fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Returns where the line of an offset begins.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.slice(0, at).rfind('\n').map_or(0, |at| at + 1)
    }

    /// Returns where the next line begins, or the text ends.
    pub(super) fn next_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    /// Returns where the line of an offset ends, before the line break.
    pub(super) fn line_content_end(&self, at: usize) -> usize {
        let next = self.next_line(at);
        at + self.slice(at, next).trim_end_matches(['\r', '\n']).len()
    }

    /// Returns how many bytes of the line stand before an offset.
    pub(super) fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    /// Says whether nothing but blanks stands before an offset in its line.
    pub(super) fn is_first_on_line(&self, at: usize) -> bool {
        let before = self.slice(self.line_start(at), at);
        before.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// Returns the blanks that a line begins with.
    pub(super) fn indent(&self, line: usize) -> &str {
        let rest = self.slice(line, self.next_line(line));
        let text = rest.trim_start_matches([' ', '\t']);
        rest.get(..rest.len() - text.len()).unwrap_or_default()
    }

    /// Returns the offset behind the colon of a key; `None` for a key that is marked with `?`.
    pub(super) fn after_colon(&self, key: Span) -> Option<usize> {
        let before = self.slice(self.line_start(key.start), key.start);
        if before.trim_end().ends_with('?') {
            return None;
        }
        let rest = self.text.get(key.end..)?;
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        (self.byte(key.end + blank)? == b':').then_some(key.end + blank + 1)
    }

    /// Returns where the value behind a colon or hyphen begins and ends, an alias included.
    pub(super) fn extent(&self, node: &Yaml, after: usize) -> Option<(usize, usize)> {
        let is_empty = node.span.start >= node.span.end;
        let is_scalar = node.as_mapping().is_none() && node.as_sequence().is_none();
        if node.span.start >= after && !(is_empty && is_scalar) {
            return Some((node.span.start, self.end(node)?));
        }
        let rest = self.slice(after, self.line_content_end(after));
        let value = rest.trim_start();
        let start = after + (rest.len() - value.len());
        match value.as_bytes().first() {
            Some(b'*') => {
                let end = value.find([' ', '\t', ',', ']', '}']);
                Some((start, start + end.unwrap_or(value.len())))
            }
            // A null of which nothing is written.
            None | Some(b'#') if node.is_null() => Some((after, after)),
            _ => None,
        }
    }

    /// Returns where a value ends: further on than its span if the last of what is in it is a null of
    /// which nothing is written.
    pub(super) fn end(&self, node: &Yaml) -> Option<usize> {
        let mut last = node;
        while let Some(inner) = last_of(last) {
            last = inner;
        }
        let is_flow = matches!(self.byte(node.span.start), Some(b'{' | b'['));
        if is_flow || !last.is_null() || last.span.start < last.span.end {
            return Some(node.span.end);
        }
        match &node.value {
            YamlValue::Mapping(entries) => {
                let own = own_entries(node, entries);
                let entry = own.last()?;
                let after = self.after_colon(entry.key_span)?;
                self.extent(&entry.value, after).map(|(_, end)| end)
            }
            YamlValue::Sequence(items) => {
                let hyphens = self.hyphens(node, items)?;
                hyphens.last().map(|(_, end)| *end)
            }
            _ => Some(node.span.end),
        }
    }

    /// Returns where the hyphens of a list's items are, and where the items end.
    pub(super) fn hyphens(&self, node: &Yaml, items: &[Yaml]) -> Option<Vec<(usize, usize)>> {
        let mut from = node.span.start;
        let column = self.column(from);
        let mut places = Vec::with_capacity(items.len());
        for item in items {
            let hyphen = self.hyphen(from, item, column)?;
            let (_, end) = self.extent(item, hyphen + 1)?;
            places.push((hyphen, end));
            from = end;
        }
        Some(places)
    }

    /// Returns where the hyphen of an item is, which is looked for from `from` on.
    fn hyphen(&self, from: usize, item: &Yaml, column: usize) -> Option<usize> {
        if self.byte(from) == Some(b'-') && self.column(from) == column && item.span.start != from {
            return Some(from);
        }
        let mut line = self.next_line(from);
        while line < self.text.len() {
            let next = self.next_line(line);
            let rest = self.slice(line, next);
            let content = rest.trim_start_matches(' ');
            let is_deep = rest.len() - content.len() == column;
            match content.as_bytes().first() {
                Some(b'-') if is_deep => return Some(line + column),
                Some(b'#' | b'\r' | b'\n') => line = next,
                _ => return None,
            }
        }
        None
    }

    /// Returns where the comments begin that stand right above a line and are as deep.
    pub(super) fn comment_start(&self, at: usize) -> usize {
        let mut line = self.line_start(at);
        let column = at - line;
        while let Some(end) = line.checked_sub(1) {
            let before = self.line_start(end);
            let indent = self.indent(before).len();
            if indent != column || self.byte(before + indent) != Some(b'#') {
                break;
            }
            line = before;
        }
        line
    }

    /// Returns the end of a value with the empty lines that belong to it, if its last part is a block
    /// that keeps them.
    pub(super) fn with_kept_lines(&self, node: &Yaml, end: usize) -> usize {
        let mut last = node;
        while let Some(inner) = last_of(last) {
            last = inner;
        }
        let header = self.slice(last.span.start, self.line_content_end(last.span.start));
        let is_kept = header.starts_with(['|', '>'])
            && header.split('#').next().unwrap_or_default().contains('+');
        if !is_kept {
            return end;
        }
        let mut end = end;
        let mut line = self.next_line(end);
        while line < self.text.len() {
            let next = self.next_line(line);
            if !self.slice(line, next).trim().is_empty() {
                break;
            }
            end = line;
            line = next;
        }
        end
    }
}

/// Finds out the manner of a document.
pub(super) fn manner(text: &str, root: &Yaml) -> Manner {
    let layout = Layout { text };
    let written = text.get(root.span.start..root.span.end).unwrap_or_default();
    let is_json = written.starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(written).is_ok();
    let mut manner = Manner {
        line_break: match text.contains("\r\n") {
            true => "\r\n",
            false => "\n",
        },
        is_json,
        ..Manner::default()
    };
    if is_json {
        // The first part of the document says how deep one level is.
        let first = written.get(1..).unwrap_or_default();
        if let Some(line) = first
            .trim_start_matches([' ', '\t', '\r'])
            .strip_prefix('\n')
        {
            let content = line.trim_start_matches([' ', '\t']);
            let indent = line.get(..line.len() - content.len()).unwrap_or_default();
            manner.flow_indent = indent.to_owned();
        }
        return manner;
    }
    let (mut step, mut hyphen) = (None, None);
    let mut pending = vec![root];
    while let Some(node) = pending.pop()
        && (step.is_none() || hyphen.is_none())
    {
        match &node.value {
            YamlValue::Sequence(items) => pending.extend(items.iter().rev()),
            YamlValue::Mapping(entries) => {
                for entry in own_entries(node, entries).into_iter().rev() {
                    let (key, value) = (entry.key_span.start, entry.value.span.start);
                    pending.push(&entry.value);
                    if value < key {
                        continue;
                    }
                    let column = layout.column(key);
                    let deeper = |at: usize| match layout.is_first_on_line(at) {
                        true => layout.column(at).checked_sub(column),
                        false => None,
                    };
                    match &entry.value.value {
                        YamlValue::Mapping(_) => {
                            step = deeper(value).filter(|it| *it > 0).or(step);
                        }
                        YamlValue::Sequence(_) => hyphen = deeper(value).or(hyphen),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    manner.step = step.unwrap_or(manner.step).min(8);
    manner.hyphen = hyphen.unwrap_or(manner.hyphen).min(8);
    manner
}
