//! Character classes and escapes of Go's syntax.

use std::fmt::Write as _;

use super::translate::{PatternError, until};
use super::unicode;

/// A class that matches nothing, in brackets.
pub(super) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

/// The members of `\d`, `\s` and `\w`: ASCII only.
const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\x0C\r\x20";
const WORD: &str = "0-9A-Za-z_";

/// Reads a class in brackets; gives it in the crate's syntax, and what follows.
pub(super) fn read(text: &str) -> Result<(String, &str), PatternError> {
    let mut class = String::from("[");
    let mut rest = text.strip_prefix('[').unwrap_or(text);
    if let Some(tail) = rest.strip_prefix('^') {
        class.push('^');
        rest = tail;
    }
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if let Some((members, tail)) = read_posix(rest)? {
            class.push_str(members);
            rest = tail;
            continue;
        }
        if let Some((members, tail)) = read_escaped(rest)? {
            class.push_str(&members);
            rest = tail;
            continue;
        }
        let start = rest;
        let (low, tail) = member(rest, text)?;
        rest = tail;
        let mut high = low;
        if let Some(tail) = rest.strip_prefix('-')
            && !tail.is_empty()
            && !tail.starts_with(']')
        {
            (high, rest) = member(tail, text)?;
            if high < low {
                let range = until(start, rest);
                return Err(PatternError::new("invalid character class range", range));
            }
        }
        push_range(&mut class, low, high);
    }
    class.push(']');
    Ok((class, rest.strip_prefix(']').unwrap_or(rest)))
}

/// Reads one character of a class, escaped or not.
fn member<'e>(text: &'e str, class: &str) -> Result<(u32, &'e str), PatternError> {
    let mut letters = text.chars();
    match letters.next() {
        None => Err(PatternError::new("missing closing ]", class)),
        Some('\\') => read_character(text),
        Some(letter) => Ok((u32::from(letter), letters.as_str())),
    }
}

/// Writes a range; surrogates are left out, as no text has them.
fn push_range(class: &mut String, low: u32, high: u32) {
    let low = if is_surrogate(low) { 0xe000 } else { low };
    let high = if is_surrogate(high) { 0xd7ff } else { high };
    if low > high {
        class.push_str(NOTHING);
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(class, "\\x{{{low:X}}}-\\x{{{high:X}}}");
}

fn is_surrogate(code: u32) -> bool {
    (0xd800..=0xdfff).contains(&code)
}

/// Reads `[:alpha:]` or `[:^alpha:]` inside of brackets.
fn read_posix(text: &str) -> Result<Option<(&'static str, &str)>, PatternError> {
    let Some((name, rest)) = text
        .strip_prefix("[:")
        .and_then(|name| name.split_once(":]"))
    else {
        return Ok(None);
    };
    let members = match name {
        "alnum" => "0-9A-Za-z",
        "^alnum" => "[^0-9A-Za-z]",
        "alpha" => "A-Za-z",
        "^alpha" => "[^A-Za-z]",
        "ascii" => r"\x00-\x7F",
        "^ascii" => r"[^\x00-\x7F]",
        "blank" => r"\t\x20",
        "^blank" => r"[^\t\x20]",
        "cntrl" => r"\x00-\x1F\x7F",
        "^cntrl" => r"[^\x00-\x1F\x7F]",
        "digit" => "0-9",
        "^digit" => "[^0-9]",
        "graph" => r"\x21-\x7E",
        "^graph" => r"[^\x21-\x7E]",
        "lower" => "a-z",
        "^lower" => "[^a-z]",
        "print" => r"\x20-\x7E",
        "^print" => r"[^\x20-\x7E]",
        "punct" => r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
        "^punct" => r"[^\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E]",
        "space" => r"\t-\r\x20",
        "^space" => r"[^\t-\r\x20]",
        "upper" => "A-Z",
        "^upper" => "[^A-Z]",
        "word" => WORD,
        "^word" => "[^0-9A-Za-z_]",
        "xdigit" => "0-9A-Fa-f",
        "^xdigit" => "[^0-9A-Fa-f]",
        _ => {
            let part = until(text, rest);
            return Err(PatternError::new("invalid character class range", part));
        }
    };
    Ok(Some((members, rest)))
}

/// Reads `\d` and its like, or `\pN` and its like; gives the members, to be put into brackets.
pub(super) fn read_escaped(text: &str) -> Result<Option<(String, &str)>, PatternError> {
    let Some(escaped) = text.strip_prefix('\\') else {
        return Ok(None);
    };
    let mut letters = escaped.chars();
    let members = match letters.next() {
        Some('d') => DIGIT.to_owned(),
        Some('D') => format!("[^{DIGIT}]"),
        Some('s') => SPACE.to_owned(),
        Some('S') => format!("[^{SPACE}]"),
        Some('w') => WORD.to_owned(),
        Some('W') => format!("[^{WORD}]"),
        Some(letter @ ('p' | 'P')) => {
            return read_unicode(text, letters.as_str(), letter == 'P').map(Some);
        }
        _ => return Ok(None),
    };
    Ok(Some((members, letters.as_str())))
}

/// Reads the name of a Unicode class after `\p` or `\P`.
fn read_unicode<'e>(
    text: &'e str,
    after: &'e str,
    negated: bool,
) -> Result<(String, &'e str), PatternError> {
    let invalid = |part: &str| PatternError::new("invalid character class range", part);
    let (name, rest) = match after.strip_prefix('{') {
        Some(name) => name.split_once('}').ok_or_else(|| invalid(text))?,
        None => {
            let mut letters = after.chars();
            letters.next();
            (until(after, letters.as_str()), letters.as_str())
        }
    };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name, negated),
    };
    let members = unicode::class(name).ok_or_else(|| invalid(until(text, rest)))?;
    let members = match (members, negated) {
        (unicode::Class::Members(members), false) => members,
        (unicode::Class::Members(members), true) => format!("[^{members}]"),
        (unicode::Class::Nothing, false) => NOTHING.to_owned(),
        (unicode::Class::Nothing, true) => r"\x00-\x{10FFFF}".to_owned(),
    };
    Ok((members, rest))
}

/// Reads an escaped character; gives its code, which may be a surrogate's.
pub(super) fn read_character(text: &str) -> Result<(u32, &str), PatternError> {
    let mut letters = text.chars();
    letters.next();
    let Some(letter) = letters.next() else {
        return Err(PatternError::new(
            "trailing backslash at end of expression",
            "",
        ));
    };
    let rest = letters.as_str();
    let code = match letter {
        'a' => 7,
        'f' => 0xc,
        'n' => 0xa,
        'r' => 0xd,
        't' => 9,
        'v' => 0xb,
        'x' => return read_hexadecimal(text, rest),
        // A single digit that is no zero would be a reference back.
        '1'..='7' if !rest.starts_with(|digit| ('0'..='7').contains(&digit)) => {
            return Err(invalid_escape(text, rest));
        }
        '0'..='7' => return Ok(read_octal(letter, rest)),
        letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => u32::from(letter),
        _ => return Err(invalid_escape(text, rest)),
    };
    Ok((code, rest))
}

/// Reads up to three octal digits, of which the first has been read.
fn read_octal(first: char, rest: &str) -> (u32, &str) {
    let mut code = first.to_digit(8).unwrap_or_default();
    let mut letters = rest.chars();
    for _ in 0..2 {
        let mut ahead = letters.clone();
        let Some(digit) = ahead.next().and_then(|digit| digit.to_digit(8)) else {
            break;
        };
        code = code * 8 + digit;
        letters = ahead;
    }
    (code, letters.as_str())
}

/// Reads what follows `\x`: two digits, or any number of them in braces.
fn read_hexadecimal<'e>(text: &'e str, rest: &'e str) -> Result<(u32, &'e str), PatternError> {
    let mut letters = rest.chars();
    let first = letters.next();
    if first != Some('{') {
        let second = letters.next();
        let digit = |letter: Option<char>| letter.and_then(|letter| letter.to_digit(16));
        return match (digit(first), digit(second)) {
            (Some(high), Some(low)) => Ok((high * 16 + low, letters.as_str())),
            _ => Err(invalid_escape(text, letters.as_str())),
        };
    }
    let (mut code, mut digits) = (0u32, 0);
    for letter in letters.by_ref() {
        if letter == '}' && digits > 0 {
            return Ok((code, letters.as_str()));
        }
        let Some(digit) = letter.to_digit(16) else {
            break;
        };
        code = code * 16 + digit;
        digits += 1;
        if code > u32::from(char::MAX) {
            break;
        }
    }
    Err(invalid_escape(text, letters.as_str()))
}

fn invalid_escape(text: &str, rest: &str) -> PatternError {
    PatternError::new("invalid escape sequence", until(text, rest))
}
