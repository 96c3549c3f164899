//! Source texts, spans in them, and the places a person is pointed at.
//!
//! Everything a person wrote (policies, manifests, configuration) is kept as a [`Source`]; whatever
//! is read from it carries a [`Span`], so that every finding can be shown where it is.

#[cfg(test)]
mod tests;
pub mod yaml;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A text with the name it is shown under: a path as the user gave it, or `<stdin>`.
#[derive(Debug)]
pub struct Source {
    name: Box<str>,
    text: Box<str>,
    /// Byte offset of the first character of each line; most sources are never asked for one.
    line_starts: OnceLock<Box<[usize]>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

impl Eq for Source {}

impl Source {
    /// Keeps `text` under `name`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Source {
            name: name.into().into(),
            text: text.into().into(),
            line_starts: OnceLock::new(),
        })
    }

    /// Returns the name the text is shown under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text of `span`, clipped to the source and to character boundaries.
    pub fn slice(&self, span: Span) -> &str {
        let start = self.boundary_before(span.start);
        let end = (span.end.max(start)..self.text.len())
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// Returns the line and column, both from 1, columns in characters, of a byte offset.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.boundary_before(offset);
        let line_starts = self.line_starts();
        let line = line_starts.partition_point(|start| *start <= offset).max(1);
        let start = line_starts.get(line - 1).copied().unwrap_or_default();
        let column = self
            .text
            .get(start..offset)
            .map_or(0, |before| before.chars().count())
            + 1;
        Position { line, column }
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let breaks = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(breaks).collect()
        })
    }

    /// Returns the last beginning of a character at or before `offset`.
    fn boundary_before(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// A half-open range of bytes, `start..end`, of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// Makes the span `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// Returns the smallest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A place as people count: line and column from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// Returns the line and column of a byte offset in a text that is no [`Source`].
pub fn position(text: &str, offset: usize) -> Position {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
    }
}

/// Returns as much of a text as a message may repeat, with `…` for the rest.
pub fn excerpt(text: &str) -> String {
    const CHARACTERS: usize = 40;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A text taken out of a source (an expression in a YAML scalar, say) that knows where each of its
/// bytes came from.
///
/// Quoting, folding and indentation make the text differ from the bytes in the file; the map is
/// piecewise linear.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// The source the text was taken from.
    pub source: Arc<Source>,
    /// The text itself, unquoted and unindented.
    pub text: String,
    /// Pieces in order of both offsets: from `text_offset` on, bytes came from `source_offset` on.
    /// INVARIANT: never empty, and the first `text_offset` is 0 (upheld by the constructors).
    pieces: Vec<Piece>,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    text_offset: usize,
    source_offset: usize,
}

impl Fragment {
    /// Takes the bytes of `span` as they are.
    pub fn verbatim(source: &Arc<Source>, span: Span) -> Self {
        Fragment {
            text: source.slice(span).to_owned(),
            source: Arc::clone(source),
            pieces: vec![Piece {
                text_offset: 0,
                source_offset: span.start,
            }],
            end: span.end,
        }
    }

    /// Takes `text`, which is written in `span` with quoting or indentation, with the places where
    /// runs of unchanged bytes begin as pairs (offset in the text, offset in the source).
    pub fn mapped(
        source: &Arc<Source>,
        span: Span,
        text: String,
        runs: impl IntoIterator<Item = (usize, usize)>,
    ) -> Self {
        let mut pieces = vec![Piece {
            text_offset: 0,
            source_offset: span.start,
        }];
        // A run that begins where the one before it does replaces it.
        for (text_offset, source_offset) in runs {
            while pieces
                .pop_if(|last| last.text_offset >= text_offset)
                .is_some()
            {}
            pieces.push(Piece {
                text_offset,
                source_offset,
            });
        }
        Fragment {
            source: Arc::clone(source),
            text,
            pieces,
            end: span.end,
        }
    }

    /// Returns the text with parts of it written otherwise: `edits` are ranges of it, in order and
    /// apart from each other, with what stands there instead.
    pub fn edited(&self, edits: &[(Range<usize>, &str)]) -> Fragment {
        let mut text = String::with_capacity(self.text.len());
        let mut runs = Vec::new();
        let mut kept_from = 0;
        let end = self.text.len();
        for (range, written) in edits.iter().cloned().chain([(end..end, "")]) {
            let kept = kept_from..range.start.max(kept_from);
            runs.push((text.len(), self.offset(kept.start)));
            let inside = |piece: &&Piece| kept.contains(&piece.text_offset);
            for piece in self.pieces.iter().filter(inside) {
                let at = text.len() + (piece.text_offset - kept.start);
                runs.push((at, piece.source_offset));
            }
            text.push_str(self.text.get(kept).unwrap_or_default());
            runs.push((text.len(), self.offset(range.start)));
            text.push_str(written);
            kept_from = range.end;
        }
        Fragment::mapped(&self.source, self.span(), text, runs)
    }

    /// Returns the span of the whole text in its source.
    pub fn span(&self) -> Span {
        Span::new(self.offset(0), self.end)
    }

    /// Returns where a span of the text lies in the source.
    pub fn locate(&self, span: Span) -> Span {
        let start = self.offset(span.start);
        let last = self.offset(span.end.saturating_sub(1).max(span.start));
        let end = if span.end > span.start {
            last + 1
        } else {
            last
        };
        Span::new(start, end.max(start))
    }

    fn offset(&self, text_offset: usize) -> usize {
        let at = self
            .pieces
            .partition_point(|piece| piece.text_offset <= text_offset);
        match self.pieces.get(at.saturating_sub(1)) {
            Some(piece) => (piece.source_offset + (text_offset - piece.text_offset)).min(self.end),
            None => self.end,
        }
    }
}

/// Returns the candidate closest to `name`, if one is close enough to be what was meant.
///
/// Close enough is an edit distance (with transpositions) of at most a third of the name's length,
/// and at least one.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

fn edits(name: &str, candidate: &str) -> usize {
    strsim::osa_distance(&name.to_lowercase(), &candidate.to_lowercase())
}
