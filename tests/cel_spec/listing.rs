//! The tests that Kubernetes does not pass: `tests/cases/cel-spec.yaml`.

use portcullis::text::Source;
use portcullis::text::yaml::{self, Yaml};

use super::suite::Test;

/// The tests that must fail, with why.
pub(crate) struct Listing {
    entries: Vec<Entry>,
}

struct Entry {
    why: String,
    /// `FILE`, `FILE/SECTION` or `FILE/SECTION/TEST`.
    path: String,
}

impl Listing {
    /// Reads the listing.
    pub(crate) fn read() -> Self {
        let text = include_str!("../cases/cel-spec.yaml");
        let source = Source::new("cel-spec.yaml", text);
        let stream = yaml::parse_stream(&source);
        assert!(stream.errors.is_empty(), "{:?}", stream.errors);
        let mut entries = Vec::new();
        for group in stream
            .documents
            .iter()
            .filter_map(Yaml::as_sequence)
            .flatten()
        {
            let why = group.get("why").and_then(Yaml::as_str).unwrap();
            let tests = group.get("tests").and_then(Yaml::as_sequence).unwrap();
            for path in tests {
                entries.push(Entry {
                    why: why.to_owned(),
                    path: path.as_str().unwrap().to_owned(),
                });
            }
        }
        Listing { entries }
    }

    /// Says why a test fails, if it is listed.
    pub(crate) fn reason(&self, test: &Test) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.names(test))?;
        Some(&entry.why)
    }

    /// Names the entries that no test has, or that others make superfluous.
    pub(crate) fn unknown(&self, tests: &[Test]) -> Vec<String> {
        let mut problems = Vec::new();
        for entry in &self.entries {
            if !tests.iter().any(|test| entry.names(test)) {
                problems.push(format!("{}: is listed, but does not exist", entry.path));
            }
        }
        for test in tests {
            if self
                .entries
                .iter()
                .filter(|entry| entry.names(test))
                .count()
                > 1
            {
                problems.push(format!("{test}: is listed twice"));
            }
        }
        problems
    }
}

impl Entry {
    fn names(&self, test: &Test) -> bool {
        let rest = test.to_string();
        let rest = rest.strip_prefix(&self.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
