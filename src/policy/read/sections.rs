//! Cuts a `.cel` file into its description, its front matter and its sections.
//!
//! Line by line and without knowledge of CEL: whatever stands between two `// @` lines is one
//! expression, comments included.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::policy::read::reader::did_you_mean;
use crate::text::{Source, Span};

/// A `.cel` file, cut up.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// The leading comment.
    pub(super) description: String,
    /// What stands between the fences.
    pub(super) front_matter: Option<FrontMatter>,
    /// The sections whose keyword is known, in order.
    pub(super) sections: Vec<Section>,
}

/// The YAML of the front matter, without its comment marks.
#[derive(Debug, Default)]
pub(super) struct FrontMatter {
    /// The YAML.
    pub(super) text: String,
    /// The opening fence.
    pub(super) fence: Span,
    /// For each line, its offset in `text` and in the source.
    lines: Vec<(usize, usize)>,
}

impl FrontMatter {
    /// Returns where the byte at `offset` of the text stands in the source.
    pub(super) fn place(&self, offset: usize) -> usize {
        let at = self.lines.partition_point(|(start, _)| *start <= offset);
        match self.lines.get(at.saturating_sub(1)) {
            Some((start, source)) => source + (offset - start),
            None => self.fence.end,
        }
    }

    fn push(&mut self, line: &str, at: usize) {
        self.lines.push((self.text.len(), at));
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// One section.
#[derive(Debug)]
pub(super) struct Section {
    /// What it is.
    pub(super) keyword: Keyword,
    /// `@let`, as written.
    pub(super) keyword_span: Span,
    /// What follows on the line.
    pub(super) text: String,
    /// Where that stands; empty and behind the keyword if there is nothing.
    pub(super) text_span: Span,
    /// The expression, without comments and space around it; may be empty.
    pub(super) body: Span,
}

/// What a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    /// A match condition.
    When,
    /// A variable.
    Let,
    /// A validation.
    Require,
    /// The message expression of a validation.
    Message,
    /// The reason of a validation.
    Reason,
    /// An audit annotation.
    Audit,
    /// A JSONPatch mutation.
    Patch,
    /// An ApplyConfiguration mutation.
    Apply,
}

impl Keyword {
    const ALL: [(&'static str, Keyword); 8] = [
        ("when", Keyword::When),
        ("let", Keyword::Let),
        ("require", Keyword::Require),
        ("message", Keyword::Message),
        ("reason", Keyword::Reason),
        ("audit", Keyword::Audit),
        ("patch", Keyword::Patch),
        ("apply", Keyword::Apply),
    ];

    fn named(name: &str) -> Option<Keyword> {
        Self::ALL
            .iter()
            .find(|(keyword, _)| *keyword == name)
            .map(|(_, keyword)| *keyword)
    }

    /// Returns the keyword as it is written behind the `@`.
    pub(super) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, keyword)| *keyword == self)
            .map_or("", |(name, _)| name)
    }
}

/// Tells whether `text` has a line that opens a section.
pub(super) fn has_sections(text: &str) -> bool {
    text.lines()
        .filter_map(|line| header(line.trim_end()))
        .any(|header| Keyword::named(header.keyword).is_some())
}

/// Cuts up `source`.
pub(super) fn outline(source: &Arc<Source>) -> (Outline, Vec<Diagnostic>) {
    let mut cutter = Cutter {
        source,
        outline: Outline::default(),
        diagnostics: Vec::new(),
        comments: Vec::new(),
        state: State::Preamble,
        open: None,
    };
    for line in lines(source.text()) {
        cutter.line(line);
    }
    cutter.finish();
    (cutter.outline, cutter.diagnostics)
}

/// A line without its end, and where it begins.
#[derive(Clone, Copy)]
struct Line<'t> {
    start: usize,
    text: &'t str,
}

impl<'t> Line<'t> {
    /// The line without the space around it.
    fn span(self) -> Span {
        let start = self.start + (self.text.len() - self.text.trim_start().len());
        Span::new(start, self.start + self.text.trim_end().len())
    }

    /// What stands behind the comment mark, if it is a comment, and where.
    fn comment(self) -> Option<Line<'t>> {
        let text = self.text.trim_start().strip_prefix("//")?;
        let text = text.strip_prefix(' ').unwrap_or(text);
        Some(Line {
            start: self.start + (self.text.len() - text.len()),
            text,
        })
    }

    fn is_fence(self) -> bool {
        self.comment()
            .is_some_and(|comment| comment.text.trim() == "---")
    }
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    // A byte order mark is no text.
    let mut start = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    text.get(start..)
        .unwrap_or_default()
        .split_inclusive('\n')
        .map(move |line| {
            let at = start;
            start += line.len();
            let text = line.strip_suffix('\n').unwrap_or(line);
            Line {
                start: at,
                text: text.strip_suffix('\r').unwrap_or(text),
            }
        })
}

/// The line that opens a section: `// @keyword text`.
struct Header<'t> {
    /// Offset of the `@` in the line.
    at: usize,
    keyword: &'t str,
    text: &'t str,
}

fn header(line: &str) -> Option<Header<'_>> {
    let comment = line.trim_start().strip_prefix("//")?.trim_start();
    let rest = comment.strip_prefix('@')?;
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .unwrap_or(rest.len());
    let (keyword, text) = rest.split_at(end);
    Some(Header {
        at: line.len() - comment.len(),
        keyword,
        text: text.trim(),
    })
}

enum State {
    /// Before the first section and outside the front matter.
    Preamble,
    /// Between the fences.
    FrontMatter(FrontMatter),
    /// Behind the first section's header.
    Sections,
}

/// A section whose end is not seen yet; `None` stands for one with an unknown keyword.
struct Open {
    section: Option<Section>,
    body_start: usize,
}

struct Cutter<'s> {
    source: &'s Arc<Source>,
    outline: Outline,
    diagnostics: Vec<Diagnostic>,
    /// The comments seen in the preamble, `None` for an empty line.
    comments: Vec<Option<String>>,
    state: State,
    open: Option<Open>,
}

impl Cutter<'_> {
    fn line(&mut self, line: Line<'_>) {
        if let State::FrontMatter(front_matter) = &mut self.state {
            if line.is_fence() {
                let front_matter = std::mem::take(front_matter);
                self.outline.front_matter = Some(front_matter);
                self.state = State::Preamble;
                return;
            }
            match line.comment() {
                Some(comment) if header(line.text).is_none() => {
                    front_matter.push(comment.text, comment.start);
                    return;
                }
                None if line.text.trim().is_empty() => {
                    front_matter.push("", line.start);
                    return;
                }
                _ => self.unclosed_front_matter(),
            }
        }
        if let Some(header) = header(line.text) {
            self.open_section(line, &header);
        } else if matches!(self.state, State::Preamble) {
            self.preamble(line);
        } else if line.is_fence() {
            self.error(
                line.span(),
                "policy/front-matter-misplaced",
                "front matter must stand before the first section",
                "move it to the top of the file, below the description",
            );
        }
    }

    fn preamble(&mut self, line: Line<'_>) {
        if line.is_fence() {
            if self.has_said("policy/front-matter-not-closed") {
                // This is the end that was missed.
                return;
            }
            if self.outline.front_matter.is_some() {
                self.error(
                    line.span(),
                    "policy/front-matter-misplaced",
                    "a file has one front matter",
                    "write all keys between the first two `// ---` lines",
                );
            }
            self.describe_with_all();
            self.state = State::FrontMatter(FrontMatter {
                fence: line.span(),
                ..FrontMatter::default()
            });
        } else if let Some(comment) = line.comment() {
            self.comments.push(Some(comment.text.trim_end().to_owned()));
        } else if line.text.trim().is_empty() {
            self.comments.push(None);
        } else {
            if !self.has_said("policy/text-before-section") {
                self.error(
                    line.span(),
                    "policy/text-before-section",
                    "this stands before the first section",
                    "open a section in the line above, such as `// @require WHAT MUST HOLD`; \
                     descriptions are comments",
                );
            }
            self.comments.push(None);
        }
    }

    fn has_said(&self, code: &str) -> bool {
        let said = |diagnostic: &Diagnostic| diagnostic.code == code;
        self.diagnostics.iter().any(said)
    }

    fn open_section(&mut self, line: Line<'_>, header: &Header<'_>) {
        if let State::Preamble = self.state {
            self.describe_with_first_block();
        }
        self.state = State::Sections;
        self.close_section(line.start);
        let keyword_start = line.start + header.at;
        let keyword_span = Span::new(keyword_start, keyword_start + 1 + header.keyword.len());
        let text_end = line.start + line.text.trim_end().len();
        let text_start = if header.text.is_empty() {
            text_end
        } else {
            text_end - header.text.len()
        };
        let body_start = line.start + line.text.len();
        let keyword = Keyword::named(header.keyword);
        if keyword.is_none() {
            self.unknown_section(keyword_span, header.keyword);
        }
        self.open = Some(Open {
            section: keyword.map(|keyword| Section {
                keyword,
                keyword_span,
                text: header.text.to_owned(),
                text_span: Span::new(text_start, text_end),
                body: Span::new(body_start, body_start),
            }),
            body_start,
        });
    }

    fn unknown_section(&mut self, span: Span, keyword: &str) {
        let known = Keyword::ALL.map(|(name, _)| name);
        let help = did_you_mean(keyword, known, "`@", "`").unwrap_or_else(|| {
            format!(
                "sections are {}; a comment must not begin with `@`",
                known.map(|name| format!("`@{name}`")).join(", ")
            )
        });
        self.error(
            span,
            "policy/unknown-section",
            format!("unknown section `@{keyword}`"),
            help,
        );
    }

    fn close_section(&mut self, end: usize) {
        let Some(open) = self.open.take() else { return };
        if let Some(mut section) = open.section {
            section.body = expression(self.source, Span::new(open.body_start, end));
            self.outline.sections.push(section);
        }
    }

    fn unclosed_front_matter(&mut self) {
        let State::FrontMatter(front_matter) = std::mem::replace(&mut self.state, State::Preamble)
        else {
            return;
        };
        self.error(
            front_matter.fence,
            "policy/front-matter-not-closed",
            "the front matter is not closed",
            "end it with a line `// ---`; each of its lines begins with `//`",
        );
        self.outline.front_matter = Some(front_matter);
    }

    fn finish(&mut self) {
        match self.state {
            State::FrontMatter(_) => self.unclosed_front_matter(),
            State::Preamble => self.describe_with_first_block(),
            State::Sections => self.close_section(self.source.text().len()),
        }
    }

    /// Everything above the front matter describes the policy.
    fn describe_with_all(&mut self) {
        if self.outline.front_matter.is_none() {
            let comments = std::mem::take(&mut self.comments);
            self.outline.description = join(comments.into_iter().map(Option::unwrap_or_default));
        }
    }

    /// Without front matter, the first comment without an empty line in it does.
    fn describe_with_first_block(&mut self) {
        if self.outline.front_matter.is_none() && self.outline.description.is_empty() {
            let comments = std::mem::take(&mut self.comments);
            self.outline.description = join(
                comments
                    .into_iter()
                    .skip_while(Option::is_none)
                    .map_while(|comment| comment),
            );
        }
    }

    fn error(
        &mut self,
        span: Span,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.diagnostics.push(
            Diagnostic::error(code, message)
                .at(self.source, span)
                .help(help),
        );
    }
}

fn join(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Returns the part of `span` from the first to the last line that is more than a comment.
fn expression(source: &Source, span: Span) -> Span {
    let mut text = source.slice(span);
    let mut start = span.start;
    loop {
        let trimmed = text.trim_start();
        start += text.len() - trimmed.len();
        text = trimmed;
        if !text.starts_with("//") {
            break;
        }
        let end = text.find('\n').unwrap_or(text.len());
        start += end;
        text = text.get(end..).unwrap_or_default();
    }
    loop {
        text = text.trim_end();
        let last = text.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(last..).unwrap_or_default();
        if !line.trim_start().starts_with("//") {
            break;
        }
        text = text.get(..last).unwrap_or_default();
    }
    Span::new(start, start + text.len())
}

#[cfg(test)]
mod tests;
