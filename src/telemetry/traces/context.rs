//! The span that a request comes from, as `traceparent` says (W3C Trace Context, level 1).

/// The caller's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) is_sampled: bool,
}

impl Parent {
    /// Reads the header: `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`; `None` if it is
    /// not one, which is no fault of the request.
    pub fn read(header: &[u8]) -> Option<Parent> {
        let text = std::str::from_utf8(header).ok()?;
        let mut parts = text.trim().split('-');
        let [version] = hex(parts.next()?)?;
        let trace_id = hex(parts.next()?)?;
        let span_id = hex(parts.next()?)?;
        let [flags] = hex::<1>(parts.next()?)?;
        // Later versions may have more parts; this one has not, and no version is 255.
        let is_whole = match version {
            0 => parts.next().is_none(),
            255 => false,
            _ => true,
        };
        let is_known = trace_id != [0; 16] && span_id != [0; 8];
        (is_whole && is_known).then_some(Parent {
            trace_id,
            span_id,
            is_sampled: flags & 1 == 1,
        })
    }
}

/// Reads so many bytes, each as two digits in lower case.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let is_plain = |digit: &u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(digit);
    if digits.len() != 2 * N || !digits.iter().all(is_plain) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_header_names_a_span() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let zero = "0".repeat(32);
        let upper = trace.to_uppercase();
        for (header, expected) in [
            (format!("00-{trace}-{span}-01"), Some(true)),
            (format!("00-{trace}-{span}-00"), Some(false)),
            (format!("00-{trace}-{span}-03"), Some(true)),
            (format!("01-{trace}-{span}-01-more"), Some(true)),
            (format!("00-{trace}-{span}-01-more"), None),
            (format!("ff-{trace}-{span}-01"), None),
            (format!("00-{zero}-{span}-01"), None),
            (format!("00-{trace}-0000000000000000-01"), None),
            (format!("00-{upper}-{span}-01"), None),
            (format!("00-{trace}-{span}"), None),
            (format!("00-{trace}-{span}-é"), None),
            (String::new(), None),
        ] {
            let read = Parent::read(header.as_bytes());
            assert_eq!(read.map(|it| it.is_sampled), expected, "{header}");
        }
        assert_eq!(Parent::read(&[0xff; 55]), None);
    }
}
