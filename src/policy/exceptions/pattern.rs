//! Names with `*`, which stands for any characters.

/// A name, or what names are to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// Makes a pattern; only `*` has a meaning.
    pub fn new(text: impl Into<String>) -> Self {
        Pattern { text: text.into() }
    }

    /// Returns it as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Says whether it fits every name.
    pub fn fits_all(&self) -> bool {
        self.text.bytes().all(|byte| byte == b'*')
    }

    /// Says whether it is a name rather than many.
    pub fn is_name(&self) -> bool {
        !self.text.contains('*')
    }

    /// Says whether a whole name is like the pattern.
    ///
    /// Each part between two `*` is looked for once, from left to right: the time is at most both
    /// lengths multiplied.
    pub fn fits(&self, name: &str) -> bool {
        let Some((first, rest)) = self.text.split_once('*') else {
            return self.text == name;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(name) = name.strip_prefix(first) else {
            return false;
        };
        let Some(mut name) = name.strip_suffix(last) else {
            return false;
        };
        for part in middle.split('*') {
            let Some((_, behind)) = name.split_once(part) else {
                return false;
            };
            name = behind;
        }
        true
    }

    /// Says whether every name that begins as this does fits: those that the API server makes of it.
    pub fn fits_all_beginning_with(&self, prefix: &str) -> bool {
        self.text.ends_with('*') && self.fits(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "a", true),
            ("**", "a", true),
            ("istio-*", "istio-mtls", true),
            ("istio-*", "istio", false),
            ("*-v1", "web-v1", true),
            ("*-v1", "web-v11", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "acb", false),
            ("*b*b*", "abxb", true),
            ("*b*b*", "ab", false),
            ("a.c", "abc", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).fits(name),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_prefix_fits_only_if_everything_behind_it_does() {
        for (pattern, prefix, expected) in [
            ("web-*", "web-", true),
            ("web-*", "web-a-", true),
            ("web-*", "web", false),
            ("web-", "web-", false),
            ("*", "", true),
            ("*-x", "a-x", false),
        ] {
            let fits = Pattern::new(pattern).fits_all_beginning_with(prefix);
            assert_eq!(fits, expected, "{pattern} {prefix}");
        }
    }
}
