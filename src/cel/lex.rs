//! The tokens of an expression: enough to bound its nesting before it is parsed, and to find where
//! an expression ends that the parser only says the beginning of.

use crate::text::Span;

/// A token with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: TokenKind,
    /// Its bytes.
    pub(super) span: Span,
}

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name, keyword, number or string.
    Operand,
    /// `in`
    In,
    /// `(`, `[` or `{`
    Open,
    /// `)`, `]` or `}`
    Close,
    /// Anything else: one operator or separator.
    Operator,
}

/// Splits `source` into tokens; comments and white space are left out. Never fails: what is no
/// token is an operator of one character.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let (kind, length) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0c => (None, 1),
            b'/' if rest.starts_with(b"//") => (None, until(rest, |byte| *byte == b'\n')),
            b'(' | b'[' | b'{' => (Some(TokenKind::Open), 1),
            b')' | b']' | b'}' => (Some(TokenKind::Close), 1),
            b'"' | b'\'' => (Some(TokenKind::Operand), string_length(rest, 0)),
            b'`' => (Some(TokenKind::Operand), quoted_length(rest)),
            _ if is_word(byte) => {
                let length = word_length(rest);
                match rest.get(..length) {
                    Some(b"in") => (Some(TokenKind::In), length),
                    Some(prefix) if is_string_prefix(prefix) && is_quote(rest.get(length)) => {
                        (Some(TokenKind::Operand), string_length(rest, length))
                    }
                    _ => (Some(TokenKind::Operand), length),
                }
            }
            _ => (Some(TokenKind::Operator), operator_length(source, at)),
        };
        let length = length.max(1);
        if let Some(kind) = kind {
            tokens.push(Token {
                kind,
                span: Span::new(at, at + length),
            });
        }
        at += length;
    }
    tokens
}

fn operator_length(source: &str, at: usize) -> usize {
    let rest = source.get(at..).unwrap_or_default();
    if ["&&", "||", "==", "!=", "<=", ">="]
        .iter()
        .any(|operator| rest.starts_with(operator))
    {
        return 2;
    }
    rest.chars().next().map_or(1, char::len_utf8)
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn is_quote(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'"' | b'\''))
}

fn is_string_prefix(word: &[u8]) -> bool {
    matches!(
        word.to_ascii_lowercase().as_slice(),
        b"r" | b"b" | b"br" | b"rb"
    )
}

fn until(bytes: &[u8], end: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().position(end).unwrap_or(bytes.len())
}

/// The length of a name or number: `1.5e-3` is one word, `a.b` is not.
fn word_length(bytes: &[u8]) -> usize {
    let starts_with_digit = bytes.first().is_some_and(u8::is_ascii_digit);
    let mut at = until(bytes, |byte| !is_word(*byte));
    if !starts_with_digit {
        return at;
    }
    let is_hex = bytes.get(1).is_some_and(|byte| matches!(byte, b'x' | b'X'));
    if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
        at += 1;
        at += until(bytes.get(at..).unwrap_or_default(), |byte| !is_word(*byte));
    }
    let before = at.checked_sub(1).and_then(|last| bytes.get(last));
    if !is_hex
        && matches!(before, Some(b'e' | b'E'))
        && matches!(bytes.get(at), Some(b'+' | b'-'))
        && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
    {
        at += 1;
        at += until(bytes.get(at..).unwrap_or_default(), |byte| !is_word(*byte));
    }
    at
}

fn quoted_length(bytes: &[u8]) -> usize {
    let inner = bytes.get(1..).unwrap_or_default();
    (1 + until(inner, |byte| *byte == b'`') + 1).min(bytes.len())
}

/// The length of a string literal whose quote stands at `prefix`; unterminated ones end with the
/// line (or with the text, if triple-quoted).
fn string_length(bytes: &[u8], prefix: usize) -> usize {
    let raw = bytes
        .get(..prefix)
        .unwrap_or_default()
        .iter()
        .any(|byte| matches!(byte, b'r' | b'R'));
    let quote = bytes.get(prefix).copied().unwrap_or_default();
    let body = bytes.get(prefix..).unwrap_or_default();
    let triple = body.starts_with(&[quote; 3]);
    let width = if triple { 3 } else { 1 };
    let mut at = prefix + width;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        if byte == b'\\' && !raw {
            at += 2;
        } else if byte == quote && (!triple || rest.starts_with(&[quote; 3])) {
            return at + width;
        } else if matches!(byte, b'\n' | b'\r') && !triple {
            return at;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// For each token the index of the bracket that closes or opens it; itself for everything else.
pub(super) fn partners(tokens: &[Token]) -> Vec<usize> {
    let mut partners: Vec<usize> = (0..tokens.len()).collect();
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Open => open.push(at),
            TokenKind::Close => {
                if let Some(start) = open.pop() {
                    if let Some(partner) = partners.get_mut(start) {
                        *partner = at;
                    }
                    if let Some(partner) = partners.get_mut(at) {
                        *partner = start;
                    }
                }
            }
            _ => {}
        }
    }
    partners
}
