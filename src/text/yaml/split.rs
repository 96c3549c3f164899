//! Cuts a stream into its documents before anything is parsed.
//!
//! YAML forbids a line that begins with `---` inside every kind of scalar, so the cuts need no
//! parser. Each part still begins with its own `---` and directives.

use std::ops::Range;

/// Returns the byte ranges of the documents; parts with nothing but comments may be among them.
pub(super) fn documents(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = skip_bom(text, 0);
    // Whether the part so far holds more than directives, comments and blank lines.
    let mut begun = false;
    let mut at = start;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let line = rest.split_inclusive('\n').next().unwrap_or_default();
        let next = at + line.len();
        if is_marker(line, "---") {
            if begun {
                parts.push(start..at);
                start = at;
            }
            begun = true;
        } else if is_marker(line, "...") {
            parts.push(start..next);
            start = skip_bom(text, next);
            begun = false;
        } else {
            begun = begun || !(line.starts_with(['%', '#']) || line.trim().is_empty());
        }
        at = next.max(start);
    }
    if start < text.len() {
        parts.push(start..text.len());
    }
    parts
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn skip_bom(text: &str, at: usize) -> usize {
    let bom = '\u{feff}';
    match text.get(at..) {
        Some(rest) if rest.starts_with(bom) => at + bom.len_utf8(),
        _ => at,
    }
}
