//! From Go's syntax of regular expressions to that of the crate `regex`.
//!
//! One pass from left to right, as Go's parser, so that of several errors the same one is reported
//! (Go `regexp/syntax/parse.go`). Flags are resolved here and written at each place they matter;
//! groups capture nothing, as CEL has no use for it. Open groups are on a stack of our own.

use std::fmt::Write as _;

use super::class;

/// Nesting Go accepts (`maxHeight`).
const MAX_HEIGHT: u32 = 1_000;
/// Instructions Go accepts (`maxSize`: 128 MiB at 40 bytes each).
const MAX_SIZE: u64 = (128 << 20) / 40;
/// Repetitions Go accepts, also of nested ones together.
const MAX_REPEAT: u32 = 1_000;

/// Why a text is no regular expression; prints as Go's error does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}: `{part}`")]
pub struct PatternError {
    reason: &'static str,
    part: String,
}

impl PatternError {
    pub(super) fn new(reason: &'static str, part: &str) -> PatternError {
        PatternError {
            reason,
            part: part.to_owned(),
        }
    }

    pub(super) fn too_large(expression: &str) -> PatternError {
        PatternError::new("expression too large", expression)
    }
}

/// An expression in the crate's syntax.
pub(super) struct Translated {
    pub(super) text: String,
    /// How deeply groups are nested.
    pub(super) depth: usize,
}

/// Translates an expression.
pub(super) fn translate(expression: &str) -> Result<Translated, PatternError> {
    let mut translator = Translator {
        whole: expression,
        rest: expression,
        text: String::with_capacity(expression.len() * 2),
        flags: Flags::default(),
        groups: Vec::new(),
        current: Group::default(),
        last_repeat: "",
        depth: 0,
    };
    while !translator.rest.is_empty() {
        let repeat = translator.step()?;
        translator.last_repeat = repeat;
    }
    if !translator.groups.is_empty() {
        return Err(PatternError::new("missing closing )", expression));
    }
    let whole = translator.current.finish();
    translator.check_limits(whole)?;
    Ok(Translated {
        text: translator.text,
        depth: translator.depth,
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
    lazy: bool,
}

/// What Go's limits look at in a part of an expression.
#[derive(Debug, Clone, Copy)]
struct Measure {
    /// The largest product of nested repeat counts.
    repeats: u32,
    /// Instructions.
    size: u64,
    /// Height of the syntax tree.
    height: u32,
    is_literal: bool,
}

const LEAF: Measure = Measure {
    repeats: 1,
    size: 1,
    height: 1,
    is_literal: false,
};

/// A group being read.
#[derive(Debug, Default)]
struct Group {
    captures: bool,
    /// The flags to restore at its end.
    outer_flags: Flags,
    /// What a repetition would apply to.
    last: Option<Measure>,
    branch: Sum,
    branches: Vec<Measure>,
}

/// The parts of a branch before the last one.
#[derive(Debug, Default)]
struct Sum {
    parts: u32,
    repeats: u32,
    size: u64,
    height: u32,
    ends_with_literal: bool,
}

impl Group {
    fn push(&mut self, part: Measure) {
        self.settle();
        self.last = Some(part);
    }

    /// Adds the last part to its branch; nothing can be repeated then.
    fn settle(&mut self) {
        let Some(part) = self.last.take() else { return };
        let branch = &mut self.branch;
        // Neighbouring literals are one node.
        if !(part.is_literal && branch.ends_with_literal) {
            branch.parts += 1;
        }
        branch.repeats = branch.repeats.max(part.repeats);
        branch.size = branch.size.saturating_add(part.size);
        branch.height = branch.height.max(part.height);
        branch.ends_with_literal = part.is_literal;
    }

    fn end_branch(&mut self) {
        self.settle();
        let branch = std::mem::take(&mut self.branch);
        self.branches.push(Measure {
            repeats: branch.repeats.max(1),
            size: branch.size.max(1),
            height: branch.height.max(1) + u32::from(branch.parts > 1),
            is_literal: branch.ends_with_literal && branch.parts == 1,
        });
    }

    /// Ends the group; the measure is that of what is in it.
    fn finish(&mut self) -> Measure {
        self.end_branch();
        match self.branches.as_slice() {
            [branch] => *branch,
            branches => Measure {
                repeats: branches
                    .iter()
                    .map(|branch| branch.repeats)
                    .max()
                    .unwrap_or(1),
                size: branches
                    .iter()
                    .map(|branch| branch.size.saturating_add(1))
                    .sum(),
                height: branches
                    .iter()
                    .map(|branch| branch.height)
                    .max()
                    .unwrap_or(1)
                    + 1,
                is_literal: false,
            },
        }
    }
}

/// `{min,max}`
#[derive(Debug, Clone, Copy)]
struct Range {
    min: Option<u32>,
    /// `None` if there is none.
    max: Option<Option<u32>>,
}

struct Translator<'e> {
    whole: &'e str,
    rest: &'e str,
    text: String,
    flags: Flags,
    groups: Vec<Group>,
    current: Group,
    /// The repetition just read, to refuse another one on top of it.
    last_repeat: &'e str,
    depth: usize,
}

impl<'e> Translator<'e> {
    /// Reads one item; gives the text from a repetition on if it was one.
    fn step(&mut self) -> Result<&'e str, PatternError> {
        let before = self.rest;
        let Some(letter) = before.chars().next() else {
            return Ok("");
        };
        match letter {
            '(' if before.starts_with("(?") => self.group_or_flags()?,
            '(' => {
                self.skip(1);
                self.open(true)?;
            }
            '|' => {
                self.skip(1);
                self.current.end_branch();
                self.text.push('|');
            }
            ')' => self.close()?,
            '^' if self.flags.multi_line => self.leaf(1, "(?m:^)"),
            '^' => self.leaf(1, r"\A"),
            '$' if self.flags.multi_line => self.leaf(1, "(?m:$)"),
            '$' => self.leaf(1, r"\z"),
            '.' if self.flags.dot_matches_newline => self.leaf(1, "(?s:.)"),
            '.' => self.leaf(1, "."),
            '[' => {
                let (class, rest) = class::read(before)?;
                self.rest = rest;
                self.class(&class);
            }
            '*' | '+' | '?' => {
                self.skip(1);
                self.repeat(before, None)?;
                return Ok(before);
            }
            '{' => match repeat_range(before) {
                Some((range, rest)) => {
                    self.rest = rest;
                    self.repeat(before, Some(range))?;
                    return Ok(before);
                }
                None => {
                    self.skip(1);
                    self.literal('{');
                }
            },
            '\\' => self.escape()?,
            letter => {
                self.skip(letter.len_utf8());
                self.literal(letter);
            }
        }
        Ok("")
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn leaf(&mut self, bytes: usize, translated: &str) {
        self.skip(bytes);
        self.text.push_str(translated);
        self.current.push(LEAF);
    }

    fn class(&mut self, class: &str) {
        if self.flags.fold_case {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "(?i:{class})");
        } else {
            self.text.push_str(class);
        }
        self.current.push(LEAF);
    }

    fn literal(&mut self, letter: char) {
        let is_cased = !letter.is_ascii() || letter.is_ascii_alphabetic();
        if self.flags.fold_case && is_cased {
            self.text.push_str("(?i:");
            push_literal(&mut self.text, letter);
            self.text.push(')');
        } else {
            push_literal(&mut self.text, letter);
        }
        self.current.push(Measure {
            is_literal: true,
            ..LEAF
        });
    }

    fn open(&mut self, captures: bool) -> Result<(), PatternError> {
        self.text.push_str("(?:");
        let group = Group {
            captures,
            outer_flags: self.flags,
            ..Group::default()
        };
        self.current.settle();
        self.groups
            .push(std::mem::replace(&mut self.current, group));
        self.depth = self.depth.max(self.groups.len());
        // Go counts capturing groups only.
        if self.depth > MAX_HEIGHT as usize {
            return Err(self.too_deep());
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let Some(outer) = self.groups.pop() else {
            return Err(PatternError::new("unexpected )", self.whole));
        };
        self.skip(1);
        self.text.push(')');
        let mut inner = std::mem::replace(&mut self.current, outer);
        let mut measure = inner.finish();
        self.flags = inner.outer_flags;
        if inner.captures {
            measure = Measure {
                size: measure.size.saturating_add(2),
                height: measure.height + 1,
                is_literal: false,
                ..measure
            };
        }
        self.check_limits(measure)?;
        self.current.push(measure);
        Ok(())
    }

    /// Reads `(?i)`, `(?i:`, `(?P<name>` or `(?<name>`.
    fn group_or_flags(&mut self) -> Result<(), PatternError> {
        let whole = self.rest;
        let name = whole
            .strip_prefix("(?P<")
            .or(whole.strip_prefix("(?<"))
            .filter(|name| !name.is_empty());
        if let Some(name) = name {
            let Some((name, rest)) = name.split_once('>') else {
                return Err(PatternError::new("invalid named capture", whole));
            };
            let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
            if name.is_empty() || !name.bytes().all(is_word) {
                return Err(PatternError::new(
                    "invalid named capture",
                    until(whole, rest),
                ));
            }
            self.rest = rest;
            return self.open(true);
        }
        self.skip(2);
        let mut flags = self.flags;
        let (mut set, mut saw_flag) = (true, false);
        while let Some(letter) = self.rest.chars().next() {
            self.skip(letter.len_utf8());
            match letter {
                'i' => flags.fold_case = set,
                'm' => flags.multi_line = set,
                's' => flags.dot_matches_newline = set,
                'U' => flags.lazy = set,
                '-' if set => {
                    (set, saw_flag) = (false, false);
                    continue;
                }
                ':' | ')' if set || saw_flag => {
                    if letter == ':' {
                        self.open(false)?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            saw_flag = true;
        }
        let reason = "invalid or unsupported Perl syntax";
        Err(PatternError::new(reason, until(whole, self.rest)))
    }

    fn repeat(&mut self, before: &'e str, range: Option<Range>) -> Result<(), PatternError> {
        let operator = until(before, self.rest);
        if let Some(range) = range {
            check_range(range)
                .ok_or_else(|| PatternError::new("invalid repeat count", operator))?;
        }
        let mut lazy = self.flags.lazy;
        if self.rest.starts_with('?') {
            self.skip(1);
            lazy = !lazy;
        }
        if !self.last_repeat.is_empty() {
            let stacked = until(self.last_repeat, self.rest);
            return Err(PatternError::new(
                "invalid nested repetition operator",
                stacked,
            ));
        }
        let Some(part) = self.current.last else {
            let reason = "missing argument to repetition operator";
            return Err(PatternError::new(reason, until(before, self.rest)));
        };
        let repeated = part.repeated(operator, range);
        self.current.last = Some(repeated);
        if repeated.repeats > MAX_REPEAT {
            return Err(PatternError::new(
                "invalid repeat count",
                until(before, self.rest),
            ));
        }
        self.check_limits(repeated)?;
        self.text.push_str(operator);
        if lazy {
            self.text.push('?');
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        match self.rest.as_bytes().get(1) {
            Some(b'A') => self.leaf(2, r"\A"),
            Some(b'b') => self.leaf(2, r"(?-u:\b)"),
            Some(b'B') => self.leaf(2, r"(?-u:\B)"),
            Some(b'z') => self.leaf(2, r"\z"),
            Some(b'C') => {
                return Err(PatternError::new("invalid escape sequence", r"\C"));
            }
            Some(b'Q') => {
                self.skip(2);
                let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                quoted.chars().for_each(|letter| self.literal(letter));
                self.rest = rest;
            }
            _ => match class::read_escaped(self.rest)? {
                Some((class, rest)) => {
                    self.rest = rest;
                    self.class(&format!("[{class}]"));
                }
                None => {
                    let (code, rest) = class::read_character(self.rest)?;
                    self.rest = rest;
                    match char::from_u32(code) {
                        Some(letter) => self.literal(letter),
                        // A surrogate: no text has one.
                        None => self.leaf(0, class::NOTHING),
                    }
                }
            },
        }
        Ok(())
    }

    fn check_limits(&self, measure: Measure) -> Result<(), PatternError> {
        if measure.size > MAX_SIZE {
            return Err(PatternError::too_large(self.whole));
        }
        if measure.height > MAX_HEIGHT {
            return Err(self.too_deep());
        }
        Ok(())
    }

    fn too_deep(&self) -> PatternError {
        PatternError::new("expression nests too deeply", self.whole)
    }
}

impl Measure {
    /// Returns the measure under a repetition (`calcSize`, `repeatIsValid`).
    fn repeated(self, operator: &str, range: Option<Range>) -> Measure {
        let (size, repeats) = match range.and_then(|range| Some((range.min?, range.max))) {
            None if operator == "*" => (self.size.saturating_add(2), self.repeats),
            None => (self.size.saturating_add(1), self.repeats),
            Some((0, None)) => (self.size.saturating_add(2), 1),
            Some((min, None)) => (
                self.size.saturating_mul(min.into()).saturating_add(1),
                self.repeats.saturating_mul(min),
            ),
            Some((min, Some(max))) => {
                let max = max.unwrap_or(u32::MAX);
                (
                    self.size
                        .saturating_mul(max.into())
                        .saturating_add(max.saturating_sub(min).into()),
                    // Nothing below `{0}` counts.
                    self.repeats.saturating_mul(max).max(1),
                )
            }
        };
        Measure {
            repeats,
            size: size.max(1),
            height: self.height + 1,
            is_literal: false,
        }
    }
}

fn check_range(range: Range) -> Option<()> {
    let min = range.min.filter(|min| *min <= MAX_REPEAT)?;
    match range.max {
        None => Some(()),
        Some(max) => max
            .filter(|max| *max <= MAX_REPEAT && *max >= min)
            .map(|_| ()),
    }
}

/// Reads `{2}`, `{2,}` or `{2,5}`; anything else is literal text. Numbers that are too large are
/// `None` inside.
fn repeat_range(text: &str) -> Option<(Range, &str)> {
    let (min, rest) = repeat_count(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = repeat_count(rest)?;
            (Some(max), rest)
        }
    };
    Some((Range { min, max }, rest.strip_prefix('}')?))
}

/// Reads a number without leading zeros.
fn repeat_count(text: &str) -> Option<(Option<u32>, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().ok(), rest))
}

/// Returns the part of `text` that comes before its tail `rest`.
pub(super) fn until<'e>(text: &'e str, rest: &str) -> &'e str {
    text.get(..text.len().saturating_sub(rest.len()))
        .unwrap_or(text)
}

/// Writes a character so that the crate takes it literally.
fn push_literal(text: &mut String, letter: char) {
    if regex_syntax::is_meta_character(letter) {
        text.push('\\');
    }
    text.push(letter);
}
