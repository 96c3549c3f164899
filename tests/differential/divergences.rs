//! The differences that are known: `tests/cases/divergences.yaml`.

use portcullis::text::Source;
use portcullis::text::yaml::{self, Yaml};

use super::rows::Answer;
use serde_json::Value as Row;

/// What a difference may do to a policy; that it admits more is not among them.
const DIRECTIONS: [&str; 2] = ["fail-closed", "cost"];

/// A known difference.
pub(crate) struct Divergence {
    /// An expression that shows it.
    pub(crate) expression: String,
    /// The variables it reads, unless all are `dyn`.
    env: Option<String>,
    /// The version of Kubernetes it is written for, unless that makes no difference.
    version: Option<String>,
    /// A part of our error, if it is one.
    pub(crate) ours: Option<String>,
}

/// Reads the known differences.
pub(crate) fn read() -> Vec<Divergence> {
    let text = include_str!("../cases/divergences.yaml");
    let source = Source::new("divergences.yaml", text);
    let stream = yaml::parse_stream(&source);
    assert!(stream.errors.is_empty(), "{:?}", stream.errors);
    let documents = stream.documents.iter();
    let rows = documents.filter_map(Yaml::as_sequence).flatten();
    rows.map(divergence).collect()
}

fn divergence(row: &Yaml) -> Divergence {
    let text = |key: &str| row.get(key).and_then(Yaml::as_str).map(str::to_owned);
    let id = text("id").unwrap();
    let direction = text("direction").unwrap();
    assert!(
        DIRECTIONS.contains(&direction.as_str()),
        "{id}: direction `{direction}`"
    );
    assert!(
        text("why").is_some_and(|why| !why.is_empty()),
        "{id}: says not why"
    );
    Divergence {
        expression: text("expression").unwrap(),
        env: text("env"),
        version: text("version"),
        ours: text("ours"),
    }
}

impl Divergence {
    /// Makes a row ask for the environment that shows it.
    pub(crate) fn set(&self, row: &mut Row) {
        if let Some(env) = &self.env {
            row["env"] = env.as_str().into();
        }
        if let Some(version) = &self.version {
            row["version"] = version.as_str().into();
            row["envMode"] = "new".into();
        }
    }

    /// Says whether an answer of ours shows it.
    pub(crate) fn explains(&self, ours: &Answer) -> bool {
        match (ours, &self.ours) {
            (
                Answer::Evaluated {
                    result: Err(error), ..
                },
                Some(part),
            ) => error.contains(part),
            _ => false,
        }
    }
}
