//! Reads documents that are as they should be, at once and fast.
//!
//! Whatever is wrong with a document ends the reading without a word: [`super::explain`] then reads it
//! again and says what it is. So this accepts nothing that the other refuses, and need not be told
//! about lines and columns.

use std::cell::Cell;

use bumpalo::Bump;
use serde::de::DeserializeSeed;

use super::{Json, Key, MAX_DEPTH, Object, Seed};

/// Reads one document; `None` if something is wrong with it.
pub(super) fn read<'a>(arena: &'a Bump, text: &'a str) -> Option<Json<'a>> {
    let mut reader = Reader {
        arena,
        text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
        items: Vec::new(),
        entries: Vec::with_capacity(ENTRIES),
    };
    let value = reader.value()?;
    match reader.peek() {
        None => Some(value),
        Some(_) => None,
    }
}

/// Room for the entries of the objects that are open at a time; few documents need more.
const ENTRIES: usize = 64;

/// An integer of this many digits fits 64 bits.
const SHORT_DIGITS: usize = 18;

struct Reader<'a> {
    arena: &'a Bump,
    text: &'a str,
    /// The same as bytes.
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// The items of the lists that are open, one list after the other.
    items: Vec<Json<'a>>,
    /// The entries of the objects that are open, one object after the other.
    entries: Vec<(&'a str, Json<'a>)>,
}

impl<'a> Reader<'a> {
    /// Returns the next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn value(&mut self) -> Option<Json<'a>> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string().map(Json::String)
            }
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::list),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        let rest = self.bytes.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word.as_bytes()).then_some(value)
    }

    /// Reads what begins with a bracket.
    fn nested(&mut self, read: fn(&mut Self) -> Option<Json<'a>>) -> Option<Json<'a>> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn list(&mut self) -> Option<Json<'a>> {
        let first = self.items.len();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Json::List(&[]));
        }
        loop {
            let item = self.value()?;
            self.items.push(item);
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b']' => break,
                _ => return None,
            }
        }
        let items = self.arena.alloc_slice_copy(self.items.get(first..)?);
        self.items.truncate(first);
        Some(Json::List(items))
    }

    fn object(&mut self) -> Option<Json<'a>> {
        let first = self.entries.len();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Json::Object(Object::new_in(self.arena, &[])));
        }
        loop {
            self.expect(b'"')?;
            let key = self.string()?;
            self.expect(b':')?;
            let value = self.value()?;
            self.entries.push((key, value));
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        let entries = self.arena.alloc_slice_copy(self.entries.get(first..)?);
        self.entries.truncate(first);
        let object = Object::new_in(self.arena, entries);
        match object.first_duplicate() {
            None => Some(Json::Object(object)),
            Some(_) => None,
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    /// Reads a string behind its quote.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.skip_plain();
        match self.bytes.get(self.at)? {
            b'"' => {
                let text = self.text.get(start..self.at);
                self.at += 1;
                text
            }
            b'\\' => self.escaped(start),
            _ => None,
        }
    }

    /// Goes on to the next quote, backslash or control character.
    #[inline]
    fn skip_plain(&mut self) {
        while let Some(eight) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            let special = special(u64::from_le_bytes(*eight));
            if special != 0 {
                self.at += usize::try_from(special.trailing_zeros() / 8).unwrap_or_default();
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.bytes.get(self.at)
            && !matches!(byte, b'"' | b'\\' | ..=0x1f)
        {
            self.at += 1;
        }
    }

    /// Reads a string with escapes that begins at `start`, behind its quote.
    #[cold]
    fn escaped(&mut self, start: usize) -> Option<&'a str> {
        while *self.bytes.get(self.at)? == b'\\' {
            self.at += 2;
            self.skip_plain();
        }
        self.at += 1;
        let written = self.text.get(start.checked_sub(1)?..self.at)?;
        let mut deserializer = serde_json::Deserializer::from_str(written);
        let text = Key(self.arena).deserialize(&mut deserializer).ok()?;
        deserializer.end().ok().map(|()| text)
    }

    #[inline]
    fn number(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        let is_negative = self.bytes.get(start) == Some(&b'-');
        self.at += usize::from(is_negative);
        let (first, mut value) = (self.at, 0_i64);
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at)
            && self.at - first < SHORT_DIGITS
        {
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let begins_with_zero = self.bytes.get(first) == Some(&b'0');
        let is_plain = self.at > first
            && !begins_with_zero
            && !matches!(
                self.bytes.get(self.at),
                Some(b'0'..=b'9' | b'.' | b'e' | b'E')
            );
        match (is_plain, is_negative) {
            (true, false) => Some(Json::Int(value)),
            (true, true) => Some(Json::Int(-value)),
            (false, _) => self.any_number(start),
        }
    }

    /// Reads a number that begins at `start`: zero, one that is long, has a fraction or an exponent,
    /// or is none.
    fn any_number(&mut self, start: usize) -> Option<Json<'a>> {
        self.at = start;
        while let Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') = self.bytes.get(self.at) {
            self.at += 1;
        }
        let written = self.text.get(start..self.at)?;
        if written == "0" {
            return Some(Json::Int(0));
        }
        let fault = Cell::new(None);
        let seed = Seed {
            arena: self.arena,
            depth: 0,
            fault: &fault,
        };
        let mut deserializer = serde_json::Deserializer::from_str(written);
        let number = seed.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok().map(|()| number)
    }
}

/// Marks the bytes of eight that are a quote, a backslash or a control character: the lowest mark is
/// right, those above it need not be (Mycroft's test for zero bytes).
#[inline]
fn special(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let quote = zero(bytes ^ (ONES * 0x22));
    let backslash = zero(bytes ^ (ONES * 0x5c));
    let control = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    (quote | backslash | control) & HIGH
}
