//! The fast path: documents that are JSON, several times faster than the YAML parser.
//!
//! Whatever is not strictly JSON is left to the YAML parser, which also has the better messages;
//! `kubectl` decides the same way. Documents may follow each other without a separator.

use super::{Entry, MAX_DEPTH, Place, Yaml, YamlError, YamlValue, build};

/// What came of reading a text as JSON.
pub(super) enum Outcome {
    /// It is JSON; these are the documents.
    Documents(Vec<Yaml>),
    /// It is JSON that cannot be used.
    Error(YamlError),
    /// It is something else.
    NotJson,
}

enum Fault {
    NotJson,
    Error(YamlError),
}

/// Reads `text` if it begins as a JSON object or array does.
pub(super) fn documents(text: &str, place: &Place) -> Outcome {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        place,
    };
    reader.skip_space();
    if !matches!(reader.peek(), Some(b'{' | b'[')) {
        return Outcome::NotJson;
    }
    let mut documents = Vec::new();
    while reader.peek().is_some() {
        match reader.value(0) {
            Ok(document) => documents.push(document),
            Err(Fault::NotJson) => return Outcome::NotJson,
            Err(Fault::Error(error)) => return Outcome::Error(error),
        }
        reader.skip_space();
    }
    Outcome::Documents(documents)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    place: &'a Place<'a>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        self.skip_space();
        if self.take(byte) {
            self.skip_space();
            Ok(())
        } else {
            Err(Fault::NotJson)
        }
    }

    /// Reads the value that begins here, `depth` levels down; recursion ends at [`MAX_DEPTH`].
    fn value(&mut self, depth: usize) -> Result<Yaml, Fault> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                let span = self.place.span(start, start + 1);
                return Err(Fault::Error(build::too_deep(span)));
            }
            Some(b'{') => self.mapping(depth)?,
            Some(b'[') => self.sequence(depth)?,
            Some(b'"') => YamlValue::String(self.string()?),
            Some(b't') => self.word("true", YamlValue::Bool(true))?,
            Some(b'f') => self.word("false", YamlValue::Bool(false))?,
            Some(b'n') => self.word("null", YamlValue::Null)?,
            _ => self.number()?,
        };
        Ok(Yaml {
            span: self.place.span(start, self.at),
            value,
        })
    }

    fn mapping(&mut self, depth: usize) -> Result<YamlValue, Fault> {
        self.expect(b'{')?;
        let mut entries = Vec::new();
        if !self.take(b'}') {
            loop {
                let start = self.at;
                let key = self.string()?;
                let key_span = self.place.span(start, self.at);
                self.expect(b':')?;
                let value = self.value(depth + 1)?;
                entries.push(Entry {
                    key,
                    key_span,
                    value,
                });
                self.skip_space();
                if self.take(b'}') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        match build::duplicates(&entries, |_| true).first() {
            Some((first, second)) => Err(Fault::Error(build::duplicate_key(
                first, second, self.place,
            ))),
            None => Ok(YamlValue::Mapping(entries)),
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<YamlValue, Fault> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        if !self.take(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                self.skip_space();
                if self.take(b']') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        Ok(YamlValue::Sequence(items))
    }

    fn word(&mut self, word: &str, value: YamlValue) -> Result<YamlValue, Fault> {
        if self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.at += word.len();
            Ok(value)
        } else {
            Err(Fault::NotJson)
        }
    }

    fn number(&mut self) -> Result<YamlValue, Fault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.take(b'.') {
            self.digits()?;
            is_integer = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
            is_integer = false;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let int = is_integer.then(|| text.parse().ok()).flatten();
        match (int, text.parse::<f64>()) {
            (Some(int), _) => Ok(YamlValue::Int(int)),
            (None, Ok(value)) if value.is_finite() => Ok(YamlValue::Double(value)),
            _ => Err(Fault::NotJson),
        }
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(Fault::NotJson)
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        if !self.take(b'"') {
            return Err(Fault::NotJson);
        }
        let mut text = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            text.push_str(self.text.get(start..self.at).unwrap_or_default());
            if self.take(b'"') {
                return Ok(text);
            }
            if !self.take(b'\\') {
                return Err(Fault::NotJson);
            }
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let escaped = self.peek().ok_or(Fault::NotJson)?;
        self.at += 1;
        Ok(match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode()?,
            _ => return Err(Fault::NotJson),
        })
    }

    /// Reads the digits of `\u`, of a surrogate pair too; half a pair is U+FFFD, as in Go.
    fn unicode(&mut self) -> Result<char, Fault> {
        let high = self.hex4()?;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        let low_follows = self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with("\\u"));
        if (0xd800..0xdc00).contains(&high) && low_follows {
            let before = self.at;
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or(Fault::NotJson)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Fault::NotJson)
    }
}
