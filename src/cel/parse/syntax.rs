//! What is wrong with a text that is no expression. The crate's words list rules of its grammar; ours
//! say what stands there, and what may be meant.

use ::cel::ParseError;

use crate::cel::issue::Issue;
use crate::cel::lex::{Token, TokenKind};
use crate::text::Span;

/// What stands for a loop.
const LOOPS: &str = "lists are gone through by `all`, `exists`, `filter` and `map`";

/// A text that the parser refused.
pub(super) struct Refused<'s> {
    /// The expression.
    pub(super) source: &'s str,
    /// Its tokens.
    pub(super) tokens: &'s [Token],
}

impl Refused<'_> {
    /// Makes an issue of the parser's first error.
    pub(super) fn issue(&self, error: Option<&ParseError>) -> Issue {
        let Some(error) = error else {
            return Issue::new(
                Span::new(0, self.source.len()),
                "expression is not understood",
            );
        };
        let offset = offset_of(self.source, error.pos);
        let at = self.tokens.iter().position(|token| token.span.end > offset);
        let message = error
            .msg
            .strip_prefix("Syntax error: ")
            .unwrap_or(&error.msg);
        if let Some(unread) = message.strip_prefix("token recognition error at: ") {
            return self.unreadable(at, unread);
        }
        if let Some(word) = message.strip_prefix("reserved identifier: ") {
            return self.reserved(at, word);
        }
        let is_syntax = ["expecting", "no viable alternative", "missing", "Context"]
            .iter()
            .any(|part| message.contains(part));
        match at {
            None if is_syntax || message.starts_with("Incomplete") => self.ended(),
            Some(at) if is_syntax || message.starts_with("Incomplete") => self.unexpected(at),
            _ => Issue::new(self.span(at), message.to_owned()),
        }
    }

    fn span(&self, at: Option<usize>) -> Span {
        let end = Span::new(self.source.len(), self.source.len());
        at.and_then(|at| self.tokens.get(at))
            .map_or(end, |token| token.span)
    }

    fn text(&self, at: Option<usize>) -> &str {
        let span = self.span(at);
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// The text ends too early: behind an operator, or within a bracket.
    fn ended(&self) -> Issue {
        let Some(last) = self.tokens.len().checked_sub(1) else {
            return Issue::new(self.span(None), "expression is empty");
        };
        let issue = Issue::new(self.span(None), "expression ends where more is expected");
        let is_operand_missing = matches!(
            self.tokens.get(last),
            Some(token) if matches!(token.kind, TokenKind::Operator | TokenKind::In)
        );
        match self.unclosed() {
            Some(open) if !is_operand_missing => {
                let (line, column) = self.line_and_column(open);
                let opened = self.text(Some(open));
                issue.help(format!(
                    "close the `{opened}` of line {line}, column {column}"
                ))
            }
            _ => issue.help(format!("complete it after `{}`", self.text(Some(last)))),
        }
    }

    /// The innermost bracket that nothing closes.
    fn unclosed(&self) -> Option<usize> {
        let mut open = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Open => open.push(at),
                TokenKind::Close => {
                    open.pop();
                }
                _ => {}
            }
        }
        open.pop()
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.span(Some(at)).start;
        let before = self.source.get(..before).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// A token stands where none of its kind may.
    fn unexpected(&self, at: usize) -> Issue {
        let text = self.text(Some(at));
        let issue = Issue::new(
            self.span(Some(at)),
            format!("`{text}` is not expected here"),
        );
        let before = at.checked_sub(1).map(|before| self.text(Some(before)));
        let before = before.unwrap_or_default();
        let both_are_operands = [at.checked_sub(1), Some(at)].iter().all(|at| {
            let token = at.and_then(|at| self.tokens.get(at));
            token.is_some_and(|token| token.kind == TokenKind::Operand)
        });
        let after = self.text(Some(at + 1));
        match (before, text) {
            (_, "not") if after == "in" => issue.help("`a not in b` is written `!(a in b)`"),
            (_, "and") | ("and", _) => issue.help("`and` is written `&&`"),
            (_, "or") | ("or", _) => issue.help("`or` is written `||`"),
            ("for" | "while", _) => issue.help(LOOPS),
            (_, "not") | ("not", _) => issue.help("`not` is written `!`"),
            (".", "in" | "true" | "false" | "null") => issue.help(format!(
                "`{text}` is a keyword; write `['{text}']` to read a field of that name"
            )),
            ("?", "?") => issue.help("for a value by default write `a.?b.orValue(c)`"),
            ("?", ".") => issue.help("a field that may be missing is read by `a.?b`"),
            ("", _) => issue,
            _ if both_are_operands => issue.help(format!(
                "there is an operator or a comma missing between `{before}` and `{text}`"
            )),
            _ => issue,
        }
    }

    fn reserved(&self, at: Option<usize>, word: &str) -> Issue {
        let issue = Issue::new(
            self.span(at),
            format!("`{word}` is a reserved word, which nothing can be named"),
        );
        match word {
            "if" | "else" => issue.help("a choice is written `condition ? this : that`"),
            "for" | "while" | "loop" => issue.help(LOOPS),
            _ => issue.help(format!(
                "choose another name; a field of that name is read by `['{word}']`"
            )),
        }
    }

    fn unreadable(&self, at: Option<usize>, unread: &str) -> Issue {
        let (span, text) = (self.span(at), self.text(at));
        let first = unread.chars().nth(1).unwrap_or_default();
        match first {
            '\'' | '"' => Issue::new(
                span,
                "string is not terminated, or has an escape that CEL lacks",
            )
            .help(
                "close it with the quote it began with; a backslash is written `\\\\`, or use r'…'",
            ),
            '=' => Issue::new(span, "`=` is no operator").help("use `==` to compare"),
            '&' | '|' => Issue::new(span, format!("`{first}` is no operator"))
                .help(format!("use `{first}{first}`")),
            '`' => Issue::new(span, "quoted name is not terminated, or is empty")
                .help("a name in backticks is a field's: a.`b-c`"),
            _ => Issue::new(span, format!("`{text}` is not part of the language")),
        }
    }
}

/// The byte offset of a line (from 1) and a column in characters (from 1).
fn offset_of(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or_default().max(1);
    let column = usize::try_from(column).unwrap_or_default().max(1);
    let start: usize = source
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let rest = source.get(start..).unwrap_or_default();
    start
        + rest
            .chars()
            .take(column - 1)
            .map(char::len_utf8)
            .sum::<usize>()
}
