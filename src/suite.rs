//! Tests of policies: cases beside a policy, run offline on the one evaluation path.
//!
//! Flow: [`mod@format`] reads a `*.test.yaml` file into cases, [`run`] decides each of them with the
//! policies it is about and compares the outcome with what [`expect`] says, [`coverage`] counts
//! which validations were seen to admit and to deny, and [`report`] shows it all.

pub mod coverage;
pub mod expect;
pub mod format;
mod path;
mod reader;
pub mod report;
pub mod run;

/// How the name of a file of tests ends.
pub const FILE_SUFFIX: &str = ".test.yaml";

/// Every code of findings about files of tests, in alphabetical order, with its meaning.
pub const CODES: [(&str, &str); 10] = [
    (
        "test/ambiguous",
        "A case says two things of which there can only be one.",
    ),
    ("test/duplicate-name", "Two cases of a file have one name."),
    ("test/no-policy", "A file of tests has no policy to test."),
    (
        "test/path",
        "A path of `set` or `remove` cannot be read or leads nowhere.",
    ),
    ("test/pattern", "A regular expression cannot be read."),
    (
        "test/required",
        "A field that must be written is missing or empty.",
    ),
    (
        "test/unknown-key",
        "A mapping has a key that means nothing there.",
    ),
    (
        "test/unknown-value",
        "A word is none of those that can be written there.",
    ),
    (
        "test/wrong-type",
        "A value is of another type than its field.",
    ),
    (
        "test/yaml",
        "The file is no YAML or JSON; the message says what is wrong with it.",
    ),
];
