//! Findings for people: the source underlined, with help, in the manner of rustc.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Padding, Renderer, Snippet,
};

use super::{Diagnostic, Label, Severity, Style};
use crate::text::Position;

/// A line longer than this is shown in part.
const LONG_LINE_BYTES: usize = 400;

/// How much of a long line is shown before a place, and from it on.
const SHOWN_BEFORE_BYTES: usize = 40;
const SHOWN_FROM_BYTES: usize = 80;

/// Most lines of an excerpt with several labels; the renderer leaves out lines between them.
const LINES_TOGETHER: usize = 12;

/// Prints findings separated by empty lines.
pub(super) fn render(findings: &[&Diagnostic], style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut text = String::new();
    for finding in findings {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&one(finding, &renderer));
        text.push('\n');
    }
    text
}

fn one(finding: &Diagnostic, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let message = printable(&finding.message, Lines::Kept);
    let title = level
        .primary_title(message)
        .id(printable(&finding.code, Lines::Joined));
    let excerpts = excerpts(&finding.labels);
    let mut group = Group::with_title(title);
    for excerpt in &excerpts {
        group = group.element(excerpt.snippet());
    }
    let mut notes = Vec::new();
    if let Some(subject) = &finding.subject {
        let subject = printable(subject, Lines::Joined);
        notes.push(Level::NOTE.with_name("object").message(subject));
    }
    if let Some(help) = &finding.help {
        notes.push(Level::HELP.message(printable(help, Lines::Kept)));
    }
    if !excerpts.is_empty() && notes.is_empty() {
        group = group.element(Element::Padding(Padding));
    }
    let mut text = renderer.render(&[group.elements(notes)]);
    for excerpt in excerpts.iter().filter(|excerpt| excerpt.is_cut()) {
        // The renderer counts columns in what it is given; a cut line begins later.
        text = text.replacen(&excerpt.shown_place(), &excerpt.true_place(), 1);
    }
    text
}

/// A piece of a source with the places in it.
struct Excerpt<'a> {
    path: String,
    text: String,
    /// Where the first label really is.
    position: Position,
    /// Line number of the first line of `text`.
    first_line: usize,
    /// The bytes to underline in `text`, with what to say.
    marks: Vec<Mark<'a>>,
    /// The column at which the renderer sees the first label, if that is not the true one.
    shown_column: Option<usize>,
}

struct Mark<'a> {
    range: Range<usize>,
    label: &'a Label,
    is_primary: bool,
}

impl Excerpt<'_> {
    fn snippet(&self) -> Snippet<'_, Annotation<'_>> {
        let marks = self.marks.iter().map(|mark| {
            let kind = if mark.is_primary {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let words = printable(&mark.label.text, Lines::Joined);
            kind.span(mark.range.clone())
                .label(Some(words).filter(|words| !words.is_empty()))
        });
        Snippet::source(self.text.as_str())
            .path(self.path.as_str())
            .line_start(self.first_line)
            .annotations(marks)
    }

    fn is_cut(&self) -> bool {
        self.shown_column.is_some()
    }

    fn shown_place(&self) -> String {
        let column = self.shown_column.unwrap_or(self.position.column);
        format!("{}:{}:{column}", self.path, self.position.line)
    }

    fn true_place(&self) -> String {
        let Position { line, column } = self.position;
        format!("{}:{line}:{column}", self.path)
    }
}

/// Returns what to draw: the labels of a file together if they are close, otherwise one by one.
fn excerpts(labels: &[Label]) -> Vec<Excerpt<'_>> {
    let mut files: Vec<Vec<(usize, &Label)>> = Vec::new();
    for (at, label) in labels.iter().enumerate() {
        let is_same_file = |file: &&mut Vec<(usize, &Label)>| {
            file.first()
                .is_some_and(|(_, other)| Arc::ptr_eq(&other.source, &label.source))
        };
        match files.iter_mut().find(is_same_file) {
            Some(file) => file.push((at, label)),
            None => files.push(vec![(at, label)]),
        }
    }
    let drawn = files.into_iter().flat_map(|file| match together(&file) {
        Some(excerpt) => vec![excerpt],
        None => file.into_iter().map(one_label).collect(),
    });
    drawn.collect()
}

fn one_label((at, label): (usize, &Label)) -> Excerpt<'_> {
    together(&[(at, label)]).unwrap_or_else(|| cut(label, at == 0))
}

/// Draws the labels of one file, numbered in the finding, into one excerpt if it is small.
fn together<'a>(labels: &[(usize, &'a Label)]) -> Option<Excerpt<'a>> {
    let (_, first) = labels.first()?;
    let bounds = labels.iter().map(|(_, label)| line_around(label));
    let (from, to) = bounds.fold((usize::MAX, 0), |(from, to), (start, end)| {
        (from.min(start), to.max(end))
    });
    let text = first.source.text().get(from..to)?;
    let is_small = text.len() <= LONG_LINE_BYTES * LINES_TOGETHER
        && text.lines().count() <= LINES_TOGETHER
        && text.lines().all(|line| line.len() <= LONG_LINE_BYTES);
    if !is_small {
        return None;
    }
    let marks = labels.iter().map(|(at, label)| Mark {
        range: within(label, from),
        label,
        is_primary: *at == 0,
    });
    Some(Excerpt {
        path: printable(first.source.name(), Lines::Joined),
        text: text.to_owned(),
        position: first.position(),
        first_line: first.source.position(from).line,
        marks: marks.collect(),
        shown_column: None,
    })
}

/// Draws what is around a label on a line too long to be shown.
fn cut(label: &Label, is_primary: bool) -> Excerpt<'_> {
    let position = label.position();
    let (line_start, line_end) = line_around(label);
    let start = boundary(label, label.span.start);
    let from = boundary(label, start.saturating_sub(SHOWN_BEFORE_BYTES)).max(line_start);
    let to = boundary(label, start + SHOWN_FROM_BYTES)
        .min(line_end)
        .max(start);
    let end = boundary(label, label.span.end).clamp(start, to);
    let lead = if from > line_start { "…" } else { "" };
    let tail = if to < line_end { "…" } else { "" };
    let shown = label.source.text().get(from..to).unwrap_or_default();
    let range = lead.len() + start - from..lead.len() + end - from;
    let text = format!("{lead}{shown}{tail}");
    let before = text.get(..range.start).unwrap_or_default();
    Excerpt {
        path: printable(label.source.name(), Lines::Joined),
        position,
        first_line: position.line,
        shown_column: Some(before.chars().count() + 1),
        text,
        marks: vec![Mark {
            range,
            label,
            is_primary,
        }],
    }
}

/// Returns where the line of a label begins and ends, without its line break.
fn line_around(label: &Label) -> (usize, usize) {
    let text = label.source.text();
    let at = boundary(label, label.span.start);
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = after.find('\n').map_or(text.len(), |newline| at + newline);
    (start, end)
}

/// Returns the bytes of a label on its first line, counted from `from`.
fn within(label: &Label, from: usize) -> Range<usize> {
    let (_, line_end) = line_around(label);
    let start = boundary(label, label.span.start);
    let end = boundary(label, label.span.end).clamp(start, line_end.max(start));
    start - from..end - from
}

/// Returns the last beginning of a character at or before an offset.
fn boundary(label: &Label, offset: usize) -> usize {
    let text = label.source.text();
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    Kept,
    Joined,
}

/// Makes control characters visible, so that a manifest cannot write to the terminal.
pub(super) fn printable(text: &str, lines: Lines) -> String {
    let visible = |c: char| match c {
        '\n' if lines == Lines::Kept => c,
        '\t' => ' ',
        // The pictures of the control characters are in the same order as these.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(' '),
        // Deletes, and whatever changes the direction of what follows.
        '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ => c,
    };
    text.trim_end().chars().map(visible).collect()
}
