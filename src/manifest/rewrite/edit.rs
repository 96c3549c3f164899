//! From a value as it is written and one that is wanted to the edits of the text between them.
//!
//! Only what differs is touched: an entry or item that is gone goes with its lines, one that is new comes
//! after the one before it, and a value is replaced where it stands. What cannot be done in place is
//! [`Awkward`] for whoever is around it, who then writes the whole value anew. Whether the text means
//! what it should is not decided here: it is read again (`rewrite`).

use serde_json::{Map, Value};

use super::layout::{self, Layout};
use super::render::{Flow, Manner, Written};
use super::scalar::Quotes;
use crate::patch::diff::align::{Step, align};
use crate::text::Span;
use crate::text::yaml::{Entry, Yaml, YamlValue, integral};

/// A span with the text that comes in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) span: Span,
    pub(super) text: String,
}

/// What cannot be changed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Awkward;

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
enum Slot<'s> {
    /// Behind the colon that ends here, of a key at this column.
    Value { after: usize, column: usize },
    /// Behind the hyphen that ends here and is at this column.
    Item { after: usize, column: usize },
    /// Between brackets.
    Flow(Flow<'s>),
}

/// The edits of a document.
pub(super) struct Editor<'t> {
    text: &'t str,
    layout: Layout<'t>,
    manner: &'t Manner,
    pub(super) edits: Vec<Edit>,
    /// What is written anew although it is changed only inside.
    pub(super) rewritten: Vec<Span>,
}

/// Says whether a value is what is written.
pub(super) fn is_same(node: &Yaml, value: &Value) -> bool {
    match (&node.value, value) {
        (YamlValue::Mapping(entries), Value::Object(fields)) => {
            let same = |entry: &Entry| {
                let value = fields.get(&entry.key);
                value.is_some_and(|value| is_same(&entry.value, value))
            };
            entries.len() == fields.len() && entries.iter().all(same)
        }
        (YamlValue::Sequence(items), Value::Array(values)) => {
            let mut pairs = items.iter().zip(values);
            items.len() == values.len() && pairs.all(|(item, value)| is_same(item, value))
        }
        (YamlValue::Mapping(_) | YamlValue::Sequence(_), _) => false,
        _ => node.to_json() == *value,
    }
}

/// Brings numbers into the form in which they are read again: `3.0` is 3.
pub(super) fn normalized(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            let double = number.as_f64().unwrap_or_default();
            integral(double).map_or_else(|| double.into(), Value::from)
        }
        Value::Array(items) => items.iter().map(normalized).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), normalized(value)))
            .collect(),
        other => other.clone(),
    }
}

impl<'t> Editor<'t> {
    pub(super) fn new(text: &'t str, manner: &'t Manner) -> Self {
        Editor {
            text,
            layout: Layout { text },
            manner,
            edits: Vec::new(),
            rewritten: Vec::new(),
        }
    }

    /// Makes the edits for a collection.
    pub(super) fn collection(&mut self, node: &Yaml, wanted: &Value) -> Result<(), Awkward> {
        let is_flow = matches!(self.text.as_bytes().get(node.span.start), Some(b'{' | b'['));
        match (&node.value, wanted) {
            (YamlValue::Mapping(entries), Value::Object(fields)) => match is_flow {
                true => self.flow_mapping(node, entries, fields),
                false => self.block_mapping(node, entries, fields),
            },
            (YamlValue::Sequence(items), Value::Array(values)) => match is_flow {
                true => self.flow_sequence(node, items, values),
                false => self.block_sequence(node, items, values),
            },
            _ => Err(Awkward),
        }
    }

    fn edit(&mut self, start: usize, end: usize, text: impl Into<String>) {
        let span = Span::new(start, end.max(start));
        let text = text.into();
        if !(text.is_empty() && start >= end) {
            self.edits.push(Edit { span, text });
        }
    }

    /// Changes what is in a slot, inside if that can be.
    fn value(&mut self, slot: Slot<'_>, node: &Yaml, wanted: &Value) -> Result<(), Awkward> {
        let (edits, rewritten) = (self.edits.len(), self.rewritten.len());
        let is_there = match slot {
            Slot::Value { after, .. } | Slot::Item { after, .. } => node.span.start >= after,
            Slot::Flow(_) => true,
        };
        let is_collection = matches!(
            (&node.value, wanted),
            (YamlValue::Mapping(_), Value::Object(_)) | (YamlValue::Sequence(_), Value::Array(_))
        );
        if is_there && is_collection {
            if self.collection(node, wanted).is_ok() {
                return Ok(());
            }
            self.edits.truncate(edits);
            self.rewritten.truncate(rewritten);
            if !matches!(wanted, Value::Array(items) if items.is_empty())
                && !matches!(wanted, Value::Object(fields) if fields.is_empty())
            {
                self.rewritten.push(node.span);
            }
        }
        self.replace(slot, node, wanted)
    }

    fn replace(&mut self, slot: Slot<'_>, node: &Yaml, wanted: &Value) -> Result<(), Awkward> {
        let quotes = match node.value {
            YamlValue::String(_) => Quotes::of(self.slice(node.span.start, node.span.end)),
            _ => Quotes::Needed,
        };
        let (after, written) = match slot {
            Slot::Flow(flow) => {
                if node.span.start >= node.span.end {
                    return Err(Awkward);
                }
                let text = self.manner.between_brackets(wanted, flow, quotes);
                self.edit(node.span.start, node.span.end, text);
                return Ok(());
            }
            Slot::Value { after, column } => {
                (after, self.manner.behind_key(wanted, column, quotes))
            }
            Slot::Item { after, column } => {
                (after, self.manner.behind_hyphen(wanted, column, quotes))
            }
        };
        let (start, end) = self.layout.extent(node, after).ok_or(Awkward)?;
        let Written { inline, lines } = written;
        let before = self.slice(after, start);
        match before.find('#') {
            // A comment behind the key stays there; the value begins on a later line.
            Some(comment) => {
                let line_end = self.layout.line_content_end(after + comment);
                if line_end > start || before.contains(['&', '!']) {
                    return Err(Awkward);
                }
                self.edit(after, after, inline);
                self.edit(line_end, end, lines);
            }
            // An anchor or a tag before it belongs to what was there.
            None if !before.trim().is_empty() => return Err(Awkward),
            None => {
                self.edit(after, end, inline);
                if !lines.is_empty() {
                    let line_end = self.layout.line_content_end(end);
                    self.edit(line_end, line_end, lines);
                }
            }
        }
        Ok(())
    }

    fn slice(&self, start: usize, end: usize) -> &'t str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn block_mapping(
        &mut self,
        node: &Yaml,
        entries: &[Entry],
        wanted: &Map<String, Value>,
    ) -> Result<(), Awkward> {
        // Entries out of a merge key are written elsewhere.
        let own = layout::own_entries(node, entries);
        let first = own.first().ok_or(Awkward)?;
        let column = self.layout.column(first.key_span.start);
        if own.iter().all(|entry| !wanted.contains_key(&entry.key)) {
            return Err(Awkward);
        }
        let mut ends = Vec::with_capacity(own.len());
        for entry in &own {
            let after = self.layout.after_colon(entry.key_span).ok_or(Awkward)?;
            let (_, end) = self.layout.extent(&entry.value, after).ok_or(Awkward)?;
            ends.push(end);
            match wanted.get(&entry.key) {
                Some(value) if !is_same(&entry.value, value) => {
                    self.value(Slot::Value { after, column }, &entry.value, value)?;
                }
                _ => {}
            }
        }
        self.remove_entries(&own, &ends, wanted)?;
        let last = own.last().zip(ends.last()).ok_or(Awkward)?;
        let end = self.layout.with_kept_lines(&last.0.value, *last.1);
        let is_missing = |key: &String, value: &Value| {
            let known = entries.iter().find(|entry| entry.key == *key);
            match known {
                Some(known) => {
                    !own.iter().any(|own| own.key == *key) && !is_same(&known.value, value)
                }
                None => true,
            }
        };
        let added = wanted.iter().filter(|(key, value)| is_missing(key, value));
        let text: String = added
            .map(|(key, value)| self.manner.entry(key, value, column))
            .collect();
        self.insert_after(end, text);
        Ok(())
    }

    fn remove_entries(
        &mut self,
        own: &[&Entry],
        ends: &[usize],
        wanted: &Map<String, Value>,
    ) -> Result<(), Awkward> {
        let is_kept = |entry: &&Entry| wanted.contains_key(&entry.key);
        let mut from = 0;
        let first = own.first().ok_or(Awkward)?;
        if !is_kept(first) && !self.layout.is_first_on_line(first.key_span.start) {
            // The line begins with a hyphen: what is kept moves up to it.
            let kept = own.iter().position(is_kept).ok_or(Awkward)?;
            let next = own.get(kept).ok_or(Awkward)?;
            let start = first.key_span.start;
            if self.slice(start, next.key_span.start).contains('#') {
                return Err(Awkward);
            }
            self.edit(start, next.key_span.start, "");
            from = kept;
        }
        for (entry, end) in own.iter().zip(ends).skip(from) {
            if is_kept(entry) {
                continue;
            }
            if !self.layout.is_first_on_line(entry.key_span.start) {
                return Err(Awkward);
            }
            self.remove_lines(entry.key_span.start, *end);
        }
        Ok(())
    }

    /// Removes the lines from that of `start` to that of `end`.
    fn remove_lines(&mut self, start: usize, end: usize) {
        let line = self.layout.line_start(start);
        let next = self.layout.next_line(end);
        if self.slice(line, next).ends_with('\n') {
            self.edit(line, next, "");
        } else {
            // The last line has no end: that of the line before goes.
            let before = self.slice(0, line).trim_end_matches(['\r', '\n']).len();
            let before = before.max(line.saturating_sub(2));
            self.edit(before, next, "");
        }
    }

    /// Puts lines, each of which begins with a line break, after the line of `end`.
    fn insert_after(&mut self, end: usize, lines: String) {
        if lines.is_empty() {
            return;
        }
        let next = self.layout.next_line(end);
        if next > 0 && self.slice(0, next).ends_with('\n') {
            let line_break = self.manner.line_break;
            let lines = lines.strip_prefix(line_break).unwrap_or(&lines);
            self.edit(next, next, format!("{lines}{line_break}"));
        } else {
            self.edit(next, next, lines);
        }
    }

    fn block_sequence(
        &mut self,
        node: &Yaml,
        items: &[Yaml],
        wanted: &[Value],
    ) -> Result<(), Awkward> {
        if wanted.is_empty() {
            return Err(Awkward);
        }
        let places = self.layout.hyphens(node, items).ok_or(Awkward)?;
        let (first, _) = places.first().copied().ok_or(Awkward)?;
        let column = self.layout.column(first);
        let old: Vec<Value> = items.iter().map(Yaml::to_json).collect();
        // Where the lines of the item before end; none before the first one.
        let mut last: Option<usize> = None;
        let mut at = 0;
        for step in align(&old, wanted) {
            let (place, item) = (places.get(at).copied(), items.get(at));
            match step {
                Step::Keep(_, new) => {
                    let ((hyphen, end), item) = place.zip(item).ok_or(Awkward)?;
                    let value = wanted.get(new).ok_or(Awkward)?;
                    if !is_same(item, value) {
                        let slot = Slot::Item {
                            after: hyphen + 1,
                            column,
                        };
                        self.value(slot, item, value)?;
                    }
                    last = Some(self.layout.with_kept_lines(item, end));
                    at += 1;
                }
                Step::Remove => {
                    let (hyphen, end) = place.ok_or(Awkward)?;
                    if !self.layout.is_first_on_line(hyphen) {
                        return Err(Awkward);
                    }
                    self.remove_lines(hyphen, end);
                    last = Some(end);
                    at += 1;
                }
                Step::Add(new) => {
                    let value = wanted.get(new).ok_or(Awkward)?;
                    let text = self.manner.item(value, column);
                    match last {
                        Some(end) => self.insert_after(end, text),
                        None => self.insert_before(first, &text)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts an item before the first one, and before the comment on that.
    fn insert_before(&mut self, hyphen: usize, lines: &str) -> Result<(), Awkward> {
        if !self.layout.is_first_on_line(hyphen) {
            return Err(Awkward);
        }
        let start = self.layout.comment_start(hyphen);
        let line_break = self.manner.line_break;
        let lines = lines.strip_prefix(line_break).unwrap_or(lines);
        self.edit(start, start, format!("{lines}{line_break}"));
        Ok(())
    }

    fn flow_mapping(
        &mut self,
        node: &Yaml,
        entries: &[Entry],
        wanted: &Map<String, Value>,
    ) -> Result<(), Awkward> {
        let own = layout::own_entries(node, entries);
        if own.len() != entries.len() {
            return Err(Awkward);
        }
        let mut places = Vec::with_capacity(own.len());
        for entry in &own {
            let after = self.layout.after_colon(entry.key_span).ok_or(Awkward)?;
            if entry.value.span.start < after {
                return Err(Awkward);
            }
            places.push(Span::new(
                entry.key_span.start,
                entry.value.span.end.max(after),
            ));
        }
        let is_quoted = places.first().map_or(self.manner.is_json, |first| {
            self.text.as_bytes().get(first.start) == Some(&b'"')
        });
        let kept = own.iter().map(|entry| wanted.contains_key(&entry.key));
        let parts: Vec<(Span, bool)> = places.iter().copied().zip(kept).collect();
        let start = self.flow_lines(node, &places);
        let flow = Flow {
            is_quoted,
            lines: start.as_deref(),
        };
        for entry in &own {
            if let Some(value) = wanted.get(&entry.key)
                && !is_same(&entry.value, value)
            {
                self.value(Slot::Flow(flow), &entry.value, value)?;
            }
        }
        let added = wanted
            .iter()
            .filter(|(key, _)| !own.iter().any(|entry| entry.key == **key))
            .map(|(key, value)| self.manner.flow_entry(key, value, flow))
            .collect();
        self.flow_parts(node, &parts, added, flow)
    }

    fn flow_sequence(
        &mut self,
        node: &Yaml,
        items: &[Yaml],
        wanted: &[Value],
    ) -> Result<(), Awkward> {
        let mut places = Vec::with_capacity(items.len());
        let mut from = node.span.start;
        for item in items {
            if item.span.start < from || item.span.end <= item.span.start {
                return Err(Awkward);
            }
            from = item.span.end;
            places.push(item.span);
        }
        let start = self.flow_lines(node, &places);
        let is_text = |item: &&Yaml| item.as_str().is_some();
        let is_quoted = self.manner.is_json
            || items
                .iter()
                .find(is_text)
                .is_some_and(|item| self.slice(item.span.start, item.span.end).starts_with('"'));
        let flow = Flow {
            is_quoted,
            lines: start.as_deref(),
        };
        let old: Vec<Value> = items.iter().map(Yaml::to_json).collect();
        let mut kept = vec![false; items.len()];
        let mut added = Vec::new();
        for step in align(&old, wanted) {
            match step {
                Step::Keep(at, new) if added.is_empty() => {
                    let (item, value) = items.get(at).zip(wanted.get(new)).ok_or(Awkward)?;
                    if let Some(kept) = kept.get_mut(at) {
                        *kept = true;
                    }
                    if !is_same(item, value) {
                        self.value(Slot::Flow(flow), item, value)?;
                    }
                }
                Step::Remove => {}
                Step::Add(new) => {
                    let value = wanted.get(new).ok_or(Awkward)?;
                    added.push(self.manner.between_brackets(value, flow, Quotes::Needed));
                }
                // What is put between the others is written with them.
                Step::Keep(..) => return Err(Awkward),
            }
        }
        let parts: Vec<(Span, bool)> = places.into_iter().zip(kept).collect();
        self.flow_parts(node, &parts, added, flow)
    }

    /// What the lines of a collection's parts begin with, if each has a line of its own.
    fn flow_lines(&self, node: &Yaml, places: &[Span]) -> Option<String> {
        match places.first() {
            Some(first) if self.layout.is_first_on_line(first.start) => {
                let line = self.layout.line_start(first.start);
                Some(self.slice(line, first.start).to_owned())
            }
            Some(_) => None,
            // An empty one is written on several lines where the others around it are.
            None => {
                let line = self.layout.line_start(node.span.start);
                let indent = self.layout.indent(line);
                let is_pretty = self.manner.is_json && !indent.is_empty();
                is_pretty.then(|| format!("{indent}{}", self.manner.flow_indent))
            }
        }
    }

    /// Removes and adds parts of a collection in brackets; each comes with whether it is kept.
    fn flow_parts(
        &mut self,
        node: &Yaml,
        parts: &[(Span, bool)],
        added: Vec<String>,
        flow: Flow<'_>,
    ) -> Result<(), Awkward> {
        let Some((last, _)) = parts.last() else {
            return self.fill(node, &added, flow);
        };
        let first_kept = parts.iter().position(|(_, is_kept)| *is_kept);
        let first_kept = first_kept.ok_or(Awkward)?;
        if let (Some((first, _)), Some((next, _))) = (parts.first(), parts.get(first_kept))
            && first_kept > 0
        {
            self.edit(first.start, next.start, "");
        }
        let pairs = parts.iter().zip(parts.iter().skip(1));
        for ((before, _), (part, is_kept)) in pairs.skip(first_kept) {
            if !is_kept {
                self.edit(before.end, part.end, "");
            }
        }
        if added.is_empty() {
            return Ok(());
        }
        let between = match flow.lines {
            Some(start) => format!("{}{start}", self.manner.line_break),
            None => " ".to_owned(),
        };
        let added = added.join(&format!(",{between}"));
        let rest = self.slice(last.end, node.span.end);
        let blank = rest.len() - rest.trim_start().len();
        match rest.trim_start().starts_with(',') {
            // A comma may stand behind the last part already.
            true => {
                let comma = last.end + blank + 1;
                self.edit(comma, comma, format!("{between}{added}"));
            }
            false => self.edit(last.end, last.end, format!(",{between}{added}")),
        }
        Ok(())
    }

    /// Writes the parts of a collection in brackets that was empty.
    fn fill(&mut self, node: &Yaml, added: &[String], flow: Flow<'_>) -> Result<(), Awkward> {
        let inside = self.slice(node.span.start + 1, node.span.end.saturating_sub(1));
        if !inside.trim().is_empty() {
            return Err(Awkward);
        }
        let text = match flow.lines {
            Some(start) => {
                let line_break = self.manner.line_break;
                let outer = start
                    .strip_suffix(self.manner.flow_indent.as_str())
                    .unwrap_or_default();
                let between = format!(",{line_break}{start}");
                format!(
                    "{line_break}{start}{}{line_break}{outer}",
                    added.join(&between)
                )
            }
            None => added.join(", "),
        };
        self.edit(node.span.start + 1, node.span.end.saturating_sub(1), text);
        Ok(())
    }
}
