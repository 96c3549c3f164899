//! Base64: cel-go's `ext/encoders.go`, an extension of Kubernetes' language.
//!
//! No call has a cost of its own upstream, so each costs one.

use bumpalo::collections::Vec as ArenaVec;

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::{global, no_such_overload};

/// The functions of this library.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "base64.decode",
        doc: "Returns the bytes that a text in base64 stands for; the padding may be missing, and \
              line breaks are passed over.",
        overloads: &[global(
            "base64_decode_string",
            &[Type::String],
            Type::Bytes,
            decode,
            cost::one,
        )
        .extension()],
        examples: &[
            ("base64.decode('aGVsbG8=')", "b'hello'"),
            ("base64.decode('aGVsbG8')", "b'hello'"),
            ("string(base64.decode('e30='))", "'{}'"),
            (
                "base64.decode('a-b_')",
                "error: illegal base64 data at input byte 1",
            ),
        ],
    },
    Function {
        name: "base64.encode",
        doc: "Returns bytes as a text in base64, with padding.",
        overloads: &[global(
            "base64_encode_bytes",
            &[Type::Bytes],
            Type::String,
            encode,
            cost::one,
        )
        .extension()],
        examples: &[
            ("base64.encode(b'hello')", "'aGVsbG8='"),
            ("base64.encode(b'')", "''"),
        ],
    },
];

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Whether what is decoded ends with `=` where bits are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Required,
    Refused,
}

fn decode<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = arguments else {
        return no_such_overload(call);
    };
    call.reserve(text.len().saturating_mul(2))?;
    let mut bytes = ArenaVec::with_capacity_in(text.len() / 4 * 3 + 3, call.arena);
    match decode_into(text, |byte| bytes.push(byte)) {
        Ok(()) => Ok(Value::Bytes(bytes.into_bump_slice())),
        Err(at) => Err(call.fault(&format!("illegal base64 data at input byte {at}"))),
    }
}

/// Decodes a text with padding, or without; gives the byte that must not be where it is, if neither
/// can be. Line breaks are passed over, and bits left at the end too.
pub(super) fn decode_into(text: &str, mut push: impl FnMut(u8)) -> std::result::Result<(), usize> {
    // Measured first: what is pushed cannot be taken back.
    let padding = match decode_with(text, Padding::Required, |_| {}) {
        Ok(()) => Padding::Required,
        Err(_) => Padding::Refused,
    };
    if padding == Padding::Refused {
        decode_with(text, padding, |_| {})?;
    }
    decode_with(text, padding, &mut push)
}

/// Go's `encoding/base64`, `decodeQuantum`, for all quanta of a text.
fn decode_with(
    text: &str,
    padding: Padding,
    mut push: impl FnMut(u8),
) -> std::result::Result<(), usize> {
    let bytes = text.as_bytes();
    let mut written = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    let mut quantum = [0_u8; 4];
    let mut filled = 0;
    // Behind the bytes taken so far, as Go counts.
    let mut after = 0;
    loop {
        let Some((at, byte)) = written.next() else {
            // Line breaks at the end have been passed over.
            let end = if filled > 0 { bytes.len() } else { after };
            return match (filled, padding) {
                (0, _) => Ok(()),
                (2 | 3, Padding::Refused) => {
                    give(&quantum, filled, &mut push);
                    Ok(())
                }
                _ => Err(end.saturating_sub(filled)),
            };
        };
        after = at + 1;
        if let Some(value) = value_of(*byte) {
            if let Some(place) = quantum.get_mut(filled) {
                *place = value;
            }
            filled += 1;
            if filled == 4 {
                give(&quantum, filled, &mut push);
                filled = 0;
            }
            continue;
        }
        if *byte != b'=' || padding == Padding::Refused || filled < 2 {
            return Err(at);
        }
        if filled == 2 {
            match written.next() {
                None => return Err(bytes.len()),
                Some((_, b'=')) => {}
                Some((next, _)) => return Err(next.saturating_sub(1)),
            }
        }
        if let Some((next, _)) = written.next() {
            return Err(next);
        }
        give(&quantum, filled, &mut push);
        return Ok(());
    }
}

/// Gives the bytes of a quantum of which some letters were there.
fn give(quantum: &[u8; 4], filled: usize, push: &mut impl FnMut(u8)) {
    let [a, b, c, d] = *quantum;
    push(a << 2 | b >> 4);
    if filled > 2 {
        push(b << 4 | c >> 2);
    }
    if filled > 3 {
        push(c << 6 | d);
    }
}

fn value_of(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn encode<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::Bytes(bytes)] = arguments else {
        return no_such_overload(call);
    };
    let length = bytes.len().div_ceil(3).saturating_mul(4);
    call.reserve(length)?;
    call.step(u64::try_from(bytes.len() / BYTES_PER_STEP).unwrap_or(u64::MAX))?;
    let mut text = bumpalo::collections::String::with_capacity_in(length, call.arena);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or_default();
            let letter = ALPHABET.get(index).filter(|_| place <= chunk.len());
            text.push(char::from(letter.copied().unwrap_or(b'=')));
        }
    }
    Ok(Value::String(text.into_bump_str()))
}

/// Bytes that are encoded in the time of a step.
const BYTES_PER_STEP: usize = 8;

#[cfg(test)]
mod tests {
    use super::decode_into;

    /// What is decoded, or the byte that is wrong.
    fn decoded(text: &str) -> Result<Vec<u8>, usize> {
        let mut bytes = Vec::new();
        decode_into(text, |byte| bytes.push(byte))?;
        Ok(bytes)
    }

    /// Recorded from cel-go.
    #[test]
    fn texts_are_decoded_as_go_does() {
        let given: &[(&str, Result<&[u8], usize>)] = &[
            ("", Ok(b"")),
            ("\n\r\n", Ok(b"")),
            ("aGVs\nbG8=\n", Ok(b"hello")),
            ("aGVsbG8", Ok(b"hello")),
            ("aGVsbG8=\r\n", Ok(b"hello")),
            ("a", Err(0)),
            ("ab=c", Err(2)),
            ("ab=\n=", Ok(b"i")),
            ("aGVsbG8==", Err(7)),
            ("=", Err(0)),
            ("-_-_", Err(0)),
        ];
        for (text, wanted) in given {
            assert_eq!(decoded(text), wanted.map(<[u8]>::to_vec), "{text:?}");
        }
    }
}
