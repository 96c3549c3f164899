//! Semantic versions as the Go module `blang/semver` reads and orders them.

use std::cmp::Ordering;
use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

use super::quote::quote;

/// A semantic version. Build metadata neither orders nor distinguishes.
#[derive(Debug, Clone, Copy)]
pub struct Semver<'a> {
    /// The major number.
    pub major: u64,
    /// The minor number.
    pub minor: u64,
    /// The patch number.
    pub patch: u64,
    pre_release: &'a [Identifier<'a>],
    build: &'a str,
}

/// One part of a pre-release; numbers come before words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(u64),
    Word(&'a str),
}

impl<'a> Semver<'a> {
    /// Reads a version (`semver.Parse`); the error is its text.
    pub fn parse(arena: &'a Bump, text: &'a str) -> Result<Semver<'a>, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let major = number(major, "major", "Major")?;
        let minor = number(minor, "minor", "Minor")?;
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, pre_release) = match rest.split_once('-') {
            Some((patch, pre_release)) => (patch, Some(pre_release)),
            None => (rest, None),
        };
        let patch = number(patch, "patch", "Patch")?;
        let mut identifiers = ArenaVec::new_in(arena);
        for part in pre_release.iter().flat_map(|text| text.split('.')) {
            identifiers.push(Identifier::parse(part)?);
        }
        for part in build.iter().flat_map(|text| text.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !is_alphanumeric(part) {
                let part = quote(part);
                return Err(format!(
                    "Invalid character(s) found in build meta data {part}"
                ));
            }
        }
        Ok(Semver {
            major,
            minor,
            patch,
            pre_release: identifiers.into_bump_slice(),
            build: build.unwrap_or_default(),
        })
    }
}

impl<'a> Identifier<'a> {
    fn parse(text: &'a str) -> Result<Identifier<'a>, String> {
        if text.is_empty() {
            return Err("Prerelease is empty".to_owned());
        }
        if is_numeric(text) {
            if has_leading_zeroes(text) {
                let text = quote(text);
                return Err(format!(
                    "Numeric PreRelease version must not contain leading zeroes {text}"
                ));
            }
            return parse_number(text).map(Identifier::Number);
        }
        if is_alphanumeric(text) {
            return Ok(Identifier::Word(text));
        }
        Err(format!(
            "Invalid character(s) found in prerelease {}",
            quote(text)
        ))
    }
}

/// Rewrites what a tolerant reading accepts into a version: a `v` before it, missing minor and patch
/// numbers, leading zeros (apiserver `pkg/cel/library/semverlib.go`, `normalizeAndParse`).
pub fn normalize(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = text.splitn(3, '.').map(strip_zeros).collect::<Vec<_>>();
    if parts.len() < 3 {
        if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".to_owned());
        }
        parts.resize(3, "0".to_owned());
    }
    Ok(parts.join("."))
}

fn strip_zeros(part: &str) -> String {
    if part.len() <= 1 {
        return part.to_owned();
    }
    let stripped = part.trim_start_matches('0');
    if stripped.starts_with(|first: char| first.is_ascii_digit()) {
        stripped.to_owned()
    } else {
        format!("0{stripped}")
    }
}

fn number(text: &str, name: &str, title: &str) -> Result<u64, String> {
    if !is_numeric(text) {
        let text = quote(text);
        return Err(format!(
            "Invalid character(s) found in {name} number {text}"
        ));
    }
    if has_leading_zeroes(text) {
        let text = quote(text);
        return Err(format!(
            "{title} number must not contain leading zeroes {text}"
        ));
    }
    parse_number(text)
}

/// Reads digits as `strconv.ParseUint` does, with its messages.
fn parse_number(digits: &str) -> Result<u64, String> {
    digits.parse().map_err(|_| {
        let problem = if digits.is_empty() {
            "invalid syntax"
        } else {
            "value out of range"
        };
        format!("strconv.ParseUint: parsing {}: {problem}", quote(digits))
    })
}

fn is_numeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_alphanumeric(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn has_leading_zeroes(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

impl Ord for Semver<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self)
            .cmp(&numbers(other))
            // A release comes after its pre-releases.
            .then(
                self.pre_release
                    .is_empty()
                    .cmp(&other.pre_release.is_empty()),
            )
            .then(self.pre_release.cmp(other.pre_release))
    }
}

impl PartialOrd for Semver<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Semver<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Semver<'_> {}

impl fmt::Display for Semver<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)?;
        for (at, identifier) in self.pre_release.iter().enumerate() {
            formatter.write_str(if at == 0 { "-" } else { "." })?;
            match identifier {
                Identifier::Number(number) => write!(formatter, "{number}")?,
                Identifier::Word(word) => formatter.write_str(word)?,
            }
        }
        if self.build.is_empty() {
            return Ok(());
        }
        write!(formatter, "+{}", self.build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_print_as_they_were_written() {
        let arena = Bump::new();
        for text in [
            "0.0.0",
            "1.2.3",
            "1.2.3-alpha.1+b.01",
            "1.0.0--.x-",
            "1.0.0+b",
        ] {
            assert_eq!(Semver::parse(&arena, text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn versions_order_by_precedence() {
        let arena = Bump::new();
        let ordered = [
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta",
            "1.0.0",
            "1.0.1",
            "1.1.0",
            "2.0.0",
        ];
        for pair in ordered.windows(2) {
            let [low, high] = pair else { continue };
            let (low, high) = (Semver::parse(&arena, low), Semver::parse(&arena, high));
            assert!(low.unwrap() < high.unwrap(), "{pair:?}");
        }
        assert_eq!(
            Semver::parse(&arena, "1.0.0+a"),
            Semver::parse(&arena, "1.0.0+b")
        );
    }

    #[test]
    fn what_is_no_version_is_refused() {
        let arena = Bump::new();
        for (text, expect) in [
            ("", "Version string empty"),
            ("1.0", "No Major.Minor.Patch elements found"),
            (
                "v1.0.0",
                "Invalid character(s) found in major number \"v1\"",
            ),
            (
                "01.0.0",
                "Major number must not contain leading zeroes \"01\"",
            ),
            ("1..0", "strconv.ParseUint: parsing \"\": invalid syntax"),
            ("1.0.0-", "Prerelease is empty"),
            (
                "1.0.0-01",
                "Numeric PreRelease version must not contain leading zeroes \"01\"",
            ),
            (
                "1.0.0-a_b",
                "Invalid character(s) found in prerelease \"a_b\"",
            ),
            ("1.0.0+", "Build meta data is empty"),
            (
                "1.0.0+a_b",
                "Invalid character(s) found in build meta data \"a_b\"",
            ),
            (
                "99999999999999999999.0.0",
                "strconv.ParseUint: parsing \"99999999999999999999\": value out of range",
            ),
        ] {
            assert_eq!(Semver::parse(&arena, text).unwrap_err(), expect);
        }
    }

    #[test]
    fn tolerant_reading_fills_in_and_strips() {
        for (text, expect) in [
            ("v1", Ok("1.0.0")),
            ("1.2", Ok("1.2.0")),
            ("01.002.03-04", Ok("1.2.3-04")),
            ("00.0.0", Ok("0.0.0")),
            ("v", Ok(".0.0")),
            (
                "1.0-rc",
                Err("short version cannot contain PreRelease/Build meta data"),
            ),
        ] {
            let got = normalize(text);
            assert_eq!(got.as_deref().map_err(String::as_str), expect, "{text}");
        }
    }
}
