//! The tokens of HCL 1 (`github.com/hashicorp/hcl` v1.0.0, `hcl/scanner/scanner.go`).

use std::fmt;
use std::sync::LazyLock;

use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;
use bumpalo::collections::Vec as ArenaVec;
use regex::Regex;

use crate::text::excerpt;

use super::{Fault, fault};

/// A token, and at which byte it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) at: usize,
    pub(super) kind: TokenKind<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum TokenKind<'a> {
    Name(&'a str),
    String(&'a str),
    Heredoc(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    Comma,
    Assign,
    End,
}

/// What was found, for messages; nothing that was written, which may be a secret.
impl fmt::Display for TokenKind<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TokenKind::Name(_) => "a name",
            TokenKind::String(_) => "a string",
            TokenKind::Heredoc(_) => "a here-document",
            TokenKind::Bool(_) => "a boolean",
            TokenKind::Int(_) | TokenKind::Double(_) => "a number",
            TokenKind::OpenBrace => "`{`",
            TokenKind::CloseBrace => "`}`",
            TokenKind::OpenBracket => "`[`",
            TokenKind::CloseBracket => "`]`",
            TokenKind::Comma => "`,`",
            TokenKind::Assign => "`=`",
            TokenKind::End => "the end of the text",
        })
    }
}

/// Reads tokens, without white space and comments between them.
pub(super) struct Scanner<'a> {
    arena: &'a Bump,
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(arena: &'a Bump, text: &'a str) -> Self {
        Scanner { arena, text, at: 0 }
    }

    /// Reads the next token.
    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault> {
        self.skip_blanks()?;
        let at = self.at;
        let Some(first) = self.peek() else {
            let kind = TokenKind::End;
            return Ok(Token { at, kind });
        };
        let kind = match first {
            '{' => self.single(TokenKind::OpenBrace),
            '}' => self.single(TokenKind::CloseBrace),
            '[' => self.single(TokenKind::OpenBracket),
            ']' => self.single(TokenKind::CloseBracket),
            ',' => self.single(TokenKind::Comma),
            '=' => self.single(TokenKind::Assign),
            '"' => TokenKind::String(self.string()?),
            '<' => TokenKind::Heredoc(self.heredoc()?),
            '0'..='9' | '-' | '.' => self.number()?,
            first if is_letter(first) => match self.name() {
                "true" => TokenKind::Bool(true),
                "false" => TokenKind::Bool(false),
                name => TokenKind::Name(name),
            },
            _ => return fault(at, "this character is not allowed outside of quotes"),
        };
        Ok(Token { at, kind })
    }

    /// Skips a comma behind an entry, where there may be one.
    pub(super) fn skip_comma(&mut self) -> Result<(), Fault> {
        self.skip_blanks()?;
        if self.peek() == Some(',') {
            self.at += 1;
        }
        Ok(())
    }

    fn single(&mut self, kind: TokenKind<'a>) -> TokenKind<'a> {
        self.at += 1;
        kind
    }

    fn rest(&self) -> &'a str {
        self.rest_from(self.at)
    }

    fn rest_from(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character; two are allowed nowhere, not even in comments and strings.
    fn take(&mut self) -> Result<Option<char>, Fault> {
        let next = self.peek();
        if let Some('\0' | '\u{e123}') = next {
            return fault(self.at, "this character is not allowed");
        }
        self.at += next.map_or(0, char::len_utf8);
        Ok(next)
    }

    fn skip_while(&mut self, accepts: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !accepts(c)).unwrap_or(rest.len());
    }

    fn skip_blanks(&mut self) -> Result<(), Fault> {
        loop {
            self.skip_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            let rest = self.rest();
            if rest.starts_with("/*") {
                self.block_comment()?;
            } else if rest.starts_with('#') || rest.starts_with("//") {
                while !matches!(self.peek(), None | Some('\n')) {
                    self.take()?;
                }
            } else if rest.starts_with('/') {
                return fault(self.at, "a comment begins with `#`, `//` or `/*`");
            } else {
                return Ok(());
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 2;
        while !self.rest().starts_with("*/") {
            if self.take()?.is_none() {
                return fault(start, "this comment is not closed");
            }
        }
        self.at += 2;
        Ok(())
    }

    fn name(&mut self) -> &'a str {
        let start = self.at;
        self.skip_while(|c| is_letter(c) || is_digit(c) || matches!(c, '-' | '.'));
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Reads a number. Without fraction and exponent it is an integer: hexadecimal behind `0x`, octal
    /// behind `0`.
    fn number(&mut self) -> Result<TokenKind<'a>, Fault> {
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
            if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
                return fault(start, "expected a digit after `-`");
            }
        }
        let is_hexadecimal = self.rest().starts_with("0x") || self.rest().starts_with("0X");
        let mut is_integer = true;
        if is_hexadecimal {
            self.at += 2;
            self.skip_while(|c| c.is_ascii_hexdigit());
        } else {
            self.skip_while(|c| c.is_ascii_digit());
            if self.peek() == Some('.') {
                is_integer = false;
                self.at += 1;
                self.skip_while(|c| c.is_ascii_digit());
            }
            // Behind a `.` that nothing precedes upstream reads no exponent.
            let has_exponent = !self.rest_from(start).starts_with('.');
            if has_exponent && matches!(self.peek(), Some('e' | 'E')) {
                is_integer = false;
                self.at += 1;
                if matches!(self.peek(), Some('+' | '-')) {
                    self.at += 1;
                }
                self.skip_while(|c| c.is_ascii_digit());
            }
        }
        if self
            .peek()
            .is_some_and(|c| is_letter(c) || is_digit(c) || c == '.')
        {
            return fault(start, "this is not a number; quote a string");
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        if !is_integer {
            return match written.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(TokenKind::Double(value)),
                Ok(_) => fault(start, "this number is too large"),
                Err(_) => fault(start, "this is not a number"),
            };
        }
        match integer(written) {
            Some(value) => Ok(TokenKind::Int(value)),
            None => fault(start, "this is not an integer of 64 bits"),
        }
    }

    /// Reads a string in quotes. What stands in `${…}` is kept as it is, quotes and line breaks too
    /// (upstream `hcl/strconv/quote.go`, `Unquote`).
    fn string(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.at += 1;
        let inner = self.at;
        // From the first escape on the string is made anew.
        let mut made: Option<ArenaVec<'a, u8>> = None;
        let mut braces = 0_usize;
        loop {
            let at = self.at;
            let plain = match self.take()? {
                None => return fault(start, "this string is not closed"),
                Some('"') if braces == 0 => break,
                Some('\n') if braces == 0 => {
                    return fault(
                        start,
                        "this string is not closed before the end of its line",
                    );
                }
                Some('\\') if braces == 0 => {
                    let before = self.text.get(inner..at).unwrap_or_default();
                    let made = made.get_or_insert_with(|| copied(self.arena, before));
                    self.escape(made)?;
                    continue;
                }
                Some('\\') => {
                    // Upstream checks the escape, and keeps it.
                    self.escape(&mut ArenaVec::new_in(self.arena))?;
                    self.text.get(at..self.at).unwrap_or_default()
                }
                Some('$') if braces == 0 && self.peek() == Some('{') => {
                    self.at += 1;
                    braces = 1;
                    "${"
                }
                Some(other) => {
                    match other {
                        '{' if braces > 0 => braces += 1,
                        '}' => braces = braces.saturating_sub(1),
                        _ => {}
                    }
                    self.text.get(at..self.at).unwrap_or_default()
                }
            };
            if let Some(made) = &mut made {
                made.extend_from_slice_copy(plain.as_bytes());
            }
        }
        let Some(made) = made else {
            return Ok(self.text.get(inner..self.at - 1).unwrap_or_default());
        };
        match ArenaString::from_utf8(made) {
            Ok(text) => Ok(text.into_bump_str()),
            Err(_) => fault(start, "the escapes of this string make no text in UTF-8"),
        }
    }

    /// Reads an escape behind its `\`.
    fn escape(&mut self, made: &mut ArenaVec<'a, u8>) -> Result<(), Fault> {
        let start = self.at - 1;
        let byte = match self.take()? {
            Some('a') => 7,
            Some('b') => 8,
            Some('f') => 12,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 11,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('0'..='7') => {
                self.at -= 1;
                let value = self.digits(start, 3, 8)?;
                match u8::try_from(value) {
                    Ok(byte) => byte,
                    Err(_) => return fault(start, "this escape is of no byte"),
                }
            }
            Some('x') => u8::try_from(self.digits(start, 2, 16)?).unwrap_or_default(),
            Some(letter @ ('u' | 'U')) => {
                let value = self.digits(start, if letter == 'u' { 4 } else { 8 }, 16)?;
                if value > u32::from(char::MAX) {
                    return fault(start, "this escape is of no character");
                }
                // Half of a surrogate pair, as Go encodes it.
                let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                made.extend_from_slice_copy(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return fault(start, "there is no such escape"),
        };
        made.push(byte);
        Ok(())
    }

    fn digits(&mut self, start: usize, count: usize, radix: u32) -> Result<u32, Fault> {
        let digits = self.rest().get(..count).unwrap_or_default();
        let is_complete = digits.len() == count && digits.chars().all(|c| c.is_digit(radix));
        match u32::from_str_radix(digits, radix) {
            Ok(value) if is_complete => {
                self.at += count;
                Ok(value)
            }
            _ => fault(start, format!("this escape needs {count} digits")),
        }
    }

    /// Reads a here-document: `<<NAME`, lines, and a line with nothing but the name, which may be
    /// indented, and behind `<<-` must be.
    fn heredoc(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        if !self.rest().starts_with("<<") {
            return fault(start, "a here-document begins with `<<`");
        }
        self.at += 2;
        let is_indented = self.peek() == Some('-');
        self.at += usize::from(is_indented);
        let name_start = self.at;
        self.skip_while(|c| is_letter(c) || is_digit(c));
        let name = self.text.get(name_start..self.at).unwrap_or_default();
        if name.is_empty() {
            return fault(start, "a here-document needs a name behind `<<`");
        }
        // How long upstream takes the last line to be, with its line break.
        let last_line = self.at - name_start + 1;
        if self.take()? != Some('\n') {
            return fault(
                self.at,
                "only the name of a here-document may stand behind `<<`",
            );
        }
        let content = self.at;
        let end = loop {
            let line_start = self.at;
            while self.peek().is_some_and(|c| c != '\n') {
                self.take()?;
            }
            let line = self.text.get(line_start..self.at).unwrap_or_default();
            if self.take()?.is_none() {
                let message = format!("no line `{}` ends this here-document", excerpt(name));
                return fault(start, message);
            }
            let is_last = line
                .trim_end_matches('\r')
                .trim_start_matches(['\t', '\n', '\u{b}', '\u{c}', '\r', ' '])
                == name;
            if is_last && line.len() >= name.len() + usize::from(is_indented) {
                break self.at.saturating_sub(last_line);
            }
        };
        let Some(text) = self.text.get(content..end) else {
            return fault(start, "the line breaks of this here-document are mixed");
        };
        Ok(if is_indented {
            self.unindented(text)
        } else {
            text
        })
    }

    /// Takes the indentation of the last line from each line, if all have it (upstream
    /// `hcl/token/token.go`, `unindentHeredoc`).
    fn unindented(&self, text: &'a str) -> &'a str {
        let prefix = text.rsplit('\n').next().unwrap_or_default();
        if !text.split('\n').all(|line| line.starts_with(prefix)) {
            let mut cut = text.chars();
            cut.next_back();
            return cut.as_str().trim_end_matches([' ', '\t']);
        }
        let mut made = ArenaString::with_capacity_in(text.len(), self.arena);
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            made.push_str(line.strip_prefix(prefix).unwrap_or(line));
        }
        made.into_bump_str()
    }
}

fn copied<'a>(arena: &'a Bump, text: &str) -> ArenaVec<'a, u8> {
    let mut made = ArenaVec::with_capacity_in(text.len() + 16, arena);
    made.extend_from_slice_copy(text.as_bytes());
    made
}

/// Reads an integer as Go's `strconv.ParseInt` does for base 0.
fn integer(written: &str) -> Option<i64> {
    let (sign, digits) = match written.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", written),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    let is_written = digits.chars().all(|c| c.is_digit(radix));
    is_written
        .then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok())
        .flatten()
}

/// Go's `unicode.IsLetter`, which is narrower than what Rust calls alphabetic; a table of constants.
static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\pL$").ok());

/// Go's `unicode.IsDigit`.
static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Nd}$").ok());

fn is_letter(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic() || is_of(c, &LETTER)
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || is_of(c, &DIGIT)
}

fn is_of(c: char, class: &Option<Regex>) -> bool {
    let of_class = |class: &Regex| class.is_match(c.encode_utf8(&mut [0; 4]));
    !c.is_ascii() && class.as_ref().is_some_and(of_class)
}
