//! Expressions with the value, type, cost or error that Kubernetes' own CEL environment gives.
//!
//! The recordings lie in the folder `$PORTCULLIS_CORPUS` (`cel.jsonl.gz`); the test is ignored
//! unless asked for.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a recording that cannot be read fails the test"
)]

#[expect(dead_code, reason = "recordings are compared aspect by aspect")]
mod rows;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use rows::Answer;
use serde_json::{Value as Row, json};

/// One aspect of the recordings, with what was compared and what agreed.
#[derive(Default)]
struct Tally {
    compared: usize,
    agreed: usize,
    differences: Vec<String>,
}

impl Tally {
    fn count(&mut self, agrees: bool, difference: impl FnOnce() -> String) {
        self.compared += 1;
        if agrees {
            self.agreed += 1;
        } else {
            self.differences.push(difference());
        }
    }
}

/// The tallies of all aspects, in the order they are shown.
#[derive(Default)]
struct Tallies {
    value: Tally,
    static_type: Tally,
    compile: Tally,
    error: Tally,
    cost: Tally,
}

impl Tallies {
    fn named(&self) -> [(&'static str, &Tally); 5] {
        [
            ("value", &self.value),
            ("type", &self.static_type),
            ("compile", &self.compile),
            ("error", &self.error),
            ("cost", &self.cost),
        ]
    }

    fn compare(&mut self, row: &Row) {
        let expression = row["expr"].as_str().unwrap();
        let refused = row["compile_error"].is_string()
            || matches!(row["phase"].as_str(), Some("compile" | "program"));
        let ours = rows::answer(row);
        assert!(
            !matches!(ours, Answer::Panicked(_)),
            "{expression}: {ours:?}"
        );
        self.compile.count(
            matches!(ours, Answer::Refused(_)) == refused,
            || match &ours {
                Answer::Refused(error) => format!("STRICT {expression}  (ours: {error})"),
                _ => {
                    let error = row["error"].as_str().or(row["compile_error"].as_str());
                    format!("LAX {expression}  (recorded: {})", error.unwrap_or(""))
                }
            },
        );
        let Answer::Evaluated {
            static_type,
            result,
            cost,
            ..
        } = ours
        else {
            return;
        };
        if refused {
            return;
        }
        let is_text = row["value_text"].is_string();
        let recorded_type = if is_text { "type" } else { "staticType" };
        if let Some(recorded) = row[recorded_type].as_str() {
            self.static_type.count(static_type == recorded, || {
                format!("{expression}: {static_type}, recorded {recorded}")
            });
        }
        self.error
            .count(result.is_err() == row["error"].is_string(), || {
                format!("{expression}: {result:?}, recorded error {}", row["error"])
            });
        if let (Ok(value), Some(recorded)) = (&result, row.get("typed")) {
            let recorded = rows::normalised(recorded);
            self.value.count(*value == recorded, || {
                format!("{expression}: {value}, recorded {recorded}")
            });
        }
        if let (Ok(value), Some(recorded)) = (&result, row["value_text"].as_str())
            && let Some(value) = text(value)
        {
            self.value.count(value == recorded, || {
                format!("{expression}: {value}, recorded {recorded}")
            });
        }
        if let Some(recorded) = row["cost"].as_u64() {
            let either = EITHER.iter().find(|(known, _)| *known == expression);
            let is_either = either.is_some_and(|(_, costs)| {
                println!("cost: {expression}: {cost}, recorded {recorded}: either, by chance");
                costs.contains(&cost) && costs.contains(&recorded)
            });
            self.cost.count(cost == recorded || is_either, || {
                format!("{expression}: {cost}, recorded {recorded}")
            });
        }
    }
}

fn rows() -> Vec<Row> {
    let folder = std::env::var_os("PORTCULLIS_CORPUS").unwrap();
    let file = File::open(std::path::Path::new(&folder).join("cel.jsonl.gz")).unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    let rows = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    rows.map(|mut row: Row| {
        // The oldest recordings do not say where they were made: where patches are.
        if row["env"].is_null() {
            row["env"] = json!("patch");
            // These were recorded without it.
            row["absent"] = json!("namespaceObject");
        }
        row
    })
    .collect()
}

/// A value as the oldest recordings write it; `None` for what they take from Go's own printing.
fn text(value: &Row) -> Option<String> {
    let (kind, inner) = value.as_object()?.iter().next()?;
    let plain = inner.as_str();
    Some(match (kind.as_str(), inner) {
        ("null", _) => "null".to_owned(),
        ("bool", inner) => inner.to_string(),
        ("int", _) => plain?.to_owned(),
        ("uint", _) => format!("{}u", plain?),
        ("double", _) => match plain? {
            "+Inf" => "d:Infinity".to_owned(),
            double if double.contains('e') => return None,
            double => format!("d:{double}"),
        },
        ("string", inner) if plain?.is_ascii() => inner.to_string(),
        ("bytes", _) => format!("b64:{}", plain?),
        ("duration", _) => format!("dur:{}", plain?),
        ("type", _) => format!("type:{}", plain?),
        ("list", Row::Array(items)) => {
            let items: Option<Vec<String>> = items.iter().map(text).collect();
            format!("[{}]", items?.join(","))
        }
        ("map", Row::Array(entries)) => {
            let entries = entries
                .iter()
                .map(|entry| Some(format!("{}:{}", text(&entry[0])?, text(&entry[1])?)));
            format!("{{{}}}", entries.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => return None,
    })
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn expressions_give_what_kubernetes_gives() {
    let mut tallies = Tallies::default();
    for row in rows() {
        tallies.compare(&row);
    }
    let mut summary = String::from("cel:");
    for (aspect, tally) in tallies.named() {
        let _ = write!(summary, " {aspect} {}/{},", tally.agreed, tally.compared);
        for difference in &tally.differences {
            println!("{aspect}: {difference}");
        }
    }
    println!("{}", summary.trim_end_matches(','));
    let mut all = tallies.named().into_iter();
    assert!(all.all(|(_, tally)| tally.differences.is_empty()));
}

/// What costs Kubernetes one thing or another, from run to run: Go walks through a map in random order,
/// and a macro ends where its result is certain.
const EITHER: [(&str, [u64; 2]); 1] = [("{'a':1,'b':2}.exists(k, k=='b')", [10, 13])];
